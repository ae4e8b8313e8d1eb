//! The pages that people see: rendered here, escaped by the templates, without any script.

mod account;
mod advice;
mod api_keys;
mod day;
mod device;
mod operator;
mod organizations;
mod registry;
mod sessions;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use countersign_core::calendar::Due;
use countersign_core::sign_in::{Attempt, Request};
use countersign_core::{ClientId, ProviderId, Reason};
use countersign_providers::{Provider, ProviderError};
use jiff::civil::Date;
use url::Url;

pub(crate) use account::{AccountPage, ClaimPage, ErasePage, IdentityRow, LinkWay};
use advice::{Advice, for_operator};
pub(crate) use api_keys::{
    ApiKeyMadePage, ApiKeyRow, ApiKeysPage, FilledKey, RevokeKeyPage, WrongKey,
};
use day::{Day, since};
pub(crate) use device::{DeviceCodePage, DeviceDonePage, DevicePage};
pub(crate) use operator::{
    AccountButtons, AuditLogPage, ConfirmPage, ConnectionPart, OperatorAccountPage,
    OperatorAccountsPage, OperatorGatePage, OperatorOrganizationPage, OperatorOrganizationsPage,
    OperatorPage, Shown,
};
pub(crate) use organizations::{
    ClaimRow, ConnectPage, ConnectWay, DisconnectPage, ExceptionRow, ExceptionsPart, Filled,
    LeavePage, Offered, OrganizationPage, OrganizationsPage, RecordPart,
};
pub(crate) use registry::{RegistryCodePage, RegistryLoginPage};
pub(crate) use sessions::{SessionRow, SessionsPage, SignOutPage, SignedOutPage};

use crate::Broker;
use crate::error::{self, Problem, SignInFailure, Why};
use crate::organization::NotProven;
use crate::sign_in::again;
use crate::ticket::NotClaimed;
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
        let href = |provider: &ProviderId| {
            if request.pushed.is_some() || request.redirect_uri().is_none() {
                // The client's address ends too soon for a person who thinks about it; our own pages have another.
                return again(request, &[("provider", provider.as_str())], context);
            }
            // The person's own query, so that hints which only providers read are kept.
            let query = context.request.query_string();
            format!("/authorize?{query}&provider={provider}")
        };
        Self {
            client: client_name(request, context),
            host: host(broker),
            choices: Choice::all(&request.client, href, context),
        }
    }
}

