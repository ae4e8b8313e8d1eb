//! Lines on their way to a disk: in order, many to a call, again and again until it works.

use std::io::{self, ErrorKind};
use std::time::Duration;

use jiff::civil::Date;

use super::queue::{Line, Queue};
use super::{Kind, Reopened, Sink, line_start};

/// How long to wait before the first new attempt; twice as long before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest wait: a disk that has room again should not stay unused for long.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What the writing thread writes to.
#[derive(Debug)]
pub(crate) struct Delivery<'q, L, S> {
    pub(crate) queue: &'q Queue<L>,
    pub(crate) sink: S,
    is_failing: bool,
}

/// The disk does not write, and the log is being closed.
#[derive(Debug)]
pub(crate) struct GaveUp;

impl<'q, L: Line, S: Sink> Delivery<'q, L, S> {
    pub(crate) fn new(queue: &'q Queue<L>, sink: S) -> Self {
        Self {
            queue,
            sink,
            is_failing: false,
        }
    }

    /// Writes these lines, however often it takes.
    pub(crate) fn deliver(&mut self, day: Date, text: &[u8]) -> Result<(), GaveUp> {
        let (mut done, mut pause) = (0, FIRST_PAUSE);
        while let Err(error) = self.attempt(day, text, &mut done) {
            self.tell_failure(&error);
            if !self.queue.pause(pause) {
                return Err(GaveUp);
            }
            match self.reopen() {
                Reopened::Same => {}
                // The rest of a line would be nothing in another file: the line is written anew.
                Reopened::Another => done = line_start(text, done),
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

    /// Opens the destination by its name again. Between lines it makes no difference where the next one goes.
    pub(crate) fn reopen(&mut self) -> Reopened {
        let reopened = self
            .sink
            .reopen()
            .inspect_err(|error| self.tell_failure(error));
        // What failed is tried again with the next batch.
        reopened.unwrap_or(Reopened::Same)
    }

    /// Answers once everything is on the disk; false where it is not.
    pub(crate) fn sync(&mut self) -> bool {
        let Kind { code, title, .. } = self.queue.kind();
        let synced = self.sink.sync().inspect_err(|error| {
            tracing::error!(code, cause = %error, "the {title} can't be synced");
        });
        synced.is_ok()
    }

    fn tell_failure(&mut self, error: &io::Error) {
        let Kind {
            failing,
            lines,
            meanwhile,
            ..
        } = self.queue.kind();
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::error!(
                code = failing,
                cause = %error,
                "{lines} can't be written down; they wait in memory until they can{meanwhile}"
            );
        }
    }

    fn tell_success(&mut self) {
        let Kind {
            recovered, lines, ..
        } = self.queue.kind();
        if std::mem::replace(&mut self.is_failing, false) {
            self.queue.recover();
            tracing::info!(code = recovered, "{lines} are written down again");
        }
    }
}
