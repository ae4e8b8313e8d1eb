//! A service exchanges the token that it was given: for the same person, never for more.

use countersign_server::{GrantType, Resource, SigningAlgorithm};
use countersign_tests::{BrokerSetup, Browser, Login, Page, Signer, Tokens, World, payload, wire};
use serde_json::{Value, json};

use super::{ASSERTION_TYPE, add, assert_refused, assertion, keyed, post, read};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const INDEX: &str = "https://index.registry.example";
const REFUSED: (u16, &str) = (400, "invalid_request");

/// The usual world, in which the service `keyed`, whose resource `gallery`'s tokens are for, calls the index;
/// `stranger` may exchange too, and is another resource.
async fn world(signer: &Signer) -> World {
    World::with(|setup| {
        setup.gallery().grants.insert(GrantType::RefreshToken);
        let algorithm = SigningAlgorithm::Es256;
        setup.resources.insert(INDEX.into(), Resource { algorithm });
        let mut service = keyed(signer);
        service.redirect_uris.clear();
        service.grants = [GrantType::TokenExchange, GrantType::ClientCredentials].into();
        let mut stranger = service.clone();
        service.other_resources.insert(INDEX.into());
        stranger.resource = INDEX.into();
        add(setup, "keyed", service);
        setup.policy.push_str("own_scopes = [\"packages:read\"]\n");
        add(setup, "stranger", stranger);
    })
    .await
}

async fn signed_in(world: &World, login: &Login) -> Tokens {
    let page = world.sign_in(&mut Browser::new(), login).await.code();
    let tokens = world.redeem(&page).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    tokens
}

fn ann() -> Login {
    Login::new("oidc", "ann-mfa").with("scope", "openid packages:manage packages:publish")
}

async fn exchanged(
    world: &World,
    (client, signer): (&str, &Signer),
    changed: &[(&str, &str)],
) -> Page {
    let assertion = assertion(world, client, signer);
    let mut form = vec![
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion.as_str()),
        ("grant_type", EXCHANGE),
        ("subject_token_type", ACCESS_TOKEN),
        ("resource", INDEX),
        ("scope", "packages:manage"),
    ];
    for (name, value) in changed {
        form.retain(|(known, _)| known != name);
        form.push((name, value));
    }
    post(world, "/token", &[], &form).await
}

fn claims(page: &Page) -> Value {
    assert_eq!(page.status, 200, "{}", page.body);
    payload(read(page)["access_token"].as_str().expect("a token"))
}

#[actix_web::test]
async fn a_service_gets_a_token_for_the_service_that_it_calls_and_nothing_of_the_login_changes() {
    let signer = Signer::new("ES256");
    let world = world(&signer).await;
    let tokens = signed_in(&world, &ann()).await;
    let given = tokens.access();
    world.broker.clock.advance(300);
    let subject = ("subject_token", tokens.text("access_token"));
    let page = exchanged(&world, ("keyed", &signer), &[subject]).await;
    let got = claims(&page);
    let body = read(&page);
    assert_eq!(body["issued_token_type"], ACCESS_TOKEN);
    assert_eq!(
        (&body["token_type"], &body["scope"]),
        (&json!("Bearer"), &json!("packages:manage"))
    );
    assert_eq!(
        (body.get("refresh_token"), body.get("id_token")),
        (None, None)
    );
    for claim in [
        "iss",
        "sub",
        "acr",
        "amr",
        "auth_time",
        "sid",
        "exp",
        "countersign",
    ] {
        assert_eq!(got[claim], given[claim], "{claim}");
    }
    assert_eq!(
        (&got["aud"], &got["client_id"]),
        (&json!(INDEX), &json!("keyed"))
    );
    assert_eq!(got["act"], json!({"sub": "keyed"}));
    assert_ne!(got["jti"], given["jti"]);
    // Whoever is given that one says who was before.
    let token = body["access_token"].as_str().expect("a token").to_owned();
    let page = exchanged(&world, ("stranger", &signer), &[("subject_token", &token)]).await;
    assert_eq!(
        claims(&page)["act"],
        json!({"sub": "stranger", "act": {"sub": "keyed"}})
    );
    // It ends with the grant that it came from.
    let form = [
        ("token", tokens.text("refresh_token")),
        ("client_id", "gallery"),
        ("client_secret", BrokerSetup::SECRET),
    ];
    assert_eq!(post(&world, "/revoke", &[], &form).await.status, 200);
    let page = exchanged(&world, ("stranger", &signer), &[("subject_token", &token)]).await;
    assert_refused(&page, REFUSED, "its grant is ended");
    let page = exchanged(&world, ("keyed", &signer), &[subject]).await;
    assert_refused(&page, REFUSED, "its grant is ended");
}

