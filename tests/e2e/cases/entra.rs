//! Entra ID: `acr` as at personal accounts, or the authentication contexts that a tenant's admin attests.

use std::time::Duration;

use countersign_dev_idp::entra::{
    AcrLegs, AcrsShape, CONTOSO, ContextIssue, ContextPolicy, FABRIKAM, FrontChannelIdTokens,
    Honour, MICROSOFT_ACCOUNTS, OptionalClaim, TokenError, TokenVersion,
};
use countersign_dev_idp::{Behaviour, Document, Edit, Endpoint, KeyPhase, Signing, WireFault};
use countersign_tests::Login;
use serde_json::{Value, json};

use super::end::{ABSENT, CONTRADICTORY, MALFORMED, NO, OK, UNKNOWN, UNNAMED};
use super::{ALL_CLAIMS, Cases, Channel, Row, in_both, twice, unread, usual};

const HOUR: i64 = 3_600;
/// So much later nothing that was fetched before is used any more.
const NEXT_DAY: i64 = 25 * HOUR;

/// Ann at the provider for all organizations: hybrid flow, evidence by `acr`.
fn ann() -> Login {
    Login::new("entra", "ann-mfa")
}

/// Ann at the provider for her own: code flow, evidence by `acrs`.
fn ann_at_contoso() -> Login {
    Login::new("contoso", "ann-mfa")
}

fn no_acr(behaviour: &mut Behaviour) {
    behaviour.entra.acr_legs = AcrLegs::Neither;
}

fn opportunistic(behaviour: &mut Behaviour) {
    behaviour.entra.contexts = ContextIssue::Opportunistic;
}

/// What all tokens have in common.
const COMMON: [Row; 10] = [
    // claim    absent    7   ["other"]  {}  null true "other"
    ("iss", [NO; 7]),
    ("aud", [NO; 7]),
    ("azp", [OK, NO, NO, NO, NO, NO, NO]),
    ("exp", [NO; 7]),
    ("iat", [NO; 7]),
    ("nbf", [OK, OK, NO, NO, NO, NO, NO]),
    ("nonce", [NO; 7]),
    ("tid", [NO; 7]),
    ("oid", [NO; 7]),
    ("ver", [NO; 7]),
];

/// What is no evidence. Whether somebody is a guest is told apart and decides nothing yet.
const UNREAD: [&str; 9] = [
    "amr",
    "auth_time",
    "email",
    "name",
    "preferred_username",
    "xms_edov",
    "acct",
    "idp",
    "two_factor_authentication",
];

#[actix_web::test]
async fn each_claim_of_the_hybrid_flow_broken_one_at_a_time() {
    let cases = Cases::new().await;
    let acr_alone = [
        UNKNOWN, MALFORMED, MALFORMED, MALFORMED, MALFORMED, MALFORMED, ABSENT,
    ];
    let acr_twin = [
        OK,
        MALFORMED,
        MALFORMED,
        MALFORMED,
        MALFORMED,
        MALFORMED,
        CONTRADICTORY,
    ];
    let at_hash = [OK, NO, NO, NO, NO, NO, NO];
    for (channel, acr, c_hash, at_hash) in [
        (Channel::Front, acr_alone, [NO; 7], [OK; 7]),
        (Channel::Back, acr_twin, [OK; 7], at_hash),
    ] {
        let own: [Row; 5] = [
            ("sub", [NO; 7]), // it must be that of the other token
            ("acr", acr),
            ("acrs", [OK; 7]), // the session's proof stands beside whatever the tenant says
            ("c_hash", c_hash),
            ("at_hash", at_hash),
        ];
        let table = [&COMMON[..], &own, &unread(&UNREAD)].concat();
        cases.broken_claims(&ann(), channel, usual, &table).await;
    }
}

#[actix_web::test]
async fn each_claim_of_the_code_flow_broken_one_at_a_time() {
    let cases = Cases::new().await;
    let own: [Row; 5] = [
        ("sub", [NO, NO, NO, NO, NO, NO, OK]), // there is no other token to compare it with
        ("acr", [OK; 7]),                      // the policy reads `acrs` alone
        (
            "acrs",
            [
                UNKNOWN, MALFORMED, UNNAMED, MALFORMED, MALFORMED, MALFORMED, UNNAMED,
            ],
        ),
        ("c_hash", [OK; 7]),
        ("at_hash", [OK, NO, NO, NO, NO, NO, NO]),
    ];
    let table = [&COMMON[..], &own, &unread(&UNREAD)].concat();
    cases
        .broken_claims(&ann_at_contoso(), Channel::Back, usual, &table)
        .await;
}

#[actix_web::test]
async fn without_acr_no_broken_claim_lets_anyone_in() {
    let cases = Cases::new().await;
    let claims = unread(&UNREAD).into_iter().chain(COMMON);
    let acrs: Row = (
        "acrs",
        [
            UNKNOWN, MALFORMED, UNNAMED, MALFORMED, MALFORMED, MALFORMED, UNNAMED,
        ],
    );
    let table: Vec<Row> = claims
        .map(|(claim, ends)| (claim, ends.map(|end| if end == OK { UNKNOWN } else { end })))
        .chain([acrs])
        .collect();
    for channel in [Channel::Front, Channel::Back] {
        cases.broken_claims(&ann(), channel, no_acr, &table).await;
    }
}

#[actix_web::test]
async fn a_claim_that_stands_twice_spoils_the_token() {
    let cases = Cases::new().await;
    for claim in ALL_CLAIMS {
        for (login, channel) in [
            (ann(), Channel::Front),
            (ann(), Channel::Back),
            (ann_at_contoso(), Channel::Back),
        ] {
            let turn = |behaviour: &mut Behaviour| {
                for edit in twice(claim) {
                    channel.edit(behaviour, edit);
                }
            };
            cases.check(claim, &login, turn, NO).await;
        }
    }
}

