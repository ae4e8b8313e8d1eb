use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;
use crate::{AccountFacts, AccountId, Claims, ClientId, Demands, ProviderId, TenantId};

mod api_key;
mod leniency;

/// Five tiers, and a client for each of three: what a decision can be about.
const POLICY: &str = r#"version = 1
[proof.okta]
acr = ["phr", "phrh", "urn:mfa"]
amr = ["mfa"]
[proof.github]
two_factor_authentication = true
[proof.entra]
acr = ["urn:mfa"]
[proof.entra.tenant."6e93a626-8aca-4dc1-9191-ce291b4b75a1"]
acrs = { c1 = "mfa", c2 = "phishing-resistant" }
[methods]
never = ["sms"]
phishing_resistant = { acr = ["phr", "phrh"] }
[tier.browse]
scopes = ["packages:read", "profile"]
needs = "none"
[tier.manage]
scopes = ["packages:manage"]
needs = "mfa"
accepts = ["session", "enrolment", "tenant"]
[tier.publish]
scopes = ["packages:publish"]
needs = "mfa"
accepts = ["session"]
max_evidence_age = "12h"
[tier.administer]
scopes = ["tenants:write"]
needs = "mfa"
accepts = ["session", "tenant"]
max_age = "5m"
[tier.operate]
scopes = ["operator:read", "operator:write"]
needs = "mfa"
accepts = ["session"]
[operators]
accounts = ["acct_1"]
[tier.seal]
scopes = ["keys:write"]
needs = "phishing-resistant"
accepts = ["session", "tenant"]
[client.lobby]
tier = "browse"
[client.gallery]
tier = "manage"
[client.vault]
tier = "publish"
"#;

const TENANT: &str = "6e93a626-8aca-4dc1-9191-ce291b4b75a1";

/// A login at this moment; the tests move `now`, not the login.
const LOGIN: i64 = 1_800_000_000;

/// Read once: the tests over made-up logins ask for it thousands of times.
fn policy() -> Policy {
    static READ: OnceLock<Policy> = OnceLock::new();
    let read = || Policy::parse("policy.toml", POLICY).unwrap_or_else(|all| panic!("{all}"));
    READ.get_or_init(read).clone()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(LOGIN + seconds).unwrap()
}

fn texts(values: &[&str]) -> Claim<Vec<String>> {
    Claim::Value(values.iter().map(|one| (*one).to_owned()).collect())
}

fn text(value: &str) -> Claim<String> {
    Claim::Value(value.to_owned())
}

/// A login at a provider with these claims, verified at [`LOGIN`].
fn login(provider: &str, claims: Claims) -> Login {
    Login {
        tenant: (provider == "entra").then(|| TenantId::new(TENANT).unwrap()),
        claims,
        ..Login::new(ProviderId::new(provider).unwrap(), at(0))
    }
}

fn by_acr(provider: &str, acr: &str) -> Login {
    login(
        provider,
        Claims {
            acr: text(acr),
            ..Claims::default()
        },
    )
}

fn password() -> Login {
    login(
        "okta",
        Claims {
            amr: texts(&["pwd"]),
            ..Claims::default()
        },
    )
}

fn silent() -> Login {
    login("okta", Claims::default())
}

fn session_mfa() -> Login {
    by_acr("okta", "urn:mfa")
}

fn resistant() -> Login {
    by_acr("okta", "phr")
}

fn enrolled() -> Login {
    login(
        "github",
        Claims {
            two_factor_authentication: Claim::Value(true),
            ..Claims::default()
        },
    )
}

fn attested(context: &str) -> Login {
    login(
        "entra",
        Claims {
            acrs: texts(&[context]),
            ..Claims::default()
        },
    )
}

/// When the provider authenticated the person, in seconds from the login on.
fn authenticated(mut evidence: Login, seconds: i64) -> Login {
    evidence.claims.auth_time = Claim::Value(at(seconds));
    evidence
}

