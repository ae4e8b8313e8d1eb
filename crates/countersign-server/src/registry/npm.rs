//! What npm asks a registry besides packages: to sign in on the web, whether that is done, who it is, and to sign out.
//!
//! `npm login` and the step-up of `npm publish` ask the same address whether they are done (npm-profile, `webAuthCheckLogin`):
//! 202 with `Retry-After` until then, and 200 with a token.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use countersign_core::registry::Captured;
use countersign_store::Session;
use serde_json::json;

use super::credential::Shown;
use super::gate::{Asked, shown_by};
use super::step_up::{self, Deed};
use super::tool::{self, Asker, Found, Purpose};
use super::weigh::Wrong;
use super::{Registry, guess, key};
use crate::device;
use crate::error::Failure;
use crate::web::Context;

/// POST `/-/v1/login`.
pub(super) async fn login(
    registry: &Registry,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let scopes = registry.profile.actions().values();
    let waits = (Asker::Npm, Purpose::Key);
    let waiting = tool::begin(registry, scopes, waits, context).await?;
    Ok(HttpResponse::Ok().json(json!({
        "loginUrl": waiting.page,
        "doneUrl": waiting.done,
    })))
}

/// GET `/-/v1/done`.
pub(super) async fn done(
    registry: &Registry,
    asked: Asked<'_>,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let query = asked.target.split_once('?').map(|(_, query)| query);
    match tool::look(registry, Asker::Npm, query, context).await? {
        Found::NotYet => Ok(HttpResponse::Accepted()
            .insert_header((RETRY_AFTER, device::INTERVAL))
            .json(json!({}))),
        Found::Over => Ok(told(
            StatusCode::NOT_FOUND,
            "Nobody has signed in for this, and nobody can any more: run the command again",
        )),
        Found::SignedIn(session, Purpose::Key) => key_of(registry, *session, context).await,
        Found::SignedIn(session, Purpose::StepUp(deed)) => {
            Ok(proof(registry, &session, deed, context))
        }
    }
}

/// A key that lives for a while, for what the sign-in is good enough for.
async fn key_of(
    registry: &Registry,
    session: Session,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    match key::of_sign_in(registry, &session, context).await? {
        Ok(made) => Ok(HttpResponse::Ok().json(json!({"token": made.text.reveal()}))),
        Err(why) => Ok(told(StatusCode::FORBIDDEN, why)),
    }
}

fn proof(
    registry: &Registry,
    session: &Session,
    deed: Deed,
    context: &Context<'_>,
) -> HttpResponse {
    match step_up::proof(registry, deed, session, context) {
        Some(text) => HttpResponse::Ok().json(json!({"token": text})),
        None => told(
            StatusCode::FORBIDDEN,
            "It can't be confirmed at the moment: try again",
        ),
    }
}

/// GET `/-/whoami`.
pub(super) async fn whoami(
    registry: &Registry,
    asked: Asked<'_>,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    const SIGN_IN: &str = "You are not signed in: run `npm login`";
    let held = match shown_by(registry, asked) {
        Shown::Secret(text) => key::find(registry, &text, context).await?,
        Shown::Nothing | Shown::Session => {
            return Ok(told(StatusCode::UNAUTHORIZED, SIGN_IN));
        }
        Shown::Unreadable => Err(Wrong::Nobodys(SIGN_IN)),
    };
    Ok(match held {
        Ok(held) => {
            let known = held.account.registry_account.as_ref();
            let name = known.map_or_else(|| held.account.id.to_string(), ToString::to_string);
            HttpResponse::Ok().json(json!({"username": name}))
        }
        Err(Wrong::Elsewhere(_)) => told(StatusCode::UNAUTHORIZED, SIGN_IN),
        Err(Wrong::Nobodys(_)) => guess::told(registry, SIGN_IN, context),
    })
}

/// DELETE `/-/user/token/{token}`: whoever has a key may end it.
pub(super) async fn logout(
    registry: &Registry,
    names: &Captured,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let text = names.get("token").map_or("", String::as_str);
    if let Ok(held) = key::find(registry, text, context).await? {
        key::end(&held, context).await?;
    }
    Ok(HttpResponse::Ok().json(json!({"ok": true})))
}

fn told(status: StatusCode, words: &str) -> HttpResponse {
    HttpResponse::build(status).json(json!({"error": words}))
}
