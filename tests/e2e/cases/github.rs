//! GitHub: no ID token; what the account has switched on is all the evidence there is.

use countersign_dev_idp::github::{RateLimit, TokenError};
use countersign_dev_idp::{
    Behaviour, Document, Edit, Endpoint, IssParameter, WireAnswer, WireFault,
};
use countersign_tests::Login;
use serde_json::{Value, json};

use super::end::OK;
use super::{Cases, usual};

const INVALID: &str = "refused: provider-answer-invalid";
const MISCONFIGURED: &str = "refused: provider-misconfigured";
const UNAVAILABLE: &str = "refused: provider-unavailable";
const LIMITED: &str = "refused: provider-rate-limited";

fn ann() -> Login {
    Login::new("github", "ann-mfa")
}

fn edited(document: Document, edits: Vec<Edit>) -> impl Fn(&mut Behaviour) {
    move |behaviour| {
        behaviour.edits.insert(document, edits.clone());
    }
}

#[actix_web::test]
async fn the_flag_is_true_or_it_is_no_proof() {
    let cases = Cases::new().await;
    let name = "two_factor_authentication";
    for (case, edits, expected) in [
        ("true", vec![Edit::set(name, true)], OK),
        ("false", vec![Edit::set(name, false)], "refused: mfa-absent"),
        ("absent", vec![Edit::remove(name)], "refused: mfa-unknown"),
        (
            "null",
            vec![Edit::set(name, Value::Null)],
            "refused: evidence-malformed",
        ),
        (
            "a text",
            vec![Edit::set(name, "true")],
            "refused: evidence-malformed",
        ),
        (
            "one",
            vec![Edit::set(name, 1)],
            "refused: evidence-malformed",
        ),
        (
            "an array",
            vec![Edit::set(name, json!([true]))],
            "refused: evidence-malformed",
        ),
        (
            "an object",
            vec![Edit::set(name, json!({}))],
            "refused: evidence-malformed",
        ),
        (
            "another case",
            vec![
                Edit::remove(name),
                Edit::set("Two_Factor_Authentication", true),
            ],
            "refused: mfa-unknown",
        ),
        ("twice", vec![Edit::append(name, true)], INVALID),
        (
            "twice, false first",
            vec![Edit::prepend(name, false)],
            INVALID,
        ),
    ] {
        cases
            .check(case, &ann(), edited(Document::User, edits), expected)
            .await;
    }
}

#[actix_web::test]
async fn each_account_ends_as_it_says() {
    let cases = Cases::new().await;
    for (account, expected) in [
        ("ann-mfa", OK),
        ("bob-password", "refused: mfa-absent"),
        ("abe-absent", "refused: mfa-unknown"),
        ("nils-narrow", "refused: mfa-unknown"), // `read:user` was unticked
        ("nora-narrow", OK),
        ("una-unverified", OK),
        ("uli-no-token", "refused: provider-refused"),
        ("cleo-declines", "refused: provider-cancelled"),
        ("dana-cancels", "refused: provider-cancelled"),
        ("sue-suspended", MISCONFIGURED),
        ("zoe-managed", "refused: mfa-absent"),
    ] {
        let login = Login::new("github", account);
        cases.check(account, &login, usual, expected).await;
    }
}

#[actix_web::test]
async fn what_the_flag_proves_is_enrolment_and_no_more() {
    let cases = Cases::new().await;
    let all = "openid packages:manage packages:publish tenants:write keys:write";
    let tokens = cases.tokens(&ann().with("scope", all), usual).await;
    let access = tokens.access();
    assert_eq!(
        access["scope"],
        json!("openid packages:manage packages:publish")
    );
    assert_eq!(access["acr"], json!("urn:countersign:mfa-enrolled"));
    assert_eq!(access["countersign"]["basis"], json!("enrolment"));
    assert_eq!(
        (&access["amr"], &access["auth_time"]),
        (&Value::Null, &Value::Null)
    );
    let unmet = "client: unmet_authentication_requirements";
    for (parameter, value, expected) in [
        ("acr_values", "urn:countersign:mfa", unmet),
        ("acr_values", "phr", unmet),
        ("acr_values", "urn:countersign:mfa-attested", unmet),
        ("acr_values", "urn:countersign:mfa-enrolled", OK),
        (
            "acr_values",
            "urn:countersign:mfa urn:countersign:mfa-enrolled",
            OK,
        ),
        ("acr_values", "urn:of:somebody:else", OK),
        ("max_age", "1000000", unmet),
        ("prompt", "login", unmet),
        ("scope", "openid tenants:write", OK),
        ("scope", "tenants:write", "refused: basis-not-accepted"),
    ] {
        let login = ann().with(parameter, value);
        cases
            .check(&format!("{parameter}={value}"), &login, usual, expected)
            .await;
    }
}

