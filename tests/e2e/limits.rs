//! Limits: who asks too often is told when to come back, everybody else notices nothing, and nobody can say
//! that they are somebody else.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_core::ClientId;
use countersign_server::{
    Client, ClientAuthentication, GrantType, LimitSettings, Proxies, SecretDigest,
};
use countersign_store::Rate;
use countersign_tests::{BrokerSetup, Browser, Login, Outcome, Page, TestBroker, World, wire};
use jiff::SignedDuration;
use serde_json::Value;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const ANN: &str = "198.51.100.7";
const BOB: &str = "198.51.100.8";

/// A broker behind a proxy on this machine.
async fn behind_a_proxy(change: impl FnOnce(&mut LimitSettings)) -> World {
    with_proxies(Some(&["127.0.0.1"]), change).await
}

async fn with_proxies(trusted: Option<&[&str]>, change: impl FnOnce(&mut LimitSettings)) -> World {
    with_proxies_and(trusted, change, |_| {}).await
}

async fn with_proxies_and(
    trusted: Option<&[&str]>,
    change: impl FnOnce(&mut LimitSettings),
    more: impl FnOnce(&mut BrokerSetup),
) -> World {
    let network = |text: &&str| text.parse().expect("a network");
    let trusted = trusted.map(|all| all.iter().map(network).collect());
    let world = World::with(|setup| {
        setup.limits.proxies = Proxies {
            trusted,
            ..Proxies::default()
        };
        change(&mut setup.limits);
        more(setup);
        let other = Client::new(
            "Another",
            vec![BrokerSetup::REDIRECT_URI.into()],
            ClientAuthentication::Secret(SecretDigest::of("another-secret-of-the-tests")),
            BrokerSetup::AUDIENCE,
        );
        setup
            .policy
            .push_str("\n[client.other]\ntier = \"manage\"\n");
        setup
            .clients
            .insert(ClientId::new("other").expect("an id"), other);
    })
    .await;
    world.broker.clock.stop();
    world.share_clock();
    world
}

/// `/authorize` as the proxy passes it on, with these lines of `X-Forwarded-For`.
async fn authorize(broker: &TestBroker, forwarded: &[&str]) -> Page {
    let url = broker.authorize_url(&Login::new("oidc", "ann-mfa"));
    let target = format!("/authorize?{}", url.query().expect("a query"));
    let lines: Vec<_> = forwarded
        .iter()
        .map(|line| ("x-forwarded-for", *line))
        .collect();
    wire::get(&broker.address, &target, &lines).await
}

/// `/introspect` with this secret.
async fn introspect(broker: &TestBroker, client: &str, secret: &str, from: &str) -> Page {
    let basic = STANDARD.encode(format!("{client}:{secret}"));
    let basic = format!("Basic {basic}");
    let headers = [("authorization", basic.as_str()), ("x-forwarded-for", from)];
    wire::send("POST", &broker.address, "/introspect", &headers, "token=x").await
}

/// Checks that a request was refused because there were too many, and for how many seconds.
fn assert_limited(page: &Page) -> u64 {
    assert_eq!(page.status, 429, "{}", page.body);
    let seconds = page.headers.get("retry-after").expect("`Retry-After`");
    let seconds = seconds.parse().expect("seconds");
    assert!((1..=3600).contains(&seconds), "{seconds}");
    seconds
}

fn error(page: &Page) -> String {
    let body: Value = serde_json::from_str(&page.body).expect("JSON");
    body["error"].as_str().expect("an error").to_owned()
}

#[actix_web::test]
async fn who_floods_is_told_to_wait_and_nobody_else_notices() {
    let world = behind_a_proxy(|limits| limits.browser_requests = Rate::new(30, MINUTE)).await;
    let broker = &world.broker;
    for n in 0..30 {
        assert_eq!(authorize(broker, &[ANN]).await.status, 303, "{n}");
    }
    let page = authorize(broker, &[ANN]).await;
    assert!(assert_limited(&page) <= 3);
    assert_eq!(
        page.reason_code(),
        Some("too-many-requests"),
        "{}",
        page.body
    );
    let callback = wire::get(
        &broker.address,
        "/callback/oidc",
        &[("x-forwarded-for", ANN)],
    )
    .await;
    assert_limited(&callback);
    assert_eq!(authorize(broker, &[BOB]).await.status, 303);
    // What stands before the address that the proxy has seen, anybody may have written.
    for said in [
        format!("203.0.113.9, {ANN}"),
        format!("127.0.0.1,{ANN}:4711"),
        format!("::1, ::ffff:{ANN}"),
    ] {
        assert_limited(&authorize(broker, &[&said]).await);
    }
    // Pages that cost nothing are there for everybody.
    assert_eq!(
        wire::get(&broker.address, "/jwks.json", &[("x-forwarded-for", ANN)])
            .await
            .status,
        200
    );
    broker.clock.advance(3);
    assert_eq!(authorize(broker, &[ANN]).await.status, 303);
    broker.clock.advance(60);
    for n in 0..30 {
        assert_eq!(authorize(broker, &[ANN]).await.status, 303, "{n}");
    }
}

