//! The policy: who must show what. A value; the file it comes from is read in [`load`].

mod exception;
mod load;
pub mod preset;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde::Serialize;

#[cfg(test)]
pub(crate) use load::weak_logins;
pub use load::{Installation, Loaded};
pub(crate) use load::{can_prove_acr, can_prove_amr};

pub use exception::{Exception, Exceptions, Standing, Subject, WARNED_BEFORE, Waiver};

use crate::api_keys::ApiKeyRule;
use crate::calendar::Calendar;
use crate::expression::Expression;
use crate::{
    AccountId, Assurance, Basis, ClientId, Level, Login, OrganizationId, ProviderId, RegistryRole,
    Scope, Source, TenantId, assess,
};

/// Who must show what. Read from `policy.toml` by [`Policy::load`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    pub(crate) proofs: BTreeMap<ProviderId, ProofRule>,
    pub(crate) methods: Methods,
    pub(crate) calendar: Option<Calendar>,
    pub(crate) tiers: BTreeMap<TierName, Tier>,
    pub(crate) clients: BTreeMap<ClientId, ClientRule>,
    pub(crate) organizations: BTreeMap<OrganizationId, OrganizationRule>,
    pub(crate) mapping: MappingRule,
    pub(crate) operators: BTreeSet<AccountId>,
    pub(crate) exceptions: Exceptions,
    pub(crate) api_keys: Option<ApiKeyRule>,
    pub(crate) lifetimes: Lifetimes,
}

impl Policy {
    /// What counts as proof at this provider; nothing counts at one that the policy does not name.
    pub fn proof(&self, provider: &ProviderId) -> &ProofRule {
        self.proofs.get(provider).unwrap_or(Self::no_proof())
    }

