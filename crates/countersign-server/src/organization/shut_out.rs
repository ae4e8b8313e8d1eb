//! Who of an organisation's admins would act for it no more: told before anything takes effect.
//!
//! Whoever else is a member only the registry knows. An admin counts as kept where one of their identities, as they
//! signed in with it last, comes from a source that the organisation would be connected to.

use std::collections::BTreeSet;

use countersign_core::{Identity, Source};
use countersign_store::{Account, Admin, Organization, StoreError};

use crate::web::Context;

/// What a change would do to one admin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Effect {
    /// As people know them: their name where they are known here, else what the registry calls them.
    pub(crate) who: String,
    pub(crate) fate: Fate,
}

/// What it would do to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They sign in through it.
    Kept,
    /// They sign in through something else.
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

/// Whether ending a connection leaves nobody who is known to be kept, where somebody is now. Ending what is not in
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
    let is_kept = |effects: &[Effect]| effects.iter().any(|one| one.fate == Fate::Kept);
    let now = effects(organization, &connected(organization, context), context).await?;
    Ok(is_kept(&now) && !is_kept(after))
}

fn connected(organization: &Organization, context: &Context<'_>) -> BTreeSet<Source> {
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
    let mut effects = Vec::new();
    for admin in &organization.admins {
        let account = account_of(admin, context).await?;
        effects.push(effect(admin, account.as_ref(), connected));
    }
    Ok(effects)
}

fn effect(admin: &Admin, account: Option<&Account>, connected: &BTreeSet<Source>) -> Effect {
    let name = account.and_then(|account| account.profile.name.clone());
    let fate = match account.map(|account| is_from(&account.identity, connected)) {
        Some(Some(true)) => Fate::Kept,
        Some(Some(false)) => Fate::ShutOut,
        Some(None) | None => Fate::Unknown,
    };
    let called = match admin {
        Admin::Account(id) => id.to_string(),
        Admin::RegistryAccount(name) => name.to_string(),
    };
    Effect {
        who: name.map_or_else(|| called.clone(), |name| format!("{name} ({called})")),
        fate,
    }
}

/// Whether an identity comes from one of these; of a GitHub account nobody can tell without it signing in.
fn is_from(identity: &Identity, connected: &BTreeSet<Source>) -> Option<bool> {
    match identity {
        Identity::Microsoft { tid, .. } => Some(connected.contains(&Source::Tenant(tid.clone()))),
        Identity::Oidc { issuer, .. } => Some(connected.contains(&Source::Issuer(issuer.clone()))),
        Identity::GitHub { host, .. } => {
            let is_there = |one: &Source| matches!(one, Source::GitHubOrganization { host: other, .. } if other == host);
            if connected.iter().any(is_there) {
                None
            } else {
                Some(false)
            }
        }
    }
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
