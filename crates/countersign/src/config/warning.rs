//! What is legal and likely wrong, once everything has been read.

use std::collections::BTreeMap;

use countersign_core::document::{Place, Problem, Problems, did_you_mean};
use countersign_core::{Policy, ProviderKind, Scope};

use super::ReadPolicy;
use super::file::{Reader, Written};

pub(super) fn all(written: &Written, read: &ReadPolicy, reader: &Reader<'_>) -> Problems {
    let mut warnings = reader.warnings.clone();
    warnings.extend(read.warnings.iter().cloned());
    warnings.extend(odd_rechecks(written, &read.policy.policy, reader));
    warnings.extend(idle_resources(reader));
    warnings.extend(same_titles(written, reader));
    warnings.extend(unheld_scopes(&read.policy.policy, reader));
    warnings.into_iter().collect()
}

fn idle_resources<'a>(reader: &'a Reader<'_>) -> impl Iterator<Item = Problem> + 'a {
    let named = &reader.named_resources;
    let idle = reader
        .resources
        .iter()
        .filter(|(audience, _)| !named.contains(*audience));
    idle.map(|(audience, place)| {
        let hint = did_you_mean(audience, named.iter().map(String::as_str));
        place.problem(format!(
            "`resource.\"{audience}\"`: no client names it{hint}"
        ))
    })
}

/// Providers that are asked again for nothing, or with nothing to show.
fn odd_rechecks(written: &Written, policy: &Policy, reader: &Reader<'_>) -> Vec<Problem> {
    let lifetimes = policy.lifetimes();
    let mut problems = Vec::new();
    for (name, (interval, place)) in &reader.rechecks {
        let kind = reader.providers.get(name).map(|(kind, _)| *kind);
        let mut warn = |message: &str| {
            let kind = kind.map_or("", ProviderKind::as_str);
            let message = format!("`provider.{kind}.{name}.recheck`: {message}");
            problems.push(place.problem(message));
        };
        if !written.has_refreshing_clients() {
            warn("no client has `refresh_token` among its `grant_types`, so nobody is asked again");
        }
        if *interval >= lifetimes.session {
            warn("sessions end before (`lifetimes.session.absolute`), so nobody is asked again");
        }
        if *interval < lifetimes.token {
            warn("tokens live longer (`lifetimes.token`), so it is asked at every refresh");
        }
        // https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference lists no `acr`.
        if kind == Some(ProviderKind::Entra) && !policy.proof(name).acr.is_empty() {
            warn(
                "Microsoft is known to send `acr` only when the person signs in: who shows a second factor by it \
                 loses the session when Entra is asked again; prove it by a tenant's `acrs`",
            );
        }
    }
    problems
}

/// What a registry asks the policy for and no tier has: nobody is ever let do it.
fn unheld_scopes<'a>(
    policy: &'a Policy,
    reader: &'a Reader<'_>,
) -> impl Iterator<Item = Problem> + 'a {
    let unheld = |(scope, _, _): &&(Scope, String, Place)| policy.tier_of(scope).is_none();
    let named = reader.registry_scopes.iter().filter(unheld);
    named.map(|(scope, action, place)| {
        let hint = did_you_mean(scope.as_str(), policy.scopes().map(Scope::as_str));
        place.problem(format!(
            "`{action}` needs the scope `{scope}`, which no tier of the policy has{hint}: nobody is let do it"
        ))
    })
}

/// People choose by the title.
fn same_titles(written: &Written, reader: &Reader<'_>) -> Vec<Problem> {
    let mut first = BTreeMap::new();
    let mut problems = Vec::new();
    for provider in &written.providers {
        let Some((kind, place)) = reader.providers.get(provider.name()) else {
            continue;
        };
        let (kind, name) = (kind.as_str(), provider.name());
        match first.insert(provider.title(), name) {
            None => {}
            Some(other) => problems.push(place.problem(format!(
                "`provider.{kind}.{name}`: people can't tell it from `{other}`, which has the same title; give it a `title`"
            ))),
        }
    }
    problems
}
