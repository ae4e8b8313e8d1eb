//! `countersign orgs connect`, `disconnect`, `settle` and `approve`: an operator's word on whose people are whose.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};
use countersign_core::{Guests, Level, OrganizationId, RegistryRole, Source};
use countersign_server::{Clock, Event, SystemClock};
use countersign_store::organization::{self, ClaimError, Settlement, Terms};
use countersign_store::{Actor, Connection, Organization, Proof, Standing, Store};

use super::super::{say, tell};
use super::{Books, Named, explained};

/// A source that an organisation is connected to.
#[derive(Debug, Args)]
struct To {
    /// `tenant:ID` (Entra), `github:HOST:NUMBER` or `issuer:URL`
    #[arg(value_name = "SOURCE")]
    source: Source,
}

/// What is written after `countersign orgs connect`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConnectArguments {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    to: To,
    /// Why it may be connected so, for other operators and its admins
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Count guests of the tenant too, not only its members
    #[arg(long)]
    guests: bool,
    /// An authentication context that the tenant's admin attests: `c1=mfa` or `c2=phishing-resistant`
    #[arg(long = "context", value_name = "CONTEXT=LEVEL", value_parser = context)]
    contexts: Vec<(String, Level)>,
    /// What a group (its id) or an app role of the tenant is at the registry
    #[arg(long = "role", value_name = "GROUP=ROLE", value_parser = role)]
    roles: Vec<(String, RegistryRole)>,
}

const EXAMPLES: &str = "\
Examples:
  countersign orgs connect contoso tenant:6e93a626-8aca-4dc1-9191-ce291b4b75a1 --reason \"ticket 4711\"
  countersign orgs connect contoso tenant:6e93a626-8aca-4dc1-9191-ce291b4b75a1 --reason \"ticket 4711\" \\
    --context c1=mfa --context c2=phishing-resistant --guests";

/// What is written after `countersign orgs disconnect`.
#[derive(Debug, Args)]
pub(crate) struct DisconnectArguments {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    to: To,
}

/// What is written after `countersign orgs approve`.
#[derive(Debug, Args)]
pub(crate) struct ApproveArguments {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    to: To,
}

/// What is written after `countersign orgs settle`.
#[derive(Debug, Args)]
pub(crate) struct SettleArguments {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    to: To,
    /// Whose it is; left out, it is said what each would do
    #[arg(value_enum)]
    verdict: Option<Verdict>,
    /// Take it from the others, for `transfer`
    #[arg(long)]
    yes: bool,
}

/// What an operator says of a dispute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Verdict {
    /// It is this one's as well as the others'
    Share,
    /// It is this one's alone: the others lose it
    Transfer,
    /// It is not this one's
    Refuse,
}

fn context(text: &str) -> Result<(String, Level), &'static str> {
    const EXPECTED: &str = "expected `c1=mfa` or `c1=phishing-resistant`, with c1 to c99";
    let (name, level) = text.split_once('=').ok_or(EXPECTED)?;
    let levels = [Level::Mfa, Level::PhishingResistant];
    let level = levels.into_iter().find(|one| one.as_str() == level);
    Ok((name.to_owned(), level.ok_or(EXPECTED)?))
}

fn role(text: &str) -> Result<(String, RegistryRole), &'static str> {
    let (group, role) = text.split_once('=').ok_or("expected `GROUP=ROLE`")?;
    Ok((group.to_owned(), role.to_owned()))
}

impl ConnectArguments {
    fn terms(&self) -> Result<Terms> {
        let mut contexts = BTreeMap::new();
        for (name, level) in &self.contexts {
            if contexts.insert(name.clone(), *level).is_some() {
                return Err(anyhow!("`--context {name}` is given twice"));
            }
        }
        let mut roles: BTreeMap<String, BTreeSet<RegistryRole>> = BTreeMap::new();
        for (group, role) in &self.roles {
            roles.entry(group.clone()).or_default().insert(role.clone());
        }
        let guests = if self.guests {
            Guests::Admitted
        } else {
            Guests::Refused
        };
        Ok(Terms {
            guests,
            contexts,
            roles,
            reason: Some(self.reason.clone()),
        })
    }
}

pub(super) async fn connect(arguments: &ConnectArguments, books: &Books) -> Result<ExitCode> {
    let store = books.store();
    let (id, source) = (&arguments.named.id, &arguments.to.source);
    let terms = arguments.terms()?;
    terms.check(source)?;
    let reason = terms.reason()?.to_owned();
    let known = known(id, store).await?;
    let before = known.connection(source).map(|before| &before.proof);
    let proof = Proof::or_word(before, &reason);
    let now = SystemClock.now();
    let connection = Connection {
        mapping: terms.mapping(id.clone(), source.clone()),
        standing: Standing::InForce,
        proof,
        made_by: Actor::Operator,
        made_at: now,
    };
    books.trail.check().await?;
    let made = organization::claim(store, &books.policy, id, &connection, now).await;
    let made = made.map_err(|error| explained(&error))?;
    let event = Event::of_claim(made.standing);
    books.note(event, id, Some(source)).await?;
    say_standing(id, &made, books).await
}

