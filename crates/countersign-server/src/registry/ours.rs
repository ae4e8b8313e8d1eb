//! What of a tool's requests is answered here, and not by the registry.

use actix_web::HttpResponse;
use countersign_core::registry::{Answer, Captured};

use super::gate::Asked;
use super::{KEYS_PAGE, Registry};
use crate::web::{Context, see_other};

/// Answers it.
pub(super) async fn answer(
    _registry: &Registry,
    answer: Answer,
    _names: &Captured,
    _asked: Asked<'_>,
    context: &Context<'_>,
) -> HttpResponse {
    match answer {
        Answer::KeysPage => see_other(&context.broker.settings.endpoint(KEYS_PAGE)),
        _ => HttpResponse::NotImplemented().finish(),
    }
}
