//! Entra and Microsoft accounts: discovery, tenants, evidence, errors.

use std::collections::BTreeSet;

use countersign_dev_idp::KeyPhase;
use countersign_dev_idp::entra::{
    ACR_DEFAULT, ACR_MFA, AcrLegs, AcrsShape, CONTOSO, ContextIssue, FABRIKAM,
    FrontChannelIdTokens, Honour, MICROSOFT_ACCOUNTS, OptionalClaim, TokenError, TokenVersion,
};
use serde_json::{Value, json};

use crate::support::{NOW, Params, Party, Read, context, is_signed_by, named_key, parts};

const COMMON: &str = "/common/oauth2/v2.0/authorize";
const TOKEN: &str = "/common/oauth2/v2.0/token";
const HYBRID: [(&str, &str); 2] = [
    ("response_type", "code id_token"),
    ("response_mode", "form_post"),
];
const MFA_ONLY: (&str, &str) = ("acr_values", ACR_MFA);
const EITHER: (&str, &str) = (
    "acr_values",
    "urn:microsoft:policies:mfa urn:microsoft:policies:default",
);

fn authorize_at(realm: &str) -> String {
    format!("/{realm}/oauth2/v2.0/authorize")
}

async fn answer(party: &Party, account: &str, more: &[(&str, &str)]) -> Params {
    party
        .answer(COMMON, &[more, &[("account", account)]].concat())
        .await
}

async fn back_token(party: &Party, answer: &Params) -> String {
    let code = answer.get("code").unwrap_or_else(|| panic!("{answer:?}"));
    let tokens = party.redeem(TOKEN, code, &[]).await.json_value().await;
    tokens["id_token"]
        .as_str()
        .unwrap_or_else(|| panic!("{tokens}"))
        .to_owned()
}

/// The claims of the token from the token endpoint.
async fn claims(party: &Party, account: &str, more: &[(&str, &str)]) -> Value {
    parts(&back_token(party, &answer(party, account, more).await).await).1
}

/// The claims of both tokens of a hybrid sign-in.
async fn both(party: &Party, account: &str, more: &[(&str, &str)]) -> [Value; 2] {
    let answer = answer(party, account, &[more, &HYBRID].concat()).await;
    let back = back_token(party, &answer).await;
    [parts(&answer["id_token"]).1, parts(&back).1]
}

#[tokio::test]
async fn discovery_has_the_members_of_microsofts_own_and_the_issuer_of_the_realm() {
    let party = Party::entra().await;
    let base = party.idp.base_url();
    let tenant = |tid| format!("{base}/{tid}/v2.0");
    let check = async |realm: &str, issuer: String| {
        let document = party
            .json(&format!("/{realm}/v2.0/.well-known/openid-configuration"))
            .await;
        assert_eq!(document["issuer"], issuer, "{realm}");
        let names: Vec<&str> = document
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        // As published at /common/v2.0, in alphabetical order.
        assert_eq!(
            names,
            [
                "authorization_endpoint",
                "claims_supported",
                "cloud_graph_host_name",
                "cloud_instance_name",
                "device_authorization_endpoint",
                "end_session_endpoint",
                "frontchannel_logout_supported",
                "http_logout_supported",
                "id_token_signing_alg_values_supported",
                "issuer",
                "jwks_uri",
                "kerberos_endpoint",
                "msgraph_host",
                "rbac_url",
                "request_uri_parameter_supported",
                "response_modes_supported",
                "response_types_supported",
                "scopes_supported",
                "subject_types_supported",
                "tenant_region_scope",
                "token_endpoint",
                "token_endpoint_auth_methods_supported",
                "userinfo_endpoint",
            ]
        );
    };
    check("common", tenant("{tenantid}")).await;
    check("organizations", tenant("{tenantid}")).await;
    check("consumers", tenant(MICROSOFT_ACCOUNTS)).await;
    check(MICROSOFT_ACCOUNTS, tenant(MICROSOFT_ACCOUNTS)).await;
    check(CONTOSO, tenant(CONTOSO)).await;
    check("fabrikam.onmicrosoft.com", tenant(FABRIKAM)).await;
    let unknown = party
        .fetch("/nowhere.example/v2.0/.well-known/openid-configuration")
        .await;
    assert_eq!(unknown.status(), 400);
    assert_eq!(unknown.json_value().await["error"], "invalid_tenant");
}

