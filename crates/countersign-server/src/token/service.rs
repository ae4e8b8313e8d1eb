//! `/token`, grant `client_credentials` (RFC 6749 4.4): a registry's own service acts as itself.
//!
//! No person and no session stand behind its tokens, so they have no `acr`, `amr`, `auth_time` and `sid`;
//! `sub` is the client (RFC 9068 2.2).

use std::collections::BTreeSet;

use actix_web::HttpResponse;
use countersign_core::{ClientId, Scope, ServicePermit, decide_for_service};
use countersign_verifier::Claims;
use serde_json::json;

use super::dpop::{self, ShownKey};
use super::{audience, mint};
use crate::edge::RandomText;
use crate::error::{Failure, OAuthError};
use crate::settings::GrantType;
use crate::web::{Context, Parameters};

/// A token for the client itself.
pub(super) async fn tokens(
    parameters: &Parameters,
    client: &ClientId,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let settings = context.broker.settings.clients.get(client);
    // Who is public is nobody: the settings are checked, and this is what they are checked for.
    if !settings
        .is_some_and(|one| one.may(GrantType::ClientCredentials) && !one.authentication.is_public())
    {
        return Err(OAuthError::unauthorized_client());
    }
    let audience = audience::of(client, None, parameters, context)?;
    let permit = decide_for_service(context.policy(), client, &asked(parameters)?);
    let permit = permit.map_err(|_| {
        OAuthError::invalid_scope(
            "the policy gives this client no such scope as its own (`own_scopes`)",
        )
    })?;
    let shown = dpop::spend(dpop::proof_of(client, context)?, context).await?;
    answer(&permit, audience, shown.as_ref(), context)
}

fn answer(
    permit: &ServicePermit,
    audience: &str,
    shown: Option<&ShownKey>,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let scopes: Vec<&str> = permit.scopes().iter().map(Scope::as_str).collect();
    let scopes = scopes.join(" ");
    let lifetime = context.policy().lifetimes().token;
    let iat = context.now.as_second();
    let exp = (context.now + lifetime).as_second();
    let claims = Claims {
        iss: context.broker.settings.issuer().to_owned(),
        sub: permit.client().to_string(),
        aud: audience.to_owned(),
        client_id: permit.client().to_string(),
        scope: scopes.parse().map_err(|_| OAuthError::unavailable())?,
        acr: None,
        amr: Vec::new(),
        auth_time: None,
        sid: None,
        cnf: shown.map(ShownKey::confirmation),
        act: None,
        jti: context.broker.entropy.hex::<16>(),
        iat,
        exp,
        countersign: None,
    };
    let access_token = mint::sign(&claims, context).map_err(mint::not_signed)?;
    context.broker.metrics.token_issued(permit.client());
    tracing::info!(code = "service-permitted", request = %context.request_id, client = %permit.client(), scope = scopes, "a service got a token for itself");
    Ok(HttpResponse::Ok()
        .insert_header(("pragma", "no-cache"))
        .json(json!({
            "access_token": access_token,
            "token_type": mint::token_type(claims.cnf.as_ref()),
            "expires_in": exp - iat,
            "scope": scopes,
        })))
}

fn asked(parameters: &Parameters) -> Result<BTreeSet<Scope>, Failure> {
    let named = parameters.one("scope").unwrap_or_default();
    let scopes = named.split_ascii_whitespace().map(Scope::new);
    let scopes: Result<_, _> = scopes.collect();
    scopes.map_err(|_| OAuthError::invalid_scope("a scope can't be read"))
}
