//! The file of decisions: opened with care, mended after a crash, rotated, and thinned out.
//!
//! A file that was moved away or deleted is noticed at the next batch, and made anew.

use std::fs::{self, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::name::{Because, Full, Names, directory};
use super::writer::{Reopened, Sink};
use super::{DecisionFileSettings, DecisionLogError, Rotate, day};

/// It says who signed in when: its owner alone reads it, unless an operator lets a group.
const PRIVATE: u32 = 0o600;
/// A group may read it, say that of a program which collects logs.
const TOO_OPEN: u32 = 0o027;
const WRITABLE_BY_ALL: u32 = 0o002;

/// The file that is written to.
#[derive(Debug)]
pub(super) struct DecisionFile {
    settings: DecisionFileSettings,
    names: Names,
    open: Open,
    /// The newest day that something was written of.
    day: Option<Date>,
    /// At which length the next file is begun.
    full_at: u64,
    /// Whether old files were looked for since the start.
    is_thinned_out: bool,
}

/// An open file.
#[derive(Debug)]
struct Open {
    file: File,
    length: u64,
    mode: u32,
    /// Device and inode.
    identity: (u64, u64),
    /// When it was last written to, if anything stands in it.
    day: Option<Date>,
}

impl DecisionFile {
    pub(super) fn open(settings: DecisionFileSettings) -> Result<Self, DecisionLogError> {
        check_directory(directory(&settings.path))?;
        let open = Open::at(&settings.path, PRIVATE)?;
        Ok(Self {
            names: Names::of(&settings.path),
            day: open.day,
            full_at: settings.max_bytes.unwrap_or(u64::MAX),
            is_thinned_out: false,
            open,
            settings,
        })
    }

    /// What the name leads to is not what is open.
    fn was_moved(&self) -> bool {
        match fs::symlink_metadata(&self.settings.path) {
            Ok(metadata) => identity(&metadata) != self.open.identity,
            Err(error) => error.kind() == ErrorKind::NotFound,
        }
    }

    /// A file may be followed by another for two reasons; an empty one never is.
    fn is_full(&self, day: Date, bytes: u64) -> Option<Because> {
        let is_over =
            self.settings.rotate == Rotate::Daily && self.day.is_some_and(|own| own < day);
        let is_long = self.open.length.saturating_add(bytes) > self.full_at;
        match (self.open.length, is_over, is_long) {
            (0, _, _) | (_, false, false) => None,
            (_, true, _) => Some(Because::DayIsOver),
            (_, false, true) => Some(Because::IsLong),
        }
    }

    /// Gives the file its last name and begins the next. If the old name stays, so does the file.
    fn rotate(&mut self, today: Date, because: Because) -> io::Result<()> {
        let path = &self.settings.path;
        let renamed = self
            .names
            .next(self.day.unwrap_or(today), because)
            .and_then(|name| fs::rename(path, name));
        match renamed {
            Ok(()) => self.open_by_name(),
            Err(error) => {
                tracing::error!(code = "decision-log", path = %path.display(), cause = %error, "the decision log can't be rotated, and grows");
                // Tried again tomorrow, or when as much again has been written.
                self.full_at = self.full_at.saturating_add(self.open.length);
                Ok(())
            }
        }
    }

    fn open_by_name(&mut self) -> io::Result<()> {
        // A mode that an operator gave the old file is meant for the new one too.
        let open = Open::at(&self.settings.path, self.open.mode).map_err(io::Error::other)?;
        if let Err(error) = self.sync() {
            tracing::error!(code = "decision-log", cause = %error, "a decision log that is full or was moved away can't be synced");
        }
        self.day = open.day;
        self.full_at = self.settings.max_bytes.unwrap_or(u64::MAX);
        self.open = open;
        Ok(())
    }

    /// Deletes full files that are kept no longer.
    fn thin_out(&mut self, today: Date) {
        let old = self.names.full().map(|full| self.outdated(full, today));
        let deleted = old.and_then(|old| old.iter().try_for_each(|one| fs::remove_file(&one.path)));
        if let Err(error) = deleted {
            tracing::error!(code = "decision-log", cause = %error, "old decision logs can't be deleted");
        }
        self.is_thinned_out = true;
    }

    fn outdated(&self, mut full: Vec<Full>, today: Date) -> Vec<Full> {
        let days = self.settings.keep_days.map(i64::from);
        let first = days.map(|days| today.saturating_sub(SignedDuration::from_hours(24 * days)));
        let too_old = full.partition_point(|one| first.is_some_and(|first| one.day < first));
        let too_many = self
            .settings
            .keep_files
            .map_or(0, |keep| full.len().saturating_sub(keep));
        full.truncate(too_old.max(too_many));
        full
    }
}

impl Sink for DecisionFile {
    fn prepare(&mut self, day: Date, bytes: u64) -> io::Result<()> {
        self.reopen()?;
        let full = self.is_full(day, bytes);
        if let Some(because) = full {
            self.rotate(day, because)?;
        }
        // A line that comes late, from before midnight, does not turn the day back.
        self.day = self.day.max(Some(day));
        if full.is_some() || !self.is_thinned_out {
            self.thin_out(day);
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.open.file.write(bytes)?;
        self.open.length = self.open.length.saturating_add(written as u64);
        Ok(written)
    }

    fn reopen(&mut self) -> io::Result<Reopened> {
        // Opened twice, it would be locked against ourselves.
        if !self.was_moved() {
            return Ok(Reopened::Same);
        }
        self.open_by_name()?;
        tracing::info!(path = %self.settings.path.display(), "the decision log was moved away, and is made anew");
        Ok(Reopened::Another)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.open.file.sync_all()
    }
}

impl Open {
    /// Opens the file, or makes it with these permissions.
    fn at(path: &Path, mode: u32) -> Result<Self, DecisionLogError> {
        let refused = |source| DecisionLogError::Refused {
            path: path.to_owned(),
            source,
        };
        let is_new = check_file(path)?;
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(mode)
            .open(path)
            .map_err(refused)?;
        if is_new {
            // A umask can only take away from the mode above; this sets it.
            file.set_permissions(Permissions::from_mode(mode))
                .map_err(refused)?;
        }
        lock(&file, path)?;
        let before = file.metadata().map_err(refused)?;
        let length = end_torn_line(&file, before.len(), path).map_err(refused)?;
        Ok(Self {
            length,
            mode: before.mode() & 0o777,
            identity: identity(&before),
            day: (length > 0).then(|| last_written(&before)).flatten(),
            file,
        })
    }
}

/// Whether the file is yet to be made; an error where it is none that decisions may go to.
fn check_file(path: &Path) -> Result<bool, DecisionLogError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        Err(source) => {
            let path = path.to_owned();
            return Err(DecisionLogError::Refused { path, source });
        }
    };
    let path = path.to_owned();
    let kind = metadata.file_type();
    let mode = metadata.mode() & 0o7777;
    if kind.is_symlink() {
        let found = "a symbolic link";
        Err(DecisionLogError::NotAFile { path, found })
    } else if kind.is_dir() {
        let found = "a directory";
        Err(DecisionLogError::NotAFile { path, found })
    } else if !kind.is_file() {
        let found = "a pipe or a device";
        Err(DecisionLogError::NotAFile { path, found })
    } else if mode & TOO_OPEN != 0 {
        Err(DecisionLogError::Shared { path, mode })
    } else {
        Ok(false)
    }
}

