//! `cargo yank` and `cargo owner`, by the credential helper and with keys.

use countersign_tests::Login;
use countersign_tests::tools::{Cargo, CrateStore, Ended, Helper, Terminal};
use serde_json::json;

use super::credential_helper::{approve, sign_in};
use super::door::{Door, ann};

const CRATES: &str = "crates-io";
/// All that cargo does to a crate besides publishing it.
const YANK: [&str; 2] = ["yank", "hello@1.0.0"];
const UNYANK: [&str; 3] = ["yank", "hello@1.0.0", "--undo"];
const LIST: [&str; 3] = ["owner", "--list", "hello"];
const ADD: [&str; 4] = ["owner", "--add", "bob", "hello"];
const REMOVE: [&str; 4] = ["owner", "--remove", "bob", "hello"];

/// A registry with one crate, and a cargo that reaches it through us.
struct Bed {
    door: Door,
    store: CrateStore,
    helper: Helper,
    cargo: Cargo,
}

impl Bed {
    async fn new() -> Self {
        let store = CrateStore::start();
        let door = Door::before(CRATES, &store.url).await;
        Self {
            cargo: Cargo::of_sparse_index(&door.url),
            door,
            store,
            helper: Helper::new(),
        }
    }

    /// One whose cargo asks the helper, which Ann has signed in.
    async fn with_helper() -> Self {
        let mut bed = Self::new().await;
        bed.cargo.ask(&bed.helper, &["--no-browser"]);
        sign_in(&bed.door.world, &bed.helper, CRATES).await;
        bed
    }

    fn run(&self, arguments: &[&str]) -> Terminal {
        self.cargo.run(self.cargo.home(), arguments)
    }

    async fn must_say(&self, arguments: &[&str], words: &str) {
        let ended = self.run(arguments).end().await;
        assert!(ended.success && ended.says(words), "{}", ended.shown);
        no_secret(&ended);
    }

    /// The actions that have changed the crate; none came with what the tool shows us.
    fn changes(&self) -> Vec<String> {
        let changes = self.store.kept().changes.into_iter();
        let changes = changes.map(|(action, has_credential)| {
            assert!(!has_credential, "{action}");
            action
        });
        changes.collect()
    }
}

#[track_caller]
fn no_secret(ended: &Ended) {
    for beginning in ["csk_", "csbt_"] {
        assert!(!ended.shown.contains(beginning), "{}", ended.shown);
    }
}

#[actix_web::test]
async fn cargo_yanks_undoes_it_and_changes_owners_by_the_helper() {
    let bed = Bed::with_helper().await;
    bed.door.demand();
    bed.must_say(&YANK, "Yank hello@1.0.0").await;
    assert!(bed.store.kept().is_yanked);
    bed.must_say(&UNYANK, "Unyank hello@1.0.0").await;
    assert!(!bed.store.kept().is_yanked);
    let words = "Owner user bob has been invited to be an owner of crate hello";
    bed.must_say(&ADD, words).await;
    bed.must_say(&LIST, "ann\nbob").await;
    bed.must_say(&REMOVE, "Owner removing [\"bob\"] from crate hello")
        .await;
    assert!(bed.store.kept().owners.is_empty());
    assert_eq!(bed.changes(), ["yank", "yank", "owners", "owners"]);
}

