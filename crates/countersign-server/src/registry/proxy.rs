//! Passing a request on to the registry behind, and its answer back: in pieces, nothing of it kept whole.
//!
//! What is passed on is the request that was judged, to the byte of its path, with our word on who asks in the place of
//! whatever a client has sent under those names, and without its credential.

use std::pin::pin;

use actix_web::body::{self, SizedStream};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder, web};
use countersign_core::registry::{NoticePlace, Source};
use countersign_providers::relay::{Answered, NoAnswer, PiecesIn, Relayed, pieces};
use futures_util::stream::unfold;
use jiff::SignedDuration;
use tokio::time::timeout;
use url::Url;

use super::gate::{Asked, Refused};
use super::notice::Notice;
use super::upload::{Broken, Patience, SILENCE, Upload};
use super::{Registry, identity, phrase, refusal, step_up};
use crate::web::Context;

/// How long a registry may work on a request that it has whole.
const LONGEST_WORK: SignedDuration = SignedDuration::from_mins(10);
/// The longest answer that something is added to, in bytes; a longer one goes back as it is.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// Marks an answer as the registry's: what we say of our own pages is not said of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfRegistry;

/// What is about one connection and goes no further (RFC 9110 7.6.1), and what was for us.
const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
];
/// Whether a header says where a request comes from and was sent to, as only we say it to the registry.
pub(super) fn says_where_from(name: &str) -> bool {
    matches!(name, "forwarded" | "x-real-ip") || name.starts_with("x-forwarded-")
}

/// A request that is let through.
pub(super) struct Passed<'a> {
    pub(super) registry: &'a Registry,
    pub(super) upstream: &'a Url,
    pub(super) asked: Asked<'a>,
    /// Our word on who asks.
    pub(super) told: identity::Headers,
    /// What the tool's user is told beside the answer.
    pub(super) notice: Option<Notice>,
}

impl Passed<'_> {
    /// Whether it is let through for somebody, and not for anybody.
    fn is_for_somebody(&self) -> bool {
        self.told.iter().any(|(_, value)| !value.is_empty())
    }
}

/// Passes it on, and its answer back.
pub(super) async fn pass(
    passed: Passed<'_>,
    upload: Upload,
    context: &Context<'_>,
) -> HttpResponse {
    let url = address(passed.upstream, passed.asked.target);
    let method = passed.asked.method.parse().ok();
    let (Some(relay), Some(url), Some(method)) = (&context.broker.relay, url, method) else {
        return gone(&passed, context);
    };
    let has_body = has_body(passed.asked.headers);
    let (within, out) = pieces();
    let relayed = Relayed {
        method,
        url,
        headers: headers_out(&passed, context),
        body: has_body.then_some(out),
    };
    let answered = send(relay.pass(relayed), send_all(upload, within)).await;
    match answered {
        Ok(answered) => answer(answered, &passed, context).await,
        Err(NotPassed::NoAnswer(error)) => unanswered(&error, &passed, context),
        Err(NotPassed::Another) => {
            let refused = Refused::BadToken(ANOTHER);
            refusal::answer(passed.registry, &refused, context)
        }
    }
}

/// Why an answer does not come.
enum NotPassed {
    NoAnswer(NoAnswer),
    /// What was uploaded is not what its sender has leave for: the registry never had it whole.
    Another,
}

const ANOTHER: &str = "This token is for other contents of this package.";

/// Waits for the answer while the body goes on. A registry that has answered may take no more, and not say so; one that has all
/// of it works on it for a while.
async fn send(
    answered: impl Future<Output = Result<Answered, NoAnswer>>,
    sending: impl Future<Output = Sent>,
) -> Result<Answered, NotPassed> {
    let (mut answered, mut sending) = (pin!(answered), pin!(sending));
    let (answered, sent) = tokio::select! {
        answered = &mut answered => {
            let sent = timeout(SILENCE.unsigned_abs(), sending).await;
            (answered, sent.unwrap_or(Sent::Otherwise))
        }
        sent = &mut sending => match timeout(LONGEST_WORK.unsigned_abs(), answered).await {
            Ok(answered) => (answered, sent),
            Err(_) => (Err(NoAnswer::in_time()), sent),
        },
    };
    match sent {
        Sent::Another => Err(NotPassed::Another),
        Sent::Otherwise => answered.map_err(NotPassed::NoAnswer),
    }
}

/// What became of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// It is not the one that it must be, and was broken off.
    Another,
    /// It went on, or not: the registry's answer tells.
    Otherwise,
}

/// The very target at another site; `None` where it would be read as another one. Of a query an apostrophe alone is written
/// otherwise, as every `Url` has it (URL Standard, special-query percent-encode set): it means the same.
fn address(site: &Url, target: &str) -> Option<Url> {
    let url = site.join(target).ok()?;
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.replace('\'', "%27"))),
        None => (target, None),
    };
    let is_same = url.path() == path && url.query() == query.as_deref();
    (url.origin() == site.origin() && is_same && url.fragment().is_none()).then_some(url)
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH);
    headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|length| length != "0")
}

