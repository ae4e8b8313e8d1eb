//! Microsoft's token endpoint.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use super::claims::{self, Leg, SignIn};
use super::demand::{Demand, Used};
use super::error::TokenError;
use super::realm::Realm;
use super::{Entra, SecondFactor, error};
use crate::clients::Client;
use crate::control::Behaviour;
use crate::faults::Document;
use crate::jwt::{self, Signer};
use crate::keys::{SigningKey, Slot, key};
use crate::oauth::{self, Nothing, Params, Pkce, param};

/// Seconds that an access token lives, as Microsoft writes it.
const ACCESS_TOKEN_LIFETIME: i64 = 3_599;
/// Seconds that a refresh token lives.
const REFRESH_TOKEN_LIFETIME: i64 = 90 * 86_400;
/// How many bytes longer than ours Microsoft's refresh tokens are: they have one to two kilobytes.
const REFRESH_TOKEN_FILLER: usize = 1_500;

/// POST of `/{realm}/oauth2/v2.0/token`.
pub(super) async fn token(
    request: HttpRequest,
    realm: Path<String>,
    body: String,
    entra: Data<Entra>,
) -> HttpResponse {
    let form: Params = url::form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    entra
        .site
        .control
        .record_token(oauth::received(&request, &form));
    let behaviour = entra.site.behaviour();
    let now = entra.site.now();
    if Realm::of(&realm, &behaviour.entra.tenants).is_none() {
        return error::unknown_tenant(&realm, now);
    }
    if let Some(error) = &behaviour.entra.token_error {
        return error.response(now);
    }
    let redeemed = authenticated(&entra, &request, &form).and_then(|client| {
        let sign_in = match param(&form, "grant_type") {
            Some("refresh_token") => refreshed(&entra, &client, &form)?,
            _ => redeemed(&entra, &client, &form)?,
        };
        Ok((sign_in, client))
    });
    match redeemed {
        Ok((sign_in, client)) => tokens(&entra, &client, sign_in),
        Err(error) => error.response(now),
    }
}

/// The key that signs now: personal accounts have their own.
pub(super) fn signing_key(behaviour: &Behaviour, personal: bool) -> &'static SigningKey {
    if personal {
        key(Slot::Msa)
    } else if behaviour.keys.next_signs() {
        key(Slot::EntraNext)
    } else {
        key(Slot::EntraCurrent)
    }
}

fn authenticated(
    entra: &Entra,
    request: &HttpRequest,
    form: &Params,
) -> Result<Client, TokenError> {
    let (id, secret) = oauth::credentials(request, form).ok_or_else(|| {
        TokenError::new(
            "invalid_request",
            900_144,
            "The request body must contain the following parameter: 'client_id'.",
        )
    })?;
    let client = entra.site.client(&id).ok_or_else(|| {
        TokenError::new(
            "unauthorized_client",
            700_016,
            "The application was not found in the directory.",
        )
    })?;
    if secret.is_empty() {
        return Err(TokenError::new(
            "invalid_client",
            7_000_218,
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        ));
    }
    if client.secret != secret {
        return Err(TokenError::new(
            "invalid_client",
            7_000_215,
            "Invalid client secret provided.",
        ));
    }
    Ok(client)
}

fn redeemed(entra: &Entra, client: &Client, form: &Params) -> Result<SignIn, TokenError> {
    if param(form, "grant_type") != Some("authorization_code") {
        return Err(TokenError::new(
            "unsupported_grant_type",
            70003,
            "The app requested an unsupported grant type.",
        ));
    }
    let code = param(form, "code").unwrap_or_default();
    let invalid = |code, text| TokenError::new("invalid_grant", code, text);
    let sign_in = entra.codes.take(code, entra.site.now()).map_err(|nothing| match nothing {
        Nothing::Unknown => invalid(9_002_313, "Invalid request. Request is malformed or invalid."),
        Nothing::Expired => invalid(70008, "The provided authorization code or refresh token has expired due to inactivity."),
        Nothing::Taken => invalid(54005, "OAuth2 Authorization code was already redeemed, please retry with a new valid code."),
    })?;
    if sign_in.client_id != client.id {
        return Err(invalid(
            700_005,
            "The provided authorization code is intended to use against other application.",
        ));
    }
    if param(form, "redirect_uri") != Some(sign_in.redirect_uri.as_str()) {
        return Err(invalid(
            500_112,
            "The reply address does not match the reply address provided when requesting the authorization code.",
        ));
    }
    match oauth::pkce(sign_in.challenge.as_deref(), form) {
        Pkce::Fits => Ok(sign_in),
        Pkce::VerifierMissing => Err(invalid(
            501_471,
            "The Code_Verifier is missing from the request.",
        )),
        Pkce::VerifierWrong | Pkce::VerifierUnasked => Err(invalid(
            501_481,
            "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
        )),
    }
}

