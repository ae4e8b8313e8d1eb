//! What npm asks a registry: a package's document, its tarballs, and to take a new version.

use std::io;
use std::net::TcpListener;
use std::sync::{Mutex, MutexGuard, PoisonError};

use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, guard, web};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::packages::{Draft, NotDone, Packages};

/// The longest package with its tarball in base64, in bytes.
const LONGEST_BODY: usize = 16 * 1024 * 1024;
/// Who asks, as whoever stands in front says: the name that the registry knows them by, or else the account there.
const WHO: [&str; 2] = ["x-countersign-user", "x-countersign-account"];

/// What every request needs.
#[derive(Debug)]
struct Registry {
    /// By what `Authorization` whoever stands in front is known.
    door: SecretString,
    packages: Mutex<Packages>,
}

impl Registry {
    fn packages(&self) -> MutexGuard<'_, Packages> {
        self.packages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves the registry; to publish, whoever stands in front must show this `Authorization`.
pub(super) fn server(door: SecretString, listener: TcpListener) -> io::Result<Server> {
    let packages = Mutex::default();
    let registry = web::Data::new(Registry { door, packages });
    let server = HttpServer::new(move || {
        let anywhere = web::resource("{all:.*}")
            .route(web::route().guard(guard::Get()).to(read))
            .route(web::route().guard(guard::Put()).to(publish))
            .default_service(web::to(not_found));
        App::new()
            .app_data(registry.clone())
            .app_data(web::PayloadConfig::new(LONGEST_BODY))
            .service(anywhere)
    });
    Ok(server
        .workers(1)
        .disable_signals()
        .shutdown_timeout(1)
        .listen(listener)?
        .run())
}

/// GET `/{package}`, and `/{package}/-/{file}`.
async fn read(request: HttpRequest, registry: web::Data<Registry>) -> HttpResponse {
    let (name, file) = asked(request.path());
    let packages = registry.packages();
    let found = match file {
        None => packages
            .document(&name)
            .map(|document| HttpResponse::Ok().json(document)),
        Some(file) => packages
            .tarball(&name, file)
            .map(|tarball| HttpResponse::Ok().body(tarball.to_vec())),
    };
    found.unwrap_or_else(|| told(StatusCode::NOT_FOUND, "there is no such package"))
}

/// PUT `/{package}`.
async fn publish(
    request: HttpRequest,
    body: web::Bytes,
    registry: web::Data<Registry>,
) -> HttpResponse {
    let Some(owner) = who(&request, &registry.door) else {
        return told(StatusCode::FORBIDDEN, "this did not come through the door");
    };
    let (name, None) = asked(request.path()) else {
        return not_found().await;
    };
    let Ok(draft) = serde_json::from_slice::<Draft>(&body) else {
        return told(StatusCode::BAD_REQUEST, "this is no package");
    };
    match registry.packages().publish(&name, draft, owner) {
        Ok(()) => HttpResponse::Created().json(json!({"ok": true})),
        Err(not_done) => told(status(not_done), &not_done.to_string()),
    }
}

async fn not_found() -> HttpResponse {
    told(StatusCode::NOT_FOUND, "this registry does not serve this")
}

/// The package, and the file of its tarball; npm writes `@scope%2fname`.
fn asked(path: &str) -> (String, Option<&str>) {
    let path = path.trim_start_matches('/');
    let (name, file) = match path.split_once("/-/") {
        Some((name, file)) => (name, Some(file)),
        None => (path, None),
    };
    (name.replace("%2f", "/").replace("%2F", "/"), file)
}

/// Who asks, where whoever stands in front says so.
fn who<'r>(request: &'r HttpRequest, door: &SecretString) -> Option<&'r str> {
    let headers = request.headers();
    let shown = headers.get("authorization")?.as_bytes();
    verify_slices_are_equal(shown, door.expose_secret().as_bytes()).ok()?;
    let mut named = WHO
        .iter()
        .filter_map(|name| headers.get(*name)?.to_str().ok());
    named.find(|name| !name.is_empty())
}

fn status(not_done: NotDone) -> StatusCode {
    match not_done {
        NotDone::Name | NotDone::Tarball => StatusCode::BAD_REQUEST,
        NotDone::NotYours | NotDone::Taken => StatusCode::FORBIDDEN,
        NotDone::Full => StatusCode::INSUFFICIENT_STORAGE,
    }
}

/// In the member that npm shows.
fn told(status: StatusCode, words: &str) -> HttpResponse {
    HttpResponse::build(status).json(json!({"error": words}))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_package_is_named_as_npm_writes_it() {
        for (path, name, file) in [
            ("/hello", "hello", None),
            ("/@ann%2fhello", "@ann/hello", None),
            ("/@ann%2Fhello", "@ann/hello", None),
            (
                "/@ann/hello/-/@ann/hello-1.0.0.tgz",
                "@ann/hello",
                Some("@ann/hello-1.0.0.tgz"),
            ),
        ] {
            assert_eq!(asked(path), (name.to_owned(), file), "{path}");
        }
    }

    #[test]
    fn who_publishes_is_whom_the_door_names_and_nobody_else() {
        let door = SecretString::from("Bearer secret-of-the-door");
        let check = |lines: &[(&'static str, &'static str)], expected: Option<&str>| {
            let mut request = TestRequest::put();
            for line in lines {
                request = request.append_header(*line);
            }
            let request = request.to_http_request();
            assert_eq!(who(&request, &door), expected, "{lines:?}");
        };
        let shown = ("authorization", "Bearer secret-of-the-door");
        let account = ("x-countersign-account", "acct_1");
        check(
            &[shown, account, ("x-countersign-user", "ann")],
            Some("ann"),
        );
        check(
            &[shown, account, ("x-countersign-user", "")],
            Some("acct_1"),
        );
        check(&[shown], None);
        check(&[account], None);
        check(&[account, ("authorization", "Bearer secret")], None);
    }
}