// ---- whose token it is ---------------------------------------------------------------------

#[actix_web::test]
async fn a_tenant_is_a_lower_case_guid_and_nothing_else() {
    let cases = Cases::new().await;
    for tid in [
        "",
        "common",
        "organizations",
        "contoso.onmicrosoft.com",
        "{tenantid}",
        "11111111-1111-4111-8111-11111111111",
        "11111111-1111-4111-8111-1111111111111",
        "11111111-1111-4111-8111-11111111111G",
        "11111111-1111-4111-8111-111111111111 ",
        "11111111-1111-4111-8111-111111111111\n",
        "11111111111141118111111111111111",
        "{11111111-1111-4111-8111-111111111111}",
        "../11111111-1111-4111-8111-1111111111",
        "11111111-1111-4111-8111-111111111111/v2.0/..",
        "%31%31111111-1111-4111-8111-111111111111",
        "AAAAAAAA-1111-4111-8111-111111111111",
    ] {
        for login in [ann(), ann_at_contoso()] {
            let turn = in_both(Edit::set("tid", tid));
            cases.check(&format!("tid `{tid}`"), &login, turn, NO).await;
        }
    }
}

#[actix_web::test]
async fn several_spellings_of_the_tenant_are_none() {
    let cases = Cases::new().await;
    for (case, edits) in [
        ("TID after tid", vec![Edit::append("TID", FABRIKAM)]),
        ("TID before tid", vec![Edit::prepend("TID", FABRIKAM)]),
        ("the same in TID", vec![Edit::append("TID", CONTOSO)]),
        (
            "Tid and tiD",
            vec![Edit::append("Tid", CONTOSO), Edit::append("tiD", CONTOSO)],
        ),
        (
            "TID alone",
            vec![Edit::remove("tid"), Edit::append("TID", CONTOSO)],
        ),
        ("tid twice", vec![Edit::append("tid", FABRIKAM)]),
        (
            "tid twice, the other first",
            vec![Edit::prepend("tid", FABRIKAM)],
        ),
    ] {
        for channel in [Channel::Front, Channel::Back] {
            let turn = |behaviour: &mut Behaviour| {
                for edit in &edits {
                    channel.edit(behaviour, edit.clone());
                }
            };
            cases.check(case, &ann(), turn, NO).await;
        }
    }
}

#[actix_web::test]
async fn the_issuer_is_that_of_the_tenant_to_the_letter() {
    let cases = Cases::new().await;
    let base = cases.world.entra.base_url().to_owned();
    for iss in [
        format!("{base}/{FABRIKAM}/v2.0"),
        format!("{base}/{MICROSOFT_ACCOUNTS}/v2.0"),
        format!("{base}/{CONTOSO}/v2.0/"),
        format!("{base}/{CONTOSO}"),
        format!("{base}/{CONTOSO}/V2.0"),
        format!("{base}//{CONTOSO}/v2.0"),
        format!("{base}/{{tenantid}}/v2.0"),
        format!("{base}/common/v2.0"),
        format!("{base}/{CONTOSO}/v2.0?x"),
        format!(" {base}/{CONTOSO}/v2.0"),
        format!("https://evil.example/{CONTOSO}/v2.0"),
        format!("https://login.microsoftonline.com/{CONTOSO}/v2.0"),
        format!("https://login.microsoftonline.us/{CONTOSO}/v2.0"),
        format!("https://login.partner.microsoftonline.cn/{CONTOSO}/v2.0"),
        format!("https://sts.windows.net/{CONTOSO}/"),
        base.replace("http:", "HTTP:"),
    ] {
        for login in [ann(), ann_at_contoso()] {
            let turn = in_both(Edit::set("iss", iss.as_str()));
            cases.check(&format!("iss {iss}"), &login, turn, NO).await;
        }
    }
}

#[actix_web::test]
async fn the_two_tokens_of_a_login_are_about_one_person_in_one_tenant() {
    let cases = Cases::new().await;
    let fabrikam = format!("{}/{FABRIKAM}/v2.0", cases.world.entra.base_url());
    for channel in [Channel::Front, Channel::Back] {
        for (case, edits) in [
            (
                "another object id",
                vec![Edit::set("oid", "690222be-ff1a-4d56-abd1-7e4f7d38ffff")],
            ),
            ("another subject", vec![Edit::set("sub", "another")]),
            (
                "another tenant",
                vec![
                    Edit::set("tid", FABRIKAM),
                    Edit::set("iss", fabrikam.as_str()),
                ],
            ),
        ] {
            let turn = |behaviour: &mut Behaviour| {
                for edit in edits {
                    channel.edit(behaviour, edit);
                }
            };
            cases
                .check(&format!("{case}, {channel:?}"), &ann(), turn, NO)
                .await;
        }
    }
}

#[actix_web::test]
async fn a_token_of_another_tenant_than_asked_for_is_refused_however_valid() {
    let cases = Cases::new().await;
    let fabrikam = format!("{}/{FABRIKAM}/v2.0", cases.world.entra.base_url());
    let moved = |behaviour: &mut Behaviour| {
        in_both(Edit::set("tid", FABRIKAM))(behaviour);
        in_both(Edit::set("iss", fabrikam.as_str()))(behaviour);
    };
    let hinted = ann().with("tenant", CONTOSO);
    let mismatch = "refused: tenant-mismatch";
    cases.check("any tenant", &ann(), moved, OK).await;
    cases.check("by the hint", &hinted, moved, mismatch).await;
    // The description of one tenant names its issuer, so that another's does not even verify.
    cases
        .check("by the configuration", &ann_at_contoso(), moved, NO)
        .await;
}

