//! The policy file: read at the start and whenever it changes, in one way.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use countersign_core::document::{Place, Problem, Problems};
use countersign_core::{ClientId, Installation, Policy, ProviderId, ProviderKind};
use countersign_server::PolicyInForce;
use jiff::civil::Date;

use super::file::Reader;
use crate::Surroundings;

/// The policy file of an installation, and whom its policy may name. To be read again without the
/// rest of the configuration: providers and clients stay what they were at the start.
#[derive(Debug, Clone)]
pub struct PolicyFile {
    path: PathBuf,
    providers: BTreeMap<ProviderId, ProviderKind>,
    clients: BTreeSet<ClientId>,
    places: BTreeMap<ProviderId, Place>,
}

/// A policy as it was read.
#[derive(Debug)]
pub struct ReadPolicy {
    /// Who must show what.
    pub policy: PolicyInForce,
    /// What is legal and likely wrong.
    pub warnings: Problems,
}

impl PolicyFile {
    pub(super) fn new(path: PathBuf, reader: &Reader<'_>) -> Self {
        Self {
            path,
            providers: each(&reader.providers, |(kind, _)| *kind),
            clients: reader.clients.clone(),
            places: each(&reader.providers, |(_, place)| place.clone()),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another file in its place: a policy that is not in force yet, for the same installation.
    #[must_use]
    pub fn instead(&self, path: PathBuf) -> Self {
        Self {
            path,
            ..self.clone()
        }
    }

    /// The text that stands in the file now.
    pub fn text(&self, outside: &dyn Surroundings) -> io::Result<String> {
        Ok(outside.file(&self.path)?.text)
    }

    /// What the text says, checked against the installation; `today`, in UTC, is for warnings of days
    /// that are past or near.
    pub fn read(&self, text: &str, today: Date) -> Result<ReadPolicy, Problems> {
        let name = self.path.display().to_string();
        let installation = Installation {
            providers: Some(&self.providers),
            clients: Some(&self.clients),
            today: Some(today),
        };
        let loaded = Policy::load(&name, text, installation)?;
        let warnings = self.without_proof(&loaded.policy).chain(loaded.warnings);
        Ok(ReadPolicy {
            warnings: warnings.collect(),
            policy: PolicyInForce::new(loaded.policy, text),
        })
    }

    /// What is wrong with the text whatever the installation is: all that can be said where the
    /// configuration is broken and names may be lost.
    pub(super) fn problems_alone(&self, text: &str) -> Problems {
        let name = self.path.display().to_string();
        Policy::parse(&name, text).err().unwrap_or_default()
    }

    fn without_proof(&self, policy: &Policy) -> impl Iterator<Item = Problem> {
        let unnamed = self
            .providers
            .iter()
            .filter(|(name, _)| policy.providers().all(|one| one != *name));
        unnamed.filter_map(|(name, kind)| {
            let kind = kind.as_str();
            Some(self.places.get(name)?.problem(format!(
                "`provider.{kind}.{name}`: the policy has no `[proof.{name}]`, so nobody can show a second factor there"
            )))
        })
    }
}

fn each<K: Ord + Clone, V, W>(map: &BTreeMap<K, V>, what: impl Fn(&V) -> W) -> BTreeMap<K, W> {
    map.iter()
        .map(|(key, value)| (key.clone(), what(value)))
        .collect()
}
