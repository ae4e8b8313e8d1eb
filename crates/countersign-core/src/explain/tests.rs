use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::calendar::day_of;
use crate::cases::{Column, SignIn, Words};
use crate::{
    AccountFacts, AccountId, Claim, Claims, ClientId, Demands, Login, Mapping, Membership,
    OrganizationId, Outcome, ProviderId, Scope, Source, TenantId,
};

const POLICY: &str = r#"version = 1
[proof.okta]
acr = ["gold"]
amr = ["mfa"]
[proof.resistant]
acr = ["gold", "phr"]
[proof.github]
two_factor_authentication = true
[proof.entra]
acr = ["urn:mfa"]
[proof.entra.tenant."6e93a626-8aca-4dc1-9191-ce291b4b75a1"]
acrs = { c1 = "mfa" }
[proof.own]
when = 'claims.assurance == "high"'
level = "mfa"
[methods]
never = ["sms"]
phishing_resistant = { acr = ["phr"] }
[calendar]
new_accounts_from = 2027-03-08
existing_accounts = { from = 2027-03-08, until = 2027-05-08 }
before_due = "remind"
ratchet = true
[tier.browse]
scopes = ["packages:read"]
needs = "none"
[tier.manage]
scopes = ["packages:manage"]
needs = "mfa"
accepts = ["session", "tenant"]
verified_email = true
[tier.publish]
scopes = ["packages:publish"]
needs = "mfa"
accepts = ["session", "enrolment", "tenant"]
max_evidence_age = "12h"
[tier.seal]
scopes = ["keys:write"]
needs = "phishing-resistant"
accepts = ["session"]
max_age = "5m"
[client.gallery]
tier = "publish"
[client.lobby]
tier = "browse"
[client.vault]
tier = "publish"
stricter.publish = { accepts = ["session"], max_evidence_age = "1h" }
[organization.contoso]
tenants = ["6e93a626-8aca-4dc1-9191-ce291b4b75a1"]
stricter.publish = { accepts = ["tenant"] }
[exception.one]
account = "acct_1"
reason = "a broken security key"
approved_by = "security@registry.example"
until = 2027-06-30
waives = ["publish"]
"#;

fn policy() -> Policy {
    static READ: std::sync::OnceLock<Policy> = std::sync::OnceLock::new();
    let read = || Policy::parse("policy.toml", POLICY).unwrap_or_else(|all| panic!("{all}"));
    READ.get_or_init(read).clone()
}