/// A public client, whose devices anybody could be.
fn tool() -> Client {
    let public = ClientAuthentication::Public;
    let mut client = Client::new("Tool", vec![], public, BrokerSetup::AUDIENCE);
    client.grants = [GrantType::DeviceCode].into();
    client
}

#[actix_web::test]
async fn who_guesses_the_codes_of_devices_is_stopped_and_nobody_else() {
    let world = behind_a_proxy(|_| {}).await;
    let broker = &world.broker;
    let guess = async |n: usize, from: &str| {
        let letters = countersign_core::UserCode::LETTERS;
        let (one, two) = (letters[n % 20] as char, letters[n / 20] as char);
        let path = format!("/device?user_code=BCDF-GH{one}{two}");
        wire::get(&broker.address, &path, &[("x-forwarded-for", from)]).await
    };
    for n in 0..10 {
        assert_eq!(guess(n, ANN).await.status, 404, "{n}");
    }
    assert!(assert_limited(&guess(10, ANN).await) <= 7);
    assert_eq!(guess(11, BOB).await.status, 404);
    // What can be no code at all costs nothing, and is no guess.
    let from = [("x-forwarded-for", BOB)];
    for _ in 0..20 {
        let page = wire::get(&broker.address, "/device?user_code=A", &from).await;
        assert_eq!(page.status, 400);
    }
    broker.clock.advance(6);
    assert_eq!(guess(12, ANN).await.status, 404);
}

#[actix_web::test]
async fn who_asks_for_the_codes_of_too_many_devices_is_told_to_wait() {
    let world = with_proxies_and(
        Some(&["127.0.0.1"]),
        |_| {},
        |setup| {
            let id = ClientId::new("tool").expect("an id");
            setup
                .policy
                .push_str("\n[client.tool]\ntier = \"manage\"\n");
            setup.clients.insert(id, tool());
        },
    )
    .await;
    let ask = async |from: &str, scope: &str| {
        let headers = [("x-forwarded-for", from)];
        let form = format!("client_id=tool&scope={scope}");
        let path = "/device_authorization";
        wire::send("POST", &world.broker.address, path, &headers, &form).await
    };
    for n in 0..60 {
        assert_eq!(ask(ANN, "packages:manage").await.status, 200, "{n}");
        // What is refused keeps nothing, and does not count.
        assert_eq!(ask(ANN, "nothing").await.status, 400, "{n}");
    }
    let page = ask(ANN, "packages:manage").await;
    assert!(assert_limited(&page) <= 2);
    assert_eq!(error(&page), "temporarily_unavailable");
    assert_eq!(ask(BOB, "packages:manage").await.status, 200);
}

#[actix_web::test]
async fn a_network_of_ipv6_is_one_address() {
    let world = behind_a_proxy(|limits| limits.browser_requests = Rate::new(30, MINUTE)).await;
    for n in 0..30 {
        let from = format!("2001:db8:1:2::{n:x}");
        assert_eq!(authorize(&world.broker, &[&from]).await.status, 303);
    }
    assert_limited(&authorize(&world.broker, &["2001:db8:1:2:ffff::1"]).await);
    assert_eq!(
        authorize(&world.broker, &["2001:db8:1:3::1"]).await.status,
        303
    );
}

#[actix_web::test]
async fn a_header_that_stands_twice_or_cannot_be_read_is_put_down_to_the_proxy() {
    let world = behind_a_proxy(|limits| limits.browser_requests = Rate::new(30, MINUTE)).await;
    let broker = &world.broker;
    for n in 0..30 {
        let made_up = format!("203.0.113.{n}");
        let page = match n % 3 {
            0 => authorize(broker, &[&made_up, ANN]).await,
            1 => authorize(broker, &[&format!("{made_up}, unknown")]).await,
            _ => authorize(broker, &[]).await,
        };
        assert_eq!(page.status, 303, "{n}");
    }
    assert_limited(&authorize(broker, &["203.0.113.99", ANN]).await);
    assert_limited(&authorize(broker, &["nonsense"]).await);
    assert_eq!(authorize(broker, &[ANN]).await.status, 303);
}

#[actix_web::test]
async fn nobody_is_believed_unless_the_configuration_says_so() {
    let few = |limits: &mut LimitSettings| limits.browser_requests = Rate::new(30, MINUTE);
    // There is no proxy: what a header says changes nothing.
    let alone = with_proxies(Some(&[]), few).await;
    for n in 0..30 {
        let made_up = format!("203.0.113.{n}");
        assert_eq!(authorize(&alone.broker, &[&made_up]).await.status, 303);
    }
    assert_limited(&authorize(&alone.broker, &["203.0.113.99"]).await);
    // It is not known whether there is one: then nothing is put down to its address.
    let unknown = with_proxies(None, few).await;
    for _ in 0..60 {
        assert_eq!(authorize(&unknown.broker, &[ANN]).await.status, 303);
    }
}

