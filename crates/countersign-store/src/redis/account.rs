//! Accounts, the identities that lead to them, and what registries say of their own: records with versions.

use countersign_core::{AccountId, Identity};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::link::{Link, reply_at};
use super::names::{Names, Range};
use super::reply::{Reply, corrupt, from_json, to_json, unexpected};
use super::script::{Call, Script};
use crate::{Account, RegistryAccount, RegistryAccountName, StoreError, Version};

/// How many ranges of ids are looked through at once.
const RANGES_AT_ONCE: usize = 32;
/// How many accounts are read at once.
const ACCOUNTS_AT_ONCE: usize = 200;

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
        Some(id) => by_id(link, names, &id).await,
        None => Ok(None),
    }
}

/// The account of that id.
pub(super) async fn by_id(
    link: &Link,
    names: &Names,
    id: &AccountId,
) -> Result<Option<(Account, Version)>, StoreError> {
    let found = find(link, &names.account(id)).await?;
    found.map(|found| owned(names, id, found)).transpose()
}

/// Writes a first record, unless there is one, and answers with the one in force.
pub(super) async fn put_if_absent(
    link: &Link,
    names: &Names,
    account: &Account,
) -> Result<(Account, Version), StoreError> {
    let keys = vec![
        names.account(&account.id),
        names.accounts(Range::of(&account.id)),
    ];
    let put = put(link, keys, account, account.id.as_str()).await?;
    owned(names, &account.id, put)
}

/// Replaces a record that still has `version`.
pub(super) async fn replace(
    link: &Link,
    names: &Names,
    account: &Account,
    version: Version,
) -> Result<Version, StoreError> {
    replace_record(link, names.account(&account.id), account, version).await
}

/// Accounts in the order of their ids, after `after`.
pub(super) async fn list(
    link: &Link,
    names: &Names,
    after: Option<&AccountId>,
    limit: usize,
) -> Result<Vec<Account>, StoreError> {
    let ranges = Range::all().filter(|range| after.is_none_or(|after| *range >= Range::of(after)));
    let mut ids = stream::iter(ranges)
        .map(|range| ids_of(link, names, range, after, limit))
        .buffered(RANGES_AT_ONCE);
    let mut accounts = Vec::new();
    while accounts.len() < limit
        && let Some(ids) = ids.try_next().await?
    {
        for some in ids.chunks(ACCOUNTS_AT_ONCE) {
            let wanted = &some[..some.len().min(limit - accounts.len())];
            accounts.extend(read(link, names, wanted).await?);
        }
    }
    Ok(accounts)
}

/// What a registry says of the account of that name.
pub(super) async fn of_registry(
    link: &Link,
    names: &Names,
    name: &RegistryAccountName,
) -> Result<Option<(RegistryAccount, Version)>, StoreError> {
    let found = find(link, &names.registry_account(name)).await?;
    found.map(|found| named(names, name, found)).transpose()
}

/// Writes a registry account's first record, unless there is one, and answers with the one in force.
pub(super) async fn put_registry_if_absent(
    link: &Link,
    names: &Names,
    record: &RegistryAccount,
) -> Result<(RegistryAccount, Version), StoreError> {
    let keys = vec![names.registry_account(&record.name)];
    let put = put(link, keys, record, "").await?;
    named(names, &record.name, put)
}

/// Replaces a registry account's record that still has `version`.
pub(super) async fn replace_registry(
    link: &Link,
    names: &Names,
    record: &RegistryAccount,
    version: Version,
) -> Result<Version, StoreError> {
    replace_record(link, names.registry_account(&record.name), record, version).await
}

/// The ids of a range after `after`, in order.
async fn ids_of(
    link: &Link,
    names: &Names,
    range: Range,
    after: Option<&AccountId>,
    limit: usize,
) -> Result<Vec<AccountId>, StoreError> {
    let key = names.accounts(range);
    let from = after.map_or("-".to_owned(), |after| format!("({after}"));
    // Redis counts in 64 bits with a sign, and takes a negative number for all.
    let limit = i64::try_from(limit).unwrap_or(-1);
    let mut question = redis::pipe();
    question.cmd("ZRANGEBYLEX").arg(&key).arg(from).arg("+");
    question.arg("LIMIT").arg(0).arg(limit);
    let mut answers = link.read(&key, question).await?;
    let ids = reply_at(&mut answers, 0)?;
    let id = |piece: &Option<Vec<u8>>| parse_id(&key, piece.as_deref().unwrap_or_default());
    ids.0.iter().map(id).collect()
}

/// The accounts of these ids, which are of one range.
async fn read(link: &Link, names: &Names, ids: &[AccountId]) -> Result<Vec<Account>, StoreError> {
    let Some(first) = ids.first() else {
        return Ok(Vec::new());
    };
    let mut question = redis::pipe();
    for id in ids {
        ask(&mut question, &names.account(id));
    }
    let mut answers = link.read(&names.account(first), question).await?;
    let mut accounts = Vec::new();
    for (place, id) in ids.iter().enumerate() {
        let key = names.account(id);
        let missing = || corrupt(&key, "it is in the index and can't be found");
        let found = versioned(&key, &reply_at(&mut answers, place)?)?.ok_or_else(missing)?;
        accounts.push(owned(names, id, found)?.0);
    }
    Ok(accounts)
}

async fn find<T: DeserializeOwned>(
    link: &Link,
    key: &str,
) -> Result<Option<(T, Version)>, StoreError> {
    let mut question = redis::pipe();
    ask(&mut question, key);
    let mut answers = link.read(key, question).await?;
    versioned(key, &reply_at(&mut answers, 0)?)
}

async fn put<T: Serialize + DeserializeOwned>(
    link: &Link,
    keys: Vec<String>,
    record: &T,
    name: &str,
) -> Result<(T, Version), StoreError> {
    let key = keys.first().cloned().unwrap_or_default();
    let call = Call {
        script: Script::PutRecord,
        keys,
        arguments: vec![to_json(record)?, name.into()],
    };
    versioned(&key, &link.write(call).await?)?.ok_or_else(unexpected)
}

async fn replace_record(
    link: &Link,
    key: String,
    record: &impl Serialize,
    version: Version,
) -> Result<Version, StoreError> {
    // A version that has no next was never given out, so no record has it.
    let next = Version(version.0.checked_add(1).ok_or(StoreError::Conflict)?);
    let call = Call {
        script: Script::ReplaceRecord,
        keys: vec![key],
        arguments: vec![
            to_json(record)?,
            version.0.to_string().into_bytes(),
            next.0.to_string().into_bytes(),
        ],
    };
    match link.write(call).await?.word() {
        "replaced" => Ok(next),
        "conflict" => Err(StoreError::Conflict),
        _ => Err(unexpected()),
    }
}

/// Asks for what [`versioned`] reads.
fn ask(question: &mut redis::Pipeline, key: &str) {
    question.cmd("HMGET").arg(key).arg("version").arg("record");
}

fn versioned<T: DeserializeOwned>(
    key: &str,
    row: &Reply,
) -> Result<Option<(T, Version)>, StoreError> {
    let Some(json) = row.piece(1) else {
        return Ok(None);
    };
    let version = row
        .number(0)
        .ok_or_else(|| corrupt(key, "its version is none"))?;
    Ok(Some((from_json(key, json)?, Version(version))))
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
