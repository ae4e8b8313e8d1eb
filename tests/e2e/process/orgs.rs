//! `countersign orgs`: organisations by hand and by a file, beside a running server and without one.

use std::fmt::Write;
use std::process::{Output, Stdio};
use std::time::Duration;

use countersign_core::calendar::day_of;
use countersign_core::{ExceptionName, OrganizationId};
use countersign_server::{Clock, SystemClock};
use countersign_store::organization::{AskedException, ask};
use countersign_store::{Actor, Embedded, Organization, Store};
use countersign_tests::Installation;
use jiff::ToSpan;
use serde_json::{Value, json};

use super::Site;

const TENANT: &str = "tenant:6e93a626-8aca-4dc1-9191-ce291b4b75a1";
const OTHER: &str = "tenant:7e93a626-8aca-4dc1-9191-ce291b4b75a1";

/// The exit code, and what is said on stdout and on stderr.
type Said = (Option<i32>, String, String);

fn command(here: &Installation, arguments: &[&str]) -> std::process::Command {
    let configuration = here.path("countersign.toml").display().to_string();
    let all = [&["orgs"][..], arguments, &["--config", &configuration]].concat();
    here.command(&all)
}

fn run(here: &Installation, arguments: &[&str]) -> Said {
    said(&command(here, arguments).output().expect("it runs"))
}

