//! The decision log of a serving program: complete after a clean stop, mended after any other.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use countersign_core::{Occasion, Outcome, Reason, Record};
use countersign_tests::Program;
use tokio::task::JoinSet;

use super::Site;

/// The lines of a log, each a decision.
fn records(path: &Path) -> Vec<Record> {
    let text = fs::read_to_string(path).expect("a log");
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    text.lines().map(record).collect()
}

fn record(line: &str) -> Record {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn count(records: &[Record], occasion: Occasion, outcome: Outcome) -> usize {
    let is_one = |one: &&Record| one.occasion == occasion && one.verdict.outcome == outcome;
    records.iter().filter(is_one).count()
}

async fn stop(mut program: Program) -> Program {
    program.terminate();
    let status = program.ended().await;
    assert_eq!(status.code(), Some(0), "{}", program.log());
    program
}

async fn sign_in_and_redeem(site: &Site) {
    let code = site.code().await;
    assert_eq!(site.redeem(&code).await.status, 200);
}

#[actix_web::test]
async fn every_decision_is_a_line_after_a_clean_stop_and_names_nobody() {
    let site = Site::new().await;
    let program = site.installation.start();
    for _ in 0..5 {
        sign_in_and_redeem(&site).await;
    }
    // The one can still be asked for more, the other can't.
    for provider in ["oidc", "github"] {
        let page = site.sign_in(provider, "bob-password", |_, _| {}).await;
        assert_eq!(page.reason_code(), Some("mfa-absent"), "{}", page.body);
    }
    stop(program).await;
    let path = site.installation.path("data/decisions.jsonl");
    let records = records(&path);
    assert_eq!(count(&records, Occasion::SignIn, Outcome::Permit), 5);
    assert_eq!(count(&records, Occasion::Token, Outcome::Permit), 5);
    assert_eq!(count(&records, Occasion::SignIn, Outcome::StepUp), 1);
    assert_eq!(count(&records, Occasion::SignIn, Outcome::Refuse), 1);
    assert_eq!(records.len(), 12);
    assert!(records.is_sorted_by_key(|record| record.time));
    let text = fs::read_to_string(&path).expect("a log");
    for personal in ["@", "ann", "bob", "Ann", "Bob"] {
        assert!(!text.contains(personal), "`{personal}` is in the log");
    }
}

#[actix_web::test]
async fn logins_that_are_under_way_at_the_stop_are_in_the_log_too() {
    let site = Arc::new(Site::new().await);
    let program = site.installation.start();
    let mut logins = JoinSet::new();
    for _ in 0..8 {
        let site = Arc::clone(&site);
        logins.spawn_local(async move { site.code().await });
    }
    let codes = logins.join_all().await;
    stop(program).await;
    let records = records(&site.installation.path("data/decisions.jsonl"));
    assert_eq!(records.len(), codes.len());
}

#[actix_web::test]
async fn kill_minus_nine_leaves_at_most_a_torn_line_which_the_next_start_ends() {
    let site = Site::new().await;
    let path = site.installation.path("data/decisions.jsonl");
    let program = site.installation.start();
    sign_in_and_redeem(&site).await;
    // Handed to the system a moment after the answer.
    while fs::read(&path).expect("a log").is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    program.kill();
    let before = fs::read_to_string(&path).expect("a log");
    let (whole, rest) = before.rsplit_once('\n').expect("a line");
    whole.lines().map(record).for_each(drop);
    assert!(rest.is_empty() || serde_json::from_str::<Record>(rest).is_err());

    let torn = r#"{"v":1,"time":"2027-03-"#;
    let file = File::options().append(true).open(&path);
    write!(file.expect("the log"), "{torn}").expect("a torn line");
    let program = site.installation.start();
    sign_in_and_redeem(&site).await;
    let program = stop(program).await;
    assert!(program.log().contains("decision-log-torn"));
    let after = fs::read_to_string(&path).expect("a log");
    let (kept, new) = after.split_once(&format!("{torn}\n")).expect("it is ended");
    assert_eq!(kept, before);
    assert_eq!(new.lines().map(record).count(), 2);
}

#[actix_web::test]
async fn sighup_makes_a_log_anew_that_was_moved_away() {
    let site = Site::new().await;
    let path = site.installation.path("data/decisions.jsonl");
    let moved = site.installation.path("data/decisions.1");
    let program = site.installation.start();
    sign_in_and_redeem(&site).await;
    while fs::read_to_string(&path).expect("a log").lines().count() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    fs::rename(&path, &moved).expect("it is moved");
    program.hang_up();
    while !path.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sign_in_and_redeem(&site).await;
    stop(program).await;
    assert_eq!(records(&moved).len(), 2);
    assert_eq!(records(&path).len(), 2);
}

#[actix_web::test]
async fn decisions_go_to_stdout_alone_or_nowhere_where_the_file_says_so() {
    let site = Site::new().await;
    let stdout = site.installation.path("stdout");
    for (to, expected) in [("stdout", 2), ("off", 0)] {
        let section = format!("[decision_log]\nto = \"{to}\"\n[log]");
        site.installation
            .replace("countersign.toml", "[log]", &section);
        let file = File::create(&stdout).expect("a file");
        let program = site.installation.start_with_stdout(file);
        sign_in_and_redeem(&site).await;
        stop(program).await;
        assert_eq!(records(&stdout).len(), expected, "{to}");
        assert!(!site.installation.path("data/decisions.jsonl").exists());
        site.installation
            .replace("countersign.toml", &section, "[log]");
    }
}

/// In real time: a minute is the shortest that a provider can be left alone.
#[actix_web::test]
async fn a_login_that_its_provider_withdrew_is_a_line_and_no_token_of_the_provider_s_is_anywhere() {
    let site = Site::new().await;
    let refreshes =
        "name = \"Example Gallery\"\ngrant_types = [\"authorization_code\", \"refresh_token\"]";
    for (old, new) in [
        ("name = \"Example Gallery\"", refreshes),
        (
            "[provider.oidc.oidc]",
            "[provider.oidc.oidc]\nrecheck = \"1m\"",
        ),
        (
            "[provider.github.github]",
            "[provider.github.github]\nrecheck = \"1m\"",
        ),
    ] {
        site.installation.replace("countersign.toml", old, new);
    }
    let program = site.installation.start();
    let mut sessions = Vec::new();
    for provider in ["oidc", "github"] {
        let page = site.sign_in(provider, "ann-mfa", |_, _| {}).await;
        let code = page.sent_with("code").expect("a code");
        sessions.push(site.redeem(&code).await);
    }
    site.github.control().set(|behaviour| {
        let ann = behaviour.github.account_mut("ann-mfa");
        ann.expect("Ann").two_factor = countersign_dev_idp::github::TwoFactor::Off;
    });
    tokio::time::sleep(Duration::from_secs(62)).await;
    let confirmed = site.refresh(sessions[0].text("refresh_token")).await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.body);
    let withdrawn = site.refresh(sessions[1].text("refresh_token")).await;
    assert_eq!(withdrawn.body["error_description"], "provider-withdrew");
    let metrics = program.metrics().await;
    for (provider, outcome) in [("oidc", "confirmed"), ("github", "withdrawn")] {
        let line = format!(
            "countersign_provider_rechecks_total{{provider=\"{provider}\",outcome=\"{outcome}\"}} 1"
        );
        assert!(metrics.contains(&line), "{metrics}");
    }
    let program = stop(program).await;
    let path = site.installation.path("data/decisions.jsonl");
    let records = records(&path);
    let last = records.last().expect("a decision");
    assert_eq!(last.occasion, Occasion::Refresh);
    assert_eq!(last.verdict.rule.as_str(), "recheck");
    assert_eq!(last.verdict.reasons, [Reason::ProviderWithdrew]);
    let log = program.log();
    assert!(
        log.contains("provider-withdrew") && log.contains("provider-confirmed"),
        "{log}"
    );
    // The stand-in has seen the one that we sent it; the others begin alike.
    let requests = site.oidc.control().token_requests();
    let sent = requests.iter().find_map(|one| one.param("refresh_token"));
    let sent = sent.expect("a refresh token").to_owned();
    let decisions = fs::read_to_string(&path).expect("a log");
    for text in [sent.as_str(), "rt_", "gho_"] {
        assert!(
            !log.contains(text) && !decisions.contains(text),
            "`{text}` is in a log"
        );
        for file in ["state.db", "state.db-wal", "durable.db"] {
            let path = site.installation.path(&format!("data/{file}"));
            let bytes = fs::read(path).unwrap_or_default();
            let is_there = bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes());
            assert!(!is_there, "`{text}` is in `{file}`");
        }
    }
}
