use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::{
    AccountFacts, AccountId, Claim, Claims, ClientId, Demands, Login, ProviderId, Remedy, Scope,
};

/// Two providers, and two clients: `gallery` lets everybody in, `vault` needs a second factor.
const POLICY: &str = r#"version = 1
[proof.okta]
acr = ["urn:mfa", "phr"]
[proof.github]
two_factor_authentication = true
[methods]
phishing_resistant = { acr = ["phr"] }
[tier.browse]
scopes = ["packages:read"]
needs = "none"
[tier.publish]
scopes = ["packages:publish", "packages:unpublish"]
needs = "mfa"
accepts = ["session", "enrolment"]
[client.gallery]
tier = "browse"
[client.vault]
tier = "publish"
"#;

const CALENDAR: &str = r#"[calendar]
new_accounts_from = 2027-03-08
existing_accounts = { from = 2027-03-08, until = 2027-05-08 }
before_due = "remind"
"#;

const TENANT: &str = "6e93a626-8aca-4dc1-9191-ce291b4b75a1";

fn policy(text: &str) -> Policy {
    Policy::parse("policy.toml", text).unwrap_or_else(|all| panic!("{all}"))
}

/// The usual policy with something replaced.
fn with(old: &str, new: &str) -> String {
    assert!(POLICY.contains(old), "no `{old}`");
    POLICY.replace(old, new)
}

/// The usual policy with something more.
fn and(more: &str) -> String {
    format!("{POLICY}{more}")
}

/// The days on which files are compared here begin with the one before this.
fn policy_with(text: &str, more: &str) -> Policy {
    policy(&format!("{text}{more}"))
}

fn today() -> Date {
    date(2027, 1, 15)
}

fn pair(old: &Policy, new: &Policy) -> Pair {
    Pair::new(Arc::new(old.clone()), Arc::new(new.clone()))
}

fn compare(old: &Policy, new: &Policy) -> Comparison {
    Grid::new(&pair(old, new), today()).compare()
}

#[track_caller]
fn check(old: &str, new: &str, expected: &[&str]) {
    let comparison = compare(&policy(old), &policy(new));
    let differences = comparison.differences();
    assert_eq!(differences.is_empty(), comparison.differing() == 0);
    let told: Vec<String> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(told, expected);
}

#[test]
fn a_policy_does_not_differ_from_itself() {
    check(POLICY, POLICY, &[]);
    check(&and(CALENDAR), &and(CALENDAR), &[]);
    let reworded = format!("# another comment\n{}", POLICY.replace('\n', "\n\n"));
    check(POLICY, &reworded, &[]);
}

#[test]
fn a_limit_on_the_age_of_evidence_is_told_with_the_scopes_it_is_for() {
    let limited = with(
        "accepts = [\"session\", \"enrolment\"]\n",
        "accepts = [\"session\", \"enrolment\"]\nmax_evidence_age = \"12h\"\n",
    );
    check(
        POLICY,
        &limited,
        &[
            "everything through vault with mfa by enrolment or with mfa by session or with \
             phishing-resistant by session, evidence more than 12h old: permit → refuse \
             (evidence-too-old), tier.publish",
            "`packages:publish` or `packages:unpublish` through gallery with mfa by enrolment or with \
             mfa by session or with phishing-resistant by session, evidence more than 12h old: permit → \
             left out (evidence-too-old), tier.publish",
        ],
    );
}

#[test]
fn a_basis_that_no_longer_counts_is_told_without_the_provider_that_it_implies() {
    let sessions = with(
        "accepts = [\"session\", \"enrolment\"]",
        "accepts = [\"session\"]",
    );
    check(
        POLICY,
        &sessions,
        &[
            "everything through vault with mfa by enrolment: permit → refuse (basis-not-accepted), \
             tier.publish",
            "`packages:publish` or `packages:unpublish` through gallery with mfa by enrolment: permit → \
             left out (basis-not-accepted), tier.publish",
        ],
    );
}

