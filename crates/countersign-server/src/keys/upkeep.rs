//! What keeps the keys of a running server up to date: reads them again, and does what is due.
//!
//! Every replica does the same, and each step is one compare-and-set in the store: of many exactly one
//! takes it, and the others read what it has done.

use std::sync::{Arc, Mutex, PoisonError};

use countersign_store::StoreError;
use jiff::{SignedDuration, Timestamp};

use super::ring::{Due, Ring};
use super::vault::{Kept, Vault};
use super::{Key, KeyError, Keys, Kind, material};
use crate::audit::{AuditLog, By, Event, Happening, Subject};
use crate::seal::Sealer;
use crate::{Clock, Entropy};

/// How long a token with a `kid` that is not known waits for the next to be looked up: a flood of made-up
/// ones must not become a flood at the store.
const PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// The way to keep the keys of a running broker up to date. Clones lead to the same broker.
#[derive(Debug, Clone)]
pub struct KeyUpkeep(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    vault: Vault,
    keys: Arc<Keys>,
    sealer: Arc<Sealer>,
    rotate_every: Option<SignedDuration>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    audit_log: Arc<AuditLog>,
    looked_up_at: Mutex<Option<Timestamp>>,
}

impl KeyUpkeep {
    pub(crate) fn new(
        vault: Vault,
        (keys, sealer): (Arc<Keys>, Arc<Sealer>),
        rotate_every: Option<SignedDuration>,
        (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>),
        audit_log: Arc<AuditLog>,
    ) -> Self {
        Self(Arc::new(Inside {
            vault,
            keys,
            sealer,
            rotate_every,
            clock,
            entropy,
            audit_log,
            looked_up_at: Mutex::new(None),
        }))
    }

    /// Reads the keys again, does what is due, and uses what the time says. To be called every few seconds.
    ///
    /// An error leaves the keys that were read last in use; they are still good.
    pub async fn tick(&self) -> Result<(), KeyError> {
        let now = self.0.clock.now();
        let rings = self.0.vault.rings().await?;
        let mut done = Ok(());
        for kept in &rings {
            done = done.and(self.do_what_is_due(kept, now).await);
        }
        self.read(now).await.and(done)
    }

    /// Reads the keys again because somebody has one that is not known here. Not more than once a second.
    pub(crate) async fn look_up(&self) -> Result<(), KeyError> {
        let now = self.0.clock.now();
        if self.may_look_up(now) {
            self.read(now).await?;
        }
        Ok(())
    }

    fn may_look_up(&self, now: Timestamp) -> bool {
        let mut last = self
            .0
            .looked_up_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|last| now.duration_since(last).abs() >= PAUSE);
        if may {
            *last = Some(now);
        }
        may
    }

    async fn read(&self, now: Timestamp) -> Result<(), KeyError> {
        let inside = &self.0;
        let rings = inside.vault.rings().await?;
        inside.keys.replace(&rings, now)?;
        inside.sealer.replace(&rings, now)
    }

    async fn do_what_is_due(&self, kept: &Kept, now: Timestamp) -> Result<(), KeyError> {
        let kind = Kind::of(&kept.name);
        let Some(pace) = kind.pace() else {
            return Ok(());
        };
        let ring = match kept.ring.due(pace, self.0.rotate_every, now) {
            None => return Ok(()),
            Some(Due::Tidying) => kept.ring.tidied(now),
            Some(Due::Standby) => kept.ring.with(self.make(kind, now).await?),
            Some(Due::Rotation) if kept.ring.standby().is_some() => kept.ring.rotated(pace, now),
            Some(Due::Rotation) => {
                let fresh = self.make(kind, now).await?;
                kept.ring.with(fresh).rotated(pace, now)
            }
        };
        let replaced = self.0.vault.replace(kept, &ring, self.0.entropy.as_ref());
        match replaced.await {
            Ok(()) => {
                for told in tell(&kept.name, &kept.ring, &ring, now) {
                    self.0.audit_log.write(told, now);
                }
                Ok(())
            }
            // Another replica was quicker.
            Err(KeyError::Store(StoreError::Conflict)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// On a thread of its own: meanwhile requests are answered.
    async fn make(&self, kind: Kind, now: Timestamp) -> Result<Key, KeyError> {
        let entropy = Arc::clone(&self.0.entropy);
        let making =
            tokio::task::spawn_blocking(move || material::make(kind, entropy.as_ref(), now));
        making.await.map_err(|_| KeyError::NotMade)?
    }
}

/// Tells the log what has changed, and what the audit log is to be told.
fn tell(name: &str, before: &Ring, after: &Ring, now: Timestamp) -> Vec<Happening> {
    let mut told = Vec::new();
    let mut note = |event, id: &str| {
        let happening = Happening::new(event, By::Nobody).because("due");
        told.push(
            happening
                .about(Subject::KeyName, name)
                .about(Subject::Key, id),
        );
    };
    let known = |id: &str| before.keys.iter().any(|key| key.id == id);
    for key in after.keys.iter().filter(|key| !known(&key.id)) {
        note(Event::KeyMade, &key.id);
        tracing::info!(
            code = "key-made",
            name,
            id = key.id,
            "a key waits for its turn"
        );
    }
    for key in &before.keys {
        if !after.keys.iter().any(|one| one.id == key.id) {
            note(Event::KeyGone, &key.id);
            tracing::info!(
                code = "key-gone",
                name,
                id = key.id,
                "nothing needs this key any more"
            );
        }
    }
    if before.called(now).is_none()
        && let Some(next) = after.called(now)
        && let Some(from) = next.used_from
    {
        note(Event::KeyRotated, &next.id);
        tracing::info!(code = "key-rotated", name, id = next.id, %from, "the next key will be used");
    }
    told
}
