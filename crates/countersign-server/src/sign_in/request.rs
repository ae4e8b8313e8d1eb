//! What a client asks for at `/authorize`, checked.
//!
//! First the client and the redirect URI: while either is in doubt nothing is sent anywhere.
//! Then the rest, whose errors go back to the client (RFC 6749 4.1.2.1).

use std::collections::BTreeSet;

use countersign_core::sign_in::{Destination, Request};
use countersign_core::{
    AccountId, Acr, ClientId, Demands, OrganizationId, ProviderId, Scope, SessionId, TenantId,
    UserCode,
};
use countersign_providers::AccountChoice;
use countersign_verifier::danger_id_token_of_any_time;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use url::form_urlencoded;

use super::push;
use crate::error::{ClientError, Failure, OAuthError, Problem};
use crate::settings::{Client, GrantType, Profile};
use crate::web::{Context, Parameters};
use crate::{device, own};

/// The longest `state` that is given back, in bytes; it travels in a cookie of 2 KiB.
const LONGEST_STATE: usize = 512;
/// The longest `nonce`, in bytes.
const LONGEST_NONCE: usize = 255;
/// How far a provider's clock may be behind ours where `auth_time` must not lie before a moment.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(60);

/// A checked request, with what matters only until the person leaves for the provider.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) request: Request,
    pub(crate) provider: Option<ProviderId>,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) login_hint: Option<String>,
    pub(crate) account_choice: AccountChoice,
    pub(crate) interaction: Interaction,
}

/// Whether the person is to be met (`prompt`, Core 3.1.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interaction {
    /// `none`: no page may be shown, ours or a provider's.
    Forbidden,
    /// Where it is needed.
    AsNeeded,
    /// `login`, `select_account`: a session that is there does not answer.
    Demanded,
}

/// Checks a request.
pub(crate) fn check(parameters: &Parameters, context: &Context<'_>) -> Result<Checked, Failure> {
    let (client_id, client, redirect_uri) = check_client(parameters, context)?;
    let fail = Fail::Browser {
        redirect_uri,
        state: parameters.one("state"),
    };
    if parameters.has_twice("resource") {
        return Err(fail.with("invalid_target", "a token is for one `resource`"));
    }
    if parameters.is_repeated() {
        return Err(fail.with("invalid_request", "a parameter stands twice"));
    }
    check_client_may(parameters, client, &fail)?;
    check_shape(parameters, &fail)?;
    let prompt = Prompt::read(parameters, &fail)?;
    let request = Request {
        destination: Destination::RedirectUri(redirect_uri.to_owned()),
        scopes: scopes(parameters, context, &fail)?,
        organization: organization(parameters, &fail)?,
        manages: None,
        state: text(parameters, "state", LONGEST_STATE, &fail)?,
        nonce: text(parameters, "nonce", LONGEST_NONCE, &fail)?,
        code_challenge: code_challenge(parameters, client, &fail)?,
        subject: subject(parameters, &client_id, context, &fail)?,
        resource: resource(parameters, client, &fail)?,
        dpop_jkt: dpop_jkt(parameters, &fail)?,
        pushed: parameters.pushed().cloned(),
        demands: demands(parameters, &prompt, context.now, &fail)?,
        client: client_id,
    };
    Ok(Checked {
        provider: provider(parameters, &request.client, context, &fail)?,
        tenant: tenant(parameters, &fail)?,
        login_hint: text(parameters, "login_hint", 256, &fail)?,
        account_choice: prompt.account_choice,
        interaction: prompt.interaction,
        request,
    })
}

/// Checks what a device asks for (RFC 8628 3.1). What concerns a browser is no part of it.
pub(crate) fn check_of_device(
    parameters: &Parameters,
    client_id: ClientId,
    user_code: &UserCode,
    context: &Context<'_>,
) -> Result<Request, Failure> {
    let clients = &context.broker.settings.clients;
    let client = clients
        .get(&client_id)
        .filter(|client| client.may(GrantType::DeviceCode))
        .ok_or_else(OAuthError::unauthorized_client)?;
    let fail = Fail::Client;
    Ok(Request {
        destination: Destination::Device(user_code.clone()),
        scopes: scopes(parameters, context, &fail)?,
        organization: organization(parameters, &fail)?,
        manages: None,
        state: None,
        nonce: None,
        code_challenge: None,
        subject: None,
        resource: resource(parameters, client, &fail)?,
        dpop_jkt: None,
        pushed: None,
        demands: Demands {
            acr_values: acr_values(parameters),
            ..Demands::default()
        },
        client: client_id,
    })
}

