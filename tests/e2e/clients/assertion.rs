//! A client says who it is by what it signs: each assertion is its own, for us, and good once.

use countersign_providers::PublishedKeys;
use countersign_server::{ClientAuthentication, GrantType};
use countersign_tests::{BrokerSetup, Page, Signer, World, wire};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use url::Url;

use super::{
    ASSERTION_TYPE, VERIFIER, add, assert_refused, assertion, assertion_claims, code, fresh, keyed,
    now, post, read,
};

const REFUSED: (u16, &str) = (401, "invalid_client");

/// The usual world with the client `keyed`, and `other`, which has a key of its own.
async fn world(signer: &Signer, other: &Signer) -> World {
    World::with(|setup| {
        let mut client = keyed(signer);
        client.grants.insert(GrantType::RefreshToken);
        add(setup, "keyed", client);
        add(setup, "other", keyed(other));
    })
    .await
}

/// The token request of `keyed` for this code, authenticated by this.
async fn redeemed(world: &World, code: &str, assertion: &str) -> Page {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", BrokerSetup::REDIRECT_URI),
        ("code_verifier", VERIFIER),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion),
    ];
    post(world, "/token", &[], &form).await
}

/// A request that is answered to any client that is who it says: the token is none.
async fn asked(world: &World, path: &str, more: &[(&str, &str)]) -> Page {
    let mut form = vec![("token", "none")];
    form.extend(more);
    post(world, path, &[], &form).await
}

async fn asked_with(world: &World, assertion: &str) -> Page {
    let more = [
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion),
    ];
    asked(world, "/introspect", &more).await
}

#[actix_web::test]
async fn a_client_gets_tokens_by_what_it_signs_with_any_of_the_algorithms() {
    for algorithm in ["ES256", "EdDSA", "PS256", "RS256"] {
        let (signer, other) = (Signer::new(algorithm), Signer::new("ES256"));
        let world = world(&signer, &other).await;
        let code = code(&world, "keyed").await;
        let page = redeemed(&world, &code, &assertion(&world, "keyed", &signer)).await;
        assert_eq!(page.status, 200, "{algorithm}: {}", page.body);
        let tokens = read(&page);
        let token = tokens["access_token"].as_str().expect("a token");
        let refresh = tokens["refresh_token"].as_str().expect("a token");
        assert_eq!(
            wire::user_info(&world.broker.issuer, token).await.status,
            200
        );
        // The same at every endpoint that asks who is there.
        let mine = assertion(&world, "keyed", &signer);
        let form = [
            ("token", token),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", &mine),
        ];
        let told = read(&post(&world, "/introspect", &[], &form).await);
        assert_eq!(told["active"], true, "{told}");
        let mine = assertion(&world, "keyed", &signer);
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh),
            ("client_id", "keyed"),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", &mine),
        ];
        assert_eq!(post(&world, "/token", &[], &form).await.status, 200);
        let mine = assertion(&world, "keyed", &signer);
        let form = [
            ("token", token),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", &mine),
        ];
        assert_eq!(post(&world, "/revoke", &[], &form).await.status, 200);
        assert_eq!(
            wire::user_info(&world.broker.issuer, token).await.status,
            401
        );
    }
}

#[actix_web::test]
async fn a_client_with_a_key_is_nobody_without_it() {
    let (signer, other) = (Signer::new("ES256"), Signer::new("ES256"));
    let world = world(&signer, &other).await;
    let good = assertion(&world, "keyed", &signer);
    for (why, more) in [
        ("its id alone", vec![("client_id", "keyed")]),
        (
            "a secret",
            vec![("client_id", "keyed"), ("client_secret", "x")],
        ),
        (
            "no type",
            vec![("client_id", "keyed"), ("client_assertion", good.as_str())],
        ),
        (
            "a type alone",
            vec![
                ("client_id", "keyed"),
                ("client_assertion_type", ASSERTION_TYPE),
            ],
        ),
        (
            "another type",
            vec![
                (
                    "client_assertion_type",
                    "urn:ietf:params:oauth:client-assertion-type:saml2-bearer",
                ),
                ("client_assertion", &good),
            ],
        ),
        (
            "another client's id beside it",
            vec![
                ("client_id", "other"),
                ("client_assertion_type", ASSERTION_TYPE),
                ("client_assertion", &good),
            ],
        ),
    ] {
        for path in ["/introspect", "/revoke", "/token"] {
            assert_refused(&asked(&world, path, &more).await, REFUSED, why);
        }
    }
    let two_ways = [
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", &good),
        ("client_secret", "x"),
    ];
    let page = asked(&world, "/introspect", &two_ways).await;
    assert_refused(&page, (400, "invalid_request"), "two ways");
    // Nothing of that has used it up.
    assert_eq!(asked_with(&world, &good).await.status, 200);
    // A client with a secret does not become one with a key.
    let page = asked_with(&world, &assertion(&world, "gallery", &signer)).await;
    assert_refused(&page, REFUSED, "a client with a secret");
}

