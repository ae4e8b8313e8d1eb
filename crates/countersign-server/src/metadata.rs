//! What this installation says of itself: OpenID Connect Discovery 1.0 and RFC 8414.
//! It lists exactly what is served.

use actix_web::{HttpResponse, web};
use countersign_core::{Acr, Scope};
use countersign_providers::oidc::SigningAlgorithm;
use countersign_verifier::DPOP_ALGORITHMS;
use serde_json::{Value, json};

use crate::{Broker, GrantType, client_jwt};

/// `/.well-known/openid-configuration` and `/.well-known/oauth-authorization-server`.
pub(crate) async fn describe(broker: web::Data<Broker>) -> HttpResponse {
    public_json(document(&broker).to_string().into_bytes())
}

/// `/jwks.json` (RFC 7517).
pub(crate) async fn key_set(broker: web::Data<Broker>) -> HttpResponse {
    public_json(broker.keys.published())
}

/// Five minutes: long enough to spare us, short enough that a key that was withdrawn is soon gone.
fn public_json(body: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("cache-control", "public, max-age=300"))
        .insert_header(("access-control-allow-origin", "*"))
        .content_type("application/json")
        .body(body)
}

/// How a client may say who it is, by the names of OpenID Connect Core 9; public ones last.
const AUTHENTICATION: [&str; 4] = [
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
    "none",
];

fn document(broker: &Broker) -> Value {
    let assertions = client_jwt::ALGORITHMS.map(SigningAlgorithm::as_str);
    let settings = &broker.settings;
    let in_force = broker.policy.current();
    let scopes = ["openid"]
        .into_iter()
        .chain(in_force.policy.scopes().map(Scope::as_str));
    let algorithms = broker
        .keys
        .algorithms()
        .map(crate::SigningAlgorithm::as_str)
        .collect::<Vec<_>>();
    json!({
        "issuer": settings.issuer(),
        "authorization_endpoint": settings.endpoint("/authorize"),
        "dpop_signing_alg_values_supported": DPOP_ALGORITHMS,
        "pushed_authorization_request_endpoint": settings.endpoint("/par"),
        "require_pushed_authorization_requests": settings.clients.values().all(|one| one.must_push),
        "device_authorization_endpoint": settings.endpoint("/device_authorization"),
        "token_endpoint": settings.endpoint("/token"),
        "introspection_endpoint": settings.endpoint("/introspect"),
        "revocation_endpoint": settings.endpoint("/revoke"),
        // Ours: no standard names what it serves (ARCHITECTURE.md).
        "countersign_revocations_endpoint": settings.endpoint("/revocations"),
        "end_session_endpoint": settings.endpoint("/logout"),
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "userinfo_endpoint": settings.endpoint("/userinfo"),
        "jwks_uri": settings.endpoint("/jwks.json"),
        "scopes_supported": scopes.collect::<Vec<_>>(),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": GrantType::ALL.map(GrantType::as_str),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": &algorithms,
        // RFC 9701 7: as the caller's ID tokens are.
        "introspection_signing_alg_values_supported": algorithms,
        "token_endpoint_auth_methods_supported": AUTHENTICATION,
        "token_endpoint_auth_signing_alg_values_supported": assertions,
        // RFC 7662 2.1: who asks must be known, so all but `none`.
        "introspection_endpoint_auth_methods_supported": AUTHENTICATION[..3],
        "introspection_endpoint_auth_signing_alg_values_supported": assertions,
        "revocation_endpoint_auth_methods_supported": AUTHENTICATION,
        "revocation_endpoint_auth_signing_alg_values_supported": assertions,
        "code_challenge_methods_supported": ["S256"],
        "acr_values_supported": Acr::ALL.map(Acr::as_str),
        "prompt_values_supported": ["none", "login", "select_account"],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "sid",
            "at_hash", "name", "email", "email_verified", "registry_account",
        ],
        "authorization_response_iss_parameter_supported": true,
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
    })
}
