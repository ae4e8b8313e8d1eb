use jiff::ToSpan;
use jiff::civil::{Date, date};
use proptest::prelude::*;

use super::*;

const POLICY: &str = r#"version = 1
[proof.okta]
acr = ["gold"]
[proof.github]
two_factor_authentication = true
[calendar]
new_accounts_from = 2027-03-08
existing_accounts = { from = 2027-03-08, until = 2027-05-08 }
before_due = "remind"
[tier.browse]
scopes = ["packages:read"]
needs = "none"
[tier.publish]
scopes = ["packages:publish"]
needs = "mfa"
accepts = ["session", "enrolment"]
max_evidence_age = "12h"
[tier.seal]
scopes = ["keys:write"]
needs = "mfa"
accepts = ["session"]
max_age = "5m"
[client.gallery]
tier = "publish"
[api_keys]
max_days = 90
accepts = ["session"]
"#;

fn policy() -> Policy {
    Policy::parse("policy.toml", POLICY).unwrap_or_else(|all| panic!("{all}"))
}

fn read(text: &str) -> Result<Cases, String> {
    Cases::read("a.md", text, &policy()).map_err(|problems| problems.to_string())
}

/// What comes of cases with these columns and cells: nothing where all is as expected.
fn failures(text: &str) -> Vec<String> {
    let cases = read(text).unwrap_or_else(|all| panic!("{all}"));
    let results = run(&policy(), &cases);
    assert_eq!(results.len(), cases.len());
    results
        .iter()
        .filter(|result| result.outcome == CaseOutcome::Failed)
        .map(|one| format!("{}: {}, found {}", one.place.line, one.expected, one.found))
        .collect()
}

const TABLE: &str = "\
| on         | account        | provider | shows            | asks for         | expected               |
|------------|----------------|----------|------------------|------------------|------------------------|
| 2027-05-07 | due 2027-05-08 | okta     | password         | packages:publish | permit, due 2027-05-08 |
| 2027-05-08 | due 2027-05-08 | okta     | password         | packages:publish | step-up: mfa-absent    |
|            | due 2027-05-08 | github   | password         |                  | refuse: mfa-absent     |
|            | new            | github   | mfa by enrolment | packages:publish | permit by tier.publish |
";

#[test]
fn a_table_says_what_the_policy_is_to_make_of_each_login() {
    assert_eq!(failures(TABLE), [""; 0]);
}

#[test]
fn a_case_that_comes_out_otherwise_says_what_was_found_and_what_would_have_helped() {
    let table = TABLE.replace("step-up: mfa-absent ", "permit              ");
    let cases = read(&table).unwrap();
    let results = run(&policy(), &cases);
    let failed: Vec<_> = results
        .iter()
        .filter(|one| one.outcome == CaseOutcome::Failed)
        .collect();
    let [one] = &failed[..] else {
        panic!("{failed:?}")
    };
    assert_eq!((one.place.line, one.expected.as_str()), (4, "permit"));
    assert_eq!(one.found, "step-up: mfa-absent");
    assert_eq!(one.rule.as_ref().unwrap().as_str(), "tier.publish");
    let explanation = one.explanation.as_ref().unwrap();
    assert!(explanation.nearest[0].in_words().contains("acr=gold"));
    assert_eq!(
        explanation.earlier.as_ref().unwrap().until,
        date(2027, 5, 7)
    );
}

#[test]
fn what_is_not_written_of_a_permit_must_not_be_there() {
    let due = TABLE.replace("permit, due 2027-05-08", "permit");
    assert_eq!(failures(&due), ["3: permit, found permit, due 2027-05-08"]);
    let other_rule = TABLE.replace("permit by tier.publish", "permit by calendar    ");
    assert_eq!(
        failures(&other_rule),
        ["6: permit by calendar, found permit"]
    );
    let reasons = TABLE.replace("refuse: mfa-absent ", "refuse: mfa-unknown");
    assert_eq!(
        failures(&reasons),
        ["5: refuse: mfa-unknown, found refuse: mfa-absent"]
    );
    let any = TABLE.replace("refuse: mfa-absent", "refuse");
    assert_eq!(failures(&any), [""; 0]);
}

#[test]
fn ages_demands_and_visits_are_facts_too() {
    let table = "\
| on         | account | provider | shows | verified | authenticated | demands    | visit  | asks for | expected |
|---|---|---|---|---|---|---|---|---|---|
| 2027-06-01 | new | okta | mfa | now     |        |            | first  | keys:write | step-up: auth-time-absent |
| 2027-06-01 | new | okta | mfa | now     | 6m ago |            | first  | keys:write | step-up: auth-too-old |
| 2027-06-01 | new | okta | mfa | now     | 6m ago |            | second | keys:write | permit, without keys:write |
| 2027-06-01 | new | okta | mfa | now     | 5m ago |            | second | keys:write | permit |
| 2027-06-01 | new | okta | mfa | 13h ago |        |            | second |            | refuse: evidence-too-old |
| 2027-06-01 | new | okta | mfa | now     |        | max_age=1m | second |            | refuse: auth-time-absent by request |
| 2027-06-01 | new | okta | mfa | now     | now    | prompt=login | second |          | permit |
| 2027-06-01 | new | okta | mfa | now     | 2m ago | prompt=login | second |          | refuse: reauthentication-not-shown |
| 2027-06-01 | new | okta | mfa | now     |        | acr_values=phr | second |        | refuse: acr-not-met |
";
    assert_eq!(failures(table), [""; 0]);
}

