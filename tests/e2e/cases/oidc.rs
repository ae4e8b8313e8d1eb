//! Any OpenID Connect provider: `acr` and `amr` of the ID token, and `auth_time` where freshness is asked for.
//!
//! The names in capitals are those of the OpenID Foundation's conformance suite for relying parties; the modules of
//! its basic plan are in `conformance::rp_basic`.

use countersign_dev_idp::oidc::{Evidence, Honour, PromptLogin, Unmet};
use countersign_dev_idp::{
    Algorithm, Behaviour, Client, Document, Edit, Endpoint, IssParameter, KeyPhase, Signing,
    WireFault,
};
use countersign_tests::Login;
use serde_json::{Value, json};

use super::end::{ABSENT, MALFORMED, NO, OK, UNKNOWN};
use super::{ALL_CLAIMS, Cases, Channel, Row, twice, unread, usual};

const HOUR: i64 = 3_600;
/// So much later nothing that was fetched before is used any more.
const NEXT_DAY: i64 = 25 * HOUR;
const INVALID: &str = "refused: provider-answer-invalid";
const UNMET: &str = "client: unmet_authentication_requirements";

fn ann() -> Login {
    Login::new("oidc", "ann-mfa")
}

/// Ann's ID token with this evidence.
fn shows(amr: Option<Value>, acr: Option<&str>) -> impl Fn(&mut Behaviour) {
    let evidence = Evidence {
        amr,
        acr: acr.map(str::to_owned),
    };
    move |behaviour| {
        let ann = behaviour.oidc.account_mut("ann-mfa").expect("Ann");
        ann.mfa = evidence.clone();
    }
}

fn claim(edit: Edit) -> impl Fn(&mut Behaviour) {
    move |behaviour| behaviour.back.claims.push(edit.clone())
}

fn edited(document: Document, edit: Edit) -> impl Fn(&mut Behaviour) {
    move |behaviour| {
        behaviour.edits.insert(document, vec![edit.clone()]);
    }
}

const TABLE: [Row; 10] = [
    // claim    absent    7   ["other"]  {}  null true "other"
    ("iss", [NO; 7]),
    ("aud", [NO; 7]),
    ("azp", [OK, NO, NO, NO, NO, NO, NO]),
    ("exp", [NO; 7]),
    ("iat", [NO; 7]),
    ("nbf", [OK, OK, NO, NO, NO, NO, NO]),
    ("nonce", [NO; 7]),
    ("sub", [NO, NO, NO, NO, NO, NO, OK]),
    ("c_hash", [OK; 7]),
    ("at_hash", [OK, NO, NO, NO, NO, NO, NO]),
];

/// Whatever is not OpenID Connect's evidence, and a person's data.
const UNREAD: [&str; 13] = [
    "tid",
    "oid",
    "ver",
    "acrs",
    "acct",
    "idp",
    "xms_edov",
    "two_factor_authentication",
    "auth_time",
    "email",
    "email_verified",
    "name",
    "preferred_username",
];

#[actix_web::test]
async fn each_claim_broken_one_at_a_time() {
    let cases = Cases::new().await;
    let both = [
        OK, MALFORMED, MALFORMED, MALFORMED, MALFORMED, MALFORMED, OK,
    ];
    let evidence: [Row; 2] = [
        ("acr", both), // where it says something else, `amr` proves it still
        (
            "amr",
            [OK, MALFORMED, OK, MALFORMED, MALFORMED, MALFORMED, OK],
        ),
    ];
    let table = [&TABLE[..], &evidence, &unread(&UNREAD)].concat();
    cases
        .broken_claims(&ann(), Channel::Back, usual, &table)
        .await;
}

