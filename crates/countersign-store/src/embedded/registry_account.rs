//! Registry accounts: what a registry says of its own, under its own names.

use rusqlite::{Connection, Row, params};

use super::row::{Place, execute, from_json, to_json};
use crate::{RegistryAccount, RegistryAccountName, StoreError, Version};

pub(super) const TABLES: &str = "
    CREATE TABLE registry_account (
        name    TEXT PRIMARY KEY,
        version INTEGER NOT NULL,    -- how often the record was written
        record  TEXT NOT NULL        -- JSON
    ) STRICT, WITHOUT ROWID;
";

/// The registry account of that name.
pub(super) fn by_name(
    connection: &Connection,
    name: &RegistryAccountName,
) -> Result<Option<(RegistryAccount, Version)>, StoreError> {
    const FIND: &str = "SELECT name, version, record FROM registry_account WHERE name = ?1";
    let mut statement = connection.prepare_cached(FIND)?;
    let mut rows = statement.query([name.as_str()])?;
    rows.next()?.map(read).transpose()
}

/// Writes a first record, unless there is one, and answers with the one in force.
pub(super) fn put_if_absent(
    connection: &Connection,
    record: &RegistryAccount,
) -> Result<(RegistryAccount, Version), StoreError> {
    const PUT: &str = "INSERT INTO registry_account (name, version, record) VALUES (?1, 1, ?2) \
        ON CONFLICT (name) DO NOTHING";
    let written = to_json(record)?;
    if execute(connection, PUT, params![record.name.as_str(), written])? == 1 {
        return Ok((record.clone(), Version(1)));
    }
    let place = place(record.name.as_str());
    by_name(connection, &record.name)?
        .ok_or_else(|| place.corrupt("it is there and can't be found"))
}

/// Replaces a record that still has `version`.
pub(super) fn replace(
    connection: &Connection,
    record: &RegistryAccount,
    version: Version,
) -> Result<Version, StoreError> {
    const REPLACE: &str =
        "UPDATE registry_account SET record = ?1, version = ?2 WHERE name = ?3 AND version = ?4";
    // A version that SQLite can't hold was never given out, so no record has it.
    let old = i64::try_from(version.0).map_err(|_| StoreError::Conflict)?;
    let new = old.checked_add(1).ok_or(StoreError::Conflict)?;
    let parameters = params![to_json(record)?, new, record.name.as_str(), old];
    match execute(connection, REPLACE, parameters)? {
        0 => Err(StoreError::Conflict),
        _ => Ok(Version(version.0 + 1)),
    }
}

/// Reads a row of `name, version, record`.
fn read(row: &Row<'_>) -> Result<(RegistryAccount, Version), StoreError> {
    let name: String = row.get(0)?;
    let place = place(&name);
    let version = u64::try_from(row.get::<_, i64>(1)?)
        .map_err(|_| place.corrupt("its version is negative"))?;
    let record: RegistryAccount = from_json(place, row.get_ref(2)?)?;
    if record.name.as_str() == name {
        Ok((record, Version(version)))
    } else {
        Err(place.corrupt("it is the record of another"))
    }
}

fn place(name: &str) -> Place<'_> {
    Place {
        table: "registry_account",
        key: name,
    }
}
