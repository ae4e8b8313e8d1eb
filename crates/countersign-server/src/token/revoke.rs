//! `/revoke` (RFC 7009): a client ends a token that it no longer needs, or that it has lost.
//!
//! With a refresh token all of its grant ends; an access token ends alone, and so does an API key of the client's. Registries' services see it
//! at `/introspect` at once, and those that verify tokens themselves within a second where they follow `/revocations`, else
//! within the token's lifetime.

use actix_web::{HttpResponse, web};
use countersign_core::ClientId;
use countersign_store::{Ended, StoreError};
use countersign_verifier::Claims;

use super::issued::{self, verified};
use super::refresh::{RefreshToken, grant_ended};
use super::{authenticate, read, unavailable};
use crate::api_key;
use crate::audit::{Event, Happening, Subject};
use crate::error::{Failure, OAuthError};
use crate::web::{Call, Context, Parameters};

/// POST `/revoke`.
pub(crate) async fn revoke(call: Call, form: web::Bytes) -> HttpResponse {
    call.answer(async |context| answer(&form, context).await)
        .await
}

async fn answer(form: &[u8], context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let parameters = read(form)?;
    let client = authenticate(&parameters, context).await?;
    end(&parameters, &client, context).await?;
    // RFC 7009 2.2: a token that is not good is revoked as well as any.
    Ok(HttpResponse::Ok().finish())
}

/// `token_type_hint` is a hint only (RFC 7009 2.1): what a token is shows by itself.
async fn end(
    parameters: &Parameters,
    client: &ClientId,
    context: &Context<'_>,
) -> Result<(), Failure> {
    let text = parameters
        .one("token")
        .ok_or_else(|| OAuthError::invalid_request("`token` is missing"))?;
    if let Some(token) = RefreshToken::open(text, client, context) {
        let store = &context.broker.store;
        let ended = store
            .end_grant(&token.session, &token.grant, context.now)
            .await;
        match ended.map_err(|error| unavailable(&error, context))? {
            Ended::Now => context.audit(grant_ended(client, "revoked", &token)),
            // Whoever has an old token could fill the disk with it.
            Ended::Before => {}
        }
        return Ok(());
    }
    match verified(text, context).await {
        Ok(token) => end_access_token(&token.into_claims(), client, context).await,
        Err(_) => end_api_key(text, client, context).await,
    }
}

async fn end_api_key(text: &str, client: &ClientId, context: &Context<'_>) -> Result<(), Failure> {
    let store_failed = |error: StoreError| unavailable(&error, context);
    let Some(held) = api_key::find(text, context).await.map_err(store_failed)? else {
        return Ok(());
    };
    if held.key.client != *client {
        return Err(OAuthError::invalid_request("the key is for another client"));
    }
    let revoked = api_key::revoke(&held.key.id, client, "revoked", context).await;
    revoked.map(drop).map_err(store_failed)
}

async fn end_access_token(
    claims: &Claims,
    client: &ClientId,
    context: &Context<'_>,
) -> Result<(), Failure> {
    if claims.client_id != client.as_str() {
        return Err(OAuthError::invalid_request(
            "the token was issued to another client",
        ));
    }
    let ended = issued::end(claims, context).await;
    if ended.map_err(|error| unavailable(&error, context))? == Ended::Now {
        let session = claims.sid.as_deref();
        context.audit(
            Happening::new(Event::TokenRevoked, client)
                .about_any(Subject::Session, session)
                .because("revoked"),
        );
    }
    Ok(())
}
