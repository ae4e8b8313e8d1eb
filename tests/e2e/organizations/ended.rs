//! The end of a connection is told to services that verify tokens themselves.

use std::time::Duration;

use countersign_core::OrganizationId;
use countersign_server::Clock;
use countersign_store::EndKind;
use countersign_tests::{Browser, Following, Login, Tokens, World, payload, wire};
use countersign_verifier::{Error, Silence};
use serde_json::{Value, json};

use super::{CONTOSO, Registry, TOLD_BY_PHONE, signed_in, tenant, world};

/// How long after an end what is issued for the organization is refused too, in seconds.
const MEANWHILE: i64 = 10;

fn ann() -> Login {
    Login::new("entra", "ann-mfa")
}

fn access(tokens: &Tokens) -> &str {
    tokens.text("access_token")
}

/// What is told of organisations.
async fn told(world: &World) -> Vec<Value> {
    let form = [
        ("client_id", "gallery"),
        ("client_secret", countersign_tests::BrokerSetup::SECRET),
    ];
    let form = form.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let address = world.broker.endpoint("/revocations");
    let page = Browser::new().post(&address, &form).await;
    let told = super::read(&page);
    let ends = told["ends"].as_array().expect("ends").iter().cloned();
    let kind = EndKind::Organization.as_str();
    ends.filter(|end| end["kind"] == kind).collect()
}

#[actix_web::test]
async fn a_token_of_before_is_refused_by_who_follows_and_what_follows_a_new_connection_is_good() {
    let world = world().await;
    let replica = world.replica();
    let registry = Registry::of(&world).await;
    registry.tell("contoso", "{}").await;
    let tenant = tenant(CONTOSO);
    let connect = async || registry.connect("contoso", &tenant, TOLD_BY_PHONE).await;
    let following = Following::start(&world.broker.issuer, Silence::Accept).await;

    let elsewhere = signed_in(&world, &Login::new("entra", "fay-fabrikam")).await;
    let unconnected = signed_in(&world, &ann()).await;
    connect().await;
    let stale = signed_in(&world, &ann()).await;
    assert_eq!(following.verdict(access(&stale)).await, Ok(()));
    let path = format!("/api/v1/organizations/contoso/connections/{tenant}");
    let authorization = format!("Bearer {}", registry.token);
    let headers = [("authorization", authorization.as_str())];
    let gone = wire::send("DELETE", &replica.address, &path, &headers, "").await;
    assert_eq!(gone.status, 204, "{}", gone.body);
    let took = following.refuses(access(&stale)).await;
    println!("disconnected at another server: refused after {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    for other in [&elsewhere, &unconnected] {
        assert_eq!(following.verdict(access(other)).await, Ok(()));
    }

    // While the end may still be written down what is issued is refused as well, and no longer.
    connect().await;
    let at_once = signed_in(&world, &ann()).await;
    assert_eq!(
        following.verdict(access(&at_once)).await,
        Err(Error::Revoked)
    );
    world.broker.clock.advance(MEANWHILE + 1);
    let since = signed_in(&world, &ann()).await;
    let named = &payload(access(&since))["countersign"]["organizations"];
    assert_eq!(*named, json!(["contoso"]));
    assert_eq!(following.verdict(access(&since)).await, Ok(()));
    // And again: each end is one of its own.
    registry.disconnect("contoso", &tenant).await;
    following.refuses(access(&since)).await;
    assert_eq!(told(&world).await.len(), 2);
}

#[actix_web::test]
async fn what_was_not_in_force_ends_nothing_and_what_is_forgotten_ends() {
    let world = world().await;
    let registry = Registry::of(&world).await;
    for name in ["contoso", "fabrikam"] {
        registry.tell(name, "{}").await;
        registry
            .connect(name, &tenant(CONTOSO), TOLD_BY_PHONE)
            .await;
    }
    let following = Following::start(&world.broker.issuer, Silence::Accept).await;
    let tokens = signed_in(&world, &ann()).await;
    registry.disconnect("fabrikam", &tenant(CONTOSO)).await;
    assert_eq!(told(&world).await, [Value::Null; 0]);
    assert_eq!(following.verdict(access(&tokens)).await, Ok(()));

    let now = world.broker.clock.now().as_second();
    let (status, _) = registry.call("DELETE", "/organizations/contoso", "").await;
    assert_eq!(status, 204);
    following.refuses(access(&tokens)).await;
    let all = told(&world).await;
    let [end] = &all[..] else {
        panic!("one end: {all:?}")
    };
    let before = end["issued_before"].as_i64().expect("a time");
    assert!((now + MEANWHILE..now + MEANWHILE + 5).contains(&before));
    // What every end has, whatever its kind, so that who does not know this one passes it over.
    let sha256 = end["sha256"].as_str().expect("a digest");
    assert_eq!(sha256.len(), 43);
    assert!(end["until"].as_i64().expect("a time") > now + 3600);
    assert!(!json!(all).to_string().contains("contoso"));
}

/// An answer that was lost, or a second press of the button, tells nothing new; and whoever asks for what is gone is told so.
#[actix_web::test]
async fn who_ends_what_has_ended_is_told_so_and_tells_nobody() {
    let world = world().await;
    let registry = Registry::of(&world).await;
    registry.tell("contoso", "{}").await;
    registry
        .connect("contoso", &tenant(CONTOSO), TOLD_BY_PHONE)
        .await;
    registry.disconnect("contoso", &tenant(CONTOSO)).await;
    let path = format!("/organizations/contoso/connections/{}", tenant(CONTOSO));
    let (status, _) = registry.call("DELETE", &path, "").await;
    assert_eq!(status, 404);
    assert_eq!(told(&world).await.len(), 1);
    let id = OrganizationId::new("contoso").expect("a name");
    let (kept, _) = world
        .broker
        .store()
        .organization(&id)
        .await
        .expect("a store")
        .expect("an organization");
    assert!(kept.connections.is_empty());
}