fn said(output: &Output) -> Said {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// Runs what must be done; answers with what it says.
fn done(here: &Installation, arguments: &[&str]) -> String {
    let (code, out, err) = run(here, arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {out}{err}");
    out
}

/// Runs what must not be done; answers with what it says.
fn refused(here: &Installation, arguments: &[&str]) -> String {
    let (code, out, err) = run(here, arguments);
    assert_eq!(code, Some(1), "{arguments:?}: {out}{err}");
    err
}

fn apply(here: &Installation, text: &str, more: &[&str]) -> Said {
    here.write("organizations", text);
    let file = here.path("organizations").display().to_string();
    run(here, &[&["apply", &file][..], more].concat())
}

fn show(here: &Installation, id: &str) -> Value {
    let out = done(here, &["show", id, "--format", "json"]);
    serde_json::from_str(&out).expect("JSON")
}

async fn all(here: &Installation) -> Vec<Organization> {
    let store = Embedded::open_to_look(&here.path("data")).expect("a store");
    let all = store.list_organizations(None, usize::MAX).await;
    all.expect("organizations")
}

/// An installation that was started before, so that there is a store.
async fn started() -> Site {
    let site = Site::new().await;
    drop(site.installation.start());
    site
}

/// So many organisations, each with a tenant of its own.
fn lines(count: usize) -> String {
    (1..=count).fold(String::new(), |mut lines, n| {
        writeln!(
            lines,
            r#"{{"id": "org-{n:06}", "title": "Organization {n}", "admins": ["registry-account:user-{n}"], "connections": [{{"source": "tenant:00000000-0000-4000-8000-{n:012}", "reason": "contract {n}"}}]}}"#
        )
        .expect("memory");
        lines
    })
}

#[actix_web::test]
async fn one_is_told_of_connected_shown_and_forgotten_beside_a_running_server() {
    let site = Site::new().await;
    let here = &site.installation;
    here.replace(
        "policy.toml",
        "[client.gallery]",
        "[organization.contoso]\nstricter.manage = { max_evidence_age = \"1h\" }\n[exception.rooms]\n\
         organization = \"contoso\"\nreason = \"no phones\"\napproved_by = \"security@registry.example\"\n\
         until = 2199-01-01\nwaives = [\"manage\"]\n[client.gallery]",
    );
    let _program = here.start();
    let ann = site.redeem(&site.code().await).await.id();
    let ann = format!("account:{}", ann["sub"].as_str().expect("a subject"));
    let admins = ["--admin", &ann, "--admin", "registry-account:bob"];
    let tell = [
        &["tell", "contoso", "--title", "Contoso \u{1b}[31mLtd"][..],
        &admins,
    ]
    .concat();
    // A title that would steer a terminal is none.
    let err = refused(here, &tell);
    assert!(err.contains("`title` is one line"), "{err}");
    let tell = [&["tell", "contoso", "--title", "Contoso Ltd"][..], &admins].concat();
    assert_eq!(done(here, &tell), "contoso is known now; admins: 2\n");
    // What is not given stays.
    assert_eq!(
        done(here, &["tell", "contoso", "--title", "Contoso"]),
        "contoso has changed; admins: 2\n"
    );
    let connect = [
        "connect",
        "contoso",
        TENANT,
        "--reason",
        "ticket \u{1b}[31m4711",
        "--guests",
        "--context",
        "c1=mfa",
        "--role",
        "publishers=publisher",
        "--role",
        "publishers=reader",
    ];
    assert_eq!(
        done(here, &connect),
        format!("contoso is connected to {TENANT}\n")
    );
    let shown = show(here, "contoso");
    let made = &shown["organization"]["connections"][0];
    assert_eq!(made["standing"], "in-force");
    assert_eq!(made["made_by"], "operator");
    assert_eq!(made["mapping"]["guests"], "admitted");
    assert_eq!(made["mapping"]["contexts"], json!({"c1": "mfa"}));
    assert_eq!(
        made["mapping"]["roles"],
        json!({"publishers": ["publisher", "reader"]})
    );
    let seen: Vec<&Value> = shown["admins"]
        .as_array()
        .expect("admins")
        .iter()
        .map(|admin| &admin["has_signed_in"])
        .collect();
    assert_eq!(seen, [&json!(true), &json!(false)]);
    let out = done(here, &["show", "contoso"]);
    for part in [
        "title: Contoso\n",
        "has signed in\n",
        "registry-account:bob: has never signed in here",
        &format!("{TENANT}: in force"),
        "because of your own word: ticket \\u{1b}[31m4711",
        "guests of the tenant count",
        "context c1 attests mfa",
        "publishers is publisher, reader",
        "stricter for tier manage: needs mfa; ",
        "max_evidence_age 1h",
        "exception rooms: waives manage; until 2199-01-01",
    ] {
        assert!(out.contains(part), "`{part}` in {out}");
    }
    assert!(!out.contains('\u{1b}'), "{out}");
    let end = ["disconnect", "contoso", TENANT];
    assert_eq!(
        done(here, &end),
        format!("contoso is connected to {TENANT} no more\n")
    );
    // A mistyped tenant is not taken for done.
    assert!(refused(here, &end).contains("`contoso` is not connected to"));
    assert!(refused(here, &["forget", "contoso"]).contains("Nothing was done; add `--yes`"));
    assert_eq!(
        done(here, &["forget", "contoso", "--yes"]),
        "contoso is forgotten\n"
    );
    // The policy file names it still.
    let out = done(here, &["show", "contoso"]);
    assert!(out.contains("only the policy file names it"), "{out}");
    for arguments in [
        &["show", "fabrikam"][..],
        &["forget", "contoso", "--yes"],
        &["connect", "contoso", TENANT, "--reason", "x"],
        &["settle", "contoso", TENANT],
        &["approve", "contoso", TENANT],
    ] {
        let err = refused(here, arguments);
        assert!(
            err.contains("there is no organization"),
            "{arguments:?}: {err}"
        );
    }
}

#[actix_web::test]
async fn what_can_not_be_said_is_refused() {
    let site = started().await;
    let here = &site.installation;
    done(here, &["tell", "contoso"]);
    for (arguments, told) in [
        (
            &["connect", "contoso", TENANT, "--reason", " "][..],
            "`reason` is missing",
        ),
        (
            &[
                "connect",
                "contoso",
                "tenant:9188040d-6c67-4c5b-b112-36a304b66dad",
                "--reason",
                "x",
            ],
            "the tenant of all personal accounts",
        ),
        (
            &[
                "connect",
                "contoso",
                "github:github.com:7",
                "--reason",
                "x",
                "--guests",
            ],
            "are of Entra tenants",
        ),
        (
            &[
                "connect",
                "contoso",
                TENANT,
                "--reason",
                "x",
                "--context",
                "c100=mfa",
            ],
            "`c1` to `c99`",
        ),
        (
            &[
                "connect", "contoso", TENANT, "--reason", "x", "--role", "=owner",
            ],
            "names of 1 to 128",
        ),
    ] {
        let err = refused(here, arguments);
        assert!(err.contains(told), "{arguments:?}: {err}");
    }
    for wrong in [
        &["connect", "contoso", "tenant:contoso", "--reason", "x"][..],
        &["connect", "contoso", TENANT],
        &[
            "connect",
            "contoso",
            TENANT,
            "--reason",
            "x",
            "--context",
            "c1=none",
        ],
        &["tell", "a b"],
        &["tell", "contoso", "--admin", "ann"],
        &["list", "--begins-with", "a/b"],
        &["settle", "contoso", TENANT, "perhaps"],
    ] {
        let (code, _, err) = run(here, wrong);
        assert_eq!(code, Some(2), "{wrong:?}: {err}");
    }
    assert_eq!(
        show(here, "contoso")["organization"]["connections"],
        Value::Null
    );
}

#[actix_web::test]
async fn they_are_listed_by_name_page_by_page_and_those_that_wait() {
    let site = started().await;
    let here = &site.installation;
    for id in ["acme", "con", "contoso", "contoso-bank", "fabrikam"] {
        done(here, &["tell", id]);
    }
    let names = |arguments: &[&str]| -> Vec<String> {
        let out = done(here, &[&["list"][..], arguments].concat());
        let name = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
        out.lines().map(name).collect()
    };
    assert_eq!(names(&[]).len(), 5);
    let begins = ["--begins-with", "con"];
    assert_eq!(names(&begins), ["con", "contoso", "contoso-bank"]);
    assert_eq!(names(&["--begins-with", "zz"]), Vec::<String>::new());
    let next = [&begins[..], &["--after", "con", "--limit", "1"]].concat();
    assert_eq!(names(&next), ["contoso"]);
    let (_, _, err) = run(here, &["list", "--limit", "2"]);
    assert_eq!(err, "there are more: `--after con` lists on\n");
    assert_eq!(names(&["--disputed"]), Vec::<String>::new());
    done(here, &["connect", "acme", TENANT, "--reason", "x"]);
    refused(here, &["connect", "fabrikam", TENANT, "--reason", "x"]);
    assert_eq!(names(&["--disputed"]), ["fabrikam"]);
    let out = done(here, &["list", "--disputed", "--format", "json"]);
    let one: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(one["connections"][0]["standing"], "disputed");
}

#[actix_web::test]
async fn what_the_policy_file_gives_to_another_is_disputed_by_command_and_file_too() {
    let site = started().await;
    let here = &site.installation;
    here.replace(
        "policy.toml",
        "[client.gallery]",
        &format!(
            "[organization.fabrikam]\ntenants = [\"{}\"]\n[client.gallery]",
            TENANT.trim_start_matches("tenant:")
        ),
    );
    let standing = || show(here, "contoso")["organization"]["connections"][0]["standing"].clone();
    done(here, &["tell", "contoso"]);
    let connect = ["connect", "contoso", TENANT, "--reason", "x"];
    for _ in 0..2 {
        let err = refused(here, &connect);
        assert!(err.contains("not in force: fabrikam says that"), "{err}");
    }
    let text = format!(
        "version = 1\n[organization.contoso.connection.\"{TENANT}\"]\nreason = \"contract\"\n"
    );
    for more in [&["--dry-run"][..], &[]] {
        let (code, out, err) = apply(here, &text, more);
        assert_eq!(code, Some(1), "{out}{err}");
        assert!(format!("{out}{err}").contains("disputed"), "{out}{err}");
    }
    let err = refused(here, &["approve", "contoso", TENANT]);
    assert!(err.contains("fabrikam says that"), "{err}");
    assert_eq!(standing(), "disputed");
    let shown = show(here, "contoso");
    let rival = json!([{"id": "fabrikam", "standing": "in-force", "by": "policy-file"}]);
    assert_eq!(shown["rivals"][TENANT], rival);
    let out = done(here, &["show", "contoso"]);
    assert!(
        out.contains("the policy file gives it to fabrikam too"),
        "{out}"
    );
    // What the file says can't be taken away by a command; an operator can say that both have these people.
    let err = refused(here, &["settle", "contoso", TENANT, "transfer", "--yes"]);
    assert!(
        err.contains("take it out of `organization.fabrikam.tenants`"),
        "{err}"
    );
    assert_eq!(standing(), "disputed");
    done(here, &["settle", "contoso", TENANT, "share"]);
    assert_eq!(standing(), "in-force");
}

#[actix_web::test]
async fn a_dispute_is_settled_as_was_said() {
    let site = started().await;
    let here = &site.installation;
    let standing = |id: &str| show(here, id)["organization"]["connections"][0]["standing"].clone();
    for (verdict, contoso, fabrikam) in [
        (&["share"][..], json!("in-force"), json!("in-force")),
        (&["refuse"], Value::Null, json!("in-force")),
        (&["transfer", "--yes"], json!("in-force"), Value::Null),
    ] {
        for id in ["contoso", "fabrikam"] {
            run(here, &["forget", id, "--yes"]);
            done(here, &["tell", id]);
        }
        done(here, &["connect", "fabrikam", TENANT, "--reason", "x"]);
        let connect = ["connect", "contoso", TENANT, "--reason", "x"];
        let err = refused(here, &connect);
        assert!(err.contains("fabrikam says that"), "{err}");
        let settle = ["settle", "contoso", TENANT];
        // What each would do is said first, and nothing is done by that.
        let err = refused(here, &settle);
        assert!(
            err.contains("transfer") && err.contains("Nothing was done"),
            "{err}"
        );
        let err = refused(here, &[&settle[..], &["transfer"]].concat());
        assert!(
            err.contains("fabrikam would lose") && err.contains("--yes"),
            "{err}"
        );
        let err = refused(here, &["approve", "contoso", TENANT]);
        assert!(err.contains("not in force"), "{err}");
        assert_eq!(standing("contoso"), "disputed");
        done(here, &[&settle[..], verdict].concat());
        assert_eq!(standing("contoso"), contoso, "{verdict:?}");
        assert_eq!(standing("fabrikam"), fabrikam, "{verdict:?}");
    }
}

#[actix_web::test]
async fn a_file_is_applied_once_and_changes_nothing_when_it_is_applied_again() {
    let here = Installation::alone();
    let text = format!(
        "version = 1\n[organization.contoso]\ntitle = \"Contoso\"\nadmins = [\"registry-account:ann\"]\n\
         [organization.contoso.connection.\"{TENANT}\"]\nreason = \"ticket 4711\"\ncontexts = {{ c1 = \"mfa\" }}\n\
         [organization.fabrikam]\n"
    );
    let (code, out, err) = apply(&here, &text, &["--dry-run"]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(
        out,
        "2 organizations: 2 new, 0 changed, 0 as they were; 0 forgotten, 0 connections ended, 0 disputed (dry run: \
         nothing was changed)\n"
    );
    assert_eq!(
        err,
        format!("contoso: new, connects {TENANT}\nfabrikam: new\n")
    );
    assert!(!here.path("data").exists(), "a dry run made a store");
    let (code, out, err) = apply(&here, &text, &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with("2 organizations: 2 new"), "{out}");
    let before = all(&here).await;
    for more in [&["--dry-run"][..], &[], &["--prune"]] {
        let (code, out, err) = apply(&here, &text, more);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{more:?}");
        assert!(out.contains("0 new, 0 changed, 2 as they were"), "{out}");
    }
    assert_eq!(all(&here).await, before);
    let other = text.replace("ticket 4711", "ticket 4712");
    let (_, out, err) = apply(&here, &other, &["--dry-run"]);
    assert!(out.contains("1 changed"), "{out}");
    assert_eq!(err, format!("contoso: changed, connects {TENANT}\n"));
}

#[test]
fn every_mistake_of_a_file_is_told_with_its_place_and_nothing_is_changed() {
    let here = Installation::alone();
    let text = format!(
        "version = 1\n[organization.contoso]\ntitel = \"x\"\n[organization.contoso.connection.\"{TENANT}\"]\n\
         contexts = {{ c1 = \"none\" }}\n"
    );
    let (code, out, err) = apply(&here, &text, &[]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let file = here.path("organizations").display().to_string();
    let places: Vec<&str> = err
        .lines()
        .filter_map(|line| line.strip_prefix(&format!("{file}:")))
        .filter_map(|rest| rest.split(": ").next())
        .collect();
    assert_eq!(places, ["3:1", "4:34", "5:19"], "{err}");
    assert!(err.ends_with("nothing was changed\n"), "{err}");
    let mut table = lines(3);
    table.push_str("{\"id\": \"org-000002\"}\n{\"id\": \"a b\"}\n");
    let (code, _, err) = apply(&here, &table, &[]);
    assert_eq!(code, Some(1));
    assert!(err.contains("organizations:5:"), "{err}");
    assert!(!here.path("data").exists(), "a data directory was made");
    for path in ["nothing", ""] {
        let file = here.path(path).display().to_string();
        assert!(refused(&here, &["apply", &file]).contains("can't read"));
    }
}

#[actix_web::test]
async fn what_the_file_gives_up_is_forgotten_only_when_that_is_said_and_what_others_made_stays() {
    let site = started().await;
    let here = &site.installation;
    done(here, &["tell", "by-hand"]);
    let both = format!(
        "version = 1\n[organization.contoso.connection.\"{TENANT}\"]\nreason = \"x\"\n[organization.fabrikam]\n"
    );
    assert_eq!(apply(here, &both, &[]).0, Some(0));
    done(here, &["connect", "contoso", OTHER, "--reason", "by hand"]);
    let less = "version = 1\n[organization.contoso]\n";
    let (code, out, err) = apply(here, less, &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert_eq!(all(here).await.len(), 3, "without `--prune` all stay");
    let would = format!("fabrikam: would be forgotten\ncontoso: would lose {TENANT}\n");
    let (code, out, err) = apply(here, less, &["--prune"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(
        err,
        format!("{would}nothing was changed; add `--yes` to forget these too\n")
    );
    let (code, out, err) = apply(here, less, &["--prune", "--dry-run"]);
    assert_eq!((code, err.as_str()), (Some(0), would.as_str()));
    assert!(out.contains("1 forgotten, 1 connections ended"), "{out}");
    assert_eq!(all(here).await.len(), 3);
    let (code, out, err) = apply(here, less, &["--prune", "--yes"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("1 forgotten, 1 connections ended"), "{out}");
    let left = all(here).await;
    let names: Vec<&str> = left.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(names, ["by-hand", "contoso"]);
    let sources: Vec<String> = left[1]
        .connections
        .iter()
        .map(|one| one.mapping.source.to_string())
        .collect();
    assert_eq!(sources, [OTHER]);
}

#[actix_web::test]
async fn what_another_has_is_disputed_and_told_until_it_is_settled() {
    let site = started().await;
    let here = &site.installation;
    done(here, &["tell", "fabrikam"]);
    done(here, &["connect", "fabrikam", TENANT, "--reason", "x"]);
    let text =
        format!("version = 1\n[organization.contoso.connection.\"{TENANT}\"]\nreason = \"x\"\n");
    for new in [1, 0] {
        let (code, out, err) = apply(here, &text, &[]);
        assert_eq!(code, Some(1), "{out}");
        assert!(
            out.contains(&format!("{new} new")) && out.contains("1 disputed"),
            "{out}"
        );
        assert!(err.contains("countersign orgs settle contoso"), "{err}");
    }
    done(here, &["settle", "contoso", TENANT, "share"]);
    let (code, out, err) = apply(here, &text, &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
}

/// How many organisations there are, once there is a store.
async fn known(here: &Installation, most: usize) -> usize {
    match Embedded::open_to_look(&here.path("data")) {
        Ok(store) => {
            let known = store.list_organizations(None, most).await;
            known.map_or(0, |known| known.len())
        }
        Err(_) => 0,
    }
}

#[actix_web::test]
async fn one_that_was_killed_in_the_middle_carries_on_and_ends_as_if_it_had_not_been() {
    const COUNT: usize = 10_000;
    let here = Installation::alone();
    here.write("organizations", &lines(COUNT));
    let file = here.path("organizations").display().to_string();
    let mut apply = command(&here, &["apply", &file, "--quiet"]);
    apply.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = apply.spawn().expect("it runs");
    while known(&here, 2000).await < 2000 {
        let status = child.try_wait().expect("a status");
        assert_eq!(status, None, "it ended too early");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let before = known(&here, usize::MAX).await;
    assert!((2000..COUNT).contains(&before), "{before}");
    let out = done(&here, &["apply", &file]);
    assert!(out.starts_with("10000 organizations: "), "{out}");
    let done_now = all(&here).await;
    assert_eq!(done_now.len(), COUNT);
    let is_whole = |one: &Organization| one.in_force().count() == 1 && one.told_by == Actor::File;
    assert!(done_now.iter().all(is_whole));
    let out = done(&here, &["apply", &file]);
    assert!(
        out.contains("0 new, 0 changed, 10000 as they were"),
        "{out}"
    );
}

#[actix_web::test]
async fn a_file_is_applied_beside_a_server_whose_logins_go_on() {
    let site = Site::new().await;
    let here = &site.installation;
    let _program = here.start();
    here.write("organizations", &lines(2000));
    let file = here.path("organizations").display().to_string();
    let mut apply = command(here, &["apply", &file]);
    apply.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = apply.spawn().expect("it runs");
    let mut logins = 0;
    while child.try_wait().expect("a status").is_none() {
        let page = site.sign_in("oidc", "ann-mfa", |_, _| {}).await;
        assert!(page.sent_with("code").is_some(), "{}", page.body);
        logins += 1;
    }
    let (code, out, err) = said(&child.wait_with_output().expect("it ends"));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("2000 organizations: 2000 new"), "{out}");
    assert!(logins > 0);
    assert_eq!(all(here).await.len(), 2000);
}

#[actix_web::test]
async fn an_operator_grants_what_an_organization_asked_for_and_ends_it_again() {
    let site = started().await;
    let here = &site.installation;
    done(here, &["tell", "contoso-bank", "--title", "Contoso Bank"]);
    let nobody = run(here, &["asks"]);
    assert_eq!(nobody.0, Some(0));
    assert!(nobody.2.contains("no organization waits"), "{}", nobody.2);
    let now = SystemClock.now();
    let asked = AskedException {
        name: ExceptionName::new("asked-1").expect("a name"),
        waives: ["manage".to_owned()].into(),
        reason: "card-controlled rooms".to_owned(),
        until: day_of(now).saturating_add(30.days()),
        asked_by: Actor::Operator,
        asked_at: now,
        answer: None,
    };
    {
        let store = Embedded::open_to_change(&here.path("data")).expect("a store");
        let id = OrganizationId::new("contoso-bank").expect("an id");
        ask(&store, &id, &asked).await.expect("it can be asked for");
    }
    let waiting = done(here, &["asks"]);
    assert!(
        waiting.contains("contoso-bank asked-1: no second factor for manage"),
        "{waiting}"
    );
    // A mistyped name, a day that is past, a reason that says nothing: told, and nothing done.
    let grant = ["grant", "contoso-bank"];
    let with = |more: &[&'static str]| [&grant[..], more].concat();
    for unknown in [
        ["asked-2", "--until", "2050-01-01", "--reason", "x"],
        ["asked-2", "--reason", "x", "--until", "2020-01-01"],
    ] {
        let wrong = refused(here, &with(&unknown));
        assert!(wrong.contains("orgs asks"), "{wrong}");
    }
    let wrong = refused(here, &["grant", "nobody", "asked-1", "--reason", "x"]);
    assert!(wrong.contains("no organization `nobody`"), "{wrong}");
    refused(
        here,
        &with(&["asked-1", "--until", "2020-01-01", "--reason", "x"]),
    );
    refused(here, &with(&["asked-1", "--reason", " "]));
    assert!(show(here, "contoso-bank")["organization"]["exceptions"][0]["answer"].is_null());
    let granted = done(here, &with(&["asked-1", "--reason", "seen on site"]));
    assert!(granted.contains(&asked.until.to_string()), "{granted}");
    let told = show(here, "contoso-bank")["organization"]["exceptions"][0]["answer"].clone();
    assert_eq!(
        (&told["verdict"], &told["by"], &told["reason"]),
        (
            &json!("granted"),
            &json!("operator"),
            &json!("seen on site")
        )
    );
    assert_eq!(run(here, &["asks", "--format", "json"]).1, "");
    // It is an exception like those of the policy file: listed, and warned of before it ends.
    let exceptions = |more: &[&str]| {
        let output = here.run(&[&["policy", "exceptions"][..], more].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let file = here.path("countersign.toml").display().to_string();
    let all = exceptions(&["--config", &file]);
    assert!(all.contains("asked-1: in force until"), "{all}");
    assert!(all.contains("  for: organization contoso-bank\n"), "{all}");
    assert!(
        all.contains("  from: asked for by the organization\n"),
        "{all}"
    );
    let all: Value =
        serde_json::from_str(&exceptions(&["--json", "--config", &file])).expect("JSON");
    let listed = &all["exceptions"][0];
    assert_eq!(
        (&listed["name"], &listed["origin"]),
        (&json!("asked-1"), &json!("asked-for"))
    );
    let policy = here.path("policy.toml").display().to_string();
    assert_eq!(
        exceptions(&[&policy]),
        "no exceptions\n",
        "a file alone is of no installation"
    );
    let soon = day_of(now).saturating_add(5.days()).to_string();
    let again = [
        &grant[..],
        &["asked-1", "--reason", "until the move", "--until", &soon],
    ]
    .concat();
    done(here, &again);
    let program = here.start();
    program.logs("exception-ending").await;
    let log = program.log();
    let warned = log.lines().find(|line| line.contains("exception-ending"));
    let warned = warned.expect("a line");
    for part in ["asked-1", "organization contoso-bank", "asked-for", &soon] {
        assert!(warned.contains(part), "{part}: {warned}");
    }
    drop(program);
    done(
        here,
        &[
            "refuse",
            "contoso-bank",
            "asked-1",
            "--reason",
            "phones now",
        ],
    );
    let text = done(here, &["show", "contoso-bank"]);
    assert!(
        text.contains("exception asked-1: waives manage; refused") && text.contains("phones now"),
        "{text}"
    );
    let configuration = here.path("countersign.toml").display().to_string();
    let mut search = here.command(&["audit", "search", "--config", &configuration]);
    let found = search.output().expect("it runs");
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    for event in ["exception-granted", "exception-refused"] {
        assert!(found.contains(event), "no {event} in {found}");
    }
}
