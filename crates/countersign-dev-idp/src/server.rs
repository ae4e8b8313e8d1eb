//! Runs one stand-in on a thread of its own, and spoils its wire where told to.
//!
//! The thread has its own runtime, so that a stand-in starts from any test or program.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use actix_web::body::{self, BodyStream, BoxBody, MessageBody};
use actix_web::dev::{ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Bytes, Data, ServiceConfig};
use actix_web::{App, Error, HttpResponse, HttpServer};
use futures_util::stream;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::clients::Client;
use crate::control::{Behaviour, Control};
use crate::faults::{Document, Edit, Endpoint, WireAnswer, edited};
use crate::keys::{SigningKey, Slot, key};
use crate::page;

/// Starts a stand-in of this kind.
pub(crate) async fn start<K: Kind>(bind: &str) -> std::io::Result<Running> {
    let listener = TcpListener::bind(bind)?;
    let base_url = format!("http://{}", listener.local_addr()?);
    let control = Control::new();
    let kind = Arc::new(K::new(Site {
        base_url: base_url.clone(),
        control: control.clone(),
    }));
    let (started, starting) = oneshot::channel();
    thread::Builder::new()
        .name("dev-idp".to_owned())
        .spawn(move || run(kind, listener, started))?;
    let handle = starting
        .await
        .map_err(|_| std::io::Error::other("the stand-in's thread ended early"))??;
    Ok(Running {
        base_url,
        control,
        handle,
    })
}

/// One kind of provider.
pub(crate) trait Kind: Send + Sync + 'static {
    fn new(site: Site) -> Self;
    fn site(&self) -> &Site;
    fn routes(config: &mut ServiceConfig);
    /// Makes what takes long to make, so that the first request isn't slow.
    fn warm_up();
    /// Which endpoint a path is, for wire faults and counting.
    fn endpoint(path: &str) -> Option<Endpoint>;
}

/// A stand-in on its thread.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) base_url: String,
    pub(crate) control: Control,
    handle: ServerHandle,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.handle.stop(false).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The command is sent at the call; the future only waits for its end.
        drop(self.handle.stop(false));
    }
}

/// What every kind knows of itself.
pub(crate) struct Site {
    pub(crate) base_url: String,
    pub(crate) control: Control,
}

impl Site {
    pub(crate) fn behaviour(&self) -> Arc<Behaviour> {
        self.control.behaviour()
    }

    pub(crate) fn now(&self) -> i64 {
        self.control.now()
    }

    /// The registration with this id.
    pub(crate) fn client(&self, id: &str) -> Option<Client> {
        let behaviour = self.behaviour();
        behaviour
            .clients
            .iter()
            .find(|client| client.id == id)
            .cloned()
    }

    /// The edits of a document.
    pub(crate) fn edits(&self, document: Document) -> Vec<Edit> {
        let behaviour = self.behaviour();
        behaviour.edits.get(&document).cloned().unwrap_or_default()
    }

    /// A JSON answer, with the edits of its document.
    pub(crate) fn json(&self, document: Document, value: Value) -> HttpResponse {
        HttpResponse::Ok()
            .content_type("application/json; charset=utf-8")
            .insert_header(("cache-control", "no-store"))
            .body(edited(value, &self.edits(document)))
    }
}

