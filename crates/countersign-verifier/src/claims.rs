//! What a Countersign access token says, in one place: the broker mints from these types and a
//! registry service reads them.
//!
//! Plain data. Holding a [`Claims`] proves nothing; only [`AccessToken`](crate::AccessToken) does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::json::present;

/// The claims of an access token.
///
/// RFC 9068, section 2.2: <https://www.rfc-editor.org/rfc/rfc9068#section-2.2>. Claims that are
/// not listed here are ignored, so that a newer broker can add some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The broker's issuer URL, exactly as its metadata says it.
    pub iss: String,
    /// The account, stable and never reused (`acct_…`), or the workload.
    pub sub: String,
    /// The one resource the token is for. Written as a string; an array of one is read too.
    #[serde(deserialize_with = "sole_audience")]
    pub aud: String,
    /// The client that the token was issued to.
    pub client_id: String,
    /// What the token may be used for. Absent in JSON when empty.
    #[serde(default, skip_serializing_if = "Scope::is_empty")]
    pub scope: Scope,
    /// How the login was authenticated, `urn:countersign:…`, `phr` or `phrh`. Workloads have none.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub acr: Option<String>,
    /// The provider's methods (RFC 8176), `mfa` among them only when this very login showed it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// When the provider authenticated the person, in Unix seconds. The provider's word, or absent.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub auth_time: Option<i64>,
    /// The broker's session, the one that a back-channel logout names.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub sid: Option<String>,
    /// This token, for logs and revocation.
    pub jti: String,
    /// Issued at, in Unix seconds.
    pub iat: i64,
    /// Not to be accepted at or after this, in Unix seconds.
    pub exp: i64,
    /// The key that the token is bound to (RFC 9449, section 6.1): who presents it must show that key.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub cnf: Option<Confirmation>,
    /// Who acts for the person, where a service has exchanged a token for this one (RFC 8693, section 4.1).
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub act: Option<Actor>,
    /// What the broker knows about the evidence behind the login.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub countersign: Option<CountersignClaim>,
}

/// The `cnf` claim (RFC 7800): by what the holder of a token is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// The thumbprint of a key (RFC 7638) that proofs are made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jkt: Option<String>,
    /// Another way, of which this crate knows nothing: such a token is refused.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl Confirmation {
    /// By the key with this thumbprint.
    pub fn of_key(thumbprint: &str) -> Self {
        Self {
            jkt: Some(thumbprint.to_owned()),
            other: serde_json::Map::new(),
        }
    }
}

/// The `act` claim (RFC 8693, section 4.1): a client, and whoever acted before it. For the log; nothing
/// is allowed or refused for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The `client_id`.
    pub sub: String,
    /// Who acted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Actor>>,
}

/// The `countersign` claim: where the assurance of the login comes from.
///
/// For display and for audit. Its words are strings and not enums, so that a newer broker's token
/// is still read by an older service; a service that decides by them must treat a word it does not
/// know as a no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountersignClaim {
    /// The configured provider that the person signed in at.
    pub provider: String,
    /// The provider's tenant (Entra: `tid`, lower-case GUID).
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub tenant: Option<String>,
    /// `none`, `mfa`, `phishing-resistant` or `unknown`.
    pub level: String,
    /// `session`, `enrolment` or `tenant`; absent where there is nothing to stand on.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub basis: Option<String>,
    /// What proved it, such as `acrs:c1` or `amr:mfa`.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub proof: Option<String>,
    /// The registry organisations that the token may be used for. Absent in JSON when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub organizations: Vec<String>,
    /// Through whom the person belongs to them, where it is not the `tenant`: `github:HOST:NUMBER`, `issuer:URL`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub through: BTreeMap<String, String>,
    /// The person's roles in them, by the registry's own names, as far as groups and app roles of the tenant say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, BTreeSet<String>>,
    /// The day (`YYYY-MM-DD`, UTC) from which this account needs MFA, while it is still let in
    /// without.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub mfa_due: Option<String>,
    /// The exception that this token rests on.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub waiver: Option<String>,
    /// What the token belongs to where it can be refreshed: all tokens of a grant end together.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub grant: Option<String>,
}

