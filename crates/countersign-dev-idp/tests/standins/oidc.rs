//! The plain provider.

use countersign_dev_idp::oidc::{Honour, PromptLogin, Unmet};
use countersign_dev_idp::{Algorithm, IssParameter, KeyPhase};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{NOW, Party, Read, is_signed_by, named_key, parts};

/// The ID token of an account, after asking with `more`.
async fn id_token(party: &Party, account: &str, more: &[(&str, &str)]) -> String {
    let more = [more, &[("account", account)]].concat();
    let answer = party.answer("/authorize", &more).await;
    let code = answer.get("code").unwrap_or_else(|| panic!("{answer:?}"));
    let tokens = party.redeem("/token", code, &[]).await.json_value().await;
    tokens["id_token"].as_str().unwrap().to_owned()
}

async fn claims(party: &Party, account: &str, more: &[(&str, &str)]) -> Value {
    parts(&id_token(party, account, more).await).1
}

const MFA_ONLY: (&str, &str) = ("acr_values", "urn:dev-idp:mfa");

#[tokio::test]
async fn a_sign_in_goes_from_discovery_to_userinfo() {
    let party = Party::oidc().await;
    let base = party.idp.base_url();
    let discovery = party.json("/.well-known/openid-configuration").await;
    assert_eq!(discovery["issuer"], base);

    let answer = party.answer("/authorize", &[("account", "ann-mfa")]).await;
    assert_eq!(answer["state"], "a state & more");
    assert_eq!(answer["iss"], base);
    let tokens = party
        .redeem("/token", &answer["code"], &[])
        .await
        .json_value()
        .await;
    let token = tokens["id_token"].as_str().unwrap();
    let keys = party.json("/jwks.json").await;
    assert!(is_signed_by(token, &named_key(token, &keys).unwrap()));

    let (header, claims) = parts(token);
    assert_eq!(header["alg"], "RS256");
    assert_eq!(claims["iss"], base);
    assert_eq!(claims["aud"], "countersign-dev");
    assert_eq!(claims["nonce"], "a nonce");
    assert_eq!(claims["amr"], json!(["pwd", "otp", "mfa"]));
    assert_eq!(claims["auth_time"], NOW - 20);

    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let person = party
        .fetch_with("/userinfo", &[("authorization", &bearer)])
        .await;
    let person = person.json_value().await;
    assert_eq!(person["sub"], claims["sub"]);
    assert_eq!(person["email_verified"], true);
}

#[tokio::test]
async fn es256_signs_when_told_to() {
    let party = Party::oidc().await;
    party
        .idp
        .control()
        .set(|b| b.oidc.algorithm = Algorithm::Es256);
    let token = id_token(&party, "ann-mfa", &[]).await;
    assert_eq!(parts(&token).0["alg"], "ES256");
    let keys = party.json("/jwks.json").await;
    assert!(is_signed_by(&token, &named_key(&token, &keys).unwrap()));
}

#[tokio::test]
async fn the_next_key_is_another_and_the_old_one_leaves() {
    let party = Party::oidc().await;
    let old = id_token(&party, "ann-mfa", &[]).await;
    party
        .idp
        .control()
        .set(|b| b.keys = KeyPhase::SignsUnpublished);
    let new = id_token(&party, "ann-mfa", &[]).await;
    assert!(named_key(&new, &party.json("/jwks.json").await).is_none());
    party.idp.control().set(|b| b.keys = KeyPhase::OldRemoved);
    let keys = party.json("/jwks.json").await;
    assert!(named_key(&old, &keys).is_none());
    assert!(is_signed_by(&new, &named_key(&new, &keys).unwrap()));
}

