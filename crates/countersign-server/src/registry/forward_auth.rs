//! `/forward-auth/{registry}`: what nginx (`auth_request`), Traefik (`forwardAuth`), Envoy (`ext_authz`) and Caddy
//! (`forward_auth`) ask before they let a request through.
//!
//! Which registry it is, the path says and nothing else. It is answered on a listener of its own, or to who shows the proxy's
//! secret: an open one would tell anybody whether a key that they have found is good. nginx is answered by 200, 401 and 403 alone,
//! since it takes anything else for a fault of ours; and no answer may be kept.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};
use countersign_core::registry::{Ambiguous, Source};

use super::gate::{Asked, Judged, Refused, judge};
use super::notice::Notice;
use super::proxy::OfRegistry;
use super::refusal::refuse;
use super::{Registry, below, identity, named, refusal, step_up};
use crate::error::{Failure, Problem};
use crate::web::{Call, Context};

/// What every path of a check begins with.
const ROOT: &str = "/forward-auth/";
/// The proxy's secret.
const SECRET: HeaderName = HeaderName::from_static("x-countersign-proxy-secret");
/// Told to a proxy that can set headers of the request from ours: what the registry behind knows us by.
const UPSTREAM: HeaderName = HeaderName::from_static("x-upstream-authorization");
/// By which headers proxies say which request they hold, its method and its target as it came.
static DIALECTS: [(HeaderName, HeaderName, Dialect); 2] = [
    (
        HeaderName::from_static("x-original-method"),
        HeaderName::from_static("x-original-uri"),
        Dialect::Original,
    ),
    (
        HeaderName::from_static("x-forwarded-method"),
        HeaderName::from_static("x-forwarded-uri"),
        Dialect::Forwarded,
    ),
];

/// How a proxy says which request it holds; and by that, what becomes of our answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// nginx drops it all but its status, and sends the tool to the registry's door for it.
    Original,
    /// Traefik and Caddy hand it on to the tool.
    Forwarded,
    /// By the method and the path of its question. Envoy hands it on, and is told which headers of the request to take away.
    Path,
}

/// What the tool's user is to be told, for a proxy that can add it to the answer.
const NOTICE: HeaderName = HeaderName::from_static("x-countersign-notice");
/// Envoy takes headers away that we name here.
const TO_REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

/// On the public listener: for who shows the proxy's secret.
pub(crate) async fn for_a_proxy(call: Call) -> HttpResponse {
    call.answer(async |context| {
        let known = named(ROOT, context)
            .ok()
            .filter(|one| knows_secret(one, context));
        Ok(check(known, context).await)
    })
    .await
}

/// On the listener that only proxies reach.
pub(crate) async fn for_anybody_there(call: Call) -> HttpResponse {
    call.answer(async |context| {
        if !is_check(context.request.path()) {
            return Err(Failure::Page(Problem::NotFound));
        }
        Ok(check(named(ROOT, context).ok(), context).await)
    })
    .await
}

/// Whether a path is that of a check.
pub(crate) fn is_check(path: &str) -> bool {
    path.starts_with(ROOT)
}

fn knows_secret(registry: &Registry, context: &Context<'_>) -> bool {
    let given = context.request.headers().get(SECRET);
    let given = given.and_then(|given| given.to_str().ok());
    let secret = registry.proxy_secret.as_ref();
    secret
        .zip(given)
        .is_some_and(|(secret, given)| secret.matches(given))
}

/// What becomes of the request that a proxy holds. `registry` is the one it asked for, where it may ask for that.
async fn check(registry: Option<&Registry>, context: &Context<'_>) -> HttpResponse {
    let Some(registry) = registry else {
        return nobody(context);
    };
    let headers = context.request.headers();
    let Some((method, target, dialect)) = asked_for(headers, context) else {
        let refused = Refused::Ambiguous(Ambiguous::NotAPath);
        return refusal::answer(registry, &refused, context);
    };
    let asked = Asked {
        method,
        target,
        headers,
    };
    let judged = judge(registry, asked, None, context).await;
    match &judged {
        Judged::Refused(refused) => match dialect {
            Dialect::Original => in_its_status(refusal::answer(registry, refused, context)),
            Dialect::Forwarded | Dialect::Path => refuse(registry, refused, asked, context).await,
        },
        // The registry behind would not know what to answer.
        Judged::Ours(_, _) => HttpResponse::Forbidden().finish(),
        Judged::Open | Judged::Let { .. } => admit(registry, (asked, dialect), judged, context),
    }
}

