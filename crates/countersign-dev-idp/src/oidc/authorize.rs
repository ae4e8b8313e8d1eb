//! The plain provider's authorization endpoint: who signs in, and how strongly.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::claims::SignIn;
use super::{Account, Answer, Behaviour, Evidence, Honour, Oidc, PromptLogin, SecondFactor, Unmet};
use crate::clients::Client;
use crate::control::IssParameter;
use crate::faults::Document;
use crate::oauth::{self, Params, ResponseMode, pair, param};
use crate::page::{self, Choice};

const PROVIDER: &str = "Example identity provider";

/// GET and POST, OpenID Connect Core 3.1.2.1.
pub(super) async fn authorize(
    request: HttpRequest,
    body: String,
    oidc: Data<Oidc>,
) -> HttpResponse {
    let params = oauth::params(&request, &body);
    oidc.site
        .control
        .record_authorize(oauth::received(&request, &params));
    // Without a client and its redirect URI there is nobody to redirect to.
    let Some((client, redirect_uri)) = known_client(&oidc, &params) else {
        return page::message(
            StatusCode::BAD_REQUEST,
            PROVIDER,
            "The request is not valid",
            "The application or its redirect address is not registered here.",
        );
    };
    let reply = Reply {
        oidc: &oidc,
        params: &params,
        redirect_uri,
    };
    if let Some(refusal) = refusal(&params) {
        return reply.error(refusal, "The request is not valid.");
    }
    sign_in(&reply, &client)
}

fn known_client<'a>(oidc: &Oidc, params: &'a Params) -> Option<(Client, &'a str)> {
    let client = oidc.site.client(param(params, "client_id")?)?;
    let redirect_uri = param(params, "redirect_uri")?;
    client
        .may_redirect_to(redirect_uri)
        .then_some((client, redirect_uri))
}

/// The OAuth error of a request that can't be served at all.
fn refusal(params: &Params) -> Option<&'static str> {
    let challenge = param(params, "code_challenge");
    let method = param(params, "code_challenge_method");
    if param(params, "response_type") != Some("code") {
        Some("unsupported_response_type")
    } else if !oauth::scopes(params).contains("openid") {
        Some("invalid_scope")
    } else if ResponseMode::of(params, ResponseMode::Query).is_none()
        || (challenge.is_some() && method != Some("S256"))
    {
        Some("invalid_request")
    } else {
        None
    }
}

fn sign_in(reply: &Reply<'_>, client: &Client) -> HttpResponse {
    let behaviour = &reply.oidc.site.behaviour().oidc;
    let Some(id) = param(reply.params, "account") else {
        if param(reply.params, "prompt") == Some("none") {
            return reply.error("login_required", "Nobody is signed in.");
        }
        return chooser(behaviour, reply.params);
    };
    let Some(picked) = account(behaviour, id) else {
        return page::message(
            StatusCode::BAD_REQUEST,
            PROVIDER,
            "No such account",
            "There is no account of this name here.",
        );
    };
    let demand = Demand::of(reply.params, behaviour);
    let stand_in = picked.switches_to.as_deref().filter(|_| demand.is_made());
    let account = stand_in
        .and_then(|id| account(behaviour, id))
        .unwrap_or(picked);
    match account.answer {
        Answer::SignsIn => prove(reply, client, account, &demand),
        Answer::Refuses => reply.error("access_denied", "The person said no."),
        Answer::Fails => reply.error(
            "temporarily_unavailable",
            "<script>alert(1)</script> out of order & <b>sorry</b>",
        ),
    }
}

fn account<'a>(behaviour: &'a Behaviour, id: &str) -> Option<&'a Account> {
    behaviour.accounts.iter().find(|account| account.id == id)
}

/// What the request demands of the sign-in.
#[derive(Debug)]
struct Demand {
    /// The `acr` values of which one is to be met; empty for no demand.
    acr: Vec<String>,
    second_factor: bool,
}

impl Demand {
    fn of(params: &Params, behaviour: &Behaviour) -> Self {
        let acr = acceptable_acr(params, behaviour);
        let by_acr = !acr.is_empty() && acr.iter().all(|value| behaviour.mfa_acr.contains(value));
        let by_prompt = behaviour.prompt_login == PromptLogin::SignsInAgainWithSecondFactor
            && oauth::words(params, "prompt")
                .iter()
                .any(|word| word == "login");
        Self {
            acr,
            second_factor: by_acr || by_prompt,
        }
    }

    fn is_made(&self) -> bool {
        self.second_factor
    }

    fn is_met_by(&self, evidence: &Evidence) -> bool {
        match &evidence.acr {
            Some(acr) => self.acr.is_empty() || self.acr.contains(acr),
            None => self.acr.is_empty(),
        }
    }
}

/// The `claims` parameter goes before `acr_values`; both together are unspecified (OIDC Core 5.5.1.1).
fn acceptable_acr(params: &Params, behaviour: &Behaviour) -> Vec<String> {
    if behaviour.acr_requests == Honour::Ignored {
        return Vec::new();
    }
    match oauth::requested_claim(params, "acr") {
        Some(request) if request.essential => request.values,
        _ => oauth::words(params, "acr_values"),
    }
}

