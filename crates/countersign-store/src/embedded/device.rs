//! What devices ask for, until somebody has answered.

use jiff::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};

use super::row::{Outlived, Place, execute, from_json, micros, to_json};
use crate::{DeviceAnswer, DeviceRequest, DeviceRequestId, StoreError};

pub(super) const TABLES: &str = "
    CREATE TABLE device_request (
        id         BLOB PRIMARY KEY,
        request    TEXT NOT NULL,     -- JSON
        answer     TEXT,              -- JSON; null until there is one
        expires_at INTEGER NOT NULL   -- times as in `sign_in`
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX device_request_expires_at ON device_request (expires_at);
";

/// Requests that have expired.
pub(super) const OUTLIVED: Outlived = Outlived {
    table: "device_request",
    key: "id",
    time: "expires_at",
};

const PLACE: Place<'static> = Place {
    table: "device_request",
    key: "one",
};

/// Keeps a request, unless one of this id is there that has not expired.
pub(super) fn open(
    connection: &Connection,
    id: &DeviceRequestId,
    request: &DeviceRequest,
    now: Timestamp,
) -> Result<(), StoreError> {
    const KEEP: &str = "INSERT INTO device_request (id, request, expires_at) VALUES (?1, ?2, ?3) \
        ON CONFLICT (id) DO UPDATE SET request = ?2, answer = NULL, expires_at = ?3 \
        WHERE expires_at <= ?4";
    let request_json = to_json(request)?;
    let expires_at = micros(request.expires_at);
    match execute(
        connection,
        KEEP,
        params![id.0, request_json, expires_at, micros(now)],
    )? {
        0 => Err(StoreError::Conflict),
        _ => Ok(()),
    }
}

/// A request that has not expired, with its answer.
pub(super) fn find(
    connection: &Connection,
    id: &DeviceRequestId,
    now: Timestamp,
) -> Result<Option<(DeviceRequest, Option<DeviceAnswer>)>, StoreError> {
    const FIND: &str =
        "SELECT request, answer FROM device_request WHERE id = ?1 AND expires_at > ?2";
    let mut statement = connection.prepare_cached(FIND)?;
    let mut rows = statement.query(params![id.0, micros(now)])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let answer = match row.get_ref(1)? {
        ValueRef::Null => None,
        answer => Some(from_json(PLACE, answer)?),
    };
    Ok(Some((from_json(PLACE, row.get_ref(0)?)?, answer)))
}

/// Answers a request that has no answer yet.
pub(super) fn answer(
    connection: &Connection,
    id: &DeviceRequestId,
    answer: &DeviceAnswer,
    now: Timestamp,
) -> Result<bool, StoreError> {
    const ANSWER: &str = "UPDATE device_request SET answer = ?2 \
        WHERE id = ?1 AND answer IS NULL AND expires_at > ?3";
    let answered = execute(
        connection,
        ANSWER,
        params![id.0, to_json(answer)?, micros(now)],
    )?;
    Ok(answered > 0)
}
