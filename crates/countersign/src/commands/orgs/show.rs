//! `countersign orgs show`: what is in force of an organisation, and why; nobody's name or address.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use countersign_core::{
    Exception, ExceptionName, Guests, Policy, Profile, Requirement, Source, Subject, TenantId,
    TierName,
};
use countersign_server::{Clock, SystemClock};
use countersign_store::organization::others;
use countersign_store::organization::{Answer, AskedException, Verdict};
use countersign_store::{Account, Admin, Connection, Organization, Proof, Standing, Store};
use jiff::Timestamp;
use serde::Serialize;

use super::super::say;
use super::{Format, Named};

/// What is written after `countersign orgs show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    named: Named,
    /// How it is told
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn run(
    arguments: &Arguments,
    store: &dyn Store,
    policy: &Policy,
) -> Result<ExitCode> {
    let id = &arguments.named.id;
    let known = store.organization(id).await?.map(|(known, _)| known);
    let in_file = InFile::of(id, policy, SystemClock.now());
    if known.is_none() && in_file.is_empty() {
        return Err(anyhow!("there is no organization `{id}`"));
    }
    let shown = match known {
        Some(known) => Shown {
            id: id.to_string(),
            admins: admins(&known, store).await?,
            rivals: rivals(&known, store, policy).await?,
            organization: Some(known),
            policy: in_file,
        },
        None => Shown {
            id: id.to_string(),
            organization: None,
            admins: Vec::new(),
            rivals: BTreeMap::new(),
            policy: in_file,
        },
    };
    match arguments.format {
        Format::Json => say(format_args!("{}", serde_json::to_string_pretty(&shown)?))?,
        Format::Text => say(format_args!("{shown}"))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What is told of an organisation.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    id: String,
    /// None where only the policy file names it.
    organization: Option<Organization>,
    admins: Vec<Known>,
    /// Of each source, who else says that it is theirs.
    rivals: BTreeMap<Source, Vec<Rival>>,
    policy: InFile<'a>,
}

/// An admin, and whether they have been seen.
#[derive(Debug, Serialize)]
struct Known {
    admin: Admin,
    /// Our id of them, if they have one.
    account: Option<String>,
    has_signed_in: bool,
    locked: bool,
}

/// Another organisation that says that a source is theirs.
#[derive(Debug, Serialize)]
struct Rival {
    id: String,
    standing: Standing,
    by: SaidBy,
}

/// Where it says so.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
enum SaidBy {
    /// Its own record does.
    Record,
    /// The policy file does.
    PolicyFile,
}

/// What the policy file adds.
#[derive(Debug, Serialize)]
struct InFile<'a> {
    tenants: Vec<&'a TenantId>,
    stricter: BTreeMap<&'a TierName, &'a Requirement>,
    exceptions: BTreeMap<&'a ExceptionName, InTime<'a>>,
}

#[derive(Debug, Serialize)]
struct InTime<'a> {
    #[serde(flatten)]
    exception: &'a Exception,
    days_left: u64,
}

