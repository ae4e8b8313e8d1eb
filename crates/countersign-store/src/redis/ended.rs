//! What has ended before its time, in an order that can be followed: one index in a slot of its own.
//!
//! An end and its place here are in different slots, so no one operation writes both. The place is written first:
//! whoever dies in between leaves an end told that never came, of something that somebody wanted ended, and
//! never an end that nobody is told of. Where the feed can't be written what is to end is ended nevertheless, and the
//! caller is told that it failed, so that they try again: then it is told.

use jiff::{SignedDuration, Timestamp};

use super::link::{Link, reply_at};
use super::names::Names;
use super::reply::{Reply, corrupt};
use super::script::{Call, Script};
use super::sign_in::{micros, time_to_live};
use crate::ended::{TOLD_FOR, piece};
use crate::{End, EndKind, Ends, FeedPlace, StoreError};

/// What is told again within this time stays where it is.
const SAME: SignedDuration = SignedDuration::from_mins(1);

/// What is there of what is told to have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It has not ended yet, as far as is known.
    Alive,
    /// Its end is on record.
    Ended,
}

/// Tells of an end: once, so that nobody who follows the feed loses their place in it. Only where it was told of an end that
/// did not come, as it seems, and later ends for good, it is told anew, since tokens may have been issued in between: then
/// the end must be told for as long as those can be good. A token that is told once has expired before it is forgotten, and
/// a connection that ends again ends under another name.
pub(super) async fn tell(
    link: &Link,
    names: &Names,
    (kind, id, found): (EndKind, &str, Found),
    now: Timestamp,
) -> Result<(), StoreError> {
    let stays = match (kind, found) {
        (EndKind::Token | EndKind::Organization, _) | (_, Found::Ended) => Timestamp::MIN,
        (EndKind::Session | EndKind::Grant, Found::Alive) => {
            now.saturating_sub(SAME).unwrap_or(Timestamp::MIN)
        }
    };
    let call = Call {
        script: Script::TellEnd,
        keys: vec![names.ended()],
        arguments: vec![
            micros(now),
            format!("{} {id}", kind.as_str()).into_bytes(),
            time_to_live(now.saturating_add(TOLD_FOR).unwrap_or(Timestamp::MAX), now),
            micros(End::forgotten_before(now)),
            micros(stays),
        ],
    };
    link.write(call).await.map(drop)
}

/// What followed a place in the feed.
pub(super) async fn after(
    link: &Link,
    names: &Names,
    place: Option<FeedPlace>,
    limit: usize,
    now: Timestamp,
) -> Result<Ends, StoreError> {
    let forgotten = End::forgotten_before(now).as_microsecond();
    if let Some(place) = place.filter(|place| place.number > forgotten) {
        let found = read(link, names, place.number, limit).await?;
        if let Some(ends) = piece(found, Some(place), limit) {
            return Ok(ends);
        }
    }
    let found = read(link, names, forgotten.saturating_add(1), limit).await?;
    Ok(piece(found, None, limit).unwrap_or_else(Ends::none))
}

/// The ends from this number on: the one that a place is behind, and one more than is asked for.
async fn read(
    link: &Link,
    names: &Names,
    from: i64,
    limit: usize,
) -> Result<Vec<(i64, End)>, StoreError> {
    let key = names.ended();
    let limit = i64::try_from(limit.saturating_add(2)).unwrap_or(-1);
    let mut question = redis::pipe();
    question
        .cmd("ZRANGEBYSCORE")
        .arg(&key)
        .arg(from)
        .arg("+inf");
    question.arg("WITHSCORES").arg("LIMIT").arg(0).arg(limit);
    let mut answers = link.read(&key, question).await?;
    let reply = reply_at(&mut answers, 0)?;
    let count = reply.0.len() / 2;
    (0..count).map(|nth| end(&key, &reply, 2 * nth)).collect()
}

fn end(key: &str, reply: &Reply, place: usize) -> Result<(i64, End), StoreError> {
    let unreadable = || corrupt(key, "an end can't be read");
    let text = reply.piece(place).ok_or_else(unreadable)?;
    let text = std::str::from_utf8(text).map_err(|_| unreadable())?;
    let (kind, id) = text.split_once(' ').ok_or_else(unreadable)?;
    let number: i64 = reply.number(place + 1).ok_or_else(unreadable)?;
    let end = End {
        kind: EndKind::named(kind).ok_or_else(unreadable)?,
        id: id.to_owned(),
        at: Timestamp::from_microsecond(number).map_err(|_| unreadable())?,
    };
    Ok((number, end))
}
