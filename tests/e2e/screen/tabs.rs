//! Sign-ins that disturb each other, or would: tabs, the back button, reload.

use super::stage::Stage;

#[actix_web::test]
async fn two_tabs_at_once_both_finish() {
    let stage = Stage::new().await;
    let one = stage.screen.tab().await;
    stage.begin("oidc").await;
    let two = stage.screen.new_tab().await;
    stage.begin("microsoft").await;
    stage.screen.bring(&one).await;
    stage.pick("ann-mfa").await;
    assert_eq!(stage.outcome().await, "registry: code");
    stage.screen.bring(&two).await;
    stage.pick("mia-mfa").await;
    assert_eq!(stage.outcome().await, "registry: code");
}

#[actix_web::test]
async fn of_five_tabs_the_oldest_gets_a_clear_page_and_four_finish() {
    let stage = Stage::new().await;
    let mut tabs = vec![stage.screen.tab().await];
    stage.begin("oidc").await;
    for _ in 1..5 {
        tabs.push(stage.screen.new_tab().await);
        stage.begin("oidc").await;
    }
    let mut outcomes = Vec::new();
    for tab in &tabs {
        stage.screen.bring(tab).await;
        stage.pick("ann-mfa").await;
        outcomes.push(stage.outcome().await);
    }
    assert_eq!(outcomes[0], "page: attempt-missing");
    assert_eq!(outcomes[1..], ["registry: code"; 4].map(str::to_owned));
    stage.screen.bring(&tabs[0]).await;
    assert_eq!(stage.screen.text("h1").await, "No sign-in under way");
}

#[actix_web::test]
async fn a_finished_sign_in_leaves_the_cookie_of_its_session_alone_and_going_back_does_no_harm() {
    let stage = Stage::new().await;
    assert_eq!(stage.sign_in("oidc", "ann-mfa").await, "registry: code");
    let left = stage.screen.cookie_names(stage.broker()).await;
    assert_eq!(left, ["__Host-countersign-session"]);
    stage.screen.back().await;
    stage.screen.arrive_at(&["http://127.0.0.2:"]).await;
    stage.pick("ann-mfa").await;
    assert_eq!(stage.outcome().await, "page: attempt-missing");
}

#[actix_web::test]
async fn going_back_during_a_step_up_is_understood_and_the_step_up_still_finishes() {
    let stage = Stage::new().await;
    let outcome = stage.sign_in("entra", "wes-when-asked").await;
    assert_eq!(outcome, "step-up: mfa-absent");
    stage.screen.reload().await;
    assert_eq!(stage.outcome().await, "page: leg-passed");
    stage.screen.click_link("Try again").await;
    stage.pick("wes-when-asked").await;
    assert_eq!(stage.outcome().await, "step-up: mfa-absent");
    stage.step_up().await;
    stage.screen.back().await;
    // Chromium shows the notice as it was, or asks for it anew: both lead on.
    stage.screen.arrive_at(&[stage.broker()]).await;
    let shown = stage.outcome().await;
    assert!(
        ["step-up: mfa-absent", "page: leg-passed"].contains(&shown.as_str()),
        "{shown}"
    );
    stage.screen.forward().await;
    stage.screen.arrive_at(&["http://127.0.0.2:"]).await;
    stage.pick("wes-when-asked").await;
    assert_eq!(stage.outcome().await, "registry: code");
}

#[actix_web::test]
async fn reloading_a_refusal_still_says_no_and_offers_the_ways_on() {
    let stage = Stage::new().await;
    for (provider, account) in [("github", "bob-password"), ("oidc", "dana-cancels")] {
        let outcome = stage.sign_in(provider, account).await;
        assert!(outcome.starts_with("page: "), "{provider}: {outcome}");
        stage.screen.reload().await;
        let outcome = stage.outcome().await;
        assert!(outcome.starts_with("page: "), "{provider}: {outcome}");
        stage.screen.click_link("Try again").await;
        stage.pick("ann-mfa").await;
        assert_eq!(stage.outcome().await, "registry: code", "{provider}");
    }
}
