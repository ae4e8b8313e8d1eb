//! What one policy makes of one thing that was asked for.

use std::collections::BTreeSet;
use std::fmt::{self, Display};

use jiff::civil::Date;
use serde::Serialize;

use crate::{Facts, Outcome, Reason, Rule, Scope, Verdict};

/// What one policy makes of one thing that was asked for: being let in, or a scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Side {
    /// Whether it is given.
    pub given: Given,
    /// What is missing, in one case or another.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// The part of the policy that is not met, or by which it is given all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
}

/// Whether something is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Given {
    /// Yes.
    Permit,
    /// Yes, with a day from which a second factor is asked for.
    Reminded,
    /// The same, and the other policy names an earlier day or none.
    RemindedOfALaterDay,
    /// The same, and the other policy names a later day.
    RemindedOfAnEarlierDay,
    /// Yes, by an exception.
    ByException,
    /// The person is sent back to the provider for more.
    StepUp,
    /// No: the sign-in is good, and the scope is left out.
    LeftOut,
    /// No: nothing is.
    Refuse,
}

impl Side {
    /// Whether it makes a difference to the person: a scope that is left out is as good as refused.
    pub(super) fn differs_from(&self, other: &Self) -> bool {
        let class = |given| match given {
            Given::LeftOut => Given::Refuse,
            given => given,
        };
        class(self.given) != class(other.given)
    }

    /// Whether either lets somebody in by an exception, which ends.
    pub(super) fn rests_on_exception(&self, other: &Self) -> bool {
        [self.given, other.given].contains(&Given::ByException)
    }

    /// What is missing, apart from the rest: cases that differ in it only are told together.
    pub(super) fn take_reasons(&mut self) -> BTreeSet<Reason> {
        std::mem::take(&mut self.reasons).into_iter().collect()
    }

    /// The same, with all that is missing in one case or another.
    pub(super) fn because_of(&self, reasons: BTreeSet<Reason>) -> Self {
        Self {
            reasons: reasons.into_iter().collect(),
            ..self.clone()
        }
    }

    fn given(given: Given, rule: Option<&Rule>) -> Self {
        Self {
            given,
            reasons: Vec::new(),
            rule: rule.cloned(),
        }
    }

    /// What becomes of the sign-in.
    fn of_sign_in(verdict: &Verdict, other: &Verdict) -> Self {
        match verdict.outcome {
            Outcome::Permit => Self::of_permit(verdict, other),
            Outcome::StepUp => Self::not_given(Given::StepUp, &verdict.reasons, &verdict.rule),
            Outcome::Refuse => Self::not_given(Given::Refuse, &verdict.reasons, &verdict.rule),
        }
    }

    fn of_permit(verdict: &Verdict, other: &Verdict) -> Self {
        let other_day = match other.outcome {
            Outcome::Permit => other.mfa_due,
            Outcome::StepUp | Outcome::Refuse => None,
        };
        match (verdict.mfa_due, &verdict.waiver) {
            (_, Some(_)) => Self::given(Given::ByException, Some(&verdict.rule)),
            (Some(day), None) => Self::given(reminded(day, other_day), None),
            (None, None) => Self::given(Given::Permit, None),
        }
    }

    /// What becomes of a scope.
    fn of_scope(scope: &Scope, verdict: &Verdict, other: &Verdict) -> Self {
        let is_left_out = |one: &&crate::LeftOut| one.scope == *scope;
        match verdict.unmet.iter().find(is_left_out) {
            Some(one) => Self::not_given(Given::LeftOut, &one.reasons, &one.rule),
            None => Self::of_sign_in(verdict, other),
        }
    }

    fn not_given(given: Given, reasons: &[Reason], rule: &Rule) -> Self {
        Self {
            given,
            reasons: reasons.to_vec(),
            rule: Some(rule.clone()),
        }
    }
}

fn reminded(day: Date, other: Option<Date>) -> Given {
    match other {
        Some(other) if day > other => Given::RemindedOfALaterDay,
        Some(other) if day < other => Given::RemindedOfAnEarlierDay,
        Some(_) | None => Given::Reminded,
    }
}

/// Everything that was asked for, with what both make of it: first being let in, then each scope.
pub(super) fn compared<'a>(
    facts: &'a Facts,
    old: &'a Verdict,
    new: &'a Verdict,
) -> impl Iterator<Item = (Option<&'a Scope>, Side, Side)> {
    let sign_in = (None, Side::of_sign_in(old, new), Side::of_sign_in(new, old));
    let is_of_a_tier = |scope: &&Scope| scope.as_str() != "openid";
    let scopes = facts.scopes.iter().filter(is_of_a_tier).map(move |scope| {
        let from = Side::of_scope(scope, old, new);
        (Some(scope), from, Side::of_scope(scope, new, old))
    });
    std::iter::once(sign_in).chain(scopes)
}

impl Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.given {
            Given::Permit => "permit",
            Given::Reminded => "permit with a reminder",
            Given::RemindedOfALaterDay => "permit with a reminder of a later day",
            Given::RemindedOfAnEarlierDay => "permit with a reminder of an earlier day",
            Given::ByException => "permit by an exception",
            Given::StepUp => "step up",
            Given::LeftOut => "left out",
            Given::Refuse => "refuse",
        })?;
        if !self.reasons.is_empty() {
            let codes: Vec<&str> = self.reasons.iter().map(|one| one.code()).collect();
            write!(f, " ({})", codes.join(", "))?;
        }
        match &self.rule {
            Some(rule) => write!(f, ", {}", rule.as_str()),
            None => Ok(()),
        }
    }
}
