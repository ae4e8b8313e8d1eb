//! GitHub's OAuth and REST.

use countersign_dev_idp::github::{
    IssOnErrors, PrivateProfileScope, RateLimit, TokenError, TwoFactor,
};
use countersign_dev_idp::{IssParameter, RedirectUris};
use serde_json::{Value, json};

use crate::support::{NOW, Party, Read};

const AUTHORIZE: &str = "/login/oauth/authorize";
const TOKEN: &str = "/login/oauth/access_token";
const SCOPES: (&str, &str) = ("scope", "read:user user:email");

async fn code(party: &Party, account: &str, scope: &str) -> String {
    let answer = party
        .answer(AUTHORIZE, &[("account", account), ("scope", scope)])
        .await;
    answer["code"].clone()
}

async fn token_answer(party: &Party, account: &str, scope: &str) -> Value {
    let code = code(party, account, scope).await;
    let answer = party.redeem(TOKEN, &code, &[]).await;
    assert_eq!(answer.status(), 200);
    answer.json_value().await
}

/// Status and body of a REST call with this account's token.
async fn call(party: &Party, path: &str, account: &str, scope: &str) -> (u16, Value) {
    let token = token_answer(party, account, scope).await;
    let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
    let answer = party
        .fetch_with(path, &[("authorization", &bearer), ("user-agent", "test")])
        .await;
    (answer.status().as_u16(), answer.json_value().await)
}

#[tokio::test]
async fn the_callback_names_the_issuer_of_the_metadata() {
    let party = Party::github().await;
    let issuer = party.url("/login/oauth");
    let metadata = party
        .json("/.well-known/oauth-authorization-server/login/oauth")
        .await;
    assert_eq!(metadata["issuer"], issuer);
    assert_eq!(
        metadata["authorization_response_iss_parameter_supported"],
        true
    );
    let answer = party
        .answer(AUTHORIZE, &[("account", "ann-mfa"), SCOPES])
        .await;
    assert_eq!(answer["iss"], issuer);
    assert_eq!(answer["state"], "a state & more");
}

#[tokio::test]
async fn iss_can_be_off_wrong_or_missing_on_errors() {
    let party = Party::github().await;
    let iss = async |account| {
        party
            .answer(AUTHORIZE, &[("account", account)])
            .await
            .get("iss")
            .cloned()
    };
    party
        .idp
        .control()
        .set(|b| b.github.iss_parameter = IssParameter::Absent);
    assert_eq!(iss("ann-mfa").await, None);
    let wrong = "https://evil.example".to_owned();
    party
        .idp
        .control()
        .set(|b| b.github.iss_parameter = IssParameter::Wrong(wrong.clone()));
    assert_eq!(iss("ann-mfa").await, Some(wrong));
    party.idp.control().set(|b| {
        b.github.iss_parameter = IssParameter::Right;
        b.github.iss_on_errors = IssOnErrors::Withheld;
    });
    assert_eq!(iss("cleo-declines").await, None);
    assert!(iss("ann-mfa").await.is_some());
}

#[tokio::test]
async fn a_token_answer_is_a_form_unless_json_is_accepted() {
    let party = Party::github().await;
    let code = code(&party, "ann-mfa", "user:email read:user").await;
    let answer = party.redeem(TOKEN, &code, &[]).await;
    assert_eq!(answer.json_value().await["scope"], "read:user,user:email");

    let code = self::code(&party, "ann-mfa", "read:user").await;
    let answer = party.redeem_as_form(TOKEN, &code).await;
    assert!(answer.starts_with("access_token=gho_"), "{answer}");
    assert!(
        answer.contains("&scope=read%3Auser%2Cuser%3Aemail&token_type=bearer"),
        "{answer}"
    );
}

