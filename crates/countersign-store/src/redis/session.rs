//! What becomes of a session besides refreshing: handed to further clients, found by whose it is, ended, and its clients told.
//!
//! Indexes and notices are in other slots than the session, so each such operation is several steps, in an order in which
//! being cut off in the middle harms nothing: an index is written before what it names, and a session that is ended again
//! leaves the notices that are missing.

use std::collections::BTreeSet;

use countersign_core::{AccountId, ClientId, SessionId};
use jiff::{SignedDuration, Timestamp};

use super::ended;
use super::link::{Link, reply_at};
use super::names::Names;
use super::reply::{Reply, corrupt, to_json, unexpected};
use super::script::{Call, Script};
use super::sign_in::{self, micros, time_to_live};
use crate::{
    EndKind, Ended, FurtherCode, LiveSession, LogoutNotice, ProviderSession, Session, StoreError,
};

/// How many sessions are listed at most.
const MOST: usize = 100;
/// For so long it is tried to tell a client.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// Writes a session down under its account, and under the provider's session that it rests on.
pub(super) async fn index(
    link: &Link,
    names: &Names,
    session: &Session,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut keys = vec![names.sessions_of(&session.account)];
    let behind = ProviderSession::behind(&session.evidence);
    keys.extend(behind.map(|behind| names.sessions_resting_on(&behind)));
    for key in keys {
        let call = Call {
            script: Script::Add,
            keys: vec![key],
            arguments: vec![
                micros(session.expires_at),
                session.id.as_str().into(),
                time_to_live(session.expires_at, now),
                micros(now),
            ],
        };
        link.write(call).await?;
    }
    Ok(())
}

/// Keeps one more code of a live session.
pub(super) async fn hand_over(
    link: &Link,
    names: &Names,
    further: &FurtherCode,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let id = &further.digest.session;
    let Some(session) = sign_in::session(link, names, id, now).await? else {
        return Ok(false);
    };
    let code = &further.code;
    let call = Call {
        script: Script::HandOver,
        keys: vec![names.session(id)],
        arguments: vec![
            further.digest.digest.to_vec(),
            to_json(code)?,
            micros(code.expires_at),
            micros(now),
            micros(further.idle_until),
            micros(session.expires_at),
            code.client.as_str().into(),
        ],
    };
    match link.write(call).await?.word() {
        "handed" => Ok(true),
        "ended" => Ok(false),
        _ => Err(unexpected()),
    }
}

/// The live sessions of an account, the latest first.
pub(super) async fn of_account(
    link: &Link,
    names: &Names,
    account: &AccountId,
    now: Timestamp,
) -> Result<Vec<LiveSession>, StoreError> {
    let mut found = live(link, names, &names.sessions_of(account), now).await?;
    found.retain(|one| one.session.account == *account);
    // Stable: of two of one moment the later in the index is the later.
    found.sort_by_key(|one| std::cmp::Reverse(one.session.opened_at));
    Ok(found)
}

/// The live sessions that rest on a provider's.
pub(super) async fn resting_on(
    link: &Link,
    names: &Names,
    provider_session: &ProviderSession,
    now: Timestamp,
) -> Result<Vec<Session>, StoreError> {
    let key = names.sessions_resting_on(provider_session);
    let found = live(link, names, &key, now).await?.into_iter();
    Ok(found.map(|one| one.session).collect())
}

/// The live sessions that an index names, those that end last first.
async fn live(
    link: &Link,
    names: &Names,
    index: &str,
    now: Timestamp,
) -> Result<Vec<LiveSession>, StoreError> {
    let mut question = redis::pipe();
    question.cmd("ZREVRANGE").arg(index).arg(0).arg(MOST - 1);
    let mut answers = link.read(index, question).await?;
    let named = reply_at(&mut answers, 0)?;
    let mut found = Vec::new();
    for id in named.0.iter().flatten() {
        let text = String::from_utf8_lossy(id).into_owned();
        let id = SessionId::new(text).map_err(|error| corrupt(index, &error.to_string()))?;
        found.extend(one(link, names, &id, now).await?);
    }
    Ok(found)
}

async fn one(
    link: &Link,
    names: &Names,
    id: &SessionId,
    now: Timestamp,
) -> Result<Option<LiveSession>, StoreError> {
    let key = names.session(id);
    let mut question = redis::pipe();
    sign_in::ask(&mut question, &key);
    question.cmd("HKEYS").arg(&key);
    let mut answers = link.read(&key, question).await?;
    let row = reply_at(&mut answers, 0)?;
    let fields = reply_at(&mut answers, 1)?;
    let Some(session) = sign_in::live(&key, id, &row, now)? else {
        return Ok(None);
    };
    let ends: i64 = row.number(1).unwrap_or_default();
    Ok(Some(LiveSession {
        ends_at: Timestamp::from_microsecond(ends).unwrap_or(session.expires_at),
        clients: clients(&key, &fields)?,
        session,
    }))
}

