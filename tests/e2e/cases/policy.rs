//! The policy's calendar, exceptions, organisations and tiers, through real sign-ins to real tokens.

use countersign_dev_idp::Edit;
use countersign_server::Clock;
use countersign_store::{Account, Store};
use countersign_tests::{BrokerSetup, Browser, Login, Outcome, TestClock, Tokens, World};
use jiff::civil::Date;
use jiff::{ToSpan, tz::TimeZone};
use serde_json::{Value, json};

use super::Channel;

const CONTOSO: &str = countersign_dev_idp::entra::CONTOSO;
const SECONDS_A_DAY: i64 = 86_400;

/// The day this many days from today.
fn day(days: i64) -> Date {
    let now = TestClock::default().now();
    TimeZone::UTC
        .to_datetime(now)
        .date()
        .saturating_add(days.days())
}

/// The usual world, with this added to its policy.
async fn world(lines: &str) -> World {
    let lines = lines.to_owned();
    let world = World::with(move |setup| add(setup, &lines)).await;
    world.share_clock();
    world
}

fn add(setup: &mut BrokerSetup, lines: &str) {
    setup.policy += lines;
}

/// New accounts from the day after tomorrow, all existing ones ten days from now.
fn calendar(before_due: &str) -> String {
    format!(
        "[calendar]\nnew_accounts_from = {}\nexisting_accounts = {{ from = {due}, until = {due} }}\n\
         before_due = \"{before_due}\"\nratchet = true\n",
        day(2),
        due = day(10),
    )
}

fn weak(scope: &str) -> Login {
    Login::new("oidc", "bob-password").with("scope", scope)
}

/// Signs in, past the reminder if there is one, and gets the tokens.
async fn tokens(world: &World, login: &Login) -> Tokens {
    let mut browser = Browser::new();
    let outcome = match world.sign_in(&mut browser, login).await {
        Outcome::Reminder(page) => {
            let on = format!(
                "{}/callback/{}/reminder/continue",
                world.broker.issuer, login.provider
            );
            let on = page.link_to(&on).expect("a way on");
            let page = browser.get(&on).await;
            world.go_on(&mut browser, page, login).await
        }
        other => other,
    };
    world.redeem(&outcome.code()).await
}

/// How a sign-in ends, its step-up taken where it is offered.
async fn ends(world: &World, login: &Login) -> String {
    let outcome = world.sign_in_with_step_up(&mut Browser::new(), login).await;
    outcome.summary()
}

/// How the first leg of a sign-in ends.
async fn first_ends(world: &World, login: &Login) -> String {
    world.sign_in(&mut Browser::new(), login).await.summary()
}

#[actix_web::test]
async fn until_its_day_an_account_gets_tokens_that_tell_the_day_and_from_then_on_none() {
    let world = world(&calendar("remind")).await;
    let login = weak("openid packages:manage");
    let let_in = tokens(&world, &login).await;
    assert_eq!(let_in.text("scope"), "openid packages:manage");
    let access = let_in.access();
    assert_eq!(access["acr"], "urn:countersign:single");
    assert_eq!(access["countersign"]["mfa_due"], day(10).to_string());

    // The last quarter of an hour before midnight: no token reaches into the day.
    let midnight = TimeZone::UTC
        .to_timestamp(day(10).at(0, 0, 0, 0))
        .expect("a time");
    let left = midnight.duration_since(world.broker.clock.now()).as_secs();
    world.broker.clock.advance(left - 120);
    let last = tokens(&world, &login).await;
    let expires_in = last.body["expires_in"].as_i64().expect("seconds");
    assert!(expires_in <= 121, "{expires_in} {}", last.access());

    world.broker.clock.advance(121);
    assert_eq!(ends(&world, &login).await, "refused: mfa-absent");
}

#[actix_web::test]
async fn the_day_is_the_day_that_was_told_whoever_asks() {
    let world = world(&calendar("remind")).await;
    let first = tokens(&world, &weak("openid")).await.access();
    world.broker.clock.advance(SECONDS_A_DAY);
    let second = tokens(&world, &weak("openid")).await.access();
    assert_eq!(
        first["countersign"]["mfa_due"],
        second["countersign"]["mfa_due"]
    );
    assert_eq!(first["sub"], second["sub"]);
}

