//! What could have been otherwise about a login.

use jiff::Timestamp;
use serde::Serialize;

use super::search::smallest;
use super::{Goal, in_the_end};
use crate::cases::proof_in_words;
use crate::showing::{self, in_words};
use crate::{
    Basis, Claim, Claims, Demands, Facts, Level, Membership, OrganizationId, Policy, TenantId,
    decide,
};

/// The smallest changes of this login that reach the goal.
pub(super) fn nearest(policy: &Policy, facts: &Facts, now: Timestamp, goal: Goal) -> Vec<Change> {
    let steps = steps(policy, facts, now);
    let costs: Vec<u32> = steps.iter().map(Step::cost).collect();
    let change = |chosen: &[usize]| Change {
        steps: chosen.iter().map(|index| steps[*index].clone()).collect(),
        lets_in_with: match goal {
            Goal::Everything => LetsInWith::Everything,
            Goal::LetIn => LetsInWith::LessThanAsked,
        },
    };
    let found = smallest(&costs, |chosen| {
        let changed = change(chosen).applied(facts, now);
        goal.is_reached(&decide(policy, &changed, now))
    });
    let found: Vec<Change> = found.iter().map(|chosen| change(chosen)).collect();
    let is_needless = |one: &Change| found.iter().any(|other| one.is_more_than(other));
    found
        .iter()
        .filter(|one| !is_needless(one))
        .cloned()
        .collect()
}

/// A change of a login that would have let it in: all of its steps together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What would have to be otherwise.
    pub steps: Vec<Step>,
    /// What it would have been let in with.
    pub lets_in_with: LetsInWith,
}

/// What a changed login is let in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LetsInWith {
    /// All that it asked for and the policy has a tier for.
    Everything,
    /// Some of it.
    LessThanAsked,
}

impl Change {
    /// The facts as they would have been, with nobody left to be sent back.
    pub fn applied(&self, facts: &Facts, now: Timestamp) -> Facts {
        let apply = |facts: Facts, step: &Step| step.applied(facts, now);
        self.steps.iter().fold(in_the_end(facts), apply)
    }

    /// Whether it is the same with a stronger factor, where a weaker one does.
    fn is_more_than(&self, other: &Self) -> bool {
        let mut pairs = self.steps.iter().zip(&other.steps);
        self != other
            && self.steps.len() == other.steps.len()
            && pairs.all(|(one, other)| one == other || one.is_stronger_than(other))
    }

    /// What would have to be otherwise, in words.
    pub fn in_words(&self) -> String {
        let steps: Vec<String> = self.steps.iter().map(Step::in_words).collect();
        match self.lets_in_with {
            LetsInWith::Everything => steps.join("; and "),
            LetsInWith::LessThanAsked => {
                format!("{} (with less than was asked for)", steps.join("; and "))
            }
        }
    }
}

/// One thing that could have been otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The person who began comes back.
    SamePerson,
    /// The person signs in anew, so that Countersign verifies them now.
    SignInAgain,
    /// The provider authenticates the person anew, and says when.
    AuthenticateAgain,
    /// The provider or the registry vouches for the e-mail address.
    VerifyEmail,
    /// The login shows a second factor.
    SecondFactor {
        /// The level that it shows.
        level: Level,
        /// Whose word it is.
        basis: Basis,
        /// What it would carry.
        claims: Claims,
    },
    /// The person signs in as a member of one of the organisation's tenants.
    ThroughTenant {
        /// The organisation.
        organization: OrganizationId,
        /// One of its tenants.
        tenant: TenantId,
    },
    /// The request asks for no organisation.
    WithoutOrganization,
    /// The request demands nothing beyond the policy.
    WithoutDemands,
}

impl Step {
    fn is_stronger_than(&self, other: &Self) -> bool {
        let factor = |step: &Self| match step {
            Self::SecondFactor { level, basis, .. } => Some((*level, *basis)),
            Self::SamePerson
            | Self::SignInAgain
            | Self::AuthenticateAgain
            | Self::VerifyEmail
            | Self::ThroughTenant { .. }
            | Self::WithoutOrganization
            | Self::WithoutDemands => None,
        };
        let stronger = factor(self).zip(factor(other));
        stronger.is_some_and(|(one, other)| one.1 == other.1 && one.0 > other.0)
    }

    /// How much is asked of people: it orders the answers.
    fn cost(&self) -> u32 {
        match self {
            Self::SamePerson | Self::SignInAgain => 2,
            Self::AuthenticateAgain | Self::VerifyEmail => 3,
            Self::SecondFactor { level, .. } if *level > Level::Mfa => 6,
            Self::SecondFactor { .. } => 5,
            Self::ThroughTenant { .. } => 7,
            Self::WithoutOrganization | Self::WithoutDemands => 8,
        }
    }