#[actix_web::test]
async fn a_key_of_personal_accounts_signs_for_no_organization() {
    let cases = Cases::new().await;
    for channel in [Channel::Front, Channel::Back] {
        for signing in [
            Signing::MsaKey,
            Signing::ForeignKey,
            Signing::Corrupted,
            Signing::AlgNone,
        ] {
            let turn = |behaviour: &mut Behaviour| match channel {
                Channel::Front => behaviour.front.signing = signing,
                Channel::Back => behaviour.back.signing = signing,
            };
            cases
                .check(&format!("{signing:?}, {channel:?}"), &ann(), turn, NO)
                .await;
        }
    }
    let msa_key = |behaviour: &mut Behaviour| behaviour.back.signing = Signing::MsaKey;
    cases
        .check("one tenant", &ann_at_contoso(), msa_key, NO)
        .await;
}

#[actix_web::test]
async fn a_key_signs_for_the_issuer_that_it_carries() {
    let cases = Cases::new().await;
    let issuer = |tenant: &str| format!("{}/{tenant}/v2.0", cases.world.entra.base_url());
    // The first key is the one that signs.
    for (case, edit, expected) in [
        (
            "templated",
            Edit::set("/keys/0/issuer", issuer("{tenantid}")),
            OK,
        ),
        ("its own", Edit::set("/keys/0/issuer", issuer(CONTOSO)), OK),
        (
            "another's",
            Edit::set("/keys/0/issuer", issuer(FABRIKAM)),
            NO,
        ),
        (
            "personal accounts'",
            Edit::set("/keys/0/issuer", issuer(MICROSOFT_ACCOUNTS)),
            NO,
        ),
        ("none", Edit::remove("/keys/0/issuer"), NO),
        ("null", Edit::set("/keys/0/issuer", Value::Null), NO),
        ("a number", Edit::set("/keys/0/issuer", 7), NO),
        ("empty", Edit::set("/keys/0/issuer", ""), NO),
        ("white space", Edit::set("/keys/0/issuer", "  "), NO),
        (
            "the placeholder alone",
            Edit::set("/keys/0/issuer", "{tenantid}"),
            NO,
        ),
        (
            "another placeholder",
            Edit::set("/keys/0/issuer", issuer("{tenantId}")),
            NO,
        ),
        (
            "another host",
            Edit::set("/keys/0/issuer", "https://evil.example/{tenantid}/v2.0"),
            NO,
        ),
        (
            "the same cloud",
            Edit::set("/keys/0/cloud_instance_name", "microsoftonline.com"),
            OK,
        ),
        (
            "another cloud",
            Edit::set("/keys/0/cloud_instance_name", "microsoftonline.us"),
            NO,
        ),
        ("for encryption", Edit::set("/keys/0/use", "enc"), NO),
        ("another algorithm", Edit::set("/keys/0/alg", "PS256"), NO),
        ("another name", Edit::set("/keys/0/kid", "another"), NO),
        ("no such key", Edit::remove("/keys/0"), NO),
    ] {
        for login in [ann(), ann_at_contoso()] {
            cases.later(2 * HOUR); // so that the keys are asked for anew
            let turn = |behaviour: &mut Behaviour| {
                behaviour.edits.insert(Document::Jwks, vec![edit.clone()]);
            };
            cases.check(case, &login, turn, expected).await;
        }
    }
}

#[actix_web::test]
async fn a_token_says_which_of_several_keys_signed_it() {
    let cases = Cases::new().await;
    for (case, edit) in [
        ("no kid", Edit::remove("kid")),
        ("a kid of nobody's", Edit::set("kid", "nobody")),
        ("an empty kid", Edit::set("kid", "")),
        ("a kid that is a path", Edit::set("kid", "../../keys/0")),
        ("a kid of no string", Edit::set("kid", 7)),
        ("a long kid", Edit::set("kid", "k".repeat(300))),
    ] {
        let turn = |behaviour: &mut Behaviour| behaviour.front.header.push(edit);
        cases.check(case, &ann(), turn, NO).await;
    }
}

#[actix_web::test]
async fn the_description_names_the_issuer_of_its_alias() {
    let cases = Cases::new().await;
    let base = cases.world.entra.base_url().to_owned();
    let issuer = |tenant: &str| format!("{base}/{tenant}/v2.0");
    let mia = Login::new("microsoft", "mia-mfa");
    let (ok, invalid) = (OK, "refused: provider-answer-invalid");
    for (login, issuer, expected) in [
        (ann(), issuer("{tenantid}"), ok),
        (ann(), issuer("{tenantId}"), invalid),
        (ann(), issuer("organizations"), invalid),
        (ann(), issuer(CONTOSO), invalid),
        (
            ann(),
            "https://evil.example/{tenantid}/v2.0".to_owned(),
            invalid,
        ),
        (mia.clone(), issuer(MICROSOFT_ACCOUNTS), ok),
        (mia.clone(), issuer("{tenantid}"), invalid),
        (mia.clone(), issuer("consumers"), invalid),
        (ann_at_contoso(), issuer(CONTOSO), ok),
        (ann_at_contoso(), issuer(FABRIKAM), invalid),
        (ann_at_contoso(), issuer("{tenantid}"), invalid),
    ] {
        cases.later(NEXT_DAY);
        let turn = |behaviour: &mut Behaviour| {
            let edit = Edit::set("issuer", issuer.as_str());
            behaviour.edits.insert(Document::Discovery, vec![edit]);
        };
        let case = format!("{} says {issuer}", login.provider);
        cases.check(&case, &login, turn, expected).await;
    }
}

// ---- what it proves ------------------------------------------------------------------------

