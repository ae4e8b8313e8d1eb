//! `countersign keys`, and keys that are sealed where they are kept.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_store::{Embedded, Store, StoredKey};
use countersign_tests::{Installation, wire};
use serde_json::Value;

const MASTER: &str = "q7Rr0Yt1bZ7gq0t4xk5l8m2n3p6s9v0w1y2z3A4B5C=";
const OTHER: &str = "A4B5C6D7E8F9G0H1I2J3K4L5M6N7O8P9Q0R1S2T3U4=";

fn keys(here: &Installation, arguments: &[&str]) -> (Option<i32>, String, String) {
    let file = here.path("countersign.toml").display().to_string();
    let output = here.run(&[&["keys"][..], arguments, &["--config", &file]].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn list(here: &Installation) -> Vec<Value> {
    let (code, out, err) = keys(here, &["list", "--json"]);
    assert_eq!(code, Some(0), "{err}");
    serde_json::from_str(&out).expect("JSON")
}

fn current(here: &Installation, name: &str) -> String {
    let all = list(here);
    let found = all
        .iter()
        .find(|key| key["name"] == name && key["state"] == "current");
    let found = found.unwrap_or_else(|| panic!("no current `{name}` in {all:?}"));
    found["id"].as_str().expect("an id").to_owned()
}

fn set(here: &Installation, section: &str) {
    let file = here.path("countersign.toml");
    let text = fs::read_to_string(file).expect("the file");
    let (before, after) = match text.split_once("[keys]\n") {
        Some((before, rest)) => (before, rest.split_once("[log]").expect("a section").1),
        None => text.split_once("[log]").expect("a section"),
    };
    here.write(
        "countersign.toml",
        &format!("{before}[keys]\n{section}\n[log]{after}"),
    );
}

async fn stored(here: &Installation) -> Vec<StoredKey> {
    let store = Embedded::open_to_look(&here.path("data")).expect("a store");
    Arc::new(store).list_keys().await.expect("its keys")
}

/// The secret part of every key in the store, as it is written there unsealed and as bytes.
async fn secrets(here: &Installation) -> Vec<Vec<u8>> {
    let mut secrets = Vec::new();
    for key in stored(here).await {
        let text = String::from_utf8(key.material.0).expect("unsealed");
        let json = text.strip_prefix("countersign-keys-1\n").expect("unsealed");
        let ring: Value = serde_json::from_str(json).expect("JSON");
        for key in ring["keys"].as_array().expect("keys") {
            let text = key["material"].as_str().expect("a key");
            let bytes = STANDARD.decode(text).expect("base64");
            // From the end: a private key begins with what all have in common.
            secrets.push(text.as_bytes()[text.len() - 24..].to_vec());
            secrets.push(bytes[bytes.len() - 16..].to_vec());
        }
    }
    assert!(secrets.len() >= 10, "{}", secrets.len());
    secrets
}

fn assert_hidden(here: &Installation, secrets: &[Vec<u8>]) {
    for file in fs::read_dir(here.path("data")).expect("files") {
        let file = file.expect("a file").path();
        let bytes = fs::read(&file).expect("a file");
        for secret in secrets {
            let is_there = bytes.windows(secret.len()).any(|part| part == secret);
            assert!(!is_there, "a key stands in {}", file.display());
        }
    }
}

async fn run_and_stop(here: &Installation) {
    let mut program = here.start();
    program.terminate();
    let status = program.ended().await;
    assert_eq!(status.code(), Some(0), "{}", program.log());
}

#[actix_web::test]
async fn keys_are_sealed_at_the_first_start_with_a_master_secret_and_none_is_left_in_the_files() {
    let here = Installation::alone();
    run_and_stop(&here).await;
    let secrets = secrets(&here).await;
    let before = current(&here, "sign-es256");
    here.write("master.secret", MASTER);
    set(&here, "master_secret = { file = \"master.secret\" }");
    run_and_stop(&here).await;
    assert_hidden(&here, &secrets);
    assert_eq!(current(&here, "sign-es256"), before);
    assert!(
        list(&here)
            .iter()
            .all(|key| key["sealed_under"].is_string())
    );
    // One that was made sealed is nowhere either, and neither secret is told.
    let (code, out, err) = keys(&here, &["list"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("calendar"), "{out}");
    assert!(!out.contains(MASTER) && !err.contains(MASTER));
    // Changed: the old one still opens, `reseal` writes under the new one.
    here.write("other.secret", OTHER);
    let both = "master_secret = { file = \"other.secret\" }\nprevious_master_secret = { file = \"master.secret\" }";
    set(&here, both);
    let (code, out, err) = keys(&here, &["reseal"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("sealed anew"), "{out}");
    set(&here, "master_secret = { file = \"other.secret\" }");
    run_and_stop(&here).await;
    assert_hidden(&here, &secrets);
    assert_eq!(current(&here, "sign-es256"), before);
    // And unsealed again, where somebody says so twice.
    set(
        &here,
        "previous_master_secret = { file = \"other.secret\" }",
    );
    let (code, _, err) = keys(&here, &["reseal"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("--plain"), "{err}");
    let (code, _, err) = keys(&here, &["reseal", "--plain"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(list(&here).iter().all(|key| key["sealed_under"].is_null()));
}

#[actix_web::test]
async fn a_wrong_or_missing_master_secret_is_said_and_nothing_is_touched() {
    let here = Installation::alone();
    here.write("master.secret", MASTER);
    set(&here, "master_secret = { file = \"master.secret\" }");
    run_and_stop(&here).await;
    let before = stored(&here).await;
    here.write("other.secret", OTHER);
    for section in [
        "master_secret = { file = \"other.secret\" }",
        "rotate = \"never\"",
    ] {
        set(&here, section);
        let output = here.run_on_file("serve");
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(log.contains("keys.master_secret"), "{log}");
        for arguments in [&["list"][..], &["rotate"], &["retire", "x", "--yes"]] {
            let (code, out, err) = keys(&here, arguments);
            assert_eq!((code, out.as_str()), (Some(1), ""), "{arguments:?}");
            assert!(err.contains("keys.master_secret"), "{err}");
        }
    }
    assert_eq!(stored(&here).await, before);
}

#[test]
fn there_are_no_keys_to_look_at_before_the_first_start() {
    let here = Installation::alone();
    let (code, _, err) = keys(&here, &["list"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("data"), "{err}");
    assert!(!here.path("data").exists());
}

async fn published(here: &Installation) -> String {
    wire::get(&here.issuer, "/jwks.json", &[]).await.body
}

#[actix_web::test]
async fn keys_are_replaced_and_withdrawn_beside_a_running_server() {
    let here = Installation::alone();
    let program = here.start();
    let first = current(&here, "sign-es256");
    let (code, out, err) = keys(&here, &["rotate", "sign-es256", "seal-aes256gcm"]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(out.lines().count(), 2, "{out}");
    let (_, out, _) = keys(&here, &["rotate", "sign-es256"]);
    assert!(out.contains("as was said before"), "{out}");
    let (code, _, err) = keys(&here, &["rotate", "calendar"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("another day"), "{err}");
    assert_eq!(
        current(&here, "sign-es256"),
        first,
        "the next one is not known long enough"
    );

    let (code, out, err) = keys(&here, &["retire", &first]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(
        err.contains("Every token") && err.contains("--yes"),
        "{err}"
    );
    assert_eq!(current(&here, "sign-es256"), first);
    assert!(published(&here).await.contains(&first));
    let (code, _, err) = keys(&here, &["retire", &first, "--yes"]);
    assert_eq!(code, Some(0), "{err}");
    let second = current(&here, "sign-es256");
    assert_ne!(second, first);
    // The server looks every ten seconds.
    let withdrawn = async {
        loop {
            let set = published(&here).await;
            if set.contains(&second) && !set.contains(&first) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_mins(1), withdrawn).await;
    assert!(in_time.is_ok(), "{}", program.log());
}
