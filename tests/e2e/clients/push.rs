//! Pushed requests and resources: what a client asks for behind the browser's back, and for whom.

use countersign_core::ClientId;
use countersign_server::{GrantType, Resource, SigningAlgorithm};
use countersign_tests::{BrokerSetup, Browser, Login, Outcome, Page, Signer, World, payload};
use serde_json::{Value, json};
use url::Url;

use super::{ASSERTION_TYPE, VERIFIER, add, assert_refused, assertion, keyed, post, read};

const CHALLENGE: &str = "NKCjUJzLZHmn1-iUAFlcmQlzdeGSY_VATTrrKnzG7hI";
const INDEX: &str = "https://index.registry.example";

/// The usual world with the client `keyed`, whose requests come no other way than pushed.
async fn world(signer: &Signer) -> World {
    World::with(|setup| {
        let mut client = keyed(signer);
        client.must_push = true;
        client.grants.insert(GrantType::RefreshToken);
        add(setup, "keyed", client.clone());
        client.must_push = false;
        add(setup, "free", client);
        let algorithm = SigningAlgorithm::Es256;
        setup.resources.insert(INDEX.into(), Resource { algorithm });
        for id in ["gallery", "keyed", "free"] {
            let client = setup.clients.get_mut(&ClientId::new(id).expect("an id"));
            client
                .expect("a client")
                .other_resources
                .insert(INDEX.into());
        }
    })
    .await
}

/// The usual request of a client, with these parameters over the usual ones.
async fn pushed(world: &World, client: &str, signer: &Signer, changed: &[(&str, &str)]) -> Page {
    let assertion = assertion(world, client, signer);
    let mut form = vec![
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion.as_str()),
        ("response_type", "code"),
        ("redirect_uri", BrokerSetup::REDIRECT_URI),
        ("scope", "openid packages:manage"),
        ("state", "pushed-state"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("provider", "oidc"),
    ];
    for (name, value) in changed {
        form.retain(|(known, _)| known != name);
        form.push((name, value));
    }
    post(world, "/par", &[], &form).await
}

fn uri(page: &Page) -> String {
    assert_eq!(page.status, 201, "{}", page.body);
    read(page)["request_uri"]
        .as_str()
        .expect("an address")
        .to_owned()
}

/// The way of a browser with nothing but what RFC 9126 4 has it carry.
async fn followed(world: &World, client: &str, uri: &str, more: &[(&str, &str)]) -> Outcome {
    let mut url = Url::parse(&format!("{}/authorize", world.broker.issuer)).expect("an address");
    url.query_pairs_mut()
        .append_pair("client_id", client)
        .append_pair("request_uri", uri)
        .extend_pairs(more);
    let mut browser = Browser::new();
    let page = browser.get(&url).await;
    world
        .go_on(&mut browser, page, &Login::new("oidc", "ann-mfa"))
        .await
}

async fn redeemed(world: &World, client: &str, signer: &Signer, form: &[(&str, &str)]) -> Page {
    let assertion = assertion(world, client, signer);
    let mut all = vec![
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion.as_str()),
        ("redirect_uri", BrokerSetup::REDIRECT_URI),
        ("code_verifier", VERIFIER),
    ];
    all.extend(form);
    post(world, "/token", &[], &all).await
}

fn audience(page: &Page) -> Value {
    assert_eq!(page.status, 200, "{}", page.body);
    payload(read(page)["access_token"].as_str().expect("a token"))["aud"].clone()
}

#[actix_web::test]
async fn a_pushed_request_leads_to_a_code_and_what_the_browser_adds_counts_for_nothing() {
    let signer = Signer::new("ES256");
    let world = world(&signer).await;
    let page = pushed(&world, "keyed", &signer, &[]).await;
    let uri = uri(&page);
    let body = read(&page);
    assert!(
        uri.starts_with("urn:ietf:params:oauth:request_uri:"),
        "{uri}"
    );
    assert!((5..600).contains(&body["expires_in"].as_i64().expect("seconds")));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let bent = [
        ("scope", "openid packages:publish"),
        ("state", "of-the-browser"),
        ("redirect_uri", "https://evil.example/"),
        ("provider", "github"),
    ];
    let page = followed(&world, "keyed", &uri, &bent).await.code();
    assert_eq!(page.sent_with("state").as_deref(), Some("pushed-state"));
    assert_eq!(
        page.sent_with("iss").as_deref(),
        Some(world.broker.issuer.as_str())
    );
    let code = page.sent_with("code").expect("a code");
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
    ];
    let tokens = redeemed(&world, "keyed", &signer, &form).await;
    assert_eq!(
        read(&tokens)["scope"],
        "openid packages:manage",
        "{}",
        tokens.body
    );
}

