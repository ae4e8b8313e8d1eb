//! The table that a registry exports, row by row: CSV (RFC 4180) with a header row.
//!
//! Memory is bounded whatever is read: one record at a time, and of a record no more than
//! [`LONGEST_RECORD`], so that a quote that is never closed does not swallow the file.

use std::io::{self, Read};

use countersign_store::{EmailAddress, RegistryAccountName, RegistryRow, registration};
use csv::{ByteRecord, ReaderBuilder, Terminator};
use jiff::Timestamp;

use super::identity::{Providers, Written};
use super::problem::{Problem, shown};

/// In bytes: each of the columns at its longest, some times over.
const LONGEST_RECORD: usize = 16 * 1024;

const ACCOUNT: &str = "account";
const CREATED: &str = "created";
const PROVIDER: &str = "provider";
const SUBJECT: &str = "subject";
const TENANT: &str = "tenant";
const VERIFIED_EMAIL: &str = "verified_email";

/// All columns there are, in the order of the documentation.
const COLUMNS: [&str; 6] = [ACCOUNT, CREATED, PROVIDER, TENANT, SUBJECT, VERIFIED_EMAIL];

/// What rows are checked against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) providers: &'a Providers<'a>,
    /// No account was made later than this.
    pub(super) now: Timestamp,
}

/// A row, and the line it begins on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) row: RegistryRow,
}

/// The rows of a table.
#[derive(Debug)]
pub(super) struct Rows<'a, R> {
    reader: csv::Reader<Lines<R>>,
    rules: Rules<'a>,
    header: Header,
    record: ByteRecord,
}

/// What comes next in a table.
#[derive(Debug)]
pub(super) enum Next {
    Row(Box<Row>),
    /// A row that is wrong, in one or more columns.
    Wrong(Vec<Problem>),
    /// Nothing can be read from here on.
    Broken(Problem),
    End,
}

impl<'a, R: Read> Rows<'a, R> {
    /// Reads the header row.
    pub(super) fn open(input: R, rules: Rules<'a>) -> Result<Self, Vec<Problem>> {
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            // `Lines` has made all line ends one; a lone `\r` is none.
            .terminator(Terminator::Any(b'\n'))
            .from_reader(Lines::new(input));
        let mut record = ByteRecord::new();
        match read(&mut reader, &mut record) {
            Ok(Some(line)) => Ok(Self {
                header: Header::read(line, &record)?,
                reader,
                rules,
                record,
            }),
            Ok(None) => {
                let message = "expected a header row with `account` and `created`, found nothing";
                Err(vec![Problem::of_line(1, message)])
            }
            Err(problem) => Err(vec![problem]),
        }
    }

    /// How many bytes of the input have been read so far, a buffer more or less.
    pub(super) fn bytes(&self) -> u64 {
        self.reader.get_ref().bytes
    }

    pub(super) fn next(&mut self) -> Next {
        match read(&mut self.reader, &mut self.record) {
            Ok(Some(line)) => match self.header.row(line, &self.record, self.rules) {
                Ok(row) => Next::Row(Box::new(Row { line, row })),
                Err(problems) => Next::Wrong(problems),
            },
            Ok(None) => Next::End,
            Err(problem) => Next::Broken(problem),
        }
    }
}

/// Reads one record and says on which line it begins; none at the end.
fn read<R: Read>(
    reader: &mut csv::Reader<Lines<R>>,
    record: &mut ByteRecord,
) -> Result<Option<u64>, Problem> {
    reader.get_mut().left = LONGEST_RECORD;
    // Where the last one ended; blank lines may follow.
    let after = reader.position().line();
    match reader.read_byte_record(record) {
        Ok(true) => {
            // The reader stands behind the line end, and all line ends within are in fields.
            let lines = record.as_slice().split(|byte| *byte == b'\n').count();
            let within = u64::try_from(lines - 1).unwrap_or(0);
            let end = reader.position().line() - 1;
            Ok(Some(end - within))
        }
        Ok(false) => Ok(None),
        Err(error) => Err(Problem::of_line(after, broken(&error))),
    }
}

fn broken(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => format!(
            "expected rows of at most {LONGEST_RECORD} bytes, found a longer one: is a quote (`\"`) not closed?"
        ),
        csv::ErrorKind::Io(error) => format!("can't be read: {error}"),
        _ => "expected a row of a table".to_owned(),
    }
}

/// Which column stands where.
#[derive(Debug)]
struct Header {
    places: [Option<usize>; COLUMNS.len()],
    width: usize,
}

