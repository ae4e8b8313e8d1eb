//! What the decision says is done: the one place where a sign-in ends.

use actix_web::HttpResponse;
use aws_lc_rs::digest;
use countersign_core::sign_in::{Attempt, Next, Request};
use countersign_core::{AccountId, AttemptId, Evidence, Occasion, Permit, ProviderId, SessionId};
use countersign_store::{Code, Opening, Session, StoreError};

use super::account::Candidate;
use super::reminder::{self, Reminder};
use super::{attempt_cookie, depart};
use crate::edge::RandomText;
use crate::error::{Failure, SignInFailure, Why};
use crate::web::{Context, Decided, client_redirect, see_other};

/// Weighs the evidence and does what follows: a code, one more visit to the provider, or a page.
pub(crate) async fn finish(
    attempt: Attempt,
    evidence: Evidence,
    reminder: Reminder,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let ending = Ending::of(&attempt);
    let remedy = depart::upstream(&attempt.provider, context)?.remedy();
    let found = Candidate::find(&evidence, context).await;
    let candidate = found.map_err(|error| ending.fail(Why::Store(error)))?;
    let facts = candidate.facts(context);
    let step = attempt
        .clone()
        .advance(context.policy(), (&evidence, facts), remedy, context.now);
    if let (Next::Issue(permit), Reminder::WhereDue) = (&step.next, reminder) {
        let reached = (&evidence, permit.as_ref(), &candidate);
        if let Some(answer) = reminder::lead_to(&attempt, reached, context).await {
            // Nothing is issued yet: the decision is made anew, and written down, when the person goes on.
            return Ok(answer);
        }
    }
    context.log_decision(Decided {
        on: Occasion::SignIn,
        at: context.now,
        verdict: step.verdict,
        facts: step.facts,
    });
    match step.next {
        Next::Issue(permit) => ending.issue(&permit, candidate, evidence, context).await,
        Next::StepUp(stepping_up) => depart::again(*stepping_up, &ending.id, context).await,
        Next::Refuse(refusal) => Err(ending.fail(Why::Refused(refusal))),
    }
}

/// What is left of an attempt when it ends.
struct Ending {
    id: AttemptId,
    request: Request,
    provider: ProviderId,
    expires_at: jiff::Timestamp,
}

impl Ending {
    fn of(attempt: &Attempt) -> Self {
        Self {
            id: attempt.id.clone(),
            request: attempt.request.clone(),
            provider: attempt.provider.clone(),
            expires_at: attempt.expires_at,
        }
    }

    fn fail(&self, why: Why) -> Failure {
        SignInFailure::failure(self.request.clone(), self.provider.clone(), why)
    }

    /// Opens the session, spends the attempt, and sends the person back with a code: in one operation.
    async fn issue(
        self,
        permit: &Permit,
        candidate: Candidate,
        evidence: Evidence,
        context: &Context<'_>,
    ) -> Result<HttpResponse, Failure> {
        let broker = context.broker;
        let account = candidate.remember(permit, &evidence, context).await;
        let account = account.map_err(|error| self.fail(Why::Store(error)))?;
        let secret = broker.entropy.secret();
        let opening = self.opening(account, &secret, evidence, context);
        match broker.store.open_session(opening, context.now).await {
            Ok(()) => {}
            Err(StoreError::AttemptSpent) => return Err(self.fail(Why::AttemptSpent)),
            Err(error) => return Err(self.fail(Why::Store(error))),
        }
        broker.metrics.sign_in_permitted(&self.provider);
        tracing::info!(
            code = "permitted",
            request = %context.request_id,
            client = %self.request.client,
            provider = %self.provider,
            acr = %permit.acr(),
            unmet = permit.unmet().len(),
            waiver = permit.waiver().map(tracing::field::display),
            mfa_due = permit.mfa_due().map(tracing::field::display),
            "sign-in finished",
        );
        let code = format!("{}.{secret}", self.id);
        let mut parameters = vec![("code", code.as_str())];
        parameters.extend(self.request.state.as_deref().map(|state| ("state", state)));
        let issuer = broker.settings.issuer();
        let location = client_redirect(&self.request.redirect_uri, &parameters, issuer);
        depart::with_cookies(see_other(&location), attempt_cookie::remove(&self.id))
    }

    fn opening(
        &self,
        account: AccountId,
        secret: &str,
        evidence: Evidence,
        context: &Context<'_>,
    ) -> Opening {
        let lifetimes = context.policy().lifetimes();
        let mut code_digest = [0; 32];
        code_digest.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
        let request = &self.request;
        Opening {
            attempt: self.id.clone(),
            attempt_remembered_until: self.expires_at,
            session: Session {
                id: SessionId::of(&self.id),
                account,
                evidence,
                opened_at: context.now,
                expires_at: context.now + lifetimes.session,
            },
            idle_until: context.now + lifetimes.session_idle,
            code_digest,
            code: Code {
                client: request.client.clone(),
                redirect_uri: request.redirect_uri.clone(),
                code_challenge: request.code_challenge.clone(),
                nonce: request.nonce.clone(),
                scopes: request.scopes.iter().cloned().collect(),
                organization: request.organization.clone(),
                acr_values: request.demands.acr_values.clone(),
                expires_at: context.now + lifetimes.code,
            },
        }
    }
}