/// A request of a client for scopes, by a login that can't be stepped up.
fn facts(client: &str, scopes: &str, evidence: Login) -> Facts {
    Facts {
        client: ClientId::new(client).unwrap(),
        scopes: scopes
            .split_whitespace()
            .map(|scope| Scope::new(scope).unwrap())
            .collect(),
        organization: None,
        manages: None,
        mappings: Vec::new(),
        waivers: Vec::new(),
        demands: Demands::default(),
        login: evidence,
        identity_changed: false,
        withdrawn: false,
        account: account(),
        remedy: Remedy::Nothing,
        session_expires_at: None,
        stated: None,
        key_made_at: None,
    }
}

/// An account of long ago, of which nothing else is known.
fn account() -> AccountFacts {
    AccountFacts {
        id: AccountId::new("acct_1").unwrap(),
        made_at: Timestamp::UNIX_EPOCH,
        spread: 0,
        told_due: None,
        first_mfa_at: None,
        email_vouched: false,
        locked: false,
    }
}

fn demanding(mut facts: Facts, demands: Demands) -> Facts {
    facts.demands = demands;
    facts
}

fn with_remedy(mut facts: Facts) -> Facts {
    facts.remedy = Remedy::StepUp;
    facts
}

fn acr_values(values: &[Acr]) -> Demands {
    Demands {
        acr_values: values.to_vec(),
        ..Demands::default()
    }
}

/// A decision in one line.
fn summary(decision: &Decision) -> String {
    let codes = |reasons: &[Reason]| {
        let codes: Vec<&str> = reasons.iter().map(|reason| reason.code()).collect();
        codes.join(" ")
    };
    match decision {
        Decision::Permit(permit) => {
            let scopes: Vec<&str> = permit.scopes.iter().map(Scope::as_str).collect();
            format!("permit: {}", scopes.join(" "))
        }
        Decision::StepUp(step_up) => format!("step-up: {}", codes(&step_up.reasons)),
        Decision::Refuse(refusal) => match refusal.cause {
            Cause::Policy => format!("refuse: {}", codes(&refusal.reasons)),
            Cause::Request => format!("refuse the request: {}", codes(&refusal.reasons)),
        },
    }
}

fn check(facts: &Facts, seconds: i64, expected: &str) {
    let decision = decide(&policy(), facts, at(seconds));
    assert_eq!(summary(&decision), expected, "{facts:#?}");
}

fn permit(facts: &Facts, seconds: i64) -> Permit {
    match decide(&policy(), facts, at(seconds)) {
        Decision::Permit(permit) => permit,
        other => panic!("{}", summary(&other)),
    }
}

fn step_up(facts: Facts, seconds: i64) -> StepUp {
    match decide(&policy(), &with_remedy(facts), at(seconds)) {
        Decision::StepUp(step_up) => step_up,
        other => panic!("{}", summary(&other)),
    }
}

#[test]
fn a_tier_takes_its_level_on_the_bases_that_it_accepts_and_nothing_less() {
    let resistant_tenant = || authenticated(attested("c2"), 0);
    for (name, evidence, [read, manage, publish, administer, seal]) in [
        (
            "a password",
            password(),
            ["ok", "mfa-absent", "mfa-absent", "mfa-absent", "mfa-absent"],
        ),
        (
            "silence",
            silent(),
            [
                "ok",
                "mfa-unknown",
                "mfa-unknown",
                "mfa-unknown",
                "mfa-unknown",
            ],
        ),
        (
            "enrolment",
            authenticated(enrolled(), 0),
            [
                "ok",
                "ok",
                "basis-not-accepted",
                "basis-not-accepted",
                "phishing-resistant-absent",
            ],
        ),
        (
            "the tenant's word",
            authenticated(attested("c1"), 0),
            [
                "ok",
                "ok",
                "basis-not-accepted",
                "ok",
                "phishing-resistant-absent",
            ],
        ),
        (
            "the tenant's word for more",
            resistant_tenant(),
            ["ok", "ok", "basis-not-accepted", "ok", "ok"],
        ),
        (
            "the session's MFA",
            authenticated(session_mfa(), 0),
            ["ok", "ok", "ok", "ok", "phishing-resistant-absent"],
        ),
        (
            "a passkey",
            authenticated(resistant(), 0),
            ["ok", "ok", "ok", "ok", "ok"],
        ),
    ] {
        for (scope, expected) in [
            ("packages:read", read),
            ("packages:manage", manage),
            ("packages:publish", publish),
            ("tenants:write", administer),
            ("keys:write", seal),
        ] {
            let decision = decide(&policy(), &facts("lobby", scope, evidence.clone()), at(0));
            let outcome = match &decision {
                Decision::Permit(_) => "ok",
                Decision::Refuse(refusal) => refusal.reason().code(),
                Decision::StepUp(_) => "step-up",
            };
            assert_eq!(outcome, expected, "{name} for {scope}");
        }
    }
}

