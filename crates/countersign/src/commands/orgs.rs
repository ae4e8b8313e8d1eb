//! `countersign orgs`: the organisations of the registry, whose people are theirs and why; by hand, or by a file.

mod apply;
mod connect;
mod file;
mod list;
mod show;
mod tell;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use countersign::config::Installation;
use countersign_core::{IdError, OrganizationId, Source};
use countersign_server::{Event, Happening, Subject};
use countersign_store::organization::ClaimError;
use countersign_store::{Actor, Store};

use super::trail::Trail;
use super::{load, store, tell as complain};

/// What is written after `countersign orgs`.
#[derive(Debug, Subcommand)]
pub(crate) enum OrgsCommand {
    /// List organizations, in the order of their names
    List(list::Arguments),
    /// Tell what is in force of one, and why
    ///
    /// What it is connected to, who has shown that and how; what the policy file adds; who disputes it; who
    /// administers it, and whether they have ever signed in.
    Show(show::Arguments),
    /// Tell of one by hand; `apply` does many
    ///
    /// What is not given stays as it is. What it is connected to stays in any case.
    Tell(tell::TellArguments),
    /// Forget one: whoever belongs to it belongs to it no more
    Forget(tell::ForgetArguments),
    /// Connect one to a tenant, a GitHub organization or an issuer, by your own word
    ///
    /// Or change on what terms it is connected: they are said whole each time.
    Connect(connect::ConnectArguments),
    /// End a connection: its people act for the organization no more, at once
    Disconnect(connect::DisconnectArguments),
    /// End a dispute over a source that several organizations say is theirs
    Settle(connect::SettleArguments),
    /// Let a connection that awaits approval be in force
    Approve(connect::ApproveArguments),
    /// Apply a file of organizations, which you keep in git
    ///
    /// The whole file is checked first: one with a mistake changes nothing. It may run beside a server, changes
    /// nothing when it is run again, and carries on where it was if it was killed.
    Apply(apply::Arguments),
}

pub(crate) fn run(command: &OrgsCommand, configuration: &Path) -> ExitCode {
    let Some(installation) = load(configuration) else {
        return ExitCode::FAILURE;
    };
    match done(command, &installation) {
        Ok(code) => code,
        Err(error) => {
            complain(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn done(command: &OrgsCommand, installation: &Installation) -> Result<ExitCode> {
    let Some(happening) = command.happening() else {
        return unnoted(command, installation);
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    if let OrgsCommand::Apply(arguments) = command {
        // It has the store for itself, and says at its end what it has done: that much is written down.
        let code = apply::run(arguments, installation)?;
        // A file with mistakes changes nothing, and makes no data directory to write that down in.
        if !installation.data_dir.exists() {
            return Ok(code);
        }
        let store = store::to_change(installation)?;
        let trail = Trail::open(&installation.audit_log, &installation.data_dir, store);
        let trail = runtime.block_on(trail)?;
        let noted = runtime.block_on(trail.note(happening));
        return noted.and(runtime.block_on(trail.close())).map(|()| code);
    }
    let store = store::to_change(installation)?;
    let trail = Trail::open(
        &installation.audit_log,
        &installation.data_dir,
        Arc::clone(&store),
    );
    let trail = runtime.block_on(trail)?;
    let done = runtime.block_on(with(command, store.as_ref(), installation));
    let noted = match &done {
        Ok(_) => runtime.block_on(trail.note(happening)),
        Err(_) => Ok(()),
    };
    let closed = runtime.block_on(trail.close());
    let code = done?;
    noted.and(closed).map(|()| code)
}

/// What changes nothing.
fn unnoted(command: &OrgsCommand, installation: &Installation) -> Result<ExitCode> {
    if let OrgsCommand::Apply(arguments) = command {
        return apply::run(arguments, installation);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let store = store::to_look(installation)?;
    runtime.block_on(with(command, store.as_ref(), installation))
}

impl OrgsCommand {
    /// What is written down of it, where it changes something.
    fn happening(&self) -> Option<Happening> {
        let of = |event, id: &OrganizationId, source: Option<&Source>| {
            Happening::new(event, &Actor::Operator)
                .about(Subject::Organization, id)
                .about_any(Subject::Source, source)
        };
        Some(match self {
            Self::List(_) | Self::Show(_) => return None,
            Self::Apply(arguments) if arguments.is_dry() => return None,
            Self::Settle(arguments) if !arguments.changes() => return None,
            Self::Apply(_) => Happening::new(Event::OrganizationsApplied, &Actor::Operator),
            Self::Tell(one) => of(Event::OrganizationTold, one.id(), None),
            Self::Forget(one) => of(Event::OrganizationForgotten, one.id(), None),
            Self::Connect(one) => of(Event::OrganizationConnected, one.id(), Some(one.source())),
            Self::Disconnect(one) => of(
                Event::OrganizationDisconnected,
                one.id(),
                Some(one.source()),
            ),
            Self::Settle(one) => of(Event::ConnectionSettled, one.id(), Some(one.source())),
            Self::Approve(one) => of(Event::ConnectionSettled, one.id(), Some(one.source())),
        })
    }
}

async fn with(
    command: &OrgsCommand,
    store: &dyn Store,
    installation: &Installation,
) -> Result<ExitCode> {
    match command {
        OrgsCommand::List(arguments) => list::run(arguments, store).await,
        OrgsCommand::Show(arguments) => {
            show::run(arguments, store, &installation.policy.policy).await
        }
        OrgsCommand::Tell(arguments) => tell::tell(arguments, store).await,
        OrgsCommand::Forget(arguments) => tell::forget(arguments, store).await,
        OrgsCommand::Connect(arguments) => connect::connect(arguments, store).await,
        OrgsCommand::Disconnect(arguments) => connect::disconnect(arguments, store).await,
        OrgsCommand::Settle(arguments) => connect::settle(arguments, store).await,
        OrgsCommand::Approve(arguments) => connect::approve(arguments, store).await,
        // It opens the store by itself.
        OrgsCommand::Apply(arguments) => apply::run(arguments, installation),
    }
}

/// The organisation that a command is about.
#[derive(Debug, Args)]
struct Named {
    /// The registry's name of the organization
    #[arg(value_name = "ID", value_parser = organization)]
    id: OrganizationId,
}

fn organization(text: &str) -> Result<OrganizationId, IdError> {
    OrganizationId::new(text)
}

/// How something is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// What went wrong, and what to do.
fn explained(error: &ClaimError) -> anyhow::Error {
    let hint = match error {
        ClaimError::UnknownOrganization(id) => {
            format!("; `countersign orgs tell {id}` tells of it, if the registry does not")
        }
        ClaimError::NotConnected(id, _) => {
            format!("; `countersign orgs show {id}` says to what it is")
        }
        ClaimError::PersonalAccounts | ClaimError::TooMany | ClaimError::Store(_) => String::new(),
    };
    anyhow::anyhow!("{error}{hint}")
}
