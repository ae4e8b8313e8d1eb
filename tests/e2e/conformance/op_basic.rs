//! `oidcc-basic-certification-test-plan`: our server towards a client that does what the suite's does.
//!
//! The person signs in at a stand-in with a second factor; the client is `gallery`, with a secret. What comes back
//! is verified by the crate `openidconnect`, which shares no code with ours.

use std::str::FromStr;

use countersign_core::ClientId;
use countersign_server::{Client, ClientAuthentication, GrantType, SecretDigest};
use countersign_tests::{BrokerSetup, Browser, Login, Outcome, Page, Tokens, World, wire};
use openidconnect::core::{
    CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKeySet, CoreJwsSigningAlgorithm,
};
use openidconnect::{ClientId as TheirClientId, ClientSecret, IssuerUrl, Nonce};
use serde_json::{Value, json};
use url::Url;

use super::Held::Here;
use super::{Module, check_plan};

const PLAN: [Module; 38] = [
    ("oidcc-server", Here),
    ("oidcc-response-type-missing", Here),
    ("oidcc-idtoken-signature", Here),
    ("oidcc-idtoken-unsigned", Here),
    ("oidcc-userinfo-get", Here),
    ("oidcc-userinfo-post-header", Here),
    ("oidcc-userinfo-post-body", Here),
    (
        "oidcc-ensure-request-without-nonce-succeeds-for-code-flow",
        Here,
    ),
    ("oidcc-scope-profile", Here),
    ("oidcc-scope-email", Here),
    ("oidcc-scope-address", Here),
    ("oidcc-scope-phone", Here),
    ("oidcc-scope-all", Here),
    ("oidcc-alternate-happy-flow", Here),
    ("oidcc-display-page", Here),
    ("oidcc-display-popup", Here),
    ("oidcc-prompt-login", Here),
    ("oidcc-prompt-none-not-logged-in", Here),
    ("oidcc-prompt-none-logged-in", Here),
    ("oidcc-max-age-1", Here),
    ("oidcc-max-age-10000", Here),
    ("oidcc-ensure-request-with-unknown-parameter-succeeds", Here),
    ("oidcc-id-token-hint", Here),
    ("oidcc-login-hint", Here),
    ("oidcc-ui-locales", Here),
    ("oidcc-claims-locales", Here),
    ("oidcc-ensure-request-with-acr-values-succeeds", Here),
    ("oidcc-codereuse", Here),
    ("oidcc-codereuse-30seconds", Here),
    ("oidcc-ensure-registered-redirect-uri", Here),
    ("oidcc-ensure-post-request-succeeds", Here),
    ("oidcc-server-client-secret-post", Here),
    (
        "oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported",
        Here,
    ),
    (
        "oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported",
        Here,
    ),
    ("oidcc-claims-essential", Here),
    ("oidcc-ensure-request-object-with-redirect-uri", Here),
    ("oidcc-refresh-token", Here),
    ("oidcc-ensure-request-with-valid-pkce-succeeds", Here),
];

#[test]
fn every_module_of_the_plan_has_its_test() {
    check_plan("op_basic", "oidcc-", include_str!("op_basic.rs"), &PLAN);
}

// ---- what the suite's client does ----------------------------------------------------------

const NONCE: &str = "nonce-of-the-client";
const STATE: &str = "state-of-the-client";

/// The suite's request: no PKCE but where a module is about it.
fn request(scope: &str) -> Login {
    Login::new("oidc", "ann-mfa")
        .with("scope", scope)
        .with("code_challenge", "")
        .with("code_challenge_method", "")
}

