//! The keys: whether each that is needed is there, opens, and is not older than it should be.

use std::sync::Arc;

use countersign::config::StoreSettings;
use countersign_server::{KeyError, KeyState, KeyTold, Vault};
use countersign_store::StoreError;
use jiff::{SignedDuration, Timestamp};

use super::super::store;
use super::Patient;
use super::finding::Finding;

const OF: &str = "keys";
/// A key that nobody replaces is warned of from this age on.
const OLD: SignedDuration = SignedDuration::from_hours(365 * 24);

pub(super) async fn check(patient: &Patient) -> Vec<Finding> {
    let installation = &patient.installation;
    let is_file = matches!(installation.store, StoreSettings::DataDirectory);
    if is_file && !installation.data_dir.join("durable.db").exists() {
        return Vec::new(); // the store says so
    }
    let now = Patient::now();
    // What keeps the store from opening is said of the store.
    let Ok(store) = store::to_look(installation) else {
        return Vec::new();
    };
    let secrets = Arc::clone(&patient.secrets);
    match Vault::new(store, secrets).list(now).await {
        Ok(keys) => judge(&keys, now),
        Err(KeyError::Store(StoreError::Unavailable(_))) if !is_file => Vec::new(),
        Err(error) => vec![Finding::failure(
            OF,
            error.to_string(),
            "without them no token can be signed, and nothing that was sealed can be opened (docs/keys.md)",
        )],
    }
}

fn judge(keys: &[KeyTold], now: Timestamp) -> Vec<Finding> {
    let current = keys.iter().filter(|key| key.state == KeyState::Current);
    let mut findings: Vec<Finding> = current.map(|key| judge_one(key, now)).collect();
    let signs = |key: &KeyTold| key.name.starts_with("sign-") && key.state == KeyState::Current;
    if !keys.iter().any(signs) {
        findings.push(Finding::warning(
            OF,
            "there is no key to sign with",
            "`countersign serve` makes what is missing at its start",
        ));
    }
    findings
}

fn judge_one(key: &KeyTold, now: Timestamp) -> Finding {
    let age = now.duration_since(key.made_at);
    let of = format!("key {}", key.name);
    let found = format!(
        "{} {}, made {} days ago",
        key.algorithm,
        key.id,
        age.as_hours() / 24
    );
    if age < -SignedDuration::from_mins(5) {
        return Finding::failure(
            of,
            format!("made in the future, at {:.0}", key.made_at),
            "this machine's clock is wrong now, or was when the key was made; see `timedatectl`",
        );
    }
    // That of the calendar is never replaced.
    if age > OLD && key.name != "calendar" {
        return Finding::warning(
            of,
            found,
            "`countersign keys rotate`; with `keys.rotate_every_days` a running server does it",
        );
    }
    Finding::fine(of, found)
}

#[cfg(test)]
mod tests {
    use countersign_server::Form;

    use super::super::finding::Health;
    use super::*;

    #[test]
    fn an_old_key_is_warned_of_and_one_from_the_future_tells_of_a_clock() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let check = |name: &str, hours: i64, expected: &[Health]| {
            let key = KeyTold {
                name: name.to_owned(),
                algorithm: "ES256",
                id: "k".to_owned(),
                state: KeyState::Current,
                made_at: now + SignedDuration::from_hours(hours),
                used_from: None,
                leaves_at: None,
                form: Form::Plain,
            };
            let found = judge(&[key], now);
            let health: Vec<Health> = found.iter().map(|one| one.health).collect();
            assert_eq!(health, expected, "{name} {hours}");
        };
        check("sign-es256", -24, &[Health::Ok]);
        check("sign-es256", -24 * 400, &[Health::Warn]);
        check("sign-es256", 1, &[Health::Fail]);
        check("calendar", -24 * 4_000, &[Health::Ok, Health::Warn]);
    }
}
