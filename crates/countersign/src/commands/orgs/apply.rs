//! `countersign orgs apply`: the whole file is checked first, and then brought in.
//!
//! Each organisation is done whole by itself ([`countersign_store::organization::file`]), a thousand at a time: the
//! store commits together what waits together. Killed in between, it carries on when it is run again. What the file
//! gives up goes first, so that another can have it.

use std::collections::HashMap;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use countersign::config::Installation;
use countersign_core::{OrganizationId, Policy, Source};
use countersign_server::{By, Clock, Event, Happening, Subject, SystemClock};
use countersign_store::organization::Change;
use countersign_store::organization::file::{
    Applied, Entry, apply, give_up, given_up, prune, weigh, weigh_first,
};
use countersign_store::{Actor, Store, StoreError};
use futures_util::{StreamExt, stream};

use super::super::input::Input;
use super::super::progress::{Progress, Verbosity};
use super::super::store::{self, Importing, Turn};
use super::super::trail::Trail;
use super::super::{say, tell};
use super::file;

/// How many are on their way at once. The store takes no more than twice as many writes.
const BATCH: usize = 1000;
/// How many lines tell what would change, or what is disputed.
const MOST_TOLD: usize = 100;

/// What is written after `countersign orgs apply`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct Arguments {
    /// The file, TOML or JSON Lines; `-` reads it from standard input
    ///
    /// docs/organizations.md says what is in it.
    #[arg(value_name = "FILE", verbatim_doc_comment)]
    file: PathBuf,
    /// Check the file and say what would change, without changing it
    #[arg(long)]
    dry_run: bool,
    /// Forget what this command has made before, and the file names no more
    ///
    /// Organizations that a client of the registry tells of stay, and so do connections that anybody else has made.
    #[arg(long)]
    prune: bool,
    /// Forget it, and not only say what would be forgotten, for `--prune`
    #[arg(long)]
    yes: bool,
    /// Say nothing of the progress
    #[arg(long)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  countersign orgs apply organizations.toml --dry-run
  countersign orgs apply organizations.toml
  countersign orgs apply organizations.toml --prune --yes";

pub(super) async fn run(arguments: &Arguments, installation: &Installation) -> Result<ExitCode> {
    let unreadable = || format!("can't read `{}`", arguments.file.display());
    let mut input = Input::open(&arguments.file).with_context(unreadable)?;
    let text = text_of(&mut input).with_context(unreadable)?;
    let entries = match file::read(&input.name, &text) {
        Ok(entries) => entries,
        Err(problems) => {
            tell(format_args!("{problems}"));
            tell(format_args!("nothing was changed"));
            return Ok(ExitCode::FAILURE);
        }
    };
    let opened = Opened::open(arguments, installation)?;
    let policy = &installation.policy.policy;
    opened.run(arguments, &entries, policy).await
}

/// All of it at once: what it names twice can stand anywhere.
fn text_of(input: &mut Input) -> Result<String> {
    if usize::try_from(input.bytes).is_ok_and(|bytes| bytes <= file::LONGEST) {
        let mut text = String::new();
        let most = u64::try_from(file::LONGEST)?;
        input.read()?.take(most).read_to_string(&mut text)?;
        Ok(text)
    } else {
        Err(anyhow!("it is longer than {} bytes", file::LONGEST))
    }
}

/// The store, opened for what is to be done.
enum Opened {
    ToWrite(Importing, Trail),
    ToLook(Arc<dyn Store>),
    /// Nothing is there yet, so all of it is new.
    Nothing,
}

impl Opened {
    fn open(arguments: &Arguments, installation: &Installation) -> Result<Self> {
        if arguments.dry_run {
            let store = store::to_look_if_there(installation)?;
            return Ok(store.map_or(Self::Nothing, Self::ToLook));
        }
        let importing = Importing::open(installation)?;
        let trail = Trail::of(installation, store::to_change(installation)?);
        Ok(Self::ToWrite(importing, trail))
    }

    fn store(&self) -> Option<&dyn Store> {
        match self {
            Self::ToWrite(importing, _) => Some(importing.store()),
            Self::ToLook(store) => Some(store.as_ref()),
            Self::Nothing => None,
        }
    }

