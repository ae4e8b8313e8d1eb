//! Tokens that are bound to a key: of no use to who has them and not the key.

use countersign_server::{Client, ClientAuthentication, GrantType};
use countersign_tests::{BrokerSetup, Browser, Login, Page, Signer, World, payload, wire};
use serde_json::{Value, json};

use super::{
    ASSERTION_TYPE, VERIFIER, add, assert_refused, assertion, fresh, keyed, now, post, read,
};

const BAD_PROOF: (u16, &str) = (400, "invalid_dpop_proof");
const NOT_GOOD: (u16, &str) = (400, "invalid_grant");

/// The usual world with the public client `app`, and `keyed`, whose tokens must be bound.
async fn world(signer: &Signer) -> World {
    World::with(|setup| {
        let uris = vec![BrokerSetup::REDIRECT_URI.into()];
        let mut app = Client::new(
            "App",
            uris,
            ClientAuthentication::Public,
            BrokerSetup::AUDIENCE,
        );
        let mut keyed = keyed(signer);
        keyed.must_bind = true;
        for (id, client) in [("app", &mut app), ("keyed", &mut keyed)] {
            client.grants.insert(GrantType::RefreshToken);
            add(setup, id, client.clone());
        }
    })
    .await
}

/// What a proof says of a request to us.
pub(crate) fn proof_claims(world: &World, method: &str, path: &str, nonce: &str) -> Value {
    json!({
        "jti": fresh(), "htm": method, "htu": format!("{}{path}", world.broker.issuer),
        "iat": now(world), "nonce": nonce,
    })
}

pub(crate) fn signed(key: &Signer, claims: &Value) -> String {
    key.sign(&json!({"typ": "dpop+jwt", "jwk": key.jwk()}), claims)
}

/// The nonce of this moment, from an answer that asks for one.
pub(crate) async fn nonce(world: &World) -> String {
    let key = Signer::new("ES256");
    let mut claims = proof_claims(world, "POST", "/token", "");
    claims.as_object_mut().expect("claims").remove("nonce");
    let proof = signed(&key, &claims);
    let form = [
        ("grant_type", "authorization_code"),
        ("code", "x"),
        ("client_id", "gallery"),
        ("client_secret", BrokerSetup::SECRET),
    ];
    let page = post(world, "/token", &[("dpop", &proof)], &form).await;
    assert_refused(&page, (400, "use_dpop_nonce"), "no nonce");
    page.header("dpop-nonce").expect("a nonce").to_owned()
}

async fn proof(world: &World, key: &Signer, method: &str, path: &str) -> String {
    signed(key, &proof_claims(world, method, path, &nonce(world).await))
}

async fn code(world: &World, login: &Login) -> String {
    let page = world.sign_in(&mut Browser::new(), login).await.code();
    page.sent_with("code").expect("a code")
}

fn app() -> Login {
    Login::new("oidc", "ann-mfa").with("client_id", "app")
}

/// The token request of `app`, with this proof.
async fn asked(world: &World, proof: Option<&str>, form: &[(&str, &str)]) -> Page {
    let mut all = vec![
        ("client_id", "app"),
        ("redirect_uri", BrokerSetup::REDIRECT_URI),
        ("code_verifier", VERIFIER),
    ];
    all.extend(form);
    let headers: Vec<_> = proof.into_iter().map(|proof| ("dpop", proof)).collect();
    post(world, "/token", &headers, &all).await
}

async fn redeemed(world: &World, key: &Signer) -> Page {
    let code = code(world, &app()).await;
    let proof = proof(world, key, "POST", "/token").await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
    ];
    asked(world, Some(&proof), &form).await
}

async fn refreshed(world: &World, proof: Option<&str>, token: &str) -> Page {
    asked(
        world,
        proof,
        &[("grant_type", "refresh_token"), ("refresh_token", token)],
    )
    .await
}

fn text(page: &Page, name: &str) -> String {
    assert_eq!(page.status, 200, "{}", page.body);
    read(page)[name].as_str().expect("a text").to_owned()
}

/// UserInfo with this token by this scheme, and a proof that names it.
async fn user_info(world: &World, scheme: &str, token: &str, proof: Option<&str>) -> Page {
    let authorization = format!("{scheme} {token}");
    let mut headers = vec![("authorization", authorization.as_str())];
    headers.extend(proof.map(|proof| ("dpop", proof)));
    wire::get(&world.broker.issuer, "/userinfo", &headers).await
}

async fn proof_of_token(world: &World, key: &Signer, token: &str) -> String {
    use base64::Engine;
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    let mut claims = proof_claims(world, "GET", "/userinfo", &nonce(world).await);
    claims["ath"] = json!(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash));
    signed(key, &claims)
}

