//! When a file changes, however that is done: written in place, renamed over by an editor, or reached
//! by a link that comes to lead elsewhere, as in a mounted ConfigMap of Kubernetes.
//!
//! The directories are watched, not the file: a file that is replaced takes its watch with it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fs, io, path};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// How long a file must be left alone before it counts as written. Editors and Kubernetes change it
/// in several steps within milliseconds.
const SETTLED: Duration = Duration::from_millis(200);
/// How many links may follow one another; Linux itself follows forty.
const MOST_LINKS: usize = 40;

/// A file that is watched.
#[derive(Debug)]
pub(super) struct Watch {
    path: PathBuf,
    watcher: RecommendedWatcher,
    /// The directory entries whose change counts; the watcher's thread reads them.
    entries: Arc<Mutex<BTreeSet<PathBuf>>>,
    changed: Arc<Notify>,
}

impl Watch {
    /// Watches from now on.
    pub(super) fn new(path: &Path) -> notify::Result<Self> {
        let entries = Arc::<Mutex<BTreeSet<PathBuf>>>::default();
        let changed = Arc::new(Notify::new());
        let (watched, tell) = (Arc::clone(&entries), Arc::clone(&changed));
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
            if counts(event.as_ref(), &watched) {
                tell.notify_one();
            }
        })?;
        let mut watch = Self {
            path: path::absolute(path)?,
            watcher,
            entries,
            changed,
        };
        watch.follow()?;
        Ok(watch)
    }

    /// Waits until the file, or a link on the way to it, has changed and is left alone since.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
        while tokio::time::timeout(SETTLED, self.changed.notified())
            .await
            .is_ok()
        {}
    }

    /// Finds out anew where the links lead. To be called before the file is read again, so that a
    /// change after the reading is noticed.
    pub(super) fn follow(&mut self) -> notify::Result<()> {
        // Once more after a change, which may have been made meanwhile; links that lead somewhere
        // else each time are given up.
        for _ in 0..MOST_LINKS {
            let entries = trail(&self.path);
            // Each time: a directory may have been replaced under the same name.
            self.watch(&entries)?;
            if *self.lock() == entries {
                break;
            }
            *self.lock() = entries;
        }
        Ok(())
    }

    fn watch(&mut self, entries: &BTreeSet<PathBuf>) -> notify::Result<()> {
        let (before, now) = (directories(&self.lock()), directories(entries));
        for gone in before.difference(&now) {
            // A directory that is gone has taken its watch with it.
            let _ = self.watcher.unwatch(gone);
        }
        for new in &now {
            match self.watcher.watch(new, RecursiveMode::NonRecursive) {
                Err(error) if !is_missing(&error) => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<PathBuf>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an event may mean that the file says something else now. Reading it does not.
fn counts(event: Result<&Event, &notify::Error>, entries: &BTreeSet<PathBuf>) -> bool {
    let Ok(event) = event else { return true };
    let is_write = |access| access == AccessKind::Close(AccessMode::Write);
    if matches!(event.kind, EventKind::Access(access) if !is_write(access)) {
        return false;
    }
    // A directory that holds one of them may have been replaced as a whole.
    let concerns = |path: &PathBuf| {
        let is_in = |entry: &PathBuf| entry == path || entry.parent() == Some(path.as_path());
        entries.iter().any(is_in)
    };
    // Without a path: events were lost.
    event.paths.is_empty() || event.paths.iter().any(concerns)
}

/// The directory entries that say which file `path` is: the file itself, and every link on the way.
fn trail(path: &Path) -> BTreeSet<PathBuf> {
    let mut trail = BTreeSet::new();
    let mut here = PathBuf::new();
    let mut rest = steps(path);
    let mut links = 0;
    while let Some(step) = rest.pop() {
        match Path::new(&step).components().next() {
            Some(Component::Normal(name)) => here.push(name),
            Some(Component::ParentDir) => {
                here.pop();
                continue;
            }
            Some(other @ (Component::RootDir | Component::Prefix(_))) => {
                here = PathBuf::from(other.as_os_str());
                continue;
            }
            Some(Component::CurDir) | None => continue,
        }
        match fs::read_link(&here) {
            Ok(target) if links < MOST_LINKS => {
                links += 1;
                trail.insert(here.clone());
                here.pop();
                rest.extend(steps(&target));
            }
            Ok(_) | Err(_) if rest.is_empty() => {
                trail.insert(here.clone());
            }
            Ok(_) | Err(_) => {}
        }
    }
    trail
}

/// The parts of a path, the first one last.
fn steps(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev();
    parts.map(|part| part.as_os_str().to_owned()).collect()
}

fn directories(entries: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let parents = entries.iter().filter_map(|entry| entry.parent());
    parents.map(Path::to_owned).collect()
}

fn is_missing(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound | notify::ErrorKind::WatchNotFound => true,
        notify::ErrorKind::Io(error) => error.kind() == io::ErrorKind::NotFound,
        notify::ErrorKind::Generic(_)
        | notify::ErrorKind::InvalidConfig(_)
        | notify::ErrorKind::MaxFilesWatch => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn trail_in(directory: &Path, path: &str) -> Vec<String> {
        let trail = trail(&directory.join(path));
        let below = |entry: &PathBuf| entry.strip_prefix(directory).map(Path::to_owned);
        trail
            .iter()
            .filter_map(|entry| below(entry).ok())
            .map(|entry| entry.display().to_string())
            .collect()
    }

    fn directory() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        (directory, path)
    }

    #[test]
    fn a_plain_file_is_a_trail_of_one_there_or_not() {
        let (_kept, here) = directory();
        assert_eq!(trail_in(&here, "policy.toml"), ["policy.toml"]);
        fs::write(here.join("policy.toml"), "").unwrap();
        assert_eq!(trail_in(&here, "./x/../policy.toml"), ["policy.toml"]);
    }

    #[test]
    fn every_link_on_the_way_belongs_to_the_trail_as_in_a_config_map() {
        let (_kept, here) = directory();
        fs::create_dir(here.join("..2027_03_01")).unwrap();
        symlink("..2027_03_01", here.join("..data")).unwrap();
        symlink("..data/policy.toml", here.join("policy.toml")).unwrap();
        assert_eq!(
            trail_in(&here, "policy.toml"),
            ["..2027_03_01/policy.toml", "..data", "policy.toml"]
        );
    }

    #[test]
    fn links_of_directories_and_absolute_ones_are_followed() {
        let (_kept, here) = directory();
        fs::create_dir_all(here.join("releases/2")).unwrap();
        symlink(here.join("releases/2"), here.join("current")).unwrap();
        assert_eq!(
            trail_in(&here, "current/policy.toml"),
            ["current", "releases/2/policy.toml"]
        );
    }

    #[test]
    fn links_in_a_circle_come_to_an_end() {
        let (_kept, here) = directory();
        symlink("b", here.join("a")).unwrap();
        symlink("a", here.join("b")).unwrap();
        assert_eq!(trail_in(&here, "a"), ["a", "b"]);
    }

    async fn told_of(watch: &Watch, what: &str) {
        let changed = tokio::time::timeout(Duration::from_secs(20), watch.changed()).await;
        assert!(changed.is_ok(), "nobody was told that {what}");
    }

    /// A deployment that puts a whole new directory in the place of the old one.
    #[tokio::test]
    async fn a_file_is_followed_where_its_directory_is_replaced() {
        let (_kept, here) = directory();
        let path = here.join("current/policy.toml");
        fs::create_dir(here.join("current")).unwrap();
        fs::write(&path, "one").unwrap();
        let mut watch = Watch::new(&path).unwrap();
        for round in ["two", "three"] {
            let next = here.join(round);
            fs::create_dir(&next).unwrap();
            fs::write(next.join("policy.toml"), round).unwrap();
            fs::rename(here.join("current"), here.join(format!("before-{round}"))).unwrap();
            fs::rename(next, here.join("current")).unwrap();
            told_of(&watch, "the directory was replaced").await;
            watch.follow().unwrap();
            // The watch is on the new directory: a change of the file in it is told too.
            fs::write(&path, format!("{round} and more")).unwrap();
            told_of(&watch, "the file in the new directory was written").await;
            watch.follow().unwrap();
        }
    }

    #[test]
    fn reading_is_no_change_and_neither_is_a_neighbour() {
        let entries = BTreeSet::from([PathBuf::from("/c/policy.toml")]);
        let event = |kind, path: &str| Event::new(kind).add_path(path.into());
        let open = EventKind::Access(AccessKind::Open(AccessMode::Any));
        let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
        assert!(counts(Ok(&event(written, "/c/policy.toml")), &entries));
        assert!(!counts(Ok(&event(open, "/c/policy.toml")), &entries));
        assert!(!counts(Ok(&event(written, "/c/policy.toml~")), &entries));
        assert!(counts(Ok(&Event::new(EventKind::Other)), &entries));
    }
}
