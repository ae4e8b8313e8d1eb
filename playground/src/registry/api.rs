//! The API that package tools call: it verifies the bearer token and checks scopes.
//!
//! It knows no cookie and no sign-in. What is missing is told by a challenge (RFC 6750, RFC 9470).

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use countersign_verifier::{AccessToken, Error, bearer};
use serde_json::json;

use super::Registry;
use super::packages::{Draft, NotDone};

/// What publishing needs. The broker's policy decides which logins are good for it.
pub(super) const PUBLISH: &str = "packages:publish";
/// What unpublishing needs.
pub(super) const UNPUBLISH: &str = "packages:unpublish";

/// What unpublishing needs besides: here the service is stricter than the policy. That an account
/// has a second factor switched on (`urn:countersign:mfa-enrolled`) is not enough for it.
const ACR_OF_UNPUBLISH: [&str; 4] = [
    "urn:countersign:mfa",
    "urn:countersign:mfa-attested",
    "phr",
    "phrh",
];

/// GET `/api/packages`: anybody may look.
pub(super) async fn list(registry: web::Data<Registry>) -> HttpResponse {
    HttpResponse::Ok().json(registry.packages().all())
}

/// POST `/api/packages`.
pub(super) async fn publish(
    request: HttpRequest,
    body: web::Bytes,
    registry: web::Data<Registry>,
) -> HttpResponse {
    let token = match authorize(&request, &registry).await.and_then(may_publish) {
        Ok(token) => token,
        Err(error) => return challenge(&error),
    };
    let Ok(draft) = serde_json::from_slice::<Draft>(&body) else {
        return problem(
            StatusCode::BAD_REQUEST,
            "bad-request",
            "expected a JSON object of `name` and `version`",
        );
    };
    let published = registry.packages().publish(draft, &token.claims().sub);
    match published {
        Ok(package) => HttpResponse::Created().json(package),
        Err(not_done) => refuse(not_done),
    }
}

/// DELETE `/api/packages/{name}`.
pub(super) async fn unpublish(
    request: HttpRequest,
    name: web::Path<String>,
    registry: web::Data<Registry>,
) -> HttpResponse {
    let token = match authorize(&request, &registry).await.and_then(may_unpublish) {
        Ok(token) => token,
        Err(error) => return challenge(&error),
    };
    let removed = registry.packages().unpublish(&name, &token.claims().sub);
    match removed {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(not_done) => refuse(not_done),
    }
}

async fn authorize(request: &HttpRequest, registry: &Registry) -> Result<AccessToken, Error> {
    let header = request.headers().get("authorization");
    let header = header.map(|value| value.to_str().map_err(|_| Error::MalformedRequest));
    registry.verifier.verify(bearer(header.transpose()?)?).await
}

fn may_publish(token: AccessToken) -> Result<AccessToken, Error> {
    token.require_scope(PUBLISH)?;
    Ok(token)
}

fn may_unpublish(token: AccessToken) -> Result<AccessToken, Error> {
    token.require_scope(UNPUBLISH)?;
    token.require_acr(&ACR_OF_UNPUBLISH)?;
    Ok(token)
}

fn challenge(error: &Error) -> HttpResponse {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let Some(challenge) = error.challenge() else {
        tracing::warn!(cause = %error, "a token could not be checked");
        return problem(
            status,
            "unavailable",
            "tokens can't be checked at the moment",
        );
    };
    let mut answer = HttpResponse::build(status);
    answer.insert_header(("www-authenticate", challenge.to_string()));
    answer.json(json!({ "code": "unauthorized", "message": error.to_string() }))
}

fn refuse(not_done: NotDone) -> HttpResponse {
    let (status, code) = match not_done {
        NotDone::Name => (StatusCode::BAD_REQUEST, "bad-name"),
        NotDone::Version => (StatusCode::BAD_REQUEST, "bad-version"),
        NotDone::NotYours => (StatusCode::FORBIDDEN, "not-yours"),
        NotDone::Unknown => (StatusCode::NOT_FOUND, "unknown-package"),
        NotDone::Full => (StatusCode::INSUFFICIENT_STORAGE, "full"),
    };
    problem(status, code, &not_done.to_string())
}

fn problem(status: StatusCode, code: &str, message: &str) -> HttpResponse {
    HttpResponse::build(status).json(json!({ "code": code, "message": message }))
}
