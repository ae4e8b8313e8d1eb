//! The calendar and exceptions: what lets go of a second factor, for how long, and for whom.

use jiff::civil::{Date, date};

use super::*;
use crate::calendar::{Due, end_of};
use crate::{ExceptionName, Membership, OrganizationId};

/// Two tiers that need something, an organisation with a rule of its own, and a calendar.
const TEXT: &str = r#"version = 1
[proof.entra]
acr = ["urn:mfa"]
[proof.okta]
acr = ["urn:mfa", "phr"]
[methods]
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
accepts = ["session"]
verified_email = true
[tier.publish]
scopes = ["packages:publish"]
needs = "mfa"
accepts = ["session"]
max_evidence_age = "12h"
[client.gallery]
tier = "publish"
[client.lobby]
tier = "browse"
[client.vault]
tier = "publish"
stricter.publish.needs = "phishing-resistant"
[organization.contoso]
tenants = ["6e93a626-8aca-4dc1-9191-ce291b4b75a1"]
stricter.publish = { needs = "phishing-resistant" }
[organization.contoso-bank]
tenants = ["6e93a626-8aca-4dc1-9191-ce291b4b75a1"]
[exception.bank]
organization = "contoso-bank"
reason = "card-controlled rooms, no phones"
approved_by = "security@registry.example"
until = 2027-09-30
waives = ["publish"]
[exception.one-account]
account = "acct_1"
reason = "a broken security key"
approved_by = "security@registry.example"
until = 2027-06-01
waives = ["publish"]
"#;

fn with_calendar() -> Policy {
    Policy::parse("policy.toml", TEXT).unwrap_or_else(|all| panic!("{all}"))
}