#[actix_web::test]
async fn the_shapes_of_a_work_accounts_token() {
    let cases = Cases::new().await;
    let as_string = |behaviour: &mut Behaviour| behaviour.entra.acrs_shape = AcrsShape::String;
    let version_1 = |behaviour: &mut Behaviour| behaviour.entra.token_version = TokenVersion::V1;
    let ignores_acr = |behaviour: &mut Behaviour| behaviour.entra.acr_values = Honour::Ignored;
    let back_only = |behaviour: &mut Behaviour| behaviour.entra.acr_legs = AcrLegs::BackOnly;
    let both = |behaviour: &mut Behaviour| behaviour.entra.acr_legs = AcrLegs::Both;
    let bob = Login::new("entra", "bob-password");
    let olaf = Login::new("contoso", "olaf-ignores");
    cases
        .check("C: MFA that no token shows", &ann(), no_acr, UNKNOWN)
        .await;
    cases
        .check("C: acr_values is passed over", &ann(), ignores_acr, UNKNOWN)
        .await;
    cases.check("D: acr says MFA", &ann(), usual, OK).await;
    cases
        .check("D: in the back alone", &ann(), back_only, OK)
        .await;
    cases.check("D: in both", &ann(), both, OK).await;
    cases
        .check("D': acr says default", &bob, usual, ABSENT)
        .await;
    cases
        .check("E: acrs of what was asked", &ann_at_contoso(), usual, OK)
        .await;
    cases
        .check("E': acrs of more", &ann_at_contoso(), opportunistic, OK)
        .await;
    cases
        .check("E'': acrs as one string", &ann_at_contoso(), as_string, OK)
        .await;
    cases
        .check("F: no MFA, no acr", &bob, no_acr, UNKNOWN)
        .await;
    cases
        .check("F: no MFA, no acrs", &olaf, usual, UNKNOWN)
        .await;
    for login in [ann(), ann_at_contoso()] {
        cases
            .check("H: a v1.0 token with amr", &login, version_1, NO)
            .await;
    }
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
        cases.check(&name, &ann(), turn, OK).await;
        cases.check(&name, &ann_at_contoso(), turn, OK).await;
        let bob = Login::new("entra", "bob-password");
        cases.check(&name, &bob, turn, ABSENT).await;
    }
}

#[actix_web::test]
async fn hostile_evidence_is_none() {
    let cases = Cases::new().await;
    let mfa = "urn:microsoft:policies:mfa";
    for (claim, value, expected) in [
        ("acr", json!([mfa]), MALFORMED),
        ("acr", json!("URN:MICROSOFT:POLICIES:MFA"), ABSENT),
        ("acr", json!("1"), ABSENT),
        ("acr", json!("urn:microsoft:policies:unasked"), ABSENT),
        ("amr", json!("mfa"), ABSENT),
        ("amr", json!(["mfa", "ngcmfa"]), ABSENT),
        ("acrs", json!(["c1", 7]), MALFORMED),
        ("acrs", json!([["c1"]]), MALFORMED),
        ("acrs", json!({ "c1": true }), MALFORMED),
        ("acrs", json!(["C1"]), ABSENT),
        ("acrs", json!("c1 c2"), ABSENT),
        ("acrs", json!(vec!["c1"; 33]), MALFORMED),
    ] {
        let bob = Login::new("entra", "bob-password");
        let turn = in_both(Edit::set(claim, value.clone()));
        cases
            .check(&format!("J: {claim} {value}"), &bob, turn, expected)
            .await;
    }
}

#[actix_web::test]
async fn a_context_proves_what_the_tenants_admin_made_of_it() {
    let cases = Cases::new().await;
    let c1 = |policy: ContextPolicy| {
        move |behaviour: &mut Behaviour| {
            let tenant = behaviour.entra.tenant_mut(CONTOSO).expect("Contoso");
            tenant.contexts.insert("c1".to_owned(), policy);
        }
    };
    for (account, policy, expected) in [
        ("ann-mfa", ContextPolicy::Mfa, OK),
        ("wes-when-asked", ContextPolicy::Mfa, OK),
        ("eve-enrols", ContextPolicy::Mfa, OK),
        ("olaf-ignores", ContextPolicy::Mfa, UNKNOWN),
        // Microsoft keeps who can't meet it; all that the person can do there is to give up.
        (
            "bob-password",
            ContextPolicy::Mfa,
            "refused: provider-cancelled",
        ),
        // Issued without any policy behind it: the tenant's word all the same, and stated as such.
        ("olaf-ignores", ContextPolicy::Unprotected, OK),
        ("bob-password", ContextPolicy::Unprotected, OK),
        ("ann-mfa", ContextPolicy::Block, "at-provider"),
    ] {
        let login = Login::new("contoso", account);
        cases
            .check(
                &format!("{account}, {policy:?}"),
                &login,
                c1(policy),
                expected,
            )
            .await;
    }
    let unprotected = c1(ContextPolicy::Unprotected);
    let bob = Login::new("contoso", "bob-password");
    let access = cases.tokens(&bob, unprotected).await.access();
    assert_eq!(access["acr"], json!("urn:countersign:mfa-attested"));
    assert_eq!(access["countersign"]["basis"], json!("tenant"));
    assert_eq!(access["countersign"]["proof"], json!("acrs:c1"));
    assert_eq!(access["amr"], Value::Null);
}

#[actix_web::test]
async fn a_context_of_another_tenant_has_no_meaning() {
    let cases = Cases::new().await;
    let turn = |behaviour: &mut Behaviour| {
        no_acr(behaviour);
        opportunistic(behaviour);
    };
    let fay = Login::new("entra", "fay-fabrikam");
    cases
        .check("Fabrikam's c1 and c5", &fay, turn, UNNAMED)
        .await;
    cases.check("Contoso's c1", &ann(), turn, OK).await;
}

