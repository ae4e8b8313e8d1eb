//! What waits to be written, and what the writing thread is asked to do.
//!
//! Whoever hands over a line holds the lock for as long as it takes to push it, and the writing
//! thread for as long as it takes to swap the list for an empty one.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use super::{DecisionLogStatus, Dropped};
use crate::log_file::{Stage, day};

/// A decision as it will stand in the file, with its line end.
#[derive(Debug)]
pub(super) struct Line {
    time: Timestamp,
    /// How many decisions it tells of: one, or all that are missing.
    pub(super) decisions: u64,
    pub(super) text: Box<[u8]>,
}

impl Line {
    pub(super) fn new(time: Timestamp, content: &impl Serialize) -> serde_json::Result<Self> {
        // A line end within a text is escaped, so that the only one is ours (RFC 8259 7).
        let mut text = serde_json::to_vec(content)?;
        text.push(b'\n');
        Ok(Self {
            time,
            decisions: 1,
            text: text.into_boxed_slice(),
        })
    }

    pub(super) fn day(&self) -> Date {
        day(self.time)
    }

    /// What it takes in memory.
    fn bytes(&self) -> usize {
        self.text.len() + size_of::<Self>()
    }
}

/// What waits.
#[derive(Debug)]
pub(super) struct Queue {
    most_waiting: usize,
    patience: Duration,
    state: Mutex<State>,
    /// Something is there to be done.
    to_do: Condvar,
    /// The writing thread has ended.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<Line>,
    /// Of the lines that are not written yet, those in the writing thread's hands among them.
    bytes: usize,
    waiting: u64,
    /// Those that would follow the last of `lines`.
    missing: Option<Dropped>,
    dropped: u64,
    is_told: bool,
    is_failing: bool,
    reopen: bool,
    stage: Stage,
}

/// What the writing thread does next.
#[derive(Debug)]
pub(super) enum Task {
    Write(Vec<Line>),
    Reopen,
    End,
}

/// What the writing thread does after a write that failed, and a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterPause {
    Retry,
    ReopenAndRetry,
    GiveUp,
}

impl Queue {
    pub(super) fn new(most_waiting: usize, patience: Duration) -> Self {
        Self {
            most_waiting,
            patience,
            state: Mutex::default(),
            to_do: Condvar::new(),
            ended: Condvar::new(),
        }
    }

    pub(super) fn push(&self, line: Line) {
        let mut state = self.lock();
        if state.stage != Stage::Open || state.bytes + line.bytes() > self.most_waiting {
            let was_told = state.drop_one(line.time);
            drop(state);
            if !was_told {
                let waiting = self.most_waiting;
                tracing::error!(
                    code = "decision-log-full",
                    waiting,
                    "decisions are lost: too many wait to be written down, or the log is closed"
                );
            }
            return;
        }
        state.note_missing();
        state.add(line);
        drop(state);
        self.to_do.notify_one();
    }

    pub(super) fn ask_to_reopen(&self) {
        self.lock().reopen = true;
        self.to_do.notify_one();
    }

    /// Asks the writing thread to write what waits and to end, and answers how many lines it could not write.
    pub(super) fn close(&self) -> u64 {
        let mut state = self.lock();
        state.stage.close(self.patience);
        self.to_do.notify_one();
        // Longer than the thread's own patience: it may hang in the write itself, for ever.
        let limit = self.patience + Duration::from_secs(1);
        let ended = self
            .ended
            .wait_timeout_while(state, limit, |state| state.stage != Stage::Ended);
        let (state, _) = ended.unwrap_or_else(PoisonError::into_inner);
        state.waiting + state.missing.map_or(0, |missing| missing.dropped)
    }

    pub(super) fn status(&self) -> DecisionLogStatus {
        let state = self.lock();
        DecisionLogStatus {
            waiting: state.waiting,
            dropped: state.dropped,
            is_failing: state.is_failing,
        }
    }

    /// Waits for something to do.
    pub(super) fn next(&self) -> Task {
        let state = self
            .to_do
            .wait_while(self.lock(), |state| state.is_at_rest());
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut state.reopen) {
            return Task::Reopen;
        }
        // Nothing has been handed over since these were dropped, or they would be noted already.
        state.note_missing();
        if state.lines.is_empty() {
            Task::End
        } else {
            Task::Write(std::mem::take(&mut state.lines))
        }
    }

    /// Waits before a write that failed is tried again.
    pub(super) fn pause(&self, length: Duration) -> AfterPause {
        let mut state = self.lock();
        state.is_failing = true;
        let Some(length) = state.stage.pause(length) else {
            return AfterPause::GiveUp;
        };
        let stage = state.stage;
        let woken = self
            .to_do
            .wait_timeout_while(state, length, |state| !state.reopen && state.stage == stage);
        let (mut state, _) = woken.unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut state.reopen) {
            AfterPause::ReopenAndRetry
        } else {
            AfterPause::Retry
        }
    }

    /// These have been written.
    pub(super) fn written(&self, lines: &[Line]) {
        let mut state = self.lock();
        for line in lines {
            state.waiting -= line.decisions;
            state.bytes -= line.bytes();
        }
        state.is_failing = false;
        // Once half of it is free, another overflow is news.
        state.is_told &= state.bytes > self.most_waiting / 2;
    }

    /// The writing thread writes nothing more.
    pub(super) fn end(&self) {
        self.lock().stage = Stage::Ended;
        self.ended.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_at_rest(&self) -> bool {
        self.lines.is_empty() && self.missing.is_none() && !self.reopen && self.stage == Stage::Open
    }

    fn add(&mut self, line: Line) {
        self.bytes += line.bytes();
        self.waiting += line.decisions;
        self.lines.push(line);
    }

    /// Counts a line that there is no room for; answers whether that was told already.
    fn drop_one(&mut self, time: Timestamp) -> bool {
        self.dropped += 1;
        let missing = self.missing.get_or_insert(Dropped {
            v: 1,
            dropped: 0,
            from: time,
            to: time,
        });
        missing.dropped += 1;
        missing.to = time;
        std::mem::replace(&mut self.is_told, true)
    }

    /// Puts the line of what is missing where that would have stood. It needs no room to speak of.
    fn note_missing(&mut self) {
        let Some(missing) = self.missing.take() else {
            return;
        };
        if let Ok(line) = Line::new(missing.to, &missing) {
            self.add(Line {
                decisions: missing.dropped,
                ..line
            });
        }
    }
}
