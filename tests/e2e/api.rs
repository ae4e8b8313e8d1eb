//! `/api/v1`, as a registry's own services call it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_core::{AccountId, ClientId};
use countersign_server::{Client, ClientAuthentication, SecretDigest};
use countersign_store::{Store, VouchedEmail};
use countersign_tests::{BrokerSetup, Browser, Login, Page, World, wire};
use serde_json::Value;

const ADDRESS: &str = "ann@registry.example";
const BODY: &str = r#"{"email": "ann@registry.example"}"#;
const SILENT_SECRET: &str = "silent-secret-of-the-tests";

/// A world in which `gallery` vouches; `silent` has a secret too and does not; `app` is public.
async fn world() -> World {
    World::with(|setup| {
        setup.gallery().may_vouch = true;
        let silent = Client {
            authentication: ClientAuthentication::Secret(SecretDigest::of(SILENT_SECRET)),
            may_vouch: false,
            ..setup.gallery().clone()
        };
        let app = Client {
            authentication: ClientAuthentication::Public,
            ..silent.clone()
        };
        for (name, client) in [("silent", silent), ("app", app)] {
            let id = ClientId::new(name).expect("a client id");
            setup.clients.insert(id, client);
            let tier = format!("[client.{name}]\ntier = \"manage\"\n");
            setup.policy.push_str(&tier);
        }
    })
    .await
}

/// Somebody signs in: their account, and the path at which their address is vouched for.
async fn somebody(world: &World) -> (AccountId, String) {
    let login = Login::new("oidc", "ann-mfa");
    let outcome = world.sign_in(&mut Browser::new(), &login).await;
    let tokens = world.redeem(&outcome.code()).await;
    let account = tokens.id()["sub"].as_str().expect("a subject").to_owned();
    let path = format!("/api/v1/accounts/{account}/verified-email");
    (AccountId::new(account).expect("an account id"), path)
}

fn basic(client: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{client}:{secret}")))
}

fn gallery() -> String {
    basic("gallery", BrokerSetup::SECRET)
}

async fn call(world: &World, method: &str, path: &str, as_whom: &str, body: &str) -> Page {
    let headers = [
        ("authorization", as_whom),
        ("content-type", "application/json"),
    ];
    wire::send(method, &world.broker.issuer, path, &headers, body).await
}

async fn vouched(world: &World, account: &AccountId) -> Option<VouchedEmail> {
    let found = world.broker.look().account(account).await.expect("a store");
    found.expect("an account").0.vouched_email
}

/// An error of the API: its status, its code, and the shape that all have.
#[track_caller]
fn assert_refused(page: &Page, status: u16, code: &str) {
    assert_eq!(page.status, status, "{}", page.body);
    let body: Value = serde_json::from_str(&page.body).expect("JSON");
    assert_eq!(body["code"], code);
    for member in ["message", "request_id"] {
        assert!(
            body[member].as_str().is_some_and(|text| !text.is_empty()),
            "{body}"
        );
    }
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(3));
    assert_eq!(page.headers["cache-control"], "no-store");
    assert_eq!(page.headers["content-type"], "application/json");
    assert!(!page.body.contains(ADDRESS), "{}", page.body);
}

#[actix_web::test]
async fn a_registry_vouches_for_an_address_and_takes_it_back() {
    let world = world().await;
    let (account, path) = somebody(&world).await;
    assert_eq!(vouched(&world, &account).await, None);
    for _ in 0..2 {
        let page = call(&world, "PUT", &path, &gallery(), BODY).await;
        assert_eq!((page.status, page.body.as_str()), (204, ""));
        assert_eq!(page.headers["cache-control"], "no-store");
    }
    let first = vouched(&world, &account).await.expect("an address");
    assert_eq!(first.address.as_str(), ADDRESS);
    let other = r#"{"email": "ann@other.example"}"#;
    assert_eq!(
        call(&world, "PUT", &path, &gallery(), other).await.status,
        204
    );
    let second = vouched(&world, &account).await.expect("an address");
    assert_eq!(second.address.as_str(), "ann@other.example");
    for _ in 0..2 {
        let page = call(&world, "DELETE", &path, &gallery(), "").await;
        assert_eq!((page.status, page.body.as_str()), (204, ""));
    }
    assert_eq!(vouched(&world, &account).await, None);
}

#[actix_web::test]
async fn what_was_vouched_for_outlasts_the_next_login() {
    let world = world().await;
    let (account, path) = somebody(&world).await;
    call(&world, "PUT", &path, &gallery(), BODY).await;
    let before = vouched(&world, &account).await;
    assert!(before.is_some());
    assert_eq!(somebody(&world).await.0, account);
    assert_eq!(vouched(&world, &account).await, before);
}

