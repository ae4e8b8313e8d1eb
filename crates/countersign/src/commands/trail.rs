//! What commands change is written down, too: in a chain of their own, since a server may have its own open.
//!
//! It is opened before anything is changed, so that nothing is where nothing can be written.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use countersign_server::{
    AuditLog, AuditLogSettings, Clock, Happening, SystemClock, SystemEntropy, Writer,
};
use countersign_store::Store;

use super::store;

/// The audit log, as a command has it.
pub(super) struct Trail {
    log: AuditLog,
    store: Arc<dyn Store>,
}

impl Trail {
    /// Opens it; waits while another command has it.
    pub(super) async fn open(
        settings: &AuditLogSettings,
        data_dir: &Path,
        store: Arc<dyn Store>,
    ) -> Result<Self> {
        store::make_private(data_dir)?;
        let heads = store.audit_heads().await?;
        let log = AuditLog::open(
            settings,
            Writer::Command,
            data_dir,
            &heads,
            (&SystemEntropy, SystemClock.now()),
        );
        let log = log.map_err(|error| {
            anyhow!("nothing was done, since it can't be written down: the audit log: {error}")
        })?;
        Ok(Self { log, store })
    }

    /// Writes down what was done.
    pub(super) async fn note(&self, happening: Happening) -> Result<()> {
        let written = self.log.write_through(happening, SystemClock.now()).await;
        written.context("it was done, and could not be written down")
    }

    /// Ends it, and tells the store how far it is.
    pub(super) async fn close(self) -> Result<()> {
        if let Some(head) = self.log.close()? {
            self.store.put_audit_head(&head).await?;
        }
        Ok(())
    }
}
