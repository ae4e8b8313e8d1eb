//! A policy that changes while people sign in: what decides then, and what operators are told.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use countersign_server::PolicyHash;
use countersign_tests::{Installation, Program, wire};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use url::Url;

use super::Site;

/// The policy that an installation begins with.
fn strict(here: &Installation) -> String {
    fs::read_to_string(here.path("policy.toml")).expect("the policy")
}

/// The same, but no second factor is needed, and there is a scope more.
fn lenient(strict: &str) -> String {
    strict
        .replace(
            "needs = \"mfa\"\naccepts = [\"session\", \"enrolment\", \"tenant\"]",
            "needs = \"none\"",
        )
        .replace(
            "\"packages:read\", ",
            "\"packages:read\", \"packages:list\", ",
        )
}

/// Waits until this text is in force.
async fn in_force(program: &Program, text: &str) {
    let expected = (json!("ok"), json!(PolicyHash::of(text).to_string()));
    let is_it = |body: &Value| {
        let policy = &body["policy"];
        (&policy["status"], &policy["hash"]) == (&expected.0, &expected.1)
    };
    assert_eq!(program.readyz(is_it).await.0, 200);
}

/// How a person without a second factor fares.
async fn bob(site: &Site) -> String {
    let page = site.sign_in("oidc", "bob-password", |_, _| {}).await;
    let reason = page.reason_code().unwrap_or_default().to_owned();
    page.sent_with("code").map_or(reason, |_| "code".to_owned())
}

fn count(program: &Program, text: &str) -> usize {
    program.log().matches(text).count()
}

#[actix_web::test]
async fn a_changed_file_decides_from_then_on() {
    let site = Site::new().await;
    let here = &site.installation;
    let program = here.start();
    let (strict, lenient) = (strict(here), lenient(&strict(here)));
    in_force(&program, &strict).await;
    assert_eq!(bob(&site).await, "mfa-absent");
    here.write("policy.toml", &lenient);
    in_force(&program, &lenient).await;
    assert_eq!(bob(&site).await, "code");
    here.write("new.toml", &strict);
    fs::rename(here.path("new.toml"), here.path("policy.toml")).expect("an editor's way");
    in_force(&program, &strict).await;
    assert_eq!(bob(&site).await, "mfa-absent");
    let told = format!(
        r#""policy":"{}","before":"{}""#,
        PolicyHash::of(&lenient),
        PolicyHash::of(&strict)
    );
    assert_eq!(count(&program, &told), 1, "{}", program.log());
    let metrics = program.metrics().await;
    let good = "countersign_policy_reloads_total{result=\"good\"} 2";
    assert!(metrics.contains(good), "{metrics}");
}

/// Asks for metadata and for a sign-in until it is told to stop; how often.
async fn ask(issuer: String, authorize: Url, is_over: Arc<AtomicBool>) -> usize {
    let target = format!(
        "{}?{}",
        authorize.path(),
        authorize.query().expect("a query")
    );
    for asked in 0.. {
        if is_over.load(Ordering::Relaxed) {
            return asked;
        }
        let page = wire::get(&issuer, "/.well-known/openid-configuration", &[]).await;
        assert_eq!(page.status, 200, "{}", page.body);
        let metadata: Value = serde_json::from_str(&page.body).expect("JSON");
        let scopes = metadata["scopes_supported"].as_array().expect("scopes");
        assert!(
            [5, 6].contains(&scopes.len()),
            "of two policies: {metadata}"
        );
        let page = wire::get(&issuer, &target, &[]).await;
        assert_eq!(page.status, 303, "{}", page.body);
    }
    0
}

#[actix_web::test]
async fn no_request_fails_while_the_policy_changes_twenty_times() {
    let site = Site::new().await;
    let here = &site.installation;
    let program = here.start();
    let strict = strict(here);
    let is_over = Arc::new(AtomicBool::new(false));
    let mut asking = JoinSet::new();
    for _ in 0..6 {
        let (issuer, url) = (here.issuer.clone(), site.authorize_url("oidc"));
        asking.spawn(ask(issuer, url, Arc::clone(&is_over)));
    }
    for swap in 0..20 {
        let base = if swap % 2 == 0 {
            lenient(&strict)
        } else {
            strict.clone()
        };
        let text = format!("{base}# {swap}\n");
        if swap % 4 < 2 {
            here.write("policy.toml", &text);
        } else {
            here.write("new.toml", &text);
            fs::rename(here.path("new.toml"), here.path("policy.toml")).expect("a rename");
        }
        in_force(&program, &text).await;
    }
    is_over.store(true, Ordering::Relaxed);
    let asked = asking.join_all().await;
    assert!(asked.iter().all(|asked| *asked > 20), "{asked:?}");
    assert_eq!(count(&program, "policy-replaced"), 20);
}