    /// What counts at a provider that the policy does not name.
    fn no_proof() -> &'static ProofRule {
        static NOTHING: ProofRule = ProofRule::nothing();
        &NOTHING
    }

    /// What a login amounts to.
    pub fn assess(&self, login: &Login) -> Assurance {
        let contexts = login
            .tenant
            .as_ref()
            .map(|tenant| self.contexts(&login.provider, tenant, &login.contexts));
        let rule = self.proof(&login.provider);
        assess(rule, &self.methods, contexts.as_deref(), login)
    }

    /// The claims that expressions of this provider's proof name, and that evidence must keep for them.
    pub fn claims_read(&self, provider: &ProviderId) -> BTreeSet<String> {
        let when = self.proof(provider).when.as_ref();
        when.into_iter()
            .flat_map(|when| when.expression.other_claims())
            .map(str::to_owned)
            .collect()
    }

    /// The tier that a scope belongs to: exactly one, or none for an unlisted scope.
    pub fn tier_of(&self, scope: &Scope) -> Option<&TierName> {
        self.tiers
            .iter()
            .find(|(_, tier)| tier.scopes.contains(scope))
            .map(|(name, _)| name)
    }

    /// The tiers, by name.
    pub fn tiers(&self) -> impl Iterator<Item = (&TierName, &Tier)> {
        self.tiers.iter()
    }

    /// The level that each authentication context of this tenant attests at this provider: as the file says, and for
    /// those that it does not name as the tenant's own admins said (`named`), within what the policy lets them.
    pub(crate) fn contexts(
        &self,
        provider: &ProviderId,
        tenant: &TenantId,
        named: &BTreeMap<String, Level>,
    ) -> Cow<'_, BTreeMap<String, Level>> {
        static NONE: BTreeMap<String, Level> = BTreeMap::new();
        let in_file = self.proof(provider).tenants.get(tenant);
        let mut contexts = Cow::Borrowed(in_file.unwrap_or(&NONE));
        for (context, level) in named {
            let level = (*level).min(self.mapping.attests);
            if level >= Level::Mfa && !contexts.contains_key(context) {
                contexts.to_mut().insert(context.clone(), level);
            }
        }
        contexts
    }

    /// Every scope of every tier.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.tiers.values().flat_map(|tier| &tier.scopes)
    }

    /// What a tier requires of everybody.
    pub fn requirement(&self, tier: &TierName) -> Option<&Requirement> {
        self.tiers.get(tier).map(|tier| &tier.requirement)
    }

    /// What a tier requires of who uses this client, and acts for this organisation.
    pub fn required(
        &self,
        client: &ClientId,
        organization: Option<&OrganizationId>,
        tier: &TierName,
    ) -> Option<Cow<'_, Requirement>> {
        let everybody = Cow::Borrowed(self.requirement(tier)?);
        let stricter = [
            self.of_client(client, tier),
            self.of_organization(organization, tier),
        ];
        let all = stricter
            .into_iter()
            .flatten()
            .fold(everybody, |all, one| Cow::Owned(all.and(one)));
        Some(all)
    }

    pub(crate) fn of_client(&self, client: &ClientId, tier: &TierName) -> Option<&Requirement> {
        self.clients.get(client)?.stricter.get(tier)
    }

    pub(crate) fn of_organization(
        &self,
        organization: Option<&OrganizationId>,
        tier: &TierName,
    ) -> Option<&Requirement> {
        self.organizations.get(organization?)?.stricter.get(tier)
    }

    /// The tier that signing in to this client needs.
    pub fn client_tier(&self, client: &ClientId) -> Option<&TierName> {
        self.clients.get(client).map(|rule| &rule.tier)
    }

    /// Whether people may sign in to a client with this provider.
    pub fn admits(&self, client: &ClientId, provider: &ProviderId) -> bool {
        let rule = self.clients.get(client);
        let providers = rule.and_then(|rule| rule.providers.as_ref());
        providers.is_none_or(|providers| providers.contains(provider))
    }

    /// What a client may do as itself, without any person.
    pub(crate) fn own_scopes(&self, client: &ClientId) -> &BTreeSet<Scope> {
        static NONE: BTreeSet<Scope> = BTreeSet::new();
        self.clients
            .get(client)
            .map_or(&NONE, |rule| &rule.own_scopes)
    }

    /// From which day accounts must show a second factor; without a calendar all of them must now.
    pub fn calendar(&self) -> Option<&Calendar> {
        self.calendar.as_ref()
    }

    /// What is waived case by case.
    pub fn exceptions(&self) -> &Exceptions {
        &self.exceptions
    }

    /// What holds for API keys.
    pub fn api_keys(&self) -> Option<&ApiKeyRule> {
        self.api_keys.as_ref()
    }

    /// How long things live.
    pub fn lifetimes(&self) -> &Lifetimes {
        &self.lifetimes
    }

    /// What the policy says of an organisation.
    pub fn organization(&self, id: &OrganizationId) -> Option<&OrganizationRule> {
        self.organizations.get(id)
    }

    /// The organisations whose people sign in through this source, as the file says.
    pub fn organizations_of(&self, source: &Source) -> impl Iterator<Item = &OrganizationId> {
        let tenant = match source {
            Source::Tenant(tenant) => Some(tenant),
            Source::GitHubOrganization { .. } | Source::Issuer(_) => None,
        };
        let of = |tenant| {
            let has = move |(_, rule): &(_, &OrganizationRule)| rule.tenants.contains(tenant);
            self.organizations.iter().filter(has).map(|(id, _)| id)
        };
        tenant.into_iter().flat_map(of)
    }

    /// Who may connect a tenant to an organisation, and what that does.
    pub fn mapping(&self) -> &MappingRule {
        &self.mapping
    }

    /// The accounts that are operators': `[operators]`.
    pub fn operators(&self) -> impl Iterator<Item = &AccountId> {
        self.operators.iter()
    }

    /// Whether an account is one of them.
    pub fn is_operator(&self, account: &AccountId) -> bool {
        self.operators.contains(account)
    }

    /// The organisations that the policy names.
    pub fn organizations(&self) -> impl Iterator<Item = &OrganizationId> {
        self.organizations.keys()
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
    /// An expression over the claims that proves a level on basis *session*.
    pub when: Option<When>,
    /// Whether GitHub's flag proves MFA, on basis *enrolment*.
    pub two_factor_authentication: bool,
    /// Entra's authentication contexts: per tenant, the level that its admin attests by each.
    pub tenants: BTreeMap<TenantId, BTreeMap<String, Level>>,
    /// What values of `amr` mean that are the vendor's own words: theirs to RFC 8176's.
    pub amr_meanings: BTreeMap<String, String>,
    /// Claims that come only when they are asked for.
    pub asks: BTreeSet<String>,
    /// Values of `acr` that show a phishing-resistant login at this vendor, where MFA is proven too.
    pub resistant_acr: BTreeSet<String>,
    /// Values of `amr` that do.
    pub resistant_amr: BTreeSet<String>,
}

impl ProofRule {
    const fn nothing() -> Self {
        Self {
            acr: BTreeSet::new(),
            amr: BTreeSet::new(),
            when: None,
            two_factor_authentication: false,
            tenants: BTreeMap::new(),
            amr_meanings: BTreeMap::new(),
            asks: BTreeSet::new(),
            resistant_acr: BTreeSet::new(),
            resistant_amr: BTreeSet::new(),
        }
    }

    /// The `amr` values of a login, with the vendor's own words replaced by what they mean.
    pub fn meanings(&self, amr: &[String]) -> Vec<String> {
        let meaning = |value: &String| self.amr_meanings.get(value).unwrap_or(value).clone();
        amr.iter().map(meaning).collect()
    }
}

