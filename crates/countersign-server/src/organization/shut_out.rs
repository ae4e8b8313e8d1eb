//! Who of an organisation's admins would act for it no more: told before anything takes effect.
//!
//! Whoever else is a member only the registry knows. An admin counts as kept where one of their identities comes from
//! a source that the organisation would be connected to.

use std::collections::BTreeSet;

use countersign_core::{Identity, Source};
use countersign_store::{Account, Admin, Organization, StoreError};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::web::Context;

/// How many admins are looked up at once.
const ADMINS_AT_ONCE: usize = 32;

/// What a change would do to one admin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Effect {
    /// As people know them: their name where they are known here, else what the registry calls them.
    pub(crate) who: String,
    pub(crate) fate: Fate,
}

/// What it would do to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// They sign in through it.
    Kept,
    /// They may be members of what it is connected to: their sign-in shows it.
    Possible,
    /// They sign in through something else, or not at all.
    ShutOut,
    /// They have never signed in here, so nobody can tell.
    Unknown,
}

/// If the organisation were connected to any of these too.
pub(crate) async fn by_connecting(
    organization: &Organization,
    sources: &BTreeSet<Source>,
    context: &Context<'_>,
) -> Result<Vec<Effect>, StoreError> {
    let mut all = connected(organization, context);
    all.extend(sources.iter().cloned());
    effects(organization, &all, context).await
}

/// If it were not connected to this any more.
pub(crate) async fn by_disconnecting(
    organization: &Organization,
    source: &Source,
    context: &Context<'_>,
) -> Result<Vec<Effect>, StoreError> {
    let mut all = connected(organization, context);
    all.remove(source);
    effects(organization, &all, context).await
}

/// Whether ending a connection leaves nobody who is, or may be, kept, where somebody is now. Ending what is not in
/// force shuts nobody out.
pub(crate) async fn is_last_shut_out(
    organization: &Organization,
    source: &Source,
    after: &[Effect],
    context: &Context<'_>,
) -> Result<bool, StoreError> {
    if organization.in_force().all(|one| one.source != *source) {
        return Ok(false);
    }
    let is_kept = |effects: &[Effect]| effects.iter().any(|one| one.fate <= Fate::Possible);
    let now = effects(organization, &connected(organization, context), context).await?;
    Ok(is_kept(&now) && !is_kept(after))
}

/// What it is connected to, by its record or by the policy file.
pub(super) fn connected(organization: &Organization, context: &Context<'_>) -> BTreeSet<Source> {
    let in_file = context.policy().organization(&organization.id);
    let in_file = in_file.into_iter().flat_map(|rule| &rule.tenants);
    let in_file = in_file.cloned().map(Source::Tenant);
    let mapped = organization.in_force().map(|one| one.source.clone());
    mapped.chain(in_file).collect()
}

async fn effects(
    organization: &Organization,
    connected: &BTreeSet<Source>,
    context: &Context<'_>,
) -> Result<Vec<Effect>, StoreError> {
    stream::iter(&organization.admins)
        .map(async |admin| {
            let account = account_of(admin, context).await?;
            Ok(effect(admin, account.as_ref(), connected))
        })
        .buffered(ADMINS_AT_ONCE)
        .try_collect()
        .await
}

fn effect(admin: &Admin, account: Option<&Account>, connected: &BTreeSet<Source>) -> Effect {
    let name = account.and_then(|account| account.profile.name.clone());
    let fate = account.map_or(Fate::Unknown, |account| fate(account, connected));
    let called = match admin {
        Admin::Account(id) => id.to_string(),
        Admin::RegistryAccount(name) => name.to_string(),
    };
    Effect {
        who: name.map_or_else(|| called.clone(), |name| format!("{name} ({called})")),
        fate,
    }
}

/// The best that one of the account's identities comes to.
fn fate(account: &Account, connected: &BTreeSet<Source>) -> Fate {
    if account.locked.is_some() {
        return Fate::ShutOut;
    }
    let fates = account.identities().map(|one| fate_of(one, connected));
    fates.min().unwrap_or(Fate::ShutOut)
}

/// Whether an identity comes from one of these; whose members a GitHub account is among shows when it signs in.
fn fate_of(identity: &Identity, connected: &BTreeSet<Source>) -> Fate {
    let (is_connected, fate) = match identity {
        Identity::Microsoft { tid, .. } => {
            (connected.contains(&Source::Tenant(tid.clone())), Fate::Kept)
        }
        Identity::Oidc { issuer, .. } => (
            connected.contains(&Source::Issuer(issuer.clone())),
            Fate::Kept,
        ),
        Identity::GitHub { host, .. } => {
            let is_there = |one: &Source| matches!(one, Source::GitHubOrganization { host: other, .. } if other == host);
            (connected.iter().any(is_there), Fate::Possible)
        }
    };
    if is_connected { fate } else { Fate::ShutOut }
}

async fn account_of(admin: &Admin, context: &Context<'_>) -> Result<Option<Account>, StoreError> {
    let store = &context.broker.store;
    let id = match admin {
        Admin::Account(id) => Some(id.clone()),
        Admin::RegistryAccount(name) => {
            let found = store.registry_account(name).await?;
            found.and_then(|(found, _)| found.account)
        }
    };
    match id {
        Some(id) => Ok(store.account(&id).await?.map(|(account, _)| account)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use countersign_core::{AccountId, Profile, TenantId};
    use countersign_store::Lock;
    use jiff::Timestamp;

    use super::*;

    fn account(identities: &[Identity]) -> Account {
        let id = AccountId::new("acct_1").unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let (first, more) = identities.split_first().unwrap();
        let account = Account::new(id, first.clone(), Profile::default(), now);
        more.iter()
            .fold(account, |account, one| account.with_identity(one, now))
    }

    #[test]
    fn the_best_of_an_admins_identities_counts() {
        let tenant = TenantId::new("6e93a626-8aca-4dc1-9191-ce291b4b75a1").unwrap();
        let github = Identity::GitHub {
            host: "github.com".to_owned(),
            id: 1,
        };
        let microsoft = Identity::Microsoft {
            tid: tenant.clone(),
            oid: "7e93a626-8aca-4dc1-9191-ce291b4b75a2".to_owned(),
        };
        let both = account(&[github.clone(), microsoft.clone()]);
        let to = |sources: &[&str]| sources.iter().map(|one| one.parse().unwrap()).collect();
        let by_tenant: BTreeSet<Source> = [Source::Tenant(tenant)].into();
        assert_eq!(fate(&both, &by_tenant), Fate::Kept);
        assert_eq!(fate(&both, &to(&["github:github.com:7"])), Fate::Possible);
        assert_eq!(fate(&both, &to(&["github:ghe.example:7"])), Fate::ShutOut);
        assert_eq!(fate(&account(&[github]), &by_tenant), Fate::ShutOut);
        let locked = Account {
            locked: Some(Lock {
                at: Timestamp::UNIX_EPOCH,
                reason: "lost laptop".to_owned(),
            }),
            ..account(&[microsoft])
        };
        assert_eq!(fate(&locked, &by_tenant), Fate::ShutOut);
    }
}
