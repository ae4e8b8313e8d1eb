//! What tiers need: of everybody, of a client's users, of an organisation's people.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::{BASES, NEEDS, Reader, Whose, not_empty, with};
use crate::document::{Key, Table, Value};
use crate::policy::{Requirement, Tier, TierName};
use crate::{Basis, Level, Scope};

impl<'t> Reader<'_, 't> {
    pub(super) fn tier(&mut self, key: &Key<'t>, value: &Value<'t>) -> Option<(TierName, Tier)> {
        // Known even if the rest of it is wrong: a client that names it is right to.
        self.tier_names.insert(key.text().to_owned());
        self.tier_keys.insert(key.text().to_owned(), key.clone());
        let name = key.parsed(tier_name);
        let tier = value.table(|table| {
            let scopes = table.required("scopes", |value| self.tier_scopes(key.text(), value));
            let requirement = self.requirement(table);
            Some(Tier {
                scopes: scopes?,
                requirement: requirement?,
            })
        });
        Some((name?, tier?))
    }

    fn tier_scopes(&mut self, tier: &str, value: &Value<'t>) -> Option<BTreeSet<Scope>> {
        let scopes = value.list(|item| {
            let scope = item.parsed(Scope::new)?;
            if scope.as_str() == "openid" {
                // OpenID Connect Core 3.1.2.1: every request has it, so it can't tell actions apart.
                item.report("`openid` belongs to the protocol, not to a tier; leave it out");
                return None;
            }
            if let Some((other, place)) = self.scopes.get(&scope) {
                item.report(format_args!(
                    "`{scope}` is in `tier.{other}` too, at {place}; a scope is in one tier, once"
                ));
                return None;
            }
            let place = (tier.to_owned(), item.place());
            self.scopes.insert(scope.clone(), place);
            Some(scope)
        });
        Some(scopes?.into_iter().collect())
    }

    fn requirement(&mut self, table: &mut Table<'t>) -> Option<Requirement> {
        let needs = table.required("needs", |value| with(value, value.one_of(&NEEDS)));
        let written = Written::read(table);
        let (level, place) = needs?;
        let written = written?;
        let at_use = written.fresh_at_use.clone();
        let requirement = with_an_age(at_use, written.requirement(table, level)?)?;
        self.requirements.push((requirement.clone(), place));
        Some(requirement)
    }

    /// What is stricter than the tiers are for everybody: `stricter.TIER`.
    pub(super) fn stricter(
        &mut self,
        table: &mut Table<'t>,
        whose: &Whose,
    ) -> Option<BTreeMap<TierName, Requirement>> {
        table.optional_or("stricter", BTreeMap::new(), |value| {
            value.entries(|key, value| self.stricter_tier(key, value, whose))
        })
    }

    fn stricter_tier(
        &mut self,
        key: &Key<'t>,
        value: &Value<'t>,
        whose: &Whose,
    ) -> Option<(TierName, Requirement)> {
        let name = self.known_tier_key(key);
        let everybody = self.tiers.get(key.text()).map(|tier| &tier.requirement);
        let requirement = value.table(|table| {
            let needs = table.optional("needs", |value| with(value, value.one_of(&NEEDS)));
            let written = Written::read(table);
            let (needs, written) = (needs?, written?);
            if table.is_empty() && table.is_sound() {
                table.report("is empty; leave it out, or say what is stricter");
            }
            let at_use = written.fresh_at_use.clone();
            with_an_age(at_use, written.stricter_than(everybody?, needs, table)?)
        });
        let requirement = requirement?;
        self.stricter_requirements
            .push((requirement.clone(), value.clone()));
        let name = name?;
        self.stricter_places
            .insert((whose.clone(), name.clone()), value.clone());
        Some((name, requirement))
    }
}

