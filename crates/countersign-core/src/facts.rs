//! All that a decision rests on, besides the policy and the time.
//!
//! Nothing here names a person but the account id, so that a line of the decision log can hold
//! all of it and a decision can be made again from there.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::mapping::contexts_of;
use crate::{
    AccountId, Acr, Claim, Claims, ClientId, Evidence, Level, Mapping, Membership, OrganizationId,
    Permit, ProviderId, Scope, Source, TenantId, Waiver,
};

/// All that a decision rests on, besides the policy and the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The client that asks.
    pub client: ClientId,
    /// The scopes it asks for, `openid` among them.
    pub scopes: BTreeSet<Scope>,
    /// The organisation that the person is to act for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<OrganizationId>,
    /// The organisation that the person is to manage, belonging to it or not: what it demands counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manages: Option<OrganizationId>,
    /// The mappings in force of whom the login comes from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mappings: Vec<Mapping>,
    /// What the organisation that the person is to act for was granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<Waiver>,
    /// What the request demands beyond the policy.
    #[serde(default, skip_serializing_if = "Demands::is_nothing")]
    pub demands: Demands,
    /// What the login proved.
    pub login: Login,
    /// Whether a step-up was answered by another person than the one who began.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub identity_changed: bool,
    /// Whether the provider was asked again at a refresh, and no longer confirms the login.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
    /// What is known of the account.
    pub account: AccountFacts,
    /// What can still be done where that is not enough.
    pub remedy: Remedy,
    /// When the session ends, where there is one; no token outlives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_expires_at: Option<Timestamp>,
    /// What earlier tokens stated of this login, where there are any: the next ones state nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated: Option<Stated>,
    /// When the API key was made that is used, where one is: the login behind it was fresh then, or never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_made_at: Option<Timestamp>,
}

impl Facts {
    /// The organisation whose own demands count, if there is one.
    pub(crate) fn demanding(&self) -> Option<&OrganizationId> {
        self.organization.as_ref().or(self.manages.as_ref())
    }

    /// As of when the login must be fresh: now, or when the key was made that is used.
    pub(crate) fn fresh_at(&self, now: Timestamp) -> Timestamp {
        self.key_made_at.map_or(now, |made_at| made_at.min(now))
    }
}

/// What the tokens of a grant state of its login, all of them alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stated {
    /// `acr`.
    pub acr: Acr,
    /// `amr`.
    pub amr: Vec<String>,
    /// The level, as in tokens.
    pub level: String,
    /// The basis, as in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<String>,
}

impl Stated {
    /// What a permit states.
    pub fn by(permit: &Permit) -> Self {
        Self {
            acr: permit.acr(),
            amr: permit.amr().to_vec(),
            level: permit.level().as_str().to_owned(),
            basis: permit.basis().map(|basis| basis.as_str().to_owned()),
        }
    }
}

/// What one completed login proved, without who it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The provider that vouches.
    pub provider: ProviderId,
    /// The Entra tenant that the login belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// The claims that proof rules read.
    #[serde(default)]
    pub claims: Claims,
    /// Whether the person is a guest in that tenant.
    #[serde(default, skip_serializing_if = "Claim::is_absent")]
    pub membership: Claim<Membership>,
    /// The organisations of GitHub's whose member the person is, or the issuer that vouches; an Entra login's
    /// tenant has a place of its own.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub belongs: BTreeSet<Source>,
    /// Groups and app roles of the tenant, as far as a mapping names them.
    #[serde(default, skip_serializing_if = "Claim::is_absent")]
    pub groups: Claim<BTreeSet<String>>,
    /// What the authentication contexts of its tenant attest, by the tenant's own admins (see [`Mapping::contexts`]).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub contexts: BTreeMap<String, Level>,
    /// Whether the provider verified the e-mail address, and is one whose word on it counts.
    #[serde(default)]
    pub email_verified: bool,
    /// When Countersign itself verified the evidence.
    pub verified_at: Timestamp,
}

impl Login {
    /// A login of which nothing is known but where and when it was.
    pub fn new(provider: ProviderId, verified_at: Timestamp) -> Self {
        Self {
            provider,
            tenant: None,
            claims: Claims::default(),
            membership: Claim::Absent,
            belongs: BTreeSet::new(),
            groups: Claim::Absent,
            contexts: BTreeMap::new(),
            email_verified: false,
            verified_at,
        }
    }

    /// What a login proved, with what those said who mapped its tenant.
    pub fn of(evidence: &Evidence, mappings: &[Mapping]) -> Self {
        Self::from(evidence).mapped(mappings)
    }

    /// The same login, with what those say now who mapped its tenant.
    #[must_use]
    pub fn mapped(self, mappings: &[Mapping]) -> Self {
        let tenant = self.tenant.as_ref();
        let contexts = tenant.map(|tenant| contexts_of(tenant, mappings));
        let contexts = contexts.unwrap_or_default();
        Self { contexts, ..self }
    }

    /// Whom the login comes from, as far as it can be mapped.
    pub fn sources(&self) -> impl Iterator<Item = Source> {
        let tenant = self.tenant.iter().filter(|tenant| !tenant.is_consumers());
        let tenant = tenant.cloned().map(Source::Tenant);
        tenant.chain(self.belongs.iter().cloned())
    }
}

impl From<&Evidence> for Login {
    fn from(evidence: &Evidence) -> Self {
        let email = evidence.profile.email.as_ref();
        Self {
            provider: evidence.provider.clone(),
            tenant: evidence.tenant().cloned(),
            claims: evidence.claims.clone(),
            membership: evidence.membership.clone(),
            belongs: evidence.belongs(),
            groups: evidence.affiliation.groups.clone(),
            contexts: BTreeMap::new(),
            email_verified: email.is_some_and(|email| email.verified),
            verified_at: evidence.verified_at,
        }
    }
}

/// What is known of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountFacts {
    /// Its id; the one it will get, where this is its first login.
    pub id: AccountId,
    /// When it was made, here or at the registry, whichever is earlier.
    pub made_at: Timestamp,
    /// The keyed hash of its id: where in a period of the calendar its day lies.
    pub spread: u64,
    /// The day that it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_due: Option<Date>,
    /// When it was first seen with multi-factor authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_mfa_at: Option<Timestamp>,
    /// Whether the registry vouched for its e-mail address.
    #[serde(default)]
    pub email_vouched: bool,
    /// Whether an operator has locked it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub locked: bool,
}

/// What an authorization request demands beyond the policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demands {
    /// `acr_values`, ours only: alternatives, any one met suffices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acr_values: Vec<Acr>,
    /// `max_age` (OpenID Connect Core 3.1.2.1), answered from the provider's `auth_time` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<SignedDuration>,
    /// `prompt=login`: the provider's `auth_time` must not lie before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticated_since: Option<Timestamp>,
}

impl Demands {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// What can still be done for a login that is not good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// The person can be sent back to the provider, once.
    StepUp,
    /// They were, or the provider can't be asked for more, or nobody is there to be sent.
    Nothing,
}