#[tokio::test]
async fn the_key_set_is_shaped_like_microsofts() {
    let party = Party::entra().await;
    let keys = party.json("/common/discovery/v2.0/keys").await;
    let keys = keys["keys"].as_array().unwrap();
    let issued_by = |tenant: &str| {
        let issuer = format!("{}/{tenant}/v2.0", party.idp.base_url());
        keys.iter().filter(|key| key["issuer"] == issuer).count()
    };
    assert_eq!(
        (
            keys.len(),
            issued_by("{tenantid}"),
            issued_by(MICROSOFT_ACCOUNTS)
        ),
        (10, 7, 3)
    );
    for key in keys {
        let names: Vec<&str> = key
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            names,
            ["e", "issuer", "kid", "kty", "n", "use", "x5c", "x5t"]
        );
        assert_eq!(key["kid"], key["x5t"]);
        assert!(key["x5c"][0].as_str().unwrap().starts_with("MII"));
    }
}

#[tokio::test]
async fn work_tokens_are_signed_with_a_shared_key_and_personal_ones_with_their_own() {
    let party = Party::entra().await;
    let keys = party.json("/common/discovery/v2.0/keys").await;
    let check = async |account, tenant: &str| {
        let token = back_token(&party, &answer(&party, account, &[]).await).await;
        let key = named_key(&token, &keys).unwrap();
        assert!(is_signed_by(&token, &key));
        assert_eq!(
            key["issuer"],
            format!("{}/{tenant}/v2.0", party.idp.base_url())
        );
    };
    check("ann-mfa", "{tenantid}").await;
    check("mia-mfa", MICROSOFT_ACCOUNTS).await;
}

#[tokio::test]
async fn keys_roll() {
    let party = Party::entra().await;
    let old = back_token(&party, &answer(&party, "ann-mfa", &[]).await).await;
    party.idp.control().set(|b| b.keys = KeyPhase::OldRemoved);
    let new = back_token(&party, &answer(&party, "ann-mfa", &[]).await).await;
    let keys = party.json("/common/discovery/v2.0/keys").await;
    assert!(named_key(&old, &keys).is_none());
    assert!(is_signed_by(&new, &named_key(&new, &keys).unwrap()));
}

#[tokio::test]
async fn a_work_token_without_demands_is_shape_c() {
    let party = Party::entra().await;
    let claims = claims(&party, "ann-mfa", &[]).await;
    let names: Vec<&str> = claims
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        names,
        [
            "aio",
            "aud",
            "email",
            "exp",
            "iat",
            "iss",
            "name",
            "nbf",
            "nonce",
            "oid",
            "preferred_username",
            "rh",
            "sub",
            "tid",
            "uti",
            "ver",
        ]
    );
    assert_eq!(
        claims["iss"],
        format!("{}/{CONTOSO}/v2.0", party.idp.base_url())
    );
    assert_eq!(
        (&claims["ver"], &claims["exp"]),
        (&json!("2.0"), &json!(NOW + 3900))
    );
    let mut other = self::claims(&party, "bob-password", &[]).await;
    for name in [
        "aio",
        "uti",
        "sub",
        "oid",
        "name",
        "email",
        "preferred_username",
    ] {
        other[name] = claims[name].clone();
    }
    assert_eq!(other, claims, "with and without a second factor are alike");
}

#[tokio::test]
async fn a_personal_token_has_the_consumer_tenant_and_a_day() {
    let party = Party::entra().await;
    let claims = claims(&party, "mia-mfa", &[]).await;
    assert_eq!(claims["tid"], MICROSOFT_ACCOUNTS);
    assert_eq!(claims["oid"], "00000000-0000-0000-0ae4-5d63e22e0015");
    assert_eq!(claims["exp"], NOW + 86_700);
    assert_eq!(claims["acr"], Value::Null);
}

