//! Discovery documents and key sets, in the form of those that Microsoft publishes.

use std::sync::OnceLock;
use std::thread;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use serde_json::{Value, json};

use super::realm::{self, MICROSOFT_ACCOUNTS, Realm};
use super::{Entra, TenantKeyIssuer, error};
use crate::control::{Behaviour, KeyPhase};
use crate::faults::Document;
use crate::keys::{Slot, idle_jwk, key};

/// `/{realm}/v2.0/.well-known/openid-configuration`.
pub(super) async fn document(realm: Path<String>, entra: Data<Entra>) -> HttpResponse {
    let behaviour = entra.site.behaviour();
    match Realm::of(&realm, &behaviour.entra.tenants) {
        Some(realm) => entra
            .site
            .json(Document::Discovery, metadata(&entra.site.base_url, &realm)),
        None => error::unknown_tenant(&realm, entra.site.now()),
    }
}

/// `/{realm}/discovery/v2.0/keys`.
pub(super) async fn keys(realm: Path<String>, entra: Data<Entra>) -> HttpResponse {
    let behaviour = entra.site.behaviour();
    match Realm::of(&realm, &behaviour.entra.tenants) {
        Some(realm) => {
            let keys = key_set(&entra.site.base_url, &realm, &behaviour);
            entra.site.json(Document::Jwks, json!({ "keys": keys }))
        }
        None => error::unknown_tenant(&realm, entra.site.now()),
    }
}

/// Makes the keys of the usual set, those that sign side by side.
pub(super) fn make_keys() {
    thread::scope(|scope| {
        scope.spawn(|| key(Slot::EntraCurrent));
        scope.spawn(idle);
    });
}

fn metadata(base: &str, realm: &Realm) -> Value {
    let path = realm.path();
    let region = match realm {
        Realm::Tenant(tenant) => Some(&tenant.region),
        Realm::Common | Realm::Organizations | Realm::Consumers => None,
    };
    json!({
        "token_endpoint": format!("{base}/{path}/oauth2/v2.0/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": format!("{base}/{path}/discovery/v2.0/keys"),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": realm.issuer(base),
        "request_uri_parameter_supported": false,
        "userinfo_endpoint": format!("{base}/oidc/userinfo"),
        "authorization_endpoint": format!("{base}/{path}/oauth2/v2.0/authorize"),
        "device_authorization_endpoint": format!("{base}/{path}/oauth2/v2.0/devicecode"),
        "http_logout_supported": true,
        "frontchannel_logout_supported": true,
        "end_session_endpoint": format!("{base}/{path}/oauth2/v2.0/logout"),
        "claims_supported": ["sub", "iss", "cloud_instance_name", "cloud_instance_host_name", "cloud_graph_host_name",
            "msgraph_host", "aud", "exp", "iat", "auth_time", "acr", "nonce", "preferred_username", "name", "tid", "ver",
            "at_hash", "c_hash", "email"],
        "kerberos_endpoint": format!("{base}/{path}/kerberos"),
        "tenant_region_scope": region,
        "cloud_instance_name": "microsoftonline.com",
        "cloud_graph_host_name": "graph.windows.net",
        "msgraph_host": "graph.microsoft.com",
        "rbac_url": "https://pas.windows.net",
    })
}

/// Ten keys or so: seven for every tenant, three for personal accounts alone.
fn key_set(base: &str, realm: &Realm, behaviour: &Behaviour) -> Vec<Value> {
    let shared = match (realm, behaviour.entra.tenant_key_issuer) {
        (Realm::Tenant(tenant), TenantKeyIssuer::Concrete) => realm::issuer(base, &tenant.id),
        _ => realm::template_issuer(base),
    };
    let personal = realm::issuer(base, MICROSOFT_ACCOUNTS);
    let (idle_shared, idle_personal) = idle().split_at(IDLE_SHARED);
    let working = working(behaviour.keys).into_iter();
    let shared_keys = working.chain(idle_shared.iter().cloned());
    let personal_keys = [key(Slot::Msa).jwk.clone()]
        .into_iter()
        .chain(idle_personal.iter().cloned());
    shared_keys
        .map(|jwk| issued_by(jwk, &shared))
        .chain(personal_keys.map(|jwk| issued_by(jwk, &personal)))
        .collect()
}

const IDLE_SHARED: usize = 6;
const IDLE_PERSONAL: usize = 2;

fn working(phase: KeyPhase) -> Vec<Value> {
    let old = phase.old_is_published().then_some(Slot::EntraCurrent);
    let next = phase.next_is_published().then_some(Slot::EntraNext);
    old.into_iter()
        .chain(next)
        .map(|slot| key(slot).jwk.clone())
        .collect()
}

/// Keys that Microsoft keeps published beside those that sign; made once.
fn idle() -> &'static [Value] {
    static IDLE: OnceLock<Vec<Value>> = OnceLock::new();
    IDLE.get_or_init(|| {
        let certifier = key(Slot::Msa);
        (0..IDLE_SHARED + IDLE_PERSONAL)
            .map(|_| idle_jwk(certifier))
            .collect()
    })
}

fn issued_by(mut jwk: Value, issuer: &str) -> Value {
    jwk["issuer"] = json!(issuer);
    jwk
}
