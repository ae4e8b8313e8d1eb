//! An issuer all of whose people are one organisation's: an admin asks to connect it, and an operator approves.

use countersign_core::{Mapping, OrganizationId};
use countersign_core::{Policy, Source};
use countersign_providers::NameServers;
use countersign_providers::oidc::People;
use countersign_server::Clock;
use countersign_store::organization::claim;
use countersign_store::{Actor, Connection, Proof, Standing};
use countersign_tests::peers::{NameServer, Named};
use countersign_tests::{Login, Page, World};
use serde_json::{Value, json};

use super::connect::{Admin, connections, enforce, field_after, set_up};
use super::{Registry, TOLD_BY_PHONE, services, signed_in};

/// The stand-in for OpenID Connect has one organisation's people.
async fn world() -> World {
    let world = World::with(|setup| {
        services(setup);
        setup.people = People::OneOrganizations;
    });
    let world = world.await;
    set_up(&world);
    world
}

fn issuer(world: &World) -> String {
    let url = world.oidc.base_url();
    format!("issuer:{}", url.trim_end_matches('/'))
}

fn escaped(source: &str) -> String {
    source.replace(':', "%3A").replace('/', "%2F")
}

/// Asks to connect the issuer: the page after the button.
async fn asks(admin: &mut Admin<'_>, world: &World, organization: &str) -> Page {
    let page = joins(admin, organization, "oidc").await;
    assert!(page.body.contains("approve it first"), "{}", page.body);
    let done = admin.confirm(&page, &issuer(world), &[]).await;
    assert_eq!(done.status, 303, "{}", done.body);
    admin.get(&format!("/organizations/{organization}")).await
}

/// Signs in at the issuer to show that one is of its people.
async fn joins(admin: &mut Admin<'_>, organization: &str, provider: &'static str) -> Page {
    let page = admin.begin(organization, provider).await;
    let way = page.primary_link().expect("a way to the provider");
    admin.go(way, &Login::new(provider, "ann-mfa")).await
}

async fn organizations(world: &World) -> Value {
    let tokens = signed_in(world, &Login::new("oidc", "ann-mfa")).await;
    tokens.access()["countersign"]["organizations"].clone()
}

async fn settle(world: &World, organization: &str, settlement: &str) -> (u16, Value) {
    let path = format!(
        "/organizations/{organization}/connections/{}/settlement",
        escaped(&issuer(world))
    );
    let body = json!({ "settlement": settlement }).to_string();
    Registry::of(world).await.call("POST", &path, &body).await
}

async fn standing(world: &World, organization: &str) -> Value {
    connections(world, organization).await[0]["standing"].clone()
}

#[actix_web::test]
async fn what_an_admin_asks_for_is_in_force_once_an_operator_approves_it_and_not_before() {
    let world = world().await;
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    let page = asks(&mut admin, &world, "contoso").await;
    assert!(page.body.contains("awaiting approval"), "{}", page.body);
    assert!(page.body.contains("one of its people signed in"));
    assert_eq!(standing(&world, "contoso").await, "awaiting-approval");
    assert_eq!(organizations(&world).await, Value::Null);
    // Operators' services find it.
    let registry = Registry::of(&world).await;
    let (_, asking) = registry.call("GET", "/organizations?asking=true", "").await;
    assert_eq!(asking["organizations"][0]["id"], "contoso", "{asking}");
    // Asking again changes nothing of that.
    asks(&mut admin, &world, "contoso").await;
    assert_eq!(organizations(&world).await, Value::Null);
    for settlement in ["share", "transfer"] {
        let (status, told) = settle(&world, "contoso", settlement).await;
        assert_eq!(status, 400, "{told}");
        assert!(told.to_string().contains("awaits approval"), "{told}");
    }
    assert_eq!(organizations(&world).await, Value::Null);
    let (status, told) = settle(&world, "contoso", "approve").await;
    assert_eq!(status, 204, "{told}");
    let page = admin.get("/organizations/contoso").await;
    assert!(page.body.contains("in force"), "{}", page.body);
    assert_eq!(organizations(&world).await, json!(["contoso"]));
    let (_, asking) = registry.call("GET", "/organizations?asking=true", "").await;
    assert_eq!(asking["organizations"], json!([]));
    // New terms, by the same sign-in, need no new approval.
    let page = joins(&mut admin, "contoso", "oidc").await;
    assert!(!page.body.contains("approve it first"), "{}", page.body);
    let done = admin.confirm(&page, &issuer(&world), &[]).await;
    assert_eq!(done.status, 303, "{}", done.body);
    assert_eq!(standing(&world, "contoso").await, "in-force");
    registry
        .disconnect("contoso", &escaped(&issuer(&world)))
        .await;
    assert_eq!(organizations(&world).await, Value::Null);
    let events = [
        "connection-awaits-approval",
        "connection-settled",
        "organization-disconnected",
    ];
    let [asked, approved, ended] = events;
    let audited = world.broker.audited(&events);
    assert_eq!(audited, [asked, asked, approved, ended]);
}

