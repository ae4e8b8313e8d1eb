//! Accounts, the identities that lead to them, and what registries say of their own: records with versions.

use countersign_core::{AccountId, Identity};

use super::link::{Link, reply_at};
use super::names::{Names, Range};
use super::record;
use super::reply::{Reply, corrupt, unexpected};
use super::script::{Call, Script};
use crate::{Account, RegistryAccount, RegistryAccountName, StoreError, Version};

/// The account of an identity: `fresh`, if nobody was earlier.
pub(super) async fn claim(
    link: &Link,
    names: &Names,
    identity: &Identity,
    fresh: &AccountId,
) -> Result<AccountId, StoreError> {
    let key = names.identity(identity);
    let call = Call {
        script: Script::Claim,
        keys: vec![key.clone()],
        arguments: vec![fresh.as_str().into()],
    };
    account_id(&key, &link.write(call).await?)?.ok_or_else(unexpected)
}

/// Lets an identity lead nowhere, if it leads to this account.
pub(super) async fn release(
    link: &Link,
    names: &Names,
    identity: &Identity,
    account: &AccountId,
) -> Result<(), StoreError> {
    let call = Call {
        script: Script::Release,
        keys: vec![names.identity(identity)],
        arguments: vec![account.as_str().into()],
    };
    match link.write(call).await?.word() {
        "released" => Ok(()),
        _ => Err(unexpected()),
    }
}

/// The account that an identity leads to.
pub(super) async fn of_identity(
    link: &Link,
    names: &Names,
    identity: &Identity,
) -> Result<Option<(Account, Version)>, StoreError> {
    let key = names.identity(identity);
    let mut question = redis::pipe();
    question.cmd("GET").arg(&key);
    let mut answers = link.read(&key, question).await?;
    match account_id(&key, &reply_at(&mut answers, 0)?)? {
        Some(id) => {
            let found = by_id(link, names, &id).await?;
            Ok(found.filter(|(account, _)| account.lists(identity)))
        }
        None => Ok(None),
    }
}

/// The account of that id.
pub(super) async fn by_id(
    link: &Link,
    names: &Names,
    id: &AccountId,
) -> Result<Option<(Account, Version)>, StoreError> {
    let found = record::find(link, &names.account(id)).await?;
    found.map(|found| owned(names, id, found)).transpose()
}

/// Writes a first record, unless there is one, and answers with the one in force.
pub(super) async fn put_if_absent(
    link: &Link,
    names: &Names,
    account: &Account,
) -> Result<(Account, Version), StoreError> {
    let keys = keys(names, &account.id).to_vec();
    let put = record::put(link, keys, (account, Version(1)), account.id.as_str()).await?;
    owned(names, &account.id, put)
}

/// Replaces a record that still has `version`.
pub(super) async fn replace(
    link: &Link,
    names: &Names,
    account: &Account,
    version: Version,
) -> Result<Version, StoreError> {
    record::replace(link, names.account(&account.id), account, version).await
}

/// Removes a record that still has `version`.
pub(super) async fn remove(
    link: &Link,
    names: &Names,
    id: &AccountId,
    version: Version,
) -> Result<(), StoreError> {
    record::remove(link, keys(names, id).to_vec(), id.as_str(), version).await
}

/// Accounts in the order of their ids, after `after`.
pub(super) async fn list(
    link: &Link,
    names: &Names,
    after: Option<&AccountId>,
    limit: usize,
) -> Result<Vec<Account>, StoreError> {
    let ranges = Range::all().filter(|range| after.is_none_or(|after| *range >= Range::of(after)));
    record::list(
        link,
        ranges.map(|range| names.accounts(range)),
        (after.map(AccountId::as_str), limit),
        |index, id| Ok(names.account(&parse_id(index, id)?)),
        |found: &Account| names.account(&found.id),
    )
    .await
}

/// What a registry says of the account of that name.
pub(super) async fn of_registry(
    link: &Link,
    names: &Names,
    name: &RegistryAccountName,
) -> Result<Option<(RegistryAccount, Version)>, StoreError> {
    let found = record::find(link, &names.registry_account(name)).await?;
    found.map(|found| named(names, name, found)).transpose()
}

/// Writes a registry account's first record, unless there is one, and answers with the one in force.
pub(super) async fn put_registry_if_absent(
    link: &Link,
    names: &Names,
    record: &RegistryAccount,
) -> Result<(RegistryAccount, Version), StoreError> {
    let keys = vec![names.registry_account(&record.name)];
    let put = record::put(link, keys, (record, Version(1)), "").await?;
    named(names, &record.name, put)
}

/// Replaces a registry account's record that still has `version`.
pub(super) async fn replace_registry(
    link: &Link,
    names: &Names,
    record: &RegistryAccount,
    version: Version,
) -> Result<Version, StoreError> {
    record::replace(link, names.registry_account(&record.name), record, version).await
}

/// Removes a registry account's record that still has `version`.
pub(super) async fn remove_registry(
    link: &Link,
    names: &Names,
    name: &RegistryAccountName,
    version: Version,
) -> Result<(), StoreError> {
    record::remove(link, vec![names.registry_account(name)], "", version).await
}

/// An account, and the index that it stands in.
fn keys(names: &Names, id: &AccountId) -> [String; 2] {
    [names.account(id), names.accounts(Range::of(id))]
}

fn owned(
    names: &Names,
    id: &AccountId,
    found: (Account, Version),
) -> Result<(Account, Version), StoreError> {
    if found.0.id == *id {
        Ok(found)
    } else {
        Err(corrupt(
            &names.account(id),
            "it is the record of another account",
        ))
    }
}

fn named(
    names: &Names,
    name: &RegistryAccountName,
    found: (RegistryAccount, Version),
) -> Result<(RegistryAccount, Version), StoreError> {
    if found.0.name == *name {
        Ok(found)
    } else {
        let key = names.registry_account(name);
        Err(corrupt(&key, "it is the record of another"))
    }
}

fn account_id(key: &str, reply: &Reply) -> Result<Option<AccountId>, StoreError> {
    reply.piece(0).map(|id| parse_id(key, id)).transpose()
}

fn parse_id(key: &str, bytes: &[u8]) -> Result<AccountId, StoreError> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    AccountId::new(text).map_err(|error| corrupt(key, &error.to_string()))
}
