//! `kill -9` while keys are replaced: no key is lost, one of each name is used, and what was signed stays good.
//!
//! Nobody waits for days: between two rounds the keys in the store are made older than they are.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use countersign_server::{Clock, SystemClock};
use countersign_store::{Embedded, KeyMaterial, Store, StoreError};
use countersign_tests::{BrokerSetup, wire};
use countersign_verifier::Verifier;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Site;

const PLAIN: &[u8] = b"countersign-keys-1\n";
/// How often it is killed around `countersign keys rotate`; each time so much later than the time before.
const KILLS: u32 = 20;
const STEP: Duration = Duration::from_millis(40);
/// Servers that are killed around the rotation that is due by itself, and how often each.
const SITES: u32 = 6;
const KILLS_OF_EACH: u32 = 2;

async fn site() -> Site {
    let site = Site::new().await;
    let here = &site.installation;
    let grants = "[client.gallery]\ngrant_types = [\"authorization_code\", \"refresh_token\"]";
    here.replace("countersign.toml", "[client.gallery]", grants);
    here.replace(
        "countersign.toml",
        "[log]",
        "[keys]\nrotate_every_days = 2\n[log]",
    );
    site
}

/// Somebody's tokens, which must stay good.
struct Signed {
    access: String,
    refresh: String,
}

async fn signed_in(site: &Site) -> Signed {
    let tokens = site.redeem(&site.code().await).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    Signed {
        access: tokens.text("access_token").to_owned(),
        refresh: tokens.text("refresh_token").to_owned(),
    }
}

/// `countersign keys`, as a process of its own.
fn keys(site: &Site, arguments: &[&str]) -> Child {
    let here = &site.installation;
    let file = here.path("countersign.toml").display().to_string();
    let all = [&["keys"][..], arguments, &["--config", &file]].concat();
    let mut command = here.command(&all);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().expect("the program starts")
}

fn said(child: &mut Child) -> String {
    let mut text = String::new();
    let mut out = child.stdout.take().expect("its output");
    out.read_to_string(&mut text).expect("a text");
    child.wait().expect("it ends");
    text
}

/// The keys of each name that are needed, by their ids, with their states.
fn listed(site: &Site) -> BTreeMap<String, BTreeMap<String, String>> {
    let list: Value =
        serde_json::from_str(&said(&mut keys(site, &["list", "--json"]))).expect("JSON");
    let mut names: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for key in list.as_array().expect("keys") {
        let text = |name: &str| key[name].as_str().expect("a text").to_owned();
        let before = names
            .entry(text("name"))
            .or_default()
            .insert(text("id"), text("state"));
        assert_eq!(before, None, "two keys of one id");
    }
    names
}

/// What must be so after a kill: with the keys that were there before, and whatever was said to be replaced.
async fn check(site: &Site, before: &BTreeSet<String>, said: &str, signed: &Signed) {
    let names = listed(site);
    let issuer = &site.installation.issuer;
    for (name, keys) in &names {
        let so_many = |state: &str| keys.values().filter(|one| *one == state).count();
        assert_eq!(so_many("current"), 1, "{name}: {keys:?}");
        assert!(
            so_many("next") + so_many("standby") <= 1,
            "{name}: {keys:?}"
        );
    }
    let all: BTreeSet<String> = names
        .values()
        .flat_map(|keys| keys.keys().cloned())
        .collect();
    let lost: Vec<_> = before.difference(&all).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    for line in said.lines() {
        // `sign-es256: ID is used from …`
        let id = line.split(' ').nth(1).expect("an id");
        assert!(all.contains(id), "said and not done: {line}");
    }
    let set: Value =
        serde_json::from_str(&wire::get(issuer, "/jwks.json", &[]).await.body).expect("a key set");
    let published: Vec<String> = set["keys"]
        .as_array()
        .expect("keys")
        .iter()
        .map(|key| key["kid"].as_str().expect("a kid").to_owned())
        .collect();
    let signing: BTreeSet<String> = names
        .iter()
        .filter(|(name, _)| name.starts_with("sign-"))
        .flat_map(|(_, keys)| keys.keys().cloned())
        .collect();
    assert_eq!(published.len(), signing.len(), "{published:?}");
    assert_eq!(BTreeSet::from_iter(published), signing);

    let access = &signed.access;
    assert_eq!(wire::user_info(issuer, access).await.status, 200);
    let service = Verifier::new(issuer, BrokerSetup::AUDIENCE).expect("a verifier");
    assert!(service.verify(access).await.is_ok(), "by a service");
    let again = site.refresh(&signed.refresh).await;
    assert_eq!(again.status, 200, "{}", again.body);
    let metadata = site.document("/.well-known/openid-configuration").await;
    assert_eq!(metadata["issuer"], issuer.as_str());
}

