//! What is noted of a request while it is answered.
//!
//! A request learns which trace it is of while it is answered: its spans are handed on together when it has ended. That is why
//! the OpenTelemetry SDK does not do this: it fixes the trace of a span as it begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use countersign_core::TracePlace;
use countersign_server::{Clock, SystemClock};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc::Sender;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Where spans that are for a collector are made, in all crates of ours.
const TARGET: &str = "traces";
/// The longest text of an attribute, in characters: the name of a host.
const LONGEST_TEXT: usize = 256;

/// Notes spans, and hands on those of requests.
#[derive(Debug, Clone)]
pub(in crate::commands) struct Collecting {
    pub(super) queue: Sender<Noted>,
    /// The share of traces that is kept.
    pub(super) sample: f64,
    /// Requests for which there was no room.
    pub(super) lost: Arc<AtomicU64>,
}

/// A span, with those inside it.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) is_failed: bool,
    /// Names and values, as OTLP writes them.
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// Its own place: of requests only.
    pub(super) place: Option<TracePlace>,
    /// Where its trace began, if not with itself.
    pub(super) continues: Option<TracePlace>,
    pub(super) inner: Vec<Self>,
}

/// Which side of a call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Server,
    Client,
}

impl Collecting {
    /// What is to be collected, and nothing else: log lines are for the log.
    pub(in crate::commands) fn filter() -> Targets {
        Targets::new().with_target(TARGET, LevelFilter::INFO)
    }

    fn hand_on(&self, request: Noted) {
        // What is done beside requests is of no trace.
        let Some(trace) = request.trace() else { return };
        if is_kept(trace, self.sample) && self.queue.try_send(request).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Whether a trace is of the share that is kept. It follows from its id, so that all requests of a login, and all
/// replicas, come to the same (W3C Trace Context level 2: the last 56 bits are random).
fn is_kept(trace: &str, share: f64) -> bool {
    let random = u32::from_str_radix(&trace[trace.len() - 8..], 16).unwrap_or_default();
    f64::from(random) < share * 2_f64.powi(32)
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Collecting {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut noted = Noted::new(attributes.metadata().name(), SystemClock.now());
            attributes.record(&mut noted);
            span.extensions_mut().insert(noted);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(noted) = span.extensions_mut().get_mut::<Noted>()
        {
            values.record(noted);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        let Some(mut noted) = span.extensions_mut().remove::<Noted>() else {
            return;
        };
        noted.to = SystemClock.now();
        match span.parent() {
            Some(outer) => {
                if let Some(outer) = outer.extensions_mut().get_mut::<Noted>() {
                    outer.inner.push(noted);
                }
            }
            None => self.hand_on(noted),
        }
    }
}

impl Noted {
    pub(super) fn new(name: &str, now: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            kind: Kind::Client,
            from: now,
            to: now,
            is_failed: false,
            attributes: Vec::new(),
            place: None,
            continues: None,
            inner: Vec::new(),
        }
    }

    /// Which trace a request is of.
    pub(super) fn trace(&self) -> Option<&str> {
        let began = self.continues.as_ref().or(self.place.as_ref());
        began.map(TracePlace::trace)
    }
}

impl Visit for Noted {
    fn record_str(&mut self, field: &Field, text: &str) {
        match field.name() {
            "otel.name" => text.clone_into(&mut self.name),
            "otel.kind" if text == "server" => self.kind = Kind::Server,
            "otel.kind" => self.kind = Kind::Client,
            "otel.status_code" => self.is_failed = text == "ERROR",
            "place" => self.place = TracePlace::new(text).ok(),
            "continues" => self.continues = TracePlace::new(text).ok(),
            name => {
                let text: String = text.chars().take(LONGEST_TEXT).collect();
                self.attributes.push((name, json!({ "stringValue": text })));
            }
        }
    }

    fn record_u64(&mut self, field: &Field, number: u64) {
        // The JSON of protobuf writes whole numbers of 64 bits as text.
        let value = json!({ "intValue": number.to_string() });
        self.attributes.push((field.name(), value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_traces_that_is_kept_follows_from_their_ids() {
        let trace = |random: u32| format!("4bf92f3577b34da6a3ce929d{random:08x}");
        let kept = |share: f64| {
            let all = (0..1024_u32).map(|n| trace(n << 22));
            all.filter(|trace| is_kept(trace, share)).count()
        };
        assert_eq!((kept(0.0), kept(0.25), kept(1.0)), (0, 256, 1024));
        assert!(is_kept(&trace(u32::MAX), 1.0));
    }
}