#[actix_web::test]
async fn without_acr_the_same_claims_rest_on_amr_alone() {
    let cases = Cases::new().await;
    let evidence: [Row; 2] = [
        (
            "acr",
            [
                OK, MALFORMED, MALFORMED, MALFORMED, MALFORMED, MALFORMED, OK,
            ],
        ),
        (
            "amr",
            [
                UNKNOWN, MALFORMED, ABSENT, MALFORMED, MALFORMED, MALFORMED, ABSENT,
            ],
        ),
    ];
    let table = [&TABLE[..], &evidence, &unread(&UNREAD)].concat();
    let amr_alone = shows(Some(json!(["pwd", "mfa"])), None);
    cases
        .broken_claims(&ann(), Channel::Back, amr_alone, &table)
        .await;
}

#[actix_web::test]
async fn without_any_evidence_no_broken_claim_lets_anyone_in() {
    let cases = Cases::new().await;
    let table: Vec<Row> = TABLE
        .into_iter()
        .chain(unread(&UNREAD))
        .map(|(claim, ends)| (claim, ends.map(|end| if end == OK { UNKNOWN } else { end })))
        .collect();
    let silent = shows(None, None);
    cases
        .broken_claims(&ann(), Channel::Back, silent, &table)
        .await;
}

#[actix_web::test]
async fn a_claim_that_stands_twice_spoils_the_token() {
    let cases = Cases::new().await;
    for claim in ALL_CLAIMS {
        let turn = |behaviour: &mut Behaviour| behaviour.back.claims.extend(twice(claim));
        cases.check(claim, &ann(), turn, NO).await;
    }
}

#[actix_web::test]
async fn amr_is_an_array_of_texts_or_one_text() {
    let cases = Cases::new().await;
    let many = |count: usize| {
        let mut values = vec!["pwd"; count - 1];
        values.push("mfa");
        json!(values)
    };
    let never = "step-up: method-never-counts";
    for (amr, expected) in [
        (json!(["mfa"]), OK),
        (json!(["pwd", "otp", "mfa"]), OK),
        (json!("mfa"), OK),
        (many(32), OK),
        (many(33), MALFORMED),
        (json!(["mfa", 7]), MALFORMED),
        (json!(["mfa", null]), MALFORMED),
        (json!([["mfa"]]), MALFORMED),
        (json!([{ "mfa": true }]), MALFORMED),
        (json!(["mfa", "x".repeat(257)]), MALFORMED),
        (json!({ "0": "mfa" }), MALFORMED),
        (json!([]), ABSENT),
        (json!(""), ABSENT),
        (json!("pwd mfa"), ABSENT),
        (json!("pwd,mfa"), ABSENT),
        (json!(["MFA"]), ABSENT),
        (json!([" mfa"]), ABSENT),
        (json!(["pwd", "otp"]), ABSENT),
        (json!(["sms", "mfa"]), never),
        (json!("sms"), never),
    ] {
        let turn = shows(Some(amr.clone()), None);
        cases
            .check(&format!("amr {amr}"), &ann(), turn, expected)
            .await;
    }
}

#[actix_web::test]
async fn acr_is_compared_exactly() {
    let cases = Cases::new().await;
    for (acr, expected) in [
        ("urn:dev-idp:mfa", OK),
        ("phr", OK),
        ("phrh", ABSENT), // not in this policy
        ("PHR", ABSENT),
        ("urn:dev-idp:mfa ", ABSENT),
        ("urn:dev-idp:mfa urn:dev-idp:single", ABSENT),
        ("urn:countersign:mfa", ABSENT),
        ("0", ABSENT),
        ("", ABSENT),
    ] {
        cases
            .check(
                &format!("acr `{acr}`"),
                &ann(),
                shows(None, Some(acr)),
                expected,
            )
            .await;
    }
}

