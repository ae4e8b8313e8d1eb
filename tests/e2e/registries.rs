//! The registries' own tools, as they are: what they send, and what they show their users.

mod bound_token;
mod bytes;
mod cargo;
mod cargo_owners;
mod credential_helper;
mod credential_person;
pub(crate) mod docker;
mod door;
mod gate;
mod gem;
mod go_proxy;
mod guesses;
mod maven;
mod npm;
mod nuget;
mod pypi;
mod recent;
mod swift;
mod swift_login;

use countersign_tests::{BrokerSetup, Browser, Login, Page, World};
use serde_json::Value;
use url::Url;

/// What the policy has besides: whoever publishes signs in with a second factor, and anew where the last time is long ago.
pub(crate) const TOOLS: &str = r#"
[tier.upload]
scopes = ["packages:publish", "packages:unpublish", "collaborators:write"]
needs = "mfa"
accepts = ["session", "enrolment", "tenant"]
max_evidence_age = "1h"
fresh_at_use = true
[client.tools]
tier = "browse"
[client.countersign]
tier = "browse"
[api_keys]
max_days = 90
accepts = ["session", "enrolment", "tenant"]
"#;

/// Puts it into the policy, in the place of the tier that has these scopes.
pub(crate) fn let_tools_in(setup: &mut BrokerSetup) {
    let publish = "[tier.publish]\nscopes = [\"packages:publish\"]";
    assert!(setup.policy.contains(publish), "the usual policy");
    setup.policy = setup
        .policy
        .replace(publish, "[tier.publish]\nscopes = [\"packages:promote\"]");
    setup.policy.push_str(TOOLS);
}

/// Says yes to a tool that waits at this address, and signs in at a provider; the page that the person is left with.
pub(crate) async fn allow(world: &World, browser: &mut Browser, page: &str, login: &Login) -> Page {
    let page = browser.get(&Url::parse(page).expect("an address")).await;
    let way = format!(
        "{}/device/continue?provider={}&",
        world.broker.issuer, login.provider
    );
    let way = page
        .link_to(&way)
        .unwrap_or_else(|| panic!("no way on: {}", page.body));
    let page = browser.get(&way).await;
    world.go_on(browser, page, login).await.into_page()
}

/// A key that a tool gets for whoever signs in, at a registry whose tools sign in as npm does.
pub(crate) async fn key_of(world: &World, npm: &str, login: &Login) -> String {
    let at = |url: &str| Url::parse(url).expect("an address");
    let mut tool = Browser::new();
    let begun = tool.post(&at(&format!("{npm}/-/v1/login")), &[]).await;
    let begun: Value = serde_json::from_str(&begun.body).expect("JSON");
    let page = begun["loginUrl"].as_str().expect("an address");
    allow(world, &mut Browser::new(), page, login).await;
    let done = tool
        .get(&at(begun["doneUrl"].as_str().expect("an address")))
        .await;
    assert_eq!(done.status, 200, "{}", done.body);
    let done: Value = serde_json::from_str(&done.body).expect("JSON");
    done["token"].as_str().expect("a key").to_owned()
}
