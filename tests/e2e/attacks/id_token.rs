//! The ID tokens of providers: forged, for others, of other tenants.

use countersign_dev_idp::entra::{CONTOSO, FABRIKAM};
use countersign_dev_idp::{Behaviour, Client, DevIdp, Edit, Endpoint, Signing};
use countersign_tests::{Browser, Login, World};
use serde_json::json;

/// By which way a token comes.
#[derive(Clone, Copy, Debug)]
enum Way {
    Front,
    Back,
}

/// One way of one provider, and a login that is strong there.
struct Target<'a> {
    idp: &'a DevIdp,
    login: Login,
    way: Way,
}

fn targets(world: &World) -> Vec<Target<'_>> {
    let target = |idp, provider, account, way| Target {
        idp,
        login: Login::new(provider, account),
        way,
    };
    vec![
        target(&world.oidc, "oidc", "ann-mfa", Way::Back),
        target(&world.entra, "contoso", "ann-mfa", Way::Back),
        target(&world.entra, "entra", "ann-mfa", Way::Front),
        target(&world.entra, "entra", "ann-mfa", Way::Back),
        target(&world.entra, "microsoft", "mia-mfa", Way::Front),
        target(&world.entra, "microsoft", "mia-mfa", Way::Back),
    ]
}

impl Target<'_> {
    fn spoil(&self, spoil: impl FnOnce(&mut countersign_dev_idp::TokenFaults)) {
        self.idp
            .control()
            .set(|behaviour: &mut Behaviour| match self.way {
                Way::Front => spoil(&mut behaviour.front),
                Way::Back => spoil(&mut behaviour.back),
            });
    }

    async fn check(&self, world: &World, expected: &str, why: &str) {
        let outcome = world.sign_in(&mut Browser::new(), &self.login).await;
        let (login, way) = (&self.login, self.way);
        assert_eq!(outcome.summary(), expected, "{why}: {login:?} {way:?}");
        self.idp.control().reset();
    }
}

const REFUSED: &str = "refused: id-token-invalid";

#[actix_web::test]
async fn a_forged_signature_is_refused_by_every_way_and_no_key_is_fetched_for_it() {
    let world = World::new().await;
    for target in targets(&world) {
        target.check(&world, "code", "as it should be").await;
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
            target.spoil(|faults| faults.signing = signing);
            target.check(&world, REFUSED, &format!("{signing:?}")).await;
        }
    }
    for idp in [&world.oidc, &world.entra] {
        assert_eq!(
            idp.control().hits("/foreign/keys"),
            0,
            "a token's own key was fetched"
        );
    }
}

#[actix_web::test]
async fn a_header_that_wants_something_else_is_refused() {
    let world = World::new().await;
    for target in targets(&world) {
        for (name, value) in [
            ("crit", json!(["exp"])),
            ("crit", json!([])),
            ("typ", json!("at+jwt")),
            ("typ", json!("logout+jwt")),
            ("alg", json!("none")),
            ("alg", json!("rs256")),
            ("alg", json!(["RS256"])),
            ("kid", json!("../../../../dev/null")),
            ("kid", json!("x' UNION SELECT 'secret")),
            ("kid", json!("k".repeat(8 * 1024))),
            ("kid", json!(7)),
        ] {
            target.spoil(|faults| faults.header.push(Edit::set(name, value.clone())));
            let why = format!("{name}: {:.40}", value.to_string());
            target.check(&world, REFUSED, &why).await;
        }
        target.spoil(|faults| faults.header.push(Edit::append("alg", "none")));
        target.check(&world, REFUSED, "alg twice").await;
    }
    let huge = &targets(&world)[0];
    huge.spoil(|faults| faults.header.push(Edit::set("kid", "k".repeat(64 * 1024))));
    huge.check(&world, REFUSED, "a kid of 64 KiB").await;
}

#[actix_web::test]
async fn a_flood_of_unknown_keys_does_not_become_a_flood_of_requests() {
    let world = World::new().await;
    for (idp, login) in [
        (&world.oidc, Login::new("oidc", "ann-mfa")),
        (&world.entra, Login::new("microsoft", "mia-mfa")),
    ] {
        for round in 0..15 {
            let kid = format!("unknown-{round}");
            idp.control().set(|b| {
                b.front.header = vec![Edit::set("kid", kid.as_str())];
                b.back.header = vec![Edit::set("kid", kid.as_str())];
            });
            let outcome = world.sign_in(&mut Browser::new(), &login).await;
            assert_eq!(outcome.summary(), REFUSED);
        }
        let hits = idp.control().endpoint_hits(Endpoint::Jwks);
        assert!(hits <= 2, "{hits} requests for keys: {login:?}");
    }
}