fn check_directory(path: &Path) -> Result<(), DecisionLogError> {
    let path = path.to_owned();
    match fs::metadata(&path) {
        Ok(metadata) if metadata.mode() & WRITABLE_BY_ALL != 0 => {
            let mode = metadata.mode() & 0o7777;
            Err(DecisionLogError::OpenDirectory { path, mode })
        }
        // Of something that is no directory the system says so, when the file is opened.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(DecisionLogError::NoDirectory(path))
        }
        Err(source) => Err(DecisionLogError::Refused { path, source }),
    }
}

/// Held until the file is closed.
fn lock(file: &File, path: &Path) -> Result<(), DecisionLogError> {
    match file.try_lock() {
        // Some file systems of networks have no locks: then nobody watches, and that is no reason to stop.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(DecisionLogError::InUse(path.to_owned())),
    }
}

/// A crash may leave the beginning of a line: it is ended, so that the next line stands alone.
/// Answers how long the file is then.
fn end_torn_line(file: &File, length: u64, path: &Path) -> io::Result<u64> {
    let Some(last) = length.checked_sub(1) else {
        return Ok(0);
    };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    if byte == *b"\n" {
        return Ok(length);
    }
    let mut file = file;
    file.write_all(b"\n")?;
    tracing::warn!(code = "decision-log-torn", path = %path.display(), "the last line was cut off, as by a crash; it is ended");
    Ok(length + 1)
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn last_written(metadata: &Metadata) -> Option<Date> {
    Timestamp::try_from(metadata.modified().ok()?).ok().map(day)
}
