//! Proof by an expression of the policy's, over claims that the provider signed.

use countersign_dev_idp::{Behaviour, Edit};
use countersign_tests::{Browser, Login, World};
use serde_json::{Value, json};

use super::end::{ABSENT, OK};
use super::{Cases, Channel};

/// The usual world, with a policy in which `mfa` proves too.
async fn cases() -> Cases {
    cases_of(r#"claims.mfa.by == "key""#).await
}

/// The usual world, with a policy in which this proves too.
async fn cases_of(expression: &str) -> Cases {
    let world = World::with(|setup| {
        for provider in ["[proof.microsoft]", "[proof.oidc]"] {
            let with_when = format!("{provider}\nwhen = '{expression}'\nlevel = \"mfa\"");
            setup.policy = setup.policy.replace(provider, &with_when);
        }
    });
    let world = world.await;
    world.share_clock();
    Cases {
        world,
        fresh: Browser::new(),
    }
}

fn sends(channel: Channel, mfa: Option<&Value>) -> impl Fn(&mut Behaviour) + use<> {
    let edit = mfa.map(|mfa| Edit::set("mfa", mfa.clone()));
    move |behaviour| {
        if let Some(edit) = &edit {
            channel.edit(behaviour, edit.clone());
        }
    }
}

#[actix_web::test]
async fn an_expression_proves_by_the_claims_of_the_id_token() {
    let cases = cases().await;
    let login = Login::new("oidc", "bob-password");
    for (mfa, expected) in [
        (None, ABSENT),
        (Some(json!({"by": "key"})), OK),
        (Some(json!({"by": "key", "at": 1})), OK),
        (Some(json!({"by": "sms"})), ABSENT),
        (Some(json!({"by": ["key"]})), ABSENT),
        (Some(json!("key")), ABSENT),
        (Some(json!(null)), ABSENT),
    ] {
        let turn = sends(Channel::Back, mfa.as_ref());
        cases
            .check(&format!("{mfa:?}"), &login, turn, expected)
            .await;
    }
}

#[actix_web::test]
async fn two_tokens_of_one_login_that_contradict_each_other_prove_nothing() {
    let cases = cases().await;
    let login = Login::new("microsoft", "ben-password");
    let key = json!({"by": "key"});
    let other = json!({"by": "key", "at": 1});
    for (front, back, expected) in [
        (None, None, ABSENT),
        (Some(&key), None, OK),
        (None, Some(&key), OK),
        (Some(&key), Some(&key), OK),
        (Some(&key), Some(&other), ABSENT),
        (Some(&key), Some(&Value::Null), ABSENT),
    ] {
        let turn = |behaviour: &mut Behaviour| {
            sends(Channel::Front, front)(behaviour);
            sends(Channel::Back, back)(behaviour);
        };
        let case = format!("{front:?} and {back:?}");
        cases.check(&case, &login, turn, expected).await;
    }
}

/// What can't be kept must not look absent to a guard.
#[actix_web::test]
async fn a_guard_is_not_passed_by_a_claim_that_was_sent_and_not_kept() {
    let cases = cases_of(r#"claims.mfa.by == "key" && !has(claims.weak)"#).await;
    let mfa = Edit::set("mfa", json!({"by": "key"}));
    let weak = |value: Value| Some(Edit::set("weak", value));
    let turn = |front: Option<Edit>, back: Option<Edit>| {
        let mfa = mfa.clone();
        move |behaviour: &mut Behaviour| {
            let edits = [
                (Channel::Back, Some(mfa.clone())),
                (Channel::Front, front.clone()),
                (Channel::Back, back.clone()),
            ];
            for (channel, edit) in edits {
                if let Some(edit) = edit {
                    channel.edit(behaviour, edit);
                }
            }
        }
    };
    let oidc = Login::new("oidc", "bob-password");
    let microsoft = Login::new("microsoft", "ben-password");
    let too_much = || weak(json!("x".repeat(17 * 1024)));
    for (case, login, front, back, expected) in [
        ("nothing of it", &oidc, None, None, OK),
        ("sent", &oidc, None, weak(json!(1)), ABSENT),
        ("too much", &oidc, None, too_much(), ABSENT),
        ("nothing of it", &microsoft, None, None, OK),
        ("sent", &microsoft, weak(json!(1)), None, ABSENT),
        ("torn", &microsoft, weak(json!(1)), weak(json!(2)), ABSENT),
    ] {
        let case = format!("{case} at {}", login.provider);
        cases.check(&case, login, turn(front, back), expected).await;
    }
}

#[actix_web::test]
async fn claims_that_no_cookie_holds_end_the_sign_in_with_a_reason() {
    let cases = cases().await;
    let login = Login::new("microsoft", "mia-mfa");
    let long = |length: usize| sends(Channel::Front, Some(&json!({"by": "x".repeat(length)})));
    cases.check("it fits", &login, long(200), OK).await;
    let refused = "refused: provider-answer-invalid";
    cases
        .check("it does not", &login, long(3_000), refused)
        .await;
}
