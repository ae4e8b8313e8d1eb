//! The keys of a running broker: rotated under traffic, withdrawn, followed by services and clients of
//! other makers.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::ClientId;
use countersign_server::{Clock, GrantType, SigningAlgorithm, SystemEntropy};
use countersign_tests::peers::{Authentication, Library, Registration, RelyingParty};
use countersign_tests::{BrokerSetup, Browser, Login, Outcome, TestBroker, Tokens, World, wire};
use countersign_verifier::Verifier;
use serde_json::{Value, json};

const HOUR: i64 = 3600;

async fn world() -> World {
    let world = World::with(|setup| {
        setup.gallery().grants.insert(GrantType::RefreshToken);
    })
    .await;
    world.share_clock();
    world
}

async fn signed_in(world: &World) -> Tokens {
    let ann = Login::new("oidc", "ann-mfa");
    let code = world.sign_in(&mut Browser::new(), &ann).await.code();
    let tokens = world.redeem(&code).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    tokens
}

async fn refreshed(broker: &TestBroker, refresh_token: &str) -> Tokens {
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token),
        ("redirect_uri", ""),
        ("code_verifier", ""),
    ];
    let tokens = broker.redeem_with(&form).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    tokens
}

fn kid(token: &str) -> String {
    let header = token.split('.').next().expect("a header");
    let bytes = URL_SAFE_NO_PAD.decode(header).expect("base64url");
    let header: Value = serde_json::from_slice(&bytes).expect("JSON");
    header["kid"].as_str().expect("a kid").to_owned()
}

async fn published(broker: &TestBroker) -> BTreeSet<String> {
    let page = wire::get(&broker.address, "/jwks.json", &[]).await;
    let set: Value = serde_json::from_str(&page.body).expect("JSON");
    let keys = set["keys"].as_array().expect("keys").iter();
    keys.map(|key| key["kid"].as_str().expect("a kid").to_owned())
        .collect()
}

/// As `countersign keys rotate` does.
async fn rotate(broker: &TestBroker) {
    let vault = broker.vault();
    for name in vault.replaceable().await.expect("the keys") {
        let rotated = vault.rotate(&name, &SystemEntropy, broker.clock.now());
        rotated
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

async fn tick(broker: &TestBroker) {
    broker.keys.tick().await.expect("the keys");
}

async fn works_at(broker: &TestBroker, token: &str) -> bool {
    wire::user_info(&broker.address, token).await.status == 200
}

/// The next keys of everything are called while a client refreshes at two replicas in turn, each of which looks
/// every ten seconds, as servers do. Whatever one hands out the other and a service take.
#[actix_web::test]
async fn a_rotation_under_traffic_is_noticed_by_nobody() {
    let world = world().await;
    let one = &world.broker;
    tick(one).await;
    let other = world.replica();
    one.clock.advance(26 * HOUR);
    let clock = one.clock.clone();
    let service = Verifier::with_clock(&one.issuer, BrokerSetup::AUDIENCE, move || {
        clock.now().as_second()
    })
    .expect("a verifier");
    let mut tokens = signed_in(&world).await;
    let mut kids = Vec::new();
    for round in 0..60 {
        one.clock.advance(3);
        match round {
            10 => rotate(one).await,
            round if round % 3 == 0 => tick(one).await,
            round if round % 3 == 1 => tick(&other).await,
            _ => {}
        }
        let (here, there) = if round % 2 == 0 {
            (one, &other)
        } else {
            (&other, one)
        };
        tokens = refreshed(here, tokens.text("refresh_token")).await;
        let access = tokens.text("access_token");
        assert!(
            works_at(here, access).await && works_at(there, access).await,
            "round {round}"
        );
        let verified = service.verify(access).await;
        assert!(verified.is_ok(), "round {round}: {verified:?}");
        kids.push((kid(access), kid(tokens.text("id_token"))));
    }
    let access: BTreeSet<_> = kids.iter().map(|(access, _)| access).collect();
    let id: BTreeSet<_> = kids.iter().map(|(_, id)| id).collect();
    assert_eq!(
        (access.len(), id.len()),
        (2, 2),
        "both keys of each algorithm signed"
    );
    // What was handed out before is good to its end, and its key stays for as long.
    let before = signed_in(&world).await;
    one.clock.advance(599);
    tick(one).await;
    assert!(works_at(one, before.text("access_token")).await);
    assert!(published(one).await.contains(&kids[0].0));
    one.clock.advance(2 * HOUR);
    tick(one).await;
    let left = published(one).await;
    assert!(!left.contains(&kids[0].0) && !left.contains(&kids[0].1));
    assert!(left.contains(&kids[59].0) && left.contains(&kids[59].1));
}

/// One replica has not read the store for long; the other signs with the next key.
#[actix_web::test]
async fn a_replica_that_has_not_seen_the_next_key_verifies_what_it_has_signed() {
    let world = world().await;
    let (one, stale) = (&world.broker, world.replica());
    tick(one).await; // `stale` has not seen the key that waits
    one.clock.advance(26 * HOUR);
    let before = signed_in(&world).await;
    rotate(one).await;
    one.clock.advance(61);
    tick(one).await;
    let after = signed_in(&world).await;
    let (old, new) = (
        kid(before.text("access_token")),
        kid(after.text("access_token")),
    );
    assert_ne!(old, new);
    assert!(!published(&stale).await.contains(&new));
    assert!(
        works_at(&stale, after.text("access_token")).await,
        "it looks the key up"
    );
    assert!(published(&stale).await.contains(&new));
    assert!(works_at(&stale, before.text("access_token")).await);
    assert!(works_at(one, before.text("access_token")).await);
}

#[actix_web::test]
async fn a_key_that_is_withdrawn_takes_its_tokens_along_and_nobody_has_to_sign_in_again() {
    let world = world().await;
    let one = &world.broker;
    tick(one).await;
    let other = world.replica();
    let tokens = signed_in(&world).await;
    let access = tokens.text("access_token");
    let vault = one.vault();
    let withdrawn = kid(access);
    let retired = vault
        .retire(&withdrawn, &SystemEntropy, one.clock.now())
        .await;
    retired.expect("it is withdrawn");
    tick(one).await;
    assert!(!published(one).await.contains(&withdrawn));
    assert!(
        !works_at(one, access).await,
        "a token of a key that somebody else may have"
    );
    let next = refreshed(one, tokens.text("refresh_token")).await;
    let access = next.text("access_token");
    assert_ne!(kid(access), withdrawn);
    assert!(works_at(one, access).await && works_at(&other, access).await);
}

/// Made-up `kid`s cost the store nothing worth speaking of, and harm nobody.
#[actix_web::test]
async fn a_token_with_a_made_up_kid_is_refused() {
    let world = world().await;
    let tokens = signed_in(&world).await;
    let access = tokens.text("access_token");
    let (_, rest) = access.split_once('.').expect("a header");
    for kid in ["unknown", "../../etc/passwd", &"k".repeat(4096)] {
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid}).to_string();
        let forged = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header));
        assert!(!works_at(&world.broker, &forged).await);
    }
    assert!(works_at(&world.broker, access).await);
}

