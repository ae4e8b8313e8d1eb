//! The directories that the program writes to: whose they are, who else can use them, what room is left.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use countersign_server::DecisionLogSettings;

use super::Patient;
use super::finding::Finding;

/// Below this a busy day of decisions, and what the store needs to tidy up, may not fit.
const LITTLE: u64 = 1 << 30;
/// Below this the next write may be the one that fails.
const NEXT_TO_NONE: u64 = 64 << 20;

pub(super) async fn check(patient: &Patient) -> Vec<Finding> {
    let data = patient.installation.data_dir.clone();
    let log = directory_of(&patient.installation.decision_log);
    let looked = tokio::task::spawn_blocking(move || {
        let of_log = log.as_deref().map(|path| judge_log(&look(path), &data));
        let of_data = judge_data(&look(&data));
        of_data
            .into_iter()
            .chain(of_log.into_iter().flatten())
            .collect()
    });
    looked.await.unwrap_or_default()
}

/// What there is of a directory.
#[derive(Debug, Clone)]
struct Directory {
    path: PathBuf,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Absent {
        /// Of the nearest directory above it that is there.
        free: Option<u64>,
    },
    Unreadable(String),
    There {
        is_directory: bool,
        mode: u32,
        is_ours: bool,
        /// Bytes that this user can still write; nothing where the system does not say.
        free: Option<u64>,
    },
}

fn directory_of(log: &DecisionLogSettings) -> Option<PathBuf> {
    match log {
        DecisionLogSettings::File(file) => file.path.parent().map(Path::to_owned),
        DecisionLogSettings::Stdout | DecisionLogSettings::Off => None,
    }
}

fn look(path: &Path) -> Directory {
    let state = match fs::metadata(path) {
        Ok(metadata) => State::There {
            is_directory: metadata.is_dir(),
            mode: metadata.permissions().mode() & 0o7777,
            is_ours: metadata.uid() == rustix::process::geteuid().as_raw(),
            free: free(path),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => State::Absent {
            free: path.ancestors().find(|one| one.exists()).and_then(free),
        },
        Err(error) => State::Unreadable(error.to_string()),
    };
    Directory {
        path: path.to_owned(),
        state,
    }
}

fn free(path: &Path) -> Option<u64> {
    let system = rustix::fs::statvfs(path).ok()?;
    system.f_bavail.checked_mul(system.f_frsize)
}

/// Nobody else may use it: it holds keys.
fn judge_data(found: &Directory) -> Vec<Finding> {
    const OF: &str = "data directory";
    let path = found.path.display();
    let first = match &found.state {
        State::Absent { .. } => Finding::warning(
            OF,
            format!("`{path}` is not there"),
            "it is made at the first start; where this installation has run before, its accounts and keys are gone: \
             see that what holds them is mounted",
        ),
        State::Unreadable(error) => Finding::failure(
            OF,
            format!("`{path}`: {error}"),
            "run this as the user that the server runs as",
        ),
        State::There {
            is_directory: false,
            ..
        } => Finding::failure(
            OF,
            format!("`{path}` is no directory"),
            "`server.data_dir` must name one",
        ),
        State::There { mode, .. } if mode & 0o077 != 0 => Finding::failure(
            OF,
            format!("others than its owner may use `{path}` (mode {mode:04o}), and it holds keys"),
            format!("see who could, then `chmod 700 '{path}'`"),
        ),
        State::There { is_ours: false, .. } if !is_root() => Finding::failure(
            OF,
            format!("`{path}` is another user's"),
            "run this as the user that the server runs as",
        ),
        State::There { .. } => Finding::fine(OF, format!("`{path}` is its owner's alone")),
    };
    std::iter::once(first)
        .chain(room("disk of the data directory", found))
        .collect()
}

/// It must be there: the server makes the data directory, and no other.
fn judge_log(found: &Directory, data: &Path) -> Vec<Finding> {
    const OF: &str = "decision log";
    let path = found.path.display();
    if found.path == data {
        return Vec::new();
    }
    let first = match &found.state {
        State::Absent { .. } => Finding::failure(
            OF,
            format!("its directory `{path}` is not there"),
            "make it, for the user that the server runs as; `decision_log.file` names it",
        ),
        State::Unreadable(error) => Finding::failure(
            OF,
            format!("`{path}`: {error}"),
            "run this as the user that the server runs as",
        ),
        State::There {
            is_directory: false,
            ..
        } => Finding::failure(
            OF,
            format!("`{path}` is no directory"),
            "`decision_log.file` must name a file in one",
        ),
        State::There { mode, .. } if mode & 0o002 != 0 => Finding::warning(
            OF,
            format!("everybody may write to `{path}` (mode {mode:04o})"),
            format!("`chmod o-w '{path}'`: whoever can write there can take decisions away"),
        ),
        State::There { .. } => Finding::fine(OF, format!("its directory `{path}` is there")),
    };
    std::iter::once(first)
        .chain(room("disk of the decision log", found))
        .collect()
}

fn room(of: &str, found: &Directory) -> Option<Finding> {
    let free = match &found.state {
        State::Absent { free } | State::There { free, .. } => (*free)?,
        State::Unreadable(_) => return None,
    };
    let left = format!("{} MiB are free", free >> 20);
    let mend = "make room: where the disk is full nobody signs in, and decisions wait in memory";
    Some(match free {
        _ if free < NEXT_TO_NONE => Finding::failure(of, left, mend),
        _ if free < LITTLE => Finding::warning(of, left, mend),
        _ => Finding::fine(of, left),
    })
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::super::finding::Health;
    use super::*;

    fn directory(mode: u32, free: u64) -> Directory {
        Directory {
            path: "/var/lib/countersign".into(),
            state: State::There {
                is_directory: true,
                mode,
                is_ours: true,
                free: Some(free),
            },
        }
    }

    fn check(found: &[Finding], expected: &[Health]) {
        let health: Vec<Health> = found.iter().map(|one| one.health).collect();
        assert_eq!(health, expected, "{found:?}");
    }

    #[test]
    fn the_data_directory_is_its_owners_alone_and_has_room() {
        use Health::{Fail, Ok, Warn};
        check(&judge_data(&directory(0o700, 1 << 40)), &[Ok, Ok]);
        check(&judge_data(&directory(0o750, 1 << 40)), &[Fail, Ok]);
        check(&judge_data(&directory(0o700, 1 << 29)), &[Ok, Warn]);
        check(&judge_data(&directory(0o700, 1 << 20)), &[Ok, Fail]);
        let state = State::Absent { free: None };
        let absent = Directory {
            state,
            ..directory(0, 0)
        };
        check(&judge_data(&absent), &[Warn]);
        check(&judge_log(&absent, Path::new("/elsewhere")), &[Fail]);
    }

    #[test]
    fn the_decision_log_in_the_data_directory_is_told_of_once() {
        let found = directory(0o700, 1 << 40);
        check(&judge_log(&found, &found.path), &[]);
        let found = directory(0o777, 1 << 40);
        check(
            &judge_log(&found, Path::new("/x")),
            &[Health::Warn, Health::Ok],
        );
    }
}
