//! How decisions differ, counted, and by what they are counted.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Serialize;

use super::Replayed;
use super::people::NotIn;
use crate::{ExceptionName, Occasion, Outcome, Reason, Record, Verdict};

/// How what the candidate decides differs from what was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// In nothing that anybody is told, whichever rule decides.
    Same,
    /// It was no refusal, and is one.
    NewlyRefused,
    /// It was no step-up, and is one.
    NewlySteppedUp,
    /// It was no permit, and is one.
    NewlyLetIn,
    /// A permit without a scope that it had.
    ScopesLost,
    /// A permit with a scope that it had not, and with all that it had.
    ScopesGained,
    /// The same permit, now with a day from which a second factor is asked for.
    NewlyReminded,
    /// The same outcome for other reasons, or with another day or exception.
    Otherwise,
    /// A token that would not be asked for: its login itself would not be let in.
    NotReached,
}

impl Change {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Same,
        Self::NewlyRefused,
        Self::NewlySteppedUp,
        Self::NewlyLetIn,
        Self::ScopesLost,
        Self::ScopesGained,
        Self::NewlyReminded,
        Self::Otherwise,
        Self::NotReached,
    ];

    /// How `after` differs from `before`.
    pub fn between(before: &Verdict, after: &Verdict) -> Self {
        if before.outcome != after.outcome {
            return match after.outcome {
                Outcome::Permit => Self::NewlyLetIn,
                Outcome::StepUp => Self::NewlySteppedUp,
                Outcome::Refuse => Self::NewlyRefused,
            };
        }
        if !before.granted.is_subset(&after.granted) {
            Self::ScopesLost
        } else if before.granted != after.granted {
            Self::ScopesGained
        } else if before.mfa_due.is_none() && after.mfa_due.is_some() {
            Self::NewlyReminded
        } else if Told::of(before) == Told::of(after) {
            Self::Same
        } else {
            Self::Otherwise
        }
    }

    /// Its name in JSON and CSV.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::NewlyRefused => "newly-refused",
            Self::NewlySteppedUp => "newly-stepped-up",
            Self::NewlyLetIn => "newly-let-in",
            Self::ScopesLost => "scopes-lost",
            Self::ScopesGained => "scopes-gained",
            Self::NewlyReminded => "newly-reminded",
            Self::Otherwise => "otherwise",
            Self::NotReached => "not-reached",
        }
    }
}

/// What of a decision is told to anybody, apart from its outcome and scopes.
#[derive(PartialEq, Eq)]
struct Told<'a>(&'a [Reason], Option<Date>, Option<&'a ExceptionName>);

impl<'a> Told<'a> {
    fn of(verdict: &'a Verdict) -> Self {
        Self(&verdict.reasons, verdict.mfa_due, verdict.waiver.as_ref())
    }
}

/// How many decisions differ in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes([u64; Change::ALL.len()]);

impl Changes {
    /// How many differ in this way.
    pub fn of(&self, change: Change) -> u64 {
        self.0[change as usize]
    }

    /// Each way with its number.
    pub fn iter(&self) -> impl Iterator<Item = (Change, u64)> {
        Change::ALL.into_iter().zip(self.0)
    }
}

impl Serialize for Changes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// What becomes of a sign-in, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// The person is let in.
    LetIn,
    /// The person is let in and told from which day a second factor is asked for.
    Reminded,
    /// The person is sent back to the provider for more.
    SteppedUp,
    /// The person is turned away.
    TurnedAway,
}

impl Fate {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::LetIn,
        Self::Reminded,
        Self::SteppedUp,
        Self::TurnedAway,
    ];

    /// What this decision makes of a sign-in.
    pub fn of(verdict: &Verdict) -> Self {
        match verdict.outcome {
            Outcome::Permit if verdict.mfa_due.is_some() => Self::Reminded,
            Outcome::Permit => Self::LetIn,
            Outcome::StepUp => Self::SteppedUp,
            Outcome::Refuse => Self::TurnedAway,
        }
    }

    /// Its name in JSON and CSV.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LetIn => "let-in",
            Self::Reminded => "reminded",
            Self::SteppedUp => "stepped-up",
            Self::TurnedAway => "turned-away",
        }
    }
}

/// How many sign-ins end in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fates([u64; Fate::ALL.len()]);

impl Fates {
    /// How many end in this way.
    pub fn of(&self, fate: Fate) -> u64 {
        self.0[fate as usize]
    }

    /// How many there are.
    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Each way with its number.
    pub fn iter(&self) -> impl Iterator<Item = (Fate, u64)> {
        Fate::ALL.into_iter().zip(self.0)
    }

    fn add(&mut self, verdict: &Verdict) {
        self.0[Fate::of(verdict) as usize] += 1;
    }
}

impl Serialize for Fates {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// What is counted of a group of decisions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// How many decisions there are.
    pub decisions: u64,
    /// How they differ.
    pub changes: Changes,
    /// What would become of its sign-ins: each visit to a provider counts, a second leg too.
    pub sign_ins: Fates,
    /// What became of them.
    pub sign_ins_recorded: Fates,
    /// How many accounts would be turned away, whose last login is in this group.
    pub accounts_turned_away: u64,
    /// Of these, how many were let in.
    pub accounts_newly_turned_away: u64,
    /// How many accounts would be asked for more than the log shows.
    pub accounts_asked_for_more: u64,
}

