//! Two policies told apart in decisions, not in lines.
//!
//! Both decide the same cases: those of a decision log ([`Comparison::add`]), or made-up ones that
//! between them have everything that either policy asks about ([`Grid`]). Where they differ, cases
//! that differ in the same way are told together, and a condition that makes no difference is not
//! told: “`packages:publish` at okta with mfa by session, evidence more than 12h old: permit →
//! left out (evidence-too-old) by tier.publish”.
//!
//! It is a difference whether somebody is let in or gets a scope, on their own, by an exception or
//! with a reminder, and of which day. Why somebody is refused who was refused before is none.

mod collapse;
mod conditions;
mod grid;
mod side;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::sync::Arc;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

pub use conditions::{Condition, What};
pub use grid::Grid;
pub use side::{Given, Side};

use crate::calendar::day_of;
use crate::{Exception, ExceptionName, Facts, Policy, Reason, Scope, Subject, Verdict, decide};
use collapse::{Shape, Tuple};
use conditions::Place;

/// An older and a newer policy.
#[derive(Debug, Clone)]
pub struct Pair {
    old: Arc<Policy>,
    new: Arc<Policy>,
    /// Whom other exceptions are for in the one than in the other, and who is an operator in one of them.
    excepted: BTreeSet<Subject>,
}

impl Pair {
    /// The one that holds, and the one that is to hold.
    pub fn new(old: Arc<Policy>, new: Arc<Policy>) -> Self {
        let excepted = differing_subjects(&old, &new);
        Self { old, new, excepted }
    }

    /// The parts of the files that differ and decide no sign-in.
    pub fn beside(&self) -> Vec<&'static str> {
        let lifetimes = (self.old.lifetimes != self.new.lifetimes).then_some("lifetimes");
        let api_keys = (self.old.api_keys != self.new.api_keys).then_some("api_keys");
        lifetimes.into_iter().chain(api_keys).collect()
    }

    fn both(&self) -> [&Policy; 2] {
        [&self.old, &self.new]
    }
}

fn differing_subjects(old: &Policy, new: &Policy) -> BTreeSet<Subject> {
    let (before, after) = (by_name(old), by_name(new));
    let names: BTreeSet<_> = before.keys().chain(after.keys()).copied().collect();
    let differing = names
        .into_iter()
        .filter(|name| before.get(name) != after.get(name))
        .flat_map(|name| [before.get(name), after.get(name)])
        .flatten();
    let operators = old.operators.symmetric_difference(&new.operators);
    let operators = operators.cloned().map(Subject::Account);
    differing
        .map(|one| one.subject.clone())
        .chain(operators)
        .collect()
}

fn by_name(policy: &Policy) -> BTreeMap<&ExceptionName, &Exception> {
    policy.exceptions().iter().collect()
}

/// Cases that two policies have decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    names: Names,
    cases: BTreeMap<Tuple, BTreeMap<Option<Turn>, Seen>>,
    days: Option<(Date, Date)>,
    decisions: u64,
    differing: u64,
}

/// How a case comes out by the one and by the other, whatever the reasons.
type Turn = (Side, Side);

/// In how many decisions it did, when, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    decisions: u64,
    days: (Date, Date),
    /// Whether it may be otherwise on another day.
    day_matters: bool,
    reasons: [BTreeSet<Reason>; 2],
}

impl Seen {
    fn add(&mut self, more: Self) {
        self.decisions += more.decisions;
        self.days = wider(self.days, more.days);
        self.day_matters &= more.day_matters;
        for (reasons, more) in self.reasons.iter_mut().zip(more.reasons) {
            reasons.extend(more);
        }
    }
}

impl Comparison {
    /// Lets both decide.
    pub fn add(&mut self, pair: &Pair, facts: &Facts, now: Timestamp) {
        self.add_some(pair, facts, now, |_| true);
    }

    /// Lets both decide, and counts what becomes of some of what is asked: of a scope, or of signing in.
    fn add_some(
        &mut self,
        pair: &Pair,
        facts: &Facts,
        now: Timestamp,
        counts: impl Fn(Option<&Scope>) -> bool,
    ) {
        let [old, new] = pair
            .both()
            .map(|one| Verdict::from(&decide(one, facts, now)));
        let place = Place::of(pair, facts, now);
        let day = day_of(now);
        let mut differs = false;
        let all = side::compared(facts, &old, &new);
        for (asked, mut from, mut to) in all.filter(|(asked, _, _)| counts(*asked)) {
            let reasons = [&mut from, &mut to].map(Side::take_reasons);
            let day_matters = place.calendars_disagree || from.rests_on_exception(&to);
            let turn = from.differs_from(&to).then_some((from, to));
            differs |= turn.is_some();
            let tuple = self.names.tuple(place.tuple(asked));
            let seen = Seen {
                decisions: 1,
                days: (day, day),
                day_matters,
                reasons,
            };
            self.see(tuple, turn, seen);
        }
        self.days = Some(self.days.map_or((day, day), |days| wider(days, (day, day))));
        self.decisions += 1;
        self.differing += u64::from(differs);
    }

    fn see(&mut self, tuple: Tuple, turn: Option<Turn>, more: Seen) {
        let turns = self.cases.entry(tuple).or_default();
        match turns.get_mut(&turn) {
            Some(seen) => seen.add(more),
            None => drop(turns.insert(turn, more)),
        }
    }