#[actix_web::test]
async fn a_bad_file_changes_nothing_and_is_told_at_its_places() {
    let site = Site::new().await;
    let here = &site.installation;
    let program = here.start();
    let good = strict(here);
    let bad = good
        .replace("needs = \"mfa\"", "needs = \"mfaa\"")
        .replace("[client.gallery]", "[client.galery]");
    let lines: Vec<usize> = ["mfaa", "[client.galery]"]
        .map(|part| bad.lines().position(|line| line.contains(part)))
        .into_iter()
        .map(|index| index.expect("the mistake") + 1)
        .collect();
    here.write("policy.toml", &bad);
    let is_stale = |body: &Value| body["policy"]["status"] == json!("stale");
    let (status, body) = program.readyz(is_stale).await;
    assert_eq!((status, &body["status"]), (200, &json!("ready")));
    let policy = &body["policy"];
    assert_eq!(policy["hash"], json!(PolicyHash::of(&good).to_string()));
    let problems = policy["last_reload"]["problems"]
        .as_array()
        .expect("problems");
    assert_eq!(
        policy["last_reload"]["problem_count"],
        json!(problems.len())
    );
    for line in lines {
        let place = format!("{}:{line}:", here.path("policy.toml").display());
        let is_there = |one: &Value| one.as_str().is_some_and(|one| one.starts_with(&place));
        assert!(problems.iter().any(is_there), "{place} in {policy}");
    }
    for problem in problems {
        let problem = problem.as_str().expect("a text");
        assert_eq!(
            count(&program, problem),
            1,
            "{problem} in {}",
            program.log()
        );
    }
    assert_eq!(bob(&site).await, "mfa-absent");
    assert_eq!(site.redeem(&site.code().await).await.status, 200);
    let metrics = program.metrics().await;
    for line in [
        "countersign_policy_stale 1",
        "countersign_policy_reloads_total{result=\"bad\"} 1",
        "countersign_policy_reloads_total{result=\"good\"} 0",
    ] {
        assert!(metrics.contains(line), "no `{line}` in: {metrics}");
    }
    program.hang_up();
    while count(&program, "policy-rejected") < 2 {
        tokio::task::yield_now().await;
    }
    here.write("policy.toml", &good);
    in_force(&program, &good).await;
    program.logs("policy-restored").await;
    assert_eq!(count(&program, "policy-replaced"), 0);
}

#[actix_web::test]
async fn sighup_is_answered_in_the_log_whatever_there_is_to_do() {
    let site = Site::new().await;
    let here = &site.installation;
    let program = here.start();
    program.hang_up();
    program.logs("policy-unchanged").await;
    assert_eq!(count(&program, "restart-needed"), 0);
    here.replace("countersign.toml", "Example Gallery", "Another Gallery");
    program.hang_up();
    program.logs("restart-needed").await;
    assert_eq!(count(&program, "policy-unchanged"), 2);
    assert_eq!(site.redeem(&site.code().await).await.status, 200);
}

#[actix_web::test]
async fn a_file_that_is_taken_away_is_missed_and_taken_up_again() {
    let site = Site::new().await;
    let here = &site.installation;
    let program = here.start();
    let text = strict(here);
    fs::remove_file(here.path("policy.toml")).expect("the policy");
    let is_stale = |body: &Value| body["policy"]["status"] == json!("stale");
    let (status, body) = program.readyz(is_stale).await;
    let problem = body["policy"]["last_reload"]["problems"][0].to_string();
    let path = here.path("policy.toml").display().to_string();
    assert!(
        problem.contains("can't read") && problem.contains(&path),
        "{body}"
    );
    assert_eq!((status, bob(&site).await.as_str()), (200, "mfa-absent"));
    here.write("policy.toml", &lenient(&text));
    in_force(&program, &lenient(&text)).await;
    assert_eq!(bob(&site).await, "code");
}

/// Puts a version of a ConfigMap in place as the kubelet does: a directory beside, and one rename.
fn mount(here: &Installation, version: &str, text: &str) {
    let before = fs::read_link(here.path("..data")).ok();
    fs::create_dir(here.path(version)).expect("a directory");
    here.write(&format!("{version}/policy.toml"), text);
    symlink(version, here.path("..data_tmp")).expect("a link");
    fs::rename(here.path("..data_tmp"), here.path("..data")).expect("a rename");
    if let Some(before) = before {
        fs::remove_dir_all(here.path(&before.display().to_string())).expect("the old version");
    }
}

#[actix_web::test]
async fn a_config_map_that_is_mounted_is_followed_from_version_to_version() {
    let here = Installation::alone();
    let strict = strict(&here);
    mount(&here, "..2027_03_01", &strict);
    fs::remove_file(here.path("policy.toml")).expect("the policy");
    symlink("..data/policy.toml", here.path("policy.toml")).expect("a link");
    let program = here.start();
    mount(&here, "..2027_03_02", &lenient(&strict));
    in_force(&program, &lenient(&strict)).await;
    mount(&here, "..2027_03_03", &strict);
    in_force(&program, &strict).await;
    here.write("..2027_03_03/policy.toml", &lenient(&strict));
    in_force(&program, &lenient(&strict)).await;
    assert_eq!(count(&program, "policy-rejected"), 0, "{}", program.log());
}
