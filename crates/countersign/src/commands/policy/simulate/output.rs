//! What came of a simulation, in writing: for people, for spreadsheets, for programs.

use std::cmp::Reverse;
use std::fmt::{self, Display};
use std::path::Path;
use std::process::ExitCode;

use countersign_core::calendar::day_of;
use countersign_core::simulate::Change;
use countersign_core::simulate::{AsOf, Doubt, Fate, Group, NotIn, Report, Span, Tally};
use serde::Serialize;

use super::super::log::Told;
use super::table::{Table, number};
use super::{By, Format};
use crate::commands::tell;

/// How many lines the table for people has at most, but for days.
const LINES: usize = 25;

/// What came of a simulation, and of what.
#[derive(Debug)]
pub(super) struct Output<'a> {
    pub(super) file: &'a Path,
    pub(super) hash: &'a str,
    pub(super) as_of: AsOf,
    pub(super) by: By,
    pub(super) report: &'a Report,
    pub(super) not_in: Vec<&'a NotIn>,
    pub(super) told: &'a Told,
}

impl Output<'_> {
    pub(super) fn written(&self, format: Format) -> Result<String, ExitCode> {
        let written = match format {
            Format::Text => Ok(Text(self).to_string()),
            Format::Csv => self.csv().map_err(|error| error.to_string()),
            Format::Json => self.json().map_err(|error| error.to_string()),
        };
        written.map_err(|error| {
            tell(format_args!("can't write the result: {error}"));
            ExitCode::FAILURE
        })
    }

    fn json(&self) -> serde_json::Result<String> {
        let document = Document {
            candidate: Named {
                file: self.file,
                policy: self.hash,
            },
            as_of: match self.as_of {
                AsOf::Recorded => None,
                AsOf::Day(day) => Some(day.to_string()),
                AsOf::Later(days) => Some(format!("+{days}d")),
            },
            log: self.told,
            report: self.report,
            not_in: (self.by == By::Account).then_some(&self.not_in),
        };
        Ok(serde_json::to_string_pretty(&document)? + "\n")
    }

    fn csv(&self) -> csv::Result<String> {
        let mut lines = csv::Writer::from_writer(Vec::new());
        if let Some((what, groups)) = self.groups() {
            lines.write_record(head_of_groups(what))?;
            for group in groups {
                lines.write_record(cells_of_group(group))?;
            }
        } else {
            lines.write_record(HEAD_OF_ACCOUNTS)?;
            for one in &self.not_in {
                lines.write_record(cells_of_account(one))?;
            }
        }
        let bytes = lines
            .into_inner()
            .map_err(csv::IntoInnerError::into_error)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What the table is about, and its groups; nothing where it is about accounts.
    fn groups(&self) -> Option<(&'static str, &[Group])> {
        let by = &self.report.by;
        match self.by {
            By::Day => Some(("day", &by.day)),
            By::Provider => Some(("provider", &by.provider)),
            By::Organization => Some(("organization", &by.organization)),
            By::Client => Some(("client", &by.client)),
            By::Rule => Some(("rule", &by.rule)),
            By::Reason => Some(("reason", &by.reason)),
            By::Account => None,
        }
    }
}

/// The document of `--format json`.
#[derive(Debug, Serialize)]
struct Document<'a> {
    candidate: Named<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<String>,
    log: &'a Told,
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_in: Option<&'a Vec<&'a NotIn>>,
}

#[derive(Debug, Serialize)]
struct Named<'a> {
    file: &'a Path,
    policy: &'a str,
}

fn head_of_groups(what: &str) -> Vec<String> {
    let fates = |prefix| Fate::ALL.map(|fate| format!("{prefix}{}", snake(fate.as_str())));
    let mut head = vec![what.to_owned(), "decisions".to_owned()];
    head.extend(Change::ALL.map(|change| snake(change.as_str())));
    head.extend(fates("sign_ins_"));
    head.extend(fates("sign_ins_recorded_"));
    head.extend(
        [
            "accounts_turned_away",
            "accounts_newly_turned_away",
            "accounts_asked_for_more",
        ]
        .map(str::to_owned),
    );
    head
}

