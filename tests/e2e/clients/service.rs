//! A registry's own service acts as itself: what the policy names and nothing else, and never as a person.

use countersign_server::{
    Client, ClientAuthentication, GrantType, Resource, SecretDigest, SigningAlgorithm,
};
use countersign_tests::{BrokerSetup, Page, Signer, World, payload, wire};
use serde_json::json;

use super::{ASSERTION_TYPE, add, assert_refused, assertion, keyed, post, read};

const SECRET: &str = "secret-of-the-indexer";
const INDEX: &str = "https://index.registry.example";

/// The usual world with the services `indexer`, by a secret, and `keyed`, by a key; `gallery` is none.
async fn world(signer: &Signer) -> World {
    World::with(|setup| {
        let secret = ClientAuthentication::Secret(SecretDigest::of(SECRET));
        let mut indexer = Client::new("Indexer", vec![], secret, BrokerSetup::AUDIENCE);
        indexer.other_resources.insert(INDEX.into());
        let algorithm = SigningAlgorithm::EdDsa;
        setup.resources.insert(INDEX.into(), Resource { algorithm });
        let mut keyed = keyed(signer);
        for (id, client) in [("indexer", &mut indexer), ("keyed", &mut keyed)] {
            client.grants = [GrantType::ClientCredentials].into();
            add(setup, id, client.clone());
            setup
                .policy
                .push_str("own_scopes = [\"packages:read\", \"packages:manage\"]\n");
        }
    })
    .await
}

async fn asked(world: &World, more: &[(&str, &str)]) -> Page {
    let mut form = vec![("grant_type", "client_credentials")];
    form.extend(more);
    if !more.iter().any(|(name, _)| name.starts_with("client_")) {
        form.extend([("client_id", "indexer"), ("client_secret", SECRET)]);
    }
    post(world, "/token", &[], &form).await
}

async fn told(world: &World, path: &str, token: &str) -> Page {
    let form = [
        ("token", token),
        ("client_id", "indexer"),
        ("client_secret", SECRET),
    ];
    post(world, path, &[], &form).await
}

#[actix_web::test]
async fn a_service_gets_a_token_that_states_no_person() {
    let signer = Signer::new("EdDSA");
    let world = world(&signer).await;
    let page = asked(&world, &[]).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let body = read(&page);
    assert_eq!(body["scope"], "packages:manage packages:read");
    assert_eq!(
        (&body["token_type"], &body["expires_in"]),
        (&json!("Bearer"), &json!(600))
    );
    for member in ["refresh_token", "id_token"] {
        assert_eq!(body.get(member), None);
    }
    let token = body["access_token"].as_str().expect("a token");
    let claims = payload(token);
    assert_eq!(
        (&claims["sub"], &claims["client_id"]),
        (&json!("indexer"), &json!("indexer"))
    );
    assert_eq!(claims["aud"], BrokerSetup::AUDIENCE);
    for claim in ["acr", "amr", "auth_time", "sid", "countersign"] {
        assert_eq!(claims.get(claim), None, "{claim}");
    }
    let less = read(&asked(&world, &[("scope", "packages:read")]).await);
    assert_eq!(less["scope"], "packages:read");
    // It is no person's at UserInfo.
    assert_eq!(
        wire::user_info(&world.broker.issuer, token).await.status,
        403
    );
    let by_key = assertion(&world, "keyed", &signer);
    let more = [
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", &by_key),
    ];
    assert_eq!(asked(&world, &more).await.status, 200);
}

#[actix_web::test]
async fn a_service_gets_nothing_that_the_policy_does_not_name() {
    let world = world(&Signer::new("ES256")).await;
    for scope in [
        "packages:publish",
        "packages:read packages:publish",
        "openid",
        "profile",
        "no:such",
        "\u{e9}",
    ] {
        let page = asked(&world, &[("scope", scope)]).await;
        assert_refused(&page, (400, "invalid_scope"), scope);
    }
    let gallery = [
        ("client_id", "gallery"),
        ("client_secret", BrokerSetup::SECRET),
    ];
    assert_refused(
        &asked(&world, &gallery).await,
        (400, "unauthorized_client"),
        "not its grant",
    );
    for wrong in [
        [("client_id", "indexer"), ("client_secret", "wrong")],
        [("client_id", "indexer"), ("client_secret", "")],
    ] {
        assert_refused(
            &asked(&world, &wrong).await,
            (401, "invalid_client"),
            "who is it",
        );
    }
    // Nobody signs in to it, and it has no code to redeem.
    let page = post(
        &world,
        "/token",
        &[],
        &[
            ("grant_type", "authorization_code"),
            ("code", "x"),
            ("client_id", "indexer"),
            ("client_secret", SECRET),
        ],
    )
    .await;
    assert_refused(&page, (400, "unauthorized_client"), "a code");
    // The policy of the moment is asked.
    let stricter = world.broker.policy_text.replace(
        "own_scopes = [\"packages:read\", \"packages:manage\"]\n",
        "",
    );
    world.broker.enforce(&stricter);
    assert_refused(
        &asked(&world, &[]).await,
        (400, "invalid_scope"),
        "taken away",
    );
}

#[actix_web::test]
async fn a_services_token_is_told_of_and_ended_like_any_other() {
    let world = world(&Signer::new("ES256")).await;
    let token = || async {
        let body = read(&asked(&world, &[]).await);
        body["access_token"].as_str().expect("a token").to_owned()
    };
    let (first, second) = (token().await, token().await);
    for token in [&first, &second] {
        assert_eq!(
            read(&told(&world, "/introspect", token).await)["active"],
            true
        );
    }
    assert_eq!(told(&world, "/revoke", &first).await.status, 200);
    let first = read(&told(&world, "/introspect", &first).await);
    assert_eq!(first, json!({"active": false}));
    assert_eq!(
        read(&told(&world, "/introspect", &second).await)["active"],
        true
    );
    world.broker.clock.advance(600);
    assert_eq!(
        read(&told(&world, "/introspect", &second).await)["active"],
        false
    );
}

#[actix_web::test]
async fn a_token_is_for_one_resource_that_the_client_may_ask_for() {
    let world = world(&Signer::new("ES256")).await;
    let body = read(&asked(&world, &[("resource", INDEX)]).await);
    let token = body["access_token"].as_str().expect("a token");
    assert_eq!(payload(token)["aud"], INDEX);
    let two = [("resource", INDEX), ("resource", BrokerSetup::AUDIENCE)];
    assert_refused(
        &asked(&world, &two).await,
        (400, "invalid_target"),
        "two at once",
    );
    for bad in [
        "https://elsewhere.example",
        "https://index.registry.example/",
        "index",
        "https://index.registry.example#x",
    ] {
        let page = asked(&world, &[("resource", bad)]).await;
        assert_refused(&page, (400, "invalid_target"), bad);
    }
}
