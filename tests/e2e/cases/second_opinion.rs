//! A second opinion on ID tokens: whatever the verifier of the crate `openidconnect` refuses, ours refuses.
//!
//! Its verdict is on the very token that the broker then gets: the one that Microsoft's hybrid
//! flow brings through the browser.

use std::str::FromStr;

use countersign_dev_idp::entra::MICROSOFT_ACCOUNTS;
use countersign_dev_idp::{Behaviour, Client, Edit, Signing};
use countersign_tests::{Login, Page};
use openidconnect::core::{CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKeySet};
use openidconnect::{ClientId, IssuerUrl, Nonce};
use serde_json::{Value, json};
use url::Url;

use super::{Cases, Shape};

/// What the two made of one token.
#[derive(Debug, PartialEq, Eq)]
struct Verdicts {
    theirs: Verdict,
    ours: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Accepts,
    Refuses,
}

impl Verdict {
    fn accepts_if(accepted: bool) -> Self {
        if accepted {
            Self::Accepts
        } else {
            Self::Refuses
        }
    }
}

/// A sign-in at a stand-in that is turned so, with the second opinion on its front token.
async fn verdicts(cases: &Cases, turn: impl FnOnce(&mut Behaviour)) -> Verdicts {
    let login = Login::new("microsoft", "mia-mfa");
    let mut browser = cases.fresh.clone();
    let control = cases.stand_in(login.provider);
    control.set(turn);
    let left = browser.get(&cases.world.authorize_url(&login)).await;
    let nonce = left.sent_with("nonce").expect("a nonce");
    let mut to = left.location.expect("the provider");
    to.query_pairs_mut().append_pair("account", login.account);
    let page = browser.get(&to).await;
    let theirs = second_opinion(cases, &front_token(&page), nonce).await;
    let outcome = cases.world.go_on(&mut browser, page, &login).await;
    control.reset();
    Verdicts {
        theirs,
        ours: Verdict::accepts_if(outcome.summary() == "code"),
    }
}

fn front_token(page: &Page) -> String {
    let (_, fields) = page.form().expect("a form");
    let token = fields.into_iter().find(|(name, _)| name == "id_token");
    token.expect("an ID token").1
}

async fn second_opinion(cases: &Cases, token: &str, nonce: String) -> Verdict {
    let base = cases.world.entra.base_url();
    let keys = format!("{base}/consumers/discovery/v2.0/keys");
    let keys = Url::parse(&keys).expect("an address");
    let keys = cases.fresh.clone().get(&keys).await.body;
    let keys: CoreJsonWebKeySet = serde_json::from_str(&keys).expect("keys");
    let issuer = format!("{base}/{MICROSOFT_ACCOUNTS}/v2.0");
    let verifier = CoreIdTokenVerifier::new_public_client(
        ClientId::new(Client::DEVELOPMENT_ID.to_owned()),
        IssuerUrl::new(issuer).expect("an issuer"),
        keys,
    );
    let verified = CoreIdToken::from_str(token)
        .is_ok_and(|token| token.claims(&verifier, &Nonce::new(nonce)).is_ok());
    Verdict::accepts_if(verified)
}

fn claim(edit: Edit) -> impl FnOnce(&mut Behaviour) {
    move |behaviour| behaviour.front.claims.push(edit)
}

#[actix_web::test]
async fn both_accept_a_token_with_nothing_wrong() {
    let cases = Cases::new().await;
    let both = Verdicts {
        theirs: Verdict::Accepts,
        ours: Verdict::Accepts,
    };
    assert_eq!(verdicts(&cases, |_| {}).await, both);
}

#[actix_web::test]
async fn whatever_claim_it_refuses_ours_refuses() {
    let cases = Cases::new().await;
    let shapes = [
        Shape::Absent,
        Shape::Number,
        Shape::Array,
        Shape::Object,
        Shape::Null,
        Shape::Bool,
        Shape::OtherText,
    ];
    let mut refused = 0;
    for name in ["iss", "sub", "aud", "exp", "iat", "nonce", "acr"] {
        for shape in shapes {
            let verdicts = verdicts(&cases, claim(shape.applied_to(name))).await;
            if verdicts.theirs == Verdict::Refuses {
                refused += 1;
                assert_eq!(verdicts.ours, Verdict::Refuses, "`{name}` {}", shape.name());
            }
        }
    }
    assert!(
        refused >= 40,
        "it refused {refused} of 49: did it read the token?"
    );
}