#[actix_web::test]
async fn a_yank_or_a_change_of_owners_with_a_stale_sign_in_goes_on_once_its_user_has_signed_in_anew()
 {
    let bed = Bed::with_helper().await;
    bed.door.demand();
    bed.door.world.broker.clock.advance(90 * 60);
    for (arguments, asked, deed) in [
        (
            &YANK[..],
            "Sign in to yank hello 1.0.0 at http",
            "yank hello 1.0.0",
        ),
        (
            &UNYANK[..],
            "Sign in to undo the yank of hello 1.0.0 at http",
            "yank hello 1.0.0",
        ),
        (
            &ADD[..],
            "Sign in to see or change the owners of hello at http",
            "owners hello",
        ),
    ] {
        let cargo = bed.run(arguments);
        let page = approve(&bed.door.world, &cargo, &ann()).await;
        assert!(page.contains(&format!("<strong>{deed}</strong>")), "{page}");
        let ended = cargo.end().await;
        assert!(ended.success && ended.says(asked), "{}", ended.shown);
        no_secret(&ended);
    }
    assert_eq!(bed.changes(), ["yank", "yank", "owners"]);

    // Somebody else says yes.
    let cargo = bed.run(&YANK);
    approve(&bed.door.world, &cargo, &Login::new("oidc", "pia-passkey")).await;
    let ended = cargo.end().await;
    let words = "Somebody else signed in than the owner of this API key: run the command again";
    assert!(!ended.success && ended.says(words), "{}", ended.shown);
    assert_eq!(bed.changes().len(), 3);
}

#[actix_web::test]
async fn cargo_says_why_a_key_yanks_nothing_and_changes_no_owner() {
    let mut bed = Bed::new().await;
    for refused in bed.door.refused().await {
        bed.cargo.use_key(&refused.key);
        for (arguments, what) in [
            (
                &YANK[..],
                "error: failed to yank from the registry at http://127.0.0.1:",
            ),
            (
                &UNYANK[..],
                "error: failed to undo a yank from the registry at http://127.0.0.1:",
            ),
        ] {
            let ended = bed.run(arguments).end().await;
            let status = match refused.status {
                401 => "401 Unauthorized",
                _ => "403 Forbidden",
            };
            let words = format!(
                "the remote server responded with an error (status {status}): {}",
                refused.words
            );
            assert!(!ended.success && ended.says(&words), "{}", ended.shown);
            assert!(ended.says(what), "{}", ended.shown);
            no_secret(&ended);
        }
    }
    assert!(bed.changes().is_empty());

    // A key that is good, and for something else.
    let key = bed.door.good_key().await;
    bed.cargo.use_key(&key);
    bed.must_say(&YANK, "Yank hello@1.0.0").await;
    for (arguments, what) in [
        (&ADD[..], "failed to invite owners to crate `hello`"),
        (&REMOVE[..], "failed to remove owners from crate `hello`"),
    ] {
        let ended = bed.run(arguments).end().await;
        assert!(!ended.success && ended.says(what), "{}", ended.shown);
        let words =
            "(status 401 Unauthorized): This API key is not for this. Make an API key at KEYS";
        assert!(ended.says(&bed.door.words(words)), "{}", ended.shown);
    }
    assert_eq!(bed.changes(), ["yank"]);
}

#[actix_web::test]
async fn a_key_for_owners_and_one_made_without_a_second_factor_read_why() {
    let mut bed = Bed::new().await;
    let owners = json!({"scopes": ["collaborators:write"]});
    let weak = Login::new("github", "bob-password");
    let weak = bed.door.key(&weak, "tools", owners.clone()).await;
    let stale = bed.door.key(&ann(), "tools", owners).await;
    bed.door.demand();
    bed.cargo.use_key(&stale);
    bed.must_say(&ADD, "Owner user bob has been invited").await;
    bed.door.world.broker.clock.advance(90 * 60);
    for (key, words) in [
        (
            weak,
            "This sign-in did not use multi-factor authentication. Sign in with multi-factor authentication and make a new API key at KEYS",
        ),
        (
            stale,
            "Your sign-in here was verified too long ago for this. Sign in again and make a new API key at KEYS",
        ),
    ] {
        bed.cargo.use_key(&key);
        for arguments in [&ADD[..], &REMOVE[..]] {
            let ended = bed.run(arguments).end().await;
            let words = format!("(status 403 Forbidden): {}", bed.door.words(words));
            assert!(!ended.success && ended.says(&words), "{}", ended.shown);
        }
        // Who owns a crate anybody may read.
        bed.must_say(&LIST, "ann\nbob").await;
    }
    assert_eq!(bed.changes(), ["owners"]);
}
