//! What waits to be written to a log, and what the thread that writes is asked to do.
//!
//! Whoever hands over a line holds the lock for as long as it takes to push it, and the writing thread for as long as it
//! takes to swap the list for an empty one. Beyond what may wait only the number is kept, and a line that says so stands
//! where the others would have stood.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::stage::Stage;
use super::{Kind, day};

/// How much is written at a time, in bytes: a disk is no faster with more.
const BATCH: usize = 256 << 10;
/// A line that waits for longer waits for a disk that does not write. Lines carry the time at which their request came, so
/// they may be some hundred milliseconds old when they are handed over.
const LONG: SignedDuration = SignedDuration::from_secs(2);

/// What becomes a line.
pub(crate) trait Line: Debug + Send + 'static {
    /// When it happened: the day decides to which file it goes.
    fn time(&self) -> Timestamp;
    /// What it takes in memory, in bytes.
    fn bytes(&self) -> usize;
    /// The one that stands for others.
    fn of_missing(missing: Missing) -> Self;
}

/// Lines that there was no room for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Missing {
    pub(crate) lines: u64,
    /// The times of the first and of the last.
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

/// How a log is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogStatus {
    /// How many lines wait to be written.
    pub waiting: u64,
    /// How many were lost since the start, because too many waited.
    pub dropped: u64,
    /// Whether the last write failed.
    pub is_failing: bool,
}

/// What waits.
#[derive(Debug)]
pub(crate) struct Queue<L> {
    kind: &'static Kind,
    most_waiting: usize,
    patience: Duration,
    state: Mutex<State<L>>,
    /// Something is there to be done.
    to_do: Condvar,
    /// The writing thread has ended.
    ended: Condvar,
}

#[derive(Debug)]
struct State<L> {
    lines: VecDeque<Waiting<L>>,
    /// Of the lines that are not written yet, those in the writing thread's hands among them.
    bytes: usize,
    waiting: u64,
    /// The time of the first of those that are in its hands.
    under_way: Option<Timestamp>,
    /// Those that would follow the last of `lines`.
    missing: Option<Missing>,
    dropped: u64,
    is_told: bool,
    is_failing: bool,
    reopen: bool,
    stage: Stage,
}

#[derive(Debug)]
struct Waiting<L> {
    line: L,
    /// How many lines it tells of: one, or all that are missing.
    lines: u64,
}

/// Lines that are written at once.
#[derive(Debug)]
pub(crate) struct Batch<L> {
    pub(crate) day: Date,
    pub(crate) lines: Vec<L>,
    /// How many they tell of, what they take in memory, and the time of the one that comes next.
    told: u64,
    bytes: usize,
    next: Option<Timestamp>,
}

/// Lines in the writing thread's hands.
#[derive(Debug)]
pub(crate) struct Taken<L>(VecDeque<Waiting<L>>);

/// What the writing thread does next.
#[derive(Debug)]
pub(crate) enum Task<L> {
    Write(Taken<L>),
    Reopen,
    /// So much time has passed.
    Nothing,
    End,
}

impl<L: Line> Queue<L> {
    pub(crate) fn new(kind: &'static Kind, most_waiting: usize, patience: Duration) -> Self {
        Self {
            kind,
            most_waiting,
            patience,
            state: Mutex::default(),
            to_do: Condvar::new(),
            ended: Condvar::new(),
        }
    }

