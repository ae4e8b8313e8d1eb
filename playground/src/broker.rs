//! The playground's broker: built from values, with the embedded store.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use countersign_core::{ClientId, Policy};
use countersign_providers::Provider;
use countersign_server::{
    Broker, Client, ClientAuthentication, Lifetimes, Resource, SecretDigest, Settings,
    SigningAlgorithm, SystemClock, SystemEntropy,
};
use countersign_store::Embedded;
use url::Url;

use crate::site::Site;

/// The registry's id at the broker.
pub(crate) const CLIENT_ID: &str = "gallery";
/// What stands for the registry's API in access tokens.
pub(crate) const AUDIENCE: &str = "https://registry.example";

/// What the broker is put together from.
pub(crate) struct Parts {
    pub(crate) listener: TcpListener,
    pub(crate) settings: Settings,
    pub(crate) policy: Policy,
    pub(crate) providers: Vec<Provider>,
    pub(crate) data: PathBuf,
}

/// Starts the broker on a thread of its own.
pub(crate) async fn start(parts: Parts) -> io::Result<Site> {
    Site::start("broker", async move || {
        let store = Embedded::open(&parts.data).map_err(io::Error::other)?;
        let edge = (Arc::new(SystemClock) as _, Arc::new(SystemEntropy) as _);
        Broker::new(
            parts.settings,
            parts.policy,
            parts.providers,
            Arc::new(store),
            edge,
        )
        .await
        .map_err(io::Error::other)?
        .serve(parts.listener, 1)
    })
    .await
}

/// One client, the sample registry, and the one resource that its tokens are for.
pub(crate) fn settings(
    issuer: Url,
    redirect_uri: String,
    secret: &str,
) -> anyhow::Result<Settings> {
    let client = Client {
        name: "Sample Registry".to_owned(),
        redirect_uris: vec![redirect_uri],
        authentication: ClientAuthentication::Secret(SecretDigest::of(secret)),
        id_token_algorithm: SigningAlgorithm::Rs256,
        resource: AUDIENCE.to_owned(),
    };
    let resource = Resource {
        algorithm: SigningAlgorithm::Es256,
    };
    Ok(Settings {
        issuer,
        clients: BTreeMap::from([(ClientId::new(CLIENT_ID)?, client)]),
        resources: BTreeMap::from([(AUDIENCE.to_owned(), resource)]),
        lifetimes: Lifetimes::default(),
    })
}
