//! `countersign audit`, and what a serving program and commands write down.

use std::collections::BTreeSet;
use std::fs;

use countersign_tests::Installation;
use serde_json::Value;

use super::Site;

fn audit(here: &Installation, arguments: &[&str]) -> (Option<i32>, String, String) {
    let file = here.path("countersign.toml").display().to_string();
    let output = here.run(&[&["audit"][..], arguments, &["--config", &file]].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn found(here: &Installation, arguments: &[&str]) -> Vec<Value> {
    let (code, out, err) = audit(here, &[&["search", "--format", "json"], arguments].concat());
    assert_eq!(code, Some(0), "{err}");
    out.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn events(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line["event"].as_str().expect("an event"))
        .collect()
}

#[track_caller]
fn check_whole(here: &Installation) {
    let (code, out, err) = audit(here, &["verify"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains(" 0 findings"), "{out}");
}

#[actix_web::test]
async fn what_happens_is_written_down_verified_searched_and_exported() {
    let site = Site::new().await;
    let here = &site.installation;
    let mut program = here.start();
    let code = site.code().await;
    let tokens = site.redeem(&code).await;
    assert_eq!(tokens.status, 200);
    site.sign_in("oidc", "bob-password", |_, _| {}).await;
    let signed_in = found(here, &["--event", "signed-in"]);
    let account = signed_in[0]["subject"]["account"].as_str().expect("an id");
    let lock = ["accounts", "lock", account, "--reason", "Ann asked for it"];
    let file = here.path("countersign.toml").display().to_string();
    let locked = here.run(&[&lock[..], &["--config", &file]].concat());
    assert!(locked.status.success());
    program.terminate();
    assert!(program.ended().await.success());

    let all = found(here, &[]);
    assert_eq!(
        events(&all)[..3],
        ["server-started", "account-made", "signed-in"]
    );
    let of_account = events(&found(here, &["--subject", account])).join(" ");
    assert_eq!(of_account, "account-made signed-in account-locked");
    assert_eq!(events(&found(here, &["--actor", "operator"])).len(), 3);
    assert_eq!(found(here, &["--limit", "1"]).len(), 1);

    // Each names a request that the decision log knows.
    let decisions = fs::read_to_string(here.path("data/decisions.jsonl")).expect("decisions");
    let requests: BTreeSet<&str> = all
        .iter()
        .filter_map(|line| line["request_id"].as_str())
        .collect();
    assert!(!requests.is_empty());
    for request in requests {
        assert!(decisions.contains(request), "{request} was not decided");
    }
    // And nobody.
    let bytes: String = ["data/audit.jsonl", "data/audit-commands.jsonl"]
        .map(|file| fs::read_to_string(here.path(file)).expect("lines"))
        .concat();
    for secret in [
        "Ann",
        "Bob",
        "@",
        "asked for",
        code.as_str(),
        "eyJ",
        "csrt_",
    ] {
        assert!(
            !bytes.contains(secret),
            "`{secret}` stands in the audit log"
        );
    }
    check_whole(here);

    let heads = here.path("heads.json").display().to_string();
    let (code, part, err) = audit(here, &["export", "--heads", &heads]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(part.lines().count(), all.len());
    let half: Vec<&str> = part.split_inclusive('\n').collect();
    for (lines, expected) in [(half.len(), Some(0)), (half.len() - 1, Some(1))] {
        here.write("part.jsonl", &half[..lines].concat());
        let part = here.path("part.jsonl").display().to_string();
        let output = here.run(&["audit", "verify", &part, "--heads", &heads]);
        assert_eq!(output.status.code(), expected, "{lines} lines");
    }

    let text = fs::read_to_string(here.path("data/audit.jsonl")).expect("lines");
    here.write("data/audit.jsonl", &text.replace("signed-in", "signed-on"));
    let (code, _, err) = audit(here, &["verify"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("audit.jsonl:3: changed: "), "{err}");
    let (code, out, _) = audit(here, &["verify", "--format", "json"]);
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(code, Some(1));
    assert_eq!(told["findings"][0]["line"], 3, "{told}");
}

#[actix_web::test]
async fn a_program_that_is_killed_again_and_again_leaves_a_chain_that_is_whole() {
    let site = Site::new().await;
    let mut signed_in = 0;
    for _ in 0..5 {
        let program = site.installation.start();
        for _ in 0..3 {
            site.code().await;
            signed_in += 1;
        }
        program.kill();
        check_whole(&site.installation);
    }
    let lines = found(&site.installation, &["--event", "signed-in"]);
    // A sign-in does not wait for its line: the very last may be lost with the process.
    assert!(
        lines.len() + 5 >= signed_in,
        "{} of {signed_in}",
        lines.len()
    );
}
