//! `/callback/{provider}/logout`: a provider tells that its own session has ended, and with it end those of ours that
//! rest on it.
//!
//! By POST it is a signed token (OpenID Connect Back-Channel Logout 1.0). By GET it is what Entra loads in a frame
//! (Front-Channel Logout 1.0): the name of its session, which nobody else knows, and nothing that could be verified.

use actix_web::{HttpResponse, web};
use countersign_core::{Identity, ProviderId};
use countersign_providers::{FrontChannel, LoggedOut};
use countersign_store::{ProviderSession, SESSIONS_AT_ONCE, Session, StoreError};

use super::{Ending, end_all, visit_all};
use crate::error::{Failure, OAuthError, Problem, of_store, page_of_store};
use crate::web::{Call, Context, Parameters};

/// GET: the provider loads it in a frame.
pub(crate) async fn front_channel(call: Call, provider: web::Path<String>) -> HttpResponse {
    call.answer(async |context| by_frame(&provider, context).await)
        .await
}

/// POST: the provider sends a logout token.
pub(crate) async fn back_channel(
    call: Call,
    provider: web::Path<String>,
    form: web::Bytes,
) -> HttpResponse {
    call.answer(async |context| by_token(&provider, &form, context).await)
        .await
}

async fn by_frame(provider: &str, context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let id = ProviderId::new(provider).map_err(|_| Failure::Page(Problem::UnknownProvider))?;
    let known = context.broker.providers.get(&id);
    let known = known.ok_or(Failure::Page(Problem::UnknownProvider))?;
    let parameters = context.query();
    let (sid, FrontChannel::Served) = (parameters.one("sid"), known.front_channel_logout()) else {
        return Err(Failure::Page(Problem::BadRequest(
            "this provider signs nobody out this way",
        )));
    };
    let sid = sid.ok_or(Failure::Page(Problem::BadRequest("`sid` is missing")))?;
    let told = LoggedOut::Session {
        sid: sid.to_owned(),
        subject: None,
    };
    let ended = end_meant(&id, &told, context).await;
    ended.map_err(|error| page_of_store(&error, context))?;
    Ok(HttpResponse::Ok().finish())
}

async fn by_token(
    provider: &str,
    form: &[u8],
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let known = ProviderId::new(provider)
        .ok()
        .and_then(|id| context.broker.providers.get(&id));
    let known = known.ok_or_else(|| OAuthError::invalid_request("no such provider"))?;
    let parameters = Parameters::read(form);
    let token = parameters
        .one("logout_token")
        .ok_or_else(|| OAuthError::invalid_request("`logout_token` is missing"))?;
    let told = known.logged_out(token, context.now).await;
    let told = told.map_err(|error| {
        tracing::warn!(code = error.code(), request = %context.request_id, provider = %known.name(), cause = %error, "a logout token was not taken");
        OAuthError::invalid_request("the logout token did not pass verification")
    })?;
    let ended = end_meant(known.name(), &told, context).await;
    ended.map_err(|error| of_store(&error, OAuthError::unavailable(), context))?;
    Ok(HttpResponse::Ok().finish())
}

/// Ends the sessions that the provider means: of that session there, or of that person if it names none.
async fn end_meant(
    provider: &ProviderId,
    told: &LoggedOut,
    context: &Context<'_>,
) -> Result<(), StoreError> {
    match told {
        LoggedOut::Session { sid, subject } => {
            let of = ProviderSession {
                provider: provider.clone(),
                sid: sid.clone(),
            };
            end_resting_on(&of, subject.as_ref(), context).await
        }
        LoggedOut::Person(identity) => end_those_of(provider, identity, context).await,
    }
}

/// However many there are: a page at a time.
async fn end_resting_on(
    of: &ProviderSession,
    subject: Option<&Identity>,
    context: &Context<'_>,
) -> Result<(), StoreError> {
    let store = &context.broker.store;
    let mut after = None;
    loop {
        let resting = store.sessions_resting_on(of, after.as_ref(), context.now);
        let resting = resting.await?;
        for session in &resting {
            if subject.is_none_or(|identity| *identity == session.evidence.identity) {
                end(session, context).await?;
            }
        }
        if resting.len() < SESSIONS_AT_ONCE {
            return Ok(());
        }
        after = resting.into_iter().last();
    }
}

async fn end_those_of(
    provider: &ProviderId,
    identity: &Identity,
    context: &Context<'_>,
) -> Result<(), StoreError> {
    let Some((account, _)) = context.broker.store.account_of(identity).await? else {
        return Ok(());
    };
    visit_all(&account.id, context, async |session| {
        let evidence = &session.evidence;
        if evidence.identity == *identity && evidence.provider == *provider {
            end(&session, context).await?;
        }
        Ok(())
    })
    .await
}

async fn end(session: &Session, context: &Context<'_>) -> Result<(), StoreError> {
    let ending = Ending::new(&session.evidence.provider, "logout-at-the-provider");
    end_all(session, &ending, context).await
}