#[actix_web::test]
async fn a_guest_is_another_person_than_the_member_at_home() {
    let cases = Cases::new().await;
    let at_contoso = Login::new("contoso", "gus-guest");
    let at_home = Login::new("entra", "gus-guest");
    let guest = cases.tokens(&at_contoso, usual).await;
    let home = cases.tokens(&at_home, usual).await;
    assert_eq!(guest.access()["countersign"]["tenant"], json!(CONTOSO));
    assert_eq!(home.access()["countersign"]["tenant"], json!(FABRIKAM));
    assert_ne!(guest.id()["sub"], home.id()["sub"]);

    let personal = Login::new("contoso", "gail-guest");
    let guest = cases.tokens(&personal, usual).await;
    assert_eq!(guest.access()["countersign"]["tenant"], json!(CONTOSO));
    let stranger = Login::new("contoso", "fay-fabrikam");
    cases
        .check("no guest", &stranger, usual, "at-provider")
        .await;
}

#[actix_web::test]
async fn the_same_object_id_in_another_tenant_is_another_account() {
    let cases = Cases::new().await;
    let ann_account = cases.account(&ann(), usual).await;
    let fay = Login::new("entra", "fay-fabrikam");
    let twin = |behaviour: &mut Behaviour| {
        let oid = behaviour
            .entra
            .account_mut("ann-mfa")
            .expect("Ann")
            .oid
            .clone();
        behaviour
            .entra
            .account_mut("fay-fabrikam")
            .expect("Fay")
            .oid = oid;
    };
    assert_ne!(cases.account(&fay, twin).await, ann_account);
    assert_eq!(cases.account(&ann(), usual).await, ann_account);
    // By whichever configured provider, it is the tenant and the object that name the person.
    assert_eq!(cases.account(&ann_at_contoso(), usual).await, ann_account);
}

#[actix_web::test]
async fn the_first_logins_of_one_person_at_once_make_one_account() {
    let cases = Cases::new().await;
    let login = ann();
    let accounts = accounts_at_once(&cases, &login).await;
    assert!(
        accounts.windows(2).all(|two| two[0] == two[1]),
        "{accounts:?}"
    );
}

/// The accounts of four logins that run side by side.
async fn accounts_at_once(cases: &Cases, login: &Login) -> [String; 4] {
    let account = || cases.account(login, usual);
    let (one, two, three, four) = tokio::join!(account(), account(), account(), account());
    [one, two, three, four]
}

#[actix_web::test]
async fn an_address_of_another_tenants_choosing_leads_to_nobody_elses_account() {
    let cases = Cases::new().await;
    let ann_account = cases.account(&ann(), usual).await;
    let nora = Login::new("entra", "nora-noauth");
    for says in [
        json!(true),
        json!("1"),
        json!(false),
        json!("0"),
        Value::Null,
    ] {
        let turn = |behaviour: &mut Behaviour| {
            behaviour
                .entra
                .optional_claims
                .insert(OptionalClaim::XmsEdov);
            let nora = behaviour.entra.account_mut("nora-noauth").expect("Nora");
            nora.email_domain_owner_verified = Some(says.clone());
        };
        let id = cases.tokens(&nora, turn).await.id();
        assert_eq!(id["email"], json!("ann@contoso.example"));
        assert_ne!(id["sub"], json!(ann_account), "xms_edov {says}");
    }
}

#[actix_web::test]
async fn an_address_is_verified_where_both_tokens_say_so_and_in_two_ways_only() {
    let cases = Cases::new().await;
    for (says, verified) in [
        (Some(json!(true)), true),
        (Some(json!("1")), true),
        (Some(json!(false)), false),
        (Some(json!("0")), false),
        (Some(json!("true")), false),
        (Some(json!(1)), false),
        (Some(json!([true])), false),
        (Some(Value::Null), false),
        (None, false),
    ] {
        let turn = |behaviour: &mut Behaviour| {
            behaviour
                .entra
                .optional_claims
                .insert(OptionalClaim::XmsEdov);
            let ann = behaviour.entra.account_mut("ann-mfa").expect("Ann");
            ann.email_domain_owner_verified = says.clone();
        };
        for login in [ann(), ann_at_contoso()] {
            let id = cases.tokens(&login, turn).await.id();
            assert_eq!(id["email_verified"], json!(verified), "xms_edov {says:?}");
        }
    }
    let disagree = |behaviour: &mut Behaviour| {
        behaviour
            .entra
            .optional_claims
            .insert(OptionalClaim::XmsEdov);
        behaviour.front.claims.push(Edit::set("xms_edov", false));
    };
    let id = cases.tokens(&ann(), disagree).await.id();
    assert_eq!(id["email_verified"], json!(false));
}

