//! Where people are sent back to: a registered address to the letter, or nowhere.

use countersign_core::ClientId;
use countersign_server::{Client, ClientAuthentication};
use countersign_tests::{BrokerSetup, Browser, Login, World};

use super::assert_refused;

const VECTORS: &str = include_str!("redirect_uris.txt");

fn vectors() -> Vec<String> {
    let lines = VECTORS.lines().filter(|line| line.starts_with('"'));
    let parsed = lines.map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")));
    parsed.collect()
}

async fn world() -> World {
    World::with(|setup| {
        setup.policy.push_str("\n[client.app]\ntier = \"manage\"\n");
        setup.gallery().redirect_uris = vec![
            "https://registry.example/callback".into(),
            "https://registry.example/second?x=1".into(),
        ];
        let app = Client::new(
            "An app",
            vec![
                "http://127.0.0.1/callback".into(),
                "http://[::1]/callback".into(),
            ],
            ClientAuthentication::Public,
            BrokerSetup::AUDIENCE,
        );
        setup
            .clients
            .insert(ClientId::new("app").expect("a client id"), app);
    })
    .await
}

#[actix_web::test]
async fn a_redirect_uri_that_is_not_registered_to_the_letter_ends_on_a_page() {
    let world = world().await;
    let vectors = vectors();
    assert!(vectors.len() >= 120, "{} vectors", vectors.len());
    let mut browser = Browser::new();
    for uri in &vectors {
        for client in ["gallery", "app"] {
            let login = Login::new("oidc", "ann-mfa")
                .with("redirect_uri", uri)
                .with("client_id", client);
            for login in [login.clone(), login.with("prompt", "none")] {
                let page = browser.get(&world.authorize_url(&login)).await;
                assert_refused(
                    &page,
                    "redirect-uri-not-registered",
                    &format!("{client}: {uri:?}"),
                );
                assert!(!page.body.contains("evil"), "{uri:?} is on the page");
                assert!(!page.body.contains("<script"), "{uri:?} is on the page");
            }
        }
    }
    assert!(world.oidc.control().authorize_requests().is_empty());
}

#[actix_web::test]
async fn the_registered_ones_are_taken_and_a_loopback_number_at_any_port() {
    let world = world().await;
    let mut browser = Browser::new();
    for (client, uri) in [
        ("gallery", "https://registry.example/callback"),
        ("gallery", "https://registry.example/second?x=1"),
        ("app", "http://127.0.0.1/callback"),
        ("app", "http://127.0.0.1:51004/callback"),
        ("app", "http://[::1]:51004/callback"),
    ] {
        let login = Login::new("oidc", "ann-mfa")
            .with("redirect_uri", uri)
            .with("client_id", client);
        let page = browser.get(&world.authorize_url(&login)).await;
        assert_eq!(page.status, 303, "{client}: {uri}: {}", page.body);
        let refused = browser
            .get(&world.authorize_url(&login.with("scope", "nothing")))
            .await;
        let to = refused.location.expect("a redirect").to_string();
        let separator = if uri.contains('?') { '&' } else { '?' };
        assert!(
            to.starts_with(&format!("{uri}{separator}error=invalid_scope")),
            "{to}"
        );
    }
}

#[actix_web::test]
async fn an_unknown_client_or_one_named_twice_ends_on_a_page() {
    let world = World::new().await;
    let mut browser = Browser::new();
    let login = Login::new("oidc", "ann-mfa");
    for client in [
        "nobody",
        "",
        "GALLERY",
        "gallery ",
        "gallery\0",
        "../gallery",
        "<b>",
        "https://evil.example",
    ] {
        let page = browser
            .get(&world.authorize_url(&login.clone().with("client_id", client)))
            .await;
        assert_refused(&page, "unknown-client", client);
    }
    let good = world.authorize_url(&login);
    for (name, value, code) in [
        ("client_id", "gallery", "unknown-client"),
        ("client_id", "nobody", "unknown-client"),
        (
            "redirect_uri",
            "https://evil.example/",
            "redirect-uri-not-registered",
        ),
        (
            "redirect_uri",
            BrokerSetup::REDIRECT_URI,
            "redirect-uri-not-registered",
        ),
    ] {
        let mut last = good.clone();
        last.query_pairs_mut().append_pair(name, value);
        assert_refused(&browser.get(&last).await, code, "the second one");
        let mut first = good.clone();
        let query = good.query().expect("a query");
        let pair: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair(name, value)
            .finish();
        first.set_query(Some(&format!("{pair}&{query}")));
        assert_refused(&browser.get(&first).await, code, "the first one");
    }
}
