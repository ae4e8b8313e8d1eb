//! The audit log: who did what to what, why, when and from where; one line each, and each holds on to the one before.
//!
//! Beside the decision log, which says why the policy decided as it did: a line here names the request, and the
//! decision stands there under the same name. Lines hold ids only, never a name, an address or a token.
//!
//! A sign-in hands its line over and goes on. What manages something ([`AuditLog::write_through`]) waits until its line
//! is with the system, and is refused beforehand while lines can't be written. One thread numbers the lines, chains
//! them and writes them; how far it is, the store is told ([`AuditLog::heads`]).

mod event;
mod line;
mod replica;
mod resume;
mod search;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use countersign_store::{AuditHead, ReplicaId};
use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::{oneshot, watch};

use crate::Entropy;
use crate::log_file::{
    Kind, LogFile, LogFileError, LogFileSettings, LogStatus, Names, Queue, Thinning,
};
use resume::{Resumed, resume};
use writer::{Files, Waiting};

pub use event::Event;
pub use line::{AuditLine, By, Happening, Subject, hash_of};
pub use search::{AuditFile, AuditFound, AuditPlace, AuditQuery, NoPlace};
pub use verify::{Begin, Finding, Place, Verified, Verifier};

/// How much may wait for a disk that does not write, in bytes.
const MOST_WAITING: usize = 64 << 20;
/// How long a stop waits for a disk that does not write.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long somebody who manages something waits for their line.
const WAIT: Duration = Duration::from_secs(5);
/// How often a command tries to get the file that another command writes to.
const TRIES: u32 = 100;
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

const KIND: Kind = Kind {
    code: "audit-log",
    torn: "audit-log-torn",
    failing: "audit-log-failing",
    recovered: "audit-log-recovered",
    full: "audit-log-full",
    title: "audit log",
    lines: "audit lines",
    meanwhile: ", and nobody can manage anything meanwhile",
    instead: "; `to = \"off\"` writes nothing down",
    thinning: Thinning::ByTheWriter,
};

/// Where audit lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditLogSettings {
    /// Nowhere.
    Off,
    /// To a file. What commands do, at the same machine, goes to another beside it.
    File(LogFileSettings),
}

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// A server.
    Server,
    /// A command, beside a server or without one.
    Command,
}

/// Where audit lines are written down.
#[derive(Debug)]
pub struct AuditLog {
    /// None where nothing is written down.
    open: Option<Open>,
    settings: AuditLogSettings,
}

#[derive(Debug)]
struct Open {
    queue: Arc<Queue<Waiting>>,
    heads: watch::Receiver<Option<AuditHead>>,
}

/// Why there is no audit log, or not all of it.
#[derive(Debug, Error)]
pub enum AuditLogError {
    /// The file can't be written to.
    #[error(transparent)]
    File(#[from] LogFileError),
    /// The end of the chain, or the name of the replica, can't be read.
    #[error("can't go on after what is there: {0}")]
    Unreadable(#[from] io::Error),
    /// The system gives no thread.
    #[error("no thread to write audit lines: {0}")]
    Thread(io::Error),
    /// The log was closed while the disk did not write.
    #[error("{lines} of the last audit lines could not be written down")]
    Unwritten {
        /// How many are lost.
        lines: u64,
    },
}

/// An audit line that is not written yet, so what it is of must not be taken for done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the audit log can't be written")]
pub struct NotAudited;

impl AuditLogSettings {
    /// The files of one writer: the server's, or those of commands.
    fn of(&self, writer: Writer) -> Option<LogFileSettings> {
        match (self, writer) {
            (Self::Off, _) => None,
            (Self::File(settings), Writer::Server) => Some(settings.clone()),
            (Self::File(settings), Writer::Command) => Some(LogFileSettings {
                path: of_commands(&settings.path),
                ..settings.clone()
            }),
        }
    }

    /// All files there are, each chain's in the order of their lines.
    pub fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = self.files_of(Writer::Server)?;
        files.extend(self.files_of(Writer::Command)?);
        Ok(files)
    }

    fn files_of(&self, writer: Writer) -> io::Result<Vec<PathBuf>> {
        let Some(settings) = self.of(writer) else {
            return Ok(Vec::new());
        };
        let full = Names::of(&settings.path).full()?;
        let full = full.into_iter().map(|one| one.path);
        let last = settings.path.exists().then_some(settings.path);
        Ok(full.chain(last).collect())
    }

    /// The same, opened.
    pub fn open_files(&self) -> io::Result<Vec<AuditFile>> {
        AuditFile::all(|| self.files())
    }
}

/// `audit.jsonl` is the server's, `audit-commands.jsonl` that of commands.
fn of_commands(path: &Path) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push("-commands");
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// The names of the chains of this machine, if it has any yet.
pub fn replicas_at(data_dir: &Path) -> io::Result<Vec<ReplicaId>> {
    let own = replica::load(data_dir)?;
    let both = own.map(|own| {
        [
            name_of(&own, Writer::Server),
            name_of(&own, Writer::Command),
        ]
    });
    Ok(both.into_iter().flatten().collect())
}

fn name_of(replica: &ReplicaId, writer: Writer) -> ReplicaId {
    let of_commands = || ReplicaId::new(format!("{replica}-commands"));
    match writer {
        Writer::Server => replica.clone(),
        Writer::Command => of_commands().unwrap_or_else(|_| replica.clone()),
    }
}

impl AuditLog {
    /// Opens the log and goes on after the last line; what a crash has cut off, the next line tells. `heads` are
    /// those that the store knows. The replica's name is kept in the data directory.
    pub fn open(
        settings: &AuditLogSettings,
        writer: Writer,
        data_dir: &Path,
        heads: &[AuditHead],
        (entropy, now): (&dyn Entropy, Timestamp),
    ) -> Result<Self, AuditLogError> {
        let all = settings.clone();
        let Some(settings) = settings.of(writer) else {
            return Ok(Self::off());
        };
        let replica = name_of(&replica::load_or_make(data_dir, entropy)?, writer);
        let file = opened(&settings, writer)?;
        let full = file.full()?;
        let newest_first = full.iter().rev().map(|one| one.path.as_path());
        let newest_first = std::iter::once(file.path()).chain(newest_first);
        let resumed = resume(newest_first, &replica, heads)?;
        let mut log = Self::start(file, resumed, now, (MOST_WAITING, PATIENCE))?;
        log.settings = all;
        Ok(log)
    }

