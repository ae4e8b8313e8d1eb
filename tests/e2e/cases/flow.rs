//! The sign-in as a whole: where it may lead, when it ends, and what text of others it shows.

use countersign_dev_idp::{Behaviour, Document, Edit};
use countersign_tests::{BrokerSetup, Login, World};
use serde_json::json;
use url::Url;

use super::end::OK;
use super::{Browser, Cases, usual};

const MISSING: &str = "refused: attempt-missing";

fn mia() -> Login {
    Login::new("microsoft", "mia-mfa")
}

fn url(text: &str) -> Url {
    Url::parse(text).expect("an address")
}

fn callback(edits: Vec<Edit>) -> impl Fn(&mut Behaviour) {
    move |behaviour| {
        behaviour.edits.insert(Document::Callback, edits.clone());
    }
}

/// The callback by GET with these parameters, as a link that somebody was sent.
async fn visit_callback(
    cases: &Cases,
    browser: &mut Browser,
    query: &str,
) -> countersign_tests::Page {
    let address = format!("{}/callback/microsoft?{query}", cases.world.broker.issuer);
    browser.get(&url(&address)).await
}

// ---- the step-up ---------------------------------------------------------------------------

#[actix_web::test]
async fn there_is_exactly_one_step_up_and_then_an_end() {
    let cases = Cases::new().await;
    for (provider, account, expected, legs) in [
        ("microsoft", "omar-ignores", "refused: mfa-absent", 2),
        ("entra", "olaf-ignores", "refused: mfa-absent", 2),
        ("contoso", "olaf-ignores", "refused: mfa-unknown", 2),
        ("oidc", "olaf-ignores", "refused: mfa-absent", 2),
        ("github", "bob-password", "refused: mfa-absent", 1),
    ] {
        let login = Login::new(provider, account);
        let outcome = cases.sign_in_with_step_up(&login, usual).await;
        assert_eq!(outcome.summary(), expected, "{login:?}");
        let asked = cases.stand_in(provider).authorize_requests();
        assert_eq!(asked.len(), legs, "{login:?}");
    }
}