#[actix_web::test]
async fn a_person_needs_neither_name_nor_address() {
    let cases = Cases::new().await;
    let ann_mut = |behaviour: &mut Behaviour,
                   change: fn(&mut countersign_dev_idp::entra::Account)| {
        change(behaviour.entra.account_mut("ann-mfa").expect("Ann"));
    };
    let id = cases.tokens(&ann(), usual).await.id();
    assert_eq!(
        (&id["name"], &id["email"]),
        (&json!("Ann"), &json!("ann@contoso.example"))
    );

    let preferred = |behaviour: &mut Behaviour| {
        ann_mut(behaviour, |ann| {
            ann.preferred_username = Some("other@contoso.example".into());
        });
    };
    let id = cases.tokens(&ann(), preferred).await.id();
    assert_eq!(
        id["email"],
        json!("ann@contoso.example"),
        "before the user name"
    );

    let no_email = |behaviour: &mut Behaviour| ann_mut(behaviour, |ann| ann.email = None);
    let id = cases.tokens(&ann(), no_email).await.id();
    assert_eq!(id["email"], json!("ann@contoso.example"), "the user name");
    assert_eq!(id["email_verified"], json!(false));

    let phone = |behaviour: &mut Behaviour| {
        ann_mut(behaviour, |ann| {
            ann.email = None;
            ann.preferred_username = Some("+44 20 7946 0000".into());
        });
    };
    let id = cases.tokens(&ann(), phone).await.id();
    assert_eq!(id["email"], Value::Null, "a user name may be no address");

    let nobody = |behaviour: &mut Behaviour| {
        ann_mut(behaviour, |ann| {
            ann.email = None;
            ann.preferred_username = None;
            ann.name = None;
        });
    };
    let id = cases.tokens(&ann(), nobody).await.id();
    assert_eq!((&id["name"], &id["email"]), (&Value::Null, &Value::Null));
    assert_eq!(id["email_verified"], Value::Null);
}

// ---- what is asked of it -------------------------------------------------------------------

#[actix_web::test]
async fn the_first_leg_wishes_and_the_step_up_demands() {
    let cases = Cases::new().await;
    let wes = Login::new("entra", "wes-when-asked").with("prompt", "select_account");
    let asked = cases.asked(&wes, usual).await;
    let [first, second] = asked.as_slice() else {
        panic!("two legs, not {}", asked.len());
    };
    let mfa = "urn:microsoft:policies:mfa";
    assert_eq!(first.path, "/organizations/oauth2/v2.0/authorize");
    assert_eq!(
        first.param("acr_values"),
        Some("urn:microsoft:policies:mfa urn:microsoft:policies:default")
    );
    assert_eq!(first.param("prompt"), Some("select_account"));
    assert_eq!(
        (first.param("claims"), first.param("login_hint")),
        (None, None)
    );
    // The tenant is known now: its own endpoint, and its context.
    assert_eq!(second.path, format!("/{CONTOSO}/oauth2/v2.0/authorize"));
    assert_eq!(second.param("acr_values"), Some(mfa));
    assert_eq!(second.param("login_hint"), Some("wes@contoso.example"));
    assert_eq!(second.param("prompt"), None);
    assert_eq!(claims(second.param("claims")), contexts("c1"));
    for leg in [first, second] {
        assert_eq!(leg.param("response_type"), Some("code id_token"));
        assert_eq!(leg.param("response_mode"), Some("form_post"));
        assert_eq!(leg.param("amr_values"), None);
    }
    for name in ["nonce", "state", "code_challenge"] {
        assert_ne!(first.param(name), second.param(name), "{name} is new");
    }
}

#[actix_web::test]
async fn one_tenant_is_asked_for_its_context_at_its_own_endpoint() {
    let cases = Cases::new().await;
    let asked = cases.asked(&ann_at_contoso(), usual).await;
    let [only] = asked.as_slice() else {
        panic!("one leg, not {}", asked.len());
    };
    assert_eq!(only.path, format!("/{CONTOSO}/oauth2/v2.0/authorize"));
    assert_eq!(only.param("response_type"), Some("code"));
    assert_eq!(only.param("response_mode"), Some("query"));
    assert_eq!(only.param("acr_values"), None);
    assert_eq!(claims(only.param("claims")), contexts("c1"));
}

#[actix_web::test]
async fn a_tenant_that_the_client_names_is_asked_like_a_configured_one() {
    let cases = Cases::new().await;
    let hinted = ann().with("tenant", CONTOSO);
    let asked = cases.asked(&hinted, usual).await;
    assert_eq!(asked[0].path, format!("/{CONTOSO}/oauth2/v2.0/authorize"));
    assert_eq!(claims(asked[0].param("claims")), contexts("c1"));
    let unnamed = ann().with("tenant", FABRIKAM);
    let asked = cases.asked(&unnamed, usual).await;
    assert_eq!(asked[0].path, format!("/{FABRIKAM}/oauth2/v2.0/authorize"));
    assert_eq!(
        asked[0].param("claims"),
        None,
        "the policy names none of its contexts"
    );
    for bad in [
        "common",
        "contoso.onmicrosoft.com",
        "..",
        &CONTOSO.replace('1', "A"),
    ] {
        let login = ann().with("tenant", bad);
        let refused = "client: invalid_request";
        cases
            .check(&format!("tenant `{bad}`"), &login, usual, refused)
            .await;
    }
}

#[actix_web::test]
async fn a_scope_that_needs_nothing_asks_for_no_context() {
    let cases = Cases::new().await;
    // Signing in to this client needs MFA whatever the scopes, so the context is asked for here too.
    let profile = ann_at_contoso().with("scope", "openid profile");
    let asked = cases.asked(&profile, usual).await;
    assert_eq!(claims(asked[0].param("claims")), contexts("c1"));
    let login_again = ann_at_contoso()
        .with("prompt", "login")
        .with("max_age", "60");
    let asked = cases.asked(&login_again, usual).await;
    assert_eq!(asked[0].param("prompt"), Some("login"));
    assert_eq!(asked[0].param("max_age"), Some("60"));
}

fn claims(parameter: Option<&str>) -> Value {
    serde_json::from_str(parameter.unwrap_or("null")).expect("JSON")
}

fn contexts(context: &str) -> Value {
    json!({ "id_token": { "acrs": { "essential": true, "value": context } } })
}

// ---- how it ends ---------------------------------------------------------------------------

