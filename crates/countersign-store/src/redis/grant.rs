//! What clients may go on refreshing, and the access tokens that were revoked before their end.
//!
//! They stand in the slot of their session and are forgotten with it.

use countersign_core::{GrantId, SessionId};
use jiff::Timestamp;

use super::ended::{self, Found};
use super::link::{Link, reply_at};
use super::names::Names;
use super::reply::{Reply, corrupt, from_json, to_json, unexpected};
use super::script::{Call, Script};
use super::sign_in::{self, micros};
use crate::{EndKind, Ended, Grace, Grant, IssuedToken, LiveGrant, Rotated, Session, StoreError};

/// How long a grant is kept whose session is not there, in milliseconds. Nobody can use it.
const ORPHANED: &str = "86400000";

/// Keeps a grant with its first refresh token.
pub(super) async fn open(link: &Link, names: &Names, grant: &Grant) -> Result<(), StoreError> {
    let call = Call {
        script: Script::OpenGrant,
        keys: vec![
            names.session(&grant.session),
            names.grant(&grant.session, &grant.id),
        ],
        arguments: vec![to_json(grant)?, micros(grant.expires_at), ORPHANED.into()],
    };
    match link.write(call).await?.word() {
        "opened" => Ok(()),
        "there" => Err(StoreError::Conflict),
        _ => Err(unexpected()),
    }
}

/// A live grant of a live session.
pub(super) async fn find(
    link: &Link,
    names: &Names,
    of: (&SessionId, &GrantId),
    now: Timestamp,
) -> Result<Option<LiveGrant>, StoreError> {
    let keys = (names.session(of.0), names.grant(of.0, of.1));
    let mut question = redis::pipe();
    sign_in::ask(&mut question, &keys.0);
    ask(&mut question, &keys.1);
    let mut answers = link.read(&keys.0, question).await?;
    let Some(session) = sign_in::live(&keys.0, of.0, &reply_at(&mut answers, 0)?, now)? else {
        return Ok(None);
    };
    let row = reply_at(&mut answers, 1)?;
    let Some(grant) = live(&keys.1, of.1, &row, now)? else {
        return Ok(None);
    };
    Ok(Some(LiveGrant {
        grant,
        session,
        good: row
            .number(2)
            .ok_or_else(|| corrupt(&keys.1, "its number is none"))?,
        presented: row.number(3),
    }))
}

/// Makes the next refresh token of a grant the good one, if this one may be presented.
pub(super) async fn rotate(
    link: &Link,
    names: &Names,
    of: (&SessionId, &GrantId),
    (presented, grace): (u32, Grace),
    now: Timestamp,
) -> Result<Rotated, StoreError> {
    let is_told = tell_of_reuse(link, names, of, (presented, grace), now).await;
    let before = |length| micros(now.saturating_sub(length).unwrap_or(Timestamp::MIN));
    let idle_until = now.saturating_add(grace.idle).unwrap_or(Timestamp::MAX);
    let call = Call {
        script: Script::Rotate,
        keys: vec![names.session(of.0), names.grant(of.0, of.1)],
        arguments: vec![
            presented.to_string().into_bytes(),
            micros(now),
            before(grace.busy),
            before(grace.lost),
            micros(idle_until),
        ],
    };
    let reply = link.write(call).await?;
    match reply.word() {
        "next" => reply.number(1).map(Rotated::Next).ok_or_else(unexpected),
        "too-soon" => Ok(Rotated::TooSoon),
        // Where it was spent between the two looks at it, it is told now.
        word @ ("reused" | "never-issued") => {
            if !is_told? {
                let end = (EndKind::Grant, of.1.as_str(), Found::Ended);
                ended::tell(link, names, end, now).await?;
            }
            Ok(if word == "reused" {
                Rotated::Reused
            } else {
                Rotated::NeverIssued
            })
        }
        "unknown" => Ok(Rotated::Unknown),
        _ => Err(unexpected()),
    }
}

