//! `countersign accounts import`: the whole table is checked first, and then brought in.
//!
//! A table with a mistake changes nothing. One without is brought in row by row, each whole by
//! itself ([`countersign_store::import`]), a thousand at a time: the store commits together what waits
//! together. Killed in between, it carries on when it is run again.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use countersign::config::Installation;
use countersign_core::AccountId;
use countersign_server::{
    By, Clock, Entropy, Event, Happening, Subject, SystemClock, SystemEntropy,
};
use countersign_store::{Contradiction, Imported, RegistryRow, Store};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use tokio::runtime::Builder;

use super::super::input::Input;
use super::super::progress::{Progress, Verbosity};
use super::super::store::{self, Importing, Turn};
use super::super::trail::Trail;
use super::super::{load, say, tell};
use super::duplicates::Seen;
use super::identity::Providers;
use super::problem::{Problem, Problems};
use super::rows::{Next, Row, Rows, Rules};

/// How many rows are on their way at once. The store takes no more than twice as many writes.
const BATCH: usize = 1000;
/// How many rows a table may have: what is remembered to find duplicates takes up to 1 GB then.
const MOST_ROWS: u64 = 10_000_000;

/// What is written after `countersign accounts import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The table, CSV with a header row; `-` reads it from standard input
    ///
    /// Columns: account, created, provider, tenant, subject, verified_email.
    /// docs/accounts.md says what is in them.
    #[arg(value_name = "FILE", verbatim_doc_comment)]
    file: PathBuf,
    /// Check the table and say what an import would do, without doing it
    #[arg(long)]
    dry_run: bool,
    /// Say nothing of the progress
    #[arg(long)]
    quiet: bool,
}

