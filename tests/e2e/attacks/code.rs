//! The token endpoint: a code is one client's, once, with what proves it; and it ends with its session.

use countersign_server::{Client, ClientAuthentication, SecretDigest};
use countersign_tests::{BrokerSetup, Browser, Login, Page, Tokens, World, wire};
use serde_json::json;
use tokio::task::JoinSet;

const OTHER_SECRET: &str = "secret-of-the-other";
const VERIFIER: &str = "dBjftJeZ4CVP-mBJL1Ia4lOTjFWOEjhYDk3jJMOYtTk";
const CHALLENGE: &str = "NKCjUJzLZHmn1-iUAFlcmQlzdeGSY_VATTrrKnzG7hI";

fn client(authentication: ClientAuthentication) -> Client {
    let uris = vec![BrokerSetup::REDIRECT_URI.into()];
    Client::new("Another", uris, authentication, BrokerSetup::AUDIENCE)
}

/// The usual world with two more clients: `other`, confidential, and `app`, public.
async fn world() -> World {
    World::with(|setup| {
        setup
            .policy
            .push_str("\n[client.other]\ntier = \"manage\"\n[client.app]\ntier = \"manage\"\n");
        let secret = ClientAuthentication::Secret(SecretDigest::of(OTHER_SECRET));
        for (id, authentication) in [("other", secret), ("app", ClientAuthentication::Public)] {
            let id = countersign_core::ClientId::new(id).expect("a client id");
            setup.clients.insert(id, client(authentication));
        }
    })
    .await
}

async fn code(world: &World, login: &Login) -> Page {
    world.sign_in(&mut Browser::new(), login).await.code()
}

fn ann() -> Login {
    Login::new("oidc", "ann-mfa")
}

#[track_caller]
fn assert_refused(tokens: &Tokens, (status, error): (u16, &str), why: &str) {
    let found = (tokens.status, &tokens.body["error"]);
    assert_eq!(found, (status, &json!(error)), "{why}: {}", tokens.body);
    assert_eq!(tokens.body.get("access_token"), None, "{why}");
}

async fn is_alive(world: &World, tokens: &Tokens) -> bool {
    wire::user_info(&world.broker.issuer, tokens.text("access_token"))
        .await
        .status
        == 200
}

#[actix_web::test]
async fn a_second_use_of_a_code_is_refused_and_ends_the_session_of_the_first() {
    let world = world().await;
    let page = code(&world, &ann()).await;
    let first = world.redeem(&page).await;
    assert!(is_alive(&world, &first).await);
    assert_refused(
        &world.redeem(&page).await,
        (400, "invalid_grant"),
        "the second time",
    );
    assert!(
        !is_alive(&world, &first).await,
        "the first use's session lives on"
    );
}

#[actix_web::test]
async fn of_fifty_redemptions_at_once_exactly_one_gives_tokens() {
    let world = world().await;
    let page = code(&world, &ann()).await;
    let form = format!(
        "grant_type=authorization_code&code={}&redirect_uri={}&code_verifier={VERIFIER}&client_id=gallery&client_secret={}",
        page.sent_with("code").expect("a code"),
        BrokerSetup::REDIRECT_URI,
        BrokerSetup::SECRET
    );
    let mut race = JoinSet::new();
    for _ in 0..50 {
        let (issuer, form) = (world.broker.issuer.clone(), form.clone());
        race.spawn(async move { wire::send("POST", &issuer, "/token", &[], &form).await });
    }
    let pages = race.join_all().await;
    let answers: Vec<Tokens> = pages
        .into_iter()
        .map(|page| Tokens {
            status: page.status,
            body: serde_json::from_str(&page.body).expect("JSON"),
        })
        .collect();
    let (good, bad): (Vec<_>, Vec<_>) = answers.iter().partition(|one| one.status == 200);
    assert_eq!(good.len(), 1);
    for tokens in bad {
        assert_refused(tokens, (400, "invalid_grant"), "a slower one");
    }
    assert!(
        !is_alive(&world, good[0]).await,
        "a code that came fifty times was stolen"
    );
}