#[tokio::test]
async fn acr_stands_in_the_tokens_it_was_told_to() {
    let party = Party::entra().await;
    let check = async |legs, front: Value, back: Value| {
        party.idp.control().set(|b| b.entra.acr_legs = legs);
        for account in ["ann-mfa", "mia-mfa"] {
            let [front_claims, back_claims] = both(&party, account, &[MFA_ONLY]).await;
            assert_eq!(
                (&front_claims["acr"], &back_claims["acr"]),
                (&front, &back),
                "{account} {legs:?}"
            );
        }
    };
    check(AcrLegs::FrontOnly, json!(ACR_MFA), Value::Null).await;
    check(AcrLegs::BackOnly, Value::Null, json!(ACR_MFA)).await;
    check(AcrLegs::Both, json!(ACR_MFA), json!(ACR_MFA)).await;
    check(AcrLegs::Neither, Value::Null, Value::Null).await;
}

#[tokio::test]
async fn acr_says_which_policy_was_met() {
    let party = Party::entra().await;
    party
        .idp
        .control()
        .set(|b| b.entra.acr_legs = AcrLegs::Both);
    let check = async |account, more: &[(&str, &str)], acr: Value| {
        assert_eq!(
            claims(&party, account, more).await["acr"],
            acr,
            "{account} {more:?}"
        );
    };
    check("ann-mfa", &[], Value::Null).await;
    check("ann-mfa", &[EITHER], json!(ACR_MFA)).await;
    check("bob-password", &[EITHER], json!(ACR_DEFAULT)).await;
    check("ben-password", &[EITHER], json!(ACR_DEFAULT)).await;
    check("wes-when-asked", &[EITHER], json!(ACR_DEFAULT)).await;
    check("wes-when-asked", &[MFA_ONLY], json!(ACR_MFA)).await;
    check("olaf-ignores", &[MFA_ONLY], json!(ACR_DEFAULT)).await;
    party
        .idp
        .control()
        .set(|b| b.entra.acr_values = Honour::Ignored);
    check("ann-mfa", &[MFA_ONLY], Value::Null).await;
}

#[tokio::test]
async fn contexts_are_issued_by_the_tenants_policy() {
    let party = Party::entra().await;
    let check = async |account, name: &str, acrs: Value| {
        let asked = context(name);
        let claims = claims(&party, account, &[("claims", &asked)]).await;
        assert_eq!(claims["acrs"], acrs, "{account} {name}");
    };
    check("ann-mfa", "c1", json!(["c1"])).await;
    check("bob-password", "c2", json!(["c2"])).await;
    check("olaf-ignores", "c1", Value::Null).await;
    check("finn-fabrikam", "c1", json!(["c1"])).await;
    check("mia-mfa", "c1", Value::Null).await;
    party
        .idp
        .control()
        .set(|b| b.entra.contexts = ContextIssue::Opportunistic);
    check("ann-mfa", "c9", json!(["c1", "c2", "c9"])).await;
    party.idp.control().set(|b| {
        b.entra.contexts = ContextIssue::OnlyRequested;
        b.entra.acrs_shape = AcrsShape::String;
    });
    check("ann-mfa", "c1", json!("c1")).await;
}

#[tokio::test]
async fn a_context_that_blocks_stays_on_microsofts_page() {
    let party = Party::entra().await;
    let asked = context("c3");
    let page = party
        .ask(COMMON, &[("account", "ann-mfa"), ("claims", &asked)])
        .await;
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains("AADSTS53003"));
}

#[tokio::test]
async fn without_a_second_factor_a_demand_can_only_be_cancelled() {
    let party = Party::entra().await;
    for account in ["bob-password", "ben-password"] {
        let answer = answer(&party, account, &[MFA_ONLY]).await;
        assert_eq!(
            (answer["error"].as_str(), answer["error_subcode"].as_str()),
            ("access_denied", "cancel")
        );
    }
    let walk = [("account", "bob-password"), ("from_page", "1"), MFA_ONLY];
    let page = party.ask(COMMON, &walk).await.text().await.unwrap();
    assert!(page.contains("A second factor is needed"), "{page}");
    let gave_up = party
        .answer(COMMON, &[walk.as_slice(), &[("give_up", "yes")]].concat())
        .await;
    assert_eq!(gave_up["error"], "access_denied");
}