#[test]
fn the_tier_of_the_client_is_needed_to_be_let_in_at_all() {
    check(
        &facts("lobby", "openid profile", password()),
        0,
        "permit: openid profile",
    );
    check(
        &facts("gallery", "openid profile", password()),
        0,
        "refuse: mfa-absent",
    );
    check(
        &facts("gallery", "openid profile", silent()),
        0,
        "refuse: mfa-unknown",
    );
    check(
        &facts("vault", "openid profile", enrolled()),
        0,
        "refuse: basis-not-accepted",
    );
    check(
        &facts("nobody", "openid", session_mfa()),
        0,
        "refuse: not-in-policy",
    );
}

#[test]
fn a_scope_whose_tier_is_not_met_is_left_out_and_named() {
    let facts = facts(
        "gallery",
        "openid packages:manage packages:publish keys:write",
        enrolled(),
    );
    let permit = permit(&facts, 0);
    let granted: Vec<&str> = permit.scopes().iter().map(Scope::as_str).collect();
    assert_eq!(granted, ["openid", "packages:manage"]);
    let unmet: Vec<(&str, &str, &[Reason])> = permit
        .unmet()
        .iter()
        .map(|one| {
            (
                one.scope.as_str(),
                one.tier.as_str(),
                one.reasons.as_slice(),
            )
        })
        .collect();
    assert_eq!(
        unmet,
        [
            ("keys:write", "seal", &[Reason::PhishingResistantAbsent][..]),
            (
                "packages:publish",
                "publish",
                &[Reason::BasisNotAccepted][..]
            ),
        ]
    );
}

#[test]
fn where_not_one_scope_is_met_there_is_no_token() {
    check(
        &facts("lobby", "packages:publish", password()),
        0,
        "refuse: mfa-absent",
    );
    check(
        &facts("lobby", "packages:publish unheard:of", password()),
        0,
        "refuse: mfa-absent not-in-policy",
    );
    check(&facts("lobby", "", password()), 0, "permit: ");
}

#[test]
fn a_scope_of_no_tier_is_never_granted() {
    check(
        &facts("gallery", "openid unheard:of", resistant()),
        0,
        "permit: openid",
    );
}

#[test]
fn what_is_for_operators_goes_to_accounts_that_the_policy_names_and_by_mfa() {
    let asked = |evidence| facts("lobby", "packages:read operator:read", evidence);
    check(
        &asked(session_mfa()),
        0,
        "permit: operator:read packages:read",
    );
    check(&asked(password()), 0, "permit: packages:read");
    let of_another = |evidence| {
        let mut facts = asked(evidence);
        facts.account.id = AccountId::new("acct_2").unwrap();
        facts
    };
    check(&of_another(session_mfa()), 0, "permit: packages:read");
    let left_out = permit(&of_another(session_mfa()), 0).unmet().to_vec();
    assert_eq!(left_out[0].reasons, [Reason::NotAnOperator]);
    assert_eq!(left_out[0].rule.as_str(), "operators");
    // Nothing that the provider could be asked for would help.
    let refused = with_remedy(of_another(password()));
    check(&refused, 0, "permit: packages:read");
    let alone = Facts {
        scopes: BTreeSet::from([Scope::new(Scope::OPERATOR_WRITE).unwrap()]),
        ..of_another(resistant())
    };
    check(&alone, 0, "refuse: not-an-operator");
}

#[test]
fn while_there_is_a_remedy_everything_that_is_missing_is_asked_for_at_once() {
    let facts = with_remedy(facts(
        "gallery",
        "openid packages:manage tenants:write keys:write",
        password(),
    ));
    check(&facts, 0, "step-up: mfa-absent auth-time-absent");
    let step_up = step_up(facts, 0);
    assert_eq!(step_up.ask.strength, Strength::Required);
    assert_eq!(step_up.ask.acr_values, ["phr", "phrh"]);
    assert_eq!(step_up.ask.max_age, Some(SignedDuration::from_mins(5)));
    assert!(step_up.ask.reauthenticate);
}

