//! What `policy.toml` says, checked: all mistakes at once, each at its place.
//!
//! A rule that could never be met, or that would count what proves nothing, is a mistake too:
//! it is told here, before it turns people away or waves them through.

mod lint;
mod mapping;
mod operator;
mod proof;
mod schedule;
mod tier;
mod weak;

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

pub(crate) use proof::{can_prove_acr, can_prove_amr};
#[cfg(test)]
pub(crate) use weak::weak_logins;

use super::exception::{Exception, Exceptions};
use super::{
    ClientRule, Lifetimes, MappingRule, Methods, OrganizationRule, Policy, ProviderKind,
    Requirement, Tier, TierName,
};
use crate::document::{self, Key, Place, Problem, Problems, Table, Value, did_you_mean};
use crate::{Basis, ClientId, ExceptionName, Level, OrganizationId, ProviderId, Scope, TenantId};

/// A policy that was read, and what of it is likely wrong.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// What is allowed and likely wrong, each at its place.
    pub warnings: Vec<Problem>,
}

/// What a policy is read for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Installation<'a> {
    /// The providers that are configured; `None`: any may be named.
    pub providers: Option<&'a BTreeMap<ProviderId, ProviderKind>>,
    /// The clients that are configured; `None`: any may be named.
    pub clients: Option<&'a BTreeSet<ClientId>>,
    /// Today, in UTC, for warnings about days that are past; `None`: no such warnings.
    pub today: Option<Date>,
}

impl Policy {
    /// Reads the text of a policy file that is called `file`; any provider and client may be named.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        Self::load(file, text, Installation::default()).map(|loaded| loaded.policy)
    }

    /// Reads a policy for an installation. Mistakes are then also: a provider or a client that it
    /// does not have, a client of its own that the policy does not name, and a proof that
    /// providers of this kind never send.
    pub fn load(
        file: &str,
        text: &str,
        installation: Installation<'_>,
    ) -> Result<Loaded, Problems> {
        let reader = Reader {
            installation,
            ..Reader::default()
        };
        document::read_with_warnings(file, text, |table| reader.policy(table))
            .map(|(policy, warnings)| Loaded { policy, warnings })
    }
}

/// The one version of the file there is.
const VERSION: i64 = 1;

const NEEDS: [(&str, Level); 3] = [
    ("none", Level::None),
    ("mfa", Level::Mfa),
    ("phishing-resistant", Level::PhishingResistant),
];

const BASES: [(&str, Basis); 3] = [
    ("session", Basis::Session),
    ("enrolment", Basis::Enrolment),
    ("tenant", Basis::Tenant),
];

/// Reads the file, and keeps what parts of it say of other parts until all are read.
#[derive(Default)]
struct Reader<'a, 't> {
    installation: Installation<'a>,
    named_clients: BTreeSet<&'t str>,
    amr: Vec<(&'t str, Value<'t>)>,
    never: Option<Value<'t>>,
    scopes: BTreeMap<Scope, (TierName, Place)>,
    tier_names: BTreeSet<TierName>,
    tiers: BTreeMap<TierName, Tier>,
    tier_keys: BTreeMap<TierName, Key<'t>>,
    requirements: Vec<(Requirement, Value<'t>)>,
    stricter_requirements: Vec<(Requirement, Value<'t>)>,
    stricter_places: BTreeMap<(Whose, TierName), Value<'t>>,
}

/// Whose tables can be stricter than the tiers, by the name that the file gives them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Client(String),
    Organization(String),
}

impl<'t> Reader<'_, 't> {
    fn policy(mut self, file: &mut Table<'t>) -> Option<Policy> {
        let version = file.required("version", version);
        let proofs = file.optional_or("proof", BTreeMap::new(), |value| {
            value.entries(|key, value| self.proof(key, value))
        });
        let methods = file.optional_or("methods", Methods::default(), |value| {
            value.table(|table| self.methods(table))
        });
        let calendar = file.optional("calendar", |value| value.table(schedule::calendar));
        let tiers = file.required("tier", |value| {
            at_least_one(value, value.entries(|key, value| self.tier(key, value))?)
        });
        // What follows may only be stricter than the tiers, which it is held against.
        self.tiers = tiers.clone().unwrap_or_default();
        let clients = file.required("client", |value| self.clients(value));
        let organizations = file.optional_or("organization", BTreeMap::new(), |value| {
            value.entries(|key, value| self.organization(key, value))
        });
        let mapping = file.optional_or("mapping", MappingRule::default(), |value| {
            value.table(mapping::mapping)
        });
        let mut operators_at = None;
        let operators = file.optional_or("operators", BTreeSet::new(), |value| {
            operators_at = Some(value.clone());
            value.table(operator::operators)
        });
        let exceptions =
            file.optional_or("exception", BTreeMap::new(), |value| self.exceptions(value));
        let api_keys = file.optional("api_keys", |value| value.table(schedule::api_keys));
        let lifetimes = file.optional_or("lifetimes", Lifetimes::default(), |value| {
            value.table(schedule::lifetimes)
        });
        if file.is_sound() {
            self.check_never(methods.as_ref());
            self.check_operators();
            self.check_requirements(proofs.as_ref(), methods.as_ref(), mapping.as_ref());
        }
        version?;
        let policy = Policy {
            proofs: proofs?,
            methods: methods?,
            calendar: calendar?,
            tiers: tiers?,
            clients: clients?,
            organizations: organizations?,
            mapping: mapping?,
            operators: operators?,
            exceptions: Exceptions::new(exceptions?),
            api_keys: api_keys?,
            lifetimes: lifetimes?,
        };
        self.lint(&policy);
        self.warn_of_idle_operators(&policy, operators_at.as_ref());
        Some(policy)
    }

