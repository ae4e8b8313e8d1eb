//! Whether a sign-in may go on, and why.
//!
//! Pure: no clock, no network, no store. `now` is an argument and every fact the
//! decision rests on is in [`Facts`], so a decision can be replayed from a log line.

mod ask;
mod decision;

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

pub use ask::{Ask, Asked, Strength};
pub use decision::{Cause, Decision, Permit, Refusal, Rule, StepUp, Unmet, Wanted};

use crate::calendar::{BeforeDue, Due, Grace, midnight};
use crate::mapping::Shown;
use crate::{
    Acr, Assurance, Attestation, Basis, Belonging, Claim, ExceptionName, Facts, Level, Login,
    OrganizationId, Policy, ProofRule, Reason, Remedy, Requirement, Scope, Stated, Subject,
    TierName, Waiver,
};

/// Decides one sign-in, or one token of it. The only maker of a [`Permit`].
pub fn decide(policy: &Policy, facts: &Facts, now: Timestamp) -> Decision {
    if facts.identity_changed {
        return Decision::Refuse(Refusal::by(Rule::request(), Reason::IdentityChanged));
    }
    if facts.withdrawn {
        return Decision::Refuse(Refusal::by(Rule::recheck(), Reason::ProviderWithdrew));
    }
    if facts.account.locked {
        return Decision::Refuse(Refusal::by(Rule::account(), Reason::AccountLocked));
    }
    let Some(client_tier) = policy.client_tier(&facts.client) else {
        let rule = Rule::client(&facts.client);
        return Decision::Refuse(Refusal::by(rule, Reason::NotInPolicy));
    };
    if !policy.admits(&facts.client, &facts.login.provider) {
        let rule = Rule::providers_of(&facts.client);
        return Decision::Refuse(Refusal::by(rule, Reason::ProviderNotAdmitted));
    }
    let shown = Shown::by(policy, facts);
    let organization = match acts_for(&shown, facts, now) {
        Ok(organization) => organization,
        Err(refusal) => return Decision::Refuse(refusal),
    };
    let assurance = policy.assess(&facts.login);
    let case = Case {
        policy,
        facts,
        shown: &shown,
        organization,
        assurance: &assurance,
        due: due(policy, facts, &assurance),
        now,
    };

    let sign_in = case.weigh_tier(client_tier, Action::SignIn);
    let demands = case.weigh_demands();
    let (met, unmet) = case.weigh_scopes();
    let shortfall = Shortfall::of(&sign_in, &demands, &unmet);
    let due = case.due.filter(|_| shortfall.lacks_level_of_policy);
    if facts.remedy == Remedy::StepUp && shortfall.can_be_asked_for() {
        return Decision::StepUp(case.step_up(shortfall, due));
    }
    let asked_in_vain = met.is_empty() && !unmet.is_empty();
    match (sign_in, demands) {
        (Ok(_), Ok(_)) if asked_in_vain => Decision::Refuse(shortfall.refusal(Cause::Policy, due)),
        (Ok(sign_in), Ok(attestation)) => {
            let permit = case.permit(client_tier, sign_in, met, unmet, attestation);
            case.unless_stated_otherwise(permit)
        }
        (Err(_), _) => Decision::Refuse(shortfall.refusal(Cause::Policy, due)),
        (Ok(_), Err(_)) => Decision::Refuse(shortfall.refusal(Cause::Request, None)),
    }
}

/// The organisation that was asked for, if the login shows it.
fn acts_for<'a>(
    shown: &Shown,
    facts: &'a Facts,
    now: Timestamp,
) -> Result<Option<&'a OrganizationId>, Refusal> {
    let Some(asked) = &facts.organization else {
        return Ok(None);
    };
    match shown.asked(asked, facts.fresh_at(now)) {
        Ok(_) => Ok(Some(asked)),
        Err(reason) => Err(Refusal::by(Rule::tenants_of(asked), reason)),
    }
}

