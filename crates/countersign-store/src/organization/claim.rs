//! Connecting an organisation to a source, and who may while another organisation says that it is theirs.
//!
//! Two organisations can't be changed in one step, so a claim is written down, not in force, before anybody looks for
//! others: of two who come at the same moment each sees the other, and neither is in force until an operator says so.

use std::collections::BTreeSet;

use countersign_core::{OrganizationId, Policy, Source};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    Connection, Organization, Proof, Signpost, Standing, change_organization, organizations_by,
};
use crate::{Store, StoreError};

/// Why an organisation was not connected.
#[derive(Debug, Error)]
pub enum ClaimError {
    /// There is no such organisation.
    #[error("there is no organization `{0}`")]
    UnknownOrganization(OrganizationId),
    /// It is not connected to that source.
    #[error("`{0}` is not connected to {1}")]
    NotConnected(OrganizationId, Source),
    /// Nobody may: the tenant of personal accounts is no organisation's.
    #[error("this is the tenant of all personal accounts, which is no organization's")]
    PersonalAccounts,
    /// It is connected to as many as it can be.
    #[error("an organization is connected to at most {MOST_CONNECTIONS} tenants")]
    TooMany,
    /// Nobody has shown or approved that it may be.
    #[error("`{0}` has not shown that {1} is theirs: approve it first")]
    NotApproved(OrganizationId, Source),
    /// It can't be taken from who has it by the policy file.
    #[error("the policy file gives it to `{0}`, who would keep it")]
    InPolicyFile(OrganizationId),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The most connections of one organisation.
pub const MOST_CONNECTIONS: usize = 50;

/// What an operator says of a source that several organisations claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settlement {
    /// It is this one's as well as the others'.
    Share,
    /// It is this one's alone: the others lose it.
    Transfer,
    /// It is not this one's.
    Refuse,
}

/// Connects an organisation to a source, or changes what its connection says. Answers with the connection as it
/// stands: [`Standing::Disputed`] where another organisation has said that the source is theirs, or has it by the policy.
///
/// What is claimed [`Standing::AwaitingApproval`] shows less than what may be there: that keeps its standing and its proof.
pub async fn claim(
    store: &dyn Store,
    policy: &Policy,
    id: &OrganizationId,
    connection: &Connection,
    now: Timestamp,
) -> Result<Connection, ClaimError> {
    let source = &connection.mapping.source;
    if matches!(source, Source::Tenant(tenant) if tenant.is_consumers()) {
        return Err(ClaimError::PersonalAccounts);
    }
    let is_proven = connection.standing != Standing::AwaitingApproval;
    let claimed = |known: &Organization| {
        let before = known.connection(source);
        if before.is_none() && known.connections.len() >= MOST_CONNECTIONS {
            return Err(ClaimError::TooMany);
        }
        let of_before = |before: &Connection| (before.standing, before.proof.clone());
        let fresh = |standing| (standing, connection.proof.clone());
        let (standing, proof) = match before {
            Some(before) if !is_proven && before.standing != Standing::Refused => of_before(before),
            Some(before) if is_proven && before.standing == Standing::InForce => {
                fresh(Standing::InForce)
            }
            _ if is_proven => fresh(Standing::Disputed),
            _ => fresh(Standing::AwaitingApproval),
        };
        Ok(known.with(Connection {
            standing,
            proof,
            ..connection.clone()
        }))
    };
    let written = change(store, id, claimed, now).await?;
    // Also where nothing was changed: whoever claims it again is found again, whatever became of the signpost.
    let post = Signpost::Source(source.clone());
    store.set_signpost(&post, id).await?;
    if is_proven {
        weigh(store, policy, id, &written, source, now).await
    } else {
        found(&written, source)
    }
}

/// What is disputed with nobody is in force.
async fn weigh(
    store: &dyn Store,
    policy: &Policy,
    id: &OrganizationId,
    written: &Organization,
    source: &Source,
    now: Timestamp,
) -> Result<Connection, ClaimError> {
    let connection = found(written, source)?;
    if connection.standing == Standing::Disputed
        && rivals(store, policy, id, source).await?.is_empty()
    {
        return stand(store, id, source, now).await;
    }
    Ok(connection)
}

