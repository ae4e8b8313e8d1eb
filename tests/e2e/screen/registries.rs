//! The pages of registries' own tools, in Chromium.

use countersign_server::KeyHeader;
use countersign_tests::ScreenSettings;

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
    assert_eq!(title, "A code for 127.0.0.4:5000");
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
    assert_eq!(stage.screen.text("h1").await, format!("A code for {host}"));
    check_looks(&stage.screen, "registry-code-gem").await;
}
