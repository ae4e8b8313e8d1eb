use std::fmt::Write;

use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::{
    AccountFacts, Claim, Claims, ClientId, Demands, LineVersion, Login, OrganizationId, ProviderId,
    Scope, TenantId,
};

/// One provider, two clients: `lobby` lets everybody in, `gallery` needs a second factor.
const POLICY: &str = r#"version = 1
[proof.okta]
acr = ["urn:mfa"]
[proof.github]
two_factor_authentication = true
[tier.browse]
scopes = ["packages:read"]
needs = "none"
[tier.publish]
scopes = ["packages:publish"]
needs = "mfa"
accepts = ["session", "enrolment"]
max_evidence_age = "12h"
[client.lobby]
tier = "browse"
[client.gallery]
tier = "publish"
"#;

const CALENDAR: &str = r#"[calendar]
new_accounts_from = 2027-03-08
existing_accounts = { from = 2027-03-08, until = 2027-05-08 }
before_due = "remind"
"#;

/// A login at this moment, of an account that is years old.
const LOGIN: &str = "2027-02-01T12:00:00Z";

fn policy(more: &str) -> Policy {
    let text = format!("{POLICY}{more}");
    Policy::parse("policy.toml", &text).unwrap_or_else(|all| panic!("{all}"))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn account(id: &str) -> AccountFacts {
    AccountFacts {
        id: AccountId::new(format!("acct_{id}")).unwrap(),
        made_at: at("2020-01-01T00:00:00Z"),
        spread: u64::MAX,
        told_due: None,
        first_mfa_at: None,
        email_vouched: false,
        locked: false,
    }
}

/// Somebody signs in at `provider` to `client` for its scopes.
fn facts(who: &str, (provider, claims): (&str, Claims), client: &str, scopes: &str) -> Facts {
    let scopes = scopes.split(' ').map(|one| Scope::new(one).unwrap());
    Facts {
        client: ClientId::new(client).unwrap(),
        scopes: scopes.collect(),
        organization: None,
        manages: None,
        mappings: Vec::new(),
        waivers: Vec::new(),
        demands: Demands::default(),
        login: Login {
            claims,
            ..Login::new(ProviderId::new(provider).unwrap(), at(LOGIN))
        },
        identity_changed: false,
        withdrawn: false,
        account: account(who),
        remedy: Remedy::Nothing,
        session_expires_at: None,
        stated: None,
        key_made_at: None,
    }
}

fn with_acr(acr: &str) -> (&'static str, Claims) {
    let claims = Claims {
        acr: Claim::Value(acr.to_owned()),
        ..Claims::default()
    };
    ("okta", claims)
}

fn mfa() -> (&'static str, Claims) {
    with_acr("urn:mfa")
}

fn password() -> (&'static str, Claims) {
    with_acr("urn:password")
}

/// What the policy decided on these facts, as it stands in the log.
fn record(policy: &Policy, occasion: Occasion, facts: Facts) -> Record {
    let time = facts.login.verified_at;
    Record {
        v: LineVersion,
        time,
        request_id: format!("{}-{}", facts.account.id, time.as_second()),
        occasion,
        policy: "sha256:old".to_owned(),
        verdict: Verdict::from(&decide(policy, &facts, time)),
        facts,
    }
}

fn later(mut record: Record, seconds: i64) -> Record {
    let by = jiff::SignedDuration::from_secs(seconds);
    record.time += by;
    record.facts.login.verified_at += by;
    record
}

/// The same login with the step-up still to come.
fn first_leg(mut facts: Facts) -> Facts {
    facts.remedy = Remedy::StepUp;
    facts
}

fn simulate(candidate: &Policy, as_of: AsOf, records: &[Record]) -> Simulation {
    let candidate = Candidate {
        policy: candidate,
        hash: "sha256:new",
        as_of,
    };
    let mut simulation = Simulation::default();
    for record in records {
        simulation.add(&candidate, record);
    }
    simulation
}

/// The changes that there are: `same 2, newly-refused 1`.
fn changes(report: &Report) -> String {
    let named = report.changes.iter().filter(|(_, count)| *count > 0);
    let named: Vec<String> = named
        .map(|(change, count)| format!("{} {count}", change.as_str()))
        .collect();
    named.join(", ")
}

#[track_caller]
fn check(old: &str, new: &str, facts: Facts, expected: &str) {
    let record = record(&policy(old), Occasion::SignIn, facts);
    let simulation = simulate(&policy(new), AsOf::Recorded, &[record]);
    assert_eq!(changes(&simulation.report()), format!("{expected} 1"));
}

#[test]
fn each_way_in_which_a_decision_can_differ_has_its_name() {
    let lobby = |login, scopes| facts("ann", login, "lobby", scopes);
    let gallery = |login| facts("ann", login, "gallery", "openid");
    let both = "openid packages:publish";
    let stricter = "stricter.publish = { needs = \"mfa\", accepts = [\"enrolment\"] }\n";
    let client = |name: &str| format!("[client.{name}2]\ntier = \"publish\"\n{stricter}");
    let none = client("nobody");
    check("", "", gallery(mfa()), "same");
    check(CALENDAR, "", gallery(password()), "newly-refused");
    check(
        CALENDAR,
        "",
        first_leg(gallery(password())),
        "newly-stepped-up",
    );
    check("", CALENDAR, gallery(password()), "newly-let-in");
    check("", CALENDAR, first_leg(gallery(password())), "newly-let-in");
    check(CALENDAR, "", lobby(password(), both), "scopes-lost");
    check("", CALENDAR, lobby(password(), both), "scopes-gained");
    check("", &none, gallery(mfa()), "same");
    let soon = CALENDAR.replace("until = 2027-05-08", "until = 2027-04-08");
    check(CALENDAR, &soon, gallery(password()), "otherwise");
    let waived = "[exception.ann]\naccount = \"acct_ann\"\nreason = \"r\"\napproved_by = \"a\"\n\
                  until = 2027-12-31\nwaives = [\"publish\"]\n";
    check(waived, CALENDAR, gallery(password()), "newly-reminded");
}

#[test]
fn what_a_candidate_changes_is_counted_by_each_of_the_six() {
    let lenient = policy(CALENDAR);
    let records = [
        record(
            &lenient,
            Occasion::SignIn,
            facts("ann", password(), "gallery", "openid"),
        ),
        record(
            &lenient,
            Occasion::SignIn,
            facts("bob", mfa(), "gallery", "openid"),
        ),
        record(
            &lenient,
            Occasion::SignIn,
            facts("cat", password(), "lobby", "openid"),
        ),
    ];
    let report = simulate(&policy(""), AsOf::Recorded, &records).report();
    let mut told = String::new();
    for (name, groups) in [
        ("day", &report.by.day),
        ("provider", &report.by.provider),
        ("organization", &report.by.organization),
        ("client", &report.by.client),
        ("rule", &report.by.rule),
        ("reason", &report.by.reason),
    ] {
        for group in groups {
            let tally = &group.tally;
            let refused = tally.changes.of(Change::NewlyRefused);
            let (decisions, away) = (tally.decisions, tally.accounts_newly_turned_away);
            let group = group.name.as_deref().unwrap_or("-");
            writeln!(
                told,
                "{name} {group}: {refused} of {decisions}, {away} away"
            )
            .unwrap();
        }
    }
    assert_eq!(
        told,
        "day 2027-02-01: 1 of 3, 1 away\n\
         provider okta: 1 of 3, 1 away\n\
         organization -: 1 of 3, 1 away\n\
         client gallery: 1 of 2, 1 away\n\
         client lobby: 0 of 1, 0 away\n\
         rule tier.browse: 0 of 1, 0 away\n\
         rule tier.publish: 1 of 2, 1 away\n\
         reason -: 0 of 2, 0 away\n\
         reason mfa-absent: 1 of 1, 1 away\n"
    );
}

/// What becomes of the account: `let in`, `asked for more`, `turned away`, and whether that is new.
#[track_caller]
fn check_account(candidate: &Policy, records: &[Record], expected: &str) {
    let simulation = simulate(candidate, AsOf::Recorded, records);
    let people = simulation.report().accounts;
    let newly = people.newly_asked_for_more + people.newly_turned_away;
    let fate = match (people.let_in, people.asked_for_more, people.turned_away) {
        (1, 0, 0) => "let in",
        (0, 1, 0) => "asked for more",
        (0, 0, 1) => "turned away",
        _ => panic!("{people:?}"),
    };
    let told = if newly == 1 { "newly " } else { "" };
    assert_eq!(format!("{told}{fate}"), expected);
    let not_in = simulation.not_in();
    assert_eq!(not_in.len(), usize::from(people.let_in == 0));
}

#[test]
fn an_account_is_turned_away_when_its_last_login_ends_in_a_refusal() {
    let (strict, lenient) = (policy(""), policy(CALENDAR));
    let weak = facts("ann", password(), "gallery", "openid");
    let strong = facts("ann", mfa(), "gallery", "openid");
    let sign_in = |facts: &Facts| record(&strict, Occasion::SignIn, facts.clone());
    let was_in = |facts: &Facts| record(&lenient, Occasion::SignIn, facts.clone());
    let (weak_first, weak, strong) = (first_leg(weak.clone()), weak, strong);

    check_account(&strict, &[sign_in(&weak)], "turned away");
    check_account(&strict, &[was_in(&weak)], "newly turned away");
    // A second try that works makes the first one good, and the other way round.
    let tries = [sign_in(&weak), later(sign_in(&strong), 60)];
    check_account(&strict, &tries, "let in");
    let tries = [sign_in(&strong), later(sign_in(&weak), 60)];
    check_account(&strict, &tries, "turned away");
    // The second leg stands for both.
    let legs = [sign_in(&weak_first), later(sign_in(&strong), 60)];
    check_account(&strict, &legs, "let in");
    let legs = [sign_in(&weak_first), later(sign_in(&weak), 60)];
    check_account(&strict, &legs, "turned away");
    // A second leg that the log does not have.
    check_account(&strict, &[sign_in(&weak_first)], "asked for more");
    check_account(&strict, &[was_in(&weak_first)], "newly asked for more");
}

#[test]
fn a_token_of_a_login_that_would_not_be_let_in_is_not_reached() {
    let (strict, lenient) = (policy(""), policy(CALENDAR));
    let weak = facts("ann", password(), "gallery", "openid");
    let records = [
        record(&lenient, Occasion::SignIn, first_leg(weak.clone())),
        record(&lenient, Occasion::Token, weak),
    ];
    let report = simulate(&strict, AsOf::Recorded, &records).report();
    assert_eq!(changes(&report), "newly-stepped-up 1, not-reached 1");
    check_account(&strict, &records, "newly asked for more");
}

#[test]
fn a_token_that_comes_too_late_after_a_good_login_is_refused() {
    let lenient = policy("").clone();
    let strict = Policy::parse("p", &POLICY.replace("12h", "10s")).unwrap();
    let login = facts("ann", mfa(), "gallery", "openid");
    let mut token = record(&lenient, Occasion::Token, login.clone());
    token.time += jiff::SignedDuration::from_secs(30);
    let records = [record(&lenient, Occasion::SignIn, login), token];
    let report = simulate(&strict, AsOf::Recorded, &records).report();
    assert_eq!(changes(&report), "same 1, newly-refused 1");
    check_account(&strict, &records, "newly turned away");
}

#[test]
fn a_calendar_can_be_tried_before_it_bites() {
    let calendar = policy(CALENDAR);
    let weak = facts("ann", password(), "gallery", "openid");
    let records = [record(&calendar, Occasion::SignIn, weak)];
    for (as_of, expected) in [
        (AsOf::Recorded, "same 1"),
        (AsOf::Day(date(2027, 5, 7)), "same 1"),
        (AsOf::Day(date(2027, 5, 8)), "newly-refused 1"),
        (AsOf::Later(95), "same 1"),
        (AsOf::Later(96), "newly-refused 1"),
        (AsOf::Day(date(2020, 1, 1)), "same 1"),
    ] {
        let report = simulate(&calendar, as_of, &records).report();
        assert_eq!(changes(&report), expected, "{as_of:?}");
    }
}

#[test]
fn what_belongs_to_the_login_moves_along_and_what_belongs_to_the_account_stays() {
    let mut facts = facts("ann", mfa(), "gallery", "openid");
    facts.session_expires_at = Some(at("2027-02-02T00:00:00Z"));
    facts.demands.authenticated_since = Some(at("2027-02-01T11:00:00Z"));
    facts.login.claims.auth_time = Claim::Value(at("2027-02-01T11:30:00Z"));
    facts.account.told_due = Some(date(2027, 4, 1));
    let before = record(&policy(""), Occasion::SignIn, facts);
    let after = AsOf::Day(date(2027, 5, 9)).moved(&before).into_owned();
    assert_eq!(after.time, at("2027-05-09T12:00:00Z"));
    let facts = &after.facts;
    assert_eq!(facts.login.verified_at, at("2027-05-09T12:00:00Z"));
    assert_eq!(facts.session_expires_at, Some(at("2027-05-10T00:00:00Z")));
    let since = Some(at("2027-05-09T11:00:00Z"));
    assert_eq!(facts.demands.authenticated_since, since);
    let auth_time = Claim::Value(at("2027-05-09T11:30:00Z"));
    assert_eq!(facts.login.claims.auth_time, auth_time);
    assert_eq!(facts.account, before.facts.account);
    assert_eq!(AsOf::Later(97).moved(&before).into_owned(), after);
}

#[test]
fn a_time_beyond_every_calendar_stays_where_it_was() {
    let mut record = record(
        &policy(""),
        Occasion::SignIn,
        facts("ann", mfa(), "lobby", "openid"),
    );
    record.time = Timestamp::MAX;
    assert_eq!(AsOf::Later(u16::MAX).moved(&record).into_owned(), record);
}

#[test]
fn the_first_of_each_change_are_kept_as_examples() {
    let (strict, lenient) = (policy(""), policy(CALENDAR));
    let records: Vec<Record> = (0..20)
        .map(|n| {
            let facts = facts(&format!("n{n:02}"), password(), "gallery", "openid");
            later(record(&lenient, Occasion::SignIn, facts), 20 - n)
        })
        .collect();
    let report = simulate(&strict, AsOf::Recorded, &records).report();
    let refused = &report.examples[&Change::NewlyRefused];
    let accounts: Vec<&str> = refused.iter().map(|one| one.account.as_str()).collect();
    assert_eq!(
        accounts,
        ["acct_n19", "acct_n18", "acct_n17", "acct_n16", "acct_n15"]
    );
}

#[test]
fn a_claim_that_no_login_shows_may_not_have_been_kept() {
    let when = "[proof.keycloak]\nwhen = \"claims.groups == 'staff'\"\nlevel = \"mfa\"\n";
    let candidate = policy(when);
    let mut login = ("keycloak", Claims::default());
    let without = record(
        &policy(""),
        Occasion::SignIn,
        facts("ann", login.clone(), "lobby", "openid"),
    );
    let doubts = |records: &[Record]| {
        simulate(&candidate, AsOf::Recorded, records)
            .report()
            .doubts
    };
    let expected = Doubt::ClaimNotKept {
        provider: ProviderId::new("keycloak").unwrap(),
        claim: "groups".to_owned(),
        decisions: 1,
    };
    assert_eq!(doubts(std::slice::from_ref(&without)), [expected]);
    login.1.other.insert("groups".to_owned(), "guests".into());
    let with = record(
        &policy(""),
        Occasion::SignIn,
        facts("bob", login, "lobby", "openid"),
    );
    assert_eq!(doubts(&[without, with]), []);
}

#[test]
fn an_auth_time_that_nobody_asked_for_is_no_sign_of_a_weak_login() {
    let old = record(
        &policy(""),
        Occasion::SignIn,
        facts("ann", mfa(), "gallery", "openid"),
    );
    let new = Policy::parse("p", &POLICY.replace("max_evidence_age", "max_age")).unwrap();
    let report = simulate(&new, AsOf::Recorded, &[old]).report();
    assert_eq!(report.doubts, [Doubt::AuthTimeNotAskedFor { decisions: 1 }]);
}

#[test]
fn a_decision_that_its_own_policy_would_not_make_is_told() {
    let mut changed = record(
        &policy(""),
        Occasion::SignIn,
        facts("ann", mfa(), "gallery", "openid"),
    );
    changed.policy = "sha256:new".to_owned();
    changed.verdict.outcome = Outcome::Refuse;
    let doubts = |as_of| {
        simulate(&policy(""), as_of, std::slice::from_ref(&changed))
            .report()
            .doubts
    };
    assert_eq!(
        doubts(AsOf::Recorded),
        [Doubt::DecidedOtherwise { decisions: 1 }]
    );
    assert_eq!(doubts(AsOf::Later(1)), [], "it is another question then");
}

/// The same session, refreshed an hour later.
fn refresh(policy: &Policy, facts: Facts) -> Record {
    let mut refresh = record(policy, Occasion::Refresh, facts);
    refresh.time += jiff::SignedDuration::from_hours(1);
    refresh.verdict = Verdict::from(&refresh.replay(policy));
    refresh
}

#[test]
fn who_would_not_have_been_let_in_has_nothing_to_refresh() {
    let old = policy("");
    let refreshed = refresh(&old, facts("ann", mfa(), "gallery", "openid"));
    let stricter = POLICY.replace("acr = [\"urn:mfa\"]", "acr = [\"urn:gold\"]");
    let stricter = Policy::parse("policy.toml", &stricter).unwrap();
    let report = simulate(&stricter, AsOf::Recorded, std::slice::from_ref(&refreshed)).report();
    assert_eq!(changes(&report), "not-reached 1");
    assert_eq!(
        report.accounts.all, 0,
        "its sign-in tells what becomes of it"
    );
    let report = simulate(&old, AsOf::Recorded, &[refreshed]).report();
    assert_eq!(changes(&report), "same 1");
}

/// The ratchet holds an account from when it showed a second factor, not before: its weak login was let in, and
/// what fails is the refresh.
#[test]
fn a_second_factor_that_was_shown_after_the_login_did_not_keep_it_out() {
    let lenient = policy(CALENDAR);
    let mut weak = facts("ann", password(), "gallery", "openid");
    let half_an_hour = jiff::SignedDuration::from_mins(30);
    weak.account.first_mfa_at = Some(weak.login.verified_at + half_an_hour);
    let refreshed = refresh(&lenient, weak.clone());
    assert_eq!(refreshed.verdict.outcome, Outcome::Permit);
    let ratchet = policy(&format!("{CALENDAR}ratchet = true\n"));
    let report = simulate(&ratchet, AsOf::Recorded, std::slice::from_ref(&refreshed)).report();
    assert_eq!(changes(&report), "newly-refused 1");
    assert_eq!(report.accounts.all, 0, "who can't refresh signs in again");
    // Shown before, it would have kept the login itself out.
    weak.account.first_mfa_at = Some(weak.login.verified_at - half_an_hour);
    let refreshed = refresh(&lenient, weak);
    let report = simulate(&ratchet, AsOf::Recorded, &[refreshed]).report();
    assert_eq!(changes(&report), "not-reached 1");
}

/// A policy that counts the same login otherwise ends grants: a simulation tells how many.
#[test]
fn a_refresh_that_would_state_something_else_is_newly_refused() {
    let browse = |more: &str| {
        let text = POLICY.replace("acr = [\"urn:mfa\"]", &format!("acr = [\"urn:mfa\"{more}]"));
        Policy::parse("policy.toml", &text).unwrap()
    };
    let old = browse("");
    let mut weak = facts("ann", password(), "lobby", "openid");
    let Decision::Permit(permit) = decide(&old, &weak, weak.login.verified_at) else {
        panic!("the lobby lets everybody in");
    };
    weak.stated = Some(crate::Stated::by(&permit));
    let refreshed = refresh(&old, weak);
    assert_eq!(refreshed.verdict.outcome, Outcome::Permit);
    let candidate = Candidate {
        policy: &browse(", \"urn:password\""),
        hash: "sha256:new",
        as_of: AsOf::Recorded,
    };
    let replayed = candidate.replay(&refreshed);
    assert_eq!(replayed.change, Change::NewlyRefused);
    assert_eq!(replayed.verdict.reasons, [crate::Reason::WeighedOtherwise]);
    assert_eq!(replayed.verdict.rule.as_str(), "grant");
    // As a line of the log it says the same again.
    let line = serde_json::to_string(&refreshed).unwrap();
    let read: Record = serde_json::from_str(&line).unwrap();
    assert_eq!(candidate.replay(&read).verdict, replayed.verdict);
}

#[test]
fn an_organization_is_a_group_of_its_own() {
    let tenant = "6e93a626-8aca-4dc1-9191-ce291b4b75a1";
    let contoso = format!("[organization.contoso]\ntenants = [\"{tenant}\"]\n");
    let mut facts = facts("ann", mfa(), "gallery", "openid");
    facts.organization = Some(OrganizationId::new("contoso").unwrap());
    facts.login.tenant = Some(TenantId::new(tenant).unwrap());
    let record = record(&policy(&contoso), Occasion::SignIn, facts);
    let report = simulate(&policy(""), AsOf::Recorded, &[record]).report();
    assert_eq!(changes(&report), "newly-refused 1");
    assert_eq!(report.by.organization[0].name.as_deref(), Some("contoso"));
    let rule = report.by.rule[0].name.as_deref();
    assert_eq!(rule, Some("organization.contoso.tenants"));
}

#[test]
fn a_report_is_json_with_its_names() {
    let lenient = policy(CALENDAR);
    let weak = record(
        &lenient,
        Occasion::SignIn,
        facts("ann", password(), "gallery", "openid"),
    );
    let report = simulate(&policy(""), AsOf::Recorded, &[weak]).report();
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["changes"]["newly-refused"], 1);
    assert_eq!(json["sign_ins"]["turned-away"], 1);
    assert_eq!(json["sign_ins_recorded"]["reminded"], 1);
    assert_eq!(json["accounts"]["newly_turned_away"], 1);
    assert_eq!(
        json["by"]["organization"][0]["name"],
        serde_json::Value::Null
    );
    assert_eq!(json["examples"]["newly-refused"][0]["account"], "acct_ann");
}

