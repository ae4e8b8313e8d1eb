//! What a gate keeps for a second of what the store said: what ends here is over at the very next request, what ends elsewhere
//! once the feed of ends tells of it, or within a second; and `decide` is asked every time.
//!
//! The clock stands still, so that nothing is forgotten but for its time where a test says so.

use std::time::Duration;

use countersign_core::registry::Source;
use countersign_core::{AccountId, RegistryName};
use countersign_server::Clock;
use countersign_server::SecretDigest;
use countersign_server::api_key::{KeyText, id_of, revoke_at};
use countersign_tests::{BrokerSetup, Browser, Login, Page, TestBroker, World, payload, wire};
use jiff::SignedDuration;
use url::form_urlencoded;

use super::{key_of, let_tools_in};

const NAME: &str = "npm-behind-nginx";
const PROXY_SECRET: &str = "secret-of-the-proxy";
/// What nobody may who has no second factor: read who manages a package.
const READ: (&str, &str) = ("GET", "/-/package/left-pad/access");
/// A publication, for which the policy wants a login of the last hour.
const WRITE: (&str, &str) = ("PUT", "/left-pad");
/// How long another replica's end may take to be known here, by the machine's clock: many times what it takes.
const PATIENCE: Duration = Duration::from_secs(20);
const GLANCE: Duration = Duration::from_millis(10);

/// Somebody who has signed in, and all that they can show.
struct Bed {
    world: World,
    code: Page,
    session: String,
    token: String,
    key: String,
}

/// What somebody shows.
type Shown<'a> = (&'static str, &'a str);

impl Bed {
    async fn new() -> Self {
        let mut door = String::new();
        let world = World::with(|setup| {
            let_tools_in(setup);
            door = setup.stand_before("npm", Some("http://127.0.0.1:9"));
            setup.be_asked_for(NAME, "npm", "http://127.0.0.1:9");
            let name = RegistryName::new(NAME).expect("a name");
            let registry = setup.registries.get_mut(&name).expect("a registry");
            registry.profile.sources.push(Source::Session);
            registry.proxy_secret = Some(SecretDigest::of(PROXY_SECRET));
        })
        .await;
        let login =
            Login::new("oidc", "ann-mfa").with("scope", "openid packages:manage packages:publish");
        let key = key_of(&world, &door, &login).await;
        let mut browser = Browser::new();
        let code = world.sign_in(&mut browser, &login).await.code();
        let tokens = world.redeem(&code).await;
        let jar = browser.cookies.values().flatten();
        let pairs: Vec<String> = jar.map(|(name, value)| format!("{name}={value}")).collect();
        world.broker.clock.stop();
        Self {
            world,
            code,
            session: pairs.join("; "),
            token: format!("Bearer {}", tokens.text("access_token")),
            key: format!("Bearer {key}"),
        }
    }

    fn session(&self) -> Shown<'_> {
        ("cookie", &self.session)
    }

    fn token(&self) -> Shown<'_> {
        ("authorization", &self.token)
    }

    fn key(&self) -> Shown<'_> {
        ("authorization", &self.key)
    }

    fn account(&self) -> AccountId {
        let claims = payload(secret(self.token()));
        AccountId::new(claims["sub"].as_str().expect("an account")).expect("an account id")
    }

    /// Whether our own broker lets this through, by what it knows.
    async fn lets(&self, what: (&str, &str), shown: Shown<'_>) -> bool {
        check(&self.world.broker, what, shown).await.status == 200
    }

    /// A code that comes twice ends its session (RFC 6749 4.1.2), at whichever replica.
    async fn bring_code_again(&self, at: &TestBroker) {
        assert_eq!(at.redeem(&self.code).await.status, 400);
    }

    /// Waits until our own broker lets it through no more; no time passes for that one.
    async fn is_stopped(&self, shown: Shown<'_>) {
        let looks = PATIENCE.as_millis() / GLANCE.as_millis();
        for _ in 0..looks {
            if !self.lets(READ, shown).await {
                return;
            }
            tokio::time::sleep(GLANCE).await;
        }
        panic!("{} goes on", shown.0);
    }
}

async fn check(at: &TestBroker, (method, target): (&str, &str), shown: Shown<'_>) -> Page {
    let headers = [
        ("x-countersign-proxy-secret", PROXY_SECRET),
        ("x-original-method", method),
        ("x-original-uri", target),
        shown,
    ];
    wire::get(&at.address, &format!("/forward-auth/{NAME}"), &headers).await
}

/// Revokes an access token; the status.
async fn revoke(token: Shown<'_>, at: &TestBroker) -> u16 {
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("token", secret(token))
        .append_pair("client_id", "gallery")
        .append_pair("client_secret", BrokerSetup::SECRET)
        .finish();
    wire::send("POST", &at.address, "/revoke", &[], &body)
        .await
        .status
}

/// A secret without its scheme.
fn secret((_, shown): Shown<'_>) -> &str {
    shown.trim_start_matches("Bearer ")
}

