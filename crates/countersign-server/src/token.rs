//! Tokens: a code or a refresh token becomes an ID token and an access token; an access token
//! becomes UserInfo; and what any of them is good for is told, or ended.

mod assertion;
mod audience;
mod client;
mod dpop;
mod exchange;
mod introspect;
mod issued;
mod mint;
mod redeem;
mod refresh;
mod revocations;
mod revoke;
mod service;
mod user_info;
mod weigh;

use actix_web::{HttpResponse, web};
use countersign_store::StoreError;

use crate::error::{Failure, OAuthError, of_store};
use crate::web::{Call, Context, Parameters};

pub(crate) use client::authenticate;
pub(crate) use dpop::{Nonces, proof_of, spend};
pub(crate) use exchange::{organization as organization_of, stated as stated_by};
pub(crate) use introspect::introspect;
pub(crate) use issued::{is_live, is_of_a_service, presented, session_of, verified};
pub(crate) use mint::{countersign_claim, scope as scope_of};
pub(crate) use redeem::{take, take_of_device};
pub(crate) use revocations::{Feed, revocations, watch};
pub(crate) use revoke::revoke;
pub(crate) use user_info::{user_info, user_info_by_form};
pub(crate) use weigh::{Weighed, Wish, weigh};

/// POST `/token` (RFC 6749 3.2).
pub(crate) async fn token(call: Call, form: web::Bytes) -> HttpResponse {
    call.answer(async |context| answer(&form, context).await)
        .await
}

async fn answer(form: &[u8], context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let parameters = read(form)?;
    let client = authenticate(&parameters, context).await?;
    match parameters.one("grant_type") {
        Some("authorization_code") => redeem::redeem(&parameters, &client, context).await,
        Some("refresh_token") => refresh::refresh(&parameters, &client, context).await,
        Some("urn:ietf:params:oauth:grant-type:device_code") => {
            redeem::redeem_of_device(&parameters, &client, context).await
        }
        Some("client_credentials") => service::tokens(&parameters, &client, context).await,
        Some("urn:ietf:params:oauth:grant-type:token-exchange") => {
            exchange::exchange(&parameters, &client, context).await
        }
        Some(_) => Err(OAuthError::unsupported_grant_type()),
        None => Err(OAuthError::invalid_request("`grant_type` is missing")),
    }
}

/// The parameters of a form, none of which may stand twice (RFC 6749 3.2).
pub(crate) fn read(form: &[u8]) -> Result<Parameters, Failure> {
    let parameters = Parameters::read(form);
    if parameters.has_twice("resource") {
        return Err(OAuthError::invalid_target("a token is for one `resource`"));
    }
    if parameters.is_repeated() {
        return Err(OAuthError::invalid_request("a parameter stands twice"));
    }
    Ok(parameters)
}

pub(crate) fn unavailable(error: &StoreError, context: &Context<'_>) -> Failure {
    of_store(error, OAuthError::unavailable(), context)
}