#[actix_web::test]
async fn a_token_is_bound_to_the_key_that_was_shown_for_it() {
    let world = world(&Signer::new("ES256")).await;
    for algorithm in ["ES256", "EdDSA", "PS256"] {
        let key = Signer::new(algorithm);
        let page = redeemed(&world, &key).await;
        let token = text(&page, "access_token");
        assert_eq!(read(&page)["token_type"], "DPoP");
        assert_eq!(payload(&token)["cnf"], json!({"jkt": key.thumbprint()}));
        let proof = proof_of_token(&world, &key, &token).await;
        let page = user_info(&world, "DPoP", &token, Some(&proof)).await;
        assert_eq!(page.status, 200, "{algorithm}: {}", page.body);
        let form = [
            ("token", token.as_str()),
            ("client_id", "gallery"),
            ("client_secret", BrokerSetup::SECRET),
        ];
        let told = read(&post(&world, "/introspect", &[], &form).await);
        assert_eq!(
            (&told["active"], &told["token_type"]),
            (&json!(true), &json!("DPoP"))
        );
        assert_eq!(told["cnf"]["jkt"], key.thumbprint());
    }
}

#[actix_web::test]
async fn a_bound_token_is_of_no_use_without_its_key() {
    let world = world(&Signer::new("ES256")).await;
    let (key, thief) = (Signer::new("ES256"), Signer::new("ES256"));
    let token = text(&redeemed(&world, &key).await, "access_token");
    let good = proof_of_token(&world, &key, &token).await;
    let of_another_request = proof(&world, &key, "GET", "/userinfo").await;
    let stolen = proof_of_token(&world, &thief, &token).await;
    for (why, scheme, proof) in [
        ("downgraded", "Bearer", None),
        ("downgraded beside its proof", "Bearer", Some(good.as_str())),
        ("no proof", "DPoP", None),
        ("the thief's key", "DPoP", Some(stolen.as_str())),
        (
            "a proof without `ath`",
            "DPoP",
            Some(of_another_request.as_str()),
        ),
        ("no JWT", "DPoP", Some("x")),
    ] {
        let page = user_info(&world, scheme, &token, proof).await;
        assert_eq!(page.status, 401, "{why}");
        let challenge = page.header("www-authenticate").expect("a challenge");
        assert!(challenge.starts_with("DPoP "), "{why}: {challenge}");
    }
    let two = [
        ("authorization", format!("DPoP {token}")),
        ("dpop", good.clone()),
        ("dpop", good.clone()),
    ];
    let two: Vec<(&str, &str)> = two
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    assert_eq!(
        wire::get(&world.broker.issuer, "/userinfo", &two)
            .await
            .status,
        401,
        "two proofs"
    );
    let form = format!("access_token={token}");
    let page = wire::send("POST", &world.broker.issuer, "/userinfo", &[], &form).await;
    assert_eq!(page.status, 401, "in the form");
    // The good one is good, once; and a token that is bound to nothing takes no proof.
    assert_eq!(
        user_info(&world, "DPoP", &token, Some(&good)).await.status,
        200
    );
    assert_eq!(
        user_info(&world, "DPoP", &token, Some(&good)).await.status,
        401,
        "again"
    );
    let page = world
        .sign_in(&mut Browser::new(), &Login::new("oidc", "ann-mfa"))
        .await
        .code();
    let bearer = world.redeem(&page).await;
    let bearer = bearer.text("access_token");
    let proof = proof_of_token(&world, &key, bearer).await;
    assert_eq!(
        user_info(&world, "DPoP", bearer, Some(&proof)).await.status,
        401,
        "not bound"
    );
}

#[actix_web::test]
async fn a_proof_is_of_this_request_fresh_and_good_once() {
    let world = world(&Signer::new("ES256")).await;
    let (key, other) = (Signer::new("ES256"), Signer::new("ES256"));
    let good = || async { proof_claims(&world, "POST", "/token", &nonce(&world).await) };
    let form = [("grant_type", "authorization_code"), ("code", "x")];
    for (name, value) in [
        ("htm", json!("GET")),
        ("htu", json!(format!("{}/par", world.broker.issuer))),
        ("htu", json!("https://evil.example/token")),
        ("iat", json!(now(&world) - 3600)),
        ("iat", json!(now(&world) + 3600)),
        ("iat", Value::Null),
        ("jti", Value::Null),
    ] {
        let mut claims = good().await;
        claims[name] = value;
        let page = asked(&world, Some(&signed(&key, &claims)), &form).await;
        assert_refused(&page, BAD_PROOF, name);
    }
    let claims = good().await;
    for (why, header) in [
        (
            "another key",
            json!({"typ": "dpop+jwt", "jwk": other.jwk()}),
        ),
        ("no key", json!({"typ": "dpop+jwt"})),
        ("another type", json!({"typ": "JWT", "jwk": key.jwk()})),
        (
            "none",
            json!({"typ": "dpop+jwt", "alg": "none", "jwk": key.jwk()}),
        ),
        (
            "HS256",
            json!({"typ": "dpop+jwt", "alg": "HS256", "jwk": key.jwk()}),
        ),
        (
            "crit",
            json!({"typ": "dpop+jwt", "jwk": key.jwk(), "crit": ["exp"]}),
        ),
    ] {
        let page = asked(&world, Some(&key.sign(&header, &claims)), &form).await;
        assert_refused(&page, BAD_PROOF, why);
    }
    for nonce in ["", "AAAA", "made-up"] {
        let mut claims = good().await;
        claims["nonce"] = json!(nonce);
        let page = asked(&world, Some(&signed(&key, &claims)), &form).await;
        assert_refused(&page, (400, "use_dpop_nonce"), nonce);
        assert!(page.header("dpop-nonce").is_some());
    }
    // A nonce is good for minutes, and then it is not.
    let early = good().await;
    world.broker.clock.advance(300);
    let mut late = early.clone();
    late["iat"] = json!(now(&world));
    let page = asked(&world, Some(&signed(&key, &late)), &form).await;
    assert_refused(&page, (400, "use_dpop_nonce"), "an old nonce");
    // One proof, two codes.
    let proof = signed(&key, &good().await);
    let mut answers = Vec::new();
    for _ in 0..2 {
        let code = code(&world, &app()).await;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
        ];
        answers.push(asked(&world, Some(&proof), &form).await);
    }
    assert_eq!(answers[0].status, 200, "{}", answers[0].body);
    assert_refused(&answers[1], BAD_PROOF, "again");
}

