//! The sign-in as a state machine: one attempt, at most two legs, one end.
//!
//! An [`Attempt`] is a value that travels in the browser, sealed. [`Attempt::advance`] consumes
//! it and says what comes next; no step calls another. A second leg is bound to the identity
//! of the first, and nothing of the first leg's evidence is merged into the second's.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::calendar::Due;
use crate::{
    AccountFacts, AccountId, Ask, Asked, AttemptId, ClientId, Decision, Demands, Evidence, Facts,
    Identity, Login, Mapping, OrganizationId, Permit, Policy, ProviderId, Reason, Refusal, Remedy,
    Scope, SessionId, StepUp, TenantId, UserCode, Verdict, Waiver, decide,
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
    /// Where what comes of it goes.
    #[serde(flatten)]
    pub destination: Destination,
    /// The scopes asked for.
    pub scopes: BTreeSet<Scope>,
    /// The organisation that the person is to act for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<OrganizationId>,
    /// The organisation that the person is to manage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manages: Option<OrganizationId>,
    /// The client's `state`, given back unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The client's `nonce`, for the ID token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// The S256 challenge (RFC 7636).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_challenge: Option<String>,
    /// The account that the client means (`id_token_hint`): nobody else may answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<AccountId>,
    /// The audience that its access tokens are to be for (RFC 8707), where it is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The thumbprint of the key that its code is bound to (RFC 9449 10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpop_jkt: Option<String>,
    /// Where it was pushed (RFC 9126): what it can lead to only once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed: Option<Pushed>,
    /// What it demands beyond the policy.
    #[serde(default)]
    pub demands: Demands,
}

/// Where what comes of a sign-in goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Destination {
    /// One of the client's registered redirect URIs: the person is sent there.
    #[serde(rename = "redirect_uri")]
    RedirectUri(String),
    /// A device that shows this user code, and asks for its tokens itself (RFC 8628): the person stays here.
    #[serde(rename = "device")]
    Device(UserCode),
    /// A page of our own, by its path: the person stays here.
    #[serde(rename = "page")]
    Page(String),
    /// An organisation is to be connected to what this sign-in speaks for. Nobody is signed in by it.
    #[serde(rename = "connection")]
    Connection(Connecting),
    /// The identity that signs in is to lead to an account that somebody has already. Nobody is signed in by it.
    #[serde(rename = "link")]
    Link(Linking),
}

impl Destination {
    /// Whether whoever comes back is signed in by it. Where not, they show something to who is signed in already.
    pub fn is_sign_in(&self) -> bool {
        match self {
            Self::RedirectUri(_) | Self::Device(_) | Self::Page(_) => true,
            Self::Connection(_) | Self::Link(_) => false,
        }
    }
}

/// Whose account another identity is to lead to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linking {
    /// The account.
    pub account: AccountId,
    /// The session of its owner, who began it.
    pub session: SessionId,
}

/// Which organisation somebody shows that they may connect, and who wants that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connecting {
    /// The organisation.
    pub organization: OrganizationId,
    /// The session of its admin, who began it.
    pub session: SessionId,
    /// The tenant that is to be shown, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
}

/// A request that its client has pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// Its name; a code is given for it once.
    pub id: String,
    /// Until when a person may begin with it.
    pub until: Timestamp,
}

impl Request {
    /// Where the person is sent with what comes of it, if they are sent anywhere.
    pub fn redirect_uri(&self) -> Option<&str> {
        match &self.destination {
            Destination::RedirectUri(uri) => Some(uri),
            Destination::Device(_)
            | Destination::Page(_)
            | Destination::Connection(_)
            | Destination::Link(_) => None,
        }
    }

    /// What of it the policy has a say in.
    pub fn asked(&self) -> Asked<'_> {
        Asked {
            client: &self.client,
            scopes: &self.scopes,
            organization: self.organization.as_ref(),
            demands: &self.demands,
        }
    }
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

/// One decision of a sign-in, and what follows from it.
#[derive(Debug)]
pub struct Step {
    /// What comes next.
    pub next: Next,
    /// What was decided, for the decision log.
    pub verdict: Verdict,
    /// What it rests on.
    pub facts: Facts,
}

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// The session is opened and the client gets its code.
    Issue(Box<Permit>),
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
    /// What the calendar says of the account, where a second factor is missing.
    pub due: Option<Due>,
}

/// What is known of who comes back, from the store.
#[derive(Debug, Clone)]
pub struct Known {
    /// The account of the identity, or the one that it would get.
    pub account: AccountFacts,
    /// The mappings in force of whom the login comes from.
    pub mappings: Vec<Mapping>,
    /// What the organisation that is asked for was granted.
    pub waivers: Vec<Waiver>,
}

impl Attempt {
    /// Weighs what the provider proved in this leg and says what comes next.
    ///
    /// `remedy` is what the provider could still do after a first leg; after a second there is none.
    pub fn advance(
        self,
        policy: &Policy,
        evidence: &Evidence,
        known: Known,
        remedy: Remedy,
        now: Timestamp,
    ) -> Step {
        let facts = self.facts(evidence, known, remedy);
        let decision = decide(policy, &facts, now);
        let verdict = Verdict::from(&decision);
        let next = match decision {
            Decision::Permit(permit) => Next::Issue(Box::new(permit)),
            Decision::Refuse(refusal) => Next::Refuse(refusal),
            Decision::StepUp(StepUp {
                ask, reasons, due, ..
            }) => Next::StepUp(Box::new(SteppingUp {
                attempt: self,
                identity: evidence.identity.clone(),
                ask,
                login_hint: evidence.profile.login_hint.clone(),
                reasons,
                due,
            })),
        };
        Step {
            next,
            verdict,
            facts,
        }
    }

    fn facts(&self, evidence: &Evidence, known: Known, remedy: Remedy) -> Facts {
        let (remedy, identity_changed) = match &self.leg {
            Leg::First => (remedy, false),
            Leg::StepUp { identity } => (Remedy::Nothing, *identity != evidence.identity),
        };
        Facts {
            client: self.request.client.clone(),
            scopes: self.request.scopes.clone(),
            organization: self.request.organization.clone(),
            manages: self.request.manages.clone(),
            demands: self.request.demands.clone(),
            login: Login::of(evidence, &known.mappings),
            mappings: known.mappings,
            waivers: known.waivers,
            identity_changed,
            withdrawn: false,
            account: known.account,
            remedy,
            session_expires_at: None,
            stated: None,
            key_made_at: None,
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
