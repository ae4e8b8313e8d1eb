//! What a decision rests on, in words: where two cases have the same words, nothing that either
//! policy asks about tells them apart.

use std::collections::BTreeSet;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{Pair, short};
use crate::decide::due;
use crate::{
    Assurance, Claim, Facts, Level, OrganizationId, Policy, Reason, Requirement, Scope, Subject,
};

/// What a condition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Being let in, or a scope.
    Asked,
    /// The client.
    Client,
    /// The provider, and the tenant where what it attests differs.
    Provider,
    /// What the login shows.
    Login,
    /// How long ago the evidence was verified.
    Evidence,
    /// How long ago the provider authenticated the person.
    Authentication,
    /// Whether there is a verified e-mail address.
    Email,
    /// Whether the account's day has come.
    Calendar,
    /// The organisation that was asked for.
    Organization,
    /// The account, where an exception for it differs.
    Account,
    /// Whether an API key is used.
    ApiKey,
}

impl What {
    /// All of them, in the order of a sentence.
    pub const ALL: [Self; 11] = [
        Self::Asked,
        Self::Client,
        Self::Provider,
        Self::Login,
        Self::Evidence,
        Self::Authentication,
        Self::Email,
        Self::Calendar,
        Self::Organization,
        Self::Account,
        Self::ApiKey,
    ];

    /// How one condition is joined to those before it.
    fn joint(self) -> &'static str {
        match self {
            Self::Asked | Self::Client | Self::Provider | Self::Login => " ",
            Self::Evidence
            | Self::Authentication
            | Self::Email
            | Self::Calendar
            | Self::Organization
            | Self::Account
            | Self::ApiKey => ", ",
        }
    }
}

/// One condition: one of these holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// What it is about.
    pub what: What,
    /// In words, sorted.
    pub one_of: Vec<String>,
}

/// How many values of a condition a sentence names.
const NAMED: usize = 6;

pub(super) fn write_sentence(f: &mut fmt::Formatter<'_>, conditions: &[Condition]) -> fmt::Result {
    let Some(first) = conditions.first() else {
        return f.write_str("everything");
    };
    // Said only where all that is asked for is meant.
    if first.what != What::Asked {
        f.write_str("everything")?;
    }
    for condition in conditions {
        if condition.what != What::Asked {
            f.write_str(condition.what.joint())?;
        }
        write_values(f, &condition.one_of)?;
    }
    Ok(())
}

fn write_values(f: &mut fmt::Formatter<'_>, values: &[String]) -> fmt::Result {
    let named = values.len().min(NAMED);
    for (index, value) in values.iter().take(named).enumerate() {
        f.write_str(if index == 0 { "" } else { " or " })?;
        f.write_str(value)?;
    }
    match values.len() - named {
        0 => Ok(()),
        more => write!(f, " or {more} more"),
    }
}

/// What is asked for besides scopes.
pub(super) const SIGNING_IN: &str = "signing in";

/// All that a decision rests on, in words.
#[derive(Debug)]
pub(super) struct Place {
    asked: Vec<(Option<Scope>, String)>,
    rest: [String; What::ALL.len() - 1],
    /// Whether the account's day has come by the one calendar and not by the other.
    pub(super) calendars_disagree: bool,
}

impl Place {
    pub(super) fn of(pair: &Pair, facts: &Facts, now: Timestamp) -> Self {
        let limits = Limits::of(pair, facts);
        let scopes = facts
            .scopes
            .iter()
            .map(|scope| (Some(scope.clone()), format!("`{scope}`")));
        let sign_in = (None, SIGNING_IN.to_owned());
        let [old, new] = pair.both().map(|one| is_held(one, facts, now));
        Self {
            asked: std::iter::once(sign_in).chain(scopes).collect(),
            rest: [
                format!("through {}", facts.client),
                provider(pair, facts),
                login(pair, facts),
                limits.evidence(facts, now),
                limits.authentication(facts, now),
                limits.email(facts),
                calendar(pair, facts, (old, new)),
                organization(facts.organization.as_ref()),
                account(pair, facts),
                api_key(facts),
            ],
            calendars_disagree: old != new,
        }
    }

