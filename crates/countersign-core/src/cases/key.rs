//! A case of an API key: when it ends.

use jiff::Timestamp;
use jiff::civil::Date;

use super::column::KeyColumn;
use super::markdown::Row;
use super::{CaseOutcome, CaseResult, Line, words};
use crate::api_keys::KeyFacts;
use crate::calendar::day_of;
use crate::document::{Place, Problem};
use crate::{Basis, Policy};

/// One key, and when it is to end.
#[derive(Debug)]
pub(super) struct KeyCase {
    place: Place,
    name: Option<String>,
    key: KeyFacts,
    ends: Date,
}

impl KeyCase {
    pub(super) fn read(line: &Line<'_, KeyColumn>, row: &Row) -> Result<Self, Vec<Problem>> {
        let made = needed(line, KeyColumn::Made, words::time);
        let under = or(line, KeyColumn::Under, None, basis);
        let noticed = or(line, KeyColumn::Noticed, None, notice);
        let ends = needed(line, KeyColumn::Ends, words::day);
        match (made, under, noticed, ends) {
            (Ok(made_at), Ok(basis), Ok(first_notice_at), Ok(ends)) => Ok(Self {
                place: row.place.clone(),
                name: line.text(KeyColumn::Case).map(str::to_owned),
                key: KeyFacts {
                    made_at,
                    basis,
                    first_notice_at,
                    told_end: None,
                    set_end: None,
                },
                ends,
            }),
            (made, under, noticed, ends) => {
                let problems = [made.err(), under.err(), noticed.err(), ends.err()];
                Err(problems.into_iter().flatten().collect())
            }
        }
    }

    pub(super) fn run(&self, policy: &Policy) -> CaseResult {
        let end = policy.api_keys().map(|rule| rule.ends_at(&self.key));
        let end = end.map(day_of);
        CaseResult {
            place: self.place.clone(),
            name: self.name.clone(),
            expected: format!("ends {}", self.ends),
            found: end.map_or_else(|| "never ends".to_owned(), |end| format!("ends {end}")),
            rule: None,
            explanation: None,
            outcome: if end == Some(self.ends) {
                CaseOutcome::Passed
            } else {
                CaseOutcome::Failed
            },
        }
    }
}

fn needed<T>(
    line: &Line<'_, KeyColumn>,
    column: KeyColumn,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Problem> {
    let parsed = parse(line.text(column).unwrap_or_default());
    parsed.map_err(|message| line.place(column).problem(message))
}

fn or<T>(
    line: &Line<'_, KeyColumn>,
    column: KeyColumn,
    default: T,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Problem> {
    match line.text(column) {
        Some(text) => parse(text).map_err(|message| line.place(column).problem(message)),
        None => Ok(default),
    }
}

fn basis(text: &str) -> Result<Option<Basis>, String> {
    match text {
        "nothing" => Ok(None),
        "session" => Ok(Some(Basis::Session)),
        "enrolment" => Ok(Some(Basis::Enrolment)),
        "tenant" => Ok(Some(Basis::Tenant)),
        other => Err(format!(
            "expected the basis of the login that made the key (`session`, `enrolment`, `tenant`) or `nothing`, found `{}`",
            words::shorten(other)
        )),
    }
}

fn notice(text: &str) -> Result<Option<Timestamp>, String> {
    if text == "never" {
        return Ok(None);
    }
    words::time(text)
        .map(Some)
        .map_err(|message| format!("{message} (or `never`)"))
}
