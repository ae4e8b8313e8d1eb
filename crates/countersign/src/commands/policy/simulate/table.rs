//! Tables for people: words to the left, numbers to the right.

use std::fmt::{self, Display, Write};

/// A table with a head. Prints with its columns aligned.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
    /// How many of the first columns are words.
    words: usize,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(head: [&str; N], words: usize) -> Self {
        Self {
            rows: vec![head.map(str::to_owned)],
            words,
        }
    }

    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    }
}

impl<const N: usize> Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = self.width(column);
                if column < self.words {
                    write!(line, "{cell:<width$}  ")?;
                } else {
                    write!(line, "{cell:>width$}  ")?;
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A number with its thousands apart: `1,234,567`.
pub(super) fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let told = [0, 12, 999, 1_000, 12_345, 1_234_567].map(number);
        let expected = ["0", "12", "999", "1,000", "12,345", "1,234,567"];
        assert_eq!(told, expected);
    }

    #[test]
    fn words_stand_to_the_left_and_numbers_to_the_right() {
        let mut table = Table::new(["name", "count"], 1);
        table.row(["a".into(), "1,000,000".into()]);
        table.row(["much longer".into(), "1".into()]);
        assert_eq!(
            table.to_string(),
            "name             count\na            1,000,000\nmuch longer          1\n"
        );
    }
}
