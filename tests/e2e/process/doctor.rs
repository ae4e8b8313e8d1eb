//! `countersign doctor`: what it says of an installation that is well, and of each way in which one can be ill.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use countersign_dev_idp::{Behaviour, Client, Document, Edit, Endpoint, WireAnswer, WireFault};
use countersign_tests::redis::{RedisCluster, RedisServer};
use countersign_tests::{BrokerSetup, Installation, wire};
use serde_json::{Value, json};

use super::Site;
use crate::redis::access::{PASSWORD, documented_user, make_user};

/// The exit code, and what was found of each thing: its health and all that was said.
fn examined(here: &Installation) -> (Option<i32>, BTreeMap<String, (String, String)>) {
    let file = here.path("countersign.toml").display().to_string();
    let output = here.run(&["doctor", "--json", "--config", &file]);
    let text = String::from_utf8_lossy(&output.stdout);
    for secret in [BrokerSetup::SECRET, Client::DEVELOPMENT_SECRET] {
        assert!(!text.contains(secret), "a secret is in: {text}");
    }
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    });
    let findings = report["findings"].as_array().expect("findings");
    let found = findings.iter().map(|one| {
        let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            one["mend"].is_string(),
            one["health"] != json!("ok"),
            "{one}"
        );
        (
            text("of"),
            (
                text("health"),
                format!("{} {}", text("found"), text("mend")),
            ),
        )
    });
    (output.status.code(), found.collect())
}

/// Checks one finding, by what it is of.
pub(super) fn check(here: &Installation, of: &str, health: &str, said: &str) {
    let (code, found) = examined(here);
    let (is, says) = found
        .get(of)
        .unwrap_or_else(|| panic!("nothing of `{of}` in {found:#?}"));
    assert_eq!(is, health, "{of}: {says}");
    assert!(says.contains(said), "no `{said}` in: {says}");
    let fails = found.values().any(|(health, _)| health == "fail");
    assert_eq!(code, Some(i32::from(fails)), "{found:#?}");
}

fn listener(here: &Installation) -> String {
    // Its issuer is where it listens.
    format!("listener {}", here.issuer.trim_start_matches("http://"))
}

fn private_listener(here: &Installation) -> String {
    format!(
        "private listener {}",
        here.private.trim_start_matches("http://")
    )
}

#[actix_web::test]
async fn a_running_installation_is_well_and_is_told_what_to_register() {
    let site = Site::new().await;
    let here = &site.installation;
    let program = here.start();
    site.code().await;
    let before = program.metrics().await;
    let (code, mut found) = examined(here);
    // How much room this machine has is not the test's affair.
    let disk = found
        .remove("disk of the data directory")
        .expect("the room");
    assert!(disk.1.contains("MiB are free"), "{disk:?}");
    assert_eq!(code == Some(0), disk.0 != "fail", "{found:#?}");
    let clock = "provider oidc: clock".to_owned();
    for of in [
        "files".to_owned(),
        "data directory".into(),
        "store".into(),
        "key sign-es256".into(),
        listener(here),
        private_listener(here),
        format!("issuer {}", here.issuer),
        format!("client gallery: {}", BrokerSetup::REDIRECT_URI),
        "provider oidc: description".into(),
        "provider oidc: key set".into(),
        "provider oidc: sign-in page".into(),
        clock,
        "provider microsoft: key set".into(),
        "provider github: API".into(),
    ] {
        let (health, said) = found
            .get(&of)
            .unwrap_or_else(|| panic!("nothing of `{of}`: {found:#?}"));
        assert_eq!(health, "ok", "{of}: {said}");
    }
    let (_, said) = &found["provider microsoft"];
    assert!(
        said.contains(&format!("{}/callback/microsoft", here.issuer)),
        "{said}"
    );
    assert!(
        said.contains("ID tokens") && said.contains("personal Microsoft accounts only"),
        "{said}"
    );
    let (_, store) = &found["store"];
    assert!(store.contains("a server has it open"), "{store}");
    // It has changed nothing, and the server goes on.
    assert_eq!(wire::get(&here.private, "/readyz", &[]).await.status, 200);
    assert!(before.contains("outcome=\"permitted\""), "{before}");
    let output = here.run_on_file("doctor");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("ok    store: "), "{text}");
    assert!(text.trim_end().ends_with(" 0 failed"), "{text}");
}

#[actix_web::test]
async fn an_installation_that_has_never_run_is_told_so() {
    let site = Site::new().await;
    let here = &site.installation;
    check(here, "store", "warn", "there is none yet");
    check(
        here,
        &listener(here),
        "warn",
        "`countersign serve` is not running",
    );
    check(
        here,
        &format!("issuer {}", here.issuer),
        "fail",
        "can't be reached",
    );
    assert!(
        !here.path("data").exists(),
        "the doctor made the data directory"
    );
}

