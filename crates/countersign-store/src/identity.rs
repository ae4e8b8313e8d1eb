//! Which account an identity leads to, and how that is changed.
//!
//! What leads to an account and the account's record can't be written in one step. So the record counts: an identity leads
//! to an account only where the account lists it. What leads there is set before a record lists it and taken away
//! after, as signposts of organisations are, and set again where two who change the same might have crossed. Where nobody
//! came to the second step, an identity leads to an account that does not list it: to nothing. Whoever shows it
//! next, at a sign-in or to link it, may have it.
//!
//! An account's first record is written after its identity was claimed: one that leads to no record is taken.

use countersign_core::{AccountId, Identity, Profile};
use jiff::Timestamp;

use crate::erase::forget_rest;
use crate::{Account, Store, StoreError, change_account};

/// How often is tried anew when others change where the same identity leads.
const TRIES: usize = 16;

/// The account that an identity leads to, claiming it for `wanted` if it leads nowhere.
///
/// Of many callers with different accounts exactly one wins, and all get the winner's.
///
/// # Errors
///
/// Failures of the store, or [`StoreError::Conflict`] where others never leave a gap.
pub async fn claim_identity(
    store: &dyn Store,
    identity: &Identity,
    wanted: &AccountId,
    now: Timestamp,
) -> Result<AccountId, StoreError> {
    for _ in 0..TRIES {
        let leads_to = store.claim_identity(identity, wanted.clone()).await?;
        if leads_to == *wanted {
            return Ok(leads_to);
        }
        match store.account(&leads_to).await? {
            // Its own, or one that is to be made.
            Some((known, _)) if known.lists(identity) => return Ok(leads_to),
            None => return Ok(leads_to),
            Some((known, _)) if known.erasing => forget_rest(store, &leads_to, now).await?,
            Some(_) => release(store, identity, &leads_to).await?,
        }
    }
    Err(StoreError::Conflict)
}

/// Lets an identity lead to an account. `false` where it leads to another.
///
/// # Errors
///
/// As of [`change_account`] and [`claim_identity`].
pub async fn link_identity(
    store: &dyn Store,
    identity: &Identity,
    account: &AccountId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if claim_identity(store, identity, account, now).await? != *account {
        return Ok(false);
    }
    let listed = change(store, account, |known| known.with_identity(identity, now)).await;
    if let Err(StoreError::Conflict) = listed {
        // The account was forgotten meanwhile: what leads to none would be taken for ever.
        release(store, identity, account).await?;
    }
    listed?;
    // Who took it away before the record listed it did not see that it is listed.
    if claim_identity(store, identity, account, now).await? == *account {
        return Ok(true);
    }
    change(store, account, |known| without(known, identity)).await?;
    Ok(false)
}

/// Lets an identity lead to an account no more, of which `profile` is what is known from then on. `false`, and nothing
/// changes, where no other identity leads there. One that was removed before is removed to the end.
///
/// # Errors
///
/// As of [`change_account`] and [`claim_identity`].
pub async fn unlink_identity(
    store: &dyn Store,
    identity: &Identity,
    account: &AccountId,
    profile: Profile,
) -> Result<bool, StoreError> {
    let changed = change(store, account, |known| {
        let changed = known.without_identity(identity);
        changed.map_or_else(
            || known.clone(),
            |changed| Account {
                profile: profile.clone().name_and_email(),
                ..changed
            },
        )
    });
    if changed.await?.lists(identity) {
        return Ok(false);
    }
    release(store, identity, account).await?;
    Ok(true)
}

/// Lets an identity lead to this account no more, unless the account lists it by then.
async fn release(
    store: &dyn Store,
    identity: &Identity,
    account: &AccountId,
) -> Result<(), StoreError> {
    store.release_identity(identity, account).await?;
    let found = store.account(account).await?;
    if !found.is_some_and(|(known, _)| known.lists(identity)) {
        return Ok(());
    }
    let leads_to = store.claim_identity(identity, account.clone()).await?;
    if leads_to != *account {
        // Another was faster still, and has it.
        change(store, account, |known| without(known, identity)).await?;
    }
    Ok(())
}

fn without(account: &Account, identity: &Identity) -> Account {
    let changed = account.without_identity(identity);
    changed.unwrap_or_else(|| account.clone())
}

async fn change(
    store: &dyn Store,
    account: &AccountId,
    change: impl Fn(&Account) -> Account,
) -> Result<Account, StoreError> {
    let found = store.account(account).await?;
    change_account(store, found.ok_or(StoreError::Conflict)?, change).await
}
