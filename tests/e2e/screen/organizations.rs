//! An organisation's page with all that can be on it, in Chromium.

use countersign_core::calendar::day_of;
use countersign_core::{Mapping, OrganizationId, Policy, Source};
use countersign_dev_idp::entra::GroupMembershipClaims;
use countersign_server::Clock;
use countersign_store::organization::{self, Told, claim};
use countersign_store::{Actor, Admin, Connection, Proof, Standing};
use countersign_tests::ScreenSettings;
use jiff::ToSpan;

use super::pages::check_looks;
use super::stage::Stage;

/// Ann administers an organisation whose tenant another claims; she asks for an exception.
#[actix_web::test]
async fn an_admin_sees_a_dispute_and_asks_for_an_exception_on_every_screen() {
    let stage = Stage::with(&ScreenSettings::default(), |setup| {
        let scopes = "scopes = [\"tenants:write\"]";
        let more = "scopes = [\"tenants:write\", \"exceptions:request\"]";
        setup.policy = setup.policy.replace(scopes, more);
        let pages = "\n[client.countersign]\ntier = \"browse\"\n";
        setup.policy.push_str(pages);
    })
    .await;
    let (screen, broker) = (&stage.screen, &stage.world.broker);
    let at = |path: &str| format!("{}{path}", stage.broker());
    screen.goto(&at("/organizations")).await;
    stage.choose("oidc").await;
    screen.arrive_at(&["http://127.0.0.2:"]).await;
    stage.pick("ann-mfa").await;
    screen.arrive_at(&[&at("/organizations")]).await;
    check_looks(screen, "organizations-none").await;

    let ann = only_account(&stage).await;
    let shared = broker.store();
    let store = shared.as_ref();
    let now = broker.clock.now();
    for (id, title, admin) in [
        ("contoso", "Contoso Ltd", Some(ann)),
        ("fabrikam", "Fabrikam Inc", None),
    ] {
        let id = OrganizationId::new(id).expect("an id");
        let told = Told {
            title: Some(title.to_owned()),
            admins: admin.into_iter().collect(),
        };
        let told = organization::tell(store, &id, &told, &Actor::Operator, now).await;
        told.expect("it is told");
        let tenant = format!("tenant:{}", countersign_dev_idp::entra::CONTOSO);
        let source: Source = tenant.parse().expect("a source");
        let connection = Connection {
            mapping: Mapping::new(id.clone(), source),
            standing: Standing::InForce,
            proof: Proof::Operator {
                reason: "told by phone".to_owned(),
            },
            made_by: Actor::Operator,
            made_at: now,
        };
        claim(store, &Policy::default(), &id, &connection, now)
            .await
            .expect("it is claimed");
    }
    screen
        .goto(&at(
            "/sign-in?to=/organizations/contoso&scope=exceptions:request&provider=oidc",
        ))
        .await;
    screen.arrive_at(&[&at("/organizations/contoso")]).await;
    assert!(screen.text("main").await.contains("Claimed by others"));
    screen.click("details:has(#reason) summary").await;
    check_looks(screen, "organization-claimed").await;
    screen.click("input[name='tier-publish']").await;
    screen
        .type_into("#reason", "Card-controlled rooms, no phones")
        .await;
    // As the browser's own field for a day takes it.
    let until = day_of(now).saturating_add(30.days());
    screen
        .type_into("#until", &until.strftime("%m%d%Y").to_string())
        .await;
    screen.click("form:has(#reason) button").await;
    screen.arrive_at(&[&at("/organizations/contoso")]).await;
    let shown = screen.text("main").await;
    assert!(
        shown.contains("waiting") && shown.contains("no phones"),
        "{shown}"
    );
    check_looks(screen, "organization-asks").await;
}

/// Ann signs in, well enough to connect something.
async fn sign_in_to_manage(stage: &Stage) {
    let at = |path: &str| format!("{}{path}", stage.broker());
    let to = "/sign-in?to=/organizations&scope=tenants:write&provider=oidc";
    stage.screen.goto(&at(to)).await;
    stage.screen.arrive_at(&["http://127.0.0.2:"]).await;
    stage.pick("ann-mfa").await;
    stage.screen.arrive_at(&[&at("/organizations")]).await;
}

/// Who has signed in, alone.
async fn only_account(stage: &Stage) -> Admin {
    let store = stage.world.broker.store();
    let accounts = store.list_accounts(None, 10).await.expect("a store");
    Admin::Account(accounts.first().expect("Ann").id.clone())
}

