//! A file of lines, as the decision log and the audit log are: opened with care, mended after a crash, rotated, and
//! thinned out; and the way there, so that nobody who has something to write waits for a disk.
//!
//! A file that was moved away or deleted is noticed at the next batch, and made anew.

mod delivery;
#[cfg(test)]
pub(crate) mod disk;
mod name;
mod queue;
mod stage;

use std::fs::{self, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use name::{Because, directory};

pub(crate) use delivery::{Delivery, GaveUp};
pub(crate) use name::{Full, Names};
pub use queue::LogStatus;
pub(crate) use queue::{Line, Missing, Queue, Taken, Task};

/// It says who signed in when: its owner alone reads it, unless an operator lets a group.
const PRIVATE: u32 = 0o600;
/// A group may read it, say that of a program which collects logs.
const TOO_OPEN: u32 = 0o027;
const WRITABLE_BY_ALL: u32 = 0o002;

/// A file of lines, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFileSettings {
    /// The file that is written to. One that is full is renamed: `decisions.jsonl` to
    /// `decisions-2027-03-08.jsonl`, or `decisions-2027-03-08-0001.jsonl` where the day goes on.
    pub path: PathBuf,
    /// Whether each day has a file of its own.
    pub rotate: Rotate,
    /// How long a file gets, in bytes, before the next is begun; a single batch of lines may be longer.
    pub max_bytes: Option<u64>,
    /// For how many days full files are kept; without it, for ever.
    pub keep_days: Option<u16>,
    /// How many full files are kept; without it, all.
    pub keep_files: Option<usize>,
}

/// Whether each day has a file of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotate {
    /// A file for each day, UTC.
    Daily,
    /// The days share a file.
    Never,
}

/// Why there is no file to write to.
#[derive(Debug, Error)]
pub enum LogFileError {
    /// The system refuses.
    #[error("`{}`: {source}", path.display())]
    Refused {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Only existing directories are written to.
    #[error("the directory `{}` does not exist: make it, for the user that runs Countersign", .0.display())]
    NoDirectory(PathBuf),
    /// Anybody could put another file in the log's place.
    #[error("everybody may write to the directory `{}` (mode {mode:04o}), and so replace the log: choose another", path.display())]
    OpenDirectory {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Rotation renames the file, which makes no sense of a link, a pipe or a device.
    #[error("`{}` is {found}, and must be a regular file{instead}", path.display())]
    NotAFile {
        /// What should be the file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What to write instead.
        instead: &'static str,
    },
    /// Others could read who signed in when, or change what was decided.
    #[error("others than its owner may use `{}` (mode {mode:04o}), and it says who signed in when: see who could, then `chmod 600` it, or `chmod 640` for a group that may read it", path.display())]
    Shared {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Two processes would rename the file under each other.
    #[error("another process writes to `{}`: stop it, or give each its own file", .0.display())]
    InUse(PathBuf),
}

/// Which log it is, for whoever is told of it.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) code: &'static str,
    /// What is told of a line that was cut off.
    pub(crate) torn: &'static str,
    /// What is told where nothing can be written, where it can again, and where lines are lost.
    pub(crate) failing: &'static str,
    pub(crate) recovered: &'static str,
    pub(crate) full: &'static str,
    pub(crate) title: &'static str,
    pub(crate) lines: &'static str,
    /// What else nobody can do while nothing can be written.
    pub(crate) meanwhile: &'static str,
    /// What to do where the file is none.
    pub(crate) instead: &'static str,
    pub(crate) thinning: Thinning,
}

/// Who deletes full files that are kept no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thinning {
    /// The file, when it is rotated.
    ByItself,
    /// Who writes to it, by [`LogFile::outdated`].
    ByTheWriter,
}

/// Where lines end up.
pub(crate) trait Sink: Send {
    /// Makes ready for so many bytes of whole lines of this day: what comes after may go to another file.
    fn prepare(&mut self, day: Date, bytes: u64) -> io::Result<()>;
    /// Writes, and says how many bytes it took.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Opens the destination by its name again, if that leads elsewhere by now.
    fn reopen(&mut self) -> io::Result<Reopened>;
    /// Answers once everything is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// Where a name leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reopened {
    Same,
    Another,
}

/// The file that is written to.
#[derive(Debug)]
pub(crate) struct LogFile {
    kind: &'static Kind,
    settings: LogFileSettings,
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

impl LogFile {
    pub(crate) fn open(
        settings: LogFileSettings,
        kind: &'static Kind,
    ) -> Result<Self, LogFileError> {
        check_directory(directory(&settings.path))?;
        let open = Open::at(&settings.path, PRIVATE, kind)?;
        Ok(Self {
            kind,
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
                let Kind { code, title, .. } = self.kind;
                tracing::error!(code, path = %path.display(), cause = %error, "the {title} can't be rotated, and grows");
                // Tried again tomorrow, or when as much again has been written.
                self.full_at = self.full_at.saturating_add(self.open.length);
                Ok(())
            }
        }
    }

    fn open_by_name(&mut self) -> io::Result<()> {
        // A mode that an operator gave the old file is meant for the new one too.
        let open =
            Open::at(&self.settings.path, self.open.mode, self.kind).map_err(io::Error::other)?;
        if let Err(error) = self.sync() {
            let Kind { code, title, .. } = self.kind;
            tracing::error!(code, cause = %error, "a {title} that is full or was moved away can't be synced");
        }
        self.day = open.day;
        self.full_at = self.settings.max_bytes.unwrap_or(u64::MAX);
        self.open = open;
        Ok(())
    }

