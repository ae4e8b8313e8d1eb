//! `/api/v1`: what a registry's own services, its organisations' admins and its operators change here. JSON, for authenticated clients.

mod accounts;
mod api_keys;
mod audit_log;
mod caller;
mod organizations;

pub(crate) use audit_log::AuditSearch;
pub(crate) use caller::{Caller, Person};

use actix_web::{HttpResponse, Route, Scope, web};
use serde::de::DeserializeOwned;

use crate::error::{ApiError, Failure};
use crate::web::{Call, Parameters, read};

/// The longest body that says an address, in bytes: a few times the longest one.
const LONGEST_ADDRESS: usize = 4 * 1024;
/// The longest body, in bytes: an organisation with as many admins as it can have.
const LONGEST_BODY: usize = 64 * 1024;
/// The longest body that tells of many.
const LONGEST_BODY_OF_MANY: usize = 1024 * 1024;

/// All routes of the API. What is wrong beneath it is told in JSON, never by a page.
pub(crate) fn routes() -> Scope {
    web::scope("/api/v1")
        .app_data(web::PayloadConfig::new(LONGEST_BODY))
        .service(
            web::resource("/accounts")
                .route(web::get().to(accounts::list))
                .default_service(only("GET")),
        )
        .service(
            web::resource("/accounts/{account}")
                .route(web::get().to(accounts::show))
                .route(web::delete().to(accounts::erase))
                .default_service(only("GET, DELETE")),
        )
        .service(
            web::resource("/accounts/{account}/lock")
                .app_data(web::PayloadConfig::new(LONGEST_ADDRESS))
                .route(web::put().to(accounts::lock))
                .route(web::delete().to(accounts::unlock))
                .default_service(only("PUT, DELETE")),
        )
        .service(
            web::resource("/accounts/{account}/sessions")
                .route(web::delete().to(accounts::end_sessions))
                .default_service(only("DELETE")),
        )
        .service(
            web::resource("/accounts/{account}/verified-email")
                .app_data(web::PayloadConfig::new(LONGEST_ADDRESS))
                .route(web::put().to(accounts::vouch))
                .route(web::delete().to(accounts::take_back))
                .default_service(only("PUT, DELETE")),
        )
        .configure(api_key_routes)
        .service(
            web::resource("/audit-log")
                .route(web::get().to(audit_log::list))
                .default_service(only("GET")),
        )
        .service(
            web::resource("/openapi.json")
                .route(read().to(describe))
                .default_service(only("GET, HEAD")),
        )
        .service(
            web::resource("/organizations")
                .app_data(web::PayloadConfig::new(LONGEST_BODY_OF_MANY))
                .route(web::get().to(organizations::list))
                .route(web::post().to(organizations::tell_many))
                .default_service(only("GET, POST")),
        )
        .service(
            web::resource("/organizations/{id}")
                .route(web::get().to(organizations::show))
                .route(web::put().to(organizations::tell))
                .route(web::delete().to(organizations::forget))
                .default_service(only("GET, PUT, DELETE")),
        )
        .service(
            web::resource("/organizations/{id}/exceptions")
                .route(web::post().to(organizations::ask_exception))
                .default_service(only("POST")),
        )
        .service(
            web::resource("/organizations/{id}/exceptions/{exception}")
                .route(web::put().to(organizations::answer_exception))
                .route(web::delete().to(organizations::take_back_exception))
                .default_service(only("PUT, DELETE")),
        )
        .service(
            web::resource("/organizations/{id}/connections/{source}")
                .route(web::put().to(organizations::connect))
                .route(web::delete().to(organizations::disconnect))
                .default_service(only("PUT, DELETE")),
        )
        .service(
            web::resource("/organizations/{id}/connections/{source}/settlement")
                .route(web::post().to(organizations::settle))
                .default_service(only("POST")),
        )
        .service(
            web::resource("/organizations/{id}/connections/{source}/agreement")
                .route(web::post().to(organizations::agree))
                .default_service(only("POST")),
        )
        .default_service(web::to(async |call: Call| call.refuse(ApiError::NotFound)))
}

/// What people, services and operators do with API keys.
fn api_key_routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/api-keys")
                .route(web::get().to(api_keys::list))
                .route(web::post().to(api_keys::make_one))
                .default_service(only("GET, POST")),
        )
        .service(
            web::resource("/api-keys/imports")
                .app_data(web::PayloadConfig::new(LONGEST_BODY_OF_MANY))
                .route(web::post().to(api_keys::import_many))
                .default_service(only("POST")),
        )
        .service(
            web::resource("/api-keys/{key}")
                .route(web::delete().to(api_keys::revoke_one))
                .default_service(only("DELETE")),
        );
}

/// What a resource says to other methods than its own.
fn only(methods: &'static str) -> Route {
    web::to(move |call: Call| async move { call.refuse(ApiError::Method(methods)) })
}

/// The description of all this, for tools (OpenAPI 3.1).
async fn describe() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(include_str!("api/openapi.json"))
}

/// How many are listed unless more are asked for, and the most that can be.
const PAGE: usize = 100;
const LONGEST_PAGE: usize = 1000;

/// How many are to be listed.
fn limit(parameters: &Parameters) -> Result<usize, ApiError> {
    match parameters.one("limit").map(str::parse::<usize>) {
        None => Ok(PAGE),
        Some(Ok(limit)) if (1..=LONGEST_PAGE).contains(&limit) => Ok(limit),
        Some(_) => Err(ApiError::Body("`limit` is a number from 1 to 1000")),
    }
}

/// A body, if it arrived whole.
type Body = Result<web::Bytes, actix_web::Error>;

/// A body that is one JSON object of this kind, and says nothing twice.
fn read_object<T: DeserializeOwned>(body: Body) -> Result<T, Failure> {
    let body = body.map_err(|error| ApiError::of_body(&error))?;
    // serde would take an array of the members in their order, too.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(ApiError::Body("expected a JSON object").into());
    }
    let read = serde_json::from_slice(&body);
    read.map_err(|_| {
        ApiError::Body("the object is not as `/api/v1/openapi.json` describes it").into()
    })
}
