//! What the policy permits somebody at a registry by a session, for the tools that they sign in.

use std::collections::BTreeSet;

use countersign_core::{Occasion, Permit, Reason, Scope, Stated};
use countersign_store::Session;

use super::Registry;
use crate::error::{Failure, OAuthError};
use crate::token::{Weighed, Wish, weigh};
use crate::web::Context;

/// What the policy permits a session now, or why not. A session that is nobody's any more is a failure as of a grant
/// ([`OAuthError::of_grant`]).
pub(super) async fn weighed(
    session: &Session,
    (scopes, stated, occasion): (BTreeSet<Scope>, Option<&Stated>, Occasion),
    registry: &Registry,
    context: &Context<'_>,
) -> Result<Result<Weighed, Reason>, Failure> {
    let wish = Wish {
        client: &registry.client,
        scopes,
        organization: None,
        acr_values: &[],
        occasion,
        stated,
    };
    match weigh(wish, session, context).await {
        Ok(weighed) => Ok(Ok(weighed)),
        Err(failure) => {
            let told = OAuthError::of_grant(&failure);
            let reason =
                told.and_then(|told| Reason::ALL.into_iter().find(|reason| reason.code() == told));
            reason.map(Err).ok_or(failure)
        }
    }
}

/// Why the first scope was left out.
pub(super) fn unmet(permit: &Permit) -> Option<Reason> {
    let mut reasons = permit.unmet().iter().flat_map(|unmet| &unmet.reasons);
    reasons.next().copied()
}