/// A world of which only `openid` needs to be asked for.
async fn world() -> World {
    let world = World::with(|setup| {
        setup.gallery().grants.insert(GrantType::RefreshToken);
        setup
            .policy
            .push_str("\n[client.second]\ntier = \"manage\"\n");
        let secret = ClientAuthentication::Secret(SecretDigest::of(SECOND_SECRET));
        let uris = vec![BrokerSetup::REDIRECT_URI.into()];
        let mut second = Client::new("Second", uris, secret, BrokerSetup::AUDIENCE);
        second.grants.insert(GrantType::RefreshToken);
        let id = ClientId::new("second").expect("a client id");
        setup.clients.insert(id, second);
    });
    let world = world.await;
    world.share_clock();
    world
}

const SECOND_SECRET: &str = "secret-of-the-second-client";

/// Signs in with this request and redeems the code, with `client_secret_basic`.
async fn happy(world: &World, login: &Login) -> Tokens {
    happy_in(world, &mut Browser::new(), login).await
}

async fn happy_in(world: &World, browser: &mut Browser, login: &Login) -> Tokens {
    let outcome = world.sign_in(browser, login).await;
    finished(world, outcome).await
}

/// From the answer at the redirect URI to verified tokens.
async fn finished(world: &World, outcome: Outcome) -> Tokens {
    let page = outcome.code();
    assert_eq!(page.sent_with("state").as_deref(), Some(STATE));
    assert_eq!(page.sent_with("iss"), Some(world.broker.issuer.clone()));
    let code = page.sent_with("code").expect("a code");
    let tokens = by_basic(world, ("gallery", BrokerSetup::SECRET), &code_form(&code)).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    tokens
}

fn code_form(code: &str) -> Vec<(&'static str, String)> {
    vec![
        ("grant_type", "authorization_code".to_owned()),
        ("code", code.to_owned()),
        ("redirect_uri", BrokerSetup::REDIRECT_URI.to_owned()),
    ]
}

/// Calls the token endpoint with the client's secret in the header (RFC 6749 2.3.1).
async fn by_basic(
    world: &World,
    (client, secret): (&str, &str),
    form: &[(&str, String)],
) -> Tokens {
    use base64::Engine;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{client}:{secret}"));
    let header = format!("Basic {pair}");
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let headers = [("authorization", header.as_str())];
    let page = wire::send("POST", &world.broker.issuer, "/token", &headers, &body).await;
    assert_eq!(
        page.header("cache-control"),
        Some("no-store"),
        "{}",
        page.body
    );
    Tokens {
        status: page.status,
        body: serde_json::from_str(&page.body).unwrap_or(json!(page.body)),
    }
}

/// The suite's checks of a token response and its ID token.
async fn check_tokens(world: &World, tokens: &Tokens, nonce: Option<&str>) {
    assert_eq!(tokens.text("token_type"), "Bearer");
    assert!(
        tokens.body["expires_in"]
            .as_u64()
            .is_some_and(|left| left > 0)
    );
    let keys = wire::get(&world.broker.issuer, "/jwks.json", &[])
        .await
        .body;
    let keys: CoreJsonWebKeySet = serde_json::from_str(&keys).expect("keys");
    let verifier = CoreIdTokenVerifier::new_confidential_client(
        TheirClientId::new("gallery".to_owned()),
        ClientSecret::new(BrokerSetup::SECRET.to_owned()),
        IssuerUrl::new(world.broker.issuer.clone()).expect("an issuer"),
        keys,
    );
    let token = CoreIdToken::from_str(tokens.text("id_token")).expect("an ID token");
    let algorithm = token.signing_alg().expect("an algorithm");
    assert_eq!(*algorithm, CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256);
    let same = |found: Option<&Nonce>| match (found.map(Nonce::secret), nonce) {
        (found, wanted) if found.map(String::as_str) == wanted => Ok(()),
        (found, wanted) => Err(format!("nonce {found:?}, not {wanted:?}")),
    };
    let claims = token.claims(&verifier, same);
    let claims = claims.unwrap_or_else(|error| panic!("{error}: {}", tokens.id()));
    assert!(claims.issue_time() <= claims.expiration());
    assert!(claims.subject().len() <= 255, "Core 2");
}