#[test]
fn another_proof_is_told_by_the_claim_that_the_two_see_differently() {
    let gold = with("\"urn:mfa\", \"phr\"", "\"urn:mfa\", \"phr\", \"urn:gold\"");
    check(
        POLICY,
        &gold,
        &[
            "`packages:publish` or `packages:unpublish` through gallery with `acr:urn:gold` (no second \
             factor by the old file, mfa by session by the new): left out (mfa-absent), tier.publish → \
             permit",
            "everything through vault with `acr:urn:gold` (no second factor by the old file, mfa by \
             session by the new): refuse (mfa-absent), tier.publish → permit",
        ],
    );
}

#[test]
fn a_client_that_needs_more_is_told_with_what_it_is_asked_for() {
    check(
        POLICY,
        &with("tier = \"browse\"", "tier = \"publish\""),
        &[
            "signing in or `packages:read` through gallery with no second factor or with nothing known of \
             a second factor: permit → refuse (mfa-absent, mfa-unknown), tier.publish",
        ],
    );
}

#[test]
fn a_provider_that_goes_is_told_by_its_name() {
    let without = with("[proof.github]\ntwo_factor_authentication = true\n", "");
    let without = without.replace(", \"enrolment\"]", "]");
    let comparison = compare(&policy(POLICY), &policy(&without));
    let first = comparison.differences().remove(0).to_string();
    assert_eq!(
        first,
        "everything through vault with `two_factor_authentication` (mfa by enrolment by the old file, \
         nothing known of a second factor by the new): permit → refuse (mfa-unknown), tier.publish"
    );
}

#[test]
fn a_calendar_is_told_with_its_accounts_and_days() {
    let until_june = and(CALENDAR).replace("until = 2027-05-08", "until = 2027-06-08");
    let weak = "with no second factor or with nothing known of a second factor";
    let who = "an account made before 2027-03-08 that must by the old file and not yet by the new";
    let through = |what: &str, from: &str, days: &str| {
        format!("{what} {weak}, {who}, {days}: {from} → permit with a reminder")
    };
    let publish = "`packages:publish` or `packages:unpublish` through gallery";
    let left_out = "left out (mfa-absent, mfa-unknown), tier.publish";
    let refuse = "refuse (mfa-absent, mfa-unknown), tier.publish";
    let reminded = |what: &str| {
        format!(
            "{what} {weak}, an account before its day: permit with a reminder of an earlier day → permit \
             with a reminder of a later day"
        )
    };
    let days = "until 2027-05-07";
    check(
        POLICY,
        &and(CALENDAR),
        &[
            &through(publish, left_out, days),
            &through("everything through vault", refuse, days),
        ],
    );
    let days = "from 2027-04-08 to 2027-06-07";
    check(
        &and(CALENDAR),
        &until_june,
        &[
            &reminded(publish),
            &reminded("everything through vault"),
            &through(publish, left_out, days),
            &through("everything through vault", refuse, days),
        ],
    );
}

#[test]
fn a_ratchet_is_told_with_the_accounts_that_it_holds() {
    let comparison = compare(
        &policy(&and(CALENDAR)),
        &policy(&and(&format!("{CALENDAR}ratchet = true\n"))),
    );
    let differences = comparison.differences();
    let last = differences.last().unwrap().to_string();
    assert!(
        last.contains("an account made before 2027-03-08, seen with a second factor, that must by the new file"),
        "{last}"
    );
    assert!(last.contains(", until 2027-05-07: "), "{last}");
}