/// Changes the keys of each name as they stand in the store, while no server has it open.
async fn age(site: &Site, change: impl Fn(&mut [Value], Timestamp)) -> Result<(), StoreError> {
    let store = Embedded::open_to_change(&site.installation.path("data"))?;
    let now = SystemClock.now();
    for key in store.list_keys().await? {
        let Some(text) = key.material.0.strip_prefix(PLAIN) else {
            continue;
        };
        let mut ring: Value = serde_json::from_slice(text).expect("JSON");
        change(ring["keys"].as_array_mut().expect("keys"), now);
        let text = serde_json::to_vec(&ring).expect("JSON");
        let material = KeyMaterial([PLAIN, &text].concat());
        store.replace_key(&key, material).await?;
    }
    Ok(())
}

fn time(key: &Value, name: &str) -> Option<Timestamp> {
    key[name].as_str().map(|text| text.parse().expect("a time"))
}

/// The key that was called is used since half an hour; the one before is still needed, and those before that are not.
fn hours_pass(keys: &mut [Value], now: Timestamp) {
    let hours = |hours| json!(now - SignedDuration::from_hours(hours));
    let is_called = keys.iter().any(|key| time(key, "used_from") > Some(now));
    let current = keys
        .iter()
        .filter_map(|key| time(key, "used_from"))
        .filter(|from| *from <= now)
        .max();
    for key in keys.iter_mut() {
        key["made_at"] = hours(26 * 7);
        let Some(from) = time(key, "used_from") else {
            continue;
        };
        if from > now {
            key["used_from"] = json!(now - SignedDuration::from_mins(30));
            continue;
        }
        // As long before the next one as it was, or longer.
        key["used_from"] = json!(from - SignedDuration::from_hours(1));
        if is_called && Some(from) == current {
            key["leaves_at"] = json!(now + SignedDuration::from_mins(90));
        } else if key["leaves_at"].is_string() {
            key["leaves_at"] = hours(1);
        }
    }
}

/// What is used is used for so long that another must be called.
fn days_pass(keys: &mut [Value], now: Timestamp) {
    hours_pass(keys, now);
    let newest = keys.iter().filter_map(|key| time(key, "used_from")).max();
    for key in keys.iter_mut() {
        if newest.is_some() && time(key, "used_from") == newest {
            key["used_from"] = json!(now - SignedDuration::from_hours(72));
        } else if time(key, "used_from").is_some() {
            key["used_from"] = json!(now - SignedDuration::from_hours(24 * 30));
        }
    }
}

/// The ids of all keys that are needed.
fn needed(site: &Site) -> BTreeSet<String> {
    let names = listed(site).into_values();
    names.flat_map(BTreeMap::into_keys).collect()
}

#[actix_web::test]
async fn a_kill_at_any_moment_of_a_rotation_loses_no_key_and_no_token() {
    let site = site().await;
    let mut program = site.installation.start();
    let mut rotated = 0;
    for kill in 0..KILLS {
        let signed = signed_in(&site).await;
        let before = needed(&site);
        let mut command = keys(&site, &["rotate"]);
        sleep(STEP * kill).await;
        program.kill();
        if kill % 2 == 0 {
            // Also the one that rotates, wherever it is.
            drop(command.kill());
        }
        let said = said(&mut command);
        rotated += said.lines().count();
        program = site.installation.start();
        check(&site, &before, &said, &signed).await;
        program.kill();
        age(&site, hours_pass).await.expect("the keys");
        program = site.installation.start();
        let still = signed_in(&site).await;
        check(&site, &BTreeSet::new(), "", &still).await;
        let told = wire::user_info(&site.installation.issuer, &signed.access).await;
        let log = program.log();
        assert_eq!(
            told.status, 200,
            "kill {kill}, by the key before: {told:?} {log}"
        );
    }
    println!("{KILLS} kills, {rotated} keys called");
    assert!(rotated > 0, "none was quick enough to be told");
}

#[test]
fn a_kill_around_the_rotation_that_is_due_loses_no_key_and_no_token() {
    // A thread each: to wait for a program blocks, and what another site has just begun would run out of time.
    let sites = (0..SITES).map(|nth| {
        thread::spawn(move || actix_web::rt::System::new().block_on(killed_when_due(nth)))
    });
    let sites: Vec<_> = sites.collect();
    let called = sites.into_iter().map(|site| site.join().expect("a site"));
    let called: usize = called.sum();
    println!("{} kills, {called} keys called", SITES * KILLS_OF_EACH);
}

/// A server looks what is due every ten seconds; it is killed around then. Answers how many keys were called.
async fn killed_when_due(nth: u32) -> usize {
    let site = site().await;
    let mut program = site.installation.start();
    let mut called = 0;
    for round in 0..KILLS_OF_EACH {
        let signed = signed_in(&site).await;
        program.kill();
        age(&site, days_pass).await.expect("the keys");
        program = site.installation.start();
        let before = needed(&site);
        let moment = 40 * (nth + round * SITES);
        sleep(Duration::from_millis(9_800 + u64::from(moment))).await;
        program.kill();
        program = site.installation.start();
        check(&site, &before, "", &signed).await;
        let names = listed(&site).into_values();
        called += names
            .flat_map(BTreeMap::into_values)
            .filter(|state| state == "next")
            .count();
    }
    called
}
