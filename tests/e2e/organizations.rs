//! Organisations: what a registry tells of them, whose people are theirs, and what tokens say of that.

mod api;
mod connect;
mod ended;
mod exceptions;
mod github;
mod issuers;
mod lists;
mod membership;
mod roles;

use countersign_core::ClientId;
use countersign_core::calendar::day_of;
use countersign_server::{
    Client, ClientAuthentication, Clock, GrantType, Resource, SecretDigest, SigningAlgorithm,
};
use countersign_tests::{BrokerSetup, Browser, Login, Page, TestBroker, Tokens, World, wire};
use jiff::ToSpan;
use serde_json::Value;

const SECRET: &str = "secret-of-a-service";
/// The tenants of the stand-in.
const CONTOSO: &str = countersign_dev_idp::entra::CONTOSO;

/// A world with the services `registry`, which may all, `reader`, and `indexer`, which may nothing here; `gallery`
/// may ask for tokens for the API.
async fn world() -> World {
    World::with(services).await
}

fn services(setup: &mut BrokerSetup) {
    let api = format!("{}/api/v1", setup.issuer());
    let algorithm = SigningAlgorithm::Es256;
    setup.resources.insert(api.clone(), Resource { algorithm });
    setup.gallery().other_resources.insert(api.clone());
    setup.gallery().grants.insert(GrantType::RefreshToken);
    setup.policy = setup.policy.replace(
        "scopes = [\"packages:manage\"]",
        "scopes = [\"packages:manage\", \"organizations:write\", \"organizations:read\"]",
    );
    setup.policy = setup.policy.replace(
        "scopes = [\"tenants:write\"]",
        "scopes = [\"tenants:write\", \"exceptions:request\", \"exceptions:grant\", \"accounts:erase\", \"operator:read\", \"operator:write\"]",
    );
    for (name, own) in [
        (
            "registry",
            "\"organizations:write\", \"tenants:write\", \"exceptions:request\", \"exceptions:grant\", \"accounts:erase\", \"operator:read\", \"operator:write\"",
        ),
        ("reader", "\"organizations:read\""),
        ("indexer", "\"packages:read\""),
    ] {
        let secret = ClientAuthentication::Secret(SecretDigest::of(SECRET));
        let mut client = Client::new(name, vec![], secret, BrokerSetup::AUDIENCE);
        client.other_resources.insert(api.clone());
        client.grants = [GrantType::ClientCredentials].into();
        let id = ClientId::new(name).expect("a client id");
        setup.clients.insert(id, client);
        let rule = format!("[client.{name}]\ntier = \"browse\"\nown_scopes = [{own}]\n");
        setup.policy.push_str(&rule);
    }
}

fn api(broker: &TestBroker) -> String {
    format!("{}/api/v1", broker.issuer)
}

/// A token of a service, as itself.
async fn token_of(world: &World, client: &str, resource: &str) -> String {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client),
        ("client_secret", SECRET),
        ("resource", resource),
    ];
    let form: Vec<(String, String)> = form.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
    let page = Browser::new()
        .post(&world.broker.endpoint("/token"), &form)
        .await;
    assert_eq!(page.status, 200, "{}", page.body);
    let body: Value = serde_json::from_str(&page.body).expect("JSON");
    body["access_token"].as_str().expect("a token").to_owned()
}

/// A call of the API with a token.
async fn call(world: &World, method: &str, path: &str, token: &str, body: &str) -> Page {
    let authorization = format!("Bearer {token}");
    let mut headers = vec![("content-type", "application/json")];
    if !token.is_empty() {
        headers.push(("authorization", &authorization));
    }
    let path = format!("/api/v1{path}");
    wire::send(method, &world.broker.issuer, &path, &headers, body).await
}

/// What the registry's own service does.
struct Registry<'a> {
    world: &'a World,
    token: String,
}

impl<'a> Registry<'a> {
    async fn of(world: &'a World) -> Self {
        let token = token_of(world, "registry", &api(&world.broker)).await;
        Self { world, token }
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let page = call(self.world, method, path, &self.token, body).await;
        (page.status, read(&page))
    }

    async fn tell(&self, id: &str, body: &str) {
        let (status, told) = self
            .call("PUT", &format!("/organizations/{id}"), body)
            .await;
        assert!(matches!(status, 200 | 201), "{told}");
    }

    /// Connects an organisation by this service's word; answers with its standing.
    async fn connect(&self, id: &str, source: &str, terms: &str) -> String {
        let path = format!("/organizations/{id}/connections/{source}");
        let (status, told) = self.call("PUT", &path, terms).await;
        assert_eq!(status, 200, "{told}");
        told["standing"].as_str().expect("a standing").to_owned()
    }

    async fn disconnect(&self, id: &str, source: &str) {
        let path = format!("/organizations/{id}/connections/{source}");
        let (status, told) = self.call("DELETE", &path, "").await;
        assert_eq!(status, 204, "{told}");
    }
}

const TOLD_BY_PHONE: &str = r#"{"reason": "told by phone"}"#;

/// That many days from now, as the broker counts them.
fn in_days(world: &World, days: i32) -> String {
    let today = day_of(world.broker.clock.now());
    today.saturating_add(days.days()).to_string()
}

fn tenant(id: &str) -> String {
    format!("tenant:{id}")
}

fn read(page: &Page) -> Value {
    if page.body.is_empty() {
        return Value::Null;
    }
    serde_json::from_str(&page.body).unwrap_or_else(|_| panic!("no JSON: {}", page.body))
}

/// Somebody signs in with MFA: their tokens.
async fn signed_in(world: &World, login: &Login) -> Tokens {
    let outcome = world.sign_in_with_step_up(&mut Browser::new(), login).await;
    world.redeem(&outcome.code()).await
}
