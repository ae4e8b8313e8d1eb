//! `countersign policy simulate` and `diff`: who would be turned away, before anybody is.

use std::fmt::Write as _;
use std::fs;
use std::process::{Output, Stdio};

use countersign_core::Policy;
use countersign_tests::{Installation, MadeUpLog};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

const POLICY: &str = r#"version = 1
[proof.okta]
acr = ["urn:okta:loa:2fa:any"]
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
[client.gallery]
tier = "publish"
[client.lobby]
tier = "browse"
[organization.contoso]
tenants = ["6e93a626-8aca-4dc1-9191-ce291b4b75a1"]
"#;

const CALENDAR: &str = r#"[calendar]
new_accounts_from = 2027-03-08
existing_accounts = { from = 2027-04-08, until = 2027-05-08 }
before_due = "remind"
"#;

/// A directory with a policy that has a calendar, one that has none, and what the first decided in
/// the ten days from 1 March 2027, one sign-in every ten minutes.
struct Desk(Installation);

impl Desk {
    fn new(lines: usize) -> Self {
        let here = Installation::alone();
        let old = format!("{POLICY}{CALENDAR}");
        here.write("old.toml", &old);
        here.write("new.toml", POLICY);
        let policy = Policy::parse("old.toml", &old).expect("a policy");
        let from: Timestamp = "2027-03-01T00:00:00Z".parse().expect("a time");
        let step = SignedDuration::from_mins(10);
        let log = MadeUpLog::new((&policy, "sha256:old"), from, step, 200);
        here.write("decisions.jsonl", &log.lines(lines));
        Self(here)
    }

    fn path(&self, name: &str) -> String {
        self.0.path(name).display().to_string()
    }

    /// The exit code, stdout and stderr of `policy simulate` of this candidate.
    fn simulate(&self, candidate: &str, more: &[&str]) -> (Option<i32>, String, String) {
        let (candidate, log) = (self.path(candidate), self.path("decisions.jsonl"));
        let own = [
            "policy",
            "simulate",
            "--candidate",
            &candidate,
            "--against",
            &log,
        ];
        parts(&self.0.run(&[&own[..], more].concat()))
    }

