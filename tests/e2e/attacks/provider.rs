//! Hostile and broken providers: answers too long, too slow, elsewhere, nonsense, with markup.

use std::time::Duration;

use countersign_dev_idp::{Document, Edit, Endpoint, WireAnswer, WireFault};
use countersign_tests::{Browser, Login, World};
use serde_json::json;

fn answering(body: &str) -> WireFault {
    WireFault::answering(WireAnswer::Body {
        status: 200,
        content_type: "application/json".into(),
        headers: Vec::new(),
        body: body.into(),
    })
}

/// Spoiled answers, each with the reason code that it must lead to.
fn spoiled(elsewhere: &str) -> Vec<(&'static str, WireFault, &'static str)> {
    let invalid = "refused: provider-answer-invalid";
    let unavailable = "refused: provider-unavailable";
    let limited = "refused: provider-rate-limited";
    let redirect = WireAnswer::Redirect(elsewhere.to_owned());
    vec![
        ("status 500", WireFault::status(500), unavailable),
        ("status 503", WireFault::status(503), unavailable),
        ("status 429", WireFault::status(429), limited),
        ("status 404", WireFault::status(404), invalid),
        ("a redirect", WireFault::answering(redirect), invalid),
        (
            "300 KiB",
            WireFault::answering(WireAnswer::Padded(300 * 1024)),
            invalid,
        ),
        (
            "32 MiB",
            WireFault::answering(WireAnswer::Padded(32 * 1024 * 1024)),
            invalid,
        ),
        ("nothing", answering(""), invalid),
        ("a list", answering("[]"), invalid),
        ("a deep list", answering(&"[".repeat(100_000)), invalid),
        (
            "a deep object",
            answering(&"{\"a\":".repeat(40_000)),
            invalid,
        ),
        ("not UTF-8", answering("\u{fffd}{}"), invalid),
        ("markup", answering("<script>alert(1)</script>"), invalid),
    ]
}

#[actix_web::test]
async fn a_spoiled_answer_of_an_openid_provider_ends_on_a_page() {
    let world = World::new().await;
    world.share_clock();
    let elsewhere = format!("{}/foreign/keys", world.oidc.base_url());
    let login = Login::new("oidc", "ann-mfa");
    // In the order in which they are first needed: what was fetched once is kept.
    for endpoint in [
        Endpoint::Discovery,
        Endpoint::Token,
        Endpoint::Jwks,
        Endpoint::UserInfo,
    ] {
        for (why, fault, expected) in spoiled(&elsewhere) {
            world.broker.clock.advance(10); // the pause after a failure
            world.oidc.control().set(|b| {
                b.wire.insert(endpoint, fault);
                b.back.claims = vec![Edit::remove("email")]; // so that UserInfo is asked
            });
            let outcome = world.sign_in(&mut Browser::new(), &login).await;
            assert_eq!(outcome.summary(), expected, "{endpoint:?}: {why}");
            let page = outcome.page();
            assert!(!page.body.contains("<script"), "{}", page.body);
            world.oidc.control().reset();
        }
    }
    assert_eq!(
        world.oidc.control().hits("/foreign/keys"),
        0,
        "a redirect was followed"
    );
    let outcome = world.sign_in(&mut Browser::new(), &login).await;
    assert_eq!(outcome.summary(), "code", "all is well again");
}