/// The address that asks for the same again, with more parameters; for links on our own pages. What was pushed
/// stays hidden.
pub(crate) fn again(request: &Request, more: &[(&str, &str)], context: &Context<'_>) -> String {
    let (path, mut query) = match (&request.destination, &request.pushed) {
        // Whom to sign in with is asked there.
        (Destination::Device(user_code), _) => return device::address(user_code),
        (Destination::Page(path), _) if request.client.as_str() == ClientId::OWN => {
            ("/sign-in".to_owned(), own_query(request, path))
        }
        // A registry's, which has a way of its own to the provider.
        (Destination::Page(path), _) => (format!("{path}/sign-in"), String::new()),
        (Destination::Connection(connecting), _) => {
            return own::OwnPage::Organization(connecting.organization.clone()).path();
        }
        (Destination::Link(_), _) => return own::OwnPage::Account.path(),
        (Destination::RedirectUri(uri), None) => ("/authorize".to_owned(), query(request, uri)),
        (Destination::RedirectUri(uri), Some(pushed)) => {
            let query = query(request, uri);
            let carried = push::carried(&request.client, pushed, &query, context);
            ("/authorize".to_owned(), carried)
        }
    };
    if !more.is_empty() {
        let mut all = form_urlencoded::Serializer::new(query);
        query = all.extend_pairs(more).finish();
    }
    let separator = if query.is_empty() { "" } else { "?" };
    format!("{path}{separator}{query}")
}

fn own_query(request: &Request, path: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("to", path);
    let scope = request.scopes.iter().find(|one| one.as_str() != "openid");
    query.extend_pairs(scope.map(|scope| ("scope", scope.as_str())));
    query.finish()
}

fn query(request: &Request, redirect_uri: &str) -> String {
    let scopes: Vec<&str> = request.scopes.iter().map(Scope::as_str).collect();
    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("response_type", "code")
        .append_pair("client_id", request.client.as_str())
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("scope", &scopes.join(" "));
    let optional = [
        ("state", &request.state),
        ("nonce", &request.nonce),
        ("code_challenge", &request.code_challenge),
        ("resource", &request.resource),
        ("dpop_jkt", &request.dpop_jkt),
    ];
    for (name, value) in optional {
        query.extend_pairs(value.as_ref().map(|value| (name, value)));
    }
    if request.code_challenge.is_some() {
        query.append_pair("code_challenge_method", "S256");
    }
    if !request.demands.acr_values.is_empty() {
        let values: Vec<&str> = request
            .demands
            .acr_values
            .iter()
            .map(|acr| acr.as_str())
            .collect();
        query.append_pair("acr_values", &values.join(" "));
    }
    if let Some(max_age) = request.demands.max_age {
        query.append_pair("max_age", &max_age.as_secs().to_string());
    }
    if request.demands.authenticated_since.is_some() {
        query.append_pair("prompt", "login");
    }
    if let Some(organization) = &request.organization {
        query.append_pair("organization", organization.as_str());
    }
    query.finish()
}

/// RFC 6749 4.1.2.1, RFC 9700 4.1: on a wrong client or redirect URI the person is told, and sent nowhere.
fn check_client<'a>(
    parameters: &'a Parameters,
    context: &'a Context<'_>,
) -> Result<(ClientId, &'a Client, &'a str), Failure> {
    let settings = &context.broker.settings;
    let id = parameters
        .one("client_id")
        .and_then(|id| ClientId::new(id).ok());
    let known = id.and_then(|id| settings.clients.get(&id).map(|client| (id, client)));
    let (id, client) = known.ok_or(Failure::Page(Problem::UnknownClient))?;
    let redirect_uri = parameters
        .one("redirect_uri")
        .filter(|uri| client.allows_redirect(uri))
        .ok_or(Failure::Page(Problem::RedirectUri))?;
    Ok((id, client, redirect_uri))
}

