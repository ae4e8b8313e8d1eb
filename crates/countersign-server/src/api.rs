//! `/api/v1`: what a registry's own services change here. JSON, for authenticated clients.

mod accounts;

use actix_web::{HttpRequest, HttpResponse, Scope, web};

use crate::Broker;
use crate::error::{ApiError, Failure};
use crate::web::Context;

/// The longest body, in bytes: a few times the longest e-mail address.
const LONGEST_BODY: usize = 4 * 1024;

/// All routes of the API. What is wrong beneath it is told in JSON, never by a page.
pub(crate) fn routes() -> Scope {
    web::scope("/api/v1")
        .app_data(web::PayloadConfig::new(LONGEST_BODY))
        .service(
            web::resource("/accounts/{account}/verified-email")
                .route(web::put().to(accounts::vouch))
                .route(web::delete().to(accounts::take_back))
                .default_service(web::to(
                    async |request: HttpRequest, broker: web::Data<Broker>| {
                        refuse(&request, &broker, ApiError::Method("PUT, DELETE"))
                    },
                )),
        )
        .default_service(web::to(
            async |request: HttpRequest, broker: web::Data<Broker>| {
                refuse(&request, &broker, ApiError::NotFound)
            },
        ))
}

fn refuse(request: &HttpRequest, broker: &Broker, error: ApiError) -> HttpResponse {
    Context::new(request, broker).answer(Err(Failure::Api(error)))
}
