//! The FAPI 2.0 security profile: one test for each module of the OpenID Foundation's suite that is about the
//! server, named alike.

use countersign_core::ClientId;
use countersign_server::{
    ClientAuthentication, GrantType, Profile, SecretDigest, Settings, SigningAlgorithm,
};
use countersign_tests::{BrokerSetup, Browser, Login, Outcome, Page, Signer, World, payload, wire};
use serde_json::{Value, json};
use url::Url;

use super::dpop::{nonce, proof_claims, signed};
use super::{
    ASSERTION_TYPE, VERIFIER, add, assert_refused, assertion_claims, keyed, now, post, read,
};

const CHALLENGE: &str = "NKCjUJzLZHmn1-iUAFlcmQlzdeGSY_VATTrrKnzG7hI";
const INVALID_CLIENT: (u16, &str) = (401, "invalid_client");
const INVALID_REQUEST: (u16, &str) = (400, "invalid_request");
const INVALID_GRANT: (u16, &str) = (400, "invalid_grant");
const INVALID_PROOF: (u16, &str) = (400, "invalid_dpop_proof");

/// Two clients of the profile, as the suite has them, each with a key to say who it is and one for its tokens.
struct Suite {
    world: World,
    signers: [Signer; 2],
    keys: [Signer; 2],
}

const CLIENTS: [&str; 2] = ["first", "second"];

impl Suite {
    async fn new() -> Self {
        let signers = [Signer::new("ES256"), Signer::new("PS256")];
        let world = World::with(|setup| {
            for (id, signer) in CLIENTS.iter().zip(&signers) {
                let mut client = keyed(signer).of_profile(Profile::Fapi2);
                client.grants.insert(GrantType::RefreshToken);
                add(setup, id, client);
            }
        })
        .await;
        let keys = [Signer::new("ES256"), Signer::new("EdDSA")];
        Self {
            world,
            signers,
            keys,
        }
    }

    fn claims(&self, client: usize) -> Value {
        assertion_claims(&self.world, CLIENTS[client])
    }

    fn signed(&self, client: usize, claims: &Value) -> String {
        self.signers[client].sign(&json!({}), claims)
    }

    /// A push by the first client with this assertion, and these parameters over the usual ones.
    async fn pushed_by(
        &self,
        assertion: &str,
        headers: &[(&str, &str)],
        changed: &[(&str, &str)],
    ) -> Page {
        let mut form = vec![
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion),
            ("response_type", "code"),
            ("redirect_uri", BrokerSetup::REDIRECT_URI),
            ("scope", "openid packages:manage"),
            ("state", "state-of-the-client"),
            ("nonce", "nonce-of-the-client"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("provider", "oidc"),
        ];
        for (name, value) in changed {
            form.retain(|(known, _)| known != name);
            form.push((name, value));
        }
        post(&self.world, "/par", headers, &form).await
    }

    async fn pushed(&self, changed: &[(&str, &str)]) -> Page {
        let assertion = self.signed(0, &self.claims(0));
        self.pushed_by(&assertion, &[], changed).await
    }

    async fn uri(&self) -> String {
        uri(&self.pushed(&[]).await)
    }

    async fn followed(&self, client: &str, uri: &str) -> Outcome {
        let mut url =
            Url::parse(&format!("{}/authorize", self.world.broker.issuer)).expect("an address");
        url.query_pairs_mut()
            .append_pair("client_id", client)
            .append_pair("request_uri", uri);
        let mut browser = Browser::new();
        let page = browser.get(&url).await;
        self.world
            .go_on(&mut browser, page, &Login::new("oidc", "ann-mfa"))
            .await
    }

    async fn code(&self) -> String {
        let page = self.followed("first", &self.uri().await).await.code();
        page.sent_with("code").expect("a code")
    }

    async fn proof(&self, key: &Signer, path: &str) -> String {
        signed(
            key,
            &proof_claims(&self.world, "POST", path, &nonce(&self.world).await),
        )
    }