#[tokio::test]
async fn errors_of_the_token_endpoint_come_with_200() {
    let party = Party::github().await;
    let check = async |account, more: &[(&str, &str)], error: &str| {
        let code = code(&party, account, "read:user").await;
        let answer = party.redeem(TOKEN, &code, more).await;
        assert_eq!(answer.status(), 200, "{more:?}");
        let answer = answer.json_value().await;
        assert_eq!(answer["error"], error, "{more:?}");
        assert!(answer.get("access_token").is_none());
    };
    check(
        "ann-mfa",
        &[("client_secret", "wrong")],
        "incorrect_client_credentials",
    )
    .await;
    check("ann-mfa", &[("code", "wrong")], "bad_verification_code").await;
    check(
        "ann-mfa",
        &[("code_verifier", "wrong")],
        "bad_code_verifier",
    )
    .await;
    check("ann-mfa", &[("code_verifier", "")], "bad_code_verifier").await;
    check(
        "ann-mfa",
        &[("redirect_uri", "http://127.0.0.1:9/other")],
        "redirect_uri_mismatch",
    )
    .await;
    check("uli-no-token", &[], "unverified_user_email").await;
    party.idp.control().set(|b| {
        b.github.token_error = Some(TokenError {
            error: "slow_down".to_owned(),
            description: String::new(),
        });
    });
    check("ann-mfa", &[], "slow_down").await;
}

#[tokio::test]
async fn a_code_is_good_once_and_for_ten_minutes() {
    let party = Party::github().await;
    let first = code(&party, "ann-mfa", "read:user").await;
    assert!(party.redeem(TOKEN, &first, &[]).await.json_value().await["access_token"].is_string());
    assert_eq!(
        party.redeem(TOKEN, &first, &[]).await.json_value().await["error"],
        "bad_verification_code"
    );
    let second = code(&party, "ann-mfa", "read:user").await;
    party.idp.control().set_clock(|| NOW + 600);
    assert_eq!(
        party.redeem(TOKEN, &second, &[]).await.json_value().await["error"],
        "bad_verification_code"
    );
}

#[tokio::test]
async fn a_token_has_the_scopes_of_earlier_grants_too() {
    let party = Party::github().await;
    assert_eq!(
        token_answer(&party, "ann-mfa", "user:email").await["scope"],
        "user:email"
    );
    assert_eq!(
        token_answer(&party, "ann-mfa", "read:user").await["scope"],
        "read:user,user:email"
    );
    assert_eq!(
        token_answer(&party, "ann-mfa", "").await["scope"],
        "read:user,user:email"
    );
    assert_eq!(
        token_answer(&party, "bob-password", "read:user").await["scope"],
        "read:user"
    );
}

#[tokio::test]
async fn the_two_factor_flag_is_true_false_or_absent() {
    let party = Party::github().await;
    let check = async |account, view: &str, flag: Option<bool>| {
        let (status, user) = call(&party, "/api/v3/user", account, "read:user user:email").await;
        assert_eq!(status, 200);
        assert_eq!(user["user_view_type"], view, "{account}");
        let seen = user.get("two_factor_authentication");
        assert_eq!(seen.and_then(Value::as_bool), flag, "{account}");
        assert_eq!(seen.is_some(), flag.is_some(), "{account}");
    };
    check("ann-mfa", "private", Some(true)).await;
    check("bob-password", "private", Some(false)).await;
    check("abe-absent", "private", None).await;
    check("nils-narrow", "public", None).await;
    party.idp.control().set(|b| {
        b.github.account_mut("bob-password").unwrap().two_factor = TwoFactor::On;
    });
    check("bob-password", "private", Some(true)).await;
    party
        .idp
        .control()
        .set(|b| b.github.private_profile_scope = PrivateProfileScope::User);
    check("ann-mfa", "public", None).await;
}

#[tokio::test]
async fn a_rename_changes_the_login_and_keeps_the_number() {
    let party = Party::github().await;
    let (_, before) = call(&party, "/api/v3/user", "ann-mfa", "read:user").await;
    party.idp.control().set(|b| {
        b.github.account_mut("ann-mfa").unwrap().login = "ann-new".to_owned();
        b.github.account_mut("bob-password").unwrap().login = "ann".to_owned();
    });
    let (_, after) = call(&party, "/api/v3/user", "ann-mfa", "read:user").await;
    let (_, taker) = call(&party, "/api/v3/user", "bob-password", "read:user").await;
    assert_eq!(
        (&after["id"], after["login"].as_str()),
        (&before["id"], Some("ann-new"))
    );
    assert_eq!(taker["login"], before["login"]);
    assert_ne!(taker["id"], before["id"]);
}

