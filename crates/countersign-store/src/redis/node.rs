//! One primary, and our connections to it.
//!
//! Reads share one connection. Writes go over a few others, the lanes: each takes all that wait, sends them at once
//! and `WAIT` after them, on the same connection, so that one wait covers them all. `WAIT` speaks of
//! what was written on its own connection and keeps that busy meanwhile, which is why reads have another.

use std::sync::Arc;

use redis::{Pipeline, RedisError, Value};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::AbortHandle;

use super::connect::{Connection, Connector};
use super::reply::Failure;
use super::script::{Call, Script};
use super::settings::{RedisAddress, RedisSettings};

/// How many writes may wait for one primary. Beyond, refusing is better than a longer queue.
const QUEUE: usize = 2048;
/// How many writes share a `WAIT`: no write waits long for those beside it.
const BATCH: usize = 64;
/// How many of them are under way at once. One waits for its replicas while another writes.
const LANES: usize = 4;

/// What all nodes have in common.
pub(super) struct Common {
    pub(super) settings: RedisSettings,
    pub(super) connector: Connector,
}

/// One primary.
pub(super) struct Node {
    address: RedisAddress,
    common: Arc<Common>,
    jobs: mpsc::Sender<Job>,
    lanes: Vec<AbortHandle>,
    reader: Mutex<Option<Arc<Connection>>>,
}

/// Whether a node is asked for a slot that is on its way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Custody {
    Own,
    Importing,
}

impl Node {
    /// Makes connections when they are needed, on the runtime that this is called on.
    pub(super) fn new(address: RedisAddress, common: Arc<Common>) -> Self {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let waiting = Arc::new(Mutex::new(waiting));
        let lanes = (0..LANES).map(|_| {
            let lane = Lane {
                address: address.clone(),
                common: Arc::clone(&common),
                connection: None,
            };
            tokio::spawn(lane.serve(Arc::clone(&waiting))).abort_handle()
        });
        let lanes = lanes.collect();
        Self {
            address,
            common,
            jobs,
            lanes,
            reader: Mutex::new(None),
        }
    }

    /// Drops all connections: nobody is to wait for a node that is no primary any more.
    pub(super) fn close(&self) {
        self.lanes.iter().for_each(AbortHandle::abort);
    }

    /// Answers from the records as this primary has them.
    pub(super) async fn read(
        &self,
        commands: &Pipeline,
        custody: Custody,
    ) -> Result<Vec<Value>, Failure> {
        let connection = self.reader().await?;
        let asked = match custody {
            Custody::Own => commands.clone(),
            Custody::Importing => with_asking(commands),
        };
        let limit = self.common.settings.response_timeout;
        let mut answers = match connection.ask(&asked, limit).await {
            Ok(answers) => answers,
            Err(error) => {
                self.forget(&connection).await;
                return Err(Failure::of_connection(&self.address, &error));
            }
        };
        if custody == Custody::Importing {
            answers = answers.into_iter().skip(1).step_by(2).collect();
        }
        for answer in &answers {
            if let Value::ServerError(error) = answer {
                return Err(Failure::of_server(&self.address, error));
            }
        }
        Ok(answers)
    }

    /// Runs a script, and answers once enough replicas have what it wrote.
    pub(super) async fn write(&self, call: Arc<Call>, custody: Custody) -> Result<Value, Failure> {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            call,
            custody,
            reply: Some(reply),
            progress: Progress::Waiting,
        };
        if self.jobs.try_send(job).is_err() {
            let words = format!("`{}`: too many writes wait", self.address);
            return Err(Failure::Refused(words));
        }
        let lost = || Failure::Unknown(format!("`{}`: the write was given up", self.address));
        answer.await.unwrap_or_else(|_| Err(lost()))
    }

    async fn reader(&self) -> Result<Arc<Connection>, Failure> {
        let mut reader = self.reader.lock().await;
        if let Some(connection) = reader.as_ref().filter(|it| !it.is_closed()) {
            return Ok(Arc::clone(connection));
        }
        let connection = Arc::new(self.common.connector.data(&self.address).await?);
        *reader = Some(Arc::clone(&connection));
        Ok(connection)
    }

    /// Makes a new connection next time, unless another has.
    async fn forget(&self, broken: &Arc<Connection>) {
        let mut reader = self.reader.lock().await;
        if reader.as_ref().is_some_and(|it| Arc::ptr_eq(it, broken)) {
            *reader = None;
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.close();
    }
}

