//! npm 11 and Verdaccio 6: signing in on the web, publishing, being stopped, and being sent for a fresh sign-in.

use countersign_tests::tools::{AskingProxy, Between, GateNginx, Npm, Verdaccio};
use countersign_tests::{Browser, Login, World};

use super::{allow, let_tools_in};

/// A registry that npm reaches through us.
struct Bed {
    world: World,
    url: String,
    npm: Npm,
    _verdaccio: Verdaccio,
}

impl Bed {
    async fn new() -> Self {
        let verdaccio = Verdaccio::start();
        let mut url = String::new();
        let world = World::with(|setup| {
            let_tools_in(setup);
            url = setup.stand_before("npm", Some(&verdaccio.url));
        })
        .await;
        world.share_clock();
        Self {
            world,
            npm: Npm::new(&url),
            url,
            _verdaccio: verdaccio,
        }
    }

    fn device_page(&self) -> String {
        format!("{}/device?user_code=", self.world.broker.issuer)
    }

    /// `npm login`, and a sign-in with it.
    async fn log_in(&self, login: &Login) {
        let npm = self.npm.run(None, &["login", "--auth-type=web"]);
        let page = npm.address(&self.device_page()).await;
        allow(&self.world, &mut Browser::new(), &page, login).await;
        let ended = npm.end().await;
        assert!(ended.success, "{}", ended.shown);
    }
}

fn ann() -> Login {
    Login::new("oidc", "ann-mfa")
}

#[actix_web::test]
async fn npm_signs_in_on_the_web_publishes_installs_and_signs_out() {
    let bed = Bed::new().await;
    let package = bed.npm.package("@alice/hello", "1.0.0");

    let ended = bed
        .npm
        .finish(Some(&package), &["publish", "--access=public"])
        .await;
    assert!(!ended.success, "{}", ended.shown);
    assert!(
        ended.shown.contains("npm login") || ended.shown.contains("ENEEDAUTH"),
        "{}",
        ended.shown
    );

    bed.log_in(&ann()).await;
    let key = bed.npm.key().expect("a key");
    assert!(key.starts_with("csk_"), "the key is not ours");

    let ended = bed.npm.finish(None, &["whoami"]).await;
    assert!(
        ended.success && ended.shown.contains("acct_"),
        "{}",
        ended.shown
    );

    let ended = bed
        .npm
        .finish(Some(&package), &["publish", "--access=public"])
        .await;
    assert!(ended.success, "{}", ended.shown);
    assert!(
        ended.shown.contains("+ @alice/hello@1.0.0"),
        "{}",
        ended.shown
    );

    let ended = bed.npm.finish(None, &["logout"]).await;
    assert!(ended.success, "{}", ended.shown);
    bed.npm.use_key(&key);
    let ended = bed.npm.finish(None, &["whoami"]).await;
    assert!(!ended.success, "the key lives: {}", ended.shown);
    assert!(ended.shown.contains("E401"), "{}", ended.shown);

    // Whoever has no account at all installs.
    let other = Npm::new(&bed.url);
    let ended = other
        .finish(None, &["install", "@alice/hello", "--prefix=."])
        .await;
    assert!(
        ended.success && ended.shown.contains("added 1 package"),
        "{}",
        ended.shown
    );
}

#[actix_web::test]
async fn a_publish_with_stale_evidence_is_sent_to_sign_in_anew_and_goes_on() {
    let bed = Bed::new().await;
    bed.log_in(&ann()).await;
    bed.world.broker.clock.advance(90 * 60);
    let package = bed.npm.package("hello", "1.0.0");

    let npm = bed.npm.run(Some(&package), &["publish"]);
    let page = npm.address(&bed.device_page()).await;
    let mut browser = Browser::new();
    let shown = browser
        .get(&url::Url::parse(&page).expect("an address"))
        .await;
    assert!(
        shown.body.contains("<dd>npm/11.19.1</dd>")
            && shown.body.contains("<strong>publish hello</strong>"),
        "{}",
        shown.body
    );
    allow(&bed.world, &mut browser, &page, &ann()).await;
    let ended = npm.end().await;
    assert!(
        ended.success && ended.shown.contains("+ hello@1.0.0"),
        "{}",
        ended.shown
    );
}

#[actix_web::test]
async fn who_signed_in_without_a_second_factor_publishes_nothing_and_reads_why() {
    let bed = Bed::new().await;
    let npm = bed.npm.run(None, &["login", "--auth-type=web"]);
    let page = npm.address(&bed.device_page()).await;
    let left_at = allow(
        &bed.world,
        &mut Browser::new(),
        &page,
        &Login::new("github", "bob-password"),
    )
    .await;
    assert_eq!(
        left_at.reason_code(),
        Some("mfa-absent"),
        "{}",
        left_at.body
    );
}

/// A way to start one of the proxies that ask us.
type Start = fn(&Between<'_>) -> AskingProxy;

#[actix_web::test]
async fn npm_signs_in_publishes_and_is_stopped_behind_a_proxy_that_asks() {
    for (name, start) in [
        ("caddy", AskingProxy::caddy as Start),
        ("traefik", AskingProxy::traefik),
        ("envoy", AskingProxy::envoy),
    ] {
        behind(name, start).await;
    }
}

async fn behind(name: &str, start: Start) {
    let verdaccio = Verdaccio::start();
    let url = GateNginx::address();
    let mut forward_auth = String::new();
    let world = World::with(|setup| {
        let_tools_in(setup);
        forward_auth = setup.be_asked_for(name, "npm", &url);
    })
    .await;
    world.share_clock();
    let _proxy = start(&Between {
        url: &url,
        registry: &verdaccio.url,
        forward_auth: &forward_auth,
        broker: &world.broker.issuer,
        name,
    });
    let bed = Bed {
        world,
        npm: Npm::new(&url),
        url,
        _verdaccio: verdaccio,
    };
    let package = bed.npm.package("hello", "1.0.0");
    // More than a proxy holds, and nothing that a tarball makes smaller.
    std::fs::write(package.join("noise"), noise(2_000_000)).expect("a file");

    bed.npm.use_key("made-up");
    let ended = bed.npm.finish(Some(&package), &["publish"]).await;
    assert!(!ended.success, "{name}: {}", ended.shown);
    let words = "Unable to authenticate, your authentication token seems to be invalid.";
    assert!(ended.shown.contains(words), "{name}: {}", ended.shown);

    bed.log_in(&ann()).await;
    let ended = bed.npm.finish(None, &["whoami"]).await;
    assert!(ended.shown.contains("acct_"), "{name}: {}", ended.shown);
    let ended = bed.npm.finish(Some(&package), &["publish"]).await;
    assert!(
        ended.shown.contains("+ hello@1.0.0"),
        "{name}: {}",
        ended.shown
    );

    bed.world.broker.clock.advance(90 * 60);
    let package = bed.npm.package("hello", "1.0.1");
    let npm = bed.npm.run(Some(&package), &["publish"]);
    let page = npm.address(&bed.device_page()).await;
    allow(&bed.world, &mut Browser::new(), &page, &ann()).await;
    let ended = npm.end().await;
    assert!(
        ended.shown.contains("+ hello@1.0.1"),
        "{name}: {}",
        ended.shown
    );

    let ended = Npm::new(&bed.url)
        .finish(None, &["install", "hello", "--prefix=."])
        .await;
    assert!(
        ended.shown.contains("added 1 package"),
        "{name}: {}",
        ended.shown
    );
}

/// Bytes that no packing makes fewer (xorshift, Marsaglia 2003).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 2_463_534_242_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}