#[tokio::test]
async fn emails_need_their_scope() {
    let party = Party::github().await;
    let (status, emails) = call(
        &party,
        "/api/v3/user/emails",
        "ann-mfa",
        "read:user user:email",
    )
    .await;
    assert_eq!(status, 200);
    assert_eq!(
        emails[1],
        json!({"email": "ann@example.org", "primary": true, "verified": true, "visibility": "private"})
    );
    let (status, _) = call(
        &party,
        "/api/v3/user/emails",
        "nora-narrow",
        "read:user user:email",
    )
    .await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn rest_refuses_what_github_refuses() {
    let party = Party::github().await;
    let token = token_answer(&party, "ann-mfa", "read:user").await;
    let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
    let check = async |headers: &[(&str, &str)], status: u16| {
        assert_eq!(
            party.fetch_with("/api/v3/user", headers).await.status(),
            status,
            "{headers:?}"
        );
    };
    let (auth, agent) = (("authorization", bearer.as_str()), ("user-agent", "test"));
    check(&[auth, agent], 200).await;
    check(&[auth], 403).await;
    check(&[agent], 401).await;
    check(&[agent, ("authorization", "Bearer gho_wrong")], 401).await;
    check(&[auth, agent, ("x-github-api-version", "2022-11-28")], 200).await;
    check(&[auth, agent, ("x-github-api-version", "2019-01-01")], 410).await;
    let wrong = party
        .fetch_with("/api/v3/user", &[agent])
        .await
        .json_value()
        .await;
    assert_eq!(wrong["message"], "Bad credentials");
}

#[tokio::test]
async fn used_up_limits_say_when_to_come_back() {
    let party = Party::github().await;
    let check = async |limit, status: u16, header: &str, value: String| {
        party
            .idp
            .control()
            .set(|b| b.github.rate_limit = Some(limit));
        let answer = party
            .fetch_with("/api/v3/user", &[("user-agent", "test")])
            .await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()[header], value);
    };
    check(
        RateLimit::Primary { reset_in: 60 },
        403,
        "x-ratelimit-reset",
        (NOW + 60).to_string(),
    )
    .await;
    check(
        RateLimit::Primary { reset_in: 60 },
        403,
        "x-ratelimit-remaining",
        "0".to_owned(),
    )
    .await;
    check(
        RateLimit::Secondary { retry_after: 7 },
        429,
        "retry-after",
        "7".to_owned(),
    )
    .await;
}

#[tokio::test]
async fn a_revoked_token_is_bad_credentials() {
    let party = Party::github().await;
    let token = token_answer(&party, "ann-mfa", "read:user").await;
    let body = json!({ "access_token": token["access_token"] });
    let path = "/api/v3/applications/countersign-dev/token";
    assert_eq!(party.delete(path, body.clone()).await.status(), 204);
    let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
    let answer = party
        .fetch_with(
            "/api/v3/user",
            &[("authorization", &bearer), ("user-agent", "test")],
        )
        .await;
    assert_eq!(answer.status(), 401);
    assert_eq!(
        party
            .delete("/api/v3/applications/other/token", body)
            .await
            .status(),
        404
    );
}

#[tokio::test]
async fn only_s256_and_only_known_addresses() {
    let party = Party::github().await;
    let plain = [("account", "ann-mfa"), ("code_challenge_method", "plain")];
    assert_eq!(
        party.answer(AUTHORIZE, &plain).await["error"],
        "invalid_request"
    );
    party.idp.control().set(|b| {
        b.clients[0].redirect_uris = RedirectUris::Beneath("http://127.0.0.1:9/oauth".to_owned());
    });
    let ask = async |uri| {
        party
            .ask(AUTHORIZE, &[("account", "ann-mfa"), ("redirect_uri", uri)])
            .await
            .status()
    };
    assert_eq!(ask("http://127.0.0.1:9/oauth/deep").await, 302);
    assert_eq!(ask("http://127.0.0.1:9/other").await, 404);
}
