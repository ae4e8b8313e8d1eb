//! `countersign doctor`: whether everything around the program is as it must be, and what to mend.
//!
//! It looks and changes nothing, beside a running server or without one. A check finds something out and then says
//! what it means; [`CHECKS`] is all of them. None takes longer than [`PATIENCE`], and no secret is told.

mod clients;
mod finding;
mod issuer;
mod keys;
mod listeners;
mod machine;
mod providers;
mod redis;
mod store;

use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use countersign::config::Installation;
use countersign_server::{Clock, MasterSecrets, SystemClock};
use futures_util::future::join_all;
use jiff::Timestamp;
use serde::Serialize;

use self::finding::{Finding, Health};
use super::{load, say, tell};

/// How long a check may take: longer than a request to a provider, of which the longest check makes three.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is written after `countersign doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
}

/// What is looked at: the files, as they were read, and the clock.
#[derive(Debug)]
struct Patient {
    installation: Installation,
    /// What the keys are sealed under; taken out of the installation.
    secrets: Arc<MasterSecrets>,
}

impl Patient {
    fn now() -> Timestamp {
        SystemClock.now()
    }
}

type Findings<'a> = Pin<Box<dyn Future<Output = Vec<Finding>> + 'a>>;

/// A check, by what it looks at.
type Check = (&'static str, fn(&Patient) -> Findings<'_>);

/// All of them, in the order in which they are told.
const CHECKS: [Check; 8] = [
    ("files", |patient| Box::pin(async { files(patient) })),
    ("data directory", |patient| {
        Box::pin(machine::check(patient))
    }),
    ("store", |patient| Box::pin(store::check(patient))),
    ("keys", |patient| Box::pin(keys::check(patient))),
    ("listeners", |patient| Box::pin(listeners::check(patient))),
    ("issuer", |patient| Box::pin(issuer::check(patient))),
    ("clients", |patient| Box::pin(clients::check(patient))),
    ("providers", |patient| Box::pin(providers::check(patient))),
];

pub(crate) fn run(doctor: &DoctorArguments, configuration: &Path) -> ExitCode {
    let Some(mut installation) = load(configuration) else {
        return ExitCode::FAILURE;
    };
    let secrets = Arc::new(std::mem::take(&mut installation.keys.secrets));
    let patient = Patient {
        installation,
        secrets,
    };
    let told = examine(&patient).and_then(|all| told(&all, doctor));
    match told {
        Ok(code) => code,
        Err(error) => {
            tell(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Makes all checks at once. Whatever still hangs then, a disk or a name server, is left behind.
fn examine(patient: &Patient) -> Result<Vec<Finding>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let all = runtime.block_on(async {
        let checks = CHECKS.map(|(name, check)| {
            let check = check(patient);
            async move {
                tokio::time::timeout(PATIENCE, check)
                    .await
                    .unwrap_or_else(|_| vec![too_long(name)])
            }
        });
        join_all(checks).await
    });
    runtime.shutdown_background();
    Ok(all.into_iter().flatten().collect())
}

fn too_long(name: &str) -> Finding {
    let patience = PATIENCE.as_secs();
    Finding::failure(
        name,
        format!("it was not known after {patience} seconds"),
        "something hangs: the disk, the name server or the network",
    )
}

/// The files have loaded, or nothing would be looked at; what is likely wrong in them is told again.
fn files(patient: &Patient) -> Vec<Finding> {
    let warnings = patient.installation.warnings.iter();
    let warnings = warnings.map(|one| {
        Finding::warning(
            "files",
            one.to_string(),
            "see what it says, at that line of that file",
        )
    });
    let loaded = Finding::fine("files", "configuration and policy load");
    std::iter::once(loaded).chain(warnings).collect()
}

/// All that was found, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    health: Health,
    findings: &'a [Finding],
}

fn told(all: &[Finding], doctor: &DoctorArguments) -> Result<ExitCode> {
    let health = all.iter().map(|one| one.health).max();
    let health = health.unwrap_or(Health::Ok);
    if doctor.json {
        let report = Report {
            health,
            findings: all,
        };
        say(format_args!("{}", serde_json::to_string_pretty(&report)?))?;
    } else {
        for finding in all {
            say(format_args!("{finding}"))?;
        }
        let count = |health| all.iter().filter(|one| one.health == health).count();
        let (ok, warn, fail) = (count(Health::Ok), count(Health::Warn), count(Health::Fail));
        say(format_args!("\n{ok} ok, {warn} to look at, {fail} failed"))?;
    }
    Ok(match health {
        Health::Ok | Health::Warn => ExitCode::SUCCESS,
        Health::Fail => ExitCode::FAILURE,
    })
}