/// Puts an end to a dispute, by an operator's word. What awaits approval is in no dispute: it is refused, or approved
/// first.
pub async fn settle(
    store: &dyn Store,
    policy: &Policy,
    id: &OrganizationId,
    source: &Source,
    settlement: Settlement,
    now: Timestamp,
) -> Result<(), ClaimError> {
    match settlement {
        Settlement::Refuse => refuse(store, id, source, now).await,
        Settlement::Share => stand_claimed(store, id, source, now).await,
        Settlement::Transfer => {
            let mut in_file = policy.organizations_of(source).filter(|one| *one != id);
            if let Some(holder) = in_file.next() {
                return Err(ClaimError::InPolicyFile(holder.clone()));
            }
            must_be_claimed(store, id, source).await?;
            // The others lose it first: what a process leaves that dies between is a dispute, not two owners.
            for other in others(store, id, source).await? {
                disconnect(store, &other.id, source, now).await?;
            }
            stand_claimed(store, id, source, now).await
        }
    }
}

/// What awaits approval stays, refused, so that its admins see that; what is disputed goes.
async fn refuse(
    store: &dyn Store,
    id: &OrganizationId,
    source: &Source,
    now: Timestamp,
) -> Result<(), ClaimError> {
    let refused = |known: &Organization| {
        let connection = found(known, source)?;
        Ok(match connection.standing {
            Standing::AwaitingApproval => known.with(Connection {
                standing: Standing::Refused,
                ..connection
            }),
            Standing::InForce | Standing::Disputed | Standing::Refused => known.without(source),
        })
    };
    change(store, id, refused, now).await.map(drop)
}

/// What was awaiting approval, or disputed with nobody any more, is claimed again by an operator's word. Written down as
/// disputed before anybody looks for others, as every claim is.
pub async fn approve(
    store: &dyn Store,
    policy: &Policy,
    id: &OrganizationId,
    source: &Source,
    now: Timestamp,
) -> Result<Connection, ClaimError> {
    let claimed = |known: &Organization| {
        let connection = found(known, source)?;
        let standing = match connection.standing {
            Standing::InForce => Standing::InForce,
            Standing::Disputed | Standing::AwaitingApproval | Standing::Refused => {
                Standing::Disputed
            }
        };
        Ok(known.with(Connection {
            standing,
            ..connection
        }))
    };
    let written = change(store, id, claimed, now).await?;
    weigh(store, policy, id, &written, source, now).await
}

/// What was awaiting approval is claimed again with a record that has this token.
pub async fn prove(
    store: &dyn Store,
    policy: &Policy,
    id: &OrganizationId,
    source: &Source,
    token: &str,
    now: Timestamp,
) -> Result<Connection, ClaimError> {
    let proven = |known: &Organization| {
        let connection = found(known, source)?;
        // Another claim than the one that was looked up: it has a token of its own.
        let is_of = matches!(&connection.proof, Proof::Member { token: of } if of == token);
        if connection.standing != Standing::AwaitingApproval || !is_of {
            return Err(ClaimError::NotConnected(id.clone(), source.clone()));
        }
        Ok(known.with(Connection {
            standing: Standing::Disputed,
            proof: Proof::DnsRecord,
            ..connection
        }))
    };
    let written = change(store, id, proven, now).await?;
    weigh(store, policy, id, &written, source, now).await
}

/// Whoever holds a source, by their record or by the policy file, lets another organisation have it too. `false`, and
/// nothing changes, where `holder` does not hold it.
pub async fn agree(
    store: &dyn Store,
    policy: &Policy,
    holder: &OrganizationId,
    claimant: &OrganizationId,
    source: &Source,
    now: Timestamp,
) -> Result<bool, ClaimError> {
    let known = store.organization(holder).await?;
    let mut in_file = policy.organizations_of(source);
    let holds = in_file.any(|one| one == holder)
        || known.is_some_and(|(known, _)| known.in_force().any(|one| one.source == *source));
    if holds {
        stand_claimed(store, claimant, source, now).await?;
    }
    Ok(holds)
}

