//! What has ended before its time is told to services that verify tokens themselves: all of it, soon, and to nobody else.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::ClientId;
use countersign_server::{Client, ClientAuthentication, GrantType, SecretDigest};
use countersign_tests::{
    BrokerSetup, Browser, Following, Login, Page, TestBroker, Tokens, World, payload, wire,
};
use countersign_verifier::Silence;
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

const SECRET: &str = "secret-of-the-service";
/// What is promised: "within a second".
const PROMISED: Duration = Duration::from_secs(1);

/// The usual world in which `gallery` may refresh, with a service `indexer` and a public client `app`.
async fn world() -> World {
    World::with(|setup| {
        setup.gallery().grants.insert(GrantType::RefreshToken);
        let secret = ClientAuthentication::Secret(SecretDigest::of(SECRET));
        let mut indexer = Client::new("Indexer", vec![], secret, BrokerSetup::AUDIENCE);
        indexer.grants = [GrantType::ClientCredentials].into();
        let uris = vec![BrokerSetup::REDIRECT_URI.into()];
        let public = ClientAuthentication::Public;
        let app = Client::new("App", uris, public, BrokerSetup::AUDIENCE);
        let own = "own_scopes = [\"packages:read\"]\n";
        for (id, client, more) in [("indexer", indexer, own), ("app", app, "")] {
            let tier = format!("\n[client.{id}]\ntier = \"manage\"\n{more}");
            setup.policy.push_str(&tier);
            let id = ClientId::new(id).expect("a client id");
            setup.clients.insert(id, client);
        }
    })
    .await
}

async fn post(base: &str, path: &str, form: &[(&str, &str)]) -> Page {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let form: Vec<(String, String)> = form.iter().map(owned).collect();
    let url = Url::parse(&format!("{base}{path}")).expect("an address");
    Browser::new().post(&url, &form).await
}

async fn as_gallery(base: &str, path: &str, more: &[(&str, &str)]) -> Page {
    let client = [
        ("client_id", "gallery"),
        ("client_secret", BrokerSetup::SECRET),
    ];
    post(base, path, &[&client, more].concat()).await
}

/// What the feed tells after a cursor.
async fn told(base: &str, after: &str, wait: &str) -> Value {
    let page = as_gallery(base, "/revocations", &[("after", after), ("wait", wait)]).await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert_eq!(page.header("cache-control"), Some("no-store"));
    serde_json::from_str(&page.body).expect("JSON")
}

/// Whether the feed tells of this.
async fn tells(base: &str, kind: &str, id: &str) -> bool {
    let sha256 = URL_SAFE_NO_PAD.encode(digest(&SHA256, id.as_bytes()));
    let all = told(base, "", "").await;
    let ends = all["ends"].as_array().expect("ends");
    ends.iter()
        .any(|end| end["kind"] == kind && end["sha256"] == sha256.as_str())
}

async fn signed_in(world: &World, browser: &mut Browser) -> (Page, Tokens) {
    let login = Login::new("oidc", "ann-mfa");
    let code = world.sign_in(browser, &login).await.code();
    let tokens = world.redeem(&code).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    (code, tokens)
}

async fn revoke(base: &str, token: &str) {
    let page = as_gallery(base, "/revoke", &[("token", token)]).await;
    assert_eq!(page.status, 200, "{}", page.body);
}

async fn refresh(base: &str, token: &str) -> Page {
    let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
    as_gallery(base, "/token", &form).await
}

fn text<'a>(claims: &'a Value, name: &str) -> &'a str {
    claims[name].as_str().expect("a text")
}

#[actix_web::test]
async fn an_end_is_written_down_once_however_often_it_is_asked_for() {
    let world = world().await;
    let issuer = &world.broker.issuer;
    let audited = |expected: &[&str]| {
        let ends = ["token-revoked", "grant-ended", "session-ended"];
        assert_eq!(world.broker.audited(&ends), expected);
    };
    let (code, tokens) = signed_in(&world, &mut Browser::new()).await;
    for _ in 0..3 {
        revoke(issuer, tokens.text("access_token")).await;
    }
    let mut all = vec!["token-revoked revoked"];
    audited(&all);
    for _ in 0..3 {
        revoke(issuer, tokens.text("refresh_token")).await;
    }
    all.push("grant-ended revoked");
    audited(&all);
    for _ in 0..3 {
        assert_eq!(world.redeem(&code).await.status, 400);
    }
    all.push("session-ended code-replayed");
    audited(&all);

    let (_, tokens) = signed_in(&world, &mut Browser::new()).await;
    let first = tokens.text("refresh_token");
    let next = refresh(issuer, first).await;
    let next: Value = serde_json::from_str(&next.body).expect("JSON");
    refresh(issuer, text(&next, "refresh_token")).await;
    for _ in 0..3 {
        assert_eq!(refresh(issuer, first).await.status, 400);
        revoke(issuer, first).await;
    }
    all.push("grant-ended refresh-token-reused");
    audited(&all);
}

