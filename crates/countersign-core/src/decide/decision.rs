//! What a decision says: a permit, one more visit to the provider, or a refusal with its reasons.

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Ask;
use crate::calendar::Due;
use crate::{
    Acr, Basis, Belonging, ClientId, ExceptionName, Level, OrganizationId, ProviderId, Reason,
    Scope, TenantId, TierName,
};

/// What is to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Tokens may be minted.
    Permit(Permit),
    /// The person is sent back to the provider once, with everything that is missing.
    StepUp(StepUp),
    /// Nothing is issued.
    Refuse(Refusal),
}

impl Decision {
    /// The part of the policy that decided, by its name in the file: `tier.publish`.
    pub fn rule(&self) -> &Rule {
        match self {
            Self::Permit(permit) => &permit.rule,
            Self::StepUp(step_up) => &step_up.rule,
            Self::Refuse(refusal) => &refusal.rule,
        }
    }

    /// What is missing for what was asked, most telling first; empty where all is granted.
    pub fn reasons(&self) -> &[Reason] {
        match self {
            Self::Permit(permit) => permit.unmet.first().map_or(&[], |unmet| &unmet.reasons),
            Self::StepUp(step_up) => &step_up.reasons,
            Self::Refuse(refusal) => &refusal.reasons,
        }
    }
}

/// A part of the policy file, by its name there: `tier.publish`, `calendar`, `exception.NAME`;
/// `request`, where the request demanded more than the policy; `grant`, where earlier tokens stated something else; or
/// `recheck`, where the provider was asked again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rule(String);

impl Rule {
    pub(crate) fn tier(tier: &TierName) -> Self {
        Self(format!("tier.{tier}"))
    }

    pub(super) fn client(client: &ClientId) -> Self {
        Self(format!("client.{client}"))
    }

    pub(super) fn providers_of(client: &ClientId) -> Self {
        Self(format!("client.{client}.providers"))
    }

    pub(super) fn of_client(client: &ClientId, tier: &TierName) -> Self {
        Self(format!("client.{client}.stricter.{tier}"))
    }

    pub(super) fn of_organization(organization: &OrganizationId, tier: &TierName) -> Self {
        Self(format!("organization.{organization}.stricter.{tier}"))
    }

    pub(super) fn tenants_of(organization: &OrganizationId) -> Self {
        Self(format!("organization.{organization}.tenants"))
    }

    pub(super) fn exception(name: &ExceptionName) -> Self {
        Self(format!("exception.{name}"))
    }

    pub(super) fn calendar() -> Self {
        Self("calendar".to_owned())
    }

    pub(crate) fn operators() -> Self {
        Self("operators".to_owned())
    }

    pub(super) fn request() -> Self {
        Self("request".to_owned())
    }

    pub(super) fn account() -> Self {
        Self("account".to_owned())
    }

    pub(super) fn grant() -> Self {
        Self("grant".to_owned())
    }

