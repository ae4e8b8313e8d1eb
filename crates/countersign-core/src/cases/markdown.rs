//! The pipe tables of a Markdown file, as GitHub shows them; everything else is prose.
//!
//! <https://github.github.com/gfm/#tables-extension->. Stricter than GitHub, which drops cells that are
//! too many and invents those that are missing.

use std::sync::Arc;

use crate::document::{Place, Problem};

/// One table.
#[derive(Debug)]
pub(super) struct Table {
    /// The names of the columns.
    pub(super) header: Vec<Cell>,
    /// As many cells each as the header has.
    pub(super) rows: Vec<Row>,
}

/// One line of a table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) place: Place,
    pub(super) cells: Vec<Cell>,
}

/// What stands between two bars, without the white space and the backticks around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) place: Place,
}

/// All tables of a text, and what is wrong with their form.
pub(super) fn tables(file: &Arc<str>, text: &str) -> (Vec<Table>, Vec<Problem>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        file,
        prose: Prose::Text,
        above: None,
        tables: Vec::new(),
        in_table: InTable::No,
        problems: Vec::new(),
    };
    for (index, line) in text.lines().enumerate() {
        reader.line(index + 1, line);
    }
    (reader.tables, reader.problems)
}

/// What a line stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prose {
    Text,
    /// A block of code, until the same fence comes again.
    Code(&'static str),
    Comment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InTable {
    No,
    Yes,
}

struct Reader<'a> {
    file: &'a Arc<str>,
    prose: Prose,
    /// The line above, if it may be a header.
    above: Option<Row>,
    tables: Vec<Table>,
    in_table: InTable,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn line(&mut self, number: usize, line: &str) {
        if self.is_prose(line) {
            if self.prose == Prose::Text && is_bare_rule(line) {
                let place = self.row(number, line).place;
                self.problems
                    .push(place.problem("expected a bar at the beginning of each line of a table"));
            }
            self.end_table();
            return;
        }
        let row = self.row(number, line);
        match (self.in_table, self.above.take()) {
            (InTable::Yes, _) => self.add(row),
            (InTable::No, Some(header)) if is_rule(&row) => self.begin(header, &row),
            (InTable::No, Some(lonely)) => {
                self.report_lonely(&lonely);
                self.above = Some(row);
            }
            (InTable::No, None) => self.above = Some(row),
        }
    }

    /// Whether this line is none of a table's.
    fn is_prose(&mut self, line: &str) -> bool {
        let trimmed = line.trim();
        match self.prose {
            Prose::Code(fence) => {
                if trimmed.starts_with(fence) {
                    self.prose = Prose::Text;
                }
                true
            }
            Prose::Comment => {
                if trimmed.contains("-->") {
                    self.prose = Prose::Text;
                }
                true
            }
            Prose::Text => {
                for fence in ["```", "~~~"] {
                    if trimmed.starts_with(fence) {
                        self.prose = Prose::Code(fence);
                    }
                }
                if trimmed.starts_with("<!--") && !trimmed.contains("-->") {
                    self.prose = Prose::Comment;
                }
                // GFM 4.4: four spaces make code of a line.
                let is_code = line.starts_with("    ") || line.starts_with('\t');
                let begins_row = trimmed.starts_with('|');
                let goes_on = self.in_table == InTable::Yes && trimmed.contains('|');
                is_code || !(begins_row || goes_on)
            }
        }
    }

    fn row(&self, number: usize, line: &str) -> Row {
        let place = |column| Place {
            file: Arc::clone(self.file),
            line: number,
            column,
        };
        let indent = line.chars().take_while(|one| one.is_whitespace()).count();
        let cells = cells(line).into_iter().map(|(text, column)| Cell {
            text,
            place: place(column),
        });
        Row {
            cells: cells.collect(),
            place: place(indent + 1),
        }
    }

    fn begin(&mut self, header: Row, rule: &Row) {
        if header.cells.len() != rule.cells.len() {
            self.problems.push(rule.place.problem(format!(
                "expected dashes for {} columns, as the header has, found {}",
                header.cells.len(),
                rule.cells.len()
            )));
        }
        self.in_table = InTable::Yes;
        self.tables.push(Table {
            header: header.cells,
            rows: Vec::new(),
        });
    }

    fn add(&mut self, row: Row) {
        let Some(table) = self.tables.last_mut() else {
            return;
        };
        let (expected, found) = (table.header.len(), row.cells.len());
        if expected == found {
            table.rows.push(row);
        } else {
            self.problems.push(row.place.problem(format!(
                "expected {expected} cells, as the header has, found {found} (a bar within a cell is written `\\|`)"
            )));
        }
    }

    fn end_table(&mut self) {
        if let Some(lonely) = self.above.take() {
            self.report_lonely(&lonely);
        }
        self.in_table = InTable::No;
    }

    fn report_lonely(&mut self, row: &Row) {
        self.problems.push(row.place.problem(
            "this line is in no table: expected a header and a line of dashes (`|---|---|`) above it",
        ));
    }
}

