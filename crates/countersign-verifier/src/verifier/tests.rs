//! The verifier against an issuer on loopback that counts what is asked of it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::testing::{AUDIENCE, ES256, NEXT_ES256, NOW, Signer, good, jwks};

const HOUR: i64 = 3600;

/// What the issuer answers for its key set, or for its metadata.
#[derive(Debug, Clone)]
enum Answer {
    Json(Value),
    /// The status line and a header, with an empty body.
    Head(&'static str),
    /// So many bytes of JSON, without saying how many beforehand.
    Endless(usize),
    /// Closes the connection.
    Nothing,
    /// Answers after a while.
    Late(Duration, Value),
}

/// An issuer on a port of its own.
struct Issuer {
    url: String,
    script: Arc<Mutex<Script>>,
    key_set_hits: Arc<AtomicUsize>,
}

struct Script {
    metadata: Answer,
    key_set: Answer,
}

impl Issuer {
    fn with_keys(signers: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let metadata = json!({"issuer": url, "jwks_uri": format!("{url}/jwks.json")});
        let script = Arc::new(Mutex::new(Script {
            metadata: Answer::Json(metadata),
            key_set: Answer::Json(jwks(signers)),
        }));
        let hits = Arc::new(AtomicUsize::new(0));
        let (the_script, the_hits) = (Arc::clone(&script), Arc::clone(&hits));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &the_script, &the_hits);
            }
        });
        Self {
            url,
            script,
            key_set_hits: hits,
        }
    }

    fn now_answers(&self, key_set: Answer) {
        self.script.lock().unwrap().key_set = key_set;
    }

    fn now_answers_metadata(&self, metadata: Answer) {
        self.script.lock().unwrap().metadata = metadata;
    }

    fn hits(&self) -> usize {
        self.key_set_hits.load(Ordering::SeqCst)
    }

    /// A good token of this issuer, at that time.
    fn token(&self, signer: &Signer, now: i64) -> String {
        signer.token(&self.payload(now))
    }

    fn token_with_kid(&self, kid: &str, now: i64) -> String {
        let header = json!({"typ": "at+jwt", "alg": "ES256", "kid": kid});
        ES256.token_with(&header, &self.payload(now))
    }

    fn payload(&self, now: i64) -> Value {
        let mut payload = good();
        payload["iss"] = json!(self.url);
        payload["iat"] = json!(now);
        payload["exp"] = json!(now + 600);
        payload
    }

    /// A verifier of this issuer, and its clock.
    fn verifier(&self) -> (Verifier, Arc<AtomicI64>) {
        let clock = Arc::new(AtomicI64::new(NOW));
        let hands = Arc::clone(&clock);
        let now = move || hands.load(Ordering::SeqCst);
        (
            Verifier::with_clock(&self.url, AUDIENCE, now).unwrap(),
            clock,
        )
    }
}

fn serve(stream: TcpStream, script: &Mutex<Script>, hits: &AtomicUsize) {
    let mut request = BufReader::new(stream);
    let mut first = String::new();
    request.read_line(&mut first).unwrap();
    let mut line = String::new();
    while request.read_line(&mut line).is_ok_and(|read| read > 2) {
        line.clear();
    }
    let answer = match first.split(' ').nth(1) {
        Some("/.well-known/openid-configuration") => script.lock().unwrap().metadata.clone(),
        Some("/jwks.json") => {
            hits.fetch_add(1, Ordering::SeqCst);
            script.lock().unwrap().key_set.clone()
        }
        _ => Answer::Head("404 Not Found\r\nx: y"),
    };
    // A client that has given up is not this server's failure.
    let _gone = request.into_inner().write_all(&response(answer));
}