#[tokio::test]
async fn enrolment_happens_on_the_way() {
    let party = Party::entra().await;
    party
        .idp
        .control()
        .set(|b| b.entra.acr_legs = AcrLegs::Both);
    for account in ["eve-enrols", "ella-enrols"] {
        assert_eq!(claims(&party, account, &[EITHER]).await["acr"], ACR_DEFAULT);
        let page = party
            .ask(COMMON, &[("account", account), MFA_ONLY])
            .await
            .text()
            .await
            .unwrap();
        assert!(
            page.contains("choice-yes") && page.contains("choice-no"),
            "{page}"
        );
        let declined = answer(&party, account, &[MFA_ONLY, ("enrol", "no")]).await;
        assert_eq!(declined["error"], "access_denied");
        assert_eq!(
            claims(&party, account, &[MFA_ONLY, ("enrol", "yes")]).await["acr"],
            ACR_MFA
        );
        assert_eq!(claims(&party, account, &[EITHER]).await["acr"], ACR_MFA);
    }
}

#[tokio::test]
async fn the_account_can_change_on_step_up() {
    let party = Party::entra().await;
    for (account, other) in [("mallory-switches", "ann-mfa"), ("max-switches", "mia-mfa")] {
        let before = claims(&party, account, &[EITHER]).await;
        let after = claims(&party, account, &[MFA_ONLY]).await;
        assert_ne!(before["oid"], after["oid"]);
        assert_eq!(after["oid"], claims(&party, other, &[]).await["oid"]);
    }
}

#[tokio::test]
async fn a_hybrid_answer_carries_the_hash_of_its_code() {
    let party = Party::entra().await;
    let answer = answer(&party, "ann-mfa", &HYBRID).await;
    assert_eq!(answer["state"], "a state & more");
    let claims = parts(&answer["id_token"]).1;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, answer["code"].as_bytes());
    let half = base64::Engine::encode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        &digest.as_ref()[..16],
    );
    assert_eq!(claims["c_hash"], half);
    let back = parts(&back_token(&party, &answer).await).1;
    assert_eq!(back["sub"], claims["sub"]);
    assert_eq!(back.get("c_hash"), None);
}

#[tokio::test]
async fn each_response_mode_carries_the_answer() {
    let party = Party::entra().await;
    let location = async |more: &[(&str, &str)]| {
        let answer = party
            .ask(COMMON, &[more, &[("account", "ann-mfa")]].concat())
            .await;
        answer
            .headers()
            .get("location")
            .map(|location| location.to_str().unwrap().to_owned())
    };
    assert!(location(&[]).await.unwrap().contains("/callback?code="));
    assert!(
        location(&[("response_type", "id_token")])
            .await
            .unwrap()
            .contains("/callback#id_token=")
    );
    assert!(
        location(&[("response_mode", "fragment")])
            .await
            .unwrap()
            .contains("/callback#code=")
    );
    assert_eq!(location(&[("response_mode", "form_post")]).await, None);
}

#[tokio::test]
async fn requests_that_microsoft_does_not_serve_come_back_as_errors() {
    let party = Party::entra().await;
    let check = async |more: &[(&str, &str)], error: &str, code: &str| {
        let answer = answer(&party, "ann-mfa", more).await;
        assert_eq!(answer["error"], error, "{more:?}");
        assert!(
            answer["error_description"].starts_with(&format!("AADSTS{code}: ")),
            "{answer:?}"
        );
        assert!(
            answer["error_description"].contains("\r\nTrace ID: "),
            "{answer:?}"
        );
    };
    check(&[("amr_values", "ngcmfa")], "invalid_request", "901002").await;
    check(
        &[("response_type", "token")],
        "unsupported_response_type",
        "700051",
    )
    .await;
    check(
        &[("response_type", "id_token"), ("nonce", "")],
        "invalid_request",
        "90014",
    )
    .await;
    check(
        &[
            ("response_type", "code id_token"),
            ("response_mode", "query"),
        ],
        "invalid_request",
        "70007",
    )
    .await;
    party
        .idp
        .control()
        .set(|b| b.entra.front_channel_id_tokens = FrontChannelIdTokens::Disabled);
    check(
        &[("response_type", "code id_token")],
        "unsupported_response_type",
        "700054",
    )
    .await;
}