    fn simulate_to_json(&self, candidate: &str, more: &[&str]) -> Value {
        let (code, out, err) = self.simulate(candidate, &[more, &["--format", "json"]].concat());
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    fn diff(&self, old: &str, new: &str, more: &[&str]) -> (Option<i32>, String, String) {
        let (old, new) = (self.path(old), self.path(new));
        parts(
            &self
                .0
                .run(&[&["policy", "diff", &old, &new][..], more].concat()),
        )
    }
}

fn parts(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn the_policy_of_the_log_changes_nothing() {
    let desk = Desk::new(3_000);
    let report = desk.simulate_to_json("old.toml", &[]);
    assert_eq!(number(&report["decisions"]), 3_000);
    assert_eq!(number(&report["changes"]["same"]), 3_000);
    assert_eq!(report["sign_ins"], report["sign_ins_recorded"]);
    assert_eq!(number(&report["accounts"]["newly_turned_away"]), 0);
    assert_eq!(report["policies"]["sha256:old"], 3_000);
}

#[test]
fn a_policy_without_the_calendar_turns_people_away_and_says_whom() {
    let desk = Desk::new(3_000);
    let (code, out, err) = desk.simulate("new.toml", &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for expected in [
        "replayed 3,000 decisions of 2027-03-01 to 2027-03-",
        "turned away",
        "newly refused",
        "newly stepped up",
        "2027-03-02",
        "policy explain",
    ] {
        assert!(out.contains(expected), "no `{expected}` in:\n{out}");
    }
    let report = desk.simulate_to_json("new.toml", &["--by", "account"]);
    let accounts = &report["accounts"];
    let (away, asked) = (
        number(&accounts["turned_away"]),
        number(&accounts["asked_for_more"]),
    );
    assert!(away > 0 && asked > 0, "{accounts}");
    let listed = report["not_in"].as_array().expect("a list");
    assert_eq!(listed.len() as u64, away + asked);
    let (code, csv, _) = desk.simulate("new.toml", &["--by", "account", "--format", "csv"]);
    assert_eq!(code, Some(0));
    assert_eq!(csv.lines().count() as u64, 1 + away + asked);
    assert!(
        csv.starts_with("account,fate,was_let_in,request_id,day,"),
        "{csv}"
    );
    // What is told of an account is a line of the log.
    let request = listed[0]["request_id"].as_str().expect("a request");
    let log = fs::read_to_string(desk.path("decisions.jsonl")).expect("the log");
    assert!(log.contains(request), "{request}");
}

#[test]
fn a_calendar_is_tried_on_days_that_are_still_to_come() {
    let desk = Desk::new(2_000);
    let newly = |more: &[&str]| {
        let report = desk.simulate_to_json("old.toml", more);
        let accounts = &report["accounts"];
        number(&accounts["newly_turned_away"]) + number(&accounts["newly_asked_for_more"])
    };
    let days = ["2027-03-20", "2027-04-15", "2027-04-30", "2027-05-09"];
    let turned_away: Vec<u64> = days.iter().map(|day| newly(&["--as-of", day])).collect();
    assert!(turned_away[0] < turned_away[1], "{turned_away:?}");
    assert!(turned_away[1] < turned_away[2], "{turned_away:?}");
    assert!(turned_away[2] < turned_away[3], "{turned_away:?}");
    // Ten days of logins, forty days later: some before their day, some after.
    let shifted = desk.simulate_to_json("old.toml", &["--later", "40"]);
    assert_eq!(shifted["as_of"], "+40d");
    assert_eq!(shifted["replayed"]["from"], "2027-04-10T00:10:00Z");
    let days = shifted["by"]["day"].as_array().expect("days");
    assert!(
        days.iter()
            .all(|day| day["name"].as_str() >= Some("2027-04-10"))
    );
}

#[test]
fn each_way_to_group_has_all_decisions_in_text_and_csv() {
    let desk = Desk::new(1_000);
    for by in [
        "day",
        "provider",
        "organization",
        "client",
        "rule",
        "reason",
    ] {
        let (code, out, err) = desk.simulate("new.toml", &["--by", by]);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{by}: {out}");
        assert!(out.contains(&format!("\n{by} ")), "{by}: {out}");
        let (code, csv, _) = desk.simulate("new.toml", &["--by", by, "--format", "csv"]);
        assert_eq!(code, Some(0));
        let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let head = lines.next().expect("a head");
        assert_eq!(head[..3], [by, "decisions", "same"]);
        let sum: u64 = lines
            .map(|cells| cells[1].parse::<u64>().expect("a number"))
            .sum();
        assert_eq!(sum, 1_000, "{by}");
    }
}

#[test]
fn a_plot_is_one_picture_that_says_what_it_shows() {
    let desk = Desk::new(2_000);
    let plot = desk.path("plot.svg");
    let (code, _, err) = desk.simulate("new.toml", &["--plot", &plot]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let svg = fs::read_to_string(&plot).expect("a plot");
    for expected in [
        "<svg xmlns=\"http://www.w3.org/2000/svg\"",
        "<title id=\"title\">What would become of each day",
        "<desc id=\"description\">Stacked bars, one for each day. In all: ",
        "prefers-color-scheme: dark",
        "2027-03-01",
        ">sign-ins</text>",
        "class=\"turned-away\"",
        "class=\"stepped-up\"",
    ] {
        assert!(svg.contains(expected), "no `{expected}` in:\n{svg}");
    }
    let nowhere = desk.path("nowhere/plot.svg");
    let (code, _, err) = desk.simulate("new.toml", &["--plot", &nowhere]);
    assert_eq!(code, Some(1));
    assert!(
        err.contains("can't write") && err.contains("nowhere/plot.svg"),
        "{err}"
    );
}

#[test]
fn lines_that_cannot_be_read_are_told_with_their_numbers() {
    let desk = Desk::new(100);
    let mut log = fs::read_to_string(desk.path("decisions.jsonl")).expect("the log");
    log.insert_str(0, "no decision\n");
    log.push_str("{\"v\":1,\"dropped\":7,\"from\":\"2027-03-08T12:00:00Z\",\"to\":\"2027-03-08T12:00:09Z\"}\n");
    log.push_str("{\"v\":2}\n{\"v\":1,\"ti");
    desk.0.write("decisions.jsonl", &log);
    let (code, out, err) = desk.simulate("new.toml", &[]);
    assert_eq!(code, Some(1), "{err}");
    assert!(out.contains("replayed 100 decisions"), "{out}");
    let log = desk.path("decisions.jsonl");
    for expected in [
        &format!("{log}:1:2: "),
        &format!("{log}:103:"),
        "7 decisions are missing",
        "1 lines at ends of files are cut off",
        "--lenient",
    ] {
        assert!(err.contains(expected), "no `{expected}` in:\n{err}");
    }
    let (code, _, _) = desk.simulate("new.toml", &["--lenient"]);
    assert_eq!(code, Some(0));
    let many: String = (0..30).fold(String::new(), |mut text, n| {
        writeln!(text, "wrong {n}").expect("a text grows");
        text
    });
    desk.0.write("decisions.jsonl", &many);
    let (code, out, err) = desk.simulate("new.toml", &[]);
    assert_eq!(code, Some(1));
    assert!(out.contains("replayed 0 decisions"), "{out}");
    assert!(err.contains("and 20 lines more"), "{err}");
}

#[test]
fn a_limit_on_who_may_be_turned_away_is_for_pipelines() {
    let desk = Desk::new(1_000);
    let (code, out, err) = desk.simulate("new.toml", &["--max-turned-away", "0"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(
        err.contains("accounts that were let in would be turned away"),
        "{err}"
    );
    for (candidate, limit) in [("old.toml", "0"), ("new.toml", "1000")] {
        let (code, _, err) = desk.simulate(candidate, &["--max-turned-away", limit]);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{candidate}");
    }
}

#[test]
fn a_log_may_come_by_stdin_and_a_candidate_may_be_wrong() {
    let desk = Desk::new(500);
    let log = fs::File::open(desk.path("decisions.jsonl")).expect("the log");
    let candidate = desk.path("new.toml");
    let arguments = [
        "policy",
        "simulate",
        "--candidate",
        &candidate,
        "--against",
        "-",
    ];
    let output = desk.0.command(&arguments).stdin(Stdio::from(log)).output();
    let (code, out, _) = parts(&output.expect("it runs"));
    assert_eq!(code, Some(0));
    assert!(out.contains("replayed 500 decisions"), "{out}");
    desk.0
        .replace("new.toml", "needs = \"mfa\"", "needs = \"much\"");
    let (code, out, err) = desk.simulate("new.toml", &[]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("new.toml:11:9: `tier.publish.needs`"), "{err}");
    let arguments = [
        "policy",
        "simulate",
        "--candidate",
        &candidate,
        "--against",
        "/nowhere",
    ];
    let (code, _, err) = parts(&desk.0.run(&arguments));
    assert_eq!(code, Some(1), "{err}");
}

#[test]
fn a_comparison_of_decisions_ends_as_diff_does() {
    let desk = Desk::new(1_000);
    let reworded = fs::read_to_string(desk.path("old.toml")).expect("a policy");
    desk.0.write(
        "reworded.toml",
        &format!("# the same in other words\n{reworded}"),
    );
    let (code, out, err) = desk.diff("old.toml", "reworded.toml", &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("no difference in decisions ("), "{out}");
    let (code, out, err) = desk.diff("old.toml", "new.toml", &[]);
    assert_eq!((code, err.as_str()), (Some(1), ""), "{out}");
    let expected = "everything through gallery with no second factor or with nothing known of a second factor, \
                    evidence at most 12h old, an account made before 2027-03-08 that must by the new file and not yet by the old, \
                    until 2027-05-07: permit with a reminder → refuse (mfa-absent, mfa-unknown), tier.publish";
    assert!(out.contains(expected), "{out}");
    for trouble in [&["--against", "/nowhere"][..], &["--format", "xml"]] {
        let (code, out, err) = desk.diff("old.toml", "new.toml", trouble);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    }
    let (code, _, err) = desk.diff("old.toml", "missing.toml", &[]);
    assert_eq!(code, Some(2), "{err}");
}

#[test]
fn a_comparison_can_be_over_a_log_and_in_json() {
    let desk = Desk::new(1_000);
    let log = desk.path("decisions.jsonl");
    let against = ["--against", &log, "--format", "json"];
    let (code, out, err) = desk.diff("old.toml", "new.toml", &against);
    assert_eq!((code, err.as_str()), (Some(1), ""), "{out}");
    let compared: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(number(&compared["cases"]), 1_000);
    let differing = number(&compared["differing"]);
    assert!(differing > 0 && differing < 1_000, "{differing}");
    let first = &compared["differences"][0];
    assert_eq!(first["from"]["given"], "reminded", "{first}");
    assert!(
        first["conditions"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    );
    let (code, out, _) = desk.diff("old.toml", "old.toml", &against);
    assert_eq!(code, Some(0), "{out}");
}

#[test]
fn a_reader_that_closes_the_pipe_is_no_failure() {
    let desk = Desk::new(2_000);
    let (candidate, log) = (desk.path("new.toml"), desk.path("decisions.jsonl"));
    let arguments = [
        "policy",
        "simulate",
        "--candidate",
        &candidate,
        "--against",
        &log,
        "--by",
        "account",
        "--format",
        "csv",
    ];
    let mut child = desk
        .0
        .command(&arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}
