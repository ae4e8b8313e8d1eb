//! Which primary has which slot, by what most of those say who should know.
//!
//! A node that was cut off or frozen still believes what was true before. So all are asked at once, and the answer of most
//! of them counts. A wrong map does no harm: a cluster's nodes send on, and a write to a primary
//! that was replaced is not acknowledged, since no replica follows it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redis::{Pipeline, Value};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connect::Connection;
use super::node::Common;
use super::reply::Failure;
use super::settings::{RedisAddress, RedisServers};
use super::slot::SLOTS;

/// How long to wait for the others once the first has answered.
const OTHERS: Duration = Duration::from_millis(150);

/// The primaries, and the slots of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Map {
    pub(super) primaries: Vec<RedisAddress>,
    /// Places in `primaries`, by slot; none where most know of none.
    owners: Vec<Option<u16>>,
    /// All nodes that were named, replicas too: one of them is asked next time.
    known: Vec<RedisAddress>,
}

impl Map {
    /// One primary with all slots.
    fn of_one(primary: RedisAddress) -> Self {
        Self {
            primaries: vec![primary],
            owners: vec![Some(0); usize::from(SLOTS)],
            known: Vec::new(),
        }
    }

    /// The primary of a slot.
    pub(super) fn primary(&self, slot: u16) -> Option<&RedisAddress> {
        let owner = (*self.owners.get(usize::from(slot))?)?;
        self.primaries.get(usize::from(owner))
    }

    /// What most of these say, slot by slot.
    fn of_most(answers: &[Ranges]) -> Self {
        let mut primaries = BTreeMap::new();
        for range in answers.iter().flat_map(|answer| &answer.0) {
            let next = u16::try_from(primaries.len()).unwrap_or(u16::MAX);
            primaries.entry(range.primary.clone()).or_insert(next);
        }
        let mut votes = vec![BTreeMap::<u16, usize>::new(); usize::from(SLOTS)];
        for range in answers.iter().flat_map(|answer| &answer.0) {
            let owner = primaries[&range.primary];
            for slot in range.first..=range.last.min(SLOTS - 1) {
                *votes[usize::from(slot)].entry(owner).or_default() += 1;
            }
        }
        let most = |votes: &BTreeMap<u16, usize>| {
            votes
                .iter()
                .max_by_key(|(_, count)| **count)
                .map(|(owner, _)| *owner)
        };
        let mut known: Vec<_> = answers
            .iter()
            .flat_map(|answer| &answer.0)
            .flat_map(|range| range.replicas.iter().chain([&range.primary]))
            .cloned()
            .collect();
        known.sort();
        known.dedup();
        let mut by_number: Vec<_> = primaries.into_iter().collect();
        by_number.sort_by_key(|(_, number)| *number);
        Self {
            primaries: by_number.into_iter().map(|(address, _)| address).collect(),
            owners: votes.iter().map(most).collect(),
            known,
        }
    }

    /// Whether every slot has a primary.
    pub(super) fn is_whole(&self) -> bool {
        self.owners.iter().all(Option::is_some)
    }
}

/// What one node says of the cluster.
#[derive(Debug)]
struct Ranges(Vec<Range>);

#[derive(Debug)]
struct Range {
    first: u16,
    last: u16,
    primary: RedisAddress,
    replicas: Vec<RedisAddress>,
}

/// Asks those who know the primaries, over connections that it keeps.
pub(super) struct Scout {
    common: Arc<Common>,
    connections: Mutex<BTreeMap<RedisAddress, Arc<Connection>>>,
}

impl Scout {
    pub(super) fn new(common: Arc<Common>) -> Self {
        Self {
            common,
            connections: Mutex::default(),
        }
    }

    /// The map as most know it.
    pub(super) async fn look(&self, known: Option<&Map>) -> Result<Map, Failure> {
        match &self.common.settings.servers {
            RedisServers::One(address) => Ok(Map::of_one(address.clone())),
            RedisServers::Sentinel { sentinels, name } => self.by_sentinels(sentinels, name).await,
            RedisServers::Cluster(seeds) => {
                let known = known.map_or(&[][..], |map| &map.known);
                let mut nodes: Vec<_> = known.iter().chain(seeds).cloned().collect();
                nodes.sort();
                nodes.dedup();
                self.by_nodes(nodes).await
            }
        }
    }

