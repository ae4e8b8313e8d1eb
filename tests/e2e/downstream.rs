//! Clients of other makers, unmodified: they find the broker by its issuer, send people to it,
//! and verify what they get with their own code.

use countersign_core::ClientId;
use countersign_dev_idp::{Client as IdpClient, DevIdp, Signing};
use countersign_server::SigningAlgorithm::{self, EdDsa, Es256, Rs256};
use countersign_tests::peers::{Authentication, Library, Registration, RelyingParty};
use countersign_tests::{BrokerSetup, Browser, Login, Outcome, World};
use serde_json::{Value, json};
use url::Url;

/// One client for each algorithm of ID tokens and each way to authenticate.
const REGISTRATIONS: [Registration; 3] = [
    registration("site-rs256", Authentication::Basic, Rs256),
    registration("site-es256", Authentication::Post, Es256),
    registration("tool-eddsa", Authentication::Nothing, EdDsa),
];

const fn registration(
    id: &'static str,
    authentication: Authentication,
    algorithm: SigningAlgorithm,
) -> Registration {
    Registration {
        id,
        authentication,
        algorithm,
    }
}

async fn world() -> World {
    World::with(|setup| REGISTRATIONS.into_iter().for_each(|it| register(setup, it))).await
}

fn register(setup: &mut BrokerSetup, registration: Registration) {
    let id = ClientId::new(registration.id).expect("a client id");
    setup.clients.insert(id, registration.client());
    let tier = format!("[client.{}]\ntier = \"manage\"\n", registration.id);
    setup.policy.push_str(&tier);
}

/// Sends a person from the client through the broker, and gives the address they come back with.
async fn visit(
    world: &World,
    client: &mut RelyingParty,
    parameters: &Value,
    account: &'static str,
) -> Url {
    let mut browser = Browser::new();
    let login = Login::new("oidc", account);
    let page = browser.get(&client.begin(parameters)).await;
    let mut outcome = world.go_on(&mut browser, page, &login).await;
    if let Outcome::StepUp(page) = outcome {
        outcome = world.step_up(&mut browser, &page, &login).await;
    }
    let page = outcome.page();
    let back = page.location.clone();
    let back = back.or_else(|| page.link_to(BrokerSetup::REDIRECT_URI));
    back.unwrap_or_else(|| panic!("no way back from {}", outcome.summary()))
}

async fn check_signs_in(library: Library) {
    let world = world().await;
    for registration in REGISTRATIONS {
        let mut client = RelyingParty::start(library, registration, &world.broker.issuer);
        let callback = visit(&world, &mut client, &json!({"provider": "oidc"}), "ann-mfa").await;
        let answer = client.finish(&callback);
        let claims = &answer["claims"];
        assert_eq!(
            claims["iss"],
            json!(world.broker.issuer),
            "{registration:?}: {answer}"
        );
        assert_eq!(claims["aud"], json!(registration.id));
        assert_eq!(claims["acr"], json!("urn:countersign:mfa"));
        assert_eq!(answer["user_info"]["sub"], claims["sub"]);
        assert_eq!(answer["user_info"]["email"], claims["email"]);
    }
}

/// What the client says that the broker answered.
async fn check_is_told(
    library: Library,
    parameters: Value,
    account: &'static str,
    expected: Value,
) {
    let world = world().await;
    let mut client = RelyingParty::start(library, REGISTRATIONS[0], &world.broker.issuer);
    let callback = visit(&world, &mut client, &parameters, account).await;
    assert_eq!(client.finish(&callback), expected);
}

async fn check_hears_of_a_refused_login(library: Library) {
    check_is_told(
        library,
        json!({"provider": "oidc"}),
        "bob-password",
        json!({"error": "access_denied", "description": "mfa-absent"}),
    )
    .await;
}

async fn check_hears_of_an_unmet_request(library: Library) {
    check_is_told(
        library,
        json!({"provider": "oidc", "acr_values": "phr"}),
        "ann-mfa",
        json!({"error": "unmet_authentication_requirements", "description": "acr-not-met"}),
    )
    .await;
}

/// A code is good once; the second time the client hears of it.
async fn check_cannot_use_a_code_twice(library: Library) {
    let world = world().await;
    let mut client = RelyingParty::start(library, REGISTRATIONS[0], &world.broker.issuer);
    let callback = visit(&world, &mut client, &json!({"provider": "oidc"}), "ann-mfa").await;
    let code = callback.query_pairs().find(|(name, _)| name == "code");
    let code = code.expect("a code").1.into_owned();
    assert!(client.finish(&callback)["claims"].is_object());
    let again = visit(&world, &mut client, &json!({"provider": "oidc"}), "ann-mfa").await;
    let answer = client.finish(&with_parameter(&again, "code", &code));
    assert_eq!(answer["error"], json!("invalid_grant"), "{answer}");
}

fn with_parameter(url: &Url, name: &str, value: &str) -> Url {
    let mut changed = url.clone();
    changed
        .query_pairs_mut()
        .clear()
        .extend_pairs(url.query_pairs().map(|(known, old)| {
            if known == name {
                (known, value.into())
            } else {
                (known, old)
            }
        }));
    changed
}

