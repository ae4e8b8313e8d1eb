//! What is read from outside: files, environment variables, the calendar.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use countersign_core::{calendar::day_of, document};
use countersign_server::{Clock, SystemClock};
use jiff::civil::Date;

/// Where configurations and secrets are read from.
pub trait Surroundings {
    /// The text of a file.
    fn file(&self, path: &Path) -> io::Result<Contents>;

    /// An environment variable, if it is set.
    fn variable(&self, name: &str) -> Option<OsString>;

    /// Today, in UTC.
    fn today(&self) -> Date;
}

/// A file.
#[derive(Clone)]
pub struct Contents {
    /// What stands in it.
    pub text: String,
    /// Its permissions, as `chmod` takes them.
    pub mode: u32,
}

impl std::fmt::Debug for Contents {
    /// Without the text, which may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contents")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// The machine that this runs on.
#[derive(Debug, Clone, Copy)]
pub struct Machine;

impl Surroundings for Machine {
    fn file(&self, path: &Path) -> io::Result<Contents> {
        let file = File::open(path)?;
        let mode = file.metadata()?.permissions().mode() & 0o7777;
        let mut text = String::new();
        // One byte more than any file may have, so that the reader of the text sees that it is too long.
        file.take(document::MAX_BYTES as u64 + 1)
            .read_to_string(&mut text)?;
        Ok(Contents { text, mode })
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        env::var_os(name)
    }

    fn today(&self) -> Date {
        day_of(SystemClock.now())
    }
}