/// Each command behind an `ASKING` of its own, which holds for one.
fn with_asking(commands: &Pipeline) -> Pipeline {
    let mut asked = redis::pipe();
    for command in commands.cmd_iter() {
        asked.cmd("ASKING");
        asked.add_command(command.clone());
    }
    asked
}

/// A write that waits for its answer.
struct Job {
    call: Arc<Call>,
    custody: Custody,
    reply: Option<oneshot::Sender<Result<Value, Failure>>>,
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Waiting,
    Sent,
}

impl Job {
    fn answer(mut self, answer: Result<Value, Failure>) {
        if let Some(reply) = self.reply.take() {
            // Nobody listens if the time of the operation is up.
            let _ = reply.send(answer);
        }
    }

    fn is_given_up(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}

impl Drop for Job {
    /// A lane that is ended tells what has become of its jobs.
    fn drop(&mut self) {
        let Some(reply) = self.reply.take() else {
            return;
        };
        let words = "the server is no primary any more".to_owned();
        let _ = reply.send(Err(match self.progress {
            Progress::Waiting => Failure::NotDone(words),
            Progress::Sent => Failure::Unknown(words),
        }));
    }
}

/// A connection for writes.
struct Lane {
    address: RedisAddress,
    common: Arc<Common>,
    connection: Option<Loaded>,
}

/// A connection to a server that knows our scripts, under these names, in the order of [`Script::ALL`].
struct Loaded {
    connection: Connection,
    names: Vec<Vec<u8>>,
}

/// How a script is named: by the digest under which the server has it, or by its text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Naming {
    Digest,
    Text,
}

impl Lane {
    async fn serve(mut self, waiting: Arc<Mutex<mpsc::Receiver<Job>>>) {
        loop {
            let mut batch = Vec::new();
            if waiting.lock().await.recv_many(&mut batch, BATCH).await == 0 {
                return;
            }
            batch.retain(|job| !job.is_given_up());
            if !batch.is_empty() {
                self.write(batch).await;
            }
        }
    }

