//! Sessions, as browsers and people have them: the cookie that leads to one, the page that lists them, and
//! their end.

mod browser;
mod logout;
pub(crate) mod notices;
mod page;
mod provider;

use countersign_core::SessionId;
use countersign_store::{Session, StoreError};
use jiff::Timestamp;

use crate::Broker;
use crate::web::Context;

pub(crate) use browser::{earlier, of_browser, put};
pub(crate) use logout::{logout, logout_by_form, logout_confirmed};
pub(crate) use page::{end, show};
pub(crate) use provider::{back_channel, front_channel};

/// Whether the provider of this session is configured still. One that is no more vouches for nothing.
pub(crate) fn is_vouched_for(session: &Session, context: &Context<'_>) -> bool {
    let providers = &context.broker.providers;
    providers.contains_key(&session.evidence.provider)
}

/// Ends a session, and those that the same browser had before it.
pub(crate) async fn end_all(session: &Session, context: &Context<'_>) -> Result<(), StoreError> {
    for id in session.earlier.iter().chain([&session.id]) {
        end_one(id, context).await?;
    }
    Ok(())
}

/// Ends one session.
pub(crate) async fn end_one(id: &SessionId, context: &Context<'_>) -> Result<(), StoreError> {
    end_for(id, context.broker, (&context.request_id, context.now)).await
}

/// The same where whoever asked may be gone.
pub(crate) async fn end_for(
    id: &SessionId,
    broker: &Broker,
    (request_id, now): (&str, Timestamp),
) -> Result<(), StoreError> {
    broker.store.end_session(id, now).await?;
    broker.ended.notify_one();
    tracing::info!(code = "session-ended", request = %request_id, session = %id, "a session has been ended");
    Ok(())
}