/// A set of scopes; one space-separated string in JSON, in alphabetical order.
///
/// RFC 6749, section 3.3: <https://www.rfc-editor.org/rfc/rfc6749#section-3.3>
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope(BTreeSet<String>);

/// A scope string that RFC 6749's grammar does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a list of scopes separated by single spaces")]
pub struct ScopeError;

impl Scope {
    /// Whether `scope` is in the set. Scopes compare exactly; there are no wildcards.
    pub fn contains(&self, scope: &str) -> bool {
        self.0.contains(scope)
    }

    /// Whether there is no scope at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        text.split(' ')
            .map(|token| {
                is_scope_token(token)
                    .then(|| token.to_owned())
                    .ok_or(ScopeError)
            })
            .collect::<Result<_, _>>()
            .map(Scope)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, scope) in self.0.iter().enumerate() {
            let gap = if place == 0 { "" } else { " " };
            write!(f, "{gap}{scope}")?;
        }
        Ok(())
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// RFC 6749, section 3.3: `1*( %x21 / %x23-5B / %x5D-7E )`.
fn is_scope_token(token: &str) -> bool {
    !token.is_empty()
        && token
            .bytes()
            .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// RFC 9068, section 3: each resource has an `aud` of its own. A token that other resources
/// accept as well could be taken from one and used at the other, so a second audience is refused.
/// <https://www.rfc-editor.org/rfc/rfc9068#section-3>
fn sole_audience<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    match Audience::deserialize(deserializer)? {
        Audience::One(audience) => Ok(audience),
        Audience::Many(many) => <[String; 1]>::try_from(many)
            .map(|[audience]| audience)
            .map_err(|_| de::Error::custom("`aud` must name exactly one audience")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_smallest_token_is_written_without_empty_members() {
        let claims = Claims {
            iss: "https://login.example".into(),
            sub: "repo:contoso/app".into(),
            aud: "https://registry.example".into(),
            client_id: "ci".into(),
            scope: Scope::default(),
            acr: None,
            amr: vec![],
            auth_time: None,
            sid: None,
            cnf: None,
            act: None,
            jti: "j1".into(),
            iat: 1,
            exp: 2,
            countersign: None,
        };
        assert_eq!(
            serde_json::to_value(&claims).unwrap(),
            json!({
                "iss": "https://login.example", "sub": "repo:contoso/app",
                "aud": "https://registry.example", "client_id": "ci", "jti": "j1", "iat": 1, "exp": 2,
            })
        );
    }

    #[test]
    fn the_contract_s_example_survives_reading_and_writing() {
        let example = json!({
            "iss": "https://login.example.org", "sub": "acct_01J",
            "aud": "https://registry.example.org", "client_id": "gallery",
            "scope": "packages:manage", "acr": "urn:countersign:mfa-attested", "amr": ["pwd"],
            "auth_time": 1_790_000_000, "sid": "sess_1", "jti": "t1",
            "iat": 1_790_000_010, "exp": 1_790_000_610,
            "countersign": {
                "provider": "contoso-entra", "tenant": "6e93a626-0000-4000-8000-000000000001",
                "level": "mfa", "basis": "tenant", "proof": "acrs:c1", "organizations": ["contoso"],
                "mfa_due": "2027-05-08", "waiver": "contoso-2027",
            },
        });
        let claims: Claims = serde_json::from_value(example.clone()).unwrap();
        assert_eq!(serde_json::to_value(&claims).unwrap(), example);
    }

    #[test]
    fn a_scope_is_tokens_with_single_spaces_between() {
        let scope: Scope = "packages:publish openid".parse().unwrap();
        assert_eq!(scope.to_string(), "openid packages:publish");
        assert!(scope.contains("openid") && !scope.contains("packages"));
        for bad in ["", " ", "a  b", " a", "a ", "a\tb", "a\"b", "a\\b", "é"] {
            assert_eq!(bad.parse::<Scope>(), Err(ScopeError), "{bad:?}");
        }
    }
}
