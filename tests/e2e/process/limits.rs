//! Limits as an operator sees them: configured, logged, counted, and of nobody is an address kept.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_tests::{Installation, wire};

const ADDRESS: &str = "198.51.100.77";

async fn guess(here: &Installation, secret: &str) -> u16 {
    let basic = format!("Basic {}", STANDARD.encode(format!("gallery:{secret}")));
    let headers = [
        ("authorization", basic.as_str()),
        ("x-forwarded-for", ADDRESS),
    ];
    let page = wire::send("POST", &here.issuer, "/introspect", &headers, "token=x").await;
    page.status
}

#[actix_web::test]
async fn a_limit_that_is_reached_is_told_once_and_counted_and_no_address_is_kept() {
    let here = Installation::alone();
    here.replace(
        "countersign.toml",
        "data_dir = \"data\"",
        "data_dir = \"data\"\ntrusted_proxies = [\"127.0.0.0/8\"]",
    );
    here.replace(
        "countersign.toml",
        "[log]",
        "[limits]\nbad_secrets_per_minute = 2\n[log]",
    );
    let mut program = here.start();
    for expected in [401, 401, 429, 429, 429] {
        assert_eq!(guess(&here, "guessed").await, expected);
    }
    let metrics = program.metrics().await;
    let counted = "countersign_requests_limited_total{limit=\"bad-secrets\"} 3";
    assert!(metrics.contains(counted), "{metrics}");
    program.terminate();
    assert_eq!(program.ended().await.code(), Some(0));
    let log = program.log();
    assert_eq!(log.matches("\"limit-reached\"").count(), 1, "{log}");
    assert!(!log.contains("addresses-unknown"), "{log}");
    assert!(!log.contains(ADDRESS) && !log.contains("guessed"), "{log}");
    for file in fs::read_dir(here.path("data")).expect("files") {
        let bytes = fs::read(file.expect("a file").path()).expect("a file");
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(ADDRESS), "the address is kept");
    }
}

#[actix_web::test]
async fn it_is_said_when_addresses_are_not_known() {
    let here = Installation::alone();
    let output = here.run_on_file("check");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("nothing is limited by address"), "{told}");
    let program = here.start();
    program.logs("addresses-unknown").await;
    let data = "data_dir = \"data\"";
    here.replace(
        "countersign.toml",
        data,
        &format!("{data}\ntrusted_proxies = []"),
    );
    let output = here.run_on_file("check");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("those of the connections"), "{told}");
}
