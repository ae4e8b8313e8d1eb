//! `countersign policy …`: to try a policy before it bites, and to explain it after it has.

mod cases;
mod check;
mod diff;
mod exceptions;
mod explain;
mod log;
mod schema;
mod simulate;
mod source;
mod told;

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::Subcommand;

/// What can be done with a policy file.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Tell all that is wrong with a policy, and what is in force by it
    Check(check::Arguments),
    /// Run the tables of cases that stand beside a policy
    Test(cases::Arguments),
    /// Tell why a login was decided as it was, and what would have let it in
    Explain(Box<explain::Arguments>),
    /// Tell every exception, until when it holds, and how much it is used
    Exceptions(exceptions::Arguments),
    /// Write the JSON Schema of the policy file, from which editors complete it
    Schema,
    /// Tell who would be turned away by another policy, by replaying recorded decisions
    Simulate(simulate::Arguments),
    /// Tell two policies apart in decisions, not in lines
    Diff(diff::Arguments),
}

pub(crate) fn run(command: &PolicyCommand) -> ExitCode {
    match command {
        PolicyCommand::Check(arguments) => check::run(arguments),
        PolicyCommand::Test(arguments) => cases::run(arguments),
        PolicyCommand::Explain(arguments) => explain::run(arguments),
        PolicyCommand::Exceptions(arguments) => exceptions::run(arguments),
        PolicyCommand::Schema => schema::run(),
        PolicyCommand::Simulate(arguments) => simulate::run(arguments),
        PolicyCommand::Diff(arguments) => diff::run(arguments),
    }
}

/// Writes to stdout. A pipe may be closed early (`policy check | head -1`): what was to be said is said.
fn print(text: impl Display) -> Result<(), ExitCode> {
    match write!(io::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            super::tell(format_args!("can't write to stdout: {error}"));
            Err(ExitCode::FAILURE)
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