    /// A token request of this client with this assertion, this proof, and this form.
    async fn asked(&self, assertion: &str, proof: Option<&str>, form: &[(&str, &str)]) -> Page {
        let mut all = vec![
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion),
            ("redirect_uri", BrokerSetup::REDIRECT_URI),
            ("code_verifier", VERIFIER),
        ];
        for (name, value) in form {
            all.retain(|(known, _)| known != name);
            all.push((name, value));
        }
        let headers: Vec<_> = proof.into_iter().map(|proof| ("dpop", proof)).collect();
        post(&self.world, "/token", &headers, &all).await
    }

    async fn redeemed(&self, code: &str, changed: &[(&str, &str)]) -> Page {
        let proof = self.proof(&self.keys[0], "/token").await;
        let mut form = vec![("grant_type", "authorization_code"), ("code", code)];
        form.extend(changed);
        self.asked(&self.signed(0, &self.claims(0)), Some(&proof), &form)
            .await
    }

    /// Whether a push with this of its assertion changed is taken.
    async fn is_taken_with(&self, name: &str, value: Value) -> bool {
        let mut claims = self.claims(0);
        match value {
            Value::Null => drop(claims.as_object_mut().expect("claims").remove(name)),
            value => claims[name] = value,
        }
        let page = self.pushed_by(&self.signed(0, &claims), &[], &[]).await;
        if page.status != 201 {
            assert_refused(&page, INVALID_CLIENT, name);
        }
        page.status == 201
    }
}

fn uri(page: &Page) -> String {
    assert_eq!(page.status, 201, "{}", page.body);
    read(page)["request_uri"]
        .as_str()
        .expect("an address")
        .to_owned()
}

fn token(page: &Page) -> String {
    assert_eq!(page.status, 200, "{}", page.body);
    read(page)["access_token"]
        .as_str()
        .expect("a token")
        .to_owned()
}

#[actix_web::test]
async fn happy_flow() {
    let suite = Suite::new().await;
    let page = suite.followed("first", &suite.uri().await).await.code();
    assert_eq!(
        page.sent_with("iss").as_deref(),
        Some(suite.world.broker.issuer.as_str())
    );
    assert_eq!(
        page.sent_with("state").as_deref(),
        Some("state-of-the-client")
    );
    let page = suite
        .redeemed(&page.sent_with("code").expect("a code"), &[])
        .await;
    let body = read(&page);
    let (access, id) = (token(&page), body["id_token"].as_str().expect("a token"));
    assert_eq!(body["token_type"], "DPoP");
    assert_eq!(payload(&access)["cnf"]["jkt"], suite.keys[0].thumbprint());
    for token in [&access, id] {
        use base64::Engine;
        let header = token.split('.').next().expect("a header");
        let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header);
        let header: Value = serde_json::from_slice(&header.expect("base64url")).expect("JSON");
        assert_eq!(header["alg"], "ES256", "no RS256");
    }
    // No access token is taken from the query.
    let target = format!("/userinfo?access_token={access}");
    assert_eq!(
        wire::get(&suite.world.broker.issuer, &target, &[])
            .await
            .status,
        401
    );
}

#[actix_web::test]
async fn discovery_end_point_verification() {
    let suite = Suite::new().await;
    let page = wire::get(
        &suite.world.broker.issuer,
        "/.well-known/openid-configuration",
        &[],
    )
    .await;
    let metadata = read(&page);
    let holds = |name: &str, value: &str| {
        metadata[name]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one == value))
    };
    for (name, value) in [
        ("token_endpoint_auth_methods_supported", "private_key_jwt"),
        ("token_endpoint_auth_signing_alg_values_supported", "PS256"),
        ("token_endpoint_auth_signing_alg_values_supported", "ES256"),
        ("token_endpoint_auth_signing_alg_values_supported", "EdDSA"),
        ("dpop_signing_alg_values_supported", "ES256"),
        ("code_challenge_methods_supported", "S256"),
        ("response_types_supported", "code"),
        ("grant_types_supported", "authorization_code"),
        ("id_token_signing_alg_values_supported", "ES256"),
    ] {
        assert!(holds(name, value), "{name}: {value}");
    }
    assert!(!holds("dpop_signing_alg_values_supported", "RS256"));
    let endpoint = format!("{}/par", suite.world.broker.issuer);
    assert_eq!(metadata["pushed_authorization_request_endpoint"], endpoint);
    assert_eq!(
        metadata["authorization_response_iss_parameter_supported"],
        true
    );
}

