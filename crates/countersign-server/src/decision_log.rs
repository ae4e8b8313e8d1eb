//! How decisions get to a file or to stdout: one JSON line each, in order, and never at the cost of a login.
//!
//! A login hands its line over and goes on. One thread writes what waits, many lines to a call.
//! While the disk is full or hangs, lines wait in memory, up to 64 MiB; of those beyond it only
//! the number is kept, and a line that says so ([`Dropped`]) stands where they would have stood.
//! [`DecisionLog::close`] ends with everything on the disk, or says what is not.
//!
//! What a line holds is not decided here. Nothing here knows the time: a line carries its own.

mod line;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use countersign_core::Record;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::log_file::{
    Kind, LogFile, LogFileError, LogFileSettings, LogStatus, Queue, Sink, Thinning,
};
use line::Line;
use writer::Stdout;

/// How much may wait for a disk that does not write, in bytes: an hour of ten decisions a second.
const MOST_WAITING: usize = 64 << 20;
/// How long a stop waits for a disk that does not write. Service managers kill after ten seconds or more.
const PATIENCE: Duration = Duration::from_secs(5);

const KIND: Kind = Kind {
    code: "decision-log",
    torn: "decision-log-torn",
    failing: "decision-log-failing",
    recovered: "decision-log-recovered",
    full: "decision-log-full",
    title: "decision log",
    lines: "decisions",
    meanwhile: "",
    instead: "; decisions go to stdout with `to = \"stdout\"`",
    thinning: Thinning::ByItself,
};

/// Where decisions are written down.
#[derive(Debug)]
pub struct DecisionLog {
    /// None where nothing is written down.
    queue: Option<Arc<Queue<Line>>>,
}

/// Where decisions go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecisionLogSettings {
    /// Nowhere.
    Off,
    /// To stdout, for whoever collects it.
    Stdout,
    /// To a file.
    File(LogFileSettings),
}

/// The line that stands for decisions which nobody could write down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropped {
    /// The version of this line's form: 1.
    pub v: u32,
    /// How many are missing.
    pub dropped: u64,
    /// When the first of them was decided.
    pub from: Timestamp,
    /// When the last of them was decided.
    pub to: Timestamp,
}

/// Why there is no log, or not all of it.
#[derive(Debug, Error)]
pub enum DecisionLogError {
    /// The file can't be written to.
    #[error(transparent)]
    File(#[from] LogFileError),
    /// The system gives no thread.
    #[error("no thread to write decisions: {0}")]
    Thread(io::Error),
    /// The log was closed while the disk did not write.
    #[error("{lines} of the last decisions could not be written down")]
    Unwritten {
        /// How many are lost.
        lines: u64,
    },
}

impl DecisionLog {
    /// Opens the log; what was cut off by a crash is mended first.
    pub fn open(settings: DecisionLogSettings) -> Result<Self, DecisionLogError> {
        match settings {
            DecisionLogSettings::Off => Ok(Self::off()),
            DecisionLogSettings::Stdout => {
                let stdout = io::stdout().as_fd().try_clone_to_owned();
                let stdout = stdout.map_err(|source| LogFileError::Refused {
                    path: "stdout".into(),
                    source,
                })?;
                Self::start(Stdout::new(stdout), MOST_WAITING, PATIENCE)
            }
            DecisionLogSettings::File(settings) => {
                Self::start(LogFile::open(settings, &KIND)?, MOST_WAITING, PATIENCE)
            }
        }
    }

    /// Writes nothing down.
    pub fn off() -> Self {
        Self { queue: None }
    }

    fn start(
        sink: impl Sink + 'static,
        most_waiting: usize,
        patience: Duration,
    ) -> Result<Self, DecisionLogError> {
        let queue = Arc::new(Queue::new(&KIND, most_waiting, patience));
        let writing = Arc::clone(&queue);
        thread::Builder::new()
            .name("decision-log".into())
            .spawn(move || writer::run(&writing, sink))
            .map_err(DecisionLogError::Thread)?;
        Ok(Self { queue: Some(queue) })
    }

    /// Hands over a decision, as a line of JSON. Never waits for the disk.
    pub fn write(&self, record: &Record<impl Serialize>) {
        self.hand_over(record.time, record);
    }

    fn hand_over(&self, time: Timestamp, decision: &impl Serialize) {
        let Some(queue) = &self.queue else {
            return;
        };
        match Line::new(time, decision) {
            Ok(line) => queue.push(line),
            Err(error) => {
                tracing::error!(code = "decision-log", cause = %error, "a decision can't be written down");
            }
        }
    }

    /// Lets go of the file and opens it by its name again, which may be another one by now: for
    /// programs that rotate logs. Does not wait for it.
    pub fn reopen(&self) {
        if let Some(queue) = &self.queue {
            queue.ask_to_reopen();
        }
    }

    /// How it is doing.
    pub fn status(&self) -> LogStatus {
        self.queue
            .as_ref()
            .map(|queue| queue.status())
            .unwrap_or_default()
    }

    /// Writes what waits and syncs it to the disk. What is written afterwards is lost.
    ///
    /// Waits for some seconds where the disk does not write, and says then how much is lost.
    pub fn close(&self) -> Result<(), DecisionLogError> {
        match self.queue.as_ref().map_or(0, |queue| queue.close()) {
            0 => Ok(()),
            lines => Err(DecisionLogError::Unwritten { lines }),
        }
    }
}

impl Drop for DecisionLog {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(code = "decision-log", "{error}");
        }
    }
}
