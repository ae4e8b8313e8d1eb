//! Organisations of GitHub's: whose owner connects one, and whose members act for it.

use countersign_dev_idp::github::{OrgMembership, OrgRole, OrgState};
use countersign_tests::{Browser, Login, Page, World};
use serde_json::json;

use super::connect::{Admin, connections, world};
use super::{Registry, TOLD_BY_PHONE, signed_in};

const ACME: &str = "github:127.0.0.2:PORT:2001";

/// The source of the stand-in's organisation 2001.
fn acme(world: &World) -> String {
    let port = url::Url::parse(world.github.base_url()).expect("an address");
    ACME.replace("PORT", &port.port().expect("a port").to_string())
}

/// Begins to connect with GitHub, and signs in there with this account: the page that follows.
async fn show(admin: &mut Admin<'_>, account: &'static str) -> Page {
    let page = admin.begin("contoso", "github").await;
    let way = page.primary_link().expect("a way to the provider");
    let page = admin.browser.get(&way).await;
    admin.walk(page, &Login::new("github", account)).await
}

/// The scopes that GitHub was asked for last.
fn asked_for(world: &World) -> String {
    let request = world.github.control().last_authorize_request();
    let request = request.expect("a request");
    request.param("scope").unwrap_or_default().to_owned()
}

fn change(world: &World, account: &str, memberships: Vec<OrgMembership>) {
    world.github.control().set(|behaviour| {
        let account = behaviour.github.account_mut(account).expect("an account");
        account.memberships = memberships;
    });
}

/// A world in which enrolment is enough to connect, and in which logins say whose member the person is, or not.
async fn with_enrolment() -> World {
    let world = world().await;
    let policy = world.broker.policy_text.replace(
        "accepts = [\"session\", \"tenant\"]\nmax_evidence_age = \"15m\"",
        "accepts = [\"session\", \"tenant\", \"enrolment\"]\nmax_evidence_age = \"15m\"",
    );
    world.broker.enforce(&format!(
        "{policy}\n[client.countersign]\ntier = \"browse\"\n"
    ));
    world
}

#[actix_web::test]
async fn an_owner_connects_their_organization_and_picks_which() {
    let world = with_enrolment().await;
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    change(
        &world,
        "olga-owner",
        vec![
            OrgMembership::active(2001, "acme", OrgRole::Admin),
            OrgMembership::active(2002, "acme-labs", OrgRole::Admin),
            OrgMembership::active(2003, "other-people", OrgRole::Member),
        ],
    );
    let page = show(&mut admin, "olga-owner").await;
    assert!(asked_for(&world).split(' ').any(|one| one == "read:org"));
    assert!(page.body.contains("acme-labs at"), "{}", page.body);
    assert!(!page.body.contains("other-people"), "{}", page.body);
    let done = admin.confirm(&page, &acme(&world), &[]).await;
    assert_eq!(done.status, 303, "{}", done.body);
    let made = connections(&world, "contoso").await;
    assert_eq!(made[0]["mapping"]["source"], acme(&world));
    assert_eq!(
        (&made[0]["standing"], &made[0]["proof"]),
        (&json!("in-force"), &json!("git-hub-owner"))
    );
    // Other logins ask for no more than they are configured to.
    signed_in(&world, &Login::new("github", "ann-mfa")).await;
    assert!(!asked_for(&world).contains("read:org"));
}

