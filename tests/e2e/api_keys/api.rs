//! `/api/v1/api-keys`, as persons and services call it.

use countersign_server::api_key::KeyText;
use countersign_server::{
    Client, ClientAuthentication, GrantType, Resource, SecretDigest, SigningAlgorithm,
};
use countersign_store::{RegistryAccountName, RegistryRow, import};
use countersign_tests::{BrokerSetup, Browser, Login, World, wire};
use serde_json::{Value, json};

use super::{publishes, world_with};
use crate::linking::{sub, tokens};

/// With the API, and a service that manages keys.
async fn world() -> World {
    world_with(|setup| {
        let api = format!("{}/api/v1", setup.issuer());
        let algorithm = SigningAlgorithm::Es256;
        setup.resources.insert(api.clone(), Resource { algorithm });
        setup.gallery().other_resources.insert(api.clone());
        let secret = ClientAuthentication::Secret(SecretDigest::of(BrokerSetup::SECRET));
        let mut client = Client::new("keeper", vec![], secret, BrokerSetup::AUDIENCE);
        client.other_resources.insert(api);
        client.grants = [GrantType::ClientCredentials].into();
        let id = countersign_core::ClientId::new("keeper").expect("an id");
        setup.clients.insert(id, client);
        setup
            .policy
            .push_str("\n[client.keeper]\ntier = \"browse\"\nown_scopes = [\"api-keys:manage\"]\n");
    })
    .await
}

async fn person(world: &World, login: Login) -> String {
    let login = login
        .with("scope", "openid api-keys:write")
        .with("resource", &format!("{}/api/v1", world.broker.issuer));
    let tokens = tokens(world, &login).await;
    tokens.text("access_token").to_owned()
}

async fn keeper(world: &World) -> String {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "keeper"),
        ("client_secret", BrokerSetup::SECRET),
        ("resource", &format!("{}/api/v1", world.broker.issuer)),
    ];
    let form = form.map(|(n, v)| (n.to_owned(), v.to_owned()));
    let page = Browser::new()
        .post(&world.broker.endpoint("/token"), &form)
        .await;
    let said: Value = serde_json::from_str(&page.body).expect("JSON");
    said["access_token"].as_str().expect("a token").to_owned()
}

async fn call(world: &World, method: &str, path: &str, token: &str, body: &str) -> (u16, Value) {
    let authorization = format!("Bearer {token}");
    let headers = [
        ("content-type", "application/json"),
        ("authorization", authorization.as_str()),
    ];
    let path = format!("/api/v1{path}");
    let page = wire::send(method, &world.broker.issuer, &path, &headers, body).await;
    (
        page.status,
        serde_json::from_str(&page.body).unwrap_or(Value::Null),
    )
}

fn asked() -> Value {
    json!({"name": "robot", "client": "gallery", "scopes": ["packages:publish"], "packages": ["left-pad"], "days": 30})
}

#[actix_web::test]
async fn a_person_makes_lists_and_revokes_their_own_and_nobody_elses() {
    let world = world().await;
    let ann = person(&world, Login::new("oidc", "ann-mfa")).await;
    let bob = person(&world, Login::new("github", "ann-mfa")).await;
    let (status, made) = call(&world, "POST", "/api-keys", &ann, &asked().to_string()).await;
    assert_eq!(status, 201, "{made}");
    let key = made["key"].as_str().expect("a key");
    assert_eq!(publishes(&world, key, "left-pad").await, "yes");
    let (_, listed) = call(&world, "GET", "/api-keys", &ann, "").await;
    assert_eq!(listed["api_keys"].as_array().map(Vec::len), Some(1));
    assert_eq!(listed["api_keys"][0]["made_by"], "api");
    assert!(!listed.to_string().contains(key));
    let (_, of_bob) = call(&world, "GET", "/api-keys", &bob, "").await;
    assert_eq!(of_bob["api_keys"], json!([]));
    let path = format!(
        "/api-keys/{}",
        made["api_key"]["id"].as_str().expect("an id")
    );
    let (status, _) = call(&world, "DELETE", &path, &bob, "").await;
    assert_eq!(status, 404);
    assert_eq!(publishes(&world, key, "left-pad").await, "yes");
    let (status, _) = call(&world, "DELETE", &path, &ann, "").await;
    assert_eq!(status, 204);
    assert_eq!(publishes(&world, key, "left-pad").await, "api-key-ended");
}

