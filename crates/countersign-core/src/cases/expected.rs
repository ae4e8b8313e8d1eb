//! What is expected of a sign-in, and what is found: `permit, due 2027-05-08`, `step-up: mfa-absent`.

use std::collections::BTreeSet;
use std::fmt::{self, Display};

use jiff::civil::Date;

use super::words::{self, shorten};
use crate::document::did_you_mean;
use crate::{Decision, ExceptionName, Outcome, Policy, Reason, Rule, Scope};

/// What is expected. What is not written of a permit must not be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    outcome: Outcome,
    /// Nothing written: any.
    reasons: Option<BTreeSet<Reason>>,
    terms: Terms,
    /// Nothing written: any.
    rule: Option<String>,
}

/// On what terms a login is let in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Terms {
    without: BTreeSet<Scope>,
    due: Option<DueDay>,
    waiver: Option<ExceptionName>,
}

/// The day from which a second factor must be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DueDay {
    On(Date),
    NotSet,
}

/// What the policy made of a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    outcome: Outcome,
    reasons: Vec<Reason>,
    terms: Terms,
    rule: Rule,
}

impl Expected {
    pub(super) fn is_met_by(&self, found: &Found) -> bool {
        let reasons: BTreeSet<Reason> = found.reasons.iter().copied().collect();
        self.outcome == found.outcome
            && self.reasons.as_ref().is_none_or(|all| *all == reasons)
            && self.terms == found.terms
            && self
                .rule
                .as_deref()
                .is_none_or(|rule| rule == found.rule.as_str())
    }
}

impl From<&Decision> for Found {
    fn from(decision: &Decision) -> Self {
        let rule = decision.rule().clone();
        let (outcome, reasons, terms) = match decision {
            Decision::Permit(permit) => {
                let by_calendar = rule.as_str() == "calendar";
                let not_set = by_calendar.then_some(DueDay::NotSet);
                let terms = Terms {
                    without: permit.unmet().iter().map(|it| it.scope.clone()).collect(),
                    due: permit.mfa_due().map(DueDay::On).or(not_set),
                    waiver: permit.waiver().cloned(),
                };
                (Outcome::Permit, Vec::new(), terms)
            }
            Decision::StepUp(one) => (Outcome::StepUp, one.reasons.clone(), Terms::default()),
            Decision::Refuse(one) => (Outcome::Refuse, one.reasons.clone(), Terms::default()),
        };
        Self {
            outcome,
            reasons,
            terms,
            rule,
        }
    }
}

impl Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.outcome.as_str())?;
        if !self.reasons.is_empty() {
            let codes: Vec<&str> = self.reasons.iter().map(|reason| reason.code()).collect();
            write!(f, ": {}", codes.join(", "))?;
        }
        if !self.terms.without.is_empty() {
            f.write_str(", without")?;
            for scope in &self.terms.without {
                write!(f, " {scope}")?;
            }
        }
        match self.terms.due {
            Some(DueDay::On(day)) => write!(f, ", due {day}")?,
            Some(DueDay::NotSet) => f.write_str(", not due yet")?,
            None => {}
        }
        match &self.terms.waiver {
            Some(waiver) => write!(f, ", waiver {waiver}"),
            None => Ok(()),
        }
    }
}

/// Reads what is expected; the policy knows the names of scopes, exceptions and rules.
pub(super) fn read(text: &str, policy: &Policy) -> Result<Expected, String> {
    let (text, rule) = match text.rsplit_once(" by ") {
        Some((text, rule)) => (
            text,
            Some(known_rule(rule.trim_matches([' ', '`']), policy)?),
        ),
        None => (text, None),
    };
    let (word, rest) = match text.find([':', ',', ' ']) {
        Some(end) => text.split_at(end),
        None => (text, ""),
    };
    let outcome = outcome(word.trim())?;
    let rest = rest.trim_start();
    let mut expected = Expected {
        outcome,
        reasons: None,
        terms: Terms::default(),
        rule,
    };
    match outcome {
        Outcome::Permit => expected.terms = terms(rest.trim_start_matches(','), policy)?,
        Outcome::StepUp | Outcome::Refuse => expected.reasons = reasons(rest)?,
    }
    Ok(expected)
}

