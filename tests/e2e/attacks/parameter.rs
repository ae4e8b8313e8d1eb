//! What stands in requests: bent parameters, and demands taken out on the way to the provider.

use countersign_tests::{BrokerSetup, Browser, Login, World};
use url::Url;

use super::{picked, sent_to_provider, with_parameter};

const MARKUP: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>";
const SPLIT: &str = "x\r\nset-cookie: planted=1\r\n\r\n<script>alert(1)</script>";

fn ann() -> Login {
    Login::new("oidc", "ann-mfa")
}

#[actix_web::test]
async fn the_clients_state_comes_back_as_it_was_and_breaks_nothing() {
    let world = World::new().await;
    for state in [
        MARKUP,
        SPLIT,
        "a&code=stolen&iss=x",
        "#fragment",
        "%0d%0aa",
        "\u{202e}\u{1F512}",
        "javascript:alert(1)",
    ] {
        let page = world
            .sign_in(&mut Browser::new(), &ann().with("state", state))
            .await
            .code();
        assert_eq!(page.sent_with("state").as_deref(), Some(state));
        assert!(
            page.headers["location"]
                .bytes()
                .all(|byte| byte.is_ascii_graphic())
        );
        assert!(
            page.set_cookies
                .iter()
                .all(|one| one.starts_with("__Host-")),
            "{:?}",
            page.set_cookies
        );
        let refused = world
            .sign_in(
                &mut Browser::new(),
                &ann().with("state", state).with("scope", "x"),
            )
            .await;
        assert_eq!(refused.summary(), "client: invalid_scope");
        assert_eq!(refused.page().sent_with("state").as_deref(), Some(state));
    }
}

#[actix_web::test]
async fn what_a_page_repeats_of_a_request_is_escaped() {
    let world = World::new().await;
    let chooser = ann().with("provider", "");
    for value in [MARKUP, SPLIT] {
        for name in ["state", "nonce", "login_hint", "ui_locales", "unknown"] {
            let page = Browser::new()
                .get(&world.authorize_url(&chooser.clone().with(name, value)))
                .await;
            assert_eq!(page.status, 200, "{name}: {}", page.body);
            assert!(
                !page.body.contains("<script") && !page.body.contains("<img"),
                "{name}: {}",
                page.body
            );
            let weak = Login::new("oidc", "bob-password").with(name, value);
            let page = world.sign_in(&mut Browser::new(), &weak).await;
            let body = &page.page().body;
            assert!(
                !body.contains("<script") && !body.contains("<img"),
                "{name}: {body}"
            );
        }
    }
    // A query that no browser would send as it is.
    let raw = format!(
        "/authorize?client_id=gallery&redirect_uri={}&response_type=code&scope=openid&code_challenge=NKCjUJzLZHmn1-iUAFlcmQlzdeGSY_VATTrrKnzG7hI&code_challenge_method=S256&x=\"><script>alert(1)</script>",
        BrokerSetup::REDIRECT_URI
    );
    let page = countersign_tests::wire::get(&world.broker.issuer, &raw, &[]).await;
    assert!(!page.body.contains("<script"), "{}", page.body);
}

#[actix_web::test]
async fn no_parameter_but_the_redirect_uri_sends_anybody_anywhere() {
    let world = World::new().await;
    for evil in [
        "https://evil.example/",
        "//evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        MARKUP,
        SPLIT,
    ] {
        for (name, expected) in [
            ("provider", "invalid_request"),
            ("tenant", "invalid_request"),
        ] {
            let page = Browser::new()
                .get(&world.authorize_url(&ann().with(name, evil)))
                .await;
            assert_eq!(
                page.sent_with("error").as_deref(),
                Some(expected),
                "{name}: {evil}"
            );
            let to = page.location.expect("a redirect").to_string();
            assert!(to.starts_with(BrokerSetup::REDIRECT_URI), "{name}: {to}");
        }
        for name in [
            "login_hint",
            "request_uri",
            "post_logout_redirect_uri",
            "return_to",
            "rd",
            "state",
            "nonce",
        ] {
            let page = Browser::new()
                .get(&world.authorize_url(&ann().with(name, evil)))
                .await;
            let to = page
                .location
                .unwrap_or_else(|| panic!("{name}: {}", page.body))
                .to_string();
            let is_known =
                to.starts_with(world.oidc.base_url()) || to.starts_with(BrokerSetup::REDIRECT_URI);
            assert!(is_known, "{name}: {to}");
        }
    }
    let hint = world.authorize_url(&ann().with("login_hint", "a&prompt=none&acr_values=x"));
    let to = Browser::new()
        .get(&hint)
        .await
        .location
        .expect("a redirect");
    assert_eq!(
        super::parameter(&to, "login_hint"),
        "a&prompt=none&acr_values=x"
    );
}

