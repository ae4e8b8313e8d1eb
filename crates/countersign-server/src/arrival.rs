//! A request as it arrives: its name, and the one line of the log that tells how it ended.
//!
//! The name is ours: what a client or a proxy calls the request is not believed, since it stands in the
//! log and in the decision log. It is on every line of the request, on its page and in its answer.

use std::borrow::Cow;
use std::time::Duration;

use actix_web::HttpMessage;
use actix_web::dev::ServiceRequest;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use jiff::Timestamp;
use tracing::Span;

use crate::edge::RandomText;
use crate::registry::SECRETS;
use crate::trace::Trace;
use crate::{Broker, registry};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How much of a path is written down, in bytes. None of ours is this long.
const LONGEST_PATH: usize = 128;

/// The name of a request.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

/// What is known of a request before anything of it is read.
#[derive(Debug)]
pub(crate) struct Arrival {
    id: RequestId,
    method: Method,
    path: String,
    at: Timestamp,
    trace: Option<Trace>,
}

impl Arrival {
    /// Names the request, so that its handler finds the name.
    pub(crate) fn of(request: &ServiceRequest, broker: &Broker) -> Self {
        let id = RequestId(broker.entropy.hex::<8>());
        request.extensions_mut().insert(id.clone());
        let trace = Trace::begin(request, &id, broker);
        Self {
            id,
            method: request.method().clone(),
            path: request.path().to_owned(),
            at: broker.clock.now(),
            trace,
        }
    }

    /// What every line of this request is written in. At the level of errors, so that it is there
    /// whatever level the log has.
    pub(crate) fn span(&self) -> Span {
        tracing::error_span!("request", id = %self.id.0)
    }

    /// What is collected of this request, where traces are.
    pub(crate) fn trace_span(&self) -> Span {
        self.trace.as_ref().map_or_else(Span::none, Trace::span)
    }

    /// Tells the client the name, for when it asks an operator.
    pub(crate) fn name_in(&self, headers: &mut HeaderMap) {
        if let Ok(id) = HeaderValue::from_str(&self.id.0) {
            headers.insert(REQUEST_ID, id);
        }
    }

    /// Counts it, and writes down how it ended. Never the query: it may hold a code or an address.
    pub(crate) fn answered(
        &self,
        status: StatusCode,
        route: Option<Cow<'static, str>>,
        broker: &Broker,
    ) {
        // A clock that was set back makes no time less than none.
        let taken = broker.clock.now().duration_since(self.at);
        let taken = Duration::try_from(taken).unwrap_or_default();
        if let Some(trace) = &self.trace {
            trace.answered(route.as_deref(), status);
        }
        let metrics = &broker.metrics;
        metrics.request_answered(route, status.as_u16(), taken);
        if registry::is_check(&self.path) && status == StatusCode::OK {
            // A proxy asks at each of its requests, and has a line of it; what was decided is in the decision log.
            tracing::debug!(code = "let-through", request = %self.id.0, path = short(&self.path), "a check let a request through");
            return;
        }
        tracing::info!(
            code = "answered",
            request = %self.id.0,
            method = short(self.method.as_str()),
            path = short(&self.path),
            status = status.as_u16(),
            milliseconds = u64::try_from(taken.as_millis()).unwrap_or(u64::MAX),
            "request answered",
        );
    }
}

/// Text that anybody may have sent, as far as it is of use. It is ASCII, by the grammar of HTTP.
fn short(text: &str) -> String {
    /// A tool names the key in the path that it signs out by.
    const SIGNING_OUT: &str = "/user/token/";
    let by_path = text
        .find(SIGNING_OUT)
        .map(|start| start + SIGNING_OUT.len());
    let end = by_path.or_else(|| SECRETS.iter().filter_map(|begin| text.find(begin)).min());
    let shown = end.map_or(text, |end| &text[..end]);
    shown
        .chars()
        .filter(char::is_ascii_graphic)
        .take(LONGEST_PATH)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_a_path_is_not_written_down() {
        assert_eq!(short("/account"), "/account");
        let key = "csk_000000000000000000000000000000000000000000";
        assert_eq!(short(&format!("/-/user/token/{key}")), "/-/user/token/");
        assert_eq!(short("/-/user/token/npm_1"), "/-/user/token/");
        assert_eq!(short(&format!("/x/{key}")), "/x/");
        assert_eq!(short("/x/csbt_1/csk_2"), "/x/");
        assert_eq!(short(&"a".repeat(200)).len(), LONGEST_PATH);
    }
}
