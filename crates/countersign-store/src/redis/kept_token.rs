//! What providers are asked again with: a token for each session of those that are, sealed by the caller.
//!
//! It stands in the slot of its session and is forgotten with it.

use countersign_core::SessionId;
use jiff::Timestamp;

use super::link::{Link, reply_at};
use super::names::Names;
use super::reply::{corrupt, from_json, to_json, unexpected};
use super::script::{Call, Script};
use super::sign_in::{self, time_to_live};
use crate::{KeptToken, StoreError, Version};

/// Keeps a token for a session that is not open yet.
pub(super) async fn keep(
    link: &Link,
    names: &Names,
    token: &KeptToken,
    (until, now): (Timestamp, Timestamp),
) -> Result<(), StoreError> {
    let call = Call {
        script: Script::KeepToken,
        keys: vec![
            names.session(&token.session),
            names.kept_token(&token.session),
        ],
        arguments: vec![to_json(token)?, time_to_live(until, now)],
    };
    match link.write(call).await?.word() {
        "kept" => Ok(()),
        "spent" => Err(StoreError::AttemptSpent),
        _ => Err(unexpected()),
    }
}

/// The token of a live session.
pub(super) async fn find(
    link: &Link,
    names: &Names,
    session: &SessionId,
    now: Timestamp,
) -> Result<Option<(KeptToken, Version)>, StoreError> {
    let keys = (names.session(session), names.kept_token(session));
    let mut question = redis::pipe();
    sign_in::ask(&mut question, &keys.0);
    question
        .cmd("HMGET")
        .arg(&keys.1)
        .arg("record")
        .arg("version");
    let mut answers = link.read(&keys.0, question).await?;
    if sign_in::live(&keys.0, session, &reply_at(&mut answers, 0)?, now)?.is_none() {
        return Ok(None);
    }
    let row = reply_at(&mut answers, 1)?;
    let Some(json) = row.piece(0) else {
        return Ok(None);
    };
    let token: KeptToken = from_json(&keys.1, json)?;
    if token.session != *session {
        return Err(corrupt(&keys.1, "it is the record of another session"));
    }
    let version = row.number(1);
    let version = version.ok_or_else(|| corrupt(&keys.1, "its version is no number"))?;
    Ok(Some((token, Version(version))))
}
