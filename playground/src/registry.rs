//! A small package registry that leaves its logins to Countersign.
//!
//! Two halves that know of each other only what the world's registries know: a frontend, which is
//! a confidential OpenID Connect client with sessions in cookies, and an API, which verifies
//! bearer tokens and knows no cookie. All it has is in memory.

mod api;
mod api_client;
mod frontend;
mod http;
mod id_token;
mod oidc_client;
mod organizations;
mod packages;
mod pages;
mod sessions;
mod trouble;
mod web;

use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_server::{Clock, Entropy, SystemClock, SystemEntropy};
use countersign_verifier::Verifier;
use jiff::Timestamp;
use secrecy::SecretString;

use crate::site::Site;
use api_client::ApiClient;
use oidc_client::OidcClient;
use organizations::Organizations;
use packages::Packages;
pub(crate) use pages::respond;
use sessions::Sessions;
pub(crate) use web::{icon, style};

/// What a registry must know of its broker.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// The broker's issuer, to the letter.
    pub issuer: String,
    /// The frontend's `client_id` there.
    pub client_id: String,
    /// The frontend's secret there.
    pub client_secret: SecretString,
    /// What stands for the API in access tokens.
    pub audience: String,
    /// The service that tells the broker of the registry's organisations; none: nobody does.
    pub service: Option<ServiceSettings>,
    /// The scopes that signing in asks for.
    pub scopes: Vec<String>,
    /// Tells the time to the checks of tokens and to sessions.
    pub clock: Arc<dyn Clock>,
}

/// The registry's own service, as a client of the broker.
#[derive(Debug, Clone)]
pub struct ServiceSettings {
    /// Its `client_id`.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
}

impl RegistrySettings {
    /// The broker's own API: where it is, and what stands for it in tokens.
    pub(crate) fn broker_api(&self) -> String {
        format!("{}/api/v1", self.issuer)
    }

    /// The usual scopes and the machine's clock.
    pub fn new(
        issuer: impl Into<String>,
        client_id: impl Into<String>,
        client_secret: impl Into<SecretString>,
        audience: impl Into<String>,
    ) -> Self {
        let scopes = [
            "openid",
            "profile",
            "email",
            "packages:read",
            "packages:manage",
        ];
        Self {
            issuer: issuer.into(),
            client_id: client_id.into(),
            client_secret: client_secret.into(),
            audience: audience.into(),
            service: None,
            scopes: scopes.map(str::to_owned).to_vec(),
            clock: Arc::new(SystemClock),
        }
    }
}

/// The running sample registry. It stops when dropped.
#[derive(Debug)]
pub struct SampleRegistry {
    url: String,
    site: Site,
}

impl SampleRegistry {
    /// Starts the registry at an address such as `127.0.0.3:0`. It asks the broker nothing before
    /// the first person signs in, so the broker may start later.
    pub async fn start(bind: &str, settings: RegistrySettings) -> io::Result<Self> {
        Self::serve(TcpListener::bind(bind)?, settings).await
    }

    /// Starts the registry on this listener.
    pub async fn serve(listener: TcpListener, settings: RegistrySettings) -> io::Result<Self> {
        let url = format!("http://{}", listener.local_addr()?);
        let registry = Registry::new(settings, &url)?;
        let site = Site::start("registry", async move || web::server(registry, listener)).await?;
        Ok(Self { url, site })
    }

    /// Such as `http://127.0.0.3:40123`, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the broker is to send people back to.
    pub fn redirect_uri(&self) -> String {
        redirect_uri(&self.url)
    }

    /// Stops at once and waits until it has stopped.
    pub async fn stop(self) {
        self.site.stop().await;
    }
}

/// 256 random bits as text: for secrets, `state`, `nonce`, session ids.
pub(crate) fn random_text() -> String {
    let mut bytes = [0; 32];
    SystemEntropy.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn redirect_uri(url: &str) -> String {
    format!("{url}/callback")
}

/// What every request needs.
#[derive(Debug)]
struct Registry {
    broker: OidcClient,
    verifier: Verifier,
    api: ApiClient,
    organizations: Option<Organizations>,
    clock: Arc<dyn Clock>,
    sessions: Mutex<Sessions>,
    packages: Mutex<Packages>,
}

impl Registry {
    fn new(settings: RegistrySettings, url: &str) -> io::Result<Self> {
        let clock = settings.clock.clone();
        let for_tokens = clock.clone();
        let tell = move || for_tokens.now().as_second();
        let verifier = Verifier::with_clock(&settings.issuer, &settings.audience, tell);
        let http = http::client().map_err(io::Error::other)?;
        Ok(Self {
            verifier: verifier.map_err(io::Error::other)?,
            api: ApiClient::new(http.clone(), url),
            organizations: Organizations::of(&http, &settings),
            packages: Mutex::new(Packages::with_samples()),
            sessions: Mutex::default(),
            broker: OidcClient::new(http, settings, redirect_uri(url)),
            clock,
        })
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn packages(&self) -> MutexGuard<'_, Packages> {
        self.packages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