/// How the sign-in behind a refresh token stands now. Tokens are good once here; Microsoft asks applications to throw
/// the old one away, and is not known to refuse it.
fn refreshed(entra: &Entra, client: &Client, form: &Params) -> Result<SignIn, TokenError> {
    let behaviour = entra.site.behaviour();
    if let Some(error) = &behaviour.entra.refresh_error {
        return Err(error.clone());
    }
    let invalid = |code, text| TokenError::new("invalid_grant", code, text);
    let token = param(form, "refresh_token").unwrap_or_default();
    let revoked =
        "The provided grant has expired due to it being revoked, a fresh auth token is needed.";
    let now = entra.site.now();
    let kept = entra.refresh_tokens.read(token, now);
    let before = kept.filter(|kept| kept.client_id == client.id);
    let before = before.ok_or_else(|| invalid(50173, revoked))?;
    let mut accounts = behaviour.entra.accounts.iter();
    let account = accounts.find(|account| account.id == before.account.id);
    let account = account.ok_or_else(|| invalid(50057, "The user account is disabled."))?;
    let used = match account.second_factor {
        SecondFactor::Lacking => Used::PasswordAlone,
        SecondFactor::Always
        | SecondFactor::WhenDemanded
        | SecondFactor::EnrolsWhenDemanded
        | SecondFactor::IgnoresDemands => before.used,
    };
    let demand = Demand::of(form, &behaviour.entra, &before.tid);
    if demand.is_second_factor() && used == Used::PasswordAlone {
        let text = "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access.";
        return Err(TokenError {
            suberror: Some("basic_action".to_owned()),
            ..TokenError::new("interaction_required", 50076, text)
        });
    }
    entra.refresh_tokens.take(token, now).ok();
    Ok(SignIn {
        nonce: None,
        account: account.clone(),
        used,
        acr: before.acr.filter(|_| used == before.used),
        acrs: demand.acrs(used, &behaviour.entra, &before.tid),
        max_age: None,
        ..before
    })
}

fn tokens(entra: &Entra, client: &Client, sign_in: SignIn) -> HttpResponse {
    let (now, behaviour) = (entra.site.now(), entra.site.behaviour());
    let base_url = &entra.site.base_url;
    let claims = claims::id_token(&sign_in, Leg::Back, &behaviour.entra, base_url, now);
    let signer = Signer {
        key: signing_key(&behaviour, sign_in.is_personal()),
        client_secret: &client.secret,
        base_url,
    };
    let id_token = jwt::write(claims, &signer, &behaviour.back);
    let scope: Vec<&str> = sign_in.scopes.iter().map(String::as_str).collect();
    let scope = scope.join(" ");
    let ends = now + ACCESS_TOKEN_LIFETIME;
    let offline = sign_in.scopes.contains("offline_access");
    let refresh_token = offline.then(|| {
        let ends = now + REFRESH_TOKEN_LIFETIME;
        let prefix = format!("1.A{}.", "x".repeat(REFRESH_TOKEN_FILLER));
        entra
            .refresh_tokens
            .hand_out(&prefix, sign_in.clone(), now, ends)
    });
    let mut answer = json!({
        "token_type": "Bearer",
        "scope": scope,
        "expires_in": ACCESS_TOKEN_LIFETIME,
        "ext_expires_in": ACCESS_TOKEN_LIFETIME,
        "access_token": entra.tokens.hand_out("", sign_in, now, ends),
        "id_token": id_token,
    });
    if let Some(refresh_token) = refresh_token {
        answer["refresh_token"] = json!(refresh_token);
    }
    entra.site.json(Document::TokenResponse, answer)
}
