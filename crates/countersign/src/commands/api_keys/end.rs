//! `countersign api-keys sunset` and `revoke`: keys end, with notice or at once.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use countersign::config::Installation;
use countersign_core::api_keys::NOTICE;
use countersign_core::calendar::midnight;
use countersign_server::{By, Clock, Event, Happening, Subject, SystemClock, api_key};
use countersign_store::{ApiKey, Changed, Store, change_api_key};
use jiff::Timestamp;
use jiff::civil::Date;

use super::super::progress::{Progress, Verbosity};
use super::super::trail::Trail;
use super::super::{say, store};
use super::select::Which;

/// What is written after `countersign api-keys sunset`.
#[derive(Debug, Args)]
pub(crate) struct SunsetArguments {
    #[command(flatten)]
    which: Which,
    /// The day from whose beginning (UTC) they no longer work: at least thirty days ahead
    #[arg(long, value_name = "DAY")]
    on: Date,
    #[command(flatten)]
    how: How,
}

/// What is written after `countersign api-keys revoke`.
#[derive(Debug, Args)]
pub(crate) struct RevokeArguments {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct How {
    /// Say how many it would be, without doing it
    #[arg(long)]
    dry_run: bool,
    /// Say nothing of the progress
    #[arg(long)]
    quiet: bool,
}

pub(super) async fn sunset(
    sunset: &SunsetArguments,
    installation: &Installation,
) -> Result<ExitCode> {
    let (now, end) = (SystemClock.now(), midnight(sunset.on));
    if end.duration_since(now) < NOTICE {
        return Err(anyhow!(
            "`--on {}` is less than thirty days ahead: nobody's key ends with shorter notice; `revoke` ends keys at once",
            sunset.on
        ));
    }
    let work = Work {
        which: &sunset.which,
        how: &sunset.how,
        event: Event::ApiKeysSunset,
        done: "are to end",
    };
    work.run(installation, async |store, key| {
        set_end(store, key, end).await
    })
    .await
}

async fn set_end(store: &dyn Store, key: &ApiKey, end: Timestamp) -> Result<Changed> {
    let set = |key: &ApiKey| {
        (key.revoked_at.is_none() && key.set_end != Some(end)).then(|| ApiKey {
            set_end: Some(end),
            ..key.clone()
        })
    };
    let found = change_api_key(store, &key.id, set).await?;
    Ok(found.map_or(Changed::No, |(_, changed)| changed))
}

pub(super) async fn revoke(
    revoke: &RevokeArguments,
    installation: &Installation,
) -> Result<ExitCode> {
    let work = Work {
        which: &revoke.which,
        how: &revoke.how,
        event: Event::ApiKeyRevoked,
        done: "are revoked",
    };
    let now = SystemClock.now();
    work.run(installation, async |store, key| {
        Ok(api_key::revoke_at(store, &key.id, now).await?)
    })
    .await
}

/// Something that is done to keys.
struct Work<'a> {
    which: &'a Which,
    how: &'a How,
    event: Event,
    done: &'static str,
}

impl Work<'_> {
    async fn run(
        &self,
        installation: &Installation,
        change: impl AsyncFn(&dyn Store, &ApiKey) -> Result<Changed>,
    ) -> Result<ExitCode> {
        self.which.must_say_something()?;
        if self.how.dry_run {
            let store = store::to_look(installation)?;
            let keys = self.which.find(store.as_ref()).await?;
            let live = keys.iter().filter(|key| key.revoked_at.is_none()).count();
            say(format_args!("{live} keys (dry run: nothing was changed)"))?;
            return Ok(ExitCode::SUCCESS);
        }
        let store = store::to_change(installation)?;
        let keys = self.which.find(store.as_ref()).await?;
        let trail = Trail::of(installation, Arc::clone(&store));
        trail.check().await?;
        let (changed, ended) = self.all(&keys, store.as_ref(), change).await;
        if changed > 0 {
            let happening = Happening::new(self.event, By::Operator).about(Subject::Count, changed);
            let noted = trail.note_part(happening, &ended).await;
            ended.and(noted)?;
        } else {
            ended?;
        }
        let as_before = keys.len() - changed;
        say(format_args!(
            "{changed} keys {}; {as_before} as they were",
            self.done
        ))?;
        Ok(ExitCode::SUCCESS)
    }

    async fn all(
        &self,
        keys: &[ApiKey],
        store: &dyn Store,
        change: impl AsyncFn(&dyn Store, &ApiKey) -> Result<Changed>,
    ) -> (usize, Result<()>) {
        let verbosity = if self.how.quiet {
            Verbosity::Quiet
        } else {
            Verbosity::Told
        };
        let all = u64::try_from(keys.len()).unwrap_or(u64::MAX);
        let mut progress = Progress::start("keys changed", all, verbosity);
        let mut changed = 0;
        for key in keys {
            match change(store, key).await {
                Ok(Changed::Yes) => changed += 1,
                Ok(Changed::No) => {}
                Err(error) => {
                    progress.end();
                    let error = Err(error).context("what is done so far stays; run this again");
                    return (changed, error);
                }
            }
            progress.advance(1);
        }
        progress.end();
        (changed, Ok(()))
    }
}
