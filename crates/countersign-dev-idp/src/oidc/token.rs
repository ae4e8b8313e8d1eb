//! The plain provider's token endpoint and UserInfo.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::claims::{self, SignIn};
use super::{Oidc, SecondFactor, signing_key};
use crate::clients::Client;
use crate::faults::Document;
use crate::jwt::{self, Signer};
use crate::oauth::{self, Params, Pkce, param};

/// Seconds that an access token lives.
const ACCESS_TOKEN_LIFETIME: i64 = 600;
/// Seconds that a refresh token lives.
const REFRESH_TOKEN_LIFETIME: i64 = 30 * 86_400;

/// POST, OpenID Connect Core 3.1.3.
pub(super) async fn token(request: HttpRequest, body: String, oidc: Data<Oidc>) -> HttpResponse {
    let form: Params = url::form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    oidc.site
        .control
        .record_token(oauth::received(&request, &form));
    let Some(client) = authenticated(&oidc, &request, &form) else {
        return error(401, "invalid_client", "Unknown client, or wrong secret.");
    };
    let redeemed = match param(&form, "grant_type") {
        Some("authorization_code") => redeemed(&oidc, &client, &form),
        Some("refresh_token") => refreshed(&oidc, &client, &form),
        _ => {
            return error(
                400,
                "unsupported_grant_type",
                "Only authorization_code and refresh_token are served.",
            );
        }
    };
    match redeemed {
        Ok(sign_in) => tokens(&oidc, &client, &sign_in),
        Err(description) => error(400, "invalid_grant", description),
    }
}

/// GET and POST, OpenID Connect Core 5.3.
pub(super) async fn userinfo(request: HttpRequest, oidc: Data<Oidc>) -> HttpResponse {
    let bearer =
        oauth::header(&request, "authorization").and_then(|text| text.strip_prefix("Bearer "));
    match bearer.and_then(|token| oidc.tokens.read(token, oidc.site.now())) {
        Some(sign_in) => oidc
            .site
            .json(Document::UserInfo, Value::Object(claims::person(&sign_in))),
        None => HttpResponse::Unauthorized()
            .insert_header(("www-authenticate", r#"Bearer error="invalid_token""#))
            .finish(),
    }
}

fn authenticated(oidc: &Oidc, request: &HttpRequest, form: &Params) -> Option<Client> {
    let (id, secret) = oauth::credentials(request, form)?;
    oidc.site
        .client(&id)
        .filter(|client| client.secret == secret)
}

fn redeemed(oidc: &Oidc, client: &Client, form: &Params) -> Result<SignIn, &'static str> {
    let code = param(form, "code").ok_or("The code is missing.")?;
    let sign_in = oidc
        .codes
        .take(code, oidc.site.now())
        .map_err(|_| "The code is unknown, expired or used.")?;
    if sign_in.client_id != client.id {
        return Err("The code is another client's.");
    }
    if param(form, "redirect_uri") != Some(sign_in.redirect_uri.as_str()) {
        return Err("The redirect URI is not the one of the authorization request.");
    }
    match oauth::pkce(sign_in.challenge.as_deref(), form) {
        Pkce::Fits => Ok(sign_in),
        Pkce::VerifierMissing | Pkce::VerifierWrong | Pkce::VerifierUnasked => {
            Err("The code verifier does not fit.")
        }
    }
}

/// How the sign-in behind a refresh token stands now (OIDC Core 12). Each is good once.
fn refreshed(oidc: &Oidc, client: &Client, form: &Params) -> Result<SignIn, &'static str> {
    let token = param(form, "refresh_token").ok_or("The refresh token is missing.")?;
    let before = oidc
        .refresh_tokens
        .take(token, oidc.site.now())
        .map_err(|_| "The refresh token is unknown, expired or used.")?;
    if before.client_id != client.id {
        return Err("The refresh token is another client's.");
    }
    let behaviour = oidc.site.behaviour();
    let mut accounts = behaviour.oidc.accounts.iter();
    let account = accounts.find(|account| account.id == before.account.id);
    let account = account.ok_or("The account is disabled.")?;
    let evidence = match account.second_factor {
        SecondFactor::Lacking => account.single.clone(),
        SecondFactor::Always
        | SecondFactor::WhenDemanded
        | SecondFactor::EnrolsWhenDemanded
        | SecondFactor::IgnoresDemands => before.evidence,
    };
    Ok(SignIn {
        nonce: None,
        account: account.clone(),
        evidence,
        ..before
    })
}

fn tokens(oidc: &Oidc, client: &Client, sign_in: &SignIn) -> HttpResponse {
    let (now, behaviour) = (oidc.site.now(), oidc.site.behaviour());
    let ends = now + ACCESS_TOKEN_LIFETIME;
    let access_token = oidc.tokens.hand_out("", sign_in.clone(), now, ends);
    let base_url = &oidc.site.base_url;
    let mut claims = claims::id_token(sign_in, base_url, now, behaviour.oidc.id_token_lifetime);
    claims.insert("at_hash".to_owned(), json!(jwt::half_hash(&access_token)));
    let signer = Signer {
        key: signing_key(&behaviour),
        client_secret: &client.secret,
        base_url,
    };
    let scope: Vec<&str> = sign_in.scopes.iter().map(String::as_str).collect();
    let mut answer = json!({
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": ACCESS_TOKEN_LIFETIME,
        "scope": scope.join(" "),
        "id_token": jwt::write(claims, &signer, &behaviour.back),
    });
    if sign_in.scopes.contains("offline_access") {
        let ends = now + REFRESH_TOKEN_LIFETIME;
        let next = oidc
            .refresh_tokens
            .hand_out("rt_", sign_in.clone(), now, ends);
        answer["refresh_token"] = json!(next);
    }
    oidc.site.json(Document::TokenResponse, answer)
}

fn error(status: u16, error: &str, description: &str) -> HttpResponse {
    let status = actix_web::http::StatusCode::from_u16(status).unwrap_or_default();
    HttpResponse::build(status)
        .insert_header(("cache-control", "no-store"))
        .json(json!({ "error": error, "error_description": description }))
}