#[actix_web::test]
async fn each_end_is_told_whichever_way_it_came() {
    let world = world().await;
    let issuer = &world.broker.issuer;
    let new = async || {
        let (code, tokens) = signed_in(&world, &mut Browser::new()).await;
        (code, tokens.access(), tokens)
    };
    assert_eq!(
        told(issuer, "", "").await,
        json!({"ends": [], "cursor": "", "complete": true})
    );

    let (_, claims, tokens) = new().await;
    revoke(issuer, tokens.text("access_token")).await;
    assert!(
        tells(issuer, "token", text(&claims, "jti")).await,
        "revoked"
    );

    let (_, claims, tokens) = new().await;
    revoke(issuer, tokens.text("refresh_token")).await;
    let grant = text(&claims["countersign"], "grant");
    assert!(tells(issuer, "grant", grant).await, "refresh token revoked");

    let (_, claims, tokens) = new().await;
    let first = tokens.text("refresh_token");
    let next = refresh(issuer, first).await;
    let next: Value = serde_json::from_str(&next.body).expect("JSON");
    refresh(issuer, text(&next, "refresh_token")).await;
    assert_eq!(refresh(issuer, first).await.status, 400);
    let grant = text(&claims["countersign"], "grant");
    assert!(tells(issuer, "grant", grant).await, "reused");

    let (code, claims, _) = new().await;
    assert_eq!(world.redeem(&code).await.status, 400);
    let sid = text(&claims, "sid");
    assert!(tells(issuer, "session", sid).await, "replayed");

    let mut browser = Browser::new();
    let (_, tokens) = signed_in(&world, &mut browser).await;
    let sid = text(&tokens.access(), "sid").to_owned();
    assert!(!tells(issuer, "session", &sid).await, "it lives");
    let mut logout = Url::parse(&format!("{issuer}/logout")).expect("an address");
    logout
        .query_pairs_mut()
        .append_pair("id_token_hint", tokens.text("id_token"));
    browser.get(&logout).await;
    assert!(tells(issuer, "session", &sid).await, "signed out");

    let service = [("client_id", "indexer"), ("client_secret", SECRET)];
    let grant = [("grant_type", "client_credentials")];
    let page = post(issuer, "/token", &[&grant[..], &service].concat()).await;
    let body: Value = serde_json::from_str(&page.body).expect("JSON");
    let token = text(&body, "access_token");
    let form = [("token", token)];
    post(issuer, "/revoke", &[&form[..], &service].concat()).await;
    let jti = text(&payload(token), "jti").to_owned();
    assert!(tells(issuer, "token", &jti).await, "a service's own");
    let all = told(issuer, "", "").await;
    assert_eq!(all["ends"].as_array().map(Vec::len), Some(6), "{all}");
    // What ends again is told once.
    post(issuer, "/revoke", &[&form[..], &service].concat()).await;
    assert_eq!(told(issuer, "", "").await, all);
}

#[actix_web::test]
async fn who_may_not_introspect_is_told_nothing() {
    let world = world().await;
    let issuer = &world.broker.issuer;
    for (form, status) in [
        (&[][..], 401),
        (&[("client_id", "app")], 401),
        (&[("client_id", "nobody"), ("client_secret", SECRET)], 401),
        (&[("client_id", "gallery"), ("client_secret", SECRET)], 401),
        (
            &[
                ("client_id", "indexer"),
                ("client_secret", SECRET),
                ("wait", "soon"),
            ],
            400,
        ),
        (
            &[
                ("client_id", "indexer"),
                ("client_secret", SECRET),
                ("wait", "-1"),
            ],
            400,
        ),
        (
            &[
                ("client_id", "indexer"),
                ("client_secret", SECRET),
                ("after", "1"),
                ("after", "2"),
            ],
            400,
        ),
        (&[("client_id", "indexer"), ("client_secret", SECRET)], 200),
    ] {
        let page = post(issuer, "/revocations", form).await;
        assert_eq!(page.status, status, "{form:?}: {}", page.body);
        if status != 200 {
            assert!(!page.body.contains("ends"), "{}", page.body);
        }
    }
    let bearer = ("authorization", "Bearer abc");
    let page = wire::send("POST", issuer, "/revocations", &[bearer], "").await;
    assert_eq!(page.status, 401);
}

#[actix_web::test]
async fn nobody_learns_a_name_from_the_feed() {
    let world = world().await;
    let (_, tokens) = signed_in(&world, &mut Browser::new()).await;
    let claims = tokens.access();
    revoke(&world.broker.issuer, tokens.text("refresh_token")).await;
    let all = told(&world.broker.issuer, "", "").await.to_string();
    for name in [
        text(&claims, "sid"),
        text(&claims, "sub"),
        text(&claims, "jti"),
        text(&claims["countersign"], "grant"),
    ] {
        assert!(!all.contains(name), "{name} stands in {all}");
    }
}

