//! Forgets a person: their account, what leads to it, and what the registry said of it.
//!
//! It concerns several owners, which can't be written in one step. One write decides: from then on the account is being erased, lists
//! no identity, and so is nobody's, and all that is left in it are ids. The rest follows, and whoever is cut off leaves it to
//! who erases it again, or to the next one who shows an identity of it.

use countersign_core::AccountId;
use jiff::Timestamp;
use thiserror::Error;

use crate::organization::change_organization;
use crate::{
    Account, Admin, Ended, Organization, RegistryAccountName, Signpost, Store, StoreError,
    all_keys_of, organizations_by,
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
    erase_account_if(store, id, |_| true, now).await
}

/// Forgets the account and what leads to it, if it is still as `is_due` wants it, whoever writes to it meanwhile. Answers how many
/// of its sessions ended; `None` where there is none, or it is not due.
///
/// # Errors
///
/// As of [`erase_account`].
pub async fn erase_account_if(
    store: &dyn Store,
    id: &AccountId,
    is_due: impl Fn(&Account) -> bool,
    now: Timestamp,
) -> Result<Option<usize>, EraseError> {
    for _ in 0..TRIES {
        let Some((account, version)) = store.account(id).await? else {
            return Ok(None);
        };
        if account.erasing {
            return Ok(Some(finish(store, id, now).await?));
        }
        if !is_due(&account) {
            return Ok(None);
        }
        if account.locked.is_some() {
            return Err(EraseError::Locked);
        }
        match store.replace_account(account.emptied(), version).await {
            Ok(_) => return Ok(Some(finish(store, id, now).await?)),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Conflict.into())
}

/// Ends what was got by an account that is being erased, and forgets the rest of it.
async fn finish(store: &dyn Store, id: &AccountId, now: Timestamp) -> Result<usize, StoreError> {
    let ended = end_sessions(store, id, now).await.map_err(|(_, why)| why)?;
    forget_rest(store, id, now).await?;
    // A sign-in that was under way may have opened one: it is good for nothing, and goes as well.
    let late = end_sessions(store, id, now).await.map_err(|(_, why)| why)?;
    Ok(ended + late)
}

/// Forgets what is left of an account that is being erased. Its sessions are good for nothing, and end when they would.
pub(crate) async fn forget_rest(
    store: &dyn Store,
    id: &AccountId,
    now: Timestamp,
) -> Result<(), StoreError> {
    for _ in 0..TRIES {
        let Some((account, version)) = store.account(id).await? else {
            return Ok(());
        };
        give_up_organizations(store, &account, now).await?;
        forget_keys(store, &account).await?;
        if let Some(name) = &account.registry_account {
            forget_registry_account(store, name, id).await?;
        }
        for identity in account.identities() {
            store.release_identity(identity, id).await?;
        }
        match store.remove_account(id, version).await {
            // Somebody wrote to it who had read it before: an identity more, perhaps.
            Err(StoreError::Conflict) => {}
            done => return done,
        }
    }
    Err(StoreError::Conflict)
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

/// Whoever is forgotten administers nothing.
async fn give_up_organizations(
    store: &dyn Store,
    account: &Account,
    now: Timestamp,
) -> Result<(), StoreError> {
    for name in admins(account) {
        let post = Signpost::Admin(name.clone());
        for organization in organizations_by(store, &post).await? {
            let without = |known: Option<&Organization>| {
                let changed = known.cloned().map(|mut known| {
                    known.admins.remove(&name);
                    known
                });
                Ok::<_, StoreError>(changed)
            };
            change_organization(store, &organization.id, without, now).await?;
        }
    }
    Ok(())
}

/// Whoever is forgotten has no keys.
async fn forget_keys(store: &dyn Store, account: &Account) -> Result<(), StoreError> {
    for key in all_keys_of(store, account).await? {
        while let Some((key, version)) = store.api_key(&key.id).await? {
            match store.remove_api_key(&key, version).await {
                // Somebody used it meanwhile.
                Err(StoreError::Conflict) => {}
                done => {
                    done?;
                    break;
                }
            }
        }
    }
    Ok(())
}

/// The names under which somebody administers organisations, and has API keys.
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
