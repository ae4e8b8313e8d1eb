//! `countersign jwks` and `countersign root-certificate`: what a registry that can't ask for our key set is given in a file.
//! Nothing of it is secret.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use countersign::config::Installation;
use countersign_core::RegistryName;
use countersign_server::{Clock, DockerSettings, KeyHeader, SystemClock, SystemEntropy, Vault};

use super::{load, say, store, tell};

/// What is written after both.
#[derive(Debug, Args)]
pub(crate) struct RegistryArguments {
    /// The registry, as in `[registry.NAME]`
    #[arg(long, value_name = "NAME")]
    registry: String,
}

/// What is written to a file.
#[derive(Debug, Clone, Copy)]
enum What {
    KeySet,
    Certificates,
}

pub(crate) fn jwks(of: &RegistryArguments, configuration: &Path) -> ExitCode {
    run(What::KeySet, of, configuration)
}

pub(crate) fn root_certificate(of: &RegistryArguments, configuration: &Path) -> ExitCode {
    run(What::Certificates, of, configuration)
}

fn run(what: What, of: &RegistryArguments, configuration: &Path) -> ExitCode {
    let Some(installation) = load(configuration) else {
        return ExitCode::FAILURE;
    };
    match print(what, &of.registry, installation) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn print(what: What, registry: &str, installation: Installation) -> Result<()> {
    let docker = named(registry, &installation)?;
    match (what, docker.key_header) {
        (What::KeySet, KeyHeader::X5c | KeyHeader::Libtrust) => bail!(
            "`registry.{registry}.docker.key_header` says that this registry finds keys by certificates: \
             `countersign root-certificate` writes them; or set it to `kid`"
        ),
        (What::KeySet, KeyHeader::Kid) | (What::Certificates, _) => {}
    }
    let store = store::to_change(&installation)?;
    let vault = Vault::new(store, installation.keys.secrets);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let (now, how) = (SystemClock.now(), (docker.key_header, docker.algorithm));
    let text = match what {
        What::KeySet => runtime.block_on(vault.key_set(how.1, &SystemEntropy, now))?,
        What::Certificates => runtime.block_on(vault.certificates(how, &SystemEntropy, now))?,
    };
    say(format_args!("{}", text.trim_end()))
}

fn named(registry: &str, installation: &Installation) -> Result<DockerSettings> {
    let name = RegistryName::new(registry)?;
    let found = installation.settings.registries.get(&name);
    let found = found.with_context(|| format!("there is no `[registry.{name}]`"))?;
    let docker = found.docker.clone();
    docker.ok_or_else(|| anyhow!("`[registry.{name}]` is of a profile without tokens of its own"))
}