#[actix_web::test]
async fn what_can_not_be_a_key_is_refused() {
    let world = world().await;
    let ann = person(&world, Login::new("oidc", "ann-mfa")).await;
    for (member, value) in [
        ("name", json!("")),
        ("name", json!("two\nlines")),
        ("client", json!("countersign")),
        ("scopes", json!([])),
        ("scopes", json!(["openid"])),
        ("scopes", json!(["operator:write"])),
        ("packages", json!(["*"])),
        (
            "packages",
            json!((0..51).map(|n| format!("p{n}")).collect::<Vec<_>>()),
        ),
        ("days", json!(-1)),
        ("digest", json!("sha256:")),
    ] {
        let mut body = asked();
        body[member] = value.clone();
        let (status, told) = call(&world, "POST", "/api-keys", &ann, &body.to_string()).await;
        assert_eq!(status, 400, "{member}={value}: {told}");
    }
    // The service that manages keys has none of its own.
    let keeper = keeper(&world).await;
    let (status, _) = call(&world, "POST", "/api-keys", &keeper, &asked().to_string()).await;
    assert_eq!(status, 403);
}

#[actix_web::test]
async fn keys_of_the_registrys_own_are_imported_by_digest_and_are_good_for_what_needs_no_login() {
    let world = world().await;
    let keeper = keeper(&world).await;
    let ann = Login::new("oidc", "ann-mfa");
    let mine = sub(&tokens(&world, &ann).await);
    let id = countersign_core::AccountId::new(&mine).expect("an id");
    let store = world.broker.store();
    let found = store
        .account(&id)
        .await
        .expect("a store")
        .expect("an account");
    let now = countersign_server::Clock::now(&world.broker.clock);
    let row = RegistryRow {
        name: RegistryAccountName::new("ann").expect("a name"),
        registered_at: "2019-03-04T00:00:00Z".parse().expect("a time"),
        identity: Some(found.0.identity),
        verified_email: None,
    };
    import(store.as_ref(), &row, id, now)
        .await
        .expect("an import");

    let digest = |text: &str| String::from(KeyText::parse(text).expect("a key").digest());
    let imported = |text: &str, account: &str| {
        json!({"digest": digest(text), "account": account, "made_at": "2020-01-02T03:04:05Z",
               "name": "old", "client": "gallery", "scopes": ["packages:publish", "packages:manage"]})
    };
    let (old, nobodys) = ("npm_0123456789abcdef", "npm_fedcba9876543210");
    let body =
        json!({"api_keys": [imported(old, "ann"), imported(nobodys, "unclaimed")]}).to_string();
    let (status, told) = call(&world, "POST", "/api-keys/imports", &keeper, &body).await;
    assert_eq!((status, &told["imported"]), (200, &json!(2)), "{told}");
    // Nothing is known of how it was made: what needs MFA, and is not let go of, it does not get.
    assert_eq!(publishes(&world, old, "left-pad").await, "mfa-unknown");
    assert_eq!(publishes(&world, nobodys, "left-pad").await, "unknown");
    let text = &world.broker.policy_text;
    let calendar =
        "\n[calendar]\nnew_accounts_from = 2030-01-01\nbefore_due = \"remind\"\nratchet = false\n";
    world.broker.enforce(&format!("{text}{calendar}"));
    assert_eq!(publishes(&world, old, "left-pad").await, "yes");
    // Importing again changes nothing, and brings nothing back that was revoked.
    let (_, listed) = call(&world, "GET", "/api-keys?limit=10", &keeper, "").await;
    let keys = listed["api_keys"].as_array().expect("keys").clone();
    let hers = keys
        .iter()
        .find(|key| key["owner"] == "registry-account:ann")
        .expect("hers");
    assert_eq!(
        (&hers["made_by"], &hers["level"]),
        (&json!("imported"), &Value::Null)
    );
    let path = format!("/api-keys/{}", hers["id"].as_str().expect("an id"));
    assert_eq!(call(&world, "DELETE", &path, &keeper, "").await.0, 204);
    let (_, told) = call(&world, "POST", "/api-keys/imports", &keeper, &body).await;
    assert_eq!(told["imported"], 0);
    assert_eq!(publishes(&world, old, "left-pad").await, "api-key-ended");
}
