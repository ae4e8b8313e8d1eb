//! Locking an account: nobody gets anything by one that is locked, and what was got ends.

use countersign_core::AccountId;
use jiff::Timestamp;

use crate::{Account, Lock, Store, StoreError, Version, change_account, end_sessions};

impl Lock {
    /// The longest reason, in characters: a sentence or two.
    pub const LONGEST_REASON: usize = 500;

    /// With a reason that is one: `None` where it says nothing, or too much. It may hold any character: whoever shows it
    /// escapes it.
    pub fn new(at: Timestamp, reason: &str) -> Option<Self> {
        let reason = reason.trim();
        let is_one = (1..=Self::LONGEST_REASON).contains(&reason.chars().count());
        is_one.then(|| Self {
            at,
            reason: reason.to_owned(),
        })
    }
}

/// What came of locking an account.
#[derive(Debug)]
pub struct Locked {
    /// Whether it was locked before; the reason of then stays.
    pub was_locked: bool,
    /// How many sessions have been ended.
    pub ended: usize,
    /// Whether all have: lock it again where not.
    pub all: Result<(), StoreError>,
}

/// Locks an account, and ends its sessions.
///
/// # Errors
///
/// Where it is not locked.
pub async fn lock_account(
    store: &dyn Store,
    found: (Account, Version),
    lock: &Lock,
) -> Result<Locked, StoreError> {
    let (id, was_locked) = (found.0.id.clone(), found.0.locked.is_some());
    let change = |account: &Account| Account {
        locked: account.locked.clone().or_else(|| Some(lock.clone())),
        ..account.clone()
    };
    change_account(store, found, change).await?;
    let (ended, all) = match end_sessions(store, &id, lock.at).await {
        Ok(ended) => (ended, Ok(())),
        Err((ended, error)) => (ended, Err(error)),
    };
    Ok(Locked {
        was_locked,
        ended,
        all,
    })
}

/// Unlocks an account. What began as it was being locked must not come to life again, so sessions end before.
pub async fn unlock_account(
    store: &dyn Store,
    found: (Account, Version),
    now: Timestamp,
) -> Result<(), StoreError> {
    let id: AccountId = found.0.id.clone();
    let ended = end_sessions(store, &id, now).await;
    ended.map_err(|(_, error)| error)?;
    let change = |account: &Account| Account {
        locked: None,
        ..account.clone()
    };
    change_account(store, found, change).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_something_and_not_too_much() {
        let kept = |reason: &str| Lock::new(Timestamp::UNIX_EPOCH, reason).map(|lock| lock.reason);
        assert_eq!(kept("  stolen laptop \n"), Some("stolen laptop".to_owned()));
        assert_eq!(
            kept(&"é".repeat(500)).map(|it| it.chars().count()),
            Some(500)
        );
        for wrong in ["", " \n", &"é".repeat(501)] {
            assert_eq!(kept(wrong), None, "{wrong:?}");
        }
    }
}
