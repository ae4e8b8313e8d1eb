//! The way to the records: finds who has them, and tries on for a while when that changes.
//!
//! All connections live on one thread of our own, so that they outlive the worker that first needed them, and what
//! was begun is done even if the caller goes away. No operation takes longer than `timeout`.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use redis::{Pipeline, Value};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Mutex, oneshot};
use tokio::time::{sleep, timeout};

use super::connect::Connector;
use super::map::{Map, Scout};
use super::node::{Common, Custody, Node};
use super::reply::{Failure, Reply, unexpected};
use super::script::{Again, Call};
use super::settings::{RedisAddress, RedisServers, RedisSettings};
use super::slot::slot;
use crate::StoreError;

/// How often it is looked who the primaries are. A broken connection or a node that sends on tells sooner.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long to wait before what was not done is tried again.
const PAUSE: Duration = Duration::from_millis(50);
/// How often a node may send on to another before that counts as not done.
const MOST_REDIRECTIONS: u32 = 5;

/// The way to the records.
pub(super) struct Link {
    runtime: Handle,
    way: Arc<Way>,
    /// Dropped, it ends the thread and all connections.
    _alive: oneshot::Sender<()>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let servers = &self.way.common.settings.servers;
        f.debug_struct("Link")
            .field("servers", servers)
            .finish_non_exhaustive()
    }
}

impl Link {
    /// Starts the thread. Nothing is connected yet.
    pub(super) fn new(settings: RedisSettings) -> Result<Self, StoreError> {
        let connector = Connector::new(&settings)?;
        let common = Arc::new(Common {
            settings,
            connector,
        });
        let way = Arc::new(Way {
            scout: Scout::new(Arc::clone(&common)),
            common,
            map: RwLock::default(),
            nodes: Mutex::default(),
            looking: Mutex::default(),
        });
        let no_thread = |error| StoreError::Unavailable(format!("no thread for Redis: {error}"));
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(no_thread)?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name("store-redis".into());
        let running = thread.spawn(move || {
            // It ends with an error, since nothing is ever sent.
            let _ = runtime.block_on(ended);
            // A name that is being looked up may take long, and nobody waits for it.
            runtime.shutdown_background();
        });
        running.map_err(no_thread)?;
        handle.spawn(Arc::clone(&way).keep_looking());
        Ok(Self {
            runtime: handle,
            way,
            _alive: alive,
        })
    }

    /// Runs a script, and answers once enough replicas have what it wrote.
    pub(super) async fn write(&self, call: Call) -> Result<Reply, StoreError> {
        let slot = call.keys.first().map(|key| slot(key)).unwrap_or_default();
        let mut answers = self.work(slot, Work::Write(Arc::new(call))).await?;
        reply_at(&mut answers, 0)
    }

    /// Asks for what stands under keys of one slot, that of `key`.
    pub(super) async fn read(
        &self,
        key: &str,
        commands: Pipeline,
    ) -> Result<Vec<Value>, StoreError> {
        self.work(slot(key), Work::Read(commands)).await
    }

    async fn work(&self, slot: u16, work: Work) -> Result<Vec<Value>, StoreError> {
        let way = Arc::clone(&self.way);
        self.run(async move { way.persist(slot, &work).await })
            .await
    }

    /// Asks every primary.
    pub(super) async fn ask_all(
        &self,
        commands: Pipeline,
    ) -> Result<Vec<(RedisAddress, Vec<Value>)>, StoreError> {
        let way = Arc::clone(&self.way);
        self.run(async move { way.ask_all(&commands).await }).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let stopped = |_| StoreError::Unavailable("the connections to Redis are closed".into());
        self.runtime.spawn(work).await.map_err(stopped)?
    }
}

/// What is to be done at the primary of a slot.
enum Work {
    Write(Arc<Call>),
    Read(Pipeline),
}

impl Work {
    async fn at(&self, node: &Node, custody: Custody) -> Result<Vec<Value>, Failure> {
        match self {
            Self::Write(call) => Ok(vec![node.write(Arc::clone(call), custody).await?]),
            Self::Read(commands) => node.read(commands, custody).await,
        }
    }

    fn again(&self) -> Again {
        match self {
            Self::Write(call) => call.script.again(),
            Self::Read(_) => Again::Harmless,
        }
    }
}

/// What is known of the servers.
struct Way {
    common: Arc<Common>,
    scout: Scout,
    map: RwLock<Option<Arc<Map>>>,
    nodes: Mutex<BTreeMap<RedisAddress, Arc<Node>>>,
    /// Held by the one that looks, so that others get its answer.
    looking: Mutex<()>,
}