fn limiting() -> Policy {
    let text = TEXT.replace(r#""remind""#, r#""limit""#);
    Policy::parse("policy.toml", &text).unwrap()
}

/// Without the calendar, so that everybody must now.
fn enforced() -> Policy {
    Policy {
        calendar: None,
        ..with_calendar()
    }
}

/// A login without a second factor, at noon of a day, of an account that is due on the last day.
fn weak(scopes: &str, day: Date) -> (Facts, Timestamp) {
    let noon = end_of(day) - SignedDuration::from_hours(12);
    let mut facts = facts("gallery", scopes, by_acr("okta", "urn:password"));
    facts.login.verified_at = noon;
    facts.account.id = AccountId::new("acct_2").unwrap();
    facts.account.spread = u64::MAX;
    (facts, noon)
}

/// The decision, the rule that made it, the day and the waiver that a token would name.
fn told(policy: &Policy, (facts, now): (Facts, Timestamp)) -> String {
    let decision = decide(policy, &facts, now);
    let mut line = format!("{} [{}]", summary(&decision), decision.rule().as_str());
    if let Decision::Permit(permit) = &decision {
        assert_eq!(permit.acr(), Acr::Single, "a leniency proves nothing");
        let due = permit.mfa_due().map(|due| format!(" due {due}"));
        let waiver = permit.waiver().map(|waiver| format!(" waiver {waiver}"));
        line.extend(due.into_iter().chain(waiver));
    }
    line
}

#[test]
fn before_its_day_an_account_is_let_in_and_told_the_day() {
    let policy = with_calendar();
    assert_eq!(
        told(&policy, weak("openid packages:publish", date(2027, 5, 7))),
        "permit: openid packages:publish [calendar] due 2027-05-08"
    );
    assert_eq!(
        told(&policy, weak("openid packages:publish", date(2027, 5, 8))),
        "refuse: mfa-absent [tier.publish]"
    );
}

/// What the calendar says of the account, to who is turned away or sent back.
fn asked_since(policy: &Policy, (facts, now): (Facts, Timestamp)) -> Option<Due> {
    match decide(policy, &facts, now) {
        Decision::Refuse(refusal) => refusal.due,
        Decision::StepUp(step_up) => step_up.due,
        Decision::Permit(_) => panic!("{facts:#?} is let in"),
    }
}

#[test]
fn who_is_turned_away_or_sent_back_after_its_day_can_be_told_the_day() {
    let policy = with_calendar();
    let (weak, now) = weak("openid", date(2027, 5, 8));
    let on_its_day = Some(Due::On(date(2027, 5, 8)));
    assert_eq!(asked_since(&policy, (weak.clone(), now)), on_its_day);
    let sent_back = with_remedy(weak.clone());
    assert_eq!(asked_since(&policy, (sent_back, now)), on_its_day);
    assert_eq!(asked_since(&enforced(), (weak.clone(), now)), None);
    let mut shown_before = weak;
    shown_before.account.first_mfa_at = Some(now);
    assert_eq!(asked_since(&policy, (shown_before, now)), Some(Due::Always));
}

#[test]
fn no_day_is_told_where_something_else_is_missing() {
    let (mut stale, now) = weak("openid packages:publish", date(2027, 5, 8));
    stale.login = by_acr("okta", "urn:mfa");
    stale.login.verified_at = now - SignedDuration::from_hours(13);
    assert_eq!(asked_since(&with_calendar(), (stale, now)), None);
    let (asking, now) = weak("openid", date(2027, 4, 1));
    let asking = demanding(asking, acr_values(&[Acr::Mfa]));
    assert_eq!(asked_since(&with_calendar(), (asking, now)), None);
}

#[test]
fn no_token_outlives_the_day_before_the_due_one() {
    let (facts, now) = weak("openid", date(2027, 5, 7));
    let Decision::Permit(permit) = decide(&with_calendar(), &facts, now) else {
        panic!("it is not due yet");
    };
    assert_eq!(permit.not_after(), Some(end_of(date(2027, 5, 7))));
}

#[test]
fn the_calendar_lets_go_of_the_second_factor_and_of_nothing_else() {
    let policy = with_calendar();
    let manage = weak("openid packages:manage", date(2027, 4, 1));
    assert_eq!(
        told(&policy, manage.clone()),
        "permit: openid [calendar] due 2027-05-08"
    );
    let (mut vouched, now) = manage;
    vouched.account.email_vouched = true;
    assert_eq!(
        told(&policy, (vouched, now)),
        "permit: openid packages:manage [calendar] due 2027-05-08"
    );
    let (mut stale, now) = weak("openid packages:publish", date(2027, 4, 1));
    stale.login.verified_at = now - SignedDuration::from_hours(13);
    assert_eq!(
        told(&policy, (stale, now)),
        "refuse: evidence-too-old [tier.publish]"
    );
}

#[test]
fn limited_until_its_day_an_account_signs_in_and_does_only_what_needs_nothing() {
    let policy = limiting();
    let scopes = "openid packages:read packages:publish";
    assert_eq!(
        told(&policy, weak(scopes, date(2027, 4, 1))),
        "permit: openid packages:read [calendar] due 2027-05-08"
    );
    assert_eq!(
        told(&policy, weak(scopes, date(2027, 5, 8))),
        "refuse: mfa-absent [tier.publish]"
    );
}

/// What would outlast the leniency is for nobody who has not shown a second factor: whoever takes over such an account
/// must not decide by it who gets in later.
#[test]
fn who_decides_who_gets_in_is_let_go_of_nothing() {
    let lasting = ["tenants:write", "identities:write"];
    for scope in lasting {
        let scopes = format!(r#"scopes = ["packages:publish", "{scope}"]"#);
        let text = TEXT.replace(r#"scopes = ["packages:publish"]"#, &scopes);
        let policy = Policy::parse("policy.toml", &text).unwrap();
        let asked = format!("openid packages:publish {scope}");
        let let_off = "permit: openid packages:publish";
        assert_eq!(
            told(&policy, weak(&asked, date(2027, 5, 7))),
            format!("{let_off} [calendar] due 2027-05-08")
        );
        // Nor by an exception of the very tier.
        let (mut facts, now) = weak(&asked, date(2027, 5, 8));
        facts.account.id = AccountId::new("acct_1").unwrap();
        assert_eq!(
            told(&policy, (facts.clone(), now)),
            format!("{let_off} [exception.one-account] waiver one-account")
        );
        // Who can still be sent back is.
        facts.remedy = Remedy::StepUp;
        assert!(matches!(decide(&policy, &facts, now), Decision::StepUp(_)));
        facts.login.claims = by_acr("okta", "urn:mfa").claims;
        let shown = decide(&policy, &facts, now);
        assert!(summary(&shown).contains(scope), "{}", summary(&shown));
    }
}

#[test]
fn who_manages_an_organization_is_held_to_what_it_demands_and_need_not_belong_to_it() {
    let text = TEXT.replace(
        r#"scopes = ["packages:publish"]"#,
        r#"scopes = ["packages:publish", "tenants:write"]"#,
    );
    let policy = Policy::parse("policy.toml", &text).unwrap();
    let asked = |acr: &str, manages: Option<&str>| {
        let mut facts = facts("lobby", "openid tenants:write", by_acr("okta", acr));
        facts.manages = manages.map(|name| OrganizationId::new(name).unwrap());
        let decision = decide(&policy, &facts, Timestamp::from_second(LOGIN).unwrap());
        summary(&decision).contains("tenants:write")
    };
    assert!(asked("urn:mfa", None));
    assert!(!asked("urn:mfa", Some("contoso")));
    assert!(asked("phr", Some("contoso")));
    // One that demands nothing more, and one that the policy doesn't name.
    assert!(asked("urn:mfa", Some("contoso-bank")));
    assert!(asked("urn:mfa", Some("fabrikam")));
}

#[test]
fn a_new_account_must_from_the_beginning() {
    let (mut facts, now) = weak("openid", date(2027, 3, 9));
    facts.account.made_at = now;
    assert_eq!(
        told(&with_calendar(), (facts, now)),
        "refuse: mfa-absent [tier.publish]"
    );
}

#[test]
fn who_has_once_shown_mfa_is_held_to_it() {
    let (mut facts, now) = weak("openid", date(2027, 3, 9));
    facts.account.first_mfa_at = Some(now - SignedDuration::from_hours(1));
    assert_eq!(
        told(&with_calendar(), (facts.clone(), now)),
        "refuse: mfa-absent [tier.publish]"
    );
    let mut lenient = with_calendar();
    lenient.calendar.as_mut().unwrap().ratchet = false;
    assert_eq!(
        told(&lenient, (facts, now)),
        "permit: openid [calendar] due 2027-05-08"
    );
}

#[test]
fn the_ratchet_holds_to_mfa_and_before_the_day_to_no_more() {
    let day = date(2027, 4, 1);
    let asked = |client: &str, shows_mfa: bool, seen: bool| {
        let (mut facts, now) = weak("packages:publish", day);
        facts.client = ClientId::new(client).unwrap();
        if shows_mfa {
            facts.login.claims = session_mfa().claims;
        }
        facts.account.first_mfa_at = seen.then_some(now);
        summary(&decide(&with_calendar(), &facts, now))
    };
    let (granted, refused) = ("permit: packages:publish", "refuse: mfa-absent");
    for (client, shows_mfa, seen, expected) in [
        ("gallery", false, false, granted),
        ("gallery", false, true, refused),
        ("gallery", true, true, granted),
        // This client needs more than MFA. Seen at the sign-in, it is asked about again at the token endpoint.
        ("vault", true, false, granted),
        ("vault", true, true, granted),
        ("vault", false, true, refused),
    ] {
        assert_eq!(
            asked(client, shows_mfa, seen),
            expected,
            "{client}, shows MFA: {shows_mfa}, seen before: {seen}"
        );
    }
}

#[test]
fn who_has_mfa_notices_nothing_of_the_calendar() {
    let (mut facts, now) = weak("openid packages:publish", date(2027, 4, 1));
    facts.login.claims = session_mfa().claims;
    let Decision::Permit(permit) = decide(&with_calendar(), &facts, now) else {
        panic!("a good login was not let in");
    };
    assert_eq!((permit.mfa_due(), permit.waiver()), (None, None));
    assert_eq!(permit.acr(), Acr::Mfa);
    assert_eq!(permit.rule.as_str(), "tier.publish");
}

#[test]
fn a_demand_of_the_request_is_not_let_go_of() {
    let (facts, now) = weak("openid", date(2027, 4, 1));
    let demanding = demanding(facts, acr_values(&[Acr::Mfa]));
    assert_eq!(
        told(&with_calendar(), (demanding, now)),
        "refuse the request: acr-not-met [request]"
    );
}

#[test]
fn an_account_with_an_exception_is_let_in_until_its_last_day_and_the_token_says_so() {
    let of_account = |day| {
        let (mut facts, now) = weak("openid packages:publish", day);
        facts.account.id = AccountId::new("acct_1").unwrap();
        (facts, now)
    };
    let policy = enforced();
    assert_eq!(
        told(&policy, of_account(date(2027, 6, 1))),
        "permit: openid packages:publish [exception.one-account] waiver one-account"
    );
    assert_eq!(
        told(&policy, of_account(date(2027, 6, 2))),
        "refuse: mfa-absent [tier.publish]"
    );
    assert_eq!(
        told(&policy, weak("openid packages:publish", date(2027, 6, 1))),
        "refuse: mfa-absent [tier.publish]"
    );
}

#[test]
fn while_the_calendar_lets_in_no_exception_is_used() {
    let (mut facts, now) = weak("openid", date(2027, 4, 1));
    facts.account.id = AccountId::new("acct_1").unwrap();
    assert_eq!(
        told(&with_calendar(), (facts, now)),
        "permit: openid [calendar] due 2027-05-08"
    );
}

/// A login without a second factor from the tenant, for an organisation.
fn for_organization(name: &str, membership: Claim<Membership>) -> (Facts, Timestamp) {
    let (mut facts, now) = weak("openid packages:publish", date(2027, 6, 1));
    facts.login.provider = ProviderId::new("entra").unwrap();
    facts.login.tenant = Some(TenantId::new(TENANT).unwrap());
    facts.login.membership = membership;
    facts.organization = Some(OrganizationId::new(name).unwrap());
    (facts, now)
}

#[test]
fn an_organizations_exception_holds_for_its_own_people_and_only_while_they_act_for_it() {
    let policy = enforced();
    let member = Claim::Value(Membership::Member);
    let bank = for_organization("contoso-bank", member);
    assert_eq!(
        told(&policy, bank.clone()),
        "permit: openid packages:publish [exception.bank] waiver bank"
    );
    let (mut alone, now) = bank.clone();
    alone.organization = None;
    assert_eq!(
        told(&policy, (alone, now)),
        "refuse: mfa-absent [tier.publish]"
    );
    let (mut elsewhere, now) = bank;
    elsewhere.login.tenant = None;
    assert_eq!(
        told(&policy, (elsewhere, now)),
        "refuse: organization-not-shown [organization.contoso-bank.tenants]"
    );
}

#[test]
fn a_guest_of_its_tenant_does_not_act_for_an_organization() {
    for membership in [
        Claim::Value(Membership::Guest),
        Claim::Malformed,
        Claim::Contradictory,
    ] {
        assert_eq!(
            told(&enforced(), for_organization("contoso-bank", membership)),
            "refuse: organization-not-shown [organization.contoso-bank.tenants]"
        );
    }
}

#[test]
fn an_organization_that_the_policy_does_not_name_can_not_be_acted_for() {
    assert_eq!(
        told(&enforced(), for_organization("fabrikam", Claim::Absent)),
        "refuse: organization-not-shown [organization.fabrikam.tenants]"
    );
}

#[test]
fn what_is_stricter_for_an_organization_or_a_client_holds_there_alone() {
    let policy = enforced();
    let (mut facts, now) = for_organization("contoso", Claim::Absent);
    facts.login.claims = session_mfa().claims;
    let refused = decide(&policy, &facts, now);
    assert_eq!(summary(&refused), "refuse: phishing-resistant-absent");
    assert_eq!(
        refused.rule().as_str(),
        "organization.contoso.stricter.publish"
    );

    facts.organization = None;
    let usual = decide(&policy, &facts, now);
    assert_eq!(summary(&usual), "permit: openid packages:publish");

    facts.client = ClientId::new("vault").unwrap();
    let refused = decide(&policy, &facts, now);
    assert_eq!(refused.rule().as_str(), "client.vault.stricter.publish");
}

#[test]
fn what_is_left_out_is_named_with_what_would_meet_it() {
    let (mut facts, now) = weak("openid packages:manage packages:publish", date(2027, 6, 1));
    facts.client = ClientId::new("lobby").unwrap();
    facts.login.verified_at = now - SignedDuration::from_hours(13);
    let Decision::Permit(permit) = decide(&enforced(), &facts, now) else {
        panic!("the lobby needs nothing");
    };
    let [manage, publish] = permit.unmet() else {
        panic!("{:?}", permit.unmet());
    };
    assert_eq!(manage.wanted.acr_values, [Acr::Mfa]);
    assert!(manage.wanted.verified_email && !manage.wanted.reauthenticate);
    assert_eq!(publish.wanted.acr_values, [Acr::Mfa]);
    assert!(publish.wanted.reauthenticate && !publish.wanted.verified_email);
}

#[test]
fn an_unverified_address_is_no_reason_to_send_somebody_back_to_the_provider() {
    let (mut facts, now) = weak("openid packages:manage", date(2027, 6, 1));
    facts.client = ClientId::new("lobby").unwrap();
    facts.login.claims = session_mfa().claims;
    let decision = decide(&enforced(), &with_remedy(facts), now);
    assert_eq!(summary(&decision), "permit: openid");
}

#[test]
fn a_step_up_answered_by_another_person_ends_it() {
    let (mut facts, now) = weak("openid", date(2027, 4, 1));
    facts.identity_changed = true;
    assert_eq!(
        told(&with_calendar(), (facts, now)),
        "refuse: identity-changed [request]"
    );
}

#[test]
fn a_login_that_its_provider_withdrew_is_good_for_nothing() {
    let (mut facts, now) = weak("openid", date(2027, 4, 1));
    facts.withdrawn = true;
    assert_eq!(
        told(&with_calendar(), (facts, now)),
        "refuse: provider-withdrew [recheck]"
    );
}

// ---- for all logins ------------------------------------------------------------------------

prop_compose! {
    fn any_facts()(
        login in any_evidence(),
        spread in any::<u64>(),
        made in -400_i64..400,
        shown in prop::option::of(-400_i64..0),
        told in prop::option::of(-400_i64..400),
        who in 1_u8..3,
        email_vouched in any::<bool>(),
        organization in prop::option::of(prop_oneof![Just("contoso"), Just("contoso-bank"), Just("fabrikam")]),
        client in prop_oneof![Just("gallery"), Just("lobby"), Just("vault")],
        key_made in prop::option::of(-400_i64..400),
    ) -> Facts {
        let day = |days: i64| at(days * 86_400);
        let mut facts = facts(client, "openid packages:read packages:manage packages:publish", login);
        facts.key_made_at = key_made.map(day);
        facts.organization = organization.map(|name| OrganizationId::new(name).unwrap());
        facts.account = AccountFacts {
            id: AccountId::new(format!("acct_{who}")).unwrap(),
            made_at: day(made),
            spread,
            told_due: told.map(|days| jiff::tz::TimeZone::UTC.to_datetime(day(days)).date()),
            first_mfa_at: shown.map(day),
            email_vouched,
            locked: false,
        };
        facts
    }
}

/// The scopes that are granted; nothing where nobody is let in.
fn granted(policy: &Policy, facts: &Facts, now: Timestamp) -> BTreeSet<Scope> {
    match decide(policy, facts, now) {
        Decision::Permit(permit) => permit.scopes,
        Decision::StepUp(_) | Decision::Refuse(_) => BTreeSet::new(),
    }
}

#[test]
fn a_permit_says_when_what_it_rests_on_instead_of_a_proof_ends() {
    let lenient_until = |policy: &Policy, facts: &Facts, now| match decide(policy, facts, now) {
        Decision::Permit(permit) => permit.lenient_until(),
        other => panic!("{}", summary(&other)),
    };
    let (mut facts, noon) = weak("openid packages:publish", date(2027, 5, 7));
    let day = crate::calendar::midnight(date(2027, 5, 8));
    assert_eq!(lenient_until(&with_calendar(), &facts, noon), Some(day));
    facts.account.id = AccountId::new("acct_1").unwrap();
    let end = end_of(date(2027, 6, 1));
    assert_eq!(lenient_until(&enforced(), &facts, noon), Some(end));
    facts.login = by_acr("okta", "urn:mfa");
    facts.login.verified_at = noon;
    assert_eq!(lenient_until(&enforced(), &facts, noon), None);
}

proptest! {
    #[test]
    fn a_stricter_file_never_lets_more_in(facts in any_facts(), days in 0_i64..200) {
        let now = at(days * 86_400);
        let lenient = granted(&with_calendar(), &facts, now);
        let limited = granted(&limiting(), &facts, now);
        let held = granted(&enforced(), &facts, now);
        prop_assert!(limited.is_subset(&lenient), "{limited:?} {lenient:?}");
        prop_assert!(held.is_subset(&limited), "{held:?} {limited:?}");
        let mut without_email = with_calendar();
        without_email.tiers.get_mut("manage").unwrap().requirement.verified_email = false;
        prop_assert!(lenient.is_subset(&granted(&without_email, &facts, now)));
        let mut at_use = with_calendar();
        at_use.tiers.get_mut("publish").unwrap().requirement.fresh_at_use = true;
        prop_assert!(granted(&at_use, &facts, now).is_subset(&lenient));
    }

    #[test]
    fn removing_an_exception_never_lets_anyone_in(facts in any_facts(), days in 0_i64..400) {
        let now = at(days * 86_400);
        let mut without = enforced();
        without.exceptions = crate::Exceptions::default();
        prop_assert!(granted(&without, &facts, now).is_subset(&granted(&enforced(), &facts, now)));
    }

    #[test]
    fn an_exception_never_lets_in_whom_it_does_not_name(facts in any_facts(), days in 0_i64..400) {
        let now = at(days * 86_400);
        let is_named = facts.account.id.as_str() == "acct_1"
            || facts.organization.as_ref().is_some_and(|one| one.as_str() == "contoso-bank");
        prop_assume!(!is_named);
        let mut without = enforced();
        without.exceptions = crate::Exceptions::default();
        prop_assert_eq!(decide(&without, &facts, now), decide(&enforced(), &facts, now));
    }

    #[test]
    fn decide_is_deterministic_and_survives_its_own_log(facts in any_facts(), days in 0_i64..200) {
        let now = at(days * 86_400);
        let policy = with_calendar();
        let json = serde_json::to_string(&facts).unwrap();
        let read: Facts = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&read, &facts);
        prop_assert_eq!(decide(&policy, &facts, now), decide(&policy, &read, now));
    }

    #[test]
    fn a_leniency_is_always_named_and_never_raises_what_is_stated(facts in any_facts(), days in 0_i64..200) {
        let now = at(days * 86_400);
        let (policy, bare) = (with_calendar(), {
            let mut bare = enforced();
            bare.exceptions = crate::Exceptions::default();
            bare
        });
        if let Decision::Permit(permit) = decide(&policy, &facts, now) {
            let more: BTreeSet<_> = permit.scopes.difference(&granted(&bare, &facts, now)).cloned().collect();
            let names_a_rule = permit.rule.as_str() == "calendar" || permit.waiver.is_some();
            prop_assert!(more.is_empty() || names_a_rule, "{more:?}");
            let assurance = policy.assess(&facts.login);
            prop_assert!(permit.level() <= assurance.level());
        }
    }
}

#[test]
fn the_names_of_exceptions_are_those_of_the_file() {
    let names: Vec<ExceptionName> = with_calendar()
        .exceptions
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    assert_eq!(
        names,
        ["bank", "one-account"].map(|name| ExceptionName::new(name).unwrap())
    );
}
