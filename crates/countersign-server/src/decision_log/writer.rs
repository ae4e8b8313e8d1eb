//! The one thread that writes decisions: in order, many to a call, again and again until it works.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

use jiff::civil::Date;

use super::queue::{AfterPause, Line, Queue, Task};
use crate::log_file::{Reopened, Sink, line_start};

/// How much is written at a time, in bytes: a disk is no faster with more.
const BATCH: usize = 256 << 10;
/// How long to wait before the first new attempt; twice as long before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest wait: a disk that has room again should not stay unused for long.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Writes until the queue is closed and empty.
pub(super) fn run(queue: &Queue, sink: impl Sink) {
    let mut writer = Writer {
        queue,
        sink,
        is_failing: false,
    };
    writer.run();
    if let Err(error) = writer.sink.sync() {
        tracing::error!(code = "decision-log", cause = %error, "the decision log can't be synced");
    }
    queue.end();
}

struct Writer<'q, S> {
    queue: &'q Queue,
    sink: S,
    is_failing: bool,
}

/// The disk does not write, and the log is being closed.
struct GaveUp;

impl<S: Sink> Writer<'_, S> {
    fn run(&mut self) {
        loop {
            match self.queue.next() {
                Task::Write(lines) => match self.write(&lines) {
                    Ok(()) => {}
                    Err(GaveUp) => return,
                },
                // Between lines it makes no difference where the next one goes.
                Task::Reopen => {
                    self.reopen();
                }
                Task::End => return,
            }
        }
    }

    fn write(&mut self, mut lines: &[Line]) -> Result<(), GaveUp> {
        while let Some(first) = lines.first() {
            let (batch, rest) = lines.split_at(at_once(first.day(), lines));
            let text: Vec<&[u8]> = batch.iter().map(|line| &*line.text).collect();
            self.deliver(first.day(), &text.concat())?;
            self.queue.written(batch);
            lines = rest;
        }
        Ok(())
    }

    /// Writes these lines, however often it takes.
    fn deliver(&mut self, day: Date, text: &[u8]) -> Result<(), GaveUp> {
        let mut done = 0;
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.attempt(day, text, &mut done) {
            self.tell_failure(&error);
            match self.queue.pause(pause) {
                AfterPause::Retry => {}
                AfterPause::ReopenAndRetry => match self.reopen() {
                    Reopened::Same => {}
                    // The rest of a line would be nothing in another file: the line is written anew.
                    Reopened::Another => done = line_start(text, done),
                },
                AfterPause::GiveUp => return Err(GaveUp),
            }
            pause = LONGEST_PAUSE.min(pause * 2);
        }
        self.tell_success();
        Ok(())
    }

    /// Goes on after the bytes that are `done` already, so that no line is torn by an error between.
    fn attempt(&mut self, day: Date, text: &[u8], done: &mut usize) -> io::Result<()> {
        if *done == 0 {
            self.sink.prepare(day, text.len() as u64)?;
        }
        while let Some(rest) = text.get(*done..).filter(|rest| !rest.is_empty()) {
            match self.sink.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(more) => *done += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn reopen(&mut self) -> Reopened {
        let reopened = self
            .sink
            .reopen()
            .inspect_err(|error| self.tell_failure(error));
        // What failed is tried again with the next batch.
        reopened.unwrap_or(Reopened::Same)
    }

    fn tell_failure(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::error!(
                code = "decision-log-failing",
                cause = %error,
                "decisions can't be written down; they wait in memory until they can"
            );
        }
    }

    fn tell_success(&mut self) {
        if std::mem::replace(&mut self.is_failing, false) {
            tracing::info!(
                code = "decision-log-recovered",
                "decisions are written down again"
            );
        }
    }
}

/// How many of these lines are written at once. One of an earlier day goes along: it is late, and its
/// day's file may be closed.
fn at_once(day: Date, lines: &[Line]) -> usize {
    let mut bytes = 0;
    let fits = lines.iter().take_while(|line| {
        bytes += line.text.len();
        line.day() <= day && bytes <= BATCH
    });
    fits.count().max(1)
}

/// The process's stdout, without a buffer between.
#[derive(Debug)]
pub(super) struct Stdout(File);

impl Stdout {
    pub(super) fn new(stdout: OwnedFd) -> Self {
        Self(File::from(stdout))
    }
}

impl Sink for Stdout {
    fn prepare(&mut self, _day: Date, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn reopen(&mut self) -> io::Result<Reopened> {
        Ok(Reopened::Same)
    }

    /// Whoever reads it keeps it.
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}