    /// Deletes full files that are kept no longer.
    fn thin_out(&mut self, today: Date) {
        let deleted = self.outdated(today).and_then(|old| delete(&old));
        if let Err(error) = deleted {
            self.tell_not_deleted(&error);
        }
        self.is_thinned_out = true;
    }

    /// Says that old files stay.
    pub(crate) fn tell_not_deleted(&self, error: &io::Error) {
        let Kind { code, title, .. } = self.kind;
        tracing::error!(code, cause = %error, "old files of the {title} can't be deleted");
    }

    /// The full files that are kept no longer, the oldest first.
    pub(crate) fn outdated(&self, today: Date) -> io::Result<Vec<Full>> {
        Ok(self.outdated_of(self.names.full()?, today))
    }

    /// All full files, the oldest first.
    pub(crate) fn full(&self) -> io::Result<Vec<Full>> {
        self.names.full()
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.settings.path
    }

    fn outdated_of(&self, mut full: Vec<Full>, today: Date) -> Vec<Full> {
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

impl Sink for LogFile {
    fn prepare(&mut self, day: Date, bytes: u64) -> io::Result<()> {
        self.reopen()?;
        let full = self.is_full(day, bytes);
        if let Some(because) = full {
            self.rotate(day, because)?;
        }
        // A line that comes late, from before midnight, does not turn the day back.
        self.day = self.day.max(Some(day));
        let thins = self.kind.thinning == Thinning::ByItself;
        if thins && (full.is_some() || !self.is_thinned_out) {
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
        let title = self.kind.title;
        tracing::info!(path = %self.settings.path.display(), "the {title} was moved away, and is made anew");
        Ok(Reopened::Another)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.open.file.sync_all()
    }
}

impl Open {
    /// Opens the file, or makes it with these permissions.
    fn at(path: &Path, mode: u32, kind: &Kind) -> Result<Self, LogFileError> {
        let refused = |source| LogFileError::Refused {
            path: path.to_owned(),
            source,
        };
        let is_new = check_file(path, kind)?;
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
        let length = end_torn_line(&file, before.len(), (path, kind)).map_err(refused)?;
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
fn check_file(path: &Path, kind: &Kind) -> Result<bool, LogFileError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        Err(source) => {
            let path = path.to_owned();
            return Err(LogFileError::Refused { path, source });
        }
    };
    let path = path.to_owned();
    let found = metadata.file_type();
    let instead = kind.instead;
    let mode = metadata.mode() & 0o7777;
    if found.is_symlink() {
        let found = "a symbolic link";
        Err(LogFileError::NotAFile {
            path,
            found,
            instead,
        })
    } else if found.is_dir() {
        let found = "a directory";
        Err(LogFileError::NotAFile {
            path,
            found,
            instead,
        })
    } else if !found.is_file() {
        let found = "a pipe or a device";
        Err(LogFileError::NotAFile {
            path,
            found,
            instead,
        })
    } else if mode & TOO_OPEN != 0 {
        Err(LogFileError::Shared { path, mode })
    } else {
        Ok(false)
    }
}

fn check_directory(path: &Path) -> Result<(), LogFileError> {
    let path = path.to_owned();
    match fs::metadata(&path) {
        Ok(metadata) if metadata.mode() & WRITABLE_BY_ALL != 0 => {
            let mode = metadata.mode() & 0o7777;
            Err(LogFileError::OpenDirectory { path, mode })
        }
        // Of something that is no directory the system says so, when the file is opened.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(LogFileError::NoDirectory(path)),
        Err(source) => Err(LogFileError::Refused { path, source }),
    }
}

/// Held until the file is closed.
fn lock(file: &File, path: &Path) -> Result<(), LogFileError> {
    match file.try_lock() {
        // Some file systems of networks have no locks: then nobody watches, and that is no reason to stop.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(LogFileError::InUse(path.to_owned())),
    }
}

/// A crash may leave the beginning of a line: it is ended, so that the next line stands alone.
/// Answers how long the file is then.
fn end_torn_line(file: &File, length: u64, (path, kind): (&Path, &Kind)) -> io::Result<u64> {
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
    tracing::warn!(code = kind.torn, path = %path.display(), "the last line was cut off, as by a crash; it is ended");
    Ok(length + 1)
}

/// Deletes these files.
pub(crate) fn delete(files: &[Full]) -> io::Result<()> {
    files.iter().try_for_each(|one| fs::remove_file(&one.path))
}

/// Where the line begins that this byte is in, or would be the first of.
pub(crate) fn line_start(text: &[u8], byte: usize) -> usize {
    let before = text.get(..byte).unwrap_or(text);
    before
        .iter()
        .rposition(|&one| one == b'\n')
        .map_or(0, |end| end + 1)
}

/// The day of a line.
pub(crate) fn day(time: Timestamp) -> Date {
    Offset::UTC.to_datetime(time).date()
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn last_written(metadata: &Metadata) -> Option<Date> {
    Timestamp::try_from(metadata.modified().ok()?).ok().map(day)
}