#[actix_web::test]
async fn a_step_up_ends_in_a_code_or_in_one_refusal() {
    let cases = Cases::new().await;
    for (account, expected) in [
        ("ann-mfa", "code"),
        ("wes-when-asked", "code"),
        ("eve-enrols", "code"),
        ("olaf-ignores", "refused: mfa-absent"),
        ("bob-password", "refused: step-up-declined"),
        ("mallory-switches", "refused: identity-changed"),
        ("finn-fabrikam", "refused: step-up-declined"),
        ("cleo-declines", "refused: provider-cancelled"),
        ("dana-cancels", "refused: provider-cancelled"),
        ("paul-blocked", "at-provider"),
        ("fiona-fails", "at-provider"),
        ("ulf-unmanaged", "refused: provider-misconfigured"),
        ("fritz-fails", "refused: provider-unavailable"),
    ] {
        let login = Login::new("entra", account);
        cases
            .check_to_the_end(account, &login, usual, expected)
            .await;
    }
}

#[actix_web::test]
async fn nothing_of_the_first_legs_evidence_is_kept_for_the_second() {
    let cases = Cases::new().await;
    // The first leg shows the context and no fresh sign-in, the second a fresh sign-in and no context.
    let login = ann_at_contoso().with("max_age", "60");
    let mut browser = cases.fresh.clone();
    let control = cases.stand_in("contoso");
    control.set(|behaviour| behaviour.entra.max_age = Honour::Ignored);
    let first = cases.world.sign_in(&mut browser, &login).await;
    assert_eq!(first.summary(), "step-up: auth-time-absent");
    control.reset();
    control.set(|behaviour| behaviour.back.claims.push(Edit::remove("acrs")));
    let page = first.page();
    let second = cases.world.step_up(&mut browser, page, &login).await;
    assert_eq!(second.summary(), "refused: mfa-unknown");
}

#[actix_web::test]
async fn max_age_is_met_by_auth_time_and_shortens_the_token() {
    let cases = Cases::new().await;
    let asks = |age: &str| ann().with("max_age", age);
    let ignored = |behaviour: &mut Behaviour| behaviour.entra.max_age = Honour::Ignored;
    cases.check("an hour", &asks("3600"), usual, OK).await;
    cases.check("just met", &asks("60"), usual, OK).await;
    cases.check("signs in again", &asks("5"), usual, OK).await;
    let absent = "step-up: auth-time-absent";
    cases
        .check("not honoured", &asks("3600"), ignored, absent)
        .await;
    let unmet = "client: unmet_authentication_requirements";
    cases
        .check_to_the_end("nor ever", &asks("3600"), ignored, unmet)
        .await;
    let old = in_both(Edit::set("auth_time", 1_000_000_000));
    cases
        .check("too long ago", &asks("3600"), old, "step-up: auth-too-old")
        .await;
    let future = in_both(Edit::set("auth_time", 4_000_000_000_u64));
    cases
        .check("in the future", &asks("3600"), future, absent)
        .await;
}

#[actix_web::test]
async fn a_clock_may_be_a_minute_off_and_not_more() {
    let cases = Cases::new().await;
    let skewed = |seconds: i64| move |behaviour: &mut Behaviour| behaviour.clock_skew = seconds;
    for (seconds, expected) in [
        (0, OK),
        (40, OK),
        (-40, OK),
        (90, NO),
        (-HOUR, OK),
        (-2 * HOUR, NO), // its tokens live for 65 minutes
        (24 * HOUR, NO),
    ] {
        for login in [ann(), ann_at_contoso()] {
            cases
                .check(&format!("{seconds} s"), &login, skewed(seconds), expected)
                .await;
        }
    }
}

#[actix_web::test]
async fn a_tokens_times_have_a_minute_of_leeway() {
    let cases = Cases::new().await;
    let now = cases.stand_in("entra").now();
    for (claim, at, expected) in [
        ("exp", now - 30, OK),
        ("exp", now - 90, NO),
        ("nbf", now + 30, OK),
        ("nbf", now + 120, NO),
        ("iat", now + 30, OK),
        ("iat", now + 120, NO),
        ("iat", now - 23 * HOUR, OK),
        ("iat", now - 25 * HOUR, NO),
        ("exp", 0, NO),
        ("exp", -1, NO),
        ("exp", i64::MAX, NO),
        ("iat", i64::MIN, NO),
    ] {
        for channel in [Channel::Front, Channel::Back] {
            let turn = |behaviour: &mut Behaviour| channel.edit(behaviour, Edit::set(claim, at));
            cases
                .check(&format!("{claim} {at}, now {now}"), &ann(), turn, expected)
                .await;
        }
    }
    for (value, expected) in [
        (json!(1e300), NO),
        (json!("4000000000"), NO),
        (json!(4_000_000_000.5), OK),
    ] {
        let turn = in_both(Edit::set("exp", value.clone()));
        cases
            .check(&format!("exp {value}"), &ann(), turn, expected)
            .await;
    }
}

#[actix_web::test]
async fn an_audience_is_ours_alone() {
    let cases = Cases::new().await;
    let ours = countersign_dev_idp::Client::DEVELOPMENT_ID;
    for (claim, value, expected) in [
        ("aud", json!([ours]), OK),
        ("aud", json!([ours, "other"]), NO),
        ("aud", json!(["other", ours]), NO),
        ("aud", json!([]), NO),
        ("aud", json!([[ours]]), NO),
        ("aud", json!([ours, 7]), NO),
        ("aud", json!(ours.to_uppercase()), NO),
        ("aud", json!(format!("{ours} ")), NO),
        ("azp", json!(ours), OK),
        ("azp", json!([ours]), NO),
    ] {
        for login in [ann(), ann_at_contoso()] {
            let turn = in_both(Edit::set(claim, value.clone()));
            cases
                .check(&format!("{claim} {value}"), &login, turn, expected)
                .await;
        }
    }
}