#[tokio::test]
async fn the_evidence_is_what_the_account_did() {
    let party = Party::oidc().await;
    let check = async |account, more: &[(&str, &str)], amr: Value, acr: Value| {
        let claims = claims(&party, account, more).await;
        assert_eq!(claims["amr"], amr, "{account} {more:?}");
        assert_eq!(claims["acr"], acr, "{account} {more:?}");
    };
    let (single, mfa) = (json!("urn:dev-idp:single"), json!("urn:dev-idp:mfa"));
    let strong = json!(["pwd", "otp", "mfa"]);
    let either = ("acr_values", "urn:dev-idp:mfa urn:dev-idp:single");
    check("bob-password", &[], json!(["pwd"]), single.clone()).await;
    check("bob-password", &[MFA_ONLY], json!(["pwd"]), single.clone()).await;
    check("wes-when-asked", &[], json!(["pwd"]), single.clone()).await;
    check("wes-when-asked", &[either], json!(["pwd"]), single.clone()).await;
    check("wes-when-asked", &[MFA_ONLY], strong.clone(), mfa.clone()).await;
    check("olaf-ignores", &[MFA_ONLY], json!(["pwd"]), single).await;
    check(
        "pia-passkey",
        &[],
        json!(["hwk", "pop", "user", "mfa"]),
        json!("phr"),
    )
    .await;
    check("stan-string", &[], json!("mfa"), Value::Null).await;
    check("nell-no-evidence", &[], Value::Null, Value::Null).await;
}

#[tokio::test]
async fn an_essential_acr_is_a_demand_as_well() {
    let party = Party::oidc().await;
    let claims_parameter =
        r#"{"id_token":{"acr":{"essential":true,"values":["urn:dev-idp:mfa"]}}}"#;
    let claims = claims(&party, "wes-when-asked", &[("claims", claims_parameter)]).await;
    assert_eq!(claims["acr"], "urn:dev-idp:mfa");
}

#[tokio::test]
async fn demands_have_no_effect_where_they_are_ignored() {
    let party = Party::oidc().await;
    party
        .idp
        .control()
        .set(|b| b.oidc.acr_requests = Honour::Ignored);
    let claims = claims(&party, "wes-when-asked", &[MFA_ONLY]).await;
    assert_eq!(claims["acr"], "urn:dev-idp:single");
}

#[tokio::test]
async fn a_demand_that_cannot_be_met_is_an_error_when_configured() {
    let party = Party::oidc().await;
    party.idp.control().set(|b| b.oidc.unmet = Unmet::Refuses);
    let answer = party
        .answer("/authorize", &[("account", "bob-password"), MFA_ONLY])
        .await;
    assert_eq!(answer["error"], "unmet_authentication_requirements");
    assert_eq!(answer["iss"], party.idp.base_url());
}

#[tokio::test]
async fn enrolment_happens_on_the_way_and_lasts() {
    let party = Party::oidc().await;
    let eve = ("account", "eve-enrols");
    assert_eq!(
        claims(&party, "eve-enrols", &[]).await["amr"],
        json!(["pwd"])
    );
    let page = party
        .ask("/authorize", &[eve, MFA_ONLY])
        .await
        .text()
        .await
        .unwrap();
    assert!(
        page.contains("Set up multi-factor authentication"),
        "{page}"
    );
    let declined = claims(&party, "eve-enrols", &[MFA_ONLY, ("enrol", "no")]).await;
    assert_eq!(declined["amr"], json!(["pwd"]));
    let enrolled = claims(&party, "eve-enrols", &[MFA_ONLY, ("enrol", "yes")]).await;
    assert_eq!(enrolled["acr"], "urn:dev-idp:mfa");
    assert_eq!(
        claims(&party, "eve-enrols", &[]).await["acr"],
        "urn:dev-idp:mfa"
    );
    party.idp.control().forget_enrolments();
    assert_eq!(
        claims(&party, "eve-enrols", &[]).await["amr"],
        json!(["pwd"])
    );
}

#[tokio::test]
async fn mallory_is_someone_else_on_step_up() {
    let party = Party::oidc().await;
    let before = claims(&party, "mallory-switches", &[]).await;
    let after = claims(&party, "mallory-switches", &[MFA_ONLY]).await;
    assert_eq!(before["sub"], "sub-mallory-switches");
    assert_eq!(after["sub"], "sub-ann-mfa");
}

