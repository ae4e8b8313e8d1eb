//! Whether the data directory is ours alone: by its permissions, and by locks.
//!
//! Nothing is mended here: what others could read or write until now needs a person's eyes.
//!
//! There is one lock for each [`Role`] that may be played once at a time, and one for the
//! databases: exclusive while tables may be made or changed, shared from then on. SQLite itself
//! keeps the writes of several processes apart; the locks see to it that these processes agree on the
//! tables, and that there is one server. An older Countersign holds the lock of the databases exclusively for
//! as long as it runs, so it is never alone with a newer one.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::database::{DURABLE, STATE, Upkeep};
use crate::StoreError;

const PRIVATE_DIRECTORY: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;
const OTHERS: u32 = 0o077;
const DATABASES_LOCK: &str = "lock";
const SERVER_LOCK: &str = "lock-serve";
const IMPORT_LOCK: &str = "lock-import";
/// How long one who only looks whether a lock is held may be in the way.
const GLANCE: Patience = Patience { tries: 10 };
/// How long another process may take to make or change the tables.
const SETTING_UP: Patience = Patience { tries: 300 };
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// What a process opens the directory for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// To serve: one at a time.
    Server,
    /// To import accounts, beside a server or without one: one at a time.
    Import,
    /// To change keys: any number, beside all others. It makes nothing.
    Operator,
    /// To look: any number, beside all others. It changes nothing and makes nothing.
    Visitor,
}

/// The locks, held as long as the databases are open: SQLite alone would let a second server in.
#[derive(Debug)]
pub(super) struct Hold {
    databases: File,
    _role: Option<File>,
    /// What may be done to the tables until [`Hold::share`].
    pub(super) upkeep: Upkeep,
}

impl Hold {
    /// Lets others open the databases too, once the tables are as they must be.
    pub(super) fn share(self) -> Result<Self, StoreError> {
        // Another may get hold of the lock in between; it will find nothing to do.
        self.databases
            .lock_shared()
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(self)
    }
}

/// Makes or checks the directory and its files, and locks it for as long as the answer's [`Hold`] lives.
///
/// The lock comes first: closing any handle to a database that this process has open would drop
/// SQLite's own locks on it (<https://sqlite.org/howtocorrupt.html> 2.2).
pub(super) fn prepare(directory: &Path, role: Role) -> Result<(PathBuf, Hold), StoreError> {
    match role {
        Role::Server | Role::Import => make_directory(directory),
        Role::Operator | Role::Visitor => fs::metadata(directory.join(DURABLE.file)).map(drop),
    }
    .map_err(|error| at(directory, &error))?;
    // An absolute path: SQLite reads one that starts with `file:` as a URI.
    let directory = directory
        .canonicalize()
        .map_err(|error| at(directory, &error))?;
    refuse_if_shared(&directory, Kind::Directory)?;
    let hold = lock(&directory, role)?;
    for file in [SERVER_LOCK, IMPORT_LOCK] {
        refuse_if_shared(&directory.join(file), Kind::File)?;
    }
    for file in [STATE.file, DURABLE.file] {
        make_file(&directory.join(file))?;
        for companion in ["-wal", "-shm", "-journal"] {
            refuse_if_shared(&directory.join(format!("{file}{companion}")), Kind::File)?;
        }
    }
    // New names must outlast a power cut, like the records that will be in the files.
    sync(&directory).map_err(|error| at(&directory, &error))?;
    Ok((directory, hold))
}

/// Whether the directory has the database in it. One that can't be looked into is an error: it may have.
pub(super) fn holds_a_store(directory: &Path) -> Result<bool, StoreError> {
    let database = directory.join(DURABLE.file);
    database.try_exists().map_err(|error| at(directory, &error))
}

/// Whether a server has the directory open.
pub(super) fn is_served(directory: &Path) -> Result<bool, StoreError> {
    let path = directory.join(SERVER_LOCK);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(at(&path, &error)),
    };
    // Given back at once, as `file` is closed.
    Ok(!take(&file, Lock::Shared, Patience::NONE).map_err(|error| at(&path, &error))?)
}

