//! Organisations, and what leads to them.

use countersign_core::OrganizationId;
use rusqlite::{Connection, params};

use super::record::{self, Record, most, start};
use super::row::execute;
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

/// Where a signpost leads, in order, after `after`.
pub(super) fn at_signpost(
    connection: &Connection,
    post: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Organization>, StoreError> {
    // The signposts first, in their order: each leads to one record.
    const FIND: &str = "SELECT id, version, record FROM signpost CROSS JOIN organization \
        ON id = signpost.organization WHERE post = ?1 AND signpost.organization > ?2 \
        ORDER BY signpost.organization LIMIT ?3";
    record::list_by(connection, FIND, params![post, start(after), most(limit)])
}
