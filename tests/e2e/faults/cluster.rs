//! Three brokers on a Redis Cluster of six nodes, whose nodes are killed, frozen, restarted and cut off.

use std::thread::sleep;
use std::time::Duration;

use countersign_tests::Sides;
use countersign_tests::redis::RedisCluster;
use tokio::time::Instant;

use super::site::Site;
use super::{Fault, go_through_all, in_background};

/// One broker is cut off together with a primary, and two are with the rest. Nobody else is in these groups.
const SIDES: Sides = Sides {
    with_the_node: 77_001,
    with_the_others: 77_002,
};

#[derive(Debug, Clone, Copy)]
enum ClusterFault {
    ReplicaKilled,
    PrimaryKilled,
    PrimaryFrozen,
    AllRestarted,
    Partition,
}

impl Fault for ClusterFault {
    type Servers = RedisCluster;

    const ALL: &[Self] = &[
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
    let groups = [
        SIDES.with_the_node,
        SIDES.with_the_others,
        SIDES.with_the_others,
    ];
    go_through_all::<ClusterFault>(cluster, &site, (&lines, groups.map(Some))).await;
}
