//! `/introspect` (RFC 7662): what a token is good for at this moment, for registry services that do not
//! verify it themselves or must know at once that it was ended.
//!
//! Whoever may not know is told what everybody is told of a token that never was: `{"active": false}`.
//!
//! Whoever asks for a signed answer (RFC 9701) has one, which they can show to others: it says to whom it was told.

mod key;

use actix_web::{HttpResponse, web};
use countersign_core::{ClientId, Scope};
use countersign_store::LiveGrant;
use countersign_verifier::Claims;
use serde_json::{Value, json};

use super::issued::{is_live, verified};
use super::refresh::{RefreshToken, may_refresh};
use super::{client, mint, read, unavailable};
use crate::error::{Failure, OAuthError};
use crate::keys::NotSigned;
use crate::session;
use crate::web::{Call, Context, Parameters};

/// POST `/introspect`.
pub(crate) async fn introspect(call: Call, form: web::Bytes) -> HttpResponse {
    call.answer(async |context| answer(&form, context).await)
        .await
}

async fn answer(form: &[u8], context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let parameters = read(form)?;
    let caller = client::authenticate_confidential(&parameters, context).await?;
    let told = told(&parameters, &caller, context).await?;
    let told = told.unwrap_or_else(|| json!({"active": false}));
    if !wants_jwt(context) {
        return Ok(HttpResponse::Ok().json(told));
    }
    let signed = signed(&told, &caller, context).map_err(mint::not_signed)?;
    Ok(HttpResponse::Ok().content_type(JWT).body(signed))
}

/// The media type of a signed answer (RFC 9701 4), and with it the `typ` of the JWT.
const JWT: &str = "application/token-introspection+jwt";
const TYP: &str = "token-introspection+jwt";

/// Whether the caller accepts a signed answer. One that accepts anything (`*/*`) has not asked for it.
fn wants_jwt(context: &Context<'_>) -> bool {
    let lines = context.request.headers().get_all("accept");
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let is_it = parts
                .next()
                .is_some_and(|one| one.eq_ignore_ascii_case(JWT));
            // RFC 9110 12.4.2: a weight of 0 means "not acceptable".
            is_it && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
}

/// RFC 9701 5: what is told stands in a member of its own, and there is no `sub` and no `exp` beside it, so that it
/// passes for no other kind of JWT.
fn signed(told: &Value, caller: &ClientId, context: &Context<'_>) -> Result<String, NotSigned> {
    let broker = context.broker;
    let client = broker.settings.clients.get(caller).ok_or(NotSigned)?;
    let claims = json!({
        "iss": broker.settings.issuer(),
        "aud": caller,
        "iat": context.now.as_second(),
        "token_introspection": told,
    });
    broker.keys.sign(client.id_token_algorithm, TYP, &claims)
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
        Err(_) => key::told(parameters, caller, context).await,
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
    let is_good = |found: &LiveGrant| found.good == token.number && may_refresh(caller, context);
    let Some(LiveGrant { grant, session, .. }) = found.filter(is_good) else {
        return Ok(None);
    };
    let owner = session::owner(&session, context).await;
    if owner
        .map_err(|error| unavailable(&error, context))?
        .is_err()
    {
        return Ok(None);
    }
    let scopes: Vec<&str> = grant.scopes.iter().map(Scope::as_str).collect();
    Ok(Some(json!({
        "active": true,
        "iss": broker.settings.issuer(),
        "client_id": caller,
        "sub": session.account,
        "sid": session.id,
        "scope": scopes.join(" "),
        "acr": grant.stated.acr.as_str(),
        "amr": grant.stated.amr,
    })))
}
