//! `countersign policy simulate`: who would be turned away by another policy.

mod output;
mod plot;
mod table;

use std::fs;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use countersign_core::Record;
use countersign_core::simulate::{AsOf, Candidate, Report, Simulation};
use jiff::civil::Date;

use super::log::{Log, Told};
use super::source::{self, Chosen, Configured};
use crate::commands::tell;
use output::Output;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The policy to try
    #[arg(long, value_name = "POLICY")]
    candidate: PathBuf,
    #[command(flatten)]
    log: Log,
    #[command(flatten)]
    installation: Configured,
    /// As if all these logins came on this day (UTC), each at its time of day
    #[arg(long, value_name = "DATE")]
    as_of: Option<Date>,
    /// As if these logins came that many days later
    #[arg(long, value_name = "DAYS", conflicts_with = "as_of")]
    later: Option<NonZeroU16>,
    /// What each line of the table is about
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = By::Day)]
    by: By,
    /// How the result is written to stdout
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    format: Format,
    /// Also draw what would become of each day's sign-ins, into this file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// End with 1 if more accounts than this would be turned away that were let in
    #[arg(long, value_name = "N")]
    max_turned_away: Option<u64>,
}

const EXAMPLES: &str = "\
Examples:
  countersign policy simulate --against decisions.jsonl --candidate new-policy.toml
  countersign policy simulate --against /var/log/countersign --candidate policy.toml \\
    --as-of 2027-05-09 --by account --format csv > to-write-to.csv

Exit codes: 0 done, whoever would be turned away; 1 not done, or lines of the log could not be
read (without --lenient), or more would be turned away than --max-turned-away; 2 the command line
is wrong.";

/// What each line of the table is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// The UTC day of the login
    Day,
    /// The provider
    Provider,
    /// The organization that the person is to act for
    Organization,
    /// The client
    Client,
    /// The part of the candidate that decides
    Rule,
    /// What is missing
    Reason,
    /// Each account that would not be let in
    Account,
}

/// How the result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// For spreadsheets: the table alone
    Csv,
    /// For programs: all of it
    Json,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let chosen = source::read(Some(&arguments.candidate), &arguments.installation);
    let done = chosen
        .ok_or(ExitCode::FAILURE)
        .and_then(|candidate| arguments.run(candidate));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

impl Arguments {
    fn run(&self, candidate: Chosen) -> Result<(), ExitCode> {
        let as_of = self.as_of();
        let hash = candidate.policy.hash.to_string();
        let (policy, own_hash) = (Arc::new(candidate.policy), hash.clone());
        let add = move |simulation: &mut Simulation, record: &Record| {
            let candidate = Candidate {
                policy: &policy.policy,
                hash: &own_hash,
                as_of,
            };
            simulation.add(&candidate, record);
        };
        let (simulation, told) = self.log.sum("replayed", add, Simulation::merge)?;
        let report = simulation.report();
        let output = Output {
            file: &candidate.file,
            hash: &hash,
            as_of,
            by: self.by,
            report: &report,
            not_in: simulation.not_in(),
            told: &told,
        };
        super::print(output.written(self.format)?)?;
        self.draw(&report)?;
        self.judge(&report, &told)
    }

    fn as_of(&self) -> AsOf {
        match (self.as_of, self.later) {
            (Some(day), _) => AsOf::Day(day),
            (None, Some(days)) => AsOf::Later(days.get()),
            (None, None) => AsOf::Recorded,
        }
    }

    fn draw(&self, report: &Report) -> Result<(), ExitCode> {
        let Some(path) = &self.plot else {
            return Ok(());
        };
        let plot = plot::draw(report, self.as_of()).map_err(std::io::Error::other);
        plot.and_then(|plot| fs::write(path, plot))
            .map_err(|error| {
                tell(format_args!("can't write `{}`: {error}", path.display()));
                ExitCode::FAILURE
            })
    }

    fn judge(&self, report: &Report, told: &Told) -> Result<(), ExitCode> {
        let away = report.accounts.newly_turned_away;
        let limit = self.max_turned_away.filter(|limit| away > *limit);
        if let Some(limit) = limit {
            tell(format_args!(
                "{away} accounts that were let in would be turned away; --max-turned-away is {limit}"
            ));
            return Err(ExitCode::FAILURE);
        }
        self.log.judge(told)
    }
}
