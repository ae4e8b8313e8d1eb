//! Two replicas on one store, and the commands beside them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use countersign_store::{Embedded, KeyMaterial, Store, StoredKey};
use countersign_verifier::KeySet;
use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::seal::{Place, Purpose, Sealer};
use crate::{Clock, SystemEntropy, secret};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const ONE: &str = "the first master secret of the tests";
const TWO: &str = "the second master secret of the tests";
/// Quick to make; RSA keys follow each other in the same way.
const NAME: &str = "sign-es256";
const ALGORITHM: SigningAlgorithm = SigningAlgorithm::Es256;

#[derive(Debug, Default)]
struct Told(AtomicI64);

impl Clock for Told {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + self.0.load(Ordering::SeqCst)).unwrap()
    }
}

struct World {
    store: Arc<Embedded>,
    clock: Arc<Told>,
    _directory: TempDir,
}

/// What a server has of its keys.
struct Replica {
    keys: Arc<Keys>,
    sealer: Arc<Sealer>,
    upkeep: KeyUpkeep,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(&directory.path().join("data")).unwrap();
        Self {
            store: Arc::new(store),
            clock: Arc::new(Told::default()),
            _directory: directory,
        }
    }

    fn go_to(&self, second: i64) {
        self.clock.0.store(second, Ordering::SeqCst);
    }

    fn vault(&self, current: Option<&str>, previous: Option<&str>) -> Vault {
        let secret = |text: &str| MasterSecret::new(text).unwrap();
        let secrets = MasterSecrets {
            current: current.map(secret),
            previous: previous.map(secret),
        };
        Vault::new(self.store.clone(), secrets)
    }

    /// A server that starts now.
    async fn start(&self, vault: Vault) -> Result<Replica, KeyError> {
        let now = self.clock.now();
        vault.rings().await?;
        for name in [NAME].into_iter().chain(seal::NAMES) {
            vault.find_or_make(name, &SystemEntropy, now).await?;
        }
        vault.seal_plain(&SystemEntropy).await?;
        let rings = vault.rings().await?;
        let keys = Arc::new(Keys::of(vec![ALGORITHM], &rings, now)?);
        let sealer = Arc::new(Sealer::new(&rings, now)?);
        let upkeep = KeyUpkeep::new(
            vault,
            (keys.clone(), sealer.clone()),
            KeySettings::default().rotate_every,
            (self.clock.clone(), Arc::new(SystemEntropy)),
            Arc::new(crate::AuditLog::off()),
        );
        Ok(Replica {
            keys,
            sealer,
            upkeep,
        })
    }

    async fn states(&self) -> Vec<(String, KeyState)> {
        let all = self
            .vault(Some(ONE), Some(TWO))
            .list(self.clock.now())
            .await;
        let signing = all.unwrap().into_iter().filter(|key| key.name == NAME);
        signing.map(|key| (key.id, key.state)).collect()
    }

    async fn current(&self) -> String {
        let states = self.states().await;
        let current = states.into_iter().find(|key| key.1 == KeyState::Current);
        current.unwrap().0
    }
}

impl Replica {
    fn kid(&self) -> String {
        let token = self
            .keys
            .sign(ALGORITHM, "JWT", &serde_json::json!({}))
            .unwrap();
        header(&token)["kid"].as_str().unwrap().to_owned()
    }

    fn published(&self) -> Vec<String> {
        let set: serde_json::Value = serde_json::from_slice(&self.keys.published()).unwrap();
        let keys = set["keys"].as_array().unwrap();
        keys.iter()
            .map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect()
    }

    fn seal(&self, value: &str) -> String {
        self.sealer.seal(&value, PLACE, &SystemEntropy).unwrap()
    }

    fn open(&self, sealed: &str) -> Option<String> {
        self.sealer.open(sealed, PLACE)
    }
}

const PLACE: Place<'_> = Place {
    name: "refresh_token",
    party: "gallery",
    purpose: Purpose::RefreshToken,
};

