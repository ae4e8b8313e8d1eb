//! `countersign audit search`: the lines that fit, as they come.

use std::io::{self, BufWriter, ErrorKind, Write};

use anyhow::Result;
use clap::{Args, ValueEnum};
use countersign_server::{AuditFile, AuditLine, AuditQuery};
use jiff::Timestamp;

use super::super::load;
use super::lines::{self, Going};
use super::{With, must_be_on};

#[derive(Debug, Args)]
pub(crate) struct SearchArguments {
    #[command(flatten)]
    wanted: Wanted,
    /// How a line is told
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// No more than so many
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
    #[command(flatten)]
    with: With,
}

/// What a line must be to fit: all of it.
#[derive(Debug, Args)]
pub(super) struct Wanted {
    /// What happened: a code of docs/audit.md
    #[arg(long, value_name = "CODE")]
    event: Option<String>,
    /// Who did it: `account:ID`, `client:NAME`, `provider:NAME`, `operator`, `nobody`
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,
    /// What it was done to: an id, whatever it is of
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// Why: a code
    #[arg(long, value_name = "CODE")]
    reason: Option<String>,
    /// In which request
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    #[command(flatten)]
    when: When,
}

/// From when until when.
#[derive(Debug, Args)]
pub(super) struct When {
    /// From then on, such as `2027-03-08T12:00:00Z`
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Before then
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// As it stands there
    Json,
    /// For tables
    Csv,
}

impl When {
    #[cfg(test)]
    pub(super) fn between(since: Timestamp, until: Timestamp) -> Self {
        Self {
            since: Some(since),
            until: Some(until),
        }
    }

    pub(super) fn query(&self) -> AuditQuery {
        AuditQuery {
            since: self.since,
            until: self.until,
            ..AuditQuery::default()
        }
    }
}

impl Wanted {
    fn query(&self) -> AuditQuery {
        AuditQuery {
            event: self.event.clone(),
            actor: self.actor.clone(),
            subject: self.subject.clone(),
            reason: self.reason.clone(),
            request_id: self.request_id.clone(),
            ..self.when.query()
        }
    }
}

pub(super) fn run(search: &SearchArguments) -> Result<()> {
    let Some(installation) = load(&search.with.config) else {
        anyhow::bail!("nothing was searched");
    };
    must_be_on(&installation.audit_log)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let told = tell(search, &lines::of(&installation.audit_log)?, &mut out);
    match told.and_then(|()| Ok(out.flush()?)) {
        // A pipe may be closed early (`… | head -1`).
        Err(error) if is_broken_pipe(&error) => Ok(()),
        told => told,
    }
}

pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn tell(search: &SearchArguments, files: &[AuditFile], out: &mut impl Write) -> Result<()> {
    if search.format == Format::Csv {
        writeln!(
            out,
            "time,replica,n,event,actor,subject,reason,request_id,from"
        )?;
    }
    let query = search.wanted.query();
    let mut left = search.limit.unwrap_or(usize::MAX);
    lines::walk(files, |_, bytes| {
        if left == 0 {
            return Ok(Going::Enough);
        }
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        if let Some(line) = AuditLine::read(text).filter(|line| query.fits(line)) {
            left -= 1;
            match search.format {
                Format::Json => out.write_all(&[text, b"\n"].concat())?,
                Format::Text => writeln!(out, "{}", in_words(&line))?,
                Format::Csv => writeln!(out, "{}", as_row(&line))?,
            }
        }
        Ok(Going::On)
    })
}

fn in_words(line: &AuditLine) -> String {
    let mut words = vec![format!("{:.3}", line.time), line.event.clone()];
    words.push(format!("by {}", line.actor));
    words.extend(line.subject.iter().map(|(kind, id)| format!("{kind}={id}")));
    let rest = [
        ("reason", &line.reason),
        ("request", &line.request_id),
        ("from", &line.from),
    ];
    let rest = rest
        .into_iter()
        .filter_map(|(name, found)| Some(format!("{name}={}", found.as_ref()?)));
    words.extend(rest);
    // A line that somebody else wrote must not steer a terminal.
    words
        .join(" ")
        .chars()
        .map(|one| if one.is_control() { '\u{fffd}' } else { one })
        .collect()
}

fn as_row(line: &AuditLine) -> String {
    let subject: Vec<String> = line
        .subject
        .iter()
        .map(|(kind, id)| format!("{kind}={id}"))
        .collect();
    let text = |found: &Option<String>| found.clone().unwrap_or_default();
    let cells = [
        line.time.to_string(),
        line.replica.to_string(),
        line.n.to_string(),
        line.event.clone(),
        line.actor.clone(),
        subject.join(" "),
        text(&line.reason),
        text(&line.request_id),
        text(&line.from),
    ];
    cells.map(|cell| quoted(&cell)).join(",")
}

/// RFC 4180. What begins as a formula would, a spreadsheet must take for text.
fn quoted(cell: &str) -> String {
    let cell = match cell.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{cell}"),
        Some(_) | None => cell.to_owned(),
    };
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_neither_a_formula_nor_the_end_of_a_row() {
        let cells = ["a", "a,b", "a\"b", "=1+1", "a\nb", ""].map(quoted);
        assert_eq!(
            cells,
            ["a", "\"a,b\"", "\"a\"\"b\"", "'=1+1", "\"a\nb\"", ""]
        );
    }
}