#[actix_web::test]
async fn an_answer_waits_for_an_end_and_no_longer_than_it_was_asked_to() {
    let world = world().await;
    let issuer = &world.broker.issuer;
    let (_, tokens) = signed_in(&world, &mut Browser::new()).await;
    let began = Instant::now();
    let nothing = told(issuer, "", "1").await;
    assert_eq!(nothing["ends"], json!([]));
    let waited = began.elapsed();
    assert!((900..3000).contains(&waited.as_millis()), "{waited:?}");

    let ending = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        revoke(issuer, tokens.text("access_token")).await;
        Instant::now()
    };
    let waiting = async {
        let one = told(issuer, "", "20").await;
        (one, Instant::now())
    };
    let (ended, (one, answered)) = tokio::join!(ending, waiting);
    assert_eq!(one["ends"].as_array().map(Vec::len), Some(1), "{one}");
    assert!(answered.saturating_duration_since(ended) < PROMISED);

    // Who has been told waits for the next one.
    let cursor = text(&one, "cursor");
    let again = told(issuer, cursor, "1").await;
    assert_eq!(
        (&again["ends"], &again["cursor"]),
        (&json!([]), &one["cursor"])
    );
    // A place that is not ours, or none at all, is the beginning.
    for strange in ["7.0000000000000000", "abc", "../..", "-1"] {
        assert_eq!(told(issuer, strange, "20").await, one, "{strange}");
    }
}

#[actix_web::test]
async fn many_ends_are_told_page_by_page_and_leave_with_the_last_token() {
    let world = world().await;
    let issuer = &world.broker.issuer;
    let service = [("client_id", "indexer"), ("client_secret", SECRET)];
    for _ in 0..1_005 {
        let grant = [("grant_type", "client_credentials")];
        let page = post(issuer, "/token", &[&grant[..], &service].concat()).await;
        let body: Value = serde_json::from_str(&page.body).expect("JSON");
        let form = [("token", text(&body, "access_token"))];
        post(issuer, "/revoke", &[&form[..], &service].concat()).await;
    }
    let first = told(issuer, "", "").await;
    let second = told(issuer, text(&first, "cursor"), "").await;
    let names = |page: &Value| -> Vec<String> {
        let ends = page["ends"].as_array().expect("ends").iter();
        ends.map(|end| text(end, "sha256").to_owned()).collect()
    };
    let mut all = [names(&first), names(&second)].concat();
    assert_eq!((names(&first).len(), names(&second).len()), (1000, 5));
    assert_eq!(
        (&first["complete"], &second["complete"]),
        (&json!(false), &json!(true))
    );
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 1_005);
    let following = Following::start(issuer, Silence::Accept).await;
    let known = following.verifier.feed().expect("a feed").ends;
    assert_eq!(known, 1_005, "it follows all pages");

    world.broker.clock.advance(64 * 60);
    assert_eq!(
        told(issuer, "", "").await["ends"].as_array().map(Vec::len),
        Some(1000)
    );
    world.broker.clock.advance(2 * 60);
    let late = told(issuer, text(&second, "cursor"), "").await;
    assert_eq!(late["ends"], json!([]));
}

/// The longest of so many ends, each at another replica than the one that is followed.
async fn slowest(world: &World, at: &TestBroker, following: &Following) -> Duration {
    let mut longest = Duration::ZERO;
    for nth in 0..10 {
        let mut browser = Browser::new();
        let (_, tokens) = signed_in(world, &mut browser).await;
        let token = tokens.text("access_token");
        assert_eq!(following.verdict(token).await, Ok(()));
        let name = ["access_token", "refresh_token"][nth % 2];
        revoke(&at.address, tokens.text(name)).await;
        longest = longest.max(following.refuses(token).await);
    }
    longest
}

#[actix_web::test]
async fn what_ends_at_one_replica_is_refused_by_who_follows_another_within_a_second() {
    let world = world().await;
    let replica = world.replica();
    let following = Following::start(&world.broker.issuer, Silence::Accept).await;
    let same = slowest(&world, &world.broker, &following).await;
    let other = slowest(&world, &replica, &following).await;
    println!("embedded: at the same server {same:?}, at another {other:?}");
    assert!(same < PROMISED && other < PROMISED, "{same:?}, {other:?}");

    // A token of a grant that lives passes, whatever else has ended.
    let (_, tokens) = signed_in(&world, &mut Browser::new()).await;
    assert_eq!(following.verdict(tokens.text("access_token")).await, Ok(()));
    let next = refresh(&world.broker.issuer, tokens.text("refresh_token")).await;
    let next: Value = serde_json::from_str(&next.body).expect("JSON");
    revoke(&replica.address, tokens.text("access_token")).await;
    following.refuses(tokens.text("access_token")).await;
    let token = text(&next, "access_token");
    assert_eq!(
        following.verdict(token).await,
        Ok(()),
        "another of its grant"
    );
}
