//! Devices that wait for an answer, and the answer.

use actix_web::HttpResponse;
use countersign_core::{ClientId, SessionId, UserCode};
use countersign_store::{DeviceAnswer, DeviceRequest};

use super::LAST_POLL;
use super::code::id_of;
use crate::audit::{By, Event, Happening, Subject};
use crate::error::{Failure, Problem, page_of_store};
use crate::pages::{self, DeviceDonePage};
use crate::session;
use crate::web::Context;

/// A device, by its user code.
pub(super) enum Found {
    /// It waits.
    Waiting(Box<DeviceRequest>),
    /// It has its answer, or its time is over.
    Ended,
    /// No device has shown this code, or none that is remembered.
    Unknown,
}

/// The device that shows this code.
pub(super) async fn find(user_code: &UserCode, context: &Context<'_>) -> Result<Found, Failure> {
    Ok(match asked(user_code, context).await? {
        Some((request, None)) if context.now < request.expires_at - LAST_POLL => {
            Found::Waiting(Box::new(request))
        }
        Some(_) => Found::Ended,
        None => Found::Unknown,
    })
}

/// What it asks for, and what was said to it.
async fn asked(
    user_code: &UserCode,
    context: &Context<'_>,
) -> Result<Option<(DeviceRequest, Option<DeviceAnswer>)>, Failure> {
    let store = &context.broker.store;
    let found = store.device_request(&id_of(user_code), context.now).await;
    found.map_err(|error| page_of_store(&error, context))
}

/// What a device asks for that waited when the person began.
pub(crate) async fn waiting(
    user_code: &UserCode,
    context: &Context<'_>,
) -> Result<DeviceRequest, Failure> {
    match find(user_code, context).await? {
        Found::Waiting(request) => Ok(*request),
        Found::Ended | Found::Unknown => Err(Failure::Page(Problem::DeviceCodeEnded)),
    }
}

/// Somebody has signed in: the device may take the code of this session.
pub(crate) async fn signed_in(
    (user_code, client): (&UserCode, &ClientId),
    session: SessionId,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let allowed = DeviceAnswer::Session(session.clone());
    let request = match answer(user_code, allowed, context).await {
        Ok(request) => request,
        Err(failure) => {
            // Nobody will ever take the code of this session. Where the store does not answer it ends by itself.
            let ending = session::Ending::new(By::Nobody, "device-gone");
            session::end_one(&session, ending, context).await.ok();
            return Err(failure);
        }
    };
    context.audit(
        Happening::new(Event::DeviceAllowed, By::Nobody)
            .about(Subject::Session, &session)
            .about(Subject::Client, client),
    );
    tracing::info!(code = "device-signed-in", request = %context.request_id, %client, "a device has its answer");
    Ok(pages::ok(&DeviceDonePage::signed_in(&request, context)))
}

/// Somebody has said no.
pub(super) async fn denied(
    (user_code, client): (&UserCode, &ClientId),
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let request = answer(user_code, DeviceAnswer::Denied, context).await?;
    context.audit(Happening::new(Event::DeviceDenied, By::Nobody).about(Subject::Client, client));
    tracing::info!(code = "device-denied", request = %context.request_id, %client, "a device has its answer");
    Ok(pages::ok(&DeviceDonePage::denied(&request, context)))
}

/// Answers a device that has no answer yet; what it had asked for.
async fn answer(
    user_code: &UserCode,
    answer: DeviceAnswer,
    context: &Context<'_>,
) -> Result<DeviceRequest, Failure> {
    let asked = asked(user_code, context).await?;
    let store = &context.broker.store;
    let answered = store
        .answer_device_request(&id_of(user_code), answer, context.now)
        .await;
    let is_first = answered.map_err(|error| page_of_store(&error, context))?;
    let asked = asked.filter(|_| is_first).map(|(request, _)| request);
    asked.ok_or(Failure::Page(Problem::DeviceCodeEnded))
}
