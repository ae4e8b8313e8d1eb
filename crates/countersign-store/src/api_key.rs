//! API keys: what is remembered of each, and whose they are. The key itself is never kept.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use countersign_core::api_keys::{KeyFacts, PackagePattern};
use countersign_core::{ApiKeyId, Basis, ClientId, Identity, Level, Login, OrganizationId, Scope};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

use crate::organization::Admin;
use crate::{Account, Store, StoreError, Version, admins};

/// How many API keys are read at once where all are wanted.
pub const KEYS_AT_ONCE: usize = 200;
/// How often is begun anew when others write to the same key meanwhile.
const TRIES: usize = 16;

/// Whose a key is: an account here, or one at the registry whose owner may not have been seen here. Named as an
/// organisation's admin is.
pub type KeyOwner = Admin;

/// An API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its name, made of its digest.
    pub id: ApiKeyId,
    /// SHA-256 of it.
    pub digest: KeyDigest,
    /// Whose it is.
    pub owner: KeyOwner,
    /// What its owner calls it.
    pub name: String,
    /// The client that it is for, and no other.
    pub client: ClientId,
    /// What it is for.
    pub scopes: BTreeSet<Scope>,
    /// The packages that it is for; without any, all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub packages: BTreeSet<PackagePattern>,
    /// The organisation that is acted for with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<OrganizationId>,
    /// How it came to be.
    pub made_by: MadeBy,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it was imported, where it was: its age counts from then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported_at: Option<Timestamp>,
    /// When it ends, whatever the policy says later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The login that it was made under; none of one that was imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under: Option<MadeUnder>,
    /// When its owner was first told of its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_notice_at: Option<Timestamp>,
    /// The end that they were told of last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_end: Option<Timestamp>,
    /// The end that an operator has set for it, which waits for notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_end: Option<Timestamp>,
    /// The day, in UTC, on which it was last used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_on: Option<Date>,
    /// Since when it is revoked. It stays until it would have ended, so that no import brings it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

impl ApiKey {
    /// What decides on its end.
    pub fn facts(&self) -> KeyFacts {
        KeyFacts {
            made_at: self.imported_at.unwrap_or(self.made_at),
            basis: self.under.as_ref().and_then(|under| under.basis),
            first_notice_at: self.first_notice_at,
            told_end: self.told_end,
            set_end: self.set_end,
        }
    }
}

/// How a key came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MadeBy {
    /// On a page of ours.
    Page,
    /// By the API.
    Api,
    /// By a registry's tool.
    Tool,
    /// By the registry, before it had Countersign: nothing is known of how.
    Imported,
}

impl MadeBy {
    /// The name in the store, the API and lists.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Api => "api",
            Self::Tool => "tool",
            Self::Imported => "imported",
        }
    }
}

/// The login that a key was made under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeUnder {
    /// The identity that signed in.
    pub identity: Identity,
    /// What the login proved, without who it was.
    pub login: Login,
    /// The level that the policy found in it then.
    pub level: Level,
    /// The basis of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
}

/// SHA-256 of a key. It is not shown.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyDigest(pub [u8; 32]);

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A text that is no digest of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected `sha256:` and 64 lower-case hexadecimal digits")]
pub struct NotADigest;

impl FromStr for KeyDigest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let digits = text.strip_prefix("sha256:").ok_or(NotADigest)?;
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if digits.len() != 64 || !digits.bytes().all(is_digit) {
            return Err(NotADigest);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| NotADigest)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NotADigest)?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for KeyDigest {
    type Error = NotADigest;

    fn try_from(text: String) -> Result<Self, NotADigest> {
        text.parse()
    }
}

impl From<KeyDigest> for String {
    fn from(digest: KeyDigest) -> Self {
        let digits = digest.0.iter().map(|byte| format!("{byte:02x}"));
        std::iter::once("sha256:".to_owned())
            .chain(digits)
            .collect()
    }
}

/// A key as its owner may have it: without what it is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithoutDigest(pub ApiKey);

impl Serialize for WithoutDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut value = serde_json::to_value(&self.0).map_err(serde::ser::Error::custom)?;
        if let Some(fields) = value.as_object_mut() {
            fields.remove("digest");
        }
        value.serialize(serializer)
    }
}

/// All keys of a person: those of the account, and those that were imported for the account at the registry that is theirs.
///
/// # Errors
///
/// Failures of the store.
pub async fn all_keys_of(store: &dyn Store, account: &Account) -> Result<Vec<ApiKey>, StoreError> {
    let mut keys: Vec<ApiKey> = Vec::new();
    for owner in admins(account) {
        let mut after = None;
        loop {
            let page = store
                .api_keys_of(&owner, after.as_ref(), KEYS_AT_ONCE)
                .await?;
            let is_last = page.len() < KEYS_AT_ONCE;
            after = page.last().map(|key| key.id.clone());
            keys.extend(page);
            if is_last {
                break;
            }
        }
    }
    Ok(keys)
}

/// Changes what is kept of a key, whoever writes to it meanwhile: `change` says what it becomes, or that nothing is to change.
/// Answers with the record that is in force then, and whether it is a changed one; `None` where there is no such key.
///
/// # Errors
///
/// Failures of the store, or [`StoreError::Conflict`] where others never leave a gap.
pub async fn change_api_key(
    store: &dyn Store,
    id: &ApiKeyId,
    change: impl Fn(&ApiKey) -> Option<ApiKey>,
) -> Result<Option<(ApiKey, Changed)>, StoreError> {
    for _ in 0..TRIES {
        let Some((key, version)) = store.api_key(id).await? else {
            return Ok(None);
        };
        let Some(changed) = change(&key) else {
            return Ok(Some((key, Changed::No)));
        };
        match store.replace_api_key(changed.clone(), version).await {
            Ok(Version(_)) => return Ok(Some((changed, Changed::Yes))),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Conflict)
}

/// Whether a record was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It was.
    Yes,
    /// There was nothing to change.
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_one_spelling_and_is_not_shown() {
        let text = format!("sha256:{}", "0f".repeat(32));
        let digest: KeyDigest = text.parse().unwrap();
        assert_eq!(String::from(digest), text);
        assert_eq!(format!("{digest:?}"), "[redacted]");
        for wrong in [
            "",
            "sha256:",
            &"0f".repeat(32),
            &text.to_uppercase(),
            &text[..69],
        ] {
            assert_eq!(wrong.parse::<KeyDigest>(), Err(NotADigest), "{wrong}");
        }
        // A sign is no digit, though a number may have one.
        let signed = format!("sha256:{}", "+f".repeat(32));
        assert_eq!(signed.parse::<KeyDigest>(), Err(NotADigest));
    }
}