#[actix_web::test]
async fn a_refusal_offers_ways_on_and_none_of_them_is_automatic() {
    let cases = Cases::new().await;
    let omar = Login::new("microsoft", "omar-ignores");
    let outcome = cases.sign_in_with_step_up(&omar, usual).await;
    let page = outcome.page();
    assert_eq!((page.status, &page.location), (403, &None));
    for text in [
        "Try again",
        "Sign in another way",
        "error=access_denied",
        "account.microsoft.com/security",
    ] {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    assert!(
        !page.body.contains("http-equiv"),
        "no page goes on by itself"
    );
}

#[actix_web::test]
async fn the_answer_to_the_first_leg_is_worth_nothing_in_the_second() {
    let cases = Cases::new().await;
    let will = Login::new("microsoft", "will-when-asked");
    let mut browser = cases.fresh.clone();
    let first = cases.world.sign_in(&mut browser, &will).await;
    let state = cases.stand_in("microsoft").authorize_requests()[0]
        .param("state")
        .expect("a state")
        .to_owned();
    let page = visit_callback(
        &cases,
        &mut browser,
        &format!("error=access_denied&state={state}"),
    )
    .await;
    assert_eq!(page.reason_code(), Some("leg-passed"));
    let second = cases.world.step_up(&mut browser, first.page(), &will).await;
    assert_eq!(second.summary(), "code");
}

#[actix_web::test]
async fn a_step_up_answered_by_somebody_else_is_refused_in_every_kind() {
    let cases = Cases::new().await;
    let changed = "refused: identity-changed";
    for login in [
        Login::new("microsoft", "max-switches"),
        Login::new("entra", "mallory-switches"),
    ] {
        cases
            .check_to_the_end("switches", &login, usual, changed)
            .await;
    }
}

#[actix_web::test]
async fn evidence_that_has_aged_beyond_its_tier_makes_no_token() {
    let world = World::with(|setup| {
        // A code lives ten minutes at most: the evidence must age in less.
        setup.policy = setup.policy.replace(r#""12h""#, r#""8m""#);
        setup.policy += "[lifetimes]\ncode = \"10m\"\n";
    })
    .await;
    let sign_in = async |scope: &str| {
        let login = Login::new("oidc", "ann-mfa").with("scope", scope);
        world.sign_in(&mut Browser::new(), &login).await.code()
    };
    let fresh = sign_in("openid packages:manage packages:publish").await;
    let both = sign_in("openid packages:manage packages:publish").await;
    let publish = sign_in("packages:publish").await;
    let nearly = sign_in("packages:publish").await;
    assert_eq!(
        world.redeem(&fresh).await.text("scope"),
        "openid packages:manage packages:publish"
    );
    world.broker.clock.advance(8 * 60 - 300);
    let tokens = world.redeem(&nearly).await;
    let left = tokens.body["expires_in"].as_i64().expect("seconds");
    assert!(
        (1..=300).contains(&left),
        "no longer than the evidence: {left}"
    );
    world.broker.clock.advance(301);
    assert_eq!(
        world.redeem(&both).await.text("scope"),
        "openid packages:manage"
    );
    let refused = world.redeem(&publish).await;
    assert_eq!(refused.text("error"), "invalid_grant");
    assert_eq!(refused.text("error_description"), "evidence-too-old");
}

// ---- where it leads ------------------------------------------------------------------------

#[actix_web::test]
async fn a_person_is_sent_back_to_a_registered_address_and_nowhere_else() {
    let cases = Cases::new().await;
    for redirect_uri in [
        "https://evil.example/callback",
        "//evil.example/callback",
        "/callback",
        "javascript:alert(1)",
        "http://127.0.0.3:9/callback/",
        "http://127.0.0.3:9/callback?next=https://evil.example",
        "http://127.0.0.3:9@evil.example/callback",
        "",
    ] {
        let login = mia().with("redirect_uri", redirect_uri);
        let outcome = cases.sign_in(&login, usual).await;
        let refused = "refused: redirect-uri-not-registered";
        assert_eq!(outcome.summary(), refused, "{redirect_uri}");
        assert_eq!(outcome.page().location, None, "{redirect_uri}");
        assert!(
            !outcome.page().body.contains("evil.example"),
            "{redirect_uri}"
        );
    }
}

#[actix_web::test]
async fn who_has_signed_in_already_signs_in_again_to_the_same_account() {
    let cases = Cases::new().await;
    let mut browser = cases.fresh.clone();
    let first = cases.world.sign_in(&mut browser, &mia()).await.code();
    let from_session = cases.world.sign_in(&mut browser, &mia()).await.code();
    let again = mia().with("prompt", "select_account");
    let second = cases.world.sign_in(&mut browser, &again).await.code();
    assert_ne!(first.sent_with("code"), second.sent_with("code"));
    let location = second.location.clone().expect("a location");
    assert!(location.as_str().starts_with(BrokerSetup::REDIRECT_URI));
    let one = cases.world.redeem(&first).await;
    let two = cases.world.redeem(&second).await;
    assert_eq!(one.id()["sub"], two.id()["sub"]);
    assert_ne!(
        one.id()["sid"],
        two.id()["sid"],
        "each sign-in has its own session"
    );
    let shared = cases.world.redeem(&from_session).await;
    assert_eq!(
        shared.id()["sid"],
        one.id()["sid"],
        "the session answers for it"
    );
}

#[actix_web::test]
async fn a_finished_sign_in_is_not_finished_again() {
    let cases = Cases::new().await;
    let mut browser = cases.fresh.clone();
    cases.world.sign_in(&mut browser, &mia()).await.code();
    let asked = cases.stand_in("microsoft").authorize_requests();
    let state = asked[0].param("state").expect("a state");
    for query in [
        format!("state={state}&code=again"),
        format!("state={state}&error=access_denied"),
    ] {
        let page = visit_callback(&cases, &mut browser, &query).await;
        assert_eq!(
            (page.status, page.reason_code()),
            (400, Some("attempt-missing"))
        );
        assert_eq!(page.location, None);
    }
}

#[actix_web::test]
async fn a_sign_out_leads_nowhere_that_is_not_registered_for_it() {
    let cases = Cases::new().await;
    for (path, status) in [
        ("/logout?post_logout_redirect_uri=https://evil.example", 400),
        ("/logout?returnUrl=/account", 200),
        ("/signout?rd=//evil.example", 404),
        ("/admin", 404),
    ] {
        let address = format!("{}{path}", cases.world.broker.issuer);
        let page = cases.fresh.clone().get(&url(&address)).await;
        assert_eq!((page.status, &page.location), (status, &None), "{path}");
    }
}

#[actix_web::test]
async fn a_provider_is_a_configured_one() {
    let cases = Cases::new().await;
    for provider in [
        "unheard-of",
        "Microsoft",
        "../entra",
        "microsoft/../entra",
        "<b>",
    ] {
        let login = mia().with("provider", provider);
        let refused = "client: invalid_request";
        cases.check(provider, &login, usual, refused).await;
    }
    let chooser = cases.sign_in(&mia().with("provider", ""), usual).await;
    assert_eq!(chooser.page().status, 200);
    for provider in ["microsoft", "entra", "contoso", "github", "oidc"] {
        let link = format!("provider={provider}\"");
        assert!(chooser.page().body.contains(&link), "{provider}");
    }
    for path in ["unheard-of", "Microsoft", "microsoft/continue/more"] {
        let address = format!(
            "{}/callback/{path}?state=x&code=y",
            cases.world.broker.issuer
        );
        let page = cases.fresh.clone().get(&url(&address)).await;
        assert_eq!((page.status, &page.location), (404, &None), "{path}");
    }
}

#[actix_web::test]
async fn the_callback_of_one_provider_takes_no_answer_of_another() {
    let cases = Cases::new().await;
    let mut browser = cases.fresh.clone();
    let left = browser.get(&cases.world.authorize_url(&mia())).await;
    let state = left.sent_with("state").expect("a state");
    for provider in ["entra", "contoso", "oidc", "github"] {
        let address = format!(
            "{}/callback/{provider}?state={state}&code=stolen",
            cases.world.broker.issuer
        );
        let page = browser.get(&url(&address)).await;
        assert_eq!(page.reason_code(), Some("attempt-missing"), "{provider}");
        assert!(
            cases.stand_in(provider).token_requests().is_empty(),
            "{provider}"
        );
    }
}

// ---- when it ends --------------------------------------------------------------------------

#[actix_web::test]
async fn a_sign_in_may_take_an_hour_and_no_longer() {
    let cases = Cases::new().await;
    for (provider, account) in [("microsoft", "mia-mfa"), ("oidc", "ann-mfa")] {
        let login = Login::new(provider, account);
        for (seconds, expected) in [(3_500, OK), (3_601, "refused: attempt-expired")] {
            let mut browser = cases.fresh.clone();
            let left = browser.get(&cases.world.authorize_url(&login)).await;
            cases.later(seconds);
            let outcome = cases.world.go_on(&mut browser, left, &login).await;
            assert_eq!(outcome.summary(), expected, "{provider} after {seconds} s");
        }
    }
}

#[actix_web::test]
async fn the_hour_is_not_renewed_by_the_step_up() {
    let cases = Cases::new().await;
    let will = Login::new("microsoft", "will-when-asked");
    let mut browser = cases.fresh.clone();
    let left = browser.get(&cases.world.authorize_url(&will)).await;
    cases.later(1_900);
    let first = cases.world.go_on(&mut browser, left, &will).await;
    cases.later(1_900);
    let second = cases.world.step_up(&mut browser, first.page(), &will).await;
    assert_eq!(second.summary(), "refused: attempt-expired");
}

// ---- what the provider says ----------------------------------------------------------------

#[actix_web::test]
async fn an_error_of_the_provider_is_told_in_our_words() {
    let cases = Cases::new().await;
    let markup = "<script>alert(1)</script>\r\nAADSTS65004 <b>text of theirs</b>";
    for (error, expected) in [
        ("access_denied", "refused: provider-cancelled"),
        ("consent_required", "refused: provider-refused"),
        ("interaction_required", "refused: provider-refused"),
        ("login_required", "refused: provider-refused"),
        ("invalid_request", "refused: provider-refused"),
        ("invalid_resource", "refused: provider-refused"),
        ("server_error", "refused: provider-unavailable"),
        ("temporarily_unavailable", "refused: provider-unavailable"),
        ("unauthorized_client", "refused: provider-misconfigured"),
        (
            "unsupported_response_type",
            "refused: provider-misconfigured",
        ),
        (
            "unmet_authentication_requirements",
            "client: unmet_authentication_requirements",
        ),
        ("<script>alert(1)</script>", "refused: provider-refused"),
    ] {
        for login in [
            mia(),
            Login::new("entra", "ann-mfa"),
            Login::new("oidc", "ann-mfa"),
            Login::new("github", "ann-mfa"),
        ] {
            let turn = callback(vec![
                Edit::remove("code"),
                Edit::remove("id_token"),
                Edit::set("error", error),
                Edit::set("error_description", markup),
                Edit::set("error_uri", "javascript:alert(1)"),
            ]);
            let outcome = cases.sign_in(&login, turn).await;
            assert_eq!(outcome.summary(), expected, "{error} of {}", login.provider);
            let body = &outcome.page().body;
            for theirs in ["<script", "alert(1)", "text of theirs", "AADSTS"] {
                assert!(
                    !body.contains(theirs),
                    "{theirs} of {}: {body}",
                    login.provider
                );
            }
        }
    }
}

#[actix_web::test]
async fn an_error_counts_before_a_code_that_came_with_it() {
    let cases = Cases::new().await;
    let cancelled = "refused: provider-cancelled";
    for login in [
        mia(),
        Login::new("oidc", "ann-mfa"),
        Login::new("github", "ann-mfa"),
    ] {
        let turn = callback(vec![Edit::set("error", "access_denied")]);
        cases.check("both", &login, turn, cancelled).await;
        let asked = cases.stand_in(login.provider).token_requests();
        assert!(asked.is_empty(), "the code is not redeemed");
    }
}

#[actix_web::test]
async fn a_parameter_of_the_callback_stands_once() {
    let cases = Cases::new().await;
    for name in ["state", "code", "iss", "error"] {
        let turn = callback(vec![Edit::append(name, "one"), Edit::append(name, "two")]);
        let login = Login::new("oidc", "ann-mfa");
        cases
            .check(name, &login, turn, "refused: invalid-request")
            .await;
    }
}

#[actix_web::test]
async fn an_answer_without_the_state_of_this_browser_is_nobodys() {
    let cases = Cases::new().await;
    let mut other = cases.fresh.clone();
    let left = other.get(&cases.world.authorize_url(&mia())).await;
    let foreign = left.sent_with("state").expect("a state");
    let (owner, secret) = foreign.split_once('.').expect("an owner");
    for state in [
        "",
        "x",
        ".",
        foreign.as_str(),
        owner,
        secret,
        "../../etc",
        "<script>",
    ] {
        for answer in ["code=stolen", "error=access_denied", "error=server_error"] {
            let mut query = url::form_urlencoded::Serializer::new(answer.to_owned());
            let query = query.append_pair("state", state).finish();
            let page = visit_callback(&cases, &mut cases.fresh.clone(), &query).await;
            assert_eq!(page.reason_code(), Some("attempt-missing"), "{query}");
            assert_eq!((page.status, &page.location), (400, &None), "{query}");
        }
    }
    for (case, edit) in [
        ("removed", Edit::remove("state")),
        ("forged", Edit::set("state", format!("{owner}.forged"))),
        ("another browser's", Edit::set("state", foreign.as_str())),
    ] {
        for login in [
            mia(),
            Login::new("oidc", "ann-mfa"),
            Login::new("github", "ann-mfa"),
        ] {
            let turn = callback(vec![edit.clone()]);
            cases.check(case, &login, turn, MISSING).await;
        }
    }
}

#[actix_web::test]
async fn names_and_addresses_are_text_wherever_they_show() {
    let cases = Cases::new().await;
    let markup = "\"><script>alert(1)</script>@outlook.example";
    for account in ["mia-mfa", "will-when-asked", "omar-ignores"] {
        let turn = |behaviour: &mut Behaviour| {
            let person = behaviour.entra.account_mut(account).expect("the account");
            person.name = Some(markup.to_owned());
            person.email = Some(markup.to_owned());
            person.preferred_username = Some(markup.to_owned());
        };
        let login = Login::new("microsoft", account);
        for outcome in [
            cases.sign_in(&login, turn).await,
            cases.sign_in_with_step_up(&login, turn).await,
        ] {
            assert!(!outcome.page().body.contains("<script"), "{account}");
        }
    }
    let turn = |behaviour: &mut Behaviour| {
        let mia = behaviour.entra.account_mut("mia-mfa").expect("Mia");
        mia.name = Some("  A\u{0}n\r\nn\u{7f} <b>".to_owned());
    };
    let id = cases.tokens(&mia(), turn).await.id();
    assert_eq!(
        id["name"],
        json!("Ann <b>"),
        "text, without control characters"
    );
    let long = |behaviour: &mut Behaviour| {
        let mia = behaviour.entra.account_mut("mia-mfa").expect("Mia");
        mia.name = Some("é".repeat(400));
    };
    let id = cases.tokens(&mia(), long).await.id();
    assert_eq!(
        id["name"].as_str().map(|name| name.chars().count()),
        Some(256)
    );
}

#[actix_web::test]
async fn a_person_of_whom_nothing_is_told_has_nothing_prefilled() {
    let cases = Cases::new().await;
    let turn = |behaviour: &mut Behaviour| {
        for account in ["mia-mfa", "will-when-asked"] {
            let person = behaviour.entra.account_mut(account).expect("the account");
            person.name = None;
            person.email = None;
            person.preferred_username = None;
        }
    };
    let id = cases.tokens(&mia(), turn).await.id();
    for name in ["name", "email", "email_verified"] {
        assert_eq!(id.get(name), None, "{name}");
    }
    let will = Login::new("microsoft", "will-when-asked");
    let asked = cases.asked(&will, turn).await;
    assert_eq!(asked[1].param("login_hint"), None);
    assert_eq!(asked[1].param("prompt"), None);
}
