//! Keys that a client has handed over or publishes, and the JWTs that it signs with them (RFC 7523).
//!
//! A client is no provider, but its keys are read, fetched and kept by the same rules: one reader of
//! key sets, one HTTP client with its guard, one place that verifies a signature of somebody else's.

use jiff::Timestamp;
use serde_json::{Map, Value};
use thiserror::Error;
use url::Url;

use crate::ProviderError;
use crate::cache::Cached;
use crate::http::{Http, Reach};
use crate::id_token::{TokenFault, Unverified};
use crate::key_set::KeySet;
use crate::oidc::SigningAlgorithm;
use crate::strict_json::StrictObject;

/// The public keys of a client.
#[derive(Debug)]
pub struct PublishedKeys {
    source: Source,
}

#[derive(Debug)]
enum Source {
    Given(KeySet),
    At {
        url: Url,
        reach: Reach,
        cached: Cached<KeySet>,
    },
}

/// A text that is no set of public keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoKeys {
    /// Not `{"keys": […]}`.
    #[error("expected a key set (RFC 7517): `{{\"keys\": […]}}`")]
    NotASet,
    /// A key in it is private or symmetric.
    #[error("holds a private key, which is nobody's but the client's; expected public keys only")]
    Private,
    /// None of its keys can be used.
    #[error(
        "holds no key that can be used: expected RSA of 2048 bits or more, EC on P-256, or Ed25519, for signatures"
    )]
    NoneUsable,
    /// A `kid` stands twice.
    #[error("two of its keys have the same `kid`, or none; expected one of its own for each")]
    SameName,
}

/// A JWT that was read and not verified.
pub struct SignedJwt<'a> {
    text: &'a str,
    unverified: Unverified<'a>,
}

impl std::fmt::Debug for SignedJwt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignedJwt([redacted])")
    }
}

impl<'a> SignedJwt<'a> {
    /// Reads a compact JWS (RFC 7515 7.1).
    pub fn parse(text: &'a str) -> Result<Self, ProviderError> {
        let unverified = Unverified::parse(text)?;
        Ok(Self { text, unverified })
    }

    /// What it claims, to find out whose keys to verify it with. Compare it again after.
    pub fn claimed(&self, name: &str) -> Option<&str> {
        self.unverified.peek(name)
    }
}

impl PublishedKeys {
    /// The keys of a key set (RFC 7517).
    pub fn from_json(text: &str) -> Result<Self, NoKeys> {
        let keys = raw_keys(text)?;
        // RFC 7518 6.2.2, 6.3.2, 6.4.1: the members of private and symmetric keys.
        let is_private = |key: &Value| ["d", "k", "p"].iter().any(|name| key.get(name).is_some());
        if keys.iter().any(is_private) {
            return Err(NoKeys::Private);
        }
        let names: std::collections::BTreeSet<_> = keys
            .iter()
            .map(|key| key.get("kid").and_then(Value::as_str))
            .collect();
        if names.len() != keys.len() {
            return Err(NoKeys::SameName);
        }
        let keys: KeySet = serde_json::from_str(text).map_err(|_| NoKeys::NotASet)?;
        if keys.is_empty() {
            return Err(NoKeys::NoneUsable);
        }
        Ok(Self {
            source: Source::Given(keys),
        })
    }

    /// The keys at a `jwks_uri`, fetched when they are first needed.
    pub fn at(url: Url) -> Self {
        let source = Source::At {
            reach: Reach::of(&url),
            url,
            cached: Cached::empty(),
        };
        Self { source }
    }

    /// The claims of a JWT of one of these types (`typ`; one without is a `JWT`) that is signed with one of these keys, by
    /// one of these algorithms.
    pub async fn verify(
        &self,
        jwt: &SignedJwt<'_>,
        types: &[&str],
        algorithms: &[SigningAlgorithm],
        http: &Http,
        now: Timestamp,
    ) -> Result<Map<String, Value>, ProviderError> {
        let check = |keys: &KeySet| {
            let unverified = Unverified::parse(jwt.text)?;
            Ok(unverified.signed_by(algorithms, keys, types)?)
        };
        match &self.source {
            Source::Given(keys) => check(keys),
            Source::At { url, reach, cached } => {
                let fetch = async || http.json::<KeySet>(url, *reach).await;
                cached.verify(now, fetch, check).await
            }
        }
    }
}

fn raw_keys(text: &str) -> Result<Vec<Value>, NoKeys> {
    let StrictObject(mut set) = serde_json::from_str(text).map_err(|_| NoKeys::NotASet)?;
    match set.remove("keys") {
        Some(Value::Array(keys)) => Ok(keys),
        Some(_) | None => Err(NoKeys::NotASet),
    }
}

impl ProviderError {
    /// Whether it is the keys that could not be had, and not the token that is wrong.
    pub fn is_of_the_network(&self) -> bool {
        match self {
            Self::Unavailable
            | Self::RateLimited { .. }
            | Self::Timeout
            | Self::Unreachable(_)
            | Self::Forbidden(_)
            | Self::Answer(_) => true,
            Self::Cancelled
            | Self::Unmet
            | Self::Refused(_)
            | Self::Misconfigured(_)
            | Self::WrongTenant => false,
            Self::IdToken(fault) => match fault {
                TokenFault::Malformed
                | TokenFault::Header
                | TokenFault::Algorithm
                | TokenFault::UnknownKey
                | TokenFault::AmbiguousKey
                | TokenFault::Signature
                | TokenFault::Claim(_) => false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EC: &str = r#""kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;

    #[test]
    fn only_public_keys_that_can_be_told_apart_are_taken() {
        let read = |keys: &str| {
            let set = format!("{{\"keys\":[{keys}]}}");
            PublishedKeys::from_json(&set).map(drop)
        };
        assert_eq!(read(&format!("{{{EC}}}")), Ok(()));
        let two = format!("{{{EC},\"kid\":\"a\"}},{{{EC},\"kid\":\"b\"}}");
        assert_eq!(read(&two), Ok(()));
        for (keys, expected) in [
            (format!("{{{EC},\"d\":\"AAAA\"}}"), NoKeys::Private),
            (r#"{"kty":"oct","k":"AAAA"}"#.to_owned(), NoKeys::Private),
            (format!("{{{EC}}},{{{EC}}}"), NoKeys::SameName),
            (format!("{{{EC},\"use\":\"enc\"}}"), NoKeys::NoneUsable),
            (
                r#"{"kty":"EC","crv":"P-384"}"#.to_owned(),
                NoKeys::NoneUsable,
            ),
            (String::new(), NoKeys::NoneUsable),
            ("1".to_owned(), NoKeys::NoneUsable),
        ] {
            assert_eq!(read(&keys), Err(expected), "{keys}");
        }
        for text in ["", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[],\"keys\":[]}"] {
            let refused = PublishedKeys::from_json(text).map(drop);
            assert_eq!(refused, Err(NoKeys::NotASet), "{text}");
        }
    }
}