#[actix_web::test]
async fn each_account_ends_as_it_says() {
    let cases = Cases::new().await;
    for (account, expected) in [
        ("ann-mfa", "code"),
        ("pia-passkey", "code"),
        ("stan-string", "code"),
        ("wes-when-asked", "code"),
        ("eve-enrols", "code"),
        ("una-unverified", "code"),
        ("ned-no-email", "code"),
        ("bob-password", "refused: mfa-absent"),
        ("olaf-ignores", "refused: mfa-absent"),
        ("nell-no-evidence", "refused: mfa-unknown"),
        ("cleo-declines", "refused: provider-cancelled"),
        ("dana-cancels", "refused: provider-cancelled"),
        ("fritz-fails", "refused: provider-unavailable"),
    ] {
        let login = Login::new("oidc", account);
        cases
            .check_to_the_end(account, &login, usual, expected)
            .await;
    }
    let refuses = |behaviour: &mut Behaviour| behaviour.oidc.unmet = Unmet::Refuses;
    let bob = Login::new("oidc", "bob-password");
    cases
        .check("a provider that refuses", &bob, refuses, UNMET)
        .await;
}

#[actix_web::test]
async fn the_tokens_say_what_the_provider_said() {
    let cases = Cases::new().await;
    let pia = Login::new("oidc", "pia-passkey").with("scope", "openid keys:write");
    let turn = |behaviour: &mut Behaviour| behaviour.oidc.session_age = 100;
    let now = cases.stand_in("oidc").now();
    let id = cases.tokens(&pia, turn).await.id();
    assert_eq!(id["acr"], json!("phr"));
    assert_eq!(id["amr"], json!(["hwk", "pop", "user", "mfa"]));
    let age = now - id["auth_time"].as_i64().expect("auth_time");
    assert!((90..=100).contains(&age), "not our own clock: {age}");

    let vendor = shows(Some(json!(["pwd", "vendor-push", "mfa"])), None);
    let id = cases.tokens(&ann(), vendor).await.id();
    assert_eq!(id["amr"], json!(["pwd", "mfa"]), "registered values alone");
    let stan = cases
        .tokens(&Login::new("oidc", "stan-string"), usual)
        .await
        .id();
    assert_eq!(stan["amr"], json!(["mfa"]));

    let una = cases
        .tokens(&Login::new("oidc", "una-unverified"), usual)
        .await
        .id();
    assert_eq!(una["email_verified"], json!(false));
}

#[actix_web::test]
async fn an_address_is_verified_by_the_boolean_true_alone() {
    let cases = Cases::new().await;
    for (says, verified) in [
        (Some(json!(true)), true),
        (Some(json!(false)), false),
        (Some(json!("true")), false),
        (Some(json!(1)), false),
        (Some(Value::Null), false),
        (None, false),
    ] {
        let turn = |behaviour: &mut Behaviour| {
            let ann = behaviour.oidc.account_mut("ann-mfa").expect("Ann");
            ann.email_verified = says.clone();
        };
        let id = cases.tokens(&ann(), turn).await.id();
        assert_eq!(id["email_verified"], json!(verified), "{says:?}");
    }
}

// ---- freshness -----------------------------------------------------------------------------

#[actix_web::test]
async fn auth_time_is_a_moment_in_the_past_or_it_is_none() {
    let cases = Cases::new().await;
    let now = cases.stand_in("oidc").now();
    let absent = "step-up: auth-time-absent";
    let too_old = "step-up: auth-too-old";
    let asks = ann().with("max_age", "3600");
    for (auth_time, expected) in [
        (json!(now - 100), OK),
        (json!(now), OK),
        (json!(now + 30), OK),
        (
            json!(f64::from(u32::try_from(now - 100).expect("before 2106")) + 0.75),
            OK,
        ),
        (json!(now - 3_700), too_old),
        (json!(1), too_old),
        (json!(0), absent),
        (json!(-1), absent),
        (json!(now + 120), absent),
        (json!((now - 100).to_string()), absent),
        (json!(format!("{now}Z")), absent),
        (json!([now]), absent),
        (json!(true), absent),
        (json!(1e300), absent),
        (Value::Null, absent),
    ] {
        let turn = claim(Edit::set("auth_time", auth_time.clone()));
        let case = format!("auth_time {auth_time}, now {now}");
        cases.check(&case, &asks, &turn, expected).await;
        cases
            .check(&format!("{case}, not asked for"), &ann(), &turn, OK)
            .await;
    }
    cases
        .check("none", &asks, claim(Edit::remove("auth_time")), absent)
        .await;
}