#[tokio::test]
async fn people_and_policies_say_no_in_microsofts_words() {
    let party = Party::entra().await;
    let cancelled = answer(&party, "dana-cancels", &[]).await;
    assert_eq!(
        cancelled.keys().collect::<Vec<_>>(),
        ["error", "error_subcode", "state"]
    );
    let declined = answer(&party, "cleo-declines", &[]).await;
    assert_eq!(declined["error"], "access_denied");
    assert!(
        declined["error_description"].ends_with("Timestamp: 2026-01-01 00:00:00Z"),
        "{declined:?}"
    );
    assert_eq!(
        declined["error_uri"],
        "https://login.microsoftonline.com/error?code=65004"
    );
    assert!(answer(&party, "ulf-unmanaged", &[]).await["error_description"].contains("unmanaged"));
    assert!(answer(&party, "fritz-fails", &[]).await["error_description"].contains("<script>"));
    for (account, code) in [
        ("paul-blocked", "AADSTS53003"),
        ("fiona-fails", "AADSTS500121"),
    ] {
        let page = party
            .ask(COMMON, &[("account", account)])
            .await
            .text()
            .await
            .unwrap();
        assert!(page.contains(code), "{page}");
    }
}

#[tokio::test]
async fn a_silent_request_is_answered_without_a_page() {
    let party = Party::entra().await;
    let silent = ("prompt", "none");
    let nobody = party.answer(COMMON, &[silent]).await;
    assert_eq!(nobody["error"], "login_required");
    assert!(nobody["error_description"].starts_with("AADSTS50058"));
    for (account, code) in [
        ("bob-password", "AADSTS50076"),
        ("eve-enrols", "AADSTS50079"),
    ] {
        let answer = answer(&party, account, &[silent, MFA_ONLY]).await;
        assert_eq!(answer["error"], "interaction_required");
        assert!(answer["error_description"].starts_with(code), "{answer:?}");
        assert_eq!(answer["suberror"], "basic_action");
        let claims: Value = serde_json::from_str(&answer["claims"]).unwrap();
        assert_eq!(claims["access_token"]["capolids"]["essential"], true);
    }
    let consent = answer(&party, "cleo-declines", &[silent]).await;
    assert_eq!(consent["error"], "consent_required");
    assert!(
        answer(&party, "ann-mfa", &[silent])
            .await
            .contains_key("code")
    );
}

#[tokio::test]
async fn realms_let_in_their_own() {
    let party = Party::entra().await;
    let check = async |realm: &str, account, tid: Option<&str>| {
        let answer = party
            .ask(&authorize_at(realm), &[("account", account)])
            .await;
        assert_eq!(answer.status() == 302, tid.is_some(), "{realm} {account}");
        if let Some(tid) = tid {
            let answer = crate::support::arrived(answer).await;
            let token = back_token(&party, &answer).await;
            assert_eq!(parts(&token).1["tid"], tid, "{realm} {account}");
        }
    };
    check("common", "mia-mfa", Some(MICROSOFT_ACCOUNTS)).await;
    check("organizations", "ann-mfa", Some(CONTOSO)).await;
    check("organizations", "mia-mfa", None).await;
    check("consumers", "mia-mfa", Some(MICROSOFT_ACCOUNTS)).await;
    check("consumers", "ann-mfa", None).await;
    check(FABRIKAM, "ann-mfa", None).await;
    check("contoso.onmicrosoft.com", "gus-guest", Some(CONTOSO)).await;
    check("common", "gus-guest", Some(FABRIKAM)).await;
}

#[tokio::test]
async fn guests_show_at_the_tenanted_endpoint_alone() {
    let party = Party::entra().await;
    party.idp.control().set(|b| {
        b.entra.optional_claims = BTreeSet::from([OptionalClaim::Acct, OptionalClaim::Upn]);
    });
    let check = async |account, idp: &str| {
        let at_home = claims(&party, account, &[]).await;
        let answer = party
            .answer(&authorize_at(CONTOSO), &[("account", account)])
            .await;
        let abroad = parts(&back_token(&party, &answer).await).1;
        assert_eq!((&abroad["idp"], &abroad["acct"]), (&json!(idp), &json!(1)));
        assert_eq!(
            (&at_home["idp"], &at_home["acct"]),
            (&Value::Null, &json!(0))
        );
        assert_ne!(abroad["oid"], at_home["oid"]);
        assert!(
            abroad["upn"].as_str().unwrap().contains("#EXT#@"),
            "{abroad}"
        );
    };
    check("gus-guest", &format!("https://sts.windows.net/{FABRIKAM}/")).await;
    check("gail-guest", "live.com").await;
}

