//! A login that counts, by all four kinds of provider; and the logins that do not.

use countersign_tests::{Browser, Login, World};
use serde_json::json;

async fn check(login: Login, expected: &str) {
    let world = World::new().await;
    let outcome = world
        .sign_in_with_step_up(&mut Browser::new(), &login)
        .await;
    assert_eq!(
        outcome.summary(),
        expected,
        "{login:?}: {}",
        outcome.page().body
    );
}

#[actix_web::test]
async fn an_oidc_login_with_mfa_ends_in_verified_tokens() {
    let world = World::new().await;
    let outcome = world
        .sign_in(&mut Browser::new(), &Login::new("oidc", "ann-mfa"))
        .await;
    let tokens = world.redeem(&outcome.code()).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    let access = tokens.access();
    assert_eq!(access["acr"], json!("urn:countersign:mfa"));
    assert_eq!(
        access["scope"],
        json!("email openid packages:manage profile")
    );
    assert_eq!(access["countersign"]["basis"], json!("session"));
    let id = tokens.id();
    assert_eq!(id["nonce"], json!("nonce-of-the-client"));
    assert_eq!(id["sub"], access["sub"]);
}

#[actix_web::test]
async fn a_strong_login_passes_at_every_kind_of_provider() {
    check(Login::new("oidc", "ann-mfa"), "code").await;
    check(Login::new("microsoft", "mia-mfa"), "code").await;
    check(Login::new("entra", "ann-mfa"), "code").await;
    check(Login::new("contoso", "ann-mfa"), "code").await;
    check(Login::new("github", "ann-mfa"), "code").await;
}

#[actix_web::test]
async fn a_weak_login_is_refused_at_every_kind_of_provider() {
    check(Login::new("oidc", "bob-password"), "refused: mfa-absent").await;
    check(
        Login::new("microsoft", "omar-ignores"),
        "refused: mfa-absent",
    )
    .await;
    check(Login::new("entra", "olaf-ignores"), "refused: mfa-absent").await;
    check(Login::new("github", "bob-password"), "refused: mfa-absent").await;
}
