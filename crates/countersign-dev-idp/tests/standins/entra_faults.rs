//! Broken tokens: each fault does what its name says, on both legs.

use countersign_dev_idp::entra::{CONTOSO, FABRIKAM};
use countersign_dev_idp::{Behaviour, Edit, Signing};
use serde_json::json;

use crate::support::{Party, Read, is_signed_by, named_key, parts, payload};

const AUTHORIZE: &str = "/common/oauth2/v2.0/authorize";

/// Front and back token of a hybrid sign-in under this behaviour.
async fn tokens(party: &Party, change: impl FnOnce(&mut Behaviour)) -> [String; 2] {
    party.idp.control().reset();
    party.idp.control().set(change);
    let more = [("account", "ann-mfa"), ("response_type", "code id_token")];
    let answer = party.answer(AUTHORIZE, &more).await;
    let back = party
        .redeem("/common/oauth2/v2.0/token", &answer["code"], &[])
        .await
        .json_value()
        .await;
    [
        answer["id_token"].clone(),
        back["id_token"].as_str().unwrap().to_owned(),
    ]
}

async fn back_signed(party: &Party, signing: Signing) -> String {
    let [_, back] = tokens(party, |b| b.back.signing = signing).await;
    back
}

#[tokio::test]
async fn claims_are_set_removed_and_doubled_on_the_leg_that_is_named() {
    let party = Party::entra().await;
    let [front, back] = tokens(&party, |b| {
        b.front.claims = vec![Edit::remove("nonce"), Edit::set("c_hash", "wrong")];
        b.back.claims = vec![
            Edit::set("acr", json!(["urn:microsoft:policies:mfa"])),
            Edit::append("tid", FABRIKAM),
            Edit::prepend("TID", FABRIKAM),
        ];
    })
    .await;
    let (front, front_claims) = (payload(&front), parts(&front).1);
    assert!(!front.contains("nonce"));
    assert_eq!(front_claims["c_hash"], "wrong");
    let back = payload(&back);
    assert!(
        back.starts_with(&format!(r#"{{"TID":"{FABRIKAM}","#)),
        "{back}"
    );
    assert!(back.contains(&format!(r#""tid":"{CONTOSO}""#)), "{back}");
    assert!(
        back.ends_with(&format!(r#","tid":"{FABRIKAM}"}}"#)),
        "{back}"
    );
    assert!(
        back.contains(r#""acr":["urn:microsoft:policies:mfa"]"#),
        "{back}"
    );
}

#[tokio::test]
async fn edited_tokens_are_still_properly_signed() {
    let party = Party::entra().await;
    let [_, token] = tokens(&party, |b| {
        b.back.claims = vec![Edit::set("aud", "other")];
        b.back.header = vec![Edit::set("crit", json!(["exp"]))];
    })
    .await;
    let key = named_key(&token, &party.json("/common/discovery/v2.0/keys").await).unwrap();
    assert!(is_signed_by(&token, &key));
    assert_eq!(parts(&token).0["crit"], json!(["exp"]));
}

#[tokio::test]
async fn signatures_break_as_they_are_told() {
    let party = Party::entra().await;
    let keys = party.json("/common/discovery/v2.0/keys").await;
    let check = async |signing, alg: &str, holds: bool| {
        let token = back_signed(&party, signing).await;
        assert_eq!(parts(&token).0["alg"], alg, "{signing:?}");
        let key = named_key(&token, &keys).unwrap();
        assert_eq!(is_signed_by(&token, &key), holds, "{signing:?}");
    };
    check(Signing::Proper, "RS256", true).await;
    check(Signing::AlgNone, "none", false).await;
    check(Signing::Empty, "RS256", false).await;
    check(Signing::Corrupted, "RS256", false).await;
    check(Signing::ChangedAfterSigning, "RS256", false).await;
    check(Signing::ForeignKey, "RS256", false).await;
    check(Signing::Ps256, "PS256", false).await;
    check(Signing::Hs256PublicPem, "HS256", false).await;
    check(Signing::Hs256PublicBytes, "HS256", false).await;
    check(Signing::Hs256ClientSecret, "HS256", false).await;
    check(Signing::MsaKey, "RS256", true).await;
}

#[tokio::test]
async fn the_consumer_key_on_a_work_token_is_not_the_tenants() {
    let party = Party::entra().await;
    let keys = party.json("/common/discovery/v2.0/keys").await;
    let token = back_signed(&party, Signing::MsaKey).await;
    let key = named_key(&token, &keys).unwrap();
    assert!(!key["issuer"].as_str().unwrap().contains("{tenantid}"));
    assert_eq!(parts(&token).1["tid"], CONTOSO);
}

#[tokio::test]
async fn a_foreign_key_comes_with_its_own_recommendation() {
    let party = Party::entra().await;
    let foreign = party.json("/foreign/keys").await["keys"][0].clone();
    let header = async |signing| {
        let token = back_signed(&party, signing).await;
        assert!(is_signed_by(&token, &foreign), "{signing:?}");
        parts(&token).0
    };
    assert_eq!(header(Signing::ForeignKeyWithJwk).await["jwk"], foreign);
    assert_eq!(
        header(Signing::ForeignKeyWithX5c).await["x5c"],
        foreign["x5c"]
    );
    assert_eq!(
        header(Signing::ForeignKeyWithJku).await["jku"],
        party.url("/foreign/keys")
    );
}

#[tokio::test]
async fn hs256_is_keyed_with_what_a_careless_verifier_would_use() {
    use aws_lc_rs::hmac;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let party = Party::entra().await;
    let keys = party.json("/common/discovery/v2.0/keys").await;
    let token = back_signed(&party, Signing::Hs256PublicBytes).await;
    let modulus = named_key(&token, &keys).unwrap()["n"]
        .as_str()
        .unwrap()
        .to_owned();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &URL_SAFE_NO_PAD.decode(modulus).unwrap());
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    assert!(hmac::verify(&key, message.as_bytes(), &signature).is_ok());
}
