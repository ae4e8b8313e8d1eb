//! What another policy would make of recorded decisions: who would be turned away.
//!
//! Evidence is what providers sent when they were asked for what the policy of the time wanted. A
//! candidate that asks for more might be shown more, so a simulation tells the most that can go
//! wrong; [`Doubt`]s say where that matters.
//!
//! **Turned away** is an account whose last login in the log ends, under the candidate, in a
//! refusal. A second try that works makes the first one good, so a refusal somewhere does not
//! count. Where it ends in a step-up the account is **asked for more**: the candidate wants a second
//! visit to the provider that the log does not have, and nobody knows what it would have shown.
//! Logins are told apart by when their evidence was verified; the second leg of a sign-in is
//! a later one than the first and stands for both.
//!
//! Counts of parts of a log can be put together in any order ([`Simulation::merge`]). The memory
//! grows with accounts, days, organisations and rules, never with lines: some 100 bytes for each
//! account, and some 500 more for one that is not let in.

mod as_of;
mod doubt;
mod people;
mod tally;

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

pub use as_of::AsOf;
pub use doubt::Doubt;
pub use people::{NotIn, People};
pub use tally::{Change, Changes, Fate, Fates, Group, Groups, Tally};

use crate::calendar::day_of;
use crate::{
    AccountId, Decision, Facts, Occasion, Outcome, Policy, Record, Remedy, Verdict, decide,
};
use doubt::Doubts;
use people::Accounts;
use tally::Tallies;

/// How many decisions of each kind of change are kept as examples.
const EXAMPLES: usize = 5;

/// A policy that is tried on recorded decisions.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// `sha256:` and the hash of its file, as in the log.
    pub hash: &'a str,
    /// When the logins are to have been.
    pub as_of: AsOf,
}

impl Candidate<'_> {
    /// What it makes of one recorded decision.
    pub fn replay(&self, record: &Record) -> Replayed {
        let record = self.as_of.moved(record);
        let verdict = Verdict::from(&record.replay(self.policy));
        let change = match Change::between(&record.verdict, &verdict) {
            Change::Same => Change::Same,
            _ if !self.is_reached(&record, &verdict) => Change::NotReached,
            change => change,
        };
        Replayed {
            time: record.time,
            verdict,
            change,
        }
    }

    /// Whether a token would be asked for at all: not where the login itself would not do.
    fn is_reached(&self, token: &Record, verdict: &Verdict) -> bool {
        // A key is used without any login.
        matches!(token.occasion, Occasion::SignIn | Occasion::ApiKey)
            || verdict.outcome == Outcome::Permit
            || self.lets_in(&token.facts)
    }

    fn lets_in(&self, facts: &Facts) -> bool {
        let then = facts.login.verified_at;
        let mut at_once = Facts {
            remedy: Remedy::Nothing,
            stated: None,
            ..facts.clone()
        };
        // What the account showed later held nobody to anything then.
        at_once.account.first_mfa_at = facts.account.first_mfa_at.filter(|shown| *shown <= then);
        let decision = decide(self.policy, &at_once, then);
        matches!(decision, Decision::Permit(_))
    }
}

/// One decision, made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// When it is to have been.
    pub time: Timestamp,
    /// What the candidate decides.
    pub verdict: Verdict,
    /// How that differs from what was decided.
    pub change: Change,
}

impl Replayed {
    /// The UTC day of it.
    pub fn day(&self) -> Date {
        day_of(self.time)
    }
}

/// Recorded decisions and what a candidate makes of them, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Simulation {
    recorded: Option<Span>,
    replayed: Option<Span>,
    policies: BTreeMap<String, u64>,
    all: Tally,
    by: Tallies,
    accounts: Accounts,
    examples: BTreeMap<Change, Vec<Example>>,
    doubts: Doubts,
}

