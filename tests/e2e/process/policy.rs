//! `countersign policy check`, `test` and `explain`: a policy is tried before it bites, and explained
//! after it has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use countersign_core::{Outcome, Record};
use countersign_tests::Installation;
use serde_json::Value;

use super::Site;

const CASES: &str = "\
| case    | on         | provider | shows    | asks for        | expected            |
|---------|------------|----------|----------|-----------------|---------------------|
| a code  | 2027-06-01 | oidc     | mfa      | packages:manage | permit              |
| no code | 2027-06-01 | oidc     | password | packages:manage | step-up: mfa-absent |
";

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// The exit code, stdout and stderr.
fn parts(output: &Output) -> (Option<i32>, String, String) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    (output.status.code(), out, err)
}

/// What a command about the policy says of the policy of an installation, without its configuration.
fn on_policy(here: &Installation, command: &str) -> (Option<i32>, String, String) {
    let policy = path(here, "policy.toml");
    parts(&here.run(&["policy", command, &policy]))
}

fn path(here: &Installation, name: &str) -> String {
    here.path(name).display().to_string()
}

/// The directory of the files that are shipped.
fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config")
}

#[test]
fn each_command_has_help_with_an_example() {
    let here = Installation::alone();
    for command in ["check", "test", "explain"] {
        for help in ["-h", "--help"] {
            let (code, out, err) = parts(&here.run(&["policy", command, help]));
            assert_eq!((code, err.as_str()), (Some(0), ""), "{command}");
            let usage = format!("Usage: countersign policy {command}");
            assert!(out.contains(&usage) && out.contains("Examples:"), "{out}");
            let longest = out.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(100), "{command}: {longest:?}\n{out}");
        }
    }
}

#[test]
fn check_tells_what_is_in_force() {
    let here = Installation::alone();
    let (code, out, err) = on_policy(&here, "check");
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for expected in [
        "ok: ",
        "version: sha256:",
        "tier manage needs mfa (session or enrolment or tenant): packages:manage",
        "signing in to gallery needs: tier `manage`",
        "calendar: none; everybody must from now on",
    ] {
        assert!(out.contains(expected), "no `{expected}` in: {out}");
    }
}

#[test]
fn check_tells_mistakes_at_their_place_and_warnings_beside_what_is_in_force() {
    let here = Installation::alone();
    let exception = r#"
[exception.past]
account = "acct_1"
reason = "moving house"
approved_by = "security@registry.example"
until = 2020-01-31
waives = ["manage"]
"#;
    let policy = fs::read_to_string(here.path("policy.toml")).expect("the policy");
    here.write("policy.toml", &format!("{policy}{exception}"));
    let (code, out, err) = on_policy(&here, "check");
    assert_eq!(code, Some(0), "{err}");
    assert!(
        err.starts_with("warning: ") && err.contains("is past"),
        "{err}"
    );
    assert!(out.contains("exception past: manage waived for account acct_1, ended on 2020-01-31"));

    here.replace("policy.toml", "needs = \"none\"", "needs = \"nothing\"");
    here.replace("policy.toml", "2020-01-31", "\"soon\"");
    let (code, out, err) = on_policy(&here, "check");
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    let file = path(&here, "policy.toml");
    let places: Vec<bool> = err
        .lines()
        .map(|line| line.starts_with(&format!("{file}:")))
        .collect();
    assert_eq!(places, [true, true], "{err}");
}

#[test]
fn a_policy_that_is_to_be_in_force_is_checked_against_the_installation() {
    let here = Installation::alone();
    let policy = fs::read_to_string(here.path("policy.toml")).expect("the policy");
    here.write("new.toml", &policy.replace("[proof.oidc]", "[proof.odic]"));
    let (new, config) = (path(&here, "new.toml"), path(&here, "countersign.toml"));
    let alone = parts(&here.run(&["policy", "check", &new]));
    assert_eq!(alone.0, Some(0), "{}", alone.2);
    let (code, out, err) = parts(&here.run(&["policy", "check", &new, "--config", &config]));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("did you mean `oidc`?"), "{err}");
}

#[test]
fn the_examples_pass_their_cases() {
    let here = Installation::alone();
    let examples = [
        "over-two-months",
        "management-actions",
        "limited-until-then",
    ];
    let examples = examples.map(|name| shipped().join(format!("examples/{name}.toml")));
    for file in [shipped().join("policy.toml")].into_iter().chain(examples) {
        let file = file.display().to_string();
        let (code, out, err) = parts(&here.run(&["policy", "test", &file]));
        assert_eq!(code, Some(0), "{out}{err}");
        assert!(out.starts_with("ok: ") && out.lines().count() == 1, "{out}");
    }
}

#[test]
fn cases_stand_beside_the_policy_and_a_failing_one_says_why_and_what_would_have_helped() {
    let here = Installation::alone();
    here.write("policy.cases.md", CASES);
    let (code, out, err) = on_policy(&here, "test");
    let file = path(&here, "policy.cases.md");
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(out, format!("ok: 2 cases of {file}\n"));

    here.replace(
        "policy.cases.md",
        "step-up: mfa-absent",
        "permit             ",
    );
    let (code, out, err) = on_policy(&here, "test");
    assert_eq!((code, err.as_str()), (Some(1), ""));
    for expected in [
        format!("{file}:4: no code\n"),
        "  expected: permit\n".to_owned(),
        "  found:    step-up: mfa-absent by tier.manage\n".to_owned(),
        "`acr=urn:dev-idp:mfa`".to_owned(),
        format!("failed: 1 of 2 cases of {file}\n"),
    ] {
        assert!(out.contains(&expected), "no `{expected}` in: {out}");
    }
}

