//! The one thread that writes a chain: what waits for it, what it does with that, and who is told.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use countersign_store::AuditHead;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{oneshot, watch};

use super::line::{AuditLine, Chain};
use super::{By, Event, Happening, Subject};
use crate::log_file::{self, Full, LogFile, Reopened, Sink, Stage, day, line_start};

/// How much is written at a time, in bytes.
const BATCH: usize = 256 << 10;
/// How often a head is told, in lines and in time: a tail that is cut off is noticed from there on.
const HEAD_EVERY_LINES: u64 = 1000;
const HEAD_EVERY: Duration = Duration::from_secs(10);
const HEAD_AGE: SignedDuration = SignedDuration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// About what a line costs in memory while it waits.
const LINE: usize = 512;

/// Files that lines go to, and that are deleted one day.
pub(super) trait Files: Sink {
    /// Full files that are kept no longer, and the number of the last line in them.
    fn outdated(&mut self, today: Date) -> io::Result<Option<(Vec<Full>, u64)>>;
}

impl Files for LogFile {
    fn outdated(&mut self, today: Date) -> io::Result<Option<(Vec<Full>, u64)>> {
        let old = LogFile::outdated(self, today)?;
        if old.is_empty() {
            return Ok(None);
        }
        let full = self.full()?;
        let next = full.get(old.len()).map(|one| one.path.as_path());
        let first = first_line(next.unwrap_or(self.path()))?;
        // Where the first line that stays can't be read, nothing could say what is gone.
        Ok(first.map(|first| (old, first.n.saturating_sub(1))))
    }
}

fn first_line(path: &std::path::Path) -> io::Result<Option<AuditLine>> {
    use std::io::BufRead;
    let mut line = Vec::new();
    io::BufReader::new(std::fs::File::open(path)?).read_until(b'\n', &mut line)?;
    Ok(AuditLine::read(line.strip_suffix(b"\n").unwrap_or(&line)))
}

/// What waits, and for whom.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    to_do: Condvar,
    ended: Condvar,
    most_waiting: usize,
    patience: Duration,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Taken by the thread, and not written yet.
    under_way: usize,
    lost: u64,
    lost_since: Option<Timestamp>,
    is_failing: bool,
    reopen: bool,
    stage: Stage,
}

#[derive(Debug)]
struct Waiting {
    happening: Happening,
    time: Timestamp,
    written: Option<oneshot::Sender<()>>,
}

