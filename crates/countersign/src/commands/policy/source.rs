//! Which policy a command is about, and how it is read.
//!
//! A policy file alone is read for any installation. With a configuration, its providers and
//! clients are checked too, be it the policy that the configuration names or another file.

use std::path::{Path, PathBuf};

use clap::Args;
use countersign::config::{self, ReadPolicy};
use countersign::{Machine, Surroundings};
use countersign_core::document::Problems;
use countersign_core::{Installation, Policy};
use countersign_server::PolicyInForce;

use crate::commands::tell;

/// Where the configuration is unless it is named.
const DEFAULT_CONFIG: &str = "/etc/countersign/countersign.toml";

/// The policy that a command is about.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// A policy file; the default is the configuration's
    #[arg(value_name = "POLICY")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    installation: Configured,
}

/// The installation that a policy is for.
#[derive(Debug, Args)]
pub(super) struct Configured {
    /// The installation that the policy is for
    ///
    /// Its providers and clients are checked. The default is /etc/countersign/countersign.toml
    /// where no policy file is named; a policy file alone is read for any installation.
    #[arg(
        long,
        value_name = "FILE",
        env = "COUNTERSIGN_CONFIG",
        verbatim_doc_comment
    )]
    config: Option<PathBuf>,
}

/// A policy that was read.
#[derive(Debug)]
pub(super) struct Chosen {
    /// The file that it was read from.
    pub(super) file: PathBuf,
    /// The policy and its hash.
    pub(super) policy: PolicyInForce,
    /// What is legal and likely wrong.
    pub(super) warnings: Problems,
}

impl Source {
    /// Reads the policy. What is wrong, and what is likely wrong, is told on stderr.
    pub(super) fn read(&self) -> Option<Chosen> {
        read(self.policy.as_deref(), &self.installation)
    }

    /// The installation that it is about: a policy file alone is about none.
    pub(super) fn installation(&self) -> Option<config::Installation> {
        let is_alone = self.policy.is_some() && self.installation.config.is_none();
        (!is_alone).then(|| self.installation.read()).flatten()
    }
}

/// Reads a policy file, for the installation if one is named; without either the policy of the
/// default configuration. What is wrong, and what is likely wrong, is told on stderr.
pub(super) fn read(policy: Option<&Path>, installation: &Configured) -> Option<Chosen> {
    let read = match (policy, &installation.config) {
        (Some(policy), None) => alone(policy),
        (Some(policy), Some(config)) => of(config).and_then(|one| for_installation(policy, &one)),
        (None, config) => {
            let config = config.as_deref();
            of(config.unwrap_or(Path::new(DEFAULT_CONFIG))).map(named)
        }
    };
    match read {
        Ok(chosen) => {
            for warning in &chosen.warnings {
                tell(format_args!("warning: {warning}"));
            }
            Some(chosen)
        }
        Err(message) => {
            tell(format_args!("{message}"));
            None
        }
    }
}

impl Configured {
    /// Reads the configuration; the default one where none is named. What is wrong is told on stderr.
    pub(super) fn read(&self) -> Option<config::Installation> {
        let config = self.config.as_deref();
        of(config.unwrap_or(Path::new(DEFAULT_CONFIG)))
            .map_err(|message| tell(format_args!("{message}")))
            .ok()
    }
}

fn of(config: &Path) -> Result<config::Installation, String> {
    config::load(config, &Machine).map_err(|error| error.to_string())
}

/// The policy that the configuration names.
fn named(installation: config::Installation) -> Chosen {
    Chosen {
        file: installation.policy_file.path().to_owned(),
        policy: installation.policy,
        warnings: installation.warnings,
    }
}

/// Another policy for the same installation: one that is to be in force.
fn for_installation(file: &Path, one: &config::Installation) -> Result<Chosen, String> {
    let candidate = one.policy_file.instead(file.to_owned());
    let text = text_of(file)?;
    let ReadPolicy { policy, warnings } = candidate
        .read(&text, Machine.today())
        .map_err(|problems| problems.to_string())?;
    Ok(Chosen {
        file: file.to_owned(),
        policy,
        warnings,
    })
}

fn alone(file: &Path) -> Result<Chosen, String> {
    let text = text_of(file)?;
    let any = Installation {
        today: Some(Machine.today()),
        ..Installation::default()
    };
    let loaded = Policy::load(&file.display().to_string(), &text, any)
        .map_err(|problems| problems.to_string())?;
    Ok(Chosen {
        file: file.to_owned(),
        policy: PolicyInForce::new(loaded.policy, &text),
        warnings: loaded.warnings.into_iter().collect(),
    })
}

/// The text of a file that a person wrote.
pub(super) fn text_of(file: &Path) -> Result<String, String> {
    let contents = Machine.file(file);
    contents
        .map(|contents| contents.text)
        .map_err(|error| format!("can't read `{}`: {error}", file.display()))
}
