//! `countersign policy explain`: why a login was decided as it was, and what would have let it in.

mod described;
mod text;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use countersign_core::explain::{Change, Earlier, Explanation, Loosening, explain};
use countersign_core::{Occasion, Record, Verdict};
use countersign_server::DecisionLogSettings;
use jiff::Timestamp;
use serde::Serialize;

use super::log::Log;
use super::source::{self, Chosen, Configured};
use crate::commands::tell;
use described::Described;
use text::Text;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// A logged decision, by the request id of the page that the person saw
    #[arg(
        value_name = "REQUEST-ID",
        required_unless_present = "described",
        conflicts_with = "described"
    )]
    request_id: Option<String>,
    /// The decision log: files, directories, or `-` for stdin
    ///
    /// The default is the one that the configuration names.
    #[arg(long, alias = "against", value_name = "LOG", num_args = 1.., conflicts_with = "described")]
    log: Vec<PathBuf>,
    /// The policy to explain it by
    ///
    /// The default is the one that the configuration names.
    #[arg(long, value_name = "POLICY")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    installation: Configured,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    described: Described,
}

const EXAMPLES: &str = "\
Examples:
  countersign policy explain 5f0c2b1e7d3a4c69 --log /var/lib/countersign
  countersign policy explain 5f0c2b1e7d3a4c69 --log decisions.jsonl --policy new-policy.toml
  countersign policy explain --policy policy.toml --provider okta --acr silver --amr pwd,otp \\
    --client gallery --scope packages:publish --at 2027-05-08 --account 'made 2019-05-01'

A login that is described takes the words of a table of cases (docs/policy-cases.md), and their
defaults.

Exit codes: 0 explained, whatever was decided; 1 not done: no such decision, or a file is wrong;
2 the command line is wrong.";

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match arguments.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

impl Arguments {
    fn run(&self) -> Result<(), ExitCode> {
        let chosen = source::read(self.policy.as_deref(), &self.installation);
        let chosen = chosen.ok_or(ExitCode::FAILURE)?;
        let explained = match &self.request_id {
            Some(id) => {
                let records = self.records(id)?;
                records
                    .iter()
                    .map(|one| Explained::logged(one, &chosen))
                    .collect()
            }
            None => vec![self.described(&chosen)?],
        };
        if self.json {
            return super::print(format_args!("{:#}\n", serde_json::json!(explained)));
        }
        let texts: Vec<String> = explained.iter().map(|one| Text(one).to_string()).collect();
        super::print(texts.join("\n"))
    }

    fn described(&self, chosen: &Chosen) -> Result<Explained, ExitCode> {
        let policy = &chosen.policy.policy;
        match self.described.sign_in(policy) {
            Ok(sign_in) => Ok(Explained {
                logged: None,
                time: sign_in.now,
                policy: chosen.into(),
                explanation: explain(policy, &sign_in.facts, sign_in.now).into(),
            }),
            Err(mistakes) => {
                for mistake in mistakes {
                    tell(format_args!("{mistake}"));
                }
                // What was typed is wrong, not what stands in a file.
                Err(ExitCode::from(2))
            }
        }
    }

    /// The decisions that were made at a request.
    fn records(&self, id: &str) -> Result<Vec<Record>, ExitCode> {
        let files = match &self.log[..] {
            [] => self.configured_log()?,
            named => named.to_owned(),
        };
        let wanted = id.to_owned();
        let add = move |found: &mut Vec<Record>, record: &Record| {
            if record.request_id == wanted {
                found.push(record.clone());
            }
        };
        let (found, _) = Log::of(files).sum("searched", add, |all: &mut Vec<Record>, more| {
            all.extend(more);
        })?;
        if found.is_empty() {
            tell(format_args!(
                "no decision of a request `{id}` is in the log"
            ));
            return Err(ExitCode::FAILURE);
        }
        Ok(found)
    }

    /// Where the server of the configuration writes its decisions, with the files that were full.
    fn configured_log(&self) -> Result<Vec<PathBuf>, ExitCode> {
        let installation = self.installation.read().ok_or(ExitCode::FAILURE)?;
        match installation.decision_log {
            DecisionLogSettings::File(file) => {
                let directory = file.path.parent().map(Path::to_owned);
                Ok(vec![directory.unwrap_or(file.path)])
            }
            DecisionLogSettings::Off | DecisionLogSettings::Stdout => {
                tell(format_args!(
                    "the configuration writes no decision log to a file: name one by --log"
                ));
                Err(ExitCode::FAILURE)
            }
        }
    }
}

/// A decision, explained.
#[derive(Debug, Serialize)]
struct Explained {
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    logged: Option<Logged>,
    time: Timestamp,
    policy: ByPolicy,
    #[serde(flatten)]
    explanation: InWords,
}

/// What the log says.
#[derive(Debug, Serialize)]
struct Logged {
    request_id: String,
    occasion: Occasion,
    /// The version of the policy that was in force.
    #[serde(rename = "logged_policy")]
    policy: String,
    /// What was decided by it.
    #[serde(rename = "logged")]
    verdict: Verdict,
    /// Whether this policy decides otherwise.
    differs: bool,
}

/// The policy that it is explained by.
#[derive(Debug, Serialize)]
struct ByPolicy {
    file: PathBuf,
    hash: String,
}

/// An explanation with its changes in words besides, as in the text.
#[derive(Debug, Serialize)]
struct InWords {
    #[serde(flatten)]
    explanation: Explanation,
    would_let_in: Vec<String>,
    would_loosen: Vec<String>,
}

impl From<Explanation> for InWords {
    fn from(explanation: Explanation) -> Self {
        let nearest = explanation.nearest.iter().map(Change::in_words);
        let earlier = explanation.earlier.iter().map(Earlier::in_words);
        let loosenings = explanation.loosenings.iter().map(Loosening::in_words);
        Self {
            would_let_in: nearest.chain(earlier).collect(),
            would_loosen: loosenings.collect(),
            explanation,
        }
    }
}

impl From<&Chosen> for ByPolicy {
    fn from(chosen: &Chosen) -> Self {
        Self {
            file: chosen.file.clone(),
            hash: chosen.policy.hash.to_string(),
        }
    }
}

impl Explained {
    fn logged(record: &Record, chosen: &Chosen) -> Self {
        let explanation = explain(&chosen.policy.policy, &record.facts, record.time);
        Self {
            logged: Some(Logged {
                request_id: record.request_id.clone(),
                occasion: record.occasion,
                policy: record.policy.clone(),
                differs: record.verdict != explanation.verdict,
                verdict: record.verdict.clone(),
            }),
            time: record.time,
            policy: chosen.into(),
            explanation: explanation.into(),
        }
    }
}
