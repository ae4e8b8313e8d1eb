//! `/authorize`: checks the request, lets the person choose a provider, and sends them there.

use super::request::{self, Checked};
use super::single_sign_on::{self, Suggestion, Turn};
use super::{depart, push};
use crate::error::Failure;
use crate::pages::{self, ChooserPage};
use crate::web::{Call, Context};
use actix_web::{HttpResponse, web};
use countersign_core::{ClientId, ProviderId};

/// GET: the request is in the query.
pub(crate) async fn authorize(call: Call) -> HttpResponse {
    call.answer(read).await
}

/// POST: the request is in the form (Core 3.1.2.1: both must be served).
///
/// A cross-site POST carries no Lax cookie, so the browser is told to come again by GET.
pub(crate) async fn authorize_by_form(call: Call, form: web::Bytes) -> HttpResponse {
    call.context().again_by_get("/authorize", &form)
}

async fn read(context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let parameters = push::unpushed(context.query(), context).await?;
    begin(request::check(&parameters, context)?, context).await
}

/// Answers a checked request: from the session that the browser has, or by sending the person to a provider.
pub(crate) async fn begin(
    checked: Checked,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    match single_sign_on::answer(&checked, context).await? {
        Turn::Answered(answer) => Ok(answer),
        Turn::SignIn(suggested) => sign_in(checked, suggested, context).await,
    }
}

/// Sends the person to the provider that the request names, or that is the only one, or that their session
/// is of; lets them choose where none is.
async fn sign_in(
    checked: Checked,
    suggested: Option<Suggestion>,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let only = only_provider(&checked.request.client, context);
    let of_session = suggested.as_ref().map(|one| one.provider.clone());
    let Some(provider) = checked.provider.or(only).or(of_session) else {
        return Ok(pages::ok(&ChooserPage::new(&checked.request, context)));
    };
    let person = suggested.filter(|one| one.provider == provider);
    let first = depart::First {
        request: checked.request,
        tenant: checked.tenant,
        login_hint: checked.login_hint.or(person.and_then(|one| one.login_hint)),
        account_choice: checked.account_choice,
    };
    depart::first(first, &provider, context).await
}

fn only_provider(client: &ClientId, context: &Context<'_>) -> Option<ProviderId> {
    let mut providers = context.providers_of(client);
    let only = providers.next()?;
    providers.next().is_none().then(|| only.name().clone())
}