// ---- for all logs --------------------------------------------------------------------------

prop_compose! {
    fn any_facts()(
        who in 0..4_u8,
        login in prop_oneof![
            Just(mfa()),
            Just(password()),
            Just(("okta", Claims::default())),
            any::<bool>().prop_map(|flag| ("github", Claims {
                two_factor_authentication: Claim::Value(flag), ..Claims::default()
            })),
        ],
        client in prop_oneof![Just("lobby"), Just("gallery"), Just("unknown")],
        scopes in prop_oneof![Just("openid"), Just("openid packages:read packages:publish")],
        remedy in prop_oneof![Just(Remedy::StepUp), Just(Remedy::Nothing)],
        spread in any::<u64>(),
        day in 0..120_i64,
    ) -> Facts {
        let mut facts = facts(&format!("n{who}"), login, client, scopes);
        facts.remedy = remedy;
        facts.account.spread = spread;
        facts.login.verified_at += jiff::SignedDuration::from_hours(24 * day);
        facts
    }
}

fn any_occasion() -> impl Strategy<Value = Occasion> {
    prop_oneof![
        Just(Occasion::SignIn),
        Just(Occasion::SingleSignOn),
        Just(Occasion::Token),
        Just(Occasion::Refresh),
        Just(Occasion::Exchange),
        Just(Occasion::Gate),
        Just(Occasion::ApiKey)
    ]
}

