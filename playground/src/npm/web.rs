//! What npm asks a registry: a package's document, its tarballs, its tags, and to take a new version or to withdraw one; and a
//! page for whoever comes with a browser.

use std::io;
use std::net::TcpListener;
use std::sync::{Mutex, MutexGuard, PoisonError};

use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, guard, web};
use askama::Template;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::packages::{Draft, NotDone, Packages};
use crate::registry::{icon, respond, style};

/// The longest package with its tarball in base64, in bytes.
const LONGEST_BODY: usize = 16 * 1024 * 1024;
/// Who asks, as whoever stands in front says: the name that the registry knows them by, or else the account there.
const WHO: [&str; 2] = ["x-countersign-user", "x-countersign-account"];

/// What every request needs.
#[derive(Debug)]
struct Registry {
    /// By what `Authorization` whoever stands in front is known.
    door: SecretString,
    front: Front,
    packages: Mutex<Packages>,
}

/// What a browser is shown.
#[derive(Debug, Template)]
#[template(path = "npm.html")]
struct Front {
    /// Where tools reach the registry.
    url: String,
}

impl Registry {
    fn packages(&self) -> MutexGuard<'_, Packages> {
        self.packages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves the registry that tools reach at `url`; to publish, whoever stands in front must show this `Authorization`.
pub(super) fn server(url: String, door: SecretString, listener: TcpListener) -> io::Result<Server> {
    let registry = web::Data::new(Registry {
        door,
        front: Front { url },
        packages: Mutex::default(),
    });
    let server = HttpServer::new(move || {
        let anywhere = web::resource("{all:.*}")
            .route(web::route().guard(guard::Get()).to(read))
            .route(web::route().guard(guard::Put()).to(put))
            .route(web::route().guard(guard::Delete()).to(delete))
            .default_service(web::to(anything_else));
        App::new()
            .app_data(registry.clone())
            .app_data(web::PayloadConfig::new(LONGEST_BODY))
            .route("/registry.css", web::get().to(style))
            .route("/icon.svg", web::get().to(icon))
            .service(anywhere)
    });
    Ok(server
        .workers(1)
        .disable_signals()
        .shutdown_timeout(1)
        .listen(listener)?
        .run())
}

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
enum Named<'p> {
    /// The registry itself.
    Front,
    /// Whether anybody is there.
    Ping,
    Package(String),
    Tarball(String, &'p str),
    Tags(String),
    Tag(String, &'p str),
    /// A package at its last change.
    Revision(String, &'p str),
    TarballAt(String, &'p str, &'p str),
    Nothing,
}

/// What is asked for; npm writes `@scope%2fname`.
fn named(path: &str) -> Named<'_> {
    let path = path.trim_start_matches('/');
    let own = |name: &str| name.replace("%2f", "/").replace("%2F", "/");
    if let Some(rest) = path.strip_prefix("-/package/") {
        return match rest.split_once("/dist-tags") {
            Some((name, "")) => Named::Tags(own(name)),
            Some((name, tag)) => Named::Tag(own(name), tag.trim_start_matches('/')),
            None => Named::Nothing,
        };
    }
    match path {
        "" => return Named::Front,
        "-/ping" => return Named::Ping,
        _ if path.starts_with("-/") => return Named::Nothing,
        _ => {}
    }
    let (path, revision) = match path.split_once("/-rev/") {
        Some((path, revision)) => (path, Some(revision)),
        None => (path, None),
    };
    match (path.split_once("/-/"), revision) {
        (None, None) => Named::Package(own(path)),
        (None, Some(revision)) => Named::Revision(own(path), revision),
        (Some((name, file)), None) => Named::Tarball(own(name), file),
        (Some((name, file)), Some(revision)) => Named::TarballAt(own(name), file, revision),
    }
}

/// GET: whatever anybody may read.
async fn read(request: HttpRequest, registry: web::Data<Registry>) -> HttpResponse {
    let packages = registry.packages();
    let found = match named(request.path()) {
        Named::Front => return respond(StatusCode::OK, &registry.front),
        Named::Ping => return HttpResponse::Ok().json(json!({})),
        Named::Package(name) => packages
            .document(&name)
            .map(|document| HttpResponse::Ok().json(document)),
        Named::Tarball(name, file) => packages
            .tarball(&name, file)
            .map(|tarball| HttpResponse::Ok().body(tarball.to_vec())),
        Named::Tags(name) => packages
            .tags(&name)
            .map(|tags| HttpResponse::Ok().json(tags)),
        Named::Tag(..) | Named::Revision(..) | Named::TarballAt(..) | Named::Nothing => {
            return not_served();
        }
    };
    found.unwrap_or_else(|| told(StatusCode::NOT_FOUND, &NotDone::Unknown.to_string()))
}

/// PUT: a new version, what is left of the versions, a tag.
async fn put(
    request: HttpRequest,
    body: web::Bytes,
    registry: web::Data<Registry>,
) -> HttpResponse {
    let Some(owner) = who(&request, &registry.door) else {
        return nobody();
    };
    let draft = || serde_json::from_slice::<Draft>(&body).map_err(|_| NotDone::Unreadable);
    let mut packages = registry.packages();
    done(match named(request.path()) {
        Named::Package(name) => draft().and_then(|draft| packages.publish(&name, draft, owner)),
        Named::Revision(name, revision) => {
            draft().and_then(|draft| packages.keep((&name, revision), draft, owner))
        }
        Named::Tag(name, tag) => serde_json::from_slice::<String>(&body)
            .map_err(|_| NotDone::Unreadable)
            .and_then(|version| packages.tag((&name, tag), &version, owner)),
        Named::Front
        | Named::Ping
        | Named::Tarball(..)
        | Named::Tags(_)
        | Named::TarballAt(..)
        | Named::Nothing => return not_served(),
    })
}

/// DELETE: a package, a tarball, a tag.
async fn delete(request: HttpRequest, registry: web::Data<Registry>) -> HttpResponse {
    let Some(owner) = who(&request, &registry.door) else {
        return nobody();
    };
    let mut packages = registry.packages();
    done(match named(request.path()) {
        Named::Revision(name, revision) => packages.remove((&name, revision), owner),
        Named::TarballAt(name, file, revision) => {
            packages.remove_tarball((&name, revision), file, owner)
        }
        Named::Tag(name, tag) => packages.untag((&name, tag), owner),
        Named::Front
        | Named::Ping
        | Named::Package(_)
        | Named::Tarball(..)
        | Named::Tags(_)
        | Named::Nothing => return not_served(),
    })
}

fn done(result: Result<(), NotDone>) -> HttpResponse {
    match result {
        Ok(()) => HttpResponse::Created().json(json!({"ok": true})),
        Err(not_done) => told(status(not_done), &not_done.to_string()),
    }
}

fn nobody() -> HttpResponse {
    told(StatusCode::FORBIDDEN, "this did not come through the door")
}

async fn anything_else() -> HttpResponse {
    not_served()
}

fn not_served() -> HttpResponse {
    told(StatusCode::NOT_FOUND, "this registry does not serve this")
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
        NotDone::Name | NotDone::Tarball | NotDone::Unreadable => StatusCode::BAD_REQUEST,
        NotDone::NotYours | NotDone::Taken | NotDone::Latest => StatusCode::FORBIDDEN,
        NotDone::Unknown | NotDone::NoVersion => StatusCode::NOT_FOUND,
        NotDone::Stale => StatusCode::CONFLICT,
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
    fn what_is_asked_for_is_named_as_npm_writes_it() {
        let own = str::to_owned;
        for (path, expected) in [
            ("/", Named::Front),
            ("/hello", Named::Package(own("hello"))),
            ("/@ann%2fhello", Named::Package(own("@ann/hello"))),
            ("/@ann%2Fhello", Named::Package(own("@ann/hello"))),
            (
                "/@ann/hello/-/hello-1.0.0.tgz",
                Named::Tarball(own("@ann/hello"), "hello-1.0.0.tgz"),
            ),
            (
                "/@ann/hello/-/hello-1.0.0.tgz/-rev/2",
                Named::TarballAt(own("@ann/hello"), "hello-1.0.0.tgz", "2"),
            ),
            (
                "/@ann%2fhello/-rev/2",
                Named::Revision(own("@ann/hello"), "2"),
            ),
            (
                "/-/package/@ann%2fhello/dist-tags",
                Named::Tags(own("@ann/hello")),
            ),
            (
                "/-/package/@ann%2fhello/dist-tags/beta",
                Named::Tag(own("@ann/hello"), "beta"),
            ),
            ("/-/package/hello/access", Named::Nothing),
            ("/-/v1/search", Named::Nothing),
        ] {
            assert_eq!(named(path), expected, "{path}");
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
