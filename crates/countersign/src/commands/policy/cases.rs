//! `countersign policy test`: whether the policy does what was announced.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use countersign_core::Policy;
use countersign_core::cases::{self, CaseOutcome, CaseResult, Cases};

use super::source::{self, Source};
use super::told::Told;
use crate::commands::tell;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: Source,
    /// Tables of cases; the default is policy.cases.md beside policy.toml
    #[arg(long, value_name = "FILE")]
    cases: Vec<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  countersign policy test policy.toml
  countersign policy test new-policy.toml --cases policy.cases.md

Cases are rows of Markdown tables; docs/policy-cases.md describes them. Days are those of the
cases: what is announced for next year can be tested today.

Exit codes: 0 all came out as expected; 1 some did not, or a file is wrong; 2 the command line is
wrong.";

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let Some(chosen) = arguments.source.read() else {
        return ExitCode::FAILURE;
    };
    let beside = [beside(&chosen.file)];
    let files = match &arguments.cases[..] {
        [] => &beside[..],
        named => named,
    };
    let policy = &chosen.policy.policy;
    // All files are read before any is run, so that all mistakes are told at once.
    let read: Vec<Option<(&Path, Cases)>> = files.iter().map(|file| read(file, policy)).collect();
    let Some(read) = read.into_iter().collect::<Option<Vec<_>>>() else {
        return ExitCode::FAILURE;
    };
    let results: Vec<Results<'_>> = read
        .iter()
        .map(|(file, cases)| Results {
            file,
            all: cases::run(policy, cases),
        })
        .collect();
    let text: String = results.iter().map(ToString::to_string).collect();
    let failed: usize = results.iter().map(|one| one.failed().count()).sum();
    match super::print(text) {
        Err(code) => code,
        Ok(()) if failed > 0 => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
    }
}

/// `policy.cases.md` for `policy.toml`.
fn beside(policy: &Path) -> PathBuf {
    policy.with_extension("cases.md")
}

fn read<'a>(file: &'a Path, policy: &Policy) -> Option<(&'a Path, Cases)> {
    let name = file.display().to_string();
    let cases = source::text_of(file).and_then(|text| {
        Cases::read(&name, &text, policy).map_err(|problems| problems.to_string())
    });
    match cases {
        Ok(cases) => Some((file, cases)),
        Err(message) => {
            tell(format_args!("{message}"));
            None
        }
    }
}

/// What came of the cases of one file.
struct Results<'a> {
    file: &'a Path,
    all: Vec<CaseResult>,
}

impl Results<'_> {
    fn failed(&self) -> impl Iterator<Item = &CaseResult> {
        let all = self.all.iter();
        all.filter(|one| one.outcome == CaseOutcome::Failed)
    }
}

impl Display for Results<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for one in self.failed() {
            writeln!(f, "{}", Failure(one))?;
        }
        let (file, all) = (self.file.display(), self.all.len());
        let cases = if all == 1 { "case" } else { "cases" };
        match self.failed().count() {
            0 => writeln!(f, "ok: {all} {cases} of {file}"),
            failed => writeln!(f, "failed: {failed} of {all} {cases} of {file}"),
        }
    }
}

/// A case that came out otherwise.
struct Failure<'a>(&'a CaseResult);

impl Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = self.0;
        let name = one
            .name
            .as_deref()
            .map_or_else(String::new, |name| format!(" {name}"));
        writeln!(f, "{}:{}:{name}", one.place.file, one.place.line)?;
        writeln!(f, "  expected: {}", one.expected)?;
        match &one.rule {
            Some(rule) => writeln!(f, "  found:    {} by {}", one.found, rule.as_str())?,
            None => writeln!(f, "  found:    {}", one.found)?,
        }
        match &one.explanation {
            Some(explanation) => write!(f, "{}", Told(explanation)),
            None => Ok(()),
        }
    }
}
