//! What is legal and likely wrong, once everything has been read.

use std::collections::BTreeMap;

use countersign_core::document::{Problem, Problems, did_you_mean};

use super::file::{Reader, Written};

pub(super) fn all(written: &Written, of_policy: &Problems, reader: &Reader<'_>) -> Problems {
    let mut warnings = reader.warnings.clone();
    warnings.extend(of_policy.iter().cloned());
    warnings.extend(idle_resources(reader));
    warnings.extend(same_titles(written, reader));
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
