//! Mappings: whose people, outside, are the people of which of the registry's organisations.
//!
//! A [`Mapping`] is a fact of a decision: made and proven elsewhere, in force here. Membership is of the login
//! that is weighed and of no other: what another identity of the same account shows says nothing about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Claim, Facts, Level, Login, Membership, OrganizationId, Policy, Reason, TenantId};

/// Whom a provider can vouch for as a whole: an Entra tenant, an organisation of GitHub's, an issuer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Source {
    /// A tenant of Microsoft Entra ID.
    Tenant(TenantId),
    /// An organisation of GitHub.com, of a GitHub Enterprise Server or of a GHE.com host: a name can be given up
    /// and taken by another, the numeric id can't.
    GitHubOrganization {
        /// The host.
        host: String,
        /// The numeric id there.
        id: u64,
    },
    /// An OpenID Connect issuer all of whose people are one organisation's.
    Issuer(String),
}

impl fmt::Display for Source {
    /// One unambiguous line: in files, requests, tokens and logs, and the key under which mappings are found.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant(tenant) => write!(f, "tenant:{tenant}"),
            Self::GitHubOrganization { host, id } => write!(f, "github:{host}:{id}"),
            Self::Issuer(issuer) => write!(f, "issuer:{issuer}"),
        }
    }
}

/// A text that is no source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected `tenant:ID`, `github:HOST:NUMBER` or `issuer:URL`")]
pub struct NotASource;

impl FromStr for Source {
    type Err = NotASource;

    fn from_str(text: &str) -> Result<Self, NotASource> {
        let (kind, rest) = text.split_once(':').ok_or(NotASource)?;
        match kind {
            "tenant" => TenantId::new(rest)
                .map(Self::Tenant)
                .map_err(|_| NotASource),
            "github" => {
                // A host may have a port.
                let (host, id) = rest.rsplit_once(':').ok_or(NotASource)?;
                let is_host = |byte: u8| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:".contains(&byte)
                };
                let is_plain = !host.is_empty() && host.len() <= 253 && host.bytes().all(is_host);
                let number: u64 = id.parse().map_err(|_| NotASource)?;
                // One spelling for each: `+1` and `01` are numbers too.
                let is_one = is_plain && number > 0 && number.to_string() == id;
                let host = host.to_owned();
                is_one
                    .then_some(Self::GitHubOrganization { host, id: number })
                    .ok_or(NotASource)
            }
            "issuer" => {
                let is_plain = |c: char| c.is_ascii_graphic();
                let is_one = (9..=512).contains(&rest.len())
                    && rest.chars().all(is_plain)
                    && rest.starts_with("http");
                is_one
                    .then(|| Self::Issuer(rest.to_owned()))
                    .ok_or(NotASource)
            }
            _ => Err(NotASource),
        }
    }
}

impl TryFrom<String> for Source {
    type Error = NotASource;

    fn try_from(text: String) -> Result<Self, NotASource> {
        text.parse()
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

/// Whether a tenant's guests (B2B) are among an organisation's people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guests {
    /// Only the tenant's own members are.
    #[default]
    Refused,
    /// Guests are too.
    Admitted,
}

impl Guests {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands over a reference"
    )]
    fn are_refused(&self) -> bool {
        *self == Self::Refused
    }
}

/// A role at the registry, by the registry's own name of it.
pub type RegistryRole = String;

/// One mapping that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// Whose people they are at the registry.
    pub organization: OrganizationId,
    /// Whose people they are outside.
    pub source: Source,
    /// Whether guests of the tenant count.
    #[serde(default, skip_serializing_if = "Guests::are_refused")]
    pub guests: Guests,
    /// The authentication contexts (`acrs`) that the tenant's admin attests, and the level of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub contexts: BTreeMap<String, Level>,
    /// What groups and app roles of the tenant are at the registry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, BTreeSet<RegistryRole>>,
}

impl Mapping {
    /// A mapping that says no more than whose people they are.
    pub fn new(organization: OrganizationId, source: Source) -> Self {
        Self {
            organization,
            source,
            guests: Guests::Refused,
            contexts: BTreeMap::new(),
            roles: BTreeMap::new(),
        }
    }

    /// Whether this login is one of these people's.
    pub fn covers(&self, login: &Login) -> bool {
        login.sources().any(|source| source == self.source)
            && (self.guests == Guests::Admitted || is_member(login))
    }

