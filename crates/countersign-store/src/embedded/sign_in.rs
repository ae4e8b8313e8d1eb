//! What a sign-in leaves behind: the spent attempt, its session and its code, in one row.
//!
//! One row, since the three are written together and belong to one owner: a login costs one
//! insert and one update. What ends is set to null; the row stays until nothing of it is needed.

use countersign_core::SessionId;
use jiff::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};

use super::row::{Outlived, Place, execute, from_json, micros, to_json};
use super::{ended, kept_token, logout_notice};
use crate::{
    Code, CodeDigest, EndKind, Ended, Opening, ProviderSession, Session, StoreError, TakenCode,
};

/// Rows are appended in the order of `n`, so that the random ids scatter over a small index only.
pub(super) const TABLES: &str = "
    CREATE TABLE sign_in (
        n                  INTEGER PRIMARY KEY,
        session_id         TEXT NOT NULL UNIQUE,  -- names the attempt too: `sess_` and its id
        session            TEXT,                  -- JSON; null once ended
        session_expires_at INTEGER NOT NULL,      -- its end or its idle limit, whichever comes first;
                                                  -- this and all times: microseconds since 1970
        code_digest        BLOB NOT NULL,         -- SHA-256 of the code's secret part
        code               TEXT,                  -- JSON; null once taken
        code_expires_at    INTEGER NOT NULL,
        forget_at          INTEGER NOT NULL       -- the row's end: nothing of it is needed any more
    ) STRICT;
    CREATE INDEX sign_in_forget_at ON sign_in (forget_at);
";

/// Sign-ins of which nothing is needed any more.
pub(super) const OUTLIVED: Outlived = Outlived {
    table: "sign_in",
    key: "n",
    time: "forget_at",
};

/// Every how many new rows the expired ones are looked for: looking costs as much as the row itself.
const SWEEP_EVERY: i64 = 16;
/// How many expired rows then go: more than have come since, so that they never pile up.
const SWEPT_IN_PASSING: usize = 32;

/// A row to be written.
#[derive(Debug)]
pub(super) struct Row {
    session_id: SessionId,
    session: String,
    session_expires_at: i64,
    code_digest: [u8; 32],
    code: String,
    code_expires_at: i64,
    session_ends_at: i64,
    forget_at: i64,
    account_id: String,
    provider_session: Option<String>,
    client_id: String,
}

impl Row {
    pub(super) fn new(opening: &Opening) -> Result<Self, StoreError> {
        let session_id = SessionId::of(&opening.attempt);
        if opening.session.id != session_id {
            return Err(StoreError::Unavailable(format!(
                "session `{}` is not named after its attempt",
                opening.session.id
            )));
        }
        let session_ends_at = micros(opening.session.expires_at);
        let session_expires_at = session_ends_at.min(micros(opening.idle_until));
        let code_expires_at = micros(opening.code.expires_at);
        Ok(Self {
            session_id,
            session: to_json(&opening.session)?,
            session_expires_at,
            code_digest: opening.code_digest,
            code: to_json(&opening.code)?,
            code_expires_at,
            session_ends_at,
            forget_at: micros(opening.attempt_remembered_until)
                .max(session_ends_at)
                .max(code_expires_at),
            account_id: opening.session.account.to_string(),
            provider_session: ProviderSession::behind(&opening.session.evidence)
                .map(|one| one.to_string()),
            client_id: opening.code.client.to_string(),
        })
    }
}

/// Spends the attempt, opens its session and keeps its code; nothing of that if the attempt is spent.
pub(super) fn open(connection: &Connection, row: &Row, now: Timestamp) -> Result<(), StoreError> {
    const INSERT: &str = "INSERT INTO sign_in (session_id, session, session_expires_at, \
        code_digest, code, code_expires_at, forget_at, account_id, provider_session, client_id) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
        ON CONFLICT (session_id) DO NOTHING";
    let written = execute(
        connection,
        INSERT,
        params![
            row.session_id.as_str(),
            row.session,
            row.session_expires_at,
            row.code_digest,
            row.code,
            row.code_expires_at,
            row.forget_at,
            row.account_id,
            row.provider_session,
            row.client_id,
        ],
    )?;
    if written == 0 {
        return Err(StoreError::AttemptSpent);
    }
    kept_token::take_over(connection, &row.session_id, row.session_ends_at)?;
    if connection.last_insert_rowid() % SWEEP_EVERY == 0 {
        OUTLIVED.sweep(connection, now, SWEPT_IN_PASSING)?;
    }
    Ok(())
}

