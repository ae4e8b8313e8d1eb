//! `/callback/{provider}/logout`: a provider tells that its own session has ended, and with it end those of ours that
//! rest on it.
//!
//! By POST it is a signed token (OpenID Connect Back-Channel Logout 1.0). By GET it is what Entra loads in a frame
//! (Front-Channel Logout 1.0): the name of its session, which nobody else knows, and nothing that could be verified.

use actix_web::{HttpResponse, web};
use countersign_core::{Identity, ProviderId};
use countersign_providers::{FrontChannel, LoggedOut};
use countersign_store::{ProviderSession, Session, StoreError};

use super::{Ending, end_all};
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
    let resting = resting_on(&id, sid, context).await;
    let resting = resting.map_err(|error| page_of_store(&error, context))?;
    end_each(&resting, context)
        .await
        .map_err(|error| page_of_store(&error, context))?;
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
    let meant = meant(known.name(), &told, context).await;
    let failed = |error: StoreError| of_store(&error, OAuthError::unavailable(), context);
    end_each(&meant.map_err(failed)?, context)
        .await
        .map_err(failed)?;
    Ok(HttpResponse::Ok().finish())
}

/// The sessions that a logout token means: of that session at the provider, or of that person if it names none.
async fn meant(
    provider: &ProviderId,
    told: &LoggedOut,
    context: &Context<'_>,
) -> Result<Vec<Session>, StoreError> {
    match told {
        LoggedOut::Session { sid, subject } => {
            let resting = resting_on(provider, sid, context).await?;
            let is_theirs = |session: &Session| match (subject, &session.evidence.identity) {
                (Some(identity), found) => identity == found,
                (None, _) => true,
            };
            Ok(resting.into_iter().filter(is_theirs).collect())
        }
        LoggedOut::Person(identity) => of_person(provider, identity, context).await,
    }
}

async fn resting_on(
    provider: &ProviderId,
    sid: &str,
    context: &Context<'_>,
) -> Result<Vec<Session>, StoreError> {
    let of = ProviderSession {
        provider: provider.clone(),
        sid: sid.to_owned(),
    };
    let store = &context.broker.store;
    store.sessions_resting_on(&of, context.now).await
}

async fn of_person(
    provider: &ProviderId,
    identity: &Identity,
    context: &Context<'_>,
) -> Result<Vec<Session>, StoreError> {
    let store = &context.broker.store;
    let Some((account, _)) = store.account_of(identity).await? else {
        return Ok(Vec::new());
    };
    let live = store.sessions_of(&account.id, context.now).await?;
    let sessions = live.into_iter().map(|one| one.session);
    let is_theirs = |session: &Session| {
        session.evidence.identity == *identity && session.evidence.provider == *provider
    };
    Ok(sessions.filter(is_theirs).collect())
}

async fn end_each(sessions: &[Session], context: &Context<'_>) -> Result<(), StoreError> {
    for session in sessions {
        let ending = Ending::new(&session.evidence.provider, "logout-at-the-provider");
        end_all(session, &ending, context).await?;
    }
    Ok(())
}
