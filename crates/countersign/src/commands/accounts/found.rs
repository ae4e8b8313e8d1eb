//! The account that a command is about.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use countersign::config::Installation;
use countersign_store::{Found, Store, find_account};

use super::super::trail::Trail;
use super::super::{load, store, tell};

/// Does something about the account of a name, in a store that may be changed; says what went wrong.
pub(super) fn with_found(
    name: &str,
    configuration: &Path,
    work: impl AsyncFnOnce(&dyn Store, Found, &Trail) -> Result<()>,
) -> ExitCode {
    with_store(
        configuration,
        store::to_change,
        async |store, installation| {
            let found = find_or_say(store.as_ref(), name).await?;
            let trail = Trail::of(installation, Arc::clone(&store));
            work(store.as_ref(), found, &trail).await
        },
    )
}

/// The same in a store that is only looked at.
pub(super) fn look_up(
    name: &str,
    configuration: &Path,
    work: impl AsyncFnOnce(&dyn Store, Found) -> Result<()>,
) -> ExitCode {
    with_store(configuration, store::to_look, async |store, _| {
        let found = find_or_say(store.as_ref(), name).await?;
        work(store.as_ref(), found).await
    })
}

async fn find_or_say(store: &dyn Store, name: &str) -> Result<Found> {
    let found = find_account(store, name).await?;
    found.ok_or_else(|| anyhow!("there is no account `{name}`"))
}

fn with_store(
    configuration: &Path,
    open: impl FnOnce(&Installation) -> Result<Arc<dyn Store>>,
    work: impl AsyncFnOnce(Arc<dyn Store>, &Installation) -> Result<()>,
) -> ExitCode {
    let Some(installation) = load(configuration) else {
        return ExitCode::FAILURE;
    };
    let done = || -> Result<()> {
        let store = open(&installation)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .context("no runtime")?;
        runtime.block_on(work(store, &installation))
    };
    match done() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
