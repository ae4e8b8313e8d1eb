//! Sign-ins as people make them, one page after the other.

use countersign_dev_idp::entra::{Honour, OptionalClaim};
use countersign_tests::ScreenSettings;
use serde_json::json;

use super::stage::Stage;

#[actix_web::test]
async fn the_chooser_leads_to_every_kind_of_provider_and_on_to_the_registry() {
    let stage = Stage::new().await;
    for (provider, account, acr, basis) in [
        ("microsoft", "mia-mfa", "mfa", "session"),
        ("entra", "ann-mfa", "mfa", "session"),
        ("contoso", "ann-mfa", "mfa-attested", "tenant"),
        ("github", "ann-mfa", "mfa-enrolled", "enrolment"),
        ("oidc", "ann-mfa", "mfa", "session"),
    ] {
        stage.screen.forget_cookies().await;
        stage.screen.goto(&stage.request(&[])).await;
        assert_eq!(stage.screen.text("h1").await, "Sign in to Example Gallery");
        stage.choose(provider).await;
        stage.pick(account).await;
        assert_eq!(stage.outcome().await, "registry: code", "{provider}");
        let tokens = stage.redeem().await;
        assert_eq!(tokens.status, 200, "{provider}: {}", tokens.body);
        let access = tokens.access();
        let acr = format!("urn:countersign:{acr}");
        assert_eq!(access["acr"], json!(acr), "{provider}");
        assert_eq!(access["countersign"]["basis"], json!(basis), "{provider}");
    }
}

#[actix_web::test]
async fn the_pages_work_where_scripts_do_not_run() {
    let stage = Stage::new().await;
    stage.screen.stop_scripts().await;
    stage.screen.goto(&stage.request(&[])).await;
    stage.choose("microsoft").await;
    stage.pick("omar-ignores").await;
    // The provider's own form can't send itself now: a person presses its button.
    stage.screen.click("#answer button").await;
    assert_eq!(stage.outcome().await, "step-up: mfa-absent");
    stage.step_up().await;
    stage.pick("omar-ignores").await;
    stage.screen.click("#answer button").await;
    assert_eq!(stage.outcome().await, "page: mfa-absent");
    stage.screen.click_link("Sign in another way").await;
    stage.choose("github").await;
    stage.pick("ann-mfa").await;
    assert_eq!(stage.outcome().await, "registry: code");
}

/// Signs in without a second factor, to the end; there the page must say this and lead there.
async fn check_refusal(stage: &Stage, login: (&str, &str), reason: &str, enrolment: Option<&str>) {
    let (provider, account) = login;
    stage.screen.forget_cookies().await;
    let mut outcome = stage.sign_in(provider, account).await;
    if outcome.starts_with("step-up") {
        stage.step_up().await;
        stage.pick(account).await;
        outcome = stage.outcome().await;
    }
    assert_eq!(outcome, format!("page: {reason}"), "{login:?}");
    assert_eq!(stage.screen.text("h1").await, "You are not signed in");
    let links = stage.screen.count("section .button.primary").await;
    assert_eq!(links, usize::from(enrolment.is_some()), "{login:?}");
    if let Some(url) = enrolment {
        let found = stage.screen.property("section .button.primary", "href");
        assert_eq!(found.await.as_deref(), Some(url), "{login:?}");
    }
}

#[actix_web::test]
async fn a_weak_login_is_told_why_and_where_to_enrol() {
    let stage = Stage::new().await;
    let personal = Some("https://account.microsoft.com/security");
    let work = Some("https://mysignins.microsoft.com/security-info");
    let github = format!("{}/settings/security", stage.world.github.base_url());
    let github = Some(github.as_str());
    for (login, reason, enrolment) in [
        (("microsoft", "omar-ignores"), "mfa-absent", personal),
        (("entra", "olaf-ignores"), "mfa-absent", work),
        (("contoso", "olaf-ignores"), "mfa-unknown", work),
        (("github", "bob-password"), "mfa-absent", github),
        (("github", "abe-absent"), "mfa-unknown", github),
        (("oidc", "bob-password"), "mfa-absent", None),
    ] {
        check_refusal(&stage, login, reason, enrolment).await;
    }
}