#[actix_web::test]
async fn an_account_made_after_the_announced_day_must_at_once() {
    let world = world(&calendar("remind")).await;
    world.broker.clock.advance(3 * SECONDS_A_DAY);
    assert_eq!(ends(&world, &weak("openid")).await, "refused: mfa-absent");
}

#[actix_web::test]
async fn who_has_a_second_factor_notices_nothing_and_is_held_to_it() {
    let world = world(&calendar("remind")).await;
    let login = Login::new("oidc", "ann-mfa").with("scope", "openid packages:manage");
    let strong = tokens(&world, &login).await;
    assert_eq!(strong.access()["countersign"].get("mfa_due"), None);
    world.oidc.control().set(|behaviour| {
        Channel::Back.edit(behaviour, Edit::set("acr", json!("0")));
        Channel::Back.edit(behaviour, Edit::set("amr", json!(["pwd"])));
    });
    assert_eq!(ends(&world, &login).await, "refused: mfa-absent");
}

/// The accounts that there are, each with how often its record was written.
async fn accounts(world: &World) -> Vec<(Account, u64)> {
    let store = world.broker.look();
    let mut found = Vec::new();
    for account in store.list_accounts(None, 100).await.expect("a store") {
        let record = store.account(&account.id).await.expect("a store");
        let (account, version) = record.expect("an account");
        found.push((account, version.0));
    }
    found
}

/// Cases 22 and 24: first the second factor, then the account; and what was shown is kept with it.
#[actix_web::test]
async fn who_is_new_steps_up_before_there_is_an_account_of_theirs() {
    let world = world(&calendar("remind")).await;
    world.broker.clock.advance(3 * SECONDS_A_DAY);
    for (provider, weak, strong) in [
        ("microsoft", "ben-password", "mia-mfa"),
        ("entra", "bob-password", "ann-mfa"),
    ] {
        let before = accounts(&world).await.len();
        let first = first_ends(&world, &Login::new(provider, weak)).await;
        assert_eq!(first, "step-up: mfa-absent", "{provider}");
        assert_eq!(accounts(&world).await.len(), before, "{provider}");
        tokens(&world, &Login::new(provider, strong)).await;
        let made = accounts(&world).await;
        assert_eq!(made.len(), before + 1, "{provider}");
        let has_shown = |(account, _): &(Account, u64)| account.first_mfa_at.is_some();
        assert!(made.iter().all(has_shown), "{provider}: {made:?}");
    }
}

/// Cases 24, 25 and 28: what a login showed is kept with its account, from the first time on, and
/// not written again.
#[actix_web::test]
async fn the_first_second_factor_is_kept_and_not_written_again() {
    let world = world(&calendar("remind")).await;
    tokens(&world, &weak("openid")).await;
    let [(account, _)] = &accounts(&world).await[..] else {
        panic!("not one account");
    };
    assert_eq!(account.first_mfa_at, None, "nothing was shown");
    let ann = Login::new("oidc", "ann-mfa").with("scope", "openid");
    let mut written = Vec::new();
    for _ in 0..3 {
        tokens(&world, &ann).await;
        let all = accounts(&world).await;
        let of_ann = all.into_iter().find(|(one, _)| one.first_mfa_at.is_some());
        written.push(of_ann.expect("the account of who showed it"));
        world.broker.clock.advance(3600);
    }
    assert_eq!(written[0], written[1]);
    assert_eq!(written[0], written[2]);
}

#[actix_web::test]
async fn limited_until_its_day_an_account_signs_in_and_what_it_lacks_is_named() {
    let world = world(&calendar("limit")).await;
    let login = weak("openid packages:read packages:manage");
    let mut browser = Browser::new();
    let outcome = world.sign_in_with_step_up(&mut browser, &login).await;
    let limited = world.redeem(&outcome.code()).await;
    assert_eq!(limited.text("scope"), "openid packages:read");
    assert_eq!(
        limited.access()["countersign"]["mfa_due"],
        day(10).to_string()
    );
    let unmet = &limited.body["unmet_scopes"];
    assert_eq!(unmet[0]["scope"], "packages:manage");
    assert_eq!(unmet[0]["tier"], "manage");
    assert_eq!(unmet[0]["reasons"], json!(["mfa-absent"]));
    let wanted = "urn:countersign:mfa urn:countersign:mfa-enrolled urn:countersign:mfa-attested";
    assert_eq!(words(&unmet[0]["acr_values"]), words(&json!(wanted)));
}

