//! The pages of registries' own tools, in Chromium.

use countersign_server::KeyHeader;
use countersign_tests::{BrokerSetup, ScreenSettings, wire};
use serde_json::{Value, json};

use super::pages::check_looks;
use super::stage::Stage;
use crate::registries::docker::with_images;
use crate::registries::let_tools_in;

#[actix_web::test]
async fn a_person_gets_a_code_for_docker_on_every_screen() {
    let stage = Stage::with(&ScreenSettings::default(), |setup| {
        with_images(setup, "127.0.0.4:5000", KeyHeader::X5c);
        let uris = setup.gallery().redirect_uris.clone();
        let images = setup.clients.get_mut("images").expect("the client");
        images.redirect_uris = uris;
    })
    .await;
    let page = format!("{}/registry/images/login", stage.broker());
    // Who has a session that is good for less is told why.
    let browse = [
        ("client_id", "images"),
        ("scope", "openid packages:read"),
        ("provider", "github"),
    ];
    stage.screen.goto(&stage.request(&browse)).await;
    stage.screen.arrive_at(&["http://127.0.0.2:"]).await;
    stage.pick("bob-password").await;
    stage.screen.arrive_at(&["http://127.0.0.3:"]).await;
    stage.screen.goto(&page).await;
    let why = stage.screen.text("[role='status']").await;
    assert_eq!(why, "This sign-in did not use multi-factor authentication.");
    check_looks(&stage.screen, "registry-login-weak").await;
    stage.screen.forget_cookies().await;
    stage.screen.goto(&page).await;
    stage.choose("oidc").await;
    stage.screen.arrive_at(&["http://127.0.0.2:"]).await;
    stage.pick("ann-mfa").await;
    stage.screen.arrive_at(&[&page]).await;
    check_looks(&stage.screen, "registry-login").await;
    stage.screen.click("button.primary").await;
    let title = stage.screen.text("h1").await;
    assert_eq!(title, "A code for docker at 127.0.0.4:5000");
    check_looks(&stage.screen, "registry-code").await;
}

#[actix_web::test]
async fn a_person_gets_a_code_for_gem_on_every_screen() {
    let mut url = String::new();
    let stage = Stage::with(&ScreenSettings::default(), |setup| {
        let_tools_in(setup);
        url = setup.stand_before("rubygems", None);
    })
    .await;
    let page = format!("{}/registry/rubygems/login", stage.broker());
    stage.screen.goto(&page).await;
    stage.choose("oidc").await;
    stage.screen.arrive_at(&["http://127.0.0.2:"]).await;
    stage.pick("ann-mfa").await;
    stage.screen.arrive_at(&[&page]).await;
    // What gem gets does not end with the browser's session, and is found elsewhere.
    assert_eq!(stage.screen.text("footer a").await, "Your API keys");
    check_looks(&stage.screen, "registry-login-gem").await;
    stage.screen.click("button.primary").await;
    let host = url.trim_start_matches("http://");
    assert_eq!(
        stage.screen.text("h1").await,
        format!("A code for gem at {host}")
    );
    check_looks(&stage.screen, "registry-code-gem").await;
}

/// What a credential helper is told that asks so, as this program.
async fn ask(stage: &Stage, what: &str, headers: &[(&str, &str)], body: &Value) -> Value {
    let path = format!("/registry/crates-io/credential/{what}");
    let headers: Vec<_> = headers
        .iter()
        .copied()
        .chain([("content-type", "application/json")])
        .collect();
    let page = wire::send("POST", stage.broker(), &path, &headers, &body.to_string()).await;
    serde_json::from_str(&page.body).expect("JSON")
}

/// Says yes to a tool that waits, as Ann.
async fn allow(stage: &Stage) {
    stage.screen.click("nav a[href*='provider=oidc&']").await;
    stage.pick("ann-mfa").await;
    stage.screen.arrive_at(&[stage.broker()]).await;
}

async fn before_crates() -> (Stage, String) {
    let mut url = String::new();
    let change = |setup: &mut BrokerSetup| {
        let_tools_in(setup);
        url = setup.stand_before("crates-io", Some("http://127.0.0.1:1"));
    };
    let stage = Stage::with(&ScreenSettings::default(), change).await;
    stage.world.share_clock();
    let site = url.trim_start_matches("http://").to_owned();
    (stage, site)
}

const CARGO: (&str, &str) = ("user-agent", "cargo countersign-credential/0.1.0");

#[actix_web::test]
async fn a_person_reads_what_a_tool_gets_before_they_sign_it_in_on_every_screen() {
    let (stage, site) = before_crates().await;
    let page = |waiting: &Value| {
        let page = waiting["verification_uri_complete"].as_str();
        page.expect("an address").to_owned()
    };
    let waiting = ask(&stage, "sign-in", &[CARGO], &json!({})).await;
    stage.screen.goto(&page(&waiting)).await;
    let heading = format!("Sign in cargo to {site}");
    assert_eq!(stage.screen.text("h1").await, heading);
    assert_eq!(stage.screen.text(".user-code").await, waiting["user_code"]);
    let told = stage.screen.text("dl").await;
    for words in [
        "an API key of yours, for all your packages",
        "owners, publish, yank, as far as your sign-in is good enough for it",
        "2 hours after you sign in, at the latest",
        "Your API keys",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    check_looks(&stage.screen, "tool-key").await;
    allow(&stage).await;
    let heading = format!("Signed in for cargo at {site}");
    assert_eq!(stage.screen.text("h1").await, heading);
    assert_eq!(stage.screen.text("main a").await, "your API keys");
    check_looks(&stage.screen, "tool-key-signed-in").await;

    let done = waiting["done"].as_str().expect("an address");
    let done = done.strip_prefix(stage.broker()).expect("one of ours");
    let key = wire::get(stage.broker(), done, &[]).await;
    let key: Value = serde_json::from_str(&key.body).expect("JSON");
    let bearer = format!("Bearer {}", key["key"].as_str().expect("a key"));
    stage.world.broker.clock.advance(90 * 60);
    let deed = json!({"operation": "publish", "package": "hello", "version": "1.0.0"});
    let known = [CARGO, ("authorization", bearer.as_str())];
    let waiting = ask(&stage, "token", &known, &deed).await;
    stage.screen.goto(&page(&waiting)).await;
    let heading = format!("Let cargo go on at {site}");
    assert_eq!(stage.screen.text("h1").await, heading);
    assert_eq!(stage.screen.text("dl strong").await, "publish hello 1.0.0");
    check_looks(&stage.screen, "tool-leave").await;
    allow(&stage).await;
    let told = stage.screen.text("[role='status']").await;
    let words = "it goes on by itself in a few seconds: publish hello 1.0.0";
    assert!(told.contains(words), "{told}");
    check_looks(&stage.screen, "tool-leave-signed-in").await;
}

#[actix_web::test]
async fn what_a_tool_calls_itself_stands_in_no_heading_unless_it_is_known() {
    let (stage, site) = before_crates().await;
    let named = ("user-agent", "Security-check/1");
    let waiting = ask(&stage, "sign-in", &[named], &json!({})).await;
    let page = waiting["verification_uri_complete"].as_str();
    stage.screen.goto(page.expect("an address")).await;
    let heading = format!("Sign in a tool to {site}");
    assert_eq!(stage.screen.text("h1").await, heading);
    let told = stage.screen.text("dl").await;
    assert!(told.contains("Security-check/1"), "{told}");
    stage.screen.click("form button").await;
    stage.screen.arrive_at(&[stage.broker()]).await;
    assert_eq!(stage.screen.text("h1").await, "The tool is not signed in");
}
