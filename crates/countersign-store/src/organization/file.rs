//! What an operator's file says of organisations, brought into the store: [`apply`] does it, [`weigh`] says what it
//! would do.
//!
//! Each organisation is done whole by itself, in steps each of which can be the last of a process: the same entry
//! applied again completes it, and applied once more changes nothing. What the file does not speak of stays: admins
//! connect their tenants themselves.

use countersign_core::{OrganizationId, Policy, Source};
use jiff::Timestamp;

use super::rules::{Terms, Told, Unfit};
use super::tell::{Change, TellError, known_as, tell};
use super::{
    Actor, ClaimError, Connection, MOST_CONNECTIONS, Organization, Proof, Settlement, Standing,
    change_organization, claim, rivals, settle,
};
use crate::{Store, StoreError};

/// What the file says of one organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub id: OrganizationId,
    /// Title and admins.
    pub told: Told,
    /// What it is connected to by the operator's word.
    pub connections: Vec<Wanted>,
}

/// A connection that the file wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// To whom.
    pub source: Source,
    /// On which terms, and why.
    pub terms: Terms,
    /// Whether it is so even where others say that the source is theirs.
    pub sharing: Sharing,
}

/// What a file says of a source that several organisations have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Nothing: it is disputed then.
    #[default]
    Alone,
    /// It is this one's as well as the others'.
    Shared,
}

/// What became of an entry, or would become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Of the organisation with all that the entry says of it.
    pub change: Change,
    /// What it is or would be connected to, or on other terms than before.
    pub connected: Vec<Source>,
    /// Whose connections are not in force afterwards, because others say that these are their people.
    pub disputed: Vec<Source>,
}

