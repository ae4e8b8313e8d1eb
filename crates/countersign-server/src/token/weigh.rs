//! The decision of this moment, for a code and for a refresh token alike: the policy is asked anew
//! with the evidence as it was.

use std::collections::BTreeSet;

use countersign_core::{
    Acr, ClientId, Decision, Demands, Facts, Login, Occasion, OrganizationId, Permit, Refusal,
    Remedy, Scope, StepUp, Verdict, decide,
};
use countersign_store::{Account, Session};

use super::unavailable;
use crate::error::{Failure, OAuthError};
use crate::web::Context;

/// What tokens are asked for.
pub(super) struct Wish<'a> {
    pub(super) client: &'a ClientId,
    pub(super) scopes: BTreeSet<Scope>,
    pub(super) organization: Option<&'a OrganizationId>,
    pub(super) acr_values: &'a [Acr],
}

/// The account of a session, and what the policy permits it now.
///
/// `max_age` and `prompt=login` were met when the code was issued.
pub(super) async fn weigh(
    wish: Wish<'_>,
    session: &Session,
    context: &Context<'_>,
) -> Result<(Account, Permit), Failure> {
    let account = account(session, context).await?;
    let facts = Facts {
        client: wish.client.clone(),
        scopes: wish.scopes,
        organization: wish.organization.cloned(),
        demands: Demands {
            acr_values: wish.acr_values.to_vec(),
            ..Demands::default()
        },
        login: Login::from(&session.evidence),
        identity_changed: false,
        account: context.broker.calendar.facts(&account),
        remedy: Remedy::Nothing,
        session_expires_at: Some(session.expires_at),
    };
    let decision = decide(context.policy(), &facts, context.now);
    context.log_decision(Occasion::Token, Verdict::from(&decision), facts);
    match decision {
        Decision::Permit(permit) => Ok((account, permit)),
        Decision::Refuse(Refusal { reasons, .. }) | Decision::StepUp(StepUp { reasons, .. }) => {
            let reason = reasons
                .first()
                .map_or("mfa-unknown", |reason| reason.code());
            Err(OAuthError::invalid_grant(reason))
        }
    }
}

/// Whose session it is.
async fn account(session: &Session, context: &Context<'_>) -> Result<Account, Failure> {
    let found = context.broker.store.account(&session.account).await;
    match found.map_err(|error| unavailable(&error, context))? {
        Some((account, _)) => Ok(account),
        None => Err(OAuthError::invalid_grant("the account is gone")),
    }
}
