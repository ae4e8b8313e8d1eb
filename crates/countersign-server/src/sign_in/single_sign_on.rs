//! Single sign-on: a request is answered from the session that this browser has, where the policy says that
//! its evidence is good for it.
//!
//! The policy is asked as for a login that has just come back from the provider. Where it is not content,
//! or would leave anything out, the person signs in, and a new session begins.

use actix_web::HttpResponse;
use countersign_core::sign_in::Destination;
use countersign_core::{
    Decision, Facts, Login, Occasion, Permit, ProviderId, Reason, Refusal, StepUp, Verdict, decide,
};
use countersign_store::{FurtherCode, Session, StoreError};

use super::code::NewCode;
use super::push;
use super::request::{Checked, Fail, Interaction};
use crate::audit::{Event, Happening, Subject};
use crate::error::{Failure, Problem, of_store};
use crate::web::{Context, Decided};
use crate::{organization, own, session};

/// What becomes of a request.
pub(super) enum Turn {
    /// The session answers it.
    Answered(HttpResponse),
    /// The person signs in.
    SignIn(Option<Suggestion>),
}

/// Where the person's session is from, which is where they can show more.
pub(super) struct Suggestion {
    pub(super) provider: ProviderId,
    pub(super) login_hint: Option<String>,
}

/// Answers a request from this browser's session, or says that the person is to sign in.
///
/// Under `prompt=none` the person can't: the client is told what they would be asked for (Core 3.1.2.6).
pub(super) async fn answer(checked: &Checked, context: &Context<'_>) -> Result<Turn, Failure> {
    if checked.interaction == Interaction::Demanded {
        return Ok(Turn::SignIn(None));
    }
    let fail = Fail::of(&checked.request);
    let found = usable(checked, context).await;
    let found = found.map_err(|error| of_store(&error, unavailable(&fail), context))?;
    let Some((session, decided)) = found else {
        return match checked.interaction {
            Interaction::Forbidden => Err(fail.with("login_required", "nobody is signed in here")),
            Interaction::AsNeeded | Interaction::Demanded => Ok(Turn::SignIn(None)),
        };
    };
    match (decided.decision, checked.interaction) {
        (Decision::Permit(permit), interaction)
            if permit.unmet().is_empty() || interaction == Interaction::Forbidden =>
        {
            context.log_decision(decided.line);
            hand_over(checked, &session, &permit, context).await
        }
        (
            Decision::Refuse(Refusal { reasons, .. }) | Decision::StepUp(StepUp { reasons, .. }),
            Interaction::Forbidden,
        ) => {
            context.log_decision(decided.line);
            Err(unmet(&fail, &reasons))
        }
        (Decision::StepUp(_), _) => Ok(Turn::SignIn(Some(Suggestion {
            provider: session.evidence.provider.clone(),
            login_hint: session.evidence.profile.login_hint.clone(),
        }))),
        // The provider can't show more; another may.
        (Decision::Permit(_) | Decision::Refuse(_), _) => Ok(Turn::SignIn(None)),
    }
}

struct Weighed {
    decision: Decision,
    line: Decided,
}

/// This browser's session, if it may answer the request at all, and what the policy says.
async fn usable(
    checked: &Checked,
    context: &Context<'_>,
) -> Result<Option<(Session, Weighed)>, StoreError> {
    let clients = &context.broker.settings.clients;
    let request = &checked.request;
    let is_assured = match &request.destination {
        Destination::RedirectUri(uri) => {
            let client = clients.get(&request.client);
            client.is_some_and(|client| client.is_assured_at(uri))
        }
        // Nobody can be where our own pages are.
        Destination::Page(_) => true,
        Destination::Device(_) | Destination::Connection(_) | Destination::Link(_) => false,
    };
    let found = session::of_browser(context).await?;
    let Some((session, account)) = found.filter(|(one, _)| is_assured && is_meant(checked, one))
    else {
        return Ok(None);
    };
    let Some(provider) = context.broker.providers.get(&session.evidence.provider) else {
        return Ok(None);
    };
    let mappings = organization::mappings_behind(&session.evidence, context).await?;
    let facts = Facts {
        client: request.client.clone(),
        scopes: request.scopes.clone(),
        organization: request.organization.clone(),
        manages: request.manages.clone(),
        demands: request.demands.clone(),
        login: Login::of(&session.evidence, &mappings),
        mappings,
        waivers: organization::waivers_of(request.organization.as_ref(), context).await?,
        identity_changed: false,
        withdrawn: false,
        account: context.broker.calendar.facts(&account),
        remedy: provider.remedy(),
        session_expires_at: Some(session.expires_at),
        stated: None,
        key_made_at: None,
    };
    let decision = decide(context.policy(), &facts, context.now);
    let line = Decided {
        on: Occasion::SingleSignOn,
        at: context.now,
        verdict: Verdict::from(&decision),
        facts,
    };
    Ok(Some((session, Weighed { decision, line })))
}