/// Makes errors that go back to the client.
pub(super) enum Fail<'a> {
    /// By its redirect URI.
    Browser {
        redirect_uri: &'a str,
        state: Option<&'a str>,
    },
    /// It has asked itself.
    Client,
}

impl<'a> Fail<'a> {
    /// For what is found out later of a checked request.
    pub(super) fn of(request: &'a Request) -> Self {
        match &request.destination {
            Destination::RedirectUri(redirect_uri) => Self::Browser {
                redirect_uri,
                state: request.state.as_deref(),
            },
            Destination::Device(_)
            | Destination::Page(_)
            | Destination::Connection(_)
            | Destination::Link(_) => Self::Client,
        }
    }

    pub(super) fn with(&self, error: &'static str, description: &'static str) -> Failure {
        let (redirect_uri, state) = match *self {
            Self::Browser {
                redirect_uri,
                state,
            } => (redirect_uri, state),
            Self::Client => return OAuthError::bad(error, description),
        };
        // A `state` that is longer than any we give back is not given back.
        let state = state.filter(|state| state.len() <= LONGEST_STATE);
        Failure::Client(Box::new(ClientError {
            redirect_uri: redirect_uri.to_owned(),
            state: state.map(str::to_owned),
            error,
            description,
        }))
    }
}

/// What its configuration lets a client do here.
fn check_client_may(
    parameters: &Parameters,
    client: &Client,
    fail: &Fail<'_>,
) -> Result<(), Failure> {
    if !client.may(GrantType::AuthorizationCode) {
        return Err(fail.with("unauthorized_client", "nobody signs in to this client"));
    }
    // RFC 9126 6: what the browser brings itself is not taken.
    if client.must_push && parameters.pushed().is_none() {
        return Err(fail.with("invalid_request", "this client must push its requests"));
    }
    Ok(())
}

/// RFC 8707 2: an audience that the client may ask for.
fn resource(
    parameters: &Parameters,
    client: &Client,
    fail: &Fail<'_>,
) -> Result<Option<String>, Failure> {
    let asked = parameters.one("resource");
    match asked {
        Some(asked) if !client.audiences().any(|one| one == asked) => {
            Err(fail.with("invalid_target", "this client has no such `resource`"))
        }
        asked => Ok(asked.map(str::to_owned)),
    }
}

/// RFC 9449 10: a SHA-256 thumbprint.
fn dpop_jkt(parameters: &Parameters, fail: &Fail<'_>) -> Result<Option<String>, Failure> {
    match parameters.one("dpop_jkt") {
        Some(thumbprint) if !is_s256(thumbprint) => {
            Err(fail.with("invalid_request", "`dpop_jkt` is no SHA-256 in base64url"))
        }
        thumbprint => Ok(thumbprint.map(str::to_owned)),
    }
}

fn check_shape(parameters: &Parameters, fail: &Fail<'_>) -> Result<(), Failure> {
    match parameters.one("response_type") {
        Some("code") => {}
        Some(_) => return Err(fail.with("unsupported_response_type", "only `code` is served")),
        None => return Err(fail.with("invalid_request", "`response_type` is missing")),
    }
    if !matches!(parameters.one("response_mode"), None | Some("query")) {
        return Err(fail.with("invalid_request", "only `response_mode=query` is served"));
    }
    // Core 6.1: a request object that is not processed must be refused, not passed over.
    for (name, error) in [
        ("request", "request_not_supported"),
        ("request_uri", "request_uri_not_supported"),
        ("registration", "registration_not_supported"),
    ] {
        if parameters.one(name).is_some() {
            return Err(fail.with(error, "this parameter is not served"));
        }
    }
    Ok(())
}