#[actix_web::test]
async fn a_code_is_good_for_its_own_client_redirect_uri_and_verifier_only() {
    let world = world().await;
    let long = "a".repeat(129);
    let padded = format!("{VERIFIER}=");
    let cases: [(&str, &[(&str, &str)]); 14] = [
        (
            "another client",
            &[("client_id", "other"), ("client_secret", OTHER_SECRET)],
        ),
        (
            "a public client",
            &[("client_id", "app"), ("client_secret", "")],
        ),
        (
            "another redirect URI",
            &[("redirect_uri", "http://127.0.0.3:9/callback/")],
        ),
        (
            "another one's redirect URI",
            &[("redirect_uri", "https://evil.example/")],
        ),
        ("no redirect URI", &[("redirect_uri", "")]),
        ("no verifier", &[("code_verifier", "")]),
        (
            "another verifier",
            &[(
                "code_verifier",
                "eBjftJeZ4CVP-mBJL1Ia4lOTjFWOEjhYDk3jJMOYtTk",
            )],
        ),
        (
            "the challenge, as `plain` would have it",
            &[("code_verifier", CHALLENGE)],
        ),
        ("a short verifier", &[("code_verifier", "dBjftJeZ4CVP")]),
        ("a long verifier", &[("code_verifier", &long)]),
        ("a padded verifier", &[("code_verifier", &padded)]),
        (
            "a verifier with a line feed",
            &[(
                "code_verifier",
                "dBjftJeZ4CVP-mBJL1Ia4lOTjFWOEjhYDk3jJMOYtTk\n",
            )],
        ),
        (
            "an upper-case verifier",
            &[(
                "code_verifier",
                "DBJFTJEZ4CVP-MBJL1IA4LOTJFWOEJHYDK3JJMOYTTK",
            )],
        ),
        (
            "plain, said at the token endpoint",
            &[
                ("code_verifier", CHALLENGE),
                ("code_challenge_method", "plain"),
            ],
        ),
    ];
    for (why, changed) in cases {
        let page = code(&world, &ann()).await;
        let secret = page.sent_with("code").expect("a code");
        let mut parameters = vec![("code", secret.as_str())];
        parameters.extend_from_slice(changed);
        assert_refused(
            &world.redeem_with(&parameters).await,
            (400, "invalid_grant"),
            why,
        );
        assert_refused(
            &world.redeem(&page).await,
            (400, "invalid_grant"),
            "and it is spent",
        );
    }
}

#[actix_web::test]
async fn a_verifier_without_a_challenge_is_a_downgrade() {
    let world = world().await;
    let without = ann()
        .with("code_challenge", "")
        .with("code_challenge_method", "");
    let page = code(&world, &without).await;
    assert_refused(
        &world.redeem(&page).await,
        (400, "invalid_grant"),
        "a verifier out of nowhere",
    );
    let secret = code(&world, &without)
        .await
        .sent_with("code")
        .expect("a code");
    let plain = world
        .redeem_with(&[("code", &secret), ("code_verifier", "")])
        .await;
    assert_eq!(
        plain.status, 200,
        "a confidential client may do without: {}",
        plain.body
    );
}

#[actix_web::test]
async fn a_challenge_is_s256_or_the_request_is_refused() {
    let world = world().await;
    for (why, login) in [
        ("plain", ann().with("code_challenge_method", "plain")),
        ("lower case", ann().with("code_challenge_method", "s256")),
        (
            "no method, which means plain",
            ann().with("code_challenge_method", ""),
        ),
        (
            "a method without a challenge",
            ann().with("code_challenge", ""),
        ),
        (
            "a verifier as the challenge",
            ann().with("code_challenge", "x"),
        ),
        (
            "padded",
            ann().with(
                "code_challenge",
                "NKCjUJzLZHmn1-iUAFlcmQlzdeGSY_VATTrrKnzG7hI=",
            ),
        ),
        (
            "base64, not base64url",
            ann().with(
                "code_challenge",
                "NKCjUJzLZHmn1+iUAFlcmQlzdeGSY/VATTrrKnzG7hI",
            ),
        ),
        (
            "a public client without PKCE",
            ann()
                .with("client_id", "app")
                .with("code_challenge", "")
                .with("code_challenge_method", ""),
        ),
        (
            "a public client with plain",
            ann()
                .with("client_id", "app")
                .with("code_challenge_method", "plain"),
        ),
    ] {
        let outcome = world.sign_in(&mut Browser::new(), &login).await;
        assert_eq!(outcome.summary(), "client: invalid_request", "{why}");
    }
}

#[actix_web::test]
async fn a_public_client_proves_itself_by_pkce_alone_and_has_no_secret() {
    let world = world().await;
    let app = [("client_id", "app"), ("client_secret", "")];
    let login = ann().with("client_id", "app");
    let secret = code(&world, &login)
        .await
        .sent_with("code")
        .expect("a code");
    let mut parameters = vec![("code", secret.as_str()), ("code_verifier", "")];
    parameters.extend(app);
    assert_refused(
        &world.redeem_with(&parameters).await,
        (400, "invalid_grant"),
        "no verifier",
    );
    let with_secret = [
        ("client_id", "app"),
        ("client_secret", "guess"),
        ("code", "x"),
    ];
    assert_refused(
        &world.redeem_with(&with_secret).await,
        (401, "invalid_client"),
        "a secret",
    );
    let secret = code(&world, &login)
        .await
        .sent_with("code")
        .expect("a code");
    let mut parameters = vec![("code", secret.as_str())];
    parameters.extend(app);
    assert_eq!(world.redeem_with(&parameters).await.status, 200);
}

