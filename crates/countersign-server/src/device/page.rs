//! `/device`: where a person types the code of a device, sees what it is, and says yes or no.
//!
//! The yes is a link that leads to the provider, since browsers hold a form to `form-action` on every redirect that
//! follows. It is good in the browser that was shown it, and in no other: a cookie that no other site's request
//! carries is part of what it is sealed for. So nobody is led past the page.

use actix_web::cookie::{Cookie, SameSite};
use actix_web::{HttpResponse, web};
use countersign_core::sign_in::{Destination, Request};
use countersign_core::{Demands, ProviderId, UserCode};
use countersign_providers::{AccountChoice, Provider};
use countersign_store::{Code, DeviceRequest};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::waiting::{Found, denied, find, waiting};
use crate::edge::RandomText;
use crate::error::{Failure, Problem};
use crate::form::{self, Form};
use crate::pages::{self, DeviceCodePage, DevicePage};
use crate::sign_in::depart;
use crate::web::{Call, Context, Parameters, cookie, with_cookies};

/// The prefix binds the cookie to this very host, to `/` and to a secure origin
/// (draft-ietf-httpbis-rfc6265bis 4.1.3.2).
const COOKIE: &str = "__Host-countersign-device";

/// Which device a link or a form is about.
#[derive(Serialize, Deserialize)]
struct About {
    user_code: UserCode,
}

/// GET: the page.
pub(crate) async fn show(call: Call) -> HttpResponse {
    call.answer(page).await
}

/// GET: the yes, with the provider.
pub(crate) async fn go_on(call: Call) -> HttpResponse {
    call.answer(sign_in).await
}

/// POST: the no.
pub(crate) async fn deny(call: Call, form: web::Bytes) -> HttpResponse {
    call.answer(async |context| refuse(&form, context).await)
        .await
}

async fn page(context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let parameters = context.query();
    let Some(typed) = parameters.one("user_code") else {
        return Ok(pages::ok(&DeviceCodePage::empty(context)));
    };
    let Ok(user_code) = UserCode::read(typed) else {
        return Ok(DeviceCodePage::not_a_code(context));
    };
    let limits = &context.broker.limits;
    let may_guess = limits.may_guess(context.request, context.now);
    may_guess.map_err(|too_many| Failure::Page(Problem::TooMany(too_many)))?;
    match find(&user_code, context).await? {
        Found::Waiting(request) => ask(&request, user_code, context),
        Found::Ended => Ok(DeviceCodePage::unknown(context)),
        Found::Unknown => {
            limits.guessed(context.request, context.now).await;
            Ok(DeviceCodePage::unknown(context))
        }
    }
}

/// Shows the device, and the ways on.
fn ask(
    request: &DeviceRequest,
    user_code: UserCode,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let known = holder(context).map(str::to_owned);
    let holder = known
        .clone()
        .unwrap_or_else(|| context.broker.entropy.secret());
    let about = About { user_code };
    let yes = form::seal(Form::AllowDevice, &about, &holder, context)?;
    let no = form::seal(Form::DenyDevice, &about, &holder, context)?;
    let way_to = |provider: &ProviderId| {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("provider", provider.as_str())
            .append_pair(form::FIELD, &yes)
            .finish();
        format!("/device/continue?{query}")
    };
    let page = DevicePage::new((&about.user_code, request), way_to, no, context);
    let cookie = known.is_none().then(|| holder_cookie(holder));
    with_cookies(pages::ok(&page), cookie)
}

async fn sign_in(context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let parameters = context.query();
    let about = opened(Form::AllowDevice, &parameters, context)?;
    let waiting = waiting(&about.user_code, context).await?;
    let chosen = parameters.one("provider").unwrap_or_default();
    let provider = context
        .providers_of(&waiting.code.client)
        .map(Provider::name)
        .find(|name| name.as_str() == chosen)
        .ok_or(Failure::Page(Problem::UnknownProvider))?;
    let first = depart::First {
        request: request_of(waiting.code, about.user_code),
        tenant: None,
        login_hint: None,
        account_choice: AccountChoice::ProviderDecides,
    };
    depart::first(first, provider, context).await
}

async fn refuse(form: &[u8], context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let about = opened(Form::DenyDevice, &Parameters::read(form), context)?;
    let waiting = waiting(&about.user_code, context).await?;
    denied((&about.user_code, &waiting.code.client), context).await
}

fn opened(which: Form, parameters: &Parameters, context: &Context<'_>) -> Result<About, Failure> {
    let holder = holder(context).ok_or(Failure::Page(Problem::FormExpired))?;
    form::open(which, parameters, holder, context)
}

/// What the device asked for, as a request that a person signs in for.
fn request_of(code: Code, user_code: UserCode) -> Request {
    Request {
        client: code.client,
        destination: Destination::Device(user_code),
        scopes: code.scopes.into_iter().collect(),
        organization: code.organization,
        manages: None,
        state: None,
        nonce: None,
        code_challenge: None,
        subject: None,
        resource: code.resource,
        dpop_jkt: None,
        pushed: None,
        demands: Demands {
            acr_values: code.acr_values,
            ..Demands::default()
        },
    }
}

/// What this browser is known by here: nothing but itself.
fn holder<'a>(context: &'a Context<'_>) -> Option<&'a str> {
    context.only_cookie(COOKIE)
}

fn holder_cookie(holder: String) -> Cookie<'static> {
    let mut cookie = cookie(COOKIE.to_owned(), holder, None);
    cookie.set_same_site(SameSite::Strict);
    cookie
}
