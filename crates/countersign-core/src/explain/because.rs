//! Why a login was decided as it was, in sentences that an operator reads.

use std::collections::BTreeSet;
use std::fmt::{self, Display};

use jiff::{SignedDuration, Timestamp};

use super::Standing;
use crate::calendar::{BeforeDue, Due};
use crate::cases::proof_in_words;
use crate::decide::due;
use crate::mapping::Shown;
use crate::showing::in_words;
use crate::{
    Assurance, Decision, Facts, Level, Policy, ProofRule, Reason, Requirement, Rule, decide,
};

/// The sentences, in the order in which a decision is made.
pub(super) fn sentences(
    policy: &Policy,
    facts: &Facts,
    now: Timestamp,
    standings: &[Standing],
) -> Vec<String> {
    let rule = policy.proof(&facts.login.provider);
    let assurance = policy.assess(&facts.login);
    let mut sentences = obstacles(policy, facts, now);
    sentences.push(login(policy, rule, facts, &assurance));
    sentences.extend(calendar(policy, facts, &assurance, now));
    sentences.extend(exceptions(policy, now));
    sentences.extend(unmet(policy, facts, now, standings, &assurance));
    sentences.extend(demands(policy, facts, now));
    sentences.extend(stated(policy, facts, now));
    sentences
}

/// What earlier tokens stated of this login, where the next ones would state something else.
fn stated(policy: &Policy, facts: &Facts, now: Timestamp) -> Option<String> {
    let before = facts.stated.as_ref()?;
    let Decision::Refuse(refusal) = decide(policy, facts, now) else {
        return None;
    };
    (refusal.reasons == [Reason::WeighedOtherwise]).then(|| {
        format!(
            "The earlier tokens of this grant state `{}` (level {}) of the login, and by this policy the next ones would \
             state something else: tokens of one grant never disagree, so the person signs in again.",
            before.acr, before.level
        )
    })
}

/// What ends a sign-in before anything is weighed.
fn obstacles(policy: &Policy, facts: &Facts, now: Timestamp) -> Vec<String> {
    let mut sentences = Vec::new();
    if facts.identity_changed {
        sentences
            .push("The step-up was answered by another person than the one who began.".to_owned());
    }
    if facts.withdrawn {
        sentences.push(
            "The provider was asked again and no longer confirms the login: it said no, named somebody else, or showed less \
             than at first."
                .to_owned(),
        );
    }
    if facts.account.locked {
        sentences.push("An operator has locked the account.".to_owned());
    }
    if policy.client_tier(&facts.client).is_none() {
        sentences.push(format!("The policy has no `client.{}`.", facts.client));
    }
    let (client, provider) = (&facts.client, &facts.login.provider);
    if !policy.admits(client, provider) {
        sentences.push(format!(
            "`client.{client}.providers` does not list `{provider}`."
        ));
    }
    sentences.extend(organization(policy, facts, now));
    sentences
}

fn organization(policy: &Policy, facts: &Facts, now: Timestamp) -> Option<String> {
    let asked = facts.organization.as_ref()?;
    let login = &facts.login;
    let reason = Shown::by(policy, facts).asked(asked, now).err()?;
    let in_file = policy.organization(asked).map(|rule| &rule.tenants);
    let is_from = |tenant| in_file.is_some_and(|tenants| tenants.contains(tenant));
    let mut mapped = facts.mappings.iter();
    let is_mapped = mapped.any(|one| one.organization == *asked);
    Some(match &login.tenant {
        _ if reason == Reason::MembershipStale => format!(
            "The provider said too long before that the person belongs to `{asked}` (`mapping.max_membership_age`)."
        ),
        Some(tenant) if is_mapped || is_from(tenant) => format!(
            "The person is no member of the tenant {tenant} of `{asked}`, or it can't be read whether they are."
        ),
        Some(tenant) => format!(
            "The login comes from the tenant {tenant}, which neither `organization.{asked}.tenants` names nor a \
             mapping in force connects to `{asked}`."
        ),
        None => format!(
            "The login comes from no tenant, and from nobody else whom a mapping in force connects to `{asked}`."
        ),
    })
}

