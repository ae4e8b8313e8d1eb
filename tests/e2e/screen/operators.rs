//! The pages of operators, in Chromium.

use countersign_core::calendar::day_of;
use countersign_core::{ExceptionName, Mapping, OrganizationId, Policy, Source};
use countersign_server::Clock;
use countersign_store::organization::{self, AskedException, Told, claim};
use countersign_store::{Actor, Admin, Connection, Proof, Standing};
use countersign_tests::ScreenSettings;

use super::pages::check_looks;
use super::stage::Stage;

const OPERATING: &str = "scopes = [\"tenants:write\", \"operator:read\", \"operator:write\"]";

/// Two organisations claim a tenant, and one asks for an exception.
async fn told(stage: &Stage, admin: Admin) {
    let (shared, now) = (stage.world.broker.store(), stage.world.broker.clock.now());
    let store = shared.as_ref();
    for (id, title) in [("contoso", "Contoso Ltd"), ("fabrikam", "Fabrikam Inc")] {
        let id = OrganizationId::new(id).expect("an id");
        let told = Told {
            title: Some(title.to_owned()),
            admins: [admin.clone()].into(),
        };
        let told = organization::tell(store, &id, &told, &Actor::Operator, now).await;
        told.expect("it is told");
        let source = format!("tenant:{}", countersign_dev_idp::entra::CONTOSO);
        let source: Source = source.parse().expect("a source");
        let connection = Connection {
            mapping: Mapping::new(id.clone(), source),
            standing: Standing::InForce,
            proof: Proof::Operator {
                reason: "told by phone".to_owned(),
            },
            made_by: Actor::Operator,
            made_at: now,
        };
        let made = claim(store, &Policy::default(), &id, &connection, now).await;
        made.expect("it is claimed");
    }
    let asked = AskedException {
        name: ExceptionName::new("asked-1").expect("a name"),
        waives: ["publish".to_owned()].into(),
        reason: "Card-controlled rooms, no phones".to_owned(),
        until: day_of(now),
        asked_by: Actor::Operator,
        asked_at: now,
        answer: None,
    };
    let contoso = OrganizationId::new("contoso").expect("an id");
    let asking = organization::ask(store, &contoso, &asked).await;
    asking.expect("it is asked for");
}

#[actix_web::test]
async fn an_operator_does_their_work_on_every_screen() {
    let stage = Stage::with(&ScreenSettings::default(), |setup| {
        let policy = setup
            .policy
            .replace("scopes = [\"tenants:write\"]", OPERATING);
        setup.policy = format!("{policy}\n[client.countersign]\ntier = \"browse\"\n");
    })
    .await;
    let (screen, broker) = (&stage.screen, &stage.world.broker);
    let at = |path: &str| format!("{}{path}", stage.broker());
    let pick = async |account: &str| {
        screen.arrive_at(&["http://127.0.0.2:"]).await;
        stage.pick(account).await;
    };
    // Who is none is told so.
    screen.goto(&at("/operator")).await;
    stage.choose("oidc").await;
    pick("ann-mfa").await;
    screen.arrive_at(&[&at("/operator")]).await;
    assert_eq!(screen.text(".reference code").await, "not-an-operator");
    check_looks(screen, "operator-none").await;

    let store = broker.store();
    let accounts = store.list_accounts(None, 10).await.expect("a store");
    let ann = accounts.first().expect("Ann").id.clone();
    let text = &broker.policy_text;
    broker.enforce(&format!("{text}\n[operators]\naccounts = [\"{ann}\"]\n"));
    screen.goto(&at("/operator")).await;
    check_looks(screen, "operator-idle").await;
    screen.goto(&at("/operator/organizations")).await;
    check_looks(screen, "operator-organizations-none").await;
    told(&stage, Admin::Account(ann.clone())).await;

    screen.goto(&at("/operator")).await;
    check_looks(screen, "operator").await;
    screen.click("nav.desk li:nth-of-type(2) a").await;
    screen.arrive_at(&[&at("/operator/organizations")]).await;
    check_looks(screen, "operator-organizations").await;
    screen.click(".rows a").await;
    let contoso = at("/operator/organizations/contoso");
    screen.arrive_at(&[&contoso]).await;
    check_looks(screen, "operator-organization").await;
    screen.type_into("#reason-asked-1", "Seen on site").await;
    screen.click("button[value=granted]").await;
    // The row of the answer is there once it is given.
    let answer = screen.text("li dl div:nth-of-type(5) dd").await;
    assert_eq!(answer, "Seen on site");
    // A question before what can't be undone.
    screen.goto(&at("/operator/organizations/fabrikam")).await;
    check_looks(screen, "operator-dispute").await;
    screen.click("button[aria-label^=Transfer]").await;
    screen
        .arrive_at(&[&at("/operator/organizations/fabrikam/press")])
        .await;
    assert!(screen.text("h1").await.starts_with("Transfer a connection"));
    check_looks(screen, "operator-transfer").await;
    screen.click("button.primary").await;
    let disconnect = screen.text("button[aria-label^=Disconnect]").await;
    assert_eq!(disconnect, "Disconnect");

    screen.goto(&at("/operator/accounts")).await;
    check_looks(screen, "operator-accounts").await;
    screen.click(".rows a").await;
    let account = at(&format!("/operator/accounts/{ann}"));
    screen.arrive_at(&[&account]).await;
    check_looks(screen, "operator-account-own").await;
    screen.goto(&at("/operator/accounts?account=nobody")).await;
    check_looks(screen, "operator-accounts-nobody").await;
    screen.goto(&at("/operator/audit-log")).await;
    check_looks(screen, "operator-audit-log").await;
    screen
        .goto(&at("/operator/audit-log?since=yesterday"))
        .await;
    check_looks(screen, "operator-audit-log-wrong").await;
}

