//! Go 1.27 gets modules through us: by everybody from a public proxy, and with a key from one of an organisation's own.

use countersign_core::document;
use countersign_core::registry::Profile;
use countersign_tests::tools::{FileStore, Go, Helper, Tls};
use countersign_tests::{BrokerSetup, wire};
use serde_json::json;
use url::Url;

use super::credential_helper::{approve, sign_in};
use super::door::{Door, ann};

const MODULE: &str = "example.test/hello";

/// What an installation says otherwise where modules are for its own people alone.
const PRIVATE: &str = r#"
actions.read = "packages:read"
[default]
read = { gated = "read" }
write = { refused = "This module proxy is read-only" }
"#;

const TIER: &str = r#"
[tier.private]
scopes = ["packages:read"]
needs = "mfa"
accepts = ["session", "enrolment", "tenant"]
"#;

#[actix_web::test]
async fn anybody_gets_modules_of_a_public_proxy_and_nobody_writes() {
    let store = FileStore::start();
    store.put_go_module(MODULE, "v1.0.0");
    let files = store.files();
    let door = Door::before("go-proxy", &store.url).await;
    let go = Go::new(&door.url);
    let ended = go.get(&format!("{MODULE}@v1.0.0")).await;
    assert!(ended.success, "{}", ended.shown);
    let requirements = go.requirements();
    assert!(
        requirements.contains(&format!("{MODULE} v1.0.0")),
        "{requirements}"
    );

    let key = format!("Bearer {}", door.good_key().await);
    for method in ["PUT", "POST", "PATCH", "DELETE"] {
        let target = format!("/{MODULE}/@v/v1.0.1.zip");
        let refused = wire::send(
            method,
            &door.url,
            &target,
            &[("authorization", &key)],
            "zip",
        )
        .await;
        assert_eq!(refused.status, 403, "{method}: {}", refused.body);
        assert_eq!(
            refused.body,
            "This module proxy is read-only: a module is published by a tag in its own repository\n"
        );
    }
    assert_eq!(store.files(), files);
}

/// A proxy whose modules are for who shows a second factor, behind TLS: Go shows no credential without it.
struct Private {
    door: Door,
    front: Tls,
    _store: FileStore,
}

impl Private {
    async fn new() -> Self {
        let store = FileStore::start();
        store.put_go_module(MODULE, "v1.0.0");
        let address = Tls::address();
        let door = Door::changed("go-proxy", &store.url, |setup| {
            make_private(setup, &format!("https://{address}"));
        })
        .await;
        let front = Tls::start(address, &door.url);
        Self {
            door,
            front,
            _store: store,
        }
    }

    fn go(&self) -> Go {
        Go::new(&self.front.url).trusting(&self.front.authority)
    }
}

fn make_private(setup: &mut BrokerSetup, public_url: &str) {
    let registry = setup.registries.get_mut("go-proxy");
    let registry = registry.expect("the registry");
    let base = registry.profile.clone();
    let read = |table: &mut document::Table<'_>| Profile::read(table, Some(&base));
    registry.profile = document::read("countersign.toml", PRIVATE, read).expect("a profile");
    registry.public_url = Url::parse(public_url).expect("an address");
    let browse = "scopes = [\"packages:read\", ";
    assert!(setup.policy.contains(browse));
    setup.policy = setup.policy.replace(browse, "scopes = [");
    setup.policy.push_str(TIER);
}

