//! `countersign api-keys`: what the registry made before is imported; keys are listed, brought to an end, revoked.

use countersign_tests::Installation;
use serde_json::{Value, json};

/// An installation whose policy has API keys, and an account that the registry told of.
fn installation() -> Installation {
    let here = Installation::alone();
    let policy = std::fs::read_to_string(here.path("policy.toml")).expect("a policy");
    let rule = "\n[api_keys]\nmax_days = 365\naccepts = [\"session\"]\n";
    here.write("policy.toml", &format!("{policy}{rule}"));
    here
}

fn run(here: &Installation, arguments: &[&str]) -> (Option<i32>, String, String) {
    let configuration = here.path("countersign.toml").display().to_string();
    let all = [&["api-keys"][..], arguments, &["--config", &configuration]].concat();
    let output = here.command(&all).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn line(n: u8, account: &str) -> String {
    let digest = format!("sha256:{}", format!("{n:02x}").repeat(32));
    json!({"digest": digest, "account": account, "made_at": "2020-01-02T03:04:05Z", "name": "old",
           "client": "gallery", "scopes": ["packages:manage"], "packages": ["left-pad"]})
    .to_string()
}

fn import(
    here: &Installation,
    file: &str,
    text: &str,
    more: &[&str],
) -> (Option<i32>, String, String) {
    here.write(file, text);
    let path = here.path(file).display().to_string();
    run(here, &[&["import", &path][..], more].concat())
}

fn listed(here: &Installation, more: &[&str]) -> Vec<Value> {
    let (code, out, err) = run(here, &[&["list", "--json"][..], more].concat());
    assert_eq!(code, Some(0), "{err}");
    let read = |line: &str| serde_json::from_str(line).expect("JSON");
    out.lines().map(read).collect()
}

#[test]
fn a_list_is_imported_once_and_carries_on_when_it_is_run_again() {
    let here = installation();
    let two = format!("{}\n{}\n", line(1, "ann"), line(2, "bob"));
    let (code, out, err) = import(&here, "keys.jsonl", &two, &["--dry-run"]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(
        out,
        "2 keys: 2 new, 0 known or revoked (dry run: nothing was imported)\n"
    );
    let (code, out, err) = import(&here, "keys.jsonl", &two, &[]);
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "2 keys: 2 new, 0 known or revoked\n"),
        "{err}"
    );
    let three = format!("{two}{}\n", line(3, "ann"));
    let (_, out, _) = import(&here, "keys.jsonl", &three, &[]);
    assert_eq!(out, "3 keys: 1 new, 2 known or revoked\n");
    let keys = listed(&here, &[]);
    assert_eq!(keys.len(), 3);
    for key in &keys {
        assert_eq!(
            (&key["made_by"], &key["under"]),
            (&json!("imported"), &Value::Null)
        );
        assert_eq!(key.get("digest"), None);
    }
    let csv = format!(
        "digest,account,made_at,name,client,scopes,packages\nsha256:{},cat,2020-01-02T03:04:05Z,old,gallery,packages:manage packages:read,\n",
        "04".repeat(32)
    );
    let (_, out, err) = import(&here, "keys.csv", &csv, &[]);
    assert_eq!(out, "1 keys: 1 new, 0 known or revoked\n", "{err}");
    let (_, out, _) = run(&here, &["list"]);
    assert!(
        out.contains("registry-account:cat") && out.ends_with("4 keys\n"),
        "{out}"
    );
    assert!(!out.contains("0404"), "{out}");
}

#[test]
fn a_list_with_a_mistake_changes_nothing_and_says_where() {
    let here = installation();
    let good = line(1, "ann");
    for (wrong, expected) in [
        (good.replace("sha256:", "md5:"), "expected `sha256:`"),
        (
            good.replace("packages:manage", "nothing"),
            "no tier of the policy has `nothing`",
        ),
        (
            good.replace("gallery", "nobody"),
            "there is no client `nobody`",
        ),
        (
            good.replace("left-pad", "*"),
            "expected the name of a package",
        ),
        (good.replace("\"name\"", "\"nmae\""), "unknown field"),
        ("noise".to_owned(), "expected"),
    ] {
        let (code, out, err) = import(&here, "keys.jsonl", &format!("{good}\n{wrong}\n"), &[]);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{wrong}");
        assert!(
            err.contains("keys.jsonl:2: ") && err.contains(expected),
            "{wrong}: {err}"
        );
        assert!(err.ends_with("nothing was imported\n"), "{err}");
    }
    assert!(!here.path("data/durable.db").exists());
}

#[test]
fn keys_are_brought_to_an_end_with_notice_and_revoked_without() {
    let here = installation();
    let all = format!(
        "{}\n{}\n{}\n",
        line(1, "ann"),
        line(2, "bob"),
        line(3, "bob")
    );
    assert_eq!(import(&here, "keys.jsonl", &all, &[]).0, Some(0));
    // Not by a slip, and not with shorter notice.
    let (code, _, err) = run(&here, &["revoke"]);
    assert!(code == Some(1) && err.contains("say which keys"), "{err}");
    let (code, _, err) = run(&here, &["sunset", "--without-mfa", "--on", "2026-01-01"]);
    assert!(
        code == Some(1) && err.contains("less than thirty days ahead"),
        "{err}"
    );

    let far = ["--on", "2099-01-01"];
    let (_, out, _) = run(
        &here,
        &[&["sunset", "--without-mfa", "--dry-run"][..], &far].concat(),
    );
    assert_eq!(out, "3 keys (dry run: nothing was changed)\n");
    assert!(
        listed(&here, &[])
            .iter()
            .all(|key| key.get("set_end").is_none())
    );
    let (_, out, err) = run(&here, &[&["sunset", "--without-mfa"][..], &far].concat());
    assert_eq!(out, "3 keys are to end; 0 as they were\n", "{err}");
    let (_, out, _) = run(&here, &[&["sunset", "--without-mfa"][..], &far].concat());
    assert_eq!(out, "0 keys are to end; 3 as they were\n");
    assert!(
        listed(&here, &[])
            .iter()
            .all(|key| key["set_end"] == "2099-01-01T00:00:00Z")
    );

    let id = listed(&here, &["--made-before", "2020-01-03"])[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let (_, out, err) = run(&here, &["revoke", &id]);
    assert_eq!(out, "1 keys are revoked; 0 as they were\n", "{err}");
    let (_, out, _) = run(&here, &["list", &id]);
    assert!(out.contains("revoked on "), "{out}");
    assert_eq!(listed(&here, &["--made-before", "2020-01-02"]).len(), 0);
    let (code, _, err) = run(&here, &["revoke", "key_00000000000000000000000000000000"]);
    assert!(
        code == Some(1) && err.contains("there is no API key"),
        "{err}"
    );
    // What was revoked no import brings back.
    let (_, out, _) = import(&here, "keys.jsonl", &all, &[]);
    assert_eq!(out, "3 keys: 0 new, 3 known or revoked\n");
    let trail = std::fs::read_to_string(here.path("data/audit-commands.jsonl")).expect("a file");
    for event in ["api-keys-imported", "api-keys-sunset", "api-key-revoked"] {
        assert_eq!(trail.matches(event).count(), 1, "{event}: {trail}");
    }
}
