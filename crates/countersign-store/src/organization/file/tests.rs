use std::sync::Arc;

use countersign_core::{AccountId, ClientId, Guests, Level};
use tempfile::TempDir;

use super::*;
use crate::conformance::Dying;
use crate::organization::{disconnect, tell};
use crate::{Admin, Embedded, Signpost, organizations_by};

const TENANT: &str = "tenant:6e93a626-8aca-4dc1-9191-ce291b4b75a1";
const OTHER: &str = "tenant:7e93a626-8aca-4dc1-9191-ce291b4b75a1";

struct Here {
    store: Arc<Embedded>,
    policy: Policy,
    _directory: TempDir,
}

fn here() -> Here {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(&directory.path().join("data")).unwrap();
    Here {
        store: Arc::new(store),
        policy: Policy::default(),
        _directory: directory,
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn id(name: &str) -> OrganizationId {
    OrganizationId::new(name).unwrap()
}

fn source(text: &str) -> Source {
    text.parse().unwrap()
}

fn client() -> Actor {
    Actor::Client(ClientId::new("registry").unwrap())
}

fn admin() -> Admin {
    "account:acct_ann".parse().unwrap()
}

fn wanted(text: &str) -> Wanted {
    Wanted {
        source: source(text),
        terms: Terms {
            reason: Some("told by phone".to_owned()),
            ..Terms::default()
        },
        sharing: Sharing::Alone,
    }
}

fn entry(name: &str, connections: &[&str]) -> Entry {
    Entry {
        id: id(name),
        told: Told {
            title: Some(name.to_uppercase()),
            admins: [admin()].into(),
        },
        connections: connections.iter().map(|text| wanted(text)).collect(),
    }
}

impl Here {
    async fn apply(&self, entry: &Entry, second: i64) -> Applied {
        let weighed = weigh(self.store.as_ref(), &self.policy, entry, at(second))
            .await
            .unwrap();
        let applied = apply(self.store.as_ref(), &self.policy, entry, at(second))
            .await
            .unwrap();
        assert_eq!(weighed, applied, "what was said is what was done");
        applied
    }

    async fn known(&self, name: &str) -> Option<Organization> {
        let found = self.store.organization(&id(name)).await.unwrap();
        found.map(|(known, _)| known)
    }

    async fn standing(&self, name: &str, text: &str) -> Option<Standing> {
        let known = self.known(name).await?;
        known.connection(&source(text)).map(|one| one.standing)
    }
}

fn unchanged() -> Applied {
    Applied {
        change: Change::Unchanged,
        connected: Vec::new(),
        disputed: Vec::new(),
    }
}

#[tokio::test]
async fn what_is_applied_twice_changes_nothing_the_second_time() {
    let here = here();
    let contoso = entry("contoso", &[TENANT, "github:github.com:7"]);
    let applied = here.apply(&contoso, 1).await;
    assert_eq!(applied.change, Change::Created);
    assert_eq!(applied.connected.len(), 2);
    let known = here.known("contoso").await.unwrap();
    assert_eq!(known.told_by, Actor::File);
    assert_eq!(known.in_force().count(), 2);
    assert_eq!(here.apply(&contoso, 2).await, unchanged());
    assert_eq!(here.known("contoso").await.unwrap(), known);
}

#[tokio::test]
async fn other_terms_and_other_reasons_are_a_change() {
    let here = here();
    let mut contoso = entry("contoso", &[TENANT]);
    here.apply(&contoso, 1).await;
    contoso.connections[0].terms.contexts = [("c1".to_owned(), Level::Mfa)].into();
    assert_eq!(here.apply(&contoso, 2).await.connected, [source(TENANT)]);
    contoso.connections[0].terms.reason = Some("by letter".to_owned());
    assert_eq!(here.apply(&contoso, 3).await.change, Change::Changed);
    let known = here.known("contoso").await.unwrap();
    let made = known.connection(&source(TENANT)).unwrap();
    assert_eq!(made.made_at, at(3));
    assert_eq!(here.apply(&contoso, 4).await, unchanged());
}

#[tokio::test]
async fn what_an_admin_has_connected_stays_and_stays_proven() {
    let here = here();
    here.apply(&entry("contoso", &[]), 1).await;
    let proven = Connection {
        proof: Proof::DirectoryRole("62e90394".to_owned()),
        made_by: Actor::Account("acct_ann".to_owned().try_into().unwrap()),
        ..wanted(TENANT)
            .connection(&id("contoso"), None, at(2))
            .unwrap()
    };
    let store = here.store.as_ref();
    claim(store, &Policy::default(), &id("contoso"), &proven, at(9))
        .await
        .unwrap();
    for contoso in [entry("contoso", &[]), entry("contoso", &[TENANT])] {
        assert_eq!(here.apply(&contoso, 3).await, unchanged());
    }
    let known = here.known("contoso").await.unwrap();
    assert_eq!(known.connection(&source(TENANT)), Some(&proven));
}

#[tokio::test]
async fn what_others_have_is_disputed_unless_the_file_says_that_it_is_shared() {
    let here = here();
    here.apply(&entry("fabrikam", &[TENANT]), 1).await;
    let mut contoso = entry("contoso", &[TENANT]);
    for _ in 0..2 {
        let applied = here.apply(&contoso, 2).await;
        assert_eq!(applied.disputed, [source(TENANT)]);
        let standing = here.standing("contoso", TENANT).await;
        assert_eq!(standing, Some(Standing::Disputed));
    }
    contoso.connections[0].sharing = Sharing::Shared;
    let applied = here.apply(&contoso, 3).await;
    assert_eq!(
        (applied.change, applied.disputed),
        (Change::Changed, Vec::new())
    );
    for name in ["contoso", "fabrikam"] {
        assert_eq!(here.standing(name, TENANT).await, Some(Standing::InForce));
    }
    assert_eq!(here.apply(&contoso, 4).await, unchanged());
}

#[tokio::test]
async fn a_dispute_with_nobody_any_more_is_in_force_when_it_is_applied_again() {
    let here = here();
    here.apply(&entry("fabrikam", &[TENANT]), 1).await;
    let contoso = entry("contoso", &[TENANT]);
    here.apply(&contoso, 2).await;
    let store = here.store.as_ref();
    disconnect(store, &id("fabrikam"), &source(TENANT), at(9))
        .await
        .unwrap();
    assert_eq!(here.apply(&contoso, 3).await.disputed, []);
    assert_eq!(
        here.standing("contoso", TENANT).await,
        Some(Standing::InForce)
    );
}

#[tokio::test]
async fn only_what_the_file_alone_told_of_is_pruned() {
    let here = here();
    let store = here.store.as_ref();
    let told = Told::default();
    let tell_as = async |name: &str, actor: Actor| {
        tell(store, &id(name), &told, &actor, at(1)).await.unwrap();
    };
    tell_as("of-client", client()).await;
    tell_as("of-hand", Actor::Operator).await;
    for name in ["of-client", "of-hand", "of-file", "of-both"] {
        here.apply(&entry(name, &[TENANT]), 2).await;
    }
    // A client tells of it as well, and in the same words: it is the client's from then on.
    let same = entry("of-both", &[]).told;
    let (change, _) = tell(store, &id("of-both"), &same, &client(), at(3))
        .await
        .unwrap();
    assert_eq!(change, Change::Changed);
    for (name, is_pruned) in [
        ("of-client", false),
        ("of-both", false),
        // The operator has put it into the file.
        ("of-hand", true),
        ("of-file", true),
        ("nothing", true),
    ] {
        assert_eq!(
            prune(store, &id(name), at(9)).await.unwrap(),
            is_pruned,
            "{name}"
        );
        assert_eq!(here.known(name).await.is_none(), is_pruned, "{name}");
    }
    let post = Signpost::Admin(admin());
    assert_eq!(organizations_by(store, &post).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_connection_is_given_up_only_where_the_file_made_it() {
    let here = here();
    let store = here.store.as_ref();
    here.apply(&entry("contoso", &[TENANT]), 1).await;
    let by_hand = Connection {
        made_by: Actor::Operator,
        ..wanted(OTHER)
            .connection(&id("contoso"), None, at(2))
            .unwrap()
    };
    claim(store, &Policy::default(), &id("contoso"), &by_hand, at(9))
        .await
        .unwrap();
    let known = here.known("contoso").await.unwrap();
    assert_eq!(given_up(&known, &entry("contoso", &[TENANT])), []);
    assert_eq!(given_up(&known, &entry("contoso", &[])), [source(TENANT)]);
    for (text, is_gone) in [(OTHER, false), (TENANT, true), (TENANT, true)] {
        let gone = give_up(store, &id("contoso"), &source(text), at(9)).await;
        assert_eq!(gone.unwrap(), is_gone, "{text}");
    }
    assert_eq!(
        here.standing("contoso", OTHER).await,
        Some(Standing::InForce)
    );
}

#[tokio::test]
async fn what_an_admin_has_proven_is_not_given_up_where_a_file_has_named_it_for_a_time() {
    let here = here();
    let store = here.store.as_ref();
    here.apply(&entry("contoso", &[]), 1).await;
    let proven = Connection {
        proof: Proof::GitHubOwner,
        made_by: Actor::Account(AccountId::new("acct_1").unwrap()),
        ..wanted(TENANT)
            .connection(&id("contoso"), None, at(2))
            .unwrap()
    };
    claim(store, &Policy::default(), &id("contoso"), &proven, at(9))
        .await
        .unwrap();
    let mut named = entry("contoso", &[TENANT]);
    named.connections[0].terms.guests = Guests::Admitted;
    here.apply(&named, 3).await;
    let known = here.known("contoso").await.unwrap();
    assert_eq!(known.connections[0].made_by, Actor::File);
    assert_eq!(given_up(&known, &entry("contoso", &[])), []);
    let gone = give_up(store, &id("contoso"), &source(TENANT), at(9)).await;
    assert!(!gone.unwrap());
}

#[test]
fn all_that_can_not_be_applied_is_told() {
    let mut wrong = entry("contoso", &["github:github.com:7", OTHER]);
    wrong.told.title = Some("a\nb".to_owned());
    wrong.connections[0].terms.contexts = [("c1".to_owned(), Level::Mfa)].into();
    wrong.connections[1].terms.reason = None;
    let personal = "tenant:9188040d-6c67-4c5b-b112-36a304b66dad";
    wrong.connections.push(wanted(personal));
    let found: Vec<Option<String>> = wrong
        .check()
        .into_iter()
        .map(|(source, _)| source.map(ToString::to_string))
        .collect();
    let expected = [
        None,
        Some("github:github.com:7"),
        Some(OTHER),
        Some(personal),
    ];
    assert_eq!(found, expected.map(|one| one.map(str::to_owned)));
    assert_eq!(entry("contoso", &[TENANT]).check(), []);
}

#[tokio::test]
async fn an_entry_that_was_killed_at_any_step_is_completed_when_it_is_applied_again() {
    let mut steps = 0;
    loop {
        let here = here();
        let contoso = entry("contoso", &[TENANT, OTHER]);
        let dying = Dying::after_writes(here.store.clone(), steps);
        let ended = apply(&dying, &here.policy, &contoso, at(1)).await;
        apply(here.store.as_ref(), &here.policy, &contoso, at(2))
            .await
            .unwrap();
        let known = here.known("contoso").await.unwrap();
        assert_eq!(known.in_force().count(), 2, "killed after {steps} writes");
        let post = Signpost::Source(source(OTHER));
        let led = organizations_by(here.store.as_ref(), &post).await.unwrap();
        assert_eq!(led.len(), 1, "killed after {steps} writes");
        assert_eq!(here.apply(&contoso, 3).await, unchanged());
        if ended.is_ok() {
            break;
        }
        steps += 1;
    }
    assert!(steps >= 6, "{steps} writes");
}

#[tokio::test]
async fn a_source_that_the_policy_file_gives_to_another_is_disputed() {
    let given = format!(
        "version = 1\n[tier.browse]\nscopes = [\"packages:read\"]\nneeds = \"none\"\n[client.gallery]\ntier = \"browse\"\n\
         [organization.fabrikam]\ntenants = [\"{}\"]\n",
        TENANT.trim_start_matches("tenant:")
    );
    let policy = Policy::parse("policy.toml", &given).unwrap_or_else(|all| panic!("{all}"));
    let here = Here { policy, ..here() };
    let contoso = entry("contoso", &[TENANT, OTHER]);
    let first = weigh_first(&here.policy, &contoso);
    for second in [1, 2] {
        let applied = here.apply(&contoso, second).await;
        assert_eq!(applied.disputed, [source(TENANT)]);
        if second == 1 {
            assert_eq!(applied, first);
        }
        let disputed = here.standing("contoso", TENANT).await;
        assert_eq!(disputed, Some(Standing::Disputed));
        let other = here.standing("contoso", OTHER).await;
        assert_eq!(other, Some(Standing::InForce));
    }
    // Whose it is by the file has it.
    let fabrikam = entry("fabrikam", &[TENANT]);
    assert_eq!(weigh_first(&here.policy, &fabrikam).disputed, []);
    // Where both have these people, the operator says so.
    let mut sharing = contoso;
    sharing.connections[0].sharing = Sharing::Shared;
    assert_eq!(weigh_first(&here.policy, &sharing).disputed, []);
    assert_eq!(here.apply(&sharing, 3).await.disputed, []);
    let shared = here.standing("contoso", TENANT).await;
    assert_eq!(shared, Some(Standing::InForce));
}