    async fn by_sentinels(&self, sentinels: &[RedisAddress], name: &str) -> Result<Map, Failure> {
        let mut question = redis::pipe();
        question
            .cmd("SENTINEL")
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(name);
        let (answers, failures) = self.ask_all(sentinels, &question).await;
        let mut votes = BTreeMap::<RedisAddress, usize>::new();
        for (_, answer) in &answers {
            if let Some(primary) = sentinels_word(answer) {
                *votes.entry(primary).or_default() += 1;
            }
        }
        let most = votes.into_iter().max_by_key(|(_, count)| *count);
        most.map(|(primary, _)| Map::of_one(primary))
            .ok_or_else(|| {
                let unknown = format!("no Sentinel that answers knows a primary `{name}`");
                Failure::NotDone(in_words(unknown, &failures))
            })
    }

    async fn by_nodes(&self, nodes: Vec<RedisAddress>) -> Result<Map, Failure> {
        let mut question = redis::pipe();
        question.cmd("CLUSTER").arg("SLOTS");
        let (answers, failures) = self.ask_all(&nodes, &question).await;
        let read = |(asked, answer): &(RedisAddress, Value)| ranges(asked, answer);
        let ranges: Vec<Ranges> = answers.iter().filter_map(read).collect();
        if ranges.is_empty() {
            let none = "no node says what the cluster looks like".to_owned();
            return Err(Failure::NotDone(in_words(none, &failures)));
        }
        Ok(Map::of_most(&ranges))
    }

    /// Asks all at once. Who is silent is waited for until another has answered, and a little longer.
    async fn ask_all(
        &self,
        nodes: &[RedisAddress],
        question: &Pipeline,
    ) -> (Vec<(RedisAddress, Value)>, Vec<Failure>) {
        let mut asking = JoinSet::new();
        for node in nodes {
            let connection = self.connections.lock().await.get(node).cloned();
            let one = One {
                common: Arc::clone(&self.common),
                node: node.clone(),
                connection,
            };
            asking.spawn(one.ask(question.clone()));
        }
        let (mut answers, mut failures) = (Vec::new(), Vec::new());
        let patience = self.common.settings.connect_timeout + self.common.settings.response_timeout;
        loop {
            let limit = if answers.is_empty() { patience } else { OTHERS };
            match timeout(limit, asking.join_next()).await {
                Ok(Some(Ok((node, Ok((connection, answer)))))) => {
                    self.connections
                        .lock()
                        .await
                        .insert(node.clone(), connection);
                    answers.push((node, answer));
                }
                Ok(Some(Ok((node, Err(failure))))) => {
                    self.connections.lock().await.remove(&node);
                    failures.push(failure);
                }
                Ok(Some(Err(_))) => {}
                Ok(None) | Err(_) => break,
            }
        }
        let mut connections = self.connections.lock().await;
        connections.retain(|node, _| answers.iter().any(|(answered, _)| answered == node));
        drop(connections);
        (answers, failures)
    }
}

/// One who is asked.
struct One {
    common: Arc<Common>,
    node: RedisAddress,
    connection: Option<Arc<Connection>>,
}

impl One {
    async fn ask(
        self,
        question: Pipeline,
    ) -> (RedisAddress, Result<(Arc<Connection>, Value), Failure>) {
        let answer = self.answer(&question).await;
        (self.node, answer)
    }

    async fn answer(&self, question: &Pipeline) -> Result<(Arc<Connection>, Value), Failure> {
        let connection = match &self.connection {
            Some(connection) => Arc::clone(connection),
            None => Arc::new(self.connect().await?),
        };
        let limit = self.common.settings.response_timeout;
        let answers = connection.ask(question, limit).await;
        let mut answers = answers.map_err(|error| Failure::of_connection(&self.node, &error))?;
        match answers.pop() {
            Some(Value::ServerError(error)) => Err(Failure::of_server(&self.node, &error)),
            Some(answer) => Ok((connection, answer)),
            None => Err(Failure::NotDone(format!("`{}` says nothing", self.node))),
        }
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        match &self.common.settings.servers {
            RedisServers::Sentinel { .. } => self.common.connector.sentinel(&self.node).await,
            RedisServers::One(_) | RedisServers::Cluster(_) => {
                self.common.connector.scout(&self.node).await
            }
        }
    }
}

