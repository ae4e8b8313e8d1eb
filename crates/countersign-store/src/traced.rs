//! A store each of whose operations is a span, for operators who collect traces.
//!
//! The span has the name of the operation and how it failed, if it did: no key, no record, no id.

use std::sync::Arc;

use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

use crate::{Around, Store, StoreError};

/// A store each of whose operations is a span.
#[derive(Debug)]
pub struct Traced(pub Arc<dyn Store>);

impl Around for Traced {
    fn within(&self) -> &dyn Store {
        self.0.as_ref()
    }

    async fn around<T: Send>(
        &self,
        operation: &'static str,
        done: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let span = info_span!(
            target: "traces",
            "store",
            otel.kind = "client",
            otel.name = operation,
            otel.status_code = Empty,
            db.operation.name = operation,
            error.type = Empty,
        );
        let done = done.instrument(span.clone()).await;
        note(done.as_ref().err(), &span);
        done
    }
}

/// That somebody else was first is an answer, and no failure.
fn note(error: Option<&StoreError>, span: &Span) {
    let (kind, is_failure) = match error {
        None => return,
        Some(StoreError::AttemptSpent) => ("attempt-spent", false),
        Some(StoreError::Conflict) => ("conflict", false),
        Some(StoreError::Corrupt(_)) => ("corrupt", true),
        Some(StoreError::Unavailable(_)) => ("unavailable", true),
    };
    span.record("error.type", kind);
    if is_failure {
        span.record("otel.status_code", "ERROR");
    }
}
