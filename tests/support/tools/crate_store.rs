//! A registry of cargo's kind that takes back what was published and has owners: what cargo-http-registry does not do.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde::Deserialize;
use serde_json::json;

/// One crate, `hello 1.0.0`, that was published already, with a sparse index; it answers as crates.io does, and believes
/// whoever reaches it.
#[derive(Debug)]
pub struct CrateStore {
    /// Where it listens.
    pub url: String,
    kept: Arc<Mutex<Kept>>,
    handle: ServerHandle,
}

/// What has become of the crate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Whether it was taken back.
    pub is_yanked: bool,
    /// Who owns it besides Ann.
    pub owners: Vec<String>,
    /// What the requests were that changed it, in the words of `X-Countersign-Action`, and whether they came with a credential of the tool's.
    pub changes: Vec<(String, bool)>,
}

#[derive(Deserialize)]
struct Users {
    users: Vec<String>,
}

type Shared = web::Data<Mutex<Kept>>;

impl CrateStore {
    /// Starts one on a free port, in the test's own runtime.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let kept = Arc::new(Mutex::new(Kept::default()));
        let shared = Shared::from(Arc::clone(&kept));
        let server = HttpServer::new(move || {
            let owners = web::resource("/api/v1/crates/hello/owners")
                .route(web::get().to(list))
                .route(web::put().to(add))
                .route(web::delete().to(remove));
            App::new()
                .app_data(shared.clone())
                .route("/index/config.json", web::get().to(config))
                .route("/api/v1/crates/hello/1.0.0/yank", web::delete().to(yank))
                .route("/api/v1/crates/hello/1.0.0/unyank", web::put().to(unyank))
                .service(owners)
        });
        let server = server.workers(1).disable_signals().listen(listener);
        let server = server.expect("a server").run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self {
            url: format!("http://{address}"),
            kept,
            handle,
        }
    }

    /// What has become of the crate until now.
    pub fn kept(&self) -> Kept {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone()
    }
}

impl Drop for CrateStore {
    fn drop(&mut self) {
        drop(self.handle.stop(false)); // the command is sent when it is made; nobody waits for its end
    }
}

/// The index names the address at which cargo has reached it.
async fn config(request: HttpRequest) -> HttpResponse {
    let host = request.headers().get("x-forwarded-host");
    let host = host.or_else(|| request.headers().get("host"));
    let host = host.and_then(|host| host.to_str().ok()).expect("a host");
    let api = format!("http://{host}");
    HttpResponse::Ok().json(json!({"dl": format!("{api}/api/v1/crates"), "api": api}))
}

async fn yank(request: HttpRequest, kept: Shared) -> HttpResponse {
    change(&request, &kept, |kept| kept.is_yanked = true);
    HttpResponse::Ok().json(json!({"ok": true}))
}

async fn unyank(request: HttpRequest, kept: Shared) -> HttpResponse {
    change(&request, &kept, |kept| kept.is_yanked = false);
    HttpResponse::Ok().json(json!({"ok": true}))
}

async fn list(kept: Shared) -> HttpResponse {
    let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    let others = kept.owners.iter().map(String::as_str);
    let all = std::iter::once("ann").chain(others).enumerate();
    let users: Vec<_> = all
        .map(|(number, login)| json!({"id": number, "login": login, "name": null}))
        .collect();
    HttpResponse::Ok().json(json!({"users": users}))
}

async fn add(request: HttpRequest, users: web::Json<Users>, kept: Shared) -> HttpResponse {
    let users = users.into_inner().users;
    let named = users.join(", ");
    change(&request, &kept, |kept| kept.owners.extend(users));
    let words = format!("user {named} has been invited to be an owner of crate hello");
    HttpResponse::Ok().json(json!({"ok": true, "msg": words}))
}

async fn remove(request: HttpRequest, users: web::Json<Users>, kept: Shared) -> HttpResponse {
    change(&request, &kept, |kept| {
        kept.owners.retain(|owner| !users.users.contains(owner));
    });
    HttpResponse::Ok().json(json!({"ok": true, "msg": "owners successfully removed"}))
}

fn change(request: &HttpRequest, kept: &Shared, change: impl FnOnce(&mut Kept)) {
    let headers = request.headers();
    let action = headers.get("x-countersign-action");
    let action = action.and_then(|action| action.to_str().ok()).unwrap_or("");
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    let has_credential = headers.contains_key("authorization");
    kept.changes.push((action.to_owned(), has_credential));
    change(&mut kept);
}