#[actix_web::test]
async fn a_provider_that_is_not_as_it_should_be_is_told_with_what_to_do() {
    let site = Site::new().await;
    let here = &site.installation;
    let oidc = |step: &str| format!("provider oidc: {step}");
    let dated = |time: &str| {
        let headers = vec![("date".to_owned(), time.to_owned())];
        let body = json!({
            "issuer": site.oidc.base_url(),
            "authorization_endpoint": format!("{}/authorize", site.oidc.base_url()),
            "token_endpoint": format!("{}/token", site.oidc.base_url()),
            "jwks_uri": format!("{}/jwks", site.oidc.base_url()),
        });
        WireFault::answering(WireAnswer::Body {
            status: 200,
            content_type: "application/json".into(),
            headers,
            body: body.to_string(),
        })
    };
    let with = |fault: &dyn Fn(&mut Behaviour), of: &str, health: &str, said: &str| {
        site.oidc.control().set(|behaviour| fault(behaviour));
        check(here, of, health, said);
        site.oidc.control().reset();
    };
    let wired = |endpoint: Endpoint, fault: WireFault| {
        move |behaviour: &mut Behaviour| {
            behaviour.wire.insert(endpoint, fault.clone());
        }
    };
    let edited = |document: Document, edit: Edit| {
        move |behaviour: &mut Behaviour| {
            behaviour.edits.insert(document, vec![edit.clone()]);
        }
    };
    let other = Edit::set("issuer", "https://elsewhere.example");
    with(
        &edited(Document::Discovery, other),
        &oidc("description"),
        "fail",
        "another issuer",
    );
    let elsewhere = Edit::set("authorization_endpoint", "javascript:alert(1)");
    with(
        &edited(Document::Discovery, elsewhere),
        &oidc("description"),
        "fail",
        "private_hosts",
    );
    let none = Edit::set("keys", json!([]));
    with(
        &edited(Document::Jwks, none),
        &oidc("key set"),
        "fail",
        "id_token_signed_response_alg",
    );
    let down = || WireFault::status(503);
    with(
        &wired(Endpoint::Discovery, down()),
        &oidc("description"),
        "fail",
        "status page",
    );
    with(
        &wired(Endpoint::Jwks, down()),
        &oidc("key set"),
        "fail",
        "can't answer now",
    );
    with(
        &wired(Endpoint::Authorize, down()),
        &oidc("sign-in page"),
        "fail",
        "can't answer now",
    );
    let slow = WireFault::slow(Duration::from_millis(2_300));
    with(
        &wired(Endpoint::Jwks, slow),
        &oidc("key set"),
        "warn",
        "people wait",
    );
    let late = dated("Sun, 01 Nov 2020 10:00:00 GMT");
    with(
        &wired(Endpoint::Discovery, late),
        &oidc("clock"),
        "fail",
        "timedatectl",
    );
}

#[actix_web::test]
async fn a_provider_that_nobody_can_reach_is_told_and_the_others_are_asked_all_the_same() {
    let mut site = Site::new().await;
    site.installation = Installation::new([
        "http://127.0.0.2:9",
        site.microsoft.base_url(),
        site.github.base_url(),
    ]);
    let here = &site.installation;
    check(here, "provider oidc: description", "fail", "firewall");
    check(here, "provider microsoft: description", "ok", "answers");
}

#[actix_web::test]
async fn what_others_could_use_and_what_is_spoilt_is_told() {
    let site = Site::new().await;
    let here = &site.installation;
    let program = here.start();
    program.kill();
    let data = here.path("data");
    fs::set_permissions(&data, Permissions::from_mode(0o755)).expect("its permissions");
    check(here, "data directory", "fail", "chmod 700");
    check(here, "store", "fail", "chmod 700");
    fs::set_permissions(&data, Permissions::from_mode(0o700)).expect("its permissions");
    check(here, "store", "ok", "no server has it open");
    fs::write(data.join("durable.db"), "spoilt".repeat(2_000)).expect("garbage");
    check(here, "store", "fail", "");
}

#[actix_web::test]
async fn a_listener_that_is_anothers_is_told() {
    let site = Site::new().await;
    let here = &site.installation;
    let address = here.issuer.trim_start_matches("http://");
    let other = TcpListener::bind(address).expect("the address");
    let answering = std::thread::spawn(move || {
        use std::io::{Read, Write};
        for stream in other.incoming().take(4) {
            let mut stream = stream.expect("a connection");
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}");
        }
    });
    check(here, &listener(here), "fail", "something else");
    drop(answering);
    let site = Site::new().await;
    let here = &site.installation;
    let _program = here.start();
    let issuer = format!("issuer = \"{}\"", here.issuer);
    here.replace(
        "countersign.toml",
        &issuer,
        "issuer = \"http://127.0.0.1:9\"",
    );
    check(here, &listener(here), "fail", "another issuer");
}

