//! `countersign api-keys`: who has which keys, when they end, and those that the registry made before.

mod end;
mod import;
mod list;
mod select;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use countersign::config::Installation;

use super::{load, tell};

/// What is written after `countersign api-keys`.
#[derive(Debug, Subcommand)]
pub(crate) enum ApiKeysCommand {
    /// List keys, with whose they are, what they are for and when they end; never a key itself
    List(list::Arguments),
    /// Let keys end on a day, with at least thirty days' notice to each owner
    ///
    /// Whose key it is is told on their page, by their tool and by the webhook. A key ends no earlier than thirty days
    /// after its owner was told.
    Sunset(end::SunsetArguments),
    /// Revoke keys: they are good for nothing, at once
    Revoke(end::RevokeArguments),
    /// Import keys that the registry made before, by their SHA-256 digests
    ///
    /// A list with a mistake changes nothing: each is told as FILE:LINE. It may run beside a server, and carries on
    /// where it was when it is run again. What is known, or was revoked, stays as it is.
    Import(import::Arguments),
}

pub(crate) fn run(command: &ApiKeysCommand, configuration: &Path) -> ExitCode {
    let Some(installation) = load(configuration) else {
        return ExitCode::FAILURE;
    };
    match done(command, &installation) {
        Ok(code) => code,
        Err(error) => {
            tell(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn done(command: &ApiKeysCommand, installation: &Installation) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(async {
        match command {
            ApiKeysCommand::List(arguments) => list::run(arguments, installation).await,
            ApiKeysCommand::Sunset(arguments) => end::sunset(arguments, installation).await,
            ApiKeysCommand::Revoke(arguments) => end::revoke(arguments, installation).await,
            ApiKeysCommand::Import(arguments) => import::run(arguments, installation).await,
        }
    })
}
