//! `swift package-registry login` (SE-0378): whether a credential is good for anything here.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use countersign_store::StoreError;

use super::credential::Shown;
use super::gate::{Asked, shown_by};
use super::weigh::{Release, Weighed, Wish, Wrong, weigh};
use super::{Registry, guess, key, refusal};
use crate::error::Failure;
use crate::token::unavailable;
use crate::web::Context;

/// POST `/login`: 200 where the policy lets whoever has it do something.
pub(super) async fn login(
    registry: &Registry,
    asked: Asked<'_>,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let shown = shown_by(registry, asked);
    let mut is_guess = shown == Shown::Unreadable;
    let is_good = match shown {
        Shown::Secret(text) => match key::find(registry, &text, context).await? {
            // It may be for some packages only, and none is named here.
            Ok(held) => held.permits(context).await.map(|permit| {
                let here = registry.scopes(context);
                permit.is_some_and(|permit| !permit.scopes().is_disjoint(&here))
            }),
            Err(wrong) => {
                is_guess = matches!(wrong, Wrong::Nobodys(_));
                may_something(registry, asked, context).await
            }
        },
        Shown::Nothing | Shown::Session | Shown::Unreadable => Ok(false),
    };
    if is_good.map_err(|error| unavailable(&error, context))? {
        return Ok(HttpResponse::Ok().finish());
    }
    let words = "This credential is good for nothing here: make an API key at {keys}";
    Ok(if is_guess {
        guess::told(registry, words, context)
    } else {
        refusal::told(registry, StatusCode::UNAUTHORIZED, words, context)
    })
}

/// Whether an access token is good for one of the actions.
async fn may_something(
    registry: &Registry,
    asked: Asked<'_>,
    context: &Context<'_>,
) -> Result<bool, StoreError> {
    for (action, scope) in registry.profile.actions() {
        let wish = Wish {
            registry,
            asked,
            action,
            scope,
            release: &Release::UNKNOWN,
        };
        if let Weighed::Let(leave) = weigh(shown_by(registry, asked), wish, context).await? {
            leave.log(context);
            return Ok(true);
        }
    }
    Ok(false)
}