#[tokio::test]
async fn optional_claims_come_when_registered() {
    let party = Party::entra().await;
    party.idp.control().set(|b| {
        use OptionalClaim::{AuthTime, LoginHint, Sid, VerifiedPrimaryEmail, XmsEdov};
        b.entra.optional_claims =
            BTreeSet::from([AuthTime, LoginHint, Sid, VerifiedPrimaryEmail, XmsEdov]);
    });
    let ann = claims(&party, "ann-mfa", &[]).await;
    assert_eq!(
        (&ann["auth_time"], &ann["xms_edov"]),
        (&json!(NOW - 20), &json!(true))
    );
    assert_eq!(
        ann["verified_primary_email"],
        json!(["ann@contoso.example"])
    );
    assert!(ann["sid"].is_string() && ann["login_hint"].is_string());
    let nora = claims(&party, "nora-noauth", &[]).await;
    assert_eq!(
        (&nora["email"], &nora["xms_edov"]),
        (&ann["email"], &json!(false))
    );
    assert_ne!(nora["tid"], ann["tid"]);
    for variant in [Some(json!("1")), Some(json!("0")), None] {
        let expected = variant.clone().unwrap_or(Value::Null);
        party.idp.control().set(|b| {
            b.entra
                .account_mut("ann-mfa")
                .unwrap()
                .email_domain_owner_verified = variant;
        });
        assert_eq!(claims(&party, "ann-mfa", &[]).await["xms_edov"], expected);
    }
}

#[tokio::test]
async fn scopes_decide_who_is_shown() {
    let party = Party::entra().await;
    let bare = claims(&party, "ann-mfa", &[("scope", "openid")]).await;
    assert_eq!(
        (bare.get("oid"), bare.get("email"), bare.get("name")),
        (None, None, None)
    );
    assert_eq!(claims(&party, "ned-no-email", &[]).await.get("email"), None);
}

#[tokio::test]
async fn max_age_shows_auth_time_and_shortens_the_token() {
    let party = Party::entra().await;
    let check = async |more: &[(&str, &str)], auth_time: Value, exp: i64| {
        let claims = claims(&party, "ann-mfa", more).await;
        assert_eq!(
            (&claims["auth_time"], &claims["exp"]),
            (&auth_time, &json!(exp)),
            "{more:?}"
        );
    };
    check(&[("max_age", "600")], json!(NOW - 20), NOW + 580).await;
    check(&[("max_age", "10")], json!(NOW), NOW + 10).await;
    check(
        &[("max_age", "600"), ("prompt", "login")],
        json!(NOW),
        NOW + 600,
    )
    .await;
    party
        .idp
        .control()
        .set(|b| b.entra.max_age = Honour::Ignored);
    check(&[("max_age", "600")], Value::Null, NOW + 3900).await;
}

#[tokio::test]
async fn the_clock_can_be_ahead() {
    let party = Party::entra().await;
    party.idp.control().set(|b| b.clock_skew = 120);
    assert_eq!(claims(&party, "ann-mfa", &[]).await["nbf"], NOW + 120);
}

#[tokio::test]
async fn version_1_tokens_have_amr_and_another_issuer() {
    let party = Party::entra().await;
    party
        .idp
        .control()
        .set(|b| b.entra.token_version = TokenVersion::V1);
    let ann = claims(&party, "ann-mfa", &[]).await;
    assert_eq!(
        (&ann["ver"], &ann["amr"]),
        (&json!("1.0"), &json!(["pwd", "mfa"]))
    );
    assert_eq!(ann["iss"], format!("https://sts.windows.net/{CONTOSO}/"));
    assert_eq!(
        claims(&party, "bob-password", &[]).await["amr"],
        json!(["pwd"])
    );
}