#[actix_web::test]
async fn ensure_unsigned_authorization_request_without_using_par_fails() {
    let suite = Suite::new().await;
    let login = Login::new("oidc", "ann-mfa").with("client_id", "first");
    let end = suite.world.sign_in(&mut Browser::new(), &login).await;
    assert_eq!(end.summary(), "client: invalid_request");
}

#[actix_web::test]
async fn par_attempt_reuse_request_uri() {
    let suite = Suite::new().await;
    let uri = suite.uri().await;
    assert_eq!(suite.followed("first", &uri).await.summary(), "code");
    assert_eq!(
        suite.followed("first", &uri).await.summary(),
        "refused: request-uri-not-good"
    );
}

#[actix_web::test]
async fn par_attempt_to_use_expired_request_uri() {
    let suite = Suite::new().await;
    let page = suite.pushed(&[]).await;
    suite
        .world
        .broker
        .clock
        .advance(read(&page)["expires_in"].as_i64().expect("seconds"));
    assert_eq!(
        suite.followed("first", &uri(&page)).await.summary(),
        "refused: request-uri-not-good"
    );
}

#[actix_web::test]
async fn par_attempt_to_use_request_uri_for_different_client() {
    let suite = Suite::new().await;
    let end = suite.followed("second", &suite.uri().await).await;
    assert_eq!(end.summary(), "refused: request-uri-not-good");
}

#[actix_web::test]
async fn par_authorization_request_containing_request_uri_form_param() {
    let suite = Suite::new().await;
    let again = suite.uri().await;
    let page = suite.pushed(&[("request_uri", &again)]).await;
    assert_refused(&page, INVALID_REQUEST, "pushed again");
}

#[actix_web::test]
async fn par_ensure_pkce_required() {
    let suite = Suite::new().await;
    let page = suite
        .pushed(&[("code_challenge", ""), ("code_challenge_method", "")])
        .await;
    assert_refused(&page, INVALID_REQUEST, "no PKCE");
}

#[actix_web::test]
async fn par_ensure_plain_pkce_rejected() {
    let suite = Suite::new().await;
    for method in ["plain", ""] {
        let page = suite.pushed(&[("code_challenge_method", method)]).await;
        assert_refused(&page, INVALID_REQUEST, method);
    }
}

#[actix_web::test]
async fn par_pkce_verifier_must_fit() {
    let suite = Suite::new().await;
    for verifier in ["", "aBjftJeZ4CVP-mBJL1Ia4lOTjFWOEjhYDk3jJMOYtTk", CHALLENGE] {
        let page = suite
            .redeemed(&suite.code().await, &[("code_verifier", verifier)])
            .await;
        assert_refused(&page, INVALID_GRANT, verifier);
    }
}

#[actix_web::test]
async fn ensure_response_type_code_idtoken_fails() {
    let suite = Suite::new().await;
    for kind in ["code id_token", "id_token", "token", "code token"] {
        let page = suite.pushed(&[("response_type", kind)]).await;
        assert_refused(&page, (400, "unsupported_response_type"), kind);
    }
}

#[actix_web::test]
async fn ensure_registered_redirect_uri() {
    let suite = Suite::new().await;
    for uri in [
        "",
        "https://evil.example/callback",
        "http://127.0.0.3:9/callback?x=1",
        "http://127.0.0.3:9/Callback",
    ] {
        assert_refused(
            &suite.pushed(&[("redirect_uri", uri)]).await,
            INVALID_REQUEST,
            uri,
        );
    }
}