fn header(token: &str) -> serde_json::Value {
    use base64::Engine;
    let first = token.split('.').next().unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(first)
        .unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[actix_web::test]
async fn by_schedule_the_next_key_signs_and_exactly_one_replica_sees_to_it() {
    let world = World::new();
    let one = world.start(world.vault(None, None)).await.unwrap();
    let other = world.start(world.vault(None, None)).await.unwrap();
    let first = one.kid();
    assert_eq!(other.kid(), first);
    let (a, b) = tokio::join!(one.upkeep.tick(), other.upkeep.tick());
    a.and(b).unwrap();
    assert_eq!(world.states().await.len(), 2, "a key waits");
    other.upkeep.tick().await.unwrap();
    assert_eq!(one.published().len(), 2, "and is published");
    assert_eq!(one.published(), other.published());
    world.go_to(90 * DAY - 1);
    one.upkeep.tick().await.unwrap();
    assert_eq!(world.states().await.len(), 2);
    world.go_to(90 * DAY);
    let (a, b) = tokio::join!(one.upkeep.tick(), other.upkeep.tick());
    a.and(b).unwrap();
    assert_eq!(one.kid(), first, "not before every replica has read it");
    world.go_to(90 * DAY + 60);
    one.upkeep.tick().await.unwrap();
    let second = one.kid();
    assert_ne!(second, first);
    assert_eq!(other.kid(), first, "one that has not looked yet");
    assert!(
        other.published().contains(&second),
        "knows the new key all the same"
    );
    assert!(one.published().contains(&first));
    world.go_to(90 * DAY + 60 + 2 * HOUR);
    one.upkeep.tick().await.unwrap();
    one.upkeep.tick().await.unwrap();
    assert!(
        !one.published().contains(&first),
        "the last one stays no longer"
    );
    let states: Vec<_> = world.states().await.into_iter().map(|key| key.1).collect();
    assert_eq!(states, [KeyState::Current, KeyState::Standby]);
}

#[actix_web::test]
async fn what_one_replica_seals_every_other_opens_for_as_long_as_a_session_lasts() {
    let world = World::new();
    let one = world.start(world.vault(None, None)).await.unwrap();
    let other = world.start(world.vault(None, None)).await.unwrap();
    let before = one.seal("before");
    let [rotated] = [world
        .vault(None, None)
        .rotate(
            "seal-refresh-tokens-aes256gcm",
            &SystemEntropy,
            world.clock.now(),
        )
        .await];
    assert!(matches!(rotated, Ok(Rotated::From(..))));
    other.upkeep.tick().await.unwrap(); // within the minute
    world.go_to(61);
    one.upkeep.tick().await.unwrap();
    let after = one.seal("after");
    assert_eq!(other.open(&after).as_deref(), Some("after"));
    assert_eq!(one.open(&before).as_deref(), Some("before"));
    let late = other.seal("late");
    assert_eq!(
        one.open(&late).as_deref(),
        Some("late"),
        "sealed with the key before"
    );
    world.go_to(30 * DAY + 61);
    one.upkeep.tick().await.unwrap();
    assert_eq!(one.open(&before).as_deref(), Some("before"));
    world.go_to(32 * DAY);
    one.upkeep.tick().await.unwrap();
    assert_eq!(one.open(&before), None);
    assert_eq!(one.open(&after).as_deref(), Some("after"));
}

#[actix_web::test]
async fn a_key_that_was_withdrawn_is_gone_at_once_and_the_one_that_waits_signs() {
    let world = World::new();
    let one = world.start(world.vault(None, None)).await.unwrap();
    one.upkeep.tick().await.unwrap();
    let (first, waits) = (one.kid(), one.published()[1].clone());
    let vault = world.vault(None, None);
    let now = world.clock.now();
    let retired = vault.retire(&first, &SystemEntropy, now).await.unwrap();
    assert_eq!(
        (retired.state, retired.current),
        (KeyState::Current, Some(waits.clone()))
    );
    one.upkeep.tick().await.unwrap();
    assert_eq!(one.kid(), waits);
    assert!(!one.published().contains(&first));
    // Even where none waits.
    let standby = one.published()[1].clone();
    vault.retire(&standby, &SystemEntropy, now).await.unwrap();
    let retired = vault.retire(&waits, &SystemEntropy, now).await.unwrap();
    assert!(
        retired
            .current
            .is_some_and(|made| made != waits && made != standby)
    );
    assert!(matches!(
        vault.retire(&waits, &SystemEntropy, now).await,
        Err(KeyError::UnknownKey(_))
    ));
}

#[actix_web::test]
async fn a_rotation_that_was_said_twice_is_one() {
    let world = World::new();
    world.start(world.vault(None, None)).await.unwrap();
    let vault = world.vault(None, None);
    let now = world.clock.now();
    let Rotated::From(from, id) = vault.rotate(NAME, &SystemEntropy, now).await.unwrap() else {
        panic!("it was said before");
    };
    assert_eq!(from, now + SIGNING.lead, "it was made only now");
    let again = vault.rotate(NAME, &SystemEntropy, now).await.unwrap();
    assert_eq!(again, Rotated::Already(from, id));
}

#[actix_web::test]
async fn the_key_of_the_calendar_is_never_replaced() {
    let world = World::new();
    let (vault, now) = (world.vault(None, None), world.clock.now());
    secret::load_or_make(calendar::KEY_NAME, &vault, &SystemEntropy, now)
        .await
        .unwrap();
    let refused = vault
        .rotate("calendar", &SystemEntropy, now)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("another day"), "{refused}");
    let id = vault.list(now).await.unwrap()[0].id.clone();
    let refused = vault.retire(&id, &SystemEntropy, now).await.unwrap_err();
    assert!(refused.to_string().contains("another day"), "{refused}");
    world.go_to(1000 * DAY);
    let replica = world.start(vault.clone()).await.unwrap();
    replica.upkeep.tick().await.unwrap();
    let kept = secret::find("calendar", &vault, world.clock.now())
        .await
        .unwrap();
    let first = secret::find("calendar", &world.vault(None, None), now)
        .await
        .unwrap();
    assert_eq!(kept, first);
    assert!(matches!(
        vault.rotate("calender", &SystemEntropy, now).await,
        Err(KeyError::UnknownName(_))
    ));
}

