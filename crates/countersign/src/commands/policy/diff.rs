//! `countersign policy diff`: two policies told apart in decisions, not in lines.

use std::fmt::{self, Display};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use countersign::{Machine, Surroundings};
use countersign_core::Record;
use countersign_core::diff::{Comparison, Difference, Grid, Pair};
use serde::Serialize;

use super::log::OptionalLog;
use super::source::{self, Configured};
use crate::commands::tell;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The policy that holds
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The policy that is to hold
    #[arg(value_name = "NEW")]
    new: PathBuf,
    #[command(flatten)]
    log: OptionalLog,
    #[command(flatten)]
    installation: Configured,
    /// How the result is written to stdout
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    format: Format,
}

const EXAMPLES: &str = "\
Without --against the two decide made-up cases: every provider, what its logins can show, evidence
and accounts of every age, every scope, client, and organization that differs.

Examples:
  countersign policy diff policy.toml new-policy.toml
  countersign policy diff policy.toml new-policy.toml --against /var/log/countersign

Exit codes: 0 they decide the same; 1 they differ; 2 trouble, and stderr says which.";

/// How the result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A sentence for each difference
    Text,
    /// For programs
    Json,
}

const SAME: ExitCode = ExitCode::SUCCESS;

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let found = arguments.compare().map(|(compared, differs)| {
        let written = arguments.written(&compared).map(super::print);
        match (written, differs) {
            (Some(Ok(())), false) => SAME,
            (Some(Ok(())), true) => different(),
            (Some(Err(_)) | None, _) => trouble(),
        }
    });
    found.unwrap_or_else(trouble)
}

/// As `diff` ends.
fn different() -> ExitCode {
    ExitCode::from(1)
}

fn trouble() -> ExitCode {
    ExitCode::from(2)
}

impl Arguments {
    fn compare(&self) -> Option<(Compared, bool)> {
        let read = |path| source::read(Some(path), &self.installation);
        // Both are read before either fails, so that all that is wrong is told.
        let (old, new) = (read(&self.old), read(&self.new));
        let [old, new] = [old?, new?].map(|one| Arc::new(one.policy.policy));
        let pair = Pair::new(old, new);
        let beside = pair.beside();
        let (comparison, not_tried, alike) = match self.log.named() {
            None => on_grid(&pair),
            Some(log) => {
                let pair = pair.clone();
                let add = move |comparison: &mut Comparison, record: &Record| {
                    comparison.add(&pair, &record.facts, record.time);
                };
                let (comparison, told) = log.sum("compared", add, Comparison::merge).ok()?;
                log.judge(&told).ok()?;
                (comparison, Vec::new(), Vec::new())
            }
        };
        let compared = Compared {
            cases: comparison.decisions(),
            differing: comparison.differing(),
            differences: comparison.differences(),
            alike,
            beside,
            not_tried,
        };
        Some((compared, comparison.differing() > 0))
    }

    fn written(&self, compared: &Compared) -> Option<String> {
        match self.format {
            Format::Text => Some(compared.to_string()),
            Format::Json => match serde_json::to_string_pretty(compared) {
                Ok(json) => Some(json + "\n"),
                Err(error) => {
                    tell(format_args!("can't write the result: {error}"));
                    None
                }
            },
        }
    }
}

fn on_grid(pair: &Pair) -> (Comparison, Vec<String>, Vec<Alike>) {
    let grid = Grid::new(pair, Machine.today());
    let several = grid.alike().iter().filter(|(_, count)| **count > 1);
    let alike = several.map(|(organization, count)| Alike {
        organization: organization.to_string(),
        stands_for: *count,
    });
    let alike = alike.collect();
    (grid.compare(), grid.left_out().to_vec(), alike)
}

/// What was compared, and how it differs.
#[derive(Debug, Serialize)]
struct Compared {
    /// How many cases both have decided.
    cases: u64,
    /// How many of them differently.
    differing: u64,
    differences: Vec<Difference>,
    /// Organisations that stand for others, which both files treat alike.
    alike: Vec<Alike>,
    /// The parts that differ and decide no sign-in.
    beside: Vec<&'static str>,
    /// What could not be tried.
    not_tried: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Alike {
    organization: String,
    stands_for: usize,
}

impl Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cases, differing) = (self.cases, self.differing);
        if differing == 0 {
            writeln!(f, "no difference in decisions ({cases} cases)")?;
        } else {
            writeln!(f, "{differing} of {cases} cases are decided differently\n")?;
        }
        for one in &self.differences {
            writeln!(f, "{one}  ({} cases)", one.decisions)?;
        }
        for one in &self.alike {
            let more = one.stands_for - 1;
            let name = &one.organization;
            writeln!(
                f,
                "\nnote: organization {name} stands for {more} more that both files treat alike"
            )?;
        }
        for one in &self.not_tried {
            writeln!(
                f,
                "\nnote: not tried: {one}; recorded decisions (--against) may show it"
            )?;
        }
        if !self.beside.is_empty() {
            let beside = self.beside.join("` and `");
            writeln!(f, "\nnote: `{beside}` differ too, which decide no sign-in")?;
        }
        Ok(())
    }
}