    pub(super) fn tuple(&self, asked: Option<&Scope>) -> [&str; What::ALL.len()] {
        let mut asked_for = self
            .asked
            .iter()
            .filter(|(scope, _)| scope.as_ref() == asked);
        let first = asked_for.next().map_or("", |(_, text)| text.as_str());
        let [
            client,
            provider,
            login,
            evidence,
            authentication,
            email,
            calendar,
            organization,
            account,
            api_key,
        ] = self.rest.each_ref().map(String::as_str);
        [
            first,
            client,
            provider,
            login,
            evidence,
            authentication,
            email,
            calendar,
            organization,
            account,
            api_key,
        ]
    }
}

/// The provider, and the tenant where what its contexts mean differs.
fn provider(pair: &Pair, facts: &Facts) -> String {
    let login = &facts.login;
    let provider = &login.provider;
    let [old, new] = pair.both().map(|one| one.proof(provider));
    let differs = |tenant: &crate::TenantId| old.tenants.get(tenant) != new.tenants.get(tenant);
    match login.tenant.as_ref().filter(|tenant| differs(tenant)) {
        Some(tenant) => format!("at {provider} (tenant {tenant})"),
        None => format!("at {provider}"),
    }
}

/// What the login shows; where the two see different things in it, by which claim.
fn login(pair: &Pair, facts: &Facts) -> String {
    let login = &facts.login;
    let [old, new] = pair.both().map(|one| one.assess(login));
    let (from, to) = (shown(&old), shown(&new));
    if from == to {
        return format!("with {from}");
    }
    let proofs: BTreeSet<&str> = [&old, &new]
        .into_iter()
        .flat_map(Assurance::attestations)
        .map(|one| one.proof.as_str())
        .collect();
    let proofs: Vec<&str> = proofs.into_iter().collect();
    format!(
        "with `{}` ({from} by the old file, {to} by the new)",
        proofs.join("`, `")
    )
}

/// `mfa by session`, `no second factor`.
fn shown(assurance: &Assurance) -> String {
    let attested: BTreeSet<String> = assurance
        .attestations()
        .iter()
        .map(|one| format!("{} by {}", one.level, one.basis))
        .collect();
    if !attested.is_empty() {
        return Vec::from_iter(attested).join(" and ");
    }
    match (assurance.level(), assurance.shortfall()) {
        (Level::None, _) => "no second factor".to_owned(),
        (_, Reason::MfaUnknown) => "nothing known of a second factor".to_owned(),
        (_, reason) => format!("no proof ({reason})"),
    }
}

/// What the two policies hold the login's age and the e-mail address to, for this client and organisation.
#[derive(Debug, Default)]
pub(super) struct Limits {
    pub(super) evidence: BTreeSet<SignedDuration>,
    pub(super) authentication: BTreeSet<SignedDuration>,
    pub(super) email: bool,
    /// Whether an API key may be too old where it was not when it was made.
    pub(super) at_use: bool,
}

impl Limits {
    pub(super) fn of(pair: &Pair, facts: &Facts) -> Self {
        let mut limits = Self::default();
        for policy in pair.both() {
            for (tier, _) in policy.tiers() {
                let required = policy.required(&facts.client, facts.organization.as_ref(), tier);
                limits.add(required.as_deref());
            }
        }
        limits.authentication.extend(facts.demands.max_age);
        limits
    }

    fn add(&mut self, requirement: Option<&Requirement>) {
        let Some(requirement) = requirement else {
            return;
        };
        self.evidence.extend(requirement.max_evidence_age);
        self.authentication.extend(requirement.max_age);
        self.email |= requirement.verified_email;
        self.at_use |= requirement.fresh_at_use;
    }

    fn evidence(&self, facts: &Facts, now: Timestamp) -> String {
        let age = now.duration_since(facts.login.verified_at);
        match range(&self.evidence, age) {
            (Some(over), Some(limit)) => format!("evidence {over} to {limit} old"),
            (None, Some(limit)) => format!("evidence at most {limit} old"),
            (Some(limit), None) => format!("evidence more than {limit} old"),
            (None, None) => "evidence of any age".to_owned(),
        }
    }

