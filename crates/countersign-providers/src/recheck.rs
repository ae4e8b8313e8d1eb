//! What a provider is asked again with, about a login that it has vouched for; and what it then says.
//!
//! Only where the configuration says `recheck` is anything of this kept. It is a secret: whoever keeps it seals it.

use std::fmt;

use countersign_core::Evidence;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ProviderError;
use crate::id_token::TokenFault;
use crate::token_endpoint::Tokens;

/// The longest token that is kept, in bytes. Entra's refresh tokens are one to two KiB.
const LONGEST: usize = 16 * 1024;

/// The scope that a refresh token is given for (OpenID Connect Core 11).
pub(crate) const OFFLINE_ACCESS: &str = "offline_access";

/// What a login came to: what it proved, and what to ask the provider again with.
#[derive(Debug)]
pub struct Fetched {
    /// What it proved.
    pub evidence: Evidence,
    /// Nothing where the provider is not to be asked again, or gave nothing to do it with.
    pub token: Option<ProviderToken>,
}

/// What a provider says when it is asked again.
#[derive(Debug)]
pub struct AskedAgain {
    /// What to ask it with from now on, if that is another than before: keep it, whatever else it said.
    pub next: Option<ProviderToken>,
    /// What it says of the login now. See [`ProviderError::is_no`].
    pub found: Result<Evidence, ProviderError>,
}

/// What a provider is asked again with. A secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderToken(pub(crate) Kept);

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kept {
    /// OpenID Connect: a new ID token comes for it (Core 12).
    Refresh(Refresh),
    /// GitHub: its API answers to it.
    Access(Access),
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refresh {
    pub(crate) token: String,
    /// Of the login's request.
    pub(crate) nonce: String,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Access {
    pub(crate) token: String,
    /// When it ends, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ends_at: Option<Timestamp>,
    /// What it is then renewed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refresh_token: Option<String>,
}

impl fmt::Debug for ProviderToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl AskedAgain {
    /// The token is what it was.
    pub(crate) fn with(found: Result<Evidence, ProviderError>) -> Self {
        Self { next: None, found }
    }
}

/// What to ask with where it is of another kind of provider: a configuration that gave a name to another.
pub(crate) fn of_another_kind() -> AskedAgain {
    AskedAgain::with(Err(ProviderError::Refused(crate::error::BAD_CREDENTIALS)))
}

impl Refresh {
    /// The refresh token that came with the ID token of a login.
    pub(crate) fn of_login(tokens: &Tokens, nonce: &str) -> Option<ProviderToken> {
        Some(ProviderToken(Kept::Refresh(Self {
            token: refresh_token(tokens)?,
            nonce: nonce.to_owned(),
        })))
    }

    /// The one that takes its place, if one came.
    pub(crate) fn next(&self, tokens: &Tokens) -> Option<ProviderToken> {
        Some(ProviderToken(Kept::Refresh(Self {
            token: refresh_token(tokens)?,
            ..self.clone()
        })))
    }
}

/// OpenID Connect Core 12.2: `auth_time` is that of the login. `iss` and `sub` are compared with the identity.
///
/// Some providers (Keycloak) move it on when the person signs in to them again. That is no harm: what our tokens
/// say is what the login said. One from before the login is of another login.
pub(crate) fn check_auth_time(before: &Evidence, fresh: &Evidence) -> Result<(), TokenFault> {
    let times = (&before.claims.auth_time, &fresh.claims.auth_time);
    match (times.0.value(), times.1.value()) {
        (Some(before), Some(fresh)) if fresh < before => Err(TokenFault::Claim("auth_time")),
        (_, _) => Ok(()),
    }
}

impl Access {
    pub(crate) fn of(tokens: &Tokens, now: Timestamp) -> Option<Self> {
        let token = tokens.access_token.secret().clone();
        let lifetime = tokens.expires_in.as_ref().and_then(seconds);
        (token.len() <= LONGEST).then(|| Self {
            token,
            ends_at: lifetime.and_then(|lifetime| now.checked_add(lifetime).ok()),
            refresh_token: refresh_token(tokens),
        })
    }

    /// What to renew it with, if it has ended.
    pub(crate) fn is_to_be_renewed(&self, now: Timestamp) -> Option<&str> {
        let has_ended = self.ends_at.is_some_and(|end| end <= now + MARGIN);
        self.refresh_token.as_deref().filter(|_| has_ended)
    }
}

/// So long before its end a token counts as ended.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);

fn seconds(value: &serde_json::Value) -> Option<SignedDuration> {
    let number = value.as_i64().or_else(|| value.as_str()?.parse().ok())?;
    (number > 0).then(|| SignedDuration::from_secs(number))
}

fn refresh_token(tokens: &Tokens) -> Option<String> {
    let token = tokens.refresh_token.as_ref()?.secret();
    (1..=LONGEST).contains(&token.len()).then(|| token.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(value: serde_json::Value) -> Access {
        let tokens: Tokens = serde_json::from_value(value).unwrap();
        Access::of(&tokens, Timestamp::UNIX_EPOCH).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_token_is_never_shown() {
        let token = ProviderToken(Kept::Access(access(serde_json::json!({
            "access_token": "gho_secret", "token_type": "bearer", "refresh_token": "ghr_secret",
        }))));
        assert_eq!(format!("{token:?}"), "[redacted]");
        let asked = AskedAgain {
            next: Some(token),
            found: Err(ProviderError::Unavailable),
        };
        assert!(!format!("{asked:?}").contains("secret"));
    }

    #[test]
    fn an_access_token_is_renewed_when_it_ends_and_if_it_can_be() {
        let ends = |lifetime: serde_json::Value| {
            access(serde_json::json!({
                "access_token": "a", "token_type": "bearer", "refresh_token": "r", "expires_in": lifetime,
            }))
        };
        for lifetime in [serde_json::json!(28_800), serde_json::json!("28800")] {
            assert_eq!(ends(lifetime.clone()).is_to_be_renewed(at(28_700)), None);
            assert_eq!(ends(lifetime).is_to_be_renewed(at(28_740)), Some("r"));
        }
        for lasting in [
            serde_json::json!(null),
            serde_json::json!(-1),
            serde_json::json!("soon"),
        ] {
            assert_eq!(ends(lasting).is_to_be_renewed(at(1_000_000)), None);
        }
        let lost = access(serde_json::json!({
            "access_token": "a", "token_type": "bearer", "expires_in": 1,
        }));
        assert_eq!(lost.is_to_be_renewed(at(1_000_000)), None);
    }

    #[test]
    fn an_empty_refresh_token_is_none() {
        let tokens = |refresh_token: &str| -> Tokens {
            let value = serde_json::json!({
                "access_token": "a", "token_type": "bearer", "refresh_token": refresh_token,
            });
            serde_json::from_value(value).unwrap()
        };
        assert_eq!(refresh_token(&tokens("")), None);
        assert_eq!(refresh_token(&tokens(&"r".repeat(LONGEST + 1))), None);
        assert_eq!(refresh_token(&tokens("r")).as_deref(), Some("r"));
    }
}
