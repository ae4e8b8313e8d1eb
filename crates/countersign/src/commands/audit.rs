//! `countersign audit`: whether the audit log is whole, what stands in it, and a part of it for elsewhere.

mod export;
mod lines;
mod search;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};
use countersign_server::AuditLogSettings;
use countersign_store::{AuditHead, Store};

use super::tell;

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Tell whether a line was changed, dropped, put in or moved, as FILE:LINE; then it ends with 1
    ///
    /// All files of the configuration, held against what the store knows; or the files that are named.
    /// It may run beside a server.
    #[command(verbatim_doc_comment)]
    Verify(verify::VerifyArguments),
    /// Tell the lines that fit
    Search(search::SearchArguments),
    /// Write a part of it as it is, and what `verify --heads` needs to know of it elsewhere
    Export(export::ExportArguments),
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct With {
    /// What this installation is
    #[arg(
        long,
        value_name = "FILE",
        env = "COUNTERSIGN_CONFIG",
        default_value = "/etc/countersign/countersign.toml"
    )]
    config: PathBuf,
}

pub(crate) fn run(command: &AuditCommand) -> ExitCode {
    let done = match command {
        AuditCommand::Verify(arguments) => verify::run(arguments),
        AuditCommand::Search(arguments) => search::run(arguments).map(|()| ExitCode::SUCCESS),
        AuditCommand::Export(arguments) => export::run(arguments).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        tell(format_args!("{error:#}"));
        ExitCode::FAILURE
    })
}

fn must_be_on(settings: &AuditLogSettings) -> Result<()> {
    match settings {
        AuditLogSettings::Off => Err(anyhow!("`audit_log.to` is `off`: nothing is written down")),
        AuditLogSettings::File(_) => Ok(()),
    }
}

/// How far the store knows each chain to be.
fn heads(store: &dyn Store) -> Result<Vec<AuditHead>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(store.audit_heads())?)
}
