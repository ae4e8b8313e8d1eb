//! The one thread that writes to a database: all that waits is committed at once.
//!
//! One commit for many writes is what makes durable ones affordable, since each waits for the
//! disk. Writes that share a commit have a savepoint each, so that one that fails undoes itself
//! alone, and nobody is answered before the commit that holds the answer.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::row::execute;
use crate::StoreError;

/// How many writes may wait: some 0.1 s of work. Beyond, refusing is better than a longer queue.
const QUEUE: usize = 2048;
/// How many writes share a commit: no write waits long for those before it.
const BATCH: usize = 256;

/// Hands writes to the thread of one database.
#[derive(Debug)]
pub(super) struct Writer {
    // Options only so that `drop` can close the one and then wait for the other.
    jobs: Option<SyncSender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(name: &str, connection: Connection) -> Result<Self, StoreError> {
        let (jobs, waiting) = sync_channel(QUEUE);
        let thread = thread::Builder::new()
            .name(name.into())
            .spawn(move || write_all(&connection, &waiting))
            .map_err(|error| StoreError::Unavailable(format!("no thread to write: {error}")))?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Runs `work` inside a transaction and answers once that is committed.
    ///
    /// What is once queued is done, even if the caller goes away.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue(Box::new(Write::Waiting { work, reply }))?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    fn queue(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Unavailable("too many writes wait".into()),
            TrySendError::Disconnected(_) => stopped(),
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The thread ends after the last write that was queued.
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // It has panicked, then: those who waited were told so, and nobody is left to tell.
            let _ = thread.join();
        }
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the writer has stopped".into())
}

/// What went wrong, without the prefix that the one who is told gets anyway.
fn cause(error: &StoreError) -> String {
    match error {
        StoreError::Unavailable(cause) => cause.clone(),
        StoreError::AttemptSpent | StoreError::Conflict | StoreError::Corrupt(_) => {
            error.to_string()
        }
    }
}

fn write_all(connection: &Connection, waiting: &Receiver<Box<dyn Job>>) {
    while let Ok(first) = waiting.recv() {
        let mut batch = vec![first];
        batch.extend(waiting.try_iter().take(BATCH - 1));
        let fate = commit(connection, &mut batch);
        if fate.is_err() && !connection.is_autocommit() {
            // If even this fails, so will the next batch's `BEGIN`, and its callers are told.
            let _ = execute(connection, "ROLLBACK", []);
        }
        for job in batch {
            job.answer(&fate);
        }
    }
}

/// Whether a batch was committed, or why not, in words.
type Fate = Result<(), String>;

fn commit(connection: &Connection, batch: &mut [Box<dyn Job>]) -> Fate {
    // Immediate: otherwise the lock is asked for at the first write, and could be refused in the middle.
    sql(connection, "BEGIN IMMEDIATE")?;
    match batch {
        [alone] => run_alone(connection, alone.as_mut()),
        many => run_together(connection, many),
    }
}

/// The transaction of a write that shares it with no other undoes it: a savepoint would only make
/// SQLite keep a second copy of every page that the write touches.
fn run_alone(connection: &Connection, job: &mut dyn Job) -> Fate {
    match job.run(connection) {
        Ok(()) => sql(connection, "COMMIT"),
        Err(cause) if connection.is_autocommit() => Err(cause), // SQLite has undone it by itself
        Err(_) => sql(connection, "ROLLBACK"),
    }
}

fn run_together(connection: &Connection, batch: &mut [Box<dyn Job>]) -> Fate {
    for job in batch {
        sql(connection, "SAVEPOINT job")?;
        if let Err(cause) = job.run(connection) {
            // After some errors (a full disk) SQLite has undone the whole transaction by itself, and
            // what followed would be committed write by write: https://sqlite.org/lang_transaction.html 3
            if connection.is_autocommit() {
                return Err(cause);
            }
            sql(connection, "ROLLBACK TO job")?;
        }
        sql(connection, "RELEASE job")?;
    }
    sql(connection, "COMMIT")
}

fn sql(connection: &Connection, statement: &str) -> Fate {
    execute(connection, statement, [])
        .map(drop)
        .map_err(|error| error.to_string())
}

/// A write, whatever it answers.
trait Job: Send {
    /// Does it. An error means that what it did is to be undone.
    fn run(&mut self, connection: &Connection) -> Fate;
    /// Tells the caller, after the commit or its failure.
    fn answer(self: Box<Self>, fate: &Fate);
}

enum Write<W, T> {
    Waiting {
        work: W,
        reply: oneshot::Sender<Result<T, StoreError>>,
    },
    Done {
        result: Result<T, StoreError>,
        reply: oneshot::Sender<Result<T, StoreError>>,
    },
    /// Between the two.
    Running,
}

impl<W, T> Job for Write<W, T>
where
    W: FnOnce(&Connection) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn run(&mut self, connection: &Connection) -> Fate {
        let Self::Waiting { work, reply } = std::mem::replace(self, Self::Running) else {
            return Err("a write was run twice".into());
        };
        let result = work(connection);
        let fate = result.as_ref().map(drop).map_err(cause);
        *self = Self::Done { result, reply };
        fate
    }

    fn answer(self: Box<Self>, fate: &Fate) {
        let (reply, result) = match (*self, fate) {
            (Self::Done { reply, result }, Ok(())) => (reply, result),
            (Self::Done { reply, .. } | Self::Waiting { reply, .. }, Err(cause)) => {
                (reply, Err(StoreError::Unavailable(cause.clone())))
            }
            (Self::Waiting { reply, .. }, Ok(())) => (reply, Err(stopped())),
            (Self::Running, _) => return,
        };
        // Nobody listens if the caller has gone away.
        let _ = reply.send(result);
    }
}
