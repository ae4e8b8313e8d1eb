//! The policy in force: which one decides, since when, and how the last attempt to replace it ended.
//!
//! Requests read it without waiting: each takes what is in force when it begins and keeps to it,
//! so that no request is decided by two. Where the next one comes from is the caller's affair.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use countersign_core::Policy;
use jiff::Timestamp;

/// A policy, and which one it is.
#[derive(Debug)]
pub struct PolicyInForce {
    /// What decides.
    pub policy: Policy,
    /// The digest of the text that it was read from.
    pub hash: PolicyHash,
}

impl PolicyInForce {
    /// The policy that was read from this text.
    pub fn new(policy: Policy, text: &str) -> Self {
        let hash = PolicyHash::of(text);
        Self { policy, hash }
    }
}

/// SHA-256 of a policy file: its version, in logs and on pages of operators. Prints as `sha256:` and
/// lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PolicyHash([u8; 32]);

impl PolicyHash {
    /// The hash of a file's text.
    pub fn of(text: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
        Self(bytes)
    }
}

/// What a hash begins with.
const SCHEME: &str = "sha256:";

impl fmt::Display for PolicyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        // It stands in every line of the decision log: no machinery for each byte.
        let digits = self.0.map(|byte| [byte >> 4, byte & 15]);
        let digits = digits.as_flattened().iter();
        let mut text = String::with_capacity(SCHEME.len() + 2 * self.0.len());
        text.push_str(SCHEME);
        text.extend(digits.map(|digit| char::from(DIGITS[usize::from(*digit)])));
        f.write_str(&text)
    }
}

impl fmt::Debug for PolicyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The way to replace the policy of a running broker, and to ask which one it has. Clones lead to
/// the same broker.
#[derive(Debug, Clone)]
pub struct PolicyHandle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    in_force: ArcSwap<PolicyInForce>,
    /// For operators only: no request waits for it.
    status: Mutex<PolicyStatus>,
}

/// What an operator is told of the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyStatus {
    /// Which one is in force.
    pub hash: PolicyHash,
    /// Since when.
    pub since: Timestamp,
    /// How often another one was put in force.
    pub replaced: u64,
    /// How often one could not be.
    pub failed: u64,
    /// Why what the file says now is not in force; nothing where it is.
    pub failure: Option<PolicyFailure>,
}

/// A policy that could not be put in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFailure {
    /// When it was tried.
    pub at: Timestamp,
    /// All that is wrong with it, each as `file:line:column: what was expected`.
    pub problems: Vec<String>,
}

impl PolicyHandle {
    pub(crate) fn new(first: PolicyInForce, now: Timestamp) -> Self {
        let status = PolicyStatus {
            hash: first.hash,
            since: now,
            replaced: 0,
            failed: 0,
            failure: None,
        };
        Self(Arc::new(Shared {
            in_force: ArcSwap::from_pointee(first),
            status: Mutex::new(status),
        }))
    }

    /// The one in force now.
    pub fn current(&self) -> Arc<PolicyInForce> {
        self.0.in_force.load_full()
    }

    /// Puts another one in force: for requests that begin from now on.
    pub fn replace(&self, next: PolicyInForce, now: Timestamp) {
        let mut status = self.lock();
        status.hash = next.hash;
        status.since = now;
        status.replaced += 1;
        status.failure = None;
        self.0.in_force.store(Arc::new(next));
    }

    /// What should have replaced it can't: the one in force stays.
    pub fn keep(&self, failure: PolicyFailure) {
        let mut status = self.lock();
        status.failed += 1;
        status.failure = Some(failure);
    }

    /// The file says again what is in force: an earlier failure is mended.
    pub fn confirm(&self) {
        self.lock().failure = None;
    }

    /// What an operator is told.
    pub fn status(&self) -> PolicyStatus {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, PolicyStatus> {
        self.0.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn policy(text: &str) -> PolicyInForce {
        PolicyInForce::new(Policy::default(), text)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_hash_is_what_sha256sum_prints_of_the_file() {
        assert_eq!(PolicyHash::of("").to_string(), EMPTY);
        assert_ne!(PolicyHash::of(" ").to_string(), EMPTY);
    }

    #[test]
    fn who_has_begun_with_a_policy_keeps_it() {
        let handle = PolicyHandle::new(policy("a"), at(1));
        let begun = handle.current();
        handle.replace(policy("b"), at(2));
        assert_eq!(begun.hash, PolicyHash::of("a"));
        assert_eq!(handle.current().hash, PolicyHash::of("b"));
        assert_eq!(handle.status().since, at(2));
    }

    #[test]
    fn a_failure_changes_nothing_in_force_and_is_told_until_it_is_mended() {
        let handle = PolicyHandle::new(policy("a"), at(1));
        let failure = PolicyFailure {
            at: at(2),
            problems: vec!["policy.toml:1:1: `version` is missing".into()],
        };
        handle.keep(failure.clone());
        let status = handle.status();
        assert_eq!((status.failure, status.failed), (Some(failure), 1));
        assert_eq!((status.hash, status.since), (PolicyHash::of("a"), at(1)));
        handle.confirm();
        let status = handle.status();
        assert_eq!(
            (status.failure, status.replaced, status.failed),
            (None, 0, 1)
        );
    }
}
