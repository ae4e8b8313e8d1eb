//! Redis servers of the tests' own, on loopback: one, with a replica behind Sentinel, or six that are a cluster.
//!
//! They fail where Redis is not installed (`redis-server` and `redis-cli`, of Debian's package `redis-server`).

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use countersign_store::{KeyPrefix, RedisAddress, RedisServers, RedisSettings};
use tempfile::TempDir;

use crate::{Partition, Sides, kept};

/// How long a server or a cluster may take to get ready, in steps of [`STEP`].
const STEPS: u32 = 1500;
const STEP: Duration = Duration::from_millis(20);

/// One server; killed when it is dropped.
#[derive(Debug)]
pub struct RedisServer {
    /// Where it listens.
    pub address: RedisAddress,
    arguments: Vec<String>,
    child: Child,
    directory: TempDir,
    /// How `redis-cli` is told to speak TLS.
    tls: Vec<String>,
}

impl RedisServer {
    /// Starts a server that keeps an append-only file.
    pub fn start() -> Self {
        Self::start_at("127.0.0.1", &[])
    }

    /// The same at this loopback address, with more arguments.
    pub fn start_at(host: &str, more: &[&str]) -> Self {
        let address = free_address(host);
        let port = address.port.to_string();
        let mut arguments = words(&["--port", &port, "--bind", host, "--bind-source-addr", host]);
        arguments.extend(words(&["--save", "", "--appendonly", "yes"]));
        // Of the loopback addresses Redis takes only the first for one of this machine.
        arguments.extend(words(&["--protected-mode", "no"]));
        arguments.extend(words(more));
        Self::spawn(address, arguments, &[])
    }

    /// Starts a server that speaks nothing but TLS, with these arguments about its certificates.
    pub fn start_with_tls(more: &[&str]) -> Self {
        let address = free_address("127.0.0.1");
        let port = address.port.to_string();
        let mut arguments = words(&["--port", "0", "--tls-port", &port, "--save", ""]);
        arguments.extend(words(more));
        Self::spawn(address, arguments, more)
    }

    fn spawn(address: RedisAddress, arguments: Vec<String>, tls: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let child = spawn(&arguments, directory.path());
        let server = Self {
            address,
            arguments,
            child,
            directory,
            tls: tls_of_client(tls),
        };
        server.until_it_answers();
        server
    }

    /// How a store reaches it, with keys of its own.
    pub fn settings(&self) -> RedisSettings {
        own_keys(RedisSettings::new(RedisServers::One(self.address.clone())))
    }

    /// What it answers to a command, as `redis-cli` prints it.
    pub fn ask(&self, command: &[&str]) -> String {
        ask(&self.address, &self.tls, command)
    }

    /// The process that it is.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// The path of a file that it keeps.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.child.kill(); // it may be dead already
        let _ = self.child.wait();
    }

    /// Starts it again, with what it has kept, and does not wait until it answers.
    pub fn start_again(&mut self) {
        self.child = spawn(&self.arguments, self.directory.path());
    }

    /// Lets it do nothing for a while, without anybody being told.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Waits until it answers.
    pub fn until_it_answers(&self) {
        // Whoever wants a password answers too.
        let answers = || {
            let answer = self.ask(&["PING"]);
            answer.contains("PONG") || answer.contains("NOAUTH")
        };
        until(&format!("Redis at {}", self.address), answers);
    }

    fn signal(&self, name: &str) {
        let process = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &process]).status();
        assert!(sent.expect("`kill`").success());
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            kept::note_redis(self);
        }
        self.kill();
    }
}

/// A primary, a replica, and three Sentinels.
#[derive(Debug)]
pub struct RedisWithSentinel {
    /// The primary, until a Sentinel makes it another.
    pub primary: RedisServer,
    /// The replica.
    pub replica: RedisServer,
    /// Those who look after them.
    pub sentinels: Vec<RedisServer>,
}

impl RedisWithSentinel {
    /// What the Sentinels call the primary.
    pub const NAME: &'static str = "accounts";

    /// Starts all of them, and waits until they know each other.
    pub fn start() -> Self {
        let primary = RedisServer::start_at("127.0.0.1", QUICK);
        let port = primary.address.port.to_string();
        let mut follow = QUICK.to_vec();
        follow.extend(["--replicaof", "127.0.0.1", &port]);
        let replica = RedisServer::start_at("127.0.0.1", &follow);
        until("the replica", || {
            replica
                .ask(&["INFO", "replication"])
                .contains("master_link_status:up")
        });
        let sentinels = (0..3).map(|_| sentinel(&primary.address)).collect();
        let all = Self {
            primary,
            replica,
            sentinels,
        };
        let knows_all = |sentinel: &RedisServer| {
            let told = sentinel.ask(&["SENTINEL", "MASTER", Self::NAME]);
            let lines: Vec<&str> = told.lines().collect();
            let field = |name| {
                lines
                    .iter()
                    .position(|line| *line == name)
                    .and_then(|at| lines.get(at + 1))
            };
            field("num-slaves") == Some(&"1") && field("num-other-sentinels") == Some(&"2")
        };
        until("the Sentinels", || all.sentinels.iter().all(knows_all));
        all
    }