/// UserInfo by the header, about the person of the ID token (Core 5.3.2).
async fn user_info(world: &World, tokens: &Tokens) -> Value {
    let page = wire::user_info(&world.broker.issuer, tokens.text("access_token")).await;
    person(&page, tokens)
}

fn person(page: &Page, tokens: &Tokens) -> Value {
    assert_eq!(page.status, 200, "{}", page.body);
    assert_eq!(page.header("content-type"), Some("application/json"));
    let person: Value = serde_json::from_str(&page.body).expect("JSON");
    assert_eq!(person["sub"], tokens.id()["sub"]);
    person
}

/// A request that must succeed whatever else stands in it.
async fn check_succeeds_with(parameter: &str, value: &str) -> Tokens {
    let world = world().await;
    let tokens = happy(&world, &request("openid").with(parameter, value)).await;
    check_tokens(&world, &tokens, Some(NONCE)).await;
    tokens
}

/// A request that must come back with an error, and how.
async fn check_comes_back_with(login: &Login, error: &str) {
    let world = world().await;
    let page = Browser::new().get(&world.authorize_url(login)).await;
    let location = page.location.as_ref().map_or("", Url::as_str);
    assert!(
        location.starts_with(BrokerSetup::REDIRECT_URI),
        "{location}"
    );
    assert_eq!(page.sent_with("error").as_deref(), Some(error));
    assert_eq!(page.sent_with("state").as_deref(), Some(STATE));
    assert_eq!(page.sent_with("code"), None);
    assert_eq!(page.sent_with("iss"), Some(world.broker.issuer.clone()));
}

/// A scope that the metadata does not list: the suite passes over the module, and who asks all the same is told.
async fn check_is_not_served(scope: &str) {
    let world = world().await;
    let metadata = wire::get(
        &world.broker.issuer,
        "/.well-known/openid-configuration",
        &[],
    )
    .await;
    let metadata: Value = serde_json::from_str(&metadata.body).expect("JSON");
    let served = metadata["scopes_supported"].as_array().expect("a list");
    assert!(!served.contains(&json!(scope)), "{served:?}");
    check_comes_back_with(&request(&format!("openid {scope}")), "invalid_scope").await;
}

// ---- the modules ---------------------------------------------------------------------------

#[actix_web::test]
async fn server() {
    let world = world().await;
    let tokens = happy(&world, &request("openid")).await;
    check_tokens(&world, &tokens, Some(NONCE)).await;
    assert_eq!(tokens.id()["aud"], json!("gallery"));
    user_info(&world, &tokens).await;
}

#[actix_web::test]
async fn response_type_missing() {
    check_comes_back_with(
        &request("openid").with("response_type", ""),
        "invalid_request",
    )
    .await;
}

/// Its key is found by its `kid`, and signs with RS256.
#[actix_web::test]
async fn idtoken_signature() {
    let world = world().await;
    let tokens = happy(&world, &request("openid")).await;
    check_tokens(&world, &tokens, Some(NONCE)).await;
    let keys = wire::get(&world.broker.issuer, "/jwks.json", &[])
        .await
        .body;
    let keys: Value = serde_json::from_str(&keys).expect("keys");
    let header = header_of(tokens.text("id_token"));
    let published = keys["keys"].as_array().expect("keys");
    let own: Vec<_> = published
        .iter()
        .filter(|key| key["kid"] == header["kid"])
        .collect();
    assert_eq!(own.len(), 1, "{header} in {keys}");
    assert_eq!(
        (&own[0]["kty"], &own[0]["alg"]),
        (&json!("RSA"), &json!("RS256"))
    );
}

fn header_of(token: &str) -> Value {
    use base64::Engine;
    let first = token.split('.').next().expect("a header");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(first);
    serde_json::from_slice(&bytes.expect("base64url")).expect("JSON")
}