impl Queue {
    pub(super) fn new(most_waiting: usize, patience: Duration) -> Self {
        Self {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                under_way: 0,
                lost: 0,
                lost_since: None,
                is_failing: false,
                reopen: false,
                stage: Stage::Open,
            }),
            to_do: Condvar::new(),
            ended: Condvar::new(),
            most_waiting,
            patience,
        }
    }

    /// Hands something over; who wants to know gets a word once it is with the system.
    pub(super) fn push(
        &self,
        happening: Happening,
        time: Timestamp,
        written: Option<oneshot::Sender<()>>,
    ) {
        let mut state = self.lock();
        let is_full = state.waiting.len() * LINE >= self.most_waiting;
        if is_full || state.stage != Stage::Open {
            if state.lost == 0 {
                tracing::error!(
                    code = "audit-log-full",
                    "audit lines are lost: too many wait to be written, or the log is closed"
                );
            }
            state.lost += 1;
            state.lost_since.get_or_insert(time);
            return;
        }
        state.note_lost(time);
        state.waiting.push_back(Waiting {
            happening,
            time,
            written,
        });
        drop(state);
        self.to_do.notify_one();
    }

    pub(super) fn is_failing(&self) -> bool {
        let state = self.lock();
        state.is_failing || state.stage != Stage::Open
    }

    pub(super) fn ask_to_reopen(&self) {
        self.lock().reopen = true;
        self.to_do.notify_one();
    }

    /// Asks the thread to write what waits and to end; answers how many lines it could not write.
    pub(super) fn close(&self) -> u64 {
        let mut state = self.lock();
        state.stage.close(self.patience);
        self.to_do.notify_one();
        let limit = self.patience + Duration::from_secs(1);
        let ended = self
            .ended
            .wait_timeout_while(state, limit, |state| state.stage != Stage::Ended);
        let (state, _) = ended.unwrap_or_else(PoisonError::into_inner);
        (state.waiting.len() + state.under_way) as u64 + state.lost
    }

    /// What is to be done next; nothing where so much time passed, or at the end.
    fn next(&self, at_most: Option<Duration>) -> Task {
        let is_idle = |state: &mut State| {
            state.waiting.is_empty() && !state.reopen && state.stage == Stage::Open
        };
        let state = self.lock();
        let mut state = if let Some(limit) = at_most {
            let woken = self.to_do.wait_timeout_while(state, limit, is_idle);
            woken.unwrap_or_else(PoisonError::into_inner).0
        } else {
            let woken = self.to_do.wait_while(state, is_idle);
            woken.unwrap_or_else(PoisonError::into_inner)
        };
        if std::mem::take(&mut state.reopen) {
            return Task::Reopen;
        }
        if !state.waiting.is_empty() {
            state.under_way = state.waiting.len();
            return Task::Write(std::mem::take(&mut state.waiting));
        }
        match state.stage {
            Stage::Open => Task::Nothing,
            Stage::Closing(_) | Stage::Ended => Task::End,
        }
    }

    fn written(&self, lines: usize) {
        let mut state = self.lock();
        state.under_way = state.under_way.saturating_sub(lines);
        state.is_failing = false;
    }

    /// Waits before another attempt; false where there will be none.
    fn pause(&self, length: Duration) -> bool {
        let mut state = self.lock();
        state.is_failing = true;
        let Some(length) = state.stage.pause(length) else {
            return false;
        };
        let stage = state.stage;
        let woken = self
            .to_do
            .wait_timeout_while(state, length, |state| state.stage == stage && !state.reopen);
        woken.unwrap_or_else(PoisonError::into_inner).0.reopen = false;
        true
    }

    fn end(&self) {
        self.lock().stage = Stage::Ended;
        self.ended.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Puts a line where those that are lost would have stood.
    fn note_lost(&mut self, now: Timestamp) {
        let Some(since) = self.lost_since.take() else {
            return;
        };
        let count = std::mem::take(&mut self.lost);
        let happening = Happening::new(Event::LinesLost, By::Nobody)
            .about(Subject::Count, count)
            .because("too-many-waited");
        tracing::warn!(code = "audit-lines-lost", count, %since, "audit lines are written again");
        self.waiting.push_back(Waiting {
            happening,
            time: now,
            written: None,
        });
    }
}

enum Task {
    Write(VecDeque<Waiting>),
    Reopen,
    Nothing,
    End,
}

/// The disk does not write, and the log is being closed.
struct GaveUp;

/// Writes until the queue is closed and empty.
pub(super) fn run(
    queue: &Queue,
    files: impl Files,
    chain: Chain,
    heads: watch::Sender<Option<AuditHead>>,
) {
    let mut writer = Writer {
        queue,
        files,
        told: chain.n,
        chain,
        heads,
        untold_since: None,
        thinned_out_on: None,
        is_failing: false,
    };
    // What could not be written when all is over, the queue still counts.
    let _ = writer.run();
    writer.tell_head();
    // The file is let go of first: whoever waits for the end may open it again.
    drop(writer);
    queue.end();
}

struct Writer<'q, F> {
    queue: &'q Queue,
    files: F,
    chain: Chain,
    heads: watch::Sender<Option<AuditHead>>,
    /// The number of the last head that was told.
    told: u64,
    untold_since: Option<Timestamp>,
    thinned_out_on: Option<Date>,
    is_failing: bool,
}