#[actix_web::test]
async fn whatever_signature_or_header_it_refuses_ours_refuses() {
    let cases = Cases::new().await;
    for signing in [
        Signing::AlgNone,
        Signing::Empty,
        Signing::Corrupted,
        Signing::Hs256PublicPem,
        Signing::Hs256PublicBytes,
        Signing::Hs256ClientSecret,
        Signing::ForeignKey,
        Signing::ForeignKeyWithJwk,
        Signing::ForeignKeyWithX5c,
        Signing::ForeignKeyWithJku,
        Signing::Ps256,
        Signing::ChangedAfterSigning,
    ] {
        let turn = |behaviour: &mut Behaviour| behaviour.front.signing = signing;
        let both = Verdicts {
            theirs: Verdict::Refuses,
            ours: Verdict::Refuses,
        };
        assert_eq!(verdicts(&cases, turn).await, both, "{signing:?}");
    }
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("typ", json!("at+jwt")),
        ("typ", json!(7)),
        ("alg", json!("none")),
        ("alg", json!("RS257")),
        ("alg", Value::Null),
        ("kid", json!("another")),
        ("kid", json!(7)),
        ("cty", json!("JWT")),
    ] {
        let turn = |behaviour: &mut Behaviour| {
            behaviour.front.header.push(Edit::set(name, value.clone()));
        };
        let verdicts = verdicts(&cases, turn).await;
        assert!(
            verdicts.theirs == Verdict::Accepts || verdicts.ours == Verdict::Refuses,
            "{name} {value}: {verdicts:?}"
        );
    }
}

#[actix_web::test]
async fn whatever_time_or_audience_it_refuses_ours_refuses() {
    let cases = Cases::new().await;
    let ours = Client::DEVELOPMENT_ID;
    let now = cases.stand_in("microsoft").now();
    let refused = Verdicts {
        theirs: Verdict::Refuses,
        ours: Verdict::Refuses,
    };
    for (name, value) in [
        ("exp", json!(now - 90)),
        ("exp", json!(0)),
        ("exp", json!("4000000000")),
        ("aud", json!([ours, "other"])),
        ("aud", json!(["other", ours])),
        ("aud", json!([])),
        ("iss", json!("https://evil.example/")),
        (
            "iss",
            json!(format!(
                "{}/{MICROSOFT_ACCOUNTS}/v2.0/",
                cases.world.entra.base_url()
            )),
        ),
        ("nonce", json!("")),
    ] {
        let verdicts = verdicts(&cases, claim(Edit::set(name, value.clone()))).await;
        assert_eq!(verdicts, refused, "{name} {value}");
    }
}

#[actix_web::test]
async fn ours_refuses_what_it_never_looks_at() {
    let cases = Cases::new().await;
    let now = cases.stand_in("microsoft").now();
    let stricter = Verdicts {
        theirs: Verdict::Accepts,
        ours: Verdict::Refuses,
    };
    for (name, value) in [
        ("nbf", json!(now + 3_600)),
        ("iat", json!(now + 86_400)),
        ("azp", json!("other")),
        ("tid", json!("common")),
        ("ver", json!("1.0")),
        ("c_hash", json!("AAAAAAAAAAAAAAAAAAAAAA")),
    ] {
        let verdicts = verdicts(&cases, claim(Edit::set(name, value.clone()))).await;
        assert_eq!(verdicts, stricter, "{name} {value}");
    }
}

/// The exceptions, each with its reason; anything else that it refuses and ours takes is a fault.
#[actix_web::test]
async fn what_ours_takes_and_it_refuses_is_on_purpose() {
    let cases = Cases::new().await;
    let now = cases.stand_in("microsoft").now();
    let milder = Verdicts {
        theirs: Verdict::Refuses,
        ours: Verdict::Accepts,
    };
    for (name, value) in [
        ("exp", json!(now - 30)),              // within a minute of leeway
        ("amr", json!("mfa")),                 // not read here; some providers send one string
        ("email", json!(["ann@example.org"])), // not evidence: it is passed over
        ("auth_time", json!("yesterday")),     // no freshness was asked for
    ] {
        let verdicts = verdicts(&cases, claim(Edit::set(name, value.clone()))).await;
        assert_eq!(verdicts, milder, "{name} {value}");
    }
}
