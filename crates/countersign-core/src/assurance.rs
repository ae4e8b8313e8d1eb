//! What a login amounts to: level and basis.
//!
//! Silence is not consent: what is absent, malformed or contradictory is
//! [`Level::Unknown`], and that meets no requirement.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Acr, Claim, Login, Methods, ProofRule, Reason, When};

/// Weighs what a login proved by the policy's rule for its provider.
///
/// `contexts` is what the authentication contexts of its tenant attest, where it has one.
pub fn assess(
    rule: &ProofRule,
    methods: &Methods,
    contexts: Option<&BTreeMap<String, Level>>,
    login: &Login,
) -> Assurance {
    let findings = [
        session(rule, methods, login),
        tenant(contexts, login),
        enrolment(rule, login),
    ];
    let shortfall = findings
        .iter()
        .filter_map(|finding| finding.as_ref().err().copied().flatten())
        .min_by_key(|reason| urgency(*reason))
        .unwrap_or(Reason::MfaUnknown);
    let mut attestations: Vec<Attestation> = findings.into_iter().filter_map(Result::ok).collect();
    attestations.sort_by_key(|one| std::cmp::Reverse(one.acr()));
    Assurance {
        attestations,
        shortfall,
    }
}

/// What a login amounts to. A login can be attested on several bases; each is kept apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assurance {
    /// Strongest first.
    attestations: Vec<Attestation>,
    shortfall: Reason,
}

impl Assurance {
    /// The attestations, strongest first; empty when nothing is proven.
    pub fn attestations(&self) -> &[Attestation] {
        &self.attestations
    }

    /// The highest level that is attested on any basis.
    pub fn level(&self) -> Level {
        match self.attestations.iter().map(|one| one.level).max() {
            Some(level) => level,
            None if self.shortfall == Reason::MfaAbsent => Level::None,
            None => Level::Unknown,
        }
    }

    /// Why nothing is attested.
    pub fn shortfall(&self) -> Reason {
        self.shortfall
    }
}

/// One proof of a second factor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestation {
    /// [`Level::Mfa`] or [`Level::PhishingResistant`].
    pub level: Level,
    /// Whose word it is.
    pub basis: Basis,
    /// The claim and the value that prove it: `acrs:c1`.
    pub proof: String,
    /// Whether the proof is the provider's `phrh` (OpenID EAP ACR Values 1.0).
    #[serde(default)]
    hardware: bool,
}

impl Attestation {
    /// The `acr` that this proof earns: with a basis other than the session it stays that of the basis.
    pub fn acr(&self) -> Acr {
        match (self.basis, self.level) {
            (_, Level::Unknown | Level::None) => Acr::Single,
            (Basis::Enrolment, _) => Acr::MfaEnrolled,
            (Basis::Tenant, _) => Acr::MfaAttested,
            (Basis::Session, Level::Mfa) => Acr::Mfa,
            (Basis::Session, Level::PhishingResistant) if self.hardware => Acr::Phrh,
            (Basis::Session, Level::PhishingResistant) => Acr::Phr,
        }
    }
}

/// How well a login is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Nothing can be said; never a yes.
    Unknown,
    /// No second factor.
    None,
    /// A second factor.
    Mfa,
    /// A phishing-resistant login.
    PhishingResistant,
}

impl Level {
    /// The name in policy, tokens and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::None => "none",
            Self::Mfa => "mfa",
            Self::PhishingResistant => "phishing-resistant",
        }
    }
}

/// Whose word it is that a second factor exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// The provider says that this very login used it.
    Session,
    /// The account has it switched on; this login may not have used it.
    Enrolment,
    /// The admin of an Entra tenant attests it by an authentication context.
    Tenant,
}