/// Whether the request means this person at this provider, as far as it says.
fn is_meant(checked: &Checked, session: &Session) -> bool {
    let evidence = &session.evidence;
    let provider = checked.provider.as_ref();
    let tenant = checked.tenant.as_ref();
    let subject = checked.request.subject.as_ref();
    provider.is_none_or(|named| *named == evidence.provider)
        && tenant.is_none_or(|named| Some(named) == evidence.tenant())
        && subject.is_none_or(|named| *named == session.account)
        && checked
            .login_hint
            .as_ref()
            .is_none_or(|hint| is_hinted(hint, session))
}

fn is_hinted(hint: &str, session: &Session) -> bool {
    let profile = &session.evidence.profile;
    let address = profile.email.as_ref().map(|email| &email.address);
    let mut names = address.into_iter().chain(&profile.login_hint);
    names.any(|name| name.eq_ignore_ascii_case(hint))
}

/// What the client is told where the person may not be asked (Core 3.1.2.6).
fn unmet(fail: &Fail<'_>, reasons: &[Reason]) -> Failure {
    let reason = reasons.first().copied().unwrap_or(Reason::MfaUnknown);
    let error = match reason {
        Reason::AuthTimeAbsent
        | Reason::AuthTooOld
        | Reason::EvidenceTooOld
        | Reason::ReauthenticationNotShown
        | Reason::MembershipStale
        | Reason::ProviderNotAdmitted => "login_required",
        Reason::AccountLocked | Reason::NotAnOperator => "access_denied",
        Reason::MfaAbsent
        | Reason::MfaUnknown
        | Reason::EvidenceMalformed
        | Reason::EvidenceContradictory
        | Reason::TenantContextUnnamed
        | Reason::MethodNeverCounts
        | Reason::PhishingResistantAbsent
        | Reason::BasisNotAccepted
        | Reason::AcrNotMet
        | Reason::EmailNotVerified
        | Reason::OrganizationNotShown
        | Reason::IdentityChanged
        | Reason::WeighedOtherwise
        | Reason::ProviderWithdrew
        | Reason::NotInPolicy => "interaction_required",
    };
    fail.with(error, reason.code())
}

fn unavailable(fail: &Fail<'_>) -> Failure {
    fail.with("temporarily_unavailable", "store-unavailable")
}

async fn hand_over(
    checked: &Checked,
    session: &Session,
    permit: &Permit,
    context: &Context<'_>,
) -> Result<Turn, Failure> {
    let (broker, request) = (context.broker, &checked.request);
    if let Destination::Page(path) = &request.destination {
        return Ok(Turn::Answered(own::arrive(path, context)));
    }
    let new = NewCode::of(&session.id, request, context).await?;
    let further = FurtherCode {
        digest: new.digest(),
        code: new.code().clone(),
        idle_until: context.now + context.policy().lifetimes().session_idle,
    };
    match push::spend(request, context).await {
        Ok(true) => {}
        Ok(false) => return Err(Failure::Page(Problem::RequestUri)),
        Err(error) => return Err(of_store(&error, unavailable(&Fail::of(request)), context)),
    }
    match broker.store.hand_over(further, context.now).await {
        Ok(true) => {}
        Ok(false) => return Ok(Turn::SignIn(None)), // it has ended since it was read
        Err(error) => return Err(of_store(&error, unavailable(&Fail::of(request)), context)),
    }
    context.audit(
        Happening::new(Event::SingleSignOn, &session.account)
            .about(Subject::Account, &session.account)
            .about(Subject::Session, &session.id)
            .about(Subject::Client, &request.client)
            .about_any(Subject::Organization, request.organization.as_ref())
            .about_any(Subject::Exception, permit.waiver()),
    );
    broker.metrics.single_sign_on(&request.client);
    tracing::info!(
        code = "permitted",
        request = %context.request_id,
        client = %request.client,
        provider = %session.evidence.provider,
        acr = %permit.acr(),
        unmet = permit.unmet().len(),
        waiver = permit.waiver().map(tracing::field::display),
        mfa_due = permit.mfa_due().map(tracing::field::display),
        "answered from a session",
    );
    Ok(Turn::Answered(new.hand_over(request, context).await?))
}