    async fn write(&mut self, batch: Vec<Job>) {
        // What is sent on a connection that has ended is lost, and nobody would know whether it was done.
        let open = self
            .connection
            .take()
            .filter(|loaded| !loaded.connection.is_closed());
        let loaded = match open {
            Some(loaded) => Ok(loaded),
            None => self.connect().await,
        };
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(failure) => return answer_all(batch, &failure),
        };
        let Some(unknown) = self.send(&loaded, batch, Naming::Digest).await else {
            return;
        };
        // The server has lost its scripts since: it was restarted, or told to (`SCRIPT FLUSH`).
        if unknown.is_empty() || self.send(&loaded, unknown, Naming::Text).await.is_some() {
            self.connection = Some(loaded);
        }
    }

    async fn connect(&self) -> Result<Loaded, Failure> {
        let connection = self.common.connector.data(&self.address).await?;
        let mut load = redis::pipe();
        for script in Script::ALL {
            load.cmd("SCRIPT").arg("LOAD").arg(script.text());
        }
        let limit = self.common.settings.response_timeout;
        let answers = connection.ask(&load, limit).await;
        let answers =
            answers.map_err(|error| Failure::NotDone(format!("`{}`: {error}", self.address)))?;
        let mut names = Vec::new();
        for answer in answers {
            match answer {
                Value::BulkString(name) => names.push(name),
                Value::ServerError(error) => return Err(Failure::of_server(&self.address, &error)),
                _ => return Err(Failure::Refused("a script was not taken".into())),
            }
        }
        Ok(Loaded { connection, names })
    }

    /// Answers all but those whose script is not known there, which it gives back; none where the connection is broken.
    async fn send(&self, to: &Loaded, mut batch: Vec<Job>, naming: Naming) -> Option<Vec<Job>> {
        let commands = self.commands(&to.names, &batch, naming);
        for job in &mut batch {
            job.progress = Progress::Sent;
        }
        let settings = &self.common.settings;
        let limit = settings.response_timeout + settings.replica_timeout;
        let answers = match to.connection.ask(&commands, limit).await {
            Ok(answers) => answers,
            Err(error) => {
                self.lose(batch, &error);
                return None;
            }
        };
        let mut answers = answers.into_iter();
        let mut done = Vec::new();
        for job in batch {
            if job.custody == Custody::Importing {
                answers.next();
            }
            done.push((job, answers.next().unwrap_or_default()));
        }
        let confirmed = self.confirmed(answers.next());
        Some(self.tell(done, &confirmed))
    }

    /// The calls of a batch, and the wait for the replicas that are to have them.
    fn commands(&self, names: &[Vec<u8>], batch: &[Job], naming: Naming) -> Pipeline {
        let mut commands = redis::pipe();
        for job in batch {
            if job.custody == Custody::Importing {
                commands.cmd("ASKING");
            }
            let name = names
                .get(job.call.script as usize)
                .filter(|_| naming == Naming::Digest);
            let command = match name {
                Some(name) => commands.cmd("EVALSHA").arg(name),
                None => commands.cmd("EVAL").arg(job.call.script.text()),
            };
            command.arg(job.call.keys.len());
            command.arg(&job.call.keys[..]).arg(&job.call.arguments[..]);
        }
        let settings = &self.common.settings;
        if settings.replicas > 0 {
            let limit = u64::try_from(settings.replica_timeout.as_millis()).unwrap_or(u64::MAX);
            commands.cmd("WAIT").arg(settings.replicas).arg(limit);
        }
        commands
    }

    /// Whether enough replicas have said that they have it.
    fn confirmed(&self, answer: Option<Value>) -> Result<(), Failure> {
        let wanted = i64::from(self.common.settings.replicas);
        let address = &self.address;
        match answer {
            None if wanted == 0 => Ok(()),
            Some(Value::Int(found)) if found >= wanted => Ok(()),
            Some(Value::Int(found)) => Err(Failure::Unconfirmed(format!(
                "`{address}`: {found} of {wanted} replicas have said that they have the write"
            ))),
            Some(Value::ServerError(error)) => Err(Failure::Unconfirmed(format!(
                "`{address}` can't say whether replicas have the write: {} {}",
                error.code(),
                error.details().unwrap_or_default()
            ))),
            Some(_) | None => Err(Failure::Unconfirmed(format!(
                "`{address}` does not say whether replicas have the write"
            ))),
        }
    }

    fn tell(&self, done: Vec<(Job, Value)>, confirmed: &Result<(), Failure>) -> Vec<Job> {
        let mut unknown = Vec::new();
        for (job, answer) in done {
            match (answer, confirmed) {
                (Value::ServerError(error), _) if error.code() == "NOSCRIPT" => unknown.push(job),
                (Value::ServerError(error), _) => {
                    job.answer(Err(Failure::of_server(&self.address, &error)));
                }
                (answer, Ok(())) => job.answer(Ok(answer)),
                (_, Err(failure)) => job.answer(Err(failure.clone())),
            }
        }
        unknown
    }

    fn lose(&self, batch: Vec<Job>, error: &RedisError) {
        answer_all(batch, &Failure::of_connection(&self.address, error));
    }
}

fn answer_all(batch: Vec<Job>, failure: &Failure) {
    for job in batch {
        job.answer(Err(failure.clone()));
    }
}
