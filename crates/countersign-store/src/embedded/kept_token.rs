//! What providers are asked again with: a token for each session of those that are, sealed by the caller.

use countersign_core::SessionId;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::row::{Outlived, Place, execute, from_json, micros, to_json};
use super::{record, sign_in};
use crate::{KeptToken, StoreError, Version};

pub(super) const TABLES: &str = "
    CREATE TABLE kept_token (
        session_id TEXT PRIMARY KEY,   -- of a session that is open, or that an attempt under way is to open
        token      TEXT NOT NULL,      -- JSON, the provider's token in it sealed
        version    INTEGER NOT NULL,   -- how often it was written
        forget_at  INTEGER NOT NULL    -- the end of its attempt, then of its session
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX kept_token_forget_at ON kept_token (forget_at);
";

/// Tokens whose session is over, or was never opened.
pub(super) const OUTLIVED: Outlived = Outlived {
    table: "kept_token",
    key: "session_id",
    time: "forget_at",
};

/// Keeps a token for a session that is not open yet.
pub(super) fn keep(
    connection: &Connection,
    token: &KeptToken,
    until: Timestamp,
) -> Result<(), StoreError> {
    const OPENED: &str = "SELECT 1 FROM sign_in WHERE session_id = ?1";
    const KEEP: &str = "INSERT OR REPLACE INTO kept_token (session_id, token, version, forget_at) \
        VALUES (?1, ?2, 1, ?3)";
    let id = token.session.as_str();
    let mut statement = connection.prepare_cached(OPENED)?;
    if statement.query_row([id], |_| Ok(())).optional()?.is_some() {
        return Err(StoreError::AttemptSpent);
    }
    execute(
        connection,
        KEEP,
        params![id, to_json(token)?, micros(until)],
    )?;
    Ok(())
}

/// The token of a live session.
pub(super) fn find(
    connection: &Connection,
    session: &SessionId,
    now: Timestamp,
) -> Result<Option<(KeptToken, Version)>, StoreError> {
    const FIND: &str =
        "SELECT token, version FROM kept_token WHERE session_id = ?1 AND forget_at > ?2";
    if sign_in::session(connection, session, now)?.is_none() {
        return Ok(None);
    }
    let mut statement = connection.prepare_cached(FIND)?;
    let mut rows = statement.query(params![session.as_str(), micros(now)])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let place = Place {
        table: "kept_token",
        key: session.as_str(),
    };
    let token: KeptToken = from_json(place, row.get_ref(0)?)?;
    if token.session != *session {
        return Err(place.corrupt("it is the record of another session"));
    }
    let version = record::version(place, row.get(1)?)?;
    Ok(Some((token, version)))
}

/// Replaces a token that nobody has replaced since.
pub(super) fn replace(
    connection: &Connection,
    token: &KeptToken,
    version: Version,
) -> Result<Version, StoreError> {
    const REPLACE: &str =
        "UPDATE kept_token SET token = ?2, version = ?4 WHERE session_id = ?1 AND version = ?3";
    let (old, new) = record::step(version)?;
    let parameters = params![token.session.as_str(), to_json(token)?, old, new];
    match execute(connection, REPLACE, parameters)? {
        0 => Err(StoreError::Conflict),
        _ => Ok(Version(version.0 + 1)),
    }
}

/// Its session is open now: it lasts as long.
pub(super) fn take_over(
    connection: &Connection,
    session: &SessionId,
    until: i64,
) -> Result<(), StoreError> {
    const TAKE_OVER: &str = "UPDATE kept_token SET forget_at = ?2 WHERE session_id = ?1";
    execute(connection, TAKE_OVER, params![session.as_str(), until])?;
    Ok(())
}

/// Forgets the token of a session that has ended.
pub(super) fn forget(connection: &Connection, session: &SessionId) -> Result<(), StoreError> {
    const FORGET: &str = "DELETE FROM kept_token WHERE session_id = ?1";
    execute(connection, FORGET, [session.as_str()])?;
    Ok(())
}