#[test]
fn a_login_that_is_good_enough_is_never_stepped_up() {
    for evidence in [session_mfa(), enrolled(), attested("c1"), resistant()] {
        let facts = with_remedy(facts("gallery", "openid packages:manage", evidence));
        check(&facts, 0, "permit: openid packages:manage");
    }
}

#[test]
fn a_step_up_asks_in_the_words_of_the_provider() {
    let password_at = |provider: &str| by_acr(provider, "urn:password");
    let ask = |provider: &str, scopes: &str| {
        step_up(facts("gallery", scopes, password_at(provider)), 0).ask
    };
    let okta = ask("okta", "openid");
    assert_eq!(okta.acr_values, ["phr", "phrh", "urn:mfa"]);
    assert_eq!((okta.contexts.len(), okta.tenant), (0, None));
    assert!(!okta.reauthenticate);

    let entra = ask("entra", "openid");
    assert_eq!(entra.acr_values, ["urn:mfa"]);
    assert_eq!(entra.contexts, ["c1", "c2"]);
    assert_eq!(entra.tenant, Some(TenantId::new(TENANT).unwrap()));

    let stronger = ask("entra", "openid keys:write");
    assert_eq!(stronger.contexts, ["c2"]);
    assert!(stronger.acr_values.is_empty(), "none of them shows as much");
}

