//! What may come only once, for as long as it could come again.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::row::{Outlived, execute, micros};
use crate::{Once, Seen, StoreError};

pub(super) const TABLES: &str = "
    CREATE TABLE seen_once (
        key       BLOB PRIMARY KEY,
        forget_at INTEGER NOT NULL   -- times as in `sign_in`
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX seen_once_forget_at ON seen_once (forget_at);
";

/// Keys whose time has passed.
pub(super) const OUTLIVED: Outlived = Outlived {
    table: "seen_once",
    key: "key",
    time: "forget_at",
};

/// Remembers a key, unless it is remembered already.
pub(super) fn remember(
    connection: &Connection,
    key: &Once,
    until: Timestamp,
    now: Timestamp,
) -> Result<Seen, StoreError> {
    const REMEMBER: &str = "INSERT INTO seen_once (key, forget_at) VALUES (?1, ?2) \
        ON CONFLICT (key) DO UPDATE SET forget_at = ?2 WHERE forget_at <= ?3";
    let parameters = params![key.0, micros(until), micros(now)];
    match execute(connection, REMEMBER, parameters)? {
        0 => Ok(Seen::Before),
        _ => Ok(Seen::First),
    }
}

/// Whether a key is remembered.
pub(super) fn is_remembered(
    connection: &Connection,
    key: &Once,
    now: Timestamp,
) -> Result<bool, StoreError> {
    const FIND: &str = "SELECT 1 FROM seen_once WHERE key = ?1 AND forget_at > ?2";
    let mut statement = connection.prepare_cached(FIND)?;
    Ok(statement.exists(params![key.0, micros(now)])?)
}
