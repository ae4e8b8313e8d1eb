//! What may come only once, for as long as it could come again.

use jiff::Timestamp;

use super::link::{Link, reply_at};
use super::names::Names;
use super::reply::unexpected;
use super::script::{Call, Script};
use super::sign_in::{micros, time_to_live};
use crate::{Once, Seen, StoreError};

/// Remembers a key, unless it is remembered already.
pub(super) async fn remember(
    link: &Link,
    names: &Names,
    key: &Once,
    until: Timestamp,
    now: Timestamp,
) -> Result<Seen, StoreError> {
    let call = Call {
        script: Script::Remember,
        keys: vec![names.once(key)],
        arguments: vec![micros(until), micros(now), time_to_live(until, now)],
    };
    match link.write(call).await?.word() {
        "first" => Ok(Seen::First),
        "before" => Ok(Seen::Before),
        _ => Err(unexpected()),
    }
}

/// Whether a key is remembered.
pub(super) async fn is_remembered(
    link: &Link,
    names: &Names,
    key: &Once,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let key = names.once(key);
    let mut question = redis::pipe();
    question.cmd("GET").arg(&key);
    let mut answers = link.read(&key, question).await?;
    let ends: Option<i64> = reply_at(&mut answers, 0)?.number(0);
    Ok(ends.is_some_and(|ends| ends > now.as_microsecond()))
}
