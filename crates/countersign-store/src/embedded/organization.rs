//! Organisations, and what leads to them.

use countersign_core::OrganizationId;
use rusqlite::{Connection, params};

use super::record::Record;
use super::row::{Place, execute};
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

impl Record for Organization {
    const TABLE: &'static str = "organization";
    const KEY: &'static str = "id";

    fn key(&self) -> &str {
        self.id.as_str()
    }

    fn first_version(&self) -> Version {
        self.first_version()
    }
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