/// Ends a connection. Ending one that is not there is an error, so that a mistyped tenant is not taken for done.
pub async fn disconnect(
    store: &dyn Store,
    id: &OrganizationId,
    source: &Source,
    now: Timestamp,
) -> Result<(), ClaimError> {
    let ended = |known: &Organization| {
        found(known, source)?;
        Ok(known.without(source))
    };
    change(store, id, ended, now).await.map(drop)
}

/// The other organisations with which this one would be in dispute over a source: they say that it is theirs, or the
/// policy file does.
pub async fn rivals(
    store: &dyn Store,
    policy: &Policy,
    id: &OrganizationId,
    source: &Source,
) -> Result<BTreeSet<OrganizationId>, StoreError> {
    let mut others = others(store, id, source).await?;
    // What shows nothing is no dispute: anybody could hold up who proves it.
    others.retain(|other| {
        let connection = other.connection(source);
        connection.is_some_and(|one| one.standing.is_claimed())
    });
    let in_file = policy.organizations_of(source).filter(|one| *one != id);
    let said = others.into_iter().map(|one| one.id);
    Ok(said.chain(in_file.cloned()).collect())
}

/// The other organisations that say that a source is theirs.
pub async fn others(
    store: &dyn Store,
    id: &OrganizationId,
    source: &Source,
) -> Result<Vec<Organization>, StoreError> {
    let post = Signpost::Source(source.clone());
    let mut all = organizations_by(store, &post).await?;
    all.retain(|one| one.id != *id);
    Ok(all)
}

/// What is disputed is in force. What awaits approval, or was refused, is not by anybody's agreement.
async fn stand_claimed(
    store: &dyn Store,
    id: &OrganizationId,
    source: &Source,
    now: Timestamp,
) -> Result<(), ClaimError> {
    let claimed = |known: &Organization| {
        let connection = claimed(known, source)?;
        Ok(known.with(Connection {
            standing: Standing::InForce,
            ..connection
        }))
    };
    change(store, id, claimed, now).await.map(drop)
}

async fn must_be_claimed(
    store: &dyn Store,
    id: &OrganizationId,
    source: &Source,
) -> Result<(), ClaimError> {
    let known = store.organization(id).await?;
    let (known, _) = known.ok_or_else(|| ClaimError::UnknownOrganization(id.clone()))?;
    claimed(&known, source).map(drop)
}

fn claimed(known: &Organization, source: &Source) -> Result<Connection, ClaimError> {
    let connection = found(known, source)?;
    if connection.standing.is_claimed() {
        Ok(connection)
    } else {
        Err(ClaimError::NotApproved(known.id.clone(), source.clone()))
    }
}

async fn stand(
    store: &dyn Store,
    id: &OrganizationId,
    source: &Source,
    now: Timestamp,
) -> Result<Connection, ClaimError> {
    let in_force = |known: &Organization| {
        let connection = found(known, source)?;
        Ok(known.with(Connection {
            standing: Standing::InForce,
            ..connection
        }))
    };
    let written = change(store, id, in_force, now).await?;
    found(&written, source)
}

async fn change(
    store: &dyn Store,
    id: &OrganizationId,
    change: impl Fn(&Organization) -> Result<Organization, ClaimError>,
    now: Timestamp,
) -> Result<Organization, ClaimError> {
    let unknown = || ClaimError::UnknownOrganization(id.clone());
    let change = |known: Option<&Organization>| change(known.ok_or_else(unknown)?).map(Some);
    let changed = change_organization(store, id, change, now).await?;
    changed.ok_or_else(unknown)
}

fn found(organization: &Organization, source: &Source) -> Result<Connection, ClaimError> {
    let connection = organization.connection(source).cloned();
    connection.ok_or_else(|| ClaimError::NotConnected(organization.id.clone(), source.clone()))
}

impl Organization {
    /// The same with this connection, in the place of one to the same source.
    fn with(&self, connection: Connection) -> Self {
        let mut changed = self.without(&connection.mapping.source);
        changed.connections.push(connection);
        changed
            .connections
            .sort_by(|one, two| one.mapping.source.cmp(&two.mapping.source));
        changed
    }

    fn without(&self, source: &Source) -> Self {
        let mut changed = self.clone();
        changed
            .connections
            .retain(|one| one.mapping.source != *source);
        changed
    }
}
