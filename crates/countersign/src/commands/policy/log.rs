//! The decision log that a command works on: how it is named, read, and what is told of its lines.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use countersign::decisions::{Content, Decisions, Line};
use countersign_core::Record;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::commands::tell;

/// How many lines that can't be read are told one by one.
const MISTAKES: usize = 10;

const SIZED: &str = "{msg} [{bar:40}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
const UNSIZED: &str = "{msg} {spinner} {bytes} {bytes_per_sec}";

#[derive(Debug, Args)]
pub(super) struct Log {
    /// Recorded decisions: files, directories of them, or `-` for stdin
    #[arg(long, alias = "log", value_name = "LOG", num_args = 1.., required = true)]
    against: Vec<PathBuf>,
    #[command(flatten)]
    manner: Manner,
}

/// The same, where a command can do without.
#[derive(Debug, Args)]
pub(super) struct OptionalLog {
    /// Recorded decisions: files, directories of them, or `-` for stdin
    #[arg(long, alias = "log", value_name = "LOG", num_args = 1..)]
    against: Vec<PathBuf>,
    #[command(flatten)]
    manner: Manner,
}

#[derive(Debug, Clone, Copy, Args)]
struct Manner {
    /// Pass over lines that can't be read, and end well all the same
    #[arg(long)]
    lenient: bool,
    /// No progress on stderr
    #[arg(long)]
    quiet: bool,
}

impl OptionalLog {
    /// The log, where one is named.
    pub(super) fn named(&self) -> Option<Log> {
        (!self.against.is_empty()).then(|| Log {
            against: self.against.clone(),
            manner: self.manner,
        })
    }
}

impl Log {
    /// A log that a command finds by itself, or names otherwise.
    pub(super) fn of(files: Vec<PathBuf>) -> Self {
        Self {
            against: files,
            manner: Manner {
                lenient: true,
                quiet: false,
            },
        }
    }

    /// Adds up all decisions on all cores. What can't be read is told on stderr.
    pub(super) fn sum<S: Default + Send + 'static>(
        &self,
        done: &'static str,
        add: impl Fn(&mut S, &Record) + Send + Sync + 'static,
        merge: impl Fn(&mut S, S),
    ) -> Result<(S, Told), ExitCode> {
        let log = Decisions::open(&self.against).map_err(refused)?;
        let bar = self.manner.bar(done, log.bytes());
        let mut pieces = log.fold(
            move |(sum, told): &mut (S, Told), line: Line<Record>| match line.content {
                Content::Decision(record) => add(sum, &record),
                Content::Gap(gap) => told.dropped += gap.dropped,
                Content::Torn => told.torn += 1,
                Content::Wrong(mistake) => told.mistake(|| format!("{}:{mistake}", line.place)),
            },
        );
        let (mut sum, mut told) = (S::default(), Told::default());
        while let Some(piece) = pieces.next() {
            let (more, told_more) = piece.map_err(|error| {
                bar.finish_and_clear();
                refused(error)
            })?;
            merge(&mut sum, more);
            told.merge(told_more);
            bar.set_position(pieces.bytes_read());
        }
        bar.finish_and_clear();
        told.tell();
        Ok((sum, told))
    }

    /// Whether what was read is enough to rely on.
    pub(super) fn judge(&self, told: &Told) -> Result<(), ExitCode> {
        if told.wrong > 0 && !self.manner.lenient {
            tell(format_args!(
                "these lines are not in the result; --lenient ends well all the same"
            ));
            return Err(ExitCode::FAILURE);
        }
        Ok(())
    }
}

impl Manner {
    fn bar(self, done: &'static str, bytes: Option<u64>) -> ProgressBar {
        if self.quiet || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(bytes, ProgressDrawTarget::stderr());
        let template = if bytes.is_some() { SIZED } else { UNSIZED };
        // A template that can't be read would leave the usual bar, which will do.
        match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style).with_message(done),
            Err(_) => bar,
        }
    }
}

fn refused(error: impl std::fmt::Display) -> ExitCode {
    tell(format_args!("{error}"));
    ExitCode::FAILURE
}

/// What there was in the log besides decisions.
#[derive(Debug, Default, Serialize)]
pub(super) struct Told {
    /// How many lines can't be read.
    wrong: u64,
    /// How many were cut off, at the end of a file that is being written to.
    torn: u64,
    /// How many decisions nobody could write down.
    dropped: u64,
    #[serde(skip)]
    mistakes: Vec<String>,
}

impl Told {
    fn mistake(&mut self, message: impl FnOnce() -> String) {
        self.wrong += 1;
        if self.mistakes.len() < MISTAKES {
            self.mistakes.push(message());
        }
    }

    /// What comes after it in the log.
    fn merge(&mut self, next: Self) {
        self.wrong += next.wrong;
        self.torn += next.torn;
        self.dropped += next.dropped;
        let room = MISTAKES - self.mistakes.len();
        self.mistakes.extend(next.mistakes.into_iter().take(room));
    }

    fn tell(&self) {
        for mistake in &self.mistakes {
            tell(format_args!("{mistake}"));
        }
        let more = self.wrong - self.mistakes.len() as u64;
        if more > 0 {
            tell(format_args!("and {more} lines more that can't be read"));
        }
        if self.dropped > 0 {
            let dropped = self.dropped;
            tell(format_args!(
                "note: {dropped} decisions are missing: they could not be written down"
            ));
        }
        if self.torn > 0 {
            let torn = self.torn;
            tell(format_args!(
                "note: {torn} lines at ends of files are cut off, as in a log that is written to"
            ));
        }
    }
}
