//! `countersign policy check`: whether the file is right, and what it says.

use std::fmt::{self, Display};
use std::process::ExitCode;

use clap::Args;
use countersign_core::api_keys::ApiKeyRule;
use countersign_core::calendar::{BeforeDue, Calendar};
use countersign_core::explain::Needs;
use countersign_core::{Exception, Policy, Standing, Subject};
use countersign_server::{Clock, SystemClock};
use jiff::Timestamp;

use super::source::{Chosen, Source};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: Source,
}

const EXAMPLES: &str = "\
Examples:
  countersign policy check
  countersign policy check policy.toml
  countersign policy check new-policy.toml --config countersign.toml

Exit codes: 0 it is right; 1 it is not, and stderr says where; 2 the command line is wrong.";

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let Some(chosen) = arguments.source.read() else {
        return ExitCode::FAILURE;
    };
    let summary = Summary {
        chosen: &chosen,
        now: SystemClock.now(),
    };
    match super::print(summary) {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

/// What is in force by the policy, in the words of the file.
struct Summary<'a> {
    chosen: &'a Chosen,
    now: Timestamp,
}

impl Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = &self.chosen.policy.policy;
        writeln!(f, "ok: {}", self.chosen.file.display())?;
        writeln!(f, "version: {}", self.chosen.policy.hash)?;
        tiers(f, policy)?;
        for client in policy.clients() {
            let tier = policy.client_tier(client).map_or("", String::as_str);
            writeln!(f, "signing in to {client} needs: tier `{tier}`")?;
        }
        for account in policy.operators() {
            writeln!(f, "operator: {account}")?;
        }
        match policy.calendar() {
            Some(calendar) => write!(f, "{}", InWords(calendar))?,
            None => writeln!(f, "\ncalendar: none; everybody must from now on")?,
        }
        if let Some(keys) = policy.api_keys() {
            api_keys(f, keys)?;
        }
        self.exceptions(f, policy)
    }
}

fn tiers(f: &mut fmt::Formatter<'_>, policy: &Policy) -> fmt::Result {
    writeln!(f)?;
    for (name, tier) in policy.tiers() {
        let scopes: Vec<&str> = tier
            .scopes
            .iter()
            .map(countersign_core::Scope::as_str)
            .collect();
        let needs = Needs(&tier.requirement);
        writeln!(f, "tier {name} needs {needs}: {}", scopes.join(" "))?;
    }
    Ok(())
}

impl Summary<'_> {
    fn exceptions(&self, f: &mut fmt::Formatter<'_>, policy: &Policy) -> fmt::Result {
        let mut exceptions = policy.exceptions().iter().peekable();
        if exceptions.peek().is_some() {
            writeln!(f)?;
        }
        for (name, exception) in exceptions {
            let waives: Vec<&str> = exception.waives.iter().map(String::as_str).collect();
            let (waives, whom) = (waives.join(", "), whom(exception));
            let left = self.left(exception);
            writeln!(f, "exception {name}: {waives} waived for {whom}, {left}")?;
        }
        Ok(())
    }

    /// How long it still holds. Its last day counts.
    fn left(&self, exception: &Exception) -> String {
        let until = exception.until;
        match (exception.standing(self.now), exception.days_left(self.now)) {
            (Standing::Ended, _) => format!("ended on {until}"),
            (Standing::Ending | Standing::InForce, 1) => format!("until {until} (1 day left)"),
            (Standing::Ending | Standing::InForce, days) => {
                format!("until {until} ({days} days left)")
            }
        }
    }
}

fn whom(exception: &Exception) -> String {
    match &exception.subject {
        Subject::Organization(id) => format!("organization {id}"),
        Subject::Account(id) => format!("account {id}"),
    }
}

/// The calendar, a line for each of its keys.
struct InWords<'a>(&'a Calendar);

impl Display for InWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calendar = self.0;
        let from = calendar.new_accounts_from;
        writeln!(f, "\ncalendar")?;
        writeln!(f, "  made from {from} on: must from the beginning")?;
        match calendar.existing_accounts {
            Some(period) => {
                let (first, last) = (period.from, period.until);
                writeln!(f, "  made before: each on its own day, {first} to {last}")?;
            }
            None => writeln!(f, "  made before: no day yet")?,
        }
        let before = match calendar.before_due {
            BeforeDue::Remind => "let in, and told the day",
            BeforeDue::Limit => "signed in, without what needs a second factor",
        };
        writeln!(f, "  until then: {before}")?;
        if calendar.ratchet {
            writeln!(f, "  once shown: held to it")?;
        }
        Ok(())
    }
}

fn api_keys(f: &mut fmt::Formatter<'_>, rule: &ApiKeyRule) -> fmt::Result {
    let days = rule.max_lifetime.as_hours() / 24;
    writeln!(f, "\napi keys: live for {days} days")?;
    match rule.sunset {
        Some(sunset) => writeln!(
            f,
            "  made without a second factor: end on {}, announced {}",
            sunset.expire, sunset.announced
        ),
        None => Ok(()),
    }
}
