//! What gem asks a registry besides packages: a key for a one-time code, and, before what needs a fresh sign-in, that its
//! user be asked for a code.
//!
//! gem shows nothing of the answer that makes it ask (`rubygems/gemcutter_utilities.rb`, `ask_otp`). So what it asks for
//! twice comes from one page, and whoever types nothing, or what is no good, is told where that is.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use countersign_core::Reason;
use countersign_core::registry::{Form, Source};

use super::credential::{Shown, shown};
use super::gate::Asked;
use super::{Registry, code, guess, key, refusal};
use crate::audit::{Event, Happening, Subject};
use crate::error::Failure;
use crate::token::unavailable;
use crate::web::Context;

/// What the answer begins with that makes gem ask for a code.
const ASK: &str = "You have enabled multifactor authentication";

/// POST `/api/v1/api_key`: Basic, with a code as the password. The user name beside it is no proof of anything: people type
/// their e-mail address, since gem asks for one.
pub(super) async fn sign_in(
    registry: &Registry,
    asked: Asked<'_>,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let basic = Source::Authorization {
        scheme: Some("Basic".to_owned()),
        form: Form::Base64Pair,
        user: None,
    };
    let session = match shown(&[basic], asked.headers, None) {
        Shown::Secret(text) => code::spend(&text, registry, context).await?,
        Shown::Unreadable => None,
        Shown::Nothing | Shown::Session => {
            let words = no_good(registry, "Sign in with a one-time code.", context);
            return Ok(refusal::told(
                registry,
                StatusCode::UNAUTHORIZED,
                &words,
                context,
            ));
        }
    };
    let Some(session) = session else {
        let words = no_good(registry, code::SPENT, context);
        return Ok(guess::told(registry, &words, context));
    };
    let made = key::make(registry, &session, context).await;
    Ok(match made.map_err(|error| unavailable(&error, context))? {
        Ok(made) => {
            context.audit(
                Happening::new(Event::ToolSignedIn, &session.account)
                    .about(Subject::Account, &session.account)
                    .about(Subject::Session, &session.id)
                    .about(Subject::Client, &registry.client),
            );
            HttpResponse::Ok()
                .content_type("text/plain; charset=utf-8")
                .body(made.text.reveal().to_owned())
        }
        Err(why) => {
            let words = no_good(registry, why, context);
            refusal::told(registry, StatusCode::UNAUTHORIZED, &words, context)
        }
    })
}

fn no_good(registry: &Registry, why: &str, context: &Context<'_>) -> String {
    let page = registry.login_page(context);
    format!("{why} Get a code at {page} and type it as the password.")
}

/// Has gem ask its user for a code.
pub(super) fn ask_for_code(registry: &Registry, context: &Context<'_>) -> HttpResponse {
    let page = registry.login_page(context);
    let words = format!("{ASK}: get a code at {page}");
    refusal::told(registry, StatusCode::UNAUTHORIZED, &words, context)
}

/// Says where there is a good one, to whoever typed none.
pub(super) fn want_code(
    registry: &Registry,
    reasons: &[Reason],
    context: &Context<'_>,
) -> HttpResponse {
    let page = registry.login_page(context);
    let why = reasons.first().copied().unwrap_or(Reason::MfaUnknown);
    let words = format!(
        "{} Sign in again and get a code at {page}, run the command again and type it where gem asks for a code.",
        why.sentence()
    );
    refusal::told(registry, StatusCode::UNAUTHORIZED, &words, context)
}
