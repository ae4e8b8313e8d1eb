//! Operators, and services of theirs, lock an account, unlock it or end its sessions: by API and on the page alike.

use countersign_core::AccountId;
use countersign_store::{Account, Actor, Lock, Version, lock_account, unlock_account};

use crate::audit::{By, Event, Happening, Subject};
use crate::error::ApiError;
use crate::session::{self, Ending};
use crate::web::Context;

/// Locks an account: nobody gets anything by it, and its sessions end. One that is locked stays so, for the reason of then.
pub(crate) async fn lock(
    id: &AccountId,
    reason: &str,
    by: &Actor,
    context: &Context<'_>,
) -> Result<(), ApiError> {
    let lock = Lock::new(context.now, reason).ok_or(ApiError::Body(
        "say why, in at most 500 characters: other operators see it, the person does not",
    ))?;
    if *by == Actor::Account(id.clone()) {
        return Err(ApiError::Body(
            "this is your own account: another operator can lock it",
        ));
    }
    context.must_be_audited()?;
    let found = known(id, context).await?;
    let locked = lock_account(context.broker.store.as_ref(), found, &lock).await;
    // Whoever was handed its sessions is to hear of their end.
    context.broker.ended.notify_one();
    let locked = locked.map_err(ApiError::Store)?;
    if !locked.was_locked || locked.ended > 0 {
        let happening = of(Event::AccountLocked, id, by, context);
        let happening = happening.about(Subject::Count, locked.ended);
        context.audit_through(happening).await?;
    }
    locked.all.map_err(ApiError::Store)
}

/// Unlocks an account. One that is not locked stays so.
pub(crate) async fn unlock(
    id: &AccountId,
    by: &Actor,
    context: &Context<'_>,
) -> Result<(), ApiError> {
    context.must_be_audited()?;
    let found = known(id, context).await?;
    if found.0.locked.is_none() {
        return Ok(());
    }
    let unlocked = unlock_account(context.broker.store.as_ref(), found, context.now).await;
    // Sessions may have begun as it was being locked.
    context.broker.ended.notify_one();
    unlocked.map_err(ApiError::Store)?;
    let happening = of(Event::AccountUnlocked, id, by, context);
    context.audit_through(happening).await
}

/// Ends all sessions of an account, each with a line of its own in the audit log.
pub(crate) async fn end_sessions(
    id: &AccountId,
    by: &Actor,
    context: &Context<'_>,
) -> Result<(), ApiError> {
    context.must_be_audited()?;
    known(id, context).await?;
    let ending = Ending::new(By::from(by), "by-an-operator");
    let ended = session::visit_all(id, context, async |session| {
        session::end_one(&session.id, ending.clone(), context).await
    });
    ended.await.map_err(ApiError::Store)
}

/// The account of an id, unless it is nobody's.
pub(crate) async fn known(
    id: &AccountId,
    context: &Context<'_>,
) -> Result<(Account, Version), ApiError> {
    let found = context.broker.store.account(id).await;
    let found = found.map_err(ApiError::Store)?;
    found
        .filter(|(account, _)| !account.erasing)
        .ok_or(ApiError::UnknownAccount)
}

/// Said in the log, to be written down in the audit log.
fn of(event: Event, id: &AccountId, by: &Actor, context: &Context<'_>) -> Happening {
    tracing::info!(code = event.code(), request = %context.request_id, account = %id, actor = %by, "an operator has changed an account");
    Happening::new(event, by).about(Subject::Account, id)
}