#[actix_web::test]
async fn a_store_without_a_master_secret_is_sealed_at_the_first_start_with_one() {
    let world = World::new();
    let plain = world.start(world.vault(None, None)).await.unwrap();
    let (kid, sealed) = (plain.kid(), plain.seal("value"));
    let replica = world.start(world.vault(Some(ONE), None)).await.unwrap();
    assert_eq!(
        (replica.kid(), replica.open(&sealed)),
        (kid.clone(), Some("value".into()))
    );
    for key in world
        .vault(Some(ONE), None)
        .list(world.clock.now())
        .await
        .unwrap()
    {
        assert!(matches!(key.form, Form::Sealed(_)), "{}", key.name);
    }
    // A server that was started without it goes on with what it has read, and says why it can't read on.
    let unread = plain.upkeep.tick().await.unwrap_err();
    assert!(
        unread.to_string().contains("keys.master_secret"),
        "{unread}"
    );
    assert_eq!(plain.kid(), kid);
}

#[actix_web::test]
async fn a_wrong_or_missing_master_secret_is_told_and_nothing_is_touched() {
    let world = World::new();
    world.start(world.vault(Some(ONE), None)).await.unwrap();
    let before = world.store.list_keys().await.unwrap();
    let (wrong, missing) = (world.vault(Some(TWO), None), world.vault(None, None));
    let now = world.clock.now();
    for vault in [wrong, missing] {
        let told = world
            .start(vault.clone())
            .await
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(told.contains("master_secret"), "{told}");
        assert!(vault.list(now).await.is_err());
        assert!(vault.rotate(NAME, &SystemEntropy, now).await.is_err());
        assert!(vault.reseal(&SystemEntropy).await.1.is_err());
    }
    assert_eq!(world.store.list_keys().await.unwrap(), before);
}

#[actix_web::test]
async fn the_master_secret_is_changed_by_sealing_anew() {
    let world = World::new();
    let first = world.start(world.vault(Some(ONE), None)).await.unwrap();
    let both = world.vault(Some(TWO), Some(ONE));
    world.start(both.clone()).await.unwrap();
    assert!(
        first.upkeep.tick().await.is_ok(),
        "a start alone changes nothing"
    );
    assert_eq!(resealed(&both).await, 3);
    assert_eq!(resealed(&both).await, 0);
    let second = world.start(world.vault(Some(TWO), None)).await.unwrap();
    assert_eq!(second.kid(), first.kid());
    assert!(world.start(world.vault(Some(ONE), None)).await.is_err());
    let plain = world.vault(None, Some(TWO));
    assert_eq!(resealed(&plain).await, 3);
    assert_eq!(
        world.start(world.vault(None, None)).await.unwrap().kid(),
        first.kid()
    );
}