fn text(
    parameters: &Parameters,
    name: &str,
    limit: usize,
    fail: &Fail<'_>,
) -> Result<Option<String>, Failure> {
    match parameters.one(name) {
        Some(value) if value.len() > limit => Err(fail.with(
            "invalid_request",
            "`state`, `nonce` or `login_hint` is too long",
        )),
        value => Ok(value.map(str::to_owned)),
    }
}

/// Every scope belongs to a tier of the policy, or is `openid`.
fn scopes(
    parameters: &Parameters,
    context: &Context<'_>,
    fail: &Fail<'_>,
) -> Result<BTreeSet<Scope>, Failure> {
    let asked = parameters
        .one("scope")
        .unwrap_or_default()
        .split_ascii_whitespace();
    let scopes: Option<BTreeSet<Scope>> = asked
        .map(|text| Scope::new(text).ok())
        .map(|scope| scope.filter(|scope| is_served(scope, context)))
        .collect();
    match scopes {
        Some(scopes) if scopes.is_empty() => Err(fail.with("invalid_scope", "`scope` is missing")),
        Some(scopes) if scopes.len() <= 64 => Ok(scopes),
        _ => Err(fail.with(
            "invalid_scope",
            "a scope is asked for that no tier of the policy lists",
        )),
    }
}

fn is_served(scope: &Scope, context: &Context<'_>) -> bool {
    scope.as_str() == "openid" || context.policy().tier_of(scope).is_some()
}

/// RFC 7636 4.4.1: S256 and nothing else; required of public clients, and by FAPI 2.0 5.3.2.2 (5).
fn code_challenge(
    parameters: &Parameters,
    client: &Client,
    fail: &Fail<'_>,
) -> Result<Option<String>, Failure> {
    let method = parameters.one("code_challenge_method");
    match (
        parameters.one("code_challenge"),
        method,
        &client.authentication,
    ) {
        (None, None, authentication)
            if !authentication.is_public() && client.profile == Profile::Plain =>
        {
            Ok(None)
        }
        (None, _, _) => Err(fail.with("invalid_request", "`code_challenge` is required")),
        // RFC 7636 4.3: without a method the challenge would be `plain`.
        (Some(challenge), Some("S256"), _) if is_s256(challenge) => Ok(Some(challenge.to_owned())),
        (Some(_), Some("S256"), _) => Err(fail.with(
            "invalid_request",
            "`code_challenge` is not a SHA-256 in base64url",
        )),
        (Some(_), _, _) => Err(fail.with(
            "invalid_request",
            "only `code_challenge_method=S256` is served",
        )),
    }
}

fn is_s256(challenge: &str) -> bool {
    challenge.len() == 43
        && challenge
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// `prompt` (Core 3.1.2.1).
struct Prompt {
    login: bool,
    account_choice: AccountChoice,
    interaction: Interaction,
}

impl Prompt {
    fn read(parameters: &Parameters, fail: &Fail<'_>) -> Result<Self, Failure> {
        let mut prompt = Self {
            login: false,
            account_choice: AccountChoice::ProviderDecides,
            interaction: Interaction::AsNeeded,
        };
        let values: Vec<&str> = parameters
            .one("prompt")
            .unwrap_or_default()
            .split(' ')
            .collect();
        for value in &values {
            match *value {
                "" | "consent" => {} // there is nothing to consent to: the registry asks, its policy decides
                "login" => {
                    prompt.login = true;
                    prompt.interaction = Interaction::Demanded;
                }
                "select_account" => {
                    prompt.account_choice = AccountChoice::Offered;
                    prompt.interaction = Interaction::Demanded;
                }
                "none" if values.len() == 1 => prompt.interaction = Interaction::Forbidden,
                _ => return Err(fail.with("invalid_request", "`prompt` can't be read")),
            }
        }
        Ok(prompt)
    }
}

/// Whom an ID token of ours names that a client hands back (`id_token_hint`, Core 3.1.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) account: AccountId,
    pub(crate) client: ClientId,
    pub(crate) session: SessionId,
}

