//! `countersign privacy report`: every field that is kept, what it says of a person, and for how long.

use std::fmt::{self, Display};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use countersign::config::{Installation, StoreSettings};
use countersign_core::Lifetimes;
use countersign_server::{AuditLogSettings, DecisionLogSettings, LogFileSettings};
use countersign_store::kept::{EMBEDDED, Field, Holds, Personal, Place, REDIS, Until};
use jiff::SignedDuration;
use serde::Serialize;

use super::{load, say, tell};

/// What is written after `countersign privacy`.
#[derive(Debug, Subcommand)]
pub(crate) enum PrivacyCommand {
    /// List every field that is kept, what it says of a person, and for how long
    ///
    /// It reads the configuration and the policy, and nothing that is kept of anybody.
    Report {
        #[command(flatten)]
        report: ReportArguments,
        #[command(flatten)]
        with: crate::Configuration,
    },
}

/// What is written after `countersign privacy report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// For whom it is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Only what says something of a person
    #[arg(long)]
    personal: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

pub(crate) fn run(command: &PrivacyCommand) -> ExitCode {
    let PrivacyCommand::Report { report, with } = command;
    let Some(installation) = load(&with.config) else {
        return ExitCode::FAILURE;
    };
    match reported(report, &installation) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn reported(report: &ReportArguments, installation: &Installation) -> Result<()> {
    let whole = Report::of(installation, report.personal);
    match report.format {
        Format::Json => say(format_args!("{}", serde_json::to_string_pretty(&whole)?)),
        Format::Text => say(format_args!("{whole}")),
    }
}

/// All that is kept, and for how long.
#[derive(Debug, Serialize)]
struct Report {
    store: &'static str,
    fields: Vec<Row>,
    logs: Vec<Written>,
}

/// A field of the store.
#[derive(Debug, Serialize)]
struct Row {
    /// The place, and behind it where in its document.
    at: String,
    what: &'static str,
    personal: Personal,
    until: Until,
    /// The same in words, as this installation is set.
    until_at_most: String,
}

/// What is written down, besides the store.
#[derive(Debug, Serialize)]
struct Written {
    log: &'static str,
    whereto: String,
    holds: &'static str,
    until_at_most: String,
}

impl Report {
    fn of(installation: &Installation, only_personal: bool) -> Self {
        let (store, places) = match &installation.store {
            StoreSettings::DataDirectory => ("embedded", EMBEDDED),
            StoreSettings::Redis(_) => ("redis", REDIS),
        };
        let lifetimes = installation.policy.policy.lifetimes();
        let rows = places.iter().flat_map(|place| rows(place, lifetimes));
        let fields = rows.filter(|row| !only_personal || row.personal != Personal::No);
        Self {
            store,
            fields: fields.collect(),
            logs: vec![
                decision_log(&installation.decision_log),
                audit_log(&installation.audit_log),
                Written {
                    log: "log",
                    whereto: "stdout and stderr".to_owned(),
                    holds: "ids of accounts, sessions and requests; no name, no e-mail address, no token",
                    until_at_most: "whoever collects it deletes it".to_owned(),
                },
            ],
        }
    }
}

fn rows(place: &Place, lifetimes: &Lifetimes) -> Vec<Row> {
    let row = |at: String, what, personal| Row {
        at,
        what,
        personal,
        until: place.until,
        until_at_most: in_words(place.until, lifetimes),
    };
    match place.holds {
        Holds::Value(what, personal) => vec![row(place.at.to_owned(), what, personal)],
        Holds::Document(document) => {
            let fields = document.fields.iter();
            fields
                .map(
                    |Field {
                         path,
                         what,
                         personal,
                     }| {
                        row(format!("{}.{path}", place.at), what, *personal)
                    },
                )
                .collect()
        }
    }
}

fn in_words(until: Until, lifetimes: &Lifetimes) -> String {
    match until {
        Until::Erased => match lifetimes.unused_account {
            Some(longest) => format!(
                "it is erased, or nobody has signed in for {}",
                days(longest)
            ),
            None => "it is erased".to_owned(),
        },
        Until::TakenBack => "the registry or an operator takes it back".to_owned(),
        Until::SessionEnds => format!("the session ends: {:#} at most", lifetimes.session),
        Until::ADay => "a day has passed".to_owned(),
        Until::AnHour => "an hour has passed, or minutes".to_owned(),
        Until::Replaced => "it is replaced".to_owned(),
    }
}

fn days(longest: SignedDuration) -> String {
    format!("{} days", longest.as_hours() / 24)
}

fn decision_log(settings: &DecisionLogSettings) -> Written {
    let (whereto, until_at_most) = match settings {
        DecisionLogSettings::Off => ("nowhere".to_owned(), "–".to_owned()),
        DecisionLogSettings::Stdout => (
            "stdout".to_owned(),
            "whoever collects it deletes it".to_owned(),
        ),
        DecisionLogSettings::File(file) => of_file(file),
    };
    Written {
        log: "decision log",
        whereto,
        holds: "the account's id, and what decisions rested on; no name, no e-mail address, no id at a provider",
        until_at_most,
    }
}

fn audit_log(settings: &AuditLogSettings) -> Written {
    let (whereto, until_at_most) = match settings {
        AuditLogSettings::Off => ("nowhere".to_owned(), "–".to_owned()),
        AuditLogSettings::File(file) => of_file(file),
    };
    Written {
        log: "audit log",
        whereto,
        holds: "ids of accounts and sessions, digests of identities, the network (/24, /48); no name, no e-mail address",
        until_at_most,
    }
}

fn of_file(file: &LogFileSettings) -> (String, String) {
    let until = match (file.keep_days, file.keep_files) {
        (Some(days), None) => format!("{days} days"),
        (None, Some(files)) => format!("{files} files"),
        (Some(days), Some(files)) => format!("{days} days, or {files} files"),
        (None, None) => "somebody deletes it".to_owned(),
    };
    (file.path.display().to_string(), until)
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Of a person the name and the e-mail address are kept, and ids that stand for them."
        )?;
        writeln!(f, "\nThe store ({}):", self.store)?;
        let mut until = None;
        for row in &self.fields {
            if until != Some(&row.until_at_most) {
                writeln!(f, "\n  until {}", row.until_at_most)?;
                until = Some(&row.until_at_most);
            }
            let personal = match row.personal {
                Personal::No => "",
                Personal::Name => " [name]",
                Personal::Email => " [e-mail]",
                Personal::Id => " [id]",
                Personal::Network => " [network]",
                Personal::Words => " [somebody's words]",
                Personal::Secret => " [secret]",
            };
            writeln!(f, "    {}: {}{personal}", row.at, row.what)?;
        }
        writeln!(f, "\nWhat is written down:\n")?;
        for log in &self.logs {
            writeln!(
                f,
                "  {} ({}), until {}",
                log.log, log.whereto, log.until_at_most
            )?;
            writeln!(f, "    {}", log.holds)?;
        }
        write!(
            f,
            "\n`countersign accounts export` shows all that is kept of one person, `accounts erase` forgets them."
        )
    }
}
