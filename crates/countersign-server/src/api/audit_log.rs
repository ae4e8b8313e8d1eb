//! `/api/v1/audit-log`: what happened, for services and operators; the page of operators shows the same.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use countersign_core::calendar::{end_of, midnight};
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::json;

use super::caller::staff;
use super::limit;
use crate::audit::{AuditFound, AuditPlace, AuditQuery};
use crate::error::{ApiError, Failure};
use crate::own::LOOK;
use crate::web::{Call, Context, Parameters};

/// How a day is written.
const A_DAY: &str = "2027-03-08";

/// What it takes to read it.
const READ: &[&str] = &[LOOK];

/// GET: the latest lines that fit, or those before a place.
pub(super) async fn list(call: Call) -> HttpResponse {
    call.answer(async |context| {
        staff(READ, context).await?;
        let parameters = context.query();
        let limit = limit(&parameters)?;
        let found = AuditSearch::read(&parameters)?.find(limit, context).await?;
        Ok::<_, Failure>(HttpResponse::Ok().json(json!({
            "lines": found.lines,
            "next": found.next.map(|place| place.to_string()),
            "searched_to": found.searched_to,
        })))
    })
    .await
}

/// What is looked for in the audit log of this server's machine, and from where on back.
#[derive(Debug, Clone)]
pub(crate) struct AuditSearch {
    query: AuditQuery,
    before: Option<AuditPlace>,
}

impl AuditSearch {
    /// What parameters ask for. A time may be a day, which counts whole.
    pub(crate) fn read(parameters: &Parameters) -> Result<Self, ApiError> {
        let text = |name| {
            let text = parameters.one(name).map_or("", str::trim);
            (!text.is_empty()).then(|| text.to_owned())
        };
        let time = |name, of_day: fn(Date) -> Timestamp| match text(name) {
            None => Ok(None),
            Some(text) => {
                // A time without its zone would be taken for its day.
                let time = if text.len() == A_DAY.len() {
                    text.parse().map(of_day)
                } else {
                    text.parse()
                };
                time.map(Some)
                    .map_err(|_| ApiError::Body("a time is `2027-03-08` or `2027-03-08T12:00:00Z`"))
            }
        };
        let before = text("before").map(|place| place.parse()).transpose();
        Ok(Self {
            query: AuditQuery {
                event: text("event"),
                actor: text("actor"),
                subject: text("subject"),
                reason: text("reason"),
                request_id: text("request_id"),
                since: time("since", midnight)?,
                until: time("until", end_of)?,
            },
            before: before.map_err(|_| ApiError::Body("`before` is no place in the audit log"))?,
        })
    }

    /// The lines.
    pub(crate) async fn find(
        self,
        limit: usize,
        context: &Context<'_>,
    ) -> Result<AuditFound, ApiError> {
        let log = Arc::clone(&context.broker.audit_log);
        if !log.is_on() {
            return Err(ApiError::AuditLogOff);
        }
        let found = web::block(move || log.search(&self.query, self.before, limit)).await;
        let found = found.map_err(|error| error.to_string());
        let found = found.and_then(|found| found.map_err(|error| error.to_string()));
        let found = found.map_err(|cause| {
            tracing::error!(code = "audit-log-unreadable", request = %context.request_id, %cause, "the audit log can't be read");
            ApiError::AuditLogUnreadable
        })?;
        found.ok_or(ApiError::Body(
            "`before` is no place in the audit log of this server: it is another server’s, or those lines are deleted",
        ))
    }
}
