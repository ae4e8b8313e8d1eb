//! How Redis is reached: TLS, users, and what is told where it can't be.

use countersign_store::{
    Redis, RedisAddress, RedisLogin, RedisServers, RedisSettings, RedisTls, Store,
};
use countersign_tests::redis::{Certificates, RedisServer};

use super::suite::passes;
use super::{open, unavailable};

/// The page that says which rights are needed.
const STORES: &str = include_str!("../../../docs/stores.md");
pub(crate) const PASSWORD: &str = "password-of-the-tests";

/// What makes the user that the documentation describes, on any keys that a test may have.
pub(crate) fn documented_user() -> Vec<String> {
    let line = STORES
        .lines()
        .find(|line| line.starts_with("ACL SETUSER countersign"));
    let line = line.expect("the rights").replace("PASSWORD", PASSWORD);
    // Every test has keys of its own.
    let line = line.replace("~countersign:*", "~countersign*");
    line.split(' ').map(str::to_owned).collect()
}

pub(crate) fn make_user(server: &RedisServer, words: &[String]) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert_eq!(server.ask(&words).trim(), "OK");
}

fn login(password: &str) -> RedisLogin {
    RedisLogin {
        user: Some("countersign".into()),
        password: Some(password.into()),
    }
}

#[tokio::test]
async fn the_rights_that_the_documentation_names_are_enough() {
    let server = RedisServer::start();
    make_user(&server, &documented_user());
    let settings = RedisSettings {
        login: login(PASSWORD),
        ..server.settings()
    };
    let store = Redis::new(settings.clone()).expect("a store");
    let nodes = store.survey().await.expect("an answer");
    assert!(
        nodes[0].has_aof && nodes[0].warnings(0).is_empty(),
        "{nodes:?}"
    );
    passes(&settings).await;
}

/// So none of them is there for nothing, either.
#[tokio::test]
async fn a_right_that_is_missing_is_named_and_the_password_is_not() {
    let server = RedisServer::start();
    let words = documented_user();
    make_user(&server, &words);
    let settings = |login| RedisSettings {
        login,
        replicas: 1,
        ..server.settings()
    };
    for (right, named) in [
        ("-wait", "wait"),
        ("-zadd", "can't run this command"),
        ("-role", "role"),
    ] {
        let mut fewer = words.clone();
        fewer.push(right.to_owned());
        make_user(&server, &fewer);
        let store = Redis::new(settings(login(PASSWORD))).expect("a store");
        let cause = unavailable(open(&store, 1).await);
        assert!(cause.contains(named), "{right}: {cause}");
        assert!(!cause.contains(PASSWORD));
    }
    let store = Redis::new(settings(login("another password"))).expect("a store");
    let cause = unavailable(open(&store, 1).await);
    assert!(
        cause.contains("WRONGPASS") || cause.contains("uthentication"),
        "{cause}"
    );
    assert!(!cause.contains("another password"), "{cause}");
}

#[tokio::test]
async fn tls_with_certificates_on_both_sides_passes_the_suite() {
    let certificates = Certificates::make();
    let server = certificates.server();
    let settings = server.settings();
    let usual = RedisTls {
        ca: Some(certificates.read("ca.pem")),
        identity: Some((
            certificates.read("own.pem"),
            certificates.read("own.key").into(),
        )),
    };
    passes(&with_tls(&settings, usual.clone())).await;

    let without = RedisTls {
        identity: None,
        ..usual.clone()
    };
    let of_another_ca = RedisTls {
        ca: Some(Certificates::make().read("ca.pem")),
        ..usual
    };
    for (tls, why) in [
        (without, "no certificate of ours"),
        (of_another_ca, "another CA"),
    ] {
        let store = Redis::new(with_tls(&settings, tls)).expect("a store");
        let answer = open(&store, 1).await;
        assert!(answer.is_err(), "{why}");
    }
    let plain = Redis::new(settings).expect("a store");
    assert!(open(&plain, 1).await.is_err(), "without TLS");
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_told_in_time_with_its_address() {
    let nowhere: RedisAddress = "127.0.0.1:9".parse().expect("an address");
    for servers in [
        RedisServers::One(nowhere.clone()),
        RedisServers::Cluster(vec![nowhere.clone()]),
        RedisServers::Sentinel {
            sentinels: vec![nowhere],
            name: "accounts".into(),
        },
    ] {
        let settings = RedisSettings::new(servers);
        let limit = settings.timeout * 2;
        let store = Redis::new(settings).expect("a store");
        let answer = tokio::time::timeout(limit, open(&store, 1)).await;
        let cause = unavailable(answer.expect("an answer in time"));
        assert!(cause.contains("127.0.0.1:9"), "{cause}");
        assert!(store.survey().await.is_err());
        assert!(store.list_keys().await.is_err());
    }
}

fn with_tls(settings: &RedisSettings, tls: RedisTls) -> RedisSettings {
    RedisSettings {
        tls: Some(tls),
        ..settings.clone()
    }
}
