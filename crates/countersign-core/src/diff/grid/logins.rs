//! What logins at a provider can show: one of each kind that the two policies tell apart.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::diff::Pair;
use crate::{Assurance, Claim, Claims, Login, Policy, ProofRule, ProviderId, TenantId};

/// A value that no policy names.
const UNNAMED: &str = "urn:countersign:named-by-no-policy";

/// How many tenants whose contexts differ are tried.
const MOST_TENANTS: usize = 20;

/// One login of each kind that the two tell apart.
pub(super) fn of(pair: &Pair, provider: &ProviderId, tenant: Option<&TenantId>) -> Vec<Login> {
    let rules = pair.both().map(|one| one.proof(provider));
    // GitHub has no tenants.
    if tell_enrolment(rules) && tenant.is_some() {
        return Vec::new();
    }
    let mut kinds: BTreeMap<String, Login> = BTreeMap::new();
    for claims in all_claims(pair, rules, tenant) {
        let login = Login {
            tenant: tenant.cloned(),
            claims,
            email_verified: true,
            ..Login::new(provider.clone(), Timestamp::UNIX_EPOCH)
        };
        kinds.entry(kind(pair, &login)).or_insert(login);
    }
    kinds.into_values().collect()
}

/// The tenants whose contexts mean something, the first of each kind that the files tell apart.
pub(super) fn tenants(pair: &Pair) -> Vec<TenantId> {
    let mut kinds: BTreeMap<String, TenantId> = BTreeMap::new();
    for policy in pair.both() {
        for (provider, rule) in &policy.proofs {
            for tenant in rule.tenants.keys() {
                let meanings = pair
                    .both()
                    .map(|one| one.proof(provider).tenants.get(tenant));
                let kind = format!("{provider} {meanings:?}");
                kinds.entry(kind).or_insert_with(|| tenant.clone());
            }
        }
    }
    kinds.into_values().take(MOST_TENANTS).collect()
}

/// Expressions that differ: what claims they want can't be made up.
pub(super) fn not_tried(pair: &Pair) -> Vec<String> {
    let both = pair.both();
    let providers: BTreeSet<&ProviderId> = both.iter().flat_map(|one| one.providers()).collect();
    providers
        .into_iter()
        .filter(|provider| {
            let [old, new] = both.map(|one| &one.proof(provider).when);
            old != new
        })
        .map(|provider| format!("logins that `when` of `proof.{provider}` is for"))
        .collect()
}

/// What both see in it, which is all that decides.
fn kind(pair: &Pair, login: &Login) -> String {
    let seen = |policy: &Policy| -> Assurance { policy.assess(login) };
    let [old, new] = pair.both().map(seen);
    format!("{:?}", [old, new].map(|one| signature(&one)))
}

fn signature(
    assurance: &Assurance,
) -> (Vec<(crate::Acr, crate::Level)>, crate::Level, crate::Reason) {
    let attested = assurance.attestations().iter();
    let attested = attested.map(|one| (one.acr(), one.level)).collect();
    (attested, assurance.level(), assurance.shortfall())
}

fn tell_enrolment(rules: [&ProofRule; 2]) -> bool {
    rules.iter().any(|rule| rule.two_factor_authentication)
}

/// Every value that either file names, each with each, and one that neither does.
fn all_claims(pair: &Pair, rules: [&ProofRule; 2], tenant: Option<&TenantId>) -> Vec<Claims> {
    let flags: &[Claim<bool>] = if tell_enrolment(rules) {
        &[Claim::Value(true), Claim::Value(false), Claim::Absent]
    } else {
        &[Claim::Absent]
    };
    let amr = some_of(named_amr(pair, rules)).map(|amr| amr.map(|one| vec![one]));
    let amr: Vec<Option<Vec<String>>> = amr.collect();
    let mut all = Vec::new();
    for acr in some_of(named_acr(pair, rules)) {
        for amr in &amr {
            for acrs in contexts(rules, tenant) {
                for flag in flags {
                    all.push(Claims {
                        acr: claim(acr.clone()),
                        amr: claim(amr.clone()),
                        acrs: claim(acrs.clone()),
                        two_factor_authentication: flag.clone(),
                        ..Claims::default()
                    });
                }
            }
        }
    }
    all
}

fn named_acr(pair: &Pair, rules: [&ProofRule; 2]) -> BTreeSet<String> {
    let of_rules = rules
        .iter()
        .flat_map(|rule| rule.acr.iter().chain(&rule.resistant_acr));
    let both = pair.both();
    let everywhere = both
        .iter()
        .flat_map(|one| &one.methods.phishing_resistant_acr);
    of_rules.chain(everywhere).cloned().collect()
}

fn named_amr(pair: &Pair, rules: [&ProofRule; 2]) -> BTreeSet<String> {
    let of_rules = rules.iter().flat_map(|rule| {
        let own = rule.amr.iter().chain(&rule.resistant_amr);
        own.chain(rule.amr_meanings.keys())
    });
    let both = pair.both();
    let never = both.iter().flat_map(|one| &one.methods.never);
    of_rules.chain(never).cloned().collect()
}

/// The contexts that either file names for this tenant, one by one, and none.
fn contexts(rules: [&ProofRule; 2], tenant: Option<&TenantId>) -> Vec<Option<Vec<String>>> {
    let Some(tenant) = tenant else {
        return vec![None];
    };
    let named = rules.iter().filter_map(|rule| rule.tenants.get(tenant));
    let named: BTreeSet<&String> = named.flat_map(BTreeMap::keys).collect();
    let each = named.into_iter().map(|one| Some(vec![one.clone()]));
    each.chain([None]).collect()
}

/// Each of these, one that is none of them, and nothing. A claim that nobody reads says nothing.
fn some_of(named: BTreeSet<String>) -> impl Iterator<Item = Option<String>> {
    let unnamed = (!named.is_empty()).then(|| UNNAMED.to_owned());
    named.into_iter().chain(unnamed).map(Some).chain([None])
}

fn claim<T>(value: Option<T>) -> Claim<T> {
    value.map_or(Claim::Absent, Claim::Value)
}