impl<F: Files> Writer<'_, F> {
    fn run(&mut self) -> Result<(), GaveUp> {
        loop {
            let at_most = self.untold_since.map(|_| HEAD_EVERY);
            match self.queue.next(at_most) {
                Task::Write(waiting) => self.write(waiting)?,
                Task::Reopen => self.reopen(),
                // Nothing came for so long.
                Task::Nothing => self.tell_head(),
                Task::End => return Ok(()),
            }
            if self.is_head_due() {
                self.tell_head();
            }
        }
    }

    /// By the times in the lines: this thread knows no clock.
    fn is_head_due(&self) -> bool {
        let age = |since| self.chain.time.duration_since(since);
        let is_old = self
            .untold_since
            .is_some_and(|since| age(since) >= HEAD_AGE);
        is_old || self.chain.n - self.told >= HEAD_EVERY_LINES
    }

    fn write(&mut self, mut waiting: VecDeque<Waiting>) -> Result<(), GaveUp> {
        while let Some(first) = waiting.front() {
            let today = day(first.time);
            let (mut text, mut who) = (Vec::new(), Vec::new());
            // One of an earlier day goes along: it is late, and its day's file may be closed.
            while let Some(one) =
                waiting.pop_front_if(|one| day(one.time) <= today && text.len() < BATCH)
            {
                text.extend(self.chain.next(&one.happening, one.time));
                who.push(one.written);
            }
            self.deliver(today, &text)?;
            self.queue.written(who.len());
            for written in who.into_iter().flatten() {
                // Whoever asked may have gone.
                let _ = written.send(());
            }
            self.untold_since.get_or_insert(self.chain.time);
            self.thin_out(today)?;
        }
        Ok(())
    }

    /// Writes these lines, however often it takes.
    fn deliver(&mut self, day: Date, text: &[u8]) -> Result<(), GaveUp> {
        let (mut done, mut pause) = (0, FIRST_PAUSE);
        while let Err(error) = self.attempt(day, text, &mut done) {
            if !std::mem::replace(&mut self.is_failing, true) {
                tracing::error!(code = "audit-log-failing", cause = %error, "audit lines can't be written; they wait in memory, and nobody can manage anything until they can");
            }
            if !self.queue.pause(pause) {
                return Err(GaveUp);
            }
            if matches!(self.files.reopen(), Ok(Reopened::Another)) {
                // The rest of a line would be nothing in another file.
                done = line_start(text, done);
            }
            pause = LONGEST_PAUSE.min(pause * 2);
        }
        if std::mem::replace(&mut self.is_failing, false) {
            tracing::info!(
                code = "audit-log-recovered",
                "audit lines are written again"
            );
        }
        Ok(())
    }

    /// Goes on after the bytes that are `done` already.
    fn attempt(&mut self, day: Date, text: &[u8], done: &mut usize) -> io::Result<()> {
        if *done == 0 {
            self.files.prepare(day, text.len() as u64)?;
        }
        while let Some(rest) = text.get(*done..).filter(|rest| !rest.is_empty()) {
            match self.files.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(more) => *done += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn reopen(&mut self) {
        if let Err(error) = self.files.reopen() {
            tracing::error!(code = "audit-log", cause = %error, "the audit log can't be opened again");
        }
    }

    /// Says how far the chain is, once that is on the disk: a head must not outlive what it is of.
    fn tell_head(&mut self) {
        self.untold_since = None;
        if self.chain.n == self.told || self.is_failing {
            return;
        }
        match self.files.sync() {
            Ok(()) => {
                self.told = self.chain.n;
                self.heads.send_replace(Some(self.chain.head()));
            }
            Err(error) => {
                tracing::error!(code = "audit-log", cause = %error, "the audit log can't be synced");
            }
        }
    }

    /// Deletes what is kept no longer, once a day, after a line that says so.
    fn thin_out(&mut self, today: Date) -> Result<(), GaveUp> {
        if self.thinned_out_on >= Some(today) {
            return Ok(());
        }
        self.thinned_out_on = Some(today);
        let deleted = match self.files.outdated(today) {
            Ok(None) => return Ok(()),
            Ok(Some((files, last))) => {
                let happening = Happening::new(Event::LinesDeleted, By::Nobody)
                    .about(Subject::Lines, format!("1-{last}"))
                    .because("kept-no-longer");
                let time = self.chain.time;
                let line = self.chain.next(&happening, time);
                self.deliver(today, &line)?;
                self.files.sync().and_then(|()| log_file::delete(&files))
            }
            Err(error) => Err(error),
        };
        if let Err(error) = deleted {
            tracing::error!(code = "audit-log", cause = %error, "old files of the audit log can't be deleted");
        }
        Ok(())
    }
}
