//! API keys that the registry made before it had Countersign: known by their digests, and by nothing of a sign-in.

use std::collections::BTreeSet;

use countersign_core::api_keys::PackagePattern;
use countersign_core::{ClientId, Scope};
use countersign_store::{Admin, ApiKey, KeyDigest, MadeBy, RegistryAccountName, Store, StoreError};
use jiff::Timestamp;
use serde::Deserialize;

use super::id_of;

/// A key as the registry tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportedKey {
    /// `sha256:` and the digest of it.
    pub digest: KeyDigest,
    /// The registry's own name of the account whose it is.
    pub account: RegistryAccountName,
    /// When it was made.
    pub made_at: Timestamp,
    /// What its owner calls it.
    pub name: String,
    /// The client that it is for.
    pub client: ClientId,
    /// What it is for.
    pub scopes: BTreeSet<Scope>,
    /// The packages that it is for; without any, all.
    #[serde(default)]
    pub packages: BTreeSet<PackagePattern>,
    /// When it ends at the registry.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is known from now on.
    Imported,
    /// It was known before, or is revoked: it stays as it is.
    Known,
}

/// Keeps a key, made without any context of a sign-in, unless it is known already: importing the same list again changes nothing.
///
/// # Errors
///
/// Failures of the store.
pub async fn import(
    store: &dyn Store,
    key: ImportedKey,
    now: Timestamp,
) -> Result<Outcome, StoreError> {
    let id = id_of(&key.digest);
    if store.api_key(&id).await?.is_some() {
        return Ok(Outcome::Known);
    }
    let record = ApiKey {
        id,
        digest: key.digest,
        owner: Admin::RegistryAccount(key.account),
        name: super::name_of(&key.name).unwrap_or_else(|| "imported".to_owned()),
        client: key.client,
        scopes: key.scopes,
        packages: key.packages,
        organization: None,
        made_by: MadeBy::Imported,
        made_at: key.made_at.min(now),
        imported_at: Some(now),
        expires_at: key.expires_at,
        under: None,
        first_notice_at: None,
        told_end: None,
        set_end: None,
        last_used_on: None,
        revoked_at: None,
    };
    let (kept, _) = store.put_api_key_if_absent(record.clone()).await?;
    Ok(if kept == record {
        Outcome::Imported
    } else {
        Outcome::Known
    })
}
