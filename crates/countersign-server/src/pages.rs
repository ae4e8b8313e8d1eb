//! The pages that people see: rendered here, escaped by the templates, without any script.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use countersign_core::Reason;
use countersign_core::sign_in::{Attempt, Request};
use countersign_providers::{Provider, ProviderError};
use url::Url;

use crate::Broker;
use crate::error::{self, Problem, SignInFailure, Why};
use crate::sign_in::to_query;
use crate::web::Context;

/// Where the style sheet is. The version keeps browsers from showing an old one with a new page.
pub(crate) const STYLE_PATH: &str =
    concat!("/assets/", env!("CARGO_PKG_VERSION"), "/countersign.css");

/// The style sheet.
pub(crate) async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("cache-control", "public, max-age=86400"))
        .content_type("text/css; charset=utf-8")
        .body(include_str!("../assets/countersign.css"))
}

/// Where the icon is.
pub(crate) const ICON_PATH: &str = concat!("/assets/", env!("CARGO_PKG_VERSION"), "/icon.svg");

/// The icon.
pub(crate) async fn icon() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("cache-control", "public, max-age=86400"))
        .content_type("image/svg+xml")
        .body(include_str!("../assets/icon.svg"))
}

/// The page at the root: nobody has business here, but people look.
pub(crate) async fn home(_: HttpRequest, broker: web::Data<Broker>) -> HttpResponse {
    ok(&HomePage {
        host: host(&broker),
    })
}

/// Answers 200 with a page.
pub(crate) fn ok(page: &impl Template) -> HttpResponse {
    respond(StatusCode::OK, page)
}

/// Answers with a page.
pub(crate) fn respond(status: StatusCode, page: &impl Template) -> HttpResponse {
    match page.render() {
        Ok(body) => HttpResponse::build(status)
            .content_type("text/html; charset=utf-8")
            .body(body),
        Err(error) => {
            tracing::error!(code = "page-not-rendered", cause = %error, "a page could not be rendered");
            HttpResponse::InternalServerError().finish()
        }
    }
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    host: String,
}

/// Which provider to sign in with.
#[derive(Template)]
#[template(path = "chooser.html")]
pub(crate) struct ChooserPage {
    client: String,
    host: String,
    choices: Vec<Choice>,
}

struct Choice {
    title: String,
    /// What tells the two kinds of Microsoft accounts apart.
    kind: Option<&'static str>,
    href: String,
}

impl ChooserPage {
    pub(crate) fn new(request: &Request, context: &Context<'_>) -> Self {
        let broker = context.broker;
        // The person's own query, so that hints which only providers read are kept.
        let query = context.request.query_string();
        let choice = |provider: &Provider| Choice {
            title: provider.title().to_owned(),
            kind: kind_of_account(provider),
            href: format!("/authorize?{query}&provider={}", provider.name()),
        };
        let mut choices: Vec<Choice> = broker.providers.values().map(choice).collect();
        choices.sort_by(|one, two| one.title.cmp(&two.title));
        Self {
            client: client_name(request, context),
            host: host(broker),
            choices,
        }
    }
}

fn kind_of_account(provider: &Provider) -> Option<&'static str> {
    match provider {
        Provider::Microsoft(one) if one.is_personal() => Some("Personal account"),
        Provider::Microsoft(_) => Some("Work or school account"),
        Provider::GitHub(_) | Provider::Oidc(_) => None,
    }
}

/// Why the person must go back to the provider, once.
#[derive(Template)]
#[template(path = "step_up.html")]
pub(crate) struct StepUpPage {
    client: String,
    host: String,
    provider: String,
    reason: &'static str,
    code: &'static str,
    what_follows: &'static str,
    href: String,
    back: String,
    advice: Option<Advice>,
    request_id: String,
}

impl StepUpPage {
    pub(crate) fn new(
        attempt: &Attempt,
        provider: &Provider,
        reasons: &[Reason],
        href: &Url,
        context: &Context<'_>,
    ) -> Self {
        let reason = reasons.first().copied().unwrap_or(Reason::MfaUnknown);
        let lacks_mfa = is_mended_by_enrolling(reason);
        Self {
            client: client_name(&attempt.request, context),
            host: host(context.broker),
            provider: provider.title().to_owned(),
            reason: reason.sentence(),
            code: reason.code(),
            what_follows: if lacks_mfa {
                "It will ask for your second factor, or help you to set one up, and bring you back."
            } else {
                "It will ask you to sign in again, and bring you back."
            },
            href: href.to_string(),
            back: error::declined(&attempt.request, context),
            advice: lacks_mfa.then(|| Advice::of(provider)),
            request_id: context.request_id.clone(),
        }
    }
}

/// Why a sign-in ended, where to mend it, and the ways on.
#[derive(Template)]
#[template(path = "refusal.html")]
pub(crate) struct RefusalPage {
    client: String,
    host: String,
    title: &'static str,
    message: String,
    code: &'static str,
    advice: Option<Advice>,
    operator: Option<String>,
    best: Best,
    retry: String,
    others: Option<String>,
    back: String,
    request_id: String,
}