/// Takes a code, once.
pub(super) fn take_code(
    connection: &Connection,
    code: &CodeDigest,
    now: Timestamp,
) -> Result<TakenCode, StoreError> {
    // A wrong digest finds no row and so neither spends the code nor ends the session: knowing the
    // session is not enough for either. Comparing in SQL may leak by its time how many leading bytes
    // of the SHA-256 were right, which helps nobody to find what it is the digest of.
    const FIND: &str = "SELECT code, code_expires_at, session, session_expires_at \
            FROM sign_in WHERE session_id = ?1 AND code_digest = ?2 \
        UNION ALL \
        SELECT further.code, further.code_expires_at, session, session_expires_at \
            FROM further_code AS further JOIN sign_in USING (session_id) \
            WHERE further.session_id = ?1 AND further.code_digest = ?2";
    let id = &code.session;
    let mut statement = connection.prepare_cached(FIND)?;
    let mut rows = statement.query(params![id.as_str(), code.digest])?;
    let Some(row) = rows.next()? else {
        return Ok(TakenCode::Unknown);
    };
    if row.get_ref(0)? == ValueRef::Null {
        return end(connection, id, now).map(TakenCode::Replayed);
    }
    let now = micros(now);
    if now >= row.get::<_, i64>(1)? {
        return Ok(TakenCode::Unknown);
    }
    if row.get_ref(2)? == ValueRef::Null || now >= row.get::<_, i64>(3)? {
        return Ok(TakenCode::Unknown);
    }
    let kept: Code = from_json(place(id), row.get_ref(0)?)?;
    let session = read_session(id, row.get_ref(2)?)?;
    spend(connection, code)?;
    Ok(TakenCode::Fresh {
        code: Box::new(kept),
        session: Box::new(session),
    })
}

/// It is in one of the two tables.
fn spend(connection: &Connection, code: &CodeDigest) -> rusqlite::Result<()> {
    const FIRST: &str = "UPDATE sign_in SET code = NULL WHERE session_id = ?1 AND code_digest = ?2";
    const FURTHER: &str =
        "UPDATE further_code SET code = NULL WHERE session_id = ?1 AND code_digest = ?2";
    if execute(
        connection,
        FIRST,
        params![code.session.as_str(), code.digest],
    )? == 0
    {
        execute(
            connection,
            FURTHER,
            params![code.session.as_str(), code.digest],
        )?;
    }
    Ok(())
}

/// A live session.
pub(super) fn session(
    connection: &Connection,
    id: &SessionId,
    now: Timestamp,
) -> Result<Option<Session>, StoreError> {
    const FIND: &str = "SELECT session FROM sign_in \
        WHERE session_id = ?1 AND session_expires_at > ?2 AND session IS NOT NULL";
    let mut statement = connection.prepare_cached(FIND)?;
    let mut rows = statement.query(params![id.as_str(), micros(now)])?;
    match rows.next()? {
        Some(row) => read_session(id, row.get_ref(0)?).map(Some),
        None => Ok(None),
    }
}

/// Keeps a live session in use: its idle limit is now at this time.
pub(super) fn keep(
    connection: &Connection,
    id: &SessionId,
    until: Timestamp,
) -> Result<(), StoreError> {
    const KEEP: &str = "UPDATE sign_in SET session_expires_at = ?2 WHERE session_id = ?1";
    execute(connection, KEEP, params![id.as_str(), micros(until)])?;
    Ok(())
}

/// Ends a session, if it is there, and has its clients told.
pub(super) fn end(
    connection: &Connection,
    id: &SessionId,
    now: Timestamp,
) -> Result<Ended, StoreError> {
    const END: &str =
        "UPDATE sign_in SET session = NULL WHERE session_id = ?1 AND session IS NOT NULL";
    let ended = Ended::unless_over(&session(connection, id, now));
    if execute(connection, END, [id.as_str()])? > 0 {
        logout_notice::leave(connection, id, now)?;
        ended::tell(connection, EndKind::Session, id.as_str(), now)?;
    }
    kept_token::forget(connection, id)?;
    Ok(ended)
}

pub(super) fn read_session(id: &SessionId, column: ValueRef<'_>) -> Result<Session, StoreError> {
    let session: Session = from_json(place(id), column)?;
    if session.id == *id {
        Ok(session)
    } else {
        Err(place(id).corrupt("it is the record of another session"))
    }
}

fn place(id: &SessionId) -> Place<'_> {
    Place {
        table: "sign_in",
        key: id.as_str(),
    }
}