#[actix_web::test]
async fn what_is_refused_is_seen_to_be_and_can_be_asked_for_again() {
    let world = world().await;
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    asks(&mut admin, &world, "contoso").await;
    let (status, told) = settle(&world, "contoso", "refuse").await;
    assert_eq!(status, 204, "{told}");
    let page = admin.get("/organizations/contoso").await;
    assert!(page.body.contains("did not approve it"), "{}", page.body);
    assert_eq!(organizations(&world).await, Value::Null);
    asks(&mut admin, &world, "contoso").await;
    assert_eq!(standing(&world, "contoso").await, "awaiting-approval");
    // Who may not settle does not: a person's token, or a client without the scope.
    let outsider = super::token_of(&world, "reader", &super::api(&world.broker)).await;
    let path = format!(
        "/organizations/contoso/connections/{}/settlement",
        escaped(&issuer(&world))
    );
    let body = r#"{"settlement": "approve"}"#;
    let page = super::call(&world, "POST", &path, &outsider, body).await;
    assert_eq!(page.status, 403, "{}", page.body);
    assert_eq!(organizations(&world).await, Value::Null);
}

#[actix_web::test]
async fn two_that_are_approved_are_in_dispute_and_one_that_is_not_is_in_nobodys_way() {
    let world = world().await;
    let mut admin = Admin::of(&world, "fabrikam", "ann-mfa").await;
    asks(&mut admin, &world, "fabrikam").await;
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    asks(&mut admin, &world, "contoso").await;
    settle(&world, "contoso", "approve").await;
    assert_eq!(standing(&world, "contoso").await, "in-force");
    // The one that has it can't be asked to share what nobody has approved.
    let page = admin.get("/organizations/contoso").await;
    assert!(!page.body.contains("Claimed by others"), "{}", page.body);
    settle(&world, "fabrikam", "approve").await;
    assert_eq!(standing(&world, "fabrikam").await, "disputed");
    assert_eq!(organizations(&world).await, json!(["contoso"]));
    let page = admin.get("/organizations/contoso").await;
    assert!(page.body.contains("Claimed by others"), "{}", page.body);
}

#[actix_web::test]
async fn an_issuer_of_anybodys_people_is_no_organizations() {
    let world = super::connect::world().await;
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    let page = admin.get("/organizations/contoso").await;
    assert!(
        !page.body.contains("Connect with Example ID"),
        "{}",
        page.body
    );
    // A service's word, and an operator's, can say otherwise: it is theirs.
    let registry = Registry::of(&world).await;
    let standing = registry
        .connect("contoso", &escaped(&issuer(&world)), TOLD_BY_PHONE)
        .await;
    assert_eq!(standing, "in-force");
    enforce(&world, "");
}

#[actix_web::test]
async fn an_issuers_groups_are_roles_as_far_as_its_tokens_say() {
    let world = world().await;
    let registry = Registry::of(&world).await;
    registry.tell("contoso", "{}").await;
    let terms =
        json!({"reason": "told by phone", "roles": {"staff": ["reader"], "release": ["owner"]}});
    registry
        .connect("contoso", &escaped(&issuer(&world)), &terms.to_string())
        .await;
    for (groups, roles) in [
        (json!(["staff", "others"]), json!({"contoso": ["reader"]})),
        (
            json!(["staff", "release"]),
            json!({"contoso": ["owner", "reader"]}),
        ),
        (json!("staff"), json!({"contoso": ["reader"]})),
        (json!(["Staff"]), Value::Null),
        (json!([7]), Value::Null),
        (json!({"staff": true}), Value::Null),
    ] {
        world.oidc.control().set(|behaviour| {
            let ann = behaviour.oidc.account_mut("ann-mfa").expect("Ann");
            ann.groups = Some(groups.clone());
        });
        let tokens = signed_in(&world, &Login::new("oidc", "ann-mfa")).await;
        let said = &tokens.access()["countersign"];
        assert_eq!(said["organizations"], json!(["contoso"]), "{groups}");
        assert_eq!(said["roles"], roles, "{groups}");
    }
}

const HOST: &str = "login.acme.example";

