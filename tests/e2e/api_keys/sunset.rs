//! The end of keys that were made without a second factor that counts.

use countersign_core::calendar::day_of;
use countersign_server::Clock;
use countersign_tests::{Login, World};
use jiff::civil::Date;

use super::{DAY, Person, pass, publishes, told, world};
use crate::linking::oidc;

/// The policy with a sunset that was announced so many days from now, and ends keys so many days from now.
fn announce(world: &World, announced: i32, expire: i32) -> Date {
    let day = |days: i32| day_of(world.broker.clock.now() + DAY * days);
    let text = &world.broker.policy_text;
    world.broker.enforce(&format!(
        "{text}sunset = {{ announced = {}, without_mfa_context_expire = {} }}\n",
        day(announced),
        day(expire)
    ));
    day(expire)
}

#[actix_web::test]
async fn a_key_without_mfa_ends_thirty_days_after_its_own_notice_and_another_does_not() {
    let world = world().await;
    let mut git = Person::of(&world, &Login::new("github", "ann-mfa")).await;
    let weak = git.make("").await;
    let mut ann = Person::of(&world, &oidc()).await;
    let strong = ann.make("").await;

    announce(&world, -10, 25);
    let notice = told(&world, &weak, &[]).await["api_key"]["notice"].clone();
    let text = notice["text"].as_str().expect("a notice");
    assert!(
        text.contains("`build server` ends on") && text.contains("/account/keys"),
        "{text}"
    );
    assert!(told(&world, &strong, &[]).await["api_key"]["notice"].is_null());
    // A service that asks was told, its owner was not: nothing ends.
    pass(&world, 26);
    assert_eq!(publishes(&world, &weak, "any").await, "yes");
    // Its owner sees the page, and has thirty days.
    let mut git = Person::of(&world, &Login::new("github", "ann-mfa")).await;
    let last = day_of(world.broker.clock.now() + DAY * 30);
    let page = git.page().await;
    assert!(
        page.body.contains(&format!("ends on {last}")),
        "{}",
        page.body
    );
    let lines = world.broker.audit_lines(&["api-key-owner-told"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    pass(&world, 29);
    assert_eq!(publishes(&world, &weak, "any").await, "yes");
    pass(&world, 1);
    assert_eq!(publishes(&world, &weak, "any").await, "api-key-ended");
    assert_eq!(publishes(&world, &strong, "any").await, "yes");
}

#[actix_web::test]
async fn an_end_that_is_brought_forward_is_told_anew() {
    let world = world().await;
    let mut git = Person::of(&world, &Login::new("github", "ann-mfa")).await;
    let weak = git.make("").await;
    let late = announce(&world, -1, 80);
    assert!(git.page().await.body.contains(&late.to_string()));
    // The file is changed: what the owner was told stands until they are told anew.
    announce(&world, -5, 31);
    pass(&world, 40);
    assert_eq!(publishes(&world, &weak, "any").await, "yes");
    let mut git = Person::of(&world, &Login::new("github", "ann-mfa")).await;
    let sooner = day_of(world.broker.clock.now() + DAY * 30).to_string();
    let page = git.page().await;
    assert!(
        page.body.contains(&format!("ends on {sooner}")),
        "{}",
        page.body
    );
    assert_eq!(world.broker.audit_lines(&["api-key-owner-told"]).len(), 2);
    pass(&world, 30);
    assert_eq!(publishes(&world, &weak, "any").await, "api-key-ended");
}

/// What was posted: the headers, by their names, and the body.
type Posted = (std::collections::BTreeMap<String, String>, String);

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// An address that takes webhooks, and answers with these, the last again and again.
fn receiver(mut answers: Vec<u16>) -> (url::Url, std::sync::mpsc::Receiver<Posted>) {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.3:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (sender, posted) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut reader = BufReader::new(&mut stream);
            let mut headers = std::collections::BTreeMap::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).expect("a line");
                if line.trim().is_empty() {
                    break;
                }
                if let Some((name, value)) = line.split_once(':') {
                    headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
                }
            }
            let length = headers["content-length"].parse().expect("a number");
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            let status = if answers.len() > 1 {
                answers.remove(0)
            } else {
                answers[0]
            };
            let answer =
                format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).expect("an answer");
            let text = String::from_utf8(body).expect("JSON");
            if sender.send((headers, text)).is_err() {
                return;
            }
        }
    });
    let url = url::Url::parse(&format!("http://{address}/hook")).expect("an address");
    (url, posted)
}

