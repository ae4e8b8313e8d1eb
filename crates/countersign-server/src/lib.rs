//! The HTTP server: OpenID Connect endpoints, sign-in, tokens, pages.
//!
//! Built from values: it reads no file and no environment. [`Broker::new`] puts it together,
//! [`Broker::serve`] runs it. A handler extracts, calls, answers; what goes wrong becomes HTTP
//! in `error.rs` and nowhere else.

pub mod edge;
mod error;
mod keys;
mod metadata;
mod pages;
mod seal;
mod settings;
mod sign_in;
mod token;
mod web;

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_core::{Policy, ProviderId};
use countersign_providers::Provider;
use countersign_store::{Store, StoreError};
use thiserror::Error;

pub use edge::{Clock, Entropy, SystemClock, SystemEntropy};
pub use settings::{
    Client, ClientAuthentication, Lifetimes, Resource, SecretDigest, Settings, SettingsError,
    SigningAlgorithm,
};

use keys::Keys;
use seal::Sealer;

/// What goes wrong while the server is put together.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored key can't be used.
    #[error("the key `{0}` in the store can't be used")]
    Key(&'static str),
    /// The settings contradict each other.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// The server: everything that a request needs.
#[derive(Debug)]
pub struct Broker {
    settings: Settings,
    policy: Arc<Policy>,
    providers: BTreeMap<ProviderId, Provider>,
    store: Arc<dyn Store>,
    keys: Keys,
    sealer: Sealer,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Broker {
    /// Puts the server together; makes the keys that the store does not have yet.
    pub async fn new(
        settings: Settings,
        policy: Policy,
        providers: Vec<Provider>,
        store: Arc<dyn Store>,
        (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>),
    ) -> Result<Self, BuildError> {
        settings.check()?;
        let now = clock.now();
        let keys = Keys::load_or_make(&settings, store.as_ref(), now).await?;
        let sealer = Sealer::load_or_make(store.as_ref(), entropy.as_ref(), now).await?;
        let providers = providers
            .into_iter()
            .map(|provider| (provider.name().clone(), provider))
            .collect();
        let policy = Arc::new(policy);
        Ok(Self {
            settings,
            policy,
            providers,
            store,
            keys,
            sealer,
            clock,
            entropy,
        })
    }
}
