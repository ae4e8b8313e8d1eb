//! What is tried with keys that are somebody else's, have ended, or never were.

use countersign_core::AccountId;
use countersign_server::{Client, ClientAuthentication, SecretDigest};
use countersign_tests::{BrokerSetup, Login, wire};
use serde_json::json;

use super::{Person, publishes, send, told, told_to, world, world_with};
use crate::linking::{oidc, sub, tokens};

const INACTIVE: &str = r#"{"active":false}"#;

#[actix_web::test]
async fn what_is_no_key_is_told_nothing_of() {
    let world = world().await;
    let mut ann = Person::of(&world, &oidc()).await;
    let key = ann.make("").await;
    let changed = format!(
        "{}{}",
        &key[..45],
        if key.ends_with('0') { "1" } else { "0" }
    );
    let long = "k".repeat(10_000);
    for guess in [
        changed.as_str(),
        &key[..45],
        &format!("{key}0"),
        &key.to_uppercase(),
        &key.replace("csk_", "gsk_"),
        &format!(" {key}"),
        "csk_",
        "\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}",
        &long,
    ] {
        let answer = told(&world, guess, &[]).await;
        assert_eq!(answer.to_string(), INACTIVE, "{guess:?}");
        assert_eq!(
            publishes(&world, guess, "any").await,
            "unknown",
            "{guess:?}"
        );
    }
    assert_eq!(publishes(&world, &key, "any").await, "yes");
}

#[actix_web::test]
async fn a_service_of_another_audience_is_told_nothing_and_revokes_nothing() {
    let world = world_with(|setup| {
        let resource = countersign_server::Resource {
            algorithm: countersign_server::SigningAlgorithm::Es256,
        };
        setup
            .resources
            .insert("https://other.example".into(), resource);
        let secret = ClientAuthentication::Secret(SecretDigest::of(BrokerSetup::SECRET));
        let other = Client::new("other", vec![], secret, "https://other.example");
        let id = countersign_core::ClientId::new("other").expect("an id");
        setup.clients.insert(id, other);
        setup
            .policy
            .push_str("\n[client.other]\ntier = \"browse\"\n");
    })
    .await;
    let mut ann = Person::of(&world, &oidc()).await;
    let key = ann.make("").await;
    let other = ("other", BrokerSetup::SECRET);
    for more in [&[][..], &[("scope", "packages:publish")]] {
        let answer = told_to(&world, other, &key, more).await;
        assert_eq!(answer.to_string(), INACTIVE);
    }
    let body = format!(
        "token={key}&client_id=other&client_secret={}",
        BrokerSetup::SECRET
    );
    assert_eq!(send(&world, "/revoke", &body).await.status, 400);
    assert_eq!(publishes(&world, &key, "any").await, "yes");
    // Its own client may.
    let body = body.replace("client_id=other", "client_id=gallery");
    assert_eq!(send(&world, "/revoke", &body).await.status, 200);
    assert_eq!(publishes(&world, &key, "any").await, "api-key-ended");
}

#[actix_web::test]
async fn the_keys_of_a_locked_account_are_refused_and_of_an_erased_one_are_none() {
    let world = world().await;
    let mut ann = Person::of(&world, &oidc()).await;
    let key = ann.make("").await;
    let mine = AccountId::new(sub(&tokens(&world, &oidc()).await)).expect("an id");
    world.broker.lock(&mine).await;
    assert_eq!(publishes(&world, &key, "any").await, "account-locked");
    assert_eq!(told(&world, &key, &[]).await.to_string(), INACTIVE);
    let store = world.broker.store();
    let found = store
        .account(&mine)
        .await
        .expect("a store")
        .expect("an account");
    let now = countersign_server::Clock::now(&world.broker.clock);
    countersign_store::unlock_account(store.as_ref(), found, now)
        .await
        .expect("unlocked");
    assert_eq!(publishes(&world, &key, "any").await, "yes");
    let erased = countersign_store::erase_account(store.as_ref(), &mine, now).await;
    assert!(erased.expect("a store").is_some());
    assert_eq!(publishes(&world, &key, "any").await, "unknown");
    assert_eq!(store.list_api_keys(None, 10).await.expect("a store"), []);
}

