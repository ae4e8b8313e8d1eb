//! `countersign orgs`: the organisations of the registry, whose people are theirs and why; by hand, or by a file.

mod apply;
mod connect;
mod exceptions;
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
use countersign_core::{ExceptionName, IdError, OrganizationId, Policy, Source};
use countersign_server::{By, Event, Happening, Subject};
use countersign_store::Store;
use countersign_store::organization::ClaimError;

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
    /// List what organizations ask for, and wait for an answer: exceptions, and connections to approve
    Asks(exceptions::AsksArguments),
    /// Grant an exception that an organization asked for, until a day
    ///
    /// It lets go of the second factor, and of nothing else, for who acts for the organization.
    Grant(exceptions::GrantArguments),
    /// Refuse an exception, or end one that was granted
    Refuse(exceptions::RefuseArguments),
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(async {
        match command {
            OrgsCommand::List(arguments) => {
                list::run(arguments, store::to_look(installation)?.as_ref()).await
            }
            OrgsCommand::Show(arguments) => {
                let store = store::to_look(installation)?;
                show::run(arguments, store.as_ref(), &installation.policy.policy).await
            }
            OrgsCommand::Tell(arguments) => {
                tell::tell(arguments, &Books::open(installation)?).await
            }
            OrgsCommand::Forget(arguments) => {
                tell::forget(arguments, &Books::open(installation)?).await
            }
            OrgsCommand::Connect(arguments) => {
                connect::connect(arguments, &Books::open(installation)?).await
            }
            OrgsCommand::Disconnect(arguments) => {
                connect::disconnect(arguments, &Books::open(installation)?).await
            }
            OrgsCommand::Settle(arguments) => {
                connect::settle(arguments, &Books::open(installation)?).await
            }
            OrgsCommand::Approve(arguments) => {
                connect::approve(arguments, &Books::open(installation)?).await
            }
            OrgsCommand::Asks(arguments) => {
                exceptions::asks(arguments, store::to_look(installation)?.as_ref()).await
            }
            OrgsCommand::Grant(arguments) => {
                exceptions::grant(arguments, &Books::open(installation)?).await
            }
            OrgsCommand::Refuse(arguments) => {
                exceptions::refuse(arguments, &Books::open(installation)?).await
            }
            OrgsCommand::Apply(arguments) => apply::run(arguments, installation).await,
        }
    })
}

/// What a command changes something in, and where it is written down.
struct Books {
    store: Arc<dyn Store>,
    trail: Trail,
    /// It gives organisations tenants too.
    policy: Policy,
}

impl Books {
    fn open(installation: &Installation) -> Result<Self> {
        let store = store::to_change(installation)?;
        let trail = Trail::of(installation, Arc::clone(&store));
        Ok(Self {
            store,
            trail,
            policy: installation.policy.policy.clone(),
        })
    }

    fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// Writes down what became of an exception.
    async fn note_exception(
        &self,
        event: Event,
        id: &OrganizationId,
        exception: &ExceptionName,
    ) -> Result<()> {
        let happening = Happening::new(event, By::Operator)
            .about(Subject::Organization, id)
            .about(Subject::Exception, exception);
        self.trail.note(happening).await
    }

    /// Writes down what was done to an organisation.
    async fn note(&self, event: Event, id: &OrganizationId, source: Option<&Source>) -> Result<()> {
        let happening = Happening::new(event, By::Operator)
            .about(Subject::Organization, id)
            .about_any(Subject::Source, source);
        self.trail.note(happening).await
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
        ClaimError::InPolicyFile(holder) => {
            format!(": take it out of `organization.{holder}.tenants` there first")
        }
        ClaimError::NotApproved(id, source) => {
            format!(" (`countersign orgs approve {id} {source}`)")
        }
        ClaimError::PersonalAccounts | ClaimError::TooMany | ClaimError::Store(_) => String::new(),
    };
    anyhow::anyhow!("{error}{hint}")
}
