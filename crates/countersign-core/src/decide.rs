//! Whether a sign-in may go on, and why.
//!
//! Pure: no clock, no network, no store. `now` is an argument and every fact the
//! decision rests on is in [`Facts`], so a decision can be replayed from a log line.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    Acr, Assurance, Attestation, Basis, Claim, ClientId, Evidence, Level, Policy, ProviderId,
    Reason, Requirement, Scope, TenantId, TierName, assess,
};

/// Decides one sign-in, or one token of it. The only maker of a [`Permit`].
pub fn decide(policy: &Policy, facts: &Facts, now: Timestamp) -> Decision {
    let Some(client_tier) = policy.client_tier(&facts.client) else {
        return Decision::Refuse(Refusal::because(Reason::NotInPolicy));
    };
    let assurance = assess(
        policy.proof(&facts.evidence.provider),
        &policy.methods,
        &facts.evidence,
    );
    let case = Case {
        policy,
        facts,
        assurance: &assurance,
        now,
    };

    let sign_in = case.weigh_tier(client_tier);
    let demands = case.weigh_demands();
    let (met, unmet) = case.weigh_scopes();
    let shortfall = Shortfall::of(&sign_in, &demands, &unmet);
    if let (Remedy::StepUp, false) = (facts.remedy, shortfall.reasons.is_empty()) {
        return Decision::StepUp(case.step_up(shortfall));
    }
    let asked_in_vain = met.is_empty() && !unmet.is_empty();
    match (sign_in, demands) {
        (Ok(_), Ok(_)) if asked_in_vain => Decision::Refuse(Refusal::of(shortfall, Cause::Policy)),
        (Ok(until), Ok(attestation)) => {
            Decision::Permit(case.permit(met, unmet, attestation, until))
        }
        (Err(_), _) => Decision::Refuse(Refusal::of(shortfall, Cause::Policy)),
        (Ok(_), Err(_)) => Decision::Refuse(Refusal::of(shortfall, Cause::Request)),
    }
}

/// All that a decision rests on, besides the policy and the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The client that asks.
    pub client: ClientId,
    /// The scopes it asks for, `openid` among them.
    pub scopes: BTreeSet<Scope>,
    /// What the request demands beyond the policy.
    pub demands: Demands,
    /// What the login proved.
    pub evidence: Evidence,
    /// What can still be done where that is not enough.
    pub remedy: Remedy,
    /// When the session ends, where there is one; no token outlives it.
    pub session_expires_at: Option<Timestamp>,
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

/// What can still be done for a login that is not good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// The person can be sent back to the provider, once.
    StepUp,
    /// They were, or the provider can't be asked for more, or nobody is there to be sent.
    Nothing,
}

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

/// The only value from which a token can be minted. Its fields can be read, not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    client: ClientId,
    scopes: BTreeSet<Scope>,
    unmet: Vec<Unmet>,
    acr: Acr,
    amr: Vec<String>,
    auth_time: Option<Timestamp>,
    provider: ProviderId,
    tenant: Option<TenantId>,
    level: Level,
    basis: Option<Basis>,
    proof: Option<String>,
    not_after: Option<Timestamp>,
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
    /// No token minted from this may be valid after.
    pub fn not_after(&self) -> Option<Timestamp> {
        self.not_after
    }
    /// Whether the login was multi-factor, on any basis.
    pub fn shows_mfa(&self) -> bool {
        self.level >= Level::Mfa
    }
}

/// A scope that is left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// The scope.
    pub scope: Scope,
    /// Its tier.
    pub tier: TierName,
    /// What is missing.
    pub reasons: Vec<Reason>,
}

/// The person is sent back to the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepUp {
    /// What to ask the provider for.
    pub ask: Ask,
    /// What is missing, most telling first.
    pub reasons: Vec<Reason>,
}

