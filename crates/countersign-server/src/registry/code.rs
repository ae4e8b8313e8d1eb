//! One-time codes, which people type in the place of a password: of a live session, for one registry, for minutes.
//!
//! A code is one as any client gets it for a session ([`FurtherCode`]), under a digest of its own: it can be taken here
//! and for this registry, and nowhere else. It has 256 random bits, so that nobody guesses one; and taken twice it ends the
//! session, since one of the two is not whom it was shown to.
//!
//! Where a tool asks its user for a code besides, it is short ([`typed`]), and is also looked at to confirm what the tool does: see
//! [`confirms`].

use aws_lc_rs::digest::{SHA256, digest};
use countersign_core::registry::StepUpStyle;
use countersign_core::{AttemptId, SessionId};
use countersign_store::{Code, CodeDigest, FurtherCode, Session, StoreError};
use jiff::SignedDuration;

use super::{Registry, typed};
use crate::edge::RandomText;
use crate::error::{Failure, OAuthError, Problem, page_of_store};
use crate::token::{take, unavailable};
use crate::web::Context;

/// The user name of who does not want to say theirs.
pub(super) const ANY_USER: &str = "countersign";
/// For how long a code is good: it is typed at once.
const LIFETIME: SignedDuration = SignedDuration::from_mins(5);
/// What tells it from other secrets, for scanners of source code.
pub(super) const PREFIX: &str = "csoc_";

/// A code for this session.
pub(super) async fn make(
    registry: &Registry,
    session: &Session,
    context: &Context<'_>,
) -> Result<String, Failure> {
    let broker = context.broker;
    let stands_for = stands_for(registry, context);
    let (secret, shown) = match registry.profile.step_up {
        Some(StepUpStyle::GemOtp) => {
            let letters = typed::new(context);
            let of = (&session.id, &stands_for);
            let kept = typed::keep(&letters, of, registry, context).await;
            kept.map_err(|error| page_of_store(&error, context))?;
            let shown = typed::shown(&letters);
            (letters, shown)
        }
        Some(StepUpStyle::NpmOtp) | None => {
            let secret = broker.entropy.secret();
            let shown = format!("{PREFIX}{}.{secret}", session.id.code_prefix());
            (secret, shown)
        }
    };
    let further = FurtherCode {
        digest: digest_of(&session.id, &secret, registry),
        code: stands_for,
        idle_until: context.now + context.policy().lifetimes().session_idle,
    };
    let kept = broker.store.hand_over(further, context.now).await;
    if !kept.map_err(|error| page_of_store(&error, context))? {
        return Err(Failure::Page(Problem::SignedOut));
    }
    Ok(shown)
}

/// Whether a text looks like one.
pub(super) fn could_be(text: &str) -> bool {
    parts(text).is_some()
}

/// The live session of a code that somebody typed to confirm what their tool does. To look at it takes nothing: one request is
/// judged more than once, and one command makes several.
pub(super) async fn confirms(
    text: &str,
    registry: &Registry,
    context: &Context<'_>,
) -> Result<Option<Session>, StoreError> {
    let Some(letters) = typed::read(text) else {
        return Ok(None);
    };
    match typed::session_of(&letters, registry, context).await? {
        Some(session) => context.reads.session(&session).await,
        None => Ok(None),
    }
}

/// Takes one, as it was typed; `None` where it is none, was taken before, or is too old.
pub(super) async fn spend(
    text: &str,
    registry: &Registry,
    context: &Context<'_>,
) -> Result<Option<Session>, Failure> {
    let found = of_session(text, registry, context).await;
    let found = found.map_err(|error| unavailable(&error, context))?;
    let Some((session, secret)) = found else {
        return Ok(None);
    };
    let digest = digest_of(&session, &secret, registry);
    let client = &registry.client;
    // Its digest says already whom it is for.
    let fits = |code: &Code| {
        let other = || OAuthError::invalid_grant("the code is another client's");
        (code.client == *client).then_some(()).ok_or_else(other)
    };
    match take(&digest, client, fits, context).await {
        Ok((_, session)) => Ok(Some(session)),
        Err(failure) if OAuthError::of_grant(&failure).is_some() => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Of which session one is, and its secret.
async fn of_session(
    text: &str,
    registry: &Registry,
    context: &Context<'_>,
) -> Result<Option<(SessionId, String)>, StoreError> {
    match registry.profile.step_up {
        Some(StepUpStyle::GemOtp) => {
            let Some(letters) = typed::read(text) else {
                return Ok(None);
            };
            let session = typed::session_of(&letters, registry, context).await?;
            Ok(session.map(|session| (session, letters)))
        }
        Some(StepUpStyle::NpmOtp) | None => {
            Ok(parts(text).map(|(session, secret)| (session, secret.to_owned())))
        }
    }
}

fn parts(text: &str) -> Option<(SessionId, &str)> {
    let (session, secret) = text.strip_prefix(PREFIX)?.split_once('.')?;
    Some((SessionId::of(&AttemptId::new(session).ok()?), secret))
}

/// What whoever types one is told that is no good.
pub(super) const SPENT: &str = "The one-time code was used before, or is older than five minutes.";

fn stands_for(registry: &Registry, context: &Context<'_>) -> Code {
    Code {
        client: registry.client.clone(),
        redirect_uri: None,
        code_challenge: None,
        nonce: None,
        scopes: registry.scopes(context).into_iter().collect(),
        organization: None,
        acr_values: Vec::new(),
        resource: None,
        dpop_jkt: None,
        trace: context.trace(),
        expires_at: context.now + LIFETIME,
    }
}

/// No code of a client's, and none of another registry's, has this digest.
fn digest_of(session: &SessionId, secret: &str, registry: &Registry) -> CodeDigest {
    let named = format!("registry\n{}\n{secret}", registry.name);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, named.as_bytes()).as_ref());
    CodeDigest {
        session: session.clone(),
        digest: bytes,
    }
}