#[actix_web::test]
async fn a_key_ends_with_the_identity_and_the_provider_that_it_was_made_under() {
    let world = world().await;
    let mut git = Person::of(&world, &Login::new("github", "ann-mfa")).await;
    let key = git.make("").await;
    let mine = sub(&tokens(&world, &Login::new("github", "ann-mfa")).await);
    assert_eq!(publishes(&world, &key, "any").await, "yes");
    let without = world.replica_without("github");
    let body = format!(
        "token={key}&client_id=gallery&client_secret={}&scope=packages:publish",
        BrokerSetup::SECRET
    );
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let page = wire::send("POST", &without.address, "/introspect", &headers, &body).await;
    assert!(page.body.contains("api-key-orphaned"), "{}", page.body);
    world
        .broker
        .unlist(&AccountId::new(mine).expect("an id"))
        .await;
    assert_eq!(publishes(&world, &key, "any").await, "api-key-orphaned");
}

#[actix_web::test]
async fn nobody_makes_or_revokes_a_key_by_anothers_form() {
    let world = world().await;
    let mut ann = Person::of(&world, &oidc()).await;
    let mut bob = Person::of(&world, &Login::new("github", "ann-mfa")).await;
    let key = ann.make("").await;
    let way = ann.way_to_revoke().await;
    let question = ann.get(&way).await;
    let yes = question.field("form").expect("a button");
    for form in [yes.as_str(), "", "noise"] {
        let page = bob.post(&[("form".to_owned(), form.to_owned())]).await;
        assert_eq!(page.status, 400, "{}", page.body);
    }
    let page = bob.get(&way).await;
    assert_eq!(page.status, 400, "{}", page.body);
    assert_eq!(publishes(&world, &key, "any").await, "yes");
    // Nobody who is not signed in sees anything.
    let mut stranger = countersign_tests::Browser::new();
    let page = stranger.get(&world.broker.endpoint("/account/keys")).await;
    assert_eq!(page.status, 303);
}

#[actix_web::test]
async fn no_key_is_for_what_is_ours_or_operators() {
    let world = world().await;
    let mut ann = Person::of(&world, &oidc()).await;
    for scope in [
        "api-keys:write",
        "operator:read",
        "identities:write",
        "openid",
        "nothing:known",
    ] {
        let page = ann
            .fill(&[
                ("name", "n"),
                ("client", "gallery"),
                (&format!("scope-{scope}"), "yes"),
                ("days", "1"),
            ])
            .await;
        assert!(
            page.body.contains("Choose what the key is for"),
            "{scope}: {}",
            page.body
        );
    }
    let page = ann.page().await;
    assert!(!page.body.contains("scope-operator:read"), "{}", page.body);
}

#[actix_web::test]
async fn whoever_holds_a_key_may_revoke_it_and_learns_nothing() {
    let world = world().await;
    let mut ann = Person::of(&world, &oidc()).await;
    let key = ann.make("").await;
    let missing = send(&world, "/api-keys/leaked", "").await;
    assert_eq!(missing.status, 400);
    let noise = send(&world, "/api-keys/leaked", "token=csk_noise").await;
    let first = send(&world, "/api-keys/leaked", &format!("token={key}")).await;
    let again = send(&world, "/api-keys/leaked", &format!("token={key}")).await;
    for page in [&noise, &first, &again] {
        assert_eq!((page.status, page.body.as_str()), (200, ""));
    }
    assert_eq!(publishes(&world, &key, "any").await, "api-key-ended");
    let lines = world.broker.audit_lines(&["api-key-revoked"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[actix_web::test]
async fn a_key_and_its_digest_are_in_no_log_and_the_key_in_no_file() {
    let world = world().await;
    let mut ann = Person::of(&world, &oidc()).await;
    let key = ann.make("").await;
    assert_eq!(publishes(&world, &key, "any").await, "yes");
    let text = countersign_server::api_key::KeyText::parse(&key).expect("a key");
    let digest = String::from(text.digest());
    let lines = world.broker.audit_lines(&["api-key-made"]);
    let told = json!(lines[0].subject).to_string();
    assert!(
        !told.contains(&key) && !told.contains(&digest[7..39]),
        "{told}"
    );
    let page = ann.page().await;
    assert!(!page.body.contains(&digest[7..]));
    for entry in std::fs::read_dir(world.broker.data()).expect("a directory") {
        let path = entry.expect("a file").path();
        if let Ok(bytes) = std::fs::read(&path) {
            let held = bytes.windows(key.len()).any(|part| part == key.as_bytes());
            assert!(!held, "{}", path.display());
        }
    }
}
