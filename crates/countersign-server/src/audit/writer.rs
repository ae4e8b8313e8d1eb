//! The one thread that writes a chain: it numbers what waits, hands it to the disk, and says who may know.

use std::io;
use std::time::Duration;

use countersign_store::AuditHead;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{oneshot, watch};

use super::line::{AuditLine, Chain};
use super::{By, Event, Happening, Subject};
use crate::log_file::{self, Delivery, Full, GaveUp, LogFile, Missing, Queue, Sink, Taken, Task};

/// How often a head is told, in lines and in time: a tail that is cut off is noticed from there on.
const HEAD_EVERY_LINES: u64 = 1000;
const HEAD_EVERY: Duration = Duration::from_secs(10);
const HEAD_AGE: SignedDuration = SignedDuration::from_secs(10);

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

/// What happened, until it is a line.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) happening: Happening,
    pub(super) time: Timestamp,
    /// Who is told once it is with the system.
    pub(super) written: Option<oneshot::Sender<()>>,
}

impl log_file::Line for Waiting {
    fn time(&self) -> Timestamp {
        self.time
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.happening.bytes_beside()
    }

    fn of_missing(missing: Missing) -> Self {
        let happening = Happening::new(Event::LinesLost, By::Nobody)
            .about(Subject::Count, missing.lines)
            .because("too-many-waited");
        Self {
            happening,
            time: missing.to,
            written: None,
        }
    }
}

/// Writes until the queue is closed and empty.
pub(super) fn run(
    queue: &Queue<Waiting>,
    files: impl Files,
    chain: Chain,
    heads: watch::Sender<Option<AuditHead>>,
) {
    let mut writer = Writer {
        delivery: Delivery::new(queue, files),
        told: chain.n,
        chain,
        heads,
        untold_since: None,
        thinned_out_on: None,
    };
    // What could not be written when all is over, the queue still counts, and no head is of it.
    if let Ok(()) = writer.run() {
        writer.tell_head();
    }
    // The file is let go of first: whoever waits for the end may open it again.
    drop(writer);
    queue.end();
}

struct Writer<'q, F> {
    delivery: Delivery<'q, Waiting, F>,
    chain: Chain,
    heads: watch::Sender<Option<AuditHead>>,
    /// The number of the last head that was told.
    told: u64,
    untold_since: Option<Timestamp>,
    thinned_out_on: Option<Date>,
}

impl<F: Files> Writer<'_, F> {
    fn run(&mut self) -> Result<(), GaveUp> {
        loop {
            let at_most = self.untold_since.map(|_| HEAD_EVERY);
            match self.delivery.queue.next(at_most) {
                Task::Write(waiting) => self.write(waiting)?,
                Task::Reopen => {
                    self.delivery.reopen();
                }
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

    fn write(&mut self, mut taken: Taken<Waiting>) -> Result<(), GaveUp> {
        while let Some(batch) = taken.batch() {
            let text: Vec<Vec<u8>> = batch
                .lines
                .iter()
                .map(|one| self.chain.next(&one.happening, one.time))
                .collect();
            self.delivery.deliver(batch.day, &text.concat())?;
            self.delivery.queue.written(&batch);
            for written in batch.lines.into_iter().filter_map(|one| one.written) {
                // Whoever asked may have gone.
                let _ = written.send(());
            }
            self.untold_since.get_or_insert(self.chain.time);
            self.thin_out(batch.day)?;
        }
        Ok(())
    }

    /// Says how far the chain is, once that is on the disk: a head must not outlive what it is of.
    fn tell_head(&mut self) {
        self.untold_since = None;
        if self.chain.n > self.told && self.delivery.sync() {
            self.told = self.chain.n;
            self.heads.send_replace(Some(self.chain.head()));
        }
    }

    /// Deletes what is kept no longer, once a day, after a line that says so.
    fn thin_out(&mut self, today: Date) -> Result<(), GaveUp> {
        if self.thinned_out_on >= Some(today) {
            return Ok(());
        }
        self.thinned_out_on = Some(today);
        let deleted = match self.delivery.sink.outdated(today) {
            Ok(None) => return Ok(()),
            Ok(Some((files, last))) => {
                let happening = Happening::new(Event::LinesDeleted, By::Nobody)
                    .about(Subject::Lines, format!("1-{last}"))
                    .because("kept-no-longer");
                let time = self.chain.time;
                let line = self.chain.next(&happening, time);
                self.delivery.deliver(today, &line)?;
                self.delivery
                    .sink
                    .sync()
                    .and_then(|()| log_file::delete(&files))
            }
            Err(error) => Err(error),
        };
        if let Err(error) = deleted {
            tracing::error!(code = "audit-log", cause = %error, "old files of the audit log can't be deleted");
        }
        Ok(())
    }
}