#[actix_web::test]
async fn a_pushed_request_leads_to_one_code_and_a_page_that_is_loaded_again_works() {
    let signer = Signer::new("ES256");
    let world = world(&signer).await;
    let uri = uri(&pushed(&world, "keyed", &signer, &[]).await);
    // Two tabs are under way at once; one of them is given a code.
    let mut tabs = Vec::new();
    for _ in 0..2 {
        let mut browser = Browser::new();
        let mut url =
            Url::parse(&format!("{}/authorize", world.broker.issuer)).expect("an address");
        url.query_pairs_mut()
            .append_pair("client_id", "keyed")
            .append_pair("request_uri", &uri);
        let page = browser.get(&url).await;
        assert_eq!(page.status, 303, "{}", page.body);
        tabs.push((browser, page));
    }
    let login = Login::new("oidc", "ann-mfa");
    let mut ends = Vec::new();
    for (mut browser, page) in tabs {
        ends.push(world.go_on(&mut browser, page, &login).await.summary());
    }
    assert_eq!(ends, ["code", "refused: attempt-spent"]);
    let again = followed(&world, "keyed", &uri, &[]).await;
    assert_eq!(again.summary(), "refused: request-uri-not-good");
}

#[actix_web::test]
async fn a_request_uri_is_its_clients_whole_and_in_time() {
    let signer = Signer::new("ES256");
    let world = world(&signer).await;
    let uri = uri(&pushed(&world, "keyed", &signer, &[]).await);
    let not_good = "refused: request-uri-not-good";
    for client in ["free", "gallery", "nobody", ""] {
        let end = followed(&world, client, &uri, &[]).await;
        assert_eq!(end.summary(), not_good, "as `{client}`");
    }
    let mut turned = uri.clone().into_bytes();
    let last = turned.len() - 5;
    turned[last] = if turned[last] == b'A' { b'B' } else { b'A' };
    let turned = String::from_utf8(turned).expect("text");
    for bent in [
        &turned,
        "urn:ietf:params:oauth:request_uri:",
        "urn:ietf:params:oauth:request_uri:AAAA",
    ] {
        assert_eq!(
            followed(&world, "keyed", bent, &[]).await.summary(),
            not_good,
            "{bent}"
        );
    }
    // What is somebody else's to serve is never fetched (Core 6.2).
    let elsewhere = followed(
        &world,
        "gallery",
        "https://evil.example/request",
        &[
            ("redirect_uri", BrokerSetup::REDIRECT_URI),
            ("response_type", "code"),
            ("scope", "openid"),
        ],
    )
    .await;
    assert_eq!(elsewhere.summary(), "client: request_uri_not_supported");
    world.broker.clock.advance(91);
    assert_eq!(
        followed(&world, "keyed", &uri, &[]).await.summary(),
        not_good,
        "too late"
    );
}

#[actix_web::test]
async fn a_person_may_take_their_time_on_the_page_that_lets_them_choose() {
    let signer = Signer::new("ES256");
    let world = world(&signer).await;
    let uri = uri(&pushed(&world, "keyed", &signer, &[("provider", "")]).await);
    let mut browser = Browser::new();
    let mut url = Url::parse(&format!("{}/authorize", world.broker.issuer)).expect("an address");
    url.query_pairs_mut()
        .append_pair("client_id", "keyed")
        .append_pair("request_uri", &uri);
    let page = browser.get(&url).await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(
        !page.body.contains("pushed-state"),
        "what was pushed stays hidden"
    );
    let link = page
        .body
        .split('"')
        .find(|text| text.contains("provider=oidc"));
    let link = link
        .expect("a provider")
        .replace("&amp;", "&")
        .replace("&#38;", "&");
    let link = page.url.join(&link).expect("an address");
    world.broker.clock.advance(600);
    let page = browser.get(&link).await;
    let end = world
        .go_on(&mut browser, page, &Login::new("oidc", "ann-mfa"))
        .await;
    assert_eq!(end.summary(), "code");
    world.broker.clock.advance(3600);
    let late = browser.get(&link).await;
    assert_eq!(late.reason_code(), Some("request-uri-not-good"));
}

