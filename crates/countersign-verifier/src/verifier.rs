//! The verifier that a service keeps: an issuer, an audience, and the issuer's keys in a cache.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

use crate::access_token::AccessToken;
use crate::bearer::Presented;
use crate::cache::Cache;
use crate::dpop::{DpopProof, Target};
use crate::ended::{Ended, FeedStatus, Page, Silence};
use crate::error::Error;
use crate::fetch::Source;
use crate::follow::{FeedClient, Follower};
use crate::keys::KeySet;
use crate::verify::{Expectations, verify, verify_with_proof};

/// Verifies the access tokens of one issuer for one service.
///
/// Make one at start and clone it freely: clones share one cache. The keys are fetched at the
/// first token, then hourly; for a key that is not in the set at most once a minute; and the last
/// good ones are used for up to a day while the issuer cannot be reached. Callers that need the
/// keys at the same time share one fetch.
///
/// Needs to be called inside a Tokio runtime (actix-web and axum bring one).
#[derive(Clone)]
pub struct Verifier {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    expected: Expectations,
    source: Arc<Source>,
    clock: Box<dyn Fn() -> i64 + Send + Sync>,
    state: Mutex<State>,
    /// What has ended, where the feed is followed.
    ended: OnceLock<Mutex<Ended>>,
}

#[derive(Default)]
struct State {
    cache: Cache,
    /// The fetch that is under way. Its sender is dropped when the fetch has ended in any way.
    flight: Option<watch::Receiver<()>>,
}

impl Verifier {
    /// A verifier for the tokens of `issuer` with the audience `audience`: both exactly as in the
    /// broker's configuration. Does not connect yet.
    ///
    /// The issuer must be an `https` URL; `http` is accepted for a loopback host alone.
    pub fn new(issuer: &str, audience: &str) -> Result<Self, Error> {
        Self::with_clock(issuer, audience, system_clock)
    }

