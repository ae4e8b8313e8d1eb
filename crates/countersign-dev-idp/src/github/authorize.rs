//! GitHub's authorization endpoint.
//!
//! <https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps>

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::{Account, Answer, GitHub, Grant, IssOnErrors};
use crate::clients::Client;
use crate::control::{IssParameter, lock};
use crate::faults::Document;
use crate::oauth::{self, Params, ResponseMode, pair, param};
use crate::page::{self, Choice};

const PROVIDER: &str = "GitHub";

pub(super) async fn authorize(request: HttpRequest, github: Data<GitHub>) -> HttpResponse {
    let params = oauth::params(&request, "");
    github
        .site
        .control
        .record_authorize(oauth::received(&request, &params));
    let Some((client, redirect_uri)) = known_client(&github, &params) else {
        return page::message(
            StatusCode::NOT_FOUND,
            PROVIDER,
            "Not found",
            "The client_id is unknown, or the redirect_uri is not associated with this application.",
        );
    };
    let reply = Reply {
        github: &github,
        params: &params,
        redirect_uri: &redirect_uri,
    };
    // S256 is the only method: `plain` and none with a challenge are refused.
    let method = param(&params, "code_challenge_method");
    if params.contains_key("code_challenge") && method != Some("S256") {
        return reply.error("invalid_request", "The code_challenge_method must be S256.");
    }
    pick(&reply, &client)
}

fn known_client(github: &GitHub, params: &Params) -> Option<(Client, String)> {
    let client = github.site.client(param(params, "client_id")?)?;
    let redirect_uri = param(params, "redirect_uri")?;
    client
        .may_redirect_to(redirect_uri)
        .then(|| (client, redirect_uri.to_owned()))
}

fn pick(reply: &Reply<'_>, client: &Client) -> HttpResponse {
    let behaviour = reply.github.site.behaviour();
    let accounts = &behaviour.github.accounts;
    let Some(id) = param(reply.params, "account") else {
        return chooser(accounts, reply.params);
    };
    let Some(account) = accounts.iter().find(|account| account.id == id) else {
        return page::message(
            StatusCode::BAD_REQUEST,
            PROVIDER,
            "No such account",
            "There is no account of this name here.",
        );
    };
    match account.answer {
        Answer::SignsIn | Answer::EmailUnverified => reply.success(client, account),
        Answer::Refuses => reply.error(
            "access_denied",
            "The user has denied your application access.",
        ),
        Answer::ApplicationSuspended => reply.error(
            "application_suspended",
            "Your application has been suspended. Contact support@github.com.",
        ),
    }
}

fn chooser(accounts: &[Account], params: &Params) -> HttpResponse {
    let hint = param(params, "login");
    let hinted = |account: &&Account| hint == Some(account.login.as_str());
    let (first, rest): (Vec<_>, Vec<_>) = accounts.iter().partition(hinted);
    let choices: Vec<Choice> = first
        .into_iter()
        .chain(rest)
        .map(|account| Choice::link(params, "account", &account.id, &account.label, ""))
        .collect();
    page::choices(
        PROVIDER,
        "Pick an account",
        "Each authorizes the application, or doesn't, in the way it says.",
        &choices,
    )
}

struct Reply<'a> {
    github: &'a GitHub,
    params: &'a Params,
    redirect_uri: &'a str,
}

impl Reply<'_> {
    fn success(&self, client: &Client, account: &Account) -> HttpResponse {
        let site = &self.github.site;
        let asked = oauth::scopes(self.params);
        let ticked = match &account.grants_only {
            Some(only) => asked
                .into_iter()
                .filter(|scope| only.contains(scope))
                .collect(),
            None => asked,
        };
        // Who granted more before gets a token for all of it.
        let mut granted = lock(&self.github.granted);
        let scopes = granted
            .entry((client.id.clone(), account.id.clone()))
            .or_default();
        scopes.extend(ticked);
        let grant = Grant {
            client_id: client.id.clone(),
            redirect_uri: param(self.params, "redirect_uri").map(str::to_owned),
            challenge: param(self.params, "code_challenge").map(str::to_owned),
            account: account.id.clone(),
            scopes: scopes.clone(),
        };
        let (now, lifetime) = (site.now(), site.behaviour().code_lifetime);
        let code = self.github.codes.hand_out("", grant, now, now + lifetime);
        let iss = site.behaviour().github.iss_parameter.clone();
        self.send(vec![pair("code", code)], &iss)
    }

    fn error(&self, error: &str, description: &str) -> HttpResponse {
        let behaviour = self.github.site.behaviour();
        let iss = match behaviour.github.iss_on_errors {
            IssOnErrors::Sent => behaviour.github.iss_parameter.clone(),
            IssOnErrors::Withheld => IssParameter::Withheld,
        };
        let parameters = vec![
            pair("error", error),
            pair("error_description", description),
            pair(
                "error_uri",
                format!(
                    "https://docs.github.com/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-authorization-request-errors/#{error}"
                ),
            ),
        ];
        self.send(parameters, &iss)
    }

    fn send(&self, mut parameters: Vec<(String, String)>, iss: &IssParameter) -> HttpResponse {
        match iss {
            IssParameter::Right => parameters.push(pair("iss", self.github.issuer())),
            IssParameter::Wrong(wrong) => parameters.push(pair("iss", wrong)),
            IssParameter::Absent | IssParameter::Withheld => {}
        }
        if let Some(state) = param(self.params, "state") {
            parameters.push(pair("state", state));
        }
        let edits = self.github.site.edits(Document::Callback);
        oauth::deliver(self.redirect_uri, ResponseMode::Query, parameters, &edits)
    }
}
