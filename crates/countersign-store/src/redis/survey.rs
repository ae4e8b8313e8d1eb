//! What every primary is, and how it keeps what it is told: for a start, and for whoever looks after it.

use std::fmt;

use jiff::Timestamp;
use redis::Value;

use super::link::{Link, reply_at};
use super::reply::unexpected;
use super::settings::RedisAddress;
use crate::StoreError;

/// The oldest version that has all that the scripts use.
const OLDEST: (u32, u32) = (6, 2);

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
    /// Its clock as it answered, if it says.
    pub clock: Option<Timestamp>,
}

/// What is likely to lose what was acknowledged, or lets nobody in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisWarning {
    /// What is wrong, and where.
    pub found: String,
    /// What to do about it.
    pub mend: String,
    /// Whether nobody can sign in as it is.
    pub is_outage: bool,
}

impl fmt::Display for RedisWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.found, self.mend)
    }
}

impl RedisNode {
    /// What is wrong with it, for a store that waits for so many replicas.
    pub fn warnings(&self, wanted_replicas: u8) -> Vec<RedisWarning> {
        let address = &self.address;
        let warning = |is_outage, found, mend: &str| RedisWarning {
            found,
            mend: mend.to_owned(),
            is_outage,
        };
        let mut warnings = Vec::new();
        if !self.has_aof {
            warnings.push(warning(
                false,
                format!("Redis at `{address}` forgets everything at a restart"),
                "set `appendonly yes`",
            ));
        }
        if self.eviction != "noeviction" {
            warnings.push(warning(
                false,
                format!(
                    "Redis at `{address}` forgets sessions and spent codes when its memory is full \
                     (`maxmemory-policy {}`)",
                    self.eviction
                ),
                "set `maxmemory-policy noeviction`",
            ));
        }
        if self.replicas < u32::from(wanted_replicas) {
            warnings.push(warning(
                true,
                format!(
                    "Redis at `{address}` has {} replicas, and writes wait for {wanted_replicas}, so that \
                     nobody can sign in",
                    self.replicas
                ),
                "start them, or set `store.redis.replicas` to as many as there are",
            ));
        }
        if self.is_too_old() {
            warnings.push(warning(
                true,
                format!("Redis at `{address}` is version {}", self.version),
                "6.2 or later is needed",
            ));
        }
        warnings
    }

    fn is_too_old(&self) -> bool {
        let mut numbers = self.version.split('.').map(str::parse::<u32>);
        // A version that can't be read is nothing to hold against it.
        let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
            return false;
        };
        (major, minor) < OLDEST
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
        replicas: online(&text),
        eviction: field("maxmemory_policy"),
        clock: field("server_time_usec")
            .parse()
            .ok()
            .and_then(|micros| Timestamp::from_microsecond(micros).ok()),
    })
}

/// How many replicas follow. One that is still fetching what it missed is connected, and acknowledges nothing.
fn online(replication: &str) -> u32 {
    let is_online = |line: &&str| line.starts_with("slave") && line.contains("state=online");
    let count = replication.lines().filter(is_online).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut RedisNode), expected: &[(&str, bool)]) {
        let mut node = RedisNode {
            address: "10.0.0.7:6379".parse().unwrap(),
            version: "7.0.15".into(),
            has_aof: true,
            replicas: 1,
            eviction: "noeviction".into(),
            clock: None,
        };
        change(&mut node);
        let warnings = node.warnings(1);
        let told: Vec<(String, bool)> = warnings
            .into_iter()
            .map(|one| (one.mend, one.is_outage))
            .collect();
        let expected: Vec<(String, bool)> = expected
            .iter()
            .map(|(mend, is_outage)| ((*mend).to_owned(), *is_outage))
            .collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn a_replica_counts_once_it_follows() {
        let told = "role:master\r\nconnected_slaves:2\r\n\
                    slave0:ip=10.0.0.8,port=6379,state=online,offset=14,lag=0\r\n\
                    slave1:ip=10.0.0.9,port=6379,state=wait_bgsave,offset=0,lag=0\r\n\
                    master_failover_state:no-failover\r\n";
        assert_eq!((online(told), online("role:master\r\n")), (1, 0));
    }

    #[test]
    fn a_node_is_warned_of_for_each_thing_that_is_to_be_mended() {
        check(|_| {}, &[]);
        check(|one| one.version = "6.2.0".into(), &[]);
        check(|one| one.version = "10.1".into(), &[]);
        for old in ["6.0.16", "5.0.14"] {
            let expected = [("6.2 or later is needed", true)];
            check(|one| one.version = old.into(), &expected);
        }
        check(
            |one| one.has_aof = false,
            &[("set `appendonly yes`", false)],
        );
        check(
            |one| one.eviction = "allkeys-lru".into(),
            &[("set `maxmemory-policy noeviction`", false)],
        );
        let start = "start them, or set `store.redis.replicas` to as many as there are";
        check(|one| one.replicas = 0, &[(start, true)]);
    }
}