#[actix_web::test]
async fn an_exchange_never_gives_more() {
    let signer = Signer::new("ES256");
    let world = world(&signer).await;
    let login = Login::new("oidc", "ann-mfa").with("scope", "openid packages:manage");
    let tokens = signed_in(&world, &login).await;
    let access = tokens.text("access_token");
    for (changed, error) in [
        (("scope", "packages:publish"), "invalid_scope"),
        (
            ("scope", "packages:manage packages:publish"),
            "invalid_scope",
        ),
        (("scope", "no:such"), "invalid_scope"),
        (("resource", "https://elsewhere.example"), "invalid_target"),
        (("audience", BrokerSetup::AUDIENCE), "invalid_target"),
        (
            (
                "requested_token_type",
                "urn:ietf:params:oauth:token-type:refresh_token",
            ),
            "invalid_request",
        ),
        (
            (
                "requested_token_type",
                "urn:ietf:params:oauth:token-type:id_token",
            ),
            "invalid_request",
        ),
        (
            (
                "subject_token_type",
                "urn:ietf:params:oauth:token-type:id_token",
            ),
            "invalid_request",
        ),
        (("subject_token_type", ""), "invalid_request"),
        (("actor_token", "x"), "invalid_request"),
        (("actor_token_type", ACCESS_TOKEN), "invalid_request"),
    ] {
        let page = exchanged(
            &world,
            ("keyed", &signer),
            &[("subject_token", access), changed],
        )
        .await;
        assert_refused(&page, (400, error), &format!("{changed:?}"));
    }
    // Without a list of scopes it is for those of the token.
    let page = exchanged(
        &world,
        ("keyed", &signer),
        &[("subject_token", access), ("scope", "")],
    )
    .await;
    assert_eq!(claims(&page)["scope"], "openid packages:manage");
    // The policy of the moment is asked, and for the client that asks.
    let usual = world.broker.policy_text.clone();
    world.broker.enforce(&usual.replace(
        "[client.keyed]\ntier = \"manage\"",
        "[client.keyed]\ntier = \"seal\"",
    ));
    let page = exchanged(&world, ("keyed", &signer), &[("subject_token", access)]).await;
    assert_refused(&page, REFUSED, "a stricter policy");
    assert!(
        !read(&page)["error_description"]
            .as_str()
            .expect("why")
            .is_empty()
    );
}