/// The suite passes over it where `none` is not offered; it is not.
#[actix_web::test]
async fn idtoken_unsigned() {
    let world = world().await;
    let metadata = wire::get(
        &world.broker.issuer,
        "/.well-known/openid-configuration",
        &[],
    )
    .await;
    let metadata: Value = serde_json::from_str(&metadata.body).expect("JSON");
    let algorithms = metadata["id_token_signing_alg_values_supported"].as_array();
    assert!(!algorithms.expect("a list").contains(&json!("none")));
    let tokens = happy(&world, &request("openid")).await;
    assert_eq!(header_of(tokens.text("id_token"))["alg"], "RS256");
}

#[actix_web::test]
async fn userinfo_get() {
    let world = world().await;
    let tokens = happy(&world, &request("openid")).await;
    user_info(&world, &tokens).await;
}

#[actix_web::test]
async fn userinfo_post_header() {
    let world = world().await;
    let tokens = happy(&world, &request("openid")).await;
    let bearer = format!("Bearer {}", tokens.text("access_token"));
    let headers = [("authorization", bearer.as_str())];
    let page = wire::send("POST", &world.broker.issuer, "/userinfo", &headers, "").await;
    person(&page, &tokens);
}

#[actix_web::test]
async fn userinfo_post_body() {
    let world = world().await;
    let tokens = happy(&world, &request("openid")).await;
    let body = format!("access_token={}", tokens.text("access_token"));
    let page = wire::send("POST", &world.broker.issuer, "/userinfo", &[], &body).await;
    person(&page, &tokens);
}

#[actix_web::test]
async fn ensure_request_without_nonce_succeeds_for_code_flow() {
    let world = world().await;
    let tokens = happy(&world, &request("openid").with("nonce", "")).await;
    check_tokens(&world, &tokens, None).await;
}

#[actix_web::test]
async fn scope_profile() {
    let world = world().await;
    let tokens = happy(&world, &request("openid profile")).await;
    let person = user_info(&world, &tokens).await;
    assert_eq!(person["name"], "Ann");
    assert_eq!(person.get("email"), None, "it was not asked for");
}

#[actix_web::test]
async fn scope_email() {
    let world = world().await;
    let tokens = happy(&world, &request("openid email")).await;
    let person = user_info(&world, &tokens).await;
    assert_eq!(person["email"], "ann@example.org");
    assert_eq!(person["email_verified"], true);
    assert_eq!(person.get("name"), None, "it was not asked for");
}

#[actix_web::test]
async fn scope_address() {
    check_is_not_served("address").await;
}

#[actix_web::test]
async fn scope_phone() {
    check_is_not_served("phone").await;
}

/// All that are served of them; `address` and `phone` are not.
#[actix_web::test]
async fn scope_all() {
    let world = world().await;
    let tokens = happy(&world, &request("openid profile email")).await;
    let person = user_info(&world, &tokens).await;
    assert_eq!(
        (&person["name"], &person["email"]),
        (&json!("Ann"), &json!("ann@example.org"))
    );
    let all = request("openid profile email address phone");
    check_comes_back_with(&all, "invalid_scope").await;
}

/// Neither the order of the scopes nor that of the parameters says anything (RFC 6749 3.3).
#[actix_web::test]
async fn alternate_happy_flow() {
    let world = world().await;
    let login = request("email openid");
    let mut url = world.authorize_url(&login);
    let mut parameters: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    parameters.reverse();
    url.query_pairs_mut().clear().extend_pairs(parameters);
    let mut browser = Browser::new();
    let page = browser.get(&url).await;
    let outcome = world.go_on(&mut browser, page, &login).await;
    let tokens = finished(&world, outcome).await;
    check_tokens(&world, &tokens, Some(NONCE)).await;
    assert_eq!(user_info(&world, &tokens).await["email"], "ann@example.org");
}

