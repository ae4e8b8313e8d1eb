//! The page of a registry that people are sent back to: it says so, and nothing else.

use std::net::TcpListener;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};

/// A page at every path of a host of its own; gone when dropped.
#[derive(Debug)]
pub struct Landing {
    base: String,
    handle: ServerHandle,
}

impl Landing {
    /// Starts on a free port of this address, in the test's own runtime. With `cookie`, each
    /// answer sets it.
    pub fn start(host: &str, cookie: Option<&'static str>) -> Self {
        let listener = TcpListener::bind((host, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let answer = move || async move {
            let mut answer = HttpResponse::Ok();
            if let Some(cookie) = cookie {
                answer.insert_header(("set-cookie", cookie));
            }
            answer.content_type("text/html; charset=utf-8").body(PAGE)
        };
        let server = HttpServer::new(move || App::new().default_service(web::to(answer)))
            .workers(1)
            .disable_signals()
            .listen(listener)
            .expect("a server")
            .run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self {
            base: format!("http://{address}"),
            handle,
        }
    }

    /// Its address, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Its redirect URI.
    pub fn redirect_uri(&self) -> String {
        format!("{}/callback", self.base)
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        drop(self.handle.stop(false)); // the command is sent when it is made; nobody waits for its end
    }
}

const PAGE: &str = "<!doctype html><html lang=en><title>Back at the registry</title>\
    <link rel=icon href=data:,><main><h1>Back at the registry</h1></main></html>";
