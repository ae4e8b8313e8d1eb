//! Signing and sealing keys, under their names.

use rusqlite::{Connection, Row, params};

use super::row::{Place, execute};
use crate::{KeyMaterial, StoreError, StoredKey};

pub(super) const TABLES: &str = "
    CREATE TABLE stored_key (
        name       TEXT PRIMARY KEY,
        created_at TEXT NOT NULL,    -- RFC 3339
        material   BLOB NOT NULL
    ) STRICT;
";

/// Keeps a key, unless there is one of its name, and answers with the one in force.
pub(super) fn put_if_absent(
    connection: &Connection,
    key: &StoredKey,
) -> Result<StoredKey, StoreError> {
    const PUT: &str = "INSERT INTO stored_key (name, created_at, material) VALUES (?1, ?2, ?3) \
        ON CONFLICT (name) DO NOTHING";
    const FIND: &str = "SELECT name, created_at, material FROM stored_key WHERE name = ?1";
    let created_at = key.created_at.to_string();
    execute(
        connection,
        PUT,
        params![key.name, created_at, key.material.0],
    )?;
    let mut statement = connection.prepare_cached(FIND)?;
    let mut rows = statement.query([&key.name])?;
    match rows.next()? {
        Some(row) => read(row),
        None => Err(place(&key.name).corrupt("it is there and can't be found")),
    }
}

/// Replaces a key's material, if it is still the known one.
pub(super) fn replace(
    connection: &Connection,
    known: &StoredKey,
    material: &KeyMaterial,
) -> Result<(), StoreError> {
    const REPLACE: &str = "UPDATE stored_key SET material = ?3 WHERE name = ?1 AND material = ?2";
    let parameters = params![known.name, known.material.0, material.0];
    match execute(connection, REPLACE, parameters)? {
        0 => Err(StoreError::Conflict),
        _ => Ok(()),
    }
}

/// All keys, in the order of their names.
pub(super) fn list(connection: &Connection) -> Result<Vec<StoredKey>, StoreError> {
    const LIST: &str = "SELECT name, created_at, material FROM stored_key ORDER BY name";
    let mut statement = connection.prepare_cached(LIST)?;
    let mut rows = statement.query([])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push(read(row)?);
    }
    Ok(keys)
}

fn read(row: &Row<'_>) -> Result<StoredKey, StoreError> {
    let name: String = row.get(0)?;
    let created_at = row
        .get_ref(1)?
        .as_str()
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| place(&name).corrupt("its date is none"))?;
    let material = KeyMaterial(row.get(2)?);
    Ok(StoredKey {
        name,
        created_at,
        material,
    })
}

fn place(name: &str) -> Place<'_> {
    Place {
        table: "stored_key",
        key: name,
    }
}
