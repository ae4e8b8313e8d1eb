//! What is true and what is allowed.
//!
//! Pure: no clock, no dice, no network, no file. `now` is an argument. Data flows one way:
//! a provider's verified claims become [`Evidence`], [`assess`] turns it into an
//! [`Assurance`], [`decide`] weighs that against the [`Policy`] and answers with a
//! [`Decision`], and [`sign_in`] turns the decision into the next step.
#![warn(missing_docs)]

pub mod acr;
mod assurance;
mod decide;
pub mod document;
mod evidence;
mod id;
mod policy;
mod reason;
pub mod sign_in;

pub use acr::Acr;
pub use assurance::{Assurance, Attestation, Basis, Level, assess};
pub use decide::{
    Ask, Cause, Decision, Demands, Facts, Permit, Refusal, Remedy, StepUp, Strength, Unmet, decide,
};
pub use evidence::{Claim, Claims, Email, Evidence, Identity, Membership, Profile};
pub use id::{AccountId, AttemptId, ClientId, IdError, ProviderId, Scope, SessionId, TenantId};
pub use policy::{
    ClientRule, Methods, Policy, ProofRule, ProviderKind, Requirement, Tier, TierName,
};
pub use reason::Reason;