impl Tally {
    pub(super) fn add(&mut self, record: &Record, replayed: &Replayed) {
        self.decisions += 1;
        self.changes.0[replayed.change as usize] += 1;
        if record.occasion == Occasion::SignIn {
            self.sign_ins.add(&replayed.verdict);
            self.sign_ins_recorded.add(&record.verdict);
        }
    }

    fn add_account(&mut self, account: &NotIn) {
        match account.fate {
            Fate::LetIn | Fate::Reminded => {}
            Fate::SteppedUp => self.accounts_asked_for_more += 1,
            Fate::TurnedAway => {
                self.accounts_turned_away += 1;
                self.accounts_newly_turned_away += u64::from(account.was_let_in);
            }
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.decisions += other.decisions;
        add_each(&mut self.changes.0, other.changes.0);
        add_each(&mut self.sign_ins.0, other.sign_ins.0);
        add_each(&mut self.sign_ins_recorded.0, other.sign_ins_recorded.0);
        self.accounts_turned_away += other.accounts_turned_away;
        self.accounts_newly_turned_away += other.accounts_newly_turned_away;
        self.accounts_asked_for_more += other.accounts_asked_for_more;
    }
}

fn add_each<const N: usize>(sums: &mut [u64; N], more: [u64; N]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

/// By what decisions are counted: their day, where they come from, and what the candidate decided on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tallies {
    day: BTreeMap<Date, Tally>,
    provider: BTreeMap<String, Tally>,
    organization: BTreeMap<String, Tally>,
    client: BTreeMap<String, Tally>,
    rule: BTreeMap<String, Tally>,
    reason: BTreeMap<&'static str, Tally>,
}

/// No organisation, or no reason: no name of either is empty.
const NONE: &str = "";

impl Tallies {
    pub(super) fn add(&mut self, record: &Record, replayed: &Replayed) {
        let facts = &record.facts;
        let organization = facts.organization.as_ref().map_or(NONE, |one| one.as_str());
        let by_name = [
            (&mut self.provider, facts.login.provider.as_str()),
            (&mut self.organization, organization),
            (&mut self.client, facts.client.as_str()),
            (&mut self.rule, replayed.verdict.rule.as_str()),
        ];
        for (tallies, name) in by_name {
            named(tallies, name).add(record, replayed);
        }
        let reason = replayed.verdict.reasons.first().copied();
        let by_reason = self.reason.entry(code(reason)).or_default();
        by_reason.add(record, replayed);
        let by_day = self.day.entry(replayed.day()).or_default();
        by_day.add(record, replayed);
    }

    pub(super) fn add_accounts<'a>(&mut self, accounts: impl Iterator<Item = &'a NotIn>) {
        for one in accounts {
            let organization = one.organization.as_ref().map_or(NONE, |it| it.as_str());
            self.day.entry(one.day).or_default().add_account(one);
            named(&mut self.provider, one.provider.as_str()).add_account(one);
            named(&mut self.organization, organization).add_account(one);
            named(&mut self.client, one.client.as_str()).add_account(one);
            named(&mut self.rule, one.rule.as_str()).add_account(one);
            let by_reason = self.reason.entry(code(one.reason)).or_default();
            by_reason.add_account(one);
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        merge(&mut self.day, other.day);
        merge(&mut self.provider, other.provider);
        merge(&mut self.organization, other.organization);
        merge(&mut self.client, other.client);
        merge(&mut self.rule, other.rule);
        merge(&mut self.reason, other.reason);
    }

    pub(super) fn into_groups(self) -> Groups {
        Groups {
            day: groups(self.day),
            provider: groups(self.provider),
            organization: groups(self.organization),
            client: groups(self.client),
            rule: groups(self.rule),
            reason: groups(self.reason),
        }
    }
}

/// The same numbers, by each of these. Only groups that there are, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Groups {
    /// The UTC day on which it is to have been.
    pub day: Vec<Group>,
    /// The provider.
    pub provider: Vec<Group>,
    /// The organisation that was asked for.
    pub organization: Vec<Group>,
    /// The client.
    pub client: Vec<Group>,
    /// The part of the candidate that decided.
    pub rule: Vec<Group>,
    /// What is missing first, where anything is.
    pub reason: Vec<Group>,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its name; nothing where no organisation was asked for, or nothing is missing.
    pub name: Option<String>,
    /// What is counted.
    #[serde(flatten)]
    pub tally: Tally,
}

fn groups<K: ToString>(tallies: BTreeMap<K, Tally>) -> Vec<Group> {
    let group = |(name, tally): (K, Tally)| Group {
        name: Some(name.to_string()).filter(|name| name != NONE),
        tally,
    };
    tallies.into_iter().map(group).collect()
}

fn merge<K: Ord>(tallies: &mut BTreeMap<K, Tally>, others: BTreeMap<K, Tally>) {
    for (name, tally) in others {
        tallies.entry(name).or_default().merge(&tally);
    }
}

fn named<'a>(tallies: &'a mut BTreeMap<String, Tally>, name: &str) -> &'a mut Tally {
    tallies.entry(name.to_owned()).or_default()
}

fn code(reason: Option<Reason>) -> &'static str {
    reason.map_or(NONE, Reason::code)
}
