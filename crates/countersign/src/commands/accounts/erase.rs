//! `countersign accounts erase` and `export`: what a person may ask of whoever runs this: all that is kept of them, or that none is.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Args;
use countersign_core::AccountId;
use countersign_server::{By, Clock, Event, Happening, Subject, SystemClock};
use countersign_store::{EraseError, RegistryAccount, Store, erase_account};

use super::super::say;
use super::super::trail::Trail;
use super::found::{look_up, with_found};

/// What is written after `countersign accounts erase`.
#[derive(Debug, Args)]
pub(crate) struct EraseArguments {
    /// Our id of it (`acct_…`, the `sub` of its tokens), or the registry's own name of it
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// Really: it can't be undone
    #[arg(long)]
    yes: bool,
}

/// What is written after `countersign accounts export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// Our id of it (`acct_…`, the `sub` of its tokens), or the registry's own name of it
    #[arg(value_name = "ACCOUNT")]
    account: String,
}

pub(crate) fn erase(erase: &EraseArguments, configuration: &Path) -> ExitCode {
    with_found(
        &erase.account,
        configuration,
        async |store, found, trail| {
            if !erase.yes {
                return Err(anyhow!(
                    "nothing was erased: it can't be undone, and its sessions end; `accounts export` shows what is kept; \
                 repeat it with `--yes`"
                ));
            }
            match found {
                (Some(account), _) => erase_one(&account.id, (store, trail)).await,
                (None, Some(registry)) => forget(&registry, (store, trail)).await,
                (None, None) => Ok(()),
            }
        },
    )
}

async fn erase_one(id: &AccountId, (store, trail): (&dyn Store, &Trail)) -> Result<()> {
    trail.check().await?;
    let erased = erase_account(store, id, SystemClock.now()).await;
    let erased = erased.map_err(|error| match error {
        EraseError::Locked => anyhow!(
            "{id} is locked, and was not erased: who has it would begin anew, and not be locked; unlock it first"
        ),
        EraseError::Store(error) => anyhow!(error).context(format!(
            "{id} may not be erased to its end: erase it again"
        )),
    })?;
    let Some(ended) = erased else {
        return say(format_args!("{id} was erased by another"));
    };
    let happening = Happening::new(Event::AccountErased, By::Operator)
        .about(Subject::Account, id)
        .about(Subject::Count, ended);
    trail.note(happening).await?;
    say(format_args!("{id} is erased; sessions ended: {ended}"))
}

/// What the registry said of an account that nobody has shown to be theirs.
async fn forget(registry: &RegistryAccount, (store, trail): (&dyn Store, &Trail)) -> Result<()> {
    let name = &registry.name;
    if let Some(organization) = &registry.organization {
        return Err(anyhow!(
            "`{name}` was a team's, and is the organization `{organization}` now: it says of nobody whose it is, and keeps it from \
             being given to somebody"
        ));
    }
    trail.check().await?;
    let found = store.registry_account(name).await?;
    let (_, version) = found.ok_or_else(|| anyhow!("`{name}` was erased by another"))?;
    store.remove_registry_account(name, version).await?;
    // The registry's name of it may be a person's: the line has none.
    trail
        .note(Happening::new(Event::AccountErased, By::Operator))
        .await?;
    say(format_args!(
        "what the registry said of `{name}` is erased; nobody has signed in as its owner"
    ))
}

pub(crate) fn export(export: &ExportArguments, configuration: &Path) -> ExitCode {
    look_up(&export.account, configuration, async |store, found| {
        let json = match found {
            (Some(account), _) => {
                let all = countersign_store::export(store, account, SystemClock.now());
                serde_json::to_string_pretty(&all.await?)?
            }
            (None, registry) => {
                serde_json::to_string_pretty(&serde_json::json!({ "registry_account": registry }))?
            }
        };
        say(format_args!("{json}"))
    })
}
