//! What every primary is, and how it keeps what it is told: for a start, and for whoever looks after it.

use redis::Value;

use super::link::{Link, reply_at};
use super::reply::unexpected;
use super::settings::RedisAddress;
use crate::StoreError;

/// A primary, by its own account (`INFO`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisNode {
    /// Where it was asked.
    pub address: RedisAddress,
    /// Its version; of a Valkey the Redis that it is compatible with.
    pub version: String,
    /// Whether it writes what it is told to a file (`appendonly yes`), and so still knows it after a restart.
    pub has_aof: bool,
    /// How many replicas follow it.
    pub replicas: u32,
    /// What it does when its memory is full. Anything but `noeviction` forgets what it was told.
    pub eviction: String,
}

impl RedisNode {
    /// What is likely to lose what was acknowledged, in words with a remedy.
    pub fn warnings(&self, wanted_replicas: u8) -> Vec<String> {
        let address = &self.address;
        let mut warnings = Vec::new();
        if !self.has_aof {
            warnings.push(format!(
                "Redis at `{address}` forgets everything at a restart: set `appendonly yes`"
            ));
        }
        if self.eviction != "noeviction" {
            warnings.push(format!(
                "Redis at `{address}` forgets sessions and spent codes when its memory is full \
                 (`maxmemory-policy {}`): set `maxmemory-policy noeviction`",
                self.eviction
            ));
        }
        if self.replicas < u32::from(wanted_replicas) {
            warnings.push(format!(
                "Redis at `{address}` has {} replicas, and writes wait for {wanted_replicas}: \
                 nobody can sign in until it has them",
                self.replicas
            ));
        }
        warnings
    }
}

pub(super) async fn all(link: &Link) -> Result<Vec<RedisNode>, StoreError> {
    let mut question = redis::pipe();
    // One section to a command: more than one is a syntax error before Redis 7.
    for section in ["server", "persistence", "replication", "memory"] {
        question.cmd("INFO").arg(section);
    }
    let answers = link.ask_all(question).await?;
    answers
        .into_iter()
        .map(|(address, answers)| read(address, answers))
        .collect()
}

fn read(address: RedisAddress, mut answers: Vec<Value>) -> Result<RedisNode, StoreError> {
    let mut text = String::new();
    for place in 0..answers.len() {
        let reply = reply_at(&mut answers, place)?;
        let section = reply.piece(0).ok_or_else(unexpected)?;
        text.push_str(&String::from_utf8_lossy(section));
    }
    let field = |name: &str| {
        let of_field = |line: &str| {
            line.strip_prefix(name)?
                .strip_prefix(':')
                .map(str::to_owned)
        };
        text.lines().find_map(of_field).unwrap_or_default()
    };
    Ok(RedisNode {
        address,
        version: field("redis_version"),
        has_aof: field("aof_enabled") == "1",
        replicas: field("connected_slaves").parse().unwrap_or_default(),
        eviction: field("maxmemory_policy"),
    })
}
