use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::*;
use crate::{Claims, ProviderId, TenantId};

const TENANT: &str = "6e93a626-8aca-4dc1-9191-ce291b4b75a1";
const OTHER_TENANT: &str = "7e93a626-8aca-4dc1-9191-ce291b4b75a1";

fn set(values: &[&str]) -> BTreeSet<String> {
    values.iter().map(|one| (*one).to_owned()).collect()
}

/// Reads everything: `acr`, `amr`, GitHub's flag, and two contexts of one tenant.
fn rule() -> ProofRule {
    let contexts = BTreeMap::from([
        ("c1".to_owned(), Level::Mfa),
        ("c2".to_owned(), Level::PhishingResistant),
    ]);
    ProofRule {
        acr: set(&["phr", "phrh", "urn:mfa"]),
        amr: set(&["mfa"]),
        two_factor_authentication: true,
        tenants: BTreeMap::from([(TenantId::new(TENANT).unwrap(), contexts)]),
        ..ProofRule::default()
    }
}

fn methods() -> Methods {
    Methods {
        never: set(&["sms", "tel"]),
        phishing_resistant_acr: set(&["phr", "phrh"]),
    }
}

fn login(tenant: &str, claims: Claims) -> Login {
    Login {
        tenant: Some(TenantId::new(tenant).unwrap()),
        claims,
        ..Login::new(ProviderId::new("entra").unwrap(), Timestamp::UNIX_EPOCH)
    }
}

fn texts(values: &[&str]) -> Claim<Vec<String>> {
    Claim::Value(values.iter().map(|one| (*one).to_owned()).collect())
}

fn text(value: &str) -> Claim<String> {
    Claim::Value(value.to_owned())
}

/// Each attestation as `acr basis proof`, strongest first; or why there is none.
fn summary(rule: &ProofRule, evidence: &Login) -> String {
    let of = |tenant| rule.tenants.get(tenant).cloned().unwrap_or_default();
    let contexts = evidence.tenant.as_ref().map(of);
    let assurance = assess(rule, &methods(), contexts.as_ref(), evidence);
    let lines: Vec<String> = assurance
        .attestations()
        .iter()
        .map(|one| format!("{} {} {}", one.acr(), one.basis, one.proof))
        .collect();
    if lines.is_empty() {
        format!("{}: {}", assurance.level(), assurance.shortfall())
    } else {
        lines.join(", ")
    }
}

fn check(claims: Claims, expected: &str) {
    let evidence = login(TENANT, claims);
    assert_eq!(
        summary(&rule(), &evidence),
        expected,
        "{:?}",
        evidence.claims
    );
}

fn acr(claim: Claim<String>) -> Claims {
    Claims {
        acr: claim,
        ..Claims::default()
    }
}

fn amr(claim: Claim<Vec<String>>) -> Claims {
    Claims {
        amr: claim,
        ..Claims::default()
    }
}

fn acrs(claim: Claim<Vec<String>>) -> Claims {
    Claims {
        acrs: claim,
        ..Claims::default()
    }
}

fn flag(claim: Claim<bool>) -> Claims {
    Claims {
        two_factor_authentication: claim,
        ..Claims::default()
    }
}

#[test]
fn acr_proves_by_exactly_the_values_of_the_policy() {
    check(
        acr(text("urn:mfa")),
        "urn:countersign:mfa session acr:urn:mfa",
    );
    check(acr(text("phr")), "phr session acr:phr");
    check(acr(text("phrh")), "phrh session acr:phrh");
    for other in ["URN:MFA", "urn:mfa ", "urn:mf", "1", "", "mfa"] {
        check(acr(text(other)), "none: mfa-absent");
    }
}

#[test]
fn amr_proves_by_any_of_its_values() {
    check(
        amr(texts(&["pwd", "mfa"])),
        "urn:countersign:mfa session amr:mfa",
    );
    for others in [&["pwd"][..], &["MFA"], &["pwd", "otp"], &[""], &[]] {
        check(amr(texts(others)), "none: mfa-absent");
    }
}

#[test]
fn silence_is_unknown_and_so_is_what_cant_be_read() {
    check(Claims::default(), "unknown: mfa-unknown");
    for claim in [acr(Claim::Malformed), amr(Claim::Malformed)] {
        check(claim, "unknown: evidence-malformed");
    }
    check(acrs(Claim::Malformed), "unknown: evidence-malformed");
    check(flag(Claim::Malformed), "unknown: evidence-malformed");
    for claim in [acr(Claim::Contradictory), amr(Claim::Contradictory)] {
        check(claim, "unknown: evidence-contradictory");
    }
}

#[test]
fn what_cant_be_read_in_one_claim_is_not_mended_by_another_of_the_same_basis() {
    let spoiled = Claims {
        amr: Claim::Malformed,
        ..acr(text("urn:mfa"))
    };
    check(spoiled, "unknown: evidence-malformed");
    let spoiled = Claims {
        acr: Claim::Contradictory,
        ..amr(texts(&["mfa"]))
    };
    check(spoiled, "unknown: evidence-contradictory");
}

