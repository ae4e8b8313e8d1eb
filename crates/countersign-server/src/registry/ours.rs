//! What of a tool's requests is answered here, and not by the registry.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use countersign_core::registry::{Answer, Captured};

use super::gate::{Asked, Refused};
use super::{KEYS_PAGE, Registry, gem, npm, refusal, swift};
use crate::error::Failure;
use crate::web::{Context, see_other};

/// Answers it.
pub(super) async fn answer(
    registry: &Registry,
    answer: Answer,
    names: &Captured,
    asked: Asked<'_>,
    context: &Context<'_>,
) -> HttpResponse {
    let answered = match answer {
        Answer::NpmLogin => npm::login(registry, context).await,
        Answer::NpmDone => npm::done(registry, asked, context).await,
        Answer::NpmWhoami => npm::whoami(registry, asked, context).await,
        Answer::NpmLogout => npm::logout(registry, names, context).await,
        Answer::GemSignIn => gem::sign_in(registry, asked, context).await,
        Answer::SwiftLogin => swift::login(registry, asked, context).await,
        Answer::CodePage => Ok(see_other(&registry.login_page(context))),
        Answer::KeysPage => Ok(see_other(&context.broker.settings.endpoint(KEYS_PAGE))),
    };
    answered.unwrap_or_else(|failure| failed(registry, failure, context))
}

/// In the tool's words: it can't read a page, nor an OAuth error.
fn failed(registry: &Registry, failure: Failure, context: &Context<'_>) -> HttpResponse {
    match failure {
        Failure::Json(error) if error.status.is_client_error() => {
            refusal::told(registry, error.status, error.description, context)
        }
        other => {
            tracing::error!(code = "tool-not-answered", request = %context.request_id, failure = ?other, "a tool gets no answer");
            let mut answer = refusal::answer(registry, &Refused::Unavailable, context);
            answer.head_mut().status = StatusCode::SERVICE_UNAVAILABLE;
            answer
        }
    }
}
