//! `[audit_log]`: where it is written down who did what, and how long that is kept.

use std::path::Path;

use countersign_core::document::Table;
use countersign_server::{AuditLogSettings, Rotate};

use super::decision_log::{DecisionLog, OfFile};
use super::file::Reader;

/// Beside the data, where nobody else can read it.
const FILE: &str = "audit.jsonl";
/// A year, and a month in which to look back at it.
const KEEP_DAYS: u16 = 400;

/// What the section says; which directory the data is in stands in another.
#[derive(Debug)]
pub(super) struct AuditLog(Option<DecisionLog>);

impl Default for AuditLog {
    fn default() -> Self {
        Self(Some(DecisionLog::File {
            path: None,
            rotate: Rotate::Daily,
            max_bytes: None,
            keep_days: Some(KEEP_DAYS),
            keep_files: None,
        }))
    }
}

impl AuditLog {
    pub(super) fn settings(self, data_dir: &Path) -> AuditLogSettings {
        let file = self.0.and_then(|log| log.file(data_dir.join(FILE)));
        file.map_or(AuditLogSettings::Off, AuditLogSettings::File)
    }
}

impl Reader<'_> {
    pub(super) fn audit_log(&mut self, table: &mut Table<'_>) -> Option<AuditLog> {
        let off = table.optional("to", |value| {
            value.one_of(&[("off", ())])?;
            self.warn(
                value,
                "nobody will be able to say who changed what, nor to notice that somebody did; \
                 expected a file, which is the default",
            );
            Some(())
        });
        let path = table.optional("file", |value| self.path(value));
        let of_file = OfFile::read(table);
        match (off?, path?) {
            (Some(()), Some(_)) => {
                table.report("has `to` and `file`; expected one of them");
                None
            }
            (Some(()), None) => of_file?
                .must_be_nothing("is for a file, and nothing is written down; leave it out")
                .then_some(AuditLog(None)),
            (None, path) => Some(AuditLog(Some(of_file?.at(path, KEEP_DAYS)?))),
        }
    }
}