#[test]
fn a_provider_that_knows_no_name_for_it_is_asked_to_do_it_again() {
    let text = POLICY.replace(r#"acr = ["phr", "phrh", "urn:mfa"]"#, "");
    let policy = Policy::parse("policy.toml", &text).unwrap();
    let facts = with_remedy(facts("gallery", "openid", password()));
    let Decision::StepUp(step_up) = decide(&policy, &facts, at(0)) else {
        panic!("no step-up");
    };
    assert!(step_up.ask.acr_values.is_empty());
    assert!(step_up.ask.reauthenticate);
}

#[test]
fn the_first_leg_wishes_for_what_the_request_will_need() {
    let policy = policy();
    let tenant = TenantId::new(TENANT).unwrap();
    let ask = |provider: &str, scopes: &str, demands: Demands| {
        let facts = facts("lobby", scopes, silent());
        let provider = ProviderId::new(provider).unwrap();
        let asked = Asked {
            client: &facts.client,
            scopes: &facts.scopes,
            organization: None,
            demands: &demands,
        };
        Ask::first(&policy, &provider, (Some(tenant.clone()), &[]), &asked)
    };
    let usual = ask("entra", "openid packages:manage", Demands::default());
    assert_eq!(usual.strength, Strength::Voluntary);
    assert_eq!(usual.acr_values, ["urn:mfa"]);
    assert_eq!(usual.contexts, ["c1", "c2"]);
    assert_eq!((usual.max_age, usual.reauthenticate), (None, false));

    let nothing = ask("entra", "openid packages:read", Demands::default());
    assert!(
        nothing.contexts.is_empty(),
        "a context may cost the person a prompt"
    );

    let demands = Demands {
        max_age: Some(SignedDuration::from_secs(60)),
        authenticated_since: Some(at(0)),
        ..Demands::default()
    };
    let fresh = ask("okta", "openid tenants:write", demands);
    assert_eq!(fresh.max_age, Some(SignedDuration::from_secs(60)));
    assert!(fresh.reauthenticate);
    assert!(fresh.contexts.is_empty());
}

#[test]
fn max_age_is_answered_by_the_providers_clock_alone() {
    let ask = |evidence| facts("lobby", "tenants:write", evidence);
    let fresh = ask(authenticated(session_mfa(), -290));
    check(&fresh, 0, "permit: tenants:write");
    check(&fresh, 10, "permit: tenants:write");
    check(&fresh, 11, "refuse: auth-too-old");
    check(&ask(session_mfa()), 0, "refuse: auth-time-absent");

    let mut malformed = session_mfa();
    malformed.claims.auth_time = Claim::Malformed;
    check(&ask(malformed), 0, "refuse: auth-time-absent");
    let mut contradictory = session_mfa();
    contradictory.claims.auth_time = Claim::Contradictory;
    check(&ask(contradictory), 0, "refuse: auth-time-absent");
}

#[test]
fn max_evidence_age_is_answered_by_our_own_clock_alone() {
    let ask = |evidence| facts("lobby", "packages:publish", evidence);
    for evidence in [
        session_mfa(),
        authenticated(session_mfa(), -1_000_000),
        authenticated(session_mfa(), 1_000_000),
    ] {
        check(
            &ask(evidence.clone()),
            12 * 3600,
            "permit: packages:publish",
        );
        check(&ask(evidence), 12 * 3600 + 1, "refuse: evidence-too-old");
    }
}

#[test]
fn a_request_may_demand_more_than_the_policy_and_never_less() {
    let ask = |evidence, wanted: &[Acr]| {
        demanding(facts("lobby", "openid", evidence), acr_values(wanted))
    };
    for (evidence, wanted, expected) in [
        (password(), &[][..], "permit: openid"),
        (password(), &[Acr::Single], "permit: openid"),
        (password(), &[Acr::Mfa], "refuse the request: acr-not-met"),
        (password(), &[Acr::Mfa, Acr::Single], "permit: openid"),
        (session_mfa(), &[Acr::Mfa], "permit: openid"),
        (session_mfa(), &[Acr::MfaEnrolled], "permit: openid"),
        (
            session_mfa(),
            &[Acr::MfaAttested],
            "refuse the request: acr-not-met",
        ),
        (
            session_mfa(),
            &[Acr::Phr],
            "refuse the request: acr-not-met",
        ),
        (enrolled(), &[Acr::Mfa], "refuse the request: acr-not-met"),
        (
            attested("c2"),
            &[Acr::Phr],
            "refuse the request: acr-not-met",
        ),
        (resistant(), &[Acr::Phr], "permit: openid"),
        (resistant(), &[Acr::Phrh], "refuse the request: acr-not-met"),
    ] {
        check(&ask(evidence, wanted), 0, expected);
    }
    let weak = demanding(
        facts("gallery", "openid", password()),
        acr_values(&[Acr::Single]),
    );
    check(&weak, 0, "refuse: mfa-absent");
}

#[test]
fn the_returned_acr_is_the_strongest_requested_that_is_met_else_the_strongest_met() {
    for (evidence, wanted, expected) in [
        (password(), &[][..], Acr::Single),
        (session_mfa(), &[], Acr::Mfa),
        (resistant(), &[], Acr::Phr),
        (by_acr("okta", "phrh"), &[], Acr::Phrh),
        (enrolled(), &[], Acr::MfaEnrolled),
        (attested("c1"), &[], Acr::MfaAttested),
        (attested("c2"), &[], Acr::MfaAttested),
        (resistant(), &[Acr::Single], Acr::Single),
        (resistant(), &[Acr::Mfa, Acr::Single], Acr::Mfa),
        (
            resistant(),
            &[Acr::MfaEnrolled, Acr::Phrh],
            Acr::MfaEnrolled,
        ),
        (session_mfa(), &[Acr::Phr, Acr::Mfa, Acr::Single], Acr::Mfa),
    ] {
        let facts = demanding(facts("lobby", "openid", evidence), acr_values(wanted));
        assert_eq!(permit(&facts, 0).acr(), expected, "{facts:#?}");
    }
}

#[test]
fn what_a_token_states_is_what_answers_the_request() {
    let mut both = attested("c1");
    both.claims.acr = text("urn:mfa");
    let stated = |wanted: &[Acr]| {
        let facts = demanding(facts("lobby", "openid", both.clone()), acr_values(wanted));
        let permit = permit(&facts, 0);
        (permit.basis(), permit.proof().map(str::to_owned))
    };
    let session = (Some(Basis::Session), Some("acr:urn:mfa".to_owned()));
    let tenant = (Some(Basis::Tenant), Some("acrs:c1".to_owned()));
    assert_eq!(stated(&[]), session);
    assert_eq!(stated(&[Acr::Mfa]), session);
    assert_eq!(stated(&[Acr::MfaAttested]), tenant);
}

#[test]
fn a_requests_own_max_age_and_prompt_login_are_verified() {
    let since = |seconds| Demands {
        authenticated_since: Some(at(seconds)),
        ..Demands::default()
    };
    let max_age = |seconds| Demands {
        max_age: Some(SignedDuration::from_secs(seconds)),
        ..Demands::default()
    };
    let ask = |evidence, demands| demanding(facts("lobby", "openid", evidence), demands);
    let hour_ago = || authenticated(password(), -3600);
    for (evidence, demands, expected) in [
        (hour_ago(), max_age(3600), "permit: openid"),
        (
            hour_ago(),
            max_age(3599),
            "refuse the request: auth-too-old",
        ),
        (
            password(),
            max_age(1_000_000),
            "refuse the request: auth-time-absent",
        ),
        (authenticated(password(), 0), max_age(0), "permit: openid"),
        (hour_ago(), since(-3600), "permit: openid"),
        (
            hour_ago(),
            since(-3599),
            "refuse the request: reauthentication-not-shown",
        ),
        (
            password(),
            since(-3600),
            "refuse the request: reauthentication-not-shown",
        ),
    ] {
        check(&ask(evidence, demands), 0, expected);
    }
}

#[test]
fn a_policy_that_is_not_met_is_told_to_the_person_before_the_request_is_to_the_client() {
    let facts = demanding(
        facts("gallery", "openid", password()),
        acr_values(&[Acr::Phr]),
    );
    check(&facts, 0, "refuse: mfa-absent acr-not-met");
}

#[test]
fn no_token_outlives_what_it_rests_on() {
    let ends = |scopes: &str, session: Option<i64>| {
        let mut facts = facts("lobby", scopes, authenticated(session_mfa(), -60));
        facts.session_expires_at = session.map(at);
        let end = permit(&facts, 0).not_after();
        end.map(|end| end.as_second() - LOGIN)
    };
    assert_eq!(ends("openid packages:read", None), None);
    assert_eq!(ends("openid packages:read", Some(100)), Some(100));
    assert_eq!(ends("packages:publish", None), Some(12 * 3600));
    assert_eq!(ends("packages:publish tenants:write", None), Some(240));
    assert_eq!(ends("packages:publish tenants:write", Some(10)), Some(10));
    assert_eq!(
        ends("packages:publish keys:write", None),
        Some(12 * 3600),
        "a scope that is left out limits nothing"
    );
}

#[test]
fn auth_time_is_the_providers_or_none() {
    let auth_time = |evidence| permit(&facts("lobby", "openid", evidence), 0).auth_time();
    assert_eq!(auth_time(session_mfa()), None);
    assert_eq!(auth_time(authenticated(session_mfa(), -60)), Some(at(-60)));
}

#[test]
fn amr_holds_registered_values_and_mfa_exactly_where_the_session_proves_it() {
    let amr = |mut evidence: Login, sent: &[&str]| {
        evidence.claims.amr = texts(sent);
        permit(&facts("lobby", "openid", evidence), 0)
            .amr()
            .to_vec()
    };
    assert_eq!(amr(password(), &["pwd"]), ["pwd"]);
    assert_eq!(amr(password(), &["pwd", "ngcmfa", "OTP", ""]), ["pwd"]);
    assert_eq!(amr(session_mfa(), &["pwd", "otp"]), ["pwd", "otp", "mfa"]);
    assert_eq!(amr(session_mfa(), &["mfa", "pwd"]), ["pwd", "mfa"]);
    assert_eq!(amr(session_mfa(), &["pwd", "pwd", "mfa"]), ["pwd", "mfa"]);
    assert_eq!(
        amr(session_mfa(), &["pwd", "otp", "pwd"]),
        ["pwd", "otp", "mfa"],
        "each value once"
    );
    let nothing = permit(&facts("lobby", "openid", enrolled()), 0);
    assert!(nothing.amr().is_empty());
    let tenant = permit(&facts("lobby", "openid", attested("c2")), 0);
    assert!(tenant.amr().is_empty(), "a tenant's word is no method");
}

#[test]
fn a_login_without_a_proof_states_no_basis() {
    let permit = permit(&facts("lobby", "openid", silent()), 0);
    assert_eq!(permit.level(), Level::Unknown);
    assert_eq!((permit.basis(), permit.proof()), (None, None));
    assert!(!permit.shows_mfa());
}

#[test]
fn a_method_that_never_counts_spoils_the_session_and_nothing_else() {
    let mut by_sms = session_mfa();
    by_sms.claims.amr = texts(&["pwd", "sms", "mfa"]);
    check(
        &facts("gallery", "openid", by_sms),
        0,
        "refuse: method-never-counts",
    );
    let mut attested = attested("c1");
    attested.claims.amr = texts(&["sms"]);
    check(&facts("gallery", "openid", attested), 0, "permit: openid");
}

// ---- for all logins ------------------------------------------------------------------------

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("urn:mfa".to_owned()),
        Just("phr".to_owned()),
        Just("mfa".to_owned()),
        Just("c1".to_owned()),
        Just("sms".to_owned()),
        "[a-z]{0,4}",
    ]
}