#[actix_web::test]
async fn display_page() {
    check_succeeds_with("display", "page").await;
}

#[actix_web::test]
async fn display_popup() {
    check_succeeds_with("display", "popup").await;
}

/// The person signs in again although they just did, and `auth_time` says so.
#[actix_web::test]
async fn prompt_login() {
    let world = world().await;
    let mut browser = Browser::new();
    let first = happy_in(&world, &mut browser, &request("openid")).await;
    world.broker.clock.advance(90); // more than clocks may differ by
    let again = request("openid").with("prompt", "login");
    let second = happy_in(&world, &mut browser, &again).await;
    check_tokens(&world, &second, Some(NONCE)).await;
    let (first, second) = (first.id(), second.id());
    assert_eq!(second["sub"], first["sub"]);
    let at = second["auth_time"].as_i64().expect("`auth_time`");
    assert!(
        at > first["iat"].as_i64().expect("`iat`"),
        "{first} {second}"
    );
}

#[actix_web::test]
async fn prompt_none_not_logged_in() {
    check_comes_back_with(&request("openid").with("prompt", "none"), "login_required").await;
}

/// The answer to a person who is signed in, with no page in between.
async fn silent(world: &World, browser: &mut Browser, login: &Login) -> Tokens {
    let login = login.clone().with("prompt", "none");
    let page = browser.get(&world.authorize_url(&login)).await;
    let to = page.location.as_ref().map_or("", Url::as_str);
    assert!(
        to.starts_with(BrokerSetup::REDIRECT_URI),
        "{to}: {}",
        page.body
    );
    finished(world, Outcome::Code(page)).await
}

/// The same login, by both ID tokens.
fn assert_same_login(first: &Tokens, second: &Tokens) {
    let (first, second) = (first.id(), second.id());
    for same in ["iss", "sub", "aud", "auth_time", "acr", "amr"] {
        assert_eq!(first.get(same), second.get(same), "{same}");
    }
    assert!(second["auth_time"].is_i64(), "{second}");
}

#[actix_web::test]
async fn prompt_none_logged_in() {
    let world = world().await;
    let mut browser = Browser::new();
    let first = happy_in(&world, &mut browser, &request("openid")).await;
    world.broker.clock.advance(5);
    let second = silent(&world, &mut browser, &request("openid")).await;
    check_tokens(&world, &second, Some(NONCE)).await;
    assert_same_login(&first, &second);
}

/// A second later the first login is too old, and the person signs in again.
#[actix_web::test]
async fn max_age_1() {
    let world = world().await;
    let mut browser = Browser::new();
    let first = happy_in(&world, &mut browser, &request("openid")).await;
    world.broker.clock.advance(90);
    let again = request("openid").with("max_age", "1");
    let second = happy_in(&world, &mut browser, &again).await;
    let (first, second) = (first.id(), second.id());
    assert_eq!(second["sub"], first["sub"]);
    let at = second["auth_time"].as_i64().expect("`auth_time`, Core 2");
    assert!(
        at > first["iat"].as_i64().expect("`iat`"),
        "{first} {second}"
    );
}

/// The first login is fresh enough: nobody signs in again, and `auth_time` is that of the first.
#[actix_web::test]
async fn max_age_10000() {
    let world = world().await;
    let mut browser = Browser::new();
    let first = happy_in(&world, &mut browser, &request("openid")).await;
    world.broker.clock.advance(5);
    let again = request("openid").with("max_age", "10000");
    let page = browser.get(&world.authorize_url(&again)).await;
    let second = finished(&world, Outcome::Code(page)).await;
    check_tokens(&world, &second, Some(NONCE)).await;
    assert_same_login(&first, &second);
}

#[actix_web::test]
async fn ensure_request_with_unknown_parameter_succeeds() {
    check_succeeds_with("extra", "foobar").await;
}

