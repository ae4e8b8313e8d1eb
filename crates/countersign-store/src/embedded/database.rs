//! What the two databases look like, and how a connection to one is set up.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{
    account, api_key, audit, bucket, device, ended, grant, kept_token, key, logout_notice, once,
    organization, registry_account, session, sign_in,
};
use crate::StoreError;

/// What may be lost with the power, since the person can sign in again.
pub(super) const STATE: Plan = Plan {
    file: "state.db",
    // Nothing is synced at a commit, only at a checkpoint: https://sqlite.org/pragma.html#pragma_synchronous
    synchronous: "NORMAL",
    secure_delete: false,
    // 16 MB of log between checkpoints, which sync twice: many logins share one.
    checkpoint_pages: 4000,
    migrations: &[
        &[sign_in::TABLES],
        &[grant::TABLES],
        &[once::TABLES],
        &[session::TABLES, logout_notice::TABLES],
        &[bucket::TABLES],
        &[device::TABLES],
        &[ended::TABLES],
        &[kept_token::TABLES],
    ],
};

/// What may not be lost.
pub(super) const DURABLE: Plan = Plan {
    file: "durable.db",
    synchronous: "FULL",
    secure_delete: true,
    checkpoint_pages: 1000,
    migrations: &[
        &[account::TABLES, key::TABLES],
        &[registry_account::TABLES],
        &[organization::TABLES],
        &[audit::TABLES],
        &[api_key::TABLES],
    ],
};

/// How long a write waits for a person's `sqlite3` shell that holds the database.
const WRITER_PATIENCE: Duration = Duration::from_secs(2);
/// A read waits on the caller's thread, and only where a shell holds the database exclusively.
const READER_PATIENCE: Duration = Duration::from_millis(100);
/// More statements than either database has.
const STATEMENTS: usize = 32;
/// A log that grew beyond this many bytes, behind a long read, is cut back to it.
const LOG_BYTES: i64 = 32 * 1024 * 1024;

/// What one database is for.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) file: &'static str,
    synchronous: &'static str,
    secure_delete: bool,
    checkpoint_pages: i64,
    /// What brings a database from one `user_version` to the next. Entries are added, never changed.
    migrations: &'static [&'static [&'static str]],
}

/// Whether tables may be made and brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upkeep {
    /// Nobody else has the databases open.
    Allowed,
    /// Another process may: what it knows of the tables must stay true.
    Forbidden,
}

/// One database of a data directory.
#[derive(Debug, Clone)]
pub(super) struct Database {
    path: PathBuf,
    plan: &'static Plan,
}

impl Database {
    pub(super) fn at(directory: &Path, plan: &'static Plan) -> Self {
        let path = directory.join(plan.file);
        Self { path, plan }
    }

    /// Opens the one connection of this process that writes, with the tables made or brought up to date.
    pub(super) fn open_for_writing(&self, upkeep: Upkeep) -> Result<Connection, StoreError> {
        self.set_up_writer(upkeep)
            .map_err(|error| self.named(error))
    }

    /// Opens a connection that reads.
    pub(super) fn open_for_reading(&self) -> Result<Connection, StoreError> {
        self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY, READER_PATIENCE)
            .map_err(|error| self.named(error.into()))
    }

    fn set_up_writer(&self, upkeep: Upkeep) -> Result<Connection, StoreError> {
        let mut connection = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE, WRITER_PATIENCE)?;
        self.migrate(&mut connection, upkeep)?;
        let mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        if mode != "wal" {
            return Err(StoreError::Unavailable(
                "a write-ahead log does not work here: is it a network file system?".into(),
            ));
        }
        // What was written over is zeroed: a key that was sealed or forgotten must not stay readable.
        connection.pragma_update(None, "secure_delete", self.plan.secure_delete)?;
        connection.pragma_update(None, "synchronous", self.plan.synchronous)?;
        connection.pragma_update(None, "wal_autocheckpoint", self.plan.checkpoint_pages)?;
        connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
        Ok(connection)
    }

    fn connect(&self, access: OpenFlags, patience: Duration) -> rusqlite::Result<Connection> {
        // No mutex: each connection is used by one thread at a time, which Rust checks.
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(patience)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // One plan for all values. Otherwise SQLite, as it is compiled in (STAT4), plans a statement
        // anew whenever another value is bound, which costs more than running it:
        // https://sqlite.org/queryplanner-ng.html#qpstab
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        // Whatever is sorted or undone on the way stays out of the file system.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "trusted_schema", false)?;
        Ok(connection)
    }

    fn migrate(&self, connection: &mut Connection, upkeep: Upkeep) -> Result<(), StoreError> {
        let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let known = self.plan.migrations.len();
        let Some(missing) = usize::try_from(found)
            .ok()
            .and_then(|done| self.plan.migrations.get(done..))
        else {
            return Err(StoreError::Unavailable(format!(
                "it was written by a newer Countersign (schema {found}, this one knows {known})"
            )));
        };
        if found == 0 && has_tables(connection)? {
            return Err(StoreError::Unavailable(
                "it is a database of something else than Countersign".into(),
            ));
        }
        if missing.is_empty() {
            return Ok(());
        }
        if upkeep == Upkeep::Forbidden {
            return Err(StoreError::Unavailable(format!(
                "it was written by an older Countersign (schema {found}, this one needs {known}): \
                 stop what has it open, and start `countersign serve` of this version once"
            )));
        }
        let transaction = connection.transaction()?;
        for sql in missing.iter().copied().flatten() {
            transaction.execute_batch(sql)?;
        }
        transaction.execute_batch(&format!("PRAGMA user_version = {known}"))?;
        Ok(transaction.commit()?)
    }

    fn named(&self, error: StoreError) -> StoreError {
        let path = self.path.display();
        match error {
            StoreError::Unavailable(cause) => StoreError::Unavailable(format!("`{path}`: {cause}")),
            StoreError::Corrupt(cause) => StoreError::Corrupt(format!("`{path}`: {cause}")),
            StoreError::AttemptSpent | StoreError::Conflict => error,
        }
    }
}

fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) > 0 FROM sqlite_schema", [], |row| {
        row.get(0)
    })
}
