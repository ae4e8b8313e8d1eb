//! The handle by which a test or the playground turns a running stand-in, and reads what reached it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clients::Client;
use crate::faults::{Edits, Endpoint, TokenFaults, WireFault};
use crate::{entra, github, oidc};

/// A cheap handle; clones turn the same stand-in.
#[derive(Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

struct Inner {
    behaviour: Mutex<Arc<Behaviour>>,
    clock: Mutex<Arc<dyn Fn() -> i64 + Send + Sync>>,
    log: Mutex<Log>,
    enrolled: Mutex<BTreeSet<String>>,
}

/// Everything that can be turned. Parts of other kinds of stand-in have no effect.
#[derive(Clone, Debug)]
pub struct Behaviour {
    pub clients: Vec<Client>,
    /// Seconds that an authorization code lives.
    pub code_lifetime: i64,
    /// Seconds that the stand-in's clock is ahead of (or behind) the one that was set.
    pub clock_skew: i64,
    /// Faults of the ID token from the authorization endpoint (Entra's `id_token` and `code id_token`).
    pub front: TokenFaults,
    /// Faults of the ID token from the token endpoint.
    pub back: TokenFaults,
    pub edits: Edits,
    pub wire: BTreeMap<Endpoint, WireFault>,
    pub keys: KeyPhase,
    pub entra: entra::Behaviour,
    pub github: github::Behaviour,
    pub oidc: oidc::Behaviour,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            clients: vec![Client::development()],
            code_lifetime: 600,
            clock_skew: 0,
            front: TokenFaults::default(),
            back: TokenFaults::default(),
            edits: Edits::new(),
            wire: BTreeMap::new(),
            keys: KeyPhase::Steady,
            entra: entra::Behaviour::default(),
            github: github::Behaviour::default(),
            oidc: oidc::Behaviour::default(),
        }
    }
}

/// Where the stand-in is in changing its signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPhase {
    /// One key, published, signs.
    Steady,
    /// The next key is published as well; the old one signs.
    NextPublished,
    /// Both are published; the next one signs.
    NextSigns,
    /// Only the next one is published, and signs.
    OldRemoved,
    /// The next one signs though only the old one is published.
    SignsUnpublished,
    /// The old one signs though only the next one is published.
    RemovedSigns,
}

impl KeyPhase {
    pub(crate) fn next_signs(self) -> bool {
        match self {
            KeyPhase::NextSigns | KeyPhase::OldRemoved | KeyPhase::SignsUnpublished => true,
            KeyPhase::Steady | KeyPhase::NextPublished | KeyPhase::RemovedSigns => false,
        }
    }

    pub(crate) fn next_is_published(self) -> bool {
        match self {
            KeyPhase::NextPublished
            | KeyPhase::NextSigns
            | KeyPhase::OldRemoved
            | KeyPhase::RemovedSigns => true,
            KeyPhase::Steady | KeyPhase::SignsUnpublished => false,
        }
    }

    pub(crate) fn old_is_published(self) -> bool {
        match self {
            KeyPhase::Steady
            | KeyPhase::NextPublished
            | KeyPhase::NextSigns
            | KeyPhase::SignsUnpublished => true,
            KeyPhase::OldRemoved | KeyPhase::RemovedSigns => false,
        }
    }
}

/// RFC 9207's `iss`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssParameter {
    Right,
    /// Neither sent nor advertised.
    Absent,
    /// Advertised, but not sent.
    Withheld,
    /// Advertised, and this is sent.
    Wrong(String),
}

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub path: String,
    /// Query or form parameters; of a name given twice, the last.
    pub params: BTreeMap<String, String>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
}

impl Received {
    /// A parameter's value.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str)
    }
}

#[derive(Default)]
struct Log {
    authorize: Vec<Received>,
    token: Vec<Received>,
    hits: BTreeMap<String, usize>,
    endpoint_hits: BTreeMap<Endpoint, usize>,
}

/// Requests kept of each kind: a benchmark sends hundreds of thousands.
const LOG_LIMIT: usize = 1_000;