#[actix_web::test]
async fn id_token_hint() {
    let world = world().await;
    let mut browser = Browser::new();
    let first = happy_in(&world, &mut browser, &request("openid")).await;
    let hinted = request("openid").with("id_token_hint", first.text("id_token"));
    let second = silent(&world, &mut browser, &hinted).await;
    check_tokens(&world, &second, Some(NONCE)).await;
    assert_same_login(&first, &second);
}

/// It reaches the provider, which is where somebody signs in.
#[actix_web::test]
async fn login_hint() {
    let world = world().await;
    let login = request("openid").with("login_hint", "buffy@suite.example");
    happy(&world, &login).await;
    let asked = world.oidc.control().last_authorize_request();
    let asked = asked.expect("a request");
    assert_eq!(asked.param("login_hint"), Some("buffy@suite.example"));
}

#[actix_web::test]
async fn ui_locales() {
    check_succeeds_with("ui_locales", "se").await;
}

#[actix_web::test]
async fn claims_locales() {
    check_succeeds_with("claims_locales", "se").await;
}

/// Values that nobody knows here are wishes (Core 3.1.2.1), and the ID token says what holds.
#[actix_web::test]
async fn ensure_request_with_acr_values_succeeds() {
    let tokens = check_succeeds_with("acr_values", "1 2").await;
    assert_eq!(tokens.id()["acr"], "urn:countersign:mfa");
}

/// Redeems a code, waits, and tries the code again.
async fn check_reuse(wait: i64) {
    let world = world().await;
    let page = world.sign_in(&mut Browser::new(), &request("openid")).await;
    let code = page.code().sent_with("code").expect("a code");
    let gallery = ("gallery", BrokerSetup::SECRET);
    let first = by_basic(&world, gallery, &code_form(&code)).await;
    assert_eq!(first.status, 200, "{}", first.body);
    user_info(&world, &first).await;
    world.broker.clock.advance(wait);
    let second = by_basic(&world, gallery, &code_form(&code)).await;
    assert_eq!(
        (second.status, &second.body["error"]),
        (400, &json!("invalid_grant"))
    );
    // RFC 6749 4.1.2: what the code bought should be revoked.
    let page = wire::user_info(&world.broker.issuer, first.text("access_token")).await;
    assert_eq!(page.status, 401, "{}", page.body);
}

#[actix_web::test]
async fn codereuse() {
    check_reuse(0).await;
}

#[actix_web::test]
async fn codereuse_30seconds() {
    check_reuse(30).await;
}

/// A page for the person, and nothing is sent anywhere.
#[actix_web::test]
async fn ensure_registered_redirect_uri() {
    let world = world().await;
    let elsewhere = format!("{}/elsewhere", BrokerSetup::REDIRECT_URI);
    let login = request("openid").with("redirect_uri", &elsewhere);
    let page = Browser::new().get(&world.authorize_url(&login)).await;
    assert_eq!((page.status, page.location.as_ref()), (400, None));
    assert_eq!(page.reason_code(), Some("redirect-uri-not-registered"));
}

#[actix_web::test]
async fn ensure_post_request_succeeds() {
    let world = world().await;
    let login = request("openid");
    let mut url = world.authorize_url(&login);
    let form: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    url.set_query(None);
    let mut browser = Browser::new();
    let page = browser.post(&url, &form).await;
    let outcome = world.go_on(&mut browser, page, &login).await;
    let tokens = finished(&world, outcome).await;
    check_tokens(&world, &tokens, Some(NONCE)).await;
}

#[actix_web::test]
async fn server_client_secret_post() {
    let world = world().await;
    let page = world.sign_in(&mut Browser::new(), &request("openid")).await;
    let code = page.code().sent_with("code").expect("a code");
    let tokens = world
        .redeem_with(&[("code", &code), ("code_verifier", "")])
        .await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    check_tokens(&world, &tokens, Some(NONCE)).await;
}