    pub(crate) fn kind(&self) -> &'static Kind {
        self.kind
    }

    pub(crate) fn push(&self, line: L) {
        let mut state = self.lock();
        if state.stage != Stage::Open || state.bytes + line.bytes() > self.most_waiting {
            let was_told = state.drop_one(line.time());
            drop(state);
            if !was_told {
                let Kind { full, lines, .. } = self.kind;
                tracing::error!(
                    code = full,
                    waiting = self.most_waiting,
                    "{lines} are lost: too many wait to be written down, or the log is closed"
                );
            }
            return;
        }
        // Whoever put the first line there has woken the thread: to do so again is a system call that does nothing.
        let is_first = state.lines.is_empty();
        state.note_missing();
        state.add(Waiting { line, lines: 1 });
        drop(state);
        if is_first {
            self.to_do.notify_one();
        }
    }

    pub(crate) fn ask_to_reopen(&self) {
        self.lock().reopen = true;
        self.to_do.notify_one();
    }

    /// Asks the writing thread to write what waits and to end, and answers how many lines it could not write.
    pub(crate) fn close(&self) -> u64 {
        let mut state = self.lock();
        state.stage.close(self.patience);
        self.to_do.notify_one();
        // Longer than the thread's own patience: it may hang in the write itself, for ever.
        let limit = self.patience + Duration::from_secs(1);
        let ended = self
            .ended
            .wait_timeout_while(state, limit, |state| state.stage != Stage::Ended);
        let (state, _) = ended.unwrap_or_else(PoisonError::into_inner);
        state.waiting + state.missing.map_or(0, |missing| missing.lines)
    }

    pub(crate) fn status(&self) -> LogStatus {
        let state = self.lock();
        LogStatus {
            waiting: state.waiting,
            dropped: state.dropped,
            is_failing: state.is_failing,
        }
    }

    /// Whether what is handed over now may not be written: the last write failed, a write does not come back, there is
    /// no room, or the log is closed.
    pub(crate) fn is_stuck(&self, now: Timestamp) -> bool {
        let state = self.lock();
        let first = state.lines.front().map(|one| one.line.time());
        let waits_long = state
            .under_way
            .or(first)
            .is_some_and(|oldest| now.duration_since(oldest) > LONG);
        state.is_failing || waits_long || state.missing.is_some() || state.stage != Stage::Open
    }

    /// Waits for something to do; for so long at most.
    pub(crate) fn next(&self, at_most: Option<Duration>) -> Task<L> {
        let state = self.lock();
        let is_at_rest = |state: &mut State<L>| state.is_at_rest();
        let mut state = if let Some(limit) = at_most {
            let woken = self.to_do.wait_timeout_while(state, limit, is_at_rest);
            woken.unwrap_or_else(PoisonError::into_inner).0
        } else {
            let woken = self.to_do.wait_while(state, is_at_rest);
            woken.unwrap_or_else(PoisonError::into_inner)
        };
        if std::mem::take(&mut state.reopen) {
            return Task::Reopen;
        }
        // Nothing has been handed over since these were dropped, or they would be noted already.
        state.note_missing();
        if let Some(first) = state.lines.front() {
            state.under_way = Some(first.line.time());
            return Task::Write(Taken(std::mem::take(&mut state.lines)));
        }
        match state.stage {
            Stage::Open => Task::Nothing,
            Stage::Closing(_) | Stage::Ended => Task::End,
        }
    }

    /// Waits before a write that failed is tried again; false where it is not.
    pub(super) fn pause(&self, length: Duration) -> bool {
        let mut state = self.lock();
        state.is_failing = true;
        let Some(length) = state.stage.pause(length) else {
            return false;
        };
        let stage = state.stage;
        let woken = self
            .to_do
            .wait_timeout_while(state, length, |state| !state.reopen && state.stage == stage);
        woken.unwrap_or_else(PoisonError::into_inner).0.reopen = false;
        true
    }

    /// What failed works again.
    pub(super) fn recover(&self) {
        self.lock().is_failing = false;
    }

    /// These have been written.
    pub(crate) fn written(&self, batch: &Batch<L>) {
        let mut state = self.lock();
        state.waiting -= batch.told;
        state.bytes -= batch.bytes;
        state.under_way = batch.next;
        // Once half of it is free, another overflow is news.
        state.is_told &= state.bytes > self.most_waiting / 2;
    }

    /// The writing thread writes nothing more.
    pub(crate) fn end(&self) {
        self.lock().stage = Stage::Ended;
        self.ended.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<L>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L: Line> State<L> {
    fn is_at_rest(&self) -> bool {
        self.lines.is_empty() && self.missing.is_none() && !self.reopen && self.stage == Stage::Open
    }

    fn add(&mut self, waiting: Waiting<L>) {
        self.bytes += waiting.line.bytes();
        self.waiting += waiting.lines;
        self.lines.push_back(waiting);
    }

    /// Counts a line that there is no room for; answers whether that was told already.
    fn drop_one(&mut self, time: Timestamp) -> bool {
        self.dropped += 1;
        let missing = self.missing.get_or_insert(Missing {
            lines: 0,
            from: time,
            to: time,
        });
        missing.lines += 1;
        missing.to = time;
        std::mem::replace(&mut self.is_told, true)
    }

    /// Puts the line of what is missing where that would have stood. It needs no room to speak of.
    fn note_missing(&mut self) {
        if let Some(missing) = self.missing.take() {
            self.add(Waiting {
                line: L::of_missing(missing),
                lines: missing.lines,
            });
        }
    }
}

impl<L> Default for State<L> {
    fn default() -> Self {
        Self {
            lines: VecDeque::new(),
            bytes: 0,
            waiting: 0,
            under_way: None,
            missing: None,
            dropped: 0,
            is_told: false,
            is_failing: false,
            reopen: false,
            stage: Stage::default(),
        }
    }
}

impl<L: Line> Taken<L> {
    /// What is written next, if anything is left. One of an earlier day goes along: it is late, and its day's file may be
    /// closed.
    pub(crate) fn batch(&mut self) -> Option<Batch<L>> {
        let day = day(self.0.front()?.line.time());
        let mut batch = Batch {
            day,
            lines: Vec::new(),
            told: 0,
            bytes: 0,
            next: None,
        };
        while let Some(one) = self
            .0
            .pop_front_if(|one| super::day(one.line.time()) <= day && batch.bytes < BATCH)
        {
            batch.told += one.lines;
            batch.bytes += one.line.bytes();
            batch.lines.push(one.line);
        }
        batch.next = self.0.front().map(|one| one.line.time());
        Some(batch)
    }
}
