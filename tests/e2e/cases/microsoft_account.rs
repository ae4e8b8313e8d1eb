//! Microsoft personal accounts: `acr` in the ID token of the front channel is all the evidence there is.

use countersign_dev_idp::entra::{
    AcrLegs, CONTOSO, Honour, MICROSOFT_ACCOUNTS, OptionalClaim, TokenVersion,
};
use countersign_dev_idp::{Behaviour, Edit, Signing};
use countersign_tests::Login;
use serde_json::json;

use super::end::{ABSENT, CONTRADICTORY, MALFORMED, NO, OK, UNKNOWN};
use super::{ALL_CLAIMS, Cases, Channel, Row, SHAPES, in_both, twice, unread, usual};

const MFA: &str = "urn:microsoft:policies:mfa";
const DEFAULT: &str = "urn:microsoft:policies:default";

fn mia() -> Login {
    Login::new("microsoft", "mia-mfa")
}

/// What both tokens of a hybrid login have in common.
const BOTH: [Row; 11] = [
    // claim    absent    7   ["other"]  {}  null true "other"
    ("iss", [NO; 7]),
    ("aud", [NO; 7]),
    ("azp", [OK, NO, NO, NO, NO, NO, NO]),
    ("exp", [NO; 7]),
    ("iat", [NO; 7]),
    ("nbf", [OK, OK, NO, NO, NO, NO, NO]),
    ("nonce", [NO; 7]),
    ("sub", [NO; 7]),
    ("tid", [NO; 7]),
    ("oid", [NO; 7]),
    ("ver", [NO; 7]),
];

/// Personal accounts have neither authentication contexts nor `amr`; a person's data is no evidence.
const UNREAD: [&str; 9] = [
    "acrs",
    "amr",
    "auth_time",
    "email",
    "name",
    "preferred_username",
    "xms_edov",
    "acct",
    "idp",
];

#[actix_web::test]
async fn each_claim_of_the_front_token_broken_one_at_a_time() {
    let cases = Cases::new().await;
    let own: [Row; 3] = [
        ("c_hash", [NO; 7]),
        ("at_hash", [OK; 7]), // the front channel has no access token that it could be of
        (
            "acr",
            [
                UNKNOWN, MALFORMED, MALFORMED, MALFORMED, MALFORMED, MALFORMED, ABSENT,
            ],
        ),
    ];
    let table = [&BOTH[..], &own, &unread(&UNREAD)].concat();
    cases
        .broken_claims(&mia(), Channel::Front, usual, &table)
        .await;
}

#[actix_web::test]
async fn each_claim_of_the_back_token_broken_one_at_a_time() {
    let cases = Cases::new().await;
    let own: [Row; 3] = [
        ("c_hash", [OK; 7]), // it came for the code, over TLS from the token endpoint
        ("at_hash", [OK, NO, NO, NO, NO, NO, NO]),
        (
            "acr",
            [
                OK,
                MALFORMED,
                MALFORMED,
                MALFORMED,
                MALFORMED,
                MALFORMED,
                CONTRADICTORY,
            ],
        ),
    ];
    let table = [&BOTH[..], &own, &unread(&UNREAD)].concat();
    cases
        .broken_claims(&mia(), Channel::Back, usual, &table)
        .await;
}

#[actix_web::test]
async fn without_acr_no_broken_claim_lets_anyone_in() {
    let cases = Cases::new().await;
    let no_acr = |behaviour: &mut Behaviour| behaviour.entra.acr_legs = AcrLegs::Neither;
    let claims = unread(&UNREAD).into_iter().chain(BOTH);
    let table: Vec<Row> = claims
        .map(|(claim, ends)| (claim, ends.map(|end| if end == OK { UNKNOWN } else { end })))
        .collect();
    for channel in [Channel::Front, Channel::Back] {
        cases.broken_claims(&mia(), channel, no_acr, &table).await;
    }
}

