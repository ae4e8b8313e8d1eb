//! `oidcc-rp-initiated-logout-certification-test-plan`: a client asks our server to sign a person out.
//!
//! Whether the person is still signed in is asked by `prompt=none`, as the suite does.

use countersign_tests::{BrokerSetup, Browser, Login, Page, World, wire};
use serde_json::Value;
use url::Url;

use super::Held::Here;
use super::{Module, check_plan};

const PLAN: [Module; 11] = [
    (
        "oidcc-rp-initiated-logout-discovery-endpoint-verification",
        Here,
    ),
    ("oidcc-rp-initiated-logout", Here),
    (
        "oidcc-rp-initiated-logout-bad-post-logout-redirect-uri",
        Here,
    ),
    ("oidcc-rp-initiated-logout-modified-id-token-hint", Here),
    ("oidcc-rp-initiated-logout-no-id-token-hint", Here),
    ("oidcc-rp-initiated-logout-no-params", Here),
    (
        "oidcc-rp-initiated-logout-no-post-logout-redirect-uri",
        Here,
    ),
    ("oidcc-rp-initiated-logout-no-state", Here),
    ("oidcc-rp-initiated-logout-only-state", Here),
    (
        "oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri",
        Here,
    ),
    ("oidcc-rp-initiated-logout-bad-id-token-hint", Here),
];

#[test]
fn every_module_of_the_plan_has_its_test() {
    let source = include_str!("rp_initiated_logout.rs");
    check_plan("rp_initiated_logout", "oidcc-", source, &PLAN);
}

const AFTER: &str = "http://127.0.0.3:9/signed-out";
const STATE: &str = "state-of-the-logout";

/// Somebody who is signed in, and the ID token that the client has of it.
struct SignedIn {
    world: World,
    browser: Browser,
    id_token: String,
}

/// What became of the request to sign out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Session {
    Lives,
    Ended,
}

impl SignedIn {
    async fn new() -> Self {
        let world = World::with(|setup| {
            setup.gallery().post_logout_redirect_uris = vec![AFTER.into()];
        });
        let (world, mut browser) = (world.await, Browser::new());
        let code = world.sign_in(&mut browser, &ann()).await.code();
        let tokens = world.redeem(&code).await;
        Self {
            id_token: tokens.text("id_token").to_owned(),
            world,
            browser,
        }
    }

    /// Asks to be signed out, with these parameters.
    async fn sign_out(&mut self, parameters: &[(&str, &str)]) -> Page {
        let metadata = metadata(&self.world).await;
        let mut url = Url::parse(text(&metadata, "end_session_endpoint")).expect("an address");
        url.query_pairs_mut().extend_pairs(parameters);
        self.browser.get(&url).await
    }

    /// Whether the person is still signed in.
    async fn check(&mut self, expected: Session) {
        let silent = self.world.authorize_url(&ann().with("prompt", "none"));
        let page = self.browser.get(&silent).await;
        let found = match (page.sent_with("code"), page.sent_with("error").as_deref()) {
            (Some(_), None) => Session::Lives,
            (None, Some("login_required")) => Session::Ended,
            other => panic!("{other:?}: {}", page.body),
        };
        assert_eq!(found, expected);
    }

    /// A request that must end at a page of ours, and leave the session alone.
    async fn check_is_stopped(&mut self, parameters: &[(&str, &str)], status: u16) {
        let page = self.sign_out(parameters).await;
        let found = (page.status, page.location.as_ref());
        assert_eq!(found, (status, None), "{}", page.body);
        self.check(Session::Lives).await;
    }
}

fn ann() -> Login {
    Login::new("oidc", "ann-mfa")
}

async fn metadata(world: &World) -> Value {
    let path = "/.well-known/openid-configuration";
    let page = wire::get(&world.broker.issuer, path, &[]).await;
    serde_json::from_str(&page.body).expect("JSON")
}

fn text<'a>(metadata: &'a Value, name: &str) -> &'a str {
    let value = metadata[name].as_str();
    value.unwrap_or_else(|| panic!("no `{name}` in {metadata}"))
}

/// A page that says it, and leads nowhere by itself.
fn assert_signed_out_here(page: &Page) {
    assert_eq!((page.status, page.location.as_ref()), (200, None));
    assert!(page.body.contains("You are signed out"), "{}", page.body);
}

