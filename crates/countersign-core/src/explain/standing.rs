//! How signing in and each scope stand, each on its own.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::in_the_end;
use crate::{
    Decision, Demands, Facts, Policy, Reason, Requirement, Rule, Scope, Tier, TierName, decide,
};

/// How signing in, or a scope, stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// The scope; nothing: signing in to the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Its tier; nothing where the policy has none for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<TierName>,
    /// The part of the policy that decided on it.
    pub rule: Rule,
    /// What is missing; nothing where it is met.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
}

impl Standing {
    /// Whether nothing is missing.
    pub fn is_met(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// Signing in first, then each scope that was asked for.
pub(super) fn all(policy: &Policy, facts: &Facts, now: Timestamp) -> Vec<Standing> {
    let sign_in = decide(policy, &alone(facts, BTreeSet::new()), now);
    let signing_in = Standing {
        scope: None,
        tier: policy.client_tier(&facts.client).cloned(),
        rule: sign_in.rule().clone(),
        reasons: sign_in.reasons().to_vec(),
    };
    let policy = &signing_in_needs_nothing(policy);
    let asked = facts.scopes.iter().filter(|it| it.as_str() != "openid");
    let of_scopes = asked.map(|scope| of_scope(scope, policy, facts, now));
    std::iter::once(signing_in).chain(of_scopes).collect()
}

/// Where nobody is kept from signing in.
fn of_scope(scope: &Scope, policy: &Policy, facts: &Facts, now: Timestamp) -> Standing {
    // With `openid` a scope that is not met is left out, and nothing is refused for it.
    let openid = Scope::new("openid").ok();
    let scopes = openid.into_iter().chain([scope.clone()]).collect();
    let decision = decide(policy, &alone(facts, scopes), now);
    let tier = policy.tier_of(scope).cloned();
    let unmet = match &decision {
        Decision::Permit(permit) => permit.unmet().first(),
        Decision::StepUp(_) | Decision::Refuse(_) => None,
    };
    let rule = match (unmet, &tier) {
        (Some(unmet), _) => unmet.rule.clone(),
        (None, Some(tier)) if *decision.rule() == Rule::tier(&OPEN) => Rule::tier(tier),
        (None, _) => decision.rule().clone(),
    };
    Standing {
        scope: Some(scope.clone()),
        tier,
        rule,
        reasons: decision.reasons().to_vec(),
    }
}

fn alone(facts: &Facts, scopes: BTreeSet<Scope>) -> Facts {
    Facts {
        scopes,
        demands: Demands::default(),
        ..in_the_end(facts)
    }
}

/// No tier of a file has an empty name.
const OPEN: TierName = TierName::new();

/// The same policy where who can't sign in is still told how each scope stands.
fn signing_in_needs_nothing(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    for client in policy.clients.values_mut() {
        client.tier = OPEN;
    }
    let tier = Tier {
        scopes: BTreeSet::new(),
        requirement: Requirement::nothing(),
    };
    policy.tiers.insert(OPEN, tier);
    policy
}
