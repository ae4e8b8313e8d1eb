//! `fapi2-security-profile-final-test-plan`: our server towards clients of the FAPI 2.0 security profile, as the plan is
//! for `plain_fapi`, `private_key_jwt`, `dpop` and `openid_connect`.
//!
//! What the profile demands of the configuration stands at the end.

use countersign_core::ClientId;
use countersign_dev_idp::{Document, Edit};
use countersign_server::{
    ClientAuthentication, GrantType, Profile, SecretDigest, Settings, SigningAlgorithm,
};
use countersign_tests::{BrokerSetup, Browser, Login, Outcome, Page, Signer, World, payload, wire};
use serde_json::{Value, json};
use url::Url;

use super::Held::Here;
use super::{Module, check_plan};
use crate::clients::dpop::{nonce, proof_claims, signed};
use crate::clients::{
    ASSERTION_TYPE, VERIFIER, add, assert_refused, assertion_claims, keyed, now, post, read,
};

const PLAN: [Module; 57] = [
    (
        "fapi2-security-profile-final-discovery-end-point-verification",
        Here,
    ),
    ("fapi2-security-profile-final-happy-flow", Here),
    (
        "fapi2-security-profile-final-user-rejects-authentication",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-authorization-request-without-state-success",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-authorization-request-without-nonce-success",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-authorization-request-with-64-char-nonce-success",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-other-scope-order-succeeds",
        Here,
    ),
    (
        "fapi2-security-profile-final-test-claims-parameter-identity-claims",
        Here,
    ),
    (
        "fapi2-security-profile-final-access-token-type-header-case-sensitivity",
        Here,
    ),
    (
        "fapi2-security-profile-final-check-dpop-proof-nbf-exp",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-dpopproof-with-iat-10seconds-before-succeeds",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-dpopproof-with-iat-10seconds-after-succeeds",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-mismatched-dpop-jkt-fails",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-token-endpoint-fails-with-mismatched-dpop-proof-jkt",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-token-endpoint-fails-with-mismatched-dpop-jkt",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-dpopproof-at-par-endpoint-binding-success",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-dpop-auth-code-binding-success",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-different-nonce-inside-and-outside-request-object",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-different-state-inside-and-outside-request-object",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-authorization-request-with-long-nonce",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-authorization-request-with-long-state",
        Here,
    ),
    (
        "fapi2-security-profile-final-state-only-outside-request-object-not-used",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-request-object-without-redirect-uri-fails",
        Here,
    ),
    (
        "fapi2-security-profile-final-plain-fapi-tolerate-unregistered-redirect-uri",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-unsigned-authorization-request-without-using-par-fails",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-redirect-uri-in-authorization-request",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-response-type-code-idtoken-fails",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-response-type-token-fails",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-client-id-in-token-endpoint",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-holder-of-key-required",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-authorization-code-is-bound-to-client",
        Here,
    ),
    (
        "fapi2-security-profile-final-attempt-reuse-authorization-code-after-one-second",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-token-endpoint-fails-with-expired-auth-code",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-signed-client-assertion-with-RS256-fails",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-client-assertion-in-token-endpoint",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-client-assertion-with-exp-is-5-minutes-in-past-fails",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-client-assertion-with-wrong-aud-fails",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-client-assertion-with-no-sub-fails",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-invalid-client-assertions-fail",
        Here,
    ),
    ("fapi2-security-profile-final-dpop-negative-tests", Here),
    ("fapi2-security-profile-final-refresh-token", Here),
    (
        "fapi2-security-profile-final-par-ensure-reused-request-uri-prior-to-auth-completion-succeeds",
        Here,
    ),
    (
        "fapi2-security-profile-final-par-attempt-reuse-request_uri",
        Here,
    ),
    (
        "fapi2-security-profile-final-par-attempt-to-use-expired-request_uri",
        Here,
    ),
    (
        "fapi2-security-profile-final-par-ensure-jwt-client-assertions-nbf-8-seconds-in-the-future-is-accepted",
        Here,
    ),
    (
        "fapi2-security-profile-final-par-ensure-jwt-client-assertions-nbf-over-60-seconds-in-the-future-fails",
        Here,
    ),
    (
        "fapi2-security-profile-final-par-attempt-to-use-request_uri-for-different-client",
        Here,
    ),
    (
        "fapi2-security-profile-final-par-authorization-request-containing-request_uri-form-param",
        Here,
    ),
    (
        "fapi2-security-profile-final-par-attempt-invalid-http-method",
        Here,
    ),
    (
        "fapi2-security-profile-final-par-ensure-pkce-required",
        Here,
    ),
    (
        "fapi2-security-profile-final-ensure-pkce-code-verifier-required",
        Here,
    ),
    (
        "fapi2-security-profile-final-incorrect-pkce-code-verifier-rejected",
        Here,
    ),
    ("fapi2-security-profile-final-par-plain-pkce-rejected", Here),
    (
        "fapi2-security-profile-final-par-without-duplicate-parameters",
        Here,
    ),
    (
        "fapi2-security-profile-final-par-test-array-as-audience-fails",
        Here,
    ),
    (
        "fapi2-security-profile-final-par-test-par-endpoint-url-as-audience-fails",
        Here,
    ),
    (
        "fapi2-security-profile-final-par-test-token-endpoint-url-as-audience-fails",
        Here,
    ),
];