#[actix_web::test]
async fn a_spoiled_answer_of_github_or_microsoft_ends_on_a_page() {
    let world = World::new().await;
    world.share_clock();
    let cases = [
        (
            &world.github,
            Login::new("github", "ann-mfa"),
            Endpoint::Token,
        ),
        (
            &world.github,
            Login::new("github", "ann-mfa"),
            Endpoint::User,
        ),
        (
            &world.github,
            Login::new("github", "ann-mfa"),
            Endpoint::Emails,
        ),
        (
            &world.entra,
            Login::new("entra", "ann-mfa"),
            Endpoint::Discovery,
        ),
        (&world.entra, Login::new("entra", "ann-mfa"), Endpoint::Jwks),
        (
            &world.entra,
            Login::new("entra", "ann-mfa"),
            Endpoint::Token,
        ),
    ];
    for (idp, login, endpoint) in cases {
        let elsewhere = format!("{}/foreign/keys", idp.base_url());
        for (why, fault, expected) in spoiled(&elsewhere) {
            if endpoint == Endpoint::Emails && why == "a list" {
                continue; // an account without addresses
            }
            world.broker.clock.advance(10);
            idp.control().set(|b| {
                b.wire.insert(endpoint, fault);
            });
            let outcome = world.sign_in(&mut Browser::new(), &login).await;
            assert_eq!(outcome.summary(), expected, "{login:?} {endpoint:?}: {why}");
            idp.control().reset();
        }
        assert_eq!(
            idp.control().hits("/foreign/keys"),
            0,
            "a redirect was followed"
        );
    }
}

#[actix_web::test]
async fn a_description_that_points_elsewhere_reaches_nothing_there() {
    let world = World::new().await;
    world.share_clock();
    let login = Login::new("oidc", "ann-mfa");
    let elsewhere = [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/",
        "https://10.0.0.1/",
        "https://[::ffff:127.0.0.1]/",
        "https://[fd00::1]/",
        "http://0.0.0.0/",
        "http://2130706433.evil.example/",
        "http://127.0.0.1.evil.example/",
        "http://127.0.0.2@evil.example/",
        "file:///etc/passwd",
        "gopher://127.0.0.2/",
        "javascript:alert(1)",
        "data:text/html,x",
        "",
        "//127.0.0.2/",
    ];
    for member in [
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
        "userinfo_endpoint",
    ] {
        for address in elsewhere {
            world.broker.clock.advance(24 * 3_600 + 1); // what is kept is forgotten
            world.oidc.control().set(|b| {
                b.edits
                    .insert(Document::Discovery, vec![Edit::set(member, address)]);
                b.back.claims = vec![Edit::remove("email")];
            });
            let outcome = world.sign_in(&mut Browser::new(), &login).await;
            let summary = outcome.summary();
            let refused = [
                "refused: provider-unreachable",
                "refused: provider-answer-invalid",
            ];
            assert!(
                refused.contains(&summary.as_str()),
                "{member} at `{address}`: {summary}"
            );
            let body = &outcome.page().body;
            assert!(!body.contains("javascript:"), "{body}");
            world.oidc.control().reset();
        }
    }
    for issuer in [
        "https://evil.example",
        &format!("{}//", world.oidc.base_url()),
        "",
    ] {
        world.broker.clock.advance(24 * 3_600 + 1);
        let edit = Edit::set("issuer", issuer);
        world.oidc.control().set(|b| {
            b.edits.insert(Document::Discovery, vec![edit]);
        });
        let outcome = world.sign_in(&mut Browser::new(), &login).await;
        assert_eq!(
            outcome.summary(),
            "refused: provider-answer-invalid",
            "`{issuer}`"
        );
        world.oidc.control().reset();
    }
}

#[actix_web::test]
async fn a_provider_that_does_not_answer_in_time_ends_on_a_page() {
    let world = World::new().await;
    let never = || WireFault::slow(Duration::from_mins(1));
    let drops = WireAnswer::Trickle {
        piece: 1,
        pause: Duration::from_secs(1),
    };
    world.oidc.control().set(|b| {
        b.wire.insert(Endpoint::Token, never());
    });
    world.github.control().set(|b| {
        b.wire.insert(Endpoint::User, WireFault::answering(drops));
    });
    world.entra.control().set(|b| {
        b.wire.insert(Endpoint::Discovery, never());
    });
    let sign_in = async |provider, account| {
        let outcome = world
            .sign_in(&mut Browser::new(), &Login::new(provider, account))
            .await;
        (outcome.summary(), outcome.page().status)
    };
    let (oidc, github, entra) = tokio::join!(
        sign_in("oidc", "ann-mfa"),
        sign_in("github", "ann-mfa"),
        sign_in("entra", "ann-mfa"),
    );
    for found in [oidc, github, entra] {
        assert_eq!(found, ("refused: provider-timeout".to_owned(), 503));
    }
}