fn cells_of_group(group: &Group) -> Vec<String> {
    let tally = &group.tally;
    let changes = tally.changes.iter().map(|(_, count)| count);
    let fates = tally.sign_ins.iter().chain(tally.sign_ins_recorded.iter());
    let numbers = std::iter::once(tally.decisions)
        .chain(changes)
        .chain(fates.map(|(_, count)| count))
        .chain([
            tally.accounts_turned_away,
            tally.accounts_newly_turned_away,
            tally.accounts_asked_for_more,
        ]);
    std::iter::once(group.name.clone().unwrap_or_default())
        .chain(numbers.map(|count| count.to_string()))
        .collect()
}

const HEAD_OF_ACCOUNTS: [&str; 10] = [
    "account",
    "fate",
    "was_let_in",
    "request_id",
    "day",
    "provider",
    "organization",
    "client",
    "rule",
    "reason",
];

fn cells_of_account(one: &NotIn) -> [String; 10] {
    let organization = one.organization.as_ref().map(ToString::to_string);
    [
        one.account.to_string(),
        one.fate.as_str().to_owned(),
        one.was_let_in.to_string(),
        one.request_id.clone(),
        one.day.to_string(),
        one.provider.to_string(),
        organization.unwrap_or_default(),
        one.client.to_string(),
        one.rule.as_str().to_owned(),
        one.reason.map_or("", |reason| reason.code()).to_owned(),
    ]
}

fn snake(kebab: &str) -> String {
    kebab.replace('-', "_")
}

/// The result for people.
struct Text<'a>(&'a Output<'a>);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        if self.0.report.decisions == 0 {
            return Ok(());
        }
        self.accounts(f)?;
        self.changes(f)?;
        match self.0.groups() {
            Some((what, groups)) => self.groups(f, what, groups)?,
            None => self.each_account(f)?,
        }
        self.examples(f)?;
        self.0
            .report
            .doubts
            .iter()
            .try_for_each(|one| doubt(f, one))
    }
}