#[actix_web::test]
async fn max_age_that_the_provider_passes_over_ends_at_the_client() {
    let cases = Cases::new().await;
    let old = |behaviour: &mut Behaviour| {
        behaviour.oidc.session_age = 7_200;
        behaviour.oidc.max_age = Honour::Ignored;
    };
    let old_for_ever = |behaviour: &mut Behaviour| {
        old(behaviour);
        behaviour.oidc.prompt_login = PromptLogin::Ignored;
    };
    let asks = ann().with("max_age", "3600");
    cases
        .check("first", &asks, old, "step-up: auth-too-old")
        .await;
    cases
        .check_to_the_end("by prompt=login", &asks, old, "code")
        .await;
    cases
        .check_to_the_end("never", &asks, old_for_ever, UNMET)
        .await;
    let asked = cases.asked(&asks, old).await;
    assert_eq!(asked.len(), 2);
    assert_eq!(
        (asked[0].param("max_age"), asked[0].param("prompt")),
        (Some("3600"), None)
    );
    assert_eq!(
        (asked[1].param("max_age"), asked[1].param("prompt")),
        (Some("3600"), Some("login"))
    );
}

#[actix_web::test]
async fn prompt_login_is_passed_on_and_verified() {
    let cases = Cases::new().await;
    let asks = ann().with("prompt", "login");
    let old = |behaviour: &mut Behaviour| {
        behaviour.oidc.session_age = 7_200;
        behaviour.oidc.prompt_login = PromptLogin::Ignored;
    };
    let asked = cases.asked(&asks, usual).await;
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].param("prompt"), Some("login"));
    cases.check("honoured", &asks, usual, OK).await;
    let not_shown = "step-up: reauthentication-not-shown";
    cases.check("passed over", &asks, old, not_shown).await;
    cases.check_to_the_end("for ever", &asks, old, UNMET).await;
    let silent = claim(Edit::remove("auth_time"));
    cases
        .check("without auth_time", &asks, silent, not_shown)
        .await;
}

#[actix_web::test]
async fn a_tier_that_needs_a_fresh_sign_in_steps_up_for_it() {
    let cases = Cases::new().await;
    let pia = Login::new("oidc", "pia-passkey").with("scope", "openid packages:manage keys:write");
    let hour_ago = |behaviour: &mut Behaviour| {
        behaviour.oidc.session_age = HOUR;
        behaviour.oidc.max_age = Honour::Ignored;
    };
    cases
        .check("an hour ago", &pia, hour_ago, "step-up: auth-too-old")
        .await;
    cases
        .check_to_the_end("again", &pia, hour_ago, "code")
        .await;
    let asked = cases.asked(&pia, usual).await;
    assert_eq!(asked[0].param("max_age"), Some("300"));
    let for_ever = |behaviour: &mut Behaviour| {
        hour_ago(behaviour);
        behaviour.oidc.prompt_login = PromptLogin::Ignored;
    };
    let outcome = cases.sign_in_with_step_up(&pia, for_ever).await;
    let tokens = cases.world.redeem(&outcome.code()).await;
    assert_eq!(tokens.access()["scope"], json!("openid packages:manage"));
}

// ---- what is asked of it -------------------------------------------------------------------

#[actix_web::test]
async fn the_first_leg_wishes_and_the_step_up_demands() {
    let cases = Cases::new().await;
    let olaf = Login::new("oidc", "olaf-ignores").with("prompt", "select_account");
    let asked = cases.asked(&olaf, usual).await;
    let [first, second] = asked.as_slice() else {
        panic!("two legs, not {}", asked.len());
    };
    assert_eq!(first.param("response_type"), Some("code"));
    assert_eq!(first.param("scope"), Some("openid profile email"));
    assert_eq!(first.param("acr_values"), Some("phr urn:dev-idp:mfa"));
    assert_eq!(first.param("claims"), None);
    assert_eq!(first.param("prompt"), Some("select_account"));
    let essential = json!({ "id_token": { "acr": { "essential": true, "values": ["phr", "urn:dev-idp:mfa"] } } });
    let claims: Value =
        serde_json::from_str(second.param("claims").expect("claims")).expect("JSON");
    assert_eq!(claims, essential);
    assert_eq!(
        second.param("acr_values"),
        None,
        "both together mean nothing certain"
    );
    assert_eq!(second.param("login_hint"), Some("olaf@example.org"));
    assert_eq!(second.param("prompt"), None);
    for name in ["nonce", "state", "code_challenge"] {
        assert_ne!(first.param(name), second.param(name), "{name} is new");
        assert!(first.param(name).unwrap_or_default().len() >= 43, "{name}");
    }
    assert_eq!(first.param("code_challenge_method"), Some("S256"));
}

