//! Who is let in by the calendar is told the day, before the registry gets its code; and what the
//! pages say from that day on.

use countersign_core::calendar::day_of;
use countersign_server::Clock;
use countersign_tests::{Browser, Login, Outcome, Page, TestClock, World};
use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::{Value, json};
use url::Url;

const DAY: i64 = 24 * 60 * 60;

/// A world in which every account is older than the requirement and due on one day, that many days from now.
async fn due_in(days: i32, before_due: &str) -> World {
    World::with(|setup| {
        let calendar = calendar(days, before_due);
        setup.policy.push_str(&calendar);
    })
    .await
}

fn calendar(days: i32, before_due: &str) -> String {
    let due = day_of(TestClock::default().now()).saturating_add(days.days());
    format!(
        "\n[calendar]\nnew_accounts_from = {due}\nexisting_accounts = {{ from = {due}, until = {due} }}\n\
         before_due = \"{before_due}\"\nratchet = true\n"
    )
}

fn due(world: &World, days: i32) -> Date {
    day_of(world.broker.clock.now()).saturating_add(days.days())
}

fn bob() -> Login {
    Login::new("github", "bob-password")
}

/// Signs in where the reminder is expected.
async fn reminded(world: &World, browser: &mut Browser, login: &Login) -> Page {
    match world.sign_in(browser, login).await {
        Outcome::Reminder(page) => page,
        other => panic!("{}: {}", other.summary(), other.page().body),
    }
}

/// The way on from the reminder.
fn on(page: &Page) -> Url {
    let callback = page.url.join("/callback/").expect("an address");
    page.link_to(callback.as_str()).expect("a way on")
}

async fn go_on(world: &World, browser: &mut Browser, page: &Page, login: &Login) -> Outcome {
    let next = browser.get(&on(page)).await;
    world.go_on(browser, next, login).await
}

async fn claims(world: &World, outcome: Outcome) -> Value {
    let tokens = world.redeem(&outcome.code()).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    tokens.access()
}

#[actix_web::test]
async fn who_is_let_in_by_the_calendar_is_told_the_day_and_goes_on() {
    let world = due_in(20, "remind").await;
    for (provider, account) in [
        ("github", "bob-password"),
        ("microsoft", "omar-ignores"),
        ("entra", "olaf-ignores"),
        ("oidc", "bob-password"),
    ] {
        let login = Login::new(provider, account);
        let mut browser = Browser::new();
        let page = reminded(&world, &mut browser, &login).await;
        let day = due(&world, 20);
        let in_words = day.strftime("%-d %B %Y").to_string();
        assert_eq!(page.status, 200);
        assert!(page.body.contains(&in_words), "{provider}: {}", page.body);
        let outcome = go_on(&world, &mut browser, &page, &login).await;
        let claims = claims(&world, outcome).await;
        assert_eq!(
            claims["countersign"]["mfa_due"],
            json!(day.to_string()),
            "{provider}"
        );
        assert_eq!(claims["acr"], "urn:countersign:single", "{provider}");
        assert_eq!(
            claims["scope"], "email openid packages:manage profile",
            "{provider}"
        );
    }
}

#[actix_web::test]
async fn the_reminder_is_shown_once_a_day() {
    let world = due_in(20, "remind").await;
    world.share_clock();
    let mut browser = Browser::new();
    let page = reminded(&world, &mut browser, &bob()).await;
    let outcome = go_on(&world, &mut browser, &page, &bob()).await;
    assert_eq!(outcome.summary(), "code");
    // On another device too: it is the account that was told.
    for mut browser in [browser.clone(), Browser::new()] {
        let again = world.sign_in(&mut browser, &bob()).await;
        assert_eq!(again.summary(), "code");
    }
    world.broker.clock.advance(DAY);
    let tomorrow = world.sign_in(&mut Browser::new(), &bob()).await;
    assert_eq!(tomorrow.summary(), "reminder");
    // Who saw it and closed the window has seen it.
    let again = world.sign_in(&mut Browser::new(), &bob()).await;
    assert_eq!(again.summary(), "code");
}

#[actix_web::test]
async fn who_shows_a_second_factor_sees_no_reminder() {
    let world = due_in(20, "remind").await;
    for (provider, account) in [("github", "ann-mfa"), ("microsoft", "mia-mfa")] {
        let login = Login::new(provider, account);
        let outcome = world.sign_in(&mut Browser::new(), &login).await;
        let claims = claims(&world, outcome).await;
        assert_eq!(claims["countersign"]["mfa_due"], Value::Null, "{claims}");
    }
}

