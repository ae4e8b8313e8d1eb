//! `countersign api-keys import`: the whole list is checked first, and then brought in.
//!
//! JSON objects, one a line, as the API takes them; or CSV with a header row, where a column holds several values apart by
//! spaces.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use countersign::config::Installation;
use countersign_server::api_key::import::{ImportedKey, Outcome, import};
use countersign_server::{By, Clock, Event, Happening, Subject, SystemClock};
use serde_json::{Map, Value};

use super::super::input::Input;
use super::super::progress::{Progress, Verbosity};
use super::super::store::{self, Importing, Turn};
use super::super::trail::Trail;
use super::super::{say, tell};

/// The longest line, in bytes: a key with as many packages as it can have.
const LONGEST_LINE: u64 = 64 * 1024;
/// How many keys a list may have: they are held in memory.
const MOST_KEYS: u64 = 1_000_000;
/// How many mistakes are told: enough to see what is wrong.
const MOST_TOLD: usize = 100;
/// The columns that hold several values.
const LISTS: [&str; 2] = ["scopes", "packages"];

/// What is written after `countersign api-keys import`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The list: JSON Lines, or CSV with a header row where its name ends in `.csv`; `-` reads JSON Lines from standard input
    ///
    /// Members, or columns: digest (`sha256:` and 64 hexadecimal digits), account, made_at, name, client, scopes, and where
    /// it has them packages and expires_at. docs/api-keys.md says what is in them.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Check the list and say what an import would do, without doing it
    #[arg(long)]
    dry_run: bool,
    /// Say nothing of the progress
    #[arg(long)]
    quiet: bool,
}

