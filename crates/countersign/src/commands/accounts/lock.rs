//! `countersign accounts lock` and `unlock`: nobody gets anything by an account that is locked, and what was got ends.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use countersign_server::{By, Clock, Event, Happening, Subject, SystemClock};
use countersign_store::{Account, Lock, Locked, Store, Version, lock_account, unlock_account};

use super::super::say;
use super::super::trail::Trail;
use super::found::with_found;

/// What is written after `countersign accounts lock`.
#[derive(Debug, Args)]
pub(crate) struct LockArguments {
    /// Our id of it (`acct_…`, the `sub` of its tokens), or the registry's own name of it
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// Why, for other operators; the person is not told
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// What is written after `countersign accounts unlock`.
#[derive(Debug, Args)]
pub(crate) struct UnlockArguments {
    /// Our id of it (`acct_…`, the `sub` of its tokens), or the registry's own name of it
    #[arg(value_name = "ACCOUNT")]
    account: String,
}

pub(crate) fn lock(lock: &LockArguments, configuration: &Path) -> ExitCode {
    with_account(&lock.account, configuration, async |store, found, trail| {
        let lock = Lock::new(SystemClock.now(), &lock.reason).ok_or_else(|| {
            let longest = Lock::LONGEST_REASON;
            anyhow!("`--reason` must say why, in {longest} characters at most")
        })?;
        let id = found.0.id.clone();
        trail.check().await?;
        let Locked {
            was_locked,
            ended,
            all,
        } = lock_account(store, found, &lock).await?;
        let all = all.with_context(|| {
            format!("{id} is locked, and some of its sessions have not ended: lock it again")
        });
        if !was_locked || ended > 0 {
            let happening = Happening::new(Event::AccountLocked, By::Operator)
                .about(Subject::Account, &id)
                .about(Subject::Count, ended);
            let noted = trail.note_part(happening, &all).await;
            all.and(noted)?;
        } else {
            all?;
        }
        let locked = if was_locked {
            "was locked already"
        } else {
            "is locked"
        };
        say(format_args!("{id} {locked}; sessions ended: {ended}"))
    })
}

pub(crate) fn unlock(unlock: &UnlockArguments, configuration: &Path) -> ExitCode {
    with_account(
        &unlock.account,
        configuration,
        async |store, found, trail| {
            let id = found.0.id.clone();
            if found.0.locked.is_none() {
                return say(format_args!("{id} was not locked"));
            }
            trail.check().await?;
            unlock_account(store, found, SystemClock.now()).await?;
            let happening = Happening::new(Event::AccountUnlocked, By::Operator);
            trail.note(happening.about(Subject::Account, &id)).await?;
            say(format_args!("{id} is locked no more"))
        },
    )
}

/// Of an account that somebody has signed in to.
fn with_account(
    name: &str,
    configuration: &Path,
    work: impl AsyncFnOnce(&dyn Store, (Account, Version), &Trail) -> Result<()>,
) -> ExitCode {
    with_found(name, configuration, async |store, (account, _), trail| {
        let unseen =
            || anyhow!("the owner of `{name}` has never signed in, so there is nothing to lock");
        let found = store.account(&account.ok_or_else(unseen)?.id).await?;
        work(store, found.ok_or_else(unseen)?, trail).await
    })
}
