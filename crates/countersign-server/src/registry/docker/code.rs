//! One-time codes, which people type in the place of a password: of a live session, for one registry, for minutes.
//!
//! A code is one as any client gets it for a session ([`FurtherCode`]), under a digest of its own: it can be taken here
//! and for this registry, and nowhere else. It is 256 random bits, so that nobody guesses one; and taken twice it ends the session,
//! since one of the two is not whom it was shown to.

use aws_lc_rs::digest::{SHA256, digest};
use countersign_core::{AttemptId, SessionId};
use countersign_store::{Code, CodeDigest, FurtherCode, Session};
use jiff::SignedDuration;

use super::Oci;
use crate::edge::RandomText;
use crate::error::{DockerError, Failure, OAuthError, Problem, page_of_store};
use crate::token::take;
use crate::web::Context;

/// For how long a code is good: it is typed at once.
pub(super) const LIFETIME: SignedDuration = SignedDuration::from_mins(5);
/// What tells it from other secrets, for scanners of source code.
const PREFIX: &str = "csoc_";

/// A code for this session.
pub(super) async fn make(
    oci: Oci<'_>,
    session: &Session,
    context: &Context<'_>,
) -> Result<String, Failure> {
    let broker = context.broker;
    let secret = broker.entropy.secret();
    let further = FurtherCode {
        digest: digest_of(&session.id, &secret, oci),
        code: stands_for(oci, context),
        idle_until: context.now + context.policy().lifetimes().session_idle,
    };
    let kept = broker.store.hand_over(further, context.now).await;
    if !kept.map_err(|error| page_of_store(&error, context))? {
        return Err(Failure::Page(Problem::SignedOut));
    }
    Ok(format!("{PREFIX}{}.{secret}", session.id.code_prefix()))
}

/// Whether a text looks like one.
pub(super) fn could_be(text: &str) -> bool {
    parts(text).is_some()
}

/// Takes one, as it was typed.
pub(super) async fn spend(
    text: &str,
    oci: Oci<'_>,
    context: &Context<'_>,
) -> Result<Session, Failure> {
    let spent = || oci.refuse(SPENT, context);
    let (session, secret) = parts(text).ok_or_else(spent)?;
    let digest = digest_of(&session, secret, oci);
    let client = &oci.registry.client;
    // Its digest says already whom it is for.
    let fits = |code: &Code| {
        let other = || OAuthError::invalid_grant("the code is another client's");
        (code.client == *client).then_some(()).ok_or_else(other)
    };
    match take(&digest, client, fits, context).await {
        Ok((_, session)) => Ok(session),
        Err(failure) if OAuthError::of_grant(&failure).is_some() => Err(spent()),
        Err(failure) => Err(DockerError::of(failure)),
    }
}

fn parts(text: &str) -> Option<(SessionId, &str)> {
    let (session, secret) = text.strip_prefix(PREFIX)?.split_once('.')?;
    Some((SessionId::of(&AttemptId::new(session).ok()?), secret))
}

const SPENT: &str = "The one-time code was used before, or is older than five minutes.";

fn stands_for(oci: Oci<'_>, context: &Context<'_>) -> Code {
    Code {
        client: oci.registry.client.clone(),
        redirect_uri: None,
        code_challenge: None,
        nonce: None,
        scopes: oci.rights.scopes().into_iter().collect(),
        organization: None,
        acr_values: Vec::new(),
        resource: None,
        dpop_jkt: None,
        trace: context.trace(),
        expires_at: context.now + LIFETIME,
    }
}

/// No code of a client's, and none of another registry's, has this digest.
fn digest_of(session: &SessionId, secret: &str, oci: Oci<'_>) -> CodeDigest {
    let named = format!("registry\n{}\n{secret}", oci.name);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, named.as_bytes()).as_ref());
    CodeDigest {
        session: session.clone(),
        digest: bytes,
    }
}