pub(super) async fn approve(arguments: &ApproveArguments, books: &Books) -> Result<ExitCode> {
    let store = books.store();
    let (id, source) = (&arguments.named.id, &arguments.to.source);
    let known = known(id, store).await?;
    if known.in_force().any(|one| one.source == *source) {
        say(format_args!("{id} was connected to {source} already"))?;
        return Ok(ExitCode::SUCCESS);
    }
    books.trail.check().await?;
    let made = organization::approve(store, &books.policy, id, source, SystemClock.now()).await;
    let made = made.map_err(|error| explained(&error))?;
    let before = known.connection(source).map(|before| before.standing);
    if before != Some(made.standing) {
        let event = match made.standing {
            Standing::InForce => Event::ConnectionSettled,
            standing @ (Standing::Disputed | Standing::AwaitingApproval | Standing::Refused) => {
                Event::of_claim(standing)
            }
        };
        books.note(event, id, Some(source)).await?;
    }
    say_standing(id, &made, books).await
}

/// How a connection stands after all; what is not in force is no success.
async fn say_standing(id: &OrganizationId, made: &Connection, books: &Books) -> Result<ExitCode> {
    let source = &made.mapping.source;
    match made.standing {
        Standing::InForce => {
            say(format_args!("{id} is connected to {source}"))?;
            Ok(ExitCode::SUCCESS)
        }
        Standing::Disputed => {
            let rivals = rivals(id, source, books).await?;
            tell(format_args!(
                "not in force: {rivals} says that {source} is theirs; `countersign orgs settle {id} {source}` says \
                 what you can do"
            ));
            Ok(ExitCode::FAILURE)
        }
        Standing::AwaitingApproval | Standing::Refused => {
            tell(format_args!(
                "not in force yet: `countersign orgs approve {id} {source}` approves it"
            ));
            Ok(ExitCode::FAILURE)
        }
    }
}

pub(super) async fn disconnect(arguments: &DisconnectArguments, books: &Books) -> Result<ExitCode> {
    let (id, source) = (&arguments.named.id, &arguments.to.source);
    books.trail.check().await?;
    let ended = organization::disconnect(books.store(), id, source, SystemClock.now()).await;
    ended.map_err(|error| explained(&error))?;
    let event = Event::OrganizationDisconnected;
    books.note(event, id, Some(source)).await?;
    say(format_args!("{id} is connected to {source} no more"))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn settle(arguments: &SettleArguments, books: &Books) -> Result<ExitCode> {
    let store = books.store();
    let (id, source) = (&arguments.named.id, &arguments.to.source);
    let known = known(id, store).await?;
    if known.connection(source).is_none() {
        let error = ClaimError::NotConnected(id.clone(), source.clone());
        return Err(explained(&error));
    }
    let rivals = rivals(id, source, books).await?;
    let (settlement, done) = match (arguments.verdict, arguments.yes) {
        (Some(Verdict::Share), _) => (Settlement::Share, "shares it"),
        (Some(Verdict::Refuse), _) => (Settlement::Refuse, "does not have it"),
        (Some(Verdict::Transfer), true) => (Settlement::Transfer, "has it alone"),
        (Some(Verdict::Transfer), false) => {
            tell(format_args!(
                "{rivals} would lose {source}: their people act for them no more, at once.\nNothing was done; add \
                 `--yes` to do it."
            ));
            return Ok(ExitCode::FAILURE);
        }
        (None, _) => {
            tell(format_args!("{}", choices(id, source, &rivals)));
            return Ok(ExitCode::FAILURE);
        }
    };
    books.trail.check().await?;
    let (policy, now) = (&books.policy, SystemClock.now());
    let settled = organization::settle(store, policy, id, source, settlement, now).await;
    settled.map_err(|error| explained(&error))?;
    let event = Event::ConnectionSettled;
    books.note(event, id, Some(source)).await?;
    say(format_args!("{source}: {id} {done}"))?;
    Ok(ExitCode::SUCCESS)
}

fn choices(id: &OrganizationId, source: &Source, rivals: &str) -> String {
    format!(
        "{id} says that {source} is theirs; so does: {rivals}. Say whose it is:\n\
         \x20 share     it is in force for {id} too; {rivals} keeps it\n\
         \x20 transfer  it is in force for {id}; {rivals} loses it (with `--yes`)\n\
         \x20 refuse    {id} does not have it; {rivals} keeps it\n\
         Nothing was done."
    )
}

/// Who else says that a source is theirs, in words.
async fn rivals(id: &OrganizationId, source: &Source, books: &Books) -> Result<String> {
    let all = organization::rivals(books.store(), &books.policy, id, source).await?;
    let names: Vec<&str> = all.iter().map(OrganizationId::as_str).collect();
    Ok(if names.is_empty() {
        "nobody else".to_owned()
    } else {
        names.join(", ")
    })
}

async fn known(id: &OrganizationId, store: &dyn Store) -> Result<Organization> {
    let known = store.organization(id).await?;
    let unknown = || explained(&ClaimError::UnknownOrganization(id.clone()));
    Ok(known.ok_or_else(unknown)?.0)
}
