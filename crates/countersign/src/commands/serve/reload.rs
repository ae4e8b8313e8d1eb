//! The policy file, read again when it changes or on SIGHUP, while people go on signing in.
//!
//! What can't be loaded is told, and the policy in force stays. Reading is done beside the server, on
//! a thread where nobody waits: a large policy takes its time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign::config::{PolicyFile, ReadPolicy};
use countersign::{Machine, Surroundings};
use countersign_core::document::Problems;
use countersign_server::{
    AuditLog, By, Clock, Event, Happening, PolicyFailure, PolicyHandle, PolicyHash, PolicyStatus,
    Subject, SystemClock,
};
use tokio::signal::unix::Signal;

use super::watch::Watch;

/// What is read again, and who is told.
#[derive(Debug)]
pub(super) struct Reload {
    pub(super) policy: PolicyHandle,
    pub(super) file: PolicyFile,
    pub(super) configuration: Configuration,
    pub(super) audit_log: Arc<AuditLog>,
}

/// The file that is read at the start only.
#[derive(Debug)]
pub(super) struct Configuration {
    path: PathBuf,
    /// What stood in it then.
    text: String,
}

/// Why the file is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    /// It may have changed.
    Change,
    /// An operator wants to know.
    Hangup,
}

/// What was found in the file, to tell whether something else is found now.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Text(PolicyHash),
    /// Nothing, for this reason of the system's.
    Nothing(String),
}

impl Reload {
    /// Looks after the file until the program stops.
    pub(super) async fn run(self, mut hangup: Signal) {
        let mut watch = self.watch();
        let reload = Arc::new(self);
        let mut found = Found::Text(reload.policy.status().hash);
        // It may have changed between the start and the first moment that it was watched.
        let mut occasion = Occasion::Change;
        loop {
            let reload = Arc::clone(&reload);
            let before = found.clone();
            let look = tokio::task::spawn_blocking(move || reload.look(&before, occasion));
            found = look.await.unwrap_or(found);
            occasion = next(watch.as_ref(), &mut hangup).await;
            if let Some(Err(error)) = watch.as_mut().map(Watch::follow) {
                tell_unwatched(&error);
            }
        }
    }

    fn watch(&self) -> Option<Watch> {
        Watch::new(self.file.path())
            .inspect_err(tell_unwatched)
            .ok()
    }

    fn look(&self, before: &Found, occasion: Occasion) -> Found {
        let text = self.file.text(&Machine);
        let found = Found::of(&text);
        if found == *before && occasion == Occasion::Change {
            return found;
        }
        match text {
            Ok(text) => self.load(&text),
            Err(error) => self.reject(self.unreadable(&error)),
        }
        self.tell_of_configuration();
        found
    }

    fn load(&self, text: &str) {
        let status = self.policy.status();
        if status.hash == PolicyHash::of(text) {
            return self.go_on(&status);
        }
        match self.file.read(text, Machine.today()) {
            Ok(read) => self.put_in_force(read, status.hash),
            Err(problems) => self.reject(lines(&problems)),
        }
    }

    fn go_on(&self, status: &PolicyStatus) {
        let (code, policy) = match status.failure {
            None => ("policy-unchanged", status.hash),
            Some(_) => ("policy-restored", status.hash),
        };
        self.policy.confirm();
        tracing::info!(code, %policy, "the policy file says what is in force");
    }

    fn put_in_force(&self, read: ReadPolicy, before: PolicyHash) {
        let hash = read.policy.hash;
        self.policy.replace(read.policy, SystemClock.now());
        let replaced = Happening::new(Event::PolicyReplaced, By::Operator)
            .about(Subject::Policy, hash)
            .about(Subject::Before, before);
        self.audit_log.write(replaced, SystemClock.now());
        tracing::info!(code = "policy-replaced", policy = %hash, %before, "another policy is in force");
        for warning in &read.warnings {
            tracing::warn!("{warning}");
        }
    }

    fn reject(&self, problems: Vec<String>) {
        let hash = self.policy.status().hash;
        tracing::error!(code = "policy-rejected", policy = %hash, problems = problems.len(), "the policy file can't be loaded; the policy in force stays");
        for problem in &problems {
            tracing::error!(code = "policy-problem", "{problem}");
        }
        let at = SystemClock.now();
        let refused = Happening::new(Event::PolicyRefused, By::Operator)
            .about(Subject::Before, hash)
            .about(Subject::Count, problems.len())
            .because("policy-rejected");
        self.audit_log.write(refused, at);
        self.policy.keep(PolicyFailure { at, problems });
    }

    fn unreadable(&self, error: &io::Error) -> Vec<String> {
        vec![format!(
            "can't read `{}`: {error}",
            self.file.path().display()
        )]
    }

    /// A policy may name what stands in the configuration only since the start.
    fn tell_of_configuration(&self) {
        if self.configuration.has_changed() {
            let path = self.configuration.path.display();
            tracing::warn!(
                code = "restart-needed",
                "`{path}` has changed since the start; what it says takes effect with a restart"
            );
        }
    }
}

impl Configuration {
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let path = path.to_owned();
        let text = Machine.file(&path)?.text;
        Ok(Self { path, text })
    }

    fn has_changed(&self) -> bool {
        let now = Machine.file(&self.path);
        now.is_ok_and(|now| now.text != self.text)
    }
}

impl Found {
    fn of(text: &io::Result<String>) -> Self {
        match text {
            Ok(text) => Self::Text(PolicyHash::of(text)),
            Err(error) => Self::Nothing(error.to_string()),
        }
    }
}

/// Waits for something to do.
async fn next(watch: Option<&Watch>, hangup: &mut Signal) -> Occasion {
    let changed = async {
        match watch {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = changed => Occasion::Change,
        _ = hangup.recv() => Occasion::Hangup,
    }
}

fn lines(problems: &Problems) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

fn tell_unwatched(error: &notify::Error) {
    tracing::warn!(code = "policy-unwatched", cause = %error, "changes of the policy file can't be noticed; send SIGHUP to have it read again");
}