impl Header {
    fn read(line: u64, record: &ByteRecord) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut places = [None; COLUMNS.len()];
        for (place, name) in record.iter().enumerate() {
            let name = String::from_utf8_lossy(name);
            let known = COLUMNS.iter().position(|column| *column == name);
            match known.map(|column| places[column].replace(place)) {
                Some(None) => {}
                Some(Some(_)) => {
                    let message = format!("expected each column once, found `{name}` twice");
                    problems.push(Problem::of_line(line, message));
                }
                None => problems.push(Problem::of_line(line, unknown(&name))),
            }
        }
        let has = |name| {
            COLUMNS
                .iter()
                .position(|one| *one == name)
                .is_some_and(|at| places[at].is_some())
        };
        let mut needed = vec![ACCOUNT, CREATED];
        if has(PROVIDER) || has(SUBJECT) || has(TENANT) {
            needed.extend([PROVIDER, SUBJECT]);
        }
        for name in needed.into_iter().filter(|name| !has(name)) {
            let message = format!("expected a column `{name}`, found none");
            problems.push(Problem::of_line(line, message));
        }
        if problems.is_empty() {
            let width = record.len();
            Ok(Self { places, width })
        } else {
            Err(problems)
        }
    }

    /// A row, or all that is wrong with it.
    fn row(
        &self,
        line: u64,
        record: &ByteRecord,
        rules: Rules<'_>,
    ) -> Result<RegistryRow, Vec<Problem>> {
        let [account, created, provider, tenant, subject, email] =
            self.texts(line, record).map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        let mut note = |column: &'static str, message: String| {
            problems.push(Problem::of_column(line, column, message));
        };
        let name = RegistryAccountName::new(account)
            .map_err(|expected| note(ACCOUNT, wrong(expected, account)))
            .ok();
        let registered_at = registration(created, rules.now)
            .map_err(|expected| note(CREATED, wrong(expected, created)))
            .ok();
        let written = Written {
            provider,
            tenant,
            subject,
        };
        let identity = rules
            .providers
            .identity(written)
            .map_err(|(column, message)| note(column, message))
            .ok();
        let verified_email = verified_email(email)
            .map_err(|expected| note(VERIFIED_EMAIL, wrong(expected, email)))
            .ok();
        match (name, registered_at, identity, verified_email) {
            (Some(name), Some(registered_at), Some(identity), Some(verified_email)) => {
                Ok(RegistryRow {
                    name,
                    registered_at,
                    identity,
                    verified_email,
                })
            }
            _ => Err(problems),
        }
    }

    /// The columns in the order of [`COLUMNS`]; one that the table does not have is empty.
    fn texts<'r>(
        &self,
        line: u64,
        record: &'r ByteRecord,
    ) -> Result<[&'r str; COLUMNS.len()], Problem> {
        if record.len() != self.width {
            let message = format!(
                "expected {} fields as in the header, found {}",
                self.width,
                record.len()
            );
            return Err(Problem::of_line(line, message));
        }
        let mut texts = [""; COLUMNS.len()];
        for ((text, column), place) in texts.iter_mut().zip(COLUMNS).zip(self.places) {
            let bytes = place
                .and_then(|place| record.get(place))
                .unwrap_or_default();
            *text = str::from_utf8(bytes).map_err(|_| {
                Problem::of_column(line, column, "expected UTF-8, found other bytes")
            })?;
        }
        Ok(texts)
    }
}

fn unknown(name: &str) -> String {
    let names: Vec<String> = COLUMNS.iter().map(|name| format!("`{name}`")).collect();
    let hint = if name.contains([';', '\t']) {
        " (columns are separated by commas)"
    } else {
        ""
    };
    let names = names.join(", ");
    format!("expected columns of {names}, found {}{hint}", shown(name))
}

fn wrong(expected: impl std::fmt::Display, found: &str) -> String {
    format!("expected {expected}, found {}", shown(found))
}

/// 00:00 UTC of a day, or a time; neither in the future nor before there were registries of packages.
fn verified_email(text: &str) -> Result<Option<EmailAddress>, impl std::fmt::Display> {
    if text.is_empty() {
        return Ok(None);
    }
    EmailAddress::new(text).map(Some)
}

/// The input with `\n` at the end of every line, the last one too, so that lines can be counted.
///
/// Reads no further than `left` bytes: who reads says for each record how much it may have.
#[derive(Debug)]
struct Lines<R> {
    input: R,
    left: usize,
    bytes: u64,
    /// A `\r` that may belong to a line end.
    held: bool,
    last: u8,
}

impl<R> Lines<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            left: LONGEST_RECORD,
            bytes: 0,
            held: false,
            last: b'\n',
        }
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        // No reader of ours asks for one byte, and nothing read would mean the end.
        if buffer.len() < 2 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        loop {
            // A `\r` held back may come out in front.
            let mut chunk = [0; 4096];
            let most = chunk.len().min(buffer.len() - 1);
            let read = self.input.read(&mut chunk[..most])?;
            self.bytes += u64::try_from(read).unwrap_or(0);
            let written = match read {
                0 => self.end(buffer),
                _ => self.pass_on(&chunk[..read], buffer),
            };
            if read == 0 || written > 0 {
                self.left = self.left.saturating_sub(written);
                return Ok(written);
            }
        }
    }
}

impl<R> Lines<R> {
    /// Writes what was read, `\r\n` as `\n`, and counts what was written.
    fn pass_on(&mut self, read: &[u8], buffer: &mut [u8]) -> usize {
        let mut written = 0;
        for byte in read.iter().copied() {
            if std::mem::take(&mut self.held) && byte != b'\n' {
                buffer[written] = b'\r';
                written += 1;
            }
            if byte == b'\r' {
                self.held = true;
            } else {
                buffer[written] = byte;
                written += 1;
            }
            self.last = byte;
        }
        written
    }

    /// The last line end, where the input has none.
    fn end(&mut self, buffer: &mut [u8]) -> usize {
        let is_open = self.last != b'\n';
        self.held = false;
        self.last = b'\n';
        if is_open && !buffer.is_empty() {
            buffer[0] = b'\n';
            1
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests;
