//! Routes, and what every answer carries.

use std::io;
use std::net::TcpListener;

use actix_web::dev::Server;
use actix_web::error::InternalError;
use actix_web::middleware::DefaultHeaders;
use actix_web::{App, HttpResponse, HttpServer, ResponseError, web};

use super::{Registry, api, frontend, pages};

/// The longest body, in bytes: a package here is a name and a version.
const LONGEST_BODY: usize = 16 * 1024;

/// There is no `form-action`: publishing may end in a redirect to the broker and on to a
/// provider, and browsers hold redirects after a form to that rule too.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Serves the registry.
pub(super) fn server(registry: Registry, listener: TcpListener) -> io::Result<Server> {
    let registry = web::Data::new(registry);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(registry.clone())
            .app_data(web::PayloadConfig::new(LONGEST_BODY))
            .app_data(web::QueryConfig::default().error_handler(|error, _| not_understood(error)))
            .app_data(web::FormConfig::default().error_handler(|error, _| not_understood(error)))
            .wrap(headers())
            .configure(routes)
            .default_service(web::to(not_found))
    });
    Ok(server
        .workers(1)
        .disable_signals()
        .shutdown_timeout(1)
        .listen(listener)?
        .run())
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/", web::get().to(frontend::browse))
        .route("/publish", web::get().to(frontend::publish_form))
        .route("/publish", web::post().to(frontend::publish))
        .route("/unpublish", web::post().to(frontend::unpublish))
        .route("/me", web::get().to(frontend::me))
        .route("/me.json", web::get().to(frontend::me_json))
        .route("/sign-in", web::get().to(frontend::sign_in))
        .route("/sign-out", web::post().to(frontend::sign_out))
        .route("/callback", web::get().to(frontend::callback))
        .route("/api/packages", web::get().to(api::list))
        .route("/api/packages", web::post().to(api::publish))
        .route("/api/packages/{name}", web::delete().to(api::unpublish))
        .route("/registry.css", web::get().to(style))
        .route("/icon.svg", web::get().to(icon));
}

fn headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add(("content-security-policy", POLICY))
        .add(("x-content-type-options", "nosniff"))
        .add(("referrer-policy", "no-referrer"))
        .add(("cache-control", "no-store"))
}

pub(crate) async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/css; charset=utf-8")
        .body(include_str!("../../assets/registry.css"))
}

pub(crate) async fn icon() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("image/svg+xml")
        .body(include_str!("../../assets/icon.svg"))
}

/// A query or a form that can't be read gets a page, not the parser's words.
fn not_understood(error: impl ResponseError + 'static) -> actix_web::Error {
    InternalError::from_response(error, pages::bad_request()).into()
}

async fn not_found() -> HttpResponse {
    pages::not_found()
}

/// 303: the next request is a GET, whatever this one was.
pub(super) fn see_other(location: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header(("location", location))
        .finish()
}
