//! What a provider is asked for when a person is sent there.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use crate::mapping::contexts_of;
use crate::{
    ClientId, Demands, Level, Mapping, OrganizationId, Policy, ProviderId, Requirement, Scope,
    TenantId,
};

/// What to ask a provider for when a person is sent there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Whether the login is of use without it.
    pub strength: Strength,
    /// The provider's own `acr` values that prove MFA to this policy.
    pub acr_values: Vec<String>,
    /// Claims that the provider sends only if asked for them (OpenID Connect Core 5.5).
    pub claims: BTreeSet<String>,
    /// The tenant to sign in to, where it is known.
    pub tenant: Option<TenantId>,
    /// Authentication contexts of that tenant, any of which is enough.
    pub contexts: Vec<String>,
    /// Greatest age of the provider's authentication.
    pub max_age: Option<SignedDuration>,
    /// Whether the person must authenticate anew (`prompt=login`).
    pub reauthenticate: bool,
}

/// How firmly a provider is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// MFA is welcome; the login may be of use without it.
    Voluntary,
    /// Without MFA the login is of no use.
    Required,
}

impl Ask {
    /// What the first leg of a sign-in asks for: the evidence that will be needed, where the provider has it.
    pub fn first(
        policy: &Policy,
        provider: &ProviderId,
        (tenant, mappings): (Option<TenantId>, &[Mapping]),
        asked: &Asked<'_>,
    ) -> Self {
        let named = tenant.as_ref();
        let named = named.map_or_else(BTreeMap::new, |tenant| contexts_of(tenant, mappings));
        let tiers = asked.requirements(policy);
        let level = tiers
            .iter()
            .map(|one| one.level)
            .max()
            .unwrap_or(Level::None);
        let max_age = tiers
            .iter()
            .filter_map(|one| one.max_age)
            .chain(asked.demands.max_age)
            .min();
        Self {
            strength: Strength::Voluntary,
            max_age,
            reauthenticate: asked.demands.authenticated_since.is_some(),
            ..Self::for_level(policy, provider, (tenant, &named), level)
        }
    }

    pub(super) fn for_level(
        policy: &Policy,
        provider: &ProviderId,
        (tenant, named): (Option<TenantId>, &BTreeMap<String, Level>),
        level: Level,
    ) -> Self {
        let rule = policy.proof(provider);
        let resistant = |acr: &String| {
            policy.methods.phishing_resistant_acr.contains(acr) || rule.resistant_acr.contains(acr)
        };
        let acr_values = rule
            .acr
            .iter()
            .filter(|acr| level < Level::PhishingResistant || resistant(acr));
        let contexts = tenant
            .as_ref()
            .map(|tenant| policy.contexts(provider, tenant, named));
        let contexts = contexts
            .iter()
            .flat_map(|contexts| contexts.iter())
            .filter(|(_, attested)| level >= Level::Mfa && **attested >= level)
            .map(|(context, _)| context.clone())
            .collect();
        Self {
            strength: Strength::Required,
            acr_values: acr_values.cloned().collect(),
            claims: rule.asks.clone(),
            contexts,
            tenant,
            max_age: None,
            reauthenticate: false,
        }
    }
}

/// What a request asks for, as far as the policy has a say in it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The client that asks.
    pub client: &'a ClientId,
    /// The scopes it asks for.
    pub scopes: &'a BTreeSet<Scope>,
    /// The organisation that the person is to act for.
    pub organization: Option<&'a OrganizationId>,
    /// What it demands beyond the policy.
    pub demands: &'a Demands,
}

impl<'a> Asked<'a> {
    /// What signing in and each of the scopes needs.
    fn requirements(&self, policy: &'a Policy) -> Vec<Cow<'a, Requirement>> {
        let of_scopes = self.scopes.iter().filter_map(|scope| policy.tier_of(scope));
        policy
            .client_tier(self.client)
            .into_iter()
            .chain(of_scopes)
            .filter_map(|tier| policy.required(self.client, self.organization, tier))
            .collect()
    }
}
