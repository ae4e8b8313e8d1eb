//! The conformance suite, on every kind of Redis.

use std::sync::Arc;

use countersign_store::{KeyPrefix, Redis, RedisSettings, Store, conformance};
use countersign_tests::redis::{RedisCluster, RedisServer, RedisWithSentinel};

#[tokio::test]
async fn one_server_passes_the_suite() {
    let server = RedisServer::start();
    passes(&server.settings()).await;
}

#[tokio::test]
async fn a_primary_behind_sentinel_passes_the_suite() {
    let servers = RedisWithSentinel::start(1);
    passes(&servers.settings()).await;
}

#[tokio::test]
async fn a_cluster_passes_the_suite() {
    let cluster = RedisCluster::start();
    passes(&cluster.settings()).await;
}

/// Each case gets keys of its own.
pub(super) async fn passes(settings: &RedisSettings) {
    let case = std::cell::Cell::new(0);
    conformance::run(async || {
        case.set(case.get() + 1);
        let prefix = format!("{}case-{}:", settings.key_prefix.as_str(), case.get());
        let settings = RedisSettings {
            key_prefix: KeyPrefix::new(&prefix).expect("a prefix"),
            ..settings.clone()
        };
        Arc::new(Redis::new(settings).expect("a store")) as Arc<dyn Store>
    })
    .await;
}
