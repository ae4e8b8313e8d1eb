//! Credentials that are no good: who shows too many is told to wait, at the door, by a proxy and wherever a tool asks us itself;
//! and who has a good one notices nothing, wherever they are.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_store::Rate;
use countersign_tests::tools::Recorder;
use countersign_tests::{Login, Page, World, wire};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::door::Door;
use super::{key_of, let_tools_in};

const ANN: &str = "198.51.100.7";
const BOB: &str = "198.51.100.8";
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
/// It has the form and the checksum of a key, so it is looked for.
const MADE_UP: &str = "csk_0000000000000000000000000000000000003QhAdY";
/// What must be signed in for, and what anybody may.
const GATED: (&str, &str) = ("GET", "/-/package/left-pad/access");
const OPEN: (&str, &str) = ("GET", "/left-pad");
const TOO_MANY: &str = "Too many like it came from your address: try again in a minute";

/// A registry of npm's kind at our door, and one that a proxy asks about; the clock stands still.
struct Bed {
    world: World,
    recorder: Recorder,
    door: String,
    proxies: String,
    key: String,
}

impl Bed {
    /// Where so many credentials may be no good in a minute.
    async fn with(most: u32) -> Self {
        let recorder = Recorder::start();
        let (mut door, mut proxies) = (String::new(), String::new());
        let world = World::with(|setup| {
            let_tools_in(setup);
            door = setup.stand_before("npm", Some(&recorder.url));
            proxies = setup.be_asked_for("gate", "npm", &door);
            let proxy = "127.0.0.1".parse().expect("a network");
            setup.limits.proxies.trusted = Some(vec![proxy]);
            setup.limits.bad_credentials = Rate::new(most, MINUTE);
        })
        .await;
        let key = key_of(&world, &door, &Login::new("oidc", "ann-mfa")).await;
        recorder.take();
        world.broker.clock.stop();
        Self {
            world,
            recorder,
            door,
            proxies,
            key,
        }
    }

    async fn at_door(&self, (method, target): (&str, &str), secret: &str, from: &str) -> Page {
        let bearer = format!("Bearer {secret}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("x-forwarded-for", from),
        ];
        wire::send(method, &self.door, target, &headers, "").await
    }

    /// What a proxy that says it by headers of this name is told.
    async fn by_proxy(&self, said: &str, secret: &str, from: &str) -> Page {
        let bearer = format!("Bearer {secret}");
        let (method, target) = (format!("x-{said}-method"), format!("x-{said}-uri"));
        let headers = [
            (method.as_str(), GATED.0),
            (target.as_str(), GATED.1),
            ("authorization", bearer.as_str()),
            ("x-forwarded-for", from),
        ];
        wire::get(&self.proxies, "/forward-auth/gate", &headers).await
    }
}

#[track_caller]
fn assert_limited(page: &Page) {
    assert_eq!(page.status, 429, "{}", page.body);
    let seconds = page.headers.get("retry-after").expect("`Retry-After`");
    let seconds: u64 = seconds.parse().expect("seconds");
    assert!((1..=61).contains(&seconds), "{seconds}");
}

