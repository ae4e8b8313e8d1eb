//! What is wrong with a file that a person wrote, and where.

use std::{fmt, sync::Arc};

/// A place in a file: `policy.toml:5:10`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as it was named when it was read.
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters (not bytes); a byte order mark is not counted.
    pub column: usize,
}

impl Place {
    /// Something that is wrong here.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem {
            place: self.clone(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One thing that is wrong, in one line: `policy.toml:5:10: option: expected …, found …`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What was expected and what was found.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// All that is wrong, by place; shown one to a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every problem, by file, line and column.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// `value`, if nothing is wrong.
    pub fn none_or<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(problems: I) -> Self {
        let mut problems: Vec<Problem> = problems.into_iter().collect();
        problems.sort();
        problems.dedup();
        Self(problems)
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(f, "{line_end}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// `; did you mean …?` where one of `names` is close to `found`, otherwise nothing.
pub fn did_you_mean<'a>(found: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    // Names are at most this long; a longer text is no slip of the keyboard.
    const LONGEST: usize = 64;
    if found.len() > LONGEST {
        return String::new();
    }
    let most = match found.len() {
        0..4 => 1,
        4..9 => 2,
        _ => 3,
    };
    names
        .into_iter()
        .filter(|name| name.len() <= LONGEST)
        .map(|name| (edits(found, name), name))
        .filter(|(edits, _)| *edits <= most)
        .min()
        .map_or_else(String::new, |(_, name)| format!("; did you mean `{name}`?"))
}

/// How many letters must be added, removed or replaced (Levenshtein) to turn one into the other.
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, other_letter) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other_letter);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_keyboard_is_recognized_and_a_stranger_is_not() {
        let names = ["scopes", "needs", "accepts", "max_age"];
        assert_eq!(did_you_mean("need", names), "; did you mean `needs`?");
        assert_eq!(did_you_mean("scops", names), "; did you mean `scopes`?");
        assert_eq!(did_you_mean("maxage", names), "; did you mean `max_age`?");
        assert_eq!(did_you_mean("verified_email", names), "");
        assert_eq!(did_you_mean("", names), "");
        assert_eq!(did_you_mean(&"needs".repeat(1000), names), "");
    }

    #[test]
    fn problems_are_shown_by_place_and_each_once() {
        let place = |line, column| Place {
            file: "a.toml".into(),
            line,
            column,
        };
        let problems: Problems = [
            place(10, 1).problem("third"),
            place(2, 10).problem("second"),
            place(2, 9).problem("first"),
            place(2, 9).problem("first"),
        ]
        .into_iter()
        .collect();
        assert_eq!(
            problems.to_string(),
            "a.toml:2:9: first\na.toml:2:10: second\na.toml:10:1: third"
        );
    }
}
