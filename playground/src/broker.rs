//! The playground's broker: built from values, with the embedded store.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_core::{AccountId, ClientId};
use countersign_providers::Provider;
use countersign_server::{
    AuditLog, AuditLogSettings, Broker, Client, ClientAuthentication, Clock, GrantType, Listeners,
    LogFileSettings, PolicyInForce, Registry, Resource, Rotate, SecretDigest, Settings,
    SigningAlgorithm, SystemClock, SystemEntropy, Writer,
};
use countersign_store::{Embedded, RegistryRow, Store};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::npm::{self, NPM_ID};
use crate::registry::RegistrySettings;
use crate::site::Site;

/// The registry's id at the broker.
pub(crate) const CLIENT_ID: &str = "gallery";
/// The id of a command-line tool that people sign in to on another device.
pub(crate) const TOOL_ID: &str = "tool";
/// The id of the registry's own service, which tells of its organisations.
pub(crate) const SERVICE_ID: &str = "registry";
/// What stands for the registry's API in access tokens.
pub(crate) const AUDIENCE: &str = "https://registry.example";

/// What the broker is put together from.
pub(crate) struct Parts {
    pub(crate) listeners: Listeners,
    pub(crate) settings: Settings,
    pub(crate) policy: PolicyInForce,
    pub(crate) providers: Vec<Provider>,
    /// Accounts of the registry that are older than the broker.
    pub(crate) known: Vec<RegistryRow>,
    pub(crate) data: PathBuf,
}

/// Starts the broker on a thread of its own.
pub(crate) async fn start(parts: Parts) -> io::Result<Site> {
    Site::start("broker", async move || {
        let store = Embedded::open(&parts.data).map_err(io::Error::other)?;
        for (number, row) in parts.known.iter().enumerate() {
            let fresh = AccountId::new(format!("acct_known{number}")).map_err(io::Error::other)?;
            let now = SystemClock.now();
            let imported = countersign_store::import(&store, row, fresh, now).await;
            imported.map_err(io::Error::other)?;
        }
        let audit_log = Arc::new(audit_log(&parts.data, &store).await?);
        Broker::new(countersign_server::Parts {
            audit_log,
            ..countersign_server::Parts::new(
                parts.settings,
                parts.policy,
                parts.providers,
                Arc::new(store),
            )
        })
        .await
        .map_err(io::Error::other)?
        .serve(parts.listeners, 1)
    })
    .await
}

/// What operators look up on their page.
async fn audit_log(data: &Path, store: &Embedded) -> io::Result<AuditLog> {
    let settings = AuditLogSettings::File(LogFileSettings {
        path: data.join("audit.jsonl"),
        rotate: Rotate::Daily,
        max_bytes: None,
        keep_days: None,
        keep_files: None,
    });
    let heads = store.audit_heads().await.map_err(io::Error::other)?;
    let made = (&SystemEntropy as _, SystemClock.now());
    AuditLog::open(&settings, Writer::Server, data, &heads, made).map_err(io::Error::other)
}

/// The clients of the sample registry and of npm, what their tokens are for, and the registry that npm publishes to.
pub(crate) fn settings(
    issuer: Url,
    registry: &RegistrySettings,
    redirect_uri: String,
    npm: Registry,
) -> anyhow::Result<Settings> {
    let authentication = by_secret(&registry.client_secret);
    let client = Client::new(
        "Sample Registry",
        vec![redirect_uri],
        authentication,
        AUDIENCE,
    );
    let mut tool = Client::new(
        "Sample command-line tool",
        vec![],
        ClientAuthentication::Public,
        AUDIENCE,
    );
    tool.grants = BTreeSet::from([GrantType::DeviceCode, GrantType::RefreshToken]);
    let mut clients = BTreeMap::from([
        (ClientId::new(CLIENT_ID)?, client),
        (ClientId::new(TOOL_ID)?, tool),
        (ClientId::new(NPM_ID)?, npm::client()),
    ]);
    let api = registry.broker_api();
    if let Some(service) = &registry.service {
        let authentication = by_secret(&service.client_secret);
        let mut own = Client::new(
            "Sample Registry's service",
            vec![],
            authentication,
            AUDIENCE,
        );
        own.grants = BTreeSet::from([GrantType::ClientCredentials]);
        own.other_resources = BTreeSet::from([api.clone()]);
        clients.insert(ClientId::new(&service.client_id)?, own);
    }
    let resource = || Resource {
        algorithm: SigningAlgorithm::Es256,
    };
    Ok(Settings {
        issuer,
        clients,
        resources: BTreeMap::from([(AUDIENCE.to_owned(), resource()), (api, resource())]),
        registries: BTreeMap::from([(npm.name.clone(), npm)]),
        webhook: None,
    })
}

fn by_secret(secret: &SecretString) -> ClientAuthentication {
    ClientAuthentication::Secret(SecretDigest::of(secret.expose_secret()))
}
