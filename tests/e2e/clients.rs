//! Clients that hold a key: who they are, what they may have, and that nobody else can use it.

mod assertion;
mod device;
pub(crate) mod dpop;
mod exchange;
mod push;
mod service;

use std::sync::Arc;

use countersign_core::ClientId;
use countersign_providers::PublishedKeys;
use countersign_server::{Client, ClientAuthentication, Clock};
use countersign_tests::{BrokerSetup, Browser, Login, Page, Signer, World, wire};
use serde_json::{Value, json};
use url::form_urlencoded;

pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mBJL1Ia4lOTjFWOEjhYDk3jJMOYtTk";
pub(crate) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A client that authenticates by this key.
pub(crate) fn keyed(signer: &Signer) -> Client {
    let keys = PublishedKeys::from_json(&signer.key_set().to_string()).expect("keys");
    let authentication = ClientAuthentication::PrivateKey(Arc::new(keys));
    let uris = vec![BrokerSetup::REDIRECT_URI.into()];
    Client::new("Keyed", uris, authentication, BrokerSetup::AUDIENCE)
}

/// Adds a client that people may sign in to.
pub(crate) fn add(setup: &mut BrokerSetup, id: &str, client: Client) {
    let tier = format!("\n[client.{id}]\ntier = \"manage\"\n");
    setup.policy.push_str(&tier);
    let id = ClientId::new(id).expect("a client id");
    setup.clients.insert(id, client);
}

pub(crate) fn now(world: &World) -> i64 {
    world.broker.clock.now().as_second()
}

/// What nobody has used yet.
fn fresh() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("id-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The claims of a good assertion of this client.
pub(crate) fn assertion_claims(world: &World, client: &str) -> Value {
    json!({
        "iss": client, "sub": client, "aud": world.broker.issuer, "jti": fresh(),
        "iat": now(world), "exp": now(world) + 60,
    })
}

/// A good assertion of this client.
fn assertion(world: &World, client: &str, signer: &Signer) -> String {
    let header = json!({"kid": signer.thumbprint()});
    signer.sign(&header, &assertion_claims(world, client))
}

/// Posts a form; a parameter without a value is left out.
pub(crate) async fn post(
    world: &World,
    path: &str,
    headers: &[(&str, &str)],
    form: &[(&str, &str)],
) -> Page {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(form.iter().filter(|(_, value)| !value.is_empty()));
    let body = body.finish();
    wire::send("POST", &world.broker.issuer, path, headers, &body).await
}

pub(crate) fn read(page: &Page) -> Value {
    serde_json::from_str(&page.body).unwrap_or_else(|_| panic!("no JSON: {}", page.body))
}

#[track_caller]
pub(crate) fn assert_refused(page: &Page, (status, error): (u16, &str), why: &str) {
    let told = read(page);
    let found = (page.status, told["error"].as_str().unwrap_or_default());
    assert_eq!(found, (status, error), "{why}: {}", page.body);
    for member in ["access_token", "refresh_token", "id_token", "request_uri"] {
        assert_eq!(told.get(member), None, "{why}");
    }
}

/// Somebody signs in to this client; the code that it gets.
async fn code(world: &World, client: &str) -> String {
    let login = Login::new("oidc", "ann-mfa").with("client_id", client);
    let page = world.sign_in(&mut Browser::new(), &login).await.code();
    page.sent_with("code").expect("a code")
}
