//! Records with versions: what is read, put and replaced alike, whatever it is a record of.

use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::link::{Link, reply_at};
use super::reply::{Reply, corrupt, from_json, to_json, unexpected};
use super::script::{Call, Script};
use super::slot::slot;
use crate::{StoreError, Version};

/// The record at a key.
pub(super) async fn find<T: DeserializeOwned>(
    link: &Link,
    key: &str,
) -> Result<Option<(T, Version)>, StoreError> {
    let mut question = redis::pipe();
    ask(&mut question, key);
    let mut answers = link.read(key, question).await?;
    versioned(key, &reply_at(&mut answers, 0)?)
}

/// Writes a first record at the first of `keys`, with `version`, unless there is one, and answers with the one in force. A
/// second key is the index in which it stands by `name`.
pub(super) async fn put<T: Serialize + DeserializeOwned>(
    link: &Link,
    keys: Vec<String>,
    (record, version): (&T, Version),
    name: &str,
) -> Result<(T, Version), StoreError> {
    let key = keys.first().cloned().unwrap_or_default();
    let call = Call {
        script: Script::PutRecord,
        keys,
        arguments: vec![
            to_json(record)?,
            name.into(),
            version.0.to_string().into_bytes(),
        ],
    };
    versioned(&key, &link.write(call).await?)?.ok_or_else(unexpected)
}

/// Replaces a record that still has `version`.
pub(super) async fn replace(
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

/// Removes a record that still has `version`, and its place in the index, if there is one: see [`put`].
pub(super) async fn remove(
    link: &Link,
    keys: Vec<String>,
    name: &str,
    version: Version,
) -> Result<(), StoreError> {
    let call = Call {
        script: Script::RemoveRecord,
        keys,
        arguments: vec![version.0.to_string().into_bytes(), name.into()],
    };
    match link.write(call).await?.word() {
        "removed" => Ok(()),
        "conflict" => Err(StoreError::Conflict),
        _ => Err(unexpected()),
    }
}

/// How many indexes are looked through at once.
const INDEXES_AT_ONCE: usize = 32;
/// How many records are read at once.
const READ_AT_ONCE: usize = 200;

/// The records that stand in these indexes, in their order and behind `after`, at most `limit`. `key` says at which key the one of a
/// name is, `own` at which one a record belongs.
pub(super) async fn list<T: DeserializeOwned>(
    link: &Link,
    indexes: impl Iterator<Item = String>,
    (after, limit): (Option<&str>, usize),
    key: impl Fn(&str, &[u8]) -> Result<String, StoreError>,
    own: impl Fn(&T) -> String,
) -> Result<Vec<T>, StoreError> {
    let mut first = stream::iter(indexes)
        .map(async |index| {
            let found = names_in(link, &index, after, limit).await?;
            Ok::<_, StoreError>((index, found))
        })
        .buffered(INDEXES_AT_ONCE);
    let mut listed = Vec::new();
    while listed.len() < limit
        && let Some((index, mut found)) = first.try_next().await?
    {
        // As many as were asked for, and some are gone since: more of this index may follow, before any of the next.
        loop {
            // Where some are gone, those behind them are wanted after all.
            let mut rest = &found[..];
            while !rest.is_empty() && listed.len() < limit {
                let wanted = READ_AT_ONCE.min(limit - listed.len());
                let (some, behind) = rest.split_at(wanted.min(rest.len()));
                rest = behind;
                let keys: Result<Vec<_>, _> = some.iter().map(|name| key(&index, name)).collect();
                let keys = keys?;
                for (key, record) in keys.iter().zip(read(link, &keys).await?) {
                    let Some((record, _)) = record else { continue };
                    if own(&record) != *key {
                        return Err(corrupt(key, "it is the record of another"));
                    }
                    listed.push(record);
                }
            }
            let last = found.last().filter(|_| found.len() == limit);
            let Some(last) = last.filter(|_| listed.len() < limit) else {
                break;
            };
            let last = String::from_utf8_lossy(last).into_owned();
            found = names_in(link, &index, Some(&last), limit).await?;
        }
    }
    Ok(listed)
}

/// The names in an index after `after`, in order.
pub(super) async fn names_in(
    link: &Link,
    key: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let from = after.map_or("-".to_owned(), |after| format!("({after}"));
    // Redis counts in 64 bits with a sign, and takes a negative number for all.
    let limit = i64::try_from(limit).unwrap_or(-1);
    let mut question = redis::pipe();
    question.cmd("ZRANGEBYLEX").arg(key).arg(from).arg("+");
    question.arg("LIMIT").arg(0).arg(limit);
    let mut answers = link.read(key, question).await?;
    let names = reply_at(&mut answers, 0)?;
    Ok(names.0.into_iter().map(Option::unwrap_or_default).collect())
}

/// The records at these keys, asked for together by each slot. Where one has gone since it was listed there is none.
async fn read<T: DeserializeOwned>(
    link: &Link,
    keys: &[String],
) -> Result<Vec<Option<(T, Version)>>, StoreError> {
    let by_slot = keys.chunk_by(|one, next| slot(one) == slot(next));
    let found = try_join_all(by_slot.map(|keys| read_slot(link, keys))).await?;
    Ok(found.into_iter().flatten().collect())
}

/// The records at these keys, which are in one slot.
async fn read_slot<T: DeserializeOwned>(
    link: &Link,
    keys: &[String],
) -> Result<Vec<Option<(T, Version)>>, StoreError> {
    let Some(first) = keys.first() else {
        return Ok(Vec::new());
    };
    let mut question = redis::pipe();
    for key in keys {
        ask(&mut question, key);
    }
    let mut answers = link.read(first, question).await?;
    let found = |(place, key): (usize, &String)| versioned(key, &reply_at(&mut answers, place)?);
    keys.iter().enumerate().map(found).collect()
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
