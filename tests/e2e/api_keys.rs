//! API keys: who makes one, what it is good for, and when it ends.

mod api;
mod attacks;
mod sunset;

use countersign_server::Clock;
use countersign_tests::{BrokerSetup, Browser, Login, Page, World, wire};
use jiff::SignedDuration;
use serde_json::Value;

use crate::linking::{oidc, sub, tokens};

/// What the policy says of keys. The clock of the tests begins before the announcement.
const RULE: &str = "\n[api_keys]\nmax_days = 365\naccepts = [\"session\", \"tenant\"]\n";

/// A world whose policy has API keys, and lets whoever shows MFA make them.
async fn world() -> World {
    world_with(|_| {}).await
}

async fn world_with(change: impl FnOnce(&mut BrokerSetup)) -> World {
    World::with(|setup| {
        setup.policy = setup.policy.replace(
            "scopes = [\"tenants:write\"]\nneeds = \"mfa\"\naccepts = [\"session\", \"tenant\"]",
            "scopes = [\"identities:write\", \"api-keys:write\", \"operator:read\", \"operator:write\", \"api-keys:manage\"]\n\
             needs = \"mfa\"\naccepts = [\"session\", \"tenant\", \"enrolment\"]",
        );
        setup.policy.push_str("\n[client.countersign]\ntier = \"browse\"\n");
        setup.policy.push_str(RULE);
        change(setup);
    })
    .await
}

/// A person at the page of their keys.
struct Person<'a> {
    world: &'a World,
    browser: Browser,
}

impl<'a> Person<'a> {
    /// Signs in, with what making a key needs.
    async fn of(world: &'a World, login: &Login) -> Self {
        let mut person = Self {
            world,
            browser: Browser::new(),
        };
        let to = format!(
            "/sign-in?to=/account/keys&scope=api-keys:write&provider={}",
            login.provider
        );
        let page = person.get(&to).await;
        let page = world.walk(&mut person.browser, page, login).await;
        assert!(page.body.contains("Your API keys"), "{}", page.body);
        person
    }

    async fn get(&mut self, path: &str) -> Page {
        let url = self.world.broker.endpoint(path);
        self.browser.get(&url).await
    }

    async fn page(&mut self) -> Page {
        self.get("/account/keys").await
    }

    /// Sends the form that makes a key, filled so.
    async fn fill(&mut self, fields: &[(&str, &str)]) -> Page {
        let page = self.page().await;
        let sealed = page.field("form").expect("the form");
        let mut form = vec![("form".to_owned(), sealed)];
        form.extend(
            fields
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned())),
        );
        self.post(&form).await
    }

    async fn post(&mut self, form: &[(String, String)]) -> Page {
        let url = self.world.broker.endpoint("/account/keys");
        self.browser.post(&url, form).await
    }

    /// Makes a key for publishing these packages; answers with it.
    async fn make(&mut self, packages: &str) -> String {
        let page = self
            .fill(&[
                ("name", "build server"),
                ("client", "gallery"),
                ("scope-packages:publish", "yes"),
                ("packages", packages),
                ("days", "90"),
            ])
            .await;
        key_in(&page)
    }

    /// The way to the question whether to revoke the first key of the page.
    async fn way_to_revoke(&mut self) -> String {
        let page = self.page().await;
        let begins = "href=\"/account/keys/revoke";
        let start = page.body.find(begins).expect("a button") + "href=\"".len();
        let way = page.body[start..].split('"').next().unwrap_or_default();
        way.replace("&amp;", "&").replace("&#38;", "&")
    }
}

/// The key that a page shows.
fn key_in(page: &Page) -> String {
    assert_eq!(page.status, 200, "{}", page.body);
    let start = page.body.find("csk_");
    let start = start.unwrap_or_else(|| panic!("no key in {}", page.body));
    page.body[start..start + 46].to_owned()
}

/// What the client `gallery` is told of a key.
async fn told(world: &World, key: &str, more: &[(&str, &str)]) -> Value {
    told_to(world, ("gallery", BrokerSetup::SECRET), key, more).await
}

async fn told_to(
    world: &World,
    (client, secret): (&str, &str),
    key: &str,
    more: &[(&str, &str)],
) -> Value {
    let mut form = vec![
        ("token", key),
        ("client_id", client),
        ("client_secret", secret),
    ];
    form.extend(more);
    let form: Vec<_> = form
        .into_iter()
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .collect();
    let url = world.broker.endpoint("/introspect");
    let page = Browser::new().post(&url, &form).await;
    assert_eq!(page.status, 200, "{}", page.body);
    serde_json::from_str(&page.body).expect("JSON")
}