#[test]
fn keys_have_tables_of_their_own() {
    let table = "\
| key made   | under   | noticed | ends       |
|------------|---------|---------|------------|
| 2027-01-01 | session | never   | 2027-04-01 |
| 2027-01-01 | nothing |         | 2027-04-02 |
";
    assert_eq!(
        failures(table),
        ["4: ends 2027-04-02, found ends 2027-04-01"]
    );
}

#[test]
fn every_mistake_is_told_at_once_and_at_its_cell() {
    let table = "\
| on | provider | shows | asks for | account | expected |
|---|---|---|---|---|---|
| 2027-13-01 | okta | mfa | packages:publish | new | permit |
| 2027-05-08 | octa | mfa | packages:pubish | old | permitted |
| 2027-05-08 | github | mfa | packages:publish | new | refuse: mfa-abssent |
| 2027-05-08 | okta | mfa | packages:publish | new | permit, waiver bank |
| 2027-05-08 | okta | mfa | packages:publish | new | permit by tier.seel |
| 2027-05-08 | okta | mfa | packages:publish | new | |
";
    assert_eq!(
        read(table).unwrap_err().lines().collect::<Vec<_>>(),
        [
            "a.md:3:3: expected a day such as `2027-05-07` (its noon, in UTC), `2027-05-07 23:59` or \
             `2027-05-07T23:59:59Z`, from 2000 to 2199, found `2027-13-01`",
            "a.md:4:16: the policy names no provider `octa`; did you mean `okta`? (it names `github`, `okta`)",
            "a.md:4:29: no tier of the policy has the scope `packages:pubish`; did you mean `packages:publish`?",
            "a.md:4:47: expected `new`, `existing`, `made 2019-05-01`, `due 2027-04-03`, `told 2027-04-03`, \
             `shown mfa before`, an account id, or several with commas between them, found `old`",
            "a.md:4:53: expected `permit`, `step-up` or `refuse`, as in `permit, due 2027-05-08` or `refuse: mfa-absent`, \
             found `permitted`; did you mean `permit`?",
            "a.md:5:25: by this policy a login at `github` can't show `mfa`; it can show `mfa by enrolment`",
            "a.md:5:56: no reason is called `mfa-abssent`; did you mean `mfa-absent`?",
            "a.md:6:54: the policy has no `exception.bank`",
            "a.md:7:54: expected a part of the policy after `by`, as in `by tier.publish`, `by calendar` or \
             `by exception.NAME`, found `tier.seel`",
            "a.md:8:53: expected `permit`, `step-up` or `refuse`, as in `permit, due 2027-05-08` or `refuse: mfa-absent`, \
             found ``",
        ]
    );
}

#[test]
fn a_column_that_is_unknown_or_there_twice_is_a_mistake() {
    let table = "| on | providr | on | expected |\n|---|---|---|---|\n| x | y | z | permit |\n";
    assert_eq!(
        read(table).unwrap_err().lines().collect::<Vec<_>>(),
        [
            "a.md:1:8: no column is called `providr`; did you mean `provider`? (known here: `case`, `on`, `account`, \
             `provider`, `shows`, `authenticated`, `verified`, `email`, `tenant`, `organization`, `client`, `asks for`, \
             `demands`, `visit`, `expected`)",
            "a.md:1:18: the column `on` is there twice",
        ]
    );
}

#[test]
fn a_file_without_cases_is_not_a_file_that_passes() {
    let message = |text| read(text).unwrap_err();
    assert!(message("# Prose\n").contains("a.md:1:1: no case is in this file"));
    let prose = "| tier | meaning |\n|---|---|\n| publish | x |\n";
    assert!(message(prose).contains("no case is in this file"));
    let unfinished = "| on | shows | expectd |\n|---|---|---|\n| 2027-01-01 | mfa | permit |\n";
    assert!(message(unfinished).contains("none that says what is `expected`"));
}

// ---- the announcements, day by day ---------------------------------------------------------

/// An example as it is shipped: a policy and its cases.
macro_rules! example {
    ($name:literal) => {
        (
            include_str!(concat!("../../../../config/examples/", $name, ".toml")),
            include_str!(concat!("../../../../config/examples/", $name, ".cases.md")),
        )
    };
}

const FIRST_DAY: Date = date(2027, 3, 1);
const LAST_DAY: Date = date(2027, 7, 31);