/// Whether it is the line of dashes below a header.
fn is_rule(row: &Row) -> bool {
    !row.cells.is_empty()
        && row.cells.iter().all(|cell| {
            let dashes = cell.text.strip_prefix(':').unwrap_or(&cell.text);
            let dashes = dashes.strip_suffix(':').unwrap_or(dashes);
            !dashes.is_empty() && dashes.bytes().all(|byte| byte == b'-')
        })
}

/// The line of dashes of a table without the outer bars, which would be passed over in silence.
fn is_bare_rule(line: &str) -> bool {
    let line = line.trim();
    line.starts_with(['-', ':'])
        && line.contains('|')
        && line.chars().all(|one| matches!(one, '-' | ':' | '|' | ' '))
}

/// The cells of a line, each with the column where its text begins.
fn cells(line: &str) -> Vec<(String, usize)> {
    let mut cells = vec![(String::new(), 1)];
    let mut escaped = false;
    for (index, character) in line.chars().enumerate() {
        match character {
            '|' if !escaped => cells.push((String::new(), index + 2)),
            '|' => {
                // The backslash that came before it.
                last(&mut cells).pop();
                last(&mut cells).push('|');
            }
            other => last(&mut cells).push(other),
        }
        escaped = character == '\\' && !escaped;
    }
    let is_blank = |cell: Option<&(String, usize)>| cell.is_some_and(|it| it.0.trim().is_empty());
    if is_blank(cells.first()) && cells.len() > 1 {
        cells.remove(0);
    }
    if is_blank(cells.last()) && cells.len() > 1 {
        cells.pop();
    }
    cells.into_iter().map(trimmed).collect()
}

fn last(cells: &mut Vec<(String, usize)>) -> &mut String {
    if cells.is_empty() {
        cells.push((String::new(), 1));
    }
    let index = cells.len() - 1;
    &mut cells[index].0
}

/// Without white space and backticks around it: code to GitHub, words to us.
fn trimmed((text, column): (String, usize)) -> (String, usize) {
    let is_margin = |one: char| one.is_whitespace() || one == '`';
    let margin = text.chars().take_while(|one| is_margin(*one)).count();
    let text = text.trim_matches(is_margin).to_owned();
    let column = if text.is_empty() {
        column
    } else {
        column + margin
    };
    (text, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Table>, Vec<String>) {
        let (tables, problems) = tables(&"a.md".into(), text);
        (tables, problems.iter().map(ToString::to_string).collect())
    }

    fn texts(cells: &[Cell]) -> Vec<&str> {
        cells.iter().map(|cell| cell.text.as_str()).collect()
    }

    #[test]
    fn a_table_is_read_and_the_prose_around_it_is_not() {
        let (tables, problems) = read(
            "# A title | with a bar\n\nSome a | b.\n\n| on | `shows` |\n|:---|----:|\n| x | `a\\|b` |\n|  | c |\n\nEnd.\n",
        );
        assert_eq!(problems, [""; 0]);
        let [table] = &tables[..] else {
            panic!("{tables:?}")
        };
        assert_eq!(texts(&table.header), ["on", "shows"]);
        let rows: Vec<_> = table.rows.iter().map(|row| texts(&row.cells)).collect();
        assert_eq!(rows, [["x", "a|b"], ["", "c"]]);
        let place = &table.rows[0].cells[1].place;
        assert_eq!((place.line, place.column), (7, 8));
    }

    #[test]
    fn code_and_comments_hold_no_tables() {
        let table = "| on |\n|---|\n| x |\n";
        for text in [
            format!("```\n{table}```\n"),
            format!("~~~ text\n{table}~~~\n"),
            format!("<!--\n{table}-->\n"),
            "    | on |\n    |---|\n    | x |\n".to_owned(),
        ] {
            let (tables, problems) = read(&text);
            assert!(tables.is_empty() && problems.is_empty(), "{text}");
        }
    }

    #[test]
    fn what_github_would_drop_or_invent_is_a_mistake() {
        let (_, problems) =
            read("| a | b |\n|---|---|\n| 1 |\n| 1 | 2 | 3 |\n\n| c | d |\n|---|\n");
        assert_eq!(
            problems,
            [
                "a.md:3:1: expected 2 cells, as the header has, found 1 (a bar within a cell is written `\\|`)",
                "a.md:4:1: expected 2 cells, as the header has, found 3 (a bar within a cell is written `\\|`)",
                "a.md:7:1: expected dashes for 2 columns, as the header has, found 1",
            ]
        );
    }

    #[test]
    fn a_table_without_outer_bars_is_not_passed_over() {
        let (_, problems) = read("on | expected\n---|---\nx | permit\n");
        assert_eq!(
            problems,
            ["a.md:2:1: expected a bar at the beginning of each line of a table"]
        );
    }

    #[test]
    fn a_row_without_a_header_is_a_mistake() {
        let (_, problems) = read("| 2027-05-07 | permit |\n\ntext\n");
        assert_eq!(
            problems,
            [
                "a.md:1:1: this line is in no table: expected a header and a line of dashes (`|---|---|`) above it"
            ]
        );
    }
}