impl<'a> InFile<'a> {
    fn of(id: &countersign_core::OrganizationId, policy: &'a Policy, now: Timestamp) -> Self {
        let rule = policy.organization(id);
        let subject = Subject::Organization(id.clone());
        let exceptions = policy.exceptions().iter();
        let of_this = exceptions.filter(|(_, one)| one.subject == subject);
        Self {
            tenants: rule.into_iter().flat_map(|rule| &rule.tenants).collect(),
            stricter: rule.into_iter().flat_map(|rule| &rule.stricter).collect(),
            exceptions: of_this
                .map(|(name, exception)| {
                    let days_left = exception.days_left(now);
                    (
                        name,
                        InTime {
                            exception,
                            days_left,
                        },
                    )
                })
                .collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.tenants.is_empty() && self.stricter.is_empty() && self.exceptions.is_empty()
    }
}

async fn admins(known: &Organization, store: &dyn Store) -> Result<Vec<Known>> {
    let mut admins = Vec::new();
    for admin in &known.admins {
        let id = match admin {
            Admin::Account(id) => Some(id.clone()),
            Admin::RegistryAccount(name) => {
                let found = store.registry_account(name).await?;
                found.and_then(|(found, _)| found.account)
            }
        };
        let account = match id {
            Some(id) => store.account(&id).await?.map(|(account, _)| account),
            None => None,
        };
        admins.push(Known {
            admin: admin.clone(),
            account: account.as_ref().map(|account| account.id.to_string()),
            has_signed_in: account.as_ref().is_some_and(has_signed_in),
            locked: account.is_some_and(|account| account.locked.is_some()),
        });
    }
    Ok(admins)
}

/// An import makes accounts too, of people who have not been here: it knows neither name nor second factor.
fn has_signed_in(account: &Account) -> bool {
    account.registered_at.is_none()
        || account.first_mfa_at.is_some()
        || account.told_due.is_some()
        || account.profile != Profile::default()
}

async fn rivals(
    known: &Organization,
    store: &dyn Store,
    policy: &Policy,
) -> Result<BTreeMap<Source, Vec<Rival>>> {
    let mut rivals = BTreeMap::new();
    for connection in &known.connections {
        let source = &connection.mapping.source;
        let all = others(store, &known.id, source).await?;
        let all = all.iter().filter_map(|other| {
            let standing = other.connection(source)?.standing;
            let id = other.id.to_string();
            Some(Rival {
                id,
                standing,
                by: SaidBy::Record,
            })
        });
        let in_file = policy
            .organizations_of(source)
            .filter(|id| **id != known.id);
        let in_file = in_file.map(|id| Rival {
            id: id.to_string(),
            standing: Standing::InForce,
            by: SaidBy::PolicyFile,
        });
        let all: Vec<Rival> = all.chain(in_file).collect();
        if !all.is_empty() {
            rivals.insert(source.clone(), all);
        }
    }
    Ok(rivals)
}

fn words(standing: Standing) -> &'static str {
    match standing {
        Standing::InForce => "in force",
        Standing::Disputed => "disputed",
        Standing::AwaitingApproval => "awaiting approval",
        Standing::Refused => "refused",
    }
}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "organization: {}", self.id)?;
        match &self.organization {
            Some(known) => self.write_known(known, f)?,
            None => f.write_str("\nnot told of: only the policy file names it")?,
        }
        write!(f, "{}", self.policy)
    }
}

impl Shown<'_> {
    fn write_known(&self, known: &Organization, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A registry's text, which must not steer a terminal.
        match &known.title {
            Some(title) => write!(f, "\ntitle: {}", title.escape_debug())?,
            None => f.write_str("\ntitle: none")?,
        }
        write!(
            f,
            "\ntold of by: {}; known since {:.0}",
            known.told_by, known.created_at
        )?;
        if self.admins.is_empty() {
            f.write_str("\nadmins: none, so that only you and the registry can connect it")?;
        } else {
            f.write_str("\nadmins:")?;
        }
        for one in &self.admins {
            let seen = match (one.has_signed_in, one.locked) {
                (_, true) => "locked",
                (true, false) => "has signed in",
                (false, false) => "has never signed in here",
            };
            write!(f, "\n  {}: {seen}", one.admin.to_string().escape_debug())?;
        }
        if known.connections.is_empty() {
            f.write_str("\nconnections: none")?;
        } else {
            f.write_str("\nconnections:")?;
        }
        known
            .connections
            .iter()
            .try_for_each(|one| self.write_connection(known, one, f))?;
        let mut exceptions = known.exceptions.iter();
        exceptions.try_for_each(|one| write_exception(one, f))
    }

    fn write_connection(
        &self,
        known: &Organization,
        one: &Connection,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        let source = &one.mapping.source;
        write!(f, "\n  {source}: {}", words(one.standing))?;
        write!(f, "\n    because {}", because(&one.proof))?;
        write!(f, "\n    by {} at {:.0}", one.made_by, one.made_at)?;
        if one.mapping.guests == Guests::Admitted {
            f.write_str("\n    guests of the tenant count")?;
        }
        for (context, level) in &one.mapping.contexts {
            write!(f, "\n    context {context} attests {level}")?;
        }
        for (group, roles) in &one.mapping.roles {
            let roles: Vec<String> = roles.iter().map(|role| escaped(role)).collect();
            write!(f, "\n    {} is {}", escaped(group), roles.join(", "))?;
        }
        for rival in self.rivals.get(source).into_iter().flatten() {
            match rival.by {
                SaidBy::Record => {
                    let standing = words(rival.standing);
                    write!(f, "\n    {} says so too: {standing}", rival.id)?;
                }
                SaidBy::PolicyFile => {
                    write!(f, "\n    the policy file gives it to {} too", rival.id)?;
                }
            }
        }
        match one.standing {
            Standing::InForce => Ok(()),
            Standing::Disputed => write!(
                f,
                "\n    `countersign orgs settle {} {source}` says what you can do",
                known.id
            ),
            Standing::AwaitingApproval | Standing::Refused => write!(
                f,
                "\n    `countersign orgs approve {} {source}` approves it",
                known.id
            ),
        }
    }
}

