//! What is wrong with a table, line by line: the first hundred are told, the rest is counted.

use std::fmt;

use super::super::tell;

/// How many are told: enough to see what is wrong, few enough to read.
const MOST_TOLD: usize = 100;

/// What is wrong on one line. No e-mail address is in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Problem {
    pub(super) line: u64,
    pub(super) column: Option<&'static str>,
    /// `expected …, found …`.
    pub(super) message: String,
}

impl Problem {
    pub(super) fn of_line(line: u64, message: impl Into<String>) -> Self {
        Self {
            line,
            column: None,
            message: message.into(),
        }
    }

    pub(super) fn of_column(line: u64, column: &'static str, message: impl Into<String>) -> Self {
        Self {
            line,
            column: Some(column),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    /// `LINE: COLUMN: MESSAGE`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.line)?;
        if let Some(column) = self.column {
            write!(f, "{column}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// The problems of a table.
#[derive(Debug, Default)]
pub(super) struct Problems {
    /// In the order of their lines.
    first: Vec<Problem>,
    count: usize,
}

impl Problems {
    pub(super) fn add(&mut self, problem: Problem) {
        self.count += 1;
        let at = self.first.partition_point(|one| one.line <= problem.line);
        if at < MOST_TOLD {
            self.first.insert(at, problem);
            self.first.truncate(MOST_TOLD);
        }
    }

    pub(super) fn add_all(&mut self, problems: Vec<Problem>) {
        for problem in problems {
            self.add(problem);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Tells them on stderr, each as `FILE:LINE: COLUMN: MESSAGE`.
    pub(super) fn tell(&self, file: &str) {
        for problem in &self.first {
            tell(format_args!("{file}:{problem}"));
        }
        let more = self.count - self.first.len();
        if more > 0 {
            tell(format_args!("and {more} more"));
        }
    }
}

/// A value as a message may show it: on one line, shortened, and never an e-mail address.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 64;
    let length = text.chars().count();
    if text.is_empty() {
        return "nothing".to_owned();
    }
    if text.contains('@') {
        return format!("{length} characters with `@` among them");
    }
    let start: String = text.chars().take(MOST).collect();
    let more = if length > MOST { "…" } else { "" };
    format!("`{}{more}`", start.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_hundred_are_kept_in_order_and_the_rest_is_counted() {
        let mut problems = Problems::default();
        for line in (1..=250).rev() {
            problems.add(Problem::of_line(line, "expected more"));
        }
        let lines: Vec<u64> = problems.first.iter().map(|one| one.line).collect();
        assert_eq!(lines, (1..=100).collect::<Vec<_>>());
        assert_eq!(problems.count(), 250);
    }

    #[test]
    fn two_of_one_line_stay_in_the_order_they_were_found() {
        let mut problems = Problems::default();
        for column in ["created", "account"] {
            problems.add(Problem::of_column(2, column, "expected more"));
        }
        let told: Vec<String> = problems.first.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["2: created: expected more", "2: account: expected more"]
        );
    }

    #[test]
    fn a_value_is_shown_on_one_line_and_an_address_never() {
        assert_eq!(shown(""), "nothing");
        assert_eq!(shown("a\u{1b}[31m\nb"), "`a\\u{1b}[31m\\nb`");
        assert_eq!(shown(&"x".repeat(65)), format!("`{}…`", "x".repeat(64)));
        assert_eq!(
            shown("ann@registry.example"),
            "20 characters with `@` among them"
        );
    }
}
