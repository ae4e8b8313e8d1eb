//! Sessions, as browsers and people have them: the cookie that leads to one, the page that lists them, and
//! their end.

mod browser;
mod logout;
pub(crate) mod notices;
mod page;
mod provider;

use countersign_core::{AccountId, SessionId};
use countersign_store::{Account, Ended, SESSIONS_AT_ONCE, Session, StoreError, Version};
use jiff::Timestamp;

use crate::Broker;
use crate::audit::{By, Event, Happening, Subject};
use crate::web::Context;

pub(crate) use browser::{earlier, named as named_by_browser, of_browser, put, remove as forget};
pub(crate) use logout::{logout, logout_by_form, logout_confirmed};
pub(crate) use page::{end as end_by_form, show};
pub(crate) use provider::{back_channel, front_channel};

/// Why a live session is nobody's any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Orphaned {
    /// Its provider is configured no more, and vouches for nothing.
    ProviderNotConfigured,
    /// The identity that signed in leads to the account no more.
    IdentityRemoved,
    /// There is no such account.
    AccountGone,
}

impl Orphaned {
    /// The reason that a client is told.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::ProviderNotConfigured => "provider-not-configured",
            Self::IdentityRemoved => "identity-removed",
            Self::AccountGone => "the account is gone",
        }
    }
}

/// Whose session it is. Whatever is done by a session is done through here: its record says what a login proved, and not
/// that who proved it is the account's owner still.
pub(crate) async fn owner(
    session: &Session,
    context: &Context<'_>,
) -> Result<Result<(Account, Version), Orphaned>, StoreError> {
    let broker = context.broker;
    if !broker.providers.contains_key(&session.evidence.provider) {
        return Ok(Err(Orphaned::ProviderNotConfigured));
    }
    let found = context.reads.account(&session.account).await?;
    Ok(match found {
        Some((account, _)) if !account.lists(&session.evidence.identity) => {
            Err(Orphaned::IdentityRemoved)
        }
        Some(found) => Ok(found),
        None => Err(Orphaned::AccountGone),
    })
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

/// Visits the live sessions of an account, however many there are: a page at a time, so that they may be ended meanwhile.
pub(crate) async fn visit_all(
    account: &AccountId,
    context: &Context<'_>,
    mut visit: impl AsyncFnMut(Session) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let store = &context.broker.store;
    let mut after = None;
    loop {
        let page = store
            .sessions_of(account, after.as_ref(), context.now)
            .await?;
        let is_last = page.len() < SESSIONS_AT_ONCE;
        after = page.last().map(|one| one.session.clone());
        for one in page {
            visit(one.session).await?;
        }
        if is_last {
            return Ok(());
        }
    }
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