#[actix_web::test]
async fn no_text_of_a_provider_reaches_a_page_or_an_address() {
    let world = World::new().await;
    let markup =
        "<img src=x onerror=alert(1)>\"'<script>alert(1)</script>\r\nset-cookie: planted=1";
    for (idp, login) in [
        (&world.oidc, Login::new("oidc", "ann-mfa")),
        (&world.github, Login::new("github", "ann-mfa")),
        (&world.entra, Login::new("entra", "ann-mfa")),
    ] {
        for error in ["access_denied", "server_error", markup] {
            idp.control().set(|b| {
                let edits = [
                    ("error", error),
                    ("error_description", markup),
                    ("error_uri", "javascript:alert(1)"),
                    ("error_subcode", markup),
                ];
                let edits = edits.map(|(name, value)| Edit::set(name, value)).to_vec();
                b.edits.insert(Document::Callback, edits);
            });
            let outcome = world.sign_in(&mut Browser::new(), &login).await;
            let page = outcome.page();
            assert!(
                outcome.summary().starts_with("refused: provider-"),
                "{}",
                outcome.summary()
            );
            for piece in ["<script", "<img", "javascript:", "onerror", "planted"] {
                assert!(!page.body.contains(piece), "{piece}: {}", page.body);
            }
            assert_eq!(page.set_cookies.len(), 0, "{:?}", page.set_cookies);
            idp.control().reset();
        }
    }
    for provider in ["oidc", "entra"] {
        let outcome = world
            .sign_in(&mut Browser::new(), &Login::new(provider, "fritz-fails"))
            .await;
        assert!(
            outcome.summary().starts_with("refused: provider-"),
            "{}",
            outcome.summary()
        );
        assert!(
            !outcome.page().body.contains("<script"),
            "{}",
            outcome.page().body
        );
    }
}

#[actix_web::test]
async fn a_name_and_an_address_are_text_to_us_whatever_they_hold() {
    let world = World::new().await;
    let long = "n".repeat(5_000);
    for name in [
        json!("<script>alert(1)</script>"),
        json!("a\r\nb\0c"),
        json!(long),
        json!(7),
        json!({"a": []}),
    ] {
        let edits = vec![
            Edit::set("name", name.clone()),
            Edit::set("email", name.clone()),
        ];
        world.oidc.control().set(|b| b.back.claims = edits);
        let page = world
            .sign_in(&mut Browser::new(), &Login::new("oidc", "ann-mfa"))
            .await
            .code();
        let tokens = world.redeem(&page).await;
        assert_eq!(tokens.status, 200, "{}", tokens.body);
        for member in ["name", "email"] {
            let id = tokens.id();
            let Some(text) = id[member].as_str() else {
                continue;
            };
            assert!(
                text.chars().count() <= 256 && !text.contains(char::is_control),
                "{text:?}"
            );
        }
        world.oidc.control().reset();
    }
}

#[actix_web::test]
async fn user_info_about_another_person_is_not_used() {
    let world = World::new().await;
    world.oidc.control().set(|b| {
        b.back.claims = vec![Edit::remove("email")];
        b.edits
            .insert(Document::UserInfo, vec![Edit::set("sub", "someone-else")]);
    });
    let outcome = world
        .sign_in(&mut Browser::new(), &Login::new("oidc", "ann-mfa"))
        .await;
    assert_eq!(outcome.summary(), "refused: provider-answer-invalid");
}
