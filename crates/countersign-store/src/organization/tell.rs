//! Telling of organisations: who they are, and that they are no more.

use countersign_core::OrganizationId;
use jiff::Timestamp;
use serde::Serialize;
use thiserror::Error;

use super::rules::{Told, Unfit};
use super::{Actor, Admin, Organization, change_organization};
use crate::{Store, StoreError};

/// What became of an organisation that was told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It was not known.
    Created,
    /// It was known otherwise.
    Changed,
    /// It was known so.
    Unchanged,
}

/// Why an organisation was not told of.
#[derive(Debug, Error)]
pub enum TellError {
    /// It can't be told so.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps what is told of an organisation. What it is connected to stays.
///
/// # Errors
///
/// What can't be told, and failures of the store.
pub async fn tell(
    store: &dyn Store,
    id: &OrganizationId,
    told: &Told,
    actor: &Actor,
    now: Timestamp,
) -> Result<(Change, Organization), TellError> {
    told.check()?;
    let before = store.organization(id).await?;
    let change = |known: Option<&Organization>| {
        let told = known_as(id, known, told, actor, now)?;
        Ok::<_, TellError>(Some(told))
    };
    let kept = change_organization(store, id, change, now).await?;
    let kept = kept.ok_or(StoreError::Conflict)?;
    let before = before.map(|(before, _)| before);
    let change = Change::of(before.as_ref(), Some(&kept));
    Ok((change, kept))
}

/// Somebody who is to be an admin of an organisation, besides those it has.
#[derive(Debug, Clone, Copy)]
pub struct Joining<'a> {
    /// Who.
    pub admin: &'a Admin,
    /// What people call the organisation, where it is not known yet.
    pub title: Option<&'a str>,
}

/// Why somebody did not join an organisation.
#[derive(Debug, Error)]
pub enum JoinError {
    /// Somebody else has told of the organisation: it is not this one's to give away.
    #[error("another has told of the organization")]
    ToldByAnother,
    /// It can't be told so.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Adds an admin to an organisation that this actor has told of, or tells of it. Those it has stay.
///
/// # Errors
///
/// An organisation of another's, what can't be told, and failures of the store.
pub async fn join(
    store: &dyn Store,
    id: &OrganizationId,
    joining: Joining<'_>,
    actor: &Actor,
    now: Timestamp,
) -> Result<Change, JoinError> {
    let before = store.organization(id).await?;
    let change = |known: Option<&Organization>| {
        if known.is_some_and(|known| known.told_by != *actor) {
            return Err(JoinError::ToldByAnother);
        }
        let title = match known {
            Some(known) => known.title.clone(),
            None => joining.title.map(str::to_owned),
        };
        let mut admins = known.map(|known| known.admins.clone()).unwrap_or_default();
        admins.insert(joining.admin.clone());
        let told = Told { title, admins };
        told.check()?;
        Ok(Some(known_as(id, known, &told, actor, now)?))
    };
    let kept = change_organization(store, id, change, now).await?;
    Ok(Change::of(
        before.map(|(before, _)| before).as_ref(),
        kept.as_ref(),
    ))
}

impl Change {
    fn of(before: Option<&Organization>, kept: Option<&Organization>) -> Self {
        match before {
            None => Self::Created,
            Some(_) if before == kept => Self::Unchanged,
            Some(_) => Self::Changed,
        }
    }
}

/// The record after somebody has told this.
pub(super) fn known_as(
    id: &OrganizationId,
    known: Option<&Organization>,
    told: &Told,
    actor: &Actor,
    now: Timestamp,
) -> Result<Organization, Unfit> {
    let fresh = || Organization::new(id.clone(), now, actor.clone());
    let known = known.cloned().unwrap_or_else(fresh);
    let changed = Organization {
        title: told.title()?.map(str::to_owned),
        admins: told.admins.clone(),
        ..known.clone()
    };
    let told_by = match (&known.told_by, actor) {
        // A file forgets what it told of once it names it no more: it never takes over what a client tells of, and
        // gives up what a client tells of too.
        (Actor::Client(_), Actor::File) => known.told_by,
        (Actor::File, Actor::Client(_)) | (Actor::Operator, Actor::File) => actor.clone(),
        _ if changed == known => known.told_by,
        (Actor::Account(_) | Actor::Client(_) | Actor::Operator | Actor::File, _) => actor.clone(),
    };
    Ok(Organization { told_by, ..changed })
}

/// Forgets an organisation. `false` where there is none.
///
/// # Errors
///
/// Failures of the store.
pub async fn forget(
    store: &dyn Store,
    id: &OrganizationId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let was_there = store.organization(id).await?.is_some();
    let gone = |_: Option<&Organization>| Ok::<_, StoreError>(None);
    change_organization(store, id, gone, now).await?;
    Ok(was_there)
}