fn login(policy: &Policy, rule: &ProofRule, facts: &Facts, assurance: &Assurance) -> String {
    let login = &facts.login;
    let provider = &login.provider;
    let shown: Vec<String> = assurance
        .attestations()
        .iter()
        .map(|one| format!("{} (`{}`)", proof_in_words(one.level, one.basis), one.proof))
        .collect();
    if !shown.is_empty() {
        return format!("The login at `{provider}` shows {}.", shown.join(" and "));
    }
    let carries = format!("it carries `{}`", in_words(&login.claims));
    let counts = format!(
        "of this provider the policy counts {}",
        counted(rule, facts)
    );
    match assurance.shortfall() {
        Reason::MfaAbsent => {
            format!("The login at `{provider}` shows no second factor: {carries}, and {counts}.")
        }
        Reason::EvidenceMalformed => {
            format!("What `{provider}` says of the login can't be read: {carries}.")
        }
        Reason::EvidenceContradictory => {
            format!("What `{provider}` says of the login contradicts itself: {carries}.")
        }
        Reason::MethodNeverCounts => {
            let never: Vec<&str> = policy.methods.never.iter().map(String::as_str).collect();
            format!(
                "The login at `{provider}` used a method of `methods.never` ({}): {carries}.",
                never.join(", ")
            )
        }
        Reason::TenantContextUnnamed => format!(
            "The tenant attests a context that the policy does not name for it: {carries}, and {counts}."
        ),
        Reason::MfaUnknown
        | Reason::PhishingResistantAbsent
        | Reason::BasisNotAccepted
        | Reason::AuthTimeAbsent
        | Reason::AuthTooOld
        | Reason::EvidenceTooOld
        | Reason::ReauthenticationNotShown
        | Reason::AcrNotMet
        | Reason::EmailNotVerified
        | Reason::OrganizationNotShown
        | Reason::MembershipStale
        | Reason::ProviderNotAdmitted
        | Reason::AccountLocked
        | Reason::NotAnOperator
        | Reason::IdentityChanged
        | Reason::WeighedOtherwise
        | Reason::ProviderWithdrew
        | Reason::NotInPolicy => format!(
            "The login at `{provider}` says nothing of a second factor: {carries}, and {counts}."
        ),
    }
}

/// The most values that a sentence lists.
const MOST_VALUES: usize = 6;

/// What counts as proof at this provider and in this tenant.
fn counted(rule: &ProofRule, facts: &Facts) -> String {
    let acr = rule.acr.iter().map(|value| format!("`acr={value}`"));
    let amr = rule.amr.iter().map(|value| format!("`amr={value}`"));
    let when = rule.when.iter().map(|_| "its `when`".to_owned());
    let flag = rule
        .two_factor_authentication
        .then(|| "`two_factor_authentication=true`".to_owned());
    let contexts = facts
        .login
        .tenant
        .as_ref()
        .and_then(|tenant| rule.tenants.get(tenant));
    let contexts = contexts.into_iter().flatten();
    let acrs = contexts.map(|(context, _)| format!("`acrs={context}`"));
    let all: Vec<String> = acr.chain(amr).chain(acrs).chain(when).chain(flag).collect();
    match all.len() {
        0 => "nothing".to_owned(),
        1..=MOST_VALUES => all.join(", "),
        more => format!(
            "{} and {} more",
            all[..MOST_VALUES].join(", "),
            more - MOST_VALUES
        ),
    }
}

fn calendar(
    policy: &Policy,
    facts: &Facts,
    assurance: &Assurance,
    now: Timestamp,
) -> Option<String> {
    let calendar = policy.calendar()?;
    let due = due(policy, facts, assurance)?;
    let until_then = match calendar.before_due {
        BeforeDue::Remind => "let in and told the day",
        BeforeDue::Limit => "signed in without what needs a second factor",
    };
    Some(match (due, due.grace(now)) {
        (Due::Always, _) => {
            "The account has shown a second factor before, and `calendar.ratchet` holds it to that."
                .to_owned()
        }
        (Due::On(day), Some(_)) => {
            format!("The calendar reaches this account on {day}: until then it is {until_then}.")
        }
        (Due::On(_), None) if is_new(policy, facts) => format!(
            "The account is new (made {}): by `calendar.new_accounts_from` it must from the beginning.",
            facts.account.made_at
        ),
        (Due::On(day), None) => {
            format!(
                "The calendar has reached this account: since {day} it must show a second factor."
            )
        }
        (Due::NotSet, _) => format!(
            "The calendar has no day for existing accounts yet: until it has, they are {until_then}."
        ),
    })
}

fn is_new(policy: &Policy, facts: &Facts) -> bool {
    policy.calendar().is_some_and(|calendar| {
        facts.account.made_at >= crate::calendar::midnight(calendar.new_accounts_from)
    })
}

/// The exceptions of this account and this organisation (no others are left here), whether they still hold or not.
fn exceptions(policy: &Policy, now: Timestamp) -> Vec<String> {
    let all = policy.exceptions().iter();
    all.map(|(name, exception)| {
        let waives: Vec<&str> = exception.waives.iter().map(String::as_str).collect();
        let (waives, until) = (waives.join(", "), exception.until);
        let holds = if now < exception.ends_at() {
            "waives"
        } else {
            "no longer waives"
        };
        format!("`exception.{name}` {holds} {waives}, until {until}.")
    })
    .collect()
}