    async fn run(
        &self,
        arguments: &Arguments,
        entries: &[Entry],
        policy: &Policy,
    ) -> Result<ExitCode> {
        let given_up = match (arguments.prune, self.store()) {
            (true, Some(store)) => GivenUp::of(entries, store).await?,
            _ => GivenUp::default(),
        };
        if !given_up.is_empty() && !arguments.yes && !arguments.dry_run {
            given_up.tell();
            tell(format_args!(
                "nothing was changed; add `--yes` to forget these too"
            ));
            return Ok(ExitCode::FAILURE);
        }
        let verbosity = if arguments.quiet {
            Verbosity::Quiet
        } else {
            Verbosity::Told
        };
        let what = match self {
            Self::ToWrite(..) => "organizations applied",
            Self::ToLook(_) | Self::Nothing => "organizations compared",
        };
        if let Self::ToWrite(_, trail) = self {
            trail.check().await?;
        }
        let mut pass = Pass {
            opened: self,
            policy,
            progress: Progress::start(what, u64::try_from(entries.len())?, verbosity),
            turn: Turn::begin(),
            tally: Tally::default(),
        };
        let ended = pass.all(entries, &given_up).await;
        let noted = match self {
            Self::ToWrite(_, trail) => pass.tally.note(&ended, trail).await,
            Self::ToLook(_) | Self::Nothing => Ok(()),
        };
        ended.and(noted)?;
        pass.progress.end();
        if arguments.dry_run {
            given_up.tell();
        }
        pass.tally.tell(&given_up, arguments.dry_run)
    }
}

/// What this command has made before and the file names no more.
#[derive(Debug, Default)]
struct GivenUp {
    organizations: Vec<OrganizationId>,
    connections: Vec<(OrganizationId, Source)>,
}