/// Whether a key is good for publishing this package now: `yes`, or the reason why not.
async fn publishes(world: &World, key: &str, package: &str) -> String {
    let told = told(
        world,
        key,
        &[("scope", "packages:publish"), ("package", package)],
    )
    .await;
    if told["active"] == true {
        return "yes".to_owned();
    }
    told["reason"].as_str().unwrap_or("unknown").to_owned()
}

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn pass(world: &World, days: i32) {
    world.broker.clock.advance_by(DAY * days);
}

#[actix_web::test]
async fn a_person_makes_a_key_which_is_good_for_what_they_chose() {
    let world = world().await;
    let mut ann = Person::of(&world, &oidc()).await;
    let key = ann.make("@ann/*\r\nleft-pad").await;

    assert_eq!(publishes(&world, &key, "@ann/tool").await, "yes");
    assert_eq!(publishes(&world, &key, "left-pad").await, "yes");
    let other = publishes(&world, &key, "right-pad").await;
    assert_eq!(other, "api-key-package");
    let unknown = told(&world, &key, &[("scope", "packages:publish")]).await;
    assert_eq!(unknown["reason"], "api-key-package");
    let more = told(
        &world,
        &key,
        &[("scope", "packages:manage"), ("package", "left-pad")],
    )
    .await;
    assert_eq!(more["reason"], "api-key-scope");

    let all = told(&world, &key, &[]).await;
    let mine = sub(&tokens(&world, &oidc()).await);
    assert_eq!(all["sub"], mine.as_str());
    assert_eq!(all["scope"], "packages:publish");
    assert_eq!(
        all["api_key"]["packages"],
        serde_json::json!(["@ann/*", "left-pad"])
    );
    assert_eq!(all["api_key"]["basis"], "session");
    let now = world.broker.clock.now();
    let ends = all["exp"].as_i64().expect("an end") - now.as_second();
    assert!((89 * 86_400..=90 * 86_400).contains(&ends), "{ends}");
    // The page lists it without showing it, and says when it was used.
    let page = ann.page().await;
    assert!(page.body.contains("build server") && !page.body.contains(&key));
    let today = countersign_core::calendar::day_of(now).to_string();
    assert!(page.body.contains(&today), "{}", page.body);
}

#[actix_web::test]
async fn a_key_is_revoked_after_a_question_and_is_good_for_nothing_then() {
    let world = world().await;
    let mut ann = Person::of(&world, &oidc()).await;
    let key = ann.make("").await;
    assert_eq!(publishes(&world, &key, "any").await, "yes");
    let way = ann.way_to_revoke().await;
    let question = ann.get(&way).await;
    assert!(
        question.body.contains("Revoke build server?"),
        "{}",
        question.body
    );
    assert_eq!(publishes(&world, &key, "any").await, "yes");
    let yes = question.field("form").expect("a button");
    let done = ann.post(&[("form".to_owned(), yes)]).await;
    assert_eq!(done.status, 303, "{}", done.body);
    assert_eq!(publishes(&world, &key, "any").await, "api-key-ended");
    assert_eq!(
        told(&world, &key, &[]).await,
        serde_json::json!({"active": false})
    );
    let lines = world
        .broker
        .audit_lines(&["api-key-made", "api-key-revoked"]);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0].subject["api-key"], lines[1].subject["api-key"]);
}

#[actix_web::test]
async fn a_form_with_a_mistake_comes_back_as_it_was() {
    let world = world().await;
    let mut ann = Person::of(&world, &oidc()).await;
    let good = [
        ("name", "build server"),
        ("client", "gallery"),
        ("scope-packages:publish", "yes"),
        ("packages", "left-pad"),
        ("days", "90"),
    ];
    for (field, value, expected) in [
        ("name", "", "Give the key a name"),
        ("client", "nobody", "There is no such registry"),
        ("scope-packages:publish", "", "Choose what the key is for"),
        ("packages", "*", "A package is a name"),
        ("days", "0", "Say after how many days"),
        ("days", "many", "Say after how many days"),
    ] {
        let changed = good.map(|(n, v)| (n, if n == field { value } else { v }));
        let page = ann.fill(&changed).await;
        assert!(
            page.body.contains(expected),
            "{field}={value}: {}",
            page.body
        );
        assert!(!page.body.contains("csk_"), "{field}={value}");
        assert!(field == "packages" || page.body.contains("left-pad</textarea>"));
    }
    assert!(ann.page().await.body.contains("You have none"));
}