    /// Adds what was compared elsewhere, between the same two.
    pub fn merge(&mut self, other: Self) {
        for (tuple, turns) in other.cases {
            let tuple = self.names.tuple(other.names.texts(&tuple));
            for (turn, seen) in turns {
                self.see(tuple, turn, seen);
            }
        }
        let days = self.days.into_iter().chain(other.days);
        self.days = days.reduce(wider);
        self.decisions += other.decisions;
        self.differing += other.differing;
    }

    /// How many decisions were compared.
    pub fn decisions(&self) -> u64 {
        self.decisions
    }

    /// How many of them differ.
    pub fn differing(&self) -> u64 {
        self.differing
    }

    /// How the two differ: what is taken away first, then what most decisions have.
    pub fn differences(&self) -> Vec<Difference> {
        let all: Vec<Tuple> = self.cases.keys().copied().collect();
        let mut differences = Vec::new();
        for (turn, tuples) in self.by_turn() {
            for shape in collapse::shapes(&tuples, &all) {
                differences.extend(self.difference(turn, &shape));
            }
        }
        differences.sort_by_cached_key(|one| {
            let least = Reverse((one.to.given, one.decisions));
            (one.from.given, least, one.to_string())
        });
        differences
    }

    fn by_turn(&self) -> BTreeMap<&Turn, Vec<Tuple>> {
        let mut by_turn: BTreeMap<&Turn, Vec<Tuple>> = BTreeMap::new();
        for (tuple, turns) in &self.cases {
            for turn in turns.keys().flatten() {
                by_turn.entry(turn).or_default().push(*tuple);
            }
        }
        by_turn
    }

    /// All that was seen of one difference; nothing where nothing was.
    fn difference(&self, turn: &Turn, shape: &Shape) -> Option<Difference> {
        let key = Some(turn.clone());
        let inside = self.cases.iter().filter(|(tuple, _)| shape.holds(tuple));
        let seen = inside.filter_map(|(tuple, turns)| Some((tuple, turns.get(&key)?)));
        // A decision on several scopes is one decision.
        let mut decisions: BTreeMap<&[u32], u64> = BTreeMap::new();
        let seen = seen.map(|(tuple, seen)| {
            let count = decisions.entry(&tuple[1..]).or_default();
            *count = seen.decisions.max(*count);
            seen.clone()
        });
        let seen = seen.reduce(|mut all, more| {
            all.add(more);
            all
        })?;
        let [from, to] = seen.reasons;
        Some(Difference {
            conditions: self.names.conditions(shape),
            days: self.limits(seen.days).filter(|_| seen.day_matters),
            from: turn.0.because_of(from),
            to: turn.1.because_of(to),
            decisions: decisions.into_values().sum(),
        })
    }

    /// Days that lie within those that were looked at; nothing where they are all of them.
    fn limits(&self, (first, last): (Date, Date)) -> Option<Days> {
        let (earliest, latest) = self.days?;
        let days = Days {
            from: Some(first).filter(|first| *first > earliest),
            until: Some(last).filter(|last| *last < latest),
        };
        (days.from.is_some() || days.until.is_some()).then_some(days)
    }
}

fn wider(one: (Date, Date), two: (Date, Date)) -> (Date, Date) {
    (one.0.min(two.0), one.1.max(two.1))
}

/// One way in which two policies differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where they do: all of these hold. What makes no difference is not among them.
    pub conditions: Vec<Condition>,
    /// The UTC days on which they do, where a file's days matter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<Days>,
    /// What the older one decides.
    pub from: Side,
    /// What the newer one decides.
    pub to: Side,
    /// How many of the decisions that were compared differ so.
    pub decisions: u64,
}

/// Some UTC days, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Days {
    /// The first; nothing where earlier ones are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Date>,
    /// The last; nothing where later ones are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Date>,
}

impl Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        conditions::write_sentence(f, &self.conditions)?;
        match self.days.map(|days| (days.from, days.until)) {
            Some((Some(from), Some(until))) => write!(f, ", from {from} to {until}")?,
            Some((Some(from), None)) => write!(f, ", from {from} on")?,
            Some((None, Some(until))) => write!(f, ", until {until}")?,
            Some((None, None)) | None => {}
        }
        write!(f, ": {} → {}", self.from, self.to)
    }
}

/// Texts by number, so that a case is a handful of numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Names {
    texts: Vec<String>,
    numbers: BTreeMap<String, u32>,
}

impl Names {
    fn tuple(&mut self, texts: [&str; What::ALL.len()]) -> Tuple {
        texts.map(|text| self.number(text))
    }

    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        // More texts than fit would share the last number: there are not as many in any file or log.
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    fn texts(&self, tuple: &Tuple) -> [&str; What::ALL.len()] {
        tuple.map(|number| self.text(number))
    }

    fn text(&self, number: u32) -> &str {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        self.texts.get(index).map_or("", String::as_str)
    }

    fn conditions(&self, shape: &Shape) -> Vec<Condition> {
        let told = What::ALL.into_iter().zip(shape.told());
        told.filter_map(|(what, numbers)| {
            let mut one_of: Vec<String> = numbers?
                .iter()
                .map(|number| self.text(*number).to_owned())
                .collect();
            one_of.sort_by_key(|text| (text != conditions::SIGNING_IN, text.clone()));
            Some(Condition { what, one_of })
        })
        .collect()
    }
}

/// A length of time in short: `12h`.
fn short(age: SignedDuration) -> String {
    format!("{age:#}").replace(' ', "")
}

#[cfg(test)]
mod tests;
