//! What `cargo dev` starts, walked through from the registry's first page; and its pages.

use countersign_tests::{Look, Screen};
use playground::{Playground, PlaygroundOptions, Ports};

use super::pages::check_looks;

async fn open() -> (Playground, Screen) {
    let options = PlaygroundOptions {
        ports: Ports::Any,
        ..PlaygroundOptions::default()
    };
    let playground = Playground::start(options).await.expect("a playground");
    let screen = Screen::open().await;
    screen.goto(playground.url()).await;
    (playground, screen)
}

/// Chooses a provider at the broker and an account there.
async fn sign_in(screen: &Screen, provider: &str, account: &str) {
    screen
        .click(&format!("nav a[href$='provider={provider}']"))
        .await;
    screen.click(&format!("#choice-{account}")).await;
}

#[actix_web::test]
async fn a_person_signs_in_to_the_registry_and_publishes() {
    let (playground, screen) = open().await;
    check_looks(&screen, "registry-browse").await;
    screen.click("#sign-in").await;
    sign_in(&screen, "microsoft", "mia-mfa").await;
    screen.arrive_at(&[playground.url()]).await;
    assert_eq!(screen.text("#level").await, "mfa");
    assert_eq!(screen.text("#basis").await, "session");
    assert_eq!(screen.text("#email").await, "mia@outlook.example");
    screen.goto(&format!("{}/me", playground.url())).await;
    check_looks(&screen, "registry-me").await;

    screen.goto(&format!("{}/publish", playground.url())).await;
    check_looks(&screen, "registry-publish").await;
    screen.type_into("#package-name", "mia-says").await;
    screen.type_into("#package-version", "1.0.0").await;
    screen.click("#publish").await;
    // The token does not reach that far: the registry sends the person to the broker for more.
    screen
        .arrive_at(&[playground.broker_url(), "http://127.0.0.2:"])
        .await;
    if screen
        .url()
        .await
        .as_str()
        .starts_with(playground.broker_url())
    {
        screen.click("nav a[href$='provider=microsoft']").await;
    }
    screen.click("#choice-mia-mfa").await;
    screen.arrive_at(&[playground.url()]).await;
    check_looks(&screen, "registry-may-publish").await;
    screen.click("#publish").await;
    let listed = screen.text("#packages").await;
    assert!(listed.contains("mia-says"), "{listed}");
}

#[actix_web::test]
async fn a_refused_person_gets_back_to_a_registry_that_says_why() {
    let (playground, screen) = open().await;
    screen.click("#sign-in").await;
    sign_in(&screen, "github", "bob-password").await;
    assert_eq!(screen.text(".reference code").await, "mfa-absent");
    screen.click_link("Back to Sample Registry").await;
    screen.arrive_at(&[playground.url()]).await;
    assert_eq!(screen.text("#detail").await, "access_denied: mfa-absent");
    check_looks(&screen, "registry-trouble").await;
}

#[actix_web::test]
async fn the_stand_ins_pages_are_accessible_too() {
    let (playground, screen) = open().await;
    let broker = playground.broker_url();
    let chooser = format!("{}/sign-in", playground.url());
    for provider in ["microsoft", "entra", "github", "oidc"] {
        screen.look(Look::DESKTOP_LIGHT).await;
        screen.goto(&chooser).await;
        screen
            .click(&format!("nav a[href$='provider={provider}']"))
            .await;
        screen.arrive_at(&["http://127.0.0.2:"]).await;
        check_looks(&screen, &format!("stand-in-{provider}")).await;
    }
    screen.click("#choice-eve-enrols").await;
    check_looks(&screen, "stand-in-enrol").await;
    screen.goto(&chooser).await;
    sign_in(&screen, "entra", "paul-blocked").await;
    check_looks(&screen, "stand-in-blocked").await;
    assert!(!screen.url().await.as_str().starts_with(broker));
}