#[test]
fn a_claim_that_the_policy_does_not_read_can_be_anything() {
    let rule = ProofRule {
        acr: set(&["urn:mfa"]),
        ..ProofRule::default()
    };
    let claims = Claims {
        two_factor_authentication: Claim::Malformed,
        ..acr(text("urn:mfa"))
    };
    assert_eq!(
        summary(&rule, &login(TENANT, claims)),
        "urn:countersign:mfa session acr:urn:mfa"
    );
}

#[test]
fn a_method_that_never_counts_is_seen_beside_any_proof() {
    for method in ["sms", "tel"] {
        let claims = Claims {
            amr: texts(&["pwd", method, "mfa"]),
            ..acr(text("phr"))
        };
        check(claims, "unknown: method-never-counts");
    }
    check(
        amr(texts(&["SMS", "mfa"])),
        "urn:countersign:mfa session amr:mfa",
    );
}

#[test]
fn phishing_resistance_needs_mfa_proven_too() {
    let by_amr = ProofRule {
        amr: set(&["mfa"]),
        ..ProofRule::default()
    };
    let passkey = |methods: &[&str]| {
        let claims = Claims {
            amr: texts(methods),
            ..acr(text("phr"))
        };
        summary(&by_amr, &login(TENANT, claims))
    };
    assert_eq!(passkey(&["hwk", "mfa"]), "phr session amr:mfa");
    assert_eq!(passkey(&["hwk"]), "none: mfa-absent");
}

#[test]
fn a_tenants_context_means_what_the_policy_says_for_that_tenant() {
    check(
        acrs(texts(&["c1"])),
        "urn:countersign:mfa-attested tenant acrs:c1",
    );
    check(
        acrs(texts(&["c9", "c2", "c1"])),
        "urn:countersign:mfa-attested tenant acrs:c2",
    );
    for unnamed in [&["c3"][..], &["C1"], &["mfa"], &[""], &[]] {
        check(acrs(texts(unnamed)), "unknown: tenant-context-unnamed");
    }
    let elsewhere = login(OTHER_TENANT, acrs(texts(&["c1"])));
    assert_eq!(
        summary(&rule(), &elsewhere),
        "unknown: tenant-context-unnamed"
    );
}

#[test]
fn a_context_is_the_word_of_a_tenant_and_nobody_elses() {
    let mut elsewhere = login(TENANT, acrs(texts(&["c1"])));
    elsewhere.tenant = None;
    assert_eq!(summary(&rule(), &elsewhere), "unknown: mfa-unknown");
}

#[test]
fn githubs_flag_is_enrolment_and_absent_is_not_false() {
    check(
        flag(Claim::Value(true)),
        "urn:countersign:mfa-enrolled enrolment two_factor_authentication",
    );
    check(flag(Claim::Value(false)), "none: mfa-absent");
    check(flag(Claim::Absent), "unknown: mfa-unknown");
    let unread = ProofRule {
        two_factor_authentication: false,
        ..rule()
    };
    let claims = flag(Claim::Value(true));
    assert_eq!(
        summary(&unread, &login(TENANT, claims)),
        "unknown: mfa-unknown"
    );
}

#[test]
fn attestations_are_kept_apart_by_basis_and_the_session_comes_first() {
    let claims = Claims {
        acrs: texts(&["c2"]),
        two_factor_authentication: Claim::Value(true),
        ..acr(text("urn:mfa"))
    };
    check(
        claims,
        "urn:countersign:mfa session acr:urn:mfa, \
         urn:countersign:mfa-attested tenant acrs:c2, \
         urn:countersign:mfa-enrolled enrolment two_factor_authentication",
    );
}

#[test]
fn one_basis_that_is_spoiled_does_not_spoil_another() {
    let claims = Claims {
        acrs: texts(&["c1"]),
        ..acr(Claim::Malformed)
    };
    check(claims, "urn:countersign:mfa-attested tenant acrs:c1");
}

#[test]
fn of_several_reasons_the_one_that_explains_most_is_told() {
    let claims = Claims {
        acrs: texts(&["c3"]),
        ..acr(text("urn:password"))
    };
    check(claims, "none: mfa-absent");
    let claims = Claims {
        acrs: Claim::Contradictory,
        ..acr(Claim::Malformed)
    };
    check(claims, "unknown: evidence-contradictory");
}

#[test]
fn at_a_provider_without_a_rule_nothing_is_proven() {
    let everything = Claims {
        acr: text("urn:mfa"),
        amr: texts(&["mfa"]),
        acrs: texts(&["c1"]),
        two_factor_authentication: Claim::Value(true),
        ..Claims::default()
    };
    let nothing = ProofRule::default();
    assert_eq!(
        summary(&nothing, &login(TENANT, everything)),
        "unknown: tenant-context-unnamed"
    );
}