fn any_claim<T: std::fmt::Debug + Clone + 'static>(
    value: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Claim<T>> {
    prop_oneof![
        2 => Just(Claim::Absent),
        1 => Just(Claim::Malformed),
        1 => Just(Claim::Contradictory),
        4 => value.prop_map(Claim::Value),
    ]
}

prop_compose! {
    fn any_evidence()(
        provider in prop_oneof![Just("okta"), Just("entra"), Just("github"), Just("unheard-of")],
        acr in any_claim(any_text()),
        amr in any_claim(prop::collection::vec(any_text(), 0..3)),
        acrs in any_claim(prop::collection::vec(any_text(), 0..3)),
        two_factor_authentication in any_claim(any::<bool>()),
        auth_time in any_claim((-1_000_i64..10).prop_map(at)),
    ) -> Login {
        login(provider, Claims { acr, amr, acrs, two_factor_authentication, auth_time, ..Claims::default() })
    }
}

#[test]
fn a_locked_account_gets_nothing_whatever_it_shows() {
    let mut facts = facts("gallery", "openid packages:manage", session_mfa());
    let now = at(0);
    assert!(matches!(
        decide(&policy(), &facts, now),
        Decision::Permit(_)
    ));
    facts.account.locked = true;
    assert_eq!(
        summary(&decide(&policy(), &facts, now)),
        "refuse: account-locked"
    );
    let decision = decide(&policy(), &with_remedy(facts), now);
    assert_eq!(
        summary(&decision),
        "refuse: account-locked",
        "nothing can be asked for"
    );
    assert_eq!(decision.rule().as_str(), "account");
}

