//! What a registry vouches for of one of its accounts, to the person who brings its word: the account is theirs
//! ([`claim_registry_account`]), or it was a team's, and becomes an organisation ([`retire_registry_account`]).
//!
//! A claim is a row of a table whose identity is known: what is written, in which order, and what contradicts it, is the
//! same. So a process may die between any two writes, and the same claim made again completes them.

use countersign_core::{AccountId, OrganizationId};
use jiff::Timestamp;

use super::{Contradiction, Imported, Known, RegistryRow, TRIES};
use crate::{RegistryAccount, RegistryAccountName, Store, StoreError};

/// What a registry vouches for.
#[derive(Debug, Clone, Copy)]
pub struct Vouched<'a> {
    /// Its own name of the account.
    pub name: &'a RegistryAccountName,
    /// When the account was made there, if it says. What was said first stays.
    pub registered_at: Option<Timestamp>,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// It is so from now on, or was before.
    Done,
    /// It contradicts what is there, which stays as it is.
    Contradicts(Contradiction),
}

/// Makes a registry account this account's.
///
/// # Errors
///
/// Failures of the store, or [`StoreError::Conflict`] where the account is gone or others never leave a gap.
pub async fn claim_registry_account(
    store: &dyn Store,
    vouched: Vouched<'_>,
    account: &AccountId,
    now: Timestamp,
) -> Result<Claimed, StoreError> {
    for _ in 0..TRIES {
        let holder = store.account(account).await?;
        let identity = holder.as_ref().map(|(holder, _)| holder.identity.clone());
        let identity = Some(identity.ok_or(StoreError::Conflict)?);
        let known = Known::about(vouched.name, holder, store).await?;
        let row = RegistryRow {
            identity,
            ..vouched.row(known.registry.as_ref().map(|(known, _)| known), now)
        };
        let written = match known.judge(&row) {
            Imported::Unchanged => return Ok(Claimed::Done),
            Imported::New | Imported::Changed => {
                known.write(&row, Some(account.clone()), (store, now)).await
            }
            Imported::Contradicts(what) => {
                // Two claims of one person at one moment: the account has the other one by now.
                known.release(account, store).await?;
                return Ok(Claimed::Contradicts(what));
            }
        };
        match written {
            Ok(()) => return Ok(Claimed::Done),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Conflict)
}

/// Makes a registry account that several people shared nobody's: it became this organisation.
///
/// # Errors
///
/// Failures of the store, or [`StoreError::Conflict`] where others never leave a gap.
pub async fn retire_registry_account(
    store: &dyn Store,
    vouched: Vouched<'_>,
    organization: &OrganizationId,
    now: Timestamp,
) -> Result<Claimed, StoreError> {
    for _ in 0..TRIES {
        let known = Known::about(vouched.name, None, store).await?;
        if let Some(what) = known.hinders_retirement(organization) {
            return Ok(Claimed::Contradicts(what));
        }
        let registry = known.registry.as_ref().map(|(registry, _)| registry);
        let row = vouched.row(registry, now);
        let retired = RegistryAccount {
            name: row.name,
            registered_at: row.registered_at,
            verified_email: row.verified_email,
            account: None,
            organization: Some(organization.clone()),
        };
        let written = match &known.registry {
            Some((before, _)) if *before == retired => return Ok(Claimed::Done),
            Some((_, version)) => store
                .replace_registry_account(retired, *version)
                .await
                .map(drop),
            None => {
                let put = store.put_registry_account_if_absent(retired.clone()).await;
                put.and_then(|(kept, _)| {
                    let is_ours = kept == retired;
                    is_ours.then_some(()).ok_or(StoreError::Conflict)
                })
            }
        };
        match written {
            Ok(()) => return Ok(Claimed::Done),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Conflict)
}

/// Whether a registry account could become this organisation; what contradicts it.
///
/// # Errors
///
/// Failures of the store.
pub async fn may_retire_registry_account(
    store: &dyn Store,
    name: &RegistryAccountName,
    organization: &OrganizationId,
) -> Result<Option<Contradiction>, StoreError> {
    let known = Known::about(name, None, store).await?;
    Ok(known.hinders_retirement(organization))
}

impl Vouched<'_> {
    /// What it says beside what was said before, which stays.
    fn row(&self, before: Option<&RegistryAccount>, now: Timestamp) -> RegistryRow {
        let registered_at = before.map(|before| before.registered_at);
        RegistryRow {
            name: self.name.clone(),
            registered_at: registered_at.or(self.registered_at).unwrap_or(now),
            identity: None,
            verified_email: before.and_then(|before| before.verified_email.clone()),
        }
    }
}

impl Known {
    fn hinders_retirement(&self, organization: &OrganizationId) -> Option<Contradiction> {
        let (registry, _) = self.registry.as_ref()?;
        match &registry.organization {
            Some(other) if other != organization => Some(Contradiction::Retired(other.clone())),
            None if self.linked.is_some() => Some(Contradiction::OtherIdentity),
            Some(_) | None => None,
        }
    }

    /// Takes this account's name off a registry account that is not to be its own.
    async fn release(&self, account: &AccountId, store: &dyn Store) -> Result<(), StoreError> {
        let Some((registry, version)) = &self.registry else {
            return Ok(());
        };
        if registry.account.as_ref() != Some(account) {
            return Ok(());
        }
        let released = RegistryAccount {
            account: None,
            ..registry.clone()
        };
        match store.replace_registry_account(released, *version).await {
            // Somebody has been there since, and whatever they saw, it was not this account's.
            Ok(_) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
