//! What is true and what is allowed.
//!
//! Pure: no clock, no dice, no network, no file. `now` is an argument. Data flows one way:
//! a provider's verified claims become [`Evidence`], [`assess`] turns it into an
//! [`Assurance`], [`decide`] weighs that against the [`Policy`] and answers with a
//! [`Decision`], and [`sign_in`] turns the decision into the next step.
#![warn(missing_docs)]

pub mod acr;
pub mod api_keys;
mod assurance;
pub mod calendar;
pub mod cases;
mod decide;
pub mod diff;
pub mod document;
mod evidence;
pub mod explain;
pub mod expression;
mod facts;
mod id;
mod mapping;
mod policy;
mod reason;
mod recheck;
mod record;
pub mod registry;
mod service;
mod showing;
pub mod sign_in;
pub mod simulate;
mod user_code;

pub use acr::Acr;
pub use assurance::{Assurance, Attestation, Basis, Level, assess};
pub use decide::{
    Ask, Asked, Cause, Decision, Permit, Refusal, Rule, StepUp, Strength, Unmet, Wanted, decide,
};
pub use evidence::{
    Affiliation, Claim, Claims, Email, Evidence, GitHubMember, GitHubRole, Identity, Membership,
    Profile,
};
pub use expression::Expression;
pub use facts::{AccountFacts, Demands, Facts, Login, Remedy, Stated};
pub use id::{
    AccountId, ApiKeyId, AttemptId, ClientId, ExceptionName, GrantId, IdError, OrganizationId,
    ProviderId, RegistryName, Scope, SessionId, TenantId, TracePlace,
};
pub use mapping::{Belonging, Guests, Mapping, NotASource, RegistryRole, Source, belongings};
pub use policy::preset;
pub use policy::{
    ClientRule, Exception, Exceptions, Installation, Lifetimes, Loaded, MappingRule, Methods,
    OrganizationRule, Policy, ProofRule, ProviderKind, Requirement, Standing, Subject, Tier,
    TierName, WARNED_BEFORE, Waiver, When,
};
pub use reason::Reason;
pub use recheck::{Withdrawal, confirms};
pub use record::{LeftOut, LineVersion, Occasion, Outcome, Record, Verdict};
pub use service::{NotItsOwn, ServicePermit, decide_for_service};
pub use user_code::{NotAUserCode, UserCode};
