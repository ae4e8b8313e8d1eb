//! Whose people are an organisation's, from the login to the end of the token.

use countersign_core::SessionId;
use countersign_dev_idp::entra::GroupMembershipClaims;
use countersign_server::Clock;
use countersign_store::Store;
use countersign_tests::{BrokerSetup, Browser, Login, Tokens, World};
use serde_json::{Value, json};

use super::{CONTOSO, Registry, TOLD_BY_PHONE, signed_in, tenant, world};

fn ann() -> Login {
    Login::new("entra", "ann-mfa")
}

fn organizations(tokens: &Tokens) -> Value {
    tokens.access()["countersign"]["organizations"].clone()
}

async fn ask(world: &World, path: &str, form: &[(&str, &str)]) -> Value {
    let own = [
        ("client_id", "gallery"),
        ("client_secret", BrokerSetup::SECRET),
    ];
    let form = form.iter().chain(&own);
    let form: Vec<_> = form
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect();
    let page = Browser::new()
        .post(&world.broker.endpoint(path), &form)
        .await;
    super::read(&page)
}

async fn refresh(world: &World, tokens: &Tokens) -> Value {
    let token = tokens.text("refresh_token");
    ask(
        world,
        "/token",
        &[("grant_type", "refresh_token"), ("refresh_token", token)],
    )
    .await
}

async fn is_active(world: &World, tokens: &Tokens) -> bool {
    let told = ask(
        world,
        "/introspect",
        &[("token", tokens.text("access_token"))],
    )
    .await;
    told["active"] == json!(true)
}

#[actix_web::test]
async fn a_login_from_the_mapped_tenant_has_the_organization_and_no_other_login_has() {
    let world = world().await;
    let registry = Registry::of(&world).await;
    registry.tell("contoso", "{}").await;
    assert_eq!(organizations(&signed_in(&world, &ann()).await), Value::Null);
    registry
        .connect("contoso", &tenant(CONTOSO), TOLD_BY_PHONE)
        .await;
    // Whether it is asked for or not.
    for login in [ann(), ann().with("organization", "contoso")] {
        let tokens = signed_in(&world, &login).await;
        assert_eq!(organizations(&tokens), json!(["contoso"]));
        assert_eq!(tokens.access()["countersign"]["tenant"], CONTOSO);
        assert!(is_active(&world, &tokens).await);
    }
    // From elsewhere one signs in, lacks it, and is refused only where it was asked for.
    let elsewhere = Login::new("entra", "fay-fabrikam");
    assert_eq!(
        organizations(&signed_in(&world, &elsewhere).await),
        Value::Null
    );
    let asked = elsewhere.with("organization", "contoso");
    let outcome = world
        .sign_in_with_step_up(&mut Browser::new(), &asked)
        .await;
    assert_eq!(outcome.summary(), "refused: organization-not-shown");
}

#[actix_web::test]
async fn what_rests_on_a_connection_ends_with_it() {
    let world = world().await;
    let registry = Registry::of(&world).await;
    registry.tell("contoso", "{}").await;
    registry
        .connect("contoso", &tenant(CONTOSO), TOLD_BY_PHONE)
        .await;
    let asked = signed_in(&world, &ann().with("organization", "contoso")).await;
    let unasked = signed_in(&world, &ann()).await;
    let refreshed = refresh(&world, &unasked).await;
    assert!(refreshed["access_token"].is_string(), "{refreshed}");
    registry.disconnect("contoso", &tenant(CONTOSO)).await;
    for tokens in [&asked, &unasked] {
        assert!(!is_active(&world, tokens).await);
    }
    let refused = refresh(&world, &asked).await;
    assert_eq!(
        (&refused["error"], &refused["error_description"]),
        (&json!("invalid_grant"), &json!("organization-not-shown"))
    );
    // Where it was not asked for, the rest goes on without it.
    let form = [
        ("grant_type", "refresh_token"),
        (
            "refresh_token",
            refreshed["refresh_token"].as_str().unwrap(),
        ),
    ];
    let rest = ask(&world, "/token", &form).await;
    let claims = countersign_tests::payload(rest["access_token"].as_str().expect("a token"));
    assert_eq!(claims["countersign"].get("organizations"), None);
}