// ---- keys that change ----------------------------------------------------------------------

const KEYS: &str = "/organizations/discovery/v2.0/keys";

#[actix_web::test]
async fn a_key_is_known_before_it_signs_and_asked_for_when_it_is_not() {
    let cases = Cases::new().await;
    let phase = |keys: KeyPhase| move |behaviour: &mut Behaviour| behaviour.keys = keys;
    let control = cases.stand_in("entra");
    for (case, keys, later, expected, fetched) in [
        ("the first login", KeyPhase::Steady, 0, OK, 1),
        ("the next one", KeyPhase::Steady, 60, OK, 0),
        ("a key not seen yet", KeyPhase::NextSigns, 300, OK, 1),
        ("seen now", KeyPhase::NextSigns, 60, OK, 0),
        ("both are published", KeyPhase::NextPublished, 60, OK, 0),
        ("after an hour", KeyPhase::OldRemoved, HOUR, OK, 1),
        ("a withdrawn key", KeyPhase::RemovedSigns, 300, NO, 1),
        ("and at once again", KeyPhase::RemovedSigns, 60, NO, 0),
        ("a key that came back", KeyPhase::Steady, 300, OK, 1),
        ("a key of nobody's", KeyPhase::SignsUnpublished, 300, NO, 1),
        ("and again", KeyPhase::SignsUnpublished, 299, NO, 0),
        ("and later", KeyPhase::SignsUnpublished, 1, NO, 1),
        ("the good one all the while", KeyPhase::Steady, 0, OK, 0),
    ] {
        cases.later(later);
        cases.check(case, &ann(), phase(keys), expected).await;
        assert_eq!(control.hits(KEYS), fetched, "keys fetched: {case}");
    }
}

#[actix_web::test]
async fn keys_that_cant_be_had_keep_the_last_known_good_for_a_day() {
    let cases = Cases::new().await;
    let fault = |fault: WireFault| {
        move |behaviour: &mut Behaviour| {
            behaviour.wire.insert(Endpoint::Jwks, fault);
        }
    };
    let down = || fault(WireFault::status(500));
    let unavailable = "refused: provider-unavailable";
    cases.check("never had", &ann(), down(), unavailable).await;
    cases.later(5);
    cases
        .check(
            "slow",
            &ann(),
            fault(WireFault::slow(Duration::from_millis(500))),
            OK,
        )
        .await;
    cases.later(2 * HOUR);
    cases.check("down", &ann(), down(), OK).await;
    cases.later(21 * HOUR);
    cases.check("still down", &ann(), down(), OK).await;
    cases.later(2 * HOUR);
    cases.check("for a day", &ann(), down(), unavailable).await;
    cases.later(5);
    cases.check("up again", &ann(), usual, OK).await;
}

// ---- errors --------------------------------------------------------------------------------

#[actix_web::test]
async fn an_error_of_the_token_endpoint_is_told_by_its_code() {
    let cases = Cases::new().await;
    for (error, number, expected) in [
        ("invalid_grant", 54005, "refused: provider-refused"),
        ("invalid_grant", 50076, "refused: provider-refused"),
        ("interaction_required", 50076, "refused: provider-refused"),
        (
            "invalid_client",
            7_000_215,
            "refused: provider-misconfigured",
        ),
        (
            "unauthorized_client",
            700_016,
            "refused: provider-misconfigured",
        ),
        (
            "temporarily_unavailable",
            90033,
            "refused: provider-unavailable",
        ),
        ("<script>alert(1)</script>", 1, "refused: provider-refused"),
    ] {
        let turn = |behaviour: &mut Behaviour| {
            behaviour.entra.token_error = Some(TokenError {
                error: error.to_owned(),
                code: number,
                text: "<script>alert(1)</script> {tenantid}".to_owned(),
                suberror: None,
                claims: None,
            });
        };
        let outcome = cases.sign_in(&ann(), turn).await;
        assert_eq!(outcome.summary(), expected, "{error} {number}");
        assert!(!outcome.page().body.contains("script>"), "{error}");
    }
}

#[actix_web::test]
async fn a_registration_without_id_tokens_is_told_to_the_operator() {
    let cases = Cases::new().await;
    let turn = |behaviour: &mut Behaviour| {
        behaviour.entra.front_channel_id_tokens = FrontChannelIdTokens::Disabled;
    };
    let outcome = cases.sign_in(&ann(), turn).await;
    assert_eq!(outcome.summary(), "refused: provider-misconfigured");
    assert!(outcome.page().body.contains("ID tokens"));
}

#[actix_web::test]
async fn an_answer_lacks_nothing_that_was_asked_for() {
    let cases = Cases::new().await;
    for (case, document, edit) in [
        (
            "no front ID token",
            Document::Callback,
            Edit::remove("id_token"),
        ),
        (
            "an empty one",
            Document::Callback,
            Edit::set("id_token", ""),
        ),
        ("no code", Document::Callback, Edit::remove("code")),
        (
            "no back ID token",
            Document::TokenResponse,
            Edit::remove("id_token"),
        ),
        (
            "no access token",
            Document::TokenResponse,
            Edit::remove("access_token"),
        ),
    ] {
        let turn = |behaviour: &mut Behaviour| {
            behaviour.edits.insert(document, vec![edit]);
        };
        let invalid = "refused: provider-answer-invalid";
        cases.check(case, &ann(), turn, invalid).await;
    }
    let other_code = |behaviour: &mut Behaviour| {
        let edit = Edit::set("code", "a-code-of-another-login");
        behaviour.edits.insert(Document::Callback, vec![edit]);
    };
    cases
        .check("c_hash binds the code", &ann(), other_code, NO)
        .await;
}
