//! `/session`: where a person sees their sessions, on this device and on others, and ends them.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, web};
use countersign_core::SessionId;
use countersign_store::{LiveSession, SESSIONS_AT_ONCE, Session, StoreError};
use serde::{Deserialize, Serialize};

use super::{browser, end_all, visit_all};
use crate::error::{Failure, Problem, page_of_store};
use crate::form::{self, Form};
use crate::pages::{self, SessionRow, SessionsPage, SignedOutPage};
use crate::web::{Call, Context, Parameters, see_other, with_cookies};

/// What a button of the page does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Ending {
    /// This session.
    One(SessionId),
    /// All but the one of this browser.
    Others,
}

/// GET: the page.
pub(crate) async fn show(call: Call) -> HttpResponse {
    call.answer(page).await
}

/// POST: a button of it was pressed.
pub(crate) async fn end(call: Call, form: web::Bytes) -> HttpResponse {
    call.answer(async |context| press(&form, context).await)
        .await
}

async fn page(context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let found = browser::of_browser(context).await;
    let Some((here, _)) = found.map_err(|error| page_of_store(&error, context))? else {
        return Ok(pages::ok(&SignedOutPage::nobody(context)));
    };
    let after = last_shown(&here, context).await?;
    let live = of_person(&here, after.as_ref(), context).await?;
    let next = live
        .next
        .as_ref()
        .map(|last| format!("/session?after={last}"));
    let mut rows = Vec::new();
    for one in live.shown {
        let sealed = form::seal(
            Form::EndSession,
            &Ending::One(one.session.id.clone()),
            here.id.as_str(),
            context,
        )?;
        rows.push(SessionRow::new(
            &one,
            one.session.id == here.id,
            sealed,
            context,
        ));
    }
    // The one of this browser first; the others as they come, the latest first.
    rows.sort_by_key(|row| !row.is_here);
    let others = form::seal(Form::EndSession, &Ending::Others, here.id.as_str(), context)?;
    Ok(pages::ok(&SessionsPage::new(
        &here,
        rows,
        (others, next),
        context,
    )))
}

async fn press(form: &[u8], context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let found = browser::of_browser(context).await;
    let here = found.map_err(|error| page_of_store(&error, context))?;
    let (here, _) = here.ok_or(Failure::Page(Problem::SignedOut))?;
    let ending: Ending = form::open(
        Form::EndSession,
        &Parameters::read(form),
        here.id.as_str(),
        context,
    )?;
    let ended = match &ending {
        Ending::One(id) => end_this(id, &here, context).await,
        Ending::Others => end_others(&here, context).await,
    };
    ended.map_err(|error| page_of_store(&error, context))?;
    if ending == Ending::One(here.id.clone()) {
        let page = pages::ok(&SignedOutPage::after(&here, None, context));
        return with_cookies(page, [browser::remove()]);
    }
    Ok(see_other(&context.broker.settings.endpoint("/session")))
}

/// Ends one session of whoever has this one, and those that its browser had before.
async fn end_this(id: &SessionId, here: &Session, context: &Context<'_>) -> Result<(), StoreError> {
    let found = context.broker.store.session(id, context.now).await?;
    match found.filter(|found| found.account == here.account) {
        Some(session) => end_all(&session, &by_the_person(here), context).await,
        None => Ok(()),
    }
}

/// Ends all sessions of whoever has this one but this, and those that this browser had before.
async fn end_others(here: &Session, context: &Context<'_>) -> Result<(), StoreError> {
    visit_all(&here.account, context, async |session| {
        if session.id == here.id || here.earlier.contains(&session.id) {
            return Ok(());
        }
        let alone = Session {
            earlier: Vec::new(), // each is visited by itself
            ..session
        };
        end_all(&alone, &by_the_person(here), context).await
    })
    .await
}

fn by_the_person(here: &Session) -> super::Ending {
    super::Ending::new(&here.account, "by-the-person")
}

/// The last session of the page before, if it is theirs and lives. Where it has ended meanwhile the latest are shown, among
/// which what followed it has come nearer.
async fn last_shown(here: &Session, context: &Context<'_>) -> Result<Option<Session>, Failure> {
    let parameters = context.query();
    let Some(id) = parameters
        .one("after")
        .and_then(|id| SessionId::new(id).ok())
    else {
        return Ok(None);
    };
    let found = context.broker.store.session(&id, context.now).await;
    let found = found.map_err(|error| page_of_store(&error, context))?;
    Ok(found.filter(|found| found.account == here.account))
}

/// A page of somebody's sessions.
struct Shown {
    shown: Vec<LiveSession>,
    /// Behind which the next page begins, if there may be one.
    next: Option<SessionId>,
}

/// The live sessions of whoever has this one, the latest or those that follow. Those that a browser had before stand for
/// one with the one it has.
async fn of_person(
    here: &Session,
    after: Option<&Session>,
    context: &Context<'_>,
) -> Result<Shown, Failure> {
    let store = &context.broker.store;
    let live = store.sessions_of(&here.account, after, context.now).await;
    let live = live.map_err(|error| page_of_store(&error, context))?;
    let last = live.last().filter(|_| live.len() == SESSIONS_AT_ONCE);
    let next = last.map(|last| last.session.id.clone());
    let earlier: BTreeSet<SessionId> = live
        .iter()
        .flat_map(|one| one.session.earlier.iter().cloned())
        .collect();
    let (before, mut latest): (Vec<_>, Vec<_>) = live
        .into_iter()
        .partition(|one| earlier.contains(&one.session.id));
    for one in before {
        let taken_over = |by: &&mut LiveSession| by.session.earlier.contains(&one.session.id);
        if let Some(by) = latest.iter_mut().find(taken_over) {
            by.clients.extend(one.clients);
        }
    }
    Ok(Shown {
        shown: latest,
        next,
    })
}