#[actix_web::test]
async fn an_assertion_that_is_not_the_clients_own_is_refused() {
    let (signer, other) = (Signer::new("ES256"), Signer::new("ES256"));
    let world = world(&signer, &other).await;
    let claims = || assertion_claims(&world, "keyed");
    let kid = json!({"kid": signer.thumbprint()});
    let with = |name: &str, value: Value| {
        let mut header = kid.clone();
        header[name] = value;
        header
    };
    let elsewhere = format!("{}/foreign/keys", world.oidc.base_url());
    let unsigned = {
        let whole = signer.sign(&with("alg", json!("none")), &claims());
        format!("{}.", whole.rsplit_once('.').expect("segments").0)
    };
    let mut bad = vec![
        ("another's key", other.sign(&kid, &claims())),
        (
            "another's key under its own name",
            other.sign(&json!({"kid": other.thumbprint()}), &claims()),
        ),
        ("another's assertion", assertion(&world, "other", &signer)),
        ("unsigned", unsigned),
        (
            "HS256",
            signer.sign(&with("alg", json!("HS256")), &claims()),
        ),
        (
            "another algorithm",
            signer.sign(&with("alg", json!("RS256")), &claims()),
        ),
        (
            "an access token's type",
            signer.sign(&with("typ", json!("at+jwt")), &claims()),
        ),
        (
            "a proof's type",
            signer.sign(&with("typ", json!("dpop+jwt")), &claims()),
        ),
        ("jwk", other.sign(&with("jwk", other.jwk()), &claims())),
        (
            "its own jwk",
            signer.sign(&with("jwk", signer.jwk()), &claims()),
        ),
        (
            "jku",
            signer.sign(&with("jku", json!(elsewhere)), &claims()),
        ),
        (
            "x5u",
            signer.sign(&with("x5u", json!(elsewhere)), &claims()),
        ),
        ("x5c", signer.sign(&with("x5c", json!(["MIIB"])), &claims())),
        (
            "crit",
            signer.sign(&with("crit", json!(["exp"])), &claims()),
        ),
        ("no JWT", "a.b".to_owned()),
        ("nothing but dots", "..".to_owned()),
    ];
    for (name, value) in [
        ("iss", json!("other")),
        ("sub", json!("other")),
        ("aud", json!("https://evil.example")),
        ("aud", json!([world.broker.issuer, "https://evil.example"])),
        ("exp", json!(now(&world) - 1)),
        ("exp", json!(now(&world) + 3600)),
        ("exp", Value::Null),
        ("jti", Value::Null),
        ("nbf", json!(now(&world) + 61)),
        ("iat", json!(now(&world) + 61)),
    ] {
        let mut claims = claims();
        claims[name] = value;
        bad.push((name, signer.sign(&kid, &claims)));
    }
    for (why, assertion) in &bad {
        assert_refused(&asked_with(&world, assertion).await, REFUSED, why);
    }
    // Of one that was refused nothing is remembered, and a clock that is a little ahead does no harm.
    let mut ahead = claims();
    ahead["iat"] = json!(now(&world) + 10);
    for good in [
        signer.sign(&kid, &ahead),
        signer.sign(&json!({}), &claims()),
        signer.sign(&with("typ", json!("client-authentication+jwt")), &claims()),
    ] {
        assert_eq!(asked_with(&world, &good).await.status, 200);
    }
}

