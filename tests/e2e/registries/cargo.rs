//! cargo and cargo-http-registry: publishing with a key, being stopped, and what the person reads.

use countersign_server::Clock;
use countersign_tests::tools::{Cargo, CargoHttpRegistry};
use countersign_tests::{Login, World};

use super::{key_of, let_tools_in};

/// A registry that cargo reaches through us.
struct Bed {
    world: World,
    url: String,
    cargo: Cargo,
    registry: CargoHttpRegistry,
    /// Where a key is had as npm has it.
    npm: String,
}

impl Bed {
    async fn new() -> Self {
        let registry = CargoHttpRegistry::start();
        let (mut url, mut npm) = (String::new(), String::new());
        let world = World::with(|setup| {
            let_tools_in(setup);
            url = setup.stand_before("crates-io", Some(&registry.url));
            npm = setup.stand_before("npm", None);
            // As long as one that is made on the page.
            let tools = setup.registries.get_mut("npm").expect("it");
            tools.profile.sign_in.key_lifetime = jiff::SignedDuration::from_hours(80 * 24);
        })
        .await;
        world.share_clock();
        Self {
            world,
            cargo: Cargo::new(&url),
            url,
            registry,
            npm,
        }
    }

    async fn publish(&self, version: &str) -> countersign_tests::tools::Ended {
        self.registry.be_known_as(&self.url);
        let package = self.cargo.package("hello", version);
        let arguments = ["publish", "--no-verify", "--allow-dirty"];
        self.cargo.finish(&package, &arguments).await
    }
}

#[actix_web::test]
async fn cargo_publishes_with_a_key_and_is_stopped_without() {
    let mut bed = Bed::new().await;
    let keys = format!("{}/account/keys", bed.world.broker.issuer);

    // Nobody's key is nobody's.
    bed.cargo
        .use_key("csk_0000000000000000000000000000000000000000");
    let ended = bed.publish("1.0.0").await;
    let words =
        format!("This credential is not known here, or has ended. Make an API key at {keys}");
    assert!(
        !ended.success && ended.shown.contains(&words),
        "{}",
        ended.shown
    );
    assert!(bed.registry.crates().is_empty(), "it was published");

    let key = key_of(&bed.world, &bed.npm, &Login::new("oidc", "ann-mfa")).await;
    bed.cargo.use_key(&key);
    let ended = bed.publish("1.0.0").await;
    assert!(ended.success, "{}", ended.shown);
    assert_eq!(bed.registry.crates(), ["hello-1.0.0.crate"]);

    // The policy wants a fresh sign-in for every publish, and cargo has no way to be sent for one.
    bed.world.broker.clock.advance(90 * 60);
    let ended = bed.publish("1.0.1").await;
    let words = format!(
        "Your sign-in here was verified too long ago for this. Sign in again and make a new API key at {keys}"
    );
    assert!(
        !ended.success && ended.shown.contains(&words),
        "{}",
        ended.shown
    );
    assert_eq!(bed.registry.crates(), ["hello-1.0.0.crate"]);
}

#[actix_web::test]
async fn cargo_tells_its_user_that_their_key_ends() {
    let mut bed = Bed::new().await;
    let key = key_of(&bed.world, &bed.npm, &Login::new("oidc", "ann-mfa")).await;
    bed.cargo.use_key(&key);
    // From now on keys of logins at a provider's word on this very sign-in count no more.
    let today = countersign_core::calendar::day_of(bed.world.broker.clock.now());
    let before = "accepts = [\"session\", \"enrolment\", \"tenant\"]\n";
    let policy = &bed.world.broker.policy_text;
    let (head, tail) = policy.split_once("[api_keys]").expect("a table");
    let tail = tail.replace(
        before,
        &format!(
            "accepts = [\"tenant\"]\nsunset = {{ announced = {today}, without_mfa_context_expire = {} }}\n",
            today.saturating_add(jiff::Span::new().days(40))
        ),
    );
    bed.world.broker.enforce(&format!("{head}[api_keys]{tail}"));
    let ended = bed.publish("1.0.0").await;
    assert!(ended.success, "{}", ended.shown);
    assert!(
        ended
            .shown
            .contains("warning: Your API key `npm login` ends on "),
        "{}",
        ended.shown
    );
    assert_eq!(
        bed.world.broker.audited(&["api-key-owner-told"]),
        ["api-key-owner-told tool"]
    );
}