/// What to ask a provider for when a person is sent there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Whether the login is of use without it.
    pub strength: Strength,
    /// The provider's own `acr` values that prove MFA to this policy.
    pub acr_values: Vec<String>,
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
        tenant: Option<TenantId>,
        request: (&ClientId, &BTreeSet<Scope>, &Demands),
    ) -> Self {
        let (client, scopes, demands) = request;
        let tiers = wanted_tiers(policy, client, scopes);
        let level = tiers
            .iter()
            .map(|one| one.level)
            .max()
            .unwrap_or(Level::None);
        let max_age = tiers
            .iter()
            .filter_map(|one| one.max_age)
            .chain(demands.max_age)
            .min();
        Self {
            strength: Strength::Voluntary,
            max_age,
            reauthenticate: demands.authenticated_since.is_some(),
            ..Self::for_level(policy, provider, tenant, level)
        }
    }

    fn for_level(
        policy: &Policy,
        provider: &ProviderId,
        tenant: Option<TenantId>,
        level: Level,
    ) -> Self {
        let rule = policy.proof(provider);
        let resistant = &policy.methods.phishing_resistant_acr;
        let acr_values = rule
            .acr
            .iter()
            .filter(|acr| level < Level::PhishingResistant || resistant.contains(*acr));
        let contexts = tenant
            .as_ref()
            .and_then(|tenant| rule.tenants.get(tenant))
            .into_iter()
            .flatten()
            .filter(|(_, attested)| level >= Level::Mfa && **attested >= level);
        Self {
            strength: Strength::Required,
            acr_values: acr_values.cloned().collect(),
            contexts: contexts.map(|(context, _)| context.clone()).collect(),
            tenant,
            max_age: None,
            reauthenticate: false,
        }
    }
}

/// Nothing is issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What is missing, most telling first; never empty.
    pub reasons: Vec<Reason>,
    /// Who asked for what is missing.
    pub cause: Cause,
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
    /// A refusal for one reason of the policy.
    pub fn because(reason: Reason) -> Self {
        Self {
            reasons: vec![reason],
            cause: Cause::Policy,
        }
    }

    fn of(shortfall: Shortfall, cause: Cause) -> Self {
        Self {
            reasons: shortfall.reasons,
            cause,
        }
    }

    /// The most telling reason.
    pub fn reason(&self) -> Reason {
        self.reasons.first().copied().unwrap_or(Reason::MfaUnknown)
    }
}

/// One decision in the making.
struct Case<'a> {
    policy: &'a Policy,
    facts: &'a Facts,
    assurance: &'a Assurance,
    now: Timestamp,
}

/// Until when a requirement stays met, or what is missing of it.
type Weighed = Result<Option<Timestamp>, Missing>;

/// What is missing of one requirement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Missing {
    reasons: Vec<Reason>,
    level: Option<Level>,
    max_age: Option<SignedDuration>,
    reauthenticate: bool,
}

/// A scope whose tier is met, and until when.
struct Met {
    scope: Scope,
    until: Option<Timestamp>,
}

/// A scope whose tier is not met.
struct Short {
    scope: Scope,
    tier: TierName,
    missing: Missing,
}

impl From<Short> for Unmet {
    fn from(short: Short) -> Self {
        Self {
            scope: short.scope,
            tier: short.tier,
            reasons: short.missing.reasons,
        }
    }
}