#[actix_web::test]
async fn openid_client_signs_people_in_with_each_algorithm_and_authentication() {
    check_signs_in(Library::OpenIdClient).await;
}

#[actix_web::test]
async fn authlib_signs_people_in_with_each_algorithm_and_authentication() {
    check_signs_in(Library::Authlib).await;
}

#[actix_web::test]
async fn openid_client_refreshes_introspects_and_revokes() {
    let world = world().await;
    for registration in &REGISTRATIONS[..2] {
        let issuer = &world.broker.issuer;
        let mut client = RelyingParty::start(Library::OpenIdClient, *registration, issuer);
        let callback = visit(&world, &mut client, &json!({"provider": "oidc"}), "ann-mfa").await;
        let first = client.finish(&callback);
        let answer = client.refresh_and_revoke();
        for claim in ["iss", "sub", "aud", "acr", "amr", "auth_time"] {
            assert_eq!(answer["claims"][claim], first["claims"][claim], "{claim}");
        }
        assert_eq!(answer["before"]["active"], true, "{answer}");
        assert_eq!(answer["before"]["sub"], first["claims"]["sub"], "{answer}");
        assert_eq!(answer["after"], json!({"active": false}));
    }
}

#[actix_web::test]
async fn openid_client_signs_a_device_in() {
    let world = world().await;
    for registration in REGISTRATIONS {
        let issuer = &world.broker.issuer;
        let mut client = RelyingParty::start(Library::OpenIdClient, registration, issuer);
        let mut browser = Browser::new();
        let page = browser.get(&client.begin_on_device()).await;
        let way = page.link_to(&format!("{issuer}/device/continue?provider=oidc"));
        let page = browser.get(&way.expect("a way on")).await;
        let login = Login::new("oidc", "ann-mfa");
        let page = world.go_on(&mut browser, page, &login).await.into_page();
        assert!(
            page.body.contains("Your device is signed in"),
            "{}",
            page.body
        );
        let answer = client.finish_on_device();
        let claims = &answer["claims"];
        assert_eq!(claims["aud"], json!(registration.id), "{answer}");
        assert_eq!(claims["acr"], json!("urn:countersign:mfa"));
        assert_eq!(answer["user_info"]["sub"], claims["sub"]);
    }
}

#[actix_web::test]
async fn openid_client_hears_why_a_login_was_refused() {
    check_hears_of_a_refused_login(Library::OpenIdClient).await;
    check_hears_of_an_unmet_request(Library::OpenIdClient).await;
}

#[actix_web::test]
async fn authlib_hears_why_a_login_was_refused() {
    check_hears_of_a_refused_login(Library::Authlib).await;
    check_hears_of_an_unmet_request(Library::Authlib).await;
}

#[actix_web::test]
async fn a_code_is_good_once_for_either_client() {
    check_cannot_use_a_code_twice(Library::OpenIdClient).await;
    check_cannot_use_a_code_twice(Library::Authlib).await;
}

/// What the tests above rest on: these clients do verify what they are given. Here a stand-in for
/// a provider is their issuer, which can sign with a key that it does not publish.
async fn check_refuses_a_foreign_signature(library: Library) {
    let issuer = DevIdp::oidc("127.0.0.2:0").await.expect("a stand-in");
    let registration = REGISTRATIONS[0];
    let mut client = RelyingParty::start(library, registration, issuer.base_url());
    for (signing, is_accepted) in [(Signing::Proper, true), (Signing::ForeignKey, false)] {
        issuer.control().set(|behaviour| {
            behaviour.clients.push(IdpClient {
                id: registration.id.into(),
                secret: BrokerSetup::SECRET.into(),
                ..IdpClient::development()
            });
            behaviour.back.signing = signing;
        });
        let request = client.begin(&json!({"account": "ann-mfa"}));
        let page = Browser::new().get(&request).await;
        let answer = client.finish(&page.location.expect("a code"));
        assert_eq!(answer["claims"].is_object(), is_accepted, "{answer}");
    }
}

#[actix_web::test]
async fn either_client_refuses_a_token_that_another_key_signed() {
    check_refuses_a_foreign_signature(Library::OpenIdClient).await;
    check_refuses_a_foreign_signature(Library::Authlib).await;
}

/// RFC 9207 2.4: the broker says that it sends `iss`, so a client that knows the RFC insists on it.
#[actix_web::test]
async fn openid_client_refuses_an_answer_that_names_another_issuer() {
    let world = world().await;
    let mut client = RelyingParty::start(
        Library::OpenIdClient,
        REGISTRATIONS[0],
        &world.broker.issuer,
    );
    let callback = visit(&world, &mut client, &json!({"provider": "oidc"}), "ann-mfa").await;
    let forged = with_parameter(&callback, "iss", "https://evil.example");
    let answer = client.finish(&forged);
    assert_eq!(answer["claims"], Value::Null, "{answer}");
    assert!(client.finish(&callback)["claims"].is_object());
}