/// What is not met, one sentence for each part of the policy.
fn unmet(
    policy: &Policy,
    facts: &Facts,
    now: Timestamp,
    standings: &[Standing],
    assurance: &Assurance,
) -> Vec<String> {
    let is_weighed = |one: &&Standing| {
        let rule = one.rule.as_str();
        !one.is_met() && one.tier.is_some() && rule != "request" && !rule.ends_with(".tenants")
    };
    let short: Vec<&Standing> = standings.iter().filter(is_weighed).collect();
    let rules: BTreeSet<&Rule> = short.iter().map(|one| &one.rule).collect();
    let mut sentences: Vec<String> = rules
        .into_iter()
        .filter_map(|rule| {
            if *rule == Rule::operators() {
                return Some("`operators` does not name the account: none of its scopes is theirs, whatever the login shows.".to_owned());
            }
            let all: Vec<&&Standing> = short.iter().filter(|one| one.rule == *rule).collect();
            let requirement = all.first().and_then(|one| {
                let organization = facts.demanding();
                policy.required(&facts.client, organization, one.tier.as_ref()?)
            })?;
            let reasons: BTreeSet<Reason> = all.iter().flat_map(|it| it.reasons.clone()).collect();
            let details: Vec<String> = reasons
                .into_iter()
                .map(|reason| detail(reason, facts, now, assurance))
                .collect();
            Some(format!(
                "`{}` is not met: it needs {}; {}.",
                rule.as_str(),
                Needs(&requirement),
                details.join(", and ")
            ))
        })
        .collect();
    let unlisted = standings
        .iter()
        .filter(|one| one.scope.is_some() && one.tier.is_none());
    sentences.extend(unlisted.filter_map(|one| {
        let scope = one.scope.as_ref()?;
        Some(format!("No tier of the policy has the scope `{scope}`."))
    }));
    sentences
}

fn detail(reason: Reason, facts: &Facts, now: Timestamp, assurance: &Assurance) -> String {
    let login = &facts.login;
    let ago = |time: Timestamp| SignedDuration::from_secs(now.duration_since(time).as_secs());
    let key = facts.key_made_at.map_or(String::new(), |made_at| {
        format!(", and the API key was made {:#} before", ago(made_at))
    });
    match reason {
        Reason::BasisNotAccepted => {
            let bases = assurance
                .attestations()
                .iter()
                .map(|one| one.basis.as_str());
            let bases: Vec<&str> = bases.collect();
            format!("what the login shows is by {}", bases.join(" and by "))
        }
        Reason::PhishingResistantAbsent => "the login shows no more than mfa".to_owned(),
        Reason::EvidenceTooOld => {
            format!(
                "Countersign verified the login {:#} before{key}",
                ago(login.verified_at)
            )
        }
        Reason::AuthTooOld => {
            let time = login.claims.auth_time.value().copied().unwrap_or(now);
            format!(
                "the provider authenticated the person {:#} before{key}",
                ago(time)
            )
        }
        Reason::AuthTimeAbsent => {
            "the provider does not say when it authenticated the person".to_owned()
        }
        Reason::EmailNotVerified => "nobody vouches for the e-mail address".to_owned(),
        Reason::MfaAbsent
        | Reason::MfaUnknown
        | Reason::EvidenceMalformed
        | Reason::EvidenceContradictory
        | Reason::TenantContextUnnamed
        | Reason::MethodNeverCounts => format!("the login shows none that counts ({reason})"),
        Reason::ReauthenticationNotShown
        | Reason::AcrNotMet
        | Reason::OrganizationNotShown
        | Reason::MembershipStale
        | Reason::ProviderNotAdmitted
        | Reason::AccountLocked
        | Reason::NotAnOperator
        | Reason::IdentityChanged
        | Reason::WeighedOtherwise
        | Reason::ProviderWithdrew
        | Reason::NotInPolicy => reason.sentence().trim_end_matches('.').to_owned(),
    }
}

/// What the request itself demanded in vain.
fn demands(policy: &Policy, facts: &Facts, now: Timestamp) -> Option<String> {
    let nothing_but_demands = Facts {
        scopes: BTreeSet::new(),
        ..super::in_the_end(facts)
    };
    let decision = decide(policy, &nothing_but_demands, now);
    let Decision::Refuse(refusal) = &decision else {
        return None;
    };
    let codes: Vec<&str> = refusal.reasons.iter().map(|one| one.code()).collect();
    (refusal.cause == crate::Cause::Request).then(|| {
        format!(
            "The request itself demands more than the login shows ({}): the client is told `unmet_authentication_requirements`.",
            codes.join(", ")
        )
    })
}

/// What a requirement asks for: `mfa (session or tenant), verified at most 12h ago`.
#[derive(Debug, Clone, Copy)]
pub struct Needs<'a>(pub &'a Requirement);

impl Display for Needs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requirement = self.0;
        f.write_str(requirement.level.as_str())?;
        if requirement.level > Level::None {
            let bases: Vec<&str> = requirement.accepts.iter().map(|it| it.as_str()).collect();
            write!(f, " ({})", bases.join(" or "))?;
        }
        if let Some(age) = requirement.max_evidence_age {
            write!(f, ", verified at most {age:#} ago")?;
        }
        if let Some(age) = requirement.max_age {
            write!(f, ", authenticated at most {age:#} ago")?;
        }
        if requirement.verified_email {
            f.write_str(", a verified e-mail address")?;
        }
        if requirement.fresh_at_use {
            f.write_str(", fresh at every use of an API key")?;
        }
        Ok(())
    }
}
