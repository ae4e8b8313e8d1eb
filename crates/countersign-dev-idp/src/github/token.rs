//! GitHub's token endpoint: errors come with HTTP 200, and the answer is a form unless JSON is asked for.
//!
//! <https://docs.github.com/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors>

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::{Answer, GitHub, Grant};
use crate::clients::Client;
use crate::faults::{Document, edited};
use crate::oauth::{self, Params, Pkce, param};

/// GitHub's tokens of OAuth apps don't end by themselves.
const FOREVER: i64 = i64::MAX;
/// Seconds that a refresh token lives, where access tokens end.
const REFRESH_TOKEN_LIFETIME: i64 = 15_897_600;

pub(super) async fn access_token(
    request: HttpRequest,
    body: String,
    github: Data<GitHub>,
) -> HttpResponse {
    let form: Params = oauth::params(&request, &body);
    github
        .site
        .control
        .record_token(oauth::received(&request, &form));
    let answer = match redeemed(&github, &request, &form) {
        Ok(grant) => token(&github, grant),
        Err((error, description)) => json!({
            "error": error,
            "error_description": description,
            "error_uri": format!("https://docs.github.com/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors/#{error}"),
        }),
    };
    written(&github, &request, answer)
}

type Refusal = (String, String);

fn redeemed(github: &GitHub, request: &HttpRequest, form: &Params) -> Result<Grant, Refusal> {
    let behaviour = github.site.behaviour();
    if let Some(error) = &behaviour.github.token_error {
        return Err((error.error.clone(), error.description.clone()));
    }
    let client = oauth::credentials(request, form)
        .and_then(|(id, secret)| {
            github
                .site
                .client(&id)
                .filter(|client| client.secret == secret)
        })
        .ok_or_else(|| {
            refusal(
                "incorrect_client_credentials",
                "The client_id and/or client_secret passed are incorrect.",
            )
        })?;
    if param(form, "grant_type") == Some("refresh_token") {
        return refreshed(github, &client, form);
    }
    let bad_code = || {
        refusal(
            "bad_verification_code",
            "The code passed is incorrect or expired.",
        )
    };
    let code = param(form, "code").ok_or_else(bad_code)?;
    let grant = github
        .codes
        .take(code, github.site.now())
        .map_err(|_| bad_code())?;
    if grant.client_id != client.id {
        return Err(bad_code());
    }
    let redirect_uri = param(form, "redirect_uri");
    if redirect_uri.is_some() && redirect_uri != grant.redirect_uri.as_deref() {
        return Err(refusal(
            "redirect_uri_mismatch",
            "The redirect_uri MUST match the registered callback URL for this application.",
        ));
    }
    match oauth::pkce(grant.challenge.as_deref(), form) {
        // An unasked verifier is not known to be refused by GitHub.
        Pkce::Fits | Pkce::VerifierUnasked => {}
        Pkce::VerifierMissing | Pkce::VerifierWrong => {
            return Err(refusal(
                "bad_code_verifier",
                "The code_verifier does not match the code_challenge.",
            ));
        }
    }
    let accounts = &behaviour.github.accounts;
    let account = accounts.iter().find(|account| account.id == grant.account);
    match account.map(|account| account.answer) {
        Some(Answer::EmailUnverified) => Err(refusal(
            "unverified_user_email",
            "The user must have a verified primary email.",
        )),
        Some(Answer::SignsIn | Answer::Refuses | Answer::ApplicationSuspended) => Ok(grant),
        None => Err(bad_code()),
    }
}

/// Both tokens are new then.
fn refreshed(github: &GitHub, client: &Client, form: &Params) -> Result<Grant, Refusal> {
    let token = param(form, "refresh_token").unwrap_or_default();
    let grant = github.refresh_tokens.take(token, github.site.now());
    grant
        .ok()
        .filter(|grant| grant.client_id == client.id)
        .ok_or_else(|| {
            refusal(
                "bad_refresh_token",
                "The refresh token passed is incorrect or expired.",
            )
        })
}

fn refusal(error: &str, description: &str) -> Refusal {
    (error.to_owned(), description.to_owned())
}

fn token(github: &GitHub, grant: Grant) -> Value {
    // Comma, not space: GitHub's own way, against RFC 6749 3.3.
    let scope: Vec<&str> = grant.scopes.iter().map(String::as_str).collect();
    let scope = scope.join(",");
    let (now, lifetime) = (
        github.site.now(),
        github.site.behaviour().github.token_lifetime,
    );
    let ends = lifetime.map_or(FOREVER, |lifetime| now + lifetime);
    let access_token = github.tokens.hand_out("gho_", grant.clone(), now, ends);
    let mut answer =
        json!({ "access_token": access_token, "scope": scope, "token_type": "bearer" });
    if let Some(lifetime) = lifetime {
        let ends = now + REFRESH_TOKEN_LIFETIME;
        answer["expires_in"] = json!(lifetime);
        answer["refresh_token"] = json!(github.refresh_tokens.hand_out("ghr_", grant, now, ends));
        answer["refresh_token_expires_in"] = json!(REFRESH_TOKEN_LIFETIME);
    }
    answer
}

/// As JSON where the request accepts it, otherwise as a form.
fn written(github: &GitHub, request: &HttpRequest, answer: Value) -> HttpResponse {
    let accepts = oauth::header(request, "accept").unwrap_or_default();
    if accepts.contains("application/json") {
        return github.site.json(Document::TokenResponse, answer);
    }
    let text = edited(answer, &github.site.edits(Document::TokenResponse));
    let answer: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap_or_default();
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in &answer {
        form.append_pair(name, value.as_str().unwrap_or_default());
    }
    HttpResponse::Ok()
        .content_type("application/x-www-form-urlencoded; charset=utf-8")
        .body(form.finish())
}