fn make_directory(directory: &Path) -> io::Result<()> {
    if directory.exists() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(PRIVATE_DIRECTORY);
    builder.create(directory)?;
    // A umask can only take away from the mode above; this sets it.
    fs::set_permissions(directory, Permissions::from_mode(PRIVATE_DIRECTORY))?;
    match directory.canonicalize()?.parent() {
        Some(parent) => sync(parent),
        None => Ok(()),
    }
}

/// Makes an empty file, which is an empty database to SQLite. It gives `-wal` and `-shm` the same mode.
fn make_file(path: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE_FILE)
        .open(path)
        .and_then(|file| file.set_permissions(Permissions::from_mode(PRIVATE_FILE)));
    match made {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            refuse_if_shared(path, Kind::File)
        }
        Err(error) => Err(at(path, &error)),
    }
}

fn lock(directory: &Path, role: Role) -> Result<Hold, StoreError> {
    let own = match role {
        Role::Server => Some(lock_role(directory, SERVER_LOCK, in_use(directory))?),
        Role::Import => {
            let message = format!("another import is at work in `{}`", directory.display());
            Some(lock_role(directory, IMPORT_LOCK, message)?)
        }
        Role::Operator | Role::Visitor => None,
    };
    let (path, file) = lock_file(directory, DATABASES_LOCK)?;
    let take = |lock, patience| take(&file, lock, patience).map_err(|error| at(&path, &error));
    let may_upkeep = matches!(role, Role::Server | Role::Import);
    let upkeep = if may_upkeep && take(Lock::Exclusive, Patience::NONE)? {
        Upkeep::Allowed
    } else if take(Lock::Shared, SETTING_UP)? {
        Upkeep::Forbidden
    } else {
        return Err(StoreError::Unavailable(in_use(directory)));
    };
    Ok(Hold {
        databases: file,
        _role: own,
        upkeep,
    })
}

fn lock_role(directory: &Path, name: &str, in_use: String) -> Result<File, StoreError> {
    let (path, file) = lock_file(directory, name)?;
    if take(&file, Lock::Exclusive, GLANCE).map_err(|error| at(&path, &error))? {
        Ok(file)
    } else {
        Err(StoreError::Unavailable(in_use))
    }
}

fn in_use(directory: &Path) -> String {
    format!(
        "another process has the data directory `{}` open: stop it, or use another directory",
        directory.display()
    )
}

fn lock_file(directory: &Path, name: &str) -> Result<(PathBuf, File), StoreError> {
    let path = directory.join(name);
    make_file(&path)?;
    let file = File::open(&path).map_err(|error| at(&path, &error))?;
    Ok((path, file))
}

#[derive(Debug, Clone, Copy)]
enum Lock {
    Exclusive,
    Shared,
}

/// How often a lock is tried for again.
#[derive(Debug, Clone, Copy)]
struct Patience {
    tries: u32,
}

impl Patience {
    const NONE: Self = Self { tries: 0 };
}

/// Whether the lock was got.
fn take(file: &File, lock: Lock, patience: Patience) -> io::Result<bool> {
    for attempt in 0..=patience.tries {
        if attempt > 0 {
            thread::sleep(BETWEEN_TRIES);
        }
        let taken = match lock {
            Lock::Exclusive => file.try_lock(),
            Lock::Shared => file.try_lock_shared(),
        };
        match taken {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Directory,
    File,
}

fn refuse_if_shared(path: &Path, kind: Kind) -> Result<(), StoreError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at(path, &error)),
    };
    let (as_expected, expected, wanted) = match kind {
        Kind::Directory => (metadata.is_dir(), "a directory", PRIVATE_DIRECTORY),
        Kind::File => (metadata.is_file(), "a regular file", PRIVATE_FILE),
    };
    let path = path.display();
    if !as_expected {
        return Err(StoreError::Unavailable(format!(
            "`{path}` is not {expected}"
        )));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(StoreError::Unavailable(format!(
            "others than its owner may use `{path}` (mode {mode:04o}), and it holds keys: \
             see who could, then `chmod {wanted:o} '{path}'`"
        )));
    }
    Ok(())
}

fn at(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("`{}`: {error}", path.display()))
}
