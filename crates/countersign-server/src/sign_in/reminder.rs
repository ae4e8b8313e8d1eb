//! The reminder: who is let in without a second factor, because the calendar has not reached them,
//! is told from which day they need one, and where to set it up. Once a day, before the code is made.
//!
//! It keeps nobody out: where it can't be shown the sign-in goes on without it. Its page changes
//! nothing, so that a reload and the back button lead to it again; the way on is a link, since browsers
//! hold a form to `form-action` on every redirect that follows, and the last one leads to the registry.

use actix_web::{HttpResponse, web};
use countersign_core::calendar::BeforeDue;
use countersign_core::sign_in::Attempt;
use countersign_core::{Evidence, Permit};

use super::account::Candidate;
use super::attempt_cookie::{self, Wait};
use super::callback::waiting;
use super::depart::upstream;
use super::finish::finish;
use crate::error::{Failure, SignInFailure, Why};
use crate::pages::{self, ReminderPage};
use crate::web::{Call, Context, see_other, with_cookies};

/// Whether a sign-in that may be finished is to lead to the reminder first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reminder {
    /// Where the policy says so, and it was not shown today.
    WhereDue,
    /// The person has gone on from it.
    Shown,
}

/// GET: the page.
pub(crate) async fn show(call: Call, provider: web::Path<String>) -> HttpResponse {
    call.answer(async |context| page(&provider, context).await)
        .await
}

/// GET: the person goes on.
pub(crate) async fn go_on(call: Call, provider: web::Path<String>) -> HttpResponse {
    call.answer(async |context| after(&provider, context).await)
        .await
}

/// Leads to the reminder, if it is to be shown: the verified answer waits in the browser meanwhile,
/// and the day counts as told.
pub(super) async fn lead_to(
    attempt: &Attempt,
    (evidence, permit, candidate): (&Evidence, &Permit, &Candidate),
    context: &Context<'_>,
) -> Option<HttpResponse> {
    let due = permit.mfa_due().filter(|_| is_switched_on(context))?;
    if candidate.is_reminded(context) {
        return None;
    }
    let evidence = evidence.clone();
    let cookie = attempt_cookie::put_evidence(attempt, evidence.clone(), Wait::Reminder, context);
    let cookie = cookie.ok()?;
    let candidate = candidate.clone();
    candidate.remind(permit, &evidence, context).await.ok()?;
    tracing::info!(
        code = pages::REMINDED,
        request = %context.request_id,
        client = %attempt.request.client,
        provider = %attempt.provider,
        mfa_due = %due,
        "told the day",
    );
    let to = context.broker.settings.endpoint(&path(attempt, ""));
    with_cookies(see_other(&to), [cookie]).ok()
}

/// `before_due = "remind"`: with `limit` the registry tells, where something is left out.
fn is_switched_on(context: &Context<'_>) -> bool {
    let calendar = context.policy().calendar();
    calendar.is_some_and(|calendar| calendar.before_due == BeforeDue::Remind)
}

async fn page(provider: &str, context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let (attempt, evidence) = waiting(provider, Wait::Reminder, context)?;
    let on = path(&attempt, "/continue");
    let found = Candidate::find(&evidence, context).await;
    let found = found.map_err(|error| {
        let (request, provider) = (attempt.request.clone(), attempt.provider.clone());
        SignInFailure::failure(request, provider, Why::Store(error))
    })?;
    let upstream = upstream(&attempt.provider, context)?;
    match found.told_due() {
        Some(due) => {
            let page = ReminderPage::new(&attempt, upstream, due, on, context);
            Ok(pages::ok(&page))
        }
        None => Ok(see_other(&context.broker.settings.endpoint(&on))),
    }
}

async fn after(provider: &str, context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let (attempt, evidence) = waiting(provider, Wait::Reminder, context)?;
    finish(attempt, evidence, Reminder::Shown, context).await
}

/// The state names the attempt's cookie; it is no secret from the browser that holds that cookie.
fn path(attempt: &Attempt, end: &str) -> String {
    let (provider, state) = (&attempt.provider, &attempt.visit.state);
    format!("/callback/{provider}/reminder{end}?state={state}")
}