fn in_words(what: String, failures: &[Failure]) -> String {
    let causes: Vec<String> = failures.iter().map(Failure::words).collect();
    if causes.is_empty() {
        what
    } else {
        format!("{what}: {}", causes.join("; "))
    }
}

/// The address that a Sentinel names.
fn sentinels_word(answer: &Value) -> Option<RedisAddress> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let [host, port] = parts.as_slice() else {
        return None;
    };
    Some(RedisAddress {
        host: text(host)?,
        port: text(port)?.parse().ok()?,
    })
}

/// What `CLUSTER SLOTS` answers: `[[first, last, [host, port, …], [host, port, …]…]…]`, the primary first.
fn ranges(asked: &RedisAddress, answer: &Value) -> Option<Ranges> {
    let Value::Array(rows) = answer else {
        return None;
    };
    let range = |row: &Value| {
        let Value::Array(parts) = row else {
            return None;
        };
        let [Value::Int(first), Value::Int(last), primary, replicas @ ..] = parts.as_slice() else {
            return None;
        };
        Some(Range {
            first: u16::try_from(*first).ok()?,
            last: u16::try_from(*last).ok()?,
            primary: node(asked, primary)?,
            replicas: replicas.iter().filter_map(|one| node(asked, one)).collect(),
        })
    };
    rows.iter().map(range).collect::<Option<_>>().map(Ranges)
}

/// A node of the answer. One that does not know its own address is the one that was asked.
fn node(asked: &RedisAddress, value: &Value) -> Option<RedisAddress> {
    let Value::Array(parts) = value else {
        return None;
    };
    let [host, Value::Int(port), ..] = parts.as_slice() else {
        return None;
    };
    let host = text(host).filter(|host| !host.is_empty() && host != "?");
    Some(RedisAddress {
        host: host.unwrap_or_else(|| asked.host.clone()),
        port: u16::try_from(*port).ok()?,
    })
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> RedisAddress {
        RedisAddress {
            host: "127.0.0.1".into(),
            port,
        }
    }

    fn range(first: u16, last: u16, primary: u16) -> Range {
        Range {
            first,
            last,
            primary: address(primary),
            replicas: vec![address(primary + 1000)],
        }
    }

    #[test]
    fn the_map_is_what_most_nodes_say() {
        let stale = Ranges(vec![range(0, 99, 1), range(100, SLOTS - 1, 2)]);
        let now = || Ranges(vec![range(0, 99, 3), range(100, SLOTS - 1, 2)]);
        let map = Map::of_most(&[stale, now(), now()]);
        assert_eq!(map.primary(0), Some(&address(3)));
        assert_eq!(map.primary(99), Some(&address(3)));
        assert_eq!(map.primary(100), Some(&address(2)));
        assert!(map.is_whole());
        assert!(map.known.contains(&address(1002)));
    }

    #[test]
    fn a_slot_without_a_primary_is_told() {
        let map = Map::of_most(&[Ranges(vec![range(0, 99, 1)])]);
        assert_eq!(map.primary(100), None);
        assert!(!map.is_whole());
    }

    #[test]
    fn a_node_that_does_not_know_its_address_is_the_one_that_was_asked() {
        let row = |host| Value::Array(vec![host, Value::Int(7001)]);
        for host in [
            Value::Nil,
            Value::BulkString(Vec::new()),
            Value::BulkString(b"?".to_vec()),
        ] {
            assert_eq!(node(&address(1), &row(host)), Some(address(7001)));
        }
        let named = row(Value::BulkString(b"a.example".to_vec()));
        assert_eq!(
            node(&address(1), &named).unwrap().to_string(),
            "a.example:7001"
        );
    }
}