#[actix_web::test]
async fn a_provider_without_the_claims_parameter_is_asked_by_acr_values() {
    let cases = Cases::new().await;
    let turn = edited(
        Document::Discovery,
        Edit::remove("claims_parameter_supported"),
    );
    let olaf = Login::new("oidc", "olaf-ignores");
    let asked = cases.asked(&olaf, turn).await;
    assert_eq!(asked[1].param("claims"), None);
    assert_eq!(asked[1].param("acr_values"), Some("phr urn:dev-idp:mfa"));
}

#[actix_web::test]
async fn a_demand_for_phishing_resistance_asks_for_nothing_less() {
    let cases = Cases::new().await;
    let login = Login::new("oidc", "olaf-ignores").with("scope", "openid keys:write");
    let asked = cases.asked(&login, usual).await;
    assert_eq!(asked[0].param("acr_values"), Some("phr"));
    assert!(
        asked[1]
            .param("claims")
            .is_some_and(|claims| !claims.contains("mfa"))
    );
}

#[actix_web::test]
async fn a_step_up_that_somebody_else_answers_is_refused() {
    let cases = Cases::new().await;
    let mallory = Login::new("oidc", "mallory-switches");
    let mut browser = cases.fresh.clone();
    let control = cases.stand_in("oidc");
    control.set(|behaviour| behaviour.oidc.acr_requests = Honour::Ignored);
    let first = cases.world.sign_in(&mut browser, &mallory).await;
    assert_eq!(first.summary(), ABSENT);
    control.reset();
    let second = cases
        .world
        .step_up(&mut browser, first.page(), &mallory)
        .await;
    assert_eq!(second.summary(), "refused: identity-changed");
}

// ---- the conformance suite's modules -------------------------------------------------------

/// Those of them that the basic plan does not have (`conformance::rp_basic`).
#[actix_web::test]
async fn what_the_fapi_plan_tries_on_clients() {
    let cases = Cases::new().await;
    let ours = Client::DEVELOPMENT_ID;
    cases
        .check(
            "ValidAudAsArray",
            &ann(),
            claim(Edit::set("aud", json!([ours]))),
            OK,
        )
        .await;
    let second = Edit::set("aud", json!([ours, "other"]));
    cases
        .check("InvalidSecondaryAud", &ann(), claim(second), NO)
        .await;
    let upper = edited(Document::TokenResponse, Edit::set("token_type", "BEARER"));
    cases
        .check("TokenTypeCaseInsensitivity", &ann(), upper, OK)
        .await;
    let endless = edited(Document::TokenResponse, Edit::remove("expires_in"));
    cases
        .check("ResponseWithoutExpiresIn", &ann(), endless, OK)
        .await;
}

#[actix_web::test]
async fn signing_key_rotation_and_rotation_just_before_signing() {
    let cases = Cases::new().await;
    let phase = |keys: KeyPhase| move |behaviour: &mut Behaviour| behaviour.keys = keys;
    let control = cases.stand_in("oidc");
    for (case, keys, later, expected, fetched) in [
        ("the first login", KeyPhase::Steady, 0, OK, 1),
        (
            "SigningKeyRotationJustBeforeSigning",
            KeyPhase::NextSigns,
            300,
            OK,
            1,
        ),
        ("SigningKeyRotation", KeyPhase::OldRemoved, HOUR, OK, 1),
        ("a withdrawn key", KeyPhase::RemovedSigns, 300, NO, 1),
        ("and at once again", KeyPhase::RemovedSigns, 60, NO, 0),
    ] {
        cases.later(later);
        cases.check(case, &ann(), phase(keys), expected).await;
        assert_eq!(control.endpoint_hits(Endpoint::Jwks), fetched, "{case}");
    }
}