pub(crate) fn run(import: &ImportArguments, configuration: &Path) -> ExitCode {
    let Some(installation) = load(configuration) else {
        return ExitCode::FAILURE;
    };
    match bring_in(import, &installation) {
        Ok(code) => code,
        Err(error) => {
            tell(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn bring_in(import: &ImportArguments, installation: &Installation) -> Result<ExitCode> {
    let mut input = Input::open(&import.file)
        .with_context(|| format!("can't read `{}`", import.file.display()))?;
    let providers = Providers::of(&installation.providers);
    let rules = Rules {
        providers: &providers,
        now: SystemClock.now(),
    };
    let verbosity = if import.quiet {
        Verbosity::Quiet
    } else {
        Verbosity::Told
    };
    let checked = check(&mut input, rules, verbosity)?;
    let rows = match checked {
        Ok(rows) => rows,
        Err(problems) => {
            problems.tell(&input.name);
            tell(format_args!("nothing was imported"));
            return Ok(ExitCode::FAILURE);
        }
    };
    let store = open(import, installation)?;
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let way = match &store {
        Some(Opened::ToLook(store)) => Way::Look(store.as_ref()),
        Some(Opened::ToWrite(importing, trail)) => {
            runtime.block_on(trail.check())?;
            Way::Write(importing)
        }
        None => Way::IntoNothing,
    };
    let mut pass = Pass {
        way,
        progress: Progress::start(way.what(), rows, verbosity),
        tally: Tally::default(),
        turn: Turn::begin(),
    };
    let ended = runtime.block_on(pass.all(&mut input, rules));
    let noted = match &store {
        Some(Opened::ToWrite(_, trail)) => runtime.block_on(pass.tally.note(&ended, trail)),
        Some(Opened::ToLook(_)) | None => Ok(()),
    };
    ended.and(noted)?;
    pass.progress.end();
    pass.tally.tell(&input.name, way)
}

/// The store, or none where nothing is to be made: a dry run before the first start.
fn open(import: &ImportArguments, installation: &Installation) -> Result<Option<Opened>> {
    if import.dry_run {
        let store = store::to_look_if_there(installation)?;
        return Ok(store.map(Opened::ToLook));
    }
    let importing = Importing::open(installation)?;
    let trail = Trail::of(installation, store::to_change(installation)?);
    Ok(Some(Opened::ToWrite(importing, trail)))
}

/// The store, opened for what is to be done.
enum Opened {
    ToLook(Arc<dyn Store>),
    /// And where it is written down that accounts were imported.
    ToWrite(Importing, Trail),
}

/// The first pass: how many rows there are, or all that is wrong with them.
fn check(
    input: &mut Input,
    rules: Rules<'_>,
    verbosity: Verbosity,
) -> Result<Result<u64, Problems>> {
    let mut progress = Progress::start("bytes checked", input.bytes, verbosity);
    let table = input.read()?;
    let checked = Check::default().run(table, rules, &mut progress);
    progress.end();
    Ok(checked)
}

/// What the first pass remembers.
#[derive(Debug, Default)]
struct Check {
    rows: u64,
    accounts: Seen,
    identities: Seen,
    problems: Problems,
}

impl Check {
    fn run(
        mut self,
        table: impl Read,
        rules: Rules<'_>,
        progress: &mut Progress,
    ) -> Result<u64, Problems> {
        match Rows::open(table, rules) {
            Ok(rows) => self.read(rows, progress),
            Err(problems) => self.problems.add_all(problems),
        }
        for (seen, column) in [(self.accounts, "account"), (self.identities, "subject")] {
            for duplicate in seen.duplicates() {
                let message = format!(
                    "expected each {column} once, found that of line {}",
                    duplicate.first
                );
                self.problems
                    .add(Problem::of_column(duplicate.line, column, message));
            }
        }
        if self.problems.is_empty() {
            Ok(self.rows)
        } else {
            Err(self.problems)
        }
    }

    fn read(&mut self, mut rows: Rows<'_, impl Read>, progress: &mut Progress) {
        let mut bytes = 0;
        loop {
            match rows.next() {
                Next::Row(row) if self.rows == MOST_ROWS => {
                    let message =
                        format!("expected at most {MOST_ROWS} rows, found more: split the table");
                    return self.problems.add(Problem::of_line(row.line, message));
                }
                Next::Row(row) => self.add(&row),
                Next::Wrong(problems) => self.problems.add_all(problems),
                Next::Broken(problem) => return self.problems.add(problem),
                Next::End => return,
            }
            progress.advance(rows.bytes() - bytes);
            bytes = rows.bytes();
        }
    }

    fn add(&mut self, row: &Row) {
        self.rows += 1;
        self.accounts.add(row.row.name.as_str(), row.line);
        if let Some(identity) = &row.row.identity {
            self.identities.add(identity, row.line);
        }
    }
}

/// What the second pass does with a row.
#[derive(Clone, Copy)]
enum Way<'a> {
    Write(&'a Importing),
    Look(&'a dyn Store),
    /// Nothing is there yet, so all of it is new.
    IntoNothing,
}

impl Way<'_> {
    fn what(self) -> &'static str {
        match self {
            Self::Write(_) => "rows imported",
            Self::Look(_) | Self::IntoNothing => "rows compared",
        }
    }

    async fn take(self, row: &RegistryRow, now: Timestamp) -> Result<Imported> {
        Ok(match self {
            Self::Write(importing) => {
                let store = importing.store();
                countersign_store::import(store, row, fresh_account()?, now).await?
            }
            Self::Look(store) => countersign_store::weigh(store, row).await?,
            Self::IntoNothing => Imported::New,
        })
    }
}

fn fresh_account() -> Result<AccountId> {
    let mut random = [0; 16];
    SystemEntropy.fill(&mut random);
    Ok(AccountId::new(format!(
        "acct_{:032x}",
        u128::from_be_bytes(random)
    ))?)
}

/// The second pass.
struct Pass<'a> {
    way: Way<'a>,
    progress: Progress,
    tally: Tally,
    turn: Turn,
}

impl Pass<'_> {
    async fn all(&mut self, input: &mut Input, rules: Rules<'_>) -> Result<()> {
        let name = input.name.clone();
        let changed = || anyhow!("`{name}` has changed while it was read: run this again");
        let mut rows = Rows::open(input.read()?, rules).map_err(|_| changed())?;
        loop {
            let mut batch = Vec::with_capacity(BATCH);
            while batch.len() < BATCH {
                match rows.next() {
                    Next::Row(row) => batch.push(*row),
                    Next::End => break,
                    Next::Wrong(_) | Next::Broken(_) => return Err(changed()),
                }
            }
            if batch.is_empty() {
                return Ok(());
            }
            self.bring_in(&batch).await?;
            self.give_way()?;
        }
    }

    async fn bring_in(&mut self, batch: &[Row]) -> Result<()> {
        let (way, now) = (self.way, SystemClock.now());
        let imported: Vec<(u64, Result<Imported>)> = stream::iter(batch)
            .map(async |row| (row.line, way.take(&row.row, now).await))
            .buffered(BATCH)
            .collect()
            .await;
        let mut failed = Ok(());
        for (line, imported) in imported {
            match imported {
                Ok(imported) => self.tally.add(line, imported),
                Err(error) => failed = failed.and(Err(error)),
            }
        }
        failed.context("what is imported so far stays; run this again to carry on")?;
        self.progress.advance(u64::try_from(batch.len())?);
        Ok(())
    }

    fn give_way(&mut self) -> Result<()> {
        match self.way {
            Way::Write(importing) => Ok(self.turn.give_way(importing)?),
            Way::Look(_) | Way::IntoNothing => Ok(()),
        }
    }
}

/// What became of the rows.
#[derive(Debug, Default)]
struct Tally {
    new: u64,
    changed: u64,
    unchanged: u64,
    contradictions: Problems,
}

impl Tally {
    fn add(&mut self, line: u64, imported: Imported) {
        match imported {
            Imported::New => self.new += 1,
            Imported::Changed => self.changed += 1,
            Imported::Unchanged => self.unchanged += 1,
            Imported::Contradicts(what) => self.contradictions.add(contradiction(line, &what)),
        }
    }

    /// Writes down how many rows were new or changed, if any were. An import that is killed and run again says so then.
    async fn note(&self, ended: &Result<()>, trail: &Trail) -> Result<()> {
        let count = self.new + self.changed;
        if count == 0 {
            return Ok(());
        }
        let happening = Happening::new(Event::AccountsImported, By::Operator);
        trail
            .note_part(happening.about(Subject::Count, count), ended)
            .await
    }

    fn tell(&self, file: &str, way: Way<'_>) -> Result<ExitCode> {
        let Self {
            new,
            changed,
            unchanged,
            contradictions,
        } = self;
        contradictions.tell(file);
        let left = contradictions.count();
        let all = new + changed + unchanged + u64::try_from(left)?;
        let would = match way {
            Way::Write(_) => "",
            Way::Look(_) | Way::IntoNothing => " (dry run: nothing was imported)",
        };
        say(format_args!(
            "{all} rows: {new} new, {changed} changed, {unchanged} as they were, {left} contradict what is there{would}"
        ))?;
        Ok(if left == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn contradiction(line: u64, what: &Contradiction) -> Problem {
    match what {
        Contradiction::RegisteredOn(day) => Problem::of_column(
            line,
            "created",
            format!("expected {day} as imported before, found another day; left as it is"),
        ),
        Contradiction::OtherIdentity => Problem::of_column(
            line,
            "subject",
            "expected the identity that the account has, found another; left as it is",
        ),
        Contradiction::OtherRegistryAccount(name) => Problem::of_column(
            line,
            "account",
            format!(
                "expected `{}`, whose identity it is, found another; left as it is",
                masked(name.as_str())
            ),
        ),
        Contradiction::Retired(organization) => Problem::of_column(
            line,
            "account",
            format!(
                "expected no identity, since it became the organization `{organization}`; left as it is"
            ),
        ),
    }
}

/// A registry may name accounts by e-mail address.
fn masked(name: &str) -> String {
    match name.split_once('@') {
        Some((local, _)) if !local.is_empty() => {
            let first = local.chars().next().unwrap_or_default();
            format!("{first}…@…")
        }
        Some(_) | None => name.to_owned(),
    }
}