#[actix_web::test]
async fn an_account_is_its_number_whatever_its_name() {
    let cases = Cases::new().await;
    let account = cases.account(&ann(), usual).await;
    let renamed = |behaviour: &mut Behaviour| {
        let ann = behaviour.github.account_mut("ann-mfa").expect("Ann");
        ann.login = "ann-renamed".into();
    };
    assert_eq!(cases.account(&ann(), renamed).await, account);
    // Whoever takes the name that has become free is somebody else.
    let taken = |behaviour: &mut Behaviour| {
        let other = behaviour.github.account_mut("una-unverified").expect("Una");
        other.login = "ann".into();
    };
    let other = Login::new("github", "una-unverified");
    assert_ne!(cases.account(&other, taken).await, account);
}

#[actix_web::test]
async fn a_number_is_a_positive_integer() {
    let cases = Cases::new().await;
    for id in [
        json!("1001"),
        json!(0),
        json!(-1001),
        json!(1001.5),
        json!(1e30),
        json!(null),
        json!([1001]),
        json!(true),
    ] {
        let turn = edited(Document::User, vec![Edit::set("id", id.clone())]);
        cases
            .check(&format!("id {id}"), &ann(), turn, INVALID)
            .await;
    }
    for (case, edit) in [
        ("absent", Edit::remove("id")),
        ("twice", Edit::append("id", 1002)),
    ] {
        cases
            .check(case, &ann(), edited(Document::User, vec![edit]), INVALID)
            .await;
    }
}

#[actix_web::test]
async fn scopes_come_with_commas_and_may_be_fewer_than_asked_for() {
    let cases = Cases::new().await;
    for (scope, email) in [
        (json!("read:user,user:email"), json!("ann@example.org")),
        (json!("read:user, user:email"), json!("ann@example.org")),
        (json!("read:user user:email"), json!("ann@example.org")),
        (json!("user"), json!("ann@example.org")),
        (json!("read:user"), Value::Null),
        (json!("user:emails"), Value::Null),
        (json!(""), Value::Null),
        (Value::Null, Value::Null),
    ] {
        let turn = edited(
            Document::TokenResponse,
            vec![Edit::set("scope", scope.clone())],
        );
        let id = cases.tokens(&ann(), turn).await.id();
        assert_eq!(id["email"], email, "scope {scope}");
    }
    let turn = edited(
        Document::TokenResponse,
        vec![Edit::set("scope", json!(["user"]))],
    );
    cases.check("an array", &ann(), turn, INVALID).await;
}

#[actix_web::test]
async fn an_address_is_the_primary_one_if_it_is_verified() {
    let cases = Cases::new().await;
    let ann_id = cases.tokens(&ann(), usual).await.id();
    assert_eq!(
        (&ann_id["email"], &ann_id["email_verified"]),
        (&json!("ann@example.org"), &json!(true))
    );
    for account in ["una-unverified", "nora-narrow"] {
        let id = cases
            .tokens(&Login::new("github", account), usual)
            .await
            .id();
        assert_eq!(
            (&id["email"], &id["email_verified"]),
            (&Value::Null, &Value::Null),
            "{account}"
        );
    }
    let other = |emails: Value| {
        move |behaviour: &mut Behaviour| {
            let answer = WireAnswer::Body {
                status: 200,
                content_type: "application/json".into(),
                headers: Vec::new(),
                body: emails.to_string(),
            };
            behaviour
                .wire
                .insert(Endpoint::Emails, WireFault::answering(answer));
        }
    };
    let nobody = cases.tokens(&ann(), other(json!([]))).await.id();
    assert_eq!(nobody["email"], Value::Null);
    for (case, emails) in [
        ("no list", json!({ "email": "ann@example.org" })),
        (
            "a verified text",
            json!([{ "email": "a@b", "primary": true, "verified": "true" }]),
        ),
        ("no verified", json!([{ "email": "a@b", "primary": true }])),
        ("no address", json!([{ "primary": true, "verified": true }])),
    ] {
        cases.check(case, &ann(), other(emails), INVALID).await;
    }
}

