//! A registry that `npm publish` publishes to, and how the broker stands in front of it.
//!
//! The registry knows nothing of sign-ins: who publishes, it takes from the broker's headers, and that they are the broker's
//! it knows by a secret. All it has is in memory.

mod packages;
mod web;

use std::collections::BTreeSet;
use std::io;
use std::net::TcpListener;

use countersign_core::registry::Profile;
use countersign_core::{ClientId, RegistryName};
use countersign_server::{Client, ClientAuthentication, GrantType, Registry};
use secrecy::SecretString;
use url::Url;

use crate::broker::AUDIENCE;
use crate::registry::random_text;
use crate::site::Site;

/// As whose users the policy takes those of npm, and the registry's name at the broker.
pub(crate) const NPM_ID: &str = "npm";
/// Where it listens: nobody but the broker need know.
const BIND: &str = "127.0.0.3:0";
/// The profile that comes with the program.
const PROFILE: &str = include_str!("../../config/registries/npm.toml");

/// The running registry. It stops when dropped.
#[derive(Debug)]
pub(crate) struct NpmRegistry {
    url: Url,
    /// By what it knows the broker.
    authorization: SecretString,
    site: Site,
}

impl NpmRegistry {
    /// Starts it without packages; tools will reach it at `public`.
    pub(crate) async fn start(public: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(BIND)?;
        let url = Url::parse(&format!("http://{}", listener.local_addr()?))?;
        let authorization = SecretString::from(format!("Bearer {}", random_text()));
        let (door, public) = (authorization.clone(), public.to_owned());
        let site = Site::start("npm", async move || web::server(public, door, listener)).await?;
        Ok(Self {
            url,
            authorization,
            site,
        })
    }

    /// What the broker knows of it, whose door tools reach at this address.
    pub(crate) fn behind(&self, door: &TcpListener) -> anyhow::Result<Registry> {
        let (profile, _) = Profile::load("config/registries/npm.toml", PROFILE)?;
        Ok(Registry {
            name: RegistryName::new(NPM_ID)?,
            profile,
            client: ClientId::new(NPM_ID)?,
            public_url: Url::parse(&address_of(door)?)?,
            proxy_secret: None,
            upstream: Some(self.url.clone()),
            upstream_authorization: Some(self.authorization.clone()),
            docker: None,
        })
    }

    /// Stops at once and waits until it has stopped.
    pub(crate) async fn stop(self) {
        self.site.stop().await;
    }
}

/// Such as `http://127.0.0.1:8475`.
pub(crate) fn address_of(door: &TcpListener) -> io::Result<String> {
    Ok(format!("http://{}", door.local_addr()?))
}

/// npm, as a client of the broker: somebody signs in for it in a browser.
pub(crate) fn client() -> Client {
    let public = ClientAuthentication::Public;
    let mut npm = Client::new("npm", Vec::new(), public, AUDIENCE);
    npm.grants = BTreeSet::from([GrantType::DeviceCode]);
    npm
}