    fn roles_of(&self, login: &Login) -> BTreeSet<RegistryRole> {
        let groups = login.groups.value();
        let named = groups.into_iter().flatten();
        named
            .filter_map(|group| self.roles.get(group))
            .flatten()
            .cloned()
            .collect()
    }
}

/// Who is invited into a tenant as a guest is not one of its people. Absent is a member: the token of a guest
/// from elsewhere always has `idp`, and one without it is of the issuer's own directory.
/// <https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference>
fn is_member(login: &Login) -> bool {
    match &login.membership {
        Claim::Absent | Claim::Value(Membership::Member) => true,
        Claim::Value(Membership::Guest) | Claim::Malformed | Claim::Contradictory => false,
    }
}

/// The level that each authentication context of a login's tenant attests, by what its admins said when they mapped
/// it. Where they disagree it is the lowest: assurance is never raised by choosing whom to believe.
pub(crate) fn contexts_of(tenant: &TenantId, mappings: &[Mapping]) -> BTreeMap<String, Level> {
    let tenant = Source::Tenant(tenant.clone());
    let mut named: BTreeMap<String, Level> = BTreeMap::new();
    let of_tenant = mappings.iter().filter(|one| one.source == tenant);
    for (context, level) in of_tenant.flat_map(|one| &one.contexts) {
        let known = named.entry(context.clone()).or_insert(*level);
        *known = (*known).min(*level);
    }
    named
}

/// What shows that a person belongs to an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Belonging {
    /// The organisation.
    pub organization: OrganizationId,
    /// Through whom.
    pub through: Source,
    /// The person's roles in it, as far as groups and app roles of the tenant say.
    pub roles: BTreeSet<RegistryRole>,
    /// Until when it is believed: the provider said so at the login, and may say otherwise by now.
    pub until: Timestamp,
}

/// The organisations that a login shows, and whether it is fresh enough to.
pub(crate) struct Shown {
    belongings: Vec<Belonging>,
}

impl Shown {
    /// Those of the policy file, and those that were mapped.
    pub(crate) fn by(policy: &Policy, facts: &Facts) -> Self {
        let belongings = belongings(policy, &facts.login, &facts.mappings);
        Self { belongings }
    }

    /// Whether the login shows this one, now.
    pub(crate) fn asked(
        &self,
        organization: &OrganizationId,
        now: Timestamp,
    ) -> Result<&Belonging, Reason> {
        let found = self.iter().find(|one| one.organization == *organization);
        match found {
            Some(found) if now < found.until => Ok(found),
            Some(_) => Err(Reason::MembershipStale),
            None => Err(Reason::OrganizationNotShown),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Belonging> {
        self.belongings.iter()
    }
}

/// The organisations that a login shows, in order, each until its membership is stale: those of the policy file, and
/// those of the mappings.
pub fn belongings(policy: &Policy, login: &Login, mappings: &[Mapping]) -> Vec<Belonging> {
    let until = login.verified_at;
    let until = until
        .checked_add(policy.mapping().max_membership_age)
        .unwrap_or(Timestamp::MAX);
    let of = |mapping: &Mapping| Belonging {
        organization: mapping.organization.clone(),
        through: mapping.source.clone(),
        roles: mapping.roles_of(login),
        until,
    };
    let mapped = mappings.iter().filter(|one| one.covers(login));
    let mut belongings: Vec<Belonging> = mapped.map(of).collect();
    for mapping in in_file(policy, login) {
        let is_known = |one: &Belonging| one.organization == mapping.organization;
        if mapping.covers(login) && !belongings.iter().any(is_known) {
            belongings.push(of(&mapping));
        }
    }
    belongings.sort_by(|one, two| one.organization.cmp(&two.organization));
    belongings.dedup_by(|one, two| one.organization == two.organization);
    belongings
}

/// What the policy file says of this login's tenant, as mappings: an operator's own.
fn in_file<'a>(policy: &'a Policy, login: &Login) -> impl Iterator<Item = Mapping> + use<'a> {
    let tenant = login.tenant.clone();
    tenant.into_iter().flat_map(|tenant| {
        let source = Source::Tenant(tenant);
        let organizations = policy.organizations_of(&source);
        let mapped: Vec<Mapping> = organizations
            .map(|id| Mapping::new(id.clone(), source.clone()))
            .collect();
        mapped
    })
}

#[cfg(test)]
mod tests;