impl Hint {
    /// Reads a hint. It may have expired; that we signed it, for this installation, is what counts.
    pub(crate) fn read(token: &str, context: &Context<'_>) -> Option<Self> {
        #[derive(Deserialize)]
        struct Claims {
            iss: String,
            sub: AccountId,
            aud: ClientId,
            sid: SessionId,
        }
        let broker = context.broker;
        let payload = danger_id_token_of_any_time(token, &broker.keys.verifying()).ok()?;
        let claims: Claims = serde_json::from_slice(&payload).ok()?;
        (claims.iss == broker.settings.issuer()).then_some(Self {
            account: claims.sub,
            client: claims.aud,
            session: claims.sid,
        })
    }
}

/// The account that the client means. Another client's ID token says nothing here.
fn subject(
    parameters: &Parameters,
    client: &ClientId,
    context: &Context<'_>,
    fail: &Fail<'_>,
) -> Result<Option<AccountId>, Failure> {
    let Some(token) = parameters.one("id_token_hint") else {
        return Ok(None);
    };
    match Hint::read(token, context).filter(|hint| hint.client == *client) {
        Some(hint) => Ok(Some(hint.account)),
        None => Err(fail.with(
            "invalid_request",
            "`id_token_hint` is not an ID token that we issued to this client",
        )),
    }
}

fn demands(
    parameters: &Parameters,
    prompt: &Prompt,
    now: Timestamp,
    fail: &Fail<'_>,
) -> Result<Demands, Failure> {
    Ok(Demands {
        acr_values: acr_values(parameters),
        max_age: max_age(parameters, fail)?,
        authenticated_since: prompt.login.then(|| now - CLOCK_TOLERANCE),
    })
}

/// Those that we know, in the order in which they are preferred (Core 3.1.2.1).
fn acr_values(parameters: &Parameters) -> Vec<Acr> {
    let values = parameters
        .one("acr_values")
        .unwrap_or_default()
        .split_ascii_whitespace();
    let mut acr_values: Vec<Acr> = Vec::new();
    for acr in values.filter_map(Acr::parse) {
        if !acr_values.contains(&acr) {
            acr_values.push(acr);
        }
    }
    acr_values
}

fn max_age(parameters: &Parameters, fail: &Fail<'_>) -> Result<Option<SignedDuration>, Failure> {
    let Some(text) = parameters.one("max_age") else {
        return Ok(None);
    };
    match text.parse::<u32>() {
        Ok(seconds) => Ok(Some(SignedDuration::from_secs(seconds.into()))),
        Err(_) => Err(fail.with("invalid_request", "`max_age` is not a number of seconds")),
    }
}

/// Our `provider` hint: the name of a provider that people sign in to this client with.
fn provider(
    parameters: &Parameters,
    client: &ClientId,
    context: &Context<'_>,
    fail: &Fail<'_>,
) -> Result<Option<ProviderId>, Failure> {
    let Some(text) = parameters.one("provider") else {
        return Ok(None);
    };
    let known = ProviderId::new(text)
        .ok()
        .filter(|id| context.providers_of(client).any(|one| one.name() == id));
    match known {
        Some(id) => Ok(Some(id)),
        None => Err(fail.with(
            "invalid_request",
            "`provider` is not one that is configured and that this client admits",
        )),
    }
}

/// Our `organization`: the organisation that the person is to act for.
fn organization(
    parameters: &Parameters,
    fail: &Fail<'_>,
) -> Result<Option<OrganizationId>, Failure> {
    let Some(text) = parameters.one("organization") else {
        return Ok(None);
    };
    match OrganizationId::new(text) {
        Ok(organization) => Ok(Some(organization)),
        Err(_) => Err(fail.with(
            "invalid_request",
            "`organization` is not the name of an organization",
        )),
    }
}

/// Our `tenant` hint: the Entra tenant that the person is to sign in to.
fn tenant(parameters: &Parameters, fail: &Fail<'_>) -> Result<Option<TenantId>, Failure> {
    let Some(text) = parameters.one("tenant") else {
        return Ok(None);
    };
    match TenantId::new(text) {
        Ok(tenant) => Ok(Some(tenant)),
        Err(_) => Err(fail.with("invalid_request", "`tenant` is not a tenant id")),
    }
}
