//! `/callback/{provider}`: what comes back from a provider.
//!
//! By GET the answer is in the query; by POST (`form_post`) it is in a form, and the browser
//! sends only the attempt's own cookie along. Then the verified answer is sealed and the browser
//! comes again by GET, which carries every cookie.

use actix_web::{HttpResponse, web};
use countersign_core::sign_in::{Attempt, Flow, Leg};
use countersign_core::{Evidence, ProviderId};
use countersign_providers::{Answer, Fetched, ProviderError};
use countersign_store::StoreError;

use super::attempt_cookie::{self, Wait};
use super::depart::{callback_url, upstream};
use super::finish::finish;
use super::reminder::Reminder;
use crate::error::{Failure, Problem, SignInFailure, Why};
use crate::organization::trim;
use crate::recheck;
use crate::web::{Call, Context, Parameters, see_other, with_cookies};

/// How the answer arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    Query,
    FormPost,
}

/// GET: the answer is in the query.
pub(crate) async fn callback(call: Call, provider: web::Path<String>) -> HttpResponse {
    call.answer(async |context| by_query(&provider, context).await)
        .await
}

/// POST: the answer is in a form.
pub(crate) async fn callback_by_form(
    call: Call,
    provider: web::Path<String>,
    form: web::Bytes,
) -> HttpResponse {
    call.answer(async |context| by_form(&provider, &form, context).await)
        .await
}

/// GET after a POST: the verified answer is in a sealed cookie.
pub(crate) async fn resume(call: Call, provider: web::Path<String>) -> HttpResponse {
    call.answer(async |context| by_cookie(&provider, context).await)
        .await
}

async fn by_query(provider: &str, context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let provider = known_provider(provider, context)?;
    let (attempt, evidence) = receive(&provider, context.query(), Channel::Query, context).await?;
    finish(attempt, evidence, Reminder::WhereDue, context).await
}

async fn by_form(
    provider: &str,
    form: &[u8],
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let provider = known_provider(provider, context)?;
    let parameters = Parameters::read(form);
    let (attempt, mut evidence) =
        receive(&provider, parameters, Channel::FormPost, context).await?;
    // Somebody may be in two hundred groups, and a cookie holds little.
    let trimmed = trim(&mut evidence, &attempt.request.destination, context).await;
    trimmed.map_err(|error| fail(attempt.clone(), Why::Store(error)))?;
    let cookie = attempt_cookie::put_evidence(&attempt, evidence, Wait::Redirect, context)?;
    // The state names the attempt's cookie; it is no secret from the browser that holds that cookie.
    let next = format!(
        "/callback/{provider}/continue?state={}",
        attempt.visit.state
    );
    with_cookies(
        see_other(&context.broker.settings.endpoint(&next)),
        [cookie],
    )
}

async fn by_cookie(provider: &str, context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let (attempt, evidence) = waiting(provider, Wait::Redirect, context)?;
    finish(attempt, evidence, Reminder::WhereDue, context).await
}

/// The attempt that the query's `state` names, and the verified answer that waits in this browser.
pub(super) fn waiting(
    provider: &str,
    wait: Wait,
    context: &Context<'_>,
) -> Result<(Attempt, Evidence), Failure> {
    let provider = known_provider(provider, context)?;
    let parameters = context.query();
    let state = parameters
        .one("state")
        .ok_or(Failure::Page(Problem::AttemptMissing))?;
    let attempt = attempt_cookie::open(state, provider.as_str(), context)?;
    let evidence = attempt_cookie::open_evidence(&attempt, wait, context)
        .ok_or(Failure::Page(Problem::AttemptMissing))?;
    Ok((attempt, evidence))
}

fn known_provider(name: &str, context: &Context<'_>) -> Result<ProviderId, Failure> {
    let id = ProviderId::new(name).map_err(|_| Failure::Page(Problem::UnknownProvider))?;
    upstream(&id, context).map(|_| id)
}

/// Brings the answer together with the attempt that it answers, and has the provider verify it.
async fn receive(
    provider: &ProviderId,
    mut parameters: Parameters,
    channel: Channel,
    context: &Context<'_>,
) -> Result<(Attempt, Evidence), Failure> {
    if parameters.is_repeated() {
        return Err(Failure::Page(Problem::BadRequest(
            "a parameter stands twice",
        )));
    }
    let state = parameters
        .take("state")
        .ok_or(Failure::Page(Problem::AttemptMissing))?;
    let attempt = attempt_cookie::open(&state, provider.as_str(), context)?;
    let answer = Answer {
        code: parameters.take("code"),
        id_token: parameters.take("id_token"),
        error: parameters.take("error"),
        error_subcode: parameters.take("error_subcode"),
        iss: parameters.take("iss"),
    };
    check_channel(&attempt, &answer, channel)?;
    let fetched = match callback_url(provider, context) {
        Ok(redirect_uri) => {
            let upstream = upstream(provider, context)?;
            let keep = context.policy().claims_read(provider);
            upstream
                .fetch(&answer, &attempt.visit, &redirect_uri, &keep, context.now)
                .await
        }
        Err(error) => Err(error),
    };
    match fetched {
        Ok(Fetched { evidence, token }) => {
            // In the store and not in a cookie, as evidence may be on its way: it is nobody's affair but ours.
            match recheck::keep(&attempt, token, evidence.verified_at, context).await {
                Ok(()) => Ok((attempt, evidence)),
                Err(StoreError::AttemptSpent) => Err(fail(attempt, Why::AttemptSpent)),
                Err(error) => Err(fail(attempt, Why::Store(error))),
            }
        }
        Err(error) => {
            let why = why(error, &attempt.leg);
            Err(fail(attempt, why))
        }
    }
}

fn fail(attempt: Attempt, why: Why) -> Failure {
    SignInFailure::failure(attempt.request, attempt.provider, why)
}

/// Who cancels a step-up is told what the step-up was for.
fn why(error: ProviderError, leg: &Leg) -> Why {
    match (error, leg) {
        (ProviderError::Cancelled, Leg::StepUp { .. }) => Why::StepUpDeclined,
        (error, Leg::First | Leg::StepUp { .. }) => Why::Provider(error),
    }
}

/// An answer comes by the channel that was asked for; an error may come by either.
fn check_channel(attempt: &Attempt, answer: &Answer, channel: Channel) -> Result<(), Failure> {
    match (attempt.visit.flow, channel) {
        (Flow::Code, Channel::Query) | (Flow::Hybrid, Channel::FormPost) => Ok(()),
        (_, _) if answer.error.is_some() => Ok(()),
        (_, _) => Err(Failure::Page(Problem::BadRequest(
            "the answer came by another way than asked for",
        ))),
    }
}