/// Who showed MFA by a proof that no longer counts is held by the ratchet, and at once.
#[test]
fn a_proof_that_goes_is_told_of_those_whom_a_ratchet_holds() {
    let both = |policy: &str| policy_with(policy, &format!("{CALENDAR}ratchet = true\n"));
    let comparison = compare(&both(POLICY), &both(&with("\"urn:mfa\"", "\"urn:other\"")));
    let told: Vec<String> = comparison
        .differences()
        .iter()
        .map(ToString::to_string)
        .collect();
    let is_told = |line: &String| {
        line.contains("seen with a second factor, that must by the new file")
            && line.contains("→ refuse")
    };
    assert!(told.iter().any(is_told), "{told:#?}");
}

#[test]
fn an_exception_is_told_with_whom_it_is_for_and_its_last_day() {
    let excepted = and(
        "[exception.ann]\naccount = \"acct_ann\"\nreason = \"no phones\"\napproved_by = \"us\"\n\
         until = 2027-12-31\nwaives = [\"publish\"]\n",
    );
    let comparison = compare(&policy(POLICY), &policy(&excepted));
    let last = comparison.differences().pop().unwrap().to_string();
    assert_eq!(
        last,
        "everything through vault with no second factor or with nothing known of a second factor, \
         account acct_ann, until 2027-12-31: refuse (mfa-absent, mfa-unknown), tier.publish → permit by \
         an exception, exception.ann"
    );
}

#[test]
fn who_becomes_an_operator_is_told_with_their_account() {
    let listing = POLICY.replace(
        "[tier.publish]\nscopes = [",
        "[tier.publish]\nscopes = [\"operator:write\", ",
    );
    assert_ne!(listing, POLICY, "the policy has another form");
    let named = format!("{listing}[operators]\naccounts = [\"acct_ann\"]\n");
    let told: Vec<String> = compare(&policy(&listing), &policy(&named))
        .differences()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(!told.is_empty());
    let is_of_ann =
        |one: &String| one.contains("operator:write") && one.contains("account acct_ann");
    assert!(told.iter().all(is_of_ann), "{told:#?}");
}

fn organizations(count: usize, rule: &str) -> String {
    let one = |n: usize| {
        format!("[organization.o{n}]\ntenants = [\"6e93a626-8aca-4dc1-9191-{n:012x}\"]\n{rule}\n")
    };
    and(&(0..count).map(one).collect::<String>())
}

#[test]
fn of_organizations_that_are_treated_alike_one_stands_for_all() {
    let stricter = "stricter.publish = { needs = \"phishing-resistant\" }";
    let (old, new) = (
        policy(&organizations(500, "")),
        policy(&organizations(500, stricter)),
    );
    let pair = pair(&old, &new);
    let grid = Grid::new(&pair, today());
    let alike: Vec<usize> = grid.alike().values().copied().collect();
    assert_eq!(alike, [500]);
    let differences = grid.compare().differences();
    assert_eq!(
        differences[0].to_string(),
        "everything through vault with mfa by session, for organization o0: permit → refuse \
         (phishing-resistant-absent), organization.o0.stricter.publish"
    );
    assert!(
        grid.compare().decisions() < 10_000,
        "{}",
        grid.compare().decisions()
    );
}

#[test]
fn an_organization_that_gets_another_tenant_is_told() {
    let contoso = |tenant: &str| {
        and(&format!(
            "[organization.contoso]\ntenants = [\"{tenant}\"]\n"
        ))
    };
    let other = TENANT.replace("6e93", "7e93");
    let differences = compare(&policy(&contoso(TENANT)), &policy(&contoso(&other))).differences();
    let told: Vec<String> = differences.iter().map(ToString::to_string).collect();
    let refused = told.iter().any(|one| {
        one.contains("for organization contoso: permit → refuse (organization-not-shown)")
    });
    let let_in = told.iter().any(|one| {
        one.contains("refuse (organization-not-shown), organization.contoso.tenants → permit")
    });
    assert!(refused && let_in, "{told:#?}");
}