#[actix_web::test]
async fn acr_counts_from_either_token_and_the_two_must_agree() {
    let cases = Cases::new().await;
    let alone = [
        UNKNOWN, MALFORMED, MALFORMED, MALFORMED, MALFORMED, MALFORMED, ABSENT,
    ];
    let with_a_good_twin = [
        OK,
        MALFORMED,
        MALFORMED,
        MALFORMED,
        MALFORMED,
        MALFORMED,
        CONTRADICTORY,
    ];
    for (legs, front, back) in [
        (AcrLegs::FrontOnly, alone, with_a_good_twin),
        (AcrLegs::BackOnly, with_a_good_twin, alone),
        (AcrLegs::Both, with_a_good_twin, with_a_good_twin),
        (AcrLegs::Neither, alone, alone),
    ] {
        let turn = |behaviour: &mut Behaviour| behaviour.entra.acr_legs = legs;
        for (channel, ends) in [(Channel::Front, front), (Channel::Back, back)] {
            cases
                .broken_claims(&mia(), channel, turn, &[("acr", ends)])
                .await;
        }
    }
}

#[actix_web::test]
async fn a_claim_that_stands_twice_spoils_the_token() {
    let cases = Cases::new().await;
    for claim in ALL_CLAIMS {
        for channel in [Channel::Front, Channel::Back] {
            let turn = |behaviour: &mut Behaviour| {
                for edit in twice(claim) {
                    channel.edit(behaviour, edit);
                }
            };
            cases.check(claim, &mia(), turn, NO).await;
        }
    }
}

#[actix_web::test]
async fn acr_proves_mfa_by_exactly_the_value_of_the_policy() {
    let cases = Cases::new().await;
    for (acr, expected) in [
        (json!(MFA), OK),
        (json!(DEFAULT), ABSENT),
        (json!("URN:MICROSOFT:POLICIES:MFA"), ABSENT),
        (json!("urn:microsoft:policies:MFA"), ABSENT),
        (json!("urn:microsoft:policies:mfa "), ABSENT),
        (json!(" urn:microsoft:policies:mfa"), ABSENT),
        (json!(format!("{MFA} {DEFAULT}")), ABSENT),
        (json!("urn:microsoft:policies:mfa\u{0}"), ABSENT),
        (json!("urn:microsoft:policies:mfa2"), ABSENT),
        (json!("urn:microsoft:policies:other"), ABSENT),
        (json!("possessionorinherence"), ABSENT),
        (json!(""), ABSENT),
        (json!("1"), ABSENT),
        (json!(1), MALFORMED),
        (json!([MFA]), MALFORMED),
        (json!({ "value": MFA }), MALFORMED),
        (json!("m".repeat(257)), MALFORMED),
    ] {
        let turn =
            |behaviour: &mut Behaviour| behaviour.front.claims.push(Edit::set("acr", acr.clone()));
        cases
            .check(&format!("acr {acr}"), &mia(), turn, expected)
            .await;
    }
}

#[actix_web::test]
async fn nothing_but_acr_stands_for_a_second_factor() {
    let cases = Cases::new().await;
    let ben = Login::new("microsoft", "ben-password");
    for (claim, value) in [
        ("amr", json!(["pwd", "mfa"])),
        ("amr", json!("mfa")),
        ("acrs", json!(["c1"])),
        ("ACR", json!(MFA)),
        ("Acr", json!(MFA)),
        ("acr_values", json!(MFA)),
        ("two_factor_authentication", json!(true)),
    ] {
        let turn = in_both(Edit::set(claim, value.clone()));
        cases
            .check(&format!("{claim} {value}"), &ben, turn, ABSENT)
            .await;
    }
}

