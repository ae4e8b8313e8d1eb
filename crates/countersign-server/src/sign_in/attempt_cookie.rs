//! A sign-in on its way, sealed in a cookie of its own in the browser that began it.
//!
//! One cookie per attempt, so that two tabs do not disturb each other, and nothing is stored
//! here for people who never come back. At most four per browser, 2 KiB each, for an hour.

use actix_web::cookie::{Cookie, SameSite, time::Duration};
use countersign_core::sign_in::{Attempt, Flow, Leg};
use countersign_core::{AttemptId, Evidence, TracePlace};
use countersign_providers::ProviderError;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::{Failure, Problem, SignInFailure, Why};
use crate::seal::{Place, Purpose};
use crate::web::{Context, cookie};

/// The prefix binds the cookie to this very host, to `/` and to a secure origin
/// (draft-ietf-httpbis-rfc6265bis 4.1.3.2).
const PREFIX: &str = "__Host-countersign-";
/// The longest sealed value, in bytes.
const LONGEST: usize = 2 * 1024;
/// How many attempts one browser may have under way.
const MOST_ATTEMPTS: usize = 4;
/// How long a verified answer waits between a `form_post` and the GET that follows, in minutes.
const EVIDENCE_MINUTES: i64 = 5;

/// What a verified answer waits for in the browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Wait {
    /// The GET that follows a `form_post` at once.
    Redirect,
    /// A person who reads the reminder, and may set up a second factor before going on.
    Reminder,
}

impl Wait {
    /// Until when it may wait.
    fn until(self, attempt: &Attempt, evidence: &Evidence) -> Timestamp {
        match self {
            Self::Redirect => evidence.verified_at + SignedDuration::from_mins(EVIDENCE_MINUTES),
            Self::Reminder => attempt.expires_at,
        }
    }
}

/// An attempt as it is sealed: where its trace began besides, if traces are collected.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed<A> {
    #[serde(flatten)]
    attempt: A,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<TracePlace>,
}

/// A verified answer of a provider's, on its way from one request to the next.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Arrived {
    /// The `state` of the visit that it answers.
    pub(crate) state: String,
    /// What it waits for: the time that it may take hangs on that.
    pub(crate) wait: Wait,
    pub(crate) evidence: Evidence,
}

/// The cookies that put an attempt in the browser, and take the oldest away where there are too many.
pub(crate) fn put(
    attempt: &Attempt,
    context: &Context<'_>,
) -> Result<Vec<Cookie<'static>>, Failure> {
    let trace = context.trace();
    let value = Sealed { attempt, trace };
    let (name, sealed) = seal(&value, attempt, Purpose::Attempt, context)?;
    let mut cookie = cookie(name.clone(), sealed, Some(Duration::minutes(60)));
    // A `form_post` is a cross-site POST, on which a Lax cookie does not travel.
    cookie.set_same_site(match attempt.visit.flow {
        Flow::Hybrid => SameSite::None,
        Flow::Code => SameSite::Lax,
    });
    let mut cookies = crowded_out(context, &name);
    cookies.push(cookie);
    Ok(cookies)
}

/// The attempt that a `state` belongs to, if this browser began it and it is still open.
pub(crate) fn open(state: &str, provider: &str, context: &Context<'_>) -> Result<Attempt, Failure> {
    let missing = || Failure::Page(Problem::AttemptMissing);
    let Sealed::<Attempt> { attempt, trace } =
        unseal(state, provider, Purpose::Attempt, context).ok_or_else(missing)?;
    context.continue_trace(trace.as_ref());
    let same = subtle::ConstantTimeEq::ct_eq(attempt.visit.state.as_bytes(), state.as_bytes());
    match (bool::from(same), attempt.expires_at > context.now) {
        (true, true) => Ok(attempt),
        (true, false) => Err(Failure::Page(Problem::AttemptExpired)),
        // The browser has gone on with this attempt since: the back button, or a reload.
        (false, _) if attempt.leg != Leg::First => Err(SignInFailure::failure(
            attempt.request,
            attempt.provider,
            Why::LegPassed,
        )),
        (false, _) => Err(missing()),
    }
}

