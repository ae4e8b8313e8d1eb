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

/// Ends what organizations have by each command that does, and looks what becomes of the tokens that name them.
pub(crate) async fn commands_end_connections(site: &Site) {
    let here = &site.installation;
    let following = Following::start(&here.issuer, Silence::Accept).await;
    let file = here.path("countersign.toml").display().to_string();
    let orgs = |words: &[&str]| {
        let output = here.run(&[&["orgs"][..], words, &["--config", &file]].concat());
        (output.status.success(), output)
    };
    let source = format!("issuer:{}", site.oidc.base_url());
    let connect = |name: &str| {
        assert!(orgs(&["tell", name]).0);
        orgs(&["connect", name, &source, "--reason", "a test"]).0
    };
    let before = signed_in(site).await;
    // Each has a name of its own: for ten seconds after an end what is issued for the same organization is refused too.
    let ends: [(&str, &[&str]); 3] = [
        ("acme", &["disconnect", "acme", &source]),
        ("initech", &["forget", "initech", "--yes"]),
        (
            "contoso",
            &["settle", "fabrikam", &source, "transfer", "--yes"],
        ),
    ];
    for (name, end) in ends {
        assert!(connect(name), "{name}");
        let tokens = signed_in(site).await;
        let token = text(&tokens, "access_token");
        let named = &payload(token)["countersign"]["organizations"];
        assert_eq!(*named, serde_json::json!([name]));
        assert_eq!(following.verdict(token).await, Ok(()), "{name}");
        if end.contains(&"fabrikam") {
            assert!(!connect("fabrikam"), "it is disputed, and ends nothing");
            assert_eq!(following.verdict(token).await, Ok(()));
        }
        let (is_done, output) = orgs(end);
        assert!(is_done, "{output:?}");
        let took = following.refuses(token).await;
        println!("{end:?}: refused after {took:?}");
        assert!(took < Duration::from_secs(1), "{took:?}");
        let fresh = Following::start(&here.issuer, Silence::Accept).await;
        assert_eq!(fresh.verdict(token).await, Err(Error::Revoked));
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", text(&tokens, "refresh_token")),
        ];
        let next = post(site, "/token", &form).await;
        let next: Value = serde_json::from_str(&next.body).expect("JSON");
        let next = text(&next, "access_token");
        assert_eq!(following.verdict(next).await, Ok(()), "without {name}");
    }
    let named_none = text(&before, "access_token");
    assert_eq!(following.verdict(named_none).await, Ok(()));
}

#[actix_web::test]
async fn a_connection_that_a_command_ends_ends_tokens_everywhere() {
    let site = site().await;
    let _program = site.installation.start();
    commands_end_connections(&site).await;
}