#[test]
fn cases_that_can_not_be_read_are_told_at_their_place_all_at_once() {
    let here = Installation::alone();
    let wrong = CASES
        .replace("oidc  ", "odic  ")
        .replace("permit   ", "allow    ");
    here.write("other.md", &wrong);
    let (policy, cases) = (path(&here, "policy.toml"), path(&here, "other.md"));
    let output = here.run(&["policy", "test", &policy, "--cases", &cases]);
    let (code, out, err) = parts(&output);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    for place in ["3:26", "3:66", "4:26"] {
        assert!(
            err.contains(&format!("{cases}:{place}: ")),
            "{place}: {err}"
        );
    }
    let missing = parts(&here.run(&["policy", "test", &policy]));
    assert_eq!(missing.0, Some(1));
    assert!(missing.2.contains("can't read `"), "{}", missing.2);
}

#[test]
fn a_login_that_is_described_is_explained() {
    let here = Installation::alone();
    let policy = path(&here, "policy.toml");
    let described = [
        "policy",
        "explain",
        "--policy",
        &policy,
        "--provider",
        "oidc",
        "--acr",
        "silver",
        "--amr",
        "pwd,otp",
        "--client",
        "gallery",
        "--scope",
        "packages:manage",
        "--at",
        "2027-05-08",
        "--account",
        "made 2019-05-01",
    ];
    let (code, out, err) = parts(&here.run(&described));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for expected in [
        "step-up by tier.manage: mfa-absent\n",
        "at 2027-05-08T12:00:00Z",
        "it carries `acr=silver amr=pwd,otp`, and of this provider the policy counts `acr=urn:dev-idp:mfa`",
        "it would have been let in:\n    - with mfa (the provider says that this login used it): `acr=urn:dev-idp:mfa`",
        "or by another policy, with:\n    - an `[exception.NAME]`",
        "`proof.oidc.acr` with \"silver\"",
    ] {
        assert!(out.contains(expected), "no `{expected}` in: {out}");
    }
    let (code, out, _) = parts(&here.run(&[&described[..], &["--json"]].concat()));
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(code, Some(0));
    assert_eq!(json[0]["verdict"]["outcome"], "step-up");
    assert_eq!(json[0]["verdict"]["rule"], "tier.manage");
    assert_eq!(json[0]["nearest"][0]["lets_in_with"], "everything");
    let words = json[0]["would_let_in"][0].as_str().unwrap_or_default();
    assert!(words.contains("acr=urn:dev-idp:mfa"), "{out}");
}

#[test]
fn a_description_that_is_wrong_is_a_wrong_command_line() {
    let here = Installation::alone();
    let policy = path(&here, "policy.toml");
    let explain = |more: &[&str]| {
        let first = ["policy", "explain", "--policy", &policy];
        parts(&here.run(&[&first[..], more].concat()))
    };
    let (code, out, err) = explain(&["--provider", "odic", "--scope", "packages:mange"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(
        err.contains("--provider: the policy names no provider `odic`"),
        "{err}"
    );
    assert!(
        err.contains("--scope: no tier of the policy has the scope"),
        "{err}"
    );
    for more in [&[][..], &["some-id", "--provider", "oidc"], &["--log", "x"]] {
        assert_eq!(explain(more).0, Some(2), "{more:?}");
    }
}

#[actix_web::test]
async fn a_refusal_is_explained_by_the_request_id_of_its_page() {
    let site = Site::new().await;
    let mut program = site.installation.start();
    // GitHub can't be asked for more, so that its people are refused at once.
    let page = site.sign_in("github", "bob-password", |_, _| {}).await;
    assert_eq!(page.reason_code(), Some("mfa-absent"), "{}", page.body);
    program.terminate();
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());

    let here = &site.installation;
    let log = here.path("data/decisions.jsonl");
    let lines = fs::read_to_string(&log).expect("the log");
    let mut records = lines
        .lines()
        .map(|line| serde_json::from_str::<Record>(line).expect("a record"));
    let refused = records.next_back().expect("a decision");
    assert_eq!(
        refused.verdict.outcome,
        Outcome::Refuse,
        "{lines}\n{}",
        page.body
    );
    let id = &refused.request_id;
    assert!(
        page.body.contains(id),
        "{id} is not on the page: {}",
        page.body
    );

    let config = path(here, "countersign.toml");
    let (code, out, err) = parts(&here.run(&["policy", "explain", id, "--config", &config]));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for expected in [
        "refuse by tier.manage: mfa-absent",
        &format!("request {id}, sign-in"),
        "decided so by this very policy",
        "it would have been let in:\n    - with mfa by enrolment",
    ] {
        assert!(out.contains(expected), "no `{expected}` in: {out}");
    }

    here.replace("policy.toml", "tier = \"manage\"", "tier = \"browse\"");
    let log = log.display().to_string();
    let policy = path(here, "policy.toml");
    let by_another = ["policy", "explain", id, "--log", &log, "--policy", &policy];
    let (code, out, _) = parts(&here.run(&by_another));
    assert_eq!(code, Some(0));
    assert!(
        out.contains(
            "permit by tier.browse: email openid profile, without packages:manage (mfa-absent)"
        ),
        "{out}"
    );
    assert!(
        out.contains("decided otherwise by another version of the policy, sha256:"),
        "{out}"
    );

    let (code, out, err) = parts(&here.run(&[
        "policy", "explain", "nobody", "--log", &log, "--policy", &policy,
    ]));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("no decision of a request `nobody`"), "{err}");
}
