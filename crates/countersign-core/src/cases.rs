//! Tables of cases: sign-ins in the words of an operator, and what the policy is to make of each.
//!
//! They stand in a Markdown file beside the policy, so that what was announced can be read, run and
//! reviewed as one document. Pure, like all of the crate: a case says on which day it plays.
//! `docs/policy-cases.md` describes the words.

mod account;
mod column;
mod expected;
mod key;
mod markdown;
mod shows;
mod sign_in;
mod words;

use std::sync::Arc;

pub use column::{Column, Words};
pub(crate) use shows::in_words as proof_in_words;
pub use sign_in::{Mistake, SignIn};

use crate::document::{Place, Problem, Problems, did_you_mean};
use crate::explain::{Explanation, explain};
use crate::{Policy, Rule, decide};
use column::KeyColumn;
use expected::{Expected, Found};
use key::KeyCase;
use markdown::{Cell, Row, Table};

/// Runs every case.
pub fn run(policy: &Policy, cases: &Cases) -> Vec<CaseResult> {
    let sign_ins = cases.sign_ins.iter().map(|case| case.run(policy));
    let keys = cases.keys.iter().map(|case| case.run(policy));
    let mut results: Vec<CaseResult> = sign_ins.chain(keys).collect();
    results.sort_by(|one, other| one.place.cmp(&other.place));
    results
}

/// The cases of a file.
#[derive(Debug)]
pub struct Cases {
    sign_ins: Vec<SignInCase>,
    keys: Vec<KeyCase>,
}

/// What came of one case.
#[derive(Debug)]
pub struct CaseResult {
    /// Its row.
    pub place: Place,
    /// What it is called, where it has a name.
    pub name: Option<String>,
    /// What was expected, as it is written.
    pub expected: String,
    /// What the policy makes of it, as it would be written.
    pub found: String,
    /// The part of the policy that decided.
    pub rule: Option<Rule>,
    /// Why what was expected did not come; nothing where it did, or for a key.
    pub explanation: Option<Explanation>,
    /// Whether what was expected came.
    pub outcome: CaseOutcome,
}

/// Whether what was expected came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaseOutcome {
    /// It did.
    Passed,
    /// It did not.
    Failed,
}

impl Cases {
    /// Reads the tables of a file that is called `file`; all that is wrong with them is told at once.
    ///
    /// The policy gives the words their meaning: what `mfa` is at a provider, on which day an account must.
    pub fn read(file: &str, text: &str, policy: &Policy) -> Result<Self, Problems> {
        let file: Arc<str> = file.into();
        let (tables, mut problems) = markdown::tables(&file, text);
        let mut cases = Self {
            sign_ins: Vec::new(),
            keys: Vec::new(),
        };
        for table in &tables {
            cases.add(table, policy, &mut problems);
        }
        if cases.sign_ins.is_empty() && cases.keys.is_empty() && problems.is_empty() {
            let (line, column) = (1, 1);
            problems.push(Place { file, line, column }.problem(
                "no case is in this file: expected a table with a column `expected` (sign-ins) or `ends` (API keys)",
            ));
        }
        problems.into_iter().collect::<Problems>().none_or(cases)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sign_ins.len() + self.keys.len()
    }

    /// Whether there are none, which no file has that could be read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn add(&mut self, table: &Table, policy: &Policy, problems: &mut Vec<Problem>) {
        match kind_of(table) {
            Kind::SignIns => self.add_sign_ins(table, policy, problems),
            Kind::Keys => self.add_keys(table, policy, problems),
            Kind::Unfinished(place) => problems.push(place.problem(
                "this table has columns of cases, and none that says what is `expected` (of a sign-in) or when a key `ends`",
            )),
            Kind::Prose => {}
        }
    }

    fn add_sign_ins(&mut self, table: &Table, policy: &Policy, problems: &mut Vec<Problem>) {
        let Some(columns) = columns(&table.header, &Column::NAMES, problems) else {
            return;
        };
        let mut day = None;
        for row in &table.rows {
            let mut cells = Line::new(&columns, row);
            // A day is written once where several cases play on it.
            cells.repeat(Column::On, &mut day);
            match SignInCase::read(&cells, row, policy) {
                Ok(case) => self.sign_ins.push(case),
                Err(wrong) => problems.extend(wrong),
            }
        }
    }

    fn add_keys(&mut self, table: &Table, policy: &Policy, problems: &mut Vec<Problem>) {
        let Some(columns) = columns(&table.header, &KeyColumn::NAMES, problems) else {
            return;
        };
        if policy.api_keys().is_none() {
            let place = table.header.first().map(|cell| &cell.place);
            problems.extend(place.map(|it| it.problem("the policy says nothing of `api_keys`")));
            return;
        }
        for row in &table.rows {
            match KeyCase::read(&Line::new(&columns, row), row) {
                Ok(case) => self.keys.push(case),
                Err(wrong) => problems.extend(wrong),
            }
        }
    }
}