#[test]
fn what_could_not_be_tried_is_said() {
    let when = |claim: &str| {
        policy(&and(&format!(
            "[proof.own]\nwhen = \"claims.acr == '{claim}'\"\nlevel = \"mfa\"\n"
        )))
    };
    let (gold, silver) = (when("gold"), when("silver"));
    let left_out = Grid::new(&pair(&gold, &silver), today())
        .left_out()
        .to_vec();
    assert_eq!(left_out, ["logins that `when` of `proof.own` is for"]);
    let nothing = Grid::new(&pair(&gold, &gold), today()).left_out().to_vec();
    assert!(nothing.is_empty(), "{nothing:?}");
}

#[test]
fn what_decides_no_sign_in_is_told_apart() {
    let old = policy(POLICY);
    let new = policy(&and(
        "[lifetimes]\ntoken = \"5m\"\n[api_keys]\nmax_days = 90\naccepts = [\"session\"]\n",
    ));
    assert_eq!(pair(&old, &new).beside(), ["lifetimes", "api_keys"]);
    assert_eq!(compare(&old, &new).differing(), 0);
}

// ---- for all logs --------------------------------------------------------------------------

prop_compose! {
    fn any_facts()(
        claims in prop_oneof![
            Just(("okta", Some("urn:mfa"), None)), Just(("okta", Some("pwd"), None)),
            Just(("okta", None, None)), Just(("github", None, Some(true))), Just(("github", None, Some(false))),
        ],
        client in prop_oneof![Just("gallery"), Just("vault")],
        day in 0..200_i64,
        spread in any::<u64>(),
    ) -> (Facts, Timestamp) {
        let (provider, acr, flag) = claims;
        let now: Timestamp = "2027-01-15T12:00:00Z".parse().unwrap();
        let now = now + SignedDuration::from_hours(24 * day);
        let facts = Facts {
            client: ClientId::new(client).unwrap(),
            scopes: ["openid", "packages:read", "packages:publish"].map(|one| Scope::new(one).unwrap()).into(),
            organization: None,
            manages: None,
            mappings: Vec::new(),
            waivers: Vec::new(),
            demands: Demands::default(),
            login: Login {
                claims: Claims {
                    acr: acr.map_or(Claim::Absent, |acr| Claim::Value(acr.to_owned())),
                    two_factor_authentication: flag.map_or(Claim::Absent, Claim::Value),
                    ..Claims::default()
                },
                ..Login::new(ProviderId::new(provider).unwrap(), now)
            },
            identity_changed: false,
            withdrawn: false,
            account: AccountFacts {
                id: AccountId::new("acct_1").unwrap(),
                made_at: "2020-01-01T00:00:00Z".parse().unwrap(),
                spread,
                told_due: None,
                first_mfa_at: None,
                email_vouched: false,
                locked: false,
            },
            remedy: Remedy::Nothing,
            session_expires_at: None,
            stated: None,
            key_made_at: None,
        };
        (facts, now)
    }
}

proptest! {
    #[test]
    fn a_log_is_told_apart_as_the_grid_is_and_in_any_order(
        log in prop::collection::vec(any_facts(), 0..30),
        cut in any::<prop::sample::Index>(),
    ) {
        let (old, new) = (policy(&and(CALENDAR)), policy(POLICY));
        let pair = pair(&old, &new);
        let of = |log: &[(Facts, Timestamp)]| {
            let mut comparison = Comparison::default();
            for (facts, now) in log {
                comparison.add(&pair, facts, *now);
            }
            comparison
        };
        let whole = of(&log);
        let changed = log.iter().filter(|(facts, now)| {
            let [old, new] = [&old, &new].map(|one| Verdict::from(&decide(one, facts, *now)));
            old.outcome != new.outcome || old.granted != new.granted || old.mfa_due != new.mfa_due
        });
        prop_assert_eq!(whole.differing(), changed.count() as u64);
        let (one, two) = log.split_at(cut.index(log.len() + 1));
        let mut merged = of(two);
        merged.merge(of(one));
        prop_assert_eq!(merged.differences(), whole.differences());
    }
}