    pub(super) fn recheck() -> Self {
        Self("recheck".to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The only value from which a token can be minted. Its fields can be read, not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    pub(super) client: ClientId,
    pub(super) scopes: BTreeSet<Scope>,
    pub(super) unmet: Vec<Unmet>,
    pub(super) acr: Acr,
    pub(super) amr: Vec<String>,
    pub(super) auth_time: Option<Timestamp>,
    pub(super) provider: ProviderId,
    pub(super) tenant: Option<TenantId>,
    pub(super) organization: Option<OrganizationId>,
    pub(super) belongings: Vec<Belonging>,
    pub(super) level: Level,
    pub(super) basis: Option<Basis>,
    pub(super) proof: Option<String>,
    pub(super) mfa_due: Option<Date>,
    pub(super) waiver: Option<ExceptionName>,
    pub(super) rule: Rule,
    pub(super) lenient_until: Option<Timestamp>,
    pub(super) not_after: Option<Timestamp>,
}

impl Permit {
    /// The client it was made for.
    pub fn client(&self) -> &ClientId {
        &self.client
    }
    /// The scopes that are granted.
    pub fn scopes(&self) -> &BTreeSet<Scope> {
        &self.scopes
    }
    /// The scopes that were asked for and are not granted, with why.
    pub fn unmet(&self) -> &[Unmet] {
        &self.unmet
    }
    /// The `acr` of the tokens.
    pub fn acr(&self) -> Acr {
        self.acr
    }
    /// The `amr` of the tokens.
    pub fn amr(&self) -> &[String] {
        &self.amr
    }
    /// The provider's `auth_time`, or nothing.
    pub fn auth_time(&self) -> Option<Timestamp> {
        self.auth_time
    }
    /// The provider that vouched.
    pub fn provider(&self) -> &ProviderId {
        &self.provider
    }
    /// The Entra tenant of the login.
    pub fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }
    /// The organisation that the person acts for, where the login comes from one of its tenants.
    pub fn organization(&self) -> Option<&OrganizationId> {
        self.organization.as_ref()
    }
    /// The organisations that the tokens may be used for, and what shows that the person belongs to them.
    pub fn belongings(&self) -> &[Belonging] {
        &self.belongings
    }
    /// The level that the tokens state.
    pub fn level(&self) -> Level {
        self.level
    }
    /// Whose word it rests on; nothing at a level without a proof.
    pub fn basis(&self) -> Option<Basis> {
        self.basis
    }
    /// The claim and the value that prove it.
    pub fn proof(&self) -> Option<&str> {
        self.proof.as_deref()
    }
    /// The day from which this account must show a second factor, where it was let in without.
    pub fn mfa_due(&self) -> Option<Date> {
        self.mfa_due
    }
    /// The exception that it rests on.
    pub fn waiver(&self) -> Option<&ExceptionName> {
        self.waiver.as_ref()
    }
    /// When what it rests on instead of a proof ends: an exception, or the account's time without. Nothing made
    /// from this, of whatever kind, may be valid after.
    pub fn lenient_until(&self) -> Option<Timestamp> {
        self.lenient_until
    }
    /// No token minted from this may be valid after.
    pub fn not_after(&self) -> Option<Timestamp> {
        self.not_after
    }
    /// Whether the login was multi-factor, on any basis.
    pub fn shows_mfa(&self) -> bool {
        self.level >= Level::Mfa
    }
}

/// A scope that is left out, why, and what would meet it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// The scope.
    pub scope: Scope,
    /// Its tier.
    pub tier: TierName,
    /// The part of the policy that is not met.
    pub rule: Rule,
    /// What is missing.
    pub reasons: Vec<Reason>,
    /// What would meet it.
    pub wanted: Wanted,
}

/// What a login must show for a scope that was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The `acr_values` of which any one is enough (RFC 9470 4); empty where no second factor is missing.
    pub acr_values: Vec<Acr>,
    /// The greatest age of the provider's authentication (RFC 9470 4), where that is missing.
    pub max_age: Option<SignedDuration>,
    /// Whether the person must sign in anew.
    pub reauthenticate: bool,
    /// Whether a verified e-mail address is missing.
    pub verified_email: bool,
}

/// The person is sent back to the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepUp {
    /// What to ask the provider for.
    pub ask: Ask,
    /// The part of the policy that asks for it.
    pub rule: Rule,
    /// What is missing, most telling first.
    pub reasons: Vec<Reason>,
    /// Since when the account must show a second factor, where the policy has a calendar and that is missing.
    pub due: Option<Due>,
}

/// Nothing is issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What is missing, most telling first; never empty.
    pub reasons: Vec<Reason>,
    /// The part of the policy that is not met.
    pub rule: Rule,
    /// Who asked for what is missing.
    pub cause: Cause,
    /// Since when the account must show a second factor, where the policy has a calendar and that is missing.
    pub due: Option<Due>,
}

/// Who asked for what a login could not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The registry's policy: the person is told.
    Policy,
    /// The request itself (`acr_values`, `max_age`, `prompt=login`): the client is told
    /// (`unmet_authentication_requirements`).
    Request,
}

impl Refusal {
    pub(super) fn by(rule: Rule, reason: Reason) -> Self {
        Self {
            reasons: vec![reason],
            rule,
            cause: Cause::Policy,
            due: None,
        }
    }

    /// The most telling reason.
    pub fn reason(&self) -> Reason {
        self.reasons.first().copied().unwrap_or(Reason::MfaUnknown)
    }
}
