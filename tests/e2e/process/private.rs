//! The private listener: what it tells operators, and that nobody else is told.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use countersign_dev_idp::{Endpoint, WireFault};
use countersign_tests::{Browser, Installation, wire};
use serde_json::{Value, json};

use super::Site;

const PATHS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

#[actix_web::test]
async fn what_is_for_operators_is_on_the_private_listener_alone() {
    let site = Site::new().await;
    let here = &site.installation;
    let _program = here.start();
    for path in PATHS {
        let page = wire::get(&here.private, path, &[]).await;
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        assert_eq!(page.headers["cache-control"], "no-store", "{path}");
        // Neither its own name nor that of the private listener opens the public one.
        let private = here.private.trim_start_matches("http://");
        for headers in [&[][..], &[("host", private)]] {
            let page = wire::get(&here.issuer, path, headers).await;
            assert_eq!(page.status, 404, "{path}");
            assert_eq!(page.reason_code(), Some("not-found"), "{path}");
        }
        let page = wire::send("POST", &here.private, path, &[], "x=1").await;
        assert_eq!(page.status, 404, "{path}");
    }
    for path in [
        "/",
        "/authorize",
        "/jwks.json",
        "/.well-known/openid-configuration",
    ] {
        assert_eq!(
            wire::get(&here.private, path, &[]).await.status,
            404,
            "{path}"
        );
    }
}

#[actix_web::test]
async fn without_an_address_there_is_no_private_listener() {
    let here = Installation::alone();
    let address = here.private.trim_start_matches("http://");
    let line = format!("private_listen = \"{address}\"\n");
    here.replace("countersign.toml", &line, "");
    let program = here.start();
    assert_eq!(wire::get(&here.issuer, "/jwks.json", &[]).await.status, 200);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    assert!(!program.log().contains(address), "{}", program.log());
}

/// The value of this line of the metrics.
fn value<'m>(metrics: &'m str, name: &str) -> Option<&'m str> {
    let mut lines = metrics.lines().filter_map(|line| line.strip_prefix(name));
    lines.next().map(str::trim)
}

#[actix_web::test]
async fn sign_ins_and_tokens_are_counted_and_nobody_is_named() {
    let site = Site::new().await;
    let program = site.installation.start();
    let mut personal = vec!["@".to_owned(), "state-of-the-client".into(), "acct_".into()];
    for _ in 0..2 {
        let tokens = site.redeem(&site.code().await).await;
        personal.push(tokens.id()["sub"].as_str().expect("a subject").to_owned());
    }
    // Who can be sent back for more is asked to step up; GitHub can't be asked for more.
    for provider in ["oidc", "github"] {
        let page = site.sign_in(provider, "bob-password", |_, _| {}).await;
        assert_eq!(page.reason_code(), Some("mfa-absent"), "{}", page.body);
    }
    let page = site.sign_in("microsoft", "mia-mfa", |_, _| {}).await;
    assert!(page.sent_with("code").is_some(), "{}", page.body);
    site.oidc.control().set(|behaviour| {
        let fault = WireFault::status(500);
        behaviour.wire.insert(Endpoint::Token, fault);
    });
    let page = site.sign_in("oidc", "ann-mfa", |_, _| {}).await;
    let failure = page.reason_code().expect("a reason").to_owned();
    assert_eq!(site.redeem("no-such.code").await.status, 400);
    assert_eq!(
        wire::get(&program.issuer, "/nowhere", &[]).await.status,
        404
    );
    let metrics = program.metrics().await;
    let sign_in = |outcome: &str, reason: &str, provider: &str| {
        format!(
            "countersign_sign_ins_total{{outcome=\"{outcome}\",reason=\"{reason}\",provider=\"{provider}\"}}"
        )
    };
    for (name, count) in [
        (sign_in("permitted", "permitted", "oidc"), "2"),
        (sign_in("permitted", "permitted", "microsoft"), "1"),
        (sign_in("stepped-up", "mfa-absent", "oidc"), "1"),
        (sign_in("refused", "mfa-absent", "github"), "1"),
        (sign_in("failed", &failure, "oidc"), "1"),
        (
            "countersign_tokens_issued_total{client=\"gallery\"}".into(),
            "2",
        ),
        (
            "countersign_token_requests_refused_total{reason=\"invalid_grant\"}".into(),
            "1",
        ),
        (
            "countersign_requests_refused_total{reason=\"not-found\"}".into(),
            "1",
        ),
        ("countersign_decision_log_dropped_total".into(), "0"),
    ] {
        assert_eq!(value(&metrics, &name), Some(count), "{name} in: {metrics}");
    }
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    for text in personal {
        assert!(!metrics.contains(&text), "`{text}` is in: {metrics}");
    }
}

