//! What becomes of a session besides refreshing: handed to further clients, found by whose it is, ended, and its clients told.
//!
//! Indexes and notices are in other slots than the session, so each such operation is several steps, in an order in which
//! being cut off in the middle harms nothing: an index is written before what it names and forgets it after, and a session
//! that is ended again leaves the notices that are missing.

use std::collections::BTreeSet;

use countersign_core::{AccountId, ClientId, SessionId};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use super::ended::{self, Found};
use super::link::{Link, reply_at};
use super::names::Names;
use super::reply::{Reply, corrupt, to_json, unexpected};
use super::script::{Call, Script};
use super::sign_in::{self, micros, time_to_live};
use crate::{
    EndKind, Ended, FurtherCode, LiveSession, LogoutNotice, ProviderSession, SESSIONS_AT_ONCE,
    Session, StoreError,
};

/// How many sessions are asked for at the same time.
const READ_AT_ONCE: usize = 20;
/// For so long it is tried to tell a client.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// Writes a session down under its account, and under the provider's session that it rests on.
pub(super) async fn index(
    link: &Link,
    names: &Names,
    session: &Session,
    now: Timestamp,
) -> Result<(), StoreError> {
    for key in indexes(names, session) {
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

/// The indexes that a session stands in.
fn indexes(names: &Names, session: &Session) -> Vec<String> {
    let mut keys = vec![names.sessions_of(&session.account)];
    let behind = ProviderSession::behind(&session.evidence);
    keys.extend(behind.map(|behind| names.sessions_resting_on(&behind)));
    keys
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

/// Keeps a live session in use.
pub(super) async fn keep_in_use(
    link: &Link,
    names: &Names,
    (id, idle_until): (&SessionId, Timestamp),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(session) = sign_in::session(link, names, id, now).await? else {
        return Ok(false);
    };
    let call = Call {
        script: Script::KeepInUse,
        keys: vec![names.session(id)],
        arguments: vec![micros(now), micros(idle_until.min(session.expires_at))],
    };
    match link.write(call).await?.word() {
        "kept" => Ok(true),
        "ended" => Ok(false),
        _ => Err(unexpected()),
    }
}

/// The live sessions of an account, the latest first.
pub(super) async fn of_account(
    link: &Link,
    names: &Names,
    account: &AccountId,
    after: Option<&Session>,
    now: Timestamp,
) -> Result<Vec<LiveSession>, StoreError> {
    let index = (names.sessions_of(account), after);
    live(link, names, index, |one| one.account == *account, now).await
}

/// The live sessions that rest on a provider's.
pub(super) async fn resting_on(
    link: &Link,
    names: &Names,
    provider_session: &ProviderSession,
    after: Option<&Session>,
    now: Timestamp,
) -> Result<Vec<Session>, StoreError> {
    let index = (names.sessions_resting_on(provider_session), after);
    let rests =
        |one: &Session| ProviderSession::behind(&one.evidence).as_ref() == Some(provider_session);
    let found = live(link, names, index, rests, now).await?.into_iter();
    Ok(found.map(|one| one.session).collect())
}

/// Where a session stands in an index: by when it ends, and by its name among those of one moment.
type Place = (i64, String);

/// The live sessions that an index names behind `after`, those that end last first.
///
/// It names some that have ended, too: it is read on until there are enough that live, or it ends.
async fn live(
    link: &Link,
    names: &Names,
    (index, after): (String, Option<&Session>),
    is_meant: impl Fn(&Session) -> bool,
    now: Timestamp,
) -> Result<Vec<LiveSession>, StoreError> {
    let place = |session: &Session| (session.expires_at.as_microsecond(), session.id.to_string());
    let mut after: Option<Place> = after.map(place);
    let mut found = Vec::new();
    loop {
        let named = named_behind(link, &index, after.as_ref()).await?;
        if named.is_empty() {
            return Ok(found);
        }
        after = named.last().cloned();
        let mut read = stream::iter(named)
            .map(|(_, id)| one(link, names, &index, id, now))
            .buffered(READ_AT_ONCE);
        while let Some(one) = read.try_next().await? {
            found.extend(one.filter(|one| is_meant(&one.session)));
            if found.len() == SESSIONS_AT_ONCE {
                return Ok(found);
            }
        }
    }
}

/// What an index names behind a place, in its order: at least one, if anything is left.
async fn named_behind(
    link: &Link,
    index: &str,
    after: Option<&Place>,
) -> Result<Vec<Place>, StoreError> {
    let from = after.map_or("+inf".to_owned(), |(end, _)| end.to_string());
    let mut limit = SESSIONS_AT_ONCE;
    loop {
        let mut question = redis::pipe();
        question.cmd("ZREVRANGEBYSCORE").arg(index).arg(&from);
        question.arg("-inf").arg("WITHSCORES");
        question.arg("LIMIT").arg(0).arg(limit);
        let mut answers = link.read(index, question).await?;
        let reply = reply_at(&mut answers, 0)?;
        let count = reply.0.len() / 2;
        let named = (0..count).map(|nth| place(index, &reply, 2 * nth));
        let mut named = named.collect::<Result<Vec<_>, _>>()?;
        named.retain(|one| after.is_none_or(|after| one < after));
        // That many may end in one moment, and all be before the place.
        if !named.is_empty() || count < limit {
            return Ok(named);
        }
        limit *= 2;
    }
}

fn place(index: &str, reply: &Reply, at: usize) -> Result<Place, StoreError> {
    let unreadable = || corrupt(index, "a session in it can't be read");
    let id = reply.piece(at).ok_or_else(unreadable)?;
    let end = reply.number(at + 1).ok_or_else(unreadable)?;
    Ok((end, String::from_utf8_lossy(id).into_owned()))
}

async fn one(
    link: &Link,
    names: &Names,
    index: &str,
    id: String,
    now: Timestamp,
) -> Result<Option<LiveSession>, StoreError> {
    let id = SessionId::new(id).map_err(|error| corrupt(index, &error.to_string()))?;
    let key = names.session(&id);
    let mut question = redis::pipe();
    sign_in::ask(&mut question, &key);
    question.cmd("HKEYS").arg(&key);
    let mut answers = link.read(&key, question).await?;
    let row = reply_at(&mut answers, 0)?;
    let fields = reply_at(&mut answers, 1)?;
    let Some(session) = sign_in::live(&key, &id, &row, now)? else {
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
    let row = reply_at(&mut answers, 0)?;
    let was_there = sign_in::live(&key, id, &row, now)?;
    let found = match row.piece(0) {
        Some([]) => Found::Ended,
        Some(_) | None => Found::Alive,
    };
    // Also where it has ended already: whoever ended it may not have come to tell.
    let told = match reply_at(&mut answers, 1)?.number(0) {
        Some(1) => ended::tell(link, names, (EndKind::Session, id.as_str(), found), now).await,
        _ => Ok(()),
    };
    let call = Call {
        script: Script::EndSession,
        keys: vec![key.clone(), names.kept_token(id)],
        arguments: Vec::new(),
    };
    let reply = link.write(call).await?;
    let Some(session) = was_there else {
        return told.map(|()| Ended::Before);
    };
    for index in indexes(names, &session) {
        let call = Call {
            script: Script::Remove,
            keys: vec![index],
            arguments: vec![id.as_str().into()],
        };
        link.write(call).await?;
    }
    let account = session.account;
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
