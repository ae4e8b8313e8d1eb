//! The trace of a request, for operators who collect traces (OpenTelemetry).
//!
//! A login is one trace: `/authorize` begins it, and the requests that follow find in what is sealed
//! in the attempt's cookie, or kept with the code, where it began. So a request learns which trace it is of while it is
//! answered, and not when it arrives. What a browser or a client says of traces (`traceparent`) is not read.
//!
//! Spans under the target `traces` are what is collected, by whoever subscribes to them. Nothing else is, and no
//! such span ever holds what a person, a browser or a provider has said. Without a subscriber they are
//! disabled, and all of this is `None`.

use actix_web::dev::ServiceRequest;
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpMessage, HttpRequest};
use countersign_core::TracePlace;
use tracing::field::{Empty, display};
use tracing::{Span, info_span};

use crate::Broker;
use crate::arrival::RequestId;
use crate::edge::RandomText;

/// The span of a request, and where the trace began that it is of.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    span: Span,
    method: &'static str,
    began: TracePlace,
}

impl Trace {
    /// Begins a trace with this request. It may turn out to be of another.
    pub(crate) fn begin(request: &ServiceRequest, id: &RequestId, broker: &Broker) -> Option<Self> {
        let method = known(request.method());
        let span = info_span!(
            target: "traces",
            parent: None,
            "request",
            otel.kind = "server",
            otel.name = Empty,
            otel.status_code = Empty,
            place = Empty,
            continues = Empty,
            request.id = %id.0,
            http.request.method = method,
            http.route = Empty,
            http.response.status_code = Empty,
        );
        if span.is_disabled() {
            return None;
        }
        let (trace, own) = (broker.entropy.hex::<16>(), broker.entropy.hex::<8>());
        let began = TracePlace::new(format!("00-{trace}-{own}-01")).ok()?;
        span.record("place", display(&began));
        let begun = Self {
            span,
            method,
            began,
        };
        request.extensions_mut().insert(begun.clone());
        Some(begun)
    }

    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Names it by the pattern that its path fits, never by the path: that may be anything.
    pub(crate) fn answered(&self, route: Option<&str>, status: StatusCode) {
        let (span, method) = (&self.span, self.method);
        if let Some(route) = route {
            span.record("otel.name", display(format_args!("{method} {route}")));
            span.record("http.route", route);
        } else {
            span.record("otel.name", method);
        }
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
    }
}

/// Where the trace of a request began.
pub(crate) fn place(request: &HttpRequest) -> Option<TracePlace> {
    let extensions = request.extensions();
    extensions.get::<Trace>().map(|trace| trace.began.clone())
}

/// Puts a request into the trace that began there.
pub(crate) fn continue_at(request: &HttpRequest, began: Option<&TracePlace>) {
    let mut extensions = request.extensions_mut();
    if let (Some(trace), Some(began)) = (extensions.get_mut::<Trace>(), began) {
        trace.span.record("continues", display(began));
        trace.began = began.clone();
    }
}

/// The method, if it is one that anybody knows: a request may name any.
fn known(method: &Method) -> &'static str {
    let known = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE",
    ];
    let found = known.into_iter().find(|known| method == *known);
    found.unwrap_or("_OTHER")
}