    fn clients(&mut self, value: &Value<'t>) -> Option<BTreeMap<ClientId, ClientRule>> {
        let clients = value.entries(|key, value| self.client(key, value));
        if value.is_sound() {
            self.check_all_named(value);
        }
        at_least_one(value, clients?)
    }

    fn client(&mut self, key: &Key<'t>, value: &Value<'t>) -> Option<(ClientId, ClientRule)> {
        let name = key.parsed(ClientId::new);
        if let (Some(name), Some(known)) = (&name, self.installation.clients)
            && name.as_str() != ClientId::OWN
        {
            check_configured(key, name, known, "client");
        }
        self.named_clients.insert(key.text());
        let rule = value.table(|table| {
            let tier = table.required("tier", |value| self.known_tier(value));
            let stricter = self.stricter(table, &Whose::Client(key.text().to_owned()));
            let providers = table.optional("providers", |value| {
                let providers = value.set(|item| self.known_provider(item))?;
                not_empty(value, providers)
            });
            let own_scopes = table.optional_or("own_scopes", BTreeSet::new(), |value| {
                value.set(|item| self.own_scope(item))
            });
            Some(ClientRule {
                tier: tier?,
                stricter: stricter?,
                providers: providers?,
                own_scopes: own_scopes?,
            })
        });
        Some((name?, rule?))
    }

    /// A provider whose logins count for a client. It must be configured, where that is known.
    fn known_provider(&self, item: &Value<'t>) -> Option<ProviderId> {
        let name = item.parsed(ProviderId::new)?;
        let Some(configured) = self.installation.providers else {
            return Some(name);
        };
        if configured.contains_key(&name) {
            return Some(name);
        }
        let known: BTreeSet<&str> = configured.keys().map(ProviderId::as_str).collect();
        let hint = did_you_mean(name.as_str(), known.iter().copied());
        let known = quoted(&known);
        item.report(format_args!(
            "no provider of this name is configured{hint} (configured: {known})"
        ));
        None
    }

    /// A scope that a client may have without any person. It must be one that a tier lists.
    fn own_scope(&self, item: &Value<'t>) -> Option<Scope> {
        let scope = item.parsed(Scope::new)?;
        let holds = |(_, tier): &(&TierName, &Tier)| tier.scopes.contains(&scope);
        let Some((name, tier)) = self.tiers.iter().find(holds) else {
            // Where tiers are broken, scopes may be lost with them.
            if item.is_sound() && !self.tiers.is_empty() {
                item.report("no tier lists this scope");
                return None;
            }
            return Some(scope);
        };
        if tier.requirement.level > Level::None {
            item.warn(format_args!(
                "people need a second factor for it (`tier.{name}`), and this client gets it without any person"
            ));
        }
        Some(scope)
    }