/// A second factor is seen at the sign-in, which holds the account to one, and the token endpoint
/// asks the policy again: what the tier wants beyond it still waits for the day.
#[actix_web::test]
async fn who_shows_a_second_factor_that_is_not_enough_is_let_in_until_the_day() {
    let world = World::with(|setup| {
        let any = "accepts = [\"session\", \"enrolment\", \"tenant\"]";
        setup.policy = setup.policy.replace(any, "accepts = [\"session\"]");
        setup.policy.push_str(&calendar(20, "remind"));
    });
    let world = world.await;
    let login = Login::new("github", "ann-mfa");
    let mut browser = Browser::new();
    let page = reminded(&world, &mut browser, &login).await;
    let outcome = go_on(&world, &mut browser, &page, &login).await;
    let first = claims(&world, outcome).await;
    let again = world.sign_in(&mut Browser::new(), &login).await;
    let second = claims(&world, again).await;
    for claims in [first, second] {
        let day = due(&world, 20).to_string();
        assert_eq!(claims["countersign"]["mfa_due"], json!(day), "{claims}");
        assert_eq!(claims["acr"], "urn:countersign:mfa-enrolled", "{claims}");
    }
}

#[actix_web::test]
async fn the_reminder_can_be_reloaded_and_left_once() {
    let world = due_in(20, "remind").await;
    let mut browser = Browser::new();
    let page = reminded(&world, &mut browser, &bob()).await;
    let again = browser.get(&page.url).await;
    assert_eq!(on(&again), on(&page));
    let outcome = go_on(&world, &mut browser, &again, &bob()).await;
    assert_eq!(outcome.summary(), "code");
    // The back button leads to pages that say that this is over.
    for over in [&page.url, &on(&page)] {
        let over = browser.get(over).await;
        assert_eq!(over.reason_code(), Some("attempt-missing"));
    }
    assert_eq!(
        claims(&world, outcome).await["acr"],
        "urn:countersign:single"
    );
}

#[actix_web::test]
async fn who_sets_a_second_factor_up_first_has_an_hour() {
    let world = due_in(20, "remind").await;
    let mut browser = Browser::new();
    let page = reminded(&world, &mut browser, &bob()).await;
    world.broker.clock.advance(59 * 60);
    let outcome = go_on(&world, &mut browser, &page, &bob()).await;
    assert_eq!(outcome.summary(), "code");

    world.broker.clock.advance(DAY);
    let page = reminded(&world, &mut browser, &bob()).await;
    world.broker.clock.advance(61 * 60);
    let late = browser.get(&on(&page)).await;
    assert_eq!(late.reason_code(), Some("attempt-expired"));
}

#[actix_web::test]
async fn the_way_on_is_of_no_use_to_another_browser() {
    let world = due_in(20, "remind").await;
    let mut browser = Browser::new();
    let page = reminded(&world, &mut browser, &bob()).await;
    for address in [&page.url, &on(&page)] {
        let stolen = Browser::new().get(address).await;
        assert_eq!(stolen.reason_code(), Some("attempt-missing"), "{address}");
    }
    let mut guessed = page.url.clone();
    guessed.set_query(Some("state=guessed"));
    let guessed = browser.get(&guessed).await;
    assert_eq!(guessed.reason_code(), Some("attempt-missing"));
}

#[actix_web::test]
async fn the_day_may_come_while_the_reminder_is_read() {
    let world = due_in(1, "remind").await;
    world.share_clock();
    let mut browser = Browser::new();
    let now = world.broker.clock.now();
    let midnight = countersign_core::calendar::midnight(due(&world, 1));
    let left = midnight.duration_since(now).as_secs();
    world.broker.clock.advance(left - 60);
    let page = reminded(&world, &mut browser, &bob()).await;
    world.broker.clock.advance(120);
    let outcome = go_on(&world, &mut browser, &page, &bob()).await;
    assert_eq!(outcome.summary(), "refused: mfa-absent");
    let body = &outcome.page().body;
    assert!(body.contains("Since "), "{body}");
}