#[tokio::test]
async fn auth_time_is_now_when_the_request_wants_a_new_sign_in() {
    let party = Party::oidc().await;
    let check = async |more: &[(&str, &str)], expected: i64| {
        assert_eq!(
            claims(&party, "ann-mfa", more).await["auth_time"],
            expected,
            "{more:?}"
        );
    };
    check(&[], NOW - 20).await;
    check(&[("max_age", "3600")], NOW - 20).await;
    check(&[("max_age", "10")], NOW).await;
    check(&[("prompt", "login")], NOW).await;
    party.idp.control().set(|b| {
        b.oidc.max_age = Honour::Ignored;
        b.oidc.prompt_login = PromptLogin::Ignored;
    });
    check(&[("max_age", "10")], NOW - 20).await;
    check(&[("prompt", "login")], NOW - 20).await;
}

#[tokio::test]
async fn prompt_login_can_demand_a_second_factor() {
    let party = Party::oidc().await;
    let control = party.idp.control();
    control.set(|b| b.oidc.prompt_login = PromptLogin::SignsInAgainWithSecondFactor);
    let claims = claims(&party, "wes-when-asked", &[("prompt", "login")]).await;
    assert_eq!(claims["amr"], json!(["pwd", "otp", "mfa"]));
}

#[tokio::test]
async fn refusals_come_back_as_errors() {
    let party = Party::oidc().await;
    let check = async |more: &[(&str, &str)], error: &str| {
        assert_eq!(
            party.answer("/authorize", more).await["error"],
            error,
            "{more:?}"
        );
    };
    check(&[("account", "cleo-declines")], "access_denied").await;
    check(&[("account", "dana-cancels")], "access_denied").await;
    check(&[("account", "fritz-fails")], "temporarily_unavailable").await;
    check(&[("prompt", "none")], "login_required").await;
    check(&[("response_type", "token")], "unsupported_response_type").await;
    check(&[("code_challenge_method", "plain")], "invalid_request").await;
    check(&[("scope", "profile")], "invalid_scope").await;
}

#[tokio::test]
async fn nobody_is_redirected_for_an_unknown_client_or_address() {
    let party = Party::oidc().await;
    for wrong in [
        ("client_id", "other"),
        ("redirect_uri", "https://evil.example/"),
        ("account", "nobody"),
    ] {
        let answer = party
            .ask("/authorize", &[("account", "ann-mfa"), wrong])
            .await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{wrong:?}");
    }
}

#[tokio::test]
async fn a_code_is_for_its_client_its_address_its_verifier_and_one_time() {
    let party = Party::oidc().await;
    let check = async |more: &[(&str, &str)], status: u16, error: &str| {
        let answer = party.answer("/authorize", &[("account", "ann-mfa")]).await;
        let refused = party.redeem("/token", &answer["code"], more).await;
        assert_eq!(refused.status(), status, "{more:?}");
        assert_eq!(refused.json_value().await["error"], error, "{more:?}");
    };
    check(&[("client_secret", "wrong")], 401, "invalid_client").await;
    check(&[("code_verifier", "wrong")], 400, "invalid_grant").await;
    check(&[("code_verifier", "")], 400, "invalid_grant").await;
    check(
        &[("redirect_uri", "http://127.0.0.1:9/other")],
        400,
        "invalid_grant",
    )
    .await;
    check(&[("grant_type", "password")], 400, "unsupported_grant_type").await;

    let code = party.answer("/authorize", &[("account", "ann-mfa")]).await["code"].clone();
    assert_eq!(party.redeem("/token", &code, &[]).await.status(), 200);
    assert_eq!(party.redeem("/token", &code, &[]).await.status(), 400);
}

#[tokio::test]
async fn a_code_ends_with_its_lifetime() {
    let party = Party::oidc().await;
    let code = party.answer("/authorize", &[("account", "ann-mfa")]).await["code"].clone();
    party.idp.control().set_clock(|| NOW + 600);
    assert_eq!(party.redeem("/token", &code, &[]).await.status(), 400);
}

