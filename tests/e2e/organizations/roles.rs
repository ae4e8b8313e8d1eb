//! Groups and app roles of what is connected are roles at the registry, as an admin says in the browser.

use countersign_dev_idp::entra::GroupMembershipClaims;
use countersign_tests::{Login, Page, World};
use serde_json::{Value, json};

use super::connect::{Admin, connections, enforce, world as bare};
use super::{CONTOSO, Registry, TOLD_BY_PHONE, signed_in, tenant};

const GROUP: &str = "aaaaaaaa-0000-4000-8000-000000000007";
const ROLES: &str = "[mapping]\nroles = [\"publisher\", \"reader\"]\n";

/// Admins may give two roles; Entra names groups, of which Ann is in one.
async fn world() -> World {
    let world = bare().await;
    enforce(&world, ROLES);
    world.entra.control().set(|behaviour| {
        behaviour.entra.group_membership_claims = GroupMembershipClaims::All;
        let ann = behaviour.entra.account_mut("ann-mfa").expect("Ann");
        ann.groups = vec![GROUP.to_owned()];
        ann.app_roles = vec!["Release.Manager".to_owned()];
    });
    world
}

/// The rows of a form.
fn rows(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut fields = vec![("rows".to_owned(), rows.len().to_string())];
    for (n, (group, role)) in rows.iter().enumerate() {
        fields.push((format!("group-{n}"), (*group).to_owned()));
        fields.push((format!("role-{n}"), (*role).to_owned()));
    }
    fields
}

impl Admin<'_> {
    async fn say(&mut self, page: &Page, said: &[(&str, &str)], more: &[(&str, &str)]) -> Page {
        let rows = rows(said);
        let rows = rows.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let fields: Vec<(&str, &str)> = rows.chain(more.iter().copied()).collect();
        self.confirm(page, &tenant(CONTOSO), &fields).await
    }
}

async fn roles_in_force(world: &World) -> Value {
    connections(world, "contoso").await[0]["mapping"]["roles"].clone()
}

#[actix_web::test]
async fn an_admin_says_what_groups_and_app_roles_are_and_tokens_of_members_say_so() {
    let world = world().await;
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    let page = admin.show(CONTOSO, "ada-admin").await;
    assert!(page.body.contains("tokens say it"), "{}", page.body);
    let said = [
        (GROUP.to_uppercase(), "publisher"),
        (String::new(), ""),
        ("Release.Manager".to_owned(), "reader"),
        ("Nobody".to_owned(), "reader"),
    ];
    let said: Vec<(&str, &str)> = said.iter().map(|(g, r)| (g.as_str(), *r)).collect();
    let done = admin.say(&page, &said, &[]).await;
    assert_eq!(done.status, 303, "{}", done.body);
    let expected =
        json!({GROUP: ["publisher"], "Nobody": ["reader"], "Release.Manager": ["reader"]});
    assert_eq!(roles_in_force(&world).await, expected);
    let page = admin.get("/organizations/contoso").await;
    let shown = format!("{GROUP} is publisher");
    assert!(page.body.contains(&shown), "{}", page.body);
    let ann = Login::new("entra", "ann-mfa");
    let tokens = signed_in(&world, &ann).await;
    assert_eq!(
        tokens.access()["countersign"]["roles"],
        json!({"contoso": ["publisher", "reader"]})
    );
    // Connecting again, they stand in the form; a row that is emptied is gone.
    let page = admin.show(CONTOSO, "ada-admin").await;
    assert!(page.body.contains(&format!("value=\"{GROUP}\"")));
    assert!(page.body.contains("<option value=\"publisher\" selected>"));
    let done = admin
        .say(&page, &[("Release.Manager", "reader")], &[])
        .await;
    assert_eq!(done.status, 303, "{}", done.body);
    let tokens = signed_in(&world, &ann).await;
    assert_eq!(
        tokens.access()["countersign"]["roles"],
        json!({"contoso": ["reader"]})
    );
}

