//! What would have to change in the policy to let a login in: each by its name in the file.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::search::smallest;
use super::{Goal, in_the_end, standing};
use crate::calendar::day_of;
use crate::policy::{can_prove_acr, can_prove_amr};
use crate::{
    Assurance, Basis, Claim, Exception, ExceptionName, Exceptions, Facts, Level, Membership,
    OrganizationId, Policy, ProviderId, Reason, Requirement, Subject, TenantId, TierName, decide,
};

/// The smallest changes of the policy that reach the goal.
pub(super) fn nearest(
    policy: &Policy,
    facts: &Facts,
    now: Timestamp,
    goal: Goal,
) -> Vec<Loosening> {
    let facts = &in_the_end(facts);
    let moves = moves(policy, facts, now);
    let costs: Vec<u32> = moves.iter().map(Move::cost).collect();
    let loosening = |chosen: &[usize]| Loosening {
        moves: chosen.iter().map(|index| moves[*index].clone()).collect(),
    };
    let found = smallest(&costs, |chosen| {
        let loosened = loosening(chosen).applied(policy);
        goal.is_reached(&decide(&loosened, facts, now))
    });
    found.iter().map(|chosen| loosening(chosen)).collect()
}

/// A change of the policy that would have let a login in: all of its moves together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loosening {
    /// What would have to be written otherwise.
    pub moves: Vec<Move>,
}

impl Loosening {
    /// The policy as it would be.
    #[must_use]
    pub fn applied(&self, policy: &Policy) -> Policy {
        let mut policy = policy.clone();
        for one in &self.moves {
            one.apply(&mut policy);
        }
        policy
    }

    /// What would have to be written otherwise, in words.
    pub fn in_words(&self) -> String {
        let moves: Vec<String> = self.moves.iter().map(Move::in_words).collect();
        moves.join("; and ")
    }
}

/// One thing that could be written otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Move {
    /// An exception for this account or for this organisation.
    Except(Exception),
    /// The organisation's people sign in through this tenant too.
    MapTenant {
        /// The organisation.
        organization: OrganizationId,
        /// The tenant of the login.
        tenant: TenantId,
    },
    /// A context that the tenant's admin attests has a meaning.
    NameContext {
        /// The provider.
        provider: ProviderId,
        /// The tenant of the login.
        tenant: TenantId,
        /// What was sent.
        context: String,
    },
    /// A value of `acr` that was sent counts.
    CountAcr {
        /// The provider.
        provider: ProviderId,
        /// What was sent.
        value: String,
    },
    /// A value of `amr` that was sent counts.
    CountAmr {
        /// The provider.
        provider: ProviderId,
        /// What was sent.
        value: String,
    },
    /// Tiers take one basis more.
    Accept {
        /// Where that stands.
        places: Places,
        /// The basis.
        basis: Basis,
    },
    /// Tiers take a login that was verified so long ago.
    EvidenceAge {
        /// Where that stands.
        places: Places,
        /// How long ago.
        age: SignedDuration,
    },
    /// Tiers take a person who was authenticated so long ago; nothing: any.
    AuthAge {
        /// Where that stands.
        places: Places,
        /// How long ago.
        age: Option<SignedDuration>,
    },
    /// Tiers take an API key that was made when the login was fresh.
    WhenMade {
        /// Where that stands.
        places: Places,
    },
    /// Tiers take an address that nobody verified.
    AnyEmail {
        /// Where that stands.
        places: Places,
    },
    /// Tiers need less.
    Need {
        /// Where that stands.
        places: Places,
        /// What they need then.
        level: Level,
    },
}

impl Move {
    /// How many people it lets in besides: it orders the answers.
    fn cost(&self) -> u32 {
        match self {
            Self::Except(exception) => match exception.subject {
                Subject::Account(_) => 1,
                Subject::Organization(_) => 2,
            },
            Self::MapTenant { .. } | Self::NameContext { .. } => 3,
            Self::CountAcr { .. } | Self::CountAmr { .. } => 4,
            Self::EvidenceAge { .. } | Self::AuthAge { .. } | Self::WhenMade { .. } => 5,
            Self::Accept { .. } | Self::AnyEmail { .. } => 6,
            Self::Need { level, .. } if *level > Level::None => 8,
            Self::Need { .. } => 10,
        }
    }