#[tokio::test]
async fn iss_can_be_absent_withheld_or_wrong() {
    let party = Party::oidc().await;
    let check = async |iss: IssParameter, advertised: bool, sent: Option<&str>| {
        party.idp.control().set(|b| b.oidc.iss_parameter = iss);
        let discovery = party.json("/.well-known/openid-configuration").await;
        assert_eq!(
            discovery["authorization_response_iss_parameter_supported"],
            advertised
        );
        let answer = party.answer("/authorize", &[("account", "ann-mfa")]).await;
        assert_eq!(answer.get("iss").map(String::as_str), sent);
    };
    check(IssParameter::Absent, false, None).await;
    check(IssParameter::Withheld, true, None).await;
    check(
        IssParameter::Wrong("https://evil.example".to_owned()),
        true,
        Some("https://evil.example"),
    )
    .await;
}

#[tokio::test]
async fn the_chooser_lists_everybody_with_the_hinted_first() {
    let party = Party::oidc().await;
    let page = party
        .ask("/authorize", &[("login_hint", "bob@example.org")])
        .await;
    assert_eq!(page.status(), StatusCode::OK);
    let page = page.text().await.unwrap();
    let place = |id: &str| {
        page.find(&format!("id=\"choice-{id}\""))
            .unwrap_or_else(|| panic!("{id}:\n{page}"))
    };
    assert!(place("bob-password") < place("ann-mfa"));
    assert!(place("ann-mfa") < place("cleo-declines"));
}

#[tokio::test]
async fn the_log_has_each_request_once_and_in_full() {
    let party = Party::oidc().await;
    let control = party.idp.control();
    let code = party
        .answer(
            "/authorize",
            &[("account", "ann-mfa"), MFA_ONLY, ("max_age", "60")],
        )
        .await["code"]
        .clone();
    party
        .answer("/authorize", &[("account", "ann-mfa"), ("from_page", "1")])
        .await;
    party.redeem("/token", &code, &[]).await;
    party.fetch("/jwks.json").await;
    assert_eq!(control.authorize_requests().len(), 1);
    let request = control.last_authorize_request().unwrap();
    assert_eq!(request.path, "/authorize");
    assert_eq!(request.param("acr_values"), Some("urn:dev-idp:mfa"));
    assert_eq!(request.param("max_age"), Some("60"));
    assert_eq!(
        control.token_requests()[0].param("code"),
        Some(code.as_str())
    );
    assert_eq!(control.hits("/jwks.json"), 1);
    control.clear_log();
    assert_eq!(control.hits("/jwks.json"), 0);
}

#[tokio::test]
async fn a_request_can_be_posted() {
    let party = Party::oidc().await;
    let form = [
        ("account", "ann-mfa"),
        ("client_id", "countersign-dev"),
        ("redirect_uri", crate::support::CALLBACK),
        ("response_type", "code"),
        ("scope", "openid"),
    ];
    let answer = party.post("/authorize", &form).await;
    assert!(crate::support::arrived(answer).await.contains_key("code"));
}

#[tokio::test]
async fn markup_in_an_answer_stays_text_on_the_form_page() {
    let party = Party::oidc().await;
    let more = [
        ("account", "fritz-fails"),
        ("response_mode", "form_post"),
        ("state", "\"><script>"),
    ];
    let page = party.ask("/authorize", &more).await.text().await.unwrap();
    assert_eq!(page.matches("<script>").count(), 1, "{page}");
    assert!(page.contains(r#"<button type="submit">Continue</button>"#));
}

#[tokio::test]
async fn userinfo_is_for_bearers_of_live_tokens() {
    let party = Party::oidc().await;
    assert_eq!(party.fetch("/userinfo").await.status(), 401);
    let wrong = [("authorization", "Bearer wrong")];
    let wrong = party.fetch_with("/userinfo", &wrong).await;
    assert_eq!(wrong.status(), 401);
}