pub(super) async fn run(arguments: &Arguments, installation: &Installation) -> Result<ExitCode> {
    let path = &arguments.file;
    let mut input =
        Input::open(path).with_context(|| format!("can't read `{}`", path.display()))?;
    let form = Form::of(path);
    let mut count: u64 = 0;
    let mut problems = Vec::new();
    form.each(&mut input, |line, read| {
        match read.and_then(|key| fits(&key, installation).map(|()| key)) {
            Ok(_) => count += 1,
            Err(message) => problems.push((line, message)),
        }
        Ok(())
    })?;
    if count > MOST_KEYS {
        let message = format!("expected at most {MOST_KEYS} keys, found more: split the list");
        problems.push((MOST_KEYS + 1, message));
    }
    if !problems.is_empty() {
        complain(&input.name, &problems);
        return Ok(ExitCode::FAILURE);
    }
    if arguments.dry_run {
        let known = known(form, &mut input, installation).await?;
        let new = count - known;
        say(format_args!(
            "{count} keys: {new} new, {known} known or revoked (dry run: nothing was imported)"
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    let verbosity = if arguments.quiet {
        Verbosity::Quiet
    } else {
        Verbosity::Told
    };
    bring_in((form, &mut input, count), installation, verbosity).await
}

/// Whether the client and the scopes are some of ours: a slip would import keys that are good for nothing.
fn fits(key: &ImportedKey, installation: &Installation) -> Result<(), String> {
    if !installation.settings.clients.contains_key(&key.client) {
        return Err(format!("client: there is no client `{}`", key.client));
    }
    if key.scopes.is_empty() {
        return Err("scopes: expected at least one".to_owned());
    }
    let policy = &installation.policy.policy;
    let unknown = key
        .scopes
        .iter()
        .find(|scope| policy.tier_of(scope).is_none());
    match unknown {
        Some(scope) => Err(format!("scopes: no tier of the policy has `{scope}`")),
        None => Ok(()),
    }
}

fn complain(file: &str, problems: &[(u64, String)]) {
    for (line, message) in problems.iter().take(MOST_TOLD) {
        tell(format_args!("{file}:{line}: {message}"));
    }
    let more = problems.len().saturating_sub(MOST_TOLD);
    if more > 0 {
        tell(format_args!("and {more} more"));
    }
    tell(format_args!("nothing was imported"));
}

async fn known(form: Form, input: &mut Input, installation: &Installation) -> Result<u64> {
    let Some(store) = store::to_look_if_there(installation)? else {
        return Ok(0);
    };
    let mut known = 0;
    for key in form.all(input)? {
        let id = countersign_server::api_key::id_of(&key?.digest);
        known += u64::from(store.api_key(&id).await?.is_some());
    }
    Ok(known)
}

async fn bring_in(
    (form, input, count): (Form, &mut Input, u64),
    installation: &Installation,
    verbosity: Verbosity,
) -> Result<ExitCode> {
    let importing = Importing::open(installation)?;
    let trail = Trail::of(installation, store::to_change(installation)?);
    trail.check().await?;
    let mut progress = Progress::start("keys imported", count, verbosity);
    let mut turn = Turn::begin();
    let mut imported: u64 = 0;
    let keys = form.all(input)?;
    let all = async || -> Result<()> {
        for key in keys {
            let outcome = import(importing.store(), key?, SystemClock.now()).await;
            let outcome = outcome.context("what is imported so far stays; run this again")?;
            imported += u64::from(outcome == Outcome::Imported);
            progress.advance(1);
            turn.give_way(&importing)?;
        }
        Ok(())
    };
    let ended = all().await;
    progress.end();
    if imported > 0 {
        let happening =
            Happening::new(Event::ApiKeysImported, By::Operator).about(Subject::Count, imported);
        trail.note_part(happening, &ended).await?;
    }
    ended?;
    let known = count - imported;
    say(format_args!(
        "{count} keys: {imported} new, {known} known or revoked"
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// How the list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    JsonLines,
    Csv,
}

impl Form {
    fn of(path: &Path) -> Self {
        let is_csv = path
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("csv"));
        if is_csv { Self::Csv } else { Self::JsonLines }
    }

    /// The keys, of a list that was checked before.
    fn all(self, input: &mut Input) -> Result<Vec<Result<ImportedKey>>> {
        let mut keys = Vec::new();
        self.each(input, |line, read| {
            keys.push(read.map_err(|_| anyhow!("line {line} has changed while it was read")));
            Ok(())
        })?;
        Ok(keys)
    }

    /// Visits each with its line, from the beginning.
    fn each(
        self,
        input: &mut Input,
        mut visit: impl FnMut(u64, Result<ImportedKey, String>) -> Result<()>,
    ) -> Result<()> {
        let name = input.name.clone();
        let file = input
            .read()
            .with_context(|| format!("can't read `{name}`"))?;
        match self {
            Self::JsonLines => each_line(file, &mut visit),
            Self::Csv => each_row(file, &mut visit),
        }
    }
}

type Visit<'a> = &'a mut dyn FnMut(u64, Result<ImportedKey, String>) -> Result<()>;

fn each_line(file: impl Read, visit: Visit<'_>) -> Result<()> {
    let mut reader = BufReader::new(file);
    for line in 1.. {
        let mut text = Vec::new();
        let read = (&mut reader)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut text)?;
        if read == 0 {
            return Ok(());
        }
        if text.len() as u64 == LONGEST_LINE && text.last() != Some(&b'\n') {
            return visit(line, Err("expected a shorter line".to_owned()));
        }
        if !text.trim_ascii().is_empty() {
            visit(line, serde_json::from_slice(&text).map_err(in_words))?;
        }
    }
    Ok(())
}

/// What is wrong with a line, without what stands there: it may be an address.
fn in_words(error: impl Display) -> String {
    let told = error.to_string();
    let (told, _) = told.split_once(" at line ").unwrap_or((&told, ""));
    told.to_owned()
}

fn each_row(file: impl Read, visit: Visit<'_>) -> Result<()> {
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(file);
    let header = reader.headers().cloned();
    let header = header.map_err(|_| anyhow!("the header row can't be read"))?;
    for row in reader.records() {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                visit(line, Err("a row that is not as the header row".to_owned()))?;
                continue;
            }
        };
        let line = row.position().map_or(0, csv::Position::line);
        let fields = header
            .iter()
            .zip(&row)
            .filter(|(_, value)| !value.is_empty());
        let fields: Map<String, Value> = fields.map(|(n, v)| (n.to_owned(), field(n, v))).collect();
        visit(
            line,
            serde_json::from_value(Value::Object(fields)).map_err(in_words),
        )?;
    }
    Ok(())
}

fn field(column: &str, value: &str) -> Value {
    if LISTS.contains(&column) {
        let values = value
            .split_whitespace()
            .map(|one| Value::String(one.to_owned()));
        return Value::Array(values.collect());
    }
    Value::String(value.to_owned())
}
