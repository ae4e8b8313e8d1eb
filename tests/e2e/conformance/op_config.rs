//! `oidcc-config-certification-test-plan`: what our server says of itself.
//!
//! That every endpoint is `https` follows from the issuer, which these tests have on loopback; the
//! configuration takes no other scheme anywhere else.

use countersign_tests::{World, wire};
use serde_json::Value;

use super::Held::Here;
use super::{Module, check_plan};

const PLAN: [Module; 1] = [("oidcc-discovery-endpoint-verification", Here)];

#[test]
fn every_module_of_the_plan_has_its_test() {
    check_plan("op_config", "oidcc-", include_str!("op_config.rs"), &PLAN);
}

/// The document at an address, as JSON by its content type.
async fn document(base: &str, path: &str) -> Value {
    let page = wire::get(base, path, &[]).await;
    assert_eq!(page.status, 200, "{path}");
    assert_eq!(
        page.header("content-type"),
        Some("application/json"),
        "{path}"
    );
    serde_json::from_str(&page.body).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn texts<'a>(metadata: &'a Value, name: &str) -> Vec<&'a str> {
    let list = metadata[name].as_array();
    let list = list.unwrap_or_else(|| panic!("`{name}` is no list in {metadata}"));
    let text = |value: &'a Value| value.as_str().expect("a text");
    list.iter().map(text).collect()
}

#[actix_web::test]
async fn discovery_endpoint_verification() {
    let world = World::new().await;
    let issuer = world.broker.issuer.as_str();
    let metadata = document(issuer, "/.well-known/openid-configuration").await;
    assert_eq!(
        metadata["issuer"], issuer,
        "where it was asked for, to the letter"
    );
    assert_eq!(texts(&metadata, "response_types_supported"), ["code"]);
    assert_eq!(texts(&metadata, "subject_types_supported"), ["public"]);
    assert!(texts(&metadata, "id_token_signing_alg_values_supported").contains(&"RS256"));
    assert!(texts(&metadata, "grant_types_supported").contains(&"authorization_code"));
    assert!(texts(&metadata, "scopes_supported").contains(&"openid"));
    assert_eq!(
        texts(&metadata, "code_challenge_methods_supported"),
        ["S256"]
    );
    for claim in ["sub", "iss", "auth_time", "acr", "name", "email"] {
        assert!(
            texts(&metadata, "claims_supported").contains(&claim),
            "{claim}"
        );
    }
    // Discovery 3: the last is `true` where it is left out.
    for parameter in [
        "claims_parameter_supported",
        "request_parameter_supported",
        "request_uri_parameter_supported",
    ] {
        assert_eq!(metadata[parameter], false, "{parameter}");
    }
    assert_eq!(metadata.get("registration_endpoint"), None);
    for (name, value) in metadata.as_object().expect("an object") {
        if name.ends_with("_endpoint") || name.ends_with("_uri") {
            let path = value.as_str().and_then(|url| url.strip_prefix(issuer));
            let path = path.unwrap_or_else(|| panic!("`{name}` is elsewhere: {value}"));
            let [get, post] = [
                wire::get(issuer, path, &[]).await.status,
                wire::send("POST", issuer, path, &[], "").await.status,
            ];
            assert_ne!((get, post), (404, 404), "{name} is not served");
        }
    }
    check_keys(&document(issuer, "/jwks.json").await);
}

/// Public keys alone, each of which can be told from the others (RFC 7517 4).
fn check_keys(key_set: &Value) {
    let keys = key_set["keys"].as_array().expect("keys");
    let mut ids: Vec<&str> = keys.iter().filter_map(|key| key["kid"].as_str()).collect();
    assert_eq!(ids.len(), keys.len(), "every key has an id: {key_set}");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), keys.len(), "an id of its own: {key_set}");
    for key in keys {
        assert_eq!(key["use"], "sig");
        let public: &[&str] = match key["kty"].as_str() {
            Some("RSA") => &["n", "e"],
            Some("EC") => &["crv", "x", "y"],
            Some("OKP") => &["crv", "x"],
            other => panic!("a key of the type {other:?}"),
        };
        assert!(public.iter().all(|member| key[member].is_string()), "{key}");
        for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            assert_eq!(key.get(private), None, "a secret is published: `{private}`");
        }
    }
    let rsa = keys.iter().find(|key| key["kty"] == "RSA");
    assert_eq!(rsa.expect("a key for RS256")["alg"], "RS256");
}
