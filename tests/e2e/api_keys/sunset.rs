//! The end of keys that were made without a second factor that counts.

use countersign_core::calendar::day_of;
use countersign_server::Clock;
use countersign_tests::{Login, World};
use jiff::civil::Date;

use super::{DAY, Person, pass, publishes, told, world};
use crate::linking::oidc;

/// The policy with a sunset that was announced so many days from now, and ends keys so many days from now.
fn announce(world: &World, announced: i32, expire: i32) -> Date {
    let day = |days: i32| day_of(world.broker.clock.now() + DAY * days);
    let text = &world.broker.policy_text;
    world.broker.enforce(&format!(
        "{text}sunset = {{ announced = {}, without_mfa_context_expire = {} }}\n",
        day(announced),
        day(expire)
    ));
    day(expire)
}

#[actix_web::test]
async fn a_key_without_mfa_ends_thirty_days_after_its_own_notice_and_another_does_not() {
    let world = world().await;
    let mut git = Person::of(&world, &Login::new("github", "ann-mfa")).await;
    let weak = git.make("").await;
    let mut ann = Person::of(&world, &oidc()).await;
    let strong = ann.make("").await;

    announce(&world, -10, 25);
    let notice = told(&world, &weak, &[]).await["api_key"]["notice"].clone();
    let text = notice["text"].as_str().expect("a notice");
    assert!(
        text.contains("`build server` ends on") && text.contains("/account/keys"),
        "{text}"
    );
    assert!(told(&world, &strong, &[]).await["api_key"]["notice"].is_null());
    // A service that asks was told, its owner was not: nothing ends.
    pass(&world, 26);
    assert_eq!(publishes(&world, &weak, "any").await, "yes");
    // Its owner sees the page, and has thirty days.
    let mut git = Person::of(&world, &Login::new("github", "ann-mfa")).await;
    let last = day_of(world.broker.clock.now() + DAY * 30);
    let page = git.page().await;
    assert!(
        page.body.contains(&format!("ends on {last}")),
        "{}",
        page.body
    );
    let lines = world.broker.audit_lines(&["api-key-owner-told"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    pass(&world, 29);
    assert_eq!(publishes(&world, &weak, "any").await, "yes");
    pass(&world, 1);
    assert_eq!(publishes(&world, &weak, "any").await, "api-key-ended");
    assert_eq!(publishes(&world, &strong, "any").await, "yes");
}

#[actix_web::test]
async fn an_end_that_is_brought_forward_is_told_anew() {
    let world = world().await;
    let mut git = Person::of(&world, &Login::new("github", "ann-mfa")).await;
    let weak = git.make("").await;
    let late = announce(&world, -1, 80);
    assert!(git.page().await.body.contains(&late.to_string()));
    // The file is changed: what the owner was told stands until they are told anew.
    announce(&world, -5, 31);
    pass(&world, 40);
    assert_eq!(publishes(&world, &weak, "any").await, "yes");
    let mut git = Person::of(&world, &Login::new("github", "ann-mfa")).await;
    let sooner = day_of(world.broker.clock.now() + DAY * 30).to_string();
    let page = git.page().await;
    assert!(
        page.body.contains(&format!("ends on {sooner}")),
        "{}",
        page.body
    );
    assert_eq!(world.broker.audit_lines(&["api-key-owner-told"]).len(), 2);
    pass(&world, 30);
    assert_eq!(publishes(&world, &weak, "any").await, "api-key-ended");
}