#[actix_web::test]
async fn errors_come_with_status_200() {
    let cases = Cases::new().await;
    for (error, expected) in [
        ("bad_verification_code", "refused: provider-refused"),
        ("bad_code_verifier", "refused: provider-refused"),
        ("unverified_user_email", "refused: provider-refused"),
        ("Not Found", "refused: provider-refused"),
        ("access_denied", "refused: provider-cancelled"),
        ("incorrect_client_credentials", MISCONFIGURED),
        ("redirect_uri_mismatch", MISCONFIGURED),
        ("application_suspended", MISCONFIGURED),
    ] {
        let turn = |behaviour: &mut Behaviour| {
            behaviour.github.token_error = Some(TokenError {
                error: error.to_owned(),
                description: "<b>bold</b>".to_owned(),
            });
        };
        let outcome = cases.sign_in(&ann(), turn).await;
        assert_eq!(outcome.summary(), expected, "{error}");
        assert!(!outcome.page().body.contains("<b>"), "{error}");
    }
}

#[actix_web::test]
async fn a_token_answer_is_json_with_a_bearer_token() {
    let cases = Cases::new().await;
    let answer = |content_type: &'static str, body: &'static str| {
        move |behaviour: &mut Behaviour| {
            let answer = WireAnswer::Body {
                status: 200,
                content_type: content_type.into(),
                headers: Vec::new(),
                body: body.into(),
            };
            behaviour
                .wire
                .insert(Endpoint::Token, WireFault::answering(answer));
        }
    };
    let form = "application/x-www-form-urlencoded";
    let json = "application/json";
    for (case, turn) in [
        (
            "a form",
            answer(form, "access_token=gho_1&scope=user&token_type=bearer"),
        ),
        (
            "a form with an error",
            answer(form, "error=bad_verification_code"),
        ),
        (
            "JSON that says it is a form",
            answer(form, r#"{"access_token":"gho_1","token_type":"bearer"}"#),
        ),
        ("no JSON", answer(json, "access_token=gho_1")),
        ("nothing", answer(json, "")),
        ("an array", answer(json, "[]")),
        (
            "no token",
            answer(json, r#"{"scope":"user","token_type":"bearer"}"#),
        ),
        (
            "a token of no string",
            answer(json, r#"{"access_token":7,"token_type":"bearer"}"#),
        ),
    ] {
        cases.check(case, &ann(), turn, INVALID).await;
    }
    let unknown = answer(
        json,
        r#"{"access_token":"gho_of_nobody","scope":"user","token_type":"bearer"}"#,
    );
    cases
        .check("a token of nobody's", &ann(), unknown, INVALID)
        .await;
}

#[actix_web::test]
async fn iss_on_the_callback_is_right_or_not_there() {
    let cases = Cases::new().await;
    let right = format!("{}/login/oauth", cases.world.github.base_url());
    let wrong = |iss: &str| IssParameter::Wrong(iss.to_owned());
    for (parameter, expected) in [
        (IssParameter::Right, OK),
        // A server of one's own is not known to send it; github.com is, and is held to it.
        (IssParameter::Absent, OK),
        (IssParameter::Withheld, OK),
        (wrong("https://github.com"), INVALID),
        (wrong("https://github.com/login/oauth"), INVALID),
        (wrong(cases.world.github.base_url()), INVALID),
        (wrong(cases.world.oidc.base_url()), INVALID),
        (wrong(&format!("{right}/")), INVALID),
        (wrong(&right.to_uppercase()), INVALID),
    ] {
        for account in ["ann-mfa", "cleo-declines"] {
            let turn =
                |behaviour: &mut Behaviour| behaviour.github.iss_parameter = parameter.clone();
            let expected = match (account, expected) {
                ("cleo-declines", OK) => "refused: provider-cancelled",
                (_, expected) => expected,
            };
            let login = Login::new("github", account);
            cases
                .check(&format!("{account}, {parameter:?}"), &login, turn, expected)
                .await;
        }
    }
}

#[actix_web::test]
async fn what_the_api_refuses_is_told_apart() {
    let cases = Cases::new().await;
    let status = |endpoint: Endpoint, status: u16| {
        move |behaviour: &mut Behaviour| {
            behaviour.wire.insert(endpoint, WireFault::status(status));
        }
    };
    for (endpoint, code, expected) in [
        (Endpoint::User, 401, INVALID),
        (Endpoint::User, 403, INVALID),
        (Endpoint::User, 404, INVALID),
        (Endpoint::User, 410, MISCONFIGURED),
        (Endpoint::User, 429, LIMITED),
        (Endpoint::User, 500, UNAVAILABLE),
        (Endpoint::User, 503, UNAVAILABLE),
        (Endpoint::Emails, 404, INVALID),
        (Endpoint::Emails, 502, UNAVAILABLE),
        (Endpoint::Token, 429, LIMITED),
        (Endpoint::Token, 500, UNAVAILABLE),
        (Endpoint::Token, 404, INVALID),
    ] {
        cases
            .check(
                &format!("{endpoint:?} {code}"),
                &ann(),
                status(endpoint, code),
                expected,
            )
            .await;
    }
    for limit in [
        RateLimit::Primary { reset_in: 60 },
        RateLimit::Secondary { retry_after: 60 },
    ] {
        let turn = |behaviour: &mut Behaviour| behaviour.github.rate_limit = Some(limit);
        cases
            .check(&format!("{limit:?}"), &ann(), turn, LIMITED)
            .await;
    }
    let retired = |behaviour: &mut Behaviour| behaviour.github.api_versions.clear();
    cases
        .check("no version of ours", &ann(), retired, MISCONFIGURED)
        .await;
    let garbled = edited(
        Document::User,
        vec![Edit::set("login", 7), Edit::set("name", 7)],
    );
    cases
        .check("a name that is none", &ann(), garbled, OK)
        .await;
}

#[actix_web::test]
async fn it_is_asked_for_what_it_knows_and_nothing_more() {
    let cases = Cases::new().await;
    let login = ann()
        .with("login_hint", "ann")
        .with("prompt", "select_account")
        .with("acr_values", "urn:countersign:mfa-enrolled");
    let asked = cases.asked(&login, usual).await;
    let [only] = asked.as_slice() else {
        panic!("one leg, not {}", asked.len());
    };
    assert_eq!(only.path, "/login/oauth/authorize");
    for (name, expected) in [
        ("scope", Some("read:user user:email")),
        ("login", Some("ann")),
        ("prompt", Some("select_account")),
        ("code_challenge_method", Some("S256")),
        ("nonce", None),
        ("acr_values", None),
        ("claims", None),
        ("max_age", None),
        ("login_hint", None),
    ] {
        assert_eq!(only.param(name), expected, "{name}");
    }
    let token = &cases.stand_in("github").token_requests()[0];
    let callback = format!("{}/callback/github", cases.world.broker.issuer);
    assert_eq!(token.param("redirect_uri"), Some(callback.as_str()));
    assert_eq!(only.param("redirect_uri"), Some(callback.as_str()));
    assert_eq!(token.param("code_verifier").map(str::len), Some(43));
}

#[actix_web::test]
async fn it_is_never_asked_a_second_time() {
    let cases = Cases::new().await;
    for account in ["bob-password", "abe-absent", "nils-narrow"] {
        let login = Login::new("github", account);
        let asked = cases.asked(&login, usual).await;
        assert_eq!(asked.len(), 1, "{account}");
    }
}