/// A proof that the other keys can't express: `when` and `level` of `[proof.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    /// What must be true of the claims.
    pub expression: Expression,
    /// What a login is worth then: [`Level::Mfa`] or [`Level::PhishingResistant`].
    pub level: Level,
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

/// The level, the accepted bases, the freshness and the verified e-mail that an action needs.
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
    /// Whether the account needs a verified e-mail address.
    pub verified_email: bool,
    /// Whether the ages are those at every use of an API key, and not when it was made.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fresh_at_use: bool,
}

impl Requirement {
    /// What needs nothing at all.
    pub fn nothing() -> Self {
        Self {
            level: Level::None,
            accepts: BTreeSet::new(),
            max_age: None,
            max_evidence_age: None,
            verified_email: false,
            fresh_at_use: false,
        }
    }

    /// What meets both: the greater level, the bases that both accept, the shorter ages.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let accepts = match (self.level, other.level) {
            (Level::None, _) => other.accepts.clone(),
            (_, Level::None) => self.accepts.clone(),
            (_, _) => &self.accepts & &other.accepts,
        };
        Self {
            level: self.level.max(other.level),
            accepts,
            max_age: shorter(self.max_age, other.max_age),
            max_evidence_age: shorter(self.max_evidence_age, other.max_evidence_age),
            verified_email: self.verified_email || other.verified_email,
            fresh_at_use: self.fresh_at_use || other.fresh_at_use,
        }
    }

    /// Whether whatever meets this meets `other` too.
    pub fn is_as_strict_as(&self, other: &Self) -> bool {
        self.and(other) == *self
    }
}

fn shorter(one: Option<SignedDuration>, two: Option<SignedDuration>) -> Option<SignedDuration> {
    one.into_iter().chain(two).min()
}

/// What the policy says of one client: `[client.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRule {
    /// The tier that signing in at all needs.
    pub tier: TierName,
    /// What tiers need for this client: as strict as they are for everybody, or stricter.
    pub stricter: BTreeMap<TierName, Requirement>,
    /// Whose logins count for it; without any, all do.
    pub providers: Option<BTreeSet<ProviderId>>,
    /// What it may do as itself, without any person.
    pub own_scopes: BTreeSet<Scope>,
}

/// What the policy says of one organisation: `[organization.NAME]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrganizationRule {
    /// The Entra tenants that its people sign in through.
    pub tenants: BTreeSet<TenantId>,
    /// What tiers need for who acts for it: as strict as they are for everybody, or stricter.
    pub stricter: BTreeMap<TierName, Requirement>,
}

/// Who may connect a tenant to an organisation, and what that does: `[mapping]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingRule {
    /// The directory roles of Entra (`wids`, by template id) of which one shows that a person speaks for a tenant.
    pub entra_roles: BTreeSet<String>,
    /// For so long after a login it is believed whose people the person is.
    pub max_membership_age: SignedDuration,
    /// The highest level that an authentication context can attest because a tenant's admin says so;
    /// [`Level::None`], unless the operator says otherwise: only the policy file names contexts. Where anybody can
    /// have an organisation and a tenant, their word on themselves is no proof.
    pub attests: Level,
    /// The roles at the registry that an organisation's admins may give to groups and app roles. What the registry and
    /// operators give by their own word is not held to it.
    pub roles: BTreeSet<RegistryRole>,
}

impl MappingRule {
    /// Entra's role *Global Administrator*.
    /// <https://learn.microsoft.com/entra/identity/role-based-access-control/permissions-reference>
    pub const GLOBAL_ADMINISTRATOR: &'static str = "62e90394-69f5-4237-9190-012177145e10";
}

impl Default for MappingRule {
    fn default() -> Self {
        Self {
            entra_roles: BTreeSet::from([Self::GLOBAL_ADMINISTRATOR.to_owned()]),
            max_membership_age: SignedDuration::from_hours(12),
            attests: Level::None,
            roles: BTreeSet::new(),
        }
    }
}

/// How long things live: `[lifetimes]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// A one-time code.
    pub code: SignedDuration,
    /// An ID token and an access token, unless the permit ends earlier.
    pub token: SignedDuration,
    /// A session, whatever happens.
    pub session: SignedDuration,
    /// A session that is not used.
    pub session_idle: SignedDuration,
    /// What is kept of somebody who does not sign in any more; until they or an operator have it erased, where it is not said.
    pub unused_account: Option<SignedDuration>,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            code: SignedDuration::from_secs(60),
            token: SignedDuration::from_mins(10),
            session: SignedDuration::from_hours(12),
            session_idle: SignedDuration::from_hours(2),
            unused_account: None,
        }
    }
}
