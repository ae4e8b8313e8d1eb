//! Spans as OTLP/HTTP writes them in JSON.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>: ids in hexadecimal, times in nanoseconds as text.

use countersign_core::TracePlace;
use countersign_server::{Entropy, SystemEntropy};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::layer::{Kind, Noted};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is sent: these spans, and who sends them.
pub(super) fn request(spans: &[Value]) -> Value {
    json!({
        "resourceSpans": [{
            "resource": { "attributes": attributes(vec![
                ("service.name", json!({ "stringValue": "countersign" })),
                ("service.version", json!({ "stringValue": VERSION })),
            ]) },
            "scopeSpans": [{
                "scope": { "name": "countersign", "version": VERSION },
                "spans": spans,
            }],
        }],
    })
}

/// Adds the spans of a request.
pub(super) fn add(spans: &mut Vec<Value>, request: Noted) {
    let (Some(trace), Some(own)) = (request.trace().map(str::to_owned), request.place.clone())
    else {
        return;
    };
    let began = request.continues.as_ref().map(TracePlace::span);
    let began = began.map(str::to_owned);
    add_span(spans, request, &trace, (own.span(), began.as_deref()));
}

fn add_span(spans: &mut Vec<Value>, noted: Noted, trace: &str, (id, outer): (&str, Option<&str>)) {
    spans.push(span(&noted, trace, (id, outer)));
    for inner in noted.inner {
        add_span(spans, inner, trace, (&new_id(), Some(id)));
    }
}

fn span(noted: &Noted, trace: &str, (id, outer): (&str, Option<&str>)) -> Value {
    let kind = match noted.kind {
        Kind::Server => 2,
        Kind::Client => 3,
    };
    let mut span = Map::from_iter([
        ("traceId".to_owned(), json!(trace)),
        ("spanId".to_owned(), json!(id)),
        ("name".to_owned(), json!(noted.name)),
        ("kind".to_owned(), json!(kind)),
        ("startTimeUnixNano".to_owned(), nanoseconds(noted.from)),
        // A clock that was set back makes no time less than none.
        (
            "endTimeUnixNano".to_owned(),
            nanoseconds(noted.to.max(noted.from)),
        ),
        (
            "attributes".to_owned(),
            attributes(noted.attributes.clone()),
        ),
    ]);
    if let Some(outer) = outer {
        span.insert("parentSpanId".to_owned(), json!(outer));
    }
    if noted.is_failed {
        span.insert("status".to_owned(), json!({ "code": 2 }));
    }
    Value::Object(span)
}

fn attributes(all: Vec<(&'static str, Value)>) -> Value {
    let all = all.into_iter();
    all.map(|(key, value)| json!({ "key": key, "value": value }))
        .collect()
}

fn nanoseconds(time: Timestamp) -> Value {
    json!(time.as_nanosecond().to_string())
}

/// Eight random bytes, hexadecimal.
fn new_id() -> String {
    let mut bytes = [0; 8];
    SystemEntropy.fill(&mut bytes);
    format!("{:016x}", u64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1111111111111111-01";
    const FIRST: &str = "00-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-2222222222222222-01";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn noted() -> Noted {
        let mut store = Noted::new("take_code", at(11));
        store.is_failed = true;
        let mut request = Noted::new("POST /token", at(10));
        request.kind = Kind::Server;
        request.to = at(12);
        request.place = TracePlace::new(OWN).ok();
        request.attributes = vec![("http.route", json!({ "stringValue": "/token" }))];
        request.inner = vec![store];
        request
    }

    fn spans(request: Noted) -> Vec<Value> {
        let mut spans = Vec::new();
        add(&mut spans, request);
        spans
    }

    #[test]
    fn a_request_that_begins_a_trace_is_its_root() {
        let spans = spans(noted());
        assert_eq!(
            spans[0],
            json!({
                "traceId": "a".repeat(32),
                "spanId": "1".repeat(16),
                "name": "POST /token",
                "kind": 2,
                "startTimeUnixNano": "10000000000",
                "endTimeUnixNano": "12000000000",
                "attributes": [{ "key": "http.route", "value": { "stringValue": "/token" } }],
            })
        );
        assert_eq!(spans[1]["traceId"], spans[0]["traceId"]);
        assert_eq!(spans[1]["parentSpanId"], spans[0]["spanId"]);
        assert_eq!(spans[1]["status"], json!({ "code": 2 }));
        assert_eq!(spans[1]["spanId"].as_str().unwrap().len(), 16);
    }

    #[test]
    fn a_request_that_continues_a_trace_is_of_that_one_with_all_that_is_inside_it() {
        let mut request = noted();
        request.continues = TracePlace::new(FIRST).ok();
        let spans = spans(request);
        assert_eq!(spans[0]["parentSpanId"], json!("2".repeat(16)));
        assert_eq!(spans[0]["spanId"], json!("1".repeat(16)));
        for span in spans {
            assert_eq!(span["traceId"], json!("b".repeat(32)));
        }
    }
}