/// What the calendar says of the account, at a login that shows this.
pub(crate) fn due(policy: &Policy, facts: &Facts, assurance: &Assurance) -> Option<Due> {
    let calendar = policy.calendar()?;
    Some(calendar.due(&facts.account, assurance.level()))
}

/// One decision in the making.
struct Case<'a> {
    policy: &'a Policy,
    facts: &'a Facts,
    shown: &'a Shown,
    /// The organisation that is acted for.
    organization: Option<&'a OrganizationId>,
    assurance: &'a Assurance,
    due: Option<Due>,
    now: Timestamp,
}

/// What a tier is weighed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    /// Being let in at all.
    SignIn,
    /// What one of its scopes allows.
    Scope,
    /// What a scope allows that decides who gets in from then on.
    Admission,
}

impl Action {
    fn of(scope: &Scope) -> Self {
        if scope.decides_who_gets_in() {
            Self::Admission
        } else {
            Self::Scope
        }
    }
}

/// A tier that is met, or the part of the policy that is not.
type Weighed<'a> = Result<Met<'a>, NotMet>;

/// How a requirement is met.
#[derive(Debug, Clone, Copy, Default)]
struct Met<'a> {
    until: Option<Timestamp>,
    leniency: Option<Leniency<'a>>,
}

/// Why the second factor that a requirement needs was not asked for.
#[derive(Debug, Clone, Copy)]
enum Leniency<'a> {
    /// The calendar has not reached the account.
    Calendar(Grace),
    /// An exception waives it, until then.
    Exception(&'a ExceptionName, Timestamp),
}

impl Leniency<'_> {
    fn until(self) -> Option<Timestamp> {
        match self {
            Self::Calendar(grace) => grace.until.map(midnight),
            Self::Exception(_, until) => Some(until),
        }
    }
}

/// What is missing of one requirement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Missing {
    reasons: Vec<Reason>,
    level: Option<Level>,
    wanted: Wanted,
}

/// A part of the policy, or the request, that is not met.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NotMet {
    rule: Rule,
    missing: Missing,
}

impl NotMet {
    fn not_in_policy(rule: Rule) -> Self {
        Self::because(Reason::NotInPolicy, rule)
    }

    /// No login shows it.
    fn not_an_operator() -> Self {
        Self::because(Reason::NotAnOperator, Rule::operators())
    }

    fn because(reason: Reason, rule: Rule) -> Self {
        let missing = Missing {
            reasons: vec![reason],
            ..Missing::default()
        };
        Self { rule, missing }
    }
}

/// A scope whose tier is met.
struct Granted<'a> {
    scope: Scope,
    met: Met<'a>,
}

/// A scope whose tier is not met.
struct Short {
    scope: Scope,
    tier: TierName,
    not_met: NotMet,
}

impl From<Short> for Unmet {
    fn from(short: Short) -> Self {
        Self {
            scope: short.scope,
            tier: short.tier,
            rule: short.not_met.rule,
            reasons: short.not_met.missing.reasons,
            wanted: short.not_met.missing.wanted,
        }
    }
}

