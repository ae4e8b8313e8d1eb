//! A person's own account, in Chromium.

use countersign_core::ClientId;
use countersign_server::{Client, Clock};
use countersign_tests::{ScreenSettings, Signer};
use serde_json::json;

use super::pages::check_looks;
use super::stage::Stage;
use crate::clients::keyed;

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

/// From the registry's old login to the person's own account, and to the team's organization.
#[actix_web::test]
async fn a_person_makes_an_old_account_theirs_on_every_screen() {
    let signer = Signer::new("ES256");
    let stage = Stage::with(&ScreenSettings::default(), |setup| {
        setup.policy = with_pages(&setup.policy);
        setup
            .policy
            .push_str("\n[client.legacy]\ntier = \"manage\"\n");
        let client = Client {
            name: "Example Registry".into(),
            may_vouch: true,
            ..keyed(&signer)
        };
        let id = ClientId::new("legacy").expect("an id");
        setup.clients.insert(id, client);
    })
    .await;
    let at = |path: &str| format!("{}{path}", stage.broker());
    let ticket = |id: &str, more: &[(&str, &str)]| {
        let now = stage.world.broker.clock.now().as_second();
        let mut claims = json!({
            "iss": "legacy", "aud": stage.broker(), "iat": now, "exp": now + 60, "jti": id,
        });
        for (name, value) in more {
            claims[*name] = json!(value);
        }
        let header = json!({"typ": "account-ticket+jwt"});
        at(&format!(
            "/account/claim?ticket={}",
            signer.sign(&header, &claims)
        ))
    };
    // Whoever is let in without a second factor sees what it is about, and how to go on.
    stage
        .screen
        .goto(&ticket("1", &[("registry_account", "ann")]))
        .await;
    stage.choose("github").await;
    stage.screen.arrive_at(&["http://127.0.0.2:"]).await;
    stage.pick("bob-password").await;
    stage.screen.arrive_at(&[&at("/account/claim")]).await;
    assert_eq!(stage.screen.text("h1").await, "Make “ann” yours");
    check_looks(&stage.screen, "claim-weak").await;
    stage.screen.click("a[href*=select_account]").await;
    stage.choose("oidc").await;
    stage.screen.arrive_at(&["http://127.0.0.2:"]).await;
    stage.pick("ann-mfa").await;
    stage.screen.arrive_at(&[&at("/account/claim")]).await;
    assert_eq!(
        stage.screen.url().await.query(),
        None,
        "the ticket is in an address"
    );
    check_looks(&stage.screen, "claim").await;
    stage.screen.click("form button").await;
    stage.screen.arrive_at(&[&at("/account")]).await;
    assert_eq!(stage.screen.text("h1").await, "Your account");
    assert_eq!(stage.screen.text("dl div:nth-of-type(3) dd").await, "ann");
    // A name may be long and have no place to break at, and a team joins by the session that is there.
    let team = "TheTeamOfACompanyThatHasALongName".repeat(3);
    let of_team = [
        ("registry_account", team.as_str()),
        ("organization", "contoso"),
        ("organization_title", "Contoso’s Team for Packages"),
    ];
    stage.screen.goto(&ticket("2", &of_team)).await;
    stage.screen.arrive_at(&[&at("/account/claim")]).await;
    check_looks(&stage.screen, "claim-team").await;
    stage.screen.click("form button").await;
    stage
        .screen
        .arrive_at(&[&at("/organizations/contoso")])
        .await;
    assert_eq!(stage.screen.text("h1").await, "Contoso’s Team for Packages");
    // What is brought twice is refused, and what is somebody's stays theirs.
    stage.screen.goto(&ticket("2", &of_team)).await;
    assert_eq!(stage.screen.text(".reference code").await, "ticket-used");
    check_looks(&stage.screen, "ticket-used").await;
}

/// Who has signed in makes a key, sees it once, and revokes it.
#[actix_web::test]
async fn a_person_makes_and_revokes_an_api_key_on_every_screen() {
    let stage = Stage::with(&ScreenSettings::default(), |setup| {
        setup.policy = setup.policy.replace(
            "scopes = [\"tenants:write\"]",
            "scopes = [\"tenants:write\", \"api-keys:write\"]",
        );
        setup.policy.push_str(
            "\n[client.countersign]\ntier = \"browse\"\n[api_keys]\nmax_days = 365\naccepts = [\"session\"]\n",
        );
    })
    .await;
    let at = |path: &str| format!("{}{path}", stage.broker());
    stage.screen.goto(&at("/account/keys")).await;
    stage.screen.click("a[href*='provider=oidc']").await;
    stage.screen.arrive_at(&["http://127.0.0.2:"]).await;
    stage.pick("ann-mfa").await;
    stage.screen.arrive_at(&[&at("/account/keys")]).await;
    check_looks(&stage.screen, "api-keys-none").await;
    stage.screen.type_into("#name", "build server").await;
    stage.screen.type_into("#packages", "two words*x").await;
    stage.screen.click("[name='scope-packages:publish']").await;
    stage.screen.click("button.primary").await;
    let wrong = stage.screen.text("[role='alert']").await;
    assert!(wrong.contains("A package is a name"), "{wrong}");
    check_looks(&stage.screen, "api-keys-mistake").await;
    stage.screen.goto(&at("/account/keys")).await;
    stage.screen.type_into("#name", "build server").await;
    stage.screen.type_into("#packages", "@ann/*").await;
    stage.screen.click("[name='scope-packages:publish']").await;
    stage.screen.click("button.primary").await;
    let shown = stage.screen.text("h1").await;
    assert!(shown.contains("Your new API key"), "{shown}");
    check_looks(&stage.screen, "api-key-made").await;
    stage.screen.goto(&at("/account/keys")).await;
    check_looks(&stage.screen, "api-keys").await;
    stage.screen.click("a[href^='/account/keys/revoke']").await;
    check_looks(&stage.screen, "api-key-revoke").await;
    stage.screen.click("button.primary").await;
    stage.screen.arrive_at(&[&at("/account/keys")]).await;
    let shown = stage.screen.text(".tag").await;
    assert_eq!(shown, "revoked");
}