/// Whether the signature is that of the secret, by the specification's words and none of our code.
fn is_signed((headers, body): &Posted) -> bool {
    use base64::Engine;
    let base64 = base64::engine::general_purpose::STANDARD;
    let secret = base64.decode(&SECRET["whsec_".len()..]).expect("base64");
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
    let signed = format!(
        "{}.{}.{body}",
        headers["webhook-id"], headers["webhook-timestamp"]
    );
    let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    headers["webhook-signature"] == format!("v1,{}", base64.encode(tag))
}

async fn tick(world: &World) -> Result<usize, String> {
    let now = world.broker.clock.now();
    let ticked = world.broker.key_notices.tick(now, async || {}).await;
    ticked.map_err(|error| error.to_string())
}

#[actix_web::test]
async fn the_registry_is_told_by_a_signed_webhook_and_what_it_took_counts_as_notice() {
    let (url, posted) = receiver(vec![503, 200]);
    let secret = countersign_server::WebhookSecret::parse(SECRET).expect("a secret");
    let world = super::world_with(|setup| {
        setup.webhook = Some(countersign_server::Webhook { url, secret });
    })
    .await;
    let mut git = Person::of(&world, &Login::new("github", "ann-mfa")).await;
    let weak = git.make("").await;
    let mut ann = Person::of(&world, &oidc()).await;
    let strong = ann.make("").await;
    assert_eq!(tick(&world).await, Ok(0));

    announce(&world, -1, 30);
    world.broker.clock.advance(3600);
    let refused = tick(&world).await.expect_err("it did not take it");
    assert!(refused.contains("503"), "{refused}");
    let first = posted.recv().expect("a message");
    // Nobody begins again within the hour, and nobody was told.
    assert_eq!(tick(&world).await, Ok(0));
    world.broker.clock.advance(3600);
    assert_eq!(tick(&world).await, Ok(1));
    let second = posted.recv().expect("a message");
    for message in [&first, &second] {
        assert!(is_signed(message), "{message:?}");
    }
    let said: serde_json::Value = serde_json::from_str(&second.1).expect("JSON");
    assert_eq!(said["type"], "api-keys.sunset");
    let keys = said["data"]["api_keys"].as_array().expect("keys");
    assert_eq!(keys.len(), 1, "{said}");
    assert_eq!(keys[0]["name"], "build server");
    let mine = crate::linking::sub(
        &crate::linking::tokens(&world, &Login::new("github", "ann-mfa")).await,
    );
    assert_eq!(keys[0]["sub"], mine.as_str());
    assert!(!second.1.contains(&weak) && !second.1.contains("sha256:"));
    world.broker.clock.advance(3600);
    assert_eq!(tick(&world).await, Ok(0), "they were told");
    pass(&world, 29);
    assert_eq!(publishes(&world, &weak, "any").await, "yes");
    pass(&world, 1);
    assert_eq!(publishes(&world, &weak, "any").await, "api-key-ended");
    assert_eq!(publishes(&world, &strong, "any").await, "yes");
    let lines = world.broker.audit_lines(&["api-key-owner-told"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    // What ended long ago is forgotten.
    pass(&world, 100);
    assert_eq!(tick(&world).await, Ok(0));
    let left = world
        .broker
        .store()
        .list_api_keys(None, 10)
        .await
        .expect("a store");
    assert_eq!(left, []);
}
