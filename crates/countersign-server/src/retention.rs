//! Forgets people who have not signed in for so long (`lifetimes.unused_account` of the policy): once a day, by one replica.

use std::sync::Arc;

use countersign_core::AccountId;
use countersign_core::calendar::day_of;
use countersign_store::{Account, EraseError, Seen, Store, StoreError, erase_account_if};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use crate::PolicyHandle;
use crate::audit::{AuditLog, By, Event, Happening, Subject};
use crate::once::{Kind, key};

/// How many accounts are read at once.
const PAGE: usize = 200;

/// What forgets them while the server runs, if it is called now and then.
#[derive(Debug, Clone)]
pub struct Retention {
    pub(crate) policy: PolicyHandle,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) audit_log: Arc<AuditLog>,
    pub(crate) ended: Arc<Notify>,
}

impl Retention {
    /// Forgets whoever is due, and answers how many, if the policy says so and nobody has begun it today. `pause` is awaited
    /// between two pages, so that nobody who signs in waits for it.
    ///
    /// # Errors
    ///
    /// Failures of the store: what is left is forgotten on another day.
    pub async fn tick(&self, now: Timestamp, pause: impl AsyncFn()) -> Result<usize, StoreError> {
        let Some(longest) = self.policy.current().policy.lifetimes().unused_account else {
            return Ok(0);
        };
        // What can't be written down is not done.
        if self.audit_log.check(now).is_err() || !self.is_first_today(now).await? {
            return Ok(0);
        }
        let mut forgotten = 0;
        let mut after = None;
        loop {
            let page = self.store.list_accounts(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(forgotten);
            };
            after = Some(last.id.clone());
            for account in page.iter().filter(|one| is_unused(one, longest, now)) {
                forgotten += usize::from(self.forget(&account.id, longest, now).await?);
            }
            pause().await;
        }
    }

    async fn is_first_today(&self, now: Timestamp) -> Result<bool, StoreError> {
        let today = key(Kind::Retention, &[&day_of(now).to_string()]);
        let until = now + SignedDuration::from_hours(24);
        Ok(self.store.remember(&today, until, now).await? == Seen::First)
    }

    async fn forget(
        &self,
        id: &AccountId,
        longest: SignedDuration,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        // As it is by then: its owner may have come back while others were forgotten.
        let is_due = |account: &Account| is_unused(account, longest, now);
        let ended = match erase_account_if(self.store.as_ref(), id, is_due, now).await {
            Ok(Some(ended)) => ended,
            // They came back, somebody locked it, or was faster.
            Ok(None) | Err(EraseError::Locked) => return Ok(false),
            Err(EraseError::Store(error)) => return Err(error),
        };
        self.ended.notify_one();
        let happening = Happening::new(Event::AccountErased, By::Nobody)
            .about(Subject::Account, id)
            .about(Subject::Count, ended)
            .because("unused");
        self.audit_log.write(happening, now);
        Ok(true)
    }
}

/// Whether somebody who had signed in has not done so for so long. Whoever never has is known by the registry's word alone, and
/// what is locked stays locked.
fn is_unused(account: &Account, longest: SignedDuration, now: Timestamp) -> bool {
    account.locked.is_none()
        && account
            .last_seen()
            .is_some_and(|seen| seen < last_day(longest, now))
}

/// Whoever signed in on this day or later has an account still.
fn last_day(longest: SignedDuration, now: Timestamp) -> Date {
    day_of(now.checked_sub(longest).unwrap_or(Timestamp::MIN))
}

#[cfg(test)]
mod tests {
    use countersign_core::{Identity, Profile};
    use countersign_store::Lock;

    use super::*;

    const LONGEST: SignedDuration = SignedDuration::from_hours(90 * 24);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn seen_on(day: Option<&str>) -> Account {
        let identity = Identity::GitHub {
            host: "github.com".to_owned(),
            id: 7,
        };
        let id = AccountId::new("acct_7").unwrap();
        let made = at("2020-01-01T00:00:00Z");
        Account {
            seen_on: day.map(|day| day.parse().unwrap()),
            ..Account::new(id, identity, Profile::default(), made)
        }
    }

    #[test]
    fn an_account_is_unused_when_its_owner_has_not_signed_in_for_so_long() {
        let is_due = |account: &Account, now: &str| is_unused(account, LONGEST, at(now));
        let account = seen_on(Some("2027-01-01"));
        // They may have come again in the six days after without our writing it down.
        assert!(!is_due(&account, "2027-04-07T23:59:59Z"));
        assert!(is_due(&account, "2027-04-08T00:00:00Z"));
        // Whoever never came is not forgotten by us: the registry told of them.
        assert!(!is_due(&seen_on(None), "2047-01-01T00:00:00Z"));
        let locked = Account {
            locked: Some(Lock {
                at: at("2027-01-02T00:00:00Z"),
                reason: "reported".to_owned(),
            }),
            ..account
        };
        assert!(!is_due(&locked, "2047-01-01T00:00:00Z"));
        // A clock that is set far back forgets nobody.
        assert!(!is_due(
            &seen_on(Some("2027-01-01")),
            "1970-01-01T00:00:00Z"
        ));
    }
}
