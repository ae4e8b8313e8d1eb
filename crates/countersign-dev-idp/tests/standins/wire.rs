//! Faults of the wire and of documents, on a stand-in that is otherwise well.

use std::time::{Duration, Instant};

use countersign_dev_idp::{Document, Edit, Endpoint, WireAnswer, WireFault};
use reqwest::StatusCode;

use crate::support::{Party, Read};

fn fault(party: &Party, answer: WireAnswer) {
    party.idp.control().set(|b| {
        b.wire.insert(Endpoint::Jwks, WireFault::answering(answer));
    });
}

#[tokio::test]
async fn an_endpoint_fails_alone_and_recovers() {
    let party = Party::oidc().await;
    party.idp.control().set(|b| {
        b.wire.insert(Endpoint::Jwks, WireFault::status(500));
    });
    assert_eq!(party.fetch("/jwks.json").await.status(), 500);
    assert_eq!(
        party
            .fetch("/.well-known/openid-configuration")
            .await
            .status(),
        200
    );
    party.idp.control().reset();
    assert_eq!(party.fetch("/jwks.json").await.status(), 200);
    assert_eq!(party.idp.control().endpoint_hits(Endpoint::Jwks), 2);
}

#[tokio::test]
async fn a_failing_token_endpoint_does_not_use_the_code_up() {
    let party = Party::oidc().await;
    let code = party.answer("/authorize", &[("account", "ann-mfa")]).await["code"].clone();
    party.idp.control().set(|b| {
        b.wire.insert(Endpoint::Token, WireFault::status(503));
    });
    assert_eq!(party.redeem("/token", &code, &[]).await.status(), 503);
    party.idp.control().reset();
    assert_eq!(party.redeem("/token", &code, &[]).await.status(), 200);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the delay is real")]
async fn answers_come_late_or_in_drops() {
    let party = Party::oidc().await;
    let pause = Duration::from_millis(150);
    party.idp.control().set(|b| {
        b.wire.insert(Endpoint::Jwks, WireFault::slow(pause));
    });
    let before = Instant::now();
    party.fetch("/jwks.json").await;
    assert!(before.elapsed() >= pause);

    fault(
        &party,
        WireAnswer::Trickle {
            piece: 400,
            pause: Duration::from_millis(20),
        },
    );
    let before = Instant::now();
    let keys = party.json("/jwks.json").await;
    assert!(keys["keys"].is_array());
    assert!(before.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn an_oversized_answer_is_still_json() {
    let party = Party::oidc().await;
    fault(&party, WireAnswer::Padded(3_000_000));
    let text = party.fetch("/jwks.json").await.text().await.unwrap();
    assert!(text.len() > 3_000_000);
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
}

#[tokio::test]
async fn an_endpoint_redirects_or_says_something_else() {
    let party = Party::oidc().await;
    fault(
        &party,
        WireAnswer::Redirect("http://evil.example/".to_owned()),
    );
    let answer = party.fetch("/jwks.json").await;
    assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(answer.headers()["location"], "http://evil.example/");

    fault(&party, WireAnswer::ContentType("text/html".to_owned()));
    assert_eq!(
        party.fetch("/jwks.json").await.headers()["content-type"],
        "text/html"
    );

    let body = WireAnswer::Body {
        status: 429,
        content_type: "text/plain".to_owned(),
        headers: vec![("retry-after".to_owned(), "5".to_owned())],
        body: "later".to_owned(),
    };
    fault(&party, body);
    let answer = party.fetch("/jwks.json").await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (429, &"5".parse().unwrap())
    );
    assert_eq!(answer.text().await.unwrap(), "later");
}

#[tokio::test]
async fn documents_and_the_callback_can_be_edited() {
    let party = Party::oidc().await;
    party.idp.control().set(|b| {
        b.edits.insert(
            Document::Discovery,
            vec![Edit::set("issuer", "https://evil.example")],
        );
        b.edits
            .insert(Document::Jwks, vec![Edit::remove("/keys/0/kid")]);
        b.edits
            .insert(Document::TokenResponse, vec![Edit::remove("id_token")]);
        b.edits.insert(
            Document::Callback,
            vec![
                Edit::remove("state"),
                Edit::set("iss", "https://evil.example"),
            ],
        );
    });
    assert_eq!(
        party.json("/.well-known/openid-configuration").await["issuer"],
        "https://evil.example"
    );
    assert!(
        party.json("/jwks.json").await["keys"][0]
            .get("kid")
            .is_none()
    );
    let answer = party.answer("/authorize", &[("account", "ann-mfa")]).await;
    assert_eq!(
        (answer.get("state"), answer["iss"].as_str()),
        (None, "https://evil.example")
    );
    let tokens = party
        .redeem("/token", &answer["code"], &[])
        .await
        .json_value()
        .await;
    assert!(tokens.get("id_token").is_none());
}

#[tokio::test]
async fn stopped_means_that_nobody_answers() {
    let party = Party::oidc().await;
    let address = party
        .idp
        .base_url()
        .trim_start_matches("http://")
        .to_owned();
    assert!(std::net::TcpStream::connect(&address).is_ok());
    party.idp.stop().await;
    assert!(std::net::TcpStream::connect(&address).is_err());
}

#[actix_web::test]
async fn a_stand_in_runs_beside_an_actix_runtime_too() {
    let party = Party::entra().await;
    assert_eq!(
        party.fetch("/common/discovery/v2.0/keys").await.status(),
        200
    );
}