#[actix_web::test]
async fn the_shapes_of_a_personal_accounts_token() {
    let cases = Cases::new().await;
    let ignores_acr = |behaviour: &mut Behaviour| behaviour.entra.acr_values = Honour::Ignored;
    let no_acr = |behaviour: &mut Behaviour| behaviour.entra.acr_legs = AcrLegs::Neither;
    let version_1 = |behaviour: &mut Behaviour| behaviour.entra.token_version = TokenVersion::V1;
    let ben = Login::new("microsoft", "ben-password");
    cases.check("A: MFA was used", &mia(), usual, OK).await;
    cases.check("B: it was not", &ben, usual, ABSENT).await;
    cases
        .check(
            "B': acr_values is passed over",
            &mia(),
            ignores_acr,
            UNKNOWN,
        )
        .await;
    cases
        .check("B': acr is not emitted", &mia(), no_acr, UNKNOWN)
        .await;
    cases
        .check("H: a v1.0 token with amr", &mia(), version_1, NO)
        .await;
}

#[actix_web::test]
async fn optional_claims_neither_help_nor_harm() {
    let cases = Cases::new().await;
    for claim in [
        OptionalClaim::Acct,
        OptionalClaim::AuthTime,
        OptionalClaim::LoginHint,
        OptionalClaim::Sid,
        OptionalClaim::Upn,
        OptionalClaim::VerifiedPrimaryEmail,
        OptionalClaim::XmsEdov,
    ] {
        let name = format!("I: {claim:?}");
        let turn = |behaviour: &mut Behaviour| {
            behaviour.entra.optional_claims.insert(claim);
        };
        cases.check(&name, &mia(), turn, OK).await;
        let ben = Login::new("microsoft", "ben-password");
        cases.check(&name, &ben, turn, ABSENT).await;
    }
}

#[actix_web::test]
async fn the_tenant_of_a_personal_account_is_the_one_of_personal_accounts() {
    let cases = Cases::new().await;
    for (case, tid) in [
        ("upper case", MICROSOFT_ACCOUNTS.to_ascii_uppercase()),
        ("in braces", format!("{{{MICROSOFT_ACCOUNTS}}}")),
        ("with a space", format!("{MICROSOFT_ACCOUNTS} ")),
        ("an alias", "consumers".to_owned()),
    ] {
        cases
            .check(case, &mia(), in_both(Edit::set("tid", tid)), NO)
            .await;
    }
    let organization = in_both(Edit::set("tid", CONTOSO));
    let mismatch = "refused: tenant-mismatch";
    cases
        .check("an organization's", &mia(), organization, mismatch)
        .await;
}

#[actix_web::test]
async fn the_object_id_names_one_person_in_whatever_case() {
    let cases = Cases::new().await;
    let usual_account = cases.account(&mia(), usual).await;
    let upper = |behaviour: &mut Behaviour| {
        let account = behaviour.entra.account_mut("mia-mfa").expect("Mia");
        account.oid = account.oid.to_ascii_uppercase();
        for channel in [Channel::Front, Channel::Back] {
            // `sub` is made from the object id by the stand-in.
            channel.edit(behaviour, Edit::set("sub", "the-same"));
        }
    };
    assert_eq!(cases.account(&mia(), upper).await, usual_account);
    for oid in [
        "",
        "0ae45d63e22e4a60",
        "000000000000000000000ae45d63e22e4a60",
        "{00000000-0000-0000-0ae4-5d63e22e4a60}",
        "00000000-0000-0000-0ae4-5d63e22e4a60 ",
        "../../0000-0000-0ae4-5d63e22e4a60xxxx",
    ] {
        let turn = in_both(Edit::set("oid", oid));
        cases.check(&format!("oid `{oid}`"), &mia(), turn, NO).await;
    }
}

