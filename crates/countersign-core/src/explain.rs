//! Why a login was decided as it was, and what would have let it in.
//!
//! Pure, and nothing is guessed: whatever is named as a change that would have let a login in has been
//! tried by [`decide`] on the changed facts, or under the changed policy.

mod because;
mod change;
mod earlier;
mod loosening;
mod search;
mod standing;

use jiff::Timestamp;
use serde::Serialize;

pub use because::Needs;
pub use change::{Change, LetsInWith, Step};
pub use earlier::Earlier;
pub use loosening::{Loosening, Move, Places};
pub use standing::Standing;

use crate::{Decision, Exceptions, Facts, Policy, Reason, Remedy, Subject, Verdict, decide};

/// Explains what the policy makes of these facts at this time.
pub fn explain(policy: &Policy, facts: &Facts, now: Timestamp) -> Explanation {
    // Of a hundred thousand organisations one matters here, and it is tried under many policies.
    let policy = &only_for(policy, facts);
    let decision = decide(policy, facts, now);
    let scopes = standing::all(policy, facts, now);
    let outlook = Outlook::of(policy, facts, now, &decision);
    Explanation {
        verdict: Verdict::from(&decision),
        because: because::sentences(policy, facts, now, &scopes),
        nearest: outlook.nearest,
        earlier: outlook.earlier,
        loosenings: outlook.loosenings,
        scopes,
    }
}

/// What an operator wants to know of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What was decided, and by which rule.
    pub verdict: Verdict,
    /// Why, in sentences.
    pub because: Vec<String>,
    /// How signing in and each scope that was asked for stand, each on its own.
    pub scopes: Vec<Standing>,
    /// What would have let this login in, the smallest change first. Nothing where it was let in
    /// with all that it asked for, or where no change of the login alone is enough.
    pub nearest: Vec<Change>,
    /// The last day on which this very login would have been let in.
    pub earlier: Option<Earlier>,
    /// What would have to change in the policy for it, the smallest change first.
    pub loosenings: Vec<Loosening>,
}

/// What a change is to reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// All is granted that the policy has a tier for.
    Everything,
    /// The person is let in, whatever is left out.
    LetIn,
}

impl Goal {
    fn is_reached(self, decision: &Decision) -> bool {
        let Decision::Permit(permit) = decision else {
            return false;
        };
        match self {
            Self::LetIn => true,
            Self::Everything => permit
                .unmet()
                .iter()
                .all(|unmet| unmet.reasons == [Reason::NotInPolicy]),
        }
    }
}

/// What would have made it otherwise.
#[derive(Default)]
struct Outlook {
    nearest: Vec<Change>,
    earlier: Option<Earlier>,
    loosenings: Vec<Loosening>,
}

impl Outlook {
    /// Nothing where nothing is left to reach.
    fn of(policy: &Policy, facts: &Facts, now: Timestamp, decision: &Decision) -> Self {
        let is_in = |decision: &Decision| Goal::LetIn.is_reached(decision);
        if Goal::Everything.is_reached(decision) {
            return Self::default();
        }
        let everything = Self::towards(Goal::Everything, policy, facts, now);
        let is_hopeless = everything.nearest.is_empty() && everything.loosenings.is_empty();
        // Where all that was asked for is out of reach, being let in at all is worth telling.
        if is_hopeless && !is_in(&decide(policy, &in_the_end(facts), now)) {
            return Self::towards(Goal::LetIn, policy, facts, now);
        }
        everything
    }

    fn towards(goal: Goal, policy: &Policy, facts: &Facts, now: Timestamp) -> Self {
        Self {
            nearest: change::nearest(policy, facts, now, goal),
            earlier: earlier::latest(policy, facts, now, goal),
            loosenings: loosening::nearest(policy, facts, now, goal),
        }
    }
}

/// The part of a policy that has a say in this login.
fn only_for(policy: &Policy, facts: &Facts) -> Policy {
    let provider = &facts.login.provider;
    let proof = policy.proofs.get_key_value(provider);
    let client = policy.clients.get_key_value(&facts.client);
    let organization = facts.demanding();
    let organization = organization.and_then(|id| policy.organizations.get_key_value(id));
    let is_for = |subject: &Subject| match subject {
        Subject::Account(id) => *id == facts.account.id,
        Subject::Organization(id) => facts.organization.as_ref() == Some(id),
    };
    let exceptions = policy.exceptions.iter();
    let exceptions = exceptions.filter(|(_, exception)| is_for(&exception.subject));
    Policy {
        proofs: proof.map(owned).into_iter().collect(),
        methods: policy.methods.clone(),
        calendar: policy.calendar.clone(),
        tiers: policy.tiers.clone(),
        clients: client.map(owned).into_iter().collect(),
        organizations: organization.map(owned).into_iter().collect(),
        mapping: policy.mapping.clone(),
        operators: policy
            .operators
            .get(&facts.account.id)
            .cloned()
            .into_iter()
            .collect(),
        exceptions: Exceptions::new(exceptions.map(owned).collect()),
        api_keys: policy.api_keys.clone(),
        lifetimes: policy.lifetimes,
    }
}

fn owned<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}

/// What the login comes to in the end, when nobody is sent back any more.
fn in_the_end(facts: &Facts) -> Facts {
    Facts {
        remedy: Remedy::Nothing,
        ..facts.clone()
    }
}

#[cfg(test)]
mod tests;
