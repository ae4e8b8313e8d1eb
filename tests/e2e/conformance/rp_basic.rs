//! `oidcc-client-basic-certification-test-plan`: our side towards a provider that is not what it should be.
//!
//! The provider is the stand-in for OpenID Connect, turned so; our side is the whole server.

use countersign_dev_idp::{Behaviour, Document, Edit, KeyPhase, Signing};
use countersign_tests::{Browser, Login, World};
use serde_json::json;

use super::Held::Here;
use super::{Module, check_plan};

const PLAN: [Module; 14] = [
    ("oidcc-client-test", Here),
    ("oidcc-client-test-invalid-iss", Here),
    ("oidcc-client-test-missing-sub", Here),
    ("oidcc-client-test-invalid-aud", Here),
    ("oidcc-client-test-missing-iat", Here),
    ("oidcc-client-test-kid-absent-single-jwks", Here),
    ("oidcc-client-test-kid-absent-multiple-jwks", Here),
    ("oidcc-client-test-idtoken-sig-rs256", Here),
    ("oidcc-client-test-idtoken-sig-none", Here),
    ("oidcc-client-test-invalid-sig-rs256", Here),
    ("oidcc-client-test-userinfo-invalid-sub", Here),
    ("oidcc-client-test-nonce-invalid", Here),
    ("oidcc-client-test-scope-userinfo-claims", Here),
    ("oidcc-client-test-client-secret-basic", Here),
];

#[test]
fn every_module_of_the_plan_has_its_test() {
    check_plan(
        "rp_basic",
        "oidcc-client-",
        include_str!("rp_basic.rs"),
        &PLAN,
    );
}

const ACCEPTED: &str = "code";
const REFUSED: &str = "refused: id-token-invalid";

fn ann() -> Login {
    Login::new("oidc", "ann-mfa")
}

/// A sign-in at a provider that is turned so, and how it ends.
async fn check(login: &Login, turn: impl FnOnce(&mut Behaviour), expected: &str) -> World {
    let world = World::new().await;
    world.oidc.control().set(turn);
    let outcome = world.sign_in(&mut Browser::new(), login).await;
    assert_eq!(outcome.summary(), expected, "{}", outcome.page().body);
    world
}

fn claim(edit: Edit) -> impl FnOnce(&mut Behaviour) {
    move |behaviour| behaviour.back.claims.push(edit)
}

fn signing(signing: Signing) -> impl FnOnce(&mut Behaviour) {
    move |behaviour| behaviour.back.signing = signing
}

#[actix_web::test]
async fn test() {
    check(&ann(), |_| {}, ACCEPTED).await;
}

#[actix_web::test]
async fn test_invalid_iss() {
    let wrong = Edit::set("iss", "https://evil.example");
    check(&ann(), claim(wrong), REFUSED).await;
}

#[actix_web::test]
async fn test_missing_sub() {
    check(&ann(), claim(Edit::remove("sub")), REFUSED).await;
}

#[actix_web::test]
async fn test_invalid_aud() {
    check(&ann(), claim(Edit::set("aud", "another-client")), REFUSED).await;
}

#[actix_web::test]
async fn test_missing_iat() {
    check(&ann(), claim(Edit::remove("iat")), REFUSED).await;
}

/// One key: it can be no other.
#[actix_web::test]
async fn test_kid_absent_single_jwks() {
    let no_kid = |behaviour: &mut Behaviour| behaviour.back.header.push(Edit::remove("kid"));
    check(&ann(), no_kid, ACCEPTED).await;
}

/// The suite lets a client try every key; ours does not guess.
#[actix_web::test]
async fn test_kid_absent_multiple_jwks() {
    let no_kid = |behaviour: &mut Behaviour| {
        behaviour.keys = KeyPhase::NextPublished;
        behaviour.back.header.push(Edit::remove("kid"));
    };
    check(&ann(), no_kid, REFUSED).await;
}

#[actix_web::test]
async fn test_idtoken_sig_rs256() {
    let world = check(&ann(), signing(Signing::Proper), ACCEPTED).await;
    assert_eq!(
        world.oidc.control().hits("/jwks.json"),
        1,
        "it was verified"
    );
}

/// The suite lets a client take an unsigned token from the token endpoint (Core 3.1.3.7); ours never does.
#[actix_web::test]
async fn test_idtoken_sig_none() {
    check(&ann(), signing(Signing::AlgNone), REFUSED).await;
}

#[actix_web::test]
async fn test_invalid_sig_rs256() {
    check(&ann(), signing(Signing::Corrupted), REFUSED).await;
}

/// UserInfo is asked where the ID token has no address.
#[actix_web::test]
async fn test_userinfo_invalid_sub() {
    let other = |behaviour: &mut Behaviour| {
        let edit = Edit::set("sub", "somebody-else");
        behaviour.edits.insert(Document::UserInfo, vec![edit]);
    };
    let ned = Login::new("oidc", "ned-no-email");
    check(&ned, other, "refused: provider-answer-invalid").await;
}

#[actix_web::test]
async fn test_nonce_invalid() {
    check(&ann(), claim(Edit::set("nonce", "another")), REFUSED).await;
}

#[actix_web::test]
async fn test_scope_userinfo_claims() {
    let world = World::new().await;
    world.oidc.control().set(claim(Edit::remove("email")));
    let code = world.sign_in(&mut Browser::new(), &ann()).await.code();
    let asked = world.oidc.control().last_authorize_request();
    let asked = asked.expect("a request");
    let scope: Vec<&str> = asked.param("scope").expect("a scope").split(' ').collect();
    for wanted in ["openid", "profile", "email"] {
        assert!(scope.contains(&wanted), "{scope:?}");
    }
    let id = world.redeem(&code).await.id();
    assert_eq!(id["email"], json!("ann@example.org"));
}

#[actix_web::test]
async fn test_client_secret_basic() {
    let name = "token_endpoint_auth_methods_supported";
    let basic = |behaviour: &mut Behaviour| {
        let edit = Edit::set(name, json!(["client_secret_basic"]));
        behaviour.edits.insert(Document::Discovery, vec![edit]);
    };
    let world = check(&ann(), basic, ACCEPTED).await;
    let request = &world.oidc.control().token_requests()[0];
    let authorization = request.authorization.as_deref().expect("a header");
    assert!(authorization.starts_with("Basic "));
    assert_eq!(request.param("client_secret"), None, "once, in one place");
}