#[actix_web::test]
async fn who_owns_nothing_that_can_be_seen_connects_nothing() {
    let world = with_enrolment().await;
    let hidden = OrgMembership {
        is_visible: false,
        ..OrgMembership::active(2001, "acme", OrgRole::Admin)
    };
    let invited = OrgMembership {
        state: OrgState::Pending,
        ..OrgMembership::active(2001, "acme", OrgRole::Admin)
    };
    for (memberships, code) in [
        (vec![], "github-not-owner"),
        (
            vec![OrgMembership::active(2001, "acme", OrgRole::Member)],
            "github-not-owner",
        ),
        (
            vec![OrgMembership::active(2001, "acme", OrgRole::BillingManager)],
            "github-not-owner",
        ),
        (vec![hidden], "github-not-owner"),
        (vec![invited], "github-not-owner"),
    ] {
        change(&world, "olga-owner", memberships);
        let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
        let page = show(&mut admin, "olga-owner").await;
        assert_eq!(page.reason_code(), Some(code), "{}", page.body);
    }
    // Who unticks the scope has not been read, which is no proof of anything.
    world.github.control().set(|behaviour| {
        let mei = behaviour.github.account_mut("mei-member").expect("Mei");
        mei.memberships = vec![OrgMembership::active(2001, "acme", OrgRole::Admin)];
        mei.grants_only = Some(vec!["read:user".to_owned(), "user:email".to_owned()]);
    });
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    let page = show(&mut admin, "mei-member").await;
    assert_eq!(
        page.reason_code(),
        Some("github-memberships-unreadable"),
        "{}",
        page.body
    );
    assert!(page.body.contains("approves"), "{}", page.body);
}

#[actix_web::test]
async fn enrolment_connects_nothing_where_the_policy_does_not_take_it() {
    let world = world().await;
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    let page = show(&mut admin, "olga-owner").await;
    assert_eq!(
        page.reason_code(),
        Some("connection-needs-more"),
        "{}",
        page.body
    );
}

/// Past the first page of a hundred.
#[actix_web::test]
async fn an_owner_of_many_organizations_finds_the_last() {
    let world = with_enrolment().await;
    let mut many: Vec<OrgMembership> = (0..150)
        .map(|n| OrgMembership::active(5000 + n, &format!("other-{n}"), OrgRole::Member))
        .collect();
    many.push(OrgMembership::active(2001, "acme", OrgRole::Admin));
    change(&world, "olga-owner", many);
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    let page = show(&mut admin, "olga-owner").await;
    assert!(page.body.contains("acme at"), "{}", page.body);
}

#[actix_web::test]
async fn a_member_acts_for_it_where_logins_say_whose_member_one_is() {
    let world = World::with(|setup| {
        super::services(setup);
        setup.github_scopes = "read:user user:email read:org";
    })
    .await;
    let registry = Registry::of(&world).await;
    registry.tell("contoso", "{}").await;
    registry
        .connect("contoso", &acme(&world), TOLD_BY_PHONE)
        .await;
    let organizations = async |account| {
        let tokens = signed_in(&world, &Login::new("github", account)).await;
        let claim = tokens.access()["countersign"].clone();
        (claim["organizations"].clone(), claim["through"].clone())
    };
    let (member, through) = organizations("mei-member").await;
    assert_eq!(member, json!(["contoso"]));
    assert_eq!(through, json!({"contoso": acme(&world)}));
    assert_eq!(organizations("ann-mfa").await.0, json!(null));
    // Renamed, it is the same; another that took its name is not.
    change(
        &world,
        "mei-member",
        vec![OrgMembership::active(2001, "acme-renamed", OrgRole::Member)],
    );
    assert_eq!(organizations("mei-member").await.0, json!(["contoso"]));
    change(
        &world,
        "mei-member",
        vec![OrgMembership::active(9, "acme", OrgRole::Member)],
    );
    assert_eq!(organizations("mei-member").await.0, json!(null));
    // Of memberships only what is connected is kept.
    change(
        &world,
        "mei-member",
        vec![
            OrgMembership::active(2001, "acme", OrgRole::Member),
            OrgMembership::active(77_777, "private-matter", OrgRole::Member),
        ],
    );
    assert_eq!(organizations("mei-member").await.0, json!(["contoso"]));
    for file in ["state.db", "state.db-wal"] {
        let bytes = std::fs::read(world.broker.data().join(file)).expect("a file");
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !text.contains("private-matter") && !text.contains("77777"),
            "{file}"
        );
    }
    let asked = Login::new("github", "ann-mfa").with("organization", "contoso");
    let outcome = world.sign_in(&mut Browser::new(), &asked).await;
    assert_eq!(outcome.summary(), "refused: organization-not-shown");
}
