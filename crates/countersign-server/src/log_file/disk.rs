//! A disk that does as it is told, for the tests of both logs.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use jiff::civil::Date;

use super::{Reopened, Sink};

/// A disk that does as it is told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<(Mutex<Platter>, Condvar)>);

#[derive(Debug, Default)]
pub(crate) struct Platter {
    pub(crate) trouble: Option<Trouble>,
    /// What becomes of it when old files are looked for.
    pub(crate) at_thinning: Option<Trouble>,
    /// One after the other; only a reopened disk has a second.
    pub(crate) files: Vec<Vec<u8>>,
    pub(crate) is_moved: bool,
    pub(crate) calls: usize,
    pub(crate) attempts: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A write does not come back.
    Hangs,
    /// There is room for so many bytes more.
    Full(usize),
}

impl Disk {
    pub(crate) fn with(trouble: Trouble) -> Self {
        let disk = Self::default();
        disk.set(Some(trouble));
        disk
    }

    pub(crate) fn set(&self, trouble: Option<Trouble>) {
        self.lock().trouble = trouble;
        self.0.1.notify_all();
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Platter> {
        self.0.0.lock().unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.lock().files.concat()).unwrap()
    }

    pub(crate) fn attempts(&self) -> usize {
        self.lock().attempts
    }
}

impl Sink for Disk {
    fn prepare(&mut self, _day: Date, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut platter = self.lock();
        platter.attempts += 1;
        let hangs = |platter: &mut Platter| platter.trouble == Some(Trouble::Hangs);
        platter = self.0.1.wait_while(platter, hangs).unwrap();
        let room = match &mut platter.trouble {
            Some(Trouble::Full(0)) => return Err(ErrorKind::StorageFull.into()),
            Some(Trouble::Full(room)) => {
                let taken = bytes.len().min(*room);
                *room -= taken;
                taken
            }
            Some(Trouble::Hangs) | None => bytes.len(),
        };
        platter.calls += 1;
        if platter.files.is_empty() {
            platter.files.push(Vec::new());
        }
        platter.files.last_mut().unwrap().extend(&bytes[..room]);
        Ok(room)
    }

    fn reopen(&mut self) -> io::Result<Reopened> {
        let mut platter = self.lock();
        if !std::mem::take(&mut platter.is_moved) {
            return Ok(Reopened::Same);
        }
        platter.files.push(Vec::new());
        platter.trouble = None;
        Ok(Reopened::Another)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits for what another thread does in a moment.
#[track_caller]
pub(crate) fn wait_until(is_so: impl Fn() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it did not come about in ten seconds");
}