#[actix_web::test]
async fn only_the_configured_algorithm_is_taken() {
    let cases = Cases::new().await;
    let es256 = |behaviour: &mut Behaviour| behaviour.oidc.algorithm = Algorithm::Es256;
    cases
        .check("ES256 by a published key", &ann(), es256, NO)
        .await;
    for signing in [
        Signing::AlgNone,
        Signing::Empty,
        Signing::Ps256,
        Signing::Hs256PublicPem,
        Signing::Hs256PublicBytes,
        Signing::Hs256ClientSecret,
        Signing::ForeignKey,
        Signing::ForeignKeyWithJwk,
        Signing::ForeignKeyWithX5c,
        Signing::ForeignKeyWithJku,
        Signing::ChangedAfterSigning,
    ] {
        let turn = |behaviour: &mut Behaviour| behaviour.back.signing = signing;
        cases.check(&format!("{signing:?}"), &ann(), turn, NO).await;
        assert_eq!(cases.stand_in("oidc").hits("/foreign/keys"), 0);
    }
    for (name, value, expected) in [
        ("typ", json!("JWT"), OK),
        ("typ", json!("jwt"), OK),
        ("typ", json!("at+jwt"), NO),
        ("typ", json!("logout+jwt"), NO),
        ("typ", json!(7), NO),
        ("crit", json!(["exp"]), NO),
        ("crit", json!([]), NO),
        ("alg", json!("rs256"), NO),
        ("alg", json!("RS512"), NO),
        ("alg", json!(null), NO),
    ] {
        let turn =
            |behaviour: &mut Behaviour| behaviour.back.header.push(Edit::set(name, value.clone()));
        cases
            .check(&format!("{name} {value}"), &ann(), turn, expected)
            .await;
    }
}

#[actix_web::test]
async fn iss_on_the_callback_is_held_to_what_the_description_promises() {
    let cases = Cases::new().await;
    let wrong = |iss: &str| IssParameter::Wrong(iss.to_owned());
    let base = cases.world.oidc.base_url();
    for (case, parameter, expected) in [
        ("promised and right", IssParameter::Right, OK),
        ("neither promised nor sent", IssParameter::Absent, OK),
        (
            "RemoveAuthorizationResponseIss",
            IssParameter::Withheld,
            INVALID,
        ),
        (
            "InvalidAuthorizationResponseIss",
            wrong("https://evil.example"),
            INVALID,
        ),
        (
            "another provider's",
            wrong(cases.world.entra.base_url()),
            INVALID,
        ),
        ("with a slash", wrong(&format!("{base}/")), INVALID),
        ("in another case", wrong(&base.to_uppercase()), INVALID),
    ] {
        for account in ["ann-mfa", "cleo-declines"] {
            cases.later(NEXT_DAY); // the promise is in the description
            let turn = |behaviour: &mut Behaviour| behaviour.oidc.iss_parameter = parameter.clone();
            let expected = match (account, expected) {
                ("cleo-declines", OK) => "refused: provider-cancelled",
                (_, expected) => expected,
            };
            let login = Login::new("oidc", account);
            cases
                .check(&format!("{case}, {account}"), &login, turn, expected)
                .await;
        }
    }
}