/// Unmodified libraries, which have fetched the key set before and do not fetch it again within a minute.
#[actix_web::test]
async fn clients_of_other_makers_follow_a_rotation() {
    const SITE: Registration = Registration {
        id: "site-rs256",
        authentication: Authentication::Basic,
        algorithm: SigningAlgorithm::Rs256,
    };
    let world = World::with(|setup| {
        let id = ClientId::new(SITE.id).expect("a client id");
        setup.clients.insert(id, SITE.client());
        let tier = format!("[client.{}]\ntier = \"manage\"\n", SITE.id);
        setup.policy.push_str(&tier);
    })
    .await;
    let broker = &world.broker;
    tick(broker).await;
    let mut clients = [Library::OpenIdClient, Library::Authlib]
        .map(|library| RelyingParty::start(library, SITE, &broker.issuer));
    for client in &mut clients {
        assert_eq!(signs_in(&world, client).await["aud"], json!(SITE.id));
    }
    // A day passes for the keys only: the clients go by the machine's clock.
    let before = published(broker).await;
    broker.clock.advance(26 * HOUR);
    rotate(broker).await;
    broker.clock.advance(61);
    tick(broker).await;
    broker.clock.advance(-26 * HOUR - 61);
    assert!(published(broker).await.is_superset(&before));
    for client in &mut clients {
        assert_eq!(signs_in(&world, client).await["aud"], json!(SITE.id));
    }
}

async fn signs_in(world: &World, client: &mut RelyingParty) -> Value {
    let mut browser = Browser::new();
    let login = Login::new("oidc", "ann-mfa");
    let page = browser
        .get(&client.begin(&json!({"provider": "oidc"})))
        .await;
    let outcome = world.go_on(&mut browser, page, &login).await;
    let Outcome::Code(page) = outcome else {
        panic!("{}", outcome.summary());
    };
    let answer = client.finish(page.location.as_ref().expect("a callback"));
    assert!(answer["error"].is_null(), "{answer}");
    answer["claims"].clone()
}