#[actix_web::test]
async fn ensure_authorization_code_is_bound_to_client() {
    let suite = Suite::new().await;
    let code = suite.code().await;
    let proof = suite.proof(&suite.keys[1], "/token").await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
    ];
    let page = suite
        .asked(&suite.signed(1, &suite.claims(1)), Some(&proof), &form)
        .await;
    assert_refused(&page, INVALID_GRANT, "the second client");
}

#[actix_web::test]
async fn attempt_reuse_authorization_code_after_one_second() {
    let suite = Suite::new().await;
    let code = suite.code().await;
    token(&suite.redeemed(&code, &[]).await);
    suite.world.broker.clock.advance(1);
    assert_refused(&suite.redeemed(&code, &[]).await, INVALID_GRANT, "again");
}

#[actix_web::test]
async fn authorization_code_lives_for_sixty_seconds_at_most() {
    let suite = Suite::new().await;
    let longer = format!(
        "{}\n[lifetimes]\ncode = \"5m\"\n",
        suite.world.broker.policy_text
    );
    suite.world.broker.enforce(&longer);
    let code = suite.code().await;
    suite.world.broker.clock.advance(60);
    assert_refused(&suite.redeemed(&code, &[]).await, INVALID_GRANT, "too late");
}

#[actix_web::test]
async fn ensure_holder_of_key_required() {
    let suite = Suite::new().await;
    let code = suite.code().await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
    ];
    let page = suite
        .asked(&suite.signed(0, &suite.claims(0)), None, &form)
        .await;
    assert_refused(&page, INVALID_PROOF, "no proof");
    let bound = token(&suite.redeemed(&code, &[]).await);
    assert_eq!(
        wire::user_info(&suite.world.broker.issuer, &bound)
            .await
            .status,
        401
    );
}

#[actix_web::test]
async fn ensure_client_authentication_is_required_everywhere() {
    let suite = Suite::new().await;
    for (path, form) in [
        ("/par", &[("client_id", "first")][..]),
        (
            "/token",
            &[("client_id", "first"), ("grant_type", "authorization_code")],
        ),
        ("/introspect", &[("client_id", "first"), ("token", "x")]),
        ("/revoke", &[("client_id", "first"), ("token", "x")]),
        ("/par", &[("client_id", "first"), ("client_secret", "x")]),
        ("/token", &[("client_id", "first"), ("client_secret", "x")]),
    ] {
        assert_refused(
            &post(&suite.world, path, &[], form).await,
            INVALID_CLIENT,
            path,
        );
    }
}

#[actix_web::test]
async fn ensure_signed_client_assertion_with_rs256_fails() {
    let suite = Suite::new().await;
    let Suite {
        world,
        signers: [first, second],
        keys,
    } = suite;
    let second = second.by("RS256");
    let suite = Suite {
        world,
        signers: [first, second],
        keys,
    };
    let page = suite
        .pushed_by(&suite.signed(1, &suite.claims(1)), &[], &[])
        .await;
    assert_refused(&page, INVALID_CLIENT, "RS256");
}

#[actix_web::test]
async fn par_endpoint_as_audience_fails() {
    let suite = Suite::new().await;
    let issuer = suite.world.broker.issuer.clone();
    assert!(
        !suite
            .is_taken_with("aud", json!(format!("{issuer}/par")))
            .await
    );
    assert!(
        !suite
            .is_taken_with("aud", json!([format!("{issuer}/par")]))
            .await
    );
}

#[actix_web::test]
async fn token_endpoint_as_audience_fails() {
    let suite = Suite::new().await;
    let issuer = suite.world.broker.issuer.clone();
    assert!(
        !suite
            .is_taken_with("aud", json!(format!("{issuer}/token")))
            .await
    );
}

#[actix_web::test]
async fn array_as_audience_fails() {
    let suite = Suite::new().await;
    let issuer = suite.world.broker.issuer.clone();
    assert!(suite.is_taken_with("aud", json!(issuer)).await);
    assert!(!suite.is_taken_with("aud", json!([issuer])).await);
    assert!(
        !suite
            .is_taken_with("aud", json!([issuer, "https://evil.example"]))
            .await
    );
}

