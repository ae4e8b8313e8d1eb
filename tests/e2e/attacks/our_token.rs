//! Our own tokens at UserInfo: forged, bent, of another kind, out of time, in the wrong place.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_tests::{Browser, Login, Page, Tokens, World, payload, wire};
use serde_json::{Value, json};

async fn tokens(world: &World) -> Tokens {
    let login = Login::new("oidc", "ann-mfa");
    let page = world.sign_in(&mut Browser::new(), &login).await.code();
    world.redeem(&page).await
}

async fn jwks(world: &World) -> Vec<Value> {
    let page = wire::get(&world.broker.issuer, "/jwks.json", &[]).await;
    let document: Value = serde_json::from_str(&page.body).expect("JSON");
    document["keys"].as_array().expect("keys").clone()
}

fn segment(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn header(token: &str) -> Value {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').next().expect("a header"));
    serde_json::from_slice(&bytes.expect("base64url")).expect("JSON")
}

/// The same with one member changed.
fn with(value: &Value, name: &str, new: Value) -> Value {
    let mut value = value.clone();
    value[name] = new;
    value
}

/// A key of the attacker's.
struct Foreign(EcdsaKeyPair);

impl Foreign {
    fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        Self(pair)
    }

    #[expect(clippy::disallowed_methods, reason = "the attacker's dice")]
    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", segment(header), segment(claims));
        let signature = self
            .0
            .sign(&SystemRandom::new(), signed.as_bytes())
            .expect("a signature");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn jwk(&self, kid: &Value) -> Value {
        let point = self.0.public_key().as_ref();
        json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid,
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]),
        })
    }
}