impl Basis {
    /// The name in policy, tokens and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Enrolment => "enrolment",
            Self::Tenant => "tenant",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A proof, or why there is none; `Err(None)` where the policy reads nothing of that kind.
type Finding = Result<Attestation, Option<Reason>>;

/// What the provider says that this login used: `acr`, `amr`, or an expression over its claims.
fn session(rule: &ProofRule, methods: &Methods, login: &Login) -> Finding {
    // An expression may rest on a claim's absence: what can't be read must not look absent to it.
    let by_when = |claim: &str| {
        let when = rule.when.as_ref();
        when.is_some_and(|when| when.expression.claims().contains(claim))
    };
    read(&login.claims.auth_time, by_when("auth_time"))?;
    let acr = read(&login.claims.acr, !rule.acr.is_empty() || by_when("acr"))?;
    // A second factor that never counts is looked for even where only `acr` is proof.
    let reads_amr = !rule.amr.is_empty() || !methods.never.is_empty() || by_when("amr");
    let amr = read(&login.claims.amr, reads_amr)?.map_or(&[][..], Vec::as_slice);
    let never = |value: &String| methods.never.contains(value);
    if rule.meanings(amr).iter().any(never) {
        return Err(Some(Reason::MethodNeverCounts));
    }
    let (level, proof) = by_session(rule, login, acr, amr)?;
    let resistant_acr = |acr: &String| {
        methods.phishing_resistant_acr.contains(acr) || rule.resistant_acr.contains(acr)
    };
    let resistant = acr.is_some_and(resistant_acr)
        || amr.iter().any(|value| rule.resistant_amr.contains(value));
    Ok(Attestation {
        level: if resistant {
            Level::PhishingResistant
        } else {
            level
        },
        basis: Basis::Session,
        proof,
        hardware: acr.is_some_and(|value| value == Acr::Phrh.as_str()),
    })
}

/// The level that one of the rule's proofs shows, and which.
fn by_session(
    rule: &ProofRule,
    login: &Login,
    acr: Option<&String>,
    amr: &[String],
) -> Result<(Level, String), Option<Reason>> {
    if let Some((level, answer)) = rule
        .when
        .as_ref()
        .map(|when| (when.level, when.expression.of(login)))
        && answer == Ok(true)
    {
        return Ok((level, "when".to_owned()));
    }
    if let Some(value) = acr.filter(|value| rule.acr.contains(*value)) {
        return Ok((Level::Mfa, format!("acr:{value}")));
    }
    if let Some(value) = amr.iter().find(|value| rule.amr.contains(*value)) {
        return Ok((Level::Mfa, format!("amr:{value}")));
    }
    Err(unproven(rule, login))
}

/// A claim that was sent and does not prove MFA denies it; one that was not sent says nothing.
fn unproven(rule: &ProofRule, login: &Login) -> Option<Reason> {
    let says_no = |when: &When| when.expression.of(login) == Ok(false);
    let denied = (login.claims.acr.value().is_some() && !rule.acr.is_empty())
        || (login.claims.amr.value().is_some() && !rule.amr.is_empty())
        || rule.when.as_ref().is_some_and(says_no);
    let read = !rule.acr.is_empty() || !rule.amr.is_empty() || rule.when.is_some();
    match (denied, read) {
        (true, _) => Some(Reason::MfaAbsent),
        (false, true) => Some(Reason::MfaUnknown),
        (false, false) => None,
    }
}

/// What the tenant's admin attests: `acrs`, by the meaning that the policy gives it for that tenant.
fn tenant(contexts: Option<&BTreeMap<String, Level>>, login: &Login) -> Finding {
    let Some(named) = contexts else {
        return Err(None);
    };
    let Some(sent) = read(&login.claims.acrs, true)? else {
        return Err((!named.is_empty()).then_some(Reason::MfaUnknown));
    };
    let best = sent
        .iter()
        .filter_map(|context| Some((*named.get(context)?, context)))
        .max();
    match best {
        Some((level, context)) => Ok(Attestation {
            level,
            basis: Basis::Tenant,
            proof: format!("acrs:{context}"),
            hardware: false,
        }),
        None => Err(Some(Reason::TenantContextUnnamed)),
    }
}

/// What the account has switched on: GitHub's flag.
fn enrolment(rule: &ProofRule, login: &Login) -> Finding {
    let reads_flag = rule.two_factor_authentication;
    match read(&login.claims.two_factor_authentication, reads_flag)? {
        Some(true) if reads_flag => Ok(Attestation {
            level: Level::Mfa,
            basis: Basis::Enrolment,
            proof: "two_factor_authentication".to_owned(),
            hardware: false,
        }),
        Some(false) if reads_flag => Err(Some(Reason::MfaAbsent)),
        Some(_) => Err(None),
        None => Err(reads_flag.then_some(Reason::MfaUnknown)),
    }
}

/// The value of a claim, if it was sent; a claim that the policy reads and that can't be read is an error.
fn read<T>(claim: &Claim<T>, is_read: bool) -> Result<Option<&T>, Option<Reason>> {
    match claim {
        Claim::Value(value) => Ok(Some(value)),
        Claim::Malformed if is_read => Err(Some(Reason::EvidenceMalformed)),
        Claim::Contradictory if is_read => Err(Some(Reason::EvidenceContradictory)),
        Claim::Absent | Claim::Malformed | Claim::Contradictory => Ok(None),
    }
}

/// Which of several reasons to tell: the one that explains most comes first.
fn urgency(reason: Reason) -> usize {
    [
        Reason::EvidenceContradictory,
        Reason::EvidenceMalformed,
        Reason::MethodNeverCounts,
        Reason::MfaAbsent,
        Reason::TenantContextUnnamed,
        Reason::MfaUnknown,
    ]
    .iter()
    .position(|one| *one == reason)
    .unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
