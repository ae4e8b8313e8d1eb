//! `countersign orgs tell` and `forget`: one, by hand.

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Args;
use countersign_server::{Clock, Event, SystemClock};
use countersign_store::organization::{self, Change, Told};
use countersign_store::{Actor, Admin};

use super::super::{say, tell as complain};
use super::{Books, Named};

/// What is written after `countersign orgs tell`.
#[derive(Debug, Args)]
pub(crate) struct TellArguments {
    #[command(flatten)]
    named: Named,
    /// What people call it; empty takes it away
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Who administers it, all of them: `account:acct_…`, or `registry-account:NAME` as the registry calls them
    #[arg(long = "admin", value_name = "ADMIN")]
    admins: Vec<Admin>,
    /// Nobody administers it
    #[arg(long, conflicts_with = "admins")]
    no_admins: bool,
}

/// What is written after `countersign orgs forget`.
#[derive(Debug, Args)]
pub(crate) struct ForgetArguments {
    #[command(flatten)]
    named: Named,
    /// Do it, and not only say what it means
    #[arg(long)]
    yes: bool,
}

pub(super) async fn tell(arguments: &TellArguments, books: &Books) -> Result<ExitCode> {
    let (id, store) = (&arguments.named.id, books.store());
    let known = store.organization(id).await?.map(|(known, _)| known);
    let (title, admins) = known.map(|it| (it.title, it.admins)).unwrap_or_default();
    let are_given = arguments.no_admins || !arguments.admins.is_empty();
    let told = Told {
        title: arguments.title.clone().or(title),
        admins: if are_given {
            arguments.admins.iter().cloned().collect()
        } else {
            admins
        },
    };
    books.trail.check().await?;
    let now = SystemClock.now();
    let (change, kept) = organization::tell(store, id, &told, &Actor::Operator, now).await?;
    if change != Change::Unchanged {
        books.note(Event::OrganizationTold, id, None).await?;
    }
    let what = match change {
        Change::Created => "is known now",
        Change::Changed => "has changed",
        Change::Unchanged => "was known so already",
    };
    say(format_args!("{id} {what}; admins: {}", kept.admins.len()))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn forget(arguments: &ForgetArguments, books: &Books) -> Result<ExitCode> {
    let (id, store) = (&arguments.named.id, books.store());
    let unknown = || anyhow!("there is no organization `{id}`");
    let (known, _) = store.organization(id).await?.ok_or_else(unknown)?;
    if !arguments.yes {
        complain(format_args!(
            "{id} has {} connections and {} admins. What people got through it is good no more, and who tells of it \
             again begins anew.\nNothing was done; add `--yes` to do it.",
            known.connections.len(),
            known.admins.len()
        ));
        return Ok(ExitCode::FAILURE);
    }
    books.trail.check().await?;
    if !organization::forget(store, id, SystemClock.now()).await? {
        return Err(unknown());
    }
    books.note(Event::OrganizationForgotten, id, None).await?;
    say(format_args!("{id} is forgotten"))?;
    Ok(ExitCode::SUCCESS)
}
