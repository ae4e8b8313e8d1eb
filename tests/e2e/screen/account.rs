//! A person's own account, in Chromium.

use countersign_tests::ScreenSettings;

use super::pages::check_looks;
use super::stage::Stage;

/// The policy wants our pages, and lets identities be linked by who shows MFA.
fn with_pages(policy: &str) -> String {
    let linking = policy.replace(
        "scopes = [\"tenants:write\"]\nneeds = \"mfa\"\naccepts = [\"session\", \"tenant\"]",
        "scopes = [\"tenants:write\", \"identities:write\"]\nneeds = \"mfa\"\naccepts = [\"session\", \"tenant\", \"enrolment\"]",
    );
    format!("{linking}\n[client.countersign]\ntier = \"browse\"\n")
}

#[actix_web::test]
async fn a_person_links_an_identity_and_removes_it_on_every_screen() {
    let stage = Stage::with(&ScreenSettings::default(), |setup| {
        setup.policy = with_pages(&setup.policy);
    })
    .await;
    let at = |path: &str| format!("{}{path}", stage.broker());
    let at_page = async || {
        stage.screen.arrive_at(&[&at("/account")]).await;
        assert_eq!(stage.screen.text("h1").await, "Your account");
    };
    // Who is not signed in chooses a provider, and comes to the page.
    stage.screen.goto(&at("/account")).await;
    stage.choose("oidc").await;
    stage.screen.arrive_at(&["http://127.0.0.2:"]).await;
    stage.pick("bob-password").await;
    at_page().await;
    check_looks(&stage.screen, "account-weak").await;
    stage.screen.forget_cookies().await;
    stage.screen.goto(&at("/account")).await;
    stage.choose("oidc").await;
    stage.screen.arrive_at(&["http://127.0.0.2:"]).await;
    stage.pick("ann-mfa").await;
    at_page().await;
    assert_eq!(stage.screen.count(".sessions li").await, 1);
    // Another way in is added, and removed.
    stage
        .screen
        .click("section > form:nth-of-type(3) button")
        .await; // GitHub
    stage.screen.arrive_at(&[&at("/account/press")]).await;
    check_looks(&stage.screen, "account-leave").await;
    stage.screen.click("a.primary").await;
    stage.screen.arrive_at(&["http://127.0.0.2:"]).await;
    stage.pick("ann-mfa").await;
    at_page().await;
    assert_eq!(stage.screen.count(".sessions li").await, 2);
    check_looks(&stage.screen, "account").await;
    stage.screen.click(".sessions li:last-of-type button").await;
    at_page().await;
    assert_eq!(stage.screen.count(".sessions li").await, 1);
    // And then all of it.
    stage.screen.click("a[href='/account/erase']").await;
    stage.screen.arrive_at(&[&at("/account/erase")]).await;
    check_looks(&stage.screen, "account-erase").await;
    stage.screen.click("button.primary").await;
    stage.screen.arrive_at(&[&at("/account/press")]).await;
    assert_eq!(stage.screen.text("h1").await, "Your account is erased");
    check_looks(&stage.screen, "account-erased").await;
}