fn hs256(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let signed = format!("{}.{}", segment(header), segment(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

#[track_caller]
fn assert_unauthorized(page: &Page, why: &str) {
    let challenge = page.header("www-authenticate");
    assert_eq!(page.status, 401, "{why}: {}", page.body);
    assert!(
        challenge.is_some_and(|one| one.contains("invalid_token")),
        "{why}: {challenge:?}"
    );
    assert_eq!(page.body, "", "{why}");
}

#[actix_web::test]
async fn a_forged_access_token_is_refused_and_nothing_is_fetched_for_it() {
    let world = World::new().await;
    let tokens = tokens(&world).await;
    let access = tokens.text("access_token").to_owned();
    assert_eq!(
        wire::user_info(&world.broker.issuer, &access).await.status,
        200
    );
    let (head, claims, foreign) = (header(&access), payload(&access), Foreign::new());
    let [signed, signature] = access.rsplitn(2, '.').collect::<Vec<_>>()[..] else {
        panic!()
    };
    let (signed, signature) = (signature, signed);
    let none = |alg: &str| {
        format!(
            "{}.{}.",
            segment(&with(&head, "alg", json!(alg))),
            segment(&claims)
        )
    };
    let url = format!("{}/foreign/keys", world.oidc.base_url());
    let mut forged: Vec<(String, String)> = ["none", "None", "NONE", "", "HS256", "ES384"]
        .map(|alg| (format!("alg {alg}, no signature"), none(alg)))
        .to_vec();
    for jwk in jwks(&world).await {
        for member in ["n", "x"] {
            let Some(text) = jwk[member].as_str() else {
                continue;
            };
            let bytes = URL_SAFE_NO_PAD.decode(text).expect("base64url");
            let head = with(
                &with(&head, "alg", json!("HS256")),
                "kid",
                jwk["kid"].clone(),
            );
            forged.push((
                format!("HS256 with the bytes of {member}"),
                hs256(&head, &claims, &bytes),
            ));
            forged.push((
                format!("HS256 with the text of {member}"),
                hs256(&head, &claims, text.as_bytes()),
            ));
        }
        let head = with(
            &with(&head, "alg", json!("HS256")),
            "kid",
            jwk["kid"].clone(),
        );
        forged.push((
            "HS256 with the JWK".into(),
            hs256(&head, &claims, jwk.to_string().as_bytes()),
        ));
    }
    let foreign_kid = foreign.jwk(&head["kid"]);
    for (why, header) in [
        ("a foreign key", head.clone()),
        ("jwk", with(&head, "jwk", foreign_kid.clone())),
        ("jku", with(&head, "jku", json!(url))),
        ("x5u", with(&head, "x5u", json!(url))),
        ("x5c", with(&head, "x5c", json!(["MIIB"]))),
        ("crit", with(&head, "crit", json!(["exp"]))),
        ("no kid", with(&head, "kid", Value::Null)),
        (
            "a kid that is a path",
            with(&head, "kid", json!("../../../../dev/null")),
        ),
        (
            "a kid that is SQL",
            with(&head, "kid", json!("x' UNION SELECT 'secret")),
        ),
        ("a kid that is an address", with(&head, "kid", json!(url))),
        (
            "a kid of 64 KiB",
            with(&head, "kid", json!("k".repeat(64 * 1024))),
        ),
        ("a kid that is a number", with(&head, "kid", json!(1))),
    ] {
        forged.push((why.to_owned(), foreign.sign(&header, &claims)));
    }
    for (name, value) in [
        ("sub", json!("acct_0")),
        ("scope", json!("openid tenants:write")),
        ("exp", json!(4_000_000_000_i64)),
        ("sid", json!("sess_0")),
    ] {
        let bent = format!(
            "{}.{}.{signature}",
            segment(&head),
            segment(&with(&claims, name, value))
        );
        forged.push((format!("{name} changed after signing"), bent));
    }
    let mut turned = signature.to_owned().into_bytes();
    turned[3] = if turned[3] == b'A' { b'B' } else { b'A' };
    let turned = String::from_utf8(turned).expect("base64url");
    forged.extend([
        ("no signature".to_owned(), format!("{signed}.")),
        (
            "a turned signature".to_owned(),
            format!("{signed}.{turned}"),
        ),
        (
            "a signature of zeros".to_owned(),
            format!("{signed}.{}", "A".repeat(86)),
        ),
        ("four segments".to_owned(), format!("{access}.{signature}")),
        (
            "five segments".to_owned(),
            format!("{signed}.a.b.{signature}"),
        ),
        ("padding".to_owned(), format!("{access}==")),
        (
            "the ID token".to_owned(),
            tokens.text("id_token").to_owned(),
        ),
        ("not a JWS".to_owned(), "x".to_owned()),
        ("10 KiB".to_owned(), "a".repeat(10_000)),
    ]);
    for (why, token) in forged {
        assert_unauthorized(&wire::user_info(&world.broker.issuer, &token).await, &why);
    }
    assert_eq!(
        world.oidc.control().hits("/foreign/keys"),
        0,
        "a token's own key was fetched"
    );
    assert_eq!(
        wire::user_info(&world.broker.issuer, &access).await.status,
        200,
        "still good"
    );
}

#[actix_web::test]
async fn tokens_of_another_broker_and_of_a_provider_are_no_tokens_here() {
    let (world, other) = (World::new().await, World::new().await);
    let theirs = tokens(&other).await;
    for name in ["access_token", "id_token"] {
        let page = wire::user_info(&world.broker.issuer, theirs.text(name)).await;
        assert_unauthorized(&page, name);
    }
    let renamed = with(
        &payload(theirs.text("access_token")),
        "iss",
        json!(world.broker.issuer),
    );
    let kid = &jwks(&world).await[0]["kid"];
    let head = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid});
    let page = wire::user_info(&world.broker.issuer, &Foreign::new().sign(&head, &renamed)).await;
    assert_unauthorized(&page, "our name, another one's key");
}

#[actix_web::test]
async fn an_access_token_counts_from_its_time_to_its_time() {
    let world = World::new().await;
    let tokens = tokens(&world).await;
    let access = tokens.text("access_token");
    let ask = async || wire::user_info(&world.broker.issuer, access).await;
    world.broker.clock.advance(-3_600);
    assert_unauthorized(&ask().await, "an hour before it was issued");
    world.broker.clock.advance(3_600 + 9 * 60);
    assert_eq!(ask().await.status, 200, "after nine minutes");
    world.broker.clock.advance(2 * 60);
    assert_unauthorized(&ask().await, "after eleven minutes");
    world.broker.clock.advance(14 * 24 * 3_600);
    assert_unauthorized(&ask().await, "two weeks later");
    let code = world
        .sign_in(&mut Browser::new(), &Login::new("github", "ann-mfa"))
        .await;
    assert_eq!(
        world.redeem(&code.code()).await.status,
        200,
        "and life goes on"
    );
}

#[actix_web::test]
async fn a_token_is_shown_once_and_never_in_the_address() {
    let world = World::new().await;
    let tokens = tokens(&world).await;
    let access = tokens.text("access_token");
    let issuer = &world.broker.issuer;
    let bearer = format!("Bearer {access}");
    let form = format!("access_token={access}");
    let (header, no_header) = ([("authorization", bearer.as_str())], []);
    let post = async |headers: &[(&str, &str)], body: &str| {
        wire::send("POST", issuer, "/userinfo", headers, body)
            .await
            .status
    };
    assert_eq!(post(&header, "").await, 200);
    assert_eq!(post(&no_header, &form).await, 200);
    assert_eq!(post(&header, &form).await, 400, "in two places");
    assert_eq!(
        post(&no_header, &format!("{form}&{form}")).await,
        400,
        "twice in the form"
    );
    let twice = [
        ("authorization", bearer.as_str()),
        ("authorization", bearer.as_str()),
    ];
    assert_eq!(post(&twice, "").await, 400, "two headers");
    let in_query = wire::get(issuer, &format!("/userinfo?{form}"), &[]).await;
    assert_eq!(in_query.status, 401, "in the address: {}", in_query.body);
    for wrong in [
        format!("Basic {access}"),
        format!("DPoP {access}"),
        "Bearer".to_owned(),
        access.to_owned(),
    ] {
        let page = wire::get(issuer, "/userinfo", &[("authorization", &wrong)]).await;
        assert!(
            matches!(page.status, 400 | 401),
            "`{wrong}`: {}",
            page.status
        );
    }
}
