//! Starts the broker, the stand-ins, the sample registry and that of npm so that they know of each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Context;
use countersign_core::calendar::day_of;
use countersign_core::{ClientId, Installation, Policy, RegistryName};
use countersign_dev_idp::DevIdp;
use countersign_dev_idp::entra::GroupMembershipClaims;
use countersign_server::{Clock, Listeners, PolicyInForce, SystemClock};
use tempfile::TempDir;
use url::Url;

use crate::PlaygroundOptions;
use crate::broker::{self, AUDIENCE, CLIENT_ID, Parts, SERVICE_ID, TOOL_ID};
use crate::calendar;
use crate::loopback::{BROKER, ENTRA, GITHUB, NPM, OIDC, Ports, REGISTRY};
use crate::npm::{self, NPM_ID, NpmRegistry};
use crate::providers::{self, StandIns};
use crate::registry::{self, RegistrySettings, SampleRegistry, ServiceSettings};
use crate::site::Site;

/// Everything that a sign-in needs, running on this machine. It stops when dropped.
#[derive(Debug)]
pub struct Playground {
    broker_url: String,
    registry: SampleRegistry,
    npm_url: String,
    npm: NpmRegistry,
    broker: Site,
    stand_ins: StandIns,
    /// Removed when dropped, after the broker that writes there.
    _temporary: Option<TempDir>,
}

impl Playground {
    /// Starts everything. Broker and registry name each other's addresses, so both listen before
    /// either is put together.
    pub async fn start(mut options: PlaygroundOptions) -> anyhow::Result<Self> {
        options.policy = calendar::with_calendar(&options.policy, day_of(SystemClock.now()));
        let policy = policy(&options)?;
        let listener = BROKER.listen(options.ports)?;
        let issuer = format!("http://{}", listener.local_addr()?);
        let settings = registry_settings(&issuer);
        let for_broker = settings.clone();
        let registry = SampleRegistry::serve(REGISTRY.listen(options.ports)?, settings).await?;
        let door = NPM.listen(options.ports)?;
        let npm_url = npm::address_of(&door)?;
        let npm = NpmRegistry::start(&npm_url).await?;
        let behind_door = npm.behind(&door)?;
        let stand_ins = start_stand_ins(options.ports).await?;
        let (data, temporary) = data_directory(options.data)?;
        let parts = Parts {
            listeners: Listeners {
                registries: BTreeMap::from([(RegistryName::new(NPM_ID)?, door)]),
                ..Listeners::from(listener)
            },
            settings: broker::settings(
                Url::parse(&issuer)?,
                &for_broker,
                registry.redirect_uri(),
                behind_door,
            )?,
            policy,
            providers: stand_ins.providers()?,
            known: calendar::long_standing(&stand_ins.github_site()?, &stand_ins.issuer()?)?,
            data,
        };
        let broker = broker::start(parts)
            .await
            .context("the broker does not start")?;
        Ok(Self {
            broker_url: issuer,
            registry,
            npm_url,
            npm,
            broker,
            stand_ins,
            _temporary: temporary,
        })
    }

    /// The page to open: the registry's.
    pub fn url(&self) -> &str {
        self.registry.url()
    }

    /// The broker's issuer.
    pub fn broker_url(&self) -> &str {
        &self.broker_url
    }

    /// The registry that npm logs in and publishes to.
    pub fn npm_url(&self) -> &str {
        &self.npm_url
    }

    /// The sample registry.
    pub fn registry(&self) -> &SampleRegistry {
        &self.registry
    }

    /// The stand-in for Entra ID and Microsoft accounts.
    pub fn entra(&self) -> &DevIdp {
        &self.stand_ins.entra
    }

    /// The stand-in for GitHub.
    pub fn github(&self) -> &DevIdp {
        &self.stand_ins.github
    }

    /// The stand-in for an OpenID Connect provider.
    pub fn oidc(&self) -> &DevIdp {
        &self.stand_ins.oidc
    }

    /// Stops everything and waits until it has stopped.
    pub async fn stop(self) {
        tokio::join!(
            self.registry.stop(),
            self.npm.stop(),
            self.broker.stop(),
            self.stand_ins.stop()
        );
    }
}

fn policy(options: &PlaygroundOptions) -> anyhow::Result<PolicyInForce> {
    let clients = BTreeSet::from([
        ClientId::new(CLIENT_ID)?,
        ClientId::new(TOOL_ID)?,
        ClientId::new(NPM_ID)?,
        ClientId::new(SERVICE_ID)?,
    ]);
    let kinds = providers::kinds()?;
    let installation = Installation {
        providers: Some(&kinds),
        clients: Some(&clients),
        today: None,
    };
    let read = Policy::load(&options.policy_file, &options.policy, installation)?;
    Ok(PolicyInForce::new(read.policy, &options.policy))
}

fn registry_settings(issuer: &str) -> RegistrySettings {
    let service = ServiceSettings {
        client_id: SERVICE_ID.to_owned(),
        client_secret: registry::random_text().into(),
    };
    RegistrySettings {
        service: Some(service),
        ..RegistrySettings::new(issuer, CLIENT_ID, registry::random_text(), AUDIENCE)
    }
}

/// At once: each makes its keys first, which takes a while.
async fn start_stand_ins(ports: Ports) -> anyhow::Result<StandIns> {
    let (entra, github, oidc) = tokio::try_join!(
        ENTRA.start(ports, DevIdp::entra),
        GITHUB.start(ports, DevIdp::github),
        OIDC.start(ports, DevIdp::oidc),
    )?;
    // As the app registration is to be set up where admins connect their tenants.
    entra.control().set(|behaviour| {
        behaviour.entra.group_membership_claims = GroupMembershipClaims::DirectoryRole;
    });
    Ok(StandIns {
        entra,
        github,
        oidc,
    })
}

fn data_directory(given: Option<PathBuf>) -> anyhow::Result<(PathBuf, Option<TempDir>)> {
    if let Some(directory) = given {
        return Ok((directory, None));
    }
    let directory = TempDir::with_prefix("countersign-playground-")
        .context("can't make a temporary data directory")?;
    // One level down, where the store itself makes the directory, for its owner alone.
    Ok((directory.path().join("data"), Some(directory)))
}