#[actix_web::test]
async fn who_shows_one_made_up_key_after_the_other_is_told_to_wait_and_a_good_one_passes() {
    let bed = Bed::with(60).await;
    for secret in ["x", MADE_UP, "csbt_x", "a.b.c"].iter().cycle().take(60) {
        let page = bed.at_door(GATED, secret, ANN).await;
        assert!([401, 403].contains(&page.status), "{}", page.body);
        assert!(!page.body.contains(TOO_MANY), "{}", page.body);
    }
    let page = bed.at_door(GATED, MADE_UP, ANN).await;
    assert_limited(&page);
    // It is said what is wrong with it, all the same, where npm looks for that.
    let told: Value = serde_json::from_str(&page.body).expect("JSON");
    let words = format!("This credential is not known here, or has ended. {TOO_MANY}");
    assert_eq!(told["error"], words);
    assert_limited(&bed.at_door(GATED, "csbt_x", ANN).await);
    let said = format!("203.0.113.9, {ANN}");
    assert_limited(&bed.at_door(GATED, "x", &said).await);
    assert_eq!(bed.recorder.take(), []);

    assert_eq!(bed.at_door(GATED, &bed.key, ANN).await.status, 200);
    assert_eq!(bed.at_door(OPEN, "x", ANN).await.status, 200);
    let nothing = [("x-forwarded-for", ANN)];
    let page = wire::get(&bed.door, GATED.1, &nothing).await;
    assert_eq!(page.status, 401, "who shows nothing guesses nothing");
    assert_eq!(bed.at_door(GATED, "x", BOB).await.status, 401);
    // At another registry they have guessed nothing yet.
    assert_eq!(bed.by_proxy("forwarded", "x", ANN).await.status, 401);

    bed.world.broker.clock.advance(1);
    assert_eq!(bed.at_door(GATED, "x", ANN).await.status, 401);
    assert_limited(&bed.at_door(GATED, "x", ANN).await);
}

#[actix_web::test]
async fn a_key_that_is_good_and_not_good_enough_is_no_guess() {
    let bed = Bed::with(1).await;
    bed.world.broker.clock.advance(2 * 60 * 60 - 60);
    for _ in 0..3 {
        let page = bed.at_door(("PUT", "/left-pad"), &bed.key, ANN).await;
        assert_eq!(page.status, 401, "{}", page.body);
        assert!(page.body.contains("authUrl"), "{}", page.body);
    }
}

/// A build that tries again and again by a key for another package locks nobody up, itself included.
#[actix_web::test]
async fn what_is_good_for_something_else_is_no_guess() {
    let door = Door::changed("npm", "http://127.0.0.1:9", |setup| {
        setup.limits.proxies.trusted = Some(Vec::new());
        setup.limits.bad_credentials = Rate::new(1, MINUTE);
    })
    .await;
    door.world.broker.clock.stop();
    let of_other = json!({"scopes": ["packages:publish"], "packages": ["other"]});
    let key = door
        .key(&Login::new("oidc", "ann-mfa"), "tools", of_other)
        .await;
    let ask = async |method: &str, target: &str, secret: &str| {
        let bearer = format!("Bearer {secret}");
        let headers = [("authorization", bearer.as_str())];
        wire::send(method, &door.url, target, &headers, "").await
    };
    for _ in 0..3 {
        let page = ask("PUT", "/left-pad", &key).await;
        assert_eq!(page.status, 401, "{}", page.body);
        assert!(page.body.contains("not for this package"), "{}", page.body);
        let page = ask("DELETE", "/other/-rev/1", &key).await;
        assert_eq!(page.status, 401, "{}", page.body);
        assert!(page.body.contains("is not for this."), "{}", page.body);
    }
    // Who shows nothing has guessed nothing, wherever they ask.
    for _ in 0..3 {
        let (site, path) = (
            &door.world.broker.issuer,
            "/registry/npm/credential/sign-out",
        );
        let page = wire::send("POST", site, path, &[], "").await;
        assert_eq!(page.status, 401, "{}", page.body);
        assert!(page.body.contains("asks for an API key"), "{}", page.body);
    }
    // Nor has who shows a key of another registry.
    let other = door
        .key(
            &Login::new("oidc", "ann-mfa"),
            "gallery",
            json!({"scopes": ["packages:publish"]}),
        )
        .await;
    for (path, method) in [("credential/sign-out", "POST"), ("-/whoami", "GET")]
        .iter()
        .cycle()
        .take(6)
    {
        let bearer = format!("Bearer {other}");
        let headers = [("authorization", bearer.as_str())];
        let (site, path) = (&door.world.broker.issuer, format!("/registry/npm/{path}"));
        let page = wire::send(method, site, &path, &headers, "").await;
        assert_eq!(page.status, 401, "{}", page.body);
    }
    let (method, target) = GATED;
    assert_eq!(ask(method, target, MADE_UP).await.status, 401);
    assert_limited(&ask(method, target, MADE_UP).await);
}