/// Ann's organisation has nothing connected: she connects its tenant and says what groups are.
#[actix_web::test]
async fn an_admin_gives_groups_roles_on_every_screen() {
    let stage = Stage::with(&ScreenSettings::default(), |setup| {
        let more = "\n[client.countersign]\ntier = \"browse\"\n[mapping]\nroles = [\"owner\", \"publisher\"]\n";
        setup.policy.push_str(more);
    })
    .await;
    stage.world.entra.control().set(|behaviour| {
        behaviour.entra.group_membership_claims = GroupMembershipClaims::DirectoryRole;
    });
    let (screen, broker) = (&stage.screen, &stage.world.broker);
    let at = |path: &str| format!("{}{path}", stage.broker());
    let page = at("/organizations/contoso");
    sign_in_to_manage(&stage).await;
    let told = Told {
        title: Some("Contoso Ltd".to_owned()),
        admins: [only_account(&stage).await].into(),
    };
    let (store, id) = (
        broker.store(),
        OrganizationId::new("contoso").expect("an id"),
    );
    let now = broker.clock.now();
    let told = organization::tell(store.as_ref(), &id, &told, &Actor::Operator, now).await;
    told.expect("it is told");
    screen.goto(&page).await;
    screen.click("form:has(#tenant-entra) button").await;
    screen.click(".button.primary").await;
    screen.arrive_at(&["http://127.0.0.2:"]).await;
    stage.pick("ada-admin").await;
    screen.arrive_at(&[&format!("{page}/connect?form=")]).await;
    // A name instead of an id: the form comes back as it was.
    screen
        .type_into("[name='group-0']", "Release managers")
        .await;
    screen.type_into("[name='role-0']", "publisher").await;
    screen.click("button.primary").await;
    let shown = screen.text("[role='alert']").await;
    assert!(shown.contains("object id"), "{shown}");
    check_looks(screen, "organization-roles").await;
    screen.click("button[name='more']").await;
    // The sixth row is of the page that follows.
    screen.property("[name='group-5']", "value").await;
    assert_eq!(screen.count(".pair").await, 6);
    assert_eq!(screen.count("[role='alert']").await, 0);
    screen.clear("[name='group-0']").await;
    let group = "aaaaaaaa-0000-4000-8000-000000000007";
    screen.type_into("[name='group-0']", group).await;
    screen.click("button.primary").await;
    screen.arrive_at(&[&page]).await;
    let shown = screen.text("main").await;
    assert!(shown.contains(&format!("{group} is publisher")), "{shown}");
    check_looks(screen, "organization-with-roles").await;
}

/// Ann asked to connect an issuer: an operator approves it, or a record of its host proves it.
#[actix_web::test]
async fn an_admin_sees_what_awaits_its_proof_on_every_screen() {
    let issuer = "https://login.acme.example";
    let stage = Stage::with(&ScreenSettings::default(), |setup| {
        setup.another_issuer = Some(issuer);
        let pages = "\n[client.countersign]\ntier = \"browse\"\n";
        setup.policy.push_str(pages);
    })
    .await;
    let (screen, broker) = (&stage.screen, &stage.world.broker);
    let at = |path: &str| format!("{}{path}", stage.broker());
    sign_in_to_manage(&stage).await;
    let told = Told {
        title: Some("Acme".to_owned()),
        admins: [only_account(&stage).await].into(),
    };
    let (store, id) = (broker.store(), OrganizationId::new("acme").expect("an id"));
    let now = broker.clock.now();
    let told = organization::tell(store.as_ref(), &id, &told, &Actor::Operator, now).await;
    told.expect("it is told");
    let source: Source = format!("issuer:{issuer}").parse().expect("a source");
    let asked = Connection {
        mapping: Mapping::new(id.clone(), source),
        standing: Standing::AwaitingApproval,
        proof: Proof::Member {
            token: "0123456789abcdef0123456789abcdef".to_owned(),
        },
        made_by: Actor::Operator,
        made_at: now,
    };
    let claimed = claim(store.as_ref(), &Policy::default(), &id, &asked, now).await;
    claimed.expect("it is claimed");
    screen.goto(&at("/organizations/acme")).await;
    let shown = screen.text("main").await;
    assert!(shown.contains("login.acme.example itself"), "{shown}");
    check_looks(screen, "organization-awaits").await;
}
