//! What a registry says of one account, brought into the store: [`import()`] does it, [`weigh`]
//! says what it would do.
//!
//! A row concerns up to three owners: the identity, the registry account, our account. Each is
//! written by an operation of its own, in an order that leaves a process free to die between any
//! two: [`Account::registry_account`] is written last and says that the row is whole, and until
//! then the same row brought in again completes it.
//!
//! What was said first about a date stays. An earlier date can make a new account an existing
//! one, and so move its day later; a later date can take from a person the time they were
//! promised. So neither is taken silently: it is a [`Contradiction`], for a person to look at.

mod claim;

use countersign_core::calendar::day_of;
use countersign_core::{AccountId, Identity, OrganizationId, Profile};
use jiff::Timestamp;
use jiff::civil::Date;

use crate::{
    Account, EmailAddress, RegistryAccount, RegistryAccountName, Store, StoreError, Version,
    VouchedEmail, claim_identity,
};

pub use claim::{
    Claimed, Vouched, claim_registry_account, may_retire_registry_account, retire_registry_account,
};

/// How often a row is tried anew when a login or another writer was faster.
const TRIES: usize = 16;

/// What a registry says of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryRow {
    /// Its own name of the account.
    pub name: RegistryAccountName,
    /// When the account was made there.
    pub registered_at: Timestamp,
    /// Who signs in to it. None where the registry does not know.
    pub identity: Option<Identity>,
    /// An address that the registry verified. None says nothing, and takes nothing back.
    pub verified_email: Option<EmailAddress>,
}

/// What became of a row, or would become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// The registry account was not known.
    New,
    /// It was known, and the row adds to it: an identity, an address, or what an earlier run did not get to.
    Changed,
    /// All of it was there.
    Unchanged,
    /// It contradicts what is there, which stays as it is.
    Contradicts(Contradiction),
}

/// How a row contradicts what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contradiction {
    /// The registry account was said to be made on another day (UTC).
    RegisteredOn(Date),
    /// The registry account belongs to another identity.
    OtherIdentity,
    /// The identity belongs to another registry account.
    OtherRegistryAccount(RegistryAccountName),
    /// The registry account became an organisation, and is nobody's.
    Retired(OrganizationId),
}

/// What [`import()`] would do, found by reading alone.
pub async fn weigh(store: &dyn Store, row: &RegistryRow) -> Result<Imported, StoreError> {
    Ok(Known::of(row, store).await?.judge(row))
}