impl RefusalPage {
    pub(crate) fn new(failure: &SignInFailure, back: String, context: &Context<'_>) -> Self {
        let broker = context.broker;
        let query = to_query(&failure.request);
        let provider = broker.providers.get(&failure.provider);
        let provider_title = provider.map_or_else(
            || failure.provider.to_string(),
            |one| one.title().to_owned(),
        );
        let (title, message) = explain(&failure.why, &provider_title);
        let lacks_mfa = matches!(failure.why, Why::StepUpDeclined)
            || failure.why.reason().is_some_and(is_mended_by_enrolling);
        let advice = provider.filter(|_| lacks_mfa).map(Advice::of);
        Self {
            client: client_name(&failure.request, context),
            host: host(broker),
            title,
            message,
            code: failure.why.code(),
            best: Best::after(&failure.why, advice.as_ref()),
            advice,
            operator: provider.and_then(|provider| for_operator(&failure.why, provider)),
            retry: format!("/authorize?{query}&provider={}", failure.provider),
            others: (broker.providers.len() > 1).then(|| format!("/authorize?{query}")),
            back,
            request_id: context.request_id.clone(),
        }
    }
}

/// The way on that stands out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Best {
    Enrol,
    Retry,
    Back,
}

impl Best {
    fn after(why: &Why, advice: Option<&Advice>) -> Self {
        match why {
            _ if advice.is_some_and(|advice| advice.link.is_some()) => Self::Enrol,
            Why::AttemptSpent => Self::Back,
            Why::Refused(_)
            | Why::Provider(_)
            | Why::LegPassed
            | Why::StepUpDeclined
            | Why::Store(_) => Self::Retry,
        }
    }

    fn class(self, way: Self) -> &'static str {
        if self == way {
            "button primary"
        } else {
            "button"
        }
    }
}

/// What to do at a provider about missing multi-factor authentication.
struct Advice {
    text: &'static str,
    link: Option<Link>,
}

struct Link {
    text: String,
    href: String,
}

impl Advice {
    fn of(provider: &Provider) -> Self {
        let text = match provider {
            Provider::Microsoft(one) if one.is_personal() => {
                "Turn on two-step verification in your Microsoft account: an authenticator app, a passkey or a security key. No phone number is needed."
            }
            Provider::Microsoft(_) => {
                "Set up multi-factor authentication for your work or school account. If your organization does not offer it, ask its administrator."
            }
            Provider::GitHub(_) => {
                "Turn on two-factor authentication in your GitHub settings. If it is on already, approve this application again, so that it may read that setting."
            }
            Provider::Oidc(_) => {
                "Set up multi-factor authentication with your provider. If you can't, ask whoever runs it."
            }
        };
        let link = provider.enrolment_url().map(|url| Link {
            text: format!("Open the security settings of {}", provider.title()),
            href: url.to_string(),
        });
        Self { text, link }
    }
}

/// A problem before or outside a sign-in.
#[derive(Template)]
#[template(path = "error.html")]
pub(crate) struct ErrorPage {
    host: String,
    title: &'static str,
    message: &'static str,
    operator: Option<String>,
    code: &'static str,
    request_id: String,
}

impl ErrorPage {
    pub(crate) fn new(problem: Problem, context: &Context<'_>) -> Self {
        let (title, message) = tell(problem);
        Self {
            host: host(context.broker),
            title,
            message,
            operator: for_registry(problem),
            code: problem.code(),
            request_id: context.request_id.clone(),
        }
    }
}

fn tell(problem: Problem) -> (&'static str, &'static str) {
    match problem {
        Problem::UnknownClient => (
            "Unknown application",
            "The site that sent you here is not one that may sign people in. If you came from a package registry, tell its operators.",
        ),
        Problem::RedirectUri => (
            "Unknown return address",
            "The site that sent you here asked to bring you back to an address that is not registered for it, so we did not. If you came from a package registry, tell its operators.",
        ),
        Problem::BadRequest(_) => (
            "Request not understood",
            "What brought you here is not a request that can be answered. Go back to the registry that you came from, and start again.",
        ),
        Problem::NotFound => (
            "Page not found",
            "There is nothing at this address. Go back to the registry that you came from, and start there.",
        ),
        Problem::UnknownProvider => (
            "Unknown provider",
            "This sign-in provider is not configured here. Go back to the registry that you came from, and start again.",
        ),
        Problem::AttemptMissing => (
            "No sign-in under way",
            "This sign-in has ended already, or was started in another browser. Cookies must be allowed for it. Go back to the registry that you came from, and start again.",
        ),
        Problem::AttemptExpired => (
            "Sign-in timed out",
            "This sign-in was started more than an hour ago. Go back to the registry that you came from, and start again.",
        ),
        Problem::TooLarge => (
            "Request too large",
            "The registry’s request is larger than a sign-in may be. Tell its operators.",
        ),
        Problem::Unavailable => (
            "Not available",
            "The sign-in service can't work at the moment. Try again in a minute.",
        ),
    }
}