    fn applied(&self, facts: Facts, now: Timestamp) -> Facts {
        let mut facts = facts;
        match self {
            Self::SamePerson => facts.identity_changed = false,
            Self::SignInAgain => {
                facts.login.verified_at = now;
                facts.withdrawn = false;
                made_anew(&mut facts, now);
            }
            Self::AuthenticateAgain => {
                facts.login.claims.auth_time = Claim::Value(now);
                made_anew(&mut facts, now);
            }
            Self::VerifyEmail => facts.account.email_vouched = true,
            Self::SecondFactor { basis, claims, .. } => {
                let sent = &mut facts.login.claims;
                match basis {
                    Basis::Session => {
                        sent.acr.clone_from(&claims.acr);
                        sent.amr.clone_from(&claims.amr);
                        sent.other.clone_from(&claims.other);
                        sent.unreadable.clone_from(&claims.unreadable);
                    }
                    Basis::Tenant => sent.acrs.clone_from(&claims.acrs),
                    Basis::Enrolment => {
                        sent.two_factor_authentication
                            .clone_from(&claims.two_factor_authentication);
                    }
                }
            }
            Self::ThroughTenant { tenant, .. } => {
                facts.login.tenant = Some(tenant.clone());
                facts.login.membership = Claim::Value(Membership::Member);
            }
            Self::WithoutOrganization => facts.organization = None,
            Self::WithoutDemands => facts.demands = Demands::default(),
        }
        facts
    }

    fn in_words(&self) -> String {
        match self {
            Self::SamePerson => "answered by the person who began".to_owned(),
            Self::SignInAgain => "signed in anew just then".to_owned(),
            Self::AuthenticateAgain => {
                "authenticated anew by the provider, which says so (`auth_time`)".to_owned()
            }
            Self::VerifyEmail => {
                "with a verified e-mail address, by the provider's word or the registry's"
                    .to_owned()
            }
            Self::SecondFactor {
                level,
                basis,
                claims,
            } => format!(
                "with {} ({}): `{}`",
                proof_in_words(*level, *basis),
                whose_word(*basis),
                in_words(&only(claims, *basis))
            ),
            Self::ThroughTenant {
                organization,
                tenant,
            } => format!("signed in as a member of `{organization}`, through its tenant {tenant}"),
            Self::WithoutOrganization => "without acting for the organization".to_owned(),
            Self::WithoutDemands => {
                "if the request itself had not demanded more than the policy".to_owned()
            }
        }
    }
}

fn whose_word(basis: Basis) -> &'static str {
    match basis {
        Basis::Session => "the provider says that this login used it",
        Basis::Enrolment => "the account has it switched on",
        Basis::Tenant => "the tenant's admin attests it",
    }
}

/// Of a login's claims those that prove something on this basis.
fn only(claims: &Claims, basis: Basis) -> Claims {
    let nothing = Claims::default();
    match basis {
        Basis::Session => Claims {
            acr: claims.acr.clone(),
            amr: claims.amr.clone(),
            other: claims.other.clone(),
            unreadable: claims.unreadable.clone(),
            ..nothing
        },
        Basis::Tenant => Claims {
            acrs: claims.acrs.clone(),
            ..nothing
        },
        Basis::Enrolment => Claims {
            two_factor_authentication: claims.two_factor_authentication.clone(),
            ..nothing
        },
    }
}

/// All that could be otherwise and is not so already.
fn steps(policy: &Policy, facts: &Facts, now: Timestamp) -> Vec<Step> {
    let mut steps = vec![Step::SamePerson, Step::SignInAgain, Step::VerifyEmail];
    // GitHub, whose proof alone is that flag, never says when.
    if !policy
        .proof(&facts.login.provider)
        .two_factor_authentication
    {
        steps.push(Step::AuthenticateAgain);
    }
    let through = through_tenants(policy, facts);
    let mut factors = second_factors(policy, facts);
    for step in &through {
        factors.extend(second_factors(policy, &step.applied(facts.clone(), now)));
    }
    for factor in factors {
        if !steps.contains(&factor) {
            steps.push(factor);
        }
    }
    steps.extend(through);
    steps.extend([Step::WithoutOrganization, Step::WithoutDemands]);
    steps.retain(|step| step.applied(facts.clone(), now) != *facts);
    steps
}

fn second_factors(policy: &Policy, facts: &Facts) -> Vec<Step> {
    let mut steps = Vec::new();
    for level in [Level::Mfa, Level::PhishingResistant] {
        for basis in [Basis::Session, Basis::Tenant, Basis::Enrolment] {
            let claims = showing::proving(policy, &facts.login, level, basis);
            steps.extend(claims.map(|claims| Step::SecondFactor {
                level,
                basis,
                claims: only(&claims, basis),
            }));
        }
    }
    steps
}

/// The most tenants of one organisation that are tried: any of them does.
const MOST_TENANTS: usize = 3;

fn through_tenants(policy: &Policy, facts: &Facts) -> Vec<Step> {
    let Some(organization) = &facts.organization else {
        return Vec::new();
    };
    let tenants = policy.organization(organization).map(|rule| &rule.tenants);
    let step = |tenant: &TenantId| Step::ThroughTenant {
        organization: organization.clone(),
        tenant: tenant.clone(),
    };
    let tenants = tenants.into_iter().flatten();
    tenants.take(MOST_TENANTS).map(step).collect()
}

/// Whoever has signed in anew makes their key anew.
fn made_anew(facts: &mut Facts, now: Timestamp) {
    facts.key_made_at = facts.key_made_at.map(|_| now);
}
