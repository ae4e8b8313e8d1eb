//! An organisation of the registry: who administers it, and whose people outside are its people.

mod claim;
mod exception;
pub mod file;
mod rules;
mod tell;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use countersign_core::{
    AccountId, ClientId, Guests, IdError, Mapping, OrganizationId, Source, Waiver,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ended::end_of_connection;
use crate::{EndKind, RegistryAccountName, Store, StoreError, Version};

pub use claim::{
    ClaimError, MOST_CONNECTIONS, Settlement, agree, approve, claim, disconnect, others, prove,
    rivals, settle,
};
pub use exception::{
    Answer, AskedException, ExceptionError, MOST_EXCEPTIONS, Verdict, answer, ask, granted,
    take_back,
};
pub use rules::{MOST_ADMINS, Terms, Told, Unfit};
pub use tell::{Change, JoinError, Joining, TellError, forget, join, tell};

/// How often a record that others keep writing to is tried.
const TRIES: usize = 100;
/// How many organisations are read at once: some milliseconds' work at most, in which nobody else reads.
pub(crate) const ORGANIZATIONS_AT_ONCE: usize = 200;
/// How many sources are asked for at once: one, but for people who are in several organisations at GitHub.
const SOURCES_AT_ONCE: usize = 16;

/// An organisation of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// The registry's own name of it; the key.
    pub id: OrganizationId,
    /// What people call it: untrusted text of at most 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Who may connect it to a tenant, and change that.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub admins: BTreeSet<Admin>,
    /// Whose people outside are its people, or are said to be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<Connection>,
    /// The exceptions that its admins asked for, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<AskedException>,
    /// When it was first told of.
    pub created_at: Timestamp,
    /// Who told of it last. A file does not take over what a client tells of.
    pub told_by: Actor,
}

/// Who administers an organisation: somebody who is known here, or whom the registry knows by a name of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Admin {
    /// An account here.
    Account(AccountId),
    /// An account at the registry, whether or not its owner has been seen here.
    RegistryAccount(RegistryAccountName),
}

impl fmt::Display for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => write!(f, "account:{id}"),
            Self::RegistryAccount(name) => write!(f, "registry-account:{name}"),
        }
    }
}

/// A text that names no admin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected `account:ID` or `registry-account:NAME`")]
pub struct NotAnAdmin;

impl FromStr for Admin {
    type Err = NotAnAdmin;

    fn from_str(text: &str) -> Result<Self, NotAnAdmin> {
        let (kind, name) = text.split_once(':').ok_or(NotAnAdmin)?;
        match kind {
            "account" => AccountId::new(name)
                .map(Self::Account)
                .map_err(|_| NotAnAdmin),
            "registry-account" => {
                let name = RegistryAccountName::new(name);
                name.map(Self::RegistryAccount).map_err(|_| NotAnAdmin)
            }
            _ => Err(NotAnAdmin),
        }
    }
}

impl TryFrom<String> for Admin {
    type Error = NotAnAdmin;

    fn try_from(text: String) -> Result<Self, NotAnAdmin> {
        text.parse()
    }
}

impl From<Admin> for String {
    fn from(admin: Admin) -> Self {
        admin.to_string()
    }
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Actor {
    /// A person, who was signed in.
    Account(AccountId),
    /// A service of the registry's, as itself.
    Client(ClientId),
    /// Who runs the installation, at its machine.
    Operator,
    /// The operator's file of organisations.
    File,
}

/// How [`Actor::File`] is written.
const FILE: &str = "operator-file";

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => write!(f, "account:{id}"),
            Self::Client(id) => write!(f, "client:{id}"),
            Self::Operator => f.write_str("operator"),
            Self::File => f.write_str(FILE),
        }
    }
}

impl From<ClientId> for Actor {
    fn from(client: ClientId) -> Self {
        Self::Client(client)
    }
}

impl TryFrom<String> for Actor {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        match text.split_once(':') {
            Some(("account", id)) => AccountId::new(id).map(Self::Account),
            Some((_, id)) => ClientId::new(id).map(Self::Client),
            None if text == FILE => Ok(Self::File),
            None => Ok(Self::Operator),
        }
    }
}

impl From<Actor> for String {
    fn from(actor: Actor) -> Self {
        actor.to_string()
    }
}

/// A mapping, whether it is in force, and why it should be believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// What it says.
    pub mapping: Mapping,
    /// Whether it is in force.
    pub standing: Standing,
    /// What shows that the organisation may be connected so.
    pub proof: Proof,
    /// Who made it.
    pub made_by: Actor,
    /// When.
    pub made_at: Timestamp,
}

/// Whether a mapping is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It is.
    InForce,
    /// It is not: another organisation has said before, or at the same time, that these are its people. An operator
    /// settles it, or the other's admins agree.
    Disputed,
    /// It is not: an operator approves first, or it is proven.
    AwaitingApproval,
    /// It is not: an operator has refused to approve it.
    Refused,
}

impl Standing {
    /// Whether it says that the source is its own with a proof, or by a word that counts: others are in dispute with it.
    fn is_claimed(self) -> bool {
        match self {
            Self::InForce | Self::Disputed => true,
            Self::AwaitingApproval | Self::Refused => false,
        }
    }
}

