//! What `swift package-registry login` asks.

use countersign_core::registry::Profile;
use countersign_tests::{Login, World, wire};

use super::{key_of, let_tools_in};

const PROFILE: &str = r#"
version = 1
title = "Swift"
[credential]
sources = [{ authorization = "Bearer" }]
[actions]
publish = "packages:publish"
[[rule]]
methods = ["POST"]
paths = ["/login"]
ours = "swift-login"
[default]
read = { open = true }
write = { gated = "publish" }
[refusal]
body = "problem"
"#;

#[actix_web::test]
async fn a_login_goes_well_with_a_key_that_is_good_for_something_now() {
    let mut npm = String::new();
    let world = World::with(|setup| {
        let_tools_in(setup);
        npm = setup.stand_before("npm", None);
        setup.be_asked_for("swift", "npm", "http://swift.example");
        let (profile, _) = Profile::load("swift.toml", PROFILE).expect("a profile");
        setup
            .registries
            .get_mut("swift")
            .expect("the registry")
            .profile = profile;
    })
    .await;
    let key = key_of(&world, &npm, &Login::new("oidc", "ann-mfa")).await;
    let login = async |headers: &[(&str, &str)]| {
        let to = "/registry/swift/login";
        wire::send("POST", &world.broker.issuer, to, headers, "").await
    };
    let bearer = format!("Bearer {key}");
    assert_eq!(login(&[("authorization", &bearer)]).await.status, 200);
    for headers in [&[][..], &[("authorization", "Bearer csk_x")]] {
        assert_eq!(login(headers).await.status, 401, "{headers:?}");
    }
    world.broker.clock.advance(90 * 60);
    let stale = login(&[("authorization", &bearer)]).await;
    assert_eq!(stale.status, 401);
    assert!(
        stale.body.contains("good for nothing here"),
        "{}",
        stale.body
    );
}