    fn apply(&self, policy: &mut Policy) {
        match self {
            Self::Except(exception) => except(policy, exception.clone()),
            Self::MapTenant {
                organization,
                tenant,
            } => {
                let rule = policy.organizations.entry(organization.clone());
                rule.or_default().tenants.insert(tenant.clone());
            }
            Self::NameContext {
                provider,
                tenant,
                context,
            } => {
                let rule = policy.proofs.entry(provider.clone()).or_default();
                let contexts = rule.tenants.entry(tenant.clone()).or_default();
                contexts.insert(context.clone(), Level::Mfa);
            }
            Self::CountAcr { provider, value } => {
                let rule = policy.proofs.entry(provider.clone()).or_default();
                rule.acr.insert(value.clone());
            }
            Self::CountAmr { provider, value } => {
                let rule = policy.proofs.entry(provider.clone()).or_default();
                rule.amr.insert(value.clone());
            }
            Self::Accept { places, .. }
            | Self::EvidenceAge { places, .. }
            | Self::AuthAge { places, .. }
            | Self::WhenMade { places }
            | Self::AnyEmail { places }
            | Self::Need { places, .. } => {
                for (_, place, requirement) in requirements(policy) {
                    if places.held.contains(&place) {
                        self.loosen(requirement);
                    }
                }
            }
        }
    }

    /// Whether both ask for the same of what this loosens.
    fn is_same(&self, one: &Requirement, other: &Requirement) -> bool {
        match self {
            Self::Accept { .. } => one.accepts == other.accepts,
            Self::EvidenceAge { .. } => one.max_evidence_age == other.max_evidence_age,
            Self::AuthAge { .. } => one.max_age == other.max_age,
            Self::WhenMade { .. } => one.fresh_at_use == other.fresh_at_use,
            Self::AnyEmail { .. } => one.verified_email == other.verified_email,
            Self::Need { .. } => one.level == other.level,
            Self::Except(_)
            | Self::MapTenant { .. }
            | Self::NameContext { .. }
            | Self::CountAcr { .. }
            | Self::CountAmr { .. } => true,
        }
    }

    /// Finds where it would be written for these tiers; nothing where it would change nothing.
    fn placed(mut self, policy: &Policy, tiers: &BTreeSet<TierName>) -> Option<Self> {
        let mut found = Places::default();
        for (tier, place, requirement) in requirements(&mut policy.clone()) {
            let before = requirement.clone();
            self.loosen(requirement);
            if !tiers.contains(&tier) || *requirement == before {
                continue;
            }
            let everybody = policy.requirement(&tier);
            let is_tier = place == format!("tier.{tier}");
            if is_tier || everybody.is_none_or(|all| !self.is_same(all, &before)) {
                found.written.insert(place.clone());
            }
            found.held.insert(place);
        }
        let is_something = !found.held.is_empty();
        match &mut self {
            Self::Accept { places, .. }
            | Self::EvidenceAge { places, .. }
            | Self::AuthAge { places, .. }
            | Self::WhenMade { places }
            | Self::AnyEmail { places }
            | Self::Need { places, .. } => *places = found,
            Self::Except(_)
            | Self::MapTenant { .. }
            | Self::NameContext { .. }
            | Self::CountAcr { .. }
            | Self::CountAmr { .. } => {}
        }
        is_something.then_some(self)
    }

    /// What a tier asks for less of by this.
    fn loosen(&self, one: &mut Requirement) {
        match self {
            Self::Accept { basis, .. } => {
                one.accepts.insert(*basis);
            }
            Self::EvidenceAge { age, .. } => {
                one.max_evidence_age = one.max_evidence_age.map(|limit| limit.max(*age));
            }
            Self::AuthAge { age, .. } => {
                one.max_age = age.and_then(|age| one.max_age.map(|limit| limit.max(age)));
            }
            Self::WhenMade { .. } => one.fresh_at_use = false,
            Self::AnyEmail { .. } => one.verified_email = false,
            Self::Need { level, .. } => one.level = one.level.min(*level),
            Self::Except(_)
            | Self::MapTenant { .. }
            | Self::NameContext { .. }
            | Self::CountAcr { .. }
            | Self::CountAmr { .. } => {}
        }
    }

