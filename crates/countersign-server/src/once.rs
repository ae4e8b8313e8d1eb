//! What may come only once, whichever replica it comes to: assertions, proofs, pushed requests.

use aws_lc_rs::digest::{Context as Digest, SHA256};
use countersign_store::{Once, Seen, StoreError};
use jiff::Timestamp;

use crate::web::Context;

/// What is remembered. Each kind is apart from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The `jti` by which a client said who it is.
    ClientAssertion,
    /// A proof that somebody holds a key.
    DpopProof,
    /// A pushed request, for which a code has been given.
    PushedRequest,
    /// A token without a session that was revoked.
    RevokedToken,
    /// A sign-in by which somebody has shown that they speak for a tenant.
    Connection,
    /// A sign-in by which an identity was linked.
    Link,
    /// That a client gets no tokens for a session any more, written down.
    TokenRefused,
    /// That whoever is due is forgotten, on this day.
    Retention,
    /// That owners of API keys are told of their end, in this hour.
    KeyNotices,
    /// A registry's ticket, brought.
    Ticket,
    /// That one was brought once more, written down.
    TicketAgain,
    /// What was made of one, and for whom.
    TicketUse,
    /// A tool's token for one request.
    BoundToken,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::ClientAssertion => "client-assertion",
            Self::DpopProof => "dpop-proof",
            Self::PushedRequest => "pushed-request",
            Self::RevokedToken => "revoked-token",
            Self::Connection => "connection",
            Self::Link => "link",
            Self::TokenRefused => "token-refused",
            Self::Retention => "retention",
            Self::KeyNotices => "key-notices",
            Self::Ticket => "ticket",
            Self::TicketAgain => "ticket-again",
            Self::TicketUse => "ticket-use",
            Self::BoundToken => "bound-token",
        }
    }
}

/// Whether what these parts name comes for the first time, and is remembered from now on until then.
pub(crate) async fn is_first(
    kind: Kind,
    parts: &[&str],
    until: Timestamp,
    context: &Context<'_>,
) -> Result<bool, StoreError> {
    let store = &context.broker.store;
    let seen = store
        .remember(&key(kind, parts), until, context.now)
        .await?;
    Ok(seen == Seen::First)
}

/// Whether what these parts name has come, and its time has not passed.
pub(crate) async fn has_come(
    kind: Kind,
    parts: &[&str],
    context: &Context<'_>,
) -> Result<bool, StoreError> {
    let store = &context.broker.store;
    store.is_remembered(&key(kind, parts), context.now).await
}

/// Each part with its length, so that none can run into the next.
pub(crate) fn key(kind: Kind, parts: &[&str]) -> Once {
    let mut digest = Digest::new(&SHA256);
    for part in [kind.as_str()].iter().chain(parts) {
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    let mut key = [0; 32];
    key.copy_from_slice(digest.finish().as_ref());
    Once(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_otherwise_has_another_key() {
        let of = |parts: &[&str]| key(Kind::ClientAssertion, parts);
        assert_eq!(of(&["a", "bc"]), of(&["a", "bc"]));
        assert_ne!(of(&["a", "bc"]), of(&["ab", "c"]));
        assert_ne!(of(&["a", "bc"]), of(&["abc"]));
    }
}