#[actix_web::test]
async fn a_proxy_is_told_in_the_status_that_it_takes() {
    for (said, status) in [("original", 403), ("forwarded", 429)] {
        let bed = Bed::with(5).await;
        for n in 0..5 {
            let page = bed.by_proxy(said, MADE_UP, ANN).await;
            assert_eq!(page.status, 401, "{said} {n}: {}", page.body);
        }
        let page = bed.by_proxy(said, MADE_UP, ANN).await;
        assert_eq!(page.status, status, "{said}: {}", page.body);
        assert!(page.headers.contains_key("retry-after"), "{said}");
        assert!(page.body.contains(TOO_MANY), "{said}: {}", page.body);
        assert_eq!(bed.by_proxy(said, &bed.key, ANN).await.status, 200);
        assert_eq!(bed.by_proxy(said, MADE_UP, BOB).await.status, 401);
    }
}

/// Of each kind of registry: what is gated, and how its tool shows a secret.
const TOOLS: [(&str, &str, &str, &str); 7] = [
    ("npm", "PUT", "/left-pad", "bearer"),
    ("crates-io", "PUT", "/api/v1/crates/hello/owners", "raw"),
    ("pypi", "POST", "/legacy/", "basic"),
    ("nuget", "PUT", "/api/v2/package/", "x-nuget-apikey"),
    (
        "maven-central",
        "PUT",
        "/maven2/org/example/a/1/a-1.jar",
        "basic",
    ),
    ("clojars", "PUT", "/repo/org/example/a/1/a-1.jar", "basic"),
    ("rubygems", "POST", "/api/v1/gems", "raw"),
];

#[actix_web::test]
async fn each_tool_is_told_in_its_own_way() {
    let mut at = Vec::new();
    let _world = World::with(|setup| {
        let_tools_in(setup);
        for tool in TOOLS {
            let url = setup.stand_before(tool.0, Some("http://127.0.0.1:9"));
            at.push((tool, url));
        }
        setup.limits.proxies.trusted = Some(Vec::new());
        setup.limits.bad_credentials = Rate::new(1, MINUTE);
    })
    .await;
    for ((name, method, target, way), url) in at {
        let basic = format!("Basic {}", STANDARD.encode(format!("__token__:{MADE_UP}")));
        let bearer = format!("Bearer {MADE_UP}");
        let shown = match way {
            "bearer" => ("authorization", bearer.as_str()),
            "raw" => ("authorization", MADE_UP),
            "basic" => ("authorization", basic.as_str()),
            header => (header, MADE_UP),
        };
        let first = wire::send(method, &url, target, &[shown], "").await;
        assert!([401, 403].contains(&first.status), "{name}: {}", first.body);
        let page = wire::send(method, &url, target, &[shown], "").await;
        assert_limited(&page);
        assert_eq!(page.header("content-type"), first.header("content-type"));
        assert!(page.body.contains(TOO_MANY), "{name}: {}", page.body);
    }
}

#[actix_web::test]
async fn what_a_tool_asks_us_itself_is_counted_as_well() {
    let bed = Bed::with(3).await;
    let ask = async |path: &str, method: &str, secret: &str, from: &str| {
        let bearer = format!("Bearer {secret}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("x-forwarded-for", from),
        ];
        let body = r#"{"operation": "publish", "package": "hello"}"#;
        wire::send(method, &bed.world.broker.issuer, path, &headers, body).await
    };
    let ways = [
        ("/registry/npm/-/whoami", "GET"),
        ("/registry/npm/credential/token", "POST"),
        ("/registry/npm/credential/sign-out", "POST"),
    ];
    // One count for all of them.
    for (path, method) in ways {
        assert_eq!(ask(path, method, MADE_UP, ANN).await.status, 401, "{path}");
    }
    for (path, method) in ways {
        assert_limited(&ask(path, method, MADE_UP, ANN).await);
        assert_eq!(ask(path, method, MADE_UP, BOB).await.status, 401, "{path}");
        let good = ask(path, method, &bed.key, ANN).await;
        assert!(good.status < 300, "{path}: {}", good.body);
    }
}
