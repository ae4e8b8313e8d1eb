//! What this installation is: `countersign.toml` and the policy that it names, checked.
//!
//! All that is wrong in both files is told at once, each at its place. What a setting means to
//! the server or to a provider is their own affair; here it is read and made into their values.

mod address;
mod audit_log;
mod client;
mod decision_log;
mod file;
mod keys;
mod limits;
mod policy;
mod provider;
mod registry;
mod secret;
mod store;
#[cfg(test)]
mod tests;
mod traces;
mod warning;
mod webhook;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_core::document::{self, Problems};
use countersign_core::{ProviderId, ProviderKind, RegistryName};
use countersign_providers::github::GitHubSettings;
use countersign_providers::microsoft::{Audience, MicrosoftSettings};
use countersign_providers::oidc::OidcSettings;
use countersign_providers::{GitHub, Http, Microsoft, NameServers, Oidc, PrivateHosts, Provider};
use countersign_server::{
    AuditLogSettings, DecisionLogSettings, KeySettings, LimitSettings, PolicyInForce, Settings,
};
use jiff::SignedDuration;
use thiserror::Error;

use self::file::{PolicyText, Reader};
pub use self::policy::{PolicyFile, ReadPolicy};
pub use self::registry::{BUILT_IN, built_in};
pub use self::store::StoreSettings;
pub use self::traces::TraceSettings;
use crate::Surroundings;

/// Reads the configuration at `path`, the policy that it names, and every secret.
///
/// Paths in it are relative to the file itself, not to where the process was started.
pub fn load(path: &Path, outside: &dyn Surroundings) -> Result<Installation, LoadError> {
    let unreadable = |source| LoadError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let text = outside.file(path).map_err(unreadable)?.text;
    let name = path.display().to_string();
    let mut reader = Reader::new(path.parent().unwrap_or(Path::new("")), outside);
    let written = document::read(&name, &text, |table| reader.file(table));
    let policy = reader
        .policy
        .take()
        .map(|found| read_policy(found, &reader));
    match (written, policy) {
        (Ok(written), Some(Ok((file, read)))) => {
            let warnings = warning::all(&written, &read, &reader);
            written
                .install(read.policy, file, warnings)
                .map_err(LoadError::Wrong)
        }
        (written, policy) => {
            let of_policy = policy.and_then(Result::err);
            let all = written.err().into_iter().chain(of_policy).flatten();
            Err(LoadError::Wrong(all.collect()))
        }
    }
}

/// Where the configuration is broken, names may be lost: then the policy is read without them.
fn read_policy(
    found: PolicyText,
    reader: &Reader<'_>,
) -> Result<(PolicyFile, ReadPolicy), Problems> {
    let file = PolicyFile::new(found.path, reader);
    if reader.is_sound {
        let read = file.read(&found.text, reader.outside.today())?;
        Ok((file, read))
    } else {
        Err(file.problems_alone(&found.text))
    }
}

/// All that an installation is.
#[derive(Debug)]
pub struct Installation {
    /// What the server is built from.
    pub settings: Settings,
    /// Who must show what.
    pub policy: PolicyInForce,
    /// The file that it was read from, and is read from again when it changes.
    pub policy_file: PolicyFile,
    /// The providers, of which none has been asked anything yet.
    pub providers: Vec<ProviderSettings>,
    /// Hosts on private addresses that may be asked.
    pub private_hosts: PrivateHosts,
    /// Who is asked for TXT records; nobody named: the machine's own resolvers.
    pub name_servers: NameServers,
    /// Where plain http is served.
    pub listen: SocketAddr,
    /// Where operators ask how it is; nothing set: nowhere.
    pub private_listen: Option<SocketAddr>,
    /// Where proxies ask whether to let a request of a registry's tool through; nothing set: nowhere but with a secret.
    pub forward_auth_listen: Option<SocketAddr>,
    /// Where tools reach the registries that we stand in front of ourselves.
    pub registry_listeners: BTreeMap<RegistryName, SocketAddr>,
    /// Where files are kept.
    pub data_dir: PathBuf,
    /// How keys are kept, and how often they are replaced.
    pub keys: KeySettings,
    /// How much anybody may ask for, and whose word on addresses counts.
    pub limits: LimitSettings,
    /// Where accounts, sessions and keys are.
    pub store: StoreSettings,
    /// How many threads serve; nothing set: one for each core.
    pub workers: Option<usize>,
    /// How long requests are still taken after the signal to stop, so that balancers of load see it first.
    pub drain_delay: Duration,
    /// What is logged, and how.
    pub log: Log,
    /// Where requests are told of as traces; nothing set: nowhere.
    pub traces: Option<TraceSettings>,
    /// Where decisions are written down.
    pub decision_log: DecisionLogSettings,
    /// Where it is written down who did what.
    pub audit_log: AuditLogSettings,
    /// What is legal and likely wrong.
    pub warnings: Problems,
}

/// What is logged, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// From which level on our own lines are written.
    pub level: LogLevel,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: an object to a line.
    Json,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// What an operator must mend.
    Error,
    /// Also what is likely wrong.
    Warn,
    /// Also what happens.
    Info,
    /// Also why.
    Debug,
    /// Everything.
    Trace,
}

/// One provider, before it is built.
#[derive(Debug, Clone)]
pub enum ProviderSettings {
    /// Entra ID, or Microsoft personal accounts.
    Microsoft(MicrosoftSettings),
    /// GitHub.com, GitHub Enterprise Server or GHE.com.
    GitHub(GitHubSettings),
    /// Any OpenID Connect provider.
    Oidc(OidcSettings),
}

impl ProviderSettings {
    /// Its name in the configuration.
    pub fn name(&self) -> &ProviderId {
        match self {
            Self::Microsoft(one) => &one.name,
            Self::GitHub(one) => &one.name,
            Self::Oidc(one) => &one.name,
        }
    }

    /// What people call it.
    pub fn title(&self) -> &str {
        match self {
            Self::Microsoft(one) => &one.title,
            Self::GitHub(one) => &one.title,
            Self::Oidc(one) => &one.title,
        }
    }

    /// What it is.
    pub fn kind(&self) -> ProviderKind {
        match self {
            Self::Microsoft(one) => match one.audience {
                Audience::Consumers => ProviderKind::MicrosoftAccount,
                Audience::Tenant(_) | Audience::Organizations | Audience::Common => {
                    ProviderKind::Entra
                }
            },
            Self::GitHub(_) => ProviderKind::GitHub,
            Self::Oidc(_) => ProviderKind::Oidc,
        }
    }

    /// How long until it is asked again about a login; never, if nothing is said.
    pub fn recheck(&self) -> Option<SignedDuration> {
        match self {
            Self::Microsoft(one) => one.recheck,
            Self::GitHub(one) => one.recheck,
            Self::Oidc(one) => one.recheck,
        }
    }

    /// Builds it; nothing is asked of it yet.
    pub fn build(self, http: Http) -> Provider {
        match self {
            Self::Microsoft(one) => Provider::Microsoft(Microsoft::new(one, http)),
            Self::GitHub(one) => Provider::GitHub(GitHub::new(one, http)),
            Self::Oidc(one) => Provider::Oidc(Oidc::new(one, http)),
        }
    }
}

/// Why a configuration does not load.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file itself can't be read.
    #[error("can't read `{}`: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// What stands in the files is wrong; one problem to a line.
    #[error(transparent)]
    Wrong(Problems),
}