    /// How a store reaches it, with keys of its own.
    pub fn settings(&self) -> RedisSettings {
        let sentinels = self
            .sentinels
            .iter()
            .map(|one| one.address.clone())
            .collect();
        own_keys(RedisSettings::new(RedisServers::Sentinel {
            sentinels,
            name: Self::NAME.to_owned(),
        }))
    }
}

fn sentinel(primary: &RedisAddress) -> RedisServer {
    let address = free_address("127.0.0.1");
    // It keeps what it knows in its configuration file, which its directory holds.
    let text = format!(
        "port {}\nbind 127.0.0.1\nsentinel monitor {name} 127.0.0.1 {} 2\n\
         sentinel down-after-milliseconds {name} 1000\nsentinel failover-timeout {name} 5000\n",
        address.port,
        primary.port,
        name = RedisWithSentinel::NAME
    );
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("sentinel.conf");
    std::fs::write(&file, text).expect("a file");
    let arguments = words(&[&file.display().to_string(), "--sentinel"]);
    let child = spawn(&arguments, directory.path());
    let server = RedisServer {
        address,
        arguments,
        child,
        directory,
        tls: Vec::new(),
    };
    server.until_it_answers();
    server
}

/// Three primaries with a replica each; the nth replica follows the nth primary at first.
#[derive(Debug)]
pub struct RedisCluster {
    /// The primaries, and then their replicas, as they began.
    pub nodes: Vec<RedisServer>,
    network: Network,
}

impl RedisCluster {
    const PRIMARIES: usize = 3;

    /// Starts six nodes, at addresses of their own so that they can be told apart, and waits until they are one.
    pub fn start() -> Self {
        let network = Network::claim();
        let nodes: Vec<RedisServer> = (1..=6)
            .map(|n| cluster_node(&format!("127.77.{}.{n}", network.number)))
            .collect();
        let cluster = Self { nodes, network };
        cluster.join();
        cluster
    }

    /// How a store reaches it, with keys of its own.
    pub fn settings(&self) -> RedisSettings {
        let seeds = self.nodes.iter().map(|one| one.address.clone()).collect();
        own_keys(RedisSettings::new(RedisServers::Cluster(seeds)))
    }

    /// The primary that has this slot, by the word of a node that is well.
    pub fn is_primary(&self, node: usize) -> bool {
        self.nodes[node].ask(&["ROLE"]).starts_with("master")
    }

    /// A node that is a primary now, and the replica that follows it.
    ///
    /// # Panics
    /// If there are none: the cluster is not whole.
    pub fn primary_and_replica(&self) -> (usize, usize) {
        let follows = |replica: usize, primary: &RedisServer| {
            let told = self.nodes[replica].ask(&["ROLE"]);
            let mut lines = told.lines();
            let address = &primary.address;
            lines.next() == Some("slave")
                && lines.next() == Some(&address.host)
                && lines.next() == Some(&address.port.to_string())
        };
        let places = 0..self.nodes.len();
        let mut pairs = places.clone().flat_map(|primary| {
            let replicas = places.clone().map(move |replica| (primary, replica));
            replicas.filter(|(primary, replica)| follows(*replica, &self.nodes[*primary]))
        });
        pairs.next().expect("a primary that a replica follows")
    }

    /// Waits until this node is a primary.
    pub fn until_primary(&self, node: usize) {
        until("the replica that takes over", || self.is_primary(node));
    }

    /// Cuts a node off from the others, and from all processes but those on its side.
    pub fn cut_off(&self, node: usize, sides: Sides) -> Partition {
        let host = |at: usize| self.nodes[at].address.host.as_str();
        let others = (0..self.nodes.len()).filter(|other| *other != node);
        let others: Vec<&str> = others.map(host).collect();
        let name = format!("127.77.{}", self.network.number);
        Partition::cut(&name, host(node), &others, sides)
    }

    /// Waits until all slots are served and every primary has a replica that follows.
    pub fn until_whole(&self) {
        let is_well = |node: &RedisServer| {
            let about = node.ask(&["INFO", "replication"]);
            let follows = about.contains("role:slave") && about.contains("master_link_status:up");
            let is_followed = about.contains("role:master") && about.contains("state=online");
            (follows || is_followed) && node.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
        };
        // One that has not heard yet that it was replaced takes itself for one more.
        let are_three = || {
            let primaries = (0..self.nodes.len()).filter(|node| self.is_primary(*node));
            primaries.count() == Self::PRIMARIES
        };
        until("the cluster", || {
            self.nodes.iter().all(is_well) && are_three()
        });
    }

