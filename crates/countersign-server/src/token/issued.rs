//! Whether an access token that verifies is still good: it, its grant and its session may have been ended.

use countersign_core::{GrantId, SessionId};
use countersign_store::{EndKind, Ended, IssuedToken, Session, StoreError};
use countersign_verifier::{
    AccessToken, Claims, Error, Expectations, Presented, danger_whoever_presents,
};
use jiff::Timestamp;

use super::dpop;
use crate::once::{Kind, has_come, is_first};
use crate::settings::GrantType;
use crate::web::Context;
use crate::{organization, session};

/// An access token of ours that has not expired, whoever it is for, and whoever presents it.
pub(crate) async fn verified(raw: &str, context: &Context<'_>) -> Result<AccessToken, Error> {
    let broker = context.broker;
    let expected = Expectations::for_any_audience(broker.settings.issuer());
    let now = context.now.as_second();
    match danger_whoever_presents(raw, &broker.keys.verifying(), &expected, now) {
        // Another replica may have a key that was not here when the keys were read last.
        Err(Error::UnknownKey) => {
            if let Err(error) = broker.upkeep.look_up().await {
                tracing::warn!(code = "keys-unread", request = %context.request_id, cause = %error, "the keys can't be read");
            }
            danger_whoever_presents(raw, &broker.keys.verifying(), &expected, now)
        }
        answer => answer,
    }
}

/// The access token of a request, verified, and shown to be its bearer's where it is bound to a key.
pub(crate) async fn presented(
    in_form: Option<&str>,
    context: &Context<'_>,
) -> Result<AccessToken, Error> {
    match credentials(in_form, context)? {
        Presented::Bearer(raw) => Ok(verified(raw, context).await?.require_unbound()?.clone()),
        Presented::Dpop { token, .. } => dpop::verified(token, context).await,
    }
}

/// RFC 6750 2: one token, in one place.
fn credentials<'a>(
    in_form: Option<&'a str>,
    context: &'a Context<'_>,
) -> Result<Presented<'a>, Error> {
    let mut headers = context.request.headers().get_all("authorization");
    match (headers.next(), headers.next(), in_form) {
        (Some(header), None, None) => {
            let authorization = header.to_str().map_err(|_| Error::MalformedRequest)?;
            let proofs = context.request.headers().get_all("dpop");
            let proofs: Vec<&str> = proofs.map(|one| one.to_str().unwrap_or_default()).collect();
            countersign_verifier::presented(Some(authorization), &proofs)
        }
        (None, _, Some(token)) => Ok(Presented::Bearer(token)),
        (None, _, None) => Err(Error::NoCredentials),
        (Some(_), _, _) => Err(Error::MalformedRequest),
    }
}

/// The token as the store knows it, where it has a session.
fn issued(claims: &Claims) -> Option<IssuedToken> {
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

/// Whether a verified token is good for anything still.
pub(crate) async fn is_live(claims: &Claims, context: &Context<'_>) -> Result<bool, StoreError> {
    if !is_of_a_service(claims) {
        return Ok(session_of(claims, context).await?.is_some());
    }
    if context.now.as_second() >= claims.exp {
        return Ok(false);
    }
    let clients = &context.broker.settings.clients;
    let client = clients.get(claims.client_id.as_str());
    let may_still = client.is_some_and(|client| client.may(GrantType::ClientCredentials));
    Ok(may_still && !has_come(Kind::RevokedToken, &[&claims.jti], context).await?)
}

/// Ends a verified token before its time.
pub(super) async fn end(claims: &Claims, context: &Context<'_>) -> Result<Ended, StoreError> {
    let store = &context.broker.store;
    if is_of_a_service(claims) {
        let until = Timestamp::from_second(claims.exp).unwrap_or(Timestamp::MAX);
        let told = store.tell_end(EndKind::Token, &claims.jti, context.now);
        told.await?;
        let is_first = is_first(Kind::RevokedToken, &[&claims.jti], until, context).await?;
        return Ok(Ended::if_it_was(is_first));
    }
    match issued(claims) {
        Some(token) => store.revoke_token(token, context.now).await,
        None => Ok(Ended::Before),
    }
}

/// Whether no person stands behind it: the client acts as itself.
pub(crate) fn is_of_a_service(claims: &Claims) -> bool {
    claims.sid.is_none() && claims.sub == claims.client_id
}

/// The live session behind a verified token, if nobody has ended it and it still shows the organisations that the token
/// is for.
pub(crate) async fn session_of(
    claims: &Claims,
    context: &Context<'_>,
) -> Result<Option<Session>, StoreError> {
    let Some(token) = issued(claims) else {
        return Ok(None);
    };
    let Some(session) = context.reads.session_of_token(&token).await? else {
        return Ok(None);
    };
    let is_good = session::owner(&session, context).await?.is_ok()
        && shows_still(claims, &session, context).await?;
    Ok(is_good.then_some(session))
}

async fn shows_still(
    claims: &Claims,
    session: &Session,
    context: &Context<'_>,
) -> Result<bool, StoreError> {
    let own = claims.countersign.as_ref();
    let organizations = own.map_or(&[][..], |own| &own.organizations);
    organization::are_still_shown(organizations, session, context).await
}
