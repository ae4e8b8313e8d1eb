//! Whether an access token that verifies is still good: it, its grant and its session may have been ended.

use countersign_core::{GrantId, SessionId};
use countersign_store::{IssuedToken, Session, StoreError};
use countersign_verifier::{AccessToken, Claims, Error, Expectations, verify};
use jiff::Timestamp;

use crate::web::Context;

/// An access token of ours that has not expired, whoever it is for.
pub(super) async fn verified(raw: &str, context: &Context<'_>) -> Result<AccessToken, Error> {
    let broker = context.broker;
    let expected = Expectations::for_any_audience(broker.settings.issuer());
    let now = context.now.as_second();
    match verify(raw, &broker.keys.verifying(), &expected, now) {
        // Another replica may have a key that was not here when the keys were read last.
        Err(Error::UnknownKey) => {
            if let Err(error) = broker.upkeep.look_up().await {
                tracing::warn!(code = "keys-unread", request = %context.request_id, cause = %error, "the keys can't be read");
            }
            verify(raw, &broker.keys.verifying(), &expected, now)
        }
        answer => answer,
    }
}

/// The token as the store knows it. Every token that we sign has a session.
pub(super) fn issued(claims: &Claims) -> Option<IssuedToken> {
    let grant = claims
        .countersign
        .as_ref()
        .and_then(|one| one.grant.as_deref());
    Some(IssuedToken {
        jti: claims.jti.clone(),
        session: SessionId::new(claims.sid.as_deref()?).ok()?,
        grant: grant.map(GrantId::new).transpose().ok()?,
        expires_at: Timestamp::from_second(claims.exp).ok()?,
    })
}

/// The live session behind a verified token, if nobody has ended it.
pub(super) async fn session_of(
    claims: &Claims,
    context: &Context<'_>,
) -> Result<Option<Session>, StoreError> {
    match issued(claims) {
        Some(token) => {
            let store = &context.broker.store;
            store.session_of_token(&token, context.now).await
        }
        None => Ok(None),
    }
}