impl Control {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                behaviour: Mutex::default(),
                clock: Mutex::new(Arc::new(system_clock)),
                log: Mutex::default(),
                enrolled: Mutex::default(),
            }),
        }
    }

    /// Changes the behaviour from the next request on.
    pub fn set(&self, change: impl FnOnce(&mut Behaviour)) {
        change(Arc::make_mut(&mut lock(&self.inner.behaviour)));
    }

    /// Back to the behaviour at start; the log stays, enrolments are forgotten.
    pub fn reset(&self) {
        self.set(|behaviour| *behaviour = Behaviour::default());
        self.forget_enrolments();
    }

    /// The behaviour as it is now.
    pub fn behaviour(&self) -> Arc<Behaviour> {
        lock(&self.inner.behaviour).clone()
    }

    /// Sets the clock: Unix seconds. At start it is the system's.
    pub fn set_clock(&self, clock: impl Fn() -> i64 + Send + Sync + 'static) {
        *lock(&self.inner.clock) = Arc::new(clock);
    }

    /// Accounts that enrolled on the way have no second factor again.
    pub fn forget_enrolments(&self) {
        lock(&self.inner.enrolled).clear();
    }

    /// Authorization requests in order, without those that come from a link on our own page.
    pub fn authorize_requests(&self) -> Vec<Received> {
        lock(&self.inner.log).authorize.clone()
    }

    pub fn last_authorize_request(&self) -> Option<Received> {
        lock(&self.inner.log).authorize.last().cloned()
    }

    /// Token requests in order; `params` is the form.
    pub fn token_requests(&self) -> Vec<Received> {
        lock(&self.inner.log).token.clone()
    }

    /// How often a path was asked for, such as `/jwks.json`.
    pub fn hits(&self, path: &str) -> usize {
        lock(&self.inner.log).hits.get(path).copied().unwrap_or(0)
    }

    /// How often an endpoint was asked for, over all its paths.
    pub fn endpoint_hits(&self, endpoint: Endpoint) -> usize {
        lock(&self.inner.log)
            .endpoint_hits
            .get(&endpoint)
            .copied()
            .unwrap_or(0)
    }

    pub fn clear_log(&self) {
        *lock(&self.inner.log) = Log::default();
    }

    /// A signed logout token of these claims (the plain OpenID Connect stand-in).
    pub fn logout_token(&self, claims: serde_json::Map<String, serde_json::Value>) -> String {
        oidc::logout_token(claims, &self.behaviour())
    }

    /// Unix seconds by the stand-in's clock, skew included.
    pub fn now(&self) -> i64 {
        let clock = lock(&self.inner.clock).clone();
        clock() + self.behaviour().clock_skew
    }

    pub(crate) fn record_authorize(&self, request: Received) {
        if !request.params.contains_key(crate::page::FROM_PAGE) {
            keep(&mut lock(&self.inner.log).authorize, request);
        }
    }

    pub(crate) fn record_token(&self, request: Received) {
        keep(&mut lock(&self.inner.log).token, request);
    }

    pub(crate) fn count(&self, path: &str, endpoint: Option<Endpoint>) {
        let mut log = lock(&self.inner.log);
        if let Some(hits) = log.hits.get_mut(path) {
            *hits += 1;
        } else if log.hits.len() < LOG_LIMIT {
            log.hits.insert(path.to_owned(), 1);
        }
        if let Some(endpoint) = endpoint {
            *log.endpoint_hits.entry(endpoint).or_default() += 1;
        }
    }

    pub(crate) fn enrol(&self, account: &str) {
        lock(&self.inner.enrolled).insert(account.to_owned());
    }

    pub(crate) fn is_enrolled(&self, account: &str) -> bool {
        lock(&self.inner.enrolled).contains(account)
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

fn keep(log: &mut Vec<Received>, request: Received) {
    if log.len() < LOG_LIMIT {
        log.push(request);
    }
}

/// A panic in a caller's closure must not take the stand-in with it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "the one clock of the stand-ins")]
fn system_clock() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        })
}
