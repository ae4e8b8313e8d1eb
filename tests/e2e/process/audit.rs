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

/// Runs a command, and checks how it ends and what it has written down.
#[track_caller]
fn check_command(here: &Installation, arguments: &[&str], code: i32, expected: &[&str]) {
    let file = here.path("countersign.toml").display().to_string();
    let before = found(here, &[]).len();
    let output = here.run(&[arguments, &["--config", &file]].concat());
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {err}");
    let after = found(here, &[]);
    assert_eq!(events(&after[before..]), expected, "{arguments:?}");
}

#[actix_web::test]
async fn a_command_writes_down_what_it_has_changed_and_nothing_else() {
    const TENANT: &str = "tenant:6e93a626-8aca-4dc1-9191-ce291b4b75a1";
    let site = Site::new().await;
    let here = &site.installation;
    drop(here.start());
    let connect = |id: &'static str| ["orgs", "connect", id, TENANT, "--reason", "ticket 4711"];
    let tell = ["orgs", "tell", "contoso", "--title", "Contoso"];
    check_command(here, &tell, 0, &["organization-told"]);
    check_command(here, &tell, 0, &[]);
    check_command(here, &connect("contoso"), 0, &["organization-connected"]);
    let tell = ["orgs", "tell", "fabrikam"];
    check_command(here, &tell, 0, &["organization-told"]);
    check_command(here, &connect("fabrikam"), 1, &["connection-disputed"]);
    let [approve, settle] = ["approve", "settle"].map(|what| ["orgs", what, "fabrikam", TENANT]);
    check_command(here, &["orgs", "approve", "contoso", TENANT], 0, &[]);
    check_command(here, &approve, 1, &[]);
    check_command(here, &settle, 1, &[]);
    check_command(here, &[&settle[..], &["transfer"]].concat(), 1, &[]);
    let share = [&settle[..], &["share"]].concat();
    check_command(here, &share, 0, &["connection-settled"]);
    check_command(here, &["orgs", "forget", "contoso"], 1, &[]);
    let disconnect = ["orgs", "disconnect", "contoso", TENANT];
    check_command(here, &disconnect, 0, &["organization-disconnected"]);
    check_command(here, &disconnect, 1, &[]);
    let forget = ["orgs", "forget", "contoso", "--yes"];
    check_command(here, &forget, 0, &["organization-forgotten"]);
    check_command(here, &forget, 1, &[]);

    let file = here.path("organizations.jsonl").display().to_string();
    let apply = ["orgs", "apply", &file];
    here.write("organizations.jsonl", "{\"id\": 1}\n");
    check_command(here, &apply, 1, &[]);
    here.write("organizations.jsonl", "{\"id\": \"adatum\"}\n");
    check_command(here, &apply, 0, &["organizations-applied"]);
    check_command(here, &apply, 0, &[]);
    here.write(
        "organizations.jsonl",
        "{\"id\": \"fabrikam\", \"title\": \"F\"}\n",
    );
    let prune = [&apply[..], &["--prune"]].concat();
    check_command(here, &prune, 1, &[]);

    here.write("accounts.csv", "account,created\nann,2020-01-01\n");
    let table = here.path("accounts.csv").display().to_string();
    let import = ["accounts", "import", &table];
    check_command(here, &import, 0, &["accounts-imported"]);
    check_command(here, &import, 0, &[]);
    check_command(here, &["keys", "reseal", "--plain"], 0, &[]);
    check_whole(here);
}

#[actix_web::test]
async fn nothing_is_changed_that_could_not_be_written_down() {
    let site = Site::new().await;
    let here = &site.installation;
    drop(here.start());
    here.write("data/audit-commands.jsonl", "");
    let lines = here.path("data/audit-commands.jsonl");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(&lines, mode).expect("a mode");
    here.write("organizations.jsonl", "{\"id\": \"adatum\"}\n");
    here.write("accounts.csv", "account,created\nann,2020-01-01\n");
    let [organizations, accounts] =
        ["organizations.jsonl", "accounts.csv"].map(|name| here.path(name).display().to_string());
    let file = here.path("countersign.toml").display().to_string();
    for command in [
        &["orgs", "apply", &organizations][..],
        &["orgs", "tell", "adatum"],
        &["accounts", "import", &accounts],
        &["keys", "rotate"],
    ] {
        let output = here.run(&[command, &["--config", &file]].concat());
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {err}");
        let why = "nothing was done, since it can't be written down: the audit log: ";
        assert!(err.contains(why), "{command:?}: {err}");
    }
    let text = |arguments: &[&str]| {
        let output = here.run(&[arguments, &["--config", &file]].concat());
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert!(!text(&["orgs", "list"]).contains("adatum"));
    fs::remove_file(lines).expect("a file");
    assert!(text(&["orgs", "apply", &organizations]).contains("1 new"));
    assert!(text(&["accounts", "import", &accounts]).contains("1 new"));
}

#[actix_web::test]
async fn a_log_that_is_deleted_with_the_name_of_its_chain_is_missed() {
    let site = Site::new().await;
    let here = &site.installation;
    drop(here.start());
    let mut program = here.start();
    program.terminate();
    assert!(program.ended().await.success());
    check_whole(here);
    for file in ["audit.jsonl", "replica-id"] {
        fs::remove_file(here.path("data").join(file)).expect("a file");
    }
    let missed = |here: &Installation| {
        let (code, _, err) = audit(here, &["verify"]);
        assert_eq!(code, Some(1), "{err}");
        assert!(err.starts_with("cut-off: of the chain `"), "{err}");
    };
    missed(here);
    drop(here.start());
    missed(here);
}

#[actix_web::test]
async fn keys_and_policies_are_written_down() {
    let site = Site::new().await;
    let here = &site.installation;
    let program = here.start();
    let policy = fs::read_to_string(here.path("policy.toml")).expect("a policy");
    here.write("policy.toml", &format!("{policy}# another\n"));
    program.logs("policy-replaced").await;
    here.write("policy.toml", &format!("{policy}no = policy\n"));
    program.logs("policy-rejected").await;
    // Commands read the policy too.
    here.write("policy.toml", &format!("{policy}# another\n"));
    let policies = || found(here, &["--actor", "operator"]);
    let expected = ["server-started", "policy-replaced", "policy-refused"];
    while events(&policies()).len() < expected.len() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let lines = policies();
    assert_eq!(events(&lines), expected);
    assert_eq!(lines[1]["subject"]["before"], lines[0]["subject"]["policy"]);
    assert_eq!(lines[2]["subject"]["before"], lines[1]["subject"]["policy"]);

    let rotate = ["keys", "rotate", "sign-es256"];
    check_command(here, &rotate, 0, &["key-rotated"]);
    check_command(here, &rotate, 0, &[]);
    let rotated = found(here, &["--event", "key-rotated"]);
    let key = rotated[0]["subject"]["key"].as_str().expect("an id");
    check_command(here, &["keys", "retire", key], 1, &[]);
    let retire = ["keys", "retire", key, "--yes"];
    check_command(here, &retire, 0, &["key-retired"]);
}
