//! `/introspect` (RFC 7662): what a token is good for at this moment, for registry services that do not
//! verify it themselves or must know at once that it was ended.
//!
//! Whoever may not know is told what everybody is told of a token that never was: `{"active": false}`.

use actix_web::{HttpRequest, HttpResponse, web};
use countersign_core::{ClientId, Scope};
use countersign_store::LiveGrant;
use countersign_verifier::Claims;
use serde_json::{Value, json};

use super::issued::{is_live, verified};
use super::refresh::{RefreshToken, may_refresh};
use super::{client, mint, read, unavailable};
use crate::Broker;
use crate::error::{Failure, OAuthError};
use crate::session;
use crate::web::{Context, Parameters};

/// POST `/introspect`.
pub(crate) async fn introspect(
    request: HttpRequest,
    form: web::Bytes,
    broker: web::Data<Broker>,
) -> HttpResponse {
    let context = Context::new(&request, &broker);
    context.answer(answer(&form, &context).await)
}

async fn answer(form: &[u8], context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let parameters = read(form)?;
    let caller = client::authenticate_confidential(&parameters, context).await?;
    let told = told(&parameters, &caller, context).await?;
    Ok(HttpResponse::Ok().json(told.unwrap_or_else(|| json!({"active": false}))))
}

/// What the caller may know of the token. `token_type_hint` is a hint only (RFC 7662 2.1): what a token
/// is shows by itself.
async fn told(
    parameters: &Parameters,
    caller: &ClientId,
    context: &Context<'_>,
) -> Result<Option<Value>, Failure> {
    let token = parameters
        .one("token")
        .ok_or_else(|| OAuthError::invalid_request("`token` is missing"))?;
    if let Some(token) = RefreshToken::open(token, caller, context) {
        return of_refresh_token(&token, caller, context).await;
    }
    match verified(token, context).await {
        Ok(token) => of_access_token(&token.into_claims(), caller, context).await,
        Err(_) => Ok(None),
    }
}

async fn of_access_token(
    claims: &Claims,
    caller: &ClientId,
    context: &Context<'_>,
) -> Result<Option<Value>, Failure> {
    if !may_use(claims, caller, context) {
        return Ok(None);
    }
    let is_live = is_live(claims, context).await;
    if !is_live.map_err(|error| unavailable(&error, context))? {
        return Ok(None);
    }
    let mut told = json!(claims);
    told["active"] = true.into();
    told["token_type"] = mint::token_type(claims.cnf.as_ref()).into();
    Ok(Some(told))
}

/// RFC 7662 4: the token can be used at this caller, or is its own.
pub(super) fn may_use(claims: &Claims, caller: &ClientId, context: &Context<'_>) -> bool {
    let clients = &context.broker.settings.clients;
    let is_for = clients
        .get(caller)
        .is_some_and(|client| client.resource == claims.aud);
    is_for || claims.client_id == caller.as_str()
}

/// Only its own client can open a refresh token. One that is spent is not good, and looking does no harm. When it
/// ends is not told (RFC 7662 4: others may keep the answer until then): any refresh puts it off.
async fn of_refresh_token(
    token: &RefreshToken,
    caller: &ClientId,
    context: &Context<'_>,
) -> Result<Option<Value>, Failure> {
    let broker = context.broker;
    let found = broker
        .store
        .grant(&token.session, &token.grant, context.now)
        .await;
    let found = found.map_err(|error| unavailable(&error, context))?;
    Ok(found
        .filter(|found| found.good == token.number && may_refresh(caller, context))
        .filter(|found| session::is_vouched_for(&found.session, context))
        .map(|LiveGrant { grant, session, .. }| {
            let scopes: Vec<&str> = grant.scopes.iter().map(Scope::as_str).collect();
            json!({
                "active": true,
                "iss": broker.settings.issuer(),
                "client_id": caller,
                "sub": session.account,
                "sid": session.id,
                "scope": scopes.join(" "),
                "acr": grant.stated.acr.as_str(),
                "amr": grant.stated.amr,
            })
        }))
}