/// Seals a verified answer for the request that follows.
pub(crate) fn put_evidence(
    attempt: &Attempt,
    evidence: Evidence,
    wait: Wait,
    context: &Context<'_>,
) -> Result<Cookie<'static>, Failure> {
    let lifetime = wait.until(attempt, &evidence).duration_since(context.now);
    let arrived = Arrived {
        state: attempt.visit.state.clone(),
        wait,
        evidence,
    };
    let sealed = seal(&arrived, attempt, Purpose::Evidence, context);
    // Names and addresses are cut short; what can be this long is what expressions of the policy read.
    let (name, sealed) = sealed.map_err(|_| {
        let fault = "the claims that the policy names are more than a cookie holds";
        let why = Why::Provider(ProviderError::Answer(fault));
        SignInFailure::failure(attempt.request.clone(), attempt.provider.clone(), why)
    })?;
    let lifetime = Duration::seconds(lifetime.as_secs());
    Ok(cookie(name, sealed, Some(lifetime)))
}

/// The verified answer that arrived for this very visit.
pub(crate) fn open_evidence(
    attempt: &Attempt,
    wait: Wait,
    context: &Context<'_>,
) -> Option<Evidence> {
    let provider = attempt.provider.as_str();
    let arrived: Arrived = unseal(&attempt.visit.state, provider, Purpose::Evidence, context)?;
    // The browser is told to forget the cookie by then; a browser need not do as it is told.
    let in_time = context.now <= wait.until(attempt, &arrived.evidence);
    let is_this = arrived.state == attempt.visit.state && arrived.wait == wait;
    (is_this && in_time).then_some(arrived.evidence)
}

/// The cookies that take an attempt out of the browser.
pub(crate) fn remove(id: &AttemptId) -> [Cookie<'static>; 2] {
    [Purpose::Attempt, Purpose::Evidence].map(|purpose| emptied(name(id, purpose)))
}

/// The attempt that a `state` names. Every leg has a `state` of its own; all begin with the attempt's id.
pub(crate) fn attempt_of(state: &str) -> Option<AttemptId> {
    AttemptId::new(state.split_once('.')?.0).ok()
}

/// A value of this attempt's, sealed, with the name of the cookie that it is sealed for.
fn seal(
    value: &impl Serialize,
    attempt: &Attempt,
    purpose: Purpose,
    context: &Context<'_>,
) -> Result<(String, String), Failure> {
    let name = name(&attempt.id, purpose);
    let place = Place {
        name: &name,
        party: attempt.provider.as_str(),
        purpose,
    };
    let broker = context.broker;
    let sealed = broker.sealer.seal(value, place, broker.entropy.as_ref());
    match sealed.filter(|sealed| sealed.len() <= LONGEST) {
        Some(sealed) => Ok((name, sealed)),
        None => Err(Failure::Page(Problem::TooLarge)),
    }
}

fn unseal<T: serde::de::DeserializeOwned>(
    state: &str,
    provider: &str,
    purpose: Purpose,
    context: &Context<'_>,
) -> Option<T> {
    let name = name(&attempt_of(state)?, purpose);
    let sealed = context.only_cookie(&name)?;
    let place = Place {
        name: &name,
        party: provider,
        purpose,
    };
    context.broker.sealer.open(sealed, place)
}

fn name(id: &AttemptId, purpose: Purpose) -> String {
    format!("{PREFIX}{}-{id}", purpose.as_str())
}

fn emptied(name: String) -> Cookie<'static> {
    cookie(name, String::new(), Some(Duration::ZERO))
}

/// Takes the oldest attempts away. Browsers send older cookies first (RFC 6265 5.4).
fn crowded_out(context: &Context<'_>, newcomer: &str) -> Vec<Cookie<'static>> {
    let prefix = format!("{PREFIX}attempt-");
    let others: Vec<AttemptId> = context
        .cookies()
        .filter(|(name, _)| *name != newcomer)
        .filter_map(|(name, _)| AttemptId::new(name.strip_prefix(&prefix)?).ok())
        .collect();
    let surplus = (others.len() + 1).saturating_sub(MOST_ATTEMPTS);
    let was_sent = |cookie: &Cookie<'_>| context.cookies().any(|(name, _)| name == cookie.name());
    // With the attempt goes its answer, where one waits.
    let gone = others.iter().take(surplus).flat_map(remove);
    gone.filter(was_sent).collect()
}