#[actix_web::test]
async fn a_token_for_another_party_login_or_time_is_refused() {
    let world = World::new().await;
    let ours = Client::DEVELOPMENT_ID;
    let other = "another-client";
    for target in targets(&world) {
        let now = target.idp.control().now();
        for (why, edit) in [
            ("another audience", Edit::set("aud", other)),
            (
                "another audience too",
                Edit::set("aud", json!([ours, other])),
            ),
            (
                "our audience second",
                Edit::set("aud", json!([other, ours])),
            ),
            (
                "an audience that begins as ours",
                Edit::set("aud", format!("{ours}-2")),
            ),
            ("no audience", Edit::remove("aud")),
            ("authorized for another", Edit::set("azp", other)),
            ("another's nonce", Edit::set("nonce", "another-nonce")),
            ("an empty nonce", Edit::set("nonce", "")),
            ("no nonce", Edit::remove("nonce")),
            ("another issuer", Edit::set("iss", "https://evil.example")),
            (
                "an issuer with a slash more",
                Edit::set("iss", format!("{}/", target.idp.base_url())),
            ),
            ("no issuer", Edit::remove("iss")),
            ("no subject", Edit::remove("sub")),
            ("expired ten minutes ago", Edit::set("exp", now - 600)),
            (
                "an end that is a text",
                Edit::set("exp", (now + 600).to_string()),
            ),
            ("no end", Edit::remove("exp")),
            ("issued in an hour", Edit::set("iat", now + 3_600)),
            ("valid in an hour", Edit::set("nbf", now + 3_600)),
            (
                "the issuer twice",
                Edit::append("iss", "https://evil.example"),
            ),
            ("the subject twice", Edit::prepend("sub", "someone-else")),
            ("the nonce twice", Edit::append("nonce", "another-nonce")),
        ] {
            target.spoil(|faults| faults.claims.push(edit));
            target.check(&world, REFUSED, why).await;
        }
    }
}

#[actix_web::test]
async fn a_token_of_one_tenant_never_passes_for_another() {
    let world = World::new().await;
    let consumers = countersign_dev_idp::entra::MICROSOFT_ACCOUNTS;
    let issuer_of = |tenant: &str| format!("{}/{tenant}/v2.0", world.entra.base_url());
    let work = [
        Login::new("contoso", "ann-mfa"),
        Login::new("entra", "ann-mfa"),
    ];
    let both = |edits: Vec<Edit>| {
        world.entra.control().set(|b| {
            b.front.claims.clone_from(&edits);
            b.back.claims = edits;
        });
    };
    for login in work {
        for (why, edits) in [
            ("issuer A, tenant B", vec![Edit::set("tid", FABRIKAM)]),
            (
                "issuer B, tenant A",
                vec![Edit::set("iss", issuer_of(FABRIKAM))],
            ),
            ("the tenant `common`", vec![Edit::set("tid", "common")]),
            (
                "the tenant `common` and its issuer",
                vec![
                    Edit::set("tid", "common"),
                    Edit::set("iss", issuer_of("common")),
                ],
            ),
            (
                "the placeholder",
                vec![
                    Edit::set("tid", "{tenantid}"),
                    Edit::set("iss", issuer_of("{tenantid}")),
                ],
            ),
            (
                "a path",
                vec![Edit::set("tid", format!("{CONTOSO}/../{FABRIKAM}"))],
            ),
            (
                "upper case",
                vec![
                    Edit::set("tid", "ABCDEFAB-1111-4111-8111-111111111111"),
                    Edit::set("iss", issuer_of("ABCDEFAB-1111-4111-8111-111111111111")),
                ],
            ),
            ("a space", vec![Edit::set("tid", format!("{CONTOSO} "))]),
            (
                "a null character",
                vec![Edit::set("tid", format!("{CONTOSO}\0"))],
            ),
            ("a list", vec![Edit::set("tid", json!([CONTOSO]))]),
            ("no tenant", vec![Edit::remove("tid")]),
            ("the tenant twice", vec![Edit::append("tid", FABRIKAM)]),
            (
                "the tenant in two spellings",
                vec![Edit::set("TID", FABRIKAM)],
            ),
            ("no object", vec![Edit::remove("oid")]),
            ("version 1", vec![Edit::set("ver", "1.0")]),
            (
                "the issuer of version 1",
                vec![Edit::set(
                    "iss",
                    format!("https://sts.windows.net/{CONTOSO}/"),
                )],
            ),
            (
                "consumers by a work key",
                vec![Edit::set("tid", "9188040d-6c67-4c5b-b112-36a304b66dad")],
            ),
        ] {
            both(edits);
            let outcome = world.sign_in(&mut Browser::new(), &login).await;
            assert_eq!(outcome.summary(), REFUSED, "{why}: {login:?}");
            world.entra.control().reset();
        }
        world.entra.control().set(|b| {
            b.front.signing = Signing::MsaKey;
            b.back.signing = Signing::MsaKey;
        });
        let outcome = world.sign_in(&mut Browser::new(), &login).await;
        assert_eq!(
            outcome.summary(),
            REFUSED,
            "the key of personal accounts: {login:?}"
        );
        world.entra.control().reset();
    }
    // Well-formed tokens of the wrong kind of tenant.
    for (login, tenant) in [
        (Login::new("contoso", "ann-mfa"), FABRIKAM),
        (Login::new("entra", "ann-mfa"), consumers),
        (Login::new("contoso", "ann-mfa"), consumers),
        (Login::new("microsoft", "mia-mfa"), CONTOSO),
    ] {
        both(vec![
            Edit::set("tid", tenant),
            Edit::set("iss", issuer_of(tenant)),
        ]);
        let outcome = world.sign_in(&mut Browser::new(), &login).await.summary();
        let refused = [REFUSED, "refused: tenant-mismatch"].contains(&outcome.as_str());
        assert!(refused, "{login:?} with a token of {tenant}: {outcome}");
        world.entra.control().reset();
    }
}