#[actix_web::test]
async fn client_assertion_with_iat_or_nbf_ten_seconds_in_the_future_succeeds_and_sixty_fails() {
    let suite = Suite::new().await;
    for name in ["iat", "nbf"] {
        assert!(
            suite
                .is_taken_with(name, json!(now(&suite.world) + 10))
                .await,
            "{name}"
        );
        assert!(
            !suite
                .is_taken_with(name, json!(now(&suite.world) + 61))
                .await,
            "{name}"
        );
    }
}

#[actix_web::test]
async fn client_assertion_that_is_expired_or_incomplete_fails() {
    let suite = Suite::new().await;
    assert!(
        !suite
            .is_taken_with("exp", json!(now(&suite.world) - 300))
            .await
    );
    for name in ["iss", "sub", "aud", "exp", "jti"] {
        assert!(!suite.is_taken_with(name, Value::Null).await, "{name}");
    }
    for name in ["iss", "sub"] {
        assert!(!suite.is_taken_with(name, json!("second")).await, "{name}");
    }
}

#[actix_web::test]
async fn client_assertion_reuse_fails() {
    let suite = Suite::new().await;
    let once = suite.signed(0, &suite.claims(0));
    assert_eq!(suite.pushed_by(&once, &[], &[]).await.status, 201);
    assert_refused(
        &suite.pushed_by(&once, &[], &[]).await,
        INVALID_CLIENT,
        "again",
    );
}

#[actix_web::test]
async fn dpop_negative_tests() {
    let suite = Suite::new().await;
    let code = suite.code().await;
    let key = &suite.keys[0];
    for (name, value) in [
        ("htm", json!("GET")),
        ("htu", json!("https://evil.example/token")),
        ("iat", json!(now(&suite.world) - 3600)),
        ("iat", json!(now(&suite.world) + 3600)),
        ("jti", json!("")),
    ] {
        let mut claims = proof_claims(&suite.world, "POST", "/token", &nonce(&suite.world).await);
        claims[name] = value;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
        ];
        let assertion = suite.signed(0, &suite.claims(0));
        let page = suite
            .asked(&assertion, Some(&signed(key, &claims)), &form)
            .await;
        assert_refused(&page, INVALID_PROOF, name);
    }
    token(&suite.redeemed(&code, &[]).await);
}

#[actix_web::test]
async fn ensure_dpop_proof_with_iat_ten_seconds_off_succeeds() {
    let suite = Suite::new().await;
    for off in [-10, 10] {
        let code = suite.code().await;
        let mut claims = proof_claims(&suite.world, "POST", "/token", &nonce(&suite.world).await);
        claims["iat"] = json!(now(&suite.world) + off);
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
        ];
        let assertion = suite.signed(0, &suite.claims(0));
        token(
            &suite
                .asked(&assertion, Some(&signed(&suite.keys[0], &claims)), &form)
                .await,
        );
    }
}

#[actix_web::test]
async fn ensure_dpop_auth_code_binding_success() {
    let suite = Suite::new().await;
    let jkt = suite.keys[0].thumbprint();
    let page = suite
        .followed("first", &uri(&suite.pushed(&[("dpop_jkt", &jkt)]).await))
        .await
        .code();
    token(
        &suite
            .redeemed(&page.sent_with("code").expect("a code"), &[])
            .await,
    );
}

#[actix_web::test]
async fn ensure_dpop_proof_at_par_endpoint_binding_success() {
    let suite = Suite::new().await;
    let bound = async |key: &Signer| {
        let proof = suite.proof(key, "/par").await;
        let assertion = suite.signed(0, &suite.claims(0));
        let page = suite.pushed_by(&assertion, &[("dpop", &proof)], &[]).await;
        let page = suite.followed("first", &uri(&page)).await.code();
        page.sent_with("code").expect("a code")
    };
    token(&suite.redeemed(&bound(&suite.keys[0]).await, &[]).await);
    let page = suite.redeemed(&bound(&suite.keys[1]).await, &[]).await;
    assert_refused(&page, INVALID_GRANT, "bound to another key");
}

