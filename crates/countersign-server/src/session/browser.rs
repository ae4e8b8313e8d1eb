//! Which session a browser has: sealed, in a cookie that ends with the browser.
//!
//! The name of a session is in its tokens and so known to clients; only what is sealed leads to it from here.

use actix_web::cookie::Cookie;
use actix_web::cookie::time::Duration;
use countersign_core::{AccountId, SessionId};
use countersign_store::{Account, Session, StoreError};

use crate::error::{Failure, Problem};
use crate::seal::{Place, Purpose};
use crate::web::{Context, cookie};

/// The prefix binds the cookie to this very host, to `/` and to a secure origin
/// (draft-ietf-httpbis-rfc6265bis 4.1.3.2).
const NAME: &str = "__Host-countersign-session";
const PLACE: Place<'_> = Place {
    name: NAME,
    party: "browser",
    purpose: Purpose::Session,
};
/// How many sessions that a browser had before are ended with the one it has. Who raises a session more often
/// leaves the first to their own end.
const MOST_EARLIER: usize = 8;

/// The cookie that leads to this session.
pub(crate) fn put(id: &SessionId, context: &Context<'_>) -> Result<Cookie<'static>, Failure> {
    let broker = context.broker;
    let sealed = broker.sealer.seal(id, PLACE, broker.entropy.as_ref());
    match sealed {
        Some(sealed) => Ok(cookie(NAME.to_owned(), sealed, None)),
        None => Err(Failure::Page(Problem::Unavailable)),
    }
}

/// The cookie that leads nowhere any more.
pub(crate) fn remove() -> Cookie<'static> {
    cookie(NAME.to_owned(), String::new(), Some(Duration::ZERO))
}

/// The session that this browser has, and whose it is.
pub(crate) async fn of_browser(
    context: &Context<'_>,
) -> Result<Option<(Session, Account)>, StoreError> {
    let Some(session) = live(context).await? else {
        return Ok(None);
    };
    let owner = super::owner(&session, context).await?;
    Ok(owner.ok().map(|(account, _)| (session, account)))
}

/// The live session that this browser has, whether it is anybody's or not: to be ended.
pub(super) async fn live(context: &Context<'_>) -> Result<Option<Session>, StoreError> {
    match named(context) {
        Some(id) => context.reads.session(&id).await,
        None => Ok(None),
    }
}

/// The session that this browser's cookie leads to, live or not.
pub(crate) fn named(context: &Context<'_>) -> Option<SessionId> {
    let sealed = context.only_cookie(NAME)?;
    context.broker.sealer.open(sealed, PLACE)
}

/// The sessions that this browser has had for this account, the latest last: a new one takes them over.
pub(crate) async fn earlier(
    account: &AccountId,
    context: &Context<'_>,
) -> Result<Vec<SessionId>, StoreError> {
    let before = of_browser(context).await?.map(|(before, _)| before);
    let Some(before) = before.filter(|before| before.account == *account) else {
        return Ok(Vec::new());
    };
    let all: Vec<SessionId> = before.earlier.into_iter().chain([before.id]).collect();
    let surplus = all.len().saturating_sub(MOST_EARLIER);
    Ok(all.into_iter().skip(surplus).collect())
}