/// What a tier says besides `needs`, each with its place.
struct Written<'t> {
    accepts: Option<(BTreeSet<Basis>, Value<'t>)>,
    max_age: Option<(SignedDuration, Value<'t>)>,
    max_evidence_age: Option<(SignedDuration, Value<'t>)>,
    verified_email: Option<(bool, Value<'t>)>,
    fresh_at_use: Option<(bool, Value<'t>)>,
}

impl<'t> Written<'t> {
    fn read(table: &mut Table<'t>) -> Option<Self> {
        let accepts = table.optional("accepts", |value| {
            with(value, value.set(|item| item.one_of(&BASES)))
        });
        let max_age = table.optional("max_age", |value| with(value, value.duration()));
        let max_evidence_age =
            table.optional("max_evidence_age", |value| with(value, value.duration()));
        let verified_email = table.optional("verified_email", |value| with(value, value.boolean()));
        let fresh_at_use = table.optional("fresh_at_use", |value| with(value, value.boolean()));
        Some(Self {
            accepts: accepts?,
            max_age: max_age?,
            max_evidence_age: max_evidence_age?,
            verified_email: verified_email?,
            fresh_at_use: fresh_at_use?,
        })
    }

    fn requirement(self, table: &Table<'_>, level: Level) -> Option<Requirement> {
        match level {
            Level::None => self.needs_nothing(),
            Level::Unknown | Level::Mfa | Level::PhishingResistant => {
                self.needs_proof(table, level)
            }
        }
    }

    /// Where nothing is needed, what a proof must be like has no meaning: its author meant something else.
    fn needs_nothing(self) -> Option<Requirement> {
        let bases = self.accepts.iter().map(|(_, value)| value);
        let ages = self.max_age.iter().chain(&self.max_evidence_age);
        let fresh_at_use = self.fresh_at_use.iter().map(|(_, value)| value);
        let mut is_bare = true;
        for value in bases
            .chain(ages.map(|(_, value)| value))
            .chain(fresh_at_use)
        {
            is_bare = false;
            value.report("has no meaning where `needs` is `none`; leave it out");
        }
        is_bare.then_some(Requirement {
            verified_email: self.wants_email(),
            ..Requirement::nothing()
        })
    }

    fn needs_proof(self, table: &Table<'_>, level: Level) -> Option<Requirement> {
        let verified_email = self.wants_email();
        let fresh_at_use = self.is_fresh_at_use();
        let Some((accepts, place)) = self.accepts else {
            table.report_missing(
                "accepts",
                "; where `needs` is not `none` it says which of `session`, `enrolment`, `tenant` count",
            );
            return None;
        };
        Some(Requirement {
            level,
            accepts: not_empty(&place, accepts)?,
            max_age: self.max_age.map(|(age, _)| age),
            max_evidence_age: self.max_evidence_age.map(|(age, _)| age),
            verified_email,
            fresh_at_use,
        })
    }

    /// What holds for some, where `everybody` is what holds for all: never less than that.
    fn stricter_than(
        self,
        everybody: &Requirement,
        needs: Option<(Level, Value<'t>)>,
        table: &Table<'_>,
    ) -> Option<Requirement> {
        let weaker = self.weaker_than(everybody, needs.as_ref());
        for value in &weaker {
            value.report(
                "is weaker than what the tier needs of everybody; it can only be stricter here \
                 (an `[exception.NAME]` waives)",
            );
        }
        if !weaker.is_empty() {
            return None;
        }
        let level = needs.map_or(everybody.level, |(level, _)| level);
        if self.accepts.is_none() && level != Level::None && everybody.level != Level::None {
            let same_bases = Requirement {
                level,
                max_age: self.max_age.map(|(age, _)| age),
                max_evidence_age: self.max_evidence_age.map(|(age, _)| age),
                verified_email: self.verified_email.is_some_and(|(wanted, _)| wanted),
                fresh_at_use: self.fresh_at_use.is_some_and(|(wanted, _)| wanted),
                ..everybody.clone()
            };
            return Some(everybody.and(&same_bases));
        }
        let written = self.requirement(table, level)?;
        Some(everybody.and(&written))
    }

    /// The values that ask for less than what holds for everybody.
    fn weaker_than(
        &self,
        everybody: &Requirement,
        needs: Option<&(Level, Value<'t>)>,
    ) -> Vec<Value<'t>> {
        let level = needs.filter(|(level, _)| *level < everybody.level);
        let bases = self.accepts.as_ref().filter(|(bases, _)| {
            everybody.level != Level::None && !bases.is_subset(&everybody.accepts)
        });
        let is_longer = |age: &SignedDuration, limit: Option<SignedDuration>| {
            limit.is_some_and(|limit| *age > limit)
        };
        let max_age = self
            .max_age
            .as_ref()
            .filter(|(age, _)| is_longer(age, everybody.max_age));
        let max_evidence_age = self
            .max_evidence_age
            .as_ref()
            .filter(|(age, _)| is_longer(age, everybody.max_evidence_age));
        let email = self
            .verified_email
            .as_ref()
            .filter(|(wanted, _)| !wanted && everybody.verified_email);
        let at_use = self
            .fresh_at_use
            .as_ref()
            .filter(|(wanted, _)| !wanted && everybody.fresh_at_use);
        level
            .map(|(_, value)| value)
            .into_iter()
            .chain(bases.map(|(_, value)| value))
            .chain(max_age.map(|(_, value)| value))
            .chain(max_evidence_age.map(|(_, value)| value))
            .chain(email.map(|(_, value)| value))
            .chain(at_use.map(|(_, value)| value))
            .cloned()
            .collect()
    }

    fn is_fresh_at_use(&self) -> bool {
        self.fresh_at_use
            .as_ref()
            .is_some_and(|(wanted, _)| *wanted)
    }

    fn wants_email(&self) -> bool {
        self.verified_email
            .as_ref()
            .is_some_and(|(wanted, _)| *wanted)
    }
}

/// Where no age is asked for, when it is asked for has no meaning: its author meant something else.
fn with_an_age(at_use: Option<(bool, Value<'_>)>, requirement: Requirement) -> Option<Requirement> {
    let has_age = requirement.max_age.is_some() || requirement.max_evidence_age.is_some();
    match at_use {
        Some((true, value)) if !has_age => {
            value.report("has no meaning without `max_age` or `max_evidence_age`");
            None
        }
        Some(_) | None => Some(requirement),
    }
}

fn tier_name(text: &str) -> Result<TierName, String> {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=64).contains(&text.len()) && text.bytes().all(is_letter) {
        Ok(text.to_owned())
    } else {
        Err("expected a name of 1 to 64 lower-case letters, digits and `-`".to_owned())
    }
}