fn sign_in(words: &[(Column, &'static str)]) -> SignIn {
    let default = [(Column::Client, "gallery"), (Column::Provider, "okta")];
    let words = Words::new(default.into_iter().chain(words.iter().copied()));
    SignIn::described(&policy(), &words).unwrap_or_else(|all| panic!("{all:?}"))
}

fn explained(words: &[(Column, &'static str)]) -> Explanation {
    let SignIn { facts, now } = sign_in(words);
    explain(&policy(), &facts, now)
}

/// What would have let such a login in.
fn nearest(words: &[(Column, &'static str)]) -> Vec<String> {
    let all = explained(words).nearest;
    all.iter().map(Change::in_words).collect()
}

const AFTER: (Column, &str) = (Column::On, "2027-06-01");

#[test]
fn a_missing_second_factor_is_named_with_the_claims_that_would_show_it() {
    assert_eq!(
        nearest(&[AFTER, (Column::Shows, "acr=silver amr=pwd")]),
        ["with mfa (the provider says that this login used it): `acr=gold`"]
    );
    assert_eq!(
        nearest(&[
            AFTER,
            (Column::Provider, "github"),
            (Column::Shows, "password")
        ]),
        [
            "with mfa by enrolment (the account has it switched on): `two_factor_authentication=true`"
        ]
    );
    assert_eq!(
        nearest(&[AFTER, (Column::Provider, "own"), (Column::Shows, "nothing")]),
        ["with mfa (the provider says that this login used it): `assurance=high`"]
    );
}

#[test]
fn what_is_too_old_wants_a_new_sign_in_and_nothing_else() {
    assert_eq!(
        nearest(&[AFTER, (Column::Shows, "mfa"), (Column::Verified, "13h ago")]),
        ["signed in anew just then"]
    );
}

#[test]
fn where_one_change_is_not_enough_several_are_named_together() {
    let words = [
        AFTER,
        (Column::Shows, "password"),
        (Column::Verified, "13h ago"),
        (Column::AsksFor, "packages:manage"),
    ];
    assert_eq!(
        nearest(&words),
        [
            "signed in anew just then; and with a verified e-mail address, by the provider's word or the registry's; \
             and with mfa (the provider says that this login used it): `acr=gold`"
        ]
    );
}

#[test]
fn what_a_provider_can_not_show_is_never_suggested() {
    let words = [
        AFTER,
        (Column::Provider, "github"),
        (Column::Shows, "mfa by enrolment"),
        (Column::AsksFor, "keys:write"),
    ];
    let explanation = explained(&words);
    assert_eq!(explanation.nearest, []);
    assert!(!explanation.loosenings.is_empty());
}

#[test]
fn an_organization_is_acted_for_through_its_tenant() {
    let words = [
        AFTER,
        (Column::Provider, "entra"),
        (Column::Shows, "mfa by tenant"),
        (Column::Organization, "contoso"),
        (Column::Tenant, "of contoso, guest"),
    ];
    assert_eq!(
        nearest(&words)[0],
        "signed in as a member of `contoso`, through its tenant 6e93a626-8aca-4dc1-9191-ce291b4b75a1"
    );
}

#[test]
fn waiting_is_no_change_and_an_earlier_day_is_told() {
    let due = [
        (Column::On, "2027-05-08"),
        (Column::Shows, "password"),
        (Column::Account, "due 2027-04-13"),
    ];
    let earlier = explained(&due).earlier.unwrap();
    assert_eq!(
        earlier.in_words(),
        "until 2027-04-12: the calendar reaches this account on 2027-04-13"
    );
    let exception = [
        (Column::On, "2027-08-01"),
        (Column::Shows, "password"),
        (Column::Account, "acct_1, due 2027-04-13"),
    ];
    let earlier = explained(&exception).earlier.unwrap();
    assert_eq!(
        earlier.in_words(),
        "until 2027-06-30: `exception.one` ended then"
    );
    let ratchet = [
        (Column::On, "2027-04-01"),
        (Column::Shows, "password"),
        (Column::Account, "shown mfa 2027-03-20"),
    ];
    let earlier = explained(&ratchet).earlier.unwrap();
    assert_eq!(
        earlier.in_words(),
        "until 2027-03-20: the account had not shown a second factor yet"
    );
    let new = [AFTER, (Column::Shows, "password"), (Column::Account, "new")];
    assert_eq!(explained(&new).earlier, None);
}

#[test]
fn the_policys_own_part_is_told_by_its_name_in_the_file() {
    let words = [AFTER, (Column::Shows, "acr=silver")];
    let loosenings: Vec<String> = explained(&words)
        .loosenings
        .iter()
        .map(Loosening::in_words)
        .collect();
    assert_eq!(
        loosenings,
        [
            "an `[exception.NAME]` with `account = \"acct_case\"`, `waives = [\"publish\"]` and `until` no earlier than 2027-06-01",
            "`proof.okta.acr` with \"silver\", if the provider sends that for a second factor and for nothing less",
            "`tier.publish.needs` = \"none\"",
        ]
    );
}

#[test]
fn what_would_be_loosened_is_named_where_it_is_written() {
    let words = [
        AFTER,
        (Column::Client, "vault"),
        (Column::Shows, "acr=silver"),
        (Column::Verified, "13h ago"),
    ];
    let last = explained(&words).loosenings.pop().unwrap();
    assert_eq!(
        last.in_words(),
        "`client.vault.stricter.publish.max_evidence_age` and `tier.publish.max_evidence_age` of 13h or longer; and \
         `tier.publish.needs` = \"none\""
    );
}

#[test]
fn who_can_not_sign_in_is_still_told_how_each_scope_stands() {
    let words = [
        AFTER,
        (Column::Shows, "password"),
        (Column::AsksFor, "packages:read keys:write"),
    ];
    let scopes = explained(&words).scopes;
    let rules: Vec<&str> = scopes.iter().map(|one| one.rule.as_str()).collect();
    assert_eq!(rules[..2], ["tier.publish", "tier.seal"]);
    assert!(scopes[2].is_met());
}

#[test]
fn a_value_that_no_policy_may_count_is_not_suggested() {
    for shown in [
        "acr=0",
        "acr=1",
        "acr=urn:microsoft:policies:default",
        "amr=pwd",
    ] {
        let SignIn { facts, now } = sign_in(&[AFTER, (Column::Shows, shown)]);
        for loosening in explain(&policy(), &facts, now).loosenings {
            assert!(
                !loosening.in_words().contains("proof."),
                "{shown}: {}",
                loosening.in_words()
            );
        }
    }
}

#[test]
fn what_was_let_in_with_all_that_it_asked_for_needs_no_change() {
    let explanation = explained(&[
        AFTER,
        (Column::Shows, "mfa"),
        (Column::AsksFor, "packages:publish"),
    ]);
    assert_eq!(explanation.verdict.outcome, Outcome::Permit);
    assert_eq!((explanation.nearest, explanation.earlier), (vec![], None));
    assert_eq!(explanation.loosenings, []);
    assert!(explanation.scopes.iter().all(Standing::is_met));
}

#[test]
fn each_scope_is_told_on_its_own() {
    let words = [
        AFTER,
        (Column::Shows, "mfa"),
        (
            Column::AsksFor,
            "packages:manage packages:publish keys:write",
        ),
    ];
    let told: Vec<String> = explained(&words)
        .scopes
        .iter()
        .map(|one| {
            let scope = one.scope.as_ref().map_or("", Scope::as_str);
            let codes: Vec<&str> = one.reasons.iter().map(|reason| reason.code()).collect();
            format!("{scope} [{}] {}", one.rule.as_str(), codes.join(" "))
        })
        .collect();
    assert_eq!(
        told,
        [
            " [tier.publish] ",
            "keys:write [tier.seal] phishing-resistant-absent auth-time-absent",
            "packages:manage [tier.manage] email-not-verified",
            "packages:publish [tier.publish] ",
        ]
    );
}

#[test]
fn the_sentences_say_what_was_shown_what_counts_and_what_is_missing() {
    let words = [
        (Column::On, "2027-05-08"),
        (Column::Shows, "acr=silver"),
        (Column::Verified, "13h ago"),
        (Column::Account, "due 2027-04-13"),
    ];
    assert_eq!(
        explained(&words).because,
        [
            "The login at `okta` shows no second factor: it carries `acr=silver`, and of this provider the policy counts \
             `acr=gold`, `amr=mfa`.",
            "The calendar has reached this account: since 2027-04-13 it must show a second factor.",
            "`tier.publish` is not met: it needs mfa (session or enrolment or tenant), verified at most 12h ago; the login \
             shows none that counts (mfa-absent), and Countersign verified the login 13h before.",
        ]
    );
}

#[test]
fn who_is_no_operator_is_told_so_and_not_to_sign_in_better() {
    let operating = "[tier.seal]\nscopes = [\"operator:read\", ";
    let text = POLICY.replace("[tier.seal]\nscopes = [", operating);
    let policy = Policy::parse("policy.toml", &text).unwrap_or_else(|all| panic!("{all}"));
    let words = [AFTER, (Column::Shows, "mfa")];
    let SignIn { mut facts, now } = sign_in(&words);
    facts.scopes = Scope::new(Scope::OPERATOR_READ).into_iter().collect();
    let told = explain(&policy, &facts, now).because;
    let expected = "`operators` does not name the account: none of its scopes is theirs, whatever the login shows.";
    assert!(told.contains(&expected.to_owned()), "{told:#?}");
}

#[test]
fn a_hundred_thousand_organizations_do_not_matter() {
    let mut policy = policy();
    for number in 0..100_000 {
        let id = OrganizationId::new(format!("org-{number}")).unwrap();
        policy
            .organizations
            .insert(id, crate::OrganizationRule::default());
    }
    let SignIn { facts, now } = sign_in(&[AFTER, (Column::Shows, "password")]);
    assert_eq!(only_for(&policy, &facts).organizations.len(), 0);
    assert_eq!(
        explain(&policy, &facts, now),
        explain(&self::policy(), &facts, now)
    );
}

// ---- for all logins ------------------------------------------------------------------------

const TENANT: &str = "6e93a626-8aca-4dc1-9191-ce291b4b75a1";

fn any_claim<T: Clone + std::fmt::Debug>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Claim<T>> {
    prop_oneof![
        3 => value.prop_map(Claim::Value),
        2 => Just(Claim::Absent),
        1 => Just(Claim::Malformed),
        1 => Just(Claim::Contradictory),
    ]
}

fn any_list(values: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(prop::sample::select(values).prop_map(str::to_owned), 0..3)
}

fn noon(day: i64) -> Timestamp {
    let first: Timestamp = "2027-01-01T12:00:00Z".parse().unwrap();
    first + SignedDuration::from_hours(24 * day)
}

prop_compose! {
    fn any_login()(
        provider in prop::sample::select(&["okta", "resistant", "github", "entra", "own", "nobody"][..]),
        tenant in prop::option::of(prop::sample::select(&[TENANT, TenantId::CONSUMERS, "11111111-1111-4111-8111-111111111111"][..])),
        acr in any_claim(prop::sample::select(&["gold", "silver", "0", "phr", "urn:mfa"][..]).prop_map(str::to_owned)),
        amr in any_claim(any_list(&["pwd", "mfa", "sms", "otp"])),
        acrs in any_claim(any_list(&["c1", "c2"])),
        flag in any_claim(any::<bool>()),
        hours in prop::option::of(0_i64..48),
        guest in any_claim(prop_oneof![Just(Membership::Guest), Just(Membership::Member)]),
        email_verified in any::<bool>(),
        verified_hours in 0_i64..48,
        day in 60_i64..240,
    ) -> (Login, i64) {
        let ago = |hours| noon(day) - SignedDuration::from_hours(hours);
        let login = Login {
            tenant: tenant.map(|tenant| TenantId::new(tenant).unwrap()),
            claims: Claims {
                acr,
                amr,
                acrs,
                two_factor_authentication: flag,
                auth_time: hours.map_or(Claim::Absent, |hours| Claim::Value(ago(hours))),
                ..Claims::default()
            },
            membership: guest,
            email_verified,
            ..Login::new(ProviderId::new(provider).unwrap(), ago(verified_hours))
        };
        (login, day)
    }
}

/// A mapping of the tenant that `any_login` may come from, as its admin made it.
fn mapped(name: &str) -> Mapping {
    let id = OrganizationId::new(name).unwrap();
    let tenant = TenantId::new(TENANT).unwrap();
    Mapping::new(id, Source::Tenant(tenant))
}

prop_compose! {
    fn any_facts()(
        (login, day) in any_login(),
        client in prop::sample::select(&["gallery", "lobby", "vault", "stranger"][..]),
        scopes in prop::collection::btree_set(
            prop::sample::select(&["packages:read", "packages:manage", "packages:publish", "keys:write", "unlisted"][..]),
            0..4,
        ),
        organization in prop::option::weighted(0.3, prop::sample::select(&["contoso", "fabrikam"][..])),
        made_before in 0_i64..400,
        spread in any::<u64>(),
        told in prop::option::of(0_i64..200),
        shown in prop::option::of(0_i64..100),
        who in 1_u8..3,
        demands in (any::<bool>(), any::<bool>(), any::<bool>()),
        identity_changed in prop::bool::weighted(0.1),
        withdrawn in prop::bool::weighted(0.1),
        steps_up in any::<bool>(),
    ) -> (Facts, Timestamp) {
        let now = noon(day);
        let date = |day: i64| -> Date { day_of(noon(day)) };
        let (acr, max_age, again) = demands;
        let facts = Facts {
            client: ClientId::new(client).unwrap(),
            scopes: scopes.into_iter().chain(["openid"]).map(|it| Scope::new(it).unwrap()).collect(),
            mappings: organization.map(mapped).into_iter().collect(),
            waivers: Vec::new(),
            organization: organization.map(|name| OrganizationId::new(name).unwrap()),
            manages: None,
            demands: Demands {
                acr_values: if acr { vec![crate::Acr::Mfa] } else { Vec::new() },
                max_age: max_age.then(|| SignedDuration::from_hours(1)),
                authenticated_since: again.then(|| now - SignedDuration::from_mins(1)),
            },
            login,
            identity_changed,
            withdrawn,
            account: AccountFacts {
                id: AccountId::new(format!("acct_{who}")).unwrap(),
                made_at: noon(day - made_before),
                spread,
                told_due: told.map(date),
                first_mfa_at: shown.map(|days| noon(day - days)),
                email_vouched: false,
                locked: false,
            },
            remedy: if steps_up { Remedy::StepUp } else { Remedy::Nothing },
            session_expires_at: None,
            stated: None,
            key_made_at: None,
        };
        (facts, now)
    }
}

/// The scopes that are granted; nothing where nobody is let in.
fn granted(decision: &Decision) -> BTreeSet<Scope> {
    match decision {
        Decision::Permit(permit) => permit.scopes().clone(),
        Decision::StepUp(_) | Decision::Refuse(_) => BTreeSet::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_is_suggested_lets_in((facts, now) in any_facts()) {
        let policy = policy();
        let before = decide(&policy, &in_the_end(&facts), now);
        let explanation = explain(&policy, &facts, now);
        for change in &explanation.nearest {
            let after = decide(&policy, &change.applied(&facts, now), now);
            prop_assert!(matches!(after, Decision::Permit(_)), "{}: {after:?}", change.in_words());
            prop_assert!(granted(&after).is_superset(&granted(&before)), "{}", change.in_words());
            prop_assert_ne!(granted(&after), granted(&before));
        }
        for loosening in &explanation.loosenings {
            let after = decide(&loosening.applied(&policy), &in_the_end(&facts), now);
            prop_assert!(matches!(after, Decision::Permit(_)), "{}: {after:?}", loosening.in_words());
        }
        if let Some(earlier) = &explanation.earlier {
            prop_assert!(earlier.at < now);
            let after = decide(&policy, &earlier.applied(&facts, now), earlier.at);
            prop_assert!(matches!(after, Decision::Permit(_)), "{}: {after:?}", earlier.in_words());
        }
    }

    #[test]
    fn no_step_of_a_suggestion_is_for_nothing((facts, now) in any_facts()) {
        let policy = policy();
        for change in explain(&policy, &facts, now).nearest {
            let whole = granted(&decide(&policy, &change.applied(&facts, now), now));
            for index in 0..change.steps.len() {
                let mut less = change.clone();
                less.steps.remove(index);
                let part = granted(&decide(&policy, &less.applied(&facts, now), now));
                prop_assert!(part != whole, "{}", change.in_words());
            }
        }
    }

    #[test]
    fn an_explanation_has_a_sentence_for_every_refusal((facts, now) in any_facts()) {
        let explanation = explain(&policy(), &facts, now);
        prop_assert!(!explanation.because.is_empty());
        prop_assert!(serde_json::to_string(&explanation).is_ok());
    }
}