/// A world with a provider at a host of its own, which is claimed by `contoso`'s admin, and a name server.
async fn claimed_at(issuer: &'static str) -> (World, NameServer) {
    let server = NameServer::start();
    let address = server.address;
    let world = World::with(|setup| {
        services(setup);
        setup.another_issuer = Some(issuer);
        setup.name_servers = NameServers::at(vec![address]);
    });
    let world = world.await;
    set_up(&world);
    let id = OrganizationId::new("contoso").expect("an id");
    Registry::of(&world).await.tell("contoso", "{}").await;
    let source: Source = format!("issuer:{issuer}").parse().expect("a source");
    let now = world.broker.clock.now();
    let claimed = Connection {
        mapping: Mapping::new(id.clone(), source),
        standing: Standing::AwaitingApproval,
        proof: Proof::Member {
            token: "c0ffee".to_owned(),
        },
        made_by: Actor::Operator,
        made_at: now,
    };
    let store = world.broker.store();
    let made = claim(store.as_ref(), &Policy::default(), &id, &claimed, now).await;
    made.expect("it is claimed");
    (world, server)
}

impl Admin<'_> {
    /// Presses the button that looks for the record, when it may be pressed again.
    async fn check(&mut self, world: &World) -> Page {
        world.broker.clock.advance(11);
        let page = self.get("/organizations/contoso").await;
        let sealed = field_after(&page.body, "Check the record", "form");
        self.press("contoso", &sealed).await
    }
}

#[actix_web::test]
async fn a_record_of_the_issuers_host_proves_it_and_nothing_else_does() {
    let (world, server) = claimed_at("https://login.acme.example").await;
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    let page = admin.get("/organizations/contoso").await;
    let us = &world.broker.issuer;
    let text = format!("countersign={us},organization=contoso,token=c0ffee");
    assert!(page.body.contains(&text), "{}", page.body);
    assert!(page.body.contains(HOST), "{}", page.body);
    let texts = |texts: &[&str]| Named::Texts(texts.iter().map(|one| (*one).to_owned()).collect());
    let another = format!("countersign={us},organization=fabrikam,token=c0ffee");
    let elsewhere = "countersign=https://login.other.example,organization=contoso,token=c0ffee";
    let old = format!("countersign={us},organization=contoso,token=decaf");
    let longer = format!("{text}0");
    for wrong in [
        None,
        Some(texts(&[])),
        Some(texts(&["v=spf1 -all", &another, elsewhere, &old, &longer])),
        // The host is an alias of one that others have.
        Some(Named::Alias(
            "shared.vendor.example".to_owned(),
            vec![text.clone()],
        )),
    ] {
        if let Some(wrong) = &wrong {
            server.set(HOST, wrong.clone());
        }
        let page = admin.check(&world).await;
        assert_eq!(page.status, 400, "{wrong:?}: {}", page.body);
        assert!(
            page.body.contains("no such TXT record"),
            "{wrong:?}: {}",
            page.body
        );
        assert_eq!(standing(&world, "contoso").await, "awaiting-approval");
    }
    server.set(HOST, Named::Silence);
    let page = admin.check(&world).await;
    assert!(page.body.contains("did not answer"), "{}", page.body);
    assert_eq!(standing(&world, "contoso").await, "awaiting-approval");
    server.set(HOST, texts(&["v=spf1 -all", &text]));
    let sealed = field_after(
        &admin.get("/organizations/contoso").await.body,
        "Check the record",
        "form",
    );
    // Not again at once.
    let page = admin.press("contoso", &sealed).await;
    assert_eq!(page.status, 429, "{}", page.body);
    let page = admin.check(&world).await;
    assert_eq!(page.status, 303, "{}", page.body);
    let made = connections(&world, "contoso").await;
    assert_eq!(
        (&made[0]["standing"], &made[0]["proof"]),
        (&json!("in-force"), &json!("dns-record"))
    );
    let page = admin.get("/organizations/contoso").await;
    assert!(
        page.body.contains("a record of its domain"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("Check the record"), "{}", page.body);
    assert_eq!(
        world.broker.audited(&["organization-connected"]),
        ["organization-connected"]
    );
    // No other host was asked about.
    assert!(
        server.asked().iter().all(|name| name == HOST),
        "{:?}",
        server.asked()
    );
}

#[actix_web::test]
async fn the_host_of_an_issuer_below_a_path_speaks_for_nobody() {
    let (world, server) = claimed_at("https://login.acme.example/realms/acme").await;
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    let page = admin.get("/organizations/contoso").await;
    assert!(page.body.contains("awaiting approval"), "{}", page.body);
    assert!(!page.body.contains("Check the record"), "{}", page.body);
    assert_eq!(server.asked(), [""; 0]);
}
