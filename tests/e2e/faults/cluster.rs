//! Three brokers on a Redis Cluster of six nodes, whose nodes are killed, frozen, restarted and cut off.

use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use countersign_tests::redis::RedisCluster;
use countersign_tests::{Program, Sides};
use tokio::time::Instant;

use super::person::Person;
use super::site::{Servers, Site};
use super::tally::{Table, Tally};
use super::{hold, look_for_all, rounds, settle, under_load};

/// How long nobody may get in, at most: a cluster of the tests changes its primary in two seconds, on a busy machine in more.
const LONGEST_GAP: Duration = Duration::from_secs(30);

/// One broker is cut off together with a primary, and two are with the rest. Nobody else is in these groups.
const SIDES: Sides = Sides {
    with_the_node: 77_001,
    with_the_others: 77_002,
};

#[derive(Debug, Clone, Copy)]
enum Fault {
    ReplicaKilled,
    PrimaryKilled,
    PrimaryFrozen,
    AllRestarted,
    Partition,
}

impl Fault {
    const ALL: [Self; 5] = [
        Self::ReplicaKilled,
        Self::PrimaryKilled,
        Self::PrimaryFrozen,
        Self::AllRestarted,
        Self::Partition,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::ReplicaKilled => "`kill -9` of a replica",
            Self::PrimaryKilled => "`kill -9` of a primary",
            Self::PrimaryFrozen => "a primary is frozen and goes on",
            Self::AllRestarted => "`kill -9` of all six nodes",
            Self::Partition => "a primary and a broker are cut off from the rest",
        }
    }

    /// Breaks it, and mends it again. Says how long it took until a replica was primary, where one must.
    fn happen(self, cluster: &mut RedisCluster, hold: Duration) -> Option<Duration> {
        let (primary, replica) = cluster.primary_and_replica();
        let began = Instant::now();
        let taken_over = |cluster: &RedisCluster| {
            cluster.until_primary(replica);
            let after = began.elapsed();
            sleep(hold);
            Some(after)
        };
        let after = match self {
            Self::ReplicaKilled => {
                cluster.nodes[replica].kill();
                sleep(hold);
                cluster.nodes[replica].start_again();
                None
            }
            Self::PrimaryKilled => {
                cluster.nodes[primary].kill();
                let after = taken_over(cluster);
                cluster.nodes[primary].start_again();
                after
            }
            Self::PrimaryFrozen => {
                cluster.nodes[primary].freeze();
                let after = taken_over(cluster);
                cluster.nodes[primary].thaw();
                after
            }
            Self::AllRestarted => {
                for node in &mut cluster.nodes {
                    node.kill();
                }
                sleep(hold);
                for node in &mut cluster.nodes {
                    node.start_again();
                }
                None
            }
            Self::Partition => {
                let partition = cluster.cut_off(primary, SIDES);
                let after = taken_over(cluster);
                partition.heal();
                after
            }
        };
        cluster.until_whole();
        after
    }
}

#[actix_web::test]
async fn a_cluster_loses_nothing_and_nothing_is_good_twice() {
    let cluster = in_background(RedisCluster::start).await;
    let site = Site::new().await;
    let nodes: Vec<String> = cluster
        .nodes
        .iter()
        .map(|node| format!("\"{}\"", node.address))
        .collect();
    let lines = format!("cluster = [{}]", nodes.join(", "));
    site.installation.keep_in_redis(&lines);
    let groups = [
        SIDES.with_the_node,
        SIDES.with_the_others,
        SIDES.with_the_others,
    ];
    let brokers = groups.map(|group| site.installation.start_replica(Some(group)));
    let servers = Rc::new(Servers {
        issuer: site.installation.issuer.clone(),
        each: brokers.iter().map(address).collect(),
        are_mortal: false,
    });
    let mut people: Vec<Person> = Site::accounts()
        .enumerate()
        .map(|(n, account)| Person::new(n, account, &servers))
        .collect();

    let mut table = Table::default();
    let cluster = Arc::new(Mutex::new(cluster));
    for round in 0..rounds() {
        for fault in Fault::ALL {
            let tally = Tally::new();
            let cluster = Arc::clone(&cluster);
            let happening = in_background(move || {
                let mut cluster = cluster.lock().expect("no fault failed before");
                fault.happen(&mut cluster, hold(round))
            });
            let happening = async { tally.taken_over(happening.await) };
            under_load(&mut people, &tally, happening).await;
            look_for_all(&mut people, &tally).await;
            table.add(fault.name(), &tally);
        }
    }
    let tally = Tally::new();
    settle(&mut people, &tally).await;
    table.add("after all of them", &tally);
    table.conclude(LONGEST_GAP);
}

fn address(broker: &Program) -> String {
    broker.issuer.clone()
}

/// Does what blocks while the people go on.
pub(super) async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.expect("what was to be done")
}
