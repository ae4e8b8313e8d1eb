//! The one thread that writes decisions.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use jiff::civil::Date;

use super::line::Line;
use crate::log_file::{Delivery, GaveUp, Queue, Reopened, Sink, Taken, Task};

/// How long lines gather after some were written.
const GATHERING: Duration = Duration::from_millis(10);

/// Writes until the queue is closed and empty.
pub(super) fn run(queue: &Queue<Line>, sink: impl Sink) {
    let mut delivery = Delivery::new(queue, sink);
    // What could not be written when all is over, the queue still counts.
    let _ = write_all(&mut delivery);
    delivery.sync();
    // The file is let go of first: whoever waits for the end may open it again.
    drop(delivery);
    queue.end();
}

fn write_all(delivery: &mut Delivery<'_, Line, impl Sink>) -> Result<(), GaveUp> {
    loop {
        match delivery.queue.next(None) {
            Task::Write(lines) => {
                write(lines, delivery)?;
                // What comes meanwhile is written at once: to be woken for each line costs more than to write it.
                thread::sleep(GATHERING);
            }
            Task::Reopen => {
                delivery.reopen();
            }
            Task::Nothing => {}
            Task::End => return Ok(()),
        }
    }
}

fn write(
    mut taken: Taken<Line>,
    delivery: &mut Delivery<'_, Line, impl Sink>,
) -> Result<(), GaveUp> {
    while let Some(batch) = taken.batch() {
        let text: Vec<&[u8]> = batch.lines.iter().map(|line| &*line.text).collect();
        delivery.deliver(batch.day, &text.concat())?;
        delivery.queue.written(&batch);
    }
    Ok(())
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