fn prove(reply: &Reply<'_>, client: &Client, account: &Account, demand: &Demand) -> HttpResponse {
    let has_it = match account.second_factor {
        SecondFactor::Always => true,
        SecondFactor::WhenDemanded => demand.is_made(),
        SecondFactor::EnrolsWhenDemanded if !demand.is_made() => {
            reply.oidc.site.control.is_enrolled(&account.id)
        }
        SecondFactor::EnrolsWhenDemanded => match enrolled(reply, account) {
            Ok(has_it) => has_it,
            Err(question) => return *question,
        },
        SecondFactor::Lacking | SecondFactor::IgnoresDemands => false,
    };
    let evidence = if has_it {
        &account.mfa
    } else {
        &account.single
    };
    let behaviour = &reply.oidc.site.behaviour().oidc;
    if behaviour.unmet == Unmet::Refuses
        && account.second_factor != SecondFactor::IgnoresDemands
        && !demand.is_met_by(evidence)
    {
        return reply.error(
            "unmet_authentication_requirements",
            "The authentication that was asked for is not possible.",
        );
    }
    reply.success(client, account, evidence)
}

/// Whether the account has a second factor after being asked to set one up; or the page that asks.
fn enrolled(reply: &Reply<'_>, account: &Account) -> Result<bool, Box<HttpResponse>> {
    let control = &reply.oidc.site.control;
    if control.is_enrolled(&account.id) {
        return Ok(true);
    }
    match param(reply.params, "enrol") {
        Some("yes") => {
            control.enrol(&account.id);
            Ok(true)
        }
        Some(_) => Ok(false),
        None if param(reply.params, "prompt") == Some("none") => Err(Box::new(
            reply.error("interaction_required", "A second factor has to be set up."),
        )),
        None => Err(Box::new(page::choices(
            PROVIDER,
            "Set up multi-factor authentication",
            "The application asks for a second factor, and this account has none yet.",
            &[
                Choice::link(reply.params, "enrol", "yes", "Enrol", ""),
                Choice::link(reply.params, "enrol", "no", "Not now", ""),
            ],
        ))),
    }
}

fn chooser(behaviour: &Behaviour, params: &Params) -> HttpResponse {
    let hint = param(params, "login_hint");
    let hinted = |account: &&Account| {
        hint.is_some_and(|hint| {
            account.email.as_deref() == Some(hint) || account.id == hint || account.sub == hint
        })
    };
    let (first, rest): (Vec<_>, Vec<_>) = behaviour.accounts.iter().partition(hinted);
    let choices: Vec<Choice> = first
        .into_iter()
        .chain(rest)
        .map(|account| {
            let email = account.email.as_deref().unwrap_or_default();
            Choice::link(params, "account", &account.id, &account.label, email)
        })
        .collect();
    page::choices(
        PROVIDER,
        "Pick an account",
        "Each signs in, or fails to, in the way it says.",
        &choices,
    )
}

/// Where and how the answer goes.
struct Reply<'a> {
    oidc: &'a Oidc,
    params: &'a Params,
    redirect_uri: &'a str,
}

impl Reply<'_> {
    fn success(&self, client: &Client, account: &Account, evidence: &Evidence) -> HttpResponse {
        let site = &self.oidc.site;
        let (now, behaviour) = (site.now(), site.behaviour());
        let sign_in = SignIn {
            client_id: client.id.clone(),
            redirect_uri: self.redirect_uri.to_owned(),
            nonce: param(self.params, "nonce").map(str::to_owned),
            challenge: param(self.params, "code_challenge").map(str::to_owned),
            scopes: oauth::scopes(self.params),
            account: account.clone(),
            evidence: evidence.clone(),
            auth_time: auth_time(self.params, &behaviour.oidc, now),
        };
        let ends = now + behaviour.code_lifetime;
        let code = self.oidc.codes.hand_out("", sign_in, now, ends);
        self.send(vec![pair("code", code)])
    }

    fn error(&self, error: &str, description: &str) -> HttpResponse {
        self.send(vec![
            pair("error", error),
            pair("error_description", description),
        ])
    }

    fn send(&self, mut parameters: Vec<(String, String)>) -> HttpResponse {
        let site = &self.oidc.site;
        // RFC 9207 2: in success and in error responses.
        match &site.behaviour().oidc.iss_parameter {
            IssParameter::Right => parameters.push(pair("iss", &site.base_url)),
            IssParameter::Wrong(wrong) => parameters.push(pair("iss", wrong)),
            IssParameter::Absent | IssParameter::Withheld => {}
        }
        if let Some(state) = param(self.params, "state") {
            parameters.push(pair("state", state));
        }
        let mode =
            ResponseMode::of(self.params, ResponseMode::Query).unwrap_or(ResponseMode::Query);
        oauth::deliver(
            self.redirect_uri,
            mode,
            parameters,
            &site.edits(Document::Callback),
        )
    }
}

/// When the person last signed in: now if the request wants it, otherwise when the session began.
fn auth_time(params: &Params, behaviour: &Behaviour, now: i64) -> i64 {
    let by_prompt = behaviour.prompt_login != PromptLogin::Ignored
        && oauth::words(params, "prompt")
            .iter()
            .any(|word| word == "login");
    let max_age: Option<i64> = param(params, "max_age").and_then(|age| age.parse().ok());
    let by_age = behaviour.max_age == Honour::Honoured
        && max_age.is_some_and(|age| behaviour.session_age >= age);
    if by_prompt || by_age {
        now
    } else {
        now - behaviour.session_age
    }
}