fn response(answer: Answer) -> Vec<u8> {
    let ok = |body: String| {
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
    };
    match answer {
        Answer::Json(body) => ok(body.to_string()),
        Answer::Head(head) => format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n"),
        Answer::Endless(bytes) => {
            format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{{\"keys\":[{}",
                " ".repeat(bytes)
            )
        }
        Answer::Nothing => String::new(),
        Answer::Late(wait, body) => {
            std::thread::sleep(wait);
            ok(body.to_string())
        }
    }
    .into_bytes()
}

#[tokio::test]
async fn the_keys_are_fetched_once_for_many_tokens() {
    let issuer = Issuer::with_keys(&[&ES256]);
    let (verifier, clock) = issuer.verifier();
    for second in [0, 1, HOUR - 1] {
        clock.store(NOW + second, Ordering::SeqCst);
        let token = verifier
            .verify(&issuer.token(&ES256, NOW + second))
            .await
            .unwrap();
        assert_eq!(token.claims().sub, "acct_01J");
    }
    assert_eq!(issuer.hits(), 1);
}

#[tokio::test]
async fn callers_that_come_together_share_one_fetch() {
    let issuer = Issuer::with_keys(&[]);
    issuer.now_answers(Answer::Late(Duration::from_millis(100), jwks(&[&ES256])));
    let (verifier, _) = issuer.verifier();
    let token = issuer.token(&ES256, NOW);
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let (verifier, token) = (verifier.clone(), token.clone());
            tokio::spawn(async move { verifier.verify(&token).await.is_ok() })
        })
        .collect();
    for caller in callers {
        assert!(caller.await.unwrap());
    }
    assert_eq!(issuer.hits(), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_cancel_the_fetch_of_the_others() {
    let issuer = Issuer::with_keys(&[]);
    issuer.now_answers(Answer::Late(Duration::from_millis(200), jwks(&[&ES256])));
    let (verifier, _) = issuer.verifier();
    let token = issuer.token(&ES256, NOW);
    let impatient = tokio::time::timeout(Duration::from_millis(20), verifier.verify(&token)).await;
    assert!(impatient.is_err());
    assert!(verifier.verify(&token).await.is_ok());
    assert_eq!(issuer.hits(), 1);
}

#[tokio::test]
async fn a_flood_of_unknown_kids_is_one_fetch_a_minute() {
    let issuer = Issuer::with_keys(&[&ES256]);
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&issuer.token(&ES256, NOW)).await.unwrap();
    for (second, hits) in [(59, 1), (60, 2), (119, 2), (120, 3)] {
        clock.store(NOW + second, Ordering::SeqCst);
        for flood in 0..30 {
            let token = issuer.token_with_kid(&format!("made-up-{flood}"), NOW + second);
            assert_eq!(verifier.verify(&token).await, Err(Error::UnknownKey));
        }
        assert_eq!(issuer.hits(), hits, "after {second} s");
    }
}

#[tokio::test]
async fn a_token_that_is_refused_by_its_header_causes_no_fetch() {
    let issuer = Issuer::with_keys(&[&ES256]);
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&issuer.token(&ES256, NOW)).await.unwrap();
    clock.store(NOW + 120, Ordering::SeqCst);
    for header in [
        json!({"typ": "at+jwt", "alg": "none", "kid": "made-up"}),
        json!({"typ": "JWT", "alg": "ES256", "kid": "made-up"}),
        json!({"typ": "at+jwt", "alg": "ES256", "kid": "made-up", "jku": "http://127.0.0.1/"}),
    ] {
        let token = ES256.token_with(&header, &issuer.payload(NOW));
        assert!(verifier.verify(&token).await.is_err());
    }
    assert_eq!(issuer.hits(), 1);
}

#[tokio::test]
async fn a_new_key_is_found_when_its_first_token_comes() {
    let issuer = Issuer::with_keys(&[&ES256]);
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&issuer.token(&ES256, NOW)).await.unwrap();
    issuer.now_answers(Answer::Json(jwks(&[&NEXT_ES256, &ES256])));
    clock.store(NOW + 60, Ordering::SeqCst);
    assert!(
        verifier
            .verify(&issuer.token(&NEXT_ES256, NOW + 60))
            .await
            .is_ok()
    );
    assert!(
        verifier
            .verify(&issuer.token(&ES256, NOW + 60))
            .await
            .is_ok()
    );
    assert_eq!(issuer.hits(), 2);
}

