//! Whom a session's end is still to be told: written with the end, kept until told.

use countersign_core::{AccountId, ClientId, SessionId};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, Row, params};

use super::row::{Outlived, Place, account_id, execute, micros};
use super::session;
use crate::{LogoutNotice, StoreError};

pub(super) const TABLES: &str = "
    CREATE TABLE logout_notice (
        session_id TEXT NOT NULL,
        client_id  TEXT NOT NULL,
        account_id TEXT NOT NULL,
        tries      INTEGER NOT NULL,
        due_at     INTEGER NOT NULL,  -- this and all times as in `sign_in`
        forget_at  INTEGER NOT NULL,
        PRIMARY KEY (session_id, client_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX logout_notice_due_at ON logout_notice (due_at);
";

/// Notices that nobody could be told.
pub(super) const OUTLIVED: Outlived = Outlived {
    table: "logout_notice",
    key: "(session_id, client_id)",
    time: "forget_at",
};

/// For so long it is tried to tell a client.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// Leaves a notice for each client of a session that has just been ended.
pub(super) fn leave(
    connection: &Connection,
    id: &SessionId,
    now: Timestamp,
) -> Result<(), StoreError> {
    const INSERT: &str = "INSERT INTO logout_notice \
        (session_id, client_id, account_id, tries, due_at, forget_at) \
        SELECT session_id, ?2, account_id, 0, ?3, ?4 FROM sign_in \
        WHERE session_id = ?1 AND account_id IS NOT NULL \
        ON CONFLICT (session_id, client_id) DO NOTHING";
    let forget_at = now.saturating_add(KEPT).unwrap_or(Timestamp::MAX);
    for client in session::clients(connection, id)? {
        let parameters = params![id.as_str(), client.as_str(), micros(now), micros(forget_at)];
        execute(connection, INSERT, parameters)?;
    }
    Ok(())
}

/// Takes notices that are due, and makes them due again later.
pub(super) fn take(
    connection: &Connection,
    limit: usize,
    again: Timestamp,
    now: Timestamp,
) -> Result<Vec<LogoutNotice>, StoreError> {
    const DUE: &str = "SELECT session_id, client_id, account_id, tries + 1 FROM logout_notice \
        WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2";
    const TRIED: &str = "UPDATE logout_notice SET tries = ?3, due_at = ?4 \
        WHERE session_id = ?1 AND client_id = ?2";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(DUE)?;
    let mut rows = statement.query([micros(now), limit])?;
    let mut taken = Vec::new();
    while let Some(row) = rows.next()? {
        taken.push(read(row)?);
    }
    for notice in &taken {
        let key = (notice.session.as_str(), notice.client.as_str());
        let parameters = params![key.0, key.1, notice.tries, micros(again)];
        execute(connection, TRIED, parameters)?;
    }
    Ok(taken)
}

/// Makes a notice due at this time.
pub(super) fn postpone(
    connection: &Connection,
    notice: &LogoutNotice,
    until: Timestamp,
) -> Result<(), StoreError> {
    const POSTPONE: &str =
        "UPDATE logout_notice SET due_at = ?3 WHERE session_id = ?1 AND client_id = ?2";
    let key = (notice.session.as_str(), notice.client.as_str());
    execute(connection, POSTPONE, params![key.0, key.1, micros(until)])?;
    Ok(())
}

/// Forgets a notice.
pub(super) fn settle(connection: &Connection, notice: &LogoutNotice) -> Result<(), StoreError> {
    const SETTLE: &str = "DELETE FROM logout_notice WHERE session_id = ?1 AND client_id = ?2";
    let key = [notice.session.as_str(), notice.client.as_str()];
    execute(connection, SETTLE, key)?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<LogoutNotice, StoreError> {
    let session: String = row.get(0)?;
    let place = Place {
        table: "logout_notice",
        key: &session,
    };
    let account: AccountId = account_id(place, row.get_ref(2)?)?;
    let client = ClientId::new(row.get::<_, String>(1)?);
    Ok(LogoutNotice {
        client: client.map_err(|error| place.corrupt(&error.to_string()))?,
        account,
        tries: row.get(3)?,
        session: SessionId::new(session.clone())
            .map_err(|error| place.corrupt(&error.to_string()))?,
    })
}