#[test]
fn every_module_of_the_plan_has_its_test() {
    let prefix = "fapi2-security-profile-final-";
    check_plan("fapi2", prefix, include_str!("fapi2.rs"), &PLAN);
}

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

    fn authorize_url(&self, client: &str, uri: &str) -> Url {
        let mut url =
            Url::parse(&format!("{}/authorize", self.world.broker.issuer)).expect("an address");
        url.query_pairs_mut()
            .append_pair("client_id", client)
            .append_pair("request_uri", uri);
        url
    }

    async fn followed(&self, client: &str, uri: &str) -> Outcome {
        self.followed_with(client, uri, &[]).await
    }

    /// The same where the browser's request has more parameters than it should.
    async fn followed_with(&self, client: &str, uri: &str, more: &[(&str, &str)]) -> Outcome {
        let mut url = self.authorize_url(client, uri);
        url.query_pairs_mut().extend_pairs(more);
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

    /// The same with this proof.
    async fn redeemed_by(&self, code: &str, proof: &str) -> Page {
        let form = [("grant_type", "authorization_code"), ("code", code)];
        let assertion = self.signed(0, &self.claims(0));
        self.asked(&assertion, Some(proof), &form).await
    }

    /// What the ID token says that comes for a code.
    async fn id_token(&self, code: &str) -> Value {
        let page = self.redeemed(code, &[]).await;
        token(&page);
        payload(read(&page)["id_token"].as_str().expect("an ID token"))
    }

    async fn id_token_for(&self, uri: &str) -> Value {
        let page = self.followed("first", uri).await.code();
        self.id_token(&page.sent_with("code").expect("a code"))
            .await
    }

    /// A code of a request that was pushed with a proof of this key.
    async fn code_bound_by_proof(&self, key: &Signer) -> String {
        let proof = self.proof(key, "/par").await;
        let assertion = self.signed(0, &self.claims(0));
        let page = self.pushed_by(&assertion, &[("dpop", &proof)], &[]).await;
        let page = self.followed("first", &uri(&page)).await.code();
        page.sent_with("code").expect("a code")
    }

    fn changed(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims(0);
        match value {
            Value::Null => drop(claims.as_object_mut().expect("claims").remove(name)),
            value => claims[name] = value,
        }
        claims
    }

    /// A code is not redeemed with this of the assertion changed; it is not spent either.
    async fn cannot_redeem_with(&self, name: &str, value: Value) {
        let code = self.code().await;
        let proof = self.proof(&self.keys[0], "/token").await;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
        ];
        let assertion = self.signed(0, &self.changed(name, value));
        let page = self.asked(&assertion, Some(&proof), &form).await;
        assert_refused(&page, INVALID_CLIENT, name);
        token(&self.redeemed(&code, &[]).await);
    }

    /// Whether a push with this of its assertion changed is taken.
    async fn is_taken_with(&self, name: &str, value: Value) -> bool {
        let claims = self.changed(name, value);
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
async fn user_rejects_authentication() {
    let suite = Suite::new().await;
    suite.world.oidc.control().set(|behaviour| {
        let rejected = vec![Edit::set("error", "access_denied")];
        behaviour.edits.insert(Document::Callback, rejected);
    });
    let end = suite.followed("first", &suite.uri().await).await;
    assert_eq!(end.summary(), "refused: provider-cancelled");
    // Why is said on a page; the way back to the client has the error that the suite waits for.
    let page = end.page();
    assert!(page.body.contains("error=access_denied"), "{}", page.body);
    assert!(!page.body.contains("code="), "{}", page.body);
}

#[actix_web::test]
async fn ensure_authorization_request_without_state_success() {
    let suite = Suite::new().await;
    let page = suite.pushed(&[("state", "")]).await;
    let page = suite.followed("first", &uri(&page)).await.code();
    assert_eq!(page.sent_with("state"), None);
    let code = page.sent_with("code").expect("a code");
    token(&suite.redeemed(&code, &[]).await);
}

#[actix_web::test]
async fn ensure_authorization_request_without_nonce_success() {
    let suite = Suite::new().await;
    let page = suite.pushed(&[("nonce", "")]).await;
    let id = suite.id_token_for(&uri(&page)).await;
    assert_eq!(id.get("nonce"), None);
}

#[actix_web::test]
async fn ensure_authorization_request_with_64_char_nonce_success() {
    let suite = Suite::new().await;
    let nonce = "n".repeat(64);
    let page = suite.pushed(&[("nonce", &nonce)]).await;
    let id = suite.id_token_for(&uri(&page)).await;
    assert_eq!(id["nonce"], nonce);
}

#[actix_web::test]
async fn ensure_other_scope_order_succeeds() {
    let suite = Suite::new().await;
    let page = suite.pushed(&[("scope", "packages:manage openid")]).await;
    suite.id_token_for(&uri(&page)).await;
}

#[actix_web::test]
async fn test_claims_parameter_identity_claims() {
    let suite = Suite::new().await;
    // Not served, as the metadata says: it changes nothing.
    let claims = json!({"id_token": {"name": {"essential": true}}, "userinfo": {"email": null}});
    let page = suite.pushed(&[("claims", &claims.to_string())]).await;
    let id = suite.id_token_for(&uri(&page)).await;
    assert_eq!(id.get("name"), None);
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

#[actix_web::test]
async fn check_dpop_proof_nbf_exp() {
    let suite = Suite::new().await;
    let code = suite.code().await;
    let mut claims = proof_claims(&suite.world, "POST", "/token", &nonce(&suite.world).await);
    claims["nbf"] = json!(now(&suite.world));
    claims["exp"] = json!(now(&suite.world) + 60);
    let proof = signed(&suite.keys[0], &claims);
    token(&suite.redeemed_by(&code, &proof).await);
}

#[actix_web::test]
async fn ensure_dpopproof_with_iat_10seconds_before_succeeds() {
    let suite = Suite::new().await;
    let code = suite.code().await;
    let mut claims = proof_claims(&suite.world, "POST", "/token", &nonce(&suite.world).await);
    claims["iat"] = json!(now(&suite.world) - 10);
    token(
        &suite
            .redeemed_by(&code, &signed(&suite.keys[0], &claims))
            .await,
    );
}

#[actix_web::test]
async fn ensure_dpopproof_with_iat_10seconds_after_succeeds() {
    let suite = Suite::new().await;
    let code = suite.code().await;
    let mut claims = proof_claims(&suite.world, "POST", "/token", &nonce(&suite.world).await);
    claims["iat"] = json!(now(&suite.world) + 10);
    token(
        &suite
            .redeemed_by(&code, &signed(&suite.keys[0], &claims))
            .await,
    );
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
}

#[actix_web::test]
async fn ensure_token_endpoint_fails_with_mismatched_dpop_proof_jkt() {
    let suite = Suite::new().await;
    let code = suite.code_bound_by_proof(&suite.keys[1]).await;
    let page = suite.redeemed(&code, &[]).await;
    assert_refused(&page, INVALID_GRANT, "bound to another key");
}

#[actix_web::test]
async fn ensure_token_endpoint_fails_with_mismatched_dpop_jkt() {
    let suite = Suite::new().await;
    let other = suite.keys[1].thumbprint();
    let page = suite.pushed(&[("dpop_jkt", &other)]).await;
    let page = suite.followed("first", &uri(&page)).await.code();
    let code = page.sent_with("code").expect("a code");
    let page = suite.redeemed(&code, &[]).await;
    assert_refused(&page, INVALID_GRANT, "at the token endpoint");
}

#[actix_web::test]
async fn ensure_dpopproof_at_par_endpoint_binding_success() {
    let suite = Suite::new().await;
    let code = suite.code_bound_by_proof(&suite.keys[0]).await;
    token(&suite.redeemed(&code, &[]).await);
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
async fn ensure_different_nonce_inside_and_outside_request_object() {
    let suite = Suite::new().await;
    let uri = suite.uri().await;
    let outside = [("nonce", "nonce-outside")];
    let end = suite.followed_with("first", &uri, &outside).await;
    let code = end.code().sent_with("code").expect("a code");
    let id = suite.id_token(&code).await;
    assert_eq!(id["nonce"], "nonce-of-the-client");
}

#[actix_web::test]
async fn ensure_different_state_inside_and_outside_request_object() {
    let suite = Suite::new().await;
    let uri = suite.uri().await;
    let outside = [("state", "state-outside")];
    let page = suite.followed_with("first", &uri, &outside).await.code();
    let state = page.sent_with("state");
    assert_eq!(state.as_deref(), Some("state-of-the-client"));
}

#[actix_web::test]
async fn ensure_authorization_request_with_long_nonce() {
    let suite = Suite::new().await;
    // The suite takes a refusal as well; 255 characters are taken whole, and more are refused at once.
    let long = "n".repeat(255);
    let page = suite.pushed(&[("nonce", &long)]).await;
    assert_eq!(suite.id_token_for(&uri(&page)).await["nonce"], long);
    let page = suite.pushed(&[("nonce", &"n".repeat(384))]).await;
    assert_refused(&page, INVALID_REQUEST, "384 characters");
}

#[actix_web::test]
async fn ensure_authorization_request_with_long_state() {
    let suite = Suite::new().await;
    let long = "s".repeat(384);
    let page = suite.pushed(&[("state", &long)]).await;
    let page = suite.followed("first", &uri(&page)).await.code();
    assert_eq!(page.sent_with("state"), Some(long));
}

#[actix_web::test]
async fn state_only_outside_request_object_not_used() {
    let suite = Suite::new().await;
    let uri = uri(&suite.pushed(&[("state", "")]).await);
    let outside = [("state", "state-outside")];
    let page = suite.followed_with("first", &uri, &outside).await.code();
    assert_eq!(page.sent_with("state"), None);
}

#[actix_web::test]
async fn ensure_request_object_without_redirect_uri_fails() {
    let suite = Suite::new().await;
    let page = suite.pushed(&[("redirect_uri", "")]).await;
    assert_refused(&page, INVALID_REQUEST, "no redirect URI");
}

#[actix_web::test]
async fn plain_fapi_tolerate_unregistered_redirect_uri() {
    let suite = Suite::new().await;
    // The profile lets a server take it from a client that has authenticated. This one does not.
    for uri in [
        "https://evil.example/callback",
        "http://127.0.0.3:9/callback?x=1",
        "http://127.0.0.3:9/Callback",
    ] {
        let page = suite.pushed(&[("redirect_uri", uri)]).await;
        assert_refused(&page, INVALID_REQUEST, uri);
    }
}

#[actix_web::test]
async fn ensure_unsigned_authorization_request_without_using_par_fails() {
    let suite = Suite::new().await;
    let login = Login::new("oidc", "ann-mfa").with("client_id", "first");
    let end = suite.world.sign_in(&mut Browser::new(), &login).await;
    assert_eq!(end.summary(), "client: invalid_request");
}

#[actix_web::test]
async fn ensure_redirect_uri_in_authorization_request() {
    let suite = Suite::new().await;
    // Pushed without; that it stands in the browser's request helps nobody.
    let page = suite.pushed(&[("redirect_uri", "")]).await;
    assert_refused(&page, INVALID_REQUEST, "not pushed");
    let outside = [("redirect_uri", "https://evil.example/callback")];
    let uri = suite.uri().await;
    let page = suite.followed_with("first", &uri, &outside).await.code();
    let to = page.location.expect("a redirect");
    assert!(to.as_str().starts_with(BrokerSetup::REDIRECT_URI), "{to}");
}

#[actix_web::test]
async fn ensure_response_type_code_idtoken_fails() {
    let suite = Suite::new().await;
    for kind in ["code id_token", "id_token", "code token"] {
        let page = suite.pushed(&[("response_type", kind)]).await;
        assert_refused(&page, (400, "unsupported_response_type"), kind);
    }
}

#[actix_web::test]
async fn ensure_response_type_token_fails() {
    let suite = Suite::new().await;
    let page = suite.pushed(&[("response_type", "token")]).await;
    assert_refused(&page, (400, "unsupported_response_type"), "token");
}

#[actix_web::test]
async fn ensure_client_id_in_token_endpoint() {
    let suite = Suite::new().await;
    let code = suite.code().await;
    for other in ["second", "gallery", "nobody"] {
        let page = suite.redeemed(&code, &[("client_id", other)]).await;
        assert_refused(&page, INVALID_CLIENT, other);
    }
    token(&suite.redeemed(&code, &[("client_id", "first")]).await);
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
async fn ensure_token_endpoint_fails_with_expired_auth_code() {
    let suite = Suite::new().await;
    // Sixty seconds at most, whatever the policy says (5.3.2.1).
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
async fn ensure_client_assertion_in_token_endpoint() {
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
async fn ensure_client_assertion_with_exp_is_5_minutes_in_past_fails() {
    let suite = Suite::new().await;
    let past = json!(now(&suite.world) - 300);
    assert!(!suite.is_taken_with("exp", past.clone()).await);
    suite.cannot_redeem_with("exp", past).await;
}

#[actix_web::test]
async fn ensure_client_assertion_with_wrong_aud_fails() {
    let suite = Suite::new().await;
    for wrong in ["https://evil.example", "first", ""] {
        assert!(!suite.is_taken_with("aud", json!(wrong)).await, "{wrong}");
    }
    suite
        .cannot_redeem_with("aud", json!("https://evil.example"))
        .await;
}

#[actix_web::test]
async fn ensure_client_assertion_with_no_sub_fails() {
    let suite = Suite::new().await;
    assert!(!suite.is_taken_with("sub", Value::Null).await);
    suite.cannot_redeem_with("sub", Value::Null).await;
}

#[actix_web::test]
async fn ensure_invalid_client_assertions_fail() {
    let suite = Suite::new().await;
    for name in ["iss", "sub", "aud", "exp", "jti"] {
        assert!(!suite.is_taken_with(name, Value::Null).await, "{name}");
    }
    for name in ["iss", "sub"] {
        assert!(!suite.is_taken_with(name, json!("second")).await, "{name}");
    }
    let once = suite.signed(0, &suite.claims(0));
    assert_eq!(suite.pushed_by(&once, &[], &[]).await.status, 201);
    let again = suite.pushed_by(&once, &[], &[]).await;
    assert_refused(&again, INVALID_CLIENT, "again");
    let by_another = suite.signed(1, &suite.claims(0));
    let page = suite.pushed_by(&by_another, &[], &[]).await;
    assert_refused(&page, INVALID_CLIENT, "another client's key");
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
async fn par_ensure_reused_request_uri_prior_to_auth_completion_succeeds() {
    let suite = Suite::new().await;
    let uri = suite.uri().await;
    // Looked at and left: the page was loaded anew.
    let page = Browser::new()
        .get(&suite.authorize_url("first", &uri))
        .await;
    assert_eq!(page.status, 303, "{}", page.body);
    assert_eq!(suite.followed("first", &uri).await.summary(), "code");
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
async fn par_ensure_jwt_client_assertions_nbf_8_seconds_in_the_future_is_accepted() {
    let suite = Suite::new().await;
    for name in ["iat", "nbf"] {
        for ahead in [8, 10] {
            let time = json!(now(&suite.world) + ahead);
            assert!(suite.is_taken_with(name, time).await, "{name}");
        }
    }
}

#[actix_web::test]
async fn par_ensure_jwt_client_assertions_nbf_over_60_seconds_in_the_future_fails() {
    let suite = Suite::new().await;
    for name in ["iat", "nbf"] {
        let time = json!(now(&suite.world) + 61);
        assert!(!suite.is_taken_with(name, time).await, "{name}");
    }
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
async fn par_attempt_invalid_http_method() {
    let suite = Suite::new().await;
    let issuer = &suite.world.broker.issuer;
    for method in ["GET", "PUT", "DELETE"] {
        let page = wire::send(method, issuer, "/par", &[], "").await;
        assert!(
            matches!(page.status, 404 | 405),
            "{method}: {}",
            page.status
        );
    }
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
async fn ensure_pkce_code_verifier_required() {
    let suite = Suite::new().await;
    let page = suite
        .redeemed(&suite.code().await, &[("code_verifier", "")])
        .await;
    assert_refused(&page, INVALID_GRANT, "no verifier");
}

#[actix_web::test]
async fn incorrect_pkce_code_verifier_rejected() {
    let suite = Suite::new().await;
    for verifier in ["aBjftJeZ4CVP-mBJL1Ia4lOTjFWOEjhYDk3jJMOYtTk", CHALLENGE] {
        let page = suite
            .redeemed(&suite.code().await, &[("code_verifier", verifier)])
            .await;
        assert_refused(&page, INVALID_GRANT, verifier);
    }
}

#[actix_web::test]
async fn par_plain_pkce_rejected() {
    let suite = Suite::new().await;
    for method in ["plain", ""] {
        let page = suite.pushed(&[("code_challenge_method", method)]).await;
        assert_refused(&page, INVALID_REQUEST, method);
    }
}

#[actix_web::test]
async fn par_without_duplicate_parameters() {
    let suite = Suite::new().await;
    // Nothing but `client_id` and `request_uri` goes through the browser.
    let uri = suite.uri().await;
    let query = suite.authorize_url("first", &uri);
    let names: Vec<String> = query.query_pairs().map(|(name, _)| name.into()).collect();
    assert_eq!(names, ["client_id", "request_uri"]);
    assert_eq!(suite.followed("first", &uri).await.summary(), "code");
}

#[actix_web::test]
async fn par_test_array_as_audience_fails() {
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
async fn par_test_par_endpoint_url_as_audience_fails() {
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
async fn par_test_token_endpoint_url_as_audience_fails() {
    let suite = Suite::new().await;
    let issuer = suite.world.broker.issuer.clone();
    assert!(
        !suite
            .is_taken_with("aud", json!(format!("{issuer}/token")))
            .await
    );
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
            registries: [].into(),
            webhook: None,
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
