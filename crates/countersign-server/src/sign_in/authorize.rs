//! `/authorize`: checks the request, lets the person choose a provider, and sends them there.

use super::depart;
use super::request::{self, Checked};
use crate::Broker;
use crate::error::{Failure, Problem};
use crate::pages::{self, ChooserPage};
use crate::web::{Context, see_other};
use actix_web::{HttpRequest, HttpResponse, web};

/// GET: the request is in the query.
pub(crate) async fn authorize(request: HttpRequest, broker: web::Data<Broker>) -> HttpResponse {
    let context = Context::new(&request, &broker);
    context.answer(begin(&context).await)
}

/// POST: the request is in the form (Core 3.1.2.1: both must be served).
///
/// A cross-site POST carries no Lax cookie, so the browser is told to come again by GET.
pub(crate) async fn authorize_by_form(
    request: HttpRequest,
    form: web::Bytes,
    broker: web::Data<Broker>,
) -> HttpResponse {
    let context = Context::new(&request, &broker);
    match std::str::from_utf8(&form) {
        Ok(query) if query.bytes().all(|b| b.is_ascii_graphic()) => {
            see_other(&broker.settings.endpoint(&format!("/authorize?{query}")))
        }
        Ok(_) | Err(_) => context.answer(Err(Failure::Page(Problem::BadRequest(
            "the form can't be read",
        )))),
    }
}

async fn begin(context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let parameters = context.query();
    let checked = request::check(&parameters, context)?;
    let providers = &context.broker.providers;
    let only = providers.keys().next().filter(|_| providers.len() == 1);
    match checked.provider.as_ref().or(only) {
        Some(provider) => {
            let provider = provider.clone();
            depart::first(checked_departure(checked), &provider, context).await
        }
        None => Ok(pages::ok(&ChooserPage::new(&checked.request, context))),
    }
}

fn checked_departure(checked: Checked) -> depart::First {
    depart::First {
        request: checked.request,
        tenant: checked.tenant,
        login_hint: checked.login_hint,
        account_choice: checked.account_choice,
    }
}
