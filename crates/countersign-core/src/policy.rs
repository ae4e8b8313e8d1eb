//! The policy: who must show what. A value; the file it comes from is read in [`load`].

mod load;

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde::Serialize;

use crate::{Basis, ClientId, Level, ProviderId, Scope, TenantId};

/// Who must show what. Read from `policy.toml` by [`Policy::parse`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    pub(crate) proofs: BTreeMap<ProviderId, ProofRule>,
    pub(crate) methods: Methods,
    pub(crate) tiers: BTreeMap<TierName, Tier>,
    pub(crate) clients: BTreeMap<ClientId, ClientRule>,
}

impl Policy {
    /// What counts as proof at this provider; nothing counts at one that the policy does not name.
    pub fn proof(&self, provider: &ProviderId) -> &ProofRule {
        static NOTHING: ProofRule = ProofRule::nothing();
        self.proofs.get(provider).unwrap_or(&NOTHING)
    }

    /// The tier that a scope belongs to: exactly one, or none for an unlisted scope.
    pub fn tier_of(&self, scope: &Scope) -> Option<&TierName> {
        self.tiers
            .iter()
            .find(|(_, tier)| tier.scopes.contains(scope))
            .map(|(name, _)| name)
    }

    /// Every scope of every tier.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.tiers.values().flat_map(|tier| &tier.scopes)
    }

    /// The requirement of a tier.
    pub fn requirement(&self, tier: &TierName) -> Option<&Requirement> {
        self.tiers.get(tier).map(|tier| &tier.requirement)
    }

    /// The tier that signing in to this client needs.
    pub fn client_tier(&self, client: &ClientId) -> Option<&TierName> {
        self.clients.get(client).map(|rule| &rule.tier)
    }

    /// The providers that the policy names, for the check that each is configured.
    pub fn providers(&self) -> impl Iterator<Item = &ProviderId> {
        self.proofs.keys()
    }

    /// The clients that the policy names, for the check that each is configured.
    pub fn clients(&self) -> impl Iterator<Item = &ClientId> {
        self.clients.keys()
    }
}

/// What a provider is, by the name of its table in `countersign.toml`: `[provider.KIND.NAME]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderKind {
    /// Microsoft personal accounts.
    MicrosoftAccount,
    /// Microsoft Entra ID: work and school accounts.
    Entra,
    /// GitHub.com, GitHub Enterprise Server, GHE.com.
    GitHub,
    /// Any OpenID Connect provider.
    Oidc,
}

impl ProviderKind {
    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MicrosoftAccount => "microsoft-account",
            Self::Entra => "entra",
            Self::GitHub => "github",
            Self::Oidc => "oidc",
        }
    }
}

/// The operator's name of a tier (`browse`, `publish`, …).
pub type TierName = String;

/// What counts as proof of a second factor at one provider: `[proof.NAME]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProofRule {
    /// Values of `acr`, each of which proves MFA on basis *session*. Compared exactly.
    pub acr: BTreeSet<String>,
    /// Values of `amr`, each of which proves MFA on basis *session*. Compared exactly.
    pub amr: BTreeSet<String>,
    /// Whether GitHub's flag proves MFA, on basis *enrolment*.
    pub two_factor_authentication: bool,
    /// Entra's authentication contexts: per tenant, the level that its admin attests by each.
    pub tenants: BTreeMap<TenantId, BTreeMap<String, Level>>,
}

impl ProofRule {
    const fn nothing() -> Self {
        Self {
            acr: BTreeSet::new(),
            amr: BTreeSet::new(),
            two_factor_authentication: false,
            tenants: BTreeMap::new(),
        }
    }
}

/// What is true of authentication methods at every provider: `[methods]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Methods {
    /// `amr` values (RFC 8176) that never count as a second factor.
    pub never: BTreeSet<String>,
    /// `acr` values that show a phishing-resistant login, where MFA is proven too.
    pub phishing_resistant_acr: BTreeSet<String>,
}

/// A kind of action: `[tier.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// The scopes of this tier. A scope is in exactly one tier.
    pub scopes: BTreeSet<Scope>,
    /// What it needs.
    pub requirement: Requirement,
}

/// The level, the accepted bases and the freshness that an action needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Requirement {
    /// The least level.
    pub level: Level,
    /// The bases that count. Empty only where `level` is [`Level::None`].
    pub accepts: BTreeSet<Basis>,
    /// Greatest age of the provider's `auth_time`; an absent one is not met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<SignedDuration>,
    /// Greatest time since Countersign itself verified the evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_evidence_age: Option<SignedDuration>,
}

/// What the policy says of one client: `[client.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRule {
    /// The tier that signing in at all needs.
    pub tier: TierName,
}
