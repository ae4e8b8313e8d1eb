//! Redis servers of the tests' own, on loopback: one, with replicas behind Sentinel, or six that are a cluster.
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

use crate::measure::MIB;
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

    /// What it needs for what it keeps, in MiB.
    pub fn used_memory_mib(&self) -> f64 {
        let told = self.ask(&["INFO", "memory"]);
        let line = told
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        let bytes = line.and_then(|bytes| bytes.trim().parse::<f64>().ok());
        bytes.expect("`used_memory`") / MIB
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

/// A primary, its replicas, and three Sentinels.
#[derive(Debug)]
pub struct RedisWithSentinel {
    /// The primary, and then its replicas, as they began.
    pub nodes: Vec<RedisServer>,
    /// Those who look after them.
    pub sentinels: Vec<RedisServer>,
}

impl RedisWithSentinel {
    /// What the Sentinels call the primary.
    pub const NAME: &'static str = "accounts";

    /// Starts all of them with so many replicas, and waits until they know each other.
    pub fn start(replicas: usize) -> Self {
        let primary = RedisServer::start_at("127.0.0.1", QUICK);
        let port = primary.address.port.to_string();
        let mut follow = QUICK.to_vec();
        follow.extend(["--replicaof", "127.0.0.1", &port]);
        let replicas = (0..replicas).map(|_| RedisServer::start_at("127.0.0.1", &follow));
        let replicas: Vec<RedisServer> = replicas.collect();
        // A Sentinel learns of the replicas from the primary, and asks it but every ten seconds.
        until("the replicas", || replicas.iter().all(follows));
        let sentinels = (0..3).map(|_| sentinel(&primary.address)).collect();
        let nodes = std::iter::once(primary).chain(replicas).collect();
        let all = Self { nodes, sentinels };
        all.until_whole();
        all
    }

    /// How a store reaches it, with keys of its own.
    pub fn settings(&self) -> RedisSettings {
        let sentinels = self.sentinels.iter().map(|one| one.address.clone());
        let servers = RedisServers::Sentinel {
            sentinels: sentinels.collect(),
            name: Self::NAME.to_owned(),
        };
        let replicas = u8::try_from(self.nodes.len() - 1).expect("few replicas");
        own_keys(RedisSettings {
            replicas,
            ..RedisSettings::new(servers)
        })
    }

    /// The place of the node that most follow.
    ///
    /// # Panics
    /// If there is none.
    pub fn primary(&self) -> usize {
        let found = self.nodes.iter().position(is_followed);
        found.expect("a primary that a replica follows")
    }

    /// Waits until another node than this one is a primary.
    pub fn until_replaced(&self, node: usize) {
        let others = self.nodes.iter().enumerate();
        let others = others.filter(|(place, _)| *place != node);
        until("the replica that takes over", || {
            others.clone().any(|(_, other)| is_primary(other))
        });
    }

    /// Lets a Sentinel give the primary's part to a replica though nothing is wrong.
    pub fn fail_over(&self) {
        until("a fail-over", || {
            let said = self.sentinels[0].ask(&["SENTINEL", "FAILOVER", Self::NAME]);
            said.contains("OK")
        });
    }

    /// Waits until there is one primary, whom all others follow, and all Sentinels know that.
    pub fn until_whole(&self) {
        until("Redis with Sentinel", || {
            let mut primaries = self.nodes.iter().filter(|node| is_primary(node));
            let (Some(primary), None) = (primaries.next(), primaries.next()) else {
                return false;
            };
            let others = self.nodes.iter().filter(|node| !is_primary(node));
            others.clone().all(follows) && self.sentinels.iter().all(|one| self.knows(one, primary))
        });
    }

    /// Whether a Sentinel takes this node for the primary, and knows of all others.
    fn knows(&self, sentinel: &RedisServer, primary: &RedisServer) -> bool {
        let told = sentinel.ask(&["SENTINEL", "MASTER", Self::NAME]);
        let lines: Vec<&str> = told.lines().collect();
        let says = |name, value: &str| lines.windows(2).any(|pair| pair == [name, value]);
        says("port", &primary.address.port.to_string())
            && says("flags", "master")
            && says("num-slaves", &(self.nodes.len() - 1).to_string())
            && says(
                "num-other-sentinels",
                &(self.sentinels.len() - 1).to_string(),
            )
    }
}

fn is_primary(node: &RedisServer) -> bool {
    node.ask(&["ROLE"]).starts_with("master")
}

fn is_followed(node: &RedisServer) -> bool {
    let about = node.ask(&["INFO", "replication"]);
    about.contains("role:master") && about.contains("state=online")
}

fn follows(node: &RedisServer) -> bool {
    let about = node.ask(&["INFO", "replication"]);
    about.contains("role:slave") && about.contains("master_link_status:up")
}

/// What keeps the tests from waiting for Sentinels, which take half a minute to be sure by default, and look around every ten
/// seconds: in milliseconds.
const QUICK_SENTINEL: &[&str] = &["INFO-PERIOD", "500", "PUBLISH-PERIOD", "500"];

fn sentinel(primary: &RedisAddress) -> RedisServer {
    let address = free_address("127.0.0.1");
    // It keeps what it knows in its configuration file, which its directory holds.
    let text = format!(
        "port {}\nbind 127.0.0.1\nsentinel monitor {name} 127.0.0.1 {} 2\n\
         sentinel down-after-milliseconds {name} 1000\nsentinel failover-timeout {name} 3000\n",
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
    server.ask(&[&["SENTINEL", "DEBUG"], QUICK_SENTINEL].concat());
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
        is_primary(&self.nodes[node])
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
            (follows(node) || is_followed(node))
                && node.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
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

/// A CA, and what it vouches for: a server at 127.0.0.1, and us.
#[derive(Debug)]
pub struct Certificates(TempDir);

impl Certificates {
    /// Makes them, and a CA that nobody else has.
    pub fn make() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let openssl = |line: &str| {
            let made = Command::new("openssl")
                .args(line.split(' '))
                .current_dir(directory.path())
                .output()
                .expect("`openssl`");
            assert!(
                made.status.success(),
                "{}",
                String::from_utf8_lossy(&made.stderr)
            );
        };
        let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(&format!(
            "req -x509 {new_key} -keyout ca.key -out ca.pem -subj /CN=ca -days 2 -addext basicConstraints=critical,CA:TRUE"
        ));
        std::fs::write(
            directory.path().join("names"),
            "subjectAltName=IP:127.0.0.1\n",
        )
        .expect("a file");
        for name in ["server", "own"] {
            openssl(&format!(
                "req {new_key} -keyout {name}.key -out {name}.csr -subj /CN={name}"
            ));
            openssl(&format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days 2 -extfile names"
            ));
        }
        Self(directory)
    }

    /// The text of `ca.pem`, or of `server` or `own` with `.pem` or `.key`.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file")
    }

    /// A server that asks everybody for a certificate of this CA, as a Redis that speaks TLS does by default.
    pub fn server(&self) -> RedisServer {
        let [ca, certificate, key] =
            ["ca.pem", "server.pem", "server.key"].map(|name| self.path(name));
        RedisServer::start_with_tls(&[
            "--tls-ca-cert-file",
            &ca,
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-auth-clients",
            "yes",
        ])
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
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
    const NAMES: [(&str, &str); 3] = [
        ("--tls-ca-cert-file", "--cacert"),
        ("--tls-cert-file", "--cert"),
        ("--tls-key-file", "--key"),
    ];
    let file = |(of_server_is, of_client): (&str, &'static str)| {
        let pair = of_server.windows(2).find(|pair| pair[0] == of_server_is)?;
        Some([of_client.to_owned(), pair[1].to_owned()])
    };
    let files: Vec<String> = NAMES.into_iter().filter_map(file).flatten().collect();
    let speaks = (!files.is_empty()).then(|| "--tls".to_owned());
    speaks.into_iter().chain(files).collect()
}

fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(|one| (*one).to_owned()).collect()
}