/// What a table holds.
enum Kind {
    SignIns,
    Keys,
    /// It looks like cases, and nothing is expected of them.
    Unfinished(Place),
    /// It is none of ours.
    Prose,
}

fn kind_of(table: &Table) -> Kind {
    let has = |name: &str| table.header.iter().any(|cell| cell.text == name);
    let names = Column::NAMES.iter().map(|(name, _)| *name);
    let all = names.chain(KeyColumn::NAMES.iter().map(|(name, _)| *name));
    if has("expected") {
        Kind::SignIns
    } else if has("ends") {
        Kind::Keys
    } else if let Some(cell) = table.header.first()
        && all.filter(|name| has(name)).count() > 1
    {
        Kind::Unfinished(cell.place.clone())
    } else {
        Kind::Prose
    }
}

/// What each column of a table is.
fn columns<C: Copy + Ord>(
    header: &[Cell],
    known: &[(&'static str, C)],
    problems: &mut Vec<Problem>,
) -> Option<Vec<C>> {
    let mut columns = Vec::new();
    for cell in header {
        match known.iter().find(|(name, _)| *name == cell.text) {
            Some((_, column)) if columns.contains(column) => {
                let message = format!("the column `{}` is there twice", cell.text);
                problems.push(cell.place.problem(message));
            }
            Some((_, column)) => columns.push(*column),
            None => problems.push(cell.place.problem(unknown_column(cell, known))),
        }
    }
    (columns.len() == header.len()).then_some(columns)
}

fn unknown_column<C>(cell: &Cell, known: &[(&'static str, C)]) -> String {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let hint = did_you_mean(&cell.text, names.iter().copied());
    let names = names.join("`, `");
    let text = words::shorten(&cell.text);
    format!("no column is called `{text}`{hint} (known here: `{names}`)")
}

/// The cells of a row, by column.
struct Line<'t, C> {
    cells: Vec<(C, &'t Cell)>,
    end: &'t Place,
}

impl<'t, C: Copy + PartialEq> Line<'t, C> {
    fn new(columns: &[C], row: &'t Row) -> Self {
        Self {
            cells: columns.iter().copied().zip(&row.cells).collect(),
            end: &row.place,
        }
    }

    /// What stands in a column; nothing where it is not there or empty.
    fn text(&self, column: C) -> Option<&'t str> {
        let cell = self.cells.iter().find(|(one, _)| *one == column)?.1;
        (!cell.text.is_empty()).then_some(cell.text.as_str())
    }

    /// Where a column is; the row, where it is not there.
    fn place(&self, column: C) -> &'t Place {
        let cell = self.cells.iter().find(|(one, _)| *one == column);
        cell.map_or(self.end, |(_, cell)| &cell.place)
    }

    /// An empty cell stands for what was last written in its column.
    fn repeat(&mut self, column: C, last: &mut Option<&'t Cell>) {
        for (_, cell) in self.cells.iter_mut().filter(|(one, _)| *one == column) {
            if cell.text.is_empty() {
                *cell = last.unwrap_or(cell);
            } else {
                *last = Some(cell);
            }
        }
    }
}

/// One sign-in, and what is expected of it.
#[derive(Debug)]
struct SignInCase {
    place: Place,
    name: Option<String>,
    sign_in: SignIn,
    expected: Expected,
    written: String,
}

impl SignInCase {
    fn read(line: &Line<'_, Column>, row: &Row, policy: &Policy) -> Result<Self, Vec<Problem>> {
        let words = line
            .cells
            .iter()
            .map(|(column, cell)| (*column, cell.text.as_str()));
        let sign_in = SignIn::described(policy, &Words::new(words));
        let written = line.text(Column::Expected).unwrap_or_default();
        let expected = expected::read(written, policy).map_err(|message| Mistake {
            column: Column::Expected,
            message,
        });
        match (sign_in, expected) {
            (Ok(sign_in), Ok(expected)) => Ok(Self {
                place: row.place.clone(),
                name: line.text(Column::Case).map(str::to_owned),
                sign_in,
                expected,
                written: written.to_owned(),
            }),
            (sign_in, expected) => {
                let mistakes = sign_in.err().into_iter().flatten().chain(expected.err());
                let at = |it: Mistake| line.place(it.column).problem(it.to_string());
                Err(mistakes.map(at).collect())
            }
        }
    }

    fn run(&self, policy: &Policy) -> CaseResult {
        let SignIn { facts, now } = &self.sign_in;
        let decision = decide(policy, facts, *now);
        let found = Found::from(&decision);
        let outcome = if self.expected.is_met_by(&found) {
            CaseOutcome::Passed
        } else {
            CaseOutcome::Failed
        };
        CaseResult {
            place: self.place.clone(),
            name: self.name.clone(),
            expected: self.written.clone(),
            found: found.to_string(),
            rule: Some(decision.rule().clone()),
            explanation: (outcome == CaseOutcome::Failed).then(|| explain(policy, facts, *now)),
            outcome,
        }
    }
}

#[cfg(test)]
mod tests;