impl Case<'_> {
    fn weigh_tier(&self, tier: &TierName) -> Weighed {
        match self.policy.requirement(tier) {
            Some(requirement) => self.weigh(requirement),
            None => Err(Missing {
                reasons: vec![Reason::NotInPolicy],
                ..Missing::default()
            }),
        }
    }

    fn weigh(&self, requirement: &Requirement) -> Weighed {
        let mut missing = Missing::default();
        if let Some(reason) = self.level_shortfall(requirement) {
            missing.reasons.push(reason);
            missing.level = Some(requirement.level);
        }
        let by_auth = requirement
            .max_age
            .map(|max_age| self.weigh_auth_time(max_age, &mut missing));
        let by_evidence = requirement
            .max_evidence_age
            .map(|max_age| self.weigh_evidence_age(max_age, &mut missing));
        if missing.reasons.is_empty() {
            Ok(by_auth.flatten().into_iter().chain(by_evidence).min())
        } else {
            Err(missing)
        }
    }

    /// Why no attestation has the level on an accepted basis.
    fn level_shortfall(&self, requirement: &Requirement) -> Option<Reason> {
        if requirement.level == Level::None {
            return None;
        }
        let has_level = |one: &&Attestation| one.level >= requirement.level;
        let attested = self.assurance.attestations();
        if attested
            .iter()
            .filter(has_level)
            .any(|one| requirement.accepts.contains(&one.basis))
        {
            None
        } else if attested.iter().any(|one| has_level(&one)) {
            Some(Reason::BasisNotAccepted)
        } else if attested.is_empty() {
            Some(self.assurance.shortfall())
        } else {
            Some(Reason::PhishingResistantAbsent)
        }
    }

    /// Weighs the provider's clock. An absent `auth_time` is never fresh.
    fn weigh_auth_time(&self, max_age: SignedDuration, missing: &mut Missing) -> Option<Timestamp> {
        let until = match &self.facts.evidence.claims.auth_time {
            Claim::Value(auth_time) => auth_time.checked_add(max_age).ok(),
            Claim::Absent | Claim::Malformed | Claim::Contradictory => None,
        };
        if until.is_none_or(|until| until < self.now) {
            missing.reasons.push(match until {
                Some(_) => Reason::AuthTooOld,
                None => Reason::AuthTimeAbsent,
            });
            missing.reauthenticate = true;
            missing.max_age = Some(max_age);
        }
        until
    }

    /// Weighs our own clock.
    fn weigh_evidence_age(&self, max_age: SignedDuration, missing: &mut Missing) -> Timestamp {
        let until = self
            .facts
            .evidence
            .verified_at
            .saturating_add(max_age)
            .unwrap_or(Timestamp::MIN);
        if until < self.now {
            missing.reasons.push(Reason::EvidenceTooOld);
            missing.reauthenticate = true;
        }
        until
    }

    /// What the request demands beyond the policy; the attestation that answers it, if one is needed.
    fn weigh_demands(&self) -> Result<Option<&Attestation>, Missing> {
        let demands = &self.facts.demands;
        let mut missing = Missing::default();
        let attestation = self.answer_to_acr_values();
        if attestation.is_err() {
            missing.reasons.push(Reason::AcrNotMet);
            missing.level = demands.acr_values.iter().map(|acr| level_of(*acr)).min();
        }
        if let Some(max_age) = demands.max_age {
            self.weigh_auth_time(max_age, &mut missing);
        }
        if let Some(since) = demands.authenticated_since {
            let auth_time = self.facts.evidence.claims.auth_time.value();
            if auth_time.is_none_or(|auth_time| *auth_time < since) {
                missing.reasons.push(Reason::ReauthenticationNotShown);
                missing.reauthenticate = true;
            }
        }
        match attestation {
            Ok(attestation) if missing.reasons.is_empty() => Ok(attestation),
            Ok(_) | Err(AcrNotMet) => Err(missing),
        }
    }

    /// The attestation whose `acr` answers `acr_values`: `None` where a login without proof does.
    fn answer_to_acr_values(&self) -> Result<Option<&Attestation>, AcrNotMet> {
        let wanted = &self.facts.demands.acr_values;
        let attested = self.assurance.attestations();
        if wanted.is_empty() {
            return Ok(attested.first());
        }
        let answer = attested
            .iter()
            .find(|one| wanted.iter().any(|acr| one.acr().satisfies(*acr)));
        match answer {
            Some(attestation) => Ok(Some(attestation)),
            None if wanted.contains(&Acr::Single) => Ok(None),
            None => Err(AcrNotMet),
        }
    }

    /// Splits the scopes asked for into those whose tier is met and those whose tier is not.
    fn weigh_scopes(&self) -> (Vec<Met>, Vec<Short>) {
        let mut met = Vec::new();
        let mut unmet = Vec::new();
        for scope in &self.facts.scopes {
            match self.weigh_scope(scope) {
                Ok(until) => met.push(Met {
                    scope: scope.clone(),
                    until,
                }),
                Err((tier, missing)) => unmet.push(Short {
                    scope: scope.clone(),
                    tier,
                    missing,
                }),
            }
        }
        (met, unmet)
    }

    fn weigh_scope(&self, scope: &Scope) -> Result<Option<Timestamp>, (TierName, Missing)> {
        if scope.as_str() == OPENID {
            return Ok(None);
        }
        let Some(tier) = self.policy.tier_of(scope) else {
            let missing = Missing {
                reasons: vec![Reason::NotInPolicy],
                ..Missing::default()
            };
            return Err((TierName::new(), missing));
        };
        self.weigh_tier(tier)
            .map_err(|missing| (tier.clone(), missing))
    }

    fn step_up(&self, shortfall: Shortfall) -> StepUp {
        let evidence = &self.facts.evidence;
        let level = shortfall.level.unwrap_or(Level::None);
        let tenant = evidence
            .tenant()
            .filter(|tenant| !tenant.is_consumers())
            .cloned();
        let mut ask = Ask::for_level(self.policy, &evidence.provider, tenant, level);
        ask.max_age = shortfall.max_age;
        // Where only time has passed, MFA was shown, maybe by `amr`: what need not be demanded is wished for.
        if shortfall.level.is_none() {
            ask.strength = Strength::Voluntary;
        }
        // A provider whose proof can't be asked for by name can only be asked to do it again.
        let nothing_to_name = ask.acr_values.is_empty() && ask.contexts.is_empty();
        ask.reauthenticate = shortfall.reauthenticate || nothing_to_name;
        StepUp {
            ask,
            reasons: shortfall.reasons,
        }
    }

    fn permit(
        &self,
        met: Vec<Met>,
        unmet: Vec<Short>,
        attestation: Option<&Attestation>,
        sign_in_until: Option<Timestamp>,
    ) -> Permit {
        let evidence = &self.facts.evidence;
        let untils = met.iter().filter_map(|one| one.until);
        Permit {
            client: self.facts.client.clone(),
            not_after: untils
                .chain(sign_in_until)
                .chain(self.facts.session_expires_at)
                .min(),
            scopes: met.into_iter().map(|one| one.scope).collect(),
            unmet: unmet.into_iter().map(Unmet::from).collect(),
            acr: self.returned_acr(attestation),
            amr: returned_amr(evidence, attestation),
            auth_time: evidence.claims.auth_time.value().copied(),
            provider: evidence.provider.clone(),
            tenant: evidence.tenant().cloned(),
            level: attestation.map_or_else(|| self.assurance.level(), |one| one.level),
            basis: attestation.map(|one| one.basis),
            proof: attestation.map(|one| one.proof.clone()),
        }
    }

    /// OpenID Connect Core 5.5.1.1: the strongest of the requested values that the login meets,
    /// else the strongest it meets. What one value satisfies is a chain, so there is one strongest.
    fn returned_acr(&self, attestation: Option<&Attestation>) -> Acr {
        let shown = attestation.map_or(Acr::Single, Attestation::acr);
        let wanted = self.facts.demands.acr_values.iter().copied();
        wanted
            .filter(|acr| shown.satisfies(*acr))
            .max()
            .unwrap_or(shown)
    }
}

