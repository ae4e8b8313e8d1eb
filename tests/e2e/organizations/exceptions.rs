//! An organisation asks for an exception, and operators answer.

use countersign_tests::{BrokerSetup, Browser, Login, Tokens, World, payload};
use serde_json::{Value, json};

use super::connect::{Admin, world};
use super::{CONTOSO, Registry, TOLD_BY_PHONE, call, in_days, tenant};

/// Bob of Contoso has a password and nothing else.
fn weak() -> Login {
    Login::new("entra", "bob-password").with("organization", "contoso")
}

async fn asked(registry: &Registry<'_>, body: &Value) -> (u16, Value) {
    let path = "/organizations/contoso/exceptions";
    registry.call("POST", path, &body.to_string()).await
}

async fn answered(registry: &Registry<'_>, name: &str, body: &Value) -> u16 {
    let path = format!("/organizations/contoso/exceptions/{name}");
    registry.call("PUT", &path, &body.to_string()).await.0
}

async fn summary(world: &World, login: &Login) -> String {
    let outcome = world.sign_in_with_step_up(&mut Browser::new(), login).await;
    outcome.summary()
}

async fn tokens(world: &World, login: &Login) -> Tokens {
    let outcome = world.sign_in_with_step_up(&mut Browser::new(), login).await;
    world.redeem(&outcome.code()).await
}

async fn refreshed(world: &World, token: &str) -> Value {
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", token),
        ("client_id", "gallery"),
        ("client_secret", BrokerSetup::SECRET),
    ];
    let form = form.map(|(n, v)| (n.to_owned(), v.to_owned()));
    let url = world.broker.endpoint("/token");
    super::read(&Browser::new().post(&url, &form).await)
}

#[actix_web::test]
async fn what_is_granted_holds_for_who_acts_for_the_organization_until_its_day() {
    let world = world().await;
    world.broker.clock.stop();
    world.share_clock();
    let registry = Registry::of(&world).await;
    registry.tell("contoso", "{}").await;
    registry
        .connect("contoso", &tenant(CONTOSO), TOLD_BY_PHONE)
        .await;
    let until = in_days(&world, 1);
    let wish = json!({"waives": ["manage"], "reason": "card-controlled rooms", "until": until});
    let (status, told) = asked(&registry, &wish).await;
    assert_eq!(status, 201, "{told}");
    let name = told["name"].as_str().expect("a name").to_owned();
    let (_, asking) = registry.call("GET", "/organizations?asking=true", "").await;
    assert_eq!(asking["organizations"][0]["id"], "contoso");
    // Asking is not having.
    assert!(summary(&world, &weak()).await.starts_with("refused"));
    let answer = json!({"verdict": "granted", "until": until, "reason": "seen by us"});
    assert_eq!(answered(&registry, &name, &answer).await, 204);
    let (_, asking) = registry.call("GET", "/organizations?asking=true", "").await;
    assert_eq!(asking["organizations"], json!([]));
    let given = tokens(&world, &weak()).await;
    let claims = given.access();
    assert_eq!(claims["acr"], "urn:countersign:single");
    assert_eq!(claims["countersign"]["waiver"], json!(name));
    assert_eq!(claims["countersign"]["organizations"], json!(["contoso"]));
    // Only while they act for it, and for nothing more than was waived.
    let for_themselves = Login::new("entra", "bob-password");
    assert!(
        summary(&world, &for_themselves)
            .await
            .starts_with("refused")
    );
    let more = weak().with("scope", "openid packages:publish");
    assert!(summary(&world, &more).await.starts_with("refused"));
    // An operator ends it before its day.
    let again = refreshed(&world, given.text("refresh_token")).await;
    let again = again["refresh_token"].as_str().expect("a token").to_owned();
    let ended = json!({"verdict": "refused", "reason": "phones are allowed now"});
    assert_eq!(answered(&registry, &name, &ended).await, 204);
    let refused = refreshed(&world, &again).await;
    assert_eq!(refused["error"], "invalid_grant", "{refused}");
    // Granted anew, it ends by itself, and no token outlives it.
    assert_eq!(answered(&registry, &name, &answer).await, 204);
    let given = tokens(&world, &weak()).await;
    let exp = given.access()["exp"].as_i64().expect("an end");
    let day = format!("{until}T00:00:00Z").parse::<jiff::Timestamp>();
    let ends = day.expect("a day").as_second() + 24 * 60 * 60;
    assert!(exp <= ends);
    world.broker.clock.advance(2 * 24 * 60 * 60);
    assert!(summary(&world, &weak()).await.starts_with("refused"));
}

