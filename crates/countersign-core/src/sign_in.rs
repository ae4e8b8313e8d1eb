//! The sign-in as a state machine: one attempt, at most two legs, one end.
//!
//! An [`Attempt`] is a value that travels in the browser, sealed. [`Attempt::advance`] consumes
//! it and says what comes next; no step calls another. A second leg is bound to the identity
//! of the first, and nothing of the first leg's evidence is merged into the second's.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    Ask, AttemptId, ClientId, Decision, Demands, Evidence, Facts, Identity, Permit, Policy,
    ProviderId, Reason, Refusal, Remedy, Scope, StepUp, TenantId, decide,
};

/// How long an attempt may take: people enrol in MFA inside it.
pub const ATTEMPT_LIFETIME: SignedDuration = SignedDuration::from_mins(60);

/// One sign-in, from `/authorize` to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its name; spent once.
    pub id: AttemptId,
    /// What the client asked for.
    pub request: Request,
    /// The provider that the person is sent to.
    pub provider: ProviderId,
    /// Which leg it is on.
    pub leg: Leg,
    /// What binds the provider's answer in this leg to this browser.
    pub visit: Visit,
    /// After this an answer is refused.
    pub expires_at: Timestamp,
}

/// A checked authorization request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The client.
    pub client: ClientId,
    /// One of the client's registered redirect URIs.
    pub redirect_uri: String,
    /// The scopes asked for.
    pub scopes: BTreeSet<Scope>,
    /// The client's `state`, given back unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The client's `nonce`, for the ID token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// The S256 challenge (RFC 7636).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_challenge: Option<String>,
    /// What it demands beyond the policy.
    #[serde(default)]
    pub demands: Demands,
}

/// Which leg of the sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leg {
    /// The first visit to the provider.
    First,
    /// The one step-up, bound to the person of the first leg.
    StepUp {
        /// Who signed in at first.
        identity: Identity,
    },
}

/// One visit to a provider: what binds its answer to this leg in this browser.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// `state` (RFC 6749 10.12).
    pub state: String,
    /// `nonce` (OpenID Connect Core 3.1.2.1).
    pub nonce: String,
    /// The PKCE verifier (RFC 7636).
    pub pkce_verifier: String,
    /// How the provider was told to answer.
    pub flow: Flow,
    /// The tenant that the person was sent to, and must come back from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
}

impl std::fmt::Debug for Visit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Visit([redacted])")
    }
}

/// How a provider was told to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flow {
    /// `response_type=code`, answered by a redirect.
    Code,
    /// `response_type=code id_token`, answered by `form_post`.
    Hybrid,
}

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// The session is opened and the client gets its code.
    Issue(Permit),
    /// The person goes back to the provider, once.
    StepUp(Box<SteppingUp>),
    /// It ends here.
    Refuse(Refusal),
}

/// An attempt between its two legs: it waits for the second visit.
#[derive(Debug)]
pub struct SteppingUp {
    attempt: Attempt,
    identity: Identity,
    /// What to ask the provider for.
    pub ask: Ask,
    /// Whom to suggest to the provider, so that the same person goes straight to the second factor.
    pub login_hint: Option<String>,
    /// What is missing, most telling first.
    pub reasons: Vec<Reason>,
}

impl Attempt {
    /// Weighs what the provider proved in this leg and says what comes next.
    ///
    /// `remedy` is what the provider could still do after a first leg; after a second there is none.
    pub fn advance(
        self,
        policy: &Policy,
        evidence: Evidence,
        remedy: Remedy,
        now: Timestamp,
    ) -> Next {
        let remedy = match &self.leg {
            Leg::First => remedy,
            Leg::StepUp { identity } if *identity == evidence.identity => Remedy::Nothing,
            Leg::StepUp { .. } => return Next::Refuse(Refusal::because(Reason::IdentityChanged)),
        };
        let identity = evidence.identity.clone();
        let login_hint = evidence.profile.login_hint.clone();
        match decide(policy, &self.facts(evidence, remedy), now) {
            Decision::Permit(permit) => Next::Issue(permit),
            Decision::Refuse(refusal) => Next::Refuse(refusal),
            Decision::StepUp(StepUp { ask, reasons }) => Next::StepUp(Box::new(SteppingUp {
                attempt: self,
                identity,
                ask,
                login_hint,
                reasons,
            })),
        }
    }

    fn facts(&self, evidence: Evidence, remedy: Remedy) -> Facts {
        Facts {
            client: self.request.client.clone(),
            scopes: self.request.scopes.clone(),
            demands: self.request.demands.clone(),
            evidence,
            remedy,
            session_expires_at: None,
        }
    }
}

impl SteppingUp {
    /// The provider that the person goes back to.
    pub fn provider(&self) -> &ProviderId {
        &self.attempt.provider
    }

    /// Begins the second leg.
    pub fn begin(self, visit: Visit) -> Attempt {
        Attempt {
            leg: Leg::StepUp {
                identity: self.identity,
            },
            visit,
            ..self.attempt
        }
    }
}