fn write_exception(one: &AskedException, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let waives: Vec<&str> = one.waives.iter().map(TierName::as_str).collect();
    let standing = match one.answer.as_ref().map(|answer| answer.verdict) {
        None => format!("asked for until {}", one.until),
        Some(Verdict::Granted { until }) => format!("granted until {until}"),
        Some(Verdict::Refused) => "refused".to_owned(),
    };
    write!(
        f,
        "\nexception {}: waives {}; {standing}\n    because {}\n    by {} at {:.0}",
        one.name,
        waives.join(", "),
        escaped(&one.reason),
        one.asked_by,
        one.asked_at
    )?;
    match &one.answer {
        Some(Answer { reason, by, at, .. }) => {
            write!(f, "\n    answered by {by} at {at:.0}: {}", escaped(reason))
        }
        None => Ok(()),
    }
}

fn escaped(text: &str) -> String {
    text.escape_debug().to_string()
}

/// What shows that it may be connected so.
fn because(proof: &Proof) -> String {
    match proof {
        Proof::DirectoryRole(role) => {
            format!(
                "an admin of the tenant signed in (directory role {})",
                escaped(role)
            )
        }
        Proof::GitHubOwner => "an owner of the GitHub organization signed in".to_owned(),
        Proof::Member { .. } => {
            "one of the issuer's people signed in, which proves no more".to_owned()
        }
        Proof::DnsRecord => "the issuer's name server says so".to_owned(),
        Proof::Operator { reason } => format!("of your own word: {}", escaped(reason)),
    }
}

/// All that a tier needs here, in the policy's own words.
fn needs(requirement: &Requirement) -> String {
    let accepts: Vec<&str> = requirement.accepts.iter().map(|one| one.as_str()).collect();
    let mut said = vec![format!("needs {}", requirement.level)];
    if !accepts.is_empty() {
        said.push(format!("accepts {}", accepts.join(", ")));
    }
    let ages = [
        ("max_age", requirement.max_age),
        ("max_evidence_age", requirement.max_evidence_age),
    ];
    for (name, age) in ages {
        said.extend(age.map(|age| format!("{name} {age:#}")));
    }
    if requirement.verified_email {
        said.push("verified_email".to_owned());
    }
    if requirement.fresh_at_use {
        said.push("fresh_at_use".to_owned());
    }
    said.join("; ")
}

impl Display for InFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("\npolicy file: nothing more");
        }
        f.write_str("\npolicy file:")?;
        for tenant in &self.tenants {
            write!(f, "\n  tenant:{tenant}: in force")?;
        }
        for (tier, requirement) in &self.stricter {
            write!(f, "\n  stricter for tier {tier}: {}", needs(requirement))?;
        }
        for (
            name,
            InTime {
                exception,
                days_left,
            },
        ) in &self.exceptions
        {
            let waives: Vec<&str> = exception.waives.iter().map(TierName::as_str).collect();
            let left = match days_left {
                0 => format!("ended after {}", exception.until),
                days => format!("until {}, days left: {days}", exception.until),
            };
            write!(
                f,
                "\n  exception {name}: waives {}; {left}; {} ({})",
                waives.join(", "),
                escaped(&exception.reason),
                escaped(&exception.approved_by)
            )?;
        }
        Ok(())
    }
}