#[actix_web::test]
async fn the_keys_of_an_older_countersign_stay_in_use() {
    let world = World::new();
    let now = world.clock.now();
    let made = material::make(Kind::of(NAME), &SystemEntropy, now).unwrap();
    for (name, material) in [
        (NAME, made.material().clone()),
        (seal::NAMES[0], KeyMaterial(vec![7; 32])),
        (seal::NAMES[1], KeyMaterial(vec![8; 32])),
    ] {
        let old = StoredKey {
            name: name.into(),
            created_at: now - SignedDuration::from_hours(24 * 400),
            material,
        };
        world.store.put_key_if_absent(old).await.unwrap();
    }
    let replica = world.start(world.vault(None, None)).await.unwrap();
    assert_eq!(replica.kid(), made.id);
    assert_eq!(world.current().await, made.id);
    // Its next one is due, and must be known for a day first.
    replica.upkeep.tick().await.unwrap();
    replica.upkeep.tick().await.unwrap();
    assert_eq!(replica.kid(), made.id);
    world.go_to(25 * HOUR);
    replica.upkeep.tick().await.unwrap();
    assert_ne!(replica.kid(), made.id);
    assert!(replica.published().contains(&made.id));
}

#[actix_web::test]
async fn an_unknown_kid_is_looked_up_at_once_and_not_again_within_a_second() {
    let world = World::new();
    let one = world.start(world.vault(None, None)).await.unwrap();
    let stale = world.start(world.vault(None, None)).await.unwrap();
    let vault = world.vault(None, None);
    vault
        .retire(&one.kid(), &SystemEntropy, world.clock.now())
        .await
        .unwrap();
    stale.upkeep.look_up().await.unwrap();
    let second = world.current().await;
    assert!(stale.published() == [second.as_str()]);
    vault
        .retire(&second, &SystemEntropy, world.clock.now())
        .await
        .unwrap();
    stale.upkeep.look_up().await.unwrap();
    assert!(stale.published() == [second.as_str()], "too soon");
    world.go_to(1);
    stale.upkeep.look_up().await.unwrap();
    assert_ne!(stale.published(), [second]);
}

#[actix_web::test]
async fn of_many_who_change_one_key_at_once_none_undoes_another() {
    let world = World::new();
    let replica = world.start(world.vault(None, None)).await.unwrap();
    replica.upkeep.tick().await.unwrap();
    let (first, waits) = (replica.kid(), replica.published()[1].clone());
    let now = world.clock.now();
    let racing = (0..20).map(|_| {
        let vault = world.vault(None, None);
        actix_web::rt::spawn(async move { vault.rotate(NAME, &SystemEntropy, now).await })
    });
    let outcomes = futures_util::future::join_all(racing.collect::<Vec<_>>()).await;
    let outcomes: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
    let won = outcomes
        .iter()
        .filter(|it| matches!(it, Ok(Rotated::From(..))))
        .count();
    assert_eq!((won, outcomes.len()), (1, 20), "{outcomes:?}");
    assert!(outcomes.iter().all(
        |it| matches!(it, Ok(Rotated::From(_, id) | Rotated::Already(_, id)) if *id == waits)
    ));
    assert_eq!(
        world.states().await,
        [(first, KeyState::Current), (waits, KeyState::Next)]
    );
}

#[actix_web::test]
async fn a_replica_verifies_what_another_has_signed_with_the_next_key_before_it_has_looked() {
    let world = World::new();
    let one = world.start(world.vault(None, None)).await.unwrap();
    one.upkeep.tick().await.unwrap();
    let other = world.start(world.vault(None, None)).await.unwrap();
    world.go_to(26 * HOUR);
    world
        .vault(None, None)
        .rotate(NAME, &SystemEntropy, world.clock.now())
        .await
        .unwrap();
    world.go_to(26 * HOUR + 61);
    one.upkeep.tick().await.unwrap();
    let set = KeySet::from_jwks(&other.keys.published()).unwrap();
    assert!(!set.is_empty());
    assert!(other.published().contains(&one.kid()));
}

async fn resealed(vault: &Vault) -> usize {
    let (changed, all) = vault.reseal(&SystemEntropy).await;
    all.unwrap();
    changed
}