#[actix_web::test]
async fn request_uri_unsigned_supported_correctly_or_rejected_as_unsupported() {
    let login = request("openid").with("request_uri", "https://suite.example/requests/1#abc");
    check_comes_back_with(&login, "request_uri_not_supported").await;
}

#[actix_web::test]
async fn unsigned_request_object_supported_correctly_or_rejected_as_unsupported() {
    let login = request("openid").with("request", &unsigned(&json!({"scope": "openid"})));
    check_comes_back_with(&login, "request_not_supported").await;
}

/// A request object with `alg: none` (Core 6.1).
fn unsigned(claims: &Value) -> String {
    use base64::Engine;
    let part =
        |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&json!({"alg": "none"})), part(claims))
}

/// The parameter is not served (`claims_parameter_supported`) and does no harm: the suite warns that the name is
/// missing, which comes with the scope `profile` alone.
#[actix_web::test]
async fn claims_essential() {
    let claims = json!({"userinfo": {"name": {"essential": true}}});
    let world = world().await;
    let tokens = happy(
        &world,
        &request("openid").with("claims", &claims.to_string()),
    )
    .await;
    check_tokens(&world, &tokens, Some(NONCE)).await;
    let person = user_info(&world, &tokens).await;
    assert_eq!((person.get("name"), tokens.id().get("name")), (None, None));
}

/// The object's redirect URI is not registered: nothing must go there.
#[actix_web::test]
async fn ensure_request_object_with_redirect_uri() {
    let object = unsigned(&json!({"redirect_uri": "https://suite.example/elsewhere"}));
    let login = request("openid").with("request", &object);
    check_comes_back_with(&login, "request_not_supported").await;
}

#[actix_web::test]
async fn refresh_token() {
    let world = world().await;
    let first = happy(&world, &request("openid")).await;
    let form = |token: &str| {
        vec![
            ("grant_type", "refresh_token".to_owned()),
            ("refresh_token", token.to_owned()),
        ]
    };
    // Another client's hands, first: it must do no harm either.
    let stolen = form(first.text("refresh_token"));
    let second = by_basic(&world, ("second", SECOND_SECRET), &stolen).await;
    assert_eq!(
        (second.status, &second.body["error"]),
        (400, &json!("invalid_grant"))
    );
    world.broker.clock.advance(2);
    let gallery = ("gallery", BrokerSetup::SECRET);
    let again = by_basic(&world, gallery, &form(first.text("refresh_token"))).await;
    assert_eq!(again.status, 200, "{}", again.body);
    assert_ne!(again.text("access_token"), first.text("access_token"));
    assert_ne!(again.text("refresh_token"), first.text("refresh_token"));
    // Core 12.2: the same person, client and login; issued anew, and no nonce but the same.
    check_tokens(&world, &again, again.id()["nonce"].as_str()).await;
    let (before, after) = (first.id(), again.id());
    for same in ["iss", "sub", "aud", "auth_time", "azp", "acr", "amr"] {
        assert_eq!(before.get(same), after.get(same), "{same}");
    }
    assert!(after["iat"].as_i64() > before["iat"].as_i64());
    assert!(after.get("nonce").is_none_or(|nonce| nonce == NONCE));
    user_info(&world, &again).await;
}

#[actix_web::test]
async fn ensure_request_with_valid_pkce_succeeds() {
    let world = world().await;
    let login = Login::new("oidc", "ann-mfa").with("scope", "openid");
    let page = world.sign_in(&mut Browser::new(), &login).await.code();
    let code = page.sent_with("code").expect("a code");
    let wrong = [("code", code.as_str()), ("code_verifier", &"x".repeat(43))];
    assert_eq!(
        world.redeem_with(&wrong).await.status,
        400,
        "the challenge is held to"
    );
    let page = world.sign_in(&mut Browser::new(), &login).await.code();
    let tokens = world.redeem(&page).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    check_tokens(&world, &tokens, Some(NONCE)).await;
}