/// What shows that an organisation may be connected to a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// Who made it signed in to the tenant with this directory role (a template id).
    DirectoryRole(String),
    /// Who made it owns the organisation at GitHub.
    GitHubOwner,
    /// Who made it signed in there, which shows one of its people and nobody who speaks for all of them: it is in force
    /// by an operator's approval.
    Member {
        /// What a record of the issuer's host says to prove it, and nobody can guess: an old record proves nothing new.
        token: String,
    },
    /// The issuer's own name server says so.
    DnsRecord,
    /// An operator's word.
    Operator {
        /// Why.
        reason: String,
    },
}

impl Proof {
    /// What shows it once somebody whose word counts says it too: what a person has proven stays proven.
    pub fn or_word(before: Option<&Self>, reason: &str) -> Self {
        match before {
            Some(proof @ (Self::DirectoryRole(_) | Self::GitHubOwner | Self::DnsRecord)) => {
                proof.clone()
            }
            Some(Self::Member { .. } | Self::Operator { .. }) | None => Self::Operator {
                reason: reason.to_owned(),
            },
        }
    }
}

impl Organization {
    /// An organisation that nobody is connected to.
    pub fn new(id: OrganizationId, created_at: Timestamp, told_by: Actor) -> Self {
        Self {
            id,
            title: None,
            admins: BTreeSet::new(),
            connections: Vec::new(),
            exceptions: Vec::new(),
            created_at,
            told_by,
        }
    }

    /// The version that its first record gets: the time, in microseconds, and no less than that of a first record of anything
    /// else. An organisation can be removed and its name be given to another owner: whoever has read the one before must not
    /// find its version here. Each write counts one, and takes longer than that.
    pub(crate) fn first_version(&self) -> Version {
        let micros = u64::try_from(self.created_at.as_microsecond());
        Version(micros.unwrap_or_default().max(1))
    }

    /// The mappings that are in force.
    pub fn in_force(&self) -> impl Iterator<Item = &Mapping> {
        self.connections
            .iter()
            .filter(|one| one.standing == Standing::InForce)
            .map(|one| &one.mapping)
    }

    /// The connection to a source, whatever its standing.
    pub fn connection(&self, source: &Source) -> Option<&Connection> {
        self.connections
            .iter()
            .find(|one| one.mapping.source == *source)
    }

    /// Whether who acts for it may act for it no more once it is changed so: what is in force would not be, or would admit no
    /// guests.
    fn loses_people_by(&self, changed: Option<&Self>) -> bool {
        self.in_force().any(|before| {
            let mut after = changed.into_iter().flat_map(Self::in_force);
            let after = after.find(|one| one.source == before.source);
            after.is_none_or(|after| {
                before.guests == Guests::Admitted && after.guests == Guests::Refused
            })
        })
    }

    /// Whether this signpost leads to it rightly.
    pub fn is_at(&self, post: &Signpost) -> bool {
        self.signposts().contains(post)
    }

    /// By whom it is found.
    fn signposts(&self) -> BTreeSet<Signpost> {
        let sources = self.connections.iter().map(|one| &one.mapping.source);
        let sources = sources.cloned().map(Signpost::Source);
        let admins = self.admins.iter().cloned().map(Signpost::Admin);
        let is_waiting = |one: &Connection| match one.standing {
            Standing::AwaitingApproval | Standing::Disputed => true,
            Standing::InForce | Standing::Refused => false,
        };
        let asks = self.exceptions.iter().any(AskedException::is_waiting)
            || self.connections.iter().any(is_waiting);
        let asks = asks.then_some(Signpost::Asks);
        let mut granted = self
            .exceptions
            .iter()
            .filter_map(|one| one.granted(&self.id));
        let granted = granted.next().map(|_| Signpost::Granted);
        sources.chain(admins).chain(asks).chain(granted).collect()
    }
}

/// What leads to organisations: whose people are theirs, or who administers them.
///
/// A signpost is set before the record says so and taken away after the record says so no more: what it leads to may
/// say otherwise, and the record counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signpost {
    /// Those that a source is connected to.
    Source(Source),
    /// Those that somebody administers.
    Admin(Admin),
    /// Those that wait for an operator's answer: to an exception that they asked for, or to a claim, which another disputes
    /// or nothing proves.
    Asks,
    /// Those that were granted an exception, whether or not it has ended.
    Granted,
}

impl fmt::Display for Signpost {
    /// One unambiguous line, the key under which it is found.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(source) => source.fmt(f),
            Self::Admin(admin) => write!(f, "admin:{admin}"),
            Self::Asks => f.write_str("asks"),
            Self::Granted => f.write_str("granted"),
        }
    }
}

impl Organization {
    /// What it was granted that holds now.
    pub fn waivers(&self, now: Timestamp) -> impl Iterator<Item = Waiver> {
        let granted = self
            .exceptions
            .iter()
            .filter_map(|one| one.waiver(&self.id));
        granted.filter(move |one| now < one.ends_at())
    }
}

