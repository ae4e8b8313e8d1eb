//! `[decision_log]`: where decisions are written down, and how long that is kept.

use std::path::{Path, PathBuf};

use countersign_core::document::{Table, Value};
use countersign_server::{DecisionLogSettings, LogFileSettings, Rotate};

use super::file::Reader;

/// Beside the data, where nobody else can read it.
const FILE: &str = "decisions.jsonl";
/// A policy that is to begin in two months can be tried on as many days before, and some more.
const KEEP_DAYS: u16 = 90;

/// Shorter files would be many, and hold hardly a thousand decisions.
const SHORTEST: u64 = 1 << 20;
/// No file system that is in use has a shorter limit.
const LONGEST: u64 = 1 << 40;
/// A century.
const MOST_DAYS: u16 = 36_500;
const MOST_FILES: usize = 100_000;

const DESTINATIONS: [(&str, Destination); 2] = [
    ("stdout", Destination::Stdout),
    ("off", Destination::Nowhere),
];

const ROTATIONS: [(&str, Rotate); 2] = [("daily", Rotate::Daily), ("never", Rotate::Never)];

/// What the section says; which directory the data is in stands in another.
#[derive(Debug)]
pub(super) enum DecisionLog {
    Elsewhere(Destination),
    File {
        /// Nothing set: beside the data.
        path: Option<PathBuf>,
        rotate: Rotate,
        max_bytes: Option<u64>,
        keep_days: Option<u16>,
        keep_files: Option<usize>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    Stdout,
    Nowhere,
}

impl DecisionLog {
    pub(super) const DEFAULT: Self = Self::File {
        path: None,
        rotate: Rotate::Daily,
        max_bytes: None,
        keep_days: Some(KEEP_DAYS),
        keep_files: None,
    };

    /// A file, beside the data unless it is elsewhere; nothing, if it is none.
    pub(super) fn file(self, beside: PathBuf) -> Option<LogFileSettings> {
        match self {
            Self::Elsewhere(_) => None,
            Self::File {
                path,
                rotate,
                max_bytes,
                keep_days,
                keep_files,
            } => Some(LogFileSettings {
                path: path.unwrap_or(beside),
                rotate,
                max_bytes,
                keep_days,
                keep_files,
            }),
        }
    }

    pub(super) fn settings(self, data_dir: &Path) -> DecisionLogSettings {
        match self {
            Self::Elsewhere(Destination::Stdout) => DecisionLogSettings::Stdout,
            Self::Elsewhere(Destination::Nowhere) => DecisionLogSettings::Off,
            file @ Self::File { .. } => file
                .file(data_dir.join(FILE))
                .map_or(DecisionLogSettings::Off, DecisionLogSettings::File),
        }
    }
}

/// What is said of a file, each with its place.
pub(super) struct OfFile<'t> {
    rotate: Option<(Rotate, Value<'t>)>,
    max_bytes: Option<(u64, Value<'t>)>,
    keep_days: Option<(u16, Value<'t>)>,
    keep_files: Option<(usize, Value<'t>)>,
}

impl Reader<'_> {
    pub(super) fn decision_log(&self, table: &mut Table<'_>) -> Option<DecisionLog> {
        let to = table.optional("to", |value| value.one_of(&DESTINATIONS));
        let path = table.optional("file", |value| self.path(value));
        let of_file = OfFile::read(table);
        match (to?, path?) {
            (Some(_), Some(_)) => {
                table.report("has `to` and `file`; expected one of them");
                None
            }
            (Some(to), None) => of_file?
                .must_be_nothing(match to {
                    Destination::Stdout => {
                        "is for a file, and decisions go to stdout; leave it out"
                    }
                    Destination::Nowhere => {
                        "is for a file, and decisions are not written down; leave it out"
                    }
                })
                .then_some(DecisionLog::Elsewhere(to)),
            (None, path) => of_file?.at(path, KEEP_DAYS),
        }
    }
}

impl<'t> OfFile<'t> {
    pub(super) fn read(table: &mut Table<'t>) -> Option<Self> {
        let rotate = table.optional("rotate", |value| {
            with_place(value, value.one_of(&ROTATIONS))
        });
        let max_bytes = table.optional("max_bytes", |value| {
            with_place(value, value.integer(SHORTEST..=LONGEST))
        });
        let keep_days = table.optional("keep_days", |value| {
            with_place(value, value.integer(1..=MOST_DAYS))
        });
        let keep_files = table.optional("keep_files", |value| {
            with_place(value, value.integer(1..=MOST_FILES))
        });
        Some(Self {
            rotate: rotate?,
            max_bytes: max_bytes?,
            keep_days: keep_days?,
            keep_files: keep_files?,
        })
    }

    /// A file that is kept for so many days where nothing else is said.
    pub(super) fn at(self, path: Option<PathBuf>, days: u16) -> Option<DecisionLog> {
        let rotate = self.rotate.as_ref().map_or(Rotate::Daily, |(one, _)| *one);
        let is_rotated = rotate == Rotate::Daily || self.max_bytes.is_some();
        let is_kept_for_ever = "nothing is rotated, so nothing is ever deleted; \
            write `rotate = \"daily\"` or `max_bytes`, or leave it out";
        if !is_rotated && self.report_keep(is_kept_for_ever) {
            return None;
        }
        let says_how_long = self.keep_days.is_some() || self.keep_files.is_some();
        Some(DecisionLog::File {
            path,
            rotate,
            max_bytes: value(self.max_bytes),
            keep_days: value(self.keep_days).or((!says_how_long).then_some(days)),
            keep_files: value(self.keep_files),
        })
    }

    /// Whether nothing is said of a file; what is, is reported.
    pub(super) fn must_be_nothing(self, message: &str) -> bool {
        let of_rotation = [place(self.rotate.as_ref()), place(self.max_bytes.as_ref())];
        for value in of_rotation.into_iter().flatten() {
            value.report(message);
        }
        let is_nothing = self.rotate.is_none() && self.max_bytes.is_none();
        !self.report_keep(message) && is_nothing
    }

    /// Whether something is said of keeping, which is wrong, and has been reported.
    fn report_keep(&self, message: &str) -> bool {
        let of_keeping = [
            place(self.keep_days.as_ref()),
            place(self.keep_files.as_ref()),
        ];
        for value in of_keeping.into_iter().flatten() {
            value.report(message);
        }
        self.keep_days.is_some() || self.keep_files.is_some()
    }
}

fn with_place<'t, T>(value: &Value<'t>, read: Option<T>) -> Option<(T, Value<'t>)> {
    Some((read?, value.clone()))
}

fn value<T>(placed: Option<(T, Value<'_>)>) -> Option<T> {
    placed.map(|(value, _)| value)
}

fn place<'a, 't, T>(placed: Option<&'a (T, Value<'t>)>) -> Option<&'a Value<'t>> {
    placed.map(|(_, value)| value)
}
