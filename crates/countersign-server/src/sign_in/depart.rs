//! Sending a person to a provider: for the first time, or once more for what was missing.

use actix_web::HttpResponse;
use countersign_core::sign_in::{
    ATTEMPT_LIFETIME, Attempt, Destination, Leg, Request, SteppingUp, Visit,
};
use countersign_core::{Ask, AttemptId, ProviderId, TenantId};
use countersign_providers::{
    AccountChoice, Departure, Memberships, Provider, ProviderError, Recheck,
};
use url::Url;

use super::attempt_cookie;
use crate::edge::RandomText;
use crate::error::{Failure, Problem, SignInFailure, Why, page_of_store};
use crate::organization;
use crate::pages::{self, StepUpPage};
use crate::web::{Context, see_other, with_cookies};

/// A first departure.
pub(crate) struct First {
    pub(crate) request: Request,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) login_hint: Option<String>,
    pub(crate) account_choice: AccountChoice,
}

/// Sends the person to the provider for the first time.
pub(crate) async fn first(
    first: First,
    provider: &ProviderId,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let request = first.request;
    let upstream = upstream(provider, context)?;
    let way = organization::way_to(request.organization.as_ref(), context).await;
    let (of_organization, mappings) = way.map_err(|error| page_of_store(&error, context))?;
    // Who chooses among accounts is led to those that the organisation's people have.
    let is_choice = first.account_choice == AccountChoice::Offered;
    let of_organization = of_organization.filter(|_| is_choice && upstream.takes_tenants());
    let tenant = first.tenant.or_else(|| upstream.tenant().cloned());
    let known = (tenant.or(of_organization), mappings.as_slice());
    let ask = Ask::first(context.policy(), provider, known, &request.asked());
    let id = new_attempt_id(context)?;
    let attempt = Attempt {
        visit: visit(&id, upstream, &ask, context),
        id,
        request,
        provider: provider.clone(),
        leg: Leg::First,
        expires_at: context.now + ATTEMPT_LIFETIME,
    };
    let hint = first.login_hint.as_deref();
    let url = departure(
        &attempt,
        upstream,
        &ask,
        (hint, first.account_choice),
        context,
    )
    .await?;
    let cookies = attempt_cookie::put(&attempt, context)?;
    with_cookies(see_other(url.as_str()), cookies)
}

/// Tells the person why they must go back to the provider, and gives them the way there.
pub(crate) async fn again(
    stepping_up: SteppingUp,
    id: &AttemptId,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let provider = stepping_up.provider().clone();
    let upstream = upstream(&provider, context)?;
    let ask = stepping_up.ask.clone();
    let login_hint = stepping_up.login_hint.clone();
    let reasons = stepping_up.reasons.clone();
    let due = stepping_up.due;
    let attempt = stepping_up.begin(visit(id, upstream, &ask, context));
    let person = (login_hint.as_deref(), AccountChoice::ProviderDecides);
    let url = departure(&attempt, upstream, &ask, person, context).await?;
    let cookies = attempt_cookie::put(&attempt, context)?;
    let metrics = &context.broker.metrics;
    metrics.sign_in_stepped_up(&provider, &reasons);
    let page = StepUpPage::new(&attempt, upstream, (&reasons, due), &url, context);
    with_cookies(pages::ok(&page), cookies)
}

async fn departure(
    attempt: &Attempt,
    upstream: &Provider,
    ask: &Ask,
    (login_hint, account_choice): (Option<&str>, AccountChoice),
    context: &Context<'_>,
) -> Result<Url, Failure> {
    let fail = |error: ProviderError| {
        SignInFailure::failure(
            attempt.request.clone(),
            attempt.provider.clone(),
            Why::Provider(error),
        )
    };
    let redirect_uri = callback_url(&attempt.provider, context).map_err(fail)?;
    let departure = Departure {
        ask,
        visit: &attempt.visit,
        redirect_uri: &redirect_uri,
        login_hint,
        account_choice,
        memberships: match attempt.request.destination {
            Destination::Connection(_) => Memberships::Asked,
            Destination::RedirectUri(_)
            | Destination::Device(_)
            | Destination::Page(_)
            | Destination::Link(_) => Memberships::AsConfigured,
        },
        recheck: if attempt.request.destination.is_sign_in() {
            Recheck::AsConfigured
        } else {
            Recheck::Never
        },
    };
    upstream
        .departure(&departure, context.now)
        .await
        .map_err(fail)
}

/// Our callback for this provider: each has its own, a second defence against mix-up (RFC 9700 4.4.2).
pub(crate) fn callback_url(
    provider: &ProviderId,
    context: &Context<'_>,
) -> Result<Url, ProviderError> {
    let url = context
        .broker
        .settings
        .endpoint(&format!("/callback/{provider}"));
    Url::parse(&url).map_err(|_| ProviderError::Misconfigured("our issuer is not an address"))
}

/// The configured provider of this name.
pub(crate) fn upstream<'a>(
    provider: &ProviderId,
    context: &Context<'a>,
) -> Result<&'a Provider, Failure> {
    context
        .broker
        .providers
        .get(provider)
        .ok_or(Failure::Page(Problem::UnknownProvider))
}

fn visit(id: &AttemptId, upstream: &Provider, ask: &Ask, context: &Context<'_>) -> Visit {
    let entropy = context.broker.entropy.as_ref();
    Visit {
        state: format!("{id}.{}", entropy.secret()),
        nonce: entropy.secret(),
        pkce_verifier: entropy.secret(),
        flow: upstream.flow(ask),
        tenant: ask.tenant.clone(),
    }
}

fn new_attempt_id(context: &Context<'_>) -> Result<AttemptId, Failure> {
    let id = AttemptId::new(context.broker.entropy.hex::<16>());
    id.map_err(|_| Failure::Page(Problem::Unavailable))
}