/// What the registry that sent the request may have to change.
fn for_registry(problem: Problem) -> Option<String> {
    match problem {
        Problem::UnknownClient => Some("The request’s “client_id” is not configured.".to_owned()),
        Problem::RedirectUri => {
            Some("The request’s “redirect_uri” must be a configured one, to the letter.".to_owned())
        }
        Problem::BadRequest(detail) => Some(format!("What is wrong: {detail}.")),
        Problem::TooLarge => Some("“state” and “scope” are to be shorter.".to_owned()),
        Problem::NotFound
        | Problem::UnknownProvider
        | Problem::AttemptMissing
        | Problem::AttemptExpired
        | Problem::Unavailable => None,
    }
}

/// A headline and a sentence for a sign-in that ended.
fn explain(why: &Why, provider: &str) -> (&'static str, String) {
    match why {
        Why::Refused(refusal) => (
            "You are not signed in",
            refusal.reason().sentence().to_owned(),
        ),
        Why::Provider(error) => provider_trouble(error, provider),
        Why::AttemptSpent => (
            "Already signed in",
            "This sign-in was finished before, maybe in another tab. Go back to the registry."
                .to_owned(),
        ),
        Why::StepUpDeclined => (
            "You are not signed in",
            format!(
                "{provider} was asked for multi-factor authentication, and the sign-in was cancelled there."
            ),
        ),
        Why::LegPassed => (
            "This step is over",
            format!(
                "You have gone on to {provider} since. Finish there, or try again from the start."
            ),
        ),
        Why::Store(_) => (
            "Not available",
            "The sign-in service can't finish sign-ins at the moment. Try again in a minute."
                .to_owned(),
        ),
    }
}

fn provider_trouble(error: &ProviderError, provider: &str) -> (&'static str, String) {
    match error {
        ProviderError::Cancelled => {
            ("Sign-in cancelled", format!("The sign-in was cancelled at {provider}."))
        }
        ProviderError::Refused(_) => {
            ("Sign-in refused", format!("{provider} did not let this sign-in go on."))
        }
        ProviderError::WrongTenant => (
            "Another organization's account",
            "You signed in with an account of another organization than was asked for. Choose the right account and try again.".to_owned(),
        ),
        ProviderError::RateLimited { .. } | ProviderError::Unavailable => {
            ("Provider busy", format!("{provider} can't answer at the moment. Try again in a minute."))
        }
        ProviderError::Timeout | ProviderError::Unreachable(_) => {
            ("Provider not reachable", format!("{provider} did not answer in time. Try again in a minute."))
        }
        ProviderError::Unmet => {
            ("You are not signed in", format!("{provider} could not show multi-factor authentication."))
        }
        ProviderError::Misconfigured(_) => (
            "Not set up",
            format!("{provider} and this sign-in service are not set up for each other, so you are not signed in. Tell the registry’s operators."),
        ),
        ProviderError::Forbidden(_)
        | ProviderError::Answer(_)
        | ProviderError::IdToken(_) => (
            "Answer not accepted",
            format!("The answer of {provider} did not pass verification, so you are not signed in. Try again; if it stays so, tell the registry’s operators."),
        ),
    }
}

/// Whether switching on multi-factor authentication helps.
fn is_mended_by_enrolling(reason: Reason) -> bool {
    match reason {
        Reason::MfaAbsent
        | Reason::MfaUnknown
        | Reason::MethodNeverCounts
        | Reason::PhishingResistantAbsent
        | Reason::AcrNotMet => true,
        Reason::EvidenceMalformed
        | Reason::EvidenceContradictory
        | Reason::TenantContextUnnamed
        | Reason::BasisNotAccepted
        | Reason::AuthTimeAbsent
        | Reason::AuthTooOld
        | Reason::EvidenceTooOld
        | Reason::ReauthenticationNotShown
        | Reason::IdentityChanged
        | Reason::NotInPolicy => false,
    }
}

/// What the operator may have to change at the provider.
fn for_operator(why: &Why, provider: &Provider) -> Option<String> {
    match (why, provider) {
        (Why::Provider(ProviderError::Misconfigured(what)), _) => {
            Some(format!("The registration at {}: {what}.", provider.title()))
        }
        (Why::Provider(ProviderError::Answer(_)), Provider::Microsoft(_)) => Some(SILENT.into()),
        (why, Provider::Microsoft(_)) if why.reason() == Some(Reason::MfaUnknown) => {
            Some(SILENT.into())
        }
        (_, Provider::Microsoft(_) | Provider::GitHub(_) | Provider::Oidc(_)) => None,
    }
}

/// Where no evidence came at all from Microsoft.
const SILENT: &str = "Microsoft sent no “acr”. In the app registration, under Authentication, “ID tokens (used for implicit and hybrid flows)” must be on, and this provider’s “flow” must be “hybrid”.";

fn client_name(request: &Request, context: &Context<'_>) -> String {
    let client = context.broker.settings.clients.get(&request.client);
    client.map_or_else(|| request.client.to_string(), |client| client.name.clone())
}

fn host(broker: &Broker) -> String {
    broker
        .settings
        .issuer
        .host_str()
        .unwrap_or_default()
        .to_owned()
}