fn run<K: Kind>(
    kind: Arc<K>,
    listener: TcpListener,
    started: oneshot::Sender<std::io::Result<ServerHandle>>,
) {
    K::warm_up();
    actix_web::rt::System::new().block_on(async move {
        let server = HttpServer::new(move || {
            let site = kind.clone();
            App::new()
                .app_data(Data::from(kind.clone()))
                .wrap(from_fn(move |request, next| {
                    wire::<K>(site.clone(), request, next)
                }))
                .configure(K::routes)
                .route("/foreign/keys", web::get().to(foreign_keys))
                .default_service(web::to(not_found))
        })
        .workers(1)
        .disable_signals()
        .shutdown_timeout(1)
        .listen(listener);
        match server {
            Ok(server) => {
                let server = server.run();
                // Nobody waits any more when the starter was dropped; then the handle's loss is no loss.
                let _ = started.send(Ok(server.handle()));
                let _ = server.await;
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        }
    });
}

/// The attacker's key set, where `Signing::ForeignKeyWithJku` points.
async fn foreign_keys() -> HttpResponse {
    let foreign: &SigningKey = key(Slot::Foreign);
    HttpResponse::Ok().json(serde_json::json!({ "keys": [foreign.jwk] }))
}

async fn not_found() -> HttpResponse {
    page::message(
        StatusCode::NOT_FOUND,
        "Stand-in",
        "Not found",
        "There is nothing at this address.",
    )
}

/// Counts each request, and answers for the endpoint where a wire fault says so.
async fn wire<K: Kind>(
    kind: Arc<K>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let control = &kind.site().control;
    let endpoint = K::endpoint(request.path());
    control.count(request.path(), endpoint);
    let fault = endpoint
        .and_then(|endpoint| control.behaviour().wire.get(&endpoint).cloned())
        .unwrap_or_default();
    if !fault.delay.is_zero() {
        actix_web::rt::time::sleep(fault.delay).await;
    }
    match instead(&fault.answer) {
        Some(answer) => Ok(request.into_response(answer)),
        None => {
            spoil(
                next.call(request).await?.map_into_boxed_body(),
                fault.answer,
            )
            .await
        }
    }
}

/// The answer that takes the place of the endpoint's own.
fn instead(answer: &WireAnswer) -> Option<HttpResponse> {
    match answer {
        WireAnswer::Status(status) => Some(page::message(
            StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            "Stand-in",
            "Something went wrong",
            "This answer was asked for by a test.",
        )),
        WireAnswer::Body {
            status,
            content_type,
            headers,
            body,
        } => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::OK);
            let mut answer = HttpResponse::build(status);
            answer.content_type(content_type.as_str());
            for (name, value) in headers {
                answer.insert_header((name.as_str(), value.as_str()));
            }
            Some(answer.body(body.clone()))
        }
        WireAnswer::Redirect(to) => Some(
            HttpResponse::TemporaryRedirect()
                .insert_header(("location", to.as_str()))
                .finish(),
        ),
        WireAnswer::Usual
        | WireAnswer::Padded(_)
        | WireAnswer::Trickle { .. }
        | WireAnswer::ContentType(_) => None,
    }
}

/// The endpoint's own answer, carried badly.
async fn spoil(
    response: ServiceResponse<BoxBody>,
    answer: WireAnswer,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match answer {
        WireAnswer::Padded(size) => {
            let (head, text) = with_text(response).await?;
            let padded = [vec![b' '; size], text.to_vec()].concat();
            Ok(head.map_body(|_, ()| BoxBody::new(padded)))
        }
        WireAnswer::Trickle { piece, pause } => {
            let (head, text) = with_text(response).await?;
            let pieces: Vec<Bytes> = text
                .chunks(piece.max(1))
                .map(Bytes::copy_from_slice)
                .collect();
            let stream = stream::unfold(pieces.into_iter(), move |mut rest| async move {
                let piece = rest.next()?;
                actix_web::rt::time::sleep(pause).await;
                Some((Ok::<_, Error>(piece), rest))
            });
            Ok(head.map_body(|_, ()| BoxBody::new(BodyStream::new(Box::pin(stream)))))
        }
        WireAnswer::ContentType(kind) => {
            let mut response = response;
            if let Ok(value) = HeaderValue::from_str(&kind) {
                response.headers_mut().insert(CONTENT_TYPE, value);
            }
            Ok(response)
        }
        WireAnswer::Usual
        | WireAnswer::Status(_)
        | WireAnswer::Body { .. }
        | WireAnswer::Redirect(_) => Ok(response),
    }
}

async fn with_text(
    response: ServiceResponse<BoxBody>,
) -> Result<(ServiceResponse<()>, Bytes), Error> {
    let (request, response) = response.into_parts();
    let (head, text) = response.into_parts();
    let text = body::to_bytes(text)
        .await
        .map_err(|error| actix_web::error::ErrorInternalServerError(error.to_string()))?;
    Ok((ServiceResponse::new(request, head.set_body(())), text))
}