/// Runs the rows of an example, and then every day between two rows of one person, on which it must be as
/// in the row above.
fn play((policy, text): (&str, &str)) {
    let policy = Policy::parse("policy.toml", policy).unwrap_or_else(|all| panic!("{all}"));
    let check = |text: &str| {
        let cases = Cases::read("cases.md", text, &policy).unwrap_or_else(|all| panic!("{all}"));
        for one in run(&policy, &cases) {
            let name = one.name.as_deref().unwrap_or_default();
            let (expected, found) = (one.expected, one.found);
            assert_eq!(
                one.outcome,
                CaseOutcome::Passed,
                "{}: {name}: {expected}, found {found}\n{text}",
                one.place
            );
        }
        cases.len()
    };
    check(text);
    let (day_by_day, days) = day_by_day(text);
    assert_eq!(check(&day_by_day), days);
    assert!(days > 300, "{days}: not day by day");
}

/// The same tables with a row for every day.
fn day_by_day(text: &str) -> (String, usize) {
    let (tables, _) = markdown::tables(&"cases.md".into(), text);
    let (mut all, mut days) = (String::new(), 0);
    for table in &tables {
        let names: Vec<&str> = table.header.iter().map(|cell| cell.text.as_str()).collect();
        let Some(on) = names.iter().position(|name| *name == "on") else {
            continue;
        };
        let line = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
        let dashes = line(&vec!["---"; names.len()]);
        all.extend(["\n", &line(&names), &dashes]);
        for (index, row) in table.rows.iter().enumerate() {
            for day in days_of(row, table.rows.get(index + 1), on) {
                let mut cells: Vec<&str> = row.cells.iter().map(|it| it.text.as_str()).collect();
                let day = day.to_string();
                cells[on] = &day;
                all += &line(&cells);
                days += 1;
            }
        }
    }
    (all, days)
}

/// The days from a row to the next one of the same person. The first and the last row of a person
/// stand for the whole time where they are on its first and last day.
fn days_of(row: &Row, next: Option<&Row>, on: usize) -> Vec<Date> {
    let person = |row: &Row| -> Vec<String> {
        let not = [0, on, row.cells.len() - 1];
        let cells = row.cells.iter().enumerate();
        let cells = cells.filter(|(index, _)| !not.contains(index));
        cells.map(|(_, cell)| cell.text.clone()).collect()
    };
    let day = |row: &Row| row.cells[on].text.parse::<Date>().ok();
    let Some(first) = day(row).filter(|_| row.cells[on].text.len() == 10) else {
        return Vec::new();
    };
    let until = next
        .filter(|next| person(next) == person(row))
        .and_then(day);
    let until = until.unwrap_or(first.saturating_add(1.day()));
    first
        .series(1.day())
        .take_while(|day| *day < until)
        .collect()
}

#[test]
fn everybody_over_two_months_and_api_keys_after_thirty_days_notice() {
    play(example!("over-two-months"));
}

#[test]
fn management_actions_first_and_browsing_open() {
    play(example!("management-actions"));
}

#[test]
fn limited_until_its_day() {
    play(example!("limited-until-then"));
}

#[test]
fn the_examples_play_from_march_to_july() {
    for (_, text) in [example!("over-two-months"), example!("management-actions")] {
        assert!(text.contains(&FIRST_DAY.to_string()) && text.contains(&LAST_DAY.to_string()));
    }
}

#[test]
fn the_shipped_policy_passes_its_own_cases() {
    let policy = include_str!("../../../../config/policy.toml");
    let policy = Policy::parse("policy.toml", policy).unwrap_or_else(|all| panic!("{all}"));
    let text = include_str!("../../../../config/policy.cases.md");
    let cases = Cases::read("policy.cases.md", text, &policy).unwrap_or_else(|all| panic!("{all}"));
    for one in run(&policy, &cases) {
        let (expected, found) = (one.expected, one.found);
        assert_eq!(
            one.outcome,
            CaseOutcome::Passed,
            "{}: {expected}, found {found}",
            one.place
        );
    }
}

#[test]
fn every_column_can_be_looked_up() {
    let page = include_str!("../../../../docs/policy-cases.md");
    let names = Column::NAMES.iter().map(|(name, _)| *name);
    for name in names.chain(KeyColumn::NAMES.iter().map(|(name, _)| *name)) {
        assert!(page.contains(&format!("| `{name}` |")), "`{name}`");
    }
}

// ---- whatever is written -------------------------------------------------------------------

proptest! {
    #[test]
    fn no_cell_makes_it_panic(cells in prop::collection::vec("[a-z0-9=:,`\\[\\]{}\" -]{0,24}", 6)) {
        let header = "| on | account | shows | tenant | demands | expected |\n|---|---|---|---|---|---|\n";
        let row = format!("| {} |\n", cells.join(" | "));
        let _ = Cases::read("a.md", &format!("{header}{row}"), &policy());
    }

    #[test]
    fn no_edit_of_a_file_makes_it_panic(
        start in 0_usize..3000,
        length in 0_usize..60,
        piece in "[|\\\\`a-c0-9: \n\u{e4}-]{0,12}",
    ) {
        let (policy, text) = example!("over-two-months");
        let policy = Policy::parse("policy.toml", policy).unwrap();
        let before: String = text.chars().take(start).collect();
        let after: String = text.chars().skip(start + length).collect();
        match Cases::read("a.md", &format!("{before}{piece}{after}"), &policy) {
            Ok(cases) => prop_assert_eq!(run(&policy, &cases).len(), cases.len()),
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }
}