/// The clients among the fields of a session.
fn clients(key: &str, fields: &Reply) -> Result<BTreeSet<ClientId>, StoreError> {
    let fields = fields.0.iter().flatten();
    let named = fields.filter_map(|field| field.strip_prefix(b"client:"));
    named.map(|name| client(key, name)).collect()
}

fn client(key: &str, name: &[u8]) -> Result<ClientId, StoreError> {
    let name = String::from_utf8_lossy(name).into_owned();
    ClientId::new(name).map_err(|error| corrupt(key, &error.to_string()))
}

/// Ends a session, if it is there, and has its clients told.
pub(super) async fn end(
    link: &Link,
    names: &Names,
    id: &SessionId,
    now: Timestamp,
) -> Result<Ended, StoreError> {
    let key = names.session(id);
    let mut question = redis::pipe();
    sign_in::ask(&mut question, &key);
    question.cmd("EXISTS").arg(&key);
    let mut answers = link.read(&key, question).await?;
    let was_there = sign_in::live(&key, id, &reply_at(&mut answers, 0)?, now)?.is_some();
    // Also where it has ended already: whoever ended it may not have come to tell.
    let told = match reply_at(&mut answers, 1)?.number(0) {
        Some(1) => ended::tell(link, names, (EndKind::Session, id.as_str()), now).await,
        _ => Ok(()),
    };
    let call = Call {
        script: Script::EndSession,
        keys: vec![key.clone(), names.kept_token(id)],
        arguments: Vec::new(),
    };
    let reply = link.write(call).await?;
    let Some(account) = reply.piece(1).filter(|_| was_there) else {
        return told.map(|()| Ended::if_it_was(was_there));
    };
    let account = String::from_utf8_lossy(account).into_owned();
    for name in reply.0.iter().skip(2).flatten() {
        let notice = format!("{id} {} {account}", client(&key, name)?);
        let call = Call {
            script: Script::Add,
            keys: vec![names.notices()],
            arguments: vec![
                micros(now),
                notice.into_bytes(),
                time_to_live(now.saturating_add(KEPT).unwrap_or(Timestamp::MAX), now),
                micros(now.saturating_sub(KEPT).unwrap_or(Timestamp::MIN)),
            ],
        };
        link.write(call).await?;
    }
    told.map(|()| Ended::Now)
}

/// Takes notices that are due, and makes them due again later.
pub(super) async fn take_notices(
    link: &Link,
    names: &Names,
    limit: usize,
    (again, now): (Timestamp, Timestamp),
) -> Result<Vec<LogoutNotice>, StoreError> {
    let call = Call {
        script: Script::TakeNotices,
        keys: vec![names.notices(), names.notice_tries()],
        arguments: vec![micros(now), micros(again), limit.to_string().into_bytes()],
    };
    let reply = link.write(call).await?;
    let count = reply.0.len().saturating_sub(1) / 2;
    (0..count)
        .map(|place| notice(&names.notices(), &reply, 2 * place + 1))
        .collect()
}

fn notice(key: &str, reply: &Reply, at: usize) -> Result<LogoutNotice, StoreError> {
    let unreadable = || corrupt(key, "a notice can't be read");
    let text = reply.piece(at).ok_or_else(unreadable)?;
    let text = String::from_utf8_lossy(text).into_owned();
    let mut parts = text.split(' ');
    let mut next = || parts.next().map(str::to_owned).ok_or_else(unreadable);
    Ok(LogoutNotice {
        session: SessionId::new(next()?).map_err(|_| unreadable())?,
        client: ClientId::new(next()?).map_err(|_| unreadable())?,
        account: AccountId::new(next()?).map_err(|_| unreadable())?,
        tries: reply.number(at + 1).ok_or_else(unreadable)?,
    })
}

/// Makes a notice due at this time.
pub(super) async fn postpone(
    link: &Link,
    names: &Names,
    notice: &LogoutNotice,
    until: Timestamp,
) -> Result<(), StoreError> {
    let call = Call {
        script: Script::PostponeNotice,
        keys: vec![names.notices()],
        arguments: vec![micros(until), member(notice)],
    };
    link.write(call).await.map(drop)
}

/// Forgets a notice.
pub(super) async fn settle(
    link: &Link,
    names: &Names,
    notice: &LogoutNotice,
) -> Result<(), StoreError> {
    let call = Call {
        script: Script::SettleNotice,
        keys: vec![names.notices(), names.notice_tries()],
        arguments: vec![member(notice)],
    };
    link.write(call).await.map(drop)
}

fn member(notice: &LogoutNotice) -> Vec<u8> {
    let LogoutNotice {
        session,
        client,
        account,
        ..
    } = notice;
    format!("{session} {client} {account}").into_bytes()
}
