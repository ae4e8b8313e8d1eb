//! The HTTP server: OpenID Connect endpoints, sign-in, tokens, pages.
//!
//! Built from values: it reads no file and no environment. [`Broker::new`] puts it together,
//! [`Broker::serve`] runs it. A handler extracts, calls, answers; what goes wrong becomes HTTP
//! in `error.rs` and nowhere else.

mod account;
mod api;
pub mod api_key;
mod arrival;
mod audit;
mod calendar;
mod client_jwt;
mod decision_log;
mod device;
mod draining;
pub mod edge;
mod error;
mod form;
mod in_force;
mod keys;
mod limits;
mod log_file;
mod metadata;
mod metrics;
mod once;
mod operator;
mod organization;
mod own;
mod pages;
mod private;
mod probe;
mod recent;
mod recheck;
mod registry;
mod retention;
mod seal;
mod secret;
mod session;
mod settings;
mod sign_in;
mod ticket;
mod token;
mod trace;
mod web;
mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_core::ProviderId;
use countersign_providers::relay::Relay;
use countersign_providers::{Http, NameServers, PrivateHosts, Provider, ProviderError};
use countersign_store::{Store, StoreError};
use thiserror::Error;
use tokio::sync::Notify;

pub use api_key::upkeep::KeyNotices;
pub use audit::{
    AuditFile, AuditFound, AuditLine, AuditLog, AuditLogError, AuditLogSettings, AuditPlace,
    AuditQuery, Begin, By, Event, Finding, Happening, NoPlace, NotAudited, Place, Subject,
    Verified, Verifier, Writer, hash_of, replicas_at,
};
pub use calendar::CalendarKey;
pub use decision_log::{DecisionLog, DecisionLogError, DecisionLogSettings, Dropped};
pub use edge::{Clock, Entropy, SystemClock, SystemEntropy};
pub use in_force::{PolicyFailure, PolicyHandle, PolicyHash, PolicyInForce, PolicyStatus};
pub use keys::{
    Form, KeyError, KeyHeader, KeySettings, KeyState, KeyTold, KeyUpkeep, MasterId, MasterSecret,
    MasterSecrets, Retired, Rotated, SHORTEST_ROTATION_DAYS, TooShort, Vault,
};
pub use limits::{ForwardedHeader, LimitSettings, Network, NotANetwork, Proxies};
pub use log_file::{LogFileError, LogFileSettings, LogStatus, Rotate};
pub use private::Private;
pub use registry::{DockerSettings, Registry};
pub use retention::Retention;
pub use settings::{
    Client, ClientAuthentication, GrantType, Profile, Resource, SecretDigest, Settings,
    SettingsError, SigningAlgorithm,
};
pub use web::{Listeners, Serving, ServingHandle};
pub use webhook::{NotASecret, Webhook, WebhookSecret};

use draining::Draining;
use keys::Keys;
use limits::Limits;
use metrics::Metrics;
use recent::{Forgetting, Recent};
use seal::Sealer;
use token::{Feed, Nonces};

/// What goes wrong while the server is put together.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys in the store can't be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The settings contradict each other.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The HTTP client can't be built.
    #[error(transparent)]
    Http(#[from] ProviderError),
}

/// What a server is put together from. Callers write `Parts { clock, ..Parts::new(…) }`, so that a
/// part more is none of their business.
#[derive(Debug)]
pub struct Parts {
    /// What this installation is.
    pub settings: Settings,
    /// The policy that is in force at first.
    pub policy: PolicyInForce,
    /// Whom people sign in with.
    pub providers: Vec<Provider>,
    /// What is remembered.
    pub store: Arc<dyn Store>,
    /// How the keys of clients are fetched (`jwks_uri`); by a client of its own unless told otherwise.
    pub http: Option<Http>,
    /// Who is asked for records of issuers' hosts; the machine's own resolvers unless told otherwise.
    pub name_servers: NameServers,
    /// How keys are kept, and how often they are replaced.
    pub keys: KeySettings,
    /// How much anybody may ask for.
    pub limits: LimitSettings,
    /// Where decisions are written down; nowhere unless told otherwise.
    pub decision_log: Arc<DecisionLog>,
    /// Who did what; written nowhere unless told otherwise.
    pub audit_log: Arc<AuditLog>,
    /// The one clock; the machine's unless told otherwise.
    pub clock: Arc<dyn Clock>,
    /// The one source of random bytes; the machine's unless told otherwise.
    pub entropy: Arc<dyn Entropy>,
}

impl Parts {
    /// With the machine's clock and random generator, and no decision log.
    pub fn new(
        settings: Settings,
        policy: PolicyInForce,
        providers: Vec<Provider>,
        store: Arc<dyn Store>,
    ) -> Self {
        Self {
            settings,
            policy,
            providers,
            store,
            http: None,
            name_servers: NameServers::default(),
            keys: KeySettings::default(),
            limits: LimitSettings::default(),
            decision_log: Arc::new(DecisionLog::off()),
            audit_log: Arc::new(AuditLog::off()),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
        }
    }
}