/// Signs in with the provider's address changed in the browser, on the last leg.
async fn edited(world: &World, login: &Login, edit: impl Fn(&Url) -> Url) -> String {
    let mut browser = Browser::new();
    let url = edit(&sent_to_provider(world, &mut browser, login).await);
    let page = browser.get(&url).await;
    let outcome = world.go_on(&mut browser, page, login).await;
    let countersign_tests::Outcome::StepUp(page) = outcome else {
        return outcome.summary();
    };
    let url = edit(&picked(page.primary_link().expect("a link"), login));
    let page = browser.get(&url).await;
    world.go_on(&mut browser, page, login).await.summary()
}

fn without(name: &'static str) -> impl Fn(&Url) -> Url {
    move |url| with_parameter(url, name, None)
}

#[actix_web::test]
async fn a_demand_that_was_taken_out_on_the_way_to_the_provider_is_not_met() {
    let world = World::new().await;
    let asks_default =
        |url: &Url| with_parameter(url, "acr_values", Some("urn:microsoft:policies:default"));
    let asks_single = |url: &Url| {
        let claims = r#"{"id_token":{"acr":{"essential":true,"values":["urn:dev-idp:single"]}}}"#;
        let url = with_parameter(url, "claims", Some(claims));
        with_parameter(&url, "acr_values", None)
    };
    let bare = |url: &Url| {
        ["acr_values", "claims", "prompt", "max_age"]
            .iter()
            .fold(url.clone(), |url, name| with_parameter(&url, name, None))
    };
    let personal = Login::new("microsoft", "will-when-asked");
    let work = Login::new("entra", "wes-when-asked");
    let tenanted = Login::new("contoso", "wes-when-asked");
    let plain = Login::new("oidc", "wes-when-asked");
    for login in [&personal, &work, &tenanted, &plain] {
        assert_eq!(
            edited(&world, login, Url::clone).await,
            "code",
            "untouched: {login:?}"
        );
    }
    assert_eq!(
        edited(&world, &personal, without("acr_values")).await,
        "refused: mfa-unknown"
    );
    assert_eq!(
        edited(&world, &personal, asks_default).await,
        "refused: mfa-absent"
    );
    assert_eq!(edited(&world, &work, bare).await, "refused: mfa-unknown");
    let asks_default_only = |url: &Url| asks_default(&with_parameter(url, "claims", None));
    assert_eq!(
        edited(&world, &work, asks_default_only).await,
        "refused: mfa-absent"
    );
    assert_eq!(
        edited(&world, &tenanted, bare).await,
        "refused: mfa-unknown"
    );
    assert_eq!(
        edited(&world, &plain, asks_single).await,
        "refused: mfa-absent"
    );
    assert_eq!(edited(&world, &plain, bare).await, "refused: mfa-absent");
}

#[actix_web::test]
async fn a_fresh_login_that_was_asked_for_must_be_shown_whatever_the_browser_passed_on() {
    let world = World::new().await;
    let unmet = "client: unmet_authentication_requirements";
    world.oidc.control().set(|b| b.oidc.session_age = 7_200);
    let fresh = ann().with("prompt", "login");
    assert_eq!(edited(&world, &fresh, Url::clone).await, "code");
    assert_eq!(edited(&world, &fresh, without("prompt")).await, unmet);
    let recent = ann().with("max_age", "60");
    assert_eq!(edited(&world, &recent, Url::clone).await, "code");
    let bare = |url: &Url| with_parameter(&with_parameter(url, "max_age", None), "prompt", None);
    assert_eq!(edited(&world, &recent, bare).await, unmet);
    let longer = |url: &Url| {
        with_parameter(
            &with_parameter(url, "max_age", Some("99999")),
            "prompt",
            None,
        )
    };
    assert_eq!(edited(&world, &recent, longer).await, unmet);
}

#[actix_web::test]
async fn a_parameter_that_stands_twice_is_told_to_the_client() {
    let world = World::new().await;
    for name in [
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "acr_values",
        "provider",
        "unknown",
    ] {
        let mut url = world.authorize_url(&ann());
        url.query_pairs_mut()
            .append_pair(name, "a")
            .append_pair(name, "b");
        let page = Browser::new().get(&url).await;
        assert_eq!(
            page.sent_with("error").as_deref(),
            Some("invalid_request"),
            "{name}"
        );
        let state = (name != "state").then_some("state-of-the-client");
        assert_eq!(
            page.sent_with("state").as_deref(),
            state,
            "{name}: which state?"
        );
    }
}