/// Tells of the end of a grant before the rotation that will end it, and answers whether it was told.
///
/// What is spent beyond doubt stays so, whatever happens until the rotation looks at it again.
async fn tell_of_reuse(
    link: &Link,
    names: &Names,
    of: (&SessionId, &GrantId),
    (presented, grace): (u32, Grace),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let key = names.grant(of.0, of.1);
    let mut question = redis::pipe();
    question.cmd("HMGET").arg(&key);
    question.arg(&["good", "spent", "spent_at", "rotated_at", "grant"]);
    let mut answers = link.read(&key, question).await?;
    let row = reply_at(&mut answers, 0)?;
    let is_live = row.piece(4).is_some_and(|json| !json.is_empty());
    let Some(good) = row.number::<u32>(0).filter(|_| is_live) else {
        return Ok(false);
    };
    let is_within = |place, grace| {
        let since = now.saturating_sub(grace).unwrap_or(Timestamp::MIN);
        row.number::<i64>(place)
            .is_some_and(|then| then > since.as_microsecond())
    };
    let is_last = presented < good && row.number(1) == Some(presented);
    let is_forgiven = is_last && (is_within(2, grace.lost) || is_within(3, grace.busy));
    if presented == good || is_forgiven {
        return Ok(false);
    }
    let end = (EndKind::Grant, of.1.as_str(), Found::Alive);
    ended::tell(link, names, end, now).await?;
    Ok(true)
}

/// Ends a grant, if it is there.
pub(super) async fn end(
    link: &Link,
    names: &Names,
    of: (&SessionId, &GrantId),
    now: Timestamp,
) -> Result<Ended, StoreError> {
    let key = names.grant(of.0, of.1);
    let ended = Ended::unless_over(&find(link, names, of, now).await);
    let told = match find_any(link, &key).await? {
        Some(found) => {
            let end = (EndKind::Grant, of.1.as_str(), found);
            ended::tell(link, names, end, now).await
        }
        None => Ok(()),
    };
    let call = Call {
        script: Script::EndGrant,
        keys: vec![key],
        arguments: Vec::new(),
    };
    link.write(call).await?;
    told.map(|()| ended)
}

/// A grant, if it is there at all.
async fn find_any(link: &Link, key: &str) -> Result<Option<Found>, StoreError> {
    let mut question = redis::pipe();
    question.cmd("HMGET").arg(key).arg("grant");
    let mut answers = link.read(key, question).await?;
    Ok(match reply_at(&mut answers, 0)?.piece(0) {
        Some([]) => Some(Found::Ended),
        Some(_) => Some(Found::Alive),
        None => None,
    })
}

/// Ends an access token before its time.
pub(super) async fn revoke(
    link: &Link,
    names: &Names,
    token: &IssuedToken,
    now: Timestamp,
) -> Result<Ended, StoreError> {
    let ended = Ended::unless_over(&session_of(link, names, token, now).await);
    let end = (EndKind::Token, token.jti.as_str(), Found::Alive);
    let told = ended::tell(link, names, end, now).await;
    let call = Call {
        script: Script::RevokeToken,
        keys: vec![
            names.session(&token.session),
            names.revoked(&token.session, &token.jti),
        ],
        arguments: Vec::new(),
    };
    link.write(call).await?;
    told.map(|()| ended)
}

/// The session behind an access token that nobody has ended.
pub(super) async fn session_of(
    link: &Link,
    names: &Names,
    token: &IssuedToken,
    now: Timestamp,
) -> Result<Option<Session>, StoreError> {
    if now >= token.expires_at {
        return Ok(None);
    }
    let key = names.session(&token.session);
    let mut question = redis::pipe();
    sign_in::ask(&mut question, &key);
    let revoked = names.revoked(&token.session, &token.jti);
    question.cmd("EXISTS").arg(revoked);
    let grant = token.grant.as_ref();
    let grant = grant.map(|grant| (names.grant(&token.session, grant), grant));
    if let Some((key, _)) = &grant {
        ask(&mut question, key);
    }
    let mut answers = link.read(&key, question).await?;
    if reply_at(&mut answers, 1)?.number(0) != Some(0) {
        return Ok(None);
    }
    if let Some((key, id)) = &grant
        && live(key, id, &reply_at(&mut answers, 2)?, now)?.is_none()
    {
        return Ok(None);
    }
    sign_in::live(&key, &token.session, &reply_at(&mut answers, 0)?, now)
}

/// Asks for what [`live`] judges, and what is known of its refresh tokens.
fn ask(question: &mut redis::Pipeline, key: &str) {
    question
        .cmd("HMGET")
        .arg(key)
        .arg(&["grant", "until", "good", "spent"]);
}

/// The grant that an answer holds, if it lives.
fn live(key: &str, id: &GrantId, row: &Reply, now: Timestamp) -> Result<Option<Grant>, StoreError> {
    let Some(json) = row.piece(0).filter(|json| !json.is_empty()) else {
        return Ok(None);
    };
    let until: i64 = row
        .number(1)
        .ok_or_else(|| corrupt(key, "its end is no time"))?;
    if now.as_microsecond() >= until {
        return Ok(None);
    }
    let grant: Grant = from_json(key, json)?;
    if grant.id == *id {
        Ok(Some(grant))
    } else {
        Err(corrupt(key, "it is the record of another grant"))
    }
}
