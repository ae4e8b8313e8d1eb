//! The directories that the program writes to: whose they are, who else can use them, what room is left.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use countersign_server::{AuditLogSettings, DecisionLogSettings};

use super::Patient;
use super::finding::Finding;

/// Below this a busy day of decisions, and what the store needs to tidy up, may not fit.
const LITTLE: u64 = 1 << 30;
/// Below this the next write may be the one that fails.
const NEXT_TO_NONE: u64 = 64 << 20;

pub(super) async fn check(patient: &Patient) -> Vec<Finding> {
    let data = patient.installation.data_dir.clone();
    let logs = [
        (DECISIONS, of_decisions(&patient.installation.decision_log)),
        (AUDIT, of_audit(&patient.installation.audit_log)),
    ];
    let looked = tokio::task::spawn_blocking(move || {
        let of_logs = logs.into_iter().filter_map(|(log, path)| {
            let found = look(&path?);
            Some(judge_log(log, &found, &data))
        });
        let of_data = judge_data(&look(&data));
        std::iter::once(of_data).chain(of_logs).flatten().collect()
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

/// A log, for whoever is told of its directory.
#[derive(Debug, Clone, Copy)]
struct Log {
    title: &'static str,
    disk: &'static str,
    setting: &'static str,
    lines: &'static str,
}

const DECISIONS: Log = Log {
    title: "decision log",
    disk: "disk of the decision log",
    setting: "decision_log.file",
    lines: "decisions",
};
const AUDIT: Log = Log {
    title: "audit log",
    disk: "disk of the audit log",
    setting: "audit_log.file",
    lines: "audit lines",
};

fn of_decisions(log: &DecisionLogSettings) -> Option<PathBuf> {
    match log {
        DecisionLogSettings::File(file) => file.path.parent().map(Path::to_owned),
        DecisionLogSettings::Stdout | DecisionLogSettings::Off => None,
    }
}

fn of_audit(log: &AuditLogSettings) -> Option<PathBuf> {
    match log {
        AuditLogSettings::File(file) => file.path.parent().map(Path::to_owned),
        AuditLogSettings::Off => None,
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
fn judge_log(log: Log, found: &Directory, data: &Path) -> Vec<Finding> {
    let Log {
        title,
        disk,
        setting,
        lines,
    } = log;
    let path = found.path.display();
    if found.path == data {
        return Vec::new();
    }
    let first = match &found.state {
        State::Absent { .. } => Finding::failure(
            title,
            format!("its directory `{path}` is not there"),
            format!("make it, for the user that the server runs as; `{setting}` names it"),
        ),
        State::Unreadable(error) => Finding::failure(
            title,
            format!("`{path}`: {error}"),
            "run this as the user that the server runs as",
        ),
        State::There {
            is_directory: false,
            ..
        } => Finding::failure(
            title,
            format!("`{path}` is no directory"),
            format!("`{setting}` must name a file in one"),
        ),
        State::There { mode, .. } if mode & 0o002 != 0 => Finding::warning(
            title,
            format!("everybody may write to `{path}` (mode {mode:04o})"),
            format!("`chmod o-w '{path}'`: whoever can write there can take {lines} away"),
        ),
        State::There { .. } => Finding::fine(title, format!("its directory `{path}` is there")),
    };
    std::iter::once(first).chain(room(disk, found)).collect()
}

fn room(of: &str, found: &Directory) -> Option<Finding> {
    let free = match &found.state {
        State::Absent { free } | State::There { free, .. } => (*free)?,
        State::Unreadable(_) => return None,
    };
    let left = format!("{} MiB are free", free >> 20);
    let mend = "make room: where the disk is full nobody signs in or manages anything, and lines of the logs wait in memory";
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
        check(&judge_log(AUDIT, &absent, Path::new("/elsewhere")), &[Fail]);
    }

    #[test]
    fn a_log_in_the_data_directory_is_told_of_once() {
        let found = directory(0o700, 1 << 40);
        for log in [DECISIONS, AUDIT] {
            check(&judge_log(log, &found, &found.path), &[]);
        }
        let found = directory(0o777, 1 << 40);
        check(
            &judge_log(AUDIT, &found, Path::new("/x")),
            &[Health::Warn, Health::Ok],
        );
    }
}