    fn in_words(&self) -> String {
        match self {
            Self::Except(exception) => {
                let (key, id) = match &exception.subject {
                    Subject::Account(id) => ("account", id.as_str()),
                    Subject::Organization(id) => ("organization", id.as_str()),
                };
                let waives: Vec<&str> = exception.waives.iter().map(String::as_str).collect();
                let (waives, until) = (waives.join("\", \""), exception.until);
                format!(
                    "an `[exception.NAME]` with `{key} = \"{id}\"`, `waives = [\"{waives}\"]` and `until` no earlier than {until}"
                )
            }
            Self::MapTenant {
                organization,
                tenant,
            } => format!("`organization.{organization}.tenants` with \"{tenant}\""),
            Self::NameContext {
                provider,
                tenant,
                context,
            } => format!(
                "`proof.{provider}.tenant.\"{tenant}\".acrs` with `{context} = \"mfa\"`, if that is what its admin attests by it"
            ),
            Self::CountAcr { provider, value } => format!(
                "`proof.{provider}.acr` with {value:?}, if the provider sends that for a second factor and for nothing less"
            ),
            Self::CountAmr { provider, value } => format!(
                "`proof.{provider}.amr` with {value:?}, if the provider sends that for a second factor and for nothing less"
            ),
            Self::Accept { places, basis } => {
                format!("{} with \"{basis}\"", places.of("accepts"))
            }
            Self::EvidenceAge { places, age } => {
                format!("{} of {age:#} or longer", places.of("max_evidence_age"))
            }
            Self::AuthAge {
                places,
                age: Some(age),
            } => format!("{} of {age:#} or longer", places.of("max_age")),
            Self::AuthAge { places, age: None } => {
                format!(
                    "no {}, which this provider can't answer",
                    places.of("max_age")
                )
            }
            Self::WhenMade { places } => format!("no {}", places.of("fresh_at_use")),
            Self::AnyEmail { places } => format!("no {}", places.of("verified_email")),
            Self::Need { places, level } => format!("{} = \"{level}\"", places.of("needs")),
        }
    }
}

/// Where something stands in the file: `tier.publish`, `client.vault.stricter.publish`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Places {
    /// Where it is written.
    written: BTreeSet<String>,
    /// Where it holds: there, and where what is stricter takes it over from the tier.
    #[serde(skip)]
    held: BTreeSet<String>,
}

impl Places {
    /// The places of a key: `tier.publish.needs` and so on.
    fn of(&self, key: &str) -> String {
        let names: Vec<String> = self
            .written
            .iter()
            .map(|it| format!("`{it}.{key}`"))
            .collect();
        names.join(" and ")
    }
}

/// The requirement of a tier, and all that is stricter than it, each with its tier and its place.
fn requirements(policy: &mut Policy) -> Vec<(TierName, String, &mut Requirement)> {
    let mut all = Vec::new();
    for (name, tier) in &mut policy.tiers {
        all.push((name.clone(), format!("tier.{name}"), &mut tier.requirement));
    }
    for (id, client) in &mut policy.clients {
        for (name, requirement) in &mut client.stricter {
            all.push((
                name.clone(),
                format!("client.{id}.stricter.{name}"),
                requirement,
            ));
        }
    }
    for (id, organization) in &mut policy.organizations {
        for (name, requirement) in &mut organization.stricter {
            let place = format!("organization.{id}.stricter.{name}");
            all.push((name.clone(), place, requirement));
        }
    }
    all
}

fn except(policy: &mut Policy, exception: Exception) {
    let others = policy.exceptions.iter();
    let mut all: std::collections::BTreeMap<ExceptionName, Exception> = others
        .map(|(name, one)| (name.clone(), one.clone()))
        .collect();
    // A name that is free: it is never shown.
    let name = (0..).find_map(|number| {
        let name = ExceptionName::new(format!("new-{number}")).ok()?;
        (!all.contains_key(&name)).then_some(name)
    });
    all.extend(name.map(|name| (name, exception)));
    policy.exceptions = Exceptions::new(all);
}