/// As nginx takes it: what may be tried again later, it is told at the door.
fn in_its_status(mut answer: HttpResponse) -> HttpResponse {
    if answer.status() != StatusCode::UNAUTHORIZED {
        answer.head_mut().status = StatusCode::FORBIDDEN;
    }
    answer
}

/// To who names no registry of ours, or shows no secret of its proxy: which of the two, who guesses is not told.
fn nobody(context: &Context<'_>) -> HttpResponse {
    tracing::info!(
        code = "proxy-not-admitted",
        request = %context.request_id,
        "whoever asks at `/forward-auth/` shows no `proxy_secret`, or names no `[registry.NAME]`",
    );
    HttpResponse::Forbidden().finish()
}

fn admit(
    registry: &Registry,
    (asked, dialect): (Asked<'_>, Dialect),
    judged: Judged,
    context: &Context<'_>,
) -> HttpResponse {
    let Some(told) = identity::headers(registry, asked, &judged, context) else {
        return refusal::answer(registry, &Refused::Unavailable, context);
    };
    let mut answer = HttpResponse::Ok();
    // No browser sees it, and what stands in it is a proxy's to pass on.
    answer.insert_header((CACHE_CONTROL, "no-store"));
    if dialect == Dialect::Path
        && let Ok(removed) = HeaderValue::from_str(&to_remove(registry, &told))
    {
        answer.insert_header((TO_REMOVE, removed));
    }
    for header in told.iter() {
        answer.insert_header(header.clone());
    }
    // These stand there whatever is in them: a proxy that names one which does not may show its own word for it.
    let (mut authorization, mut notice) = (None, None);
    if let Judged::Let { leave, .. } = judged {
        authorization = identity::upstream_authorization(registry);
        // Whether the proxy shows it nobody knows: it does not count as told.
        notice = Notice::of(&leave, context).map(|notice| notice.words().to_owned());
        leave.log(context);
    }
    let authorization = authorization.unwrap_or_else(|| HeaderValue::from_static(""));
    let mut answer = answer
        .insert_header((UPSTREAM, authorization))
        .insert_header((NOTICE, notice.unwrap_or_default()))
        .finish();
    answer.extensions_mut().insert(OfRegistry);
    answer
}

/// The headers of a request that must not reach the registry, in a list: those of ours that are empty, and credentials.
fn to_remove(registry: &Registry, told: &[(HeaderName, HeaderValue)]) -> String {
    let empty = told.iter().filter(|(_, value)| value.is_empty());
    let empty = empty.map(|(name, _)| name.as_str());
    let removed: Vec<&str> = empty.chain(credentials(registry)).collect();
    removed.join(",")
}

/// The headers in which tools send what is for us alone.
fn credentials(registry: &Registry) -> impl Iterator<Item = &str> {
    let profile = &registry.profile;
    let own = profile.sources.iter().filter_map(|source| match source {
        Source::Header(name) => Some(name.as_str()),
        Source::Authorization { .. } | Source::Query(_) | Source::Session => None,
    });
    let proof = profile.step_up.map(step_up::header);
    std::iter::once("authorization").chain(own).chain(proof)
}

/// The method and the target of the request that the proxy holds: as it says in its headers, or, as Envoy has it, as the
/// method and the rest of the path of this very request. Where two say it, which of them a client wrote nobody knows.
fn asked_for<'a>(
    headers: &'a HeaderMap,
    context: &'a Context<'_>,
) -> Option<(&'a str, &'a str, Dialect)> {
    let by_path = below(ROOT, context).map(|rest| {
        let method = context.request.method().as_str();
        Some((method, rest, Dialect::Path))
    });
    let by_headers = DIALECTS.iter().filter_map(|(method, target, dialect)| {
        let (method, target) = (headers.get(method), headers.get(target));
        (method.is_some() || target.is_some()).then(|| {
            let text = |value: Option<&'a HeaderValue>| value?.to_str().ok();
            Some((text(method)?, text(target)?, *dialect))
        })
    });
    let mut said = by_path.into_iter().chain(by_headers);
    match (said.next(), said.next()) {
        (Some(asked), None) => asked,
        (None, _) | (Some(_), Some(_)) => None,
    }
}