/// The server: everything that a request needs.
#[derive(Debug)]
pub struct Broker {
    settings: Settings,
    policy: PolicyHandle,
    metrics: Arc<Metrics>,
    providers: BTreeMap<ProviderId, Provider>,
    store: Arc<dyn Store>,
    /// What it said a moment ago, for the gates of registries.
    recent: Arc<Recent>,
    decision_log: Arc<DecisionLog>,
    audit_log: Arc<AuditLog>,
    http: Http,
    /// For registries that we pass requests on to ourselves, if there are any.
    relay: Option<Relay>,
    name_servers: NameServers,
    keys: Arc<Keys>,
    nonces: Nonces,
    sealer: Arc<Sealer>,
    upkeep: KeyUpkeep,
    limits: Limits,
    calendar: CalendarKey,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    draining: Draining,
    /// Who waits to be told what has ended.
    feed: Feed,
    /// Woken where a session has ended, so that its clients are told at once.
    ended: Arc<Notify>,
}

impl Broker {
    /// Puts the server together; makes the keys that the store does not have yet.
    pub async fn new(mut parts: Parts) -> Result<Self, BuildError> {
        parts.settings.check()?;
        let recent = Arc::<Recent>::default();
        // First of all, so that whatever this process writes passes it.
        parts.store = Arc::new(Forgetting::new(parts.store, Arc::clone(&recent)));
        let now = parts.clock.now();
        let vault = Vault::new(Arc::clone(&parts.store), parts.keys.secrets);
        let entropy = parts.entropy.as_ref();
        // First of all: with the wrong master secret nothing is written.
        vault.rings().await?;
        for name in Keys::names(&parts.settings).chain(seal::NAMES) {
            vault.find_or_make(name, entropy, now).await?;
        }
        if parts.settings.needs_root() {
            vault.find_or_make(keys::ROOT, entropy, now).await?;
        }
        let nonces = Nonces::load_or_make(&vault, entropy, now).await?;
        let calendar = CalendarKey::load_or_make(&vault, entropy, now).await?;
        let limit_key = secret::load_or_make(limits::KEY_NAME, &vault, entropy, now).await?;
        vault.seal_plain(entropy).await?;
        let rings = vault.rings().await?;
        let keys = Arc::new(Keys::new(&parts.settings, &rings, now)?);
        let sealer = Arc::new(Sealer::new(&rings, now)?);
        let upkeep = KeyUpkeep::new(
            vault,
            (Arc::clone(&keys), Arc::clone(&sealer)),
            parts.keys.rotate_every,
            (Arc::clone(&parts.clock), Arc::clone(&parts.entropy)),
            Arc::clone(&parts.audit_log),
        );
        let providers = parts
            .providers
            .into_iter()
            .map(|provider| (provider.name().clone(), provider))
            .collect();
        let http = match parts.http {
            Some(http) => http,
            None => Http::new(PrivateHosts::default())?,
        };
        let mut registries = parts.settings.registries.values();
        let passes_on = registries.any(|registry| registry.upstream.is_some());
        let relay = passes_on.then(Relay::new).transpose()?;
        let policy = PolicyHandle::new(parts.policy, now);
        let metrics = Arc::new(Metrics::new(
            policy.clone(),
            Arc::clone(&parts.decision_log),
            Arc::clone(&parts.audit_log),
        ));
        let counted = (Arc::clone(&parts.store), Arc::clone(&metrics));
        let limits = Limits::new(parts.limits, &limit_key, counted);
        Ok(Self {
            settings: parts.settings,
            metrics,
            policy,
            providers,
            store: parts.store,
            recent,
            decision_log: parts.decision_log,
            audit_log: parts.audit_log,
            http,
            relay,
            name_servers: parts.name_servers,
            nonces,
            keys,
            sealer,
            upkeep,
            limits,
            calendar,
            clock: parts.clock,
            entropy: parts.entropy,
            draining: Draining::default(),
            feed: Feed::default(),
            ended: Arc::default(),
        })
    }

    /// The way to replace the policy while the server runs.
    pub fn policy_handle(&self) -> PolicyHandle {
        self.policy.clone()
    }

    /// What forgets people who have not signed in for long, if it is called now and then.
    pub fn retention(&self) -> Retention {
        Retention {
            policy: self.policy.clone(),
            store: Arc::clone(&self.store),
            audit_log: Arc::clone(&self.audit_log),
            ended: Arc::clone(&self.ended),
        }
    }

    /// What tells the registry whose API keys are to end, and forgets those that ended long ago, if it is called now and then.
    pub fn key_notices(&self) -> KeyNotices {
        KeyNotices {
            policy: self.policy.clone(),
            store: Arc::clone(&self.store),
            audit_log: Arc::clone(&self.audit_log),
            http: self.http.clone(),
            webhook: self.settings.webhook.clone(),
            page: self.settings.endpoint(&own::OwnPage::ApiKeys.path()),
        }
    }

    /// What keeps the keys up to date while the server runs, if it is called every few seconds.
    pub fn key_upkeep(&self) -> KeyUpkeep {
        self.upkeep.clone()
    }
}
