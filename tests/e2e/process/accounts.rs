//! `countersign accounts`: what a registry knows of its accounts, brought in whole, in parts, and again.

use std::fmt::Write;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use countersign_store::{Account, Embedded, RegistryAccountName, Store};
use countersign_tests::{Installation, wire};
use serde_json::Value;

use super::Site;

const HEADER: &str = "account,created,provider,tenant,subject,verified_email\n";

fn import(here: &Installation, table: &str, more: &[&str]) -> (Option<i32>, String, String) {
    here.write("accounts.csv", &format!("{HEADER}{table}"));
    let file = here.path("accounts.csv").display().to_string();
    run(here, &[&["import", &file][..], more].concat())
}

fn run(here: &Installation, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = command(here, arguments).output().expect("it runs");
    parts(&output)
}

fn command(here: &Installation, arguments: &[&str]) -> std::process::Command {
    let configuration = here.path("countersign.toml").display().to_string();
    let all = [&["accounts"][..], arguments, &["--config", &configuration]].concat();
    here.command(&all)
}

fn parts(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn show(here: &Installation, account: &str) -> Value {
    let (code, out, err) = run(here, &["show", account, "--json"]);
    assert_eq!(code, Some(0), "{account}: {err}");
    serde_json::from_str(&out).expect("JSON")
}

/// The accounts in the order of their ids, with nothing left out.
async fn accounts(here: &Installation) -> Vec<Account> {
    let store = Embedded::open_to_look(&here.path("data")).expect("a store");
    store
        .list_accounts(None, usize::MAX)
        .await
        .expect("accounts")
}

/// A table of accounts at `github`, numbered from 1.
fn table(rows: usize) -> String {
    (1..=rows).fold(String::new(), |mut table, n| {
        writeln!(
            table,
            "user-{n},2019-03-04,github,,{n},user-{n}@registry.example"
        )
        .expect("memory");
        table
    })
}

#[actix_web::test]
async fn a_table_is_imported_and_what_it_said_can_be_looked_up() {
    let here = Installation::alone();
    let table = "\
        ann,2019-03-04,github,,7,ann@registry.example\n\
        bob,2020-01-02T03:04:05Z,microsoft,,690222BE-ff1a-4d56-abd1-7e4f7d38e474,\n\
        cat,2021-02-03,oidc,,sub-of-cat,\n\
        dan,2022-03-04,,,,dan@registry.example\n";
    let (code, out, err) = import(&here, table, &[]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(
        out,
        "4 rows: 4 new, 0 changed, 0 as they were, 0 contradict what is there\n"
    );
    let ann = show(&here, "ann");
    assert_eq!(ann["identity"], "github 127.0.0.2:9 7");
    assert_eq!(ann["made_at"], "2019-03-04T00:00:00Z");
    assert_eq!(ann["vouched_email"]["address"], "a…@registry.example");
    assert_eq!(ann["told_due"], Value::Null);
    let account = ann["account"].as_str().expect("an account");
    assert_eq!(show(&here, account), ann, "by our id");
    let bob = show(&here, "bob");
    let expected =
        "microsoft 9188040d-6c67-4c5b-b112-36a304b66dad 690222be-ff1a-4d56-abd1-7e4f7d38e474";
    assert_eq!(bob["identity"], expected);
    let dan = show(&here, "dan");
    assert_eq!(
        (&dan["account"], &dan["identity"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(dan["imported_email"], "d…@registry.example");
    let (code, out, _) = run(&here, &["show", "dan"]);
    assert_eq!(code, Some(0));
    assert!(
        out.contains("account: none: its owner has not been seen"),
        "{out}"
    );
    assert!(out.contains("day that was told: none yet"), "{out}");
    assert!(out.contains("must show a second factor: now"), "{out}");
    assert!(!out.contains("dan@"), "{out}");
    let (code, out, err) = run(&here, &["show", "eve"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("there is no account `eve`"), "{err}");
}

#[actix_web::test]
async fn a_second_run_changes_nothing() {
    let here = Installation::alone();
    let table = table(300);
    assert_eq!(import(&here, &table, &[]).0, Some(0));
    let before = accounts(&here).await;
    assert_eq!(before.len(), 300);
    let (code, out, _) = import(&here, &table, &["--quiet"]);
    assert_eq!(code, Some(0));
    assert_eq!(
        out,
        "300 rows: 0 new, 0 changed, 300 as they were, 0 contradict what is there\n"
    );
    assert_eq!(accounts(&here).await, before);
}

#[test]
fn every_bad_line_is_told_with_its_number_and_nothing_is_imported() {
    let here = Installation::alone();
    let mut table = table(3);
    table.push_str("user-2,2019-03-04,,,,\n");
    table.push_str("other,2019-03-04,github,,3,\n");
    table.push_str("eve,2019-02-30,gitlab,,x,eve@@registry.example\n");
    table.push_str("\"short\",2019-03-04\n");
    let (code, out, err) = import(&here, &table, &[]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let file = here.path("accounts.csv").display().to_string();
    let expected = [
        "5: account: expected each account once, found that of line 3",
        "6: subject: expected each subject once, found that of line 4",
        "7: created: expected a date (`2019-03-04`) or a time with its zone (`2019-03-04T05:06:07Z`), found `2019-02-30`",
        "7: provider: expected a configured provider (`github`, `microsoft`, `oidc`), found `gitlab`",
        "7: verified_email: expected an e-mail address (`LOCAL@DOMAIN`), found 21 characters with `@` among them",
        "8: expected 6 fields as in the header, found 2",
    ];
    let mut lines: Vec<String> = expected
        .iter()
        .map(|line| format!("{file}:{line}"))
        .collect();
    lines.push("nothing was imported".to_owned());
    assert_eq!(err.lines().collect::<Vec<_>>(), lines);
    assert!(!here.path("data").exists(), "a data directory was made");
}

#[test]
fn a_hundred_bad_lines_are_told_and_the_rest_is_counted() {
    let here = Installation::alone();
    let table = "ann,never,,,,\n".repeat(1000);
    let (code, _, err) = import(&here, &table, &[]);
    assert_eq!(code, Some(1));
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(lines.len(), 102, "{err}");
    assert!(lines[99].contains(":101: created"), "{}", lines[99]);
    assert_eq!(lines[100..], ["and 900 more", "nothing was imported"]);
}

#[test]
fn a_header_or_a_file_that_is_none_is_told() {
    let here = Installation::alone();
    for (text, told) in [
        ("", ":1: expected a header row"),
        ("name,created\n", ":1: expected columns of `account`"),
        (
            "account;created\nann;2019-03-04\n",
            "(columns are separated by commas)",
        ),
    ] {
        here.write("accounts.csv", text);
        let file = here.path("accounts.csv").display().to_string();
        let (code, _, err) = run(&here, &["import", &file]);
        assert_eq!(code, Some(1));
        assert!(err.contains(told), "{err}");
    }
    for path in ["nothing.csv", ""] {
        let file = here.path(path).display().to_string();
        let (code, _, err) = run(&here, &["import", &file]);
        assert_eq!(code, Some(1));
        assert!(err.contains("can't read") && err.contains(&file), "{err}");
    }
}

#[actix_web::test]
async fn what_contradicts_is_told_and_left_and_the_rest_is_imported() {
    let here = Installation::alone();
    import(&here, &table(2), &[]);
    let before = accounts(&here).await;
    let second = "\
        user-1,2018-01-01,,,,\n\
        user-2,2019-03-04,github,,22,\n\
        user-3,2019-03-04,github,,1,\n\
        user-4,2019-03-04,,,,\n";
    for (more, new) in [(&["--dry-run"][..], 1), (&[], 1), (&[], 0)] {
        let (code, out, err) = import(&here, second, more);
        assert_eq!(code, Some(1), "{out}{err}");
        let (seen, dry) = (1 - new, more.len() == 1);
        let end = if dry {
            " (dry run: nothing was imported)"
        } else {
            ""
        };
        assert_eq!(
            out,
            format!(
                "4 rows: {new} new, 0 changed, {seen} as they were, 3 contradict what is there{end}\n"
            )
        );
        let file = here.path("accounts.csv").display().to_string();
        let expected = [
            "2: created: expected 2019-03-04 as imported before, found another day; left as it is",
            "3: subject: expected the identity that the account has, found another; left as it is",
            "4: account: expected `user-1`, whose identity it is, found another; left as it is",
        ];
        let lines: Vec<String> = expected
            .iter()
            .map(|line| format!("{file}:{line}"))
            .collect();
        assert_eq!(err.lines().collect::<Vec<_>>(), lines);
    }
    assert_eq!(accounts(&here).await, before);
}

#[actix_web::test]
async fn a_dry_run_makes_nothing() {
    let here = Installation::alone();
    let (code, out, err) = import(&here, &table(2), &["--dry-run"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(
        out.starts_with("2 rows: 2 new") && out.contains("dry run"),
        "{out}"
    );
    assert!(!here.path("data").exists());
    // The directory is there before the first start where a package or a mount made it.
    std::fs::create_dir(here.path("data")).unwrap();
    let (code, out, err) = import(&here, &table(2), &["--dry-run"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with("2 rows: 2 new"), "{out}");
    assert_eq!(std::fs::read_dir(here.path("data")).unwrap().count(), 0);
    std::fs::remove_dir(here.path("data")).unwrap();
    import(&here, &table(1), &[]);
    let (_, out, _) = import(&here, &table(2), &["--dry-run"]);
    assert!(
        out.starts_with("2 rows: 1 new, 0 changed, 1 as they were"),
        "{out}"
    );
    assert_eq!(accounts(&here).await.len(), 1);
}

#[actix_web::test]
async fn a_table_from_standard_input_is_read_twice_too() {
    let here = Installation::alone();
    let mut command = command(&here, &["import", "-"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin
        .write_all(format!("{HEADER}{}", table(50)).as_bytes())
        .expect("a pipe");
    drop(stdin);
    let (code, out, err) = parts(&child.wait_with_output().expect("it ends"));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("50 rows: 50 new"), "{out}");
    assert_eq!(accounts(&here).await.len(), 50);
}

/// Starts an import and kills it as `kill -9` does once so many accounts are there.
async fn kill_in_the_middle(here: &Installation, file: &Path, at: usize) {
    let file = file.display().to_string();
    let mut import = command(here, &["import", &file, "--quiet"]);
    import.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = import.spawn().expect("it runs");
    loop {
        let known = match Embedded::open_to_look(&here.path("data")) {
            Ok(store) => store
                .list_accounts(None, at)
                .await
                .map_or(0, |all| all.len()),
            // Not made yet.
            Err(_) => 0,
        };
        if known >= at {
            break;
        }
        assert_eq!(
            child.try_wait().expect("a status"),
            None,
            "it ended too early"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

#[actix_web::test]
async fn an_import_that_was_killed_carries_on_and_ends_as_if_it_had_not_been() {
    const ROWS: usize = 20_000;
    let here = Installation::alone();
    here.write("accounts.csv", &format!("{HEADER}{}", table(ROWS)));
    let file = here.path("accounts.csv");
    let mut before = Vec::new();
    for at in [1_000, 5_000] {
        kill_in_the_middle(&here, &file, at).await;
        let known = accounts(&here).await;
        assert!(
            (at..ROWS).contains(&known.len()),
            "{} accounts",
            known.len()
        );
        for account in &before {
            assert!(known.contains(account), "an account was lost or changed");
        }
        before = known.into_iter().step_by(50).collect();
    }
    let (code, out, err) = run(&here, &["import", &file.display().to_string()]);
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.starts_with("20000 rows: ") && !out.contains(" 0 as they were"),
        "{out}"
    );
    let known = accounts(&here).await;
    assert_eq!(known.len(), ROWS);
    assert!(
        known
            .iter()
            .all(|one| one.registry_account.is_some() && one.vouched_email.is_some())
    );
    let (_, out, _) = run(&here, &["import", &file.display().to_string()]);
    assert_eq!(
        out,
        "20000 rows: 0 new, 0 changed, 20000 as they were, 0 contradict what is there\n"
    );
}

#[actix_web::test]
async fn an_import_runs_beside_a_server_whose_logins_go_on() {
    let site = Site::new().await;
    let here = &site.installation;
    let _program = here.start();
    here.write("accounts.csv", &format!("{HEADER}{}", table(10_000)));
    let file = here.path("accounts.csv").display().to_string();
    let mut import = command(here, &["import", &file]);
    import.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = import.spawn().expect("it runs");
    let mut logins = 0;
    while child.try_wait().expect("a status").is_none() {
        // Each a person of whom nothing is known yet, or of whom something is written.
        for (provider, account) in [
            ("oidc", "ann-mfa"),
            ("microsoft", "mia-mfa"),
            ("github", "ann-mfa"),
        ] {
            let page = site.sign_in(provider, account, |_, _| {}).await;
            assert!(
                page.sent_with("code").is_some(),
                "{provider}: {}",
                page.body
            );
            logins += 1;
        }
    }
    let (code, out, err) = parts(&child.wait_with_output().expect("it ends"));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("10000 rows: 10000 new"), "{out}");
    assert!(logins > 3, "{logins} logins");
    assert!(
        accounts(here).await.len() > 10_000,
        "those who signed in are there too"
    );
}

#[actix_web::test]
async fn an_account_that_was_imported_is_the_one_its_owner_signs_in_to() {
    let site = Site::new().await;
    let here = &site.installation;
    let _program = here.start();
    let ann = site.redeem(&site.code().await).await.id();
    let subject = ann["sub"].as_str().expect("a subject").to_owned();
    let identity = show(here, &subject)["identity"]
        .as_str()
        .expect("an identity")
        .to_owned();
    let subject_there = identity.rsplit(' ').next().expect("a subject").to_owned();
    // Known here before the import, and imported with an older date.
    let row = format!("ann,2019-03-04,oidc,,{subject_there},\n");
    assert_eq!(import(here, &row, &[]).0, Some(0));
    let known = show(here, "ann");
    assert_eq!(known["account"], subject.as_str());
    assert_eq!(known["made_at"], "2019-03-04T00:00:00Z");
    let again = site.redeem(&site.code().await).await.id();
    assert_eq!(again["sub"], subject.as_str());
    assert_eq!(show(here, "ann")["made_at"], "2019-03-04T00:00:00Z");
}

#[actix_web::test]
async fn a_locked_account_gets_nothing_until_it_is_unlocked() {
    let site = Site::new().await;
    let here = &site.installation;
    let program = here.start();
    let tokens = site.redeem(&site.code().await).await;
    let subject = tokens.id()["sub"].as_str().expect("a subject").to_owned();
    let access = tokens.text("access_token");
    assert_eq!(wire::user_info(&program.issuer, access).await.status, 200);

    let lock = [
        "lock",
        subject.as_str(),
        "--reason",
        "reported as \u{1b}[31mtaken over",
    ];
    let (code, out, err) = run(here, &lock);
    assert_eq!(
        (code, out),
        (Some(0), format!("{subject} is locked; sessions ended: 1\n")),
        "{err}"
    );
    assert_eq!(wire::user_info(&program.issuer, access).await.status, 401);
    let page = site.sign_in("oidc", "ann-mfa", |_, _| {}).await;
    assert_eq!(
        (page.status, page.reason_code()),
        (403, Some("account-locked"))
    );
    let (_, out, _) = run(here, &["show", &subject]);
    assert!(out.contains("reported as \\u{1b}[31mtaken over"), "{out}");
    // Locked again it keeps its first reason; no server need be there.
    drop(program);
    let (code, out, _) = run(here, &["lock", &subject, "--reason", "again"]);
    assert_eq!(
        (code, out.contains("was locked already; sessions ended: 0")),
        (Some(0), true),
        "{out}"
    );
    assert!(
        show(here, &subject)["locked"]["reason"]
            .as_str()
            .is_some_and(|why| why.starts_with("reported"))
    );

    for (arguments, told) in [
        (
            &["lock", "nobody", "--reason", "x"][..],
            "there is no account `nobody`",
        ),
        (
            &["lock", &subject, "--reason", " "],
            "`--reason` must say why",
        ),
        (&["unlock", "acct_1"], "there is no account `acct_1`"),
    ] {
        let (code, _, err) = run(here, arguments);
        assert_eq!((code, err.contains(told)), (Some(1), true), "{err}");
    }
    let (code, out, _) = run(here, &["unlock", &subject]);
    assert_eq!(
        (code, out),
        (Some(0), format!("{subject} is locked no more\n"))
    );
    let _program = here.start();
    assert_eq!(site.redeem(&site.code().await).await.status, 200);
}

#[actix_web::test]
async fn a_person_is_forgotten_by_an_operator() {
    let site = Site::new().await;
    let here = &site.installation;
    let program = here.start();
    let tokens = site.redeem(&site.code().await).await;
    let subject = tokens.id()["sub"].as_str().expect("a subject").to_owned();
    assert_eq!(
        import(here, "zoe,2020-01-02,,,,zoe@registry.example\n", &[]).0,
        Some(0)
    );

    let (code, out, err) = run(here, &["export", &subject]);
    assert_eq!(code, Some(0), "{err}");
    let all: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(all["account"]["id"], subject.as_str());
    assert_eq!(all["sessions"].as_array().map(Vec::len), Some(1));
    let (_, out, _) = run(here, &["export", "zoe"]);
    let all: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        all["registry_account"]["verified_email"],
        "zoe@registry.example"
    );

    // Not without a word, not while it is locked, and not nobody.
    let (code, _, err) = run(here, &["erase", &subject]);
    assert_eq!(
        (code, err.contains("repeat it with `--yes`")),
        (Some(1), true),
        "{err}"
    );
    run(here, &["lock", &subject, "--reason", "reported"]);
    let (code, _, err) = run(here, &["erase", &subject, "--yes"]);
    assert_eq!(
        (code, err.contains("unlock it first")),
        (Some(1), true),
        "{err}"
    );
    run(here, &["unlock", &subject]);
    let (code, _, err) = run(here, &["erase", "acct_1", "--yes"]);
    assert_eq!(
        (code, err.contains("there is no account")),
        (Some(1), true),
        "{err}"
    );

    let tokens = site.redeem(&site.code().await).await;
    let access = tokens.text("access_token");
    assert_eq!(wire::user_info(&program.issuer, access).await.status, 200);
    let (code, out, err) = run(here, &["erase", &subject, "--yes"]);
    let expected = format!("{subject} is erased; sessions ended: 1\n");
    assert_eq!((code, out), (Some(0), expected), "{err}");
    assert_eq!(wire::user_info(&program.issuer, access).await.status, 401);
    let (code, out, _) = run(here, &["erase", "zoe", "--yes"]);
    assert_eq!(
        (code, out.contains("nobody has signed in")),
        (Some(0), true),
        "{out}"
    );
    for gone in [&*subject, "zoe"] {
        let (code, _, err) = run(here, &["show", gone]);
        assert_eq!(
            (code, err.contains("there is no account")),
            (Some(1), true),
            "{err}"
        );
    }
    let again = site.redeem(&site.code().await).await.id();
    assert_ne!(again["sub"], subject.as_str());
    drop(program);
    // The trail is whole, and names nobody but by an id that leads nowhere.
    let configuration = here.path("countersign.toml").display().to_string();
    let audit = |arguments: &[&str]| {
        let all = [&["audit"][..], arguments, &["--config", &configuration]].concat();
        parts(&here.command(&all).output().expect("it runs"))
    };
    let (code, out, err) = audit(&["verify"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let (_, out, _) = audit(&["search", "--event", "account-erased", "--format", "json"]);
    assert_eq!(out.lines().count(), 2, "{out}");
    assert!(out.contains(&subject) && !out.contains("zoe"), "{out}");
}

#[test]
fn a_second_import_at_once_is_refused() {
    let here = Installation::alone();
    let held = Embedded::open_for_import(&here.path("data")).expect("a store");
    let (code, out, err) = import(&here, &table(1), &[]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("another import is at work"), "{err}");
    drop(held);
    assert_eq!(import(&here, &table(1), &[]).0, Some(0));
}

#[test]
fn the_files_that_an_import_makes_are_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let here = Installation::alone();
    import(&here, &table(1), &[]);
    for file in fs::read_dir(here.path("data")).expect("files") {
        let file = file.expect("a file");
        let mode = file.metadata().expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
    }
}

#[actix_web::test]
async fn a_registry_account_is_kept_under_its_name() {
    let here = Installation::alone();
    import(&here, "ann,2019-03-04,,,,\n", &[]);
    let store = Embedded::open_to_look(&here.path("data")).expect("a store");
    let name = RegistryAccountName::new("ann").expect("a name");
    let found = store.registry_account(&name).await.expect("a store");
    assert_eq!(found.map(|(record, _)| record.account), Some(None));
}

#[test]
fn each_command_explains_itself() {
    let here = Installation::alone();
    for (arguments, told) in [
        (&["accounts", "--help"][..], "import"),
        (&["accounts", "import", "--help"], "--dry-run"),
        (&["accounts", "show", "--help"], "--json"),
    ] {
        let output = here.command(arguments).output().expect("it runs");
        let (code, out, err) = parts(&output);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(
            out.contains(told) && out.lines().all(|line| line.chars().count() <= 100),
            "{out}"
        );
    }
}