    /// The same with a clock of the caller's, which gives Unix seconds.
    pub fn with_clock(
        issuer: &str,
        audience: &str,
        clock: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let inner = Inner {
            expected: Expectations::new(issuer, audience),
            source: Arc::new(Source::new(issuer)?),
            clock: Box::new(clock),
            state: Mutex::default(),
            ended: OnceLock::new(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Verifies one token. See [`verify`](crate::verify()) for what is checked.
    ///
    /// Where the feed of what has ended is followed ([`Verifier::follow`]) what has is refused.
    pub async fn verify(&self, token: &str) -> Result<AccessToken, Error> {
        let now = (self.inner.clock)();
        let verified = self.verify_signed(token, now).await?;
        self.inner.check_ended(&verified, now)?;
        Ok(verified)
    }

    /// Follows the broker's feed of what has ended: from now on tokens are refused within a second of the end of
    /// their session, of their grant, or of themselves. `silence` says what happens while it can't be heard.
    ///
    /// Spawn what comes back ([`Follower::run`]): nothing is followed before. Once for a verifier and its clones.
    pub fn follow(&self, client: FeedClient, silence: Silence) -> Result<Follower, Error> {
        let follower = Follower::new(&self.inner, &self.inner.source, client, silence)?;
        let ended = Ended::new(silence, (self.inner.clock)());
        match self.inner.ended.set(Mutex::new(ended)) {
            Ok(()) => Ok(follower),
            Err(_) => Err(Error::Configuration("the feed is followed already")),
        }
    }

    /// How it stands with the feed; `None` where it is not followed.
    pub fn feed(&self) -> Option<FeedStatus> {
        self.inner.ended().map(|ended| ended.status())
    }

    async fn verify_signed(&self, token: &str, now: i64) -> Result<AccessToken, Error> {
        let keys = self.keys(now).await?;
        match verify(token, &keys, &self.inner.expected, now) {
            // The issuer may have a new key; verify again with whatever is newest.
            Err(Error::UnknownKey) => {
                self.fetch_if_due(now).await;
                verify(
                    token,
                    &*self.inner.state().cache.keys(now)?,
                    &self.inner.expected,
                    now,
                )
            }
            answer => answer,
        }
    }

    /// Verifies the token of a request, with the proof of its key where it is bound to one (RFC 9449).
    ///
    /// A proof could be sent again within a minute, for the same request with the same token. A service
    /// for which that matters takes the parts ([`DpopProof::verify`](crate::DpopProof::verify),
    /// [`verify_with_proof`](crate::verify_with_proof)) and remembers what it saw.
    pub async fn verify_request(
        &self,
        presented: Presented<'_>,
        target: Target<'_>,
    ) -> Result<AccessToken, Error> {
        let (token, proof) = match presented {
            Presented::Bearer(token) => return self.verify(token).await,
            Presented::Dpop { token, proof } => (token, proof),
        };
        let now = (self.inner.clock)();
        let proof = DpopProof::verify(proof, target, Some(token), now)?;
        let expected = &self.inner.expected;
        let verified =
            match verify_with_proof(token, &proof, &*self.keys(now).await?, expected, now) {
                Err(Error::UnknownKey) => {
                    self.fetch_if_due(now).await;
                    let keys = self.inner.state().cache.keys(now)?;
                    verify_with_proof(token, &proof, &keys, expected, now)
                }
                answer => answer,
            }?;
        self.inner.check_ended(&verified, now)?;
        Ok(verified)
    }

    async fn keys(&self, now: i64) -> Result<Arc<KeySet>, Error> {
        let fresh = self.inner.state().cache.is_fresh(now);
        if !fresh {
            self.fetch_if_due(now).await;
        }
        self.inner.state().cache.keys(now)
    }

    /// Waits for the fetch that is under way, or for a new one if the last is long enough ago.
    async fn fetch_if_due(&self, now: i64) {
        if let Some(mut flight) = self.join_or_start(now) {
            // Nothing is ever sent: this returns when the sender is dropped.
            let _landed = flight.changed().await;
        }
    }

    /// The fetch is a task of its own: a caller that goes away must not cancel it for the others.
    fn join_or_start(&self, now: i64) -> Option<watch::Receiver<()>> {
        let mut state = self.inner.state();
        if let Some(flight) = state.flight.as_ref().filter(|flight| is_under_way(flight)) {
            return Some(flight.clone());
        }
        if !state.cache.may_fetch(now) {
            return None;
        }
        state.cache.note_try(now);
        let (done, flight) = watch::channel(());
        state.flight = Some(flight.clone());
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            let answer = inner.source.fetch().await;
            inner.state().cache.note_answer(now, answer);
            drop(done);
        });
        Some(flight)
    }
}

impl Inner {
    /// No code that can panic runs under this lock, and if it did the state would still be whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> Option<MutexGuard<'_, Ended>> {
        let ended = self.ended.get()?;
        Some(ended.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A token that was good until it was ended.
    fn check_ended(&self, token: &AccessToken, now: i64) -> Result<(), Error> {
        match self.ended() {
            Some(ended) => ended.check(token.claims(), now),
            None => Ok(()),
        }
    }

    /// The feed has answered.
    pub(crate) fn note_ends(&self, page: &Page) {
        let now = (self.clock)();
        if let Some(mut ended) = self.ended() {
            ended.note(page, now);
        }
    }

    /// It has not.
    pub(crate) fn note_no_ends(&self, error: Error) {
        if let Some(mut ended) = self.ended() {
            ended.note_failure(error);
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("expected", &self.inner.expected)
            .finish_non_exhaustive()
    }
}

fn is_under_way(flight: &watch::Receiver<()>) -> bool {
    flight.has_changed().is_ok()
}

#[expect(
    clippy::disallowed_methods,
    reason = "this crate's one clock; strangers use it alone"
)]
fn system_clock() -> i64 {
    // A clock before 1970 is as wrong as one at 1970, where every token lies in the future.
    let since_1970 = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