    fn organization(
        &mut self,
        key: &Key<'t>,
        value: &Value<'t>,
    ) -> Option<(OrganizationId, OrganizationRule)> {
        let name = key.parsed(OrganizationId::new);
        let rule = value.table(|table| {
            let tenants = table.optional_or("tenants", BTreeSet::new(), |value| {
                not_empty(value, value.set(mapped_tenant)?)
            });
            let stricter = self.stricter(table, &Whose::Organization(key.text().to_owned()));
            Some(OrganizationRule {
                tenants: tenants?,
                stricter: stricter?,
            })
        });
        Some((name?, rule?))
    }

    /// The name of a tier that the file has.
    fn known_tier(&self, value: &Value<'t>) -> Option<TierName> {
        let name = value.string()?;
        match self.unknown_tier(name) {
            Some(problem) if value.is_sound() => value.report(problem),
            Some(_) | None => return Some(name.to_owned()),
        }
        None
    }

    fn known_tier_key(&self, key: &Key<'t>) -> Option<TierName> {
        match self.unknown_tier(key.text()) {
            Some(problem) if key.is_sound() => key.report(problem),
            Some(_) | None => return Some(key.text().to_owned()),
        }
        None
    }

    /// What is wrong with this name of a tier; nothing where none of them could be read.
    fn unknown_tier(&self, name: &str) -> Option<String> {
        if self.tier_names.is_empty() || self.tier_names.contains(name) {
            return None;
        }
        let hint = did_you_mean(name, self.tier_names.iter().map(String::as_str));
        let known = quoted(&self.tier_names);
        Some(format!("no tier of this name{hint} (known here: {known})"))
    }

    /// A client that the policy does not name could sign nobody in.
    fn check_all_named(&self, clients: &Value<'t>) {
        for configured in self.installation.clients.into_iter().flatten() {
            if !self.named_clients.contains(configured.as_str()) {
                clients.report(format_args!(
                    "`{configured}` is configured and not named here; say what signing in to it needs: \
                     `[client.{configured}]` with its `tier`"
                ));
            }
        }
    }
}

/// A tenant that an organisation's people sign in through.
fn mapped_tenant(item: &Value<'_>) -> Option<TenantId> {
    let tenant = item.parsed(TenantId::new)?;
    if tenant.is_consumers() {
        item.report("this is the tenant of all personal accounts, which is no organization's");
        return None;
    }
    Some(tenant)
}

fn version(value: &Value<'_>) -> Option<()> {
    let found = value.integer(0..=i64::MAX)?;
    if found != VERSION {
        value.report(format_args!(
            "expected {VERSION}, the only version there is, found {found}"
        ));
    }
    (found == VERSION).then_some(())
}

fn check_not_in(never: &[(&str, &str)], text: &str, item: &Value<'_>) -> Option<()> {
    match never.iter().find(|(value, _)| *value == text) {
        Some((_, why)) => {
            item.report(format_args!("`{text}` proves no second factor: {why}"));
            None
        }
        None => Some(()),
    }
}

fn check_configured<'a, T: Ord + Borrow<str> + 'a>(
    key: &Key<'_>,
    name: &T,
    known: impl IntoIterator<Item = &'a T>,
    kind: &str,
) {
    let known: BTreeSet<&str> = known.into_iter().map(Borrow::borrow).collect();
    if !known.contains(name.borrow()) {
        let hint = did_you_mean(name.borrow(), known.iter().copied());
        let known = quoted(&known);
        key.report(format_args!(
            "no {kind} of this name is configured{hint} (configured: {known})"
        ));
    }
}

/// A value together with where it stands, for checks across the file.
fn with<'t, T>(value: &Value<'t>, read: Option<T>) -> Option<(T, Value<'t>)> {
    read.map(|read| (read, value.clone()))
}

fn not_empty<T>(value: &Value<'_>, set: BTreeSet<T>) -> Option<BTreeSet<T>> {
    if set.is_empty() {
        value.report("expected at least one value, found an empty list");
    }
    (!set.is_empty()).then_some(set)
}

fn at_least_one<K, V>(value: &Value<'_>, entries: BTreeMap<K, V>) -> Option<BTreeMap<K, V>> {
    if entries.is_empty() {
        value.report("expected at least one entry, found none");
    }
    (!entries.is_empty()).then_some(entries)
}

fn quoted<T: Borrow<str>>(names: &BTreeSet<T>) -> String {
    let names: Vec<String> = names
        .iter()
        .map(|name| format!("`{}`", name.borrow()))
        .collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests;