    fn authentication(&self, facts: &Facts, now: Timestamp) -> String {
        if self.authentication.is_empty() {
            return "authenticated at any time".to_owned();
        }
        let auth_time = match &facts.login.claims.auth_time {
            Claim::Value(auth_time) => *auth_time,
            Claim::Absent | Claim::Malformed | Claim::Contradictory => {
                return "without `auth_time`".to_owned();
            }
        };
        match range(&self.authentication, now.duration_since(auth_time)) {
            (Some(over), Some(limit)) => format!("authenticated {over} to {limit} ago"),
            (None, Some(limit)) => format!("authenticated at most {limit} ago"),
            (Some(limit), None) => format!("authenticated more than {limit} ago"),
            (None, None) => "authenticated at any time".to_owned(),
        }
    }

    fn email(&self, facts: &Facts) -> String {
        let verified = facts.login.email_verified || facts.account.email_vouched;
        match (self.email, verified) {
            (false, _) => "any e-mail address".to_owned(),
            (true, true) => "e-mail address verified".to_owned(),
            (true, false) => "e-mail address not verified".to_owned(),
        }
    }
}

/// Between which two limits an age lies: the greatest that it exceeds, and the least that it does not.
fn range(
    limits: &BTreeSet<SignedDuration>,
    age: SignedDuration,
) -> (Option<String>, Option<String>) {
    let exceeded = limits.range(..age).next_back();
    let kept = limits.range(age..).next();
    (exceeded.copied().map(short), kept.copied().map(short))
}

/// Whether the account's day has come.
fn calendar(pair: &Pair, facts: &Facts, is_held: (bool, bool)) -> String {
    match is_held {
        (true, true) => "an account that must already".to_owned(),
        (false, false) => "an account before its day".to_owned(),
        (true, false) => format!(
            "{} that must by the old file and not yet by the new",
            kind(pair, facts)
        ),
        (false, true) => format!(
            "{} that must by the new file and not yet by the old",
            kind(pair, facts)
        ),
    }
}

/// Whether an account must show a second factor at this time, as far as the calendar goes.
fn is_held(policy: &Policy, facts: &Facts, now: Timestamp) -> bool {
    let login = &facts.login;
    let assurance = policy.assess(login);
    due(policy, facts, &assurance).is_none_or(|due| due.grace(now).is_none())
}

/// Which accounts a calendar tells apart.
fn kind(pair: &Pair, facts: &Facts) -> String {
    let account = &facts.account;
    let days = pair
        .both()
        .map(|one| one.calendar().map(|it| it.new_accounts_from));
    let days: BTreeSet<_> = days.into_iter().flatten().collect();
    let is_after = |day: &&jiff::civil::Date| account.made_at >= crate::calendar::midnight(**day);
    let made = match (
        days.iter().rfind(is_after),
        days.iter().find(|day| !is_after(day)),
    ) {
        (Some(from), Some(until)) => format!("an account made from {from} on and before {until}"),
        (Some(from), None) => format!("an account made from {from} on"),
        (None, Some(until)) => format!("an account made before {until}"),
        (None, None) => "an account".to_owned(),
    };
    let ratchets = pair
        .both()
        .map(|one| one.calendar().is_some_and(|it| it.ratchet));
    match (ratchets.contains(&true), account.first_mfa_at) {
        (true, Some(_)) => format!("{made}, seen with a second factor,"),
        (true, None) | (false, _) => made,
    }
}

fn organization(organization: Option<&OrganizationId>) -> String {
    match organization {
        Some(organization) => format!("for organization {organization}"),
        None => "for no organization".to_owned(),
    }
}

fn api_key(facts: &Facts) -> String {
    match facts.key_made_at {
        Some(_) => "by an API key that was made then".to_owned(),
        None => "by no API key".to_owned(),
    }
}

/// The account, where an exception for it differs.
fn account(pair: &Pair, facts: &Facts) -> String {
    let id = &facts.account.id;
    if pair.excepted.contains(&Subject::Account(id.clone())) {
        format!("account {id}")
    } else {
        "any other account".to_owned()
    }
}