#[actix_web::test]
async fn an_assertion_is_good_once_for_one_of_many() {
    let (signer, other) = (Signer::new("ES256"), Signer::new("ES256"));
    let world = world(&signer, &other).await;
    let once = assertion(&world, "keyed", &signer);
    let form = format!("token=none&client_assertion_type={ASSERTION_TYPE}&client_assertion={once}");
    let mut racers = JoinSet::new();
    for _ in 0..50 {
        let (issuer, form) = (world.broker.issuer.clone(), form.clone());
        racers.spawn(async move { wire::send("POST", &issuer, "/introspect", &[], &form).await });
    }
    let answers = racers.join_all().await;
    let good = answers.iter().filter(|page| page.status == 200).count();
    let refused = answers.iter().filter(|page| page.status == 401).count();
    assert_eq!((good, refused), (1, 49));
    // Elsewhere neither; and the names that another client gives are its own affair.
    let more = [
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", &once),
    ];
    assert_refused(
        &asked(&world, "/revoke", &more).await,
        REFUSED,
        "at another endpoint",
    );
    let named = |client: &str, signer: &Signer, jti: &str| {
        let mut claims = assertion_claims(&world, client);
        claims["jti"] = json!(jti);
        signer.sign(&json!({"kid": signer.thumbprint()}), &claims)
    };
    let jti = fresh();
    for (client, signer) in [("keyed", &signer), ("other", &other)] {
        let page = asked_with(&world, &named(client, signer, &jti)).await;
        assert_eq!(page.status, 200, "{client}: {}", page.body);
    }
    assert_refused(
        &asked_with(&world, &named("keyed", &signer, &jti)).await,
        REFUSED,
        "its `jti`",
    );
}

#[actix_web::test]
async fn the_token_endpoint_and_the_endpoint_itself_are_us_too() {
    let (signer, other) = (Signer::new("ES256"), Signer::new("ES256"));
    let world = world(&signer, &other).await;
    let issuer = &world.broker.issuer;
    let for_audience = |audience: Value| {
        let mut claims = assertion_claims(&world, "keyed");
        claims["aud"] = audience;
        signer.sign(&json!({}), &claims)
    };
    for (audience, status) in [
        (json!(format!("{issuer}/token")), 200),
        (json!(format!("{issuer}/introspect")), 200),
        (json!([issuer]), 200),
        (json!(format!("{issuer}/revoke")), 401),
        (json!(format!("{issuer}/")), 401),
        (json!([issuer, format!("{issuer}/token")]), 401),
    ] {
        let page = asked_with(&world, &for_audience(audience.clone())).await;
        assert_eq!(page.status, status, "{audience}: {}", page.body);
    }
}

/// The stand-in publishes a key set, as a client would at its `jwks_uri`.
#[actix_web::test]
async fn keys_at_an_address_are_fetched_and_one_that_does_not_answer_lets_nobody_in() {
    let signer = Signer::new("ES256");
    let keys_at = |address: String| {
        let url = Url::parse(&address).expect("an address");
        ClientAuthentication::PrivateKey(std::sync::Arc::new(PublishedKeys::at(url)))
    };
    let host = wire::Serving::json(signer.key_set().to_string()).await;
    let world = World::with(|setup| {
        for (id, address) in [
            ("keyed", format!("{}/jwks", host.base)),
            ("gone", "http://127.0.0.1:9/jwks".to_owned()),
        ] {
            let mut client = keyed(&signer);
            client.authentication = keys_at(address);
            add(setup, id, client);
        }
    })
    .await;
    for _ in 0..3 {
        let page = asked_with(&world, &assertion(&world, "keyed", &signer)).await;
        assert_eq!(page.status, 200, "{}", page.body);
    }
    assert_eq!(host.asked(), 1, "asked for each assertion");
    let forged = assertion(&world, "keyed", &Signer::new("ES256"));
    assert_refused(
        &asked_with(&world, &forged).await,
        REFUSED,
        "an unknown key",
    );
    let page = asked_with(&world, &assertion(&world, "gone", &signer)).await;
    assert_refused(&page, (503, "temporarily_unavailable"), "no keys");
}