impl Text<'_> {
    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0.report;
        let decisions = number(report.decisions);
        let of = report.recorded.map(|span| format!(" of {}", in_days(span)));
        writeln!(
            f,
            "replayed {decisions} decisions{}",
            of.unwrap_or_default()
        )?;
        writeln!(f, "under {} ({})", self.0.file.display(), self.0.hash)?;
        match self.0.as_of {
            AsOf::Recorded => Ok(()),
            AsOf::Day(day) => writeln!(f, "as if all of them came on {day}"),
            AsOf::Later(days) => {
                let to = report.replayed.map_or(String::new(), in_days);
                writeln!(f, "as if they came {days} days later, on {to}")
            }
        }
    }

    fn accounts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let people = self.0.report.accounts;
        let mut table = Table::new(["", "accounts", "were let in"], 1);
        for (name, count, newly) in [
            (
                "turned away",
                people.turned_away,
                Some(people.newly_turned_away),
            ),
            (
                "asked for more",
                people.asked_for_more,
                Some(people.newly_asked_for_more),
            ),
            ("let in", people.let_in, None),
        ] {
            let newly = newly.map_or(String::new(), number);
            table.row([format!("  {name}"), number(count), newly]);
        }
        write!(f, "\n{table}")
    }

    fn changes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["", "decisions"], 1);
        let changes = self.0.report.changes;
        for (change, count) in changes.iter().filter(|(_, count)| *count > 0) {
            table.row([format!("  {}", in_words(change)), number(count)]);
        }
        write!(f, "\n{table}")
    }

    fn groups(&self, f: &mut fmt::Formatter<'_>, what: &str, groups: &[Group]) -> fmt::Result {
        let head = [
            what,
            "sign-ins",
            "let in",
            "reminded",
            "stepped up",
            "refused",
            "accounts newly turned away",
            "asked for more",
        ];
        let mut table = Table::new(head, 1);
        let mut shown: Vec<&Group> = groups.iter().collect();
        if self.0.by != By::Day {
            shown.sort_by_key(|one| Reverse(one.tally.accounts_newly_turned_away));
            shown.truncate(LINES);
        }
        for group in &shown {
            let name = group.name.clone().unwrap_or_else(|| "(none)".to_owned());
            table.row(cells_for_people(name, &group.tally));
        }
        write!(f, "\n{table}")?;
        Self::rest(f, groups.len() - shown.len())
    }

    fn each_account(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = &self.0.not_in;
        if all.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(HEAD_OF_ACCOUNTS, HEAD_OF_ACCOUNTS.len());
        for one in all.iter().take(LINES) {
            table.row(cells_of_account(one));
        }
        write!(f, "\n{table}")?;
        Self::rest(f, all.len().saturating_sub(LINES))
    }

    fn rest(f: &mut fmt::Formatter<'_>, count: usize) -> fmt::Result {
        match count {
            0 => Ok(()),
            count => writeln!(f, "and {count} more; `--format csv` has all of them"),
        }
    }

    fn examples(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let examples = &self.0.report.examples;
        let worth = |change: &Change| !matches!(change, Change::Otherwise | Change::NotReached);
        let mut table = Table::new(
            ["  to look at with `policy explain`", "request", "account"],
            3,
        );
        for (change, all) in examples.iter().filter(|(change, _)| worth(change)) {
            for one in all.iter().take(2) {
                let (request, account) = (one.request_id.clone(), one.account.to_string());
                table.row([format!("  {}", in_words(*change)), request, account]);
            }
        }
        if examples.keys().any(worth) {
            write!(f, "\n{table}")?;
        }
        Ok(())
    }
}

fn cells_for_people(name: String, tally: &Tally) -> [String; 8] {
    let fate = |fate| number(tally.sign_ins.of(fate));
    [
        name,
        number(tally.sign_ins.sum()),
        fate(Fate::LetIn),
        fate(Fate::Reminded),
        fate(Fate::SteppedUp),
        fate(Fate::TurnedAway),
        number(tally.accounts_newly_turned_away),
        number(tally.accounts_asked_for_more),
    ]
}

fn in_days(span: Span) -> String {
    match (day_of(span.from), day_of(span.to)) {
        (from, to) if from == to => from.to_string(),
        (from, to) => format!("{from} to {to}"),
    }
}

fn in_words(change: Change) -> &'static str {
    match change {
        Change::Same => "decided the same",
        Change::NewlyRefused => "newly refused",
        Change::NewlySteppedUp => "newly stepped up",
        Change::NewlyLetIn => "newly let in",
        Change::ScopesLost => "let in with fewer scopes",
        Change::ScopesGained => "let in with more scopes",
        Change::NewlyReminded => "let in with a reminder",
        Change::Otherwise => "the same with other reasons or days",
        Change::NotReached => "tokens of sign-ins not let in",
    }
}

fn doubt(f: &mut fmt::Formatter<'_>, doubt: &Doubt) -> fmt::Result {
    match doubt {
        Doubt::ClaimNotKept {
            provider,
            claim,
            decisions,
        } => writeln!(
            f,
            "\nnote: `when` of `proof.{provider}` reads `{claim}`, which none of the {decisions} logins there shows; \
             the log keeps only claims that the policy of the time named"
        ),
        Doubt::AuthTimeNotAskedFor { decisions } => writeln!(
            f,
            "\nnote: {decisions} decisions miss `auth_time`, which many providers send only when they are asked \
             for `max_age`; they were not"
        ),
        Doubt::DecidedOtherwise { decisions } => writeln!(
            f,
            "\nnote: {decisions} decisions were made under this very policy and come out otherwise now: another \
             version of countersign made them, or the log was changed"
        ),
    }
}
