//! Reads of one database, which never wait for its writer.

use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::database::Database;
use crate::StoreError;

/// A connection that reads what is committed.
#[derive(Debug)]
pub(super) struct Reader {
    database: Database,
    connection: Mutex<Connection>,
}

impl Reader {
    pub(super) fn open(database: Database) -> Result<Self, StoreError> {
        let connection = Mutex::new(database.open_for_reading()?);
        Ok(Self {
            database,
            connection,
        })
    }

    /// Reads a record or two on the caller's thread.
    ///
    /// Two look-ups in a B-tree take a few microseconds; handing them to another thread and being
    /// woken by it would cost more, and under a write-ahead log no reader waits for a writer.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // A panic elsewhere leaves a connection usable: statements reset when they are dropped.
        let connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        work(&connection)
    }

    /// Reads a list, on a thread and a connection of its own.
    pub(super) async fn read_much<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = self.database.clone();
        tokio::task::spawn_blocking(move || work(&database.open_for_reading()?))
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))?
    }
}