#[actix_web::test]
async fn a_description_is_of_the_issuer_that_it_was_asked_of() {
    let cases = Cases::new().await;
    let base = cases.world.oidc.base_url().to_owned();
    for (case, edit, expected) in [
        (
            "DiscoveryIssuerMismatch",
            Edit::set("issuer", "https://evil.example"),
            INVALID,
        ),
        (
            "a path",
            Edit::set("issuer", format!("{base}/other")),
            INVALID,
        ),
        (
            "another case",
            Edit::set("issuer", base.to_uppercase()),
            INVALID,
        ),
        ("no issuer", Edit::remove("issuer"), INVALID),
        ("no text", Edit::set("issuer", json!([base])), INVALID),
        ("no keys", Edit::remove("jwks_uri"), INVALID),
        (
            "as its tokens have it",
            Edit::set("issuer", base.as_str()),
            OK,
        ),
        (
            "unlike its tokens",
            Edit::set("issuer", format!("{base}/")),
            INVALID,
        ),
    ] {
        cases.later(NEXT_DAY);
        cases
            .check(case, &ann(), edited(Document::Discovery, edit), expected)
            .await;
    }
}

#[actix_web::test]
async fn user_info_is_about_the_person_of_the_id_token_or_it_is_not_used() {
    let cases = Cases::new().await;
    let ned = Login::new("oidc", "ned-no-email");
    for (case, edit, expected) in [
        ("as it is", Edit::set("locale", "en"), OK),
        ("no sub", Edit::remove("sub"), INVALID),
        ("a sub of no text", Edit::set("sub", 7), INVALID),
        (
            "in another case",
            Edit::set("sub", "SUB-ned-no-email"),
            INVALID,
        ),
        (
            "sub twice",
            Edit::append("sub", "sub-ned-no-email"),
            INVALID,
        ),
        (
            "sub twice, another first",
            Edit::prepend("sub", "sub-ann-mfa"),
            INVALID,
        ),
    ] {
        cases
            .check(case, &ned, edited(Document::UserInfo, edit), expected)
            .await;
    }
    for (status, expected) in [
        (401, INVALID),
        (404, INVALID),
        (500, "refused: provider-unavailable"),
    ] {
        let turn = |behaviour: &mut Behaviour| {
            behaviour
                .wire
                .insert(Endpoint::UserInfo, WireFault::status(status));
        };
        cases
            .check(&format!("{status}"), &ned, turn, expected)
            .await;
        cases
            .check(&format!("{status}, not asked"), &ann(), turn, OK)
            .await;
    }
    // Evidence is in the ID token; what UserInfo says of it is not read.
    let nell = Login::new("oidc", "nell-no-evidence");
    let claims = |behaviour: &mut Behaviour| {
        behaviour.back.claims.push(Edit::remove("email"));
        let edits = vec![
            Edit::set("acr", "urn:dev-idp:mfa"),
            Edit::set("amr", json!(["mfa"])),
        ];
        behaviour.edits.insert(Document::UserInfo, edits);
    };
    cases
        .check("evidence in UserInfo", &nell, claims, UNKNOWN)
        .await;
    let late = |behaviour: &mut Behaviour| behaviour.back.claims.push(Edit::remove("email"));
    let id = cases.tokens(&ann(), late).await.id();
    assert_eq!(id["email"], json!("ann@example.org"), "ScopeUserInfoClaims");
}

#[actix_web::test]
async fn the_secret_is_shown_in_the_way_that_the_provider_takes() {
    let cases = Cases::new().await;
    for (case, methods, by_header) in [
        (
            "ClientSecretBasic",
            Some(json!(["client_secret_basic"])),
            true,
        ),
        (
            "both",
            Some(json!(["client_secret_post", "client_secret_basic"])),
            true,
        ),
        ("post alone", Some(json!(["client_secret_post"])), false),
        ("nothing said", None, true),
    ] {
        cases.later(NEXT_DAY);
        let name = "token_endpoint_auth_methods_supported";
        let edit = methods.map_or_else(|| Edit::remove(name), |methods| Edit::set(name, methods));
        cases
            .check(case, &ann(), edited(Document::Discovery, edit), OK)
            .await;
        let request = &cases.stand_in("oidc").token_requests()[0];
        assert_eq!(request.authorization.is_some(), by_header, "{case}");
        assert_eq!(
            request.param("client_secret").is_some(),
            !by_header,
            "{case}"
        );
    }
}