#[actix_web::test]
async fn who_is_not_the_client_learns_nothing_and_spends_nothing() {
    let world = world().await;
    let page = code(&world, &ann()).await;
    let secret = page.sent_with("code").expect("a code");
    for (why, changed) in [
        ("no secret", ("client_secret", "")),
        ("a wrong secret", ("client_secret", "gallery-secret")),
        ("another client's secret", ("client_secret", OTHER_SECRET)),
        ("an unknown client", ("client_id", "nobody")),
        ("no client", ("client_id", "")),
        ("a client in upper case", ("client_id", "GALLERY")),
        ("SQL", ("client_id", "gallery' OR '1'='1")),
        ("a client with a null", ("client_id", "gallery\0")),
    ] {
        let tokens = world.redeem_with(&[("code", &secret), changed]).await;
        assert_refused(&tokens, (401, "invalid_client"), why);
        assert_eq!(
            tokens.body["error_description"],
            json!("client authentication failed"),
            "{why}"
        );
    }
    assert_eq!(
        world.redeem(&page).await.status,
        200,
        "the code is still good"
    );
}

#[actix_web::test]
async fn a_code_that_was_made_up_or_has_expired_is_refused() {
    let world = world().await;
    let page = code(&world, &ann()).await;
    let good = page.sent_with("code").expect("a code");
    let (owner, secret) = good.split_once('.').expect("owner and secret");
    for made_up in [
        "x".to_owned(),
        ".".to_owned(),
        owner.to_owned(),
        format!("{owner}."),
        format!(".{secret}"),
        format!("{owner}.{secret}A"),
        format!("{owner}.{}", &secret[1..]),
        format!("{}.{secret}", owner.to_uppercase()),
        format!("{}.{secret}", "0".repeat(32)),
        format!("{good} "),
        format!("{good}\0"),
        "' OR 1=1; --.x".to_owned(),
        "a".repeat(60_000),
    ] {
        let tokens = world.redeem_with(&[("code", &made_up)]).await;
        assert_refused(&tokens, (400, "invalid_grant"), &made_up);
    }
    world.broker.clock.advance(61);
    assert_refused(
        &world.redeem(&page).await,
        (400, "invalid_grant"),
        "after a minute",
    );
}

#[actix_web::test]
async fn a_token_request_says_each_thing_once_and_by_one_method() {
    let world = world().await;
    let page = code(&world, &ann()).await;
    let good = page.sent_with("code").expect("a code");
    let redirect_uri = BrokerSetup::REDIRECT_URI;
    let form = format!(
        "grant_type=authorization_code&code={good}&redirect_uri={redirect_uri}&code_verifier={VERIFIER}"
    );
    let as_client = format!("client_id=gallery&client_secret={}", BrokerSetup::SECRET);
    let basic = "Basic Z2FsbGVyeTpnYWxsZXJ5LXNlY3JldC1vZi10aGUtdGVzdHM=";
    let issuer = &world.broker.issuer;
    let post = async |headers: &[(&str, &str)], body: String| {
        wire::send("POST", issuer, "/token", headers, &body).await
    };
    for name in [
        "code",
        "grant_type",
        "client_id",
        "code_verifier",
        "redirect_uri",
        "unknown",
    ] {
        let page = post(&[], format!("{form}&{as_client}&{name}=a&{name}=b")).await;
        assert_eq!(page.status, 400, "{name} twice: {}", page.body);
        assert!(
            page.body.contains("invalid_request"),
            "{name} twice: {}",
            page.body
        );
    }
    let both = post(&[("authorization", basic)], format!("{form}&{as_client}")).await;
    assert_eq!(both.status, 400, "two methods: {}", both.body);
    let two = [("authorization", basic), ("authorization", basic)];
    assert_eq!(post(&two, form.clone()).await.status, 401, "two headers");
    let other = post(
        &[("authorization", basic)],
        format!("{form}&client_id=other"),
    )
    .await;
    assert_eq!(
        other.status, 401,
        "another client in the form: {}",
        other.body
    );
    let in_query = wire::send(
        "POST",
        issuer,
        &format!("/token?{form}&{as_client}"),
        &[],
        "",
    )
    .await;
    assert_eq!(in_query.status, 401, "in the query: {}", in_query.body);
    for (grant, error) in [
        ("password", "unsupported_grant_type"),
        ("client_credentials", "unauthorized_client"),
        ("implicit", "unsupported_grant_type"),
        ("AUTHORIZATION_CODE", "unsupported_grant_type"),
    ] {
        let tokens = world
            .redeem_with(&[("grant_type", grant), ("code", &good)])
            .await;
        assert_refused(&tokens, (400, error), grant);
    }
    let good = post(&[("authorization", basic)], form).await;
    assert_eq!(
        good.status, 200,
        "none of that spent the code: {}",
        good.body
    );
}
