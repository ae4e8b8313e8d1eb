//! What commands change is written down, too: in a chain of their own, since a server may have its own open.
//!
//! Whether it can be is seen before anything is changed. It is open for the moment of a line only: other commands write
//! to the same file, and one may have to lock an account while another brings in a million.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use countersign::config::Installation;
use countersign_server::{
    AuditLog, AuditLogError, AuditLogSettings, Clock, Happening, SystemClock, SystemEntropy, Writer,
};
use countersign_store::{AuditHead, Store};

use super::store;

/// The audit log, as a command has it.
pub(super) struct Trail {
    settings: AuditLogSettings,
    data_dir: PathBuf,
    store: Arc<dyn Store>,
}

impl Trail {
    /// The one of this installation.
    pub(super) fn of(installation: &Installation, store: Arc<dyn Store>) -> Self {
        Self {
            settings: installation.audit_log.clone(),
            data_dir: installation.data_dir.clone(),
            store,
        }
    }

    /// Nothing may be changed before this: it says whether it could be written down. Waits while another command writes.
    pub(super) async fn check(&self) -> Result<()> {
        store::make_private(&self.data_dir)?;
        let heads = self.store.audit_heads().await?;
        let log = self.open(&heads).map_err(|error| {
            anyhow!("nothing was done, since it can't be written down: the audit log: {error}")
        })?;
        self.close(&log).await
    }

    /// Writes down what was done.
    pub(super) async fn note(&self, happening: Happening) -> Result<()> {
        self.write(happening)
            .await
            .context("it was done, and could not be written down")
    }

    /// Writes down how much was done of something that may have broken off: what the line counts is done.
    pub(super) async fn note_part(&self, happening: Happening, ended: &Result<()>) -> Result<()> {
        self.note(match ended {
            Ok(()) => happening,
            Err(_) => happening.because("incomplete"),
        })
        .await
    }

    async fn write(&self, happening: Happening) -> Result<()> {
        let heads = self.store.audit_heads().await?;
        let log = self.open(&heads)?;
        log.write_through(happening, SystemClock.now()).await?;
        self.close(&log).await
    }

    fn open(&self, heads: &[AuditHead]) -> Result<AuditLog, AuditLogError> {
        AuditLog::open(
            &self.settings,
            Writer::Command,
            &self.data_dir,
            heads,
            (&SystemEntropy, SystemClock.now()),
        )
    }

    /// Ends it, and tells the store how far it is.
    async fn close(&self, log: &AuditLog) -> Result<()> {
        if let Some(head) = log.close()? {
            self.store.put_audit_head(&head).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use countersign_server::{By, Event, LogFileSettings, Rotate, Subject};
    use countersign_store::Embedded;

    use super::*;

    fn trail(directory: &std::path::Path) -> Trail {
        let store = Arc::new(Embedded::open(directory).unwrap());
        Trail {
            settings: AuditLogSettings::File(LogFileSettings {
                path: directory.join("audit.jsonl"),
                rotate: Rotate::Daily,
                max_bytes: None,
                keep_days: None,
                keep_files: None,
            }),
            data_dir: directory.to_owned(),
            store,
        }
    }

    #[tokio::test]
    async fn a_command_that_takes_long_keeps_no_other_from_writing() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("data");
        let importing = trail(&data_dir);
        importing.check().await.unwrap();
        let locking = Trail {
            settings: importing.settings.clone(),
            data_dir: importing.data_dir.clone(),
            store: Arc::clone(&importing.store),
        };
        let heads = locking.store.audit_heads().await.unwrap();
        let log = locking.open(&heads).unwrap();
        drop(log);
        let imported = || {
            let happening = Happening::new(Event::AccountsImported, By::Operator);
            happening.about(Subject::Count, 3)
        };
        locking.note(imported()).await.unwrap();
        let failed = Err(anyhow!("the store does not answer"));
        importing.note_part(imported(), &failed).await.unwrap();
        let text = std::fs::read_to_string(data_dir.join("audit-commands.jsonl")).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(!lines[0].contains("incomplete"), "{text}");
        assert!(lines[1].contains("\"reason\":\"incomplete\""), "{text}");
        assert_eq!(importing.store.audit_heads().await.unwrap().len(), 2);
    }
}
