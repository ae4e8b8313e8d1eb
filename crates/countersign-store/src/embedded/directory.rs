//! Whether the data directory is ours alone: by its permissions, and by a lock.
//!
//! Nothing is mended here: what others could read or write until now needs a person's eyes.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::database::{DURABLE, STATE};
use crate::StoreError;

const PRIVATE_DIRECTORY: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;
const OTHERS: u32 = 0o077;
const LOCK_FILE: &str = "lock";

/// Makes or checks the directory and its files, and locks it for as long as the answer's file lives.
///
/// The lock comes first: closing any handle to a database that this process has open would drop
/// SQLite's own locks on it (<https://sqlite.org/howtocorrupt.html> 2.2).
pub(super) fn prepare(directory: &Path) -> Result<(PathBuf, File), StoreError> {
    make_directory(directory).map_err(|error| at(directory, &error))?;
    // An absolute path: SQLite reads one that starts with `file:` as a URI.
    let directory = directory
        .canonicalize()
        .map_err(|error| at(directory, &error))?;
    refuse_if_shared(&directory, Kind::Directory)?;
    let lock = lock(&directory)?;
    for file in [STATE.file, DURABLE.file] {
        make_file(&directory.join(file))?;
        for companion in ["-wal", "-shm", "-journal"] {
            refuse_if_shared(&directory.join(format!("{file}{companion}")), Kind::File)?;
        }
    }
    // New names must outlast a power cut, like the records that will be in the files.
    sync(&directory).map_err(|error| at(&directory, &error))?;
    Ok((directory, lock))
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

fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join(LOCK_FILE);
    make_file(&path)?;
    let file = File::open(&path).map_err(|error| at(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Unavailable(format!(
            "another process has the data directory `{}` open: stop it, or use another directory",
            directory.display()
        ))),
        Err(TryLockError::Error(error)) => Err(at(&path, &error)),
    }
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
