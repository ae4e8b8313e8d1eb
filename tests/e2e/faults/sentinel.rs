//! Three brokers on a Redis with two replicas and three Sentinels: its primary is killed, frozen, and replaced though it is well.

use std::thread::sleep;
use std::time::Duration;

use countersign_tests::redis::RedisWithSentinel;
use tokio::time::Instant;

use super::site::Site;
use super::{Fault, go_through_all, in_background};

/// As many as docs/stores.md says: as many as there are.
const REPLICAS: usize = 2;

#[derive(Debug, Clone, Copy)]
enum SentinelFault {
    PrimaryKilled,
    PrimaryFrozen,
    FailOver,
}

impl Fault for SentinelFault {
    type Servers = RedisWithSentinel;

    const ALL: &[Self] = &[Self::PrimaryKilled, Self::PrimaryFrozen, Self::FailOver];

    fn name(self) -> &'static str {
        match self {
            Self::PrimaryKilled => "`kill -9` of the primary",
            Self::PrimaryFrozen => "the primary is frozen and goes on",
            Self::FailOver => "`SENTINEL FAILOVER`",
        }
    }

    /// The old primary comes back as one, and stays so until the Sentinels tell it otherwise.
    fn happen(self, redis: &mut RedisWithSentinel, hold: Duration) -> Option<Duration> {
        let old = redis.primary();
        let began = Instant::now();
        match self {
            Self::PrimaryKilled => redis.nodes[old].kill(),
            Self::PrimaryFrozen => redis.nodes[old].freeze(),
            Self::FailOver => redis.fail_over(),
        }
        redis.until_replaced(old);
        let after = began.elapsed();
        sleep(hold);
        match self {
            Self::PrimaryKilled => redis.nodes[old].start_again(),
            Self::PrimaryFrozen => redis.nodes[old].thaw(),
            Self::FailOver => {}
        }
        redis.until_whole();
        Some(after)
    }
}

#[actix_web::test]
async fn a_redis_with_sentinel_loses_nothing_and_nothing_is_good_twice() {
    let redis = in_background(|| RedisWithSentinel::start(REPLICAS)).await;
    let site = Site::new().await;
    let sentinels = redis.sentinels.iter();
    let sentinels: Vec<String> = sentinels
        .map(|one| format!("\"{}\"", one.address))
        .collect();
    let lines = format!(
        "sentinels = [{}]\nprimary = \"{}\"\nreplicas = {REPLICAS}",
        sentinels.join(", "),
        RedisWithSentinel::NAME
    );
    go_through_all::<SentinelFault>(redis, &site, (&lines, [None; 3])).await;
}