/// Keeps what `change` makes of an organisation's record, or of none; where another was faster, what it makes of
/// theirs. `None` removes the record. Answers with the record that is kept.
///
/// # Errors
///
/// What `change` refuses, or [`StoreError::Conflict`] where others never leave a gap.
pub async fn change_organization<E: From<StoreError>>(
    store: &dyn Store,
    id: &OrganizationId,
    change: impl Fn(Option<&Organization>) -> Result<Option<Organization>, E>,
    now: Timestamp,
) -> Result<Option<Organization>, E> {
    for _ in 0..TRIES {
        let known = store.organization(id).await?;
        let changed = change(known.as_ref().map(|(known, _)| known))?;
        match keep(store, known, changed.as_ref(), now).await {
            Ok(()) => return Ok(changed),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Conflict.into())
}

/// Writes one change, with the signposts that it needs before, and without those that it no longer needs after. Where it
/// takes something away, that is told in the feed of ends first: whoever dies in between leaves an end told that did not
/// come, and tells another as they do it again.
///
/// Somebody else may do so to the same signpost between any two of these steps. So what the record needs is set again after
/// it is written, and what it no longer needs after it is removed, if the record that is there by then needs it.
async fn keep(
    store: &dyn Store,
    known: Option<(Organization, Version)>,
    changed: Option<&Organization>,
    now: Timestamp,
) -> Result<(), StoreError> {
    if known.as_ref().map(|(known, _)| known) == changed {
        return Ok(());
    }
    let posts = |one: Option<&Organization>| one.map(Organization::signposts).unwrap_or_default();
    let before = posts(known.as_ref().map(|(known, _)| known));
    let after = posts(changed);
    let id = known.as_ref().map(|(known, _)| &known.id);
    let Some(id) = id.or(changed.map(|changed| &changed.id)).cloned() else {
        return Ok(());
    };
    for post in after.difference(&before) {
        store.set_signpost(post, &id).await?;
    }
    if known
        .as_ref()
        .is_some_and(|(known, _)| known.loses_people_by(changed))
    {
        let end = end_of_connection(&id, now);
        store.tell_end(EndKind::Organization, &end, now).await?;
    }
    match (known, changed) {
        (Some((_, version)), Some(changed)) => {
            store.replace_organization(changed.clone(), version).await?;
        }
        (Some((_, version)), None) => store.remove_organization(&id, version).await?,
        (None, Some(changed)) => {
            let (in_force, _) = store.put_organization_if_absent(changed.clone()).await?;
            if in_force != *changed {
                return Err(StoreError::Conflict);
            }
        }
        (None, None) => {}
    }
    for post in after.difference(&before) {
        store.set_signpost(post, &id).await?;
    }
    for post in before.difference(&after) {
        remove(store, post, &id).await?;
    }
    Ok(())
}

/// Removes a signpost, unless the record needs it by then.
async fn remove(store: &dyn Store, post: &Signpost, id: &OrganizationId) -> Result<(), StoreError> {
    store.remove_signpost(post, id).await?;
    let known = store.organization(id).await?;
    if known.is_some_and(|(known, _)| known.is_at(post)) {
        store.set_signpost(post, id).await?;
    }
    Ok(())
}

/// All organisations that a signpost leads to and whose records say so too, in the order of their ids.
pub async fn organizations_by(
    store: &dyn Store,
    post: &Signpost,
) -> Result<Vec<Organization>, StoreError> {
    organizations_page(store, post, None, usize::MAX).await
}

/// The organisations that a signpost leads to and whose records say so too, in the order of their ids, after `after`, at
/// most `limit`: fewer are the last ones.
pub async fn organizations_page(
    store: &dyn Store,
    post: &Signpost,
    after: Option<&OrganizationId>,
    limit: usize,
) -> Result<Vec<Organization>, StoreError> {
    let (mut found, mut after) = (Vec::new(), after.cloned());
    while found.len() < limit {
        let wanted = ORGANIZATIONS_AT_ONCE.min(limit - found.len());
        let some = store.organizations_at(post, after.as_ref(), wanted).await?;
        let is_last = some.len() < wanted;
        after = some.last().map(|last| last.id.clone());
        found.extend(some.into_iter().filter(|one| one.is_at(post)));
        if is_last {
            break;
        }
    }
    Ok(found)
}

/// The mappings in force of these sources: what a decision rests on.
pub async fn mappings_of(
    store: &dyn Store,
    sources: impl IntoIterator<Item = Source>,
) -> Result<Vec<Mapping>, StoreError> {
    let sources: Vec<Source> = sources.into_iter().collect();
    let mappings: Vec<Vec<Mapping>> = stream::iter(sources)
        .map(|source| mappings_of_one(store, source))
        .buffered(SOURCES_AT_ONCE)
        .try_collect()
        .await?;
    Ok(mappings.concat())
}

async fn mappings_of_one(store: &dyn Store, source: Source) -> Result<Vec<Mapping>, StoreError> {
    let found = organizations_by(store, &Signpost::Source(source.clone())).await?;
    let mappings = found.iter().flat_map(Organization::in_force);
    let of_source = mappings.filter(|one| one.source == source);
    Ok(of_source.cloned().collect())
}
