//! One line of the decision log: what was decided, by which rule, and every fact it rests on.
//!
//! A line holds all that [`crate::decide`] saw, so that a decision can be explained, and made
//! again under another policy, from the line alone. It names nobody but by the account id.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::{Decision, ExceptionName, Facts, Policy, Reason, Rule, Scope, TierName, decide};

/// One line of the decision log; `F` is [`Facts`], or what is written as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<F = Facts> {
    /// The version of the line.
    pub v: LineVersion,
    /// When it was decided: the `now` of the decision.
    pub time: Timestamp,
    /// The request, as in the log and on pages.
    pub request_id: String,
    /// What was decided on.
    pub occasion: Occasion,
    /// The policy that was in force: `sha256:` and the hash of its file.
    pub policy: String,
    /// What was decided.
    pub verdict: Verdict,
    /// What it rests on.
    pub facts: F,
}

impl Record {
    /// What `policy` would have decided on the same facts at the same time.
    pub fn replay(&self, policy: &Policy) -> Decision {
        decide(policy, &self.facts, self.time)
    }
}

/// The one version of the line there is, 1: a line of another is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct LineVersion;

impl TryFrom<u8> for LineVersion {
    type Error = String;
    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            1 => Ok(Self),
            other => Err(format!(
                "expected version 1, the only one there is, found {other}"
            )),
        }
    }
}

impl From<LineVersion> for u8 {
    fn from(_: LineVersion) -> Self {
        1
    }
}

/// What was decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Occasion {
    /// A person came back from a provider.
    SignIn,
    /// A person who is signed in came from another client, or for more.
    SingleSignOn,
    /// A client asked for tokens with a code.
    Token,
    /// A client asked for tokens with a refresh token.
    Refresh,
    /// A service asked for a token with a token that it was given.
    Exchange,
    /// A registry's tool asked to be let through.
    Gate,
    /// Somebody came with an API key.
    ApiKey,
}

/// What a [`Decision`] says, without what a token is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What is to happen.
    pub outcome: Outcome,
    /// The part of the policy that decided.
    pub rule: Rule,
    /// What is missing, most telling first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// The scopes that are granted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub granted: BTreeSet<Scope>,
    /// The scopes that are left out of what is granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmet: Vec<LeftOut>,
    /// The day from which the account must show a second factor, where it was let in without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mfa_due: Option<Date>,
    /// The exception that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiver: Option<ExceptionName>,
}

/// What is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Tokens may be minted.
    Permit,
    /// The person is sent back to the provider.
    StepUp,
    /// Nothing is issued.
    Refuse,
}

impl Outcome {
    /// The name in the decision log, in metrics and in tables of cases.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::StepUp => "step-up",
            Self::Refuse => "refuse",
        }
    }
}

/// A scope that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The scope.
    pub scope: Scope,
    /// Its tier.
    pub tier: TierName,
    /// The part of the policy that is not met.
    pub rule: Rule,
    /// What is missing.
    pub reasons: Vec<Reason>,
}

impl From<&Decision> for Verdict {
    fn from(decision: &Decision) -> Self {
        let reasons = decision.reasons().to_vec();
        let bare = |outcome| Self {
            outcome,
            rule: decision.rule().clone(),
            reasons,
            granted: BTreeSet::new(),
            unmet: Vec::new(),
            mfa_due: None,
            waiver: None,
        };
        match decision {
            Decision::StepUp(_) => bare(Outcome::StepUp),
            Decision::Refuse(_) => bare(Outcome::Refuse),
            Decision::Permit(permit) => Self {
                granted: permit.scopes().clone(),
                unmet: permit.unmet().iter().map(LeftOut::from).collect(),
                mfa_due: permit.mfa_due(),
                waiver: permit.waiver().cloned(),
                ..bare(Outcome::Permit)
            },
        }
    }
}

impl From<&crate::Unmet> for LeftOut {
    fn from(unmet: &crate::Unmet) -> Self {
        Self {
            scope: unmet.scope.clone(),
            tier: unmet.tier.clone(),
            rule: unmet.rule.clone(),
            reasons: unmet.reasons.clone(),
        }
    }
}