fn outcome(word: &str) -> Result<Outcome, String> {
    let all = [Outcome::Permit, Outcome::StepUp, Outcome::Refuse];
    let found = all.into_iter().find(|one| one.as_str() == word);
    found.ok_or_else(|| {
        let hint = did_you_mean(word, all.map(Outcome::as_str));
        format!(
            "expected `permit`, `step-up` or `refuse`, as in `permit, due 2027-05-08` or `refuse: mfa-absent`, \
             found `{}`{hint}",
            shorten(word)
        )
    })
}

/// `: mfa-absent, email-not-verified`; nothing written: any.
fn reasons(text: &str) -> Result<Option<BTreeSet<Reason>>, String> {
    let Some(codes) = text.strip_prefix(':') else {
        return match text {
            "" => Ok(None),
            other => Err(format!(
                "expected a colon and reasons, as in `refuse: mfa-absent`, found `{}`",
                shorten(other)
            )),
        };
    };
    let reasons: Result<BTreeSet<Reason>, String> = words::list(codes).map(reason).collect();
    let reasons = reasons?;
    if reasons.is_empty() {
        return Err("expected at least one reason after the colon, found none".to_owned());
    }
    Ok(Some(reasons))
}

fn reason(code: &str) -> Result<Reason, String> {
    let found = Reason::ALL.into_iter().find(|one| one.code() == code);
    found.ok_or_else(|| {
        let hint = did_you_mean(code, Reason::ALL.map(Reason::code));
        format!("no reason is called `{}`{hint}", shorten(code))
    })
}

/// `without packages:publish, due 2027-05-08, waiver bank`.
fn terms(text: &str, policy: &Policy) -> Result<Terms, String> {
    let mut terms = Terms::default();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (word, rest) = part.split_once(' ').unwrap_or((part, ""));
        match (word, rest.trim()) {
            ("due", day) if terms.due.is_none() => terms.due = Some(DueDay::On(words::day(day)?)),
            ("not", "due yet") if terms.due.is_none() => terms.due = Some(DueDay::NotSet),
            ("waiver", name) if terms.waiver.is_none() => {
                terms.waiver = Some(known_exception(name, policy)?);
            }
            ("without", scopes) if terms.without.is_empty() && !scopes.is_empty() => {
                let scopes = words::list(scopes).map(|scope| known_scope(scope, policy));
                terms.without = scopes.collect::<Result<_, _>>()?;
            }
            _ => {
                return Err(format!(
                    "expected `without SCOPES`, `due 2027-05-08`, `not due yet` or `waiver NAME` after `permit`, each once, \
                     found `{}`",
                    shorten(part)
                ));
            }
        }
    }
    Ok(terms)
}

/// A scope of one of the policy's tiers.
pub(super) fn known_scope(text: &str, policy: &Policy) -> Result<Scope, String> {
    let found = policy.scopes().find(|scope| scope.as_str() == text);
    found.cloned().ok_or_else(|| {
        let hint = did_you_mean(text, policy.scopes().map(Scope::as_str));
        format!(
            "no tier of the policy has the scope `{}`{hint}",
            shorten(text)
        )
    })
}

fn known_exception(text: &str, policy: &Policy) -> Result<ExceptionName, String> {
    let names = || policy.exceptions().iter().map(|(name, _)| name);
    let found = names().find(|name| name.as_str() == text);
    found.cloned().ok_or_else(|| {
        let hint = did_you_mean(text, names().map(ExceptionName::as_str));
        format!("the policy has no `exception.{}`{hint}", shorten(text))
    })
}

/// A part of the policy that can decide, by its name in the file.
fn known_rule(text: &str, policy: &Policy) -> Result<String, String> {
    let kind = text.split('.').next().unwrap_or(text);
    let is_tier = |tier: &str| policy.tiers().any(|(name, _)| name == tier);
    let is_known = match (kind, text.split_once('.')) {
        ("calendar" | "request", None) => true,
        ("tier", Some((_, tier))) => is_tier(tier),
        ("exception", Some((_, name))) => known_exception(name, policy).is_ok(),
        ("client" | "organization", Some((_, rest))) => !rest.is_empty(),
        _ => false,
    };
    if is_known {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "expected a part of the policy after `by`, as in `by tier.publish`, `by calendar` or `by exception.NAME`, \
             found `{}`",
            shorten(text)
        ))
    }
}