/// All that could be written otherwise and has to do with what is missing.
fn moves(policy: &Policy, facts: &Facts, now: Timestamp) -> Vec<Move> {
    let short = standing::all(policy, facts, now);
    let tiers: BTreeSet<TierName> = short
        .iter()
        .filter(|one| !one.is_met())
        .filter_map(|one| one.tier.clone())
        .collect();
    let reasons: BTreeSet<Reason> = short.iter().flat_map(|one| one.reasons.clone()).collect();
    let assurance = policy.assess(&facts.login);
    let mut moves = exceptions(facts, &tiers, now);
    moves.extend(map_tenant(policy, facts));
    moves.extend(proofs(policy, facts));
    moves.extend(of_tiers(policy, facts, now, &tiers, &assurance));
    if reasons == BTreeSet::from([Reason::NotInPolicy]) {
        moves.clear();
    }
    moves
}

fn exceptions(facts: &Facts, tiers: &BTreeSet<TierName>, now: Timestamp) -> Vec<Move> {
    let account = Subject::Account(facts.account.id.clone());
    let organization = facts.organization.clone().map(Subject::Organization);
    let until = day_of(now);
    let exception = |subject| {
        Move::Except(Exception {
            subject,
            reason: String::new(),
            approved_by: String::new(),
            until,
            waives: tiers.clone(),
        })
    };
    [account]
        .into_iter()
        .chain(organization)
        .map(exception)
        .collect()
}

fn map_tenant(policy: &Policy, facts: &Facts) -> Option<Move> {
    let organization = facts.organization.as_ref()?;
    let tenant = facts.login.tenant.as_ref()?;
    let is_guest = facts.login.membership == Claim::Value(Membership::Guest);
    let is_mapped = policy
        .organization(organization)
        .is_some_and(|rule| rule.tenants.contains(tenant));
    (!is_mapped && !is_guest && !tenant.is_consumers()).then(|| Move::MapTenant {
        organization: organization.clone(),
        tenant: tenant.clone(),
    })
}

/// What was sent and does not count, unless it never may. Whoever proves by `acr` alone is likely to
/// send no `amr`, and the other way round.
fn proofs(policy: &Policy, facts: &Facts) -> Vec<Move> {
    let login = &facts.login;
    let rule = policy.proof(&login.provider);
    let provider = || login.provider.clone();
    let reads_neither = rule.acr.is_empty() && rule.amr.is_empty();
    let acr = login
        .claims
        .acr
        .value()
        .filter(|value| can_prove_acr(value));
    let acr = acr.filter(|_| reads_neither || !rule.acr.is_empty());
    let acr = acr.map(|value| Move::CountAcr {
        provider: provider(),
        value: value.clone(),
    });
    let amr = login.claims.amr.value().into_iter().flatten();
    let amr = amr.filter(|value| can_prove_amr(value) && (reads_neither || !rule.amr.is_empty()));
    let amr = amr.take(2).map(|value| Move::CountAmr {
        provider: provider(),
        value: value.clone(),
    });
    let tenant = login
        .tenant
        .as_ref()
        .filter(|tenant| !tenant.is_consumers());
    let contexts = login.claims.acrs.value().into_iter().flatten().take(2);
    let contexts = contexts.filter_map(|context| {
        Some(Move::NameContext {
            provider: provider(),
            tenant: tenant?.clone(),
            context: context.clone(),
        })
    });
    acr.into_iter().chain(amr).chain(contexts).collect()
}

/// What the tiers that are not met could ask for less of.
fn of_tiers(
    policy: &Policy,
    facts: &Facts,
    now: Timestamp,
    tiers: &BTreeSet<TierName>,
    assurance: &Assurance,
) -> Vec<Move> {
    let login = &facts.login;
    let auth_time = login.claims.auth_time.value();
    let places = Places::default;
    let fresh_at = facts.fresh_at(now);
    let bases = assurance.attestations().iter().map(|one| Move::Accept {
        basis: one.basis,
        places: places(),
    });
    let ages = [
        Move::EvidenceAge {
            age: fresh_at.duration_since(login.verified_at),
            places: places(),
        },
        Move::AuthAge {
            age: auth_time.map(|time| fresh_at.duration_since(*time)),
            places: places(),
        },
        Move::WhenMade { places: places() },
        Move::AnyEmail { places: places() },
    ];
    let levels = BTreeSet::from([Level::None, assurance.level().max(Level::None)]);
    let levels = levels.into_iter().map(|level| Move::Need {
        level,
        places: places(),
    });
    bases
        .chain(ages)
        .chain(levels)
        .filter_map(|one| one.placed(policy, tiers))
        .collect()
}
