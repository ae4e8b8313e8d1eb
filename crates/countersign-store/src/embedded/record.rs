//! Records with versions: what is read, put and replaced alike, whatever it is a record of.

use rusqlite::{Connection, Params, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::row::{Place, execute, from_json, to_json};
use crate::{StoreError, Version};

/// What has a table of `KEY, version, record` of its own.
pub(super) trait Record: Serialize + DeserializeOwned + Clone {
    const TABLE: &'static str;
    /// The column of its key.
    const KEY: &'static str;

    fn key(&self) -> &str;

    /// The version of a first record.
    fn first_version(&self) -> Version {
        Version(1)
    }
}

/// The record of that key.
pub(super) fn find<T: Record>(
    connection: &Connection,
    key: &str,
) -> Result<Option<(T, Version)>, StoreError> {
    let (table, column) = (T::TABLE, T::KEY);
    let sql = format!("SELECT {column}, version, record FROM {table} WHERE {column} = ?1");
    find_by(connection, &sql, key)
}

/// The record that a statement finds, which selects key, version and record.
pub(super) fn find_by<T: Record>(
    connection: &Connection,
    sql: &str,
    parameter: &str,
) -> Result<Option<(T, Version)>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([parameter])?;
    rows.next()?.map(read).transpose()
}

/// Writes a first record, unless there is one, and answers with the one in force.
pub(super) fn put_if_absent<T: Record>(
    connection: &Connection,
    record: &T,
) -> Result<(T, Version), StoreError> {
    let (table, column, key) = (T::TABLE, T::KEY, record.key());
    let sql = format!(
        "INSERT INTO {table} ({column}, version, record) VALUES (?1, ?2, ?3) ON CONFLICT ({column}) DO NOTHING"
    );
    let version = record.first_version();
    let (first, _) = step(version)?;
    if execute(connection, &sql, params![key, first, to_json(record)?])? == 1 {
        return Ok((record.clone(), version));
    }
    find(connection, key)?.ok_or_else(|| place::<T>(key).corrupt("it is there and can't be found"))
}

/// Replaces a record that still has `version`.
pub(super) fn replace<T: Record>(
    connection: &Connection,
    record: &T,
    version: Version,
) -> Result<Version, StoreError> {
    let (table, column) = (T::TABLE, T::KEY);
    let sql = format!(
        "UPDATE {table} SET record = ?1, version = ?2 WHERE {column} = ?3 AND version = ?4"
    );
    let (old, new) = step(version)?;
    let parameters = params![to_json(record)?, new, record.key(), old];
    match execute(connection, &sql, parameters)? {
        0 => Err(StoreError::Conflict),
        _ => Ok(Version(version.0 + 1)),
    }
}

/// Removes a record that still has `version`.
pub(super) fn remove<T: Record>(
    connection: &Connection,
    key: &str,
    version: Version,
) -> Result<(), StoreError> {
    let (table, column) = (T::TABLE, T::KEY);
    let sql = format!("DELETE FROM {table} WHERE {column} = ?1 AND version = ?2");
    let (version, _) = step(version)?;
    match execute(connection, &sql, params![key, version])? {
        0 => Err(StoreError::Conflict),
        _ => Ok(()),
    }
}

/// Records in the order of their keys, after `after`.
pub(super) fn list<T: Record>(
    connection: &Connection,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<T>, StoreError> {
    let (table, column) = (T::TABLE, T::KEY);
    let sql = format!(
        "SELECT {column}, version, record FROM {table} WHERE {column} > ?1 ORDER BY {column} LIMIT ?2"
    );
    list_by(connection, &sql, params![start(after), most(limit)])
}

/// The records that a statement finds, which selects key, version and record.
pub(super) fn list_by<T: Record>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(read(row)?.0);
    }
    Ok(records)
}

/// Behind which key a list begins. No key is empty, so all come after the empty text.
pub(super) fn start(after: Option<&str>) -> &str {
    after.unwrap_or_default()
}

/// How many rows a list has at most.
pub(super) fn most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A version as the integer that is kept, and the next one.
pub(super) fn step(version: Version) -> Result<(i64, i64), StoreError> {
    // A version that SQLite can't hold was never given out, so no record has it.
    let old = i64::try_from(version.0).map_err(|_| StoreError::Conflict)?;
    let new = old.checked_add(1).ok_or(StoreError::Conflict)?;
    Ok((old, new))
}

/// The version that a column holds.
pub(super) fn version(place: Place<'_>, column: i64) -> Result<Version, StoreError> {
    let version = u64::try_from(column);
    let version = version.map_err(|_| place.corrupt("its version is negative"))?;
    Ok(Version(version))
}

/// Reads a row of key, version and record.
fn read<T: Record>(row: &Row<'_>) -> Result<(T, Version), StoreError> {
    let key: String = row.get(0)?;
    let place = place::<T>(&key);
    let version = version(place, row.get(1)?)?;
    let record: T = from_json(place, row.get_ref(2)?)?;
    if record.key() == key {
        Ok((record, version))
    } else {
        Err(place.corrupt(&format!("it is the record of another {}", T::TABLE)))
    }
}

fn place<T: Record>(key: &str) -> Place<'_> {
    Place {
        table: T::TABLE,
        key,
    }
}