    /// Writes nothing down.
    pub fn off() -> Self {
        Self {
            open: None,
            settings: AuditLogSettings::Off,
        }
    }

    fn start(
        files: impl Files + 'static,
        Resumed { chain, first }: Resumed,
        now: Timestamp,
        (most_waiting, patience): (usize, Duration),
    ) -> Result<Self, AuditLogError> {
        let queue = Arc::new(Queue::new(&KIND, most_waiting, patience));
        let (sender, heads) = watch::channel(None);
        let writing = Arc::clone(&queue);
        thread::Builder::new()
            .name("audit-log".into())
            .spawn(move || writer::run(&writing, files, chain, sender))
            .map_err(AuditLogError::Thread)?;
        if let Some(first) = first {
            tracing::warn!(code = "audit-chain-resumed", happening = ?first, "the audit log did not end as it should have");
            queue.push(Waiting {
                happening: first,
                time: now,
                written: None,
            });
        }
        Ok(Self {
            open: Some(Open { queue, heads }),
            settings: AuditLogSettings::Off,
        })
    }

    /// Whether anything is written down.
    pub(crate) fn is_on(&self) -> bool {
        self.open.is_some()
    }

    /// The latest lines of this machine that fit, of those before a place: at most `limit`. `None` where there is no such
    /// place here. It reads files, so it is nothing for a thread that answers requests.
    pub(crate) fn search(
        &self,
        query: &AuditQuery,
        before: Option<AuditPlace>,
        limit: usize,
    ) -> io::Result<Option<AuditFound>> {
        let server = || self.settings.files_of(Writer::Server);
        let commands = || self.settings.files_of(Writer::Command);
        search::search([&server, &commands], query, before, limit)
    }

    /// Hands something over. Never waits for the disk.
    pub fn write(&self, happening: Happening, now: Timestamp) {
        if let Some(open) = &self.open {
            open.queue.push(Waiting {
                happening,
                time: now,
                written: None,
            });
        }
    }

    /// Whether what must be written down can be, as far as is known.
    pub fn check(&self, now: Timestamp) -> Result<(), NotAudited> {
        match &self.open {
            Some(open) if open.queue.is_stuck(now) => Err(NotAudited),
            Some(_) | None => Ok(()),
        }
    }

    /// How it is doing.
    pub fn status(&self) -> LogStatus {
        self.open
            .as_ref()
            .map(|open| open.queue.status())
            .unwrap_or_default()
    }

    /// Writes something down, and answers when it is with the system: it survives the end of this process then.
    pub async fn write_through(
        &self,
        happening: Happening,
        now: Timestamp,
    ) -> Result<(), NotAudited> {
        let Some(open) = &self.open else {
            return Ok(());
        };
        let (sender, written) = oneshot::channel();
        open.queue.push(Waiting {
            happening,
            time: now,
            written: Some(sender),
        });
        match tokio::time::timeout(WAIT, written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(NotAudited),
        }
    }

    /// Opens the file by its name again: for programs that rotate logs.
    pub fn reopen(&self) {
        if let Some(open) = &self.open {
            open.queue.ask_to_reopen();
        }
    }

    /// How far the chain is on the disk, for the store: the latest, whenever there is another.
    pub fn heads(&self) -> Option<watch::Receiver<Option<AuditHead>>> {
        self.open.as_ref().map(|open| open.heads.clone())
    }

    /// Writes what waits and syncs it to the disk; answers how far the chain is. What is written afterwards is lost.
    pub fn close(&self) -> Result<Option<AuditHead>, AuditLogError> {
        let Some(open) = &self.open else {
            return Ok(None);
        };
        match open.queue.close() {
            0 => Ok(open.heads.borrow().clone()),
            lines => Err(AuditLogError::Unwritten { lines }),
        }
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(code = "audit-log", "{error}");
        }
    }
}

/// Opens the file. Another command has it for a moment; another server has it for good.
fn opened(settings: &LogFileSettings, writer: Writer) -> Result<LogFile, LogFileError> {
    let tries = match writer {
        Writer::Server => 1,
        Writer::Command => TRIES,
    };
    let mut opened = LogFile::open(settings.clone(), &KIND);
    for _ in 1..tries {
        match opened {
            Err(LogFileError::InUse(_)) => thread::sleep(BETWEEN_TRIES),
            opened => return opened,
        }
        opened = LogFile::open(settings.clone(), &KIND);
    }
    opened
}