impl GivenUp {
    async fn of(entries: &[Entry], store: &dyn Store) -> Result<Self> {
        let named: HashMap<&OrganizationId, &Entry> =
            entries.iter().map(|entry| (&entry.id, entry)).collect();
        let mut given = Self::default();
        let mut after = None;
        loop {
            let page = store.list_organizations(after.as_ref(), BATCH).await?;
            let Some(last) = page.last() else {
                return Ok(given);
            };
            after = Some(last.id.clone());
            for known in page {
                match named.get(&known.id) {
                    Some(entry) => {
                        let sources = given_up(&known, entry).into_iter();
                        let all = sources.map(|source| (known.id.clone(), source));
                        given.connections.extend(all);
                    }
                    None if known.told_by == Actor::File => given.organizations.push(known.id),
                    None => {}
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.organizations.is_empty() && self.connections.is_empty()
    }

    fn tell(&self) {
        let organizations = self.organizations.iter();
        let organizations = organizations.map(|id| format!("{id}: would be forgotten"));
        let connections = self.connections.iter();
        let connections = connections.map(|(id, source)| format!("{id}: would lose {source}"));
        tell_some(organizations.chain(connections));
    }
}

/// Tells the first of many lines, and counts the rest.
fn tell_some(lines: impl Iterator<Item = String>) {
    let mut left: usize = 0;
    for (number, line) in lines.enumerate() {
        if number < MOST_TOLD {
            tell(format_args!("{line}"));
        } else {
            left += 1;
        }
    }
    if left > 0 {
        tell(format_args!("and {left} more"));
    }
}

/// Bringing a file in, once it is checked.
struct Pass<'a> {
    opened: &'a Opened,
    policy: &'a Policy,
    progress: Progress,
    turn: Turn,
    tally: Tally,
}

impl Pass<'_> {
    async fn all(&mut self, entries: &[Entry], given_up: &GivenUp) -> Result<()> {
        if let Opened::ToWrite(importing, _) = self.opened {
            self.forget(given_up, importing).await?;
        }
        for batch in entries.chunks(BATCH) {
            self.bring_in(batch).await?;
        }
        Ok(())
    }

    async fn forget(&mut self, given_up: &GivenUp, importing: &Importing) -> Result<()> {
        let store = importing.store();
        for ids in given_up.organizations.chunks(BATCH) {
            let now = SystemClock.now();
            let pruned = stream::iter(ids)
                .map(|id| prune(store, id, now))
                .buffered(BATCH)
                .collect::<Vec<Result<bool, StoreError>>>();
            for is_gone in pruned.await {
                self.tally.forgotten += usize::from(is_gone?);
            }
            self.turn.give_way(importing)?;
        }
        for (id, source) in &given_up.connections {
            self.tally.ended += usize::from(give_up(store, id, source, SystemClock.now()).await?);
            self.turn.give_way(importing)?;
        }
        Ok(())
    }

    async fn bring_in(&mut self, batch: &[Entry]) -> Result<()> {
        let (opened, policy, now) = (self.opened, self.policy, SystemClock.now());
        let done: Vec<Result<Applied>> = stream::iter(batch)
            .map(async |entry| {
                let done = match opened {
                    Opened::ToWrite(importing, _) => {
                        apply(importing.store(), policy, entry, now).await
                    }
                    Opened::ToLook(store) => weigh(store.as_ref(), policy, entry, now).await,
                    Opened::Nothing => Ok(weigh_first(policy, entry)),
                };
                done.with_context(|| format!("`{}` was not applied", entry.id))
            })
            .buffered(BATCH)
            .collect()
            .await;
        let mut failed = Ok(());
        for (entry, applied) in batch.iter().zip(done) {
            match applied {
                Ok(applied) => self.tally.add(entry, &applied),
                Err(error) => failed = failed.and(Err(error)),
            }
        }
        failed.context("what is applied so far stays; run this again to carry on")?;
        self.progress.advance(u64::try_from(batch.len())?);
        match opened {
            Opened::ToWrite(importing, _) => Ok(self.turn.give_way(importing)?),
            Opened::ToLook(_) | Opened::Nothing => Ok(()),
        }
    }
}

/// What became of the organisations.
#[derive(Debug, Default)]
struct Tally {
    new: usize,
    changed: usize,
    unchanged: usize,
    forgotten: usize,
    ended: usize,
    /// What changed, for a dry run.
    lines: Vec<String>,
    disputed: Vec<(OrganizationId, Source)>,
}

impl Tally {
    fn add(&mut self, entry: &Entry, applied: &Applied) {
        let what = match applied.change {
            Change::Created => {
                self.new += 1;
                "new"
            }
            Change::Changed => {
                self.changed += 1;
                "changed"
            }
            Change::Unchanged => {
                self.unchanged += 1;
                ""
            }
        };
        let disputed = applied.disputed.iter();
        self.disputed
            .extend(disputed.map(|source| (entry.id.clone(), source.clone())));
        if !what.is_empty() {
            let connected = applied.connected.iter();
            let connected: Vec<String> = connected
                .map(|source| format!(", connects {source}"))
                .collect();
            let connected = connected.concat();
            self.lines.push(format!("{}: {what}{connected}", entry.id));
        }
    }

    /// Writes down how many it has changed something of, if of any.
    async fn note(&self, ended: &Result<()>, trail: &Trail) -> Result<()> {
        let count = self.new + self.changed + self.forgotten + self.ended;
        if count == 0 {
            return Ok(());
        }
        let happening = Happening::new(Event::OrganizationsApplied, By::Operator);
        let happening = happening.about(Subject::Count, count);
        trail.note_part(happening, ended).await
    }

    fn tell(self, given_up: &GivenUp, is_dry: bool) -> Result<ExitCode> {
        if is_dry {
            tell_some(self.lines.into_iter());
        }
        let is_settled = self.disputed.is_empty();
        let disputed = self.disputed.len();
        tell_some(self.disputed.into_iter().map(|(id, source)| {
            format!("{id}: {source} is disputed; `countersign orgs settle {id} {source}` says what you can do")
        }));
        let (forgotten, ended, end) = if is_dry {
            let (organizations, connections) = (&given_up.organizations, &given_up.connections);
            let end = " (dry run: nothing was changed)";
            (organizations.len(), connections.len(), end)
        } else {
            (self.forgotten, self.ended, "")
        };
        let all = self.new + self.changed + self.unchanged;
        say(format_args!(
            "{all} organizations: {} new, {} changed, {} as they were; {forgotten} forgotten, {ended} connections \
             ended, {disputed} disputed{end}",
            self.new, self.changed, self.unchanged
        ))?;
        Ok(if is_settled {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