#[tokio::test]
async fn the_token_endpoint_refuses_in_microsofts_json() {
    let party = Party::entra().await;
    let check = async |more: &[(&str, &str)], status: u16, error: &str, code: u32| {
        let answer = answer(&party, "ann-mfa", &[]).await;
        let refused = party.redeem(TOKEN, &answer["code"], more).await;
        assert_eq!(refused.status(), status, "{more:?}");
        let body = refused.json_value().await;
        assert_eq!(
            (&body["error"], &body["error_codes"]),
            (&json!(error), &json!([code])),
            "{more:?}"
        );
        assert!(
            body["error_description"]
                .as_str()
                .unwrap()
                .contains("\r\nCorrelation ID: ")
        );
    };
    check(
        &[("client_secret", "wrong")],
        401,
        "invalid_client",
        7_000_215,
    )
    .await;
    check(
        &[("client_id", "wrong")],
        400,
        "unauthorized_client",
        700_016,
    )
    .await;
    check(&[("code_verifier", "wrong")], 400, "invalid_grant", 501_481).await;
    check(&[("code", "wrong")], 400, "invalid_grant", 9_002_313).await;
    check(
        &[("redirect_uri", "http://127.0.0.1:9/other")],
        400,
        "invalid_grant",
        500_112,
    )
    .await;
    check(
        &[("grant_type", "password")],
        400,
        "unsupported_grant_type",
        70003,
    )
    .await;

    let code = answer(&party, "ann-mfa", &[]).await["code"].clone();
    party.redeem(TOKEN, &code, &[]).await;
    let again = party.redeem(TOKEN, &code, &[]).await.json_value().await;
    assert_eq!(again["error_codes"], json!([54005]));
    let late = answer(&party, "ann-mfa", &[]).await["code"].clone();
    party.idp.control().set_clock(|| NOW + 600);
    assert_eq!(
        party.redeem(TOKEN, &late, &[]).await.json_value().await["error_codes"],
        json!([70008])
    );
}

#[tokio::test]
async fn the_token_endpoint_can_demand_interaction() {
    let party = Party::entra().await;
    let challenge = r#"{"access_token":{"capolids":{"essential":true,"values":["x"]}}}"#;
    party.idp.control().set(|b| {
        b.entra.token_error = Some(TokenError {
            error: "interaction_required".to_owned(),
            code: 50076,
            text: "You must use multi-factor authentication.".to_owned(),
            suberror: Some("basic_action".to_owned()),
            claims: Some(challenge.to_owned()),
        });
    });
    let code = answer(&party, "ann-mfa", &[]).await["code"].clone();
    let body = party.redeem(TOKEN, &code, &[]).await.json_value().await;
    assert_eq!(
        (&body["suberror"], &body["claims"]),
        (&json!("basic_action"), &json!(challenge))
    );
}

#[tokio::test]
async fn the_chooser_shows_those_who_may_sign_in_here() {
    let party = Party::entra().await;
    let page = async |realm: &str| {
        party
            .ask(
                &authorize_at(realm),
                &[("login_hint", "mia@outlook.example")],
            )
            .await
            .text()
            .await
            .unwrap()
    };
    let common = page("common").await;
    assert!(common.find("choice-mia-mfa") < common.find("choice-ann-mfa"));
    let consumers = page("consumers").await;
    assert!(consumers.contains("choice-mia-mfa") && !consumers.contains("choice-ann-mfa"));
    let contoso = page(CONTOSO).await;
    assert!(contoso.contains("choice-gus-guest") && !contoso.contains("choice-fay-fabrikam"));
}

#[tokio::test]
async fn sign_out_tells_the_applications_in_frames() {
    let party = Party::entra().await;
    party.idp.control().set(|b| {
        b.clients[0].front_channel_logout_uri = Some("http://127.0.0.1:9/front-logout".to_owned());
    });
    let page = party
        .fetch("/common/oauth2/v2.0/logout?sid=abc")
        .await
        .text()
        .await
        .unwrap();
    assert!(
        page.contains("http://127.0.0.1:9/front-logout?sid=abc&#38;iss="),
        "{page}"
    );
}