impl Way {
    async fn keep_looking(self: Arc<Self>) {
        if let RedisServers::One(_) = self.common.settings.servers {
            return;
        }
        loop {
            sleep(LOOK_EVERY).await;
            // The next time may do better, and whoever needs the map meanwhile is told what is wrong.
            let _ = self.look(self.known()).await;
        }
    }

    async fn ask_all(
        &self,
        commands: &Pipeline,
    ) -> Result<Vec<(RedisAddress, Vec<Value>)>, StoreError> {
        let look = async {
            let map = self.current().await?;
            if !map.is_whole() {
                let words = "the cluster has slots that no primary serves".to_owned();
                return Err(Failure::NotDone(words));
            }
            let mut answers = Vec::new();
            for primary in &map.primaries {
                let node = self.node(primary).await;
                answers.push((primary.clone(), node.read(commands, Custody::Own).await?));
            }
            Ok(answers)
        };
        let limit = self.common.settings.timeout;
        match timeout(limit, look).await {
            Ok(answers) => answers.map_err(|failure| StoreError::Unavailable(failure.words())),
            Err(_) => Err(self.late(None)),
        }
    }

    /// Tries until it is done, refused, or too late.
    async fn persist(&self, slot: u16, work: &Work) -> Result<Vec<Value>, StoreError> {
        let mut last = None;
        let trying = async {
            loop {
                let map = self.known();
                match self.follow(slot, work).await {
                    Ok(done) => return Ok(done),
                    Err(Failure::Unknown(words)) if work.again() == Again::Never => {
                        return Err(StoreError::Unavailable(words));
                    }
                    Err(Failure::Unconfirmed(words) | Failure::Refused(words)) => {
                        return Err(StoreError::Unavailable(words));
                    }
                    Err(failure) => last = Some(failure.words()),
                }
                sleep(PAUSE).await;
                if let Err(failure) = self.look(map).await {
                    last = Some(failure.words());
                }
            }
        };
        match timeout(self.common.settings.timeout, trying).await {
            Ok(done) => done,
            Err(_) => Err(self.late(last)),
        }
    }

    /// Asks who has the slot, and whoever that one names.
    async fn follow(&self, slot: u16, work: &Work) -> Result<Vec<Value>, Failure> {
        let map = self.current().await?;
        let unserved = || Failure::NotDone("the cluster has no primary for these records".into());
        let mut address = map.primary(slot).cloned().ok_or_else(unserved)?;
        let mut custody = Custody::Own;
        for _ in 0..MOST_REDIRECTIONS {
            let node = self.node(&address).await;
            match work.at(&node, custody).await {
                Err(Failure::Moved(to)) => (address, custody) = (to, Custody::Own),
                Err(Failure::Ask(to)) => (address, custody) = (to, Custody::Importing),
                done => return done,
            }
        }
        Err(Failure::Moved(address))
    }

    fn late(&self, last: Option<String>) -> StoreError {
        let limit = self.common.settings.timeout.as_millis();
        let why = last.unwrap_or_else(|| "no answer".to_owned());
        StoreError::Unavailable(format!("given up after {limit} ms; {why}"))
    }

    async fn node(&self, address: &RedisAddress) -> Arc<Node> {
        let mut nodes = self.nodes.lock().await;
        let fresh = || Arc::new(Node::new(address.clone(), Arc::clone(&self.common)));
        Arc::clone(nodes.entry(address.clone()).or_insert_with(fresh))
    }

    fn known(&self) -> Option<Arc<Map>> {
        self.map
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn current(&self) -> Result<Arc<Map>, Failure> {
        match self.known() {
            Some(map) => Ok(map),
            None => self.look(None).await,
        }
    }

    /// Looks who the primaries are, unless another has since the caller saw `seen`.
    async fn look(&self, seen: Option<Arc<Map>>) -> Result<Arc<Map>, Failure> {
        let _turn = self.looking.lock().await;
        let known = self.known();
        if let Some(known) = &known
            && !seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, known))
        {
            return Ok(Arc::clone(known));
        }
        let found = Arc::new(self.scout.look(known.as_deref()).await?);
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&found));
        self.close_those_of(known.as_deref(), &found).await;
        Ok(found)
    }

    /// Whoever waits for a node that is no primary any more is told at once, and tries another.
    async fn close_those_of(&self, before: Option<&Map>, now: &Map) {
        let before = before.map_or(&[][..], |map| &map.primaries);
        let mut nodes = self.nodes.lock().await;
        for gone in before.iter().filter(|one| !now.primaries.contains(one)) {
            if let Some(node) = nodes.remove(gone) {
                node.close();
            }
        }
    }
}

/// The pieces of one command's answer among several.
pub(super) fn reply_at(answers: &mut [Value], place: usize) -> Result<Reply, StoreError> {
    let answer = answers.get_mut(place).map(std::mem::take);
    Reply::of(answer.ok_or_else(unexpected)?)
}
