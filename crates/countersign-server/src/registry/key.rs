//! The keys of a registry's tools: the one that a tool gets when somebody signs in for it, and the one that it comes with.

use countersign_core::Decision;
use countersign_store::{MadeBy, Session, StoreError};

use super::Registry;
use super::weigh::Wrong;
use crate::api_key::{self, Held, Made, Making, NotMade};
use crate::audit::By;
use crate::error::Failure;
use crate::session;
use crate::token::unavailable;
use crate::web::Context;

/// The key that a tool waited for: nothing else is left of the sign-in, whose session no browser has.
pub(super) async fn of_sign_in(
    registry: &Registry,
    session: &Session,
    context: &Context<'_>,
) -> Result<Result<Made, &'static str>, Failure> {
    let made = make(registry, session, context).await;
    let ending = session::Ending::new(By::Account(session.account.clone()), "key-made");
    session::end_one(&session.id, ending, context).await.ok();
    made.map_err(|error| unavailable(&error, context))
}

/// A key that lives for a while, for what the sign-in is good enough for, or why there is none.
pub(super) async fn make(
    registry: &Registry,
    session: &Session,
    context: &Context<'_>,
) -> Result<Result<Made, &'static str>, StoreError> {
    let owner = session::owner(session, context).await?;
    let Ok((account, _)) = owner else {
        return Ok(Err("This account is nobody's any more."));
    };
    let making = Making {
        account: &account,
        evidence: &session.evidence,
        name: format!("{} login", registry.profile.title),
        client: registry.client.clone(),
        scopes: registry.scopes(context),
        packages: [].into(),
        organization: None,
        lifetime: Some(registry.profile.sign_in.key_lifetime),
        made_by: MadeBy::Tool,
    };
    let made = match api_key::make(making.clone(), context).await? {
        // Good enough for some of it: then for that.
        Err(NotMade::Login(Decision::Permit(permit))) if !permit.scopes().is_empty() => {
            let scopes = permit.scopes().clone();
            api_key::make(Making { scopes, ..making }, context).await?
        }
        made => made,
    };
    Ok(made.map_err(|why| why.sentence()))
}

/// A key of this registry's that has not ended, whose owner is not locked; what is wrong with it, where it is none.
pub(super) async fn find(
    registry: &Registry,
    text: &str,
    context: &Context<'_>,
) -> Result<Result<Held, Wrong>, Failure> {
    let found = api_key::find(text, context).await;
    let found = found.map_err(|error| unavailable(&error, context))?;
    let is_live = |held: &Held| api_key::is_live(&held.key, context.policy(), context.now);
    Ok(match found.filter(is_live) {
        None => Err(Wrong::Nobodys(UNKNOWN)),
        Some(held) if is_good(registry, &held, context) => Ok(held),
        Some(_) => Err(Wrong::Elsewhere(UNKNOWN)),
    })
}

const UNKNOWN: &str = "This API key is not known here, or has ended.";

/// Whether a key is this registry's, and has not ended.
pub(super) fn is_good(registry: &Registry, held: &Held, context: &Context<'_>) -> bool {
    held.key.client == registry.client
        && held.account.locked.is_none()
        && api_key::is_live(&held.key, context.policy(), context.now)
}

/// Ends a key, for whoever has it.
pub(super) async fn end(held: &Held, context: &Context<'_>) -> Result<(), Failure> {
    let by = By::Account(held.account.id.clone());
    let ended = api_key::revoke(&held.key.id, by, "signed-out", context).await;
    ended.map_err(|error| unavailable(&error, context))?;
    Ok(())
}