#[actix_web::test]
async fn a_code_that_was_asked_for_with_a_key_is_for_who_holds_it() {
    let world = world(&Signer::new("ES256")).await;
    let (key, thief) = (Signer::new("ES256"), Signer::new("ES256"));
    let bound = app().with("dpop_jkt", &key.thumbprint());
    let of_thief = proof(&world, &thief, "POST", "/token").await;
    for (why, proof) in [("no proof", None), ("the thief's", Some(of_thief.as_str()))] {
        let code = code(&world, &bound).await;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
        ];
        assert_refused(&asked(&world, proof, &form).await, NOT_GOOD, why);
    }
    let code = code(&world, &bound).await;
    let proof = proof(&world, &key, "POST", "/token").await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
    ];
    assert_eq!(asked(&world, Some(&proof), &form).await.status, 200);
}

#[actix_web::test]
async fn a_public_clients_refresh_token_is_bound_to_its_key() {
    let world = world(&Signer::new("ES256")).await;
    let (key, thief) = (Signer::new("ES256"), Signer::new("ES256"));
    let token = text(&redeemed(&world, &key).await, "refresh_token");
    let of_thief = proof(&world, &thief, "POST", "/token").await;
    for (why, proof) in [("no proof", None), ("the thief's", Some(of_thief.as_str()))] {
        assert_refused(&refreshed(&world, proof, &token).await, NOT_GOOD, why);
    }
    let mine = proof(&world, &key, "POST", "/token").await;
    let page = refreshed(&world, Some(&mine), &token).await;
    assert_eq!(
        read(&page)["token_type"],
        "DPoP",
        "nothing was spent: {}",
        page.body
    );
    let next = text(&page, "refresh_token");
    assert_refused(
        &refreshed(&world, Some(&mine), &next).await,
        BAD_PROOF,
        "its proof again",
    );
    let mine = proof(&world, &key, "POST", "/token").await;
    assert_eq!(refreshed(&world, Some(&mine), &next).await.status, 200);
}

#[actix_web::test]
async fn a_client_whose_tokens_must_be_bound_gets_no_others_and_may_change_its_key() {
    let signer = Signer::new("ES256");
    let world = world(&signer).await;
    let login = Login::new("oidc", "ann-mfa").with("client_id", "keyed");
    let ask = async |proof: Option<&str>, form: &[(&str, &str)]| {
        let assertion = assertion(&world, "keyed", &signer);
        let mut all = vec![
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion.as_str()),
            ("redirect_uri", BrokerSetup::REDIRECT_URI),
            ("code_verifier", VERIFIER),
        ];
        all.extend(form);
        let headers: Vec<_> = proof.into_iter().map(|proof| ("dpop", proof)).collect();
        post(&world, "/token", &headers, &all).await
    };
    let code = code(&world, &login).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
    ];
    assert_refused(&ask(None, &form).await, BAD_PROOF, "no proof");
    let (first, second) = (Signer::new("ES256"), Signer::new("EdDSA"));
    let shown = proof(&world, &first, "POST", "/token").await;
    let refresh = text(&ask(Some(&shown), &form).await, "refresh_token");
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh.as_str()),
    ];
    assert_refused(&ask(None, &form).await, BAD_PROOF, "no proof");
    let shown = proof(&world, &second, "POST", "/token").await;
    let token = text(&ask(Some(&shown), &form).await, "access_token");
    assert_eq!(payload(&token)["cnf"]["jkt"], second.thumbprint());
}
