//! `countersign orgs asks`, `grant` and `refuse`: what organisations ask to be excepted from, and an operator's answer.

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Args;
use countersign_core::ExceptionName;
use countersign_server::{Clock, Event, SystemClock};
use countersign_store::organization::{Answer, AskedException, ExceptionError, Verdict, answer};
use countersign_store::{
    Actor, Connection, Organization, Signpost, Standing, Store, organizations_by,
};
use jiff::civil::Date;
use serde::Serialize;

use super::super::{say, tell as complain};
use super::{Books, Format, Named};

/// What is written after `countersign orgs asks`.
#[derive(Debug, Args)]
pub(crate) struct AsksArguments {
    /// How it is told
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What is written after `countersign orgs grant`.
#[derive(Debug, Args)]
pub(crate) struct GrantArguments {
    #[command(flatten)]
    named: Named,
    /// Which, as `countersign orgs asks` names it
    #[arg(value_name = "EXCEPTION", value_parser = exception)]
    exception: ExceptionName,
    /// Why it may be, for its admins and other operators
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The last day on which it holds (UTC); the one that was asked for, if left out
    #[arg(long, value_name = "DATE")]
    until: Option<Date>,
}

/// What is written after `countersign orgs refuse`.
#[derive(Debug, Args)]
pub(crate) struct RefuseArguments {
    #[command(flatten)]
    named: Named,
    /// Which, as `countersign orgs asks` or `orgs show` names it
    #[arg(value_name = "EXCEPTION", value_parser = exception)]
    exception: ExceptionName,
    /// Why not, or not any more, for its admins and other operators
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

fn exception(text: &str) -> Result<ExceptionName, countersign_core::IdError> {
    ExceptionName::new(text)
}

#[derive(Serialize)]
struct Asking<'a> {
    organization: &'a Organization,
    exception: &'a AskedException,
}

/// A claim that waits for approval.
#[derive(Serialize)]
struct Claiming<'a> {
    organization: &'a Organization,
    connection: &'a Connection,
}

/// Lists what waits for an answer.
pub(super) async fn asks(arguments: &AsksArguments, store: &dyn Store) -> Result<ExitCode> {
    let all = organizations_by(store, &Signpost::Asks).await?;
    let waiting = all.iter().flat_map(|organization| {
        let waiting = organization
            .exceptions
            .iter()
            .filter(|one| one.is_waiting());
        waiting.map(move |exception| Asking {
            organization,
            exception,
        })
    });
    let claims = all.iter().flat_map(|organization| {
        let connections = organization.connections.iter();
        let waiting = connections.filter(|one| one.standing == Standing::AwaitingApproval);
        waiting.map(move |connection| Claiming {
            organization,
            connection,
        })
    });
    let mut count = 0_usize;
    for one in claims {
        count += 1;
        let (id, source) = (&one.organization.id, &one.connection.mapping.source);
        match arguments.format {
            Format::Json => say(format_args!("{}", serde_json::to_string(&one)?))?,
            Format::Text => say(format_args!(
                "{id} asks to be connected to {source}, where one of its people has signed in\n  `countersign orgs approve \
                 {id} {source}`, or `orgs settle {id} {source} refuse`"
            ))?,
        }
    }
    for one in waiting {
        count += 1;
        match arguments.format {
            Format::Json => say(format_args!("{}", serde_json::to_string(&one)?))?,
            Format::Text => say_one(&one)?,
        }
    }
    if count == 0 && arguments.format == Format::Text {
        complain(format_args!("no organization waits for an answer"));
    }
    Ok(ExitCode::SUCCESS)
}

fn say_one(one: &Asking<'_>) -> Result<()> {
    let (id, asked) = (&one.organization.id, one.exception);
    let tiers: Vec<&str> = asked.waives.iter().map(String::as_str).collect();
    say(format_args!(
        "{id} {name}: no second factor for {tiers} until {until}\n  why: {reason}\n  asked by {by}, {at}",
        name = asked.name,
        tiers = tiers.join(", "),
        until = asked.until,
        reason = asked.reason.escape_debug(),
        by = asked.asked_by,
        at = asked.asked_at.strftime("%Y-%m-%d %H:%M UTC"),
    ))
}

pub(super) async fn grant(arguments: &GrantArguments, books: &Books) -> Result<ExitCode> {
    let GrantArguments {
        named,
        exception,
        reason,
        until,
    } = arguments;
    let asked = asked(named, exception, books.store()).await?;
    let until = until.unwrap_or(asked.until);
    let verdict = Verdict::Granted { until };
    answered(named, exception, (verdict, reason), books).await?;
    say(format_args!(
        "{}: {exception} holds until {until}, that day included",
        named.id
    ))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn refuse(arguments: &RefuseArguments, books: &Books) -> Result<ExitCode> {
    let RefuseArguments {
        named,
        exception,
        reason,
    } = arguments;
    answered(named, exception, (Verdict::Refused, reason), books).await?;
    say(format_args!("{}: {exception} does not hold", named.id))?;
    Ok(ExitCode::SUCCESS)
}

/// What was asked for.
async fn asked(
    named: &Named,
    exception: &ExceptionName,
    store: &dyn Store,
) -> Result<AskedException> {
    let id = &named.id;
    let (known, _) = store
        .organization(id)
        .await?
        .ok_or_else(|| explained(&ExceptionError::UnknownOrganization(id.clone())))?;
    let mut all = known.exceptions.into_iter();
    let asked = all.find(|one| one.name == *exception);
    asked.ok_or_else(|| explained(&ExceptionError::Unknown(id.clone(), exception.clone())))
}

async fn answered(
    named: &Named,
    exception: &ExceptionName,
    (verdict, reason): (Verdict, &str),
    books: &Books,
) -> Result<()> {
    let said = Answer {
        verdict,
        reason: reason.trim().to_owned(),
        by: Actor::Operator,
        at: SystemClock.now(),
    };
    books.trail.check().await?;
    let answered = answer(books.store(), &named.id, exception, &said).await;
    answered.map_err(|error| explained(&error))?;
    let event = match verdict {
        Verdict::Granted { .. } => Event::ExceptionGranted,
        Verdict::Refused => Event::ExceptionRefused,
    };
    books.note_exception(event, &named.id, exception).await
}

fn explained(error: &ExceptionError) -> anyhow::Error {
    let hint = match error {
        ExceptionError::UnknownOrganization(id) | ExceptionError::Unknown(id, _) => {
            format!(
                "; `countersign orgs asks` lists what waits, `countersign orgs show {id}` all of one"
            )
        }
        ExceptionError::TooMany
        | ExceptionError::Reason
        | ExceptionError::Tiers
        | ExceptionError::Until
        | ExceptionError::Store(_) => String::new(),
    };
    anyhow!("{error}{hint}")
}
