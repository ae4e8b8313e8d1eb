//! `/userinfo` (OpenID Connect Core 5.3): for any live access token of ours with `openid` in scope.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use countersign_store::{Account, Session, StoreError};
use countersign_verifier::{Claims, Error};
use serde::Serialize;

use super::issued::{self, session_of};
use super::mint::Person;
use crate::web::{Call, Context, Parameters};

#[derive(Serialize)]
struct UserInfo<'a> {
    sub: &'a str,
    #[serde(flatten)]
    person: Person<'a>,
}

/// GET: the token is in the header.
pub(crate) async fn user_info(call: Call) -> HttpResponse {
    answer(None, &call.context()).await
}

/// POST: the token is in the header or in the form (RFC 6750 2.2).
pub(crate) async fn user_info_by_form(call: Call, form: web::Bytes) -> HttpResponse {
    let context = call.context();
    let parameters = Parameters::read(&form);
    if parameters.is_repeated() {
        return refused(&Error::MalformedRequest, &context);
    }
    answer(parameters.one("access_token").map(str::to_owned), &context).await
}

async fn answer(in_form: Option<String>, context: &Context<'_>) -> HttpResponse {
    match read(in_form.as_deref(), context).await {
        Ok((session, account, claims)) => {
            let has_scope = |scope: &str| claims.scope.contains(scope);
            let person = Person::of((&session, &account), has_scope);
            context.with_nonce(HttpResponse::Ok().json(UserInfo {
                sub: &claims.sub,
                person,
            }))
        }
        Err(error) => refused(&error, context),
    }
}

/// The session behind a token that verifies, alive, and whose it is.
async fn read(
    in_form: Option<&str>,
    context: &Context<'_>,
) -> Result<(Session, Account, Claims), Error> {
    let broker = context.broker;
    let token = issued::presented(in_form, context).await?;
    token.require_scope("openid")?;
    let claims = token.into_claims();
    let session = session_of(&claims, context).await;
    let session = session.map_err(|error| unavailable(&error))?;
    let session = session.ok_or(Error::Expired)?;
    let account = broker
        .store
        .account(&session.account)
        .await
        .map_err(|error| unavailable(&error))?;
    let (account, _) = account
        .filter(|(account, _)| account.locked.is_none())
        .ok_or(Error::Expired)?;
    Ok((session, account, claims))
}

fn unavailable(error: &StoreError) -> Error {
    Error::Unavailable(error.to_string())
}

fn refused(error: &Error, context: &Context<'_>) -> HttpResponse {
    tracing::info!(code = "userinfo-refused", request = %context.request_id, cause = %error, "UserInfo refused");
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let mut response = HttpResponse::build(status);
    if let Some(challenge) = error.challenge() {
        response.insert_header(("www-authenticate", challenge.to_string()));
    }
    context.with_nonce(response.finish())
}
