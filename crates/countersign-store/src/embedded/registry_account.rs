//! Registry accounts: what a registry says of its own, under its own names.

use super::record::Record;
use crate::RegistryAccount;

pub(super) const TABLES: &str = "
    CREATE TABLE registry_account (
        name    TEXT PRIMARY KEY,
        version INTEGER NOT NULL,    -- how often the record was written
        record  TEXT NOT NULL        -- JSON
    ) STRICT, WITHOUT ROWID;
";

impl Record for RegistryAccount {
    const TABLE: &'static str = "registry_account";
    const KEY: &'static str = "name";

    fn key(&self) -> &str {
        self.name.as_str()
    }
}