#[actix_web::test]
async fn what_cannot_be_an_exception_is_refused_with_why() {
    let world = world().await;
    let registry = Registry::of(&world).await;
    registry.tell("contoso", "{}").await;
    let good = json!({"waives": ["manage"], "reason": "no phones", "until": in_days(&world, 1)});
    let with = |key: &str, value: Value| {
        let mut wish = good.clone();
        wish[key] = value;
        wish
    };
    for wrong in [
        with("waives", json!([])),
        with("waives", json!(["nothing"])),
        with("waives", json!(["browse"])),
        with("reason", json!("  ")),
        with("reason", json!("a\nb")),
        with("reason", json!("x".repeat(501))),
        with("until", json!(in_days(&world, -1))),
        with("until", json!(in_days(&world, 800))),
        with("until", json!("soon")),
        with("more", json!(1)),
    ] {
        let (status, told) = asked(&registry, &wrong).await;
        assert_eq!(
            (status, &told["code"]),
            (400, &json!("invalid-request")),
            "{wrong}: {told}"
        );
    }
    for _ in 0..20 {
        assert_eq!(asked(&registry, &good).await.0, 201);
    }
    let (status, told) = asked(&registry, &good).await;
    assert_eq!(status, 400, "{told}");
    // What is over makes room.
    let (_, all) = registry.call("GET", "/organizations/contoso", "").await;
    let first = all["exceptions"][0]["name"]
        .as_str()
        .expect("a name")
        .to_owned();
    let refused = json!({"verdict": "refused", "reason": "no"});
    assert_eq!(answered(&registry, &first, &refused).await, 204);
    assert_eq!(asked(&registry, &good).await.0, 201);
    assert_eq!(answered(&registry, &first, &refused).await, 404);
}

#[actix_web::test]
async fn an_admin_asks_on_the_page_and_sees_the_answer() {
    let world = world().await;
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    let page = admin.ask_page("contoso").await;
    let sealed = super::connect::field_after(&page.body, "name=\"until\"", "form");
    let until = in_days(&world, 30);
    let form = [
        ("form", sealed.as_str()),
        ("tier-publish", "yes"),
        ("reason", " Rooms <b>without</b>\r\nphones "),
        ("until", until.as_str()),
    ];
    let url = world.broker.endpoint("/organizations/contoso/press");
    let form = form.map(|(n, v)| (n.to_owned(), v.to_owned()));
    let done = admin.browser.post(&url, &form).await;
    assert_eq!(done.status, 303, "{}", done.body);
    let page = admin.ask_page("contoso").await;
    assert!(page.body.contains("waiting"), "{}", page.body);
    assert!(
        page.body
            .contains("Rooms &#60;b&#62;without&#60;/b&#62; phones"),
        "{}",
        page.body
    );
    // Not without a tier, nor without a day.
    for left_out in ["tier-publish", "until"] {
        let mut less = form.to_vec();
        less.retain(|(name, _)| name != left_out);
        let refused = admin.browser.post(&url, &less).await;
        assert_eq!(refused.reason_code(), Some("invalid-request"), "{left_out}");
    }
    let registry = Registry::of(&world).await;
    let (_, told) = registry.call("GET", "/organizations/contoso", "").await;
    let name = told["exceptions"][0]["name"].as_str().expect("a name");
    assert!(
        told["exceptions"][0]["asked_by"]
            .as_str()
            .expect("who")
            .starts_with("account:")
    );
    let granted = json!({"verdict": "granted", "until": until, "reason": "until your move"});
    assert_eq!(answered(&registry, name, &granted).await, 204);
    let page = admin.ask_page("contoso").await;
    assert!(
        page.body.contains("in force") && page.body.contains("until your move"),
        "{}",
        page.body
    );
    // What is answered is taken back by nobody.
    let login = Login::new("oidc", "ann-mfa")
        .with("scope", "openid exceptions:request")
        .with("resource", &super::api(&world.broker));
    let tokens = super::signed_in(&world, &login).await;
    assert_eq!(
        payload(tokens.text("access_token"))["scope"],
        "exceptions:request openid"
    );
    let path = format!("/organizations/contoso/exceptions/{name}");
    let page = call(&world, "DELETE", &path, tokens.text("access_token"), "").await;
    assert_eq!(page.status, 404, "{}", page.body);
}