fn any_log() -> impl Strategy<Value = Vec<Record>> {
    let policy = policy(CALENDAR);
    let one = (any_facts(), any_occasion()).prop_map(move |(mut facts, occasion)| {
        match occasion {
            Occasion::SignIn | Occasion::SingleSignOn => {}
            // Of a key nothing is stated.
            Occasion::ApiKey => {
                facts.key_made_at = Some(facts.login.verified_at);
                facts.remedy = Remedy::Nothing;
            }
            // Nobody is there to be sent anywhere.
            Occasion::Token | Occasion::Refresh | Occasion::Exchange | Occasion::Gate => {
                facts.remedy = Remedy::Nothing;
            }
        }
        record(&policy, occasion, facts)
    });
    prop::collection::vec(one, 0..40)
}

proptest! {
    #[test]
    fn a_policy_makes_of_its_own_decisions_what_it_made(log in any_log()) {
        let report = simulate(&policy(CALENDAR), AsOf::Recorded, &log).report();
        let changed = report.changes.iter().filter(|(change, _)| *change != Change::Same);
        prop_assert_eq!(changed.map(|(_, count)| count).sum::<u64>(), 0);
        prop_assert_eq!(report.sign_ins, report.sign_ins_recorded);
        prop_assert_eq!(report.accounts.newly_turned_away + report.accounts.newly_asked_for_more, 0);
    }

    #[test]
    fn parts_of_a_log_can_be_counted_apart_in_any_order(log in any_log(), cut in any::<prop::sample::Index>()) {
        let candidate = policy("");
        let (one, two) = log.split_at(cut.index(log.len() + 1));
        let of = |records: &[Record]| simulate(&candidate, AsOf::Recorded, records);
        let whole = of(&log).report();
        for (first, second) in [(one, two), (two, one)] {
            let mut merged = of(first);
            merged.merge(of(second));
            prop_assert_eq!(&merged.report(), &whole);
        }
    }

    #[test]
    fn everybody_is_somewhere(log in any_log()) {
        let report = simulate(&policy(""), AsOf::Recorded, &log).report();
        let people = report.accounts;
        prop_assert_eq!(people.all, people.let_in + people.asked_for_more + people.turned_away);
        prop_assert_eq!(report.decisions, report.changes.iter().map(|(_, count)| count).sum::<u64>());
        for groups in [&report.by.day, &report.by.provider, &report.by.organization,
                       &report.by.client, &report.by.rule, &report.by.reason] {
            let decisions: u64 = groups.iter().map(|group| group.tally.decisions).sum();
            let away: u64 = groups.iter().map(|group| group.tally.accounts_turned_away).sum();
            prop_assert_eq!((decisions, away), (report.decisions, people.turned_away));
        }
    }
}
