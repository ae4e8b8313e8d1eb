//! Sessions, as browsers and people have them: the cookie that leads to one, the page that lists them, and
//! their end.

mod browser;
mod logout;
pub(crate) mod notices;
mod page;
mod provider;

use countersign_core::{AccountId, SessionId};
use countersign_store::{Ended, Session, StoreError};
use jiff::Timestamp;

use crate::Broker;
use crate::audit::{By, Event, Happening, Subject};
use crate::web::Context;

pub(crate) use browser::{earlier, of_browser, put};
pub(crate) use logout::{logout, logout_by_form, logout_confirmed};
pub(crate) use page::{end as end_by_form, show};
pub(crate) use provider::{back_channel, front_channel};

/// Whether the provider of this session is configured still. One that is no more vouches for nothing.
pub(crate) fn is_vouched_for(session: &Session, context: &Context<'_>) -> bool {
    let providers = &context.broker.providers;
    providers.contains_key(&session.evidence.provider)
}

/// Who ends a session, and why: a code of `docs/audit.md`.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    pub(crate) by: By,
    pub(crate) because: &'static str,
}

impl Ending {
    pub(crate) fn new(by: impl Into<By>, because: &'static str) -> Self {
        Self {
            by: by.into(),
            because,
        }
    }

    /// What is written down of it.
    pub(crate) fn of(self, session: &SessionId, account: Option<&AccountId>) -> Happening {
        Happening::new(Event::SessionEnded, self.by)
            .about(Subject::Session, session)
            .about_any(Subject::Account, account)
            .because(self.because)
    }
}

/// Ends a session, and those that the same browser had before it.
pub(crate) async fn end_all(
    session: &Session,
    ending: &Ending,
    context: &Context<'_>,
) -> Result<(), StoreError> {
    for id in session.earlier.iter().chain([&session.id]) {
        // Those before may have ended long ago.
        if end(id, context).await? == Ended::Now {
            context.audit(ending.clone().of(id, Some(&session.account)));
        }
    }
    Ok(())
}

/// Ends one session.
pub(crate) async fn end_one(
    id: &SessionId,
    ending: Ending,
    context: &Context<'_>,
) -> Result<(), StoreError> {
    if end(id, context).await? == Ended::Now {
        context.audit(ending.of(id, None));
    }
    Ok(())
}

async fn end(id: &SessionId, context: &Context<'_>) -> Result<Ended, StoreError> {
    end_for(id, context.broker, (&context.request_id, context.now)).await
}

/// The same where whoever asked may be gone.
pub(crate) async fn end_for(
    id: &SessionId,
    broker: &Broker,
    (request_id, now): (&str, Timestamp),
) -> Result<Ended, StoreError> {
    let ended = broker.store.end_session(id, now).await?;
    broker.ended.notify_one();
    if ended == Ended::Now {
        tracing::info!(code = "session-ended", request = %request_id, session = %id, "a session has been ended");
    }
    Ok(ended)
}
