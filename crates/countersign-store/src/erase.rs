//! Forgets a person: their account, what leads to it, and what the registry said of it.
//!
//! It concerns several owners, which can't be written in one step. So what was got by the account ends first, and where the
//! account stands is forgotten before its record is: whoever is cut off in between finds all that is left by the same identity, and
//! begins again. Before nobody can find it any more nothing of the person is left in it but the provider's pseudonymous ids.

use countersign_core::{AccountId, Profile};
use jiff::Timestamp;
use thiserror::Error;

use crate::organization::change_organization;
use crate::{
    Account, Admin, Ended, RegistryAccountName, Signpost, Store, StoreError, Version,
    organizations_by,
};

/// How often is begun anew when others write to the same account meanwhile.
const TRIES: usize = 16;

/// Why somebody is not forgotten.
#[derive(Debug, Error)]
pub enum EraseError {
    /// The account is locked: who has it would begin anew, and be locked no more.
    #[error("the account is locked")]
    Locked,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Forgets the account and what leads to it. Answers how many of its sessions ended; `None` where there is none.
///
/// What names it by its id elsewhere (who connected an organisation, lines of the logs) stays, and leads to nobody.
///
/// # Errors
///
/// [`EraseError::Locked`], failures of the store, or [`StoreError::Conflict`] where others never leave a gap.
pub async fn erase_account(
    store: &dyn Store,
    id: &AccountId,
    now: Timestamp,
) -> Result<Option<usize>, EraseError> {
    let mut ended = 0;
    for _ in 0..TRIES {
        let Some(found) = store.account(id).await? else {
            return Ok(None);
        };
        if found.0.locked.is_some() {
            return Err(EraseError::Locked);
        }
        ended += end_sessions(store, id, now).await.map_err(|(_, why)| why)?;
        match forget(store, found).await {
            Ok(()) => {
                // A sign-in that was under way may have opened one: it is good for nothing, and goes as well.
                ended += end_sessions(store, id, now).await.map_err(|(_, why)| why)?;
                return Ok(Some(ended));
            }
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Conflict.into())
}

/// Ends all sessions of an account, a page at a time, and answers how many were good until then; with the error, where it broke off.
pub async fn end_sessions(
    store: &dyn Store,
    account: &AccountId,
    now: Timestamp,
) -> Result<usize, (usize, StoreError)> {
    let mut ended = 0;
    let mut end = async || {
        loop {
            let live = store.sessions_of(account, None, now).await?;
            if live.is_empty() {
                return Ok(());
            }
            for one in live {
                if store.end_session(&one.session.id, now).await? == Ended::Now {
                    ended += 1;
                }
            }
        }
    };
    match end().await {
        Ok(()) => Ok(ended),
        Err(error) => Err((ended, error)),
    }
}

async fn forget(
    store: &dyn Store,
    (account, version): (Account, Version),
) -> Result<(), StoreError> {
    give_up_organizations(store, &account).await?;
    if let Some(name) = &account.registry_account {
        forget_registry_account(store, name, &account.id).await?;
    }
    let blank = Account {
        profile: Profile::default(),
        registered_at: None,
        registry_account: None,
        vouched_email: None,
        ..account
    };
    let version = store.replace_account(blank.clone(), version).await?;
    for identity in blank.identities() {
        store.release_identity(identity, &blank.id).await?;
    }
    store.remove_account(&blank.id, version).await
}

/// Whoever is forgotten administers nothing.
async fn give_up_organizations(store: &dyn Store, account: &Account) -> Result<(), StoreError> {
    for name in admins(account) {
        let post = Signpost::Admin(name.clone());
        for organization in organizations_by(store, &post).await? {
            let changed = change_organization(store, &organization.id, |known| {
                let changed = known.cloned().map(|mut known| {
                    known.admins.remove(&name);
                    known
                });
                Ok::<_, StoreError>(changed)
            });
            changed.await?;
        }
    }
    Ok(())
}

/// The names under which somebody administers organisations.
pub fn admins(account: &Account) -> impl Iterator<Item = Admin> {
    let named = account.registry_account.clone();
    let named = named.map(Admin::RegistryAccount);
    std::iter::once(Admin::Account(account.id.clone())).chain(named)
}

/// What the registry said of an account is forgotten, if it is this one's.
async fn forget_registry_account(
    store: &dyn Store,
    name: &RegistryAccountName,
    account: &AccountId,
) -> Result<(), StoreError> {
    match store.registry_account(name).await? {
        Some((record, version)) if record.account.as_ref() == Some(account) => {
            store.remove_registry_account(name, version).await
        }
        Some(_) | None => Ok(()),
    }
}