impl Simulation {
    /// Replays one record, and counts it.
    pub fn add(&mut self, candidate: &Candidate<'_>, record: &Record) {
        let replayed = candidate.replay(record);
        widen(&mut self.recorded, Some(Span::of(record.time)));
        widen(&mut self.replayed, Some(Span::of(replayed.time)));
        count(&mut self.policies, &record.policy, 1);
        self.all.add(record, &replayed);
        self.by.add(record, &replayed);
        self.accounts.add(record, &replayed);
        self.doubts.add(candidate, record, &replayed);
        if replayed.change != Change::Same {
            let examples = self.examples.entry(replayed.change).or_default();
            keep_first(examples, Example::of(record));
        }
    }

    /// Adds what was counted elsewhere, with the same candidate.
    pub fn merge(&mut self, other: Self) {
        widen(&mut self.recorded, other.recorded);
        widen(&mut self.replayed, other.replayed);
        for (policy, decisions) in &other.policies {
            count(&mut self.policies, policy, *decisions);
        }
        self.all.merge(&other.all);
        self.by.merge(other.by);
        self.accounts.merge(other.accounts);
        self.doubts.merge(other.doubts);
        for (change, examples) in other.examples {
            let kept = self.examples.entry(change).or_default();
            for one in examples {
                keep_first(kept, one);
            }
        }
    }

    /// What came of it.
    pub fn report(&self) -> Report {
        let mut by = self.by.clone();
        by.add_accounts(self.accounts.not_in());
        Report {
            recorded: self.recorded,
            replayed: self.replayed,
            policies: self.policies.clone(),
            decisions: self.all.decisions,
            changes: self.all.changes,
            sign_ins: self.all.sign_ins,
            sign_ins_recorded: self.all.sign_ins_recorded,
            accounts: self.accounts.count(),
            by: by.into_groups(),
            examples: self.examples.clone(),
            doubts: self.doubts.list(),
        }
    }

    /// The accounts that would not be let in: turned away first, then asked for more, by account.
    pub fn not_in(&self) -> Vec<&NotIn> {
        let mut all: Vec<&NotIn> = self.accounts.not_in().collect();
        all.sort_by_key(|one| (std::cmp::Reverse(one.fate), one.account.clone()));
        all
    }
}

/// What came of a simulation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// When the recorded decisions were made; nothing where there are none.
    pub recorded: Option<Span>,
    /// When they are to have been made.
    pub replayed: Option<Span>,
    /// How many decisions were made under which policy.
    pub policies: BTreeMap<String, u64>,
    /// How many decisions were replayed.
    pub decisions: u64,
    /// How they differ.
    pub changes: Changes,
    /// What would become of each sign-in.
    pub sign_ins: Fates,
    /// What became of each.
    pub sign_ins_recorded: Fates,
    /// How many accounts would be let in, asked for more, and turned away.
    pub accounts: People,
    /// The same by day, provider, organisation, client, and by what the candidate decided on.
    pub by: Groups,
    /// The first decisions of each kind of change.
    pub examples: BTreeMap<Change, Vec<Example>>,
    /// Where the log may hold too little to tell.
    pub doubts: Vec<Doubt>,
}

/// From when to when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The first.
    pub from: Timestamp,
    /// The last.
    pub to: Timestamp,
}

impl Span {
    fn of(time: Timestamp) -> Self {
        Self {
            from: time,
            to: time,
        }
    }
}

/// A decision to look at: `policy explain` takes its request id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Example {
    /// When it was made.
    pub time: Timestamp,
    /// The request.
    pub request_id: String,
    /// The account.
    pub account: AccountId,
}

impl Example {
    fn of(record: &Record) -> Self {
        Self {
            time: record.time,
            request_id: record.request_id.clone(),
            account: record.facts.account.id.clone(),
        }
    }
}

/// Keeps the earliest ones, whatever the order they come in.
fn keep_first(kept: &mut Vec<Example>, one: Example) {
    let at = kept.partition_point(|other| *other <= one);
    if at < EXAMPLES {
        kept.insert(at, one);
        kept.truncate(EXAMPLES);
    }
}

fn widen(span: &mut Option<Span>, other: Option<Span>) {
    let Some(other) = other else { return };
    let span = span.get_or_insert(other);
    span.from = span.from.min(other.from);
    span.to = span.to.max(other.to);
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str, more: u64) {
    *counts.entry(name.to_owned()).or_default() += more;
}

#[cfg(test)]
mod tests;
