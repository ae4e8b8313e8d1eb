//! The feed of what has ended, and a process that dies.

use std::time::Duration;

use countersign_tests::{BrokerSetup, Browser, Following, Page, payload};
use countersign_verifier::{Error, Silence};
use serde_json::Value;
use url::Url;

use super::Site;

async fn site() -> Site {
    let site = Site::new().await;
    let grants = "[client.gallery]\ngrant_types = [\"authorization_code\", \"refresh_token\"]";
    site.installation
        .replace("countersign.toml", "[client.gallery]", grants);
    site
}

async fn post(site: &Site, path: &str, more: &[(&str, &str)]) -> Page {
    let client = [
        ("client_id", "gallery"),
        ("client_secret", BrokerSetup::SECRET),
    ];
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let form: Vec<(String, String)> = client.iter().chain(more).map(owned).collect();
    let url = Url::parse(&format!("{}{path}", site.installation.issuer)).expect("an address");
    Browser::new().post(&url, &form).await
}

async fn signed_in(site: &Site) -> Value {
    let tokens = site.redeem(&site.code().await).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    tokens.body
}

fn text<'a>(body: &'a Value, name: &str) -> &'a str {
    body[name].as_str().expect("a text")
}

#[actix_web::test]
async fn an_end_that_was_acknowledged_outlives_a_kill_and_reaches_who_was_cut_off() {
    let site = site().await;
    let mut program = site.installation.start();
    let following = Following::start(&site.installation.issuer, Silence::Accept).await;
    for round in 0..3 {
        let tokens = signed_in(&site).await;
        let token = text(&tokens, "access_token");
        assert_eq!(following.verdict(token).await, Ok(()), "round {round}");
        let name = ["access_token", "refresh_token"][round % 2];
        let page = post(&site, "/revoke", &[("token", text(&tokens, name))]).await;
        assert_eq!(page.status, 200, "{}", page.body);
        program.kill();
        program = site.installation.start();
        // It goes on from where it was, and one that begins now hears the same.
        following.refuses(token).await;
        let fresh = Following::start(&site.installation.issuer, Silence::Accept).await;
        assert_eq!(fresh.verdict(token).await, Err(Error::Revoked));
        let ends = fresh.verifier.feed().expect("a feed").ends;
        assert_eq!(ends, round + 1);
    }
}

#[actix_web::test]
async fn an_operator_who_locks_an_account_ends_its_tokens_everywhere() {
    let site = site().await;
    let _program = site.installation.start();
    let following = Following::start(&site.installation.issuer, Silence::Accept).await;
    let tokens = signed_in(&site).await;
    let token = text(&tokens, "access_token");
    assert_eq!(following.verdict(token).await, Ok(()));
    let account = payload(token)["sub"]
        .as_str()
        .expect("an account")
        .to_owned();
    let file = site.installation.path("countersign.toml");
    let file = file.display().to_string();
    let lock = [
        "accounts", "lock", &account, "--reason", "a test", "--config", &file,
    ];
    let output = site.installation.run(&lock);
    assert!(output.status.success(), "{output:?}");
    let took = following.refuses(token).await;
    println!("locked by a command: refused after {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[actix_web::test]
async fn who_fails_closed_refuses_once_the_feed_is_silent_and_opens_when_it_is_back() {
    let site = site().await;
    let program = site.installation.start();
    let issuer = &site.installation.issuer;
    let strict = Silence::RefuseAfter(Duration::from_secs(5));
    let (strict, open) = (
        Following::start(issuer, strict).await,
        Following::start(issuer, Silence::Accept).await,
    );
    let tokens = signed_in(&site).await;
    let token = text(&tokens, "access_token");
    for following in [&strict, &open] {
        assert_eq!(following.verdict(token).await, Ok(()));
    }
    // While it is up it is heard often enough.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(strict.verdict(token).await, Ok(()));
    program.kill();
    let silent = async |verifier: &countersign_verifier::Verifier| {
        verifier.verify(token).await == Err(Error::FeedSilent)
    };
    strict.until("it fails closed", silent).await;
    assert_eq!(open.verdict(token).await, Ok(()), "the other goes on");
    assert!(open.verifier.feed().expect("a feed").last_error.is_some());
    let _program = site.installation.start();
    let good =
        async |verifier: &countersign_verifier::Verifier| verifier.verify(token).await.is_ok();
    strict.until("it opens again", good).await;
}

#[actix_web::test]
async fn a_process_that_stops_answers_who_waits_at_once() {
    let site = site().await;
    let mut program = site.installation.start();
    let waiting = post(&site, "/revocations", &[("wait", "25")]);
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        program.terminate();
        let began = tokio::time::Instant::now();
        let status = program.ended().await;
        (status, began.elapsed())
    };
    let (page, (status, took)) = tokio::join!(waiting, stopping);
    assert_eq!(page.status, 200, "{}", page.body);
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
}
