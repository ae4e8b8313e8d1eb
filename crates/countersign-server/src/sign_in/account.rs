//! The account of who signs in: found, or about to be made; and what is remembered of it.
//!
//! An account is made when its first login is let in, and not before: its id is chosen earlier,
//! since the calendar decides by it.

use countersign_core::calendar::day_of;
use countersign_core::{AccountFacts, AccountId, Evidence, Identity, Permit};
use countersign_store::{Account, Store, StoreError, Version, change_account, claim_identity};
use jiff::Timestamp;
use jiff::civil::Date;

use crate::audit::{Event, Happening, Subject};
use crate::edge::RandomText;
use crate::web::Context;

/// Who signs in.
#[derive(Clone)]
pub(crate) struct Candidate {
    account: Account,
    /// Which record it is; `None` where there is none yet.
    version: Option<Version>,
}

impl Candidate {
    /// The account of this identity, or what would be its first record.
    pub(crate) async fn find(
        evidence: &Evidence,
        context: &Context<'_>,
    ) -> Result<Self, StoreError> {
        let store = context.broker.store.as_ref();
        if let Some((account, version)) = store.account_of(&evidence.identity).await? {
            return Ok(Self {
                account,
                version: Some(version),
            });
        }
        let fresh = AccountId::new(format!("acct_{}", context.broker.entropy.hex::<16>()))
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let (identity, profile) = (evidence.identity.clone(), evidence.profile.clone());
        Ok(Self {
            account: Account::new(fresh, identity, profile, context.now),
            version: None,
        })
    }

    /// The account's id, which it keeps.
    pub(crate) fn id(&self) -> &AccountId {
        &self.account.id
    }

    /// The account's id, if it has been made.
    pub(crate) fn known_id(&self) -> Option<&AccountId> {
        self.version.is_some().then_some(&self.account.id)
    }

    /// What the policy decides by.
    pub(crate) fn facts(&self, context: &Context<'_>) -> AccountFacts {
        context.broker.calendar.facts(&self.account)
    }

    /// Remembers that this login was let in; answers with the account's id.
    pub(crate) async fn remember(
        self,
        permit: &Permit,
        evidence: &Evidence,
        context: &Context<'_>,
    ) -> Result<AccountId, StoreError> {
        let seen = |account: &Account| seen(account, permit, evidence, context);
        write(self, (&evidence.identity, seen), context).await
    }

    /// Remembers that it was let in, and that it is shown the reminder today.
    pub(crate) async fn remind(
        self,
        permit: &Permit,
        evidence: &Evidence,
        context: &Context<'_>,
    ) -> Result<AccountId, StoreError> {
        let reminded = |account: &Account| Account {
            reminded_on: Some(day_of(context.now)),
            ..seen(account, permit, evidence, context)
        };
        write(self, (&evidence.identity, reminded), context).await
    }

    /// Whether it was shown the reminder today.
    pub(crate) fn is_reminded(&self, context: &Context<'_>) -> bool {
        self.account.reminded_on == Some(day_of(context.now))
    }

    /// The day that it was told.
    pub(crate) fn told_due(&self) -> Option<Date> {
        self.account.told_due
    }
}

/// The account after this login. A day that was told stays, or gives way to an earlier one.
fn seen(account: &Account, permit: &Permit, evidence: &Evidence, context: &Context<'_>) -> Account {
    let shown = permit.shows_mfa().then_some(context.now);
    let told = account.told_due.into_iter().chain(permit.mfa_due());
    Account {
        profile: evidence.profile.clone().name_and_email(),
        first_mfa_at: account.first_mfa_at.or(shown),
        told_due: told.min(),
        seen_on: Some(account.seen(day_of(context.now))),
        ..account.clone()
    }
}

/// Keeps the day that a token tells, unless an earlier one was told before.
pub(crate) async fn tell(
    account: &Account,
    version: Version,
    day: Date,
    context: &Context<'_>,
) -> Result<(), StoreError> {
    let told = |account: &Account| Account {
        told_due: account.told_due.into_iter().chain([day]).min(),
        ..account.clone()
    };
    let store = context.broker.store.as_ref();
    let found = (account.clone(), version);
    change_account(store, found, told).await.map(drop)
}

/// Writes what this login changes, to the record as it is by then.
async fn write(
    found: Candidate,
    (identity, change): (&Identity, impl Fn(&Account) -> Account),
    context: &Context<'_>,
) -> Result<AccountId, StoreError> {
    let store = context.broker.store.as_ref();
    // Of an account that does not list it any more it says nothing.
    let change = |account: &Account| {
        if account.lists(identity) {
            change(account)
        } else {
            account.clone()
        }
    };
    let found = if let Some(version) = found.version {
        (found.account, version)
    } else {
        // Where it is ours that was kept, nothing is left to change.
        let made = make(store, change(&found.account), context.now).await?;
        if made.0.id == found.account.id {
            tell_made(&made.0, context);
        }
        made
    };
    let account = change_account(store, found, change).await?;
    // The owner removed it while it signed in: it begins anew, with an account of its own.
    if !account.lists(identity) {
        return Err(StoreError::Conflict);
    }
    Ok(account.id)
}

fn tell_made(account: &Account, context: &Context<'_>) {
    context.audit(
        Happening::new(Event::AccountMade, &account.id).about(Subject::Account, &account.id),
    );
}

/// Makes the account, unless another was faster: then it is theirs that counts.
async fn make(
    store: &dyn Store,
    account: Account,
    now: Timestamp,
) -> Result<(Account, Version), StoreError> {
    let id = claim_identity(store, &account.identity, &account.id, now).await?;
    let first = Account { id, ..account };
    store.put_account_if_absent(first).await
}