#[actix_web::test]
async fn only_who_was_given_a_token_exchanges_it() {
    let signer = Signer::new("ES256");
    let world = world(&signer).await;
    let tokens = signed_in(&world, &ann()).await;
    let (access, id, refresh) = (
        tokens.text("access_token"),
        tokens.text("id_token"),
        tokens.text("refresh_token"),
    );
    let page = exchanged(
        &world,
        ("stranger", &signer),
        &[("subject_token", access), ("resource", "")],
    )
    .await;
    assert_refused(&page, REFUSED, "it is not for this service");
    for (why, token) in [
        ("an ID token", id),
        ("a refresh token", refresh),
        ("nothing", ""),
        ("garbage", "a.b.c"),
    ] {
        let page = exchanged(&world, ("keyed", &signer), &[("subject_token", token)]).await;
        assert_refused(&page, REFUSED, why);
    }
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", access),
        ("subject_token_type", ACCESS_TOKEN),
        ("client_id", "gallery"),
        ("client_secret", BrokerSetup::SECRET),
    ];
    let page = post(&world, "/token", &[], &form).await;
    assert_refused(&page, (400, "unauthorized_client"), "not its grant");
    // A service's own token is no person's.
    let assertion = assertion(&world, "keyed", &signer);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", &assertion),
    ];
    let own = read(&post(&world, "/token", &[], &form).await);
    let own = own["access_token"].as_str().expect("a token").to_owned();
    let page = exchanged(
        &world,
        ("keyed", &signer),
        &[("subject_token", &own), ("scope", "")],
    )
    .await;
    assert_refused(&page, REFUSED, "nobody stands behind it");
    world.broker.clock.advance(600);
    let page = exchanged(&world, ("keyed", &signer), &[("subject_token", access)]).await;
    assert_refused(&page, REFUSED, "expired");
    assert_eq!(
        wire::user_info(&world.broker.issuer, access).await.status,
        401
    );
}

#[actix_web::test]
async fn an_exchange_restates_nothing_that_the_policy_has_come_to_count() {
    let signer = Signer::new("ES256");
    let world = World::with(|setup| {
        let algorithm = SigningAlgorithm::Es256;
        setup.resources.insert(INDEX.into(), Resource { algorithm });
        let mut service = keyed(&signer);
        service.redirect_uris.clear();
        service.grants = [GrantType::TokenExchange].into();
        service.other_resources.insert(INDEX.into());
        add(setup, "keyed", service);
        setup.policy = setup
            .policy
            .replace("]\ntier = \"manage\"", "]\ntier = \"browse\"");
    })
    .await;
    let login = Login::new("oidc", "bob-password").with("scope", "openid packages:read");
    let tokens = signed_in(&world, &login).await;
    let subject = ("subject_token", tokens.text("access_token"));
    let less = [subject, ("scope", "packages:read")];
    let page = exchanged(&world, ("keyed", &signer), &less).await;
    assert_eq!(claims(&page)["acr"], "urn:countersign:single");
    let counted = "\"urn:dev-idp:mfa\", \"phr\", \"urn:dev-idp:single\"";
    let looser = world
        .broker
        .policy_text
        .replace("\"urn:dev-idp:mfa\", \"phr\"", counted);
    assert_ne!(looser, world.broker.policy_text);
    world.broker.enforce(&looser);
    let page = exchanged(&world, ("keyed", &signer), &less).await;
    assert_refused(&page, REFUSED, "it would be laundered");
    assert_eq!(read(&page)["error_description"], "weighed-otherwise");
}

#[actix_web::test]
async fn what_is_given_names_no_organization_that_what_was_given_did_not() {
    let signer = Signer::new("ES256");
    let world = world(&signer).await;
    let tenant = countersign_dev_idp::entra::CONTOSO;
    let strict = "stricter.publish = { needs = \"phishing-resistant\" }\n";
    let of =
        |name: &str, more: &str| format!("[organization.{name}]\ntenants = [\"{tenant}\"]\n{more}");
    let (one, two, three) = (of("one", ""), of("two", ""), of("strict", strict));
    let policy = &world.broker.policy_text;
    world
        .broker
        .enforce(&format!("{policy}\n{one}{two}{three}"));
    let names = |claims: &Value| claims["countersign"]["organizations"].clone();
    let login = Login::new("entra", "ann-mfa");
    let login = login.with("scope", "openid packages:manage packages:publish");
    let page = world
        .sign_in_with_step_up(&mut Browser::new(), &login)
        .await
        .code();
    let tokens = world.redeem(&page).await;
    assert_eq!(names(&tokens.access()), json!(["one", "two"]));
    let subject = ("subject_token", tokens.text("access_token"));
    let page = exchanged(&world, ("keyed", &signer), &[subject]).await;
    // Without `packages:publish` the third would be named in a token of its own sign-in.
    assert_eq!(names(&claims(&page)), json!(["one", "two"]));
}