#[actix_web::test]
async fn ensure_mismatched_dpop_jkt_fails() {
    let suite = Suite::new().await;
    let other = suite.keys[1].thumbprint();
    let proof = suite.proof(&suite.keys[0], "/par").await;
    let assertion = suite.signed(0, &suite.claims(0));
    let page = suite
        .pushed_by(&assertion, &[("dpop", &proof)], &[("dpop_jkt", &other)])
        .await;
    assert_refused(&page, INVALID_REQUEST, "at the push");
    let page = suite
        .followed("first", &uri(&suite.pushed(&[("dpop_jkt", &other)]).await))
        .await
        .code();
    let page = suite
        .redeemed(&page.sent_with("code").expect("a code"), &[])
        .await;
    assert_refused(&page, INVALID_GRANT, "at the token endpoint");
}

#[actix_web::test]
async fn refresh_token() {
    let suite = Suite::new().await;
    let page = suite.redeemed(&suite.code().await, &[]).await;
    let refresh = read(&page)["refresh_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh.as_str()),
    ];
    let proof = suite.proof(&suite.keys[1], "/token").await;
    let page = suite
        .asked(&suite.signed(1, &suite.claims(1)), Some(&proof), &form)
        .await;
    assert_refused(&page, INVALID_GRANT, "the second client");
    let page = suite
        .asked(&suite.signed(0, &suite.claims(0)), None, &form)
        .await;
    assert_refused(&page, INVALID_PROOF, "no proof");
    let proof = suite.proof(&suite.keys[0], "/token").await;
    let page = suite
        .asked(&suite.signed(0, &suite.claims(0)), Some(&proof), &form)
        .await;
    assert_eq!(
        payload(&token(&page))["cnf"]["jkt"],
        suite.keys[0].thumbprint()
    );
}

#[actix_web::test]
async fn access_token_type_header_case_sensitivity() {
    use base64::Engine;
    let suite = Suite::new().await;
    let access = token(&suite.redeemed(&suite.code().await, &[]).await);
    for scheme in ["DPoP", "dpop", "DPOP"] {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, access.as_bytes());
        let mut claims = proof_claims(&suite.world, "GET", "/userinfo", &nonce(&suite.world).await);
        claims["ath"] = json!(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash));
        let proof = signed(&suite.keys[0], &claims);
        let authorization = format!("{scheme} {access}");
        let headers = [
            ("authorization", authorization.as_str()),
            ("dpop", proof.as_str()),
        ];
        let page = wire::get(&suite.world.broker.issuer, "/userinfo", &headers).await;
        assert_eq!(page.status, 200, "{scheme}");
    }
}

#[test]
fn what_contradicts_the_profile_is_no_configuration() {
    let signer = Signer::new("ES256");
    let check = |change: &dyn Fn(&mut countersign_server::Client, &mut SigningAlgorithm)| {
        let mut client = keyed(&signer).of_profile(Profile::Fapi2);
        let mut algorithm = SigningAlgorithm::Es256;
        change(&mut client, &mut algorithm);
        let resource = countersign_server::Resource { algorithm };
        let settings = Settings {
            issuer: Url::parse("https://login.example").expect("an issuer"),
            clients: [(ClientId::new("first").expect("an id"), client)].into(),
            resources: [(BrokerSetup::AUDIENCE.to_owned(), resource)].into(),
        };
        settings.check().is_ok()
    };
    assert!(check(&|_, _| ()));
    assert!(!check(&|client, _| client.must_push = false));
    assert!(!check(&|client, _| client.must_bind = false));
    assert!(!check(
        &|client, _| client.id_token_algorithm = SigningAlgorithm::Rs256
    ));
    assert!(!check(&|_, algorithm| *algorithm = SigningAlgorithm::Rs256));
    for authentication in [
        ClientAuthentication::Public,
        ClientAuthentication::Secret(SecretDigest::of("secret")),
    ] {
        assert!(!check(
            &|client, _| client.authentication = authentication.clone()
        ));
    }
}
