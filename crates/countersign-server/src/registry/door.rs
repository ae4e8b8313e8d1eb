//! A registry's door: where its tools' own requests arrive, on a listener of the registry's or below `/registry/{registry}`.
//!
//! What is ours is answered, what is refused is refused in the tool's own words, and the rest is passed on to the registry,
//! where we pass requests on at all. A proxy that asks us by `/forward-auth/` sends here what it was not to let through,
//! since it could not say why itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use countersign_core::RegistryName;

use super::gate::{Asked, Judged, Refused, judge};
use super::notice::Notice;
use super::refusal::refuse;
use super::upload::{Patience, Upload};
use super::{ROOT, Registry, below, identity, named, ours, proxy, refusal};
use crate::error::{Failure, Problem};
use crate::web::{Call, Context};

/// Which registry is behind which listener.
#[derive(Debug, Clone)]
pub(crate) struct Doors(pub(crate) BTreeMap<SocketAddr, RegistryName>);

/// Below `/registry/{registry}`, for what a proxy in front does not pass on itself.
pub(crate) async fn below_a_path(call: Call, body: web::Payload) -> HttpResponse {
    call.answer(async |context| {
        let registry = named(ROOT, context)?;
        let target = below(ROOT, context).ok_or(Failure::Page(Problem::NotFound))?;
        let answer = open(registry, target, None, context).await;
        // A proxy may have nothing to say to a tool that is still sending.
        let upload = Upload::new(body, context.request.headers());
        upload.discard(Patience::BELOW_A_PATH).await;
        Ok(answer)
    })
    .await
}

/// On a listener of the registry's own.
pub(crate) async fn at_a_listener(
    call: Call,
    doors: web::Data<Doors>,
    body: web::Payload,
) -> HttpResponse {
    call.answer(async |context| {
        let address = context.request.app_config().local_addr();
        let name = doors.0.get(&address);
        let registry = name.and_then(|name| context.broker.settings.registries.get(name));
        let registry = registry.ok_or(Failure::Page(Problem::NotFound))?;
        let target = context.request.uri().path_and_query();
        let target = target.map_or("", |target| target.as_str());
        Ok(open(registry, target, Some(body), context).await)
    })
    .await
}

/// Answers a request. `body` is what is passed on with it, where it is.
async fn open(
    registry: &Registry,
    target: &str,
    body: Option<web::Payload>,
    context: &Context<'_>,
) -> HttpResponse {
    let request = context.request;
    // An absolute form (RFC 9112 3.2.2) names a host, and which of two counts nobody knows.
    let asked = Asked {
        method: request.method().as_str(),
        target: if request.uri().authority().is_some() {
            ""
        } else {
            target
        },
        headers: request.headers(),
    };
    let mut upload = body.map(|body| Upload::new(body, request.headers()));
    let judged = judge(registry, asked, upload.as_mut(), context).await;
    match judged {
        Judged::Refused(refused) => {
            discard(upload).await;
            refuse(registry, &refused, asked, context).await
        }
        Judged::Ours(answer, names) => {
            discard(upload).await;
            Box::pin(ours::answer(registry, answer, &names, asked, context)).await
        }
        Judged::Open | Judged::Let { .. } => {
            Box::pin(pass_on(registry, asked, judged, upload, context)).await
        }
    }
}

async fn discard(upload: Option<Upload>) {
    if let Some(upload) = upload {
        upload.discard(Patience::AT_A_DOOR).await;
    }
}

async fn pass_on(
    registry: &Registry,
    asked: Asked<'_>,
    judged: Judged,
    upload: Option<Upload>,
    context: &Context<'_>,
) -> HttpResponse {
    let (Some(upstream), Some(mut upload)) = (&registry.upstream, upload) else {
        return not_here(registry, context);
    };
    let Some(told) = identity::headers(registry, asked, &judged, context) else {
        return refusal::answer(registry, &Refused::Unavailable, context);
    };
    let mut notice = None;
    if let Judged::Let { leave, .. } = judged {
        if leave.checksum.is_some_and(|one| !upload.must_be(one)) {
            return refusal::answer(registry, &Refused::Unavailable, context);
        }
        notice = Notice::of(&leave, context);
        leave.log(context);
    }
    let passed = proxy::Passed {
        registry,
        upstream,
        asked,
        told,
        notice,
    };
    proxy::pass(passed, upload, context).await
}

/// The registry itself is elsewhere: a proxy passes on to it what we let through.
fn not_here(registry: &Registry, context: &Context<'_>) -> HttpResponse {
    let words = "The registry is not at this address: send the request where you send all others";
    refusal::told(registry, StatusCode::NOT_FOUND, words, context)
}