#[test]
fn a_client_takes_logins_of_the_providers_that_it_lists() {
    let facts = facts("gallery", "openid packages:manage", session_mfa());
    let listing = |names: &[&str]| {
        let names = names.iter().map(|name| ProviderId::new(*name).unwrap());
        let mut policy = policy();
        let gallery = policy.clients.get_mut(&facts.client).unwrap();
        gallery.providers = Some(names.collect());
        summary(&decide(&policy, &facts, at(0)))
    };
    let own = facts.login.provider.as_str();
    assert_eq!(listing(&[own]), summary(&decide(&policy(), &facts, at(0))));
    assert_eq!(listing(&["another"]), "refuse: provider-not-admitted");
}

/// A policy of one tier with one requirement.
fn policy_of(requirement: Requirement) -> Policy {
    let whole = policy();
    let tier = crate::Tier {
        scopes: BTreeSet::from([Scope::new("packages:publish").unwrap()]),
        requirement,
    };
    Policy {
        tiers: BTreeMap::from([("publish".to_owned(), tier)]),
        clients: BTreeMap::from([(
            ClientId::new("gallery").unwrap(),
            crate::ClientRule {
                tier: "publish".to_owned(),
                stricter: BTreeMap::new(),
                providers: None,
                own_scopes: BTreeSet::new(),
            },
        )]),
        ..whole
    }
}

fn any_level() -> impl Strategy<Value = Level> {
    prop_oneof![
        Just(Level::None),
        Just(Level::Mfa),
        Just(Level::PhishingResistant)
    ]
}