#[actix_web::test]
async fn after_its_day_an_account_is_told_since_when() {
    let world = due_in(1, "remind").await;
    world.share_clock();
    world.broker.clock.advance(2 * DAY);
    let since = due(&world, -1)
        .strftime("Since %-d %B %Y, Example Gallery asks")
        .to_string();
    let refused = world.sign_in(&mut Browser::new(), &bob()).await;
    assert_eq!(refused.summary(), "refused: mfa-absent");
    assert!(
        refused.page().body.contains(&since),
        "{}",
        refused.page().body
    );
    let wes = Login::new("entra", "wes-when-asked");
    let sent_back = world.sign_in(&mut Browser::new(), &wes).await;
    assert_eq!(sent_back.summary(), "step-up: mfa-absent");
    assert!(
        sent_back.page().body.contains(&since),
        "{}",
        sent_back.page().body
    );
}

#[actix_web::test]
async fn where_the_calendar_limits_the_registry_tells_and_no_page_of_ours_does() {
    let world = due_in(20, "limit").await;
    let outcome = world.sign_in(&mut Browser::new(), &bob()).await;
    let tokens = world.redeem(&outcome.code()).await;
    assert_eq!(tokens.access()["scope"], "email openid profile");
    assert_eq!(
        tokens.access()["countersign"]["mfa_due"],
        json!(due(&world, 20).to_string())
    );
    assert_eq!(tokens.body["unmet_scopes"][0]["scope"], "packages:manage");
}

/// What the refusal page says to who signs in so.
async fn refusal(world: &World, login: &Login, code: &str) -> String {
    let outcome = world.sign_in_with_step_up(&mut Browser::new(), login).await;
    assert_eq!(outcome.summary(), format!("refused: {code}"), "{login:?}");
    outcome.page().body.clone()
}

async fn wanting_email() -> World {
    World::with(|setup| {
        setup.policy = setup
            .policy
            .replace("[tier.publish]", "verified_email = true\n\n[tier.publish]");
    })
    .await
}

#[actix_web::test]
async fn who_has_no_verified_address_is_told_what_counts_where_they_signed_in() {
    let world = wanting_email().await;
    let emails = format!("{}/settings/emails", world.github.base_url());
    for (provider, account, says) in [
        (
            "github",
            "una-unverified",
            "showed no verified primary address",
        ),
        ("github", "nora-narrow", emails.as_str()),
        ("entra", "ann-mfa", "owns the domain of your address"),
    ] {
        let page = refusal(&world, &Login::new(provider, account), "email-not-verified").await;
        assert!(page.contains(says), "{provider} {account}: {page}");
        assert!(!page.contains("phone number"), "{page}");
    }
    let verified = world
        .sign_in(&mut Browser::new(), &Login::new("github", "ann-mfa"))
        .await;
    assert_eq!(verified.summary(), "code");
}

#[actix_web::test]
async fn a_registry_that_vouches_is_a_way_too() {
    let world = World::with(|setup| {
        setup.gallery().may_vouch = true;
        setup.policy = setup
            .policy
            .replace("[tier.publish]", "verified_email = true\n\n[tier.publish]");
    })
    .await;
    let una = Login::new("github", "una-unverified");
    let page = refusal(&world, &una, "email-not-verified").await;
    assert!(
        page.contains("Or verify your address at Example Gallery"),
        "{page}"
    );
}

#[actix_web::test]
async fn who_is_to_act_for_an_organization_is_led_to_its_tenant() {
    let tenant = countersign_dev_idp::entra::CONTOSO;
    let world = World::with(|setup| {
        let organization = format!("\n[organization.contoso]\ntenants = [\"{tenant}\"]\n");
        setup.policy.push_str(&organization);
    })
    .await;
    let for_contoso = |login: Login| login.with("organization", "contoso");
    let page = refusal(
        &world,
        &for_contoso(Login::new("github", "ann-mfa")),
        "organization-not-shown",
    )
    .await;
    assert!(
        page.contains("act for the organization “contoso”"),
        "{page}"
    );
    assert!(!page.contains("&#38;tenant="), "{page}");
    let elsewhere = for_contoso(Login::new("entra", "finn-fabrikam"));
    let page = refusal(&world, &elsewhere, "organization-not-shown").await;
    assert!(page.contains("&#38;prompt=select_account"), "{page}");
    let again = elsewhere.with("prompt", "select_account");
    let page = Browser::new().get(&world.authorize_url(&again)).await;
    let to = page.location.expect("a way to the provider");
    assert!(to.path().contains(tenant), "{to}");
}