#[actix_web::test]
async fn only_a_client_with_its_secret_and_the_right_to_it_is_believed() {
    let world = world().await;
    let (account, path) = somebody(&world).await;
    let bearer = format!("Bearer {}", BrokerSetup::SECRET);
    for (as_whom, status, code) in [
        (basic("gallery", "wrong"), 401, "client-not-authenticated"),
        (basic("gallery", ""), 401, "client-not-authenticated"),
        (
            basic("nobody", BrokerSetup::SECRET),
            401,
            "client-not-authenticated",
        ),
        (
            basic("silent", BrokerSetup::SECRET),
            401,
            "client-not-authenticated",
        ),
        (basic("app", ""), 401, "client-not-authenticated"),
        (basic("app", "x"), 401, "client-not-authenticated"),
        (bearer, 401, "client-not-authenticated"),
        ("Basic !".to_owned(), 401, "client-not-authenticated"),
        (basic("silent", SILENT_SECRET), 403, "client-not-allowed"),
    ] {
        for (method, body) in [("PUT", BODY), ("DELETE", "")] {
            let page = call(&world, method, &path, &as_whom, body).await;
            assert_refused(&page, status, code);
            let scheme = page.header("www-authenticate");
            let expected = (status == 401).then_some("Basic realm=\"countersign\"");
            assert_eq!(scheme, expected, "{as_whom}");
        }
    }
    let issuer = &world.broker.issuer;
    let form = format!("client_id=gallery&client_secret={}", BrokerSetup::SECRET);
    for (headers, body) in [
        (vec![], BODY),
        (vec![], form.as_str()),
        (vec![("authorization", gallery()); 2], BODY),
    ] {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let page = wire::send("PUT", issuer, &path, &headers, body).await;
        assert_refused(&page, 401, "client-not-authenticated");
    }
    assert_eq!(vouched(&world, &account).await, None);
}

#[actix_web::test]
async fn what_is_no_account_no_address_and_no_endpoint_is_told_in_json() {
    let world = world().await;
    let (account, path) = somebody(&world).await;
    for unknown in [
        "acct_0",
        "acct_",
        "ann",
        "..",
        "acct_%00",
        "acct_1%2f..",
        "%ff",
    ] {
        let path = format!("/api/v1/accounts/{unknown}/verified-email");
        for (method, body) in [("PUT", BODY), ("DELETE", "")] {
            let page = call(&world, method, &path, &gallery(), body).await;
            let body: Value = serde_json::from_str(&page.body).unwrap_or_default();
            let code = body["code"].as_str().unwrap_or_default();
            assert!(
                ["unknown-account", "not-found"].contains(&code),
                "{path}: {}",
                page.body
            );
            assert_eq!(page.status, 404, "{path}");
        }
    }
    for body in [
        "",
        "x",
        "{}",
        "{\"email\":7}",
        "{\"email\":\"ann\"}",
        "[",
        "\0",
        "email=a@b",
    ] {
        let page = call(&world, "PUT", &path, &gallery(), body).await;
        assert_refused(&page, 400, "invalid-request");
    }
    let long = format!("{{\"email\": \"{}@b\"}}", "a".repeat(10_000));
    for body in [&long, &"[".repeat(1_000_000)] {
        let page = call(&world, "PUT", &path, &gallery(), body).await;
        assert_refused(&page, 413, "request-too-large");
    }
    for method in ["GET", "POST", "PATCH"] {
        let page = call(&world, method, &path, &gallery(), "").await;
        assert_refused(&page, 405, "method-not-allowed");
        assert_eq!(page.headers["allow"], "PUT, DELETE");
    }
    for path in ["/api/v1", "/api/v1/", "/api/v1/account", "/api/v1/nothing"] {
        let page = call(&world, "GET", path, &gallery(), "").await;
        assert_refused(&page, 404, "not-found");
    }
    assert_eq!(vouched(&world, &account).await, None);
}

#[actix_web::test]
async fn of_many_words_at_once_all_are_heard_and_one_is_the_last() {
    let world = world().await;
    let (account, path) = somebody(&world).await;
    let calls = (0..40).map(|n| {
        let (world, path) = (&world, &path);
        async move {
            let body = format!("{{\"email\": \"ann+{n}@registry.example\"}}");
            match n % 4 {
                0 => call(world, "DELETE", path, &gallery(), "").await.status,
                1 => {
                    somebody(world).await;
                    204
                }
                _ => call(world, "PUT", path, &gallery(), &body).await.status,
            }
        }
    });
    let statuses = futures_util::future::join_all(calls).await;
    assert_eq!(statuses, [204; 40]);
    assert_eq!(
        call(&world, "PUT", &path, &gallery(), BODY).await.status,
        204
    );
    let kept = vouched(&world, &account).await.expect("an address");
    assert_eq!(kept.address.as_str(), ADDRESS);
}