#[actix_web::test]
async fn a_client_that_must_push_is_taken_in_no_other_way() {
    let signer = Signer::new("ES256");
    let world = world(&signer).await;
    let login = Login::new("oidc", "ann-mfa").with("client_id", "keyed");
    let end = world.sign_in(&mut Browser::new(), &login).await;
    assert_eq!(end.summary(), "client: invalid_request");
    let free = Login::new("oidc", "ann-mfa").with("client_id", "free");
    assert_eq!(
        world.sign_in(&mut Browser::new(), &free).await.summary(),
        "code"
    );
}

#[actix_web::test]
async fn what_authorize_refuses_is_refused_when_it_is_pushed() {
    let signer = Signer::new("ES256");
    let world = world(&signer).await;
    for (changed, error) in [
        (("redirect_uri", "https://evil.example/"), "invalid_request"),
        (("redirect_uri", ""), "invalid_request"),
        (
            ("response_type", "code id_token"),
            "unsupported_response_type",
        ),
        (("response_type", ""), "invalid_request"),
        (("response_mode", "fragment"), "invalid_request"),
        (("scope", "no:such"), "invalid_scope"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (
            ("request_uri", "urn:ietf:params:oauth:request_uri:AAAA"),
            "invalid_request",
        ),
        (("request", "a.b.c"), "request_not_supported"),
        (("resource", "https://elsewhere.example"), "invalid_target"),
        (("dpop_jkt", "short"), "invalid_request"),
        (("client_id", "gallery"), "invalid_client"),
    ] {
        let page = pushed(&world, "keyed", &signer, &[changed]).await;
        let status = if error == "invalid_client" { 401 } else { 400 };
        assert_refused(&page, (status, error), changed.0);
    }
    let long = "s".repeat(500);
    assert_eq!(
        pushed(&world, "keyed", &signer, &[("state", &long)])
            .await
            .status,
        201
    );
    for form in [
        &[("client_id", "keyed")][..],
        &[("client_id", "gallery"), ("client_secret", "wrong")],
        &[],
    ] {
        let page = post(&world, "/par", &[], form).await;
        assert_refused(&page, (401, "invalid_client"), "who is it");
    }
}

#[actix_web::test]
async fn the_tokens_of_a_grant_are_for_the_resource_that_was_asked_for() {
    let signer = Signer::new("ES256");
    let world = world(&signer).await;
    let code = async |resource: &str| {
        let login = Login::new("oidc", "ann-mfa")
            .with("client_id", "free")
            .with("resource", resource);
        let page = world.sign_in(&mut Browser::new(), &login).await.code();
        page.sent_with("code").expect("a code")
    };
    let of_code = "authorization_code";
    let free = code("").await;
    let tokens = redeemed(
        &world,
        "free",
        &signer,
        &[("grant_type", of_code), ("code", &free)],
    )
    .await;
    assert_eq!(audience(&tokens), BrokerSetup::AUDIENCE);
    // Each of a grant that is for no one in particular is for one, and the policy's scopes are the same.
    let refresh = read(&tokens)["refresh_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &refresh),
        ("resource", INDEX),
    ];
    assert_eq!(
        audience(&redeemed(&world, "free", &signer, &form).await),
        INDEX
    );
    let bound = code(INDEX).await;
    let tokens = redeemed(
        &world,
        "free",
        &signer,
        &[("grant_type", of_code), ("code", &bound)],
    )
    .await;
    assert_eq!(audience(&tokens), INDEX);
    let refresh = read(&tokens)["refresh_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &refresh),
        ("resource", BrokerSetup::AUDIENCE),
    ];
    let page = redeemed(&world, "free", &signer, &form).await;
    assert_refused(&page, (400, "invalid_target"), "another than was asked for");
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh.as_str()),
    ];
    assert_eq!(
        audience(&redeemed(&world, "free", &signer, &form).await),
        INDEX,
        "and nothing was spent"
    );
    let login = Login::new("oidc", "ann-mfa").with("resource", "https://elsewhere.example");
    let end = world.sign_in(&mut Browser::new(), &login).await;
    assert_eq!(end.summary(), "client: invalid_target");
    let page = read(
        &post(
            &world,
            "/introspect",
            &[],
            &[
                ("token", "x"),
                ("client_id", "gallery"),
                ("client_secret", BrokerSetup::SECRET),
            ],
        )
        .await,
    );
    assert_eq!(page, json!({"active": false}));
}