impl Choice {
    /// All providers that people sign in to this client with, by their titles.
    fn all(
        client: &ClientId,
        href: impl Fn(&ProviderId) -> String,
        context: &Context<'_>,
    ) -> Vec<Self> {
        let providers = context.providers_of(client);
        let choice = |provider: &Provider| Self {
            title: provider.title().to_owned(),
            kind: kind_of_account(provider),
            href: href(provider.name()),
        };
        let mut choices: Vec<Self> = providers.map(choice).collect();
        choices.sort_by(|one, two| one.title.cmp(&two.title));
        choices
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
    since: Option<String>,
    what_follows: &'static str,
    href: String,
    back: Option<String>,
    advice: Option<Advice>,
    request_id: String,
}

impl StepUpPage {
    pub(crate) fn new(
        attempt: &Attempt,
        provider: &Provider,
        (reasons, due): (&[Reason], Option<Due>),
        href: &Url,
        context: &Context<'_>,
    ) -> Self {
        let reason = reasons.first().copied().unwrap_or(Reason::MfaUnknown);
        let lacks_mfa = advice::is_mended_by_enrolling(reason);
        let client = client_name(&attempt.request, context);
        Self {
            since: due.and_then(|due| since(due, &client, context.now)),
            client,
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
            advice: lacks_mfa.then(|| Advice::of_mfa(provider)),
            request_id: context.request_id.clone(),
        }
    }
}

/// The code of the reminder, on its page and in the log.
pub(crate) const REMINDED: &str = "reminded";

/// From which day a person who is let in needs a second factor, before they go on.
#[derive(Template)]
#[template(path = "reminder.html")]
pub(crate) struct ReminderPage {
    client: String,
    host: String,
    provider: String,
    due: Day,
    advice: Advice,
    href: String,
    code: &'static str,
    request_id: String,
}

impl ReminderPage {
    pub(crate) fn new(
        attempt: &Attempt,
        provider: &Provider,
        due: Date,
        href: String,
        context: &Context<'_>,
    ) -> Self {
        Self {
            client: client_name(&attempt.request, context),
            host: host(context.broker),
            provider: provider.title().to_owned(),
            due: Day(due),
            advice: Advice::of_mfa(provider),
            href,
            code: REMINDED,
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
    since: Option<String>,
    code: &'static str,
    advice: Option<Advice>,
    operator: Option<String>,
    best: Best,
    retry: String,
    others: Option<String>,
    back: Option<String>,
    request_id: String,
}

impl RefusalPage {
    pub(crate) fn new(
        failure: &SignInFailure,
        back: Option<String>,
        context: &Context<'_>,
    ) -> Self {
        let broker = context.broker;
        let provider = broker.providers.get(&failure.provider);
        let provider_title = provider.map_or_else(
            || failure.provider.to_string(),
            |one| one.title().to_owned(),
        );
        let client = client_name(&failure.request, context);
        let (title, message) = explain(failure, &provider_title);
        let advice = provider.and_then(|provider| Advice::after(failure, provider, context));
        let others = others(failure, context);
        Self {
            host: host(broker),
            title,
            message,
            since: failure
                .why
                .due()
                .and_then(|due| since(due, &client, context.now)),
            client,
            code: failure.why.code(),
            best: Best::after(&failure.why, advice.as_ref(), others.is_some()),
            advice,
            operator: provider.and_then(|provider| for_operator(failure, provider)),
            retry: retry(failure, context),
            others,
            back,
            request_id: context.request_id.clone(),
        }
    }
}

/// The way back to the same provider. Where another account is needed, it offers the choice.
fn retry(failure: &SignInFailure, context: &Context<'_>) -> String {
    let request = &failure.request;
    let mut more = Vec::new();
    if context.policy().admits(&request.client, &failure.provider) {
        more.push(("provider", failure.provider.as_str()));
    }
    let needs_another = matches!(
        failure.why.reason(),
        Some(Reason::OrganizationNotShown | Reason::IdentityChanged)
    );
    // A request for `prompt=login` has its own `prompt`, and none may stand twice.
    if needs_another && request.demands.authenticated_since.is_none() {
        more.push(("prompt", "select_account"));
    }
    again(request, &more, context)
}

/// The way to the other providers, if there are any. Whoever signs in for a device is asked for one anyway.
fn others(failure: &SignInFailure, context: &Context<'_>) -> Option<String> {
    let request = &failure.request;
    let others = context
        .providers_of(&request.client)
        .filter(|one| *one.name() != failure.provider);
    let is_way = request.redirect_uri().is_some() && others.count() > 0;
    is_way.then(|| again(request, &[], context))
}

/// The way on that stands out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Best {
    Mend,
    Retry,
    Others,
    Back,
}

impl Best {
    fn after(why: &Why, advice: Option<&Advice>, has_others: bool) -> Self {
        match why {
            _ if advice.is_some_and(|advice| advice.link.is_some()) => Self::Mend,
            _ if has_others && advice.is_some_and(|advice| advice.others) => Self::Others,
            Why::AttemptSpent => Self::Back,
            Why::Refused(_)
            | Why::Provider(_)
            | Why::LegPassed
            | Why::StepUpDeclined
            | Why::OtherAccount
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
        Problem::RequestUri => (
            "Too late for this address",
            "The address that brought you here is good for a minute or two, and for one sign-in. Go back to the registry that you came from, and start again.",
        ),
        Problem::BadRequest(_) => (
            "Request not understood",
            "What brought you here is not a request that can be answered. Go back to the registry that you came from, and start again.",
        ),
        Problem::NotDone(why) => ("Nothing was changed", why),
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
        Problem::PostLogoutRedirectUri => (
            "Unknown return address",
            "The site that sent you here to sign out asked to bring you back to an address that is not registered for it. You are still signed in; the page “/session” here lets you sign out. Tell the registry’s operators.",
        ),
        Problem::FormExpired => (
            "Page out of date",
            "The page that you pressed a button on was open for too long, or you have signed in anew since. Go back, load it again, and try once more.",
        ),
        Problem::SignedOut => (
            "You are not signed in",
            "Your session has ended already. Sign in at a registry to begin a new one.",
        ),
        Problem::DeviceCodeEnded => (
            "This code has ended",
            "The code of your device has been used already, or its time is over, so nobody was signed in. Ask your device for a new one.",
        ),
        Problem::PagesOff => (
            "No pages here",
            "This registry has no pages here for organizations. Ask its operators.",
        ),
        Problem::LastAdmin => (
            "Nobody would be left",
            "None of the organization’s admins would act for it any more, so nothing was changed. Connect what they sign in through first, or ask the registry’s operators.",
        ),
        Problem::NotProven(why) => not_proven(why),
        Problem::IdentityTaken => (
            "This sign-in has an account already",
            "The account at the provider that you signed in with leads to another account here. Accounts are never merged: remove it there first, or ask the registry’s operators.",
        ),
        Problem::IdentityNotShown => (
            "Not added",
            "This sign-in did not show the multi-factor authentication that adding it to an account needs. Set it up at the provider, and begin again.",
        ),
        Problem::LastIdentity => (
            "The only way in",
            "This is the only account at a provider that leads to yours. Add another one before you remove it.",
        ),
        Problem::NotClaimed(why) => not_claimed(why),
        Problem::TooMany(_) => (
            "Too many requests",
            "There were more requests from where you are, or for your account, than there should be. Wait a minute, and try again.",
        ),
        Problem::Unavailable => (
            "Not available",
            "The sign-in service can't work at the moment. Try again in a minute.",
        ),
    }
}

/// Why an account of the registry's is not somebody's.
fn not_claimed(why: NotClaimed) -> (&'static str, &'static str) {
    match why {
        NotClaimed::TicketRefused => (
            "Not accepted",
            "What the registry sent you with is not good here, so nothing has changed. Go back to it and begin again; if it stays so, tell its operators.",
        ),
        NotClaimed::TicketUsed => (
            "Used before",
            "This was used before, and works once only. If that was not you, tell the registry’s operators now. Else go back to the registry and begin again.",
        ),
        NotClaimed::TicketMissing => (
            "Begin at the registry",
            "To make an account of the registry’s yours, sign in there as before; it sends you here. If you came from there, that was more than an hour ago, or in another browser.",
        ),
        NotClaimed::Taken => (
            "Somebody’s already",
            "This account of the registry’s belongs to somebody who signs in here, and is never taken from them. If that is you, sign in as you did then; if not, tell the registry’s operators.",
        ),
        NotClaimed::HasAnother => (
            "You have one already",
            "Another account of the registry’s is yours, and nobody has two. Use another account at a provider for this one, or ask the registry’s operators to merge them there.",
        ),
        NotClaimed::Retired => (
            "A team’s account",
            "This account was a team’s and has become an organization, so it is nobody’s. Ask one of the organization’s admins to add you.",
        ),
        NotClaimed::OrganizationTaken => (
            "The name is taken",
            "There is an organization of this name already, and it is not this team’s to join. Tell the registry’s operators.",
        ),
    }
}

fn not_claimed_for_operator(why: NotClaimed) -> Option<&'static str> {
    match why {
        NotClaimed::TicketRefused => Some(
            "The log says, under this request, what is wrong with the ticket; “Old accounts” of docs/accounts.md, what it must be.",
        ),
        NotClaimed::OrganizationTaken => Some(
            "By a ticket nobody joins an organization that another client, a file or an operator has told of.",
        ),
        NotClaimed::TicketUsed
        | NotClaimed::TicketMissing
        | NotClaimed::Taken
        | NotClaimed::HasAnother
        | NotClaimed::Retired => None,
    }
}

/// Why somebody did not show that they speak for others.
fn not_proven(why: NotProven) -> (&'static str, &'static str) {
    let title = "Not connected";
    let message = match why {
        NotProven::RolesUnreadable => {
            "Microsoft did not say which directory roles you have, so it is not shown that you administer the tenant. Tell the registry’s operators."
        }
        NotProven::NoAdmin => {
            "The account that you signed in with has none of the directory roles that may connect a tenant. Sign in with one that has, such as a Global Administrator’s."
        }
        NotProven::Guest => {
            "You are a guest of this tenant. One of its own members must connect it."
        }
        NotProven::OtherTenant => {
            "You signed in to another tenant than the one that you named. Look at its id, and begin again."
        }
        NotProven::MembershipsUnreadable => {
            "GitHub did not let us see which organizations you are in. Begin again, and allow it; if your organization restricts third-party applications, an owner approves this one in its settings first."
        }
        NotProven::NoOwner => {
            "We could read no organization of yours that you own. If you own one, it may be hidden from this application: approve it in the organization’s settings under “Third-party access”, and begin again."
        }
        NotProven::WrongProvider => "An organization can’t be connected with this kind of account.",
        NotProven::NotLet => {
            "This sign-in did not show the multi-factor authentication that connecting an organization needs, of everybody and from today on. Sign in with another account, or another provider."
        }
    };
    (title, message)
}

fn not_proven_for_operator(why: NotProven) -> Option<&'static str> {
    match why {
        NotProven::RolesUnreadable => Some(
            "The app registration must put “wids” into ID tokens: in its manifest, “groupMembershipClaims” is to be “DirectoryRole” (or Token configuration, Add groups claim, Directory roles).",
        ),
        NotProven::NoAdmin => Some("Which roles may is “mapping.entra_roles” of the policy."),
        NotProven::Guest
        | NotProven::OtherTenant
        | NotProven::MembershipsUnreadable
        | NotProven::NoOwner
        | NotProven::WrongProvider
        | NotProven::NotLet => None,
    }
}

/// What the registry that sent the request may have to change.
fn for_registry(problem: Problem) -> Option<String> {
    match problem {
        Problem::UnknownClient => Some("The request’s “client_id” is not configured.".to_owned()),
        Problem::RedirectUri => {
            Some("The request’s “redirect_uri” must be a configured one, to the letter.".to_owned())
        }
        Problem::PostLogoutRedirectUri => Some(
            "The request’s “post_logout_redirect_uri” must be one of the client’s “post_logout_redirect_uris”, to the letter, and “id_token_hint” or “client_id” must say which client it is.".to_owned(),
        ),
        Problem::BadRequest(detail) => Some(format!("What is wrong: {detail}.")),
        Problem::TooLarge => Some("“state” and “scope” are to be shorter.".to_owned()),
        Problem::NotFound
        | Problem::NotDone(_)
        | Problem::RequestUri
        | Problem::UnknownProvider
        | Problem::AttemptMissing
        | Problem::AttemptExpired
        | Problem::FormExpired
        | Problem::SignedOut
        | Problem::DeviceCodeEnded
        | Problem::LastAdmin
        | Problem::IdentityTaken
        | Problem::IdentityNotShown
        | Problem::LastIdentity
        | Problem::TooMany(_)
        | Problem::Unavailable => None,
        Problem::PagesOff => Some("The policy names no “client.countersign”.".to_owned()),
        Problem::NotProven(why) => not_proven_for_operator(why).map(str::to_owned),
        Problem::NotClaimed(why) => not_claimed_for_operator(why).map(str::to_owned),
    }
}

/// A headline and a sentence for a sign-in that ended.
fn explain(failure: &SignInFailure, provider: &str) -> (&'static str, String) {
    match &failure.why {
        Why::Refused(refusal) => (
            "You are not signed in",
            refused(refusal.reason(), &failure.request),
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
        Why::OtherAccount => (
            "Another account",
            "You signed in with another account than the registry asked for.".to_owned(),
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

fn refused(reason: Reason, request: &Request) -> String {
    match (reason, &request.organization) {
        (Reason::OrganizationNotShown, Some(organization)) => format!(
            "You are to act for the organization “{organization}”, and did not sign in with an account of its own."
        ),
        (reason, _) => reason.sentence().to_owned(),
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

fn client_name(request: &Request, context: &Context<'_>) -> String {
    sessions::client_name(&request.client, context)
}

fn host(broker: &Broker) -> String {
    broker
        .settings
        .issuer
        .host_str()
        .unwrap_or_default()
        .to_owned()
}
