//! API keys, by their ids and by their owners.

use rusqlite::{Connection, params};

use super::record::{self, Record, most, start};
use crate::{ApiKey, StoreError};

pub(super) const TABLES: &str = "
    CREATE TABLE api_key (
        id      TEXT PRIMARY KEY,
        version INTEGER NOT NULL,    -- how often the record was written
        record  TEXT NOT NULL,       -- JSON
        owner   TEXT NOT NULL GENERATED ALWAYS AS (record ->> '$.owner') VIRTUAL
    ) STRICT;
    CREATE INDEX api_key_owner ON api_key (owner, id);
";

impl Record for ApiKey {
    const TABLE: &'static str = "api_key";
    const KEY: &'static str = "id";

    fn key(&self) -> &str {
        self.id.as_str()
    }
}

/// The keys of an owner, in the order of their ids, after `after`.
pub(super) fn of(
    connection: &Connection,
    owner: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<ApiKey>, StoreError> {
    const FIND: &str = "SELECT id, version, record FROM api_key \
        WHERE owner = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
    record::list_by(connection, FIND, params![owner, start(after), most(limit)])
}