#[actix_web::test]
async fn a_private_module_is_got_with_a_key_that_goauth_shows_and_else_go_says_why_not() {
    let bed = Private::new().await;
    let module = format!("{MODULE}@v1.0.0");
    let ended = bed.go().get(&module).await;
    let words = "401 Unauthorized server response: Sign in to read: make an API key at KEYS";
    let words = bed.door.words(words);
    assert!(!ended.success && ended.says(&words), "{}", ended.shown);

    let for_a_day = json!({"scopes": ["packages:read"], "days": 1});
    let key = bed.door.key(&ann(), "tools", for_a_day).await;
    let go = bed.go().with_key(&key);
    let ended = go.get(&module).await;
    assert!(ended.success, "{}", ended.shown);
    let requirements = go.requirements();
    assert!(
        requirements.contains(&format!("{MODULE} v1.0.0")),
        "{requirements}"
    );

    let of_another = bed
        .door
        .key(&ann(), "gallery", json!({"scopes": ["packages:read"]}))
        .await;
    let publishes = bed.door.good_key().await;
    bed.door.world.broker.clock.advance(2 * 24 * 60 * 60);
    for (key, words) in [
        (&key, "This API key has ended. Make an API key at KEYS"),
        (
            &of_another,
            "This API key is for another registry. Make an API key at KEYS",
        ),
        (
            &publishes,
            "This API key is not for this. Make an API key at KEYS",
        ),
    ] {
        let ended = bed.go().with_key(key).get(&module).await;
        let words = bed.door.words(words);
        assert!(
            !ended.success && ended.says(&words),
            "{words}: {}",
            ended.shown
        );
    }
}

#[actix_web::test]
async fn our_helper_shows_go_a_key_and_has_its_user_sign_in_anew_where_that_has_ended() {
    let bed = Private::new().await;
    let (world, helper) = (&bed.door.world, Helper::new());
    let module = format!("{MODULE}@v1.0.0");
    let go = || bed.go().helped_by(&helper);
    let ended = go().get(&module).await;
    assert!(
        !ended.success && ended.says("Sign in to read"),
        "{}",
        ended.shown
    );

    sign_in(world, &helper, "go-proxy").await;
    let ended = go().get(&module).await;
    assert!(ended.success, "{}", ended.shown);
    // What is not there needs nobody's sign-in.
    let ended = go().get(&format!("{MODULE}@v9.9.9")).await;
    assert!(
        !ended.success && !ended.shown.contains("/device?user_code="),
        "{}",
        ended.shown
    );

    world.broker.clock.advance(3 * 60 * 60);
    let go = go();
    let waiting = go.begin_to_get(&module);
    approve(world, &waiting, &ann()).await;
    let ended = waiting.end().await;
    assert!(ended.success, "{}", ended.shown);
    assert!(go.requirements().contains(&format!("{MODULE} v1.0.0")));

    // The key lives, and the sign-in that it was made by is too old for what is asked from now on.
    let fresh = "max_evidence_age = \"1h\"\nfresh_at_use = true\n";
    let policy = &world.broker.policy_text;
    world
        .broker
        .enforce(&policy.replace(TIER, &format!("{TIER}{fresh}")));
    world.broker.clock.advance(90 * 60);
    let go = bed.go().helped_by(&helper);
    let waiting = go.begin_to_get(&module);
    approve(world, &waiting, &ann()).await;
    let ended = waiting.end().await;
    assert!(ended.success, "{}", ended.shown);
    // Nor is anybody asked to sign in where that mends nothing.
    world
        .broker
        .enforce(&policy.replace("\"packages:read\"", "\"packages:other\""));
    let ended = bed.go().helped_by(&helper).get(&module).await;
    assert!(
        !ended.success && !ended.shown.contains("/device?user_code="),
        "{}",
        ended.shown
    );

    let anew = |url: &str, answer: &str| {
        let (success, shown, _) = helper.ask(
            "countersign-credential",
            &["go", "--no-browser", url],
            answer,
        );
        assert!(success);
        shown
    };
    let at = &bed.front.url;
    for (url, answer) in [
        (at.as_str(), "HTTP/1.1 404 Not Found\r\n\r\n"),
        (at.as_str(), "HTTP/1.1 403 Forbidden\r\n\r\n"),
        (
            at.as_str(),
            "HTTP/1.1 404 Not Found\r\nWWW-Authenticate: Bearer error=\"insufficient_user_authentication\"\r\n\r\n",
        ),
        (at.as_str(), ""),
        (at.as_str(), "401"),
        (
            "https://other.example.org/",
            "HTTP/1.1 401 Unauthorized\n\n",
        ),
        ("x", "HTTP/1.1 401 Unauthorized\n\n"),
    ] {
        assert_eq!(anew(url, answer), "", "{url}: {answer}");
    }
}