#[actix_web::test]
async fn a_mistake_leaves_the_form_as_it_was_typed_and_says_what_to_type() {
    let world = world().await;
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    let page = admin.show(CONTOSO, "ada-admin").await;
    for (said, told) in [
        (("Release Managers", "reader"), "Give its object id"),
        (("", "reader"), "Say which group is “reader”"),
        ((GROUP, ""), "or empty that row"),
        // Not on the list that the page offers: somebody made it up.
        (
            (GROUP, "owner"),
            "the registry lets admins give other roles",
        ),
    ] {
        let kept = ("Kept.Role", "publisher");
        let again = admin
            .say(&page, &[kept, said], &[("guests", "yes"), ("mfa", "c7")])
            .await;
        assert_eq!(again.status, 400, "{said:?}: {}", again.body);
        let body = &again.body;
        assert!(body.contains(told), "{said:?}: {body}");
        assert!(body.contains("role=\"alert\""), "{body}");
        for part in [
            "value=\"Kept.Role\"",
            "value=\"yes\" checked",
            "Nothing has changed",
            "<option value=\"publisher\" selected>",
        ] {
            assert!(body.contains(part), "{said:?}: `{part}` in {body}");
        }
        assert_eq!(connections(&world, "contoso").await, Value::Null);
    }
    // More rows, without a script; and from there it goes on.
    let more = admin
        .say(&page, &[("Kept.Role", "publisher")], &[("more", "rows")])
        .await;
    assert_eq!(more.status, 200);
    assert!(
        more.body.contains("name=\"rows\" value=\"4\""),
        "{}",
        more.body
    );
    assert!(more.body.contains("value=\"Kept.Role\""), "{}", more.body);
    assert_eq!(connections(&world, "contoso").await, Value::Null);
    let done = admin.say(&more, &[("Kept.Role", "publisher")], &[]).await;
    assert_eq!(done.status, 303, "{}", done.body);
    // Too many is too many, however they are sent.
    let many: Vec<String> = (0..=100).map(|n| format!("Group.{n}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|one| (one.as_str(), "reader")).collect();
    let done = admin.say(&more, &many, &[]).await;
    assert_eq!(done.status, 303, "{}", done.body);
    let roles = roles_in_force(&world).await;
    assert_eq!(roles.as_object().map(serde_json::Map::len), Some(100));
}

#[actix_web::test]
async fn where_the_policy_lets_admins_give_no_roles_those_of_the_registry_stay() {
    let world = world().await;
    enforce(&world, "");
    let registry = Registry::of(&world).await;
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    let terms = json!({"reason": "told by phone", "roles": {GROUP: ["owner"]}});
    registry
        .connect("contoso", &tenant(CONTOSO), &terms.to_string())
        .await;
    let page = admin.show(CONTOSO, "ada-admin").await;
    assert!(!page.body.contains("name=\"group-0\""), "{}", page.body);
    assert!(
        page.body.contains(&format!("{GROUP} is owner")),
        "{}",
        page.body
    );
    let done = admin.say(&page, &[(GROUP, "publisher")], &[]).await;
    assert_eq!(done.status, 303, "{}", done.body);
    assert_eq!(roles_in_force(&world).await, json!({GROUP: ["owner"]}));
    // Where it lets them, they may keep what the registry gave, and give no other group that role.
    enforce(&world, ROLES);
    let page = admin.show(CONTOSO, "ada-admin").await;
    let more = admin
        .say(&page, &[(GROUP, "owner"), ("Other", "owner")], &[])
        .await;
    assert_eq!(more.status, 400, "{}", more.body);
    let done = admin
        .say(&page, &[(GROUP, "owner"), ("Other", "reader")], &[])
        .await;
    assert_eq!(done.status, 303, "{}", done.body);
    let expected = json!({GROUP: ["owner"], "Other": ["reader"]});
    assert_eq!(roles_in_force(&world).await, expected);
}

/// What an organisation of GitHub's has no groups for is not asked, and refused where it is sent.
#[actix_web::test]
async fn an_organization_at_github_has_no_groups() {
    let world = world().await;
    let registry = Registry::of(&world).await;
    registry.tell("contoso", "{}").await;
    let terms = json!({"reason": "told by phone", "roles": {"team": ["reader"]}});
    let path = "/organizations/contoso/connections/github:github.com:7";
    let (status, told) = registry.call("PUT", path, &terms.to_string()).await;
    assert_eq!(status, 400, "{told}");
    assert!(told.to_string().contains("no groups are known"), "{told}");
    let (status, _) = registry.call("PUT", path, TOLD_BY_PHONE).await;
    assert_eq!(status, 200);
}
