//! `countersign orgs list`.

use std::process::ExitCode;

use anyhow::Result;
use countersign_core::OrganizationId;
use countersign_store::{Organization, Standing, Store};

use super::super::{say, tell};
use super::{Format, organization};

/// How many are read at once.
const PAGE: usize = 1000;
/// How many are listed, unless it is said.
const LIMIT: usize = 100;

/// What is written after `countersign orgs list`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only those whose names begin so
    #[arg(long, value_name = "TEXT", value_parser = organization)]
    begins_with: Option<OrganizationId>,
    /// Only those that come after this one: the last of the list before
    #[arg(long, value_name = "ID", value_parser = organization)]
    after: Option<OrganizationId>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = LIMIT)]
    limit: usize,
    /// Only those with a connection that waits for you: disputed, or awaiting approval
    #[arg(long)]
    disputed: bool,
    /// `json` tells each as an object on a line of its own
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn run(arguments: &Arguments, store: &dyn Store) -> Result<ExitCode> {
    let mut left = arguments.limit;
    let mut next = arguments.first(store).await?;
    let mut after = arguments.after.clone().max(arguments.begins_with.clone());
    loop {
        for one in next.iter().filter(|one| arguments.wants(one)) {
            if left == 0 {
                // The list goes on after the last that was told.
                tell_more(after.as_ref());
                return Ok(ExitCode::SUCCESS);
            }
            left -= 1;
            arguments.tell(one)?;
            after = Some(one.id.clone());
        }
        let from = next.last().map(|last| last.id.clone()).max(after.clone());
        next = store.list_organizations(from.as_ref(), PAGE).await?;
        if next.first().is_none_or(|one| !arguments.may_match(one)) {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn tell_more(last: Option<&OrganizationId>) {
    if let Some(last) = last {
        tell(format_args!("there are more: `--after {last}` lists on"));
    }
}

impl Arguments {
    /// The one whose whole name is what names begin with: a list goes on after a name.
    async fn first(&self, store: &dyn Store) -> Result<Vec<Organization>> {
        let Some(exact) = &self.begins_with else {
            return Ok(Vec::new());
        };
        if self.after.as_ref().is_some_and(|after| after >= exact) {
            return Ok(Vec::new());
        }
        let found = store.organization(exact).await?;
        Ok(found.map(|(found, _)| found).into_iter().collect())
    }

    /// Names are in order: after the last that begins so there is none.
    fn may_match(&self, one: &Organization) -> bool {
        let begins = self.begins_with.as_ref();
        begins.is_none_or(|begins| one.id.as_str().starts_with(begins.as_str()))
    }

    fn wants(&self, one: &Organization) -> bool {
        self.may_match(one)
            && (!self.disputed || one.connections.iter().any(|it| waits(it.standing)))
    }

    fn tell(&self, one: &Organization) -> Result<()> {
        match self.format {
            Format::Json => say(format_args!("{}", serde_json::to_string(one)?)),
            Format::Text => say(format_args!("{}", line(one))),
        }
    }
}

fn waits(standing: Standing) -> bool {
    match standing {
        Standing::InForce | Standing::Refused => false,
        Standing::Disputed | Standing::AwaitingApproval => true,
    }
}

/// `contoso "Contoso Ltd": 2 connections in force, 1 waits for you; 3 admins`
fn line(one: &Organization) -> String {
    let waiting = one
        .connections
        .iter()
        .filter(|it| waits(it.standing))
        .count();
    let in_force = one.connections.len() - waiting;
    // A registry's text, which must not steer a terminal.
    let title = one
        .title
        .as_ref()
        .map(|title| format!(" \"{}\"", title.escape_debug()));
    let waits = match waiting {
        0 => String::new(),
        count => format!(", {count} waiting for you"),
    };
    format!(
        "{}{}: connections in force: {in_force}{waits}; admins: {}",
        one.id,
        title.unwrap_or_default(),
        one.admins.len()
    )
}