#[actix_web::test]
async fn an_operator_locks_somebody_on_every_screen() {
    let stage = Stage::with(&ScreenSettings::default(), |setup| {
        let policy = setup
            .policy
            .replace("scopes = [\"tenants:write\"]", OPERATING);
        setup.policy = format!("{policy}\n[client.countersign]\ntier = \"browse\"\n");
    })
    .await;
    let (screen, broker) = (&stage.screen, &stage.world.broker);
    let at = |path: &str| format!("{}{path}", stage.broker());
    let sign_in = async |account: &str, to: &str| {
        screen.forget_cookies().await;
        screen
            .goto(&at(&format!("/sign-in?to={to}&provider=oidc")))
            .await;
        screen.arrive_at(&["http://127.0.0.2:"]).await;
        stage.pick(account).await;
        screen.arrive_at(&[&at(to)]).await;
    };
    sign_in("bob-password", "/account").await;
    let store = broker.store();
    let accounts = store.list_accounts(None, 10).await.expect("a store");
    let bob = accounts.first().expect("Bob").id.clone();
    let text = &broker.policy_text;
    let name = |id: &str| broker.enforce(&format!("{text}\n[operators]\naccounts = [\"{id}\"]\n"));
    // Bob is one by his name, and shows no second factor.
    name(bob.as_str());
    screen.goto(&at("/operator")).await;
    assert_eq!(screen.text(".reference code").await, "sign-in-not-enough");
    check_looks(screen, "operator-weak").await;

    sign_in("ann-mfa", "/account").await;
    let accounts = store.list_accounts(None, 10).await.expect("a store");
    let ann = accounts.iter().find(|one| one.id != bob).expect("Ann");
    name(ann.id.as_str());
    let of_bob = at(&format!("/operator/accounts/{bob}"));
    screen.goto(&of_bob).await;
    check_looks(screen, "operator-account").await;
    let press = at(&format!("/operator/accounts/{bob}/press"));
    screen.click("form:not(:has(#reason)) button").await;
    screen.arrive_at(&[&press]).await;
    check_looks(screen, "operator-sessions-end").await;
    screen.goto(&of_bob).await;
    screen
        .type_into("#reason", "Reported as taken over, ticket 4711")
        .await;
    screen.click("form:has(#reason) button").await;
    assert!(screen.text("p.wrong").await.contains("ticket 4711"));
    check_looks(screen, "operator-account-locked").await;
    screen.click("button.primary").await;
    screen.text("#reason").await; // it can be locked again
    screen.click("section:last-of-type button").await;
    screen.arrive_at(&[&press]).await;
    assert!(screen.text("h1").await.starts_with("Erase"));
    check_looks(screen, "operator-erase").await;
    screen.click("button.primary").await;
    screen.arrive_at(&[&at("/operator/accounts")]).await;
}