#[actix_web::test]
async fn freshness_is_that_of_the_making_unless_the_tier_is_fresh_at_use() {
    let world = world().await;
    let mut ann = Person::of(&world, &oidc()).await;
    let key = ann.make("").await;
    pass(&world, 30);
    assert_eq!(publishes(&world, &key, "any").await, "yes");
    let text = &world.broker.policy_text;
    let strict = text.replace(
        "max_evidence_age = \"12h\"",
        "max_evidence_age = \"12h\"\nfresh_at_use = true",
    );
    world.broker.enforce(&strict);
    assert_eq!(publishes(&world, &key, "any").await, "evidence-too-old");
    world.broker.enforce(text);
    assert_eq!(publishes(&world, &key, "any").await, "yes");
    pass(&world, 60);
    assert_eq!(publishes(&world, &key, "any").await, "api-key-ended");
}

#[actix_web::test]
async fn the_policy_of_the_day_decides_at_every_use() {
    let world = world().await;
    let mut git = Person::of(&world, &Login::new("github", "ann-mfa")).await;
    let key = git.make("").await;
    assert_eq!(publishes(&world, &key, "any").await, "yes");
    let text = world.broker.policy_text.clone();
    let without = text.replace(
        "scopes = [\"packages:publish\"]\nneeds = \"mfa\"\naccepts = [\"session\", \"enrolment\", \"tenant\"]",
        "scopes = [\"packages:publish\"]\nneeds = \"mfa\"\naccepts = [\"session\", \"tenant\"]",
    );
    assert_ne!(without, text);
    world.broker.enforce(&without);
    assert_eq!(publishes(&world, &key, "any").await, "basis-not-accepted");
    // No key is made under a login that is not good enough for it either.
    let page = git
        .fill(&[
            ("name", "another"),
            ("client", "gallery"),
            ("scope-packages:publish", "yes"),
            ("days", "1"),
        ])
        .await;
    assert!(!page.body.contains("csk_") && page.body.contains("role=\"alert\""));
    world.broker.enforce(&text.replace(RULE, ""));
    assert_eq!(publishes(&world, &key, "any").await, "api-key-ended");
}

#[actix_web::test]
async fn a_key_ends_no_later_than_what_its_login_was_let_off_for() {
    let world = world().await;
    let text = &world.broker.policy_text;
    let day = countersign_core::calendar::day_of(world.broker.clock.now() + DAY * 10);
    let mine = sub(&tokens(&world, &Login::new("github", "ann-mfa")).await);
    let excepted = text.replace(
        "scopes = [\"packages:publish\"]\nneeds = \"mfa\"\naccepts = [\"session\", \"enrolment\", \"tenant\"]",
        "scopes = [\"packages:publish\"]\nneeds = \"mfa\"\naccepts = [\"session\", \"tenant\"]",
    );
    let excepted = format!(
        "{excepted}\n[exception.hers]\naccount = \"{mine}\"\nreason = \"a lost key\"\n\
         approved_by = \"security@registry.example\"\nuntil = {day}\nwaives = [\"publish\"]\n"
    );
    world.broker.enforce(&excepted);
    let mut git = Person::of(&world, &Login::new("github", "ann-mfa")).await;
    let key = git.make("").await;
    let all = told(&world, &key, &[]).await;
    let end = countersign_core::calendar::end_of(day);
    assert_eq!(all["exp"], end.as_second(), "{all}");
    // An exception that is made longer later brings nothing back.
    pass(&world, 11);
    world
        .broker
        .enforce(&excepted.replace(&format!("until = {day}"), "until = 2027-12-01"));
    assert_eq!(publishes(&world, &key, "any").await, "api-key-ended");
}

#[actix_web::test]
async fn what_is_kept_of_a_person_names_their_keys_and_not_what_they_are_known_by() {
    let world = world().await;
    let mut ann = Person::of(&world, &oidc()).await;
    let key = ann.make("").await;
    let file = ann.get("/account/export").await;
    let all: Value = serde_json::from_str(&file.body).expect("JSON");
    assert_eq!(all["api_keys"][0]["name"], "build server");
    assert_eq!(all["api_keys"][0].get("digest"), None);
    assert!(!file.body.contains(&key) && !file.body.contains("sha256:"));
}

/// A form as anybody sends it.
async fn send(world: &World, path: &str, body: &str) -> Page {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    wire::send("POST", &world.broker.issuer, path, &headers, body).await
}