impl<'a> Case<'a> {
    fn weigh_tier(&self, tier: &TierName, action: Action) -> Weighed<'a> {
        let client = &self.facts.client;
        let Some(required) = self.policy.required(client, self.facts.demanding(), tier) else {
            return Err(NotMet::not_in_policy(Rule::tier(tier)));
        };
        self.weigh(&required, tier, action)
            .map_err(|missing| NotMet {
                rule: self.rule_of(tier, action),
                missing,
            })
    }

    /// Which part of the policy is not met: what holds for everybody, or what is stricter.
    fn rule_of(&self, tier: &TierName, action: Action) -> Rule {
        let client = &self.facts.client;
        let is_met = |part: Option<&Requirement>| {
            part.is_none_or(|requirement| self.weigh(requirement, tier, action).is_ok())
        };
        if !is_met(self.policy.requirement(tier)) {
            return Rule::tier(tier);
        }
        if !is_met(self.policy.of_client(client, tier)) {
            return Rule::of_client(client, tier);
        }
        match self.facts.demanding() {
            Some(organization) => Rule::of_organization(organization, tier),
            None => Rule::of_client(client, tier),
        }
    }

    fn weigh(
        &self,
        requirement: &Requirement,
        tier: &TierName,
        action: Action,
    ) -> Result<Met<'a>, Missing> {
        let mut missing = Missing::default();
        let leniency = self.weigh_level(requirement, tier, action, &mut missing);
        let fresh_at = self.fresh_at(requirement);
        let by_auth = requirement
            .max_age
            .map(|max_age| self.weigh_auth_time(max_age, fresh_at, &mut missing));
        let by_evidence = requirement
            .max_evidence_age
            .map(|max_age| self.weigh_evidence_age(max_age, fresh_at, &mut missing));
        if requirement.verified_email {
            self.weigh_email(&mut missing);
        }
        if !missing.reasons.is_empty() {
            return Err(missing);
        }
        let until = by_auth.flatten().into_iter().chain(by_evidence);
        // What was fresh when a key was made does not age.
        let until = until.filter(|_| fresh_at == self.now);
        let lenient_until = leniency.and_then(Leniency::until);
        Ok(Met {
            until: until.chain(lenient_until).min(),
            leniency,
        })
    }

    /// As of when the login must be fresh for this requirement: for an API key when that was made, unless the
    /// requirement is one of every use.
    fn fresh_at(&self, requirement: &Requirement) -> Timestamp {
        if requirement.fresh_at_use {
            self.now
        } else {
            self.facts.fresh_at(self.now)
        }
    }

    /// Weighs the second factor; answers why it is let go of, where it is.
    fn weigh_level(
        &self,
        requirement: &Requirement,
        tier: &TierName,
        action: Action,
        missing: &mut Missing,
    ) -> Option<Leniency<'a>> {
        let reason = self.level_shortfall(requirement)?;
        let leniency = self.leniency(tier, action);
        if leniency.is_none() {
            missing.reasons.push(reason);
            missing.level = Some(requirement.level);
            missing.wanted.acr_values = acr_values_of(requirement);
        }
        leniency
    }

    /// What lets go of the second factor: the calendar before any exception, so that an exception
    /// is used only where nothing else helps.
    fn leniency(&self, tier: &TierName, action: Action) -> Option<Leniency<'a>> {
        match (self.grace(), action) {
            (_, Action::Admission) => None,
            (Some((BeforeDue::Remind, grace)), Action::SignIn | Action::Scope)
            | (Some((BeforeDue::Limit, grace)), Action::SignIn) => Some(Leniency::Calendar(grace)),
            (Some((BeforeDue::Limit, _)), Action::Scope) | (None, _) => self.exception(tier),
        }
    }

    /// Whether the calendar lets the account go without at this time, and how.
    fn grace(&self) -> Option<(BeforeDue, Grace)> {
        let calendar = self.policy.calendar()?;
        Some((calendar.before_due, self.due?.grace(self.now)?))
    }

    fn exception(&self, tier: &TierName) -> Option<Leniency<'a>> {
        let of_account = Subject::Account(self.facts.account.id.clone());
        let of_organization = self.organization.cloned().map(Subject::Organization);
        let exceptions = &self.policy.exceptions;
        let of_file = std::iter::once(of_account)
            .chain(of_organization)
            .find_map(|subject| exceptions.waiver(&subject, tier, self.now))
            .map(|(name, exception)| (name, exception.ends_at()));
        let (name, until) = of_file.or_else(|| self.granted_waiver(tier))?;
        Some(Leniency::Exception(name, until))
    }

    /// The longest lasting of what the organisation that is acted for was granted.
    fn granted_waiver(&self, tier: &TierName) -> Option<(&'a ExceptionName, Timestamp)> {
        let organization = self.organization?;
        let waivers = self.facts.waivers.iter();
        let holds = |one: &&Waiver| {
            one.organization == *organization
                && one.waives.contains(tier)
                && self.now < one.ends_at()
        };
        let longest = waivers.filter(holds).max_by_key(|one| one.until)?;
        Some((&longest.name, longest.ends_at()))
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
    fn weigh_auth_time(
        &self,
        max_age: SignedDuration,
        at: Timestamp,
        missing: &mut Missing,
    ) -> Option<Timestamp> {
        let until = match &self.facts.login.claims.auth_time {
            Claim::Value(auth_time) => auth_time.checked_add(max_age).ok(),
            Claim::Absent | Claim::Malformed | Claim::Contradictory => None,
        };
        if until.is_none_or(|until| until < at) {
            missing.reasons.push(match until {
                Some(_) => Reason::AuthTooOld,
                None => Reason::AuthTimeAbsent,
            });
            missing.wanted.reauthenticate = true;
            missing.wanted.max_age = Some(max_age);
        }
        until
    }

    /// Weighs our own clock.
    fn weigh_evidence_age(
        &self,
        max_age: SignedDuration,
        at: Timestamp,
        missing: &mut Missing,
    ) -> Timestamp {
        let until = self
            .facts
            .login
            .verified_at
            .saturating_add(max_age)
            .unwrap_or(Timestamp::MIN);
        if until < at {
            missing.reasons.push(Reason::EvidenceTooOld);
            missing.wanted.reauthenticate = true;
        }
        until
    }

    /// Weighs the e-mail address: the provider's word, or the registry's.
    fn weigh_email(&self, missing: &mut Missing) {
        if !self.facts.login.email_verified && !self.facts.account.email_vouched {
            missing.reasons.push(Reason::EmailNotVerified);
            missing.wanted.verified_email = true;
        }
    }

    /// What the request demands beyond the policy; the attestation that answers it, if one is needed.
    fn weigh_demands(&self) -> Result<Option<&Attestation>, NotMet> {
        let demands = &self.facts.demands;
        let mut missing = Missing::default();
        let attestation = self.answer_to_acr_values();
        if attestation.is_err() {
            missing.reasons.push(Reason::AcrNotMet);
            missing.level = demands.acr_values.iter().map(|acr| level_of(*acr)).min();
            missing.wanted.acr_values.clone_from(&demands.acr_values);
        }
        if let Some(max_age) = demands.max_age {
            self.weigh_auth_time(max_age, self.now, &mut missing);
        }
        if let Some(since) = demands.authenticated_since {
            let auth_time = self.facts.login.claims.auth_time.value();
            if auth_time.is_none_or(|auth_time| *auth_time < since) {
                missing.reasons.push(Reason::ReauthenticationNotShown);
                missing.wanted.reauthenticate = true;
            }
        }
        match attestation {
            Ok(attestation) if missing.reasons.is_empty() => Ok(attestation),
            Ok(_) | Err(AcrNotMet) => Err(NotMet {
                rule: Rule::request(),
                missing,
            }),
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
    fn weigh_scopes(&self) -> (Vec<Granted<'a>>, Vec<Short>) {
        let mut granted = Vec::new();
        let mut unmet = Vec::new();
        for scope in &self.facts.scopes {
            match self.weigh_scope(scope) {
                Ok(met) => granted.push(Granted {
                    scope: scope.clone(),
                    met,
                }),
                Err(short) => unmet.push(*short),
            }
        }
        (granted, unmet)
    }

    fn weigh_scope(&self, scope: &Scope) -> Result<Met<'a>, Box<Short>> {
        if scope.as_str() == OPENID {
            return Ok(Met::default());
        }
        let short = |tier: &str, not_met| {
            Box::new(Short {
                scope: scope.clone(),
                tier: tier.to_owned(),
                not_met,
            })
        };
        match self.policy.tier_of(scope) {
            Some(tier) if scope.is_for_operators() && !self.is_by_an_operator() => {
                Err(short(tier, NotMet::not_an_operator()))
            }
            Some(tier) => self
                .weigh_tier(tier, Action::of(scope))
                .map_err(|not_met| short(tier, not_met)),
            None => Err(short("", NotMet::not_in_policy(Rule::request()))),
        }
    }

    fn is_by_an_operator(&self) -> bool {
        self.policy.is_operator(&self.facts.account.id)
    }

    fn step_up(&self, shortfall: Shortfall, due: Option<Due>) -> StepUp {
        let login = &self.facts.login;
        let level = shortfall.level.unwrap_or(Level::None);
        let tenant = login
            .tenant
            .as_ref()
            .filter(|tenant| !tenant.is_consumers())
            .cloned();
        let mut ask = Ask::for_level(
            self.policy,
            &login.provider,
            (tenant, &login.contexts),
            level,
        );
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
            rule: shortfall.rule,
            reasons: shortfall.reasons,
            due,
        }
    }

    fn permit(
        &self,
        client_tier: &TierName,
        sign_in: Met<'a>,
        granted: Vec<Granted<'a>>,
        unmet: Vec<Short>,
        attestation: Option<&Attestation>,
    ) -> Permit {
        let login = &self.facts.login;
        let met = || granted.iter().map(|one| one.met).chain([sign_in]);
        let leniencies = Leniencies::of(met());
        let belongings = self.belongings(&granted, client_tier);
        let of_belonging = belongings.iter().map(|one| one.until);
        // What was believed when a key was made is believed of it.
        let of_belonging = of_belonging.filter(|_| self.facts.key_made_at.is_none());
        let untils = met().filter_map(|one| one.until).chain(of_belonging);
        Permit {
            client: self.facts.client.clone(),
            lenient_until: leniencies.until,
            not_after: untils.chain(self.facts.session_expires_at).min(),
            rule: leniencies.rule().unwrap_or_else(|| Rule::tier(client_tier)),
            mfa_due: leniencies.due(),
            waiver: leniencies.exception.cloned(),
            scopes: granted.into_iter().map(|one| one.scope).collect(),
            unmet: unmet.into_iter().map(Unmet::from).collect(),
            acr: self.returned_acr(attestation),
            amr: returned_amr(self.policy.proof(&login.provider), login, attestation),
            auth_time: login.claims.auth_time.value().copied(),
            provider: login.provider.clone(),
            tenant: login.tenant.clone(),
            organization: self.organization.cloned(),
            belongings,
            level: attestation.map_or_else(|| self.assurance.level(), |one| one.level),
            basis: attestation.map(|one| one.basis),
            proof: attestation.map(|one| one.proof.clone()),
        }
    }

    /// The organisations that the tokens may be used for. Where none was asked for, those whose own demands
    /// are met by all that is granted: a token must not be good for what would be refused if it were asked for by name.
    fn belongings(&self, granted: &[Granted<'_>], client_tier: &TierName) -> Vec<Belonging> {
        let of_scopes = granted.iter().filter_map(|one| {
            let tier = self.policy.tier_of(&one.scope)?;
            Some((tier, Action::of(&one.scope)))
        });
        let of_sign_in = (client_tier, Action::Scope);
        let tiers: BTreeSet<(&TierName, Action)> = of_scopes.chain([of_sign_in]).collect();
        let is_good_for = |one: &&Belonging| match self.organization {
            Some(asked) => one.organization == *asked,
            None => tiers
                .iter()
                .all(|(tier, action)| self.meets_demands_of(&one.organization, tier, *action)),
        };
        let fresh_at = self.facts.fresh_at(self.now);
        let fresh = self.shown.iter().filter(|one| fresh_at < one.until);
        fresh.filter(is_good_for).cloned().collect()
    }

    fn meets_demands_of(
        &self,
        organization: &OrganizationId,
        tier: &TierName,
        action: Action,
    ) -> bool {
        let stricter = self.policy.of_organization(Some(organization), tier);
        stricter.is_none_or(|requirement| self.weigh(requirement, tier, action).is_ok())
    }

    /// What the policy counts may have changed; what tokens of one grant state of its login may not
    /// (OpenID Connect Core 12.2 for `auth_time`).
    fn unless_stated_otherwise(&self, permit: Permit) -> Decision {
        let before = self.facts.stated.as_ref();
        if before.is_none_or(|before| *before == Stated::by(&permit)) {
            return Decision::Permit(permit);
        }
        Decision::Refuse(Refusal::by(Rule::grant(), Reason::WeighedOtherwise))
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

/// What a permit rests on besides the login.
#[derive(Default)]
struct Leniencies<'a> {
    calendar: Option<Grace>,
    exception: Option<&'a ExceptionName>,
    /// When the first of them ends.
    until: Option<Timestamp>,
}

impl<'a> Leniencies<'a> {
    fn of(all: impl Iterator<Item = Met<'a>>) -> Self {
        let mut found = Self::default();
        for leniency in all.filter_map(|met| met.leniency) {
            found.until = found.until.into_iter().chain(leniency.until()).min();
            match leniency {
                Leniency::Calendar(grace) => found.calendar = Some(grace),
                Leniency::Exception(name, _) => found.exception = Some(name),
            }
        }
        found
    }

    fn due(&self) -> Option<Date> {
        self.calendar?.until
    }

    fn rule(&self) -> Option<Rule> {
        let by_exception = self.exception.map(Rule::exception);
        by_exception.or_else(|| self.calendar.map(|_| Rule::calendar()))
    }
}

/// Everything that is missing, of all requirements together: a step-up asks for it at once.
struct Shortfall {
    rule: Rule,
    reasons: Vec<Reason>,
    level: Option<Level>,
    /// Whether it is the policy, not only the request, that needs a level which is missing.
    lacks_level_of_policy: bool,
    max_age: Option<SignedDuration>,
    reauthenticate: bool,
}

impl Shortfall {
    fn of(
        sign_in: &Weighed<'_>,
        demands: &Result<Option<&Attestation>, NotMet>,
        unmet: &[Short],
    ) -> Self {
        let of_scopes = unmet.iter().map(|one| &one.not_met);
        let of_policy: Vec<&NotMet> = sign_in
            .as_ref()
            .err()
            .into_iter()
            .chain(of_scopes)
            .collect();
        let lacks_level_of_policy = of_policy.iter().any(|one| one.missing.level.is_some());
        let not_met: Vec<&NotMet> = of_policy
            .into_iter()
            .chain(demands.as_ref().err())
            .collect();
        let all = || not_met.iter().map(|one| &one.missing);
        let mut reasons: Vec<Reason> = Vec::new();
        for reason in all().flat_map(|missing| &missing.reasons) {
            if !reasons.contains(reason) {
                reasons.push(*reason);
            }
        }
        Self {
            rule: not_met
                .first()
                .map_or_else(Rule::request, |first| first.rule.clone()),
            reasons,
            level: all().filter_map(|missing| missing.level).max(),
            lacks_level_of_policy,
            max_age: all().filter_map(|missing| missing.wanted.max_age).min(),
            reauthenticate: all().any(|missing| missing.wanted.reauthenticate),
        }
    }

    /// Whether a provider can be asked for any of it.
    fn can_be_asked_for(&self) -> bool {
        self.level.is_some() || self.max_age.is_some() || self.reauthenticate
    }

    fn refusal(self, cause: Cause, due: Option<Due>) -> Refusal {
        Refusal {
            reasons: self.reasons,
            rule: self.rule,
            cause,
            due,
        }
    }
}

/// The `acr_values` of which any one is enough for a requirement.
fn acr_values_of(requirement: &Requirement) -> Vec<Acr> {
    let resistant = requirement.level == Level::PhishingResistant;
    let value = |basis: &Basis| match basis {
        Basis::Session if resistant => Some(Acr::Phr),
        Basis::Session => Some(Acr::Mfa),
        Basis::Tenant => Some(Acr::MfaAttested),
        Basis::Enrolment => (!resistant).then_some(Acr::MfaEnrolled),
    };
    requirement.accepts.iter().filter_map(value).collect()
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
fn returned_amr(rule: &ProofRule, login: &Login, attestation: Option<&Attestation>) -> Vec<String> {
    let sent = login.claims.amr.value().map_or(&[][..], Vec::as_slice);
    let sent = rule.meanings(sent);
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