#[actix_web::test]
async fn who_guesses_a_secret_has_to_wait_and_the_client_has_not() {
    let world = behind_a_proxy(|_| {}).await;
    let broker = &world.broker;
    for _ in 0..10 {
        let page = introspect(broker, "gallery", "guessed", ANN).await;
        assert_eq!(
            (page.status, error(&page).as_str()),
            (401, "invalid_client")
        );
    }
    // Even the right one: otherwise all that it takes is to go on.
    let page = introspect(broker, "gallery", BrokerSetup::SECRET, ANN).await;
    assert!(assert_limited(&page) <= 7);
    assert_eq!(error(&page), "temporarily_unavailable");
    let basic = format!(
        "Basic {}",
        STANDARD.encode(format!("gallery:{}", BrokerSetup::SECRET))
    );
    let headers = [("authorization", basic.as_str()), ("x-forwarded-for", ANN)];
    let path = "/api/v1/accounts/acct_1/verified-email";
    let api = wire::send("DELETE", &broker.address, path, &headers, "").await;
    assert_limited(&api);
    assert!(api.body.contains("\"too-many-requests\""), "{}", api.body);
    // The client is where it always was, and other clients are beside the one who guesses.
    assert_eq!(
        introspect(broker, "gallery", BrokerSetup::SECRET, BOB)
            .await
            .status,
        200
    );
    assert_eq!(
        introspect(broker, "other", "another-secret-of-the-tests", ANN)
            .await
            .status,
        200
    );
    broker.clock.advance(7);
    assert_eq!(
        introspect(broker, "gallery", BrokerSetup::SECRET, ANN)
            .await
            .status,
        200
    );
}

#[actix_web::test]
async fn clients_that_do_not_exist_are_guessed_at_no_faster() {
    let world = behind_a_proxy(|_| {}).await;
    for n in 0..10 {
        let page = introspect(&world.broker, &format!("client-{n}"), "guessed", ANN).await;
        assert_eq!(page.status, 401);
    }
    assert_limited(&introspect(&world.broker, "client-10", "guessed", ANN).await);
    let honest = introspect(&world.broker, "gallery", BrokerSetup::SECRET, ANN).await;
    assert_eq!(honest.status, 200);
}

#[actix_web::test]
async fn bad_secrets_add_up_over_all_replicas() {
    let world = behind_a_proxy(|_| {}).await;
    let (one, other) = (&world.broker, world.replica());
    for _ in 0..10 {
        assert_eq!(introspect(one, "gallery", "guessed", ANN).await.status, 401);
    }
    assert_eq!(
        introspect(&other, "gallery", "guessed", ANN).await.status,
        401
    );
    assert_limited(&introspect(&other, "gallery", "guessed", ANN).await);
    assert_limited(&introspect(&other, "gallery", BrokerSetup::SECRET, ANN).await);
    assert_eq!(
        introspect(&other, "gallery", BrokerSetup::SECRET, BOB)
            .await
            .status,
        200
    );
}

#[actix_web::test]
async fn a_client_that_asks_without_end_is_told_to_wait_and_others_are_not() {
    let world = behind_a_proxy(|limits| limits.client_requests = Rate::new(60, MINUTE)).await;
    let broker = &world.broker;
    for n in 0..60 {
        let from = format!("198.51.100.{n}");
        let page = introspect(broker, "gallery", BrokerSetup::SECRET, &from).await;
        assert_eq!(page.status, 200);
    }
    let page = introspect(broker, "gallery", BrokerSetup::SECRET, "203.0.113.9").await;
    assert_limited(&page);
    assert_eq!(
        introspect(broker, "other", "another-secret-of-the-tests", ANN)
            .await
            .status,
        200
    );
    broker.clock.advance(2);
    assert_eq!(
        introspect(broker, "gallery", BrokerSetup::SECRET, ANN)
            .await
            .status,
        200
    );
}

/// Who has somebody's password and no second factor is held up; the person is not.
#[actix_web::test]
async fn only_refused_logins_are_counted_and_only_they_are_held_up() {
    let hour = SignedDuration::from_hours(1);
    let world = behind_a_proxy(|limits| limits.refused_logins = Rate::new(3, hour)).await;
    let bob = Login::new("oidc", "bob-password");
    let refused = async || {
        let outcome = world.sign_in_with_step_up(&mut Browser::new(), &bob).await;
        let Outcome::Refused(page) = outcome else {
            panic!("{}", outcome.summary());
        };
        page
    };
    for _ in 0..3 {
        assert_eq!(refused().await.reason_code(), Some("mfa-absent"));
    }
    let page = refused().await;
    assert!(assert_limited(&page) <= 1201);
    assert_eq!(page.reason_code(), Some("too-many-requests"));
    // Another person of the same provider is refused for what is missing.
    let ann = Login::new("oidc", "ann-mfa");
    world.sign_in(&mut Browser::new(), &ann).await.code();
    let open = world
        .broker
        .policy_text
        .replace("tier = \"manage\"", "tier = \"browse\"");
    world.broker.enforce(&open);
    let let_in = world.sign_in_with_step_up(&mut Browser::new(), &bob).await;
    let_in.code();
    world.broker.enforce(&world.broker.policy_text);
    assert_limited(&refused().await);
    world.broker.clock.advance(1201);
    assert_eq!(refused().await.reason_code(), Some("mfa-absent"));
}
