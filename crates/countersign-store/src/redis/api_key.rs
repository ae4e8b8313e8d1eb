//! API keys, by their ids and by their owners.
//!
//! A key stands in two slots: its own, and its owner's index. The index is written first and cleared last, so that no key
//! is ever missing from it; what it leads to in vain is left out.

use countersign_core::ApiKeyId;

use super::link::Link;
use super::names::{KeyRange, Names};
use super::record;
use super::reply::{corrupt, unexpected};
use super::script::{Call, Script};
use crate::{ApiKey, KeyOwner, StoreError, Version};

/// The key of that id.
pub(super) async fn by_id(
    link: &Link,
    names: &Names,
    id: &ApiKeyId,
) -> Result<Option<(ApiKey, Version)>, StoreError> {
    let found = record::find(link, &names.api_key(id)).await?;
    found.map(|found| own(names, id, found)).transpose()
}

/// Writes a first record, unless there is one, and answers with the one in force.
pub(super) async fn put_if_absent(
    link: &Link,
    names: &Names,
    key: &ApiKey,
) -> Result<(ApiKey, Version), StoreError> {
    point(link, names, Script::SetSignpost, key).await?;
    let keys = keys(names, &key.id).into();
    let put = record::put(link, keys, (key, Version(1)), key.id.as_str()).await?;
    own(names, &key.id, put)
}

/// Replaces a record that still has `version`.
pub(super) async fn replace(
    link: &Link,
    names: &Names,
    key: &ApiKey,
    version: Version,
) -> Result<Version, StoreError> {
    record::replace(link, names.api_key(&key.id), key, version).await
}

/// Removes a record that still has `version`.
pub(super) async fn remove(
    link: &Link,
    names: &Names,
    key: &ApiKey,
    version: Version,
) -> Result<(), StoreError> {
    let keys = keys(names, &key.id).to_vec();
    record::remove(link, keys, key.id.as_str(), version).await?;
    point(link, names, Script::Remove, key).await
}

/// Keys in the order of their ids, after `after`.
pub(super) async fn list(
    link: &Link,
    names: &Names,
    after: Option<&ApiKeyId>,
    limit: usize,
) -> Result<Vec<ApiKey>, StoreError> {
    let ranges =
        KeyRange::all().filter(|range| after.is_none_or(|after| *range >= KeyRange::of(after)));
    let indexes = ranges.map(|range| names.api_keys(range));
    in_indexes(link, names, indexes, after, limit).await
}

/// The keys of an owner in the order of their ids, after `after`.
pub(super) async fn of(
    link: &Link,
    names: &Names,
    owner: &KeyOwner,
    after: Option<&ApiKeyId>,
    limit: usize,
) -> Result<Vec<ApiKey>, StoreError> {
    let index = || std::iter::once(names.api_keys_of(owner));
    let mut listed = Vec::new();
    let mut after = after.cloned();
    while listed.len() < limit {
        let wanted = limit - listed.len();
        let page = in_indexes(link, names, index(), after.as_ref(), wanted).await?;
        let is_last = page.len() < wanted;
        after = page.last().map(|key| key.id.clone());
        // Whoever was first to bring a key in has it.
        listed.extend(page.into_iter().filter(|key| key.owner == *owner));
        if is_last {
            break;
        }
    }
    Ok(listed)
}

/// The keys that stand in these indexes.
async fn in_indexes(
    link: &Link,
    names: &Names,
    indexes: impl Iterator<Item = String>,
    after: Option<&ApiKeyId>,
    limit: usize,
) -> Result<Vec<ApiKey>, StoreError> {
    record::list(
        link,
        indexes,
        (after.map(ApiKeyId::as_str), limit),
        |index, id| Ok(names.api_key(&parse_id(index, id)?)),
        |found: &ApiKey| names.api_key(&found.id),
    )
    .await
}

/// Lets the owner's index name a key, or name it no more.
async fn point(link: &Link, names: &Names, script: Script, key: &ApiKey) -> Result<(), StoreError> {
    let call = Call {
        script,
        keys: vec![names.api_keys_of(&key.owner)],
        arguments: vec![key.id.as_str().into()],
    };
    match link.write(call).await?.word() {
        "done" => Ok(()),
        _ => Err(unexpected()),
    }
}

/// The record, and the index that it stands in: both in one slot.
fn keys(names: &Names, id: &ApiKeyId) -> [String; 2] {
    [names.api_key(id), names.api_keys(KeyRange::of(id))]
}

fn own(
    names: &Names,
    id: &ApiKeyId,
    found: (ApiKey, Version),
) -> Result<(ApiKey, Version), StoreError> {
    if found.0.id == *id {
        Ok(found)
    } else {
        let key = names.api_key(id);
        Err(corrupt(&key, "it is the record of another API key"))
    }
}

fn parse_id(key: &str, bytes: &[u8]) -> Result<ApiKeyId, StoreError> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    ApiKeyId::new(text).map_err(|error| corrupt(key, &error.to_string()))
}