#[actix_web::test]
async fn a_disputed_tenant_is_the_first_ones_alone() {
    let world = world().await;
    let registry = Registry::of(&world).await;
    for name in ["contoso", "fabrikam"] {
        registry.tell(name, "{}").await;
        registry
            .connect(name, &tenant(CONTOSO), TOLD_BY_PHONE)
            .await;
    }
    assert_eq!(
        organizations(&signed_in(&world, &ann()).await),
        json!(["contoso"])
    );
    let path = format!(
        "/organizations/contoso/connections/{}/agreement",
        tenant(CONTOSO)
    );
    let (status, told) = registry
        .call("POST", &path, r#"{"with": "fabrikam"}"#)
        .await;
    assert_eq!(status, 204, "{told}");
    assert_eq!(
        organizations(&signed_in(&world, &ann()).await),
        json!(["contoso", "fabrikam"])
    );
}

#[actix_web::test]
async fn a_guest_of_the_tenant_is_none_of_its_people_unless_guests_are_admitted() {
    let world = world().await;
    let registry = Registry::of(&world).await;
    registry.tell("contoso", "{}").await;
    registry
        .connect("contoso", &tenant(CONTOSO), TOLD_BY_PHONE)
        .await;
    let guest = Login::new("contoso", "gus-guest").with("organization", "contoso");
    let outcome = world
        .sign_in_with_step_up(&mut Browser::new(), &guest)
        .await;
    assert_eq!(outcome.summary(), "refused: organization-not-shown");
    registry
        .connect("contoso", &tenant(CONTOSO), r#"{"guests": "admitted"}"#)
        .await;
    assert_eq!(
        organizations(&signed_in(&world, &guest).await),
        json!(["contoso"])
    );
}

#[actix_web::test]
async fn membership_goes_stale_while_the_session_lives() {
    let world = world().await;
    world.broker.clock.stop();
    world.share_clock();
    world.broker.enforce(&format!(
        "{}\n[mapping]\nmax_membership_age = \"1h\"\n",
        world.broker.policy_text
    ));
    let registry = Registry::of(&world).await;
    registry.tell("contoso", "{}").await;
    registry
        .connect("contoso", &tenant(CONTOSO), TOLD_BY_PHONE)
        .await;
    let tokens = signed_in(&world, &ann().with("organization", "contoso")).await;
    world.broker.clock.advance(3595);
    let last = refresh(&world, &tokens).await;
    assert_eq!(last["expires_in"], 5, "{last}");
    world.broker.clock.advance(5);
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", last["refresh_token"].as_str().unwrap()),
    ];
    let refused = ask(&world, "/token", &form).await;
    assert_eq!(
        refused["error_description"], "membership-stale",
        "{refused}"
    );
}

#[actix_web::test]
async fn somebody_in_two_hundred_groups_signs_in_and_only_those_that_count_are_kept() {
    let world = world().await;
    let registry = Registry::of(&world).await;
    registry.tell("contoso", "{}").await;
    let group = |n: u32| format!("aaaaaaaa-0000-4000-8000-{n:012}");
    world.entra.control().set(|behaviour| {
        behaviour.entra.group_membership_claims = GroupMembershipClaims::All;
        let ann = behaviour.entra.account_mut("ann-mfa").expect("Ann");
        ann.groups = (0..200).map(group).collect();
    });
    let terms = json!({"reason": "told by phone", "roles": {group(7): ["owner"]}});
    registry
        .connect("contoso", &tenant(CONTOSO), &terms.to_string())
        .await;
    let tokens = signed_in(&world, &ann()).await;
    assert_eq!(organizations(&tokens), json!(["contoso"]));
    assert_eq!(
        tokens.access()["countersign"]["roles"],
        json!({"contoso": ["owner"]})
    );
    let session = SessionId::new(tokens.access()["sid"].as_str().expect("a session"));
    let session = session.expect("a session's id");
    let store = world.broker.look();
    let kept = store.session(&session, world.broker.clock.now()).await;
    let kept = kept.expect("a store").expect("a session");
    let kept = json!(kept.evidence).to_string();
    assert!(kept.contains(&group(7)) && !kept.contains(&group(8)));
}
