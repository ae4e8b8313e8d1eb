//! What becomes of what was acknowledged when servers go: the store alone, one fault at a time.

use std::time::Duration;

use countersign_store::conformance::account;
use countersign_store::{Redis, RedisSettings, Store, TakenCode};
use countersign_tests::redis::{RedisCluster, RedisServer, RedisWithSentinel};

use super::{is_fresh, lives, numbered, open, opened_from, take, unavailable};

#[tokio::test]
async fn a_server_that_has_forgotten_the_scripts_is_told_them_again() {
    let server = RedisServer::start();
    let store = Redis::new(server.settings()).expect("a store");
    open(&store, 1).await.expect("opened");
    assert_eq!(server.ask(&["SCRIPT", "FLUSH"]).trim(), "OK");
    assert!(is_fresh(&take(&store, 1).await));
    assert!(matches!(take(&store, 1).await, Ok(TakenCode::Replayed(_))));
}

#[tokio::test]
async fn what_was_acknowledged_survives_the_restart_of_the_only_server() {
    let mut server = RedisServer::start();
    let store = Redis::new(server.settings()).expect("a store");
    for n in 0..50 {
        open(&store, n).await.expect("opened");
    }
    assert!(is_fresh(&take(&store, 1).await));
    server.kill();
    assert!(open(&store, 100).await.is_err(), "nobody is there");
    server.start_again();
    server.until_it_answers();
    for n in 0..50 {
        assert!(lives(&store, n).await, "session {n} was lost");
    }
    assert!(matches!(take(&store, 1).await, Ok(TakenCode::Replayed(_))));
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_in_time() {
    let server = RedisServer::start();
    let settings = server.settings();
    let limit = settings.timeout + Duration::from_secs(1);
    let store = Redis::new(settings).expect("a store");
    open(&store, 1).await.expect("opened");
    server.freeze();
    let id = numbered(1).session.id;
    let reading = tokio::time::timeout(limit, store.session(&id, super::at(1)));
    unavailable(reading.await.expect("an answer in time"));
    let writing = tokio::time::timeout(limit, open(&store, 2));
    unavailable(writing.await.expect("an answer in time"));
    server.thaw();
    assert!(lives(&store, 1).await);
    opened_from(&store, 3).await;
}

#[tokio::test]
async fn what_no_replica_has_is_refused_and_never_good_twice() {
    let mut servers = RedisWithSentinel::start(1);
    let store = Redis::new(servers.settings()).expect("a store");
    open(&store, 1).await.expect("opened");
    servers.nodes[1].kill();
    let cause = unavailable(take(&store, 1).await);
    assert!(cause.contains("0 of 1 replicas"), "{cause}");
    servers.nodes[1].start_again();
    servers.nodes[1].until_it_answers();
    opened_from(&store, 2).await;
    // It was spent, without anybody having it: who comes again is not let in, and the session ends.
    assert!(matches!(take(&store, 1).await, Ok(TakenCode::Replayed(_))));
    assert!(!lives(&store, 1).await);
}

#[tokio::test]
async fn sentinel_leads_to_the_replica_that_took_over() {
    let mut servers = RedisWithSentinel::start(1);
    let store = Redis::new(servers.settings()).expect("a store");
    for n in 0..20 {
        open(&store, n).await.expect("opened");
    }
    store
        .put_account_if_absent(account(1))
        .await
        .expect("an account");
    assert!(is_fresh(&take(&store, 1).await));
    servers.nodes[0].kill();
    until_it_answers(&store).await;
    for n in 0..20 {
        assert!(lives(&store, n).await, "session {n} was lost");
    }
    assert_eq!(
        store.list_accounts(None, 10).await.expect("accounts"),
        [account(1)]
    );
    // It has no replica yet, and so acknowledges nothing.
    let cause = unavailable(open(&store, 30).await);
    assert!(cause.contains("0 of 1 replicas"), "{cause}");
    servers.nodes[0].start_again();
    let last = opened_from(&store, 31).await;
    assert!(is_fresh(&take(&store, last).await));
    assert!(
        matches!(take(&store, 1).await, Ok(TakenCode::Replayed(_))),
        "spent before"
    );
}

/// The primary is frozen with its connections open, replaced, and goes on where it was.
#[tokio::test]
async fn a_primary_that_comes_back_from_a_freeze_is_believed_no_more() {
    let servers = RedisWithSentinel::start(1);
    let store = Redis::new(servers.settings()).expect("a store");
    open(&store, 1).await.expect("opened");
    // Another store that is cut off from the Sentinels, and so never hears of the change.
    let mut deaf = RedisSettings::new(countersign_store::RedisServers::One(
        servers.nodes[0].address.clone(),
    ));
    deaf.key_prefix = servers.settings().key_prefix;
    deaf.replicas = 1;
    servers.nodes[0].freeze();
    until_it_answers(&store).await;
    servers.nodes[0].thaw();
    // Until a Sentinel tells it, it still takes itself for the primary; nobody follows it.
    let deaf = Redis::new(deaf).expect("a store");
    assert!(
        open(&deaf, 2).await.is_err(),
        "acknowledged by a primary that is none"
    );
    opened_from(&store, 3).await;
    assert!(lives(&store, 1).await);
}

#[tokio::test]
async fn slots_that_move_take_their_records_along() {
    let cluster = RedisCluster::start();
    let store = Redis::new(cluster.settings()).expect("a store");
    for n in 0..40 {
        open(&store, n).await.expect("opened");
    }
    let (from, to) = (&cluster.nodes[0], &cluster.nodes[1]);
    let ids = (from.ask(&["CLUSTER", "MYID"]), to.ask(&["CLUSTER", "MYID"]));
    let slot_of = |n| from.ask(&["CLUSTER", "KEYSLOT", numbered(n).session.id.as_str()]);
    let slots = (0..40).map(|n| slot_of(n).trim().to_owned());
    let of_first = |slot: &String| slot.parse::<u16>().is_ok_and(|slot| slot < 5461);
    let moving: Vec<String> = slots.filter(of_first).take(3).collect();
    assert_eq!(moving.len(), 3);
    for slot in moving {
        to.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", ids.0.trim()]);
        from.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", ids.1.trim()]);
        let keys = from.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
        let port = to.address.port.to_string();
        for key in keys.lines() {
            from.ask(&["MIGRATE", &to.address.host, &port, key, "0", "1000"]);
        }
        // The slot is on its way: its old node asks to ask the new one.
        for n in 0..40 {
            assert!(lives(&store, n).await, "session {n} was lost on the way");
        }
        for node in [to, from] {
            node.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", ids.1.trim()]);
        }
    }
    for n in 0..40 {
        assert!(is_fresh(&take(&store, n).await), "code {n} was lost");
    }
}

/// Waits until reads succeed.
async fn until_it_answers(store: &Redis) {
    for _ in 0..200 {
        if store.list_keys().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody took over");
}