fn any_age() -> impl Strategy<Value = Option<SignedDuration>> {
    prop::option::of((0_i64..1_000).prop_map(SignedDuration::from_secs))
}

prop_compose! {
    fn any_requirement()(
        level in any_level(),
        accepts in prop::collection::btree_set(
            prop_oneof![Just(Basis::Session), Just(Basis::Enrolment), Just(Basis::Tenant)], 0..4),
        max_age in any_age(),
        max_evidence_age in any_age(),
        fresh_at_use in any::<bool>(),
    ) -> Requirement {
        Requirement { level, accepts, max_age, max_evidence_age, verified_email: false, fresh_at_use }
    }
}

fn lets_in(requirement: Requirement, facts: &Facts, seconds: i64) -> bool {
    matches!(
        decide(&policy_of(requirement), facts, at(seconds)),
        Decision::Permit(_)
    )
}

proptest! {
    #[test]
    fn what_is_unknown_never_passes(evidence in any_evidence(), remedy in prop_oneof![Just(Remedy::StepUp), Just(Remedy::Nothing)]) {
        let policy = policy();
        let assurance = policy.assess(&evidence);
        prop_assume!(assurance.level() < Level::Mfa);
        let mut facts = facts("gallery", "openid packages:read", evidence);
        facts.remedy = remedy;
        prop_assert!(!matches!(decide(&policy, &facts, at(0)), Decision::Permit(_)));
    }

    #[test]
    fn adding_a_requirement_never_lets_anyone_in(
        evidence in any_evidence(),
        requirement in any_requirement(),
        added in any_requirement(),
        seconds in 0_i64..1_000,
        key_made in prop::option::of(0_i64..1_000),
    ) {
        let mut facts = facts("gallery", "openid packages:publish", evidence);
        facts.key_made_at = key_made.map(at);
        if lets_in(requirement.and(&added), &facts, seconds) {
            prop_assert!(lets_in(requirement, &facts, seconds));
        }
    }

    #[test]
    fn adding_a_demand_never_lets_anyone_in(
        evidence in any_evidence(),
        requirement in any_requirement(),
        max_age in any_age(),
        acr_values in prop::collection::vec(prop::sample::select(Acr::ALL.to_vec()), 0..3),
    ) {
        let facts = facts("gallery", "openid", evidence);
        let more = demanding(facts.clone(), Demands { acr_values, max_age, authenticated_since: None });
        if lets_in(requirement.clone(), &more, 0) {
            prop_assert!(lets_in(requirement, &facts, 0));
        }
    }

    #[test]
    fn a_method_that_never_counts_never_lets_anyone_in(evidence in any_evidence(), requirement in any_requirement(), never in any_text()) {
        let facts = facts("gallery", "openid", evidence);
        let usual = policy_of(requirement);
        let mut stricter = usual.clone();
        stricter.methods.never.insert(never);
        if matches!(decide(&stricter, &facts, at(0)), Decision::Permit(_)) {
            prop_assert!(matches!(decide(&usual, &facts, at(0)), Decision::Permit(_)));
        }
    }

    #[test]
    fn time_alone_never_lets_anyone_in(evidence in any_evidence(), requirement in any_requirement(), earlier in 0_i64..500, later in 0_i64..500, key_made in prop::option::of(0_i64..1_000)) {
        let mut facts = facts("gallery", "openid", evidence);
        facts.key_made_at = key_made.map(at);
        if lets_in(requirement.clone(), &facts, earlier + later) {
            prop_assert!(lets_in(requirement, &facts, earlier));
        }
    }

    #[test]
    fn a_permit_claims_no_more_than_the_login_shows(evidence in any_evidence()) {
        let policy = policy();
        let assurance = policy.assess(&evidence);
        let facts = facts("lobby", "openid packages:read packages:publish keys:write", evidence);
        if let Decision::Permit(permit) = decide(&policy, &facts, at(0)) {
            prop_assert!(permit.level() <= assurance.level());
            let strongest = assurance.attestations().first().map_or(Acr::Single, Attestation::acr);
            prop_assert!(strongest.satisfies(permit.acr()));
            prop_assert_eq!(permit.basis().is_some(), permit.shows_mfa());
        }
    }
}