#[actix_web::test]
async fn what_ends_here_is_over_at_the_very_next_check() {
    let bed = Bed::new().await;
    let here = &bed.world.broker;
    assert!(bed.lets(READ, bed.token()).await && bed.lets(READ, bed.session()).await);
    assert_eq!(revoke(bed.token(), here).await, 200);
    assert!(
        !bed.lets(READ, bed.token()).await,
        "a token that was revoked"
    );
    assert!(bed.lets(READ, bed.session()).await);
    bed.bring_code_again(here).await;
    assert!(
        !bed.lets(READ, bed.session()).await,
        "a session that has ended"
    );
    // A key is not of the session that it was made in. `npm logout` ends it.
    assert!(bed.lets(READ, bed.key()).await);
    let path = format!("/registry/{NAME}/-/user/token/{}", secret(bed.key()));
    let left = wire::send("DELETE", &here.address, &path, &[bed.key()], "").await;
    assert_eq!(left.status, 200, "{}", left.body);
    assert!(!bed.lets(READ, bed.key()).await, "a key that was revoked");
}

#[actix_web::test]
async fn what_another_replica_ends_is_over_once_the_feed_tells() {
    let bed = Bed::new().await;
    let there = bed.world.replica();
    for shown in [bed.token(), bed.session()] {
        assert!(bed.lets(READ, shown).await);
    }
    assert_eq!(revoke(bed.token(), &there).await, 200);
    bed.is_stopped(bed.token()).await;
    assert!(bed.lets(READ, bed.session()).await);
    bed.bring_code_again(&there).await;
    bed.is_stopped(bed.session()).await;
}

#[actix_web::test]
async fn what_no_feed_tells_of_counts_for_less_than_a_second() {
    let bed = Bed::new().await;
    let (clock, store) = (&bed.world.broker.clock, bed.world.broker.store());
    // Whoever begins to follow the feed is told of all that has ended before: so that comes first.
    assert!(bed.lets(READ, bed.token()).await);
    let there = bed.world.replica();
    assert_eq!(revoke(bed.token(), &there).await, 200);
    bed.is_stopped(bed.token()).await;
    // That a key is used is noted at its first use of the day, which makes all be forgotten.
    for shown in [bed.key(), bed.key(), bed.session()] {
        assert!(bed.lets(READ, shown).await);
    }
    let text = KeyText::parse(secret(bed.key()));
    let id = id_of(&text.expect("a key").digest());
    let revoked = revoke_at(store.as_ref(), &id, clock.now()).await;
    revoked.expect("a change");
    bed.world.broker.lock(&bed.account()).await;
    clock.advance_by(SignedDuration::from_millis(999));
    assert!(bed.lets(READ, bed.key()).await && bed.lets(READ, bed.session()).await);
    clock.advance_by(SignedDuration::from_millis(1));
    assert!(!bed.lets(READ, bed.key()).await, "a key that was revoked");
    assert!(
        !bed.lets(READ, bed.session()).await,
        "an account that was locked"
    );
}

#[actix_web::test]
async fn the_policy_and_the_time_of_the_moment_decide() {
    let bed = Bed::new().await;
    let broker = &bed.world.broker;
    let shown = [bed.session(), bed.token(), bed.key()];
    for one in shown {
        assert!(bed.lets(READ, one).await);
    }
    let strict = broker.policy_text.replace(
        "scopes = [\"packages:manage\"]\nneeds = \"mfa\"",
        "scopes = [\"packages:manage\"]\nneeds = \"phishing-resistant\"",
    );
    assert_ne!(strict, broker.policy_text);
    broker.enforce(&strict);
    for one in shown {
        assert!(!bed.lets(READ, one).await, "{}", one.0);
    }
    broker.enforce(&broker.policy_text);
    // The logins are some seconds old, the token ends by itself before.
    broker.clock.advance(59 * 60);
    for _ in 0..70 {
        if !bed.lets(WRITE, bed.session()).await {
            assert!(!bed.lets(WRITE, bed.key()).await);
            assert!(
                bed.lets(READ, bed.session()).await,
                "what needs no fresh login"
            );
            return;
        }
        // Each step is within what the last one has kept.
        broker.clock.advance_by(SignedDuration::from_millis(900));
    }
    panic!("the session is fresh for ever");
}

#[actix_web::test]
async fn who_reads_the_same_again_within_a_second_gets_the_same_assertion_and_who_writes_never() {
    let bed = Bed::new().await;
    let broker = &bed.world.broker;
    let assertion = async |what, shown| {
        let page = check(broker, what, shown).await;
        let text = page.header("x-countersign-assertion");
        text.expect("an assertion").to_owned()
    };
    let first = assertion(READ, bed.session()).await;
    broker.clock.advance_by(SignedDuration::from_millis(999));
    assert_eq!(assertion(READ, bed.session()).await, first);
    let others = [
        assertion(("GET", "/-/package/left-pad/access?x"), bed.session()).await,
        assertion(("HEAD", READ.1), bed.session()).await,
        assertion(WRITE, bed.session()).await,
        assertion(WRITE, bed.session()).await,
    ];
    broker.clock.advance_by(SignedDuration::from_millis(1));
    let mut all = vec![first, assertion(READ, bed.session()).await];
    all.extend(others);
    let ids: std::collections::BTreeSet<String> = all
        .iter()
        .map(|one| payload(one)["jti"].to_string())
        .collect();
    assert_eq!(ids.len(), all.len());
}