/// Overwrites all that stands in a file.
fn spoil(path: &Path) {
    let mut file = File::options().write(true).open(path).expect("a file");
    let length = file.metadata().expect("its length").len();
    let length = usize::try_from(length).expect("a length");
    file.write_all(&vec![0x5a; length]).expect("garbage");
}

#[actix_web::test]
async fn a_store_that_cannot_be_read_makes_the_program_unready_and_not_unhealthy() {
    let here = Installation::alone();
    let program = here.start();
    let (status, body) = program
        .readyz(|body| body["status"] == json!("ready"))
        .await;
    assert_eq!((status, &body["store"]["status"]), (200, &json!("ok")));
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        spoil(&here.path("data").join(file));
    }
    let (status, body) = program
        .readyz(|body| body["status"] == json!("unready"))
        .await;
    assert_eq!((status, &body["store"]["status"]), (503, &json!("failed")));
    assert!(body["store"]["cause"].is_string(), "{body}");
    assert_eq!(wire::get(&here.private, "/healthz", &[]).await.status, 200);
}

#[actix_web::test]
async fn a_program_that_finishes_its_requests_takes_no_more_and_says_so() {
    let site = Site::new().await;
    let mut program = site.installation.start();
    let delay = WireFault::slow(Duration::from_secs(2));
    site.oidc.control().set(|behaviour| {
        behaviour.wire.insert(Endpoint::Token, delay);
    });
    let mut browser = Browser::new();
    let page = browser.get(&site.authorize_url("oidc")).await;
    let mut to = page.location.expect("a way");
    to.query_pairs_mut().append_pair("account", "ann-mfa");
    let answer = browser.get(&to).await.location.expect("a callback");
    let request = tokio::spawn(async move { browser.get(&answer).await });
    while site.oidc.control().endpoint_hits(Endpoint::Token) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    program.terminate();
    let is_stopping = |body: &Value| body["status"] == json!("stopping");
    let (status, _) = program.readyz(is_stopping).await;
    assert_eq!(status, 503);
    let page = request.await.expect("an answer");
    assert!(page.sent_with("code").is_some(), "{}", page.body);
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
}

#[actix_web::test]
async fn requests_are_taken_for_the_drain_delay_and_each_answer_closes_its_connection() {
    let here = Installation::alone();
    let address = here.private.clone();
    let line = format!(
        "private_listen = \"{}\"",
        address.trim_start_matches("http://")
    );
    let delayed = format!("{line}\ndrain_delay = \"2s\"");
    here.replace("countersign.toml", &line, &delayed);
    let mut program = here.start();
    let host = here.issuer.trim_start_matches("http://");
    let request = format!("GET /jwks.json HTTP/1.1\r\nhost: {host}\r\n\r\n");
    program.terminate();
    let is_stopping = |body: &Value| body["status"] == json!("stopping");
    assert_eq!(program.readyz(is_stopping).await.0, 503);
    let page = wire::exchange(&here.issuer, request.as_bytes()).await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert_eq!(page.headers["connection"], "close");
    assert_eq!(wire::get(&address, "/healthz", &[]).await.status, 200);
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
    assert!(program.log().contains("\"code\":\"stopping\""));
}

#[actix_web::test]
async fn a_second_signal_does_not_wait_for_the_drain_delay() {
    let here = Installation::alone();
    let delayed = "data_dir = \"data\"\ndrain_delay = \"5m\"";
    here.replace("countersign.toml", "data_dir = \"data\"", delayed);
    let mut program = here.start();
    program.terminate();
    program.logs("\"code\":\"stopping\"").await;
    program.terminate();
    assert_eq!(program.ended().await.code(), Some(1));
    program.logs("SIGTERM again").await;
}