#[actix_web::test]
async fn a_refused_person_can_try_again_sign_in_otherwise_or_go_back() {
    let stage = Stage::new().await;
    assert_eq!(
        stage.sign_in("github", "bob-password").await,
        "page: mfa-absent"
    );
    stage.screen.click_link("Try again").await;
    stage.pick("bob-password").await;
    assert_eq!(stage.outcome().await, "page: mfa-absent");
    stage.screen.click_link("Sign in another way").await;
    stage.choose("oidc").await;
    stage.pick("dana-cancels").await;
    assert_eq!(stage.outcome().await, "page: provider-cancelled");
    stage.screen.click_link("Back to Example Gallery").await;
    assert_eq!(stage.outcome().await, "registry: access_denied");
    let url = stage.screen.url().await;
    let sent: Vec<_> = url.query_pairs().collect();
    for (name, value) in [
        ("error_description", "provider-cancelled"),
        ("state", "state-of-the-client"),
        ("iss", stage.broker()),
    ] {
        assert!(
            sent.contains(&(name.into(), value.into())),
            "{name} in {url}"
        );
    }
}

/// One sign-in with a step-up, and what the person answers where the provider offers to enrol.
async fn check_step_up(stage: &Stage, login: (&str, &str), answer: Option<&str>, expected: &str) {
    let (provider, account) = login;
    stage.screen.forget_cookies().await;
    stage.world.entra.control().forget_enrolments();
    let outcome = stage.sign_in(provider, account).await;
    assert_eq!(outcome, "step-up: mfa-absent", "{login:?}");
    stage.step_up().await;
    stage.pick(account).await;
    if let Some(answer) = answer {
        stage.pick(answer).await;
    }
    assert_eq!(stage.outcome().await, expected, "{login:?}");
}

#[actix_web::test]
async fn the_step_up_ends_signed_in_or_with_a_reason() {
    let stage = Stage::new().await;
    for (login, answer, expected) in [
        (("microsoft", "ella-enrols"), Some("yes"), "registry: code"),
        (("entra", "eve-enrols"), Some("yes"), "registry: code"),
        (
            ("entra", "eve-enrols"),
            Some("no"),
            "page: step-up-declined",
        ),
        (("entra", "wes-when-asked"), None, "registry: code"),
        (
            ("entra", "mallory-switches"),
            None,
            "page: identity-changed",
        ),
        (("entra", "olaf-ignores"), None, "page: mfa-absent"),
    ] {
        check_step_up(&stage, login, answer, expected).await;
    }
}

#[actix_web::test]
async fn who_does_not_take_the_step_up_goes_back_to_the_registry() {
    let stage = Stage::new().await;
    let outcome = stage.sign_in("entra", "wes-when-asked").await;
    assert_eq!(outcome, "step-up: mfa-absent");
    stage.screen.click_link("Back to Example Gallery").await;
    assert_eq!(stage.outcome().await, "registry: access_denied");
}

#[actix_web::test]
async fn a_step_up_for_a_fresh_sign_in_does_not_speak_of_second_factors() {
    let stage = Stage::new().await;
    let url = stage.request(&[("provider", "entra"), ("max_age", "1")]);
    stage.world.entra.control().set(|behaviour| {
        let entra = &mut behaviour.entra;
        entra.optional_claims.insert(OptionalClaim::AuthTime);
        entra.max_age = Honour::Ignored;
        entra.session_age = 600;
    });
    stage.screen.goto(&url).await;
    stage.pick("ann-mfa").await;
    assert_eq!(stage.outcome().await, "step-up: auth-too-old");
    let shown = stage.screen.text("main").await;
    assert!(shown.contains("sign in again"), "{shown}");
    assert!(!shown.contains("second factor"), "{shown}");
}

#[actix_web::test]
async fn the_reminder_leads_to_the_providers_settings_and_on_to_the_registry() {
    let stage = Stage::with(&ScreenSettings::default(), |setup| {
        setup.policy.push_str(
            "\n[calendar]\nnew_accounts_from = 2187-05-08\n\
             existing_accounts = { from = 2187-05-08, until = 2187-05-08 }\nbefore_due = \"remind\"\n",
        );
    })
    .await;
    for (provider, account) in [
        ("github", "bob-password"),
        ("microsoft", "omar-ignores"),
        ("oidc", "bob-password"),
    ] {
        assert_eq!(
            stage.sign_in(provider, account).await,
            "page: reminded",
            "{provider}"
        );
        let title = stage.screen.text("h1").await;
        assert_eq!(title, "You need a second factor from 8 May 2187");
        stage.screen.reload().await;
        stage.screen.click("#continue").await;
        assert_eq!(stage.outcome().await, "registry: code", "{provider}");
        assert_eq!(stage.redeem().await.status, 200, "{provider}");
        stage.screen.back().await;
        assert_eq!(stage.outcome().await, "page: attempt-missing", "{provider}");
        // Once a day: the next sign-in goes straight through.
        stage.screen.forget_cookies().await;
        assert_eq!(
            stage.sign_in(provider, account).await,
            "registry: code",
            "{provider}"
        );
    }
}
