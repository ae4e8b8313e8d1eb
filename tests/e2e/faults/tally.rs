//! What is counted while something is broken, and the table of it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long everybody may take to get in once nothing is broken any more.
const PATIENCE: Duration = Duration::from_mins(1);

/// What happened in the course of one fault.
#[derive(Debug)]
pub(super) struct Tally {
    logins: RefCell<Vec<Login>>,
    refreshes: Cell<u32>,
    unavailable: Cell<u32>,
    lost: RefCell<Vec<String>>,
    twice: RefCell<Vec<String>>,
    unclear: RefCell<Vec<String>>,
    /// When the stream began and, once it has, when it ended.
    span: Cell<(Instant, Option<Instant>)>,
    takeover: Cell<Option<Duration>>,
}

#[derive(Debug, Clone)]
struct Login {
    who: String,
    at: Instant,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            logins: RefCell::default(),
            refreshes: Cell::default(),
            unavailable: Cell::default(),
            lost: RefCell::default(),
            twice: RefCell::default(),
            unclear: RefCell::default(),
            span: Cell::new((Instant::now(), None)),
            takeover: Cell::default(),
        }
    }

    /// Somebody has tokens for a login.
    pub(super) fn signed_in(&self, who: &str) {
        let login = Login {
            who: who.to_owned(),
            at: Instant::now(),
        };
        self.logins.borrow_mut().push(login);
    }

    pub(super) fn refreshed(&self) {
        self.refreshes.set(self.refreshes.get() + 1);
    }

    /// A clear answer that it can't be done now: 503.
    pub(super) fn unavailable(&self) {
        self.unavailable.set(self.unavailable.get() + 1);
    }

    /// What was acknowledged is not there.
    pub(super) fn lost(&self, what: String) {
        self.lost.borrow_mut().push(what);
    }

    /// What was spent or ended was good again.
    pub(super) fn twice(&self, what: String) {
        self.twice.borrow_mut().push(what);
    }

    /// An answer that was neither a success nor a clear error.
    pub(super) fn unclear(&self, what: String) {
        self.unclear.borrow_mut().push(what);
    }

    /// A replica has become primary so long after the fault.
    pub(super) fn taken_over(&self, after: Option<Duration>) {
        self.takeover.set(after);
    }

    /// The stream has ended; what comes now is looking.
    pub(super) fn stream_ended(&self) {
        self.span.set((self.span.get().0, Some(Instant::now())));
    }

    /// Waits until each of so many people has signed in from now on.
    pub(super) async fn everybody_signs_in(&self, people: usize) {
        let from = Instant::now();
        while self.count_since(from) < people {
            assert!(
                from.elapsed() < PATIENCE,
                "{} of {people} get in; unclear: {:#?}; lost: {:#?}",
                self.count_since(from),
                self.unclear,
                self.lost
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// How many people have signed in since.
    fn count_since(&self, from: Instant) -> usize {
        let logins = self.logins.borrow();
        let since = logins.iter().filter(|login| login.at >= from);
        let people: BTreeSet<&str> = since.map(|login| login.who.as_str()).collect();
        people.len()
    }

    fn row(&self, fault: &'static str) -> Row {
        let logins = self.logins.borrow();
        let everybody = logins.iter().map(|login| login.at);
        let people: BTreeSet<&str> = logins.iter().map(|login| login.who.as_str()).collect();
        let of_one = people.iter().map(|who| {
            let own = logins.iter().filter(|login| login.who == *who);
            self.longest_gap(own.map(|login| login.at))
        });
        Row {
            fault,
            logins: logins.len(),
            refreshes: self.refreshes.get(),
            unavailable: self.unavailable.get(),
            lost: self.lost.take(),
            twice: self.twice.take(),
            unclear: self.unclear.take(),
            gap: self.longest_gap(everybody),
            gap_of_one: of_one.max().unwrap_or_default(),
            takeover: self.takeover.get(),
        }
    }

    /// Between these and the stream's two ends. The times are in order.
    fn longest_gap(&self, times: impl Iterator<Item = Instant>) -> Duration {
        let (mut last, end) = self.span.get();
        let mut longest = Duration::ZERO;
        for time in times.chain(end) {
            longest = longest.max(time.saturating_duration_since(last));
            last = time;
        }
        longest
    }
}

/// What is told of a fault.
#[derive(Debug)]
struct Row {
    fault: &'static str,
    logins: usize,
    refreshes: u32,
    unavailable: u32,
    lost: Vec<String>,
    twice: Vec<String>,
    unclear: Vec<String>,
    gap: Duration,
    gap_of_one: Duration,
    takeover: Option<Duration>,
}

impl Row {
    fn is_wrong(&self, longest_gap: Duration) -> bool {
        let Self {
            lost,
            twice,
            unclear,
            gap,
            ..
        } = self;
        ![lost, twice, unclear].iter().all(|all| all.is_empty()) || *gap > longest_gap
    }

    fn add(&mut self, other: Self) {
        self.logins += other.logins;
        self.refreshes += other.refreshes;
        self.unavailable += other.unavailable;
        self.lost.extend(other.lost);
        self.twice.extend(other.twice);
        self.unclear.extend(other.unclear);
        self.gap = self.gap.max(other.gap);
        self.gap_of_one = self.gap_of_one.max(other.gap_of_one);
        self.takeover = self.takeover.max(other.takeover);
    }
}

/// The table of a run: a line for each kind of fault, however often it came.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Row>);

impl Table {
    pub(super) fn add(&mut self, fault: &'static str, tally: &Tally) {
        let row = tally.row(fault);
        match self.0.iter_mut().find(|known| known.fault == fault) {
            Some(known) => known.add(row),
            None => self.0.push(row),
        }
    }

    /// Prints it, and fails where something was lost, good twice or unclear, or nobody got in for this long.
    pub(super) fn conclude(&self, longest_gap: Duration) {
        // Not `print!`, which the test harness keeps to itself.
        let printed = std::io::stdout().write_all(self.text().as_bytes());
        printed.expect("a place to print to");
        let wrong: Vec<&Row> = self
            .0
            .iter()
            .filter(|row| row.is_wrong(longest_gap))
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    fn text(&self) -> String {
        let mut text = "\n| fault | logins | refreshes | 503 | sessions lost | double spends | unclear answers \
                        | longest time without a login | the same of one person | a replica took over after |\n\
                        |---|---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
        for row in &self.0 {
            let takeover = row.takeover.map_or("–".to_owned(), seconds);
            let line = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {takeover} |",
                row.fault,
                row.logins,
                row.refreshes,
                row.unavailable,
                row.lost.len(),
                row.twice.len(),
                row.unclear.len(),
                seconds(row.gap),
                seconds(row.gap_of_one),
            );
            line.expect("a text takes every line");
        }
        text
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
