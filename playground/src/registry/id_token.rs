//! Whether an ID token is the broker's answer to this sign-in: OpenID Connect Core 3.1.3.7.
//!
//! Countersign's verifier is for access tokens, and a frontend would use an OpenID Connect
//! library; this is what such a library does, in one place to read. Pure: keys and time are
//! arguments.
//! <https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation>

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use super::trouble::Trouble;

/// How far the broker's clock may be off, in seconds.
const LEEWAY: i64 = 30;

/// What an ID token says, once it has been verified.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct IdToken {
    pub(super) sub: String,
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
    /// A list here would be another party's token too, and does not parse.
    #[expect(
        dead_code,
        reason = "read to hold it to one text; its value is checked with the signature"
    )]
    aud: String,
    azp: Option<String>,
    exp: i64,
    iat: i64,
    nonce: Option<String>,
    at_hash: Option<String>,
}

/// What it is held to.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    pub(super) access_token: &'a str,
    pub(super) now: Timestamp,
}

/// Verifies an ID token.
pub(super) fn verify(
    raw: &str,
    keys: &JwkSet,
    expected: &Expected<'_>,
) -> Result<IdToken, Trouble> {
    let header = decode_header(raw).map_err(|_| Trouble::Token("its header can't be read"))?;
    let kid = header.kid.ok_or(Trouble::Token("it names no key"))?;
    let key = keys
        .find(&kid)
        .ok_or(Trouble::Token("it names a key that is not the broker's"))?;
    let key = DecodingKey::from_jwk(key).map_err(|_| Trouble::Token("its key can't be used"))?;
    let token = decode::<IdToken>(raw, &key, &rules(expected));
    let token = token
        .map_err(|_| Trouble::Token("signature, `iss` or `aud`"))?
        .claims;
    check(token, expected)
}

/// 3.1.3.7 (2), (3), (6) and (7): `alg` is the one we are registered with, whatever the token says.
fn rules(expected: &Expected<'_>) -> Validation {
    let mut rules = Validation::new(Algorithm::RS256);
    rules.set_issuer(&[expected.issuer]);
    rules.set_audience(&[expected.client_id]);
    rules.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
    // The time is ours to tell: see `check`.
    rules.validate_exp = false;
    rules
}

fn check(token: IdToken, expected: &Expected<'_>) -> Result<IdToken, Trouble> {
    let now = expected.now.as_second();
    let hash = at_hash(expected.access_token);
    let rules = [
        // (5)
        (
            token
                .azp
                .as_deref()
                .is_none_or(|azp| azp == expected.client_id),
            "`azp`",
        ),
        // (9), (10)
        (now < token.exp.saturating_add(LEEWAY), "`exp`"),
        (token.iat <= now.saturating_add(LEEWAY), "`iat`"),
        // (11)
        (token.nonce.as_deref() == Some(expected.nonce), "`nonce`"),
        // 3.1.3.8
        (
            token.at_hash.as_deref().is_none_or(|found| found == hash),
            "`at_hash`",
        ),
    ];
    match rules.iter().find(|(holds, _)| !holds) {
        None => Ok(token),
        Some((_, claim)) => Err(Trouble::Token(claim)),
    }
}

/// Core 3.1.3.6: the left half of the hash that RS256 uses.
fn at_hash(access_token: &str) -> String {
    let hash = digest::digest(&digest::SHA256, access_token.as_bytes());
    let (left, _) = hash.as_ref().split_at(hash.as_ref().len() / 2);
    URL_SAFE_NO_PAD.encode(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_790_000_000).unwrap()
    }

    fn token() -> IdToken {
        IdToken {
            sub: "acct_1".to_owned(),
            name: None,
            email: None,
            aud: "gallery".to_owned(),
            azp: Some("gallery".to_owned()),
            exp: 1_790_000_600,
            iat: 1_790_000_000,
            nonce: Some("n".to_owned()),
            at_hash: Some(at_hash("access")),
        }
    }

    fn fault(token: IdToken) -> Option<&'static str> {
        let expected = Expected {
            issuer: "http://127.0.0.1:8470",
            client_id: "gallery",
            nonce: "n",
            access_token: "access",
            now: now(),
        };
        match check(token, &expected) {
            Ok(_) => None,
            Err(Trouble::Token(claim)) => Some(claim),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn each_claim_is_held_to_this_sign_in() {
        assert_eq!(fault(token()), None);
        assert_eq!(
            fault(IdToken {
                azp: Some("other".to_owned()),
                ..token()
            }),
            Some("`azp`")
        );
        assert_eq!(
            fault(IdToken {
                exp: 1_789_999_970,
                ..token()
            }),
            Some("`exp`")
        );
        assert_eq!(
            fault(IdToken {
                iat: 1_790_000_031,
                ..token()
            }),
            Some("`iat`")
        );
        assert_eq!(
            fault(IdToken {
                nonce: None,
                ..token()
            }),
            Some("`nonce`")
        );
        assert_eq!(
            fault(IdToken {
                nonce: Some("m".to_owned()),
                ..token()
            }),
            Some("`nonce`")
        );
        assert_eq!(
            fault(IdToken {
                at_hash: Some("x".to_owned()),
                ..token()
            }),
            Some("`at_hash`")
        );
    }

    #[test]
    fn a_token_that_names_no_known_key_is_refused() {
        let expected = Expected {
            issuer: "http://127.0.0.1:8470",
            client_id: "gallery",
            nonce: "n",
            access_token: "access",
            now: now(),
        };
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"k"}"#);
        let keys = JwkSet { keys: Vec::new() };
        for raw in ["", "a.b.c", &format!("{header}.e30.AA")] {
            assert!(verify(raw, &keys, &expected).is_err(), "`{raw}` was taken");
        }
    }
}