#[tokio::test]
async fn a_withdrawn_key_is_accepted_for_an_hour_at_most() {
    let issuer = Issuer::with_keys(&[&ES256]);
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&issuer.token(&ES256, NOW)).await.unwrap();
    issuer.now_answers(Answer::Json(jwks(&[&NEXT_ES256])));
    clock.store(NOW + HOUR - 1, Ordering::SeqCst);
    assert!(
        verifier
            .verify(&issuer.token(&ES256, NOW + HOUR - 1))
            .await
            .is_ok()
    );
    clock.store(NOW + HOUR, Ordering::SeqCst);
    let late = verifier.verify(&issuer.token(&ES256, NOW + HOUR)).await;
    assert_eq!(late, Err(Error::UnknownKey));
}

#[tokio::test]
async fn while_the_issuer_is_down_the_last_good_keys_serve_for_a_day() {
    let issuer = Issuer::with_keys(&[&ES256]);
    let (verifier, clock) = issuer.verifier();
    verifier.verify(&issuer.token(&ES256, NOW)).await.unwrap();
    issuer.now_answers(Answer::Nothing);
    for later in [2 * HOUR, 24 * HOUR - 1] {
        clock.store(NOW + later, Ordering::SeqCst);
        assert!(
            verifier
                .verify(&issuer.token(&ES256, NOW + later))
                .await
                .is_ok()
        );
    }
    clock.store(NOW + 24 * HOUR, Ordering::SeqCst);
    let error = verifier
        .verify(&issuer.token(&ES256, NOW + 24 * HOUR))
        .await
        .unwrap_err();
    assert_eq!((error.status(), error.challenge()), (503, None));

    issuer.now_answers(Answer::Json(jwks(&[&ES256])));
    clock.store(NOW + 25 * HOUR, Ordering::SeqCst);
    assert!(
        verifier
            .verify(&issuer.token(&ES256, NOW + 25 * HOUR))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_service_that_starts_before_its_issuer_comes_up_soon_after_it() {
    let issuer = Issuer::with_keys(&[&ES256]);
    let (verifier, clock) = issuer.verifier();
    issuer.now_answers(Answer::Head("503 Service Unavailable\r\nx: y"));
    for _ in 0..10 {
        assert_eq!(
            verifier
                .verify(&issuer.token(&ES256, NOW))
                .await
                .unwrap_err()
                .status(),
            503
        );
    }
    assert_eq!(issuer.hits(), 1);
    issuer.now_answers(Answer::Json(jwks(&[&ES256])));
    clock.store(NOW + 5, Ordering::SeqCst);
    assert!(
        verifier
            .verify(&issuer.token(&ES256, NOW + 5))
            .await
            .is_ok()
    );
}

/// The issuer answers so, the first token is not verified, and the reason holds these words.
#[track_caller]
fn unavailable(error: &Error, words: &str) {
    assert_eq!((error.status(), error.challenge()), (503, None));
    assert!(
        error.to_string().contains(words),
        "{error} does not say {words}"
    );
}

#[tokio::test]
async fn a_key_set_that_is_not_one_is_refused() {
    for (answer, words) in [
        (Answer::Head("302 Found\r\nlocation: /jwks.json"), "302"),
        (Answer::Head("404 Not Found\r\nx: y"), "404"),
        (Answer::Head("204 No Content\r\nx: y"), "204"),
        (Answer::Endless(300 * 1024), "too long"),
        (Answer::Endless(10), "not a JWK set"),
        (Answer::Json(json!("x".repeat(300 * 1024))), "too long"),
        (Answer::Json(json!({"keys": []})), "no key"),
        (
            Answer::Json(json!({"keys": [{"kty": "oct", "kid": "a", "k": "AA"}]})),
            "no key",
        ),
        (Answer::Nothing, "/jwks.json"),
    ] {
        let issuer = Issuer::with_keys(&[&ES256]);
        issuer.now_answers(answer);
        let (verifier, _) = issuer.verifier();
        let error = verifier
            .verify(&issuer.token(&ES256, NOW))
            .await
            .unwrap_err();
        unavailable(&error, words);
        assert!(issuer.hits() <= 1, "a redirect was followed");
    }
}

#[tokio::test]
async fn metadata_of_another_issuer_or_with_an_odd_key_set_url_is_refused() {
    let issuer = Issuer::with_keys(&[&ES256]);
    let url = issuer.url.clone();
    let keys = format!("{url}/jwks.json");
    for (answer, words) in [
        (
            json!({"issuer": format!("{url}/"), "jwks_uri": keys}),
            "another issuer",
        ),
        (
            json!({"issuer": "https://evil.example", "jwks_uri": keys}),
            "another issuer",
        ),
        (json!({"issuer": url}), "not as agreed"),
        (json!({"issuer": url, "jwks_uri": 7}), "not as agreed"),
        (json!([url, keys]), "not as agreed"),
        (
            json!({"issuer": url, "jwks_uri": "/jwks.json"}),
            "not an https URL",
        ),
        (
            json!({"issuer": url, "jwks_uri": "http://192.0.2.1/jwks.json"}),
            "not an https URL",
        ),
        (
            json!({"issuer": url, "jwks_uri": "http://localhost.evil/"}),
            "not an https URL",
        ),
        (
            json!({"issuer": url, "jwks_uri": "file:///etc/passwd"}),
            "not an https URL",
        ),
    ] {
        issuer.now_answers_metadata(Answer::Json(answer));
        let (verifier, _) = issuer.verifier();
        let error = verifier
            .verify(&issuer.token(&ES256, NOW))
            .await
            .unwrap_err();
        unavailable(&error, words);
    }
    assert_eq!(issuer.hits(), 0);
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_given_up() {
    let issuer = Issuer::with_keys(&[]);
    issuer.now_answers(Answer::Late(Duration::from_secs(8), jwks(&[&ES256])));
    let (verifier, _) = issuer.verifier();
    let token = issuer.token(&ES256, NOW);
    let answer = tokio::time::timeout(Duration::from_secs(7), verifier.verify(&token)).await;
    unavailable(
        &answer
            .expect("waited for longer than the time-out")
            .unwrap_err(),
        "timed out",
    );
}

#[test]
fn an_issuer_is_an_https_url_or_on_this_machine() {
    for good in [
        "https://login.example",
        "https://login.example/broker",
        "http://127.0.0.1:8080",
        "http://127.0.0.3",
        "http://[::1]:8080",
        "http://localhost:8080",
    ] {
        assert!(Verifier::new(good, AUDIENCE).is_ok(), "{good}");
    }
    for bad in [
        "",
        "login.example",
        "http://login.example",
        "http://localhost.evil",
        "http://127.0.0.1.evil",
        "http://10.0.0.1",
        "ftp://127.0.0.1",
        "https://login.example?x=1",
        "https://login.example#x",
        "https://user@login.example",
        "https://:secret@login.example",
    ] {
        let error = Verifier::new(bad, AUDIENCE).unwrap_err();
        assert!(matches!(error, Error::Configuration(_)), "{bad}: {error}");
    }
}

#[tokio::test]
async fn the_ordinary_clock_is_the_system_s() {
    let issuer = Issuer::with_keys(&[&ES256]);
    let verifier = Verifier::new(&issuer.url, AUDIENCE).unwrap();
    assert_eq!(
        verifier.verify(&issuer.token(&ES256, 0)).await,
        Err(Error::Expired)
    );
    assert!(
        verifier
            .verify(&issuer.token(&ES256, system_clock()))
            .await
            .is_ok()
    );
    assert!(!format!("{verifier:?}").is_empty());
}
