//! Credentials that are no good, counted by the registry and the address that they come to and from.
//!
//! They are looked at first. A good one passes however many others at its address are none: many builds share one, and a
//! key that has ended in one of them must stop none of the others. So nothing here says how many guesses there are before one
//! is right: each secret of a tool has so many random bits, or is sealed or signed by us, that no number of them is enough
//! (docs/operate.md has the figures). What ends is the answer that a tool would try again at once.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use super::gate::Refused;
use super::weigh::Wrong;
use super::{Registry, refusal};
use crate::limits::TooMany;
use crate::web::Context;

/// One more that is no good: an error, where there were too many.
pub(super) fn count(registry: &Registry, context: &Context<'_>) -> Result<(), TooMany> {
    let (limits, request) = (&context.broker.limits, context.request);
    limits.bad_credential(&registry.name, request, context.now)
}

/// One more, at a gate: this refusal, or the one of who has shown too many. What is wrong with it is said all the same. What
/// is good for something else is no guess.
pub(super) fn counted(
    registry: &Registry,
    (wrong, refused): (Wrong, impl FnOnce(&'static str) -> Refused),
    context: &Context<'_>,
) -> Refused {
    let why = match wrong {
        Wrong::Elsewhere(why) => return refused(why),
        Wrong::Nobodys(why) => why,
    };
    match count(registry, context) {
        Ok(()) => refused(why),
        Err(too_many) => Refused::TooMany { why, too_many },
    }
}

/// One more, of whom a tool asks us itself: what it is told.
pub(super) fn told(registry: &Registry, words: &str, context: &Context<'_>) -> HttpResponse {
    match count(registry, context) {
        Ok(()) => refusal::told(registry, StatusCode::UNAUTHORIZED, words, context),
        Err(too_many) => {
            let status = StatusCode::TOO_MANY_REQUESTS;
            let answer = refusal::told(registry, status, words, context);
            refusal::try_again(answer, too_many.retry_after)
        }
    }
}
