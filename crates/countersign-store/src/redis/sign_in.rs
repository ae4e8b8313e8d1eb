//! What a sign-in leaves behind: the spent attempt, its session and its code, in one hash.
//!
//! What ends is emptied; the hash stays until nothing of it is needed. Redis then forgets it by its own clock: the time to
//! live is counted from the caller's `now`, with [`MARGIN`] on top, and nothing else depends on it.

use countersign_core::SessionId;
use jiff::{SignedDuration, Timestamp};

use super::link::{Link, reply_at};
use super::names::Names;
use super::reply::{Reply, corrupt, from_json, to_json, unexpected};
use super::script::{Call, Script};
use super::session;
use crate::{CodeDigest, Opening, Session, StoreError, TakenCode};

/// How much longer than needed records are kept: more than the clocks of our replicas and of Redis ever differ.
const MARGIN: SignedDuration = SignedDuration::from_mins(10);

/// Spends the attempt, opens its session and keeps its code; nothing of that if the attempt is spent.
pub(super) async fn open(
    link: &Link,
    names: &Names,
    opening: &Opening,
    now: Timestamp,
) -> Result<(), StoreError> {
    let id = SessionId::of(&opening.attempt);
    if opening.session.id != id {
        return Err(StoreError::Unavailable(format!(
            "session `{}` is not named after its attempt",
            opening.session.id
        )));
    }
    let needed_until = opening
        .attempt_remembered_until
        .max(opening.session.expires_at)
        .max(opening.code.expires_at);
    // First what leads to it: an index may name a session that is not there, and must name each that is.
    let session = &opening.session;
    session::index(link, names, session, now).await?;
    let call = Call {
        script: Script::OpenSession,
        keys: vec![names.session(&id), names.kept_token(&id)],
        arguments: vec![
            to_json(&opening.session)?,
            micros(opening.session.expires_at.min(opening.idle_until)),
            opening.code_digest.to_vec(),
            to_json(&opening.code)?,
            micros(opening.code.expires_at),
            time_to_live(needed_until, now),
            opening.code.client.as_str().into(),
            session.account.as_str().into(),
        ],
    };
    match link.write(call).await?.word() {
        "opened" => Ok(()),
        "spent" => Err(StoreError::AttemptSpent),
        _ => Err(unexpected()),
    }
}

/// Takes a code, once.
pub(super) async fn take_code(
    link: &Link,
    names: &Names,
    code: &CodeDigest,
    now: Timestamp,
) -> Result<TakenCode, StoreError> {
    let id = &code.session;
    let key = names.session(id);
    let call = Call {
        script: Script::TakeCode,
        keys: vec![key.clone()],
        arguments: vec![code.digest.to_vec(), micros(now)],
    };
    let reply = link.write(call).await?;
    match reply.word() {
        "fresh" => Ok(TakenCode::Fresh {
            code: Box::new(from_json(&key, reply.piece(1).ok_or_else(unexpected)?)?),
            session: Box::new(read(&key, id, reply.piece(2).ok_or_else(unexpected)?)?),
        }),
        "replayed" => session::end(link, names, id, now)
            .await
            .map(TakenCode::Replayed),
        "unknown" => Ok(TakenCode::Unknown),
        _ => Err(unexpected()),
    }
}

/// A live session.
pub(super) async fn session(
    link: &Link,
    names: &Names,
    id: &SessionId,
    now: Timestamp,
) -> Result<Option<Session>, StoreError> {
    let key = names.session(id);
    let mut question = redis::pipe();
    ask(&mut question, &key);
    let mut answers = link.read(&key, question).await?;
    live(&key, id, &reply_at(&mut answers, 0)?, now)
}

/// Asks for what [`live`] judges.
pub(super) fn ask(question: &mut redis::Pipeline, key: &str) {
    question
        .cmd("HMGET")
        .arg(key)
        .arg("session")
        .arg("session_until");
}

/// The session that an answer holds, if it lives.
pub(super) fn live(
    key: &str,
    id: &SessionId,
    row: &Reply,
    now: Timestamp,
) -> Result<Option<Session>, StoreError> {
    let Some(json) = row.piece(0).filter(|json| !json.is_empty()) else {
        return Ok(None);
    };
    let until: i64 = row
        .number(1)
        .ok_or_else(|| corrupt(key, "its end is no time"))?;
    if now.as_microsecond() >= until {
        return Ok(None);
    }
    read(key, id, json).map(Some)
}

fn read(key: &str, id: &SessionId, json: &[u8]) -> Result<Session, StoreError> {
    let session: Session = from_json(key, json)?;
    if session.id == *id {
        Ok(session)
    } else {
        Err(corrupt(key, "it is the record of another session"))
    }
}

/// A time as it is kept and compared: microseconds since 1970, cut off, so that a record never lives longer than it says.
pub(super) fn micros(time: Timestamp) -> Vec<u8> {
    time.as_microsecond().to_string().into_bytes()
}

/// How long a record is kept that is needed until then, in milliseconds.
pub(super) fn time_to_live(until: Timestamp, now: Timestamp) -> Vec<u8> {
    let needed = until.duration_since(now).max(SignedDuration::ZERO);
    let kept = needed.saturating_add(MARGIN).as_millis();
    kept.to_string().into_bytes()
}