#[actix_web::test]
async fn a_server_that_is_stopping_and_a_client_by_number_are_told() {
    let site = Site::new().await;
    let here = &site.installation;
    here.replace(
        "countersign.toml",
        "data_dir = \"data\"",
        "data_dir = \"data\"\ndrain_delay = \"5m\"",
    );
    here.replace(
        "countersign.toml",
        BrokerSetup::REDIRECT_URI,
        "https://203.0.113.7/callback\", \"https://nobody.invalid/callback",
    );
    let program = here.start();
    program.terminate();
    program
        .readyz(|body| body["status"] == json!("stopping"))
        .await;
    check(here, &private_listener(here), "fail", "stopping");
    check(
        here,
        "client gallery: https://203.0.113.7/callback",
        "warn",
        "number",
    );
    check(
        here,
        "client gallery: https://nobody.invalid/callback",
        "warn",
        "name server",
    );
}

#[actix_web::test]
async fn files_that_do_not_load_end_it_with_every_mistake() {
    let here = Installation::alone();
    here.replace("countersign.toml", "level = \"trace\"", "level = \"loud\"");
    let output = here.run_on_file("doctor");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("`log.level`"), "{said}");
}

/// Keeps everything there, as the user that the documentation describes.
fn keep_in_redis(here: &Installation, servers: &str) {
    here.write("redis.password", &format!("{PASSWORD}\n"));
    let login = "user = \"countersign\"\npassword = { file = \"redis.password\" }";
    here.keep_in_redis(&format!("{servers}\n{login}"));
}

#[actix_web::test]
async fn a_redis_that_is_well_is_said_to_be_with_its_keys_and_its_clock() {
    let redis = RedisServer::start();
    make_user(&redis, &documented_user());
    let site = Site::new().await;
    let here = &site.installation;
    keep_in_redis(here, &format!("address = \"{}\"", redis.address));
    let _program = here.start();
    let kept = redis.ask(&["DBSIZE"]);
    let (code, found) = examined(here);
    for (of, expected) in [
        ("store".to_owned(), "can be used by `countersign`"),
        (format!("redis {}", redis.address), "version 7.0"),
        (format!("redis {}: clock", redis.address), "the same"),
        ("key sign-es256".to_owned(), "made 0 days ago"),
    ] {
        let (health, said) = &found[&of];
        assert_eq!(health, "ok", "{of}: {said}");
        assert!(said.contains(expected), "{of}: {said}");
    }
    assert_eq!(code, Some(0), "{found:#?}");
    assert_eq!(redis.ask(&["DBSIZE"]), kept, "it has written something");
}

#[actix_web::test]
async fn each_way_in_which_redis_can_be_ill_is_told_with_what_to_mend() {
    let redis = RedisServer::start();
    let user = documented_user();
    make_user(&redis, &user);
    let of = format!("redis {}", redis.address);
    let site = Site::new().await;
    let here = &site.installation;
    keep_in_redis(here, &format!("address = \"{}\"", redis.address));

    redis.ask(&["CONFIG", "SET", "appendonly", "no"]);
    check(here, &of, "warn", "set `appendonly yes`");
    redis.ask(&["CONFIG", "SET", "appendonly", "yes"]);
    redis.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    check(here, &of, "warn", "set `maxmemory-policy noeviction`");
    redis.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);

    here.replace("countersign.toml", "user = ", "replicas = 1\nuser = ");
    check(here, &of, "fail", "has 0 replicas, and writes wait for 1");
    here.replace("countersign.toml", "replicas = 1\nuser = ", "user = ");

    for (right, said) in [
        ("-hset", "may not run hset"),
        ("-zadd", "may not run hset, zadd"),
        ("-eval", "eval"),
        ("-info", "info"),
    ] {
        make_user(
            &redis,
            &["ACL", "SETUSER", "countersign", right].map(str::to_owned),
        );
        check(here, "store", "fail", said);
    }
    make_user(&redis, &user);
    let other_keys = ["ACL", "SETUSER", "countersign", "resetkeys", "~other:*"];
    make_user(&redis, &other_keys.map(str::to_owned));
    check(here, "store", "fail", "on keys that begin with");
    make_user(&redis, &user);
    check(here, "store", "ok", "can be used");

    here.write("redis.password", "another password\n");
    check(here, "store", "fail", &redis.address.to_string());
    here.write("redis.password", &format!("{PASSWORD}\n"));
    drop(redis);
    check(here, "store", "fail", "every primary must run");
}

#[actix_web::test]
async fn a_right_that_one_node_of_a_cluster_does_not_give_is_found() {
    let cluster = RedisCluster::start();
    for node in &cluster.nodes {
        make_user(node, &documented_user());
    }
    let site = Site::new().await;
    let here = &site.installation;
    let seeds = format!("cluster = [\"{}\"]", cluster.nodes[0].address);
    keep_in_redis(here, &seeds);
    check(here, "store", "ok", "can be used");
    for primary in &cluster.nodes[..3] {
        check(
            here,
            &format!("redis {}", primary.address),
            "ok",
            "replicas: 1",
        );
    }
    let fewer = ["ACL", "SETUSER", "countersign", "-hincrby"];
    make_user(&cluster.nodes[2], &fewer.map(str::to_owned));
    check(here, "store", "fail", "may not run hincrby");
}
