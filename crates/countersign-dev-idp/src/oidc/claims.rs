//! What the plain provider says of a sign-in.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Account, Evidence};

/// A finished sign-in, as a code or access token stands for it.
#[derive(Clone, Debug)]
pub(super) struct SignIn {
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) nonce: Option<String>,
    pub(super) challenge: Option<String>,
    pub(super) scopes: BTreeSet<String>,
    pub(super) account: Account,
    pub(super) evidence: Evidence,
    pub(super) auth_time: i64,
}

/// The claims of the ID token; `at_hash` comes on top.
pub(super) fn id_token(
    sign_in: &SignIn,
    issuer: &str,
    now: i64,
    lifetime: i64,
) -> Map<String, Value> {
    let mut claims = person(sign_in);
    let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    put("iss", json!(issuer));
    put("aud", json!(sign_in.client_id));
    put("azp", json!(sign_in.client_id));
    put("iat", json!(now));
    put("exp", json!(now + lifetime));
    put("auth_time", json!(sign_in.auth_time));
    if let Some(nonce) = &sign_in.nonce {
        put("nonce", json!(nonce));
    }
    if let Some(amr) = &sign_in.evidence.amr {
        put("amr", amr.clone());
    }
    if let Some(acr) = &sign_in.evidence.acr {
        put("acr", json!(acr));
    }
    claims
}

/// The claims of UserInfo: who, by scope.
pub(super) fn person(sign_in: &SignIn) -> Map<String, Value> {
    let account = &sign_in.account;
    let mut claims = Map::new();
    let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    put("sub", json!(account.sub));
    if sign_in.scopes.contains("profile") {
        put("name", json!(account.name));
        put("preferred_username", json!(account.id));
    }
    if let Some(groups) = &account.groups {
        put("groups", groups.clone());
    }
    if let Some(email) = account
        .email
        .as_ref()
        .filter(|_| sign_in.scopes.contains("email"))
    {
        put("email", json!(email));
        if let Some(verified) = &account.email_verified {
            put("email_verified", verified.clone());
        }
    }
    claims
}