#[actix_web::test]
async fn two_tokens_of_one_login_are_about_one_person() {
    let world = World::new().await;
    let login = Login::new("microsoft", "mia-mfa");
    for (why, edit) in [
        ("another subject", Edit::set("sub", "someone-else")),
        (
            "another object",
            Edit::set("oid", "00000000-0000-0000-0000-000000000001"),
        ),
    ] {
        world.entra.control().set(|b| b.front.claims = vec![edit]);
        let outcome = world.sign_in(&mut Browser::new(), &login).await;
        assert_eq!(outcome.summary(), REFUSED, "{why}");
        world.entra.control().reset();
    }
    for edit in [
        Edit::remove("c_hash"),
        Edit::set("c_hash", "AAAAAAAAAAAAAAAAAAAAAA"),
    ] {
        world.entra.control().set(|b| b.front.claims = vec![edit]);
        let outcome = world.sign_in(&mut Browser::new(), &login).await;
        assert_eq!(
            outcome.summary(),
            REFUSED,
            "a code that the token does not vouch for"
        );
        world.entra.control().reset();
    }
}

#[actix_web::test]
async fn another_ones_address_leads_to_nobodys_account() {
    let world = World::new().await;
    let subject = async |provider, account| {
        let login =
            Login::new(provider, account).with("scope", "openid profile email packages:read");
        let page = world
            .sign_in_with_step_up(&mut Browser::new(), &login)
            .await
            .code();
        let tokens = world.redeem(&page).await;
        let id = tokens.id();
        (
            id["sub"].as_str().expect("a subject").to_owned(),
            id["email"].clone(),
            id["email_verified"].clone(),
        )
    };
    let (ann, address, _) = subject("entra", "ann-mfa").await;
    let (nora, same, verified) = subject("entra", "nora-noauth").await;
    assert_eq!(address, same, "nora shows ann's address");
    assert_ne!(ann, nora);
    assert_eq!(verified, json!(false));
    let others = [
        subject("oidc", "ann-mfa").await.0,
        subject("github", "ann-mfa").await.0,
    ];
    assert!(
        !others.contains(&ann) && others[0] != others[1],
        "accounts were joined by address"
    );
    assert_eq!(
        subject("contoso", "ann-mfa").await.0,
        ann,
        "the same person of the same tenant"
    );
}
