//! `/operator/audit-log`: what happened, the latest first.

use actix_web::HttpResponse;

use super::{ROWS, at_desk};
use crate::api::AuditSearch;
use crate::error::{ApiError, Failure};
use crate::own::Desk;
use crate::pages::{self, AuditLogPage, Shown};
use crate::web::{Call, Context, Parameters};

/// GET: the lines that fit.
pub(crate) async fn show(call: Call) -> HttpResponse {
    call.answer(async |context| {
        at_desk(Desk::AuditLog, context, async |_| {
            let query = context.query();
            let shown = shown(&query, context).await?;
            Ok(pages::ok(&AuditLogPage::new(&query, shown, context)))
        })
        .await
    })
    .await
}

async fn shown(query: &Parameters, context: &Context<'_>) -> Result<Shown, Failure> {
    let found = async { AuditSearch::read(query)?.find(ROWS, context).await };
    match found.await {
        Ok(found) => Ok(Shown::Lines(found)),
        Err(ApiError::AuditLogOff) => Ok(Shown::Off),
        Err(ApiError::Body(problem)) => Ok(Shown::Problem(problem)),
        Err(error) => Err(error.for_person(context)),
    }
}