#[actix_web::test]
async fn a_personal_accounts_address_counts_as_verified_and_a_user_name_does_not() {
    let cases = Cases::new().await;
    let id = cases.tokens(&mia(), usual).await.id();
    assert_eq!(id["email"], json!("mia@outlook.example"));
    assert_eq!(id["email_verified"], json!(true));

    let no_email = |behaviour: &mut Behaviour| {
        behaviour.entra.account_mut("mia-mfa").expect("Mia").email = None;
    };
    let id = cases.tokens(&mia(), no_email).await.id();
    assert_eq!(id["email"], json!("mia@outlook.example"), "the user name");
    assert_eq!(id["email_verified"], json!(false));
}

#[actix_web::test]
async fn a_forged_signature_spoils_either_token() {
    let cases = Cases::new().await;
    for signing in [
        Signing::ForeignKey,
        Signing::Corrupted,
        Signing::AlgNone,
        Signing::ChangedAfterSigning,
    ] {
        for channel in [Channel::Front, Channel::Back] {
            let turn = |behaviour: &mut Behaviour| match channel {
                Channel::Front => behaviour.front.signing = signing,
                Channel::Back => behaviour.back.signing = signing,
            };
            cases.check(&format!("{signing:?}"), &mia(), turn, NO).await;
        }
    }
}

#[actix_web::test]
async fn the_first_leg_wishes_for_mfa_in_the_front_channel() {
    let cases = Cases::new().await;
    let asked = cases.asked(&mia(), usual).await;
    let [first] = asked.as_slice() else {
        panic!("one leg, not {}", asked.len());
    };
    assert_eq!(first.path, "/consumers/oauth2/v2.0/authorize");
    for (name, expected) in [
        ("response_type", "code id_token"),
        ("response_mode", "form_post"),
        ("scope", "openid profile email"),
        (
            "acr_values",
            "urn:microsoft:policies:mfa urn:microsoft:policies:default",
        ),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(first.param(name), Some(expected), "{name}");
    }
    for name in ["nonce", "state", "code_challenge"] {
        let value = first.param(name).unwrap_or_default();
        assert!(value.len() >= 43, "{name} holds 256 bits: {value}");
    }
    for name in ["claims", "amr_values", "prompt", "login_hint", "max_age"] {
        assert_eq!(first.param(name), None, "{name}");
    }
}

#[actix_web::test]
async fn the_step_up_demands_mfa_of_the_same_person() {
    let cases = Cases::new().await;
    let will = Login::new("microsoft", "will-when-asked").with("prompt", "select_account");
    let asked = cases.asked(&will, usual).await;
    let [first, second] = asked.as_slice() else {
        panic!("two legs, not {}", asked.len());
    };
    assert_eq!(first.param("prompt"), Some("select_account"));
    assert_eq!(first.param("login_hint"), None);
    assert_eq!(second.param("acr_values"), Some(MFA));
    assert_eq!(second.param("login_hint"), Some("will@outlook.example"));
    assert_eq!(second.param("prompt"), None);
    assert_eq!(second.param("claims"), None);
    for name in ["nonce", "state", "code_challenge"] {
        assert_ne!(first.param(name), second.param(name), "{name} is new");
    }
}

#[actix_web::test]
async fn a_step_up_ends_in_a_code_or_in_one_refusal() {
    let cases = Cases::new().await;
    for (account, expected) in [
        ("mia-mfa", "code"),
        ("will-when-asked", "code"),
        ("ella-enrols", "code"),
        ("omar-ignores", "refused: mfa-absent"),
        ("ben-password", "refused: step-up-declined"),
        ("max-switches", "refused: identity-changed"),
        ("carl-declines", "refused: provider-cancelled"),
        ("dora-cancels", "refused: provider-cancelled"),
    ] {
        let login = Login::new("microsoft", account);
        cases
            .check_to_the_end(account, &login, usual, expected)
            .await;
    }
    let mut ella = Login::new("microsoft", "ella-enrols");
    ella.enrol = "no";
    cases
        .check_to_the_end("not now", &ella, usual, "refused: step-up-declined")
        .await;
}

#[test]
fn every_shape_has_a_column() {
    assert_eq!(SHAPES.len(), BOTH[0].1.len());
}
