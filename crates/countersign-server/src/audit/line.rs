//! One line: what stands in it, and how it holds on to the line before.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use aws_lc_rs::digest;
use countersign_core::{AccountId, ClientId, ProviderId};
use countersign_store::{Actor, AuditHead, ChainHash, ReplicaId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Event;

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// A person, by their account.
    Account(AccountId),
    /// A client of the registry's, as itself.
    Client(ClientId),
    /// A provider.
    Provider(ProviderId),
    /// Who runs the installation, at its machine.
    Operator,
    /// Nobody: it was due, or nobody can tell.
    Nobody,
}

/// What it was done to. Each has an id of ours or of the configuration, never a name or an address of a person's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// An account.
    Account,
    /// An API key's id.
    ApiKey,
    /// The policy that was in force before.
    Before,
    /// A client.
    Client,
    /// How many.
    Count,
    /// An exception of the policy, by its name there.
    Exception,
    /// A grant.
    Grant,
    /// An identity at a provider, by a keyed digest: the same has the same, and nobody else can tell whose it is.
    Identity,
    /// A key's id.
    Key,
    /// What keys are for.
    KeyName,
    /// Numbers of lines, the first and the last.
    Lines,
    /// An organisation.
    Organization,
    /// The hash of a policy.
    Policy,
    /// A provider.
    Provider,
    /// An account by the registry's own name, as a keyed digest: a registry may name accounts after people.
    RegistryAccount,
    /// A session.
    Session,
    /// What an organisation is connected to.
    Source,
    /// The hash of what was left of lines that were cut off.
    Torn,
}

/// What is to be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    pub(super) event: Event,
    actor: By,
    subject: BTreeMap<Subject, String>,
    reason: Option<String>,
    request_id: Option<String>,
    from: Option<String>,
}

impl Happening {
    /// Something that somebody did.
    pub fn new(event: Event, actor: impl Into<By>) -> Self {
        Self {
            event,
            actor: actor.into(),
            subject: BTreeMap::new(),
            reason: None,
            request_id: None,
            from: None,
        }
    }

    /// The same, and what it was done to.
    #[must_use]
    pub fn about(mut self, subject: Subject, id: impl Display) -> Self {
        self.subject.insert(subject, id.to_string());
        self
    }

    /// The same, and what else it was done to, if to anything.
    #[must_use]
    pub fn about_any(self, subject: Subject, id: Option<impl Display>) -> Self {
        match id {
            Some(id) => self.about(subject, id),
            None => self,
        }
    }

    /// The same, and why: a code.
    #[must_use]
    pub fn because(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason.to_owned());
        self
    }

    /// What it takes in memory besides itself, in bytes.
    pub(super) fn bytes_beside(&self) -> usize {
        // About what a map of so few takes: one node of its tree.
        const MAP: usize = 320;
        let subject: usize = self.subject.values().map(String::len).sum();
        let others = [&self.reason, &self.request_id, &self.from];
        let others: usize = others.into_iter().flatten().map(String::len).sum();
        let ids = match &self.actor {
            By::Account(id) => id.as_str().len(),
            By::Client(id) => id.as_str().len(),
            By::Provider(name) => name.as_str().len(),
            By::Operator | By::Nobody => 0,
        };
        let map = if self.subject.is_empty() { 0 } else { MAP };
        subject + others + ids + map
    }

    /// The same, in a request, from a network.
    #[must_use]
    pub(crate) fn in_request(mut self, id: &str, from: Option<String>) -> Self {
        self.request_id = Some(id.to_owned());
        self.from = from;
        self
    }
}

/// A line as it is written: the order of its members is this.
#[derive(Serialize)]
struct Written<'a> {
    v: u32,
    n: u64,
    time: Timestamp,
    replica: &'a ReplicaId,
    event: Event,
    actor: &'a By,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    subject: &'a BTreeMap<Subject, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    prev: ChainHash,
}

/// A line as it is read. What a newer Countersign adds to one is passed over: the hash covers it all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// The version of the form: 1.
    pub v: u32,
    /// Its number in its chain; the first is 1.
    pub n: u64,
    /// When it happened.
    pub time: Timestamp,
    /// Whose chain it is in.
    pub replica: ReplicaId,
    /// The code of what happened.
    pub event: String,
    /// Who did it.
    pub actor: String,
    /// What it was done to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub subject: BTreeMap<String, String>,
    /// Why, as a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The request, as in the decision log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The network that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The hash of the line before.
    pub prev: ChainHash,
}

impl AuditLine {
    /// Reads a line, without its end.
    pub fn read(line: &[u8]) -> Option<Self> {
        let line: Self = serde_json::from_slice(line).ok()?;
        (line.v == 1).then_some(line)
    }
}

/// The end of a chain, on which the next line follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) replica: ReplicaId,
    /// How many lines it has.
    pub(super) n: u64,
    /// The hash of the last.
    pub(super) last: ChainHash,
    pub(super) time: Timestamp,
}

impl Chain {
    /// A chain without lines.
    pub(super) fn new(replica: ReplicaId) -> Self {
        Self {
            replica,
            n: 0,
            last: ChainHash::NONE,
            time: Timestamp::UNIX_EPOCH,
        }
    }

    /// The next line, with its end. Nothing of it can fail to be written as JSON.
    pub(super) fn next(&mut self, happening: &Happening, time: Timestamp) -> Vec<u8> {
        let written = Written {
            v: 1,
            n: self.n + 1,
            time,
            replica: &self.replica,
            event: happening.event,
            actor: &happening.actor,
            subject: &happening.subject,
            reason: happening.reason.as_deref(),
            request_id: happening.request_id.as_deref(),
            from: happening.from.as_deref(),
            prev: self.last,
        };
        let mut line = serde_json::to_vec(&written).unwrap_or_default();
        self.n += 1;
        self.last = hash_of(&line);
        self.time = time;
        line.push(b'\n');
        line
    }

    pub(super) fn head(&self) -> AuditHead {
        AuditHead {
            replica: self.replica.clone(),
            n: self.n,
            hash: self.last,
            time: self.time,
        }
    }
}

/// What the next line says of this one, which is without its end.
pub fn hash_of(line: &[u8]) -> ChainHash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, line).as_ref());
    ChainHash(hash)
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => write!(f, "account:{id}"),
            Self::Client(id) => write!(f, "client:{id}"),
            Self::Provider(name) => write!(f, "provider:{name}"),
            Self::Operator => f.write_str("operator"),
            Self::Nobody => f.write_str("nobody"),
        }
    }
}

impl Serialize for By {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<&Actor> for By {
    fn from(actor: &Actor) -> Self {
        match actor {
            Actor::Account(id) => Self::Account(id.clone()),
            Actor::Client(id) => Self::Client(id.clone()),
            Actor::Operator | Actor::File => Self::Operator,
        }
    }
}

impl From<&AccountId> for By {
    fn from(id: &AccountId) -> Self {
        Self::Account(id.clone())
    }
}

impl From<&ClientId> for By {
    fn from(id: &ClientId) -> Self {
        Self::Client(id.clone())
    }
}

impl From<&ProviderId> for By {
    fn from(name: &ProviderId) -> Self {
        Self::Provider(name.clone())
    }
}