fn words(text: &Value) -> std::collections::BTreeSet<&str> {
    text.as_str().expect("a text").split(' ').collect()
}

/// A client that lets people in who have no second factor, and asks for more when they act.
fn lobby(setup: &mut BrokerSetup) {
    setup.policy = setup.policy.replace(
        "[client.gallery]\ntier = \"manage\"",
        "[client.gallery]\ntier = \"browse\"",
    );
}

#[actix_web::test]
async fn what_is_asked_for_in_vain_ends_as_the_standard_says() {
    let world = World::with(lobby).await;
    let login = weak("openid").with("acr_values", "urn:countersign:mfa");
    assert_eq!(
        ends(&world, &login).await,
        "client: unmet_authentication_requirements"
    );
}

#[actix_web::test]
async fn a_tier_may_need_a_verified_address_from_the_provider_or_the_registry() {
    let world = World::with(|setup| {
        lobby(setup);
        setup.policy = setup.policy.replace(
            "scopes = [\"packages:manage\"]",
            "scopes = [\"packages:manage\"]\nverified_email = true",
        );
    })
    .await;
    let at = |account| Login::new("oidc", account).with("scope", "openid packages:manage");
    let verified = tokens(&world, &at("ann-mfa")).await;
    assert_eq!(verified.text("scope"), "openid packages:manage");
    let unverified = tokens(&world, &at("una-unverified")).await;
    assert_eq!(unverified.text("scope"), "openid");
    let unmet = &unverified.body["unmet_scopes"][0];
    assert_eq!(unmet["reasons"], json!(["email-not-verified"]));
    assert_eq!(unmet["verified_email"], true);
    assert_eq!(unmet.get("acr_values"), None);
}

/// An organisation with a tenant and an exception, and one that is stricter.
fn organizations() -> String {
    format!(
        "[organization.contoso-bank]\ntenants = [\"{CONTOSO}\"]\n\
         [organization.contoso]\ntenants = [\"{CONTOSO}\"]\n\
         stricter.manage = {{ max_evidence_age = \"1h\", accepts = [\"tenant\"] }}\n\
         [exception.bank]\norganization = \"contoso-bank\"\nreason = \"no phones\"\n\
         approved_by = \"security@registry.example\"\nuntil = {}\nwaives = [\"manage\"]\n",
        day(5)
    )
}

#[actix_web::test]
async fn an_exception_lets_an_organizations_people_in_and_the_token_names_it() {
    let world = world(&organizations()).await;
    let scope = "openid packages:manage";
    let bank = Login::new("entra", "bob-password")
        .with("scope", scope)
        .with("organization", "contoso-bank");
    let let_in = tokens(&world, &bank).await;
    assert_eq!(let_in.text("scope"), scope);
    let access = let_in.access();
    assert_eq!(access["countersign"]["waiver"], "bank");
    assert_eq!(
        access["countersign"]["organizations"],
        json!(["contoso-bank"])
    );
    assert_eq!(access["acr"], "urn:countersign:single");

    let alone = Login::new("entra", "bob-password").with("scope", scope);
    assert_eq!(first_ends(&world, &alone).await, "step-up: mfa-absent");
    world.broker.clock.advance(6 * SECONDS_A_DAY);
    assert_eq!(first_ends(&world, &bank).await, "step-up: mfa-absent");
}

#[actix_web::test]
async fn an_organization_takes_nobody_from_elsewhere_and_may_ask_for_more() {
    let world = world(&organizations()).await;
    for organization in ["contoso-bank", "unheard-of"] {
        let elsewhere = Login::new("oidc", "ann-mfa").with("organization", organization);
        assert_eq!(
            ends(&world, &elsewhere).await,
            "refused: organization-not-shown"
        );
    }
    let malformed = Login::new("oidc", "ann-mfa").with("organization", "two words");
    assert_eq!(ends(&world, &malformed).await, "client: invalid_request");

    let by_session = Login::new("entra", "ann-mfa").with("scope", "openid packages:manage");
    assert_eq!(ends(&world, &by_session).await, "code");
    let for_contoso = by_session.with("organization", "contoso");
    assert_eq!(
        first_ends(&world, &for_contoso).await,
        "step-up: basis-not-accepted"
    );
}