    fn join(&self) {
        let first = &self.nodes[0];
        let last_slot = |n: usize| (n * 16384 / Self::PRIMARIES).to_string();
        for (n, node) in self.nodes.iter().enumerate() {
            node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()]);
            if n < Self::PRIMARIES {
                let end = ((n + 1) * 16384 / Self::PRIMARIES - 1).to_string();
                node.ask(&["CLUSTER", "ADDSLOTSRANGE", &last_slot(n), &end]);
            }
            let RedisAddress { host, port } = &node.address;
            let bus = node.argument("--cluster-port");
            first.ask(&["CLUSTER", "MEET", host, &port.to_string(), &bus]);
        }
        let known = |node: &RedisServer| {
            node.ask(&["CLUSTER", "NODES"])
                .lines()
                .filter(|line| !line.contains("handshake"))
                .count()
        };
        until("the nodes", || {
            self.nodes.iter().all(|node| known(node) == 6)
        });
        for (primary, replica) in self.nodes.iter().zip(&self.nodes[Self::PRIMARIES..]) {
            let id = primary.ask(&["CLUSTER", "MYID"]);
            until("a replica", || {
                replica
                    .ask(&["CLUSTER", "REPLICATE", id.trim()])
                    .contains("OK")
            });
        }
        self.until_whole();
    }
}

impl RedisServer {
    fn argument(&self, name: &str) -> String {
        let at = self
            .arguments
            .iter()
            .position(|one| one == name)
            .expect("the argument");
        self.arguments[at + 1].clone()
    }
}

/// A network of loopback addresses that no other cluster of the machine has, whoever's test it is of: who cuts nodes off from
/// each other must not cut others'.
#[derive(Debug)]
struct Network {
    number: u8,
    /// Whoever listens here has it.
    _claim: TcpListener,
}

impl Network {
    const CLAIM_PORT: u16 = 7777;

    fn claim() -> Self {
        let claim = |number: u8| {
            let claim = TcpListener::bind((format!("127.77.{number}.254"), Self::CLAIM_PORT));
            claim.ok().map(|claim| Self {
                number,
                _claim: claim,
            })
        };
        (1..=254).rev().find_map(claim).expect("a network")
    }
}

/// What keeps the tests from waiting for a replica that has just begun.
const QUICK: &[&str] = &[
    "--repl-diskless-sync-delay",
    "0",
    "--repl-ping-replica-period",
    "1",
];

fn cluster_node(host: &str) -> RedisServer {
    let bus = free_address(host).port.to_string();
    let mut arguments = QUICK.to_vec();
    arguments.extend(["--cluster-enabled", "yes", "--cluster-port", &bus]);
    arguments.extend([
        "--cluster-node-timeout",
        "1000",
        "--cluster-announce-ip",
        host,
    ]);
    RedisServer::start_at(host, &arguments)
}

/// With keys that no other test has, on whatever server.
fn own_keys(settings: RedisSettings) -> RedisSettings {
    static STORES: AtomicU8 = AtomicU8::new(0);
    let store = STORES.fetch_add(1, Ordering::Relaxed);
    RedisSettings {
        key_prefix: KeyPrefix::new(&format!("countersign-{store}:")).expect("a prefix"),
        ..settings
    }
}

fn spawn(arguments: &[String], directory: &Path) -> Child {
    let log = File::create(directory.join("log")).expect("a file");
    let spawned = Command::new("redis-server")
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(log)
        .spawn();
    spawned.expect("`redis-server`: install Debian's package redis-server")
}

fn ask(address: &RedisAddress, tls: &[String], command: &[&str]) -> String {
    let port = address.port.to_string();
    // One that is frozen does not answer.
    let output = Command::new("timeout")
        .args(["2", "redis-cli", "-h", &address.host, "-p", &port])
        .args(tls)
        .args(command)
        .output();
    let output = output.expect("`redis-cli`: install Debian's package redis-server");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A port that is free now. The server takes it in a moment.
fn free_address(host: &str) -> RedisAddress {
    let listener = TcpListener::bind((host, 0)).expect("a free port");
    RedisAddress {
        host: host.to_owned(),
        port: listener.local_addr().expect("an address").port(),
    }
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..STEPS {
        if is_so() {
            return;
        }
        thread::sleep(STEP);
    }
    panic!("{what}: not ready after half a minute");
}

/// A server's certificate is good for its client, too.
fn tls_of_client(of_server: &[&str]) -> Vec<String> {
    let mut words: Vec<String> = of_server
        .iter()
        .map(|word| match *word {
            "--tls-ca-cert-file" => "--cacert".to_owned(),
            "--tls-cert-file" => "--cert".to_owned(),
            "--tls-key-file" => "--key".to_owned(),
            other => other.to_owned(),
        })
        .collect();
    if !words.is_empty() {
        words.insert(0, "--tls".to_owned());
    }
    words
}

fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(|one| (*one).to_owned()).collect()
}