#[actix_web::test]
async fn rp_initiated_logout_discovery_endpoint_verification() {
    let world = World::new().await;
    let metadata = metadata(&world).await;
    let endpoint = text(&metadata, "end_session_endpoint");
    assert!(endpoint.starts_with(&world.broker.issuer), "{endpoint}");
}

#[actix_web::test]
async fn rp_initiated_logout() {
    let mut person = SignedIn::new().await;
    person.check(Session::Lives).await;
    let hint = person.id_token.clone();
    let parameters = [
        ("id_token_hint", hint.as_str()),
        ("post_logout_redirect_uri", AFTER),
        ("state", STATE),
    ];
    let page = person.sign_out(&parameters).await;
    let to = page.location.as_ref().map(Url::as_str);
    assert_eq!(
        to,
        Some(format!("{AFTER}?state={STATE}").as_str()),
        "{}",
        page.body
    );
    person.check(Session::Ended).await;
}

#[actix_web::test]
async fn rp_initiated_logout_bad_post_logout_redirect_uri() {
    let mut person = SignedIn::new().await;
    let hint = person.id_token.clone();
    for elsewhere in ["https://evil.example/", BrokerSetup::REDIRECT_URI] {
        let parameters = [
            ("id_token_hint", hint.as_str()),
            ("post_logout_redirect_uri", elsewhere),
            ("state", STATE),
        ];
        person.check_is_stopped(&parameters, 400).await;
    }
}

/// The claims of the token are others than were signed.
#[actix_web::test]
async fn rp_initiated_logout_modified_id_token_hint() {
    use base64::Engine;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut person = SignedIn::new().await;
    let parts: Vec<&str> = person.id_token.split('.').collect();
    let mut claims = countersign_tests::payload(&person.id_token);
    claims["sub"] = "somebody-else".into();
    let modified = format!(
        "{}.{}.{}",
        parts[0],
        engine.encode(claims.to_string()),
        parts[2]
    );
    let parameters = [
        ("id_token_hint", modified.as_str()),
        ("post_logout_redirect_uri", AFTER),
        ("state", STATE),
    ];
    person.check_is_stopped(&parameters, 400).await;
}

/// Without it nobody knows whose address that is.
#[actix_web::test]
async fn rp_initiated_logout_no_id_token_hint() {
    let mut person = SignedIn::new().await;
    let parameters = [("post_logout_redirect_uri", AFTER), ("state", STATE)];
    person.check_is_stopped(&parameters, 400).await;
}

/// The person is asked first.
#[actix_web::test]
async fn rp_initiated_logout_no_params() {
    let mut person = SignedIn::new().await;
    person.check_is_stopped(&[], 200).await;
}

#[actix_web::test]
async fn rp_initiated_logout_no_post_logout_redirect_uri() {
    let mut person = SignedIn::new().await;
    let hint = person.id_token.clone();
    let parameters = [("id_token_hint", hint.as_str()), ("state", STATE)];
    assert_signed_out_here(&person.sign_out(&parameters).await);
    person.check(Session::Ended).await;
}

#[actix_web::test]
async fn rp_initiated_logout_no_state() {
    let mut person = SignedIn::new().await;
    let hint = person.id_token.clone();
    let parameters = [
        ("id_token_hint", hint.as_str()),
        ("post_logout_redirect_uri", AFTER),
    ];
    let page = person.sign_out(&parameters).await;
    assert_eq!(page.location.as_ref().map(Url::as_str), Some(AFTER));
    person.check(Session::Ended).await;
}

#[actix_web::test]
async fn rp_initiated_logout_only_state() {
    let mut person = SignedIn::new().await;
    person.check_is_stopped(&[("state", STATE)], 200).await;
}

#[actix_web::test]
async fn rp_initiated_logout_query_added_to_post_logout_redirect_uri() {
    let mut person = SignedIn::new().await;
    let hint = person.id_token.clone();
    let parameters = [
        ("id_token_hint", hint.as_str()),
        (
            "post_logout_redirect_uri",
            "http://127.0.0.3:9/signed-out?foo=bar",
        ),
        ("state", STATE),
    ];
    person.check_is_stopped(&parameters, 400).await;
}

#[actix_web::test]
async fn rp_initiated_logout_bad_id_token_hint() {
    let mut person = SignedIn::new().await;
    let parameters = [
        ("id_token_hint", "not-a-token"),
        ("post_logout_redirect_uri", AFTER),
        ("state", STATE),
    ];
    person.check_is_stopped(&parameters, 400).await;
}
