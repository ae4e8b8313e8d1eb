//! How rows become values, and SQLite's errors ours.

use countersign_core::AccountId;
use jiff::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, Params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;

/// Runs one statement, prepared once per connection, and counts the rows it changed.
pub(super) fn execute(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
) -> rusqlite::Result<usize> {
    connection.prepare_cached(sql)?.execute(parameters)
}

/// A record as the JSON that is kept.
pub(super) fn to_json(record: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(record)
        .map_err(|error| StoreError::Unavailable(format!("a record can't be written: {error}")))
}

/// The record that a column holds as JSON.
pub(super) fn from_json<T: DeserializeOwned>(
    place: Place<'_>,
    column: ValueRef<'_>,
) -> Result<T, StoreError> {
    let bytes = column
        .as_bytes()
        .map_err(|_| place.corrupt("it is not text"))?;
    // The message of serde_json can quote the record, and so a person's name: only the spot is told.
    serde_json::from_slice(bytes).map_err(|error| {
        place.corrupt(&format!(
            "its JSON is not the record's, at byte {}",
            error.column()
        ))
    })
}

/// The account id that a column holds.
pub(super) fn account_id(place: Place<'_>, column: ValueRef<'_>) -> Result<AccountId, StoreError> {
    let text = column
        .as_str()
        .map_err(|_| place.corrupt("its account is not text"))?;
    AccountId::new(text).map_err(|error| place.corrupt(&error.to_string()))
}

/// A time as the integer that is kept and compared: microseconds since 1970.
///
/// Cut off, not rounded: a record never lives longer than it says.
pub(super) fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// Rows that go by themselves once a time is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outlived {
    pub(super) table: &'static str,
    /// The column of the key, or the columns in brackets.
    pub(super) key: &'static str,
    /// The column of the time ([`micros`]).
    pub(super) time: &'static str,
}

impl Outlived {
    /// Forgets at most `limit` rows, the oldest first, and counts them.
    pub(super) fn sweep(
        self,
        connection: &Connection,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let Self { table, key, time } = self;
        let columns = key.trim_matches(['(', ')']);
        let sql = format!(
            "DELETE FROM {table} WHERE {key} IN \
                (SELECT {columns} FROM {table} WHERE {time} <= ?1 ORDER BY {time} LIMIT ?2)"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        Ok(execute(connection, &sql, [micros(now), limit])?)
    }
}

/// Where a record is, for the message that it can't be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) table: &'static str,
    pub(super) key: &'a str,
}

impl Place<'_> {
    pub(super) fn corrupt(self, what: &str) -> StoreError {
        let Self { table, key } = self;
        StoreError::Corrupt(format!("table `{table}`, key `{key}`: {what}"))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error::{
            FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error,
        };
        match &error {
            FromSqlConversionFailure(..)
            | IntegralValueOutOfRange(..)
            | InvalidColumnType(..)
            | Utf8Error(..) => Self::Corrupt(error.to_string()),
            rusqlite::Error::SqliteFailure(failure, _)
                if matches!(
                    failure.code,
                    ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase
                ) =>
            {
                Self::Corrupt(error.to_string())
            }
            _ => Self::Unavailable(error.to_string()),
        }
    }
}