/// Brings a row in. `fresh` names the account if one is made.
pub async fn import(
    store: &dyn Store,
    row: &RegistryRow,
    fresh: AccountId,
    now: Timestamp,
) -> Result<Imported, StoreError> {
    let mut first = None;
    for _ in 0..TRIES {
        let known = Known::of(row, store).await?;
        match known.judge(row) {
            Imported::Contradicts(what) => return Ok(Imported::Contradicts(what)),
            Imported::Unchanged => return Ok(first.unwrap_or(Imported::Unchanged)),
            verdict @ (Imported::New | Imported::Changed) => {
                let verdict = first.get_or_insert(verdict).clone();
                let account = known.claim(row, &fresh, (store, now)).await?;
                match known.write(row, account, (store, now)).await {
                    Ok(()) => return Ok(verdict),
                    Err(StoreError::Conflict) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Err(StoreError::Conflict)
}

/// What is there of a row.
struct Known {
    registry: Option<(RegistryAccount, Version)>,
    /// The account that the row's identity leads to.
    holder: Option<(Account, Version)>,
    /// The account that the registry account belongs to, where that is not the holder.
    linked: Option<(Account, Version)>,
}

impl Known {
    async fn of(row: &RegistryRow, store: &dyn Store) -> Result<Self, StoreError> {
        let holder = match &row.identity {
            Some(identity) => store.account_of(identity).await?,
            None => None,
        };
        Self::about(&row.name, holder, store).await
    }

    /// What is there of a registry account that is this holder's, or is to be.
    async fn about(
        name: &RegistryAccountName,
        holder: Option<(Account, Version)>,
        store: &dyn Store,
    ) -> Result<Self, StoreError> {
        let registry = store.registry_account(name).await?;
        let link = registry
            .as_ref()
            .and_then(|(record, _)| record.account.as_ref());
        let linked = match link {
            Some(id) if holder.as_ref().is_none_or(|(holder, _)| holder.id != *id) => {
                store.account(id).await?
            }
            Some(_) | None => None,
        };
        // Who came to another registry account at the same moment has that one, and this one is nobody's.
        let has_another = |account: &Account| {
            let own = account.registry_account.as_ref();
            own.is_some_and(|own| own != name)
        };
        let linked = linked.filter(|(account, _)| !has_another(account));
        Ok(Self {
            registry,
            holder,
            linked,
        })
    }

    fn judge(&self, row: &RegistryRow) -> Imported {
        if let Some(contradiction) = self.contradiction(row) {
            return Imported::Contradicts(contradiction);
        }
        let Some((registry, _)) = &self.registry else {
            return Imported::New;
        };
        let is_whole = row.identity.is_none() || self.is_whole(row);
        let says_more =
            row.verified_email.is_some() && row.verified_email != registry.verified_email;
        if is_whole && !says_more {
            Imported::Unchanged
        } else {
            Imported::Changed
        }
    }

    fn contradiction(&self, row: &RegistryRow) -> Option<Contradiction> {
        let holder = self.holder.as_ref().map(|(account, _)| account);
        if let Some((registry, _)) = &self.registry {
            // The calendar knows days only; an export may come with the time of day or without.
            let day = day_of(registry.registered_at);
            if day != day_of(row.registered_at) {
                return Some(Contradiction::RegisteredOn(day));
            }
            // A link to an account that was never written is what a run left that ended there.
            if let Some(organization) = &registry.organization
                && row.identity.is_some()
            {
                return Some(Contradiction::Retired(organization.clone()));
            }
            let is_anothers = self.linked.is_some();
            if is_anothers && row.identity.is_some() {
                return Some(Contradiction::OtherIdentity);
            }
        }
        match holder.and_then(|account| account.registry_account.as_ref()) {
            Some(other) if *other != row.name => {
                Some(Contradiction::OtherRegistryAccount(other.clone()))
            }
            Some(_) | None => None,
        }
    }

    /// Whether our account and the registry account know of each other: all of the row was written.
    fn is_whole(&self, row: &RegistryRow) -> bool {
        let link = self
            .registry
            .as_ref()
            .and_then(|(registry, _)| registry.account.as_ref());
        self.holder.as_ref().is_some_and(|(account, _)| {
            account.registry_account.as_ref() == Some(&row.name) && link == Some(&account.id)
        })
    }

    /// `account` is whose the registry account is to be.
    async fn write(
        &self,
        row: &RegistryRow,
        account: Option<AccountId>,
        (store, now): (&dyn Store, Timestamp),
    ) -> Result<(), StoreError> {
        // Of a row that is whole the account goes first: while the registry account still has the
        // address of before, another run sees that there is something to do.
        if row.identity.is_none() || self.is_whole(row) {
            self.write_account(row, account.as_ref(), (store, now))
                .await?;
            self.write_registry_account(row, account, store).await
        } else {
            self.write_registry_account(row, account.clone(), store)
                .await?;
            self.write_account(row, account.as_ref(), (store, now))
                .await
        }
    }

    /// Our account of this row, its identity claimed for it.
    async fn claim(
        &self,
        row: &RegistryRow,
        fresh: &AccountId,
        (store, now): (&dyn Store, Timestamp),
    ) -> Result<Option<AccountId>, StoreError> {
        let link = self
            .registry
            .as_ref()
            .and_then(|(it, _)| it.account.clone());
        let holder = self.holder.as_ref().map(|(account, _)| account.id.clone());
        let Some(identity) = &row.identity else {
            return Ok(link);
        };
        // Never the link of a run that ended early: the identity that it was made for still leads there.
        let wanted = holder.unwrap_or_else(|| fresh.clone());
        claim_identity(store, identity, &wanted, now)
            .await
            .map(Some)
    }

    async fn write_registry_account(
        &self,
        row: &RegistryRow,
        account: Option<AccountId>,
        store: &dyn Store,
    ) -> Result<(), StoreError> {
        let Some((old, version)) = &self.registry else {
            let record = RegistryAccount {
                name: row.name.clone(),
                registered_at: row.registered_at,
                verified_email: row.verified_email.clone(),
                account,
                organization: None,
            };
            let (kept, _) = store.put_registry_account_if_absent(record.clone()).await?;
            return if kept == record {
                Ok(())
            } else {
                Err(StoreError::Conflict)
            };
        };
        let record = RegistryAccount {
            verified_email: row.verified_email.clone().or(old.verified_email.clone()),
            account,
            ..old.clone()
        };
        if record != *old {
            store.replace_registry_account(record, *version).await?;
        }
        Ok(())
    }

    /// `id` is that of the holder or the linked account, or of one that is not written yet.
    async fn write_account(
        &self,
        row: &RegistryRow,
        id: Option<&AccountId>,
        (store, now): (&dyn Store, Timestamp),
    ) -> Result<(), StoreError> {
        if let Some((old, version)) = self.holder.as_ref().or(self.linked.as_ref()) {
            let account = told(old, row, now);
            if account != *old {
                store.replace_account(account, *version).await?;
            }
            return Ok(());
        }
        let (Some(id), Some(identity)) = (id, &row.identity) else {
            return Ok(());
        };
        let begun = Account::new(id.clone(), identity.clone(), Profile::default(), now);
        let account = told(&begun, row, now);
        let (kept, _) = store.put_account_if_absent(account.clone()).await?;
        if kept == account {
            Ok(())
        } else {
            Err(StoreError::Conflict)
        }
    }
}

/// An account with what the row says of it.
fn told(account: &Account, row: &RegistryRow, now: Timestamp) -> Account {
    let vouched = row.verified_email.as_ref().map(|address| {
        let before = account.vouched_email.clone();
        before
            .filter(|one| one.address == *address)
            .unwrap_or_else(|| VouchedEmail {
                address: address.clone(),
                at: now,
            })
    });
    Account {
        registered_at: account.registered_at.or(Some(row.registered_at)),
        registry_account: Some(row.name.clone()),
        vouched_email: vouched.or(account.vouched_email.clone()),
        ..account.clone()
    }
}

#[cfg(test)]
mod tests;
