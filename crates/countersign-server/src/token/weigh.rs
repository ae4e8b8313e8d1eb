//! The decision of this moment, for a code and for a refresh token alike: the policy is asked anew
//! with the evidence as it was.

use std::collections::BTreeSet;

use countersign_core::{
    Acr, ClientId, Decision, Demands, Facts, Login, Occasion, OrganizationId, Permit, Reason,
    Refusal, Remedy, Scope, Stated, StepUp, Verdict, decide,
};
use countersign_store::{Account, Session, Version};
use jiff::{SignedDuration, Timestamp};

use super::unavailable;
use crate::audit::{Event, Happening, Subject};
use crate::error::{Failure, OAuthError};
use crate::once::{Kind, is_first};
use crate::sign_in::account::tell;
use crate::web::{Context, Decided};
use crate::{organization, session};

/// How often it is written down that a client gets nothing for a session: it can ask as often as it likes.
const AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// What tokens are asked for.
pub(crate) struct Wish<'a> {
    pub(crate) client: &'a ClientId,
    pub(crate) scopes: BTreeSet<Scope>,
    pub(crate) organization: Option<&'a OrganizationId>,
    pub(crate) acr_values: &'a [Acr],
    pub(crate) occasion: Occasion,
    /// What earlier tokens stated of the login; the next ones state nothing else.
    pub(crate) stated: Option<&'a Stated>,
}

/// What the policy permits, and to whom.
pub(crate) struct Weighed {
    pub(crate) account: Account,
    pub(crate) permit: Permit,
    version: Version,
    decided: Decided,
}

/// Asks the policy what it permits this session now.
///
/// `max_age` and `prompt=login` were met when the code was issued.
pub(crate) async fn weigh(
    wish: Wish<'_>,
    session: &Session,
    context: &Context<'_>,
) -> Result<Weighed, Failure> {
    let owner = session::owner(session, context).await;
    let owner = owner.map_err(|error| unavailable(&error, context))?;
    let (account, version) = owner.map_err(|why| OAuthError::invalid_grant(why.code()))?;
    let mappings = organization::mappings_behind(&session.evidence, context).await;
    let mappings = mappings.map_err(|error| unavailable(&error, context))?;
    let waivers = organization::waivers_of(wish.organization, context).await;
    let facts = Facts {
        client: wish.client.clone(),
        scopes: wish.scopes,
        organization: wish.organization.cloned(),
        manages: None,
        demands: Demands {
            acr_values: wish.acr_values.to_vec(),
            ..Demands::default()
        },
        login: Login::of(&session.evidence, &mappings),
        mappings,
        waivers: waivers.map_err(|error| unavailable(&error, context))?,
        identity_changed: false,
        withdrawn: false,
        account: context.broker.calendar.facts(&account),
        remedy: Remedy::Nothing,
        session_expires_at: Some(session.expires_at),
        stated: wish.stated.cloned(),
        key_made_at: None,
    };
    let (decision, at) = decide_for_a_token(&facts, context);
    let decided = Decided {
        on: wish.occasion,
        at,
        verdict: Verdict::from(&decision),
        facts,
    };
    match decision {
        Decision::Permit(permit) => Ok(Weighed {
            account,
            permit,
            version,
            decided,
        }),
        Decision::Refuse(Refusal { reasons, .. }) | Decision::StepUp(StepUp { reasons, .. }) => {
            audit_refusal(wish.client, session, &reasons, context).await;
            context.log_decision(decided);
            let reason = reasons
                .first()
                .map_or("mfa-unknown", |reason| reason.code());
            Err(OAuthError::invalid_grant(reason))
        }
    }
}

/// The decision, and its moment: now, or the next second where something that it would rest on ends within
/// this one. Tokens count in whole seconds, and what ends so soon can be in none of them.
fn decide_for_a_token(facts: &Facts, context: &Context<'_>) -> (Decision, Timestamp) {
    let now = context.now;
    let decision = decide(context.policy(), facts, now);
    let ends_at_once = |permit: &Permit| {
        let end = permit.not_after();
        end.is_some_and(|end| end.as_second() <= now.as_second())
    };
    match decision {
        Decision::Permit(permit) if ends_at_once(&permit) => {
            let next_second = Timestamp::from_second(now.as_second() + 1).unwrap_or(now);
            let later = decide(context.policy(), facts, next_second);
            (later, next_second)
        }
        decision => (decision, now),
    }
}

impl Weighed {
    /// Writes the decision down, now that tokens follow from it, and keeps the day that they tell.
    pub(crate) async fn keep(self, context: &Context<'_>) -> Result<(Account, Permit), Failure> {
        context.log_decision(self.decided);
        let told = self.account.told_due;
        let day = self.permit.mfa_due();
        if let Some(day) = day.filter(|day| told.is_none_or(|told| *day < told)) {
            let kept = tell(&self.account, self.version, day, context).await;
            kept.map_err(|error| unavailable(&error, context))?;
        }
        Ok((self.account, self.permit))
    }
}

impl Weighed {
    /// Writes down that nothing follows from it: the provider was asked again, and no longer confirms the login.
    pub(crate) async fn withdraw(self, session: &Session, context: &Context<'_>) -> Failure {
        let Decided { on, at, facts, .. } = self.decided;
        let facts = Facts {
            withdrawn: true,
            ..facts
        };
        let decision = decide(context.policy(), &facts, at);
        let reasons = [Reason::ProviderWithdrew];
        audit_refusal(&facts.client, session, &reasons, context).await;
        context.log_decision(Decided {
            on,
            at,
            verdict: Verdict::from(&decision),
            facts,
        });
        OAuthError::invalid_grant(Reason::ProviderWithdrew.code())
    }
}

/// Writes down that a client gets nothing for a session: once in a while, however often it asks.
async fn audit_refusal(
    client: &ClientId,
    session: &Session,
    reasons: &[Reason],
    context: &Context<'_>,
) {
    let reason = reasons
        .first()
        .map_or("mfa-unknown", |reason| reason.code());
    let until = context.now.saturating_add(AGAIN).unwrap_or(Timestamp::MAX);
    let parts = [session.id.as_str(), client.as_str(), reason];
    let first = is_first(Kind::TokenRefused, &parts, until, context).await;
    // What can't be remembered is written down rather than not.
    if matches!(first, Ok(false)) {
        return;
    }
    context.audit(
        Happening::new(Event::TokenRefused, client)
            .about(Subject::Account, &session.account)
            .about(Subject::Session, &session.id)
            .because(reason),
    );
}
