//! `/logout`: a client sends a person to sign out (OpenID Connect RP-Initiated Logout 1.0), or they come by themselves.
//!
//! With an ID token of this very session as `id_token_hint` it ends at once; otherwise the person is asked, since
//! any site can send them here. They are sent back only where the hint says for which client, and to an
//! address that is registered for it.

use actix_web::{HttpResponse, web};
use countersign_core::ClientId;
use countersign_store::Session;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::{Ending, browser, end_all};
use crate::error::{Failure, Problem, page_of_store};
use crate::form::{self, Form};
use crate::pages::{self, SignOutPage, SignedOutPage};
use crate::sign_in::Hint;
use crate::web::{Call, Context, Parameters, see_other, with_cookies};

/// The longest `state` that is given back, in bytes.
const LONGEST_STATE: usize = 512;

/// GET: the request is in the query.
pub(crate) async fn logout(call: Call) -> HttpResponse {
    call.answer(begin).await
}

/// POST: the request is in the form (RP-Initiated Logout 2: both must be served). A cross-site POST carries no Lax
/// cookie, so the browser is told to come again by GET.
pub(crate) async fn logout_by_form(call: Call, form: web::Bytes) -> HttpResponse {
    call.context().again_by_get("/logout", &form)
}

/// POST: the person has said yes.
pub(crate) async fn logout_confirmed(call: Call, form: web::Bytes) -> HttpResponse {
    call.answer(async |context| confirmed(&form, context).await)
        .await
}

/// A checked request.
struct Request {
    client: Option<ClientId>,
    hint: Option<Hint>,
    back: Option<String>,
}

/// What the person's yes is to.
#[derive(Serialize, Deserialize)]
struct Confirmed {
    client: Option<ClientId>,
    back: Option<String>,
}

async fn begin(context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let request = check(&context.query(), context)?;
    let found = browser::live(context).await;
    let here = found.map_err(|error| page_of_store(&error, context))?;
    let Some(here) = here else {
        return Ok(match request.back.filter(|_| request.hint.is_some()) {
            Some(back) => see_other(&back),
            None => pages::ok(&SignedOutPage::nobody(context)),
        });
    };
    if !request.hint.as_ref().is_some_and(|hint| is_of(hint, &here)) {
        // RP-Initiated Logout 2: without a hint, or with one of another session, the person must be asked.
        return ask(&request, &here, context);
    }
    let ending = Ending::new(&here.account, "logout");
    let ended = end_all(&here, &ending, context).await;
    ended.map_err(|error| page_of_store(&error, context))?;
    let answer = match request.back {
        Some(back) => see_other(&back),
        None => pages::ok(&SignedOutPage::after(&here, None, context)),
    };
    with_cookies(answer, [browser::remove()])
}

fn ask(request: &Request, here: &Session, context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let yes = Confirmed {
        client: request.client.clone(),
        back: request.back.clone(),
    };
    let sealed = form::seal(Form::SignOut, &yes, here.id.as_str(), context)?;
    let page = SignOutPage::new(here, request.client.as_ref(), sealed, context);
    Ok(pages::ok(&page))
}

async fn confirmed(form: &[u8], context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let found = browser::live(context).await;
    let here = found.map_err(|error| page_of_store(&error, context))?;
    let here = here.ok_or(Failure::Page(Problem::SignedOut))?;
    let yes: Confirmed = form::open(
        Form::SignOut,
        &Parameters::read(form),
        here.id.as_str(),
        context,
    )?;
    let ending = Ending::new(&here.account, "logout");
    let ended = end_all(&here, &ending, context).await;
    ended.map_err(|error| page_of_store(&error, context))?;
    // A link and no redirect: browsers hold a form to `form-action` on every redirect that follows it.
    let back = yes.client.as_ref().zip(yes.back.as_deref());
    let page = pages::ok(&SignedOutPage::after(&here, back, context));
    with_cookies(page, [browser::remove()])
}

fn is_of(hint: &Hint, here: &Session) -> bool {
    let family = || here.earlier.iter().chain([&here.id]);
    hint.account == here.account && family().any(|id| *id == hint.session)
}

fn check(parameters: &Parameters, context: &Context<'_>) -> Result<Request, Failure> {
    if parameters.is_repeated() {
        return Err(Failure::Page(Problem::BadRequest(
            "a parameter stands twice",
        )));
    }
    let hint = match parameters.one("id_token_hint") {
        Some(token) => Some(Hint::read(token, context).ok_or(Failure::Page(
            Problem::BadRequest("`id_token_hint` is not an ID token of ours"),
        ))?),
        None => None,
    };
    let client = client(parameters, hint.as_ref(), context)?;
    Ok(Request {
        back: back(parameters, client.as_ref(), context)?,
        client,
        hint,
    })
}

/// The client that sends the person: the hint's, or the one that is named. Both must be one (RP-Initiated Logout 2).
fn client(
    parameters: &Parameters,
    hint: Option<&Hint>,
    context: &Context<'_>,
) -> Result<Option<ClientId>, Failure> {
    let unknown = Failure::Page(Problem::UnknownClient);
    let named = parameters.one("client_id").map(ClientId::new).transpose();
    let Ok(named) = named else {
        return Err(unknown);
    };
    let hinted = hint.map(|hint| hint.client.clone());
    let client = match (named, hinted) {
        (Some(named), Some(hinted)) if named != hinted => return Err(unknown),
        (named, hinted) => hinted.or(named),
    };
    let clients = &context.broker.settings.clients;
    match client {
        Some(client) if !clients.contains_key(&client) => Err(unknown),
        client => Ok(client),
    }
}

/// Where to send the person afterwards, with the `state`: compared to the letter, as redirect URIs are.
fn back(
    parameters: &Parameters,
    client: Option<&ClientId>,
    context: &Context<'_>,
) -> Result<Option<String>, Failure> {
    let Some(uri) = parameters.one("post_logout_redirect_uri") else {
        return Ok(None);
    };
    let clients = &context.broker.settings.clients;
    let client = client.and_then(|client| clients.get(client));
    if !client.is_some_and(|client| client.allows_post_logout_redirect(uri)) {
        return Err(Failure::Page(Problem::PostLogoutRedirectUri));
    }
    Ok(Some(match parameters.one("state") {
        Some(state) if state.len() <= LONGEST_STATE => with_state(uri, state),
        Some(_) | None => uri.to_owned(),
    }))
}

fn with_state(uri: &str, state: &str) -> String {
    let separator = if uri.contains('?') { '&' } else { '?' };
    let mut query = form_urlencoded::Serializer::new(String::new());
    format!(
        "{uri}{separator}{}",
        query.append_pair("state", state).finish()
    )
}
