//! A serving program: what it keeps through `kill -9`, how it ends, and what it refuses to begin.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use countersign_dev_idp::{Endpoint, WireFault};
use countersign_tests::{Browser, Installation, wire};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Site;

#[actix_web::test]
async fn the_program_serves_logins_from_files_and_nobody_else_can_read_its_data() {
    let site = Site::new().await;
    let _program = site.installation.start();
    let metadata = site.document("/.well-known/openid-configuration").await;
    assert_eq!(metadata["issuer"], json!(site.installation.issuer));
    for (provider, account) in [
        ("oidc", "ann-mfa"),
        ("microsoft", "mia-mfa"),
        ("github", "ann-mfa"),
    ] {
        let page = site.sign_in(provider, account, |_, _| {}).await;
        let code = page
            .sent_with("code")
            .unwrap_or_else(|| panic!("{provider}: {}", page.body));
        assert_eq!(site.redeem(&code).await.status, 200, "{provider}");
    }
    let data = site.installation.path("data");
    let mode =
        |path: &std::path::Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    let files: Vec<_> = fs::read_dir(&data)
        .expect("files")
        .map(|one| one.expect("a file").path())
        .collect();
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

/// The `kid`s of the key set.
async fn kids(site: &Site) -> BTreeSet<String> {
    let document = site.document("/jwks.json").await;
    let keys = document["keys"].as_array().expect("keys");
    keys.iter()
        .map(|key| key["kid"].as_str().expect("a kid").to_owned())
        .collect()
}

fn subject(claims: &Value) -> String {
    claims["sub"].as_str().expect("a subject").to_owned()
}

#[actix_web::test]
async fn what_was_acknowledged_survives_kill_minus_nine() {
    let site = std::sync::Arc::new(Site::new().await);
    let program = site.installation.start();
    let kids_before = kids(&site).await;
    let spent = site.code().await;
    let tokens = site.redeem(&spent).await;
    let ann = subject(&tokens.id());
    let unspent = site.code().await;
    // Others are on their way when it dies.
    let mut logins = JoinSet::new();
    for _ in 0..8 {
        let url = site.authorize_url("oidc");
        logins.spawn(async move { Browser::new().get(&url).await.status });
    }
    logins.join_next().await;
    program.kill();
    logins.abort_all();

    let _program = site.installation.start();
    // One that waits for its turn may have come meanwhile.
    assert!(kids(&site).await.is_superset(&kids_before), "the keys");
    let access = tokens.text("access_token");
    let page = wire::user_info(&site.installation.issuer, access).await;
    assert_eq!(page.status, 200, "the session");
    assert_eq!(
        subject(&serde_json::from_str(&page.body).expect("JSON")),
        ann
    );
    let again = site.redeem(&unspent).await;
    assert_eq!(again.status, 200, "the code: {}", again.body);
    assert_eq!(subject(&again.id()), ann, "the account");
    let new_login = site.redeem(&site.code().await).await;
    assert_eq!(
        subject(&new_login.id()),
        ann,
        "the account after the restart"
    );
    let replayed = site.redeem(&spent).await;
    assert_eq!(
        replayed.body["error"],
        json!("invalid_grant"),
        "a spent code"
    );
    let page = wire::user_info(&site.installation.issuer, access).await;
    assert_eq!(page.status, 401, "a code that came twice ends its session");
}

/// A client refreshes all the time, and the program is killed under it again and again. The client keeps
/// the last token that it got; where the answer was lost it presents that one again.
#[actix_web::test]
async fn no_refresh_that_was_acknowledged_is_lost_to_kill_minus_nine() {
    let site = std::sync::Arc::new(Site::new().await);
    let grants = "[client.gallery]\ngrant_types = [\"authorization_code\", \"refresh_token\"]";
    site.installation
        .replace("countersign.toml", "[client.gallery]", grants);
    let mut program = site.installation.start();
    let first = site.redeem(&site.code().await).await;
    let spent = first.text("refresh_token").to_owned();
    let mut good = spent.clone();
    let mut lost = 0;
    for round in 0..6 {
        let on_its_way = {
            let (site, token) = (std::sync::Arc::clone(&site), good.clone());
            // The program may be gone before it answers.
            tokio::task::spawn_local(async move { site.refresh(&token).await })
        };
        // From too early for the request to arrive, to late enough for it to be answered.
        tokio::time::sleep(Duration::from_millis(3 * round)).await;
        program.kill();
        let answered = tokio::time::timeout(Duration::from_secs(5), on_its_way).await;
        program = site.installation.start();
        if let Ok(Ok(tokens)) = answered
            && tokens.status == 200
        {
            tokens.text("refresh_token").clone_into(&mut good);
        } else {
            lost += 1;
        }
        good = refreshed(&site, &good).await;
    }
    assert!(lost > 0, "it was never killed in time");
    // Nor is it forgotten what was spent.
    let replayed = site.refresh(&spent).await;
    assert_eq!(replayed.body["error"], json!("invalid_grant"));
    let ended = site.refresh(&good).await;
    assert_eq!(ended.body["error"], json!("invalid_grant"));
}

/// The next refresh token; asks again for as long as it is told to wait.
async fn refreshed(site: &Site, token: &str) -> String {
    loop {
        let tokens = site.refresh(token).await;
        match tokens.status {
            200 => return tokens.text("refresh_token").to_owned(),
            429 => tokio::time::sleep(Duration::from_millis(500)).await,
            other => panic!("{other}: {}", tokens.body),
        }
    }
}

#[actix_web::test]
async fn an_attempt_that_was_begun_before_a_restart_ends_after_it() {
    let site = Site::new().await;
    let program = site.installation.start();
    let mut browser = Browser::new();
    let page = browser.get(&site.authorize_url("oidc")).await;
    program.kill();
    let _program = site.installation.start();
    let mut to = page.location.expect("a way to the provider");
    to.query_pairs_mut().append_pair("account", "ann-mfa");
    let answer = browser.get(&to).await.location.expect("a callback");
    let page = browser.get(&answer).await;
    assert!(page.sent_with("code").is_some(), "{}", page.body);
}

#[actix_web::test]
async fn a_provider_that_was_taken_out_finishes_no_login_that_it_began() {
    let site = Site::new().await;
    let program = site.installation.start();
    let mut browser = Browser::new();
    let page = browser.get(&site.authorize_url("oidc")).await;
    program.kill();
    let here = &site.installation;
    here.replace(
        "countersign.toml",
        "[provider.oidc.oidc]",
        "[provider.oidc.other]",
    );
    here.replace("policy.toml", "[proof.oidc]", "[proof.other]");
    let _program = here.start();
    let mut to = page.location.expect("a way to the provider");
    to.query_pairs_mut().append_pair("account", "ann-mfa");
    let answer = browser.get(&to).await.location.expect("a callback");
    let page = browser.get(&answer).await;
    assert_eq!(
        page.reason_code(),
        Some("unknown-provider"),
        "{}",
        page.body
    );
    let renamed = answer.as_str().replace("/callback/oidc", "/callback/other");
    let renamed = url::Url::parse(&renamed).expect("an address");
    let page = browser.get(&renamed).await;
    assert_eq!(page.reason_code(), Some("attempt-missing"), "{}", page.body);
    assert!(site.oidc.control().token_requests().is_empty());
}

#[actix_web::test]
async fn sigterm_lets_the_request_in_flight_end_and_then_the_program_ends_well() {
    let site = Site::new().await;
    let mut program = site.installation.start();
    let delay = WireFault::slow(Duration::from_secs(2));
    site.oidc.control().set(|b| {
        b.wire.insert(Endpoint::Token, delay);
    });
    let mut browser = Browser::new();
    let mut to = browser
        .get(&site.authorize_url("oidc"))
        .await
        .location
        .expect("a way");
    to.query_pairs_mut().append_pair("account", "ann-mfa");
    let answer = browser.get(&to).await.location.expect("a callback");
    let request = tokio::spawn(async move { browser.get(&answer).await });
    while site.oidc.control().endpoint_hits(Endpoint::Token) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    program.terminate();
    let page = request.await.expect("an answer");
    assert!(
        page.sent_with("code").is_some(),
        "{} {}",
        page.status,
        page.body
    );
    let status = program.ended().await;
    assert_eq!(status.code(), Some(0), "{}", program.log());
    assert!(program.log().contains("finishing the requests in flight"));
}

#[actix_web::test]
async fn a_data_directory_serves_one_program_only() {
    let site = Site::new().await;
    let _program = site.installation.start();
    let second = Installation::alone();
    let data = site.installation.path("data").display().to_string();
    second.replace(
        "countersign.toml",
        "data_dir = \"data\"",
        &format!("data_dir = \"{data}\""),
    );
    let output = second.run_on_file("serve");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(
        log.contains("another process has the data directory") && log.contains(&data),
        "{log}"
    );
    let keys = kids(&site).await;
    assert!(keys.len() >= 2, "{keys:?}");
}

#[test]
fn what_cannot_be_served_is_said_in_one_line() {
    let refused = |spoil: &dyn Fn(&Installation), expected: &[&str]| {
        let here = Installation::alone();
        spoil(&here);
        let output = here.run_on_file("serve");
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{expected:?}: {log}");
        assert_eq!(log.lines().count(), 1, "{log}");
        for part in expected {
            assert!(log.contains(part), "no `{part}` in: {log}");
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("an address").to_string();
    refused(
        &|here| {
            let listen = format!("listen = \"{}\"", here.issuer.trim_start_matches("http://"));
            here.replace(
                "countersign.toml",
                &listen,
                &format!("listen = \"{taken}\""),
            );
        },
        &["can't listen", &taken, "server.listen", "countersign.toml"],
    );
    refused(
        &|here| {
            fs::create_dir(here.path("data")).expect("a directory");
            fs::set_permissions(here.path("data"), Permissions::from_mode(0o755))
                .expect("permissions");
        },
        &["data", "server.data_dir"],
    );
    refused(
        &|here| here.write("data", "a file"),
        &["data", "server.data_dir"],
    );
    refused(
        &|here| {
            let log = "[decision_log]\nfile = \"missing/decisions.jsonl\"\n[log]";
            here.replace("countersign.toml", "[log]", log);
        },
        &[
            "missing` does not exist",
            "decision_log",
            "countersign.toml",
        ],
    );
}

#[actix_web::test]
async fn a_data_file_that_others_could_read_or_that_is_none_is_not_opened() {
    let site = Site::new().await;
    site.installation.start().kill();
    let data = site.installation.path("data");
    let files: Vec<_> = fs::read_dir(&data)
        .expect("files")
        .map(|one| one.expect("a file").path())
        .collect();
    for file in files {
        // A start that is refused late has closed the databases well, without their companions.
        if !file.exists() {
            site.installation.start().kill();
        }
        let before = fs::metadata(&file).expect("a file").permissions();
        // A group may read decisions, if an operator wants it to; keys and sessions never.
        let is_log = file.extension().is_some_and(|kind| kind == "jsonl");
        let mode = if is_log { 0o644 } else { 0o640 };
        fs::set_permissions(&file, Permissions::from_mode(mode)).expect("permissions");
        let output = site.installation.run_on_file("serve");
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{}: {log}", file.display());
        assert!(log.contains(&file.display().to_string()), "{log}");
        fs::set_permissions(&file, before).expect("permissions");
    }
    site.installation.start().kill();
}
