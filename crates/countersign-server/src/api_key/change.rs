//! What happens to an API key after it is made: it is revoked, or its owner is told of its end.

use countersign_core::ApiKeyId;
use countersign_core::Policy;
use countersign_core::api_keys::Told;
use countersign_store::{ApiKey, Changed, Store, StoreError, change_api_key};
use jiff::Timestamp;

use super::notice;
use crate::audit::{By, Event, Happening, Subject};
use crate::web::Context;

/// Revokes a key: from now on it is good for nothing. Answers whether it was one until now.
pub(crate) async fn revoke(
    id: &ApiKeyId,
    by: impl Into<By>,
    because: &'static str,
    context: &Context<'_>,
) -> Result<Changed, StoreError> {
    let changed = revoke_at(context.broker.store.as_ref(), id, context.now).await?;
    if changed == Changed::Yes {
        context.audit(
            Happening::new(Event::ApiKeyRevoked, by)
                .about(Subject::ApiKey, id)
                .because(because),
        );
    }
    Ok(changed)
}

/// The same for who writes it down elsewhere.
pub async fn revoke_at(
    store: &dyn Store,
    id: &ApiKeyId,
    now: Timestamp,
) -> Result<Changed, StoreError> {
    let revoked = |key: &ApiKey| {
        key.revoked_at.is_none().then(|| ApiKey {
            revoked_at: Some(now),
            ..key.clone()
        })
    };
    let found = change_api_key(store, id, revoked).await?;
    Ok(found.map_or(Changed::No, |(_, changed)| changed))
}

/// Keeps that the owner of a key was told of its end by this channel, once that has reached them. What they were told
/// before is not told again.
pub(crate) async fn deliver(
    id: &ApiKeyId,
    channel: &'static str,
    context: &Context<'_>,
) -> Result<Changed, StoreError> {
    let store = context.broker.store.as_ref();
    let changed = told_at(store, id, context.policy(), context.now).await?;
    if changed == Changed::Yes {
        context.audit(told(id, channel));
    }
    Ok(changed)
}

/// What is written down of it.
pub(crate) fn told(id: &ApiKeyId, channel: &'static str) -> Happening {
    Happening::new(Event::ApiKeyOwnerTold, By::Nobody)
        .about(Subject::ApiKey, id)
        .because(channel)
}

/// Keeps that the owner of a key was told of the end that it has if they are told now.
pub(crate) async fn told_at(
    store: &dyn Store,
    id: &ApiKeyId,
    policy: &Policy,
    now: Timestamp,
) -> Result<Changed, StoreError> {
    let noted = |key: &ApiKey| {
        let news = notice(key, policy, now).filter(|notice| notice.told == Told::NotYet)?;
        Some(ApiKey {
            first_notice_at: key.first_notice_at.or(Some(now)),
            told_end: Some(news.end),
            ..key.clone()
        })
    };
    let found = change_api_key(store, id, noted).await?;
    Ok(found.map_or(Changed::No, |(_, changed)| changed))
}