/// The one scope that belongs to the protocol and to no tier.
const OPENID: &str = "openid";

struct AcrNotMet;

/// Everything that is missing, of all requirements together: a step-up asks for it at once.
struct Shortfall {
    reasons: Vec<Reason>,
    level: Option<Level>,
    max_age: Option<SignedDuration>,
    reauthenticate: bool,
}

impl Shortfall {
    fn of(
        sign_in: &Weighed,
        demands: &Result<Option<&Attestation>, Missing>,
        unmet: &[Short],
    ) -> Self {
        let all: Vec<&Missing> = sign_in
            .as_ref()
            .err()
            .into_iter()
            .chain(unmet.iter().map(|one| &one.missing))
            .chain(demands.as_ref().err())
            .collect();
        let mut reasons: Vec<Reason> = Vec::new();
        for reason in all.iter().flat_map(|missing| &missing.reasons) {
            if !reasons.contains(reason) {
                reasons.push(*reason);
            }
        }
        Self {
            reasons,
            level: all.iter().filter_map(|missing| missing.level).max(),
            max_age: all.iter().filter_map(|missing| missing.max_age).min(),
            reauthenticate: all.iter().any(|missing| missing.reauthenticate),
        }
    }
}

fn wanted_tiers<'a>(
    policy: &'a Policy,
    client: &ClientId,
    scopes: &BTreeSet<Scope>,
) -> Vec<&'a Requirement> {
    let of_scopes = scopes.iter().filter_map(|scope| policy.tier_of(scope));
    policy
        .client_tier(client)
        .into_iter()
        .chain(of_scopes)
        .filter_map(|tier| policy.requirement(tier))
        .collect()
}

/// The level that a step-up must ask for where this `acr` is wanted.
fn level_of(acr: Acr) -> Level {
    match acr {
        Acr::Single => Level::None,
        Acr::MfaEnrolled | Acr::MfaAttested | Acr::Mfa => Level::Mfa,
        Acr::Phr | Acr::Phrh => Level::PhishingResistant,
    }
}

/// The provider's registered `amr` values unchanged, and `mfa` exactly where the session proves it.
fn returned_amr(evidence: &Evidence, attestation: Option<&Attestation>) -> Vec<String> {
    let sent = evidence.claims.amr.value().map_or(&[][..], Vec::as_slice);
    let is_kept =
        |value: &&String| value.as_str() != "mfa" && REGISTERED_AMR.contains(&value.as_str());
    let mut amr: Vec<String> = Vec::new();
    for value in sent.iter().filter(is_kept) {
        if !amr.contains(value) {
            amr.push(value.clone());
        }
    }
    if attestation.is_some_and(|one| one.basis == Basis::Session && one.level >= Level::Mfa) {
        amr.push("mfa".to_owned());
    }
    amr
}

/// IANA "Authentication Method Reference Values" (RFC 8176, and `pop` of OpenID EAP).
const REGISTERED_AMR: [&str; 21] = [
    "face", "fpt", "geo", "hwk", "iris", "kba", "mca", "mfa", "otp", "pin", "pop", "pwd", "rba",
    "retina", "sc", "sms", "swk", "tel", "user", "vbm", "wia",
];

#[cfg(test)]
mod tests;