async fn send_all(mut upload: Upload, to: PiecesIn) -> Sent {
    // What is dropped before its end is cut off, and never taken for whole.
    let sent = loop {
        match upload.next().await {
            Ok(Some(piece)) => {
                if !to.send(piece.to_vec()).await {
                    break Sent::Otherwise;
                }
            }
            Ok(None) => {
                to.finish().await;
                return Sent::Otherwise;
            }
            Err(Broken::CutOff) => return Sent::Otherwise,
            Err(Broken::Another) => break Sent::Another,
        }
    };
    drop(to);
    upload.discard(Patience::AT_A_DOOR).await;
    sent
}

fn headers_out(passed: &Passed<'_>, context: &Context<'_>) -> http::HeaderMap {
    let mut headers = http::HeaderMap::new();
    let is_own = |name: &str| identity::is_own_header(name, passed.registry);
    for (name, value) in passed.asked.headers {
        let is_ours = name.as_str().starts_with(identity::PREFIX) || is_own(name.as_str());
        if is_ours || is_dropped(passed, name) {
            continue;
        }
        if name == header::COOKIE {
            if let Some(others) = without_our_cookies(value) {
                add(&mut headers, "cookie", &others);
            }
        } else {
            add(&mut headers, name.as_str(), value);
        }
    }
    for (name, value) in passed.told.iter().filter(|(_, value)| !value.is_empty()) {
        add(&mut headers, name.as_str(), value);
    }
    // For somebody, and not for anybody: what is open is what the registry shows to strangers.
    let authorization = identity::upstream_authorization(passed.registry);
    if let Some(authorization) = authorization.filter(|_| passed.is_for_somebody()) {
        add(&mut headers, "authorization", &authorization);
    }
    for (name, value) in forwarded(passed, context) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            add(&mut headers, name, &value);
        }
    }
    headers
}

/// Cookies without those by which a browser is known here, where the registry is at our very host.
fn without_our_cookies(value: &HeaderValue) -> Option<HeaderValue> {
    let pairs = value.to_str().ok()?.split(';').map(str::trim);
    let others: Vec<&str> = pairs
        .filter(|pair| !pair.starts_with("__Host-countersign"))
        .collect();
    let others = others.join("; ");
    HeaderValue::from_str(&others)
        .ok()
        .filter(|_| !others.is_empty())
}

/// What of a client's request goes no further.
fn is_dropped(passed: &Passed<'_>, name: &HeaderName) -> bool {
    let text = name.as_str();
    let named = passed.asked.headers.get_all(header::CONNECTION);
    let mut named = named
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let is_credential = passed
        .registry
        .profile
        .sources
        .iter()
        .any(|source| match source {
            Source::Authorization { .. } | Source::Query(_) => false,
            Source::Header(header) => header == text,
            Source::Session => text == "cookie",
        });
    let proof = passed.registry.profile.step_up.map(step_up::header);
    // A credential is never the registry's own: nobody signs in past us.
    HOP_BY_HOP.contains(&text)
        || proof == Some(text)
        || says_where_from(text)
        || text == "authorization"
        || is_credential
        || named.any(|one| one.trim().eq_ignore_ascii_case(text))
}

/// The address that tools know the registry by, so that it writes links that lead to us.
fn forwarded(passed: &Passed<'_>, context: &Context<'_>) -> Vec<(&'static str, String)> {
    let site = &passed.registry.public_url;
    let host = site.host_str().unwrap_or_default();
    let host = site
        .port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let mut all = vec![
        ("host", host.clone()),
        ("x-forwarded-host", host),
        ("x-forwarded-proto", site.scheme().to_owned()),
    ];
    let address = context.broker.limits.address(context.request);
    all.extend(address.map(|address| ("x-forwarded-for", address.to_string())));
    all
}

fn add(headers: &mut http::HeaderMap, name: &str, value: &HeaderValue) {
    let name = http::HeaderName::from_bytes(name.as_bytes());
    let value = http::HeaderValue::from_bytes(value.as_bytes());
    if let (Ok(name), Ok(value)) = (name, value) {
        headers.append(name, value);
    }
}