/// Why an entry was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It can't be told so.
    #[error(transparent)]
    Tell(#[from] TellError),
    /// It can't be connected so.
    #[error(transparent)]
    Claim(#[from] ClaimError),
}

impl From<StoreError> for ApplyError {
    fn from(error: StoreError) -> Self {
        Self::Tell(TellError::Store(error))
    }
}

impl From<Unfit> for ApplyError {
    fn from(unfit: Unfit) -> Self {
        Self::Tell(TellError::Unfit(unfit))
    }
}

impl Entry {
    /// Whether it can be applied at all; every reason why not, with the source that it is about.
    pub fn check(&self) -> Vec<(Option<&Source>, String)> {
        let mut wrong = Vec::new();
        if let Err(unfit) = self.told.check() {
            wrong.push((None, unfit.to_string()));
        }
        if self.connections.len() > MOST_CONNECTIONS {
            wrong.push((None, ClaimError::TooMany.to_string()));
        }
        for wanted in &self.connections {
            let source = Some(&wanted.source);
            if matches!(&wanted.source, Source::Tenant(tenant) if tenant.is_consumers()) {
                wrong.push((source, ClaimError::PersonalAccounts.to_string()));
            }
            let terms = [
                wanted.terms.check(&wanted.source),
                wanted.terms.reason().map(drop),
            ];
            let unfit = terms.into_iter().filter_map(Result::err);
            wrong.extend(unfit.map(|unfit| (source, unfit.to_string())));
        }
        wrong
    }

    /// The connections that are not there as they should be, as they are to be claimed.
    fn missing(
        &self,
        known: Option<&Organization>,
        now: Timestamp,
    ) -> Result<Vec<Connection>, Unfit> {
        let mut missing = Vec::new();
        for wanted in &self.connections {
            let before = known.and_then(|known| known.connection(&wanted.source));
            let wanted = wanted.connection(&self.id, before, now)?;
            if before != Some(&wanted) {
                missing.push(wanted);
            }
        }
        Ok(missing)
    }
}

impl Wanted {
    /// The connection as it should stand. What a person has proven stays proven.
    fn connection(
        &self,
        id: &OrganizationId,
        before: Option<&Connection>,
        now: Timestamp,
    ) -> Result<Connection, Unfit> {
        let mapping = self.terms.clone().mapping(id.clone(), self.source.clone());
        let proof = Proof::or_word(before.map(|before| &before.proof), self.terms.reason()?);
        let wanted = Connection {
            mapping,
            standing: Standing::InForce,
            proof,
            made_by: Actor::File,
            made_at: now,
        };
        let says_so =
            |before: &Connection| before.mapping == wanted.mapping && before.proof == wanted.proof;
        // Who said it first is remembered as long as it says the same.
        Ok(match before.filter(|before| says_so(before)) {
            Some(before) => Connection {
                made_by: before.made_by.clone(),
                made_at: before.made_at,
                ..wanted
            },
            None => wanted,
        })
    }
}

/// What [`apply`] would do, found by reading alone.
pub async fn weigh(
    store: &dyn Store,
    policy: &Policy,
    entry: &Entry,
    now: Timestamp,
) -> Result<Applied, ApplyError> {
    let known = store.organization(&entry.id).await?.map(|(known, _)| known);
    let told = known_as(&entry.id, known.as_ref(), &entry.told, &Actor::File, now)?;
    let mut change = match &known {
        None => Change::Created,
        Some(known) if *known == told => Change::Unchanged,
        Some(_) => Change::Changed,
    };
    let (mut connected, mut disputed) = (Vec::new(), Vec::new());
    for wanted in entry.missing(known.as_ref(), now)? {
        let source = wanted.mapping.source.clone();
        let before = known.as_ref().and_then(|known| known.connection(&source));
        let is_claimed = !entry.shares(&source)
            && before.is_none_or(|before| before.standing != Standing::InForce)
            && !rivals(store, policy, &entry.id, &source).await?.is_empty();
        if is_claimed {
            disputed.push(source.clone());
        }
        if before.is_none_or(|before| !is_claimed || before.mapping != wanted.mapping) {
            connected.push(source);
        }
    }
    if change == Change::Unchanged && !connected.is_empty() {
        change = Change::Changed;
    }
    Ok(Applied {
        change,
        connected,
        disputed,
    })
}

/// What [`apply`] would do where nothing is known yet.
pub fn weigh_first(policy: &Policy, entry: &Entry) -> Applied {
    let sources = entry.connections.iter().map(|one| one.source.clone());
    let is_disputed = |source: &Source| {
        let mut in_file = policy.organizations_of(source);
        !entry.shares(source) && in_file.any(|holder| *holder != entry.id)
    };
    Applied {
        change: Change::Created,
        connected: sources.clone().collect(),
        disputed: sources.filter(is_disputed).collect(),
    }
}

/// Makes it so.
pub async fn apply(
    store: &dyn Store,
    policy: &Policy,
    entry: &Entry,
    now: Timestamp,
) -> Result<Applied, ApplyError> {
    let weighed = weigh(store, policy, entry, now).await?;
    let (_, known) = tell(store, &entry.id, &entry.told, &Actor::File, now).await?;
    let mut disputed = Vec::new();
    for wanted in entry.missing(Some(&known), now)? {
        let source = &wanted.mapping.source;
        let made = claim(store, policy, &entry.id, &wanted, now).await?;
        match (made.standing, entry.shares(source)) {
            (Standing::InForce, _) => {}
            (_, true) => {
                let settlement = Settlement::Share;
                settle(store, policy, &entry.id, source, settlement, now).await?;
            }
            (Standing::Disputed | Standing::AwaitingApproval | Standing::Refused, false) => {
                disputed.push(source.clone());
            }
        }
    }
    Ok(Applied {
        disputed,
        ..weighed
    })
}

impl Entry {
    fn shares(&self, source: &Source) -> bool {
        let of_source = |one: &&Wanted| one.source == *source;
        let wanted = self.connections.iter().find(of_source);
        wanted.is_some_and(|one| one.sharing == Sharing::Shared)
    }
}

/// Forgets an organisation that a file told of, now that it names it no more. `false`, and it stays, where somebody
/// else has told of it since.
pub async fn prune(
    store: &dyn Store,
    id: &OrganizationId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let is_of_file = |known: &Organization| known.told_by == Actor::File;
    let change = |known: Option<&Organization>| {
        Ok::<_, StoreError>(known.filter(|known| !is_of_file(known)).cloned())
    };
    let kept = change_organization(store, id, change, now).await?;
    Ok(kept.is_none())
}

/// What an organisation is connected to by a file that says so no more.
pub fn given_up(known: &Organization, entry: &Entry) -> Vec<Source> {
    let is_wanted = |source: &Source| entry.connections.iter().any(|one| one.source == *source);
    let of_file = known.connections.iter().filter(|one| is_of_file(one));
    let sources = of_file.map(|one| one.mapping.source.clone());
    sources.filter(|source| !is_wanted(source)).collect()
}

/// Ends a connection that a file has made. `false`, and it stays, where somebody else has made it since.
pub async fn give_up(
    store: &dyn Store,
    id: &OrganizationId,
    source: &Source,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let change = |known: Option<&Organization>| {
        let mut changed = known.cloned();
        if let Some(changed) = &mut changed {
            changed
                .connections
                .retain(|one| one.mapping.source != *source || !is_of_file(one));
        }
        Ok::<_, StoreError>(changed)
    };
    let kept = change_organization(store, id, change, now).await?;
    Ok(kept.is_none_or(|kept| kept.connection(source).is_none()))
}

/// What a person has proven is theirs, whatever a file has said of its terms since.
fn is_of_file(connection: &Connection) -> bool {
    connection.made_by == Actor::File && matches!(connection.proof, Proof::Operator { .. })
}

#[cfg(test)]
mod tests;
