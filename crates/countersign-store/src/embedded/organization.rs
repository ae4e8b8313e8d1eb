//! Organisations, and what leads to them.

use countersign_core::OrganizationId;
use rusqlite::{Connection, Row, params};

use super::row::{Place, execute, from_json, to_json};
use crate::organization::Signpost;
use crate::{Organization, StoreError, Version};

pub(super) const TABLES: &str = "
    CREATE TABLE organization (
        id      TEXT PRIMARY KEY,
        version INTEGER NOT NULL,    -- how often the record was written
        record  TEXT NOT NULL        -- JSON
    ) STRICT;
    CREATE TABLE signpost (
        post         TEXT NOT NULL,  -- as `Signpost` prints
        organization TEXT NOT NULL,
        PRIMARY KEY (post, organization)
    ) STRICT, WITHOUT ROWID;
";

/// The organisation of that id.
pub(super) fn by_id(
    connection: &Connection,
    id: &OrganizationId,
) -> Result<Option<(Organization, Version)>, StoreError> {
    const FIND: &str = "SELECT id, version, record FROM organization WHERE id = ?1";
    let mut statement = connection.prepare_cached(FIND)?;
    let mut rows = statement.query([id.as_str()])?;
    rows.next()?.map(read).transpose()
}

/// Writes a first record, unless there is one, and answers with the one in force.
pub(super) fn put_if_absent(
    connection: &Connection,
    organization: &Organization,
) -> Result<(Organization, Version), StoreError> {
    const PUT: &str = "INSERT INTO organization (id, version, record) VALUES (?1, 1, ?2) \
        ON CONFLICT (id) DO NOTHING";
    let id = organization.id.as_str();
    if execute(connection, PUT, params![id, to_json(organization)?])? == 1 {
        return Ok((organization.clone(), Version(1)));
    }
    by_id(connection, &organization.id)?
        .ok_or_else(|| place(id).corrupt("it is there and can't be found"))
}

/// Replaces a record that still has `version`.
pub(super) fn replace(
    connection: &Connection,
    organization: &Organization,
    version: Version,
) -> Result<Version, StoreError> {
    const REPLACE: &str =
        "UPDATE organization SET record = ?1, version = ?2 WHERE id = ?3 AND version = ?4";
    // A version that SQLite can't hold was never given out, so no record has it.
    let old = i64::try_from(version.0).map_err(|_| StoreError::Conflict)?;
    let new = old.checked_add(1).ok_or(StoreError::Conflict)?;
    let parameters = params![to_json(organization)?, new, organization.id.as_str(), old];
    match execute(connection, REPLACE, parameters)? {
        0 => Err(StoreError::Conflict),
        _ => Ok(Version(version.0 + 1)),
    }
}

/// Removes a record that still has `version`.
pub(super) fn remove(
    connection: &Connection,
    id: &OrganizationId,
    version: Version,
) -> Result<(), StoreError> {
    const REMOVE: &str = "DELETE FROM organization WHERE id = ?1 AND version = ?2";
    let version = i64::try_from(version.0).map_err(|_| StoreError::Conflict)?;
    match execute(connection, REMOVE, params![id.as_str(), version])? {
        0 => Err(StoreError::Conflict),
        _ => Ok(()),
    }
}

/// Organisations in the order of their ids, after `after`.
pub(super) fn list(
    connection: &Connection,
    after: Option<&OrganizationId>,
    limit: usize,
) -> Result<Vec<Organization>, StoreError> {
    // No id is empty, so all come after the empty text.
    const LIST: &str =
        "SELECT id, version, record FROM organization WHERE id > ?1 ORDER BY id LIMIT ?2";
    let after = after.map_or("", OrganizationId::as_str);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(LIST)?;
    let mut rows = statement.query(params![after, limit])?;
    let mut organizations = Vec::new();
    while let Some(row) = rows.next()? {
        organizations.push(read(row)?.0);
    }
    Ok(organizations)
}

/// Lets a signpost lead to an organisation.
pub(super) fn set_signpost(
    connection: &Connection,
    post: &Signpost,
    id: &OrganizationId,
) -> Result<(), StoreError> {
    const SET: &str = "INSERT INTO signpost (post, organization) VALUES (?1, ?2) \
        ON CONFLICT DO NOTHING";
    execute(connection, SET, params![post.to_string(), id.as_str()])?;
    Ok(())
}

/// Lets it lead there no more.
pub(super) fn remove_signpost(
    connection: &Connection,
    post: &Signpost,
    id: &OrganizationId,
) -> Result<(), StoreError> {
    const REMOVE: &str = "DELETE FROM signpost WHERE post = ?1 AND organization = ?2";
    execute(connection, REMOVE, params![post.to_string(), id.as_str()])?;
    Ok(())
}

/// Where a signpost leads, in order.
pub(super) fn at_signpost(
    connection: &Connection,
    post: &Signpost,
) -> Result<Vec<OrganizationId>, StoreError> {
    const FIND: &str = "SELECT organization FROM signpost WHERE post = ?1 ORDER BY organization";
    let key = post.to_string();
    let place = Place {
        table: "signpost",
        key: &key,
    };
    let mut statement = connection.prepare_cached(FIND)?;
    let mut rows = statement.query([&key])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let id = OrganizationId::new(id).map_err(|error| place.corrupt(&error.to_string()))?;
        ids.push(id);
    }
    Ok(ids)
}

/// Reads a row of `id, version, record`.
fn read(row: &Row<'_>) -> Result<(Organization, Version), StoreError> {
    let id: String = row.get(0)?;
    let place = place(&id);
    let version = u64::try_from(row.get::<_, i64>(1)?)
        .map_err(|_| place.corrupt("its version is negative"))?;
    let organization: Organization = from_json(place, row.get_ref(2)?)?;
    if organization.id.as_str() == id {
        Ok((organization, Version(version)))
    } else {
        Err(place.corrupt("it is the record of another organization"))
    }
}

fn place(id: &str) -> Place<'_> {
    Place {
        table: "organization",
        key: id,
    }
}
