//! What the decision says is done: the one place where a sign-in ends.

use actix_web::HttpResponse;
use countersign_core::sign_in::{Attempt, Destination, Known, Next, Request};
use countersign_core::{AttemptId, Evidence, Occasion, Permit, ProviderId, SessionId};
use countersign_store::{Opening, Session, StoreError};

use super::account::Candidate;
use super::code::NewCode;
use super::reminder::{self, Reminder};
use super::{attempt_cookie, depart, push};
use crate::audit::{By, Event, Happening, Subject};
use crate::error::{Failure, Problem, SignInFailure, Why};
use crate::web::{Context, Decided, with_cookies};
use crate::{account, organization, session};

/// Weighs the evidence and does what follows: a code, one more visit to the provider, or a page.
pub(crate) async fn finish(
    attempt: Attempt,
    mut evidence: Evidence,
    reminder: Reminder,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let ending = Ending::of(&attempt);
    let identity = evidence.identity.clone();
    let remedy = depart::upstream(&attempt.provider, context)?.remedy();
    let found = Candidate::find(&evidence, context).await;
    let candidate = found.map_err(|error| ending.fail(Why::Store(error)))?;
    if !ending.is_meant(&candidate) {
        ending.audit_refusal("other-account", &candidate, context);
        return Err(ending.fail(Why::OtherAccount));
    }
    let mappings = organization::trim(&mut evidence, &attempt.request.destination, context).await;
    let asked = attempt.request.organization.as_ref();
    let waivers = organization::waivers_of(asked, context).await;
    let known = Known {
        account: candidate.facts(context),
        mappings: mappings.map_err(|error| ending.fail(Why::Store(error)))?,
        waivers: waivers.map_err(|error| ending.fail(Why::Store(error)))?,
    };
    let step = attempt
        .clone()
        .advance(context.policy(), &evidence, known, remedy, context.now);
    if let (Next::Issue(permit), Reminder::WhereDue) = (&step.next, reminder)
        && attempt.request.destination.is_sign_in()
    {
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
        facts: step.facts.clone(),
    });
    match step.next {
        Next::Issue(permit) => {
            let spent = (&ending.id, ending.expires_at);
            let shown = (permit.as_ref(), &evidence);
            match &attempt.request.destination {
                Destination::Connection(connecting) => {
                    organization::proven(spent, connecting, shown, context).await
                }
                Destination::Link(linking) => account::link(spent, linking, shown, context).await,
                Destination::RedirectUri(_) | Destination::Device(_) | Destination::Page(_) => {
                    ending.issue(&permit, candidate, evidence, context).await
                }
            }
        }
        Next::StepUp(stepping_up) => depart::again(*stepping_up, &ending.id, context).await,
        Next::Refuse(refusal) => {
            ending.audit_refusal(refusal.reason().code(), &candidate, context);
            let counted = context.broker.limits.login_refused(&identity, context.now);
            counted
                .await
                .map_err(|too_many| Failure::Page(Problem::TooMany(too_many)))?;
            Err(ending.fail(Why::Refused(refusal)))
        }
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

    /// Whether the client means this account, if it means one.
    fn is_meant(&self, candidate: &Candidate) -> bool {
        let subject = self.request.subject.as_ref();
        subject.is_none_or(|subject| subject == candidate.id())
    }

    fn fail(&self, why: Why) -> Failure {
        SignInFailure::failure(self.request.clone(), self.provider.clone(), why)
    }

    /// Writes down that somebody who showed who they are was not let in.
    fn audit_refusal(&self, reason: &'static str, who: &Candidate, context: &Context<'_>) {
        let actor = who.known_id().map_or(By::Nobody, By::from);
        context.audit(
            Happening::new(Event::SignInRefused, actor)
                .about(Subject::Client, &self.request.client)
                .about(Subject::Provider, &self.provider)
                .about_any(Subject::Account, who.known_id())
                .because(reason),
        );
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
        match push::spend(&self.request, context).await {
            Ok(true) => {}
            Ok(false) => return Err(self.fail(Why::AttemptSpent)),
            Err(error) => return Err(self.fail(Why::Store(error))),
        }
        let id = SessionId::of(&self.id);
        let new = NewCode::of(&id, &self.request, context).await?;
        let earlier = if new.is_for_browser() {
            let earlier = session::earlier(&account, context).await;
            earlier.map_err(|error| self.fail(Why::Store(error)))?
        } else {
            Vec::new()
        };
        let session = Session {
            id,
            account,
            evidence,
            opened_at: context.now,
            expires_at: new.session_ends_at(context.now + context.policy().lifetimes().session),
            earlier,
        };
        let cookie = new
            .is_for_browser()
            .then(|| session::put(&session.id, context))
            .transpose()?;
        let opened = (session.id.clone(), session.account.clone());
        let opening = self.opening(session, &new, context);
        match broker.store.open_session(opening, context.now).await {
            Ok(()) => {}
            Err(StoreError::AttemptSpent) => return Err(self.fail(Why::AttemptSpent)),
            Err(error) => return Err(self.fail(Why::Store(error))),
        }
        context.audit(
            Happening::new(Event::SignedIn, &opened.1)
                .about(Subject::Account, &opened.1)
                .about(Subject::Session, &opened.0)
                .about(Subject::Client, &self.request.client)
                .about(Subject::Provider, &self.provider)
                .about_any(Subject::Organization, self.request.organization.as_ref())
                .about_any(Subject::Exception, permit.waiver()),
        );
        let answer = new.hand_over(&self.request, context).await?;
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
        let cookies = attempt_cookie::remove(&self.id).into_iter().chain(cookie);
        with_cookies(answer, cookies)
    }

    fn opening(&self, session: Session, new: &NewCode, context: &Context<'_>) -> Opening {
        Opening {
            attempt: self.id.clone(),
            attempt_remembered_until: self.expires_at,
            session,
            idle_until: context.now + context.policy().lifetimes().session_idle,
            code_digest: new.digest().digest,
            code: new.code().clone(),
        }
    }
}