/// The registry's answer, as it came, and what its user is to be told besides.
async fn answer(
    mut answered: Answered,
    passed: &Passed<'_>,
    context: &Context<'_>,
) -> HttpResponse {
    let status = StatusCode::from_u16(answered.status().as_u16());
    let status = status.unwrap_or(StatusCode::BAD_GATEWAY);
    let mut answer = HttpResponse::build(status);
    answer.extensions_mut().insert(OfRegistry);
    if let Some(phrase) = phrase_back(status, &answered, passed) {
        answer.reason(phrase);
    }
    let length = headers_back(&answered, &mut answer);
    let says = answered.headers().contains_key(http::header::CACHE_CONTROL);
    if passed.is_for_somebody() && !says {
        // RFC 9111 3.5 keeps shared caches from it where the credential is in `Authorization`, and it may be elsewhere.
        answer.insert_header((header::CACHE_CONTROL, "private"));
    }
    let notice = passed.notice.as_ref().filter(|_| status.is_success());
    if let Some(notice) = notice {
        if notice.add_to(passed.registry, &mut answer) {
            notice.delivered(context).await;
        }
        let in_body = passed.registry.profile.notice == Some(NoticePlace::CargoWarnings);
        if in_body && length.is_some_and(|length| length <= LONGEST_ANSWER) {
            return match whole(&mut answered).await {
                Ok(body) => match notice.added_to(&body) {
                    Some(with_notice) => {
                        notice.delivered(context).await;
                        answer.body(with_notice)
                    }
                    None => answer.body(body),
                },
                Err(error) => unanswered(&error, passed, context),
            };
        }
    }
    let stream = Box::pin(unfold(answered, async |mut answered| {
        let piece = answered.piece().await.transpose()?;
        let piece = piece.map(web::Bytes::from);
        Some((piece.map_err(std::io::Error::other), answered))
    }));
    match length {
        _ if is_without_body(status) => answer.body(body::None::new()),
        Some(length) => answer.body(SizedStream::new(length, stream)),
        None if passed.asked.method == "HEAD" => answer.body(body::None::new()),
        None => answer.streaming(stream),
    }
}

/// RFC 9112 6.3: not even the end of a body in chunks follows, which would be read as what is answered next.
fn is_without_body(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Why the registry refuses, where its tool shows nothing but the status line. To strangers it says no more than its status: they
/// could have it say as many different things as are kept.
fn phrase_back(
    status: StatusCode,
    answered: &Answered,
    passed: &Passed<'_>,
) -> Option<&'static str> {
    let registry = passed.registry;
    let has_one = registry.profile.refusal.reason_phrase && status.as_u16() >= 400;
    let is_shown = has_one && passed.is_for_somebody();
    let phrase = answered.reason_phrase().filter(|_| is_shown)?;
    phrase::of_registry(&registry.name, phrase)
}

/// Hands the headers of an answer on; its length, if it has said that.
fn headers_back(answered: &Answered, answer: &mut HttpResponseBuilder) -> Option<u64> {
    let mut length = None;
    for (name, value) in answered.headers() {
        if name == http::header::CONTENT_LENGTH {
            length = value
                .to_str()
                .ok()
                .and_then(|text| text.parse::<u64>().ok());
        } else if !HOP_BY_HOP.contains(&name.as_str()) {
            let name = HeaderName::from_bytes(name.as_str().as_bytes());
            let value = HeaderValue::from_bytes(value.as_bytes());
            if let (Ok(name), Ok(value)) = (name, value) {
                answer.append_header((name, value));
            }
        }
    }
    length
}

/// A short answer, whole.
async fn whole(answered: &mut Answered) -> Result<Vec<u8>, NoAnswer> {
    let mut body = Vec::new();
    while let Some(piece) = answered.piece().await? {
        body.extend(piece);
    }
    Ok(body)
}

fn unanswered(error: &NoAnswer, passed: &Passed<'_>, context: &Context<'_>) -> HttpResponse {
    tracing::error!(code = "registry-unreachable", request = %context.request_id, cause = %error, "the registry behind does not answer");
    gone(passed, context)
}

/// RFC 9110 15.6.3.
fn gone(passed: &Passed<'_>, context: &Context<'_>) -> HttpResponse {
    const WORDS: &str = "The registry does not answer. Try again in a few minutes";
    refusal::told(passed.registry, StatusCode::BAD_GATEWAY, WORDS, context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_sees_no_session_of_ours() {
        let check = |sent: &'static str, expected: Option<&str>| {
            let others = without_our_cookies(&HeaderValue::from_static(sent));
            let others = others.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!(others, expected, "{sent}");
        };
        check("a=1; __Host-countersign-session=x; b=2", Some("a=1; b=2"));
        check("__Host-countersign-session=x", None);
        check("a=1", Some("a=1"));
    }

    #[test]
    fn what_is_passed_on_is_the_target_that_was_judged() {
        let site = Url::parse("http://127.0.0.1:4873").unwrap();
        for target in [
            "/",
            "/@alice%2fhello",
            "/@alice%2Fhello",
            "/a/b/?x=%2f&y=1",
            "/a+b/(c)!$&'*,=:@~",
            "/a?",
            "/a?x=!$()*+,;:@/?[]|^`{}~%zz&&",
            "/1.0.0%2Bbuild",
        ] {
            let url = address(&site, target).unwrap();
            assert_eq!(url.as_str(), format!("http://127.0.0.1:4873{target}"));
        }
        let quoted = address(&site, "/a'b?x='y%27").unwrap();
        assert_eq!(quoted.as_str(), "http://127.0.0.1:4873/a'b?x=%27y%27");
        for target in [
            "/a?x=\"y",
            "/a?x=y#z",
            "/a?x=y z",
            "//evil.example/",
            "http://evil.example/",
            "/a/../b",
            "/a/%2e/b",
            "/\\evil",
            "a",
        ] {
            assert!(address(&site, target).is_none(), "{target}");
        }
    }
}
