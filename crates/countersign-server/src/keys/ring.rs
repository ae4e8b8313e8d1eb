//! The keys of one name over time: which one is used, which are still needed, which comes next.
//!
//! Pure: `now` is an argument, and each change is a new ring, which replaces the old one in the store
//! in one step. So whoever dies in between leaves a ring as it was, or as it was to be.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_store::KeyMaterial;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// All keys of one name, in the order in which they were made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ring {
    pub(super) keys: Vec<Key>,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    /// What it is called: the `kid` of a signing key, else a digest.
    pub(super) id: String,
    pub(super) made_at: Timestamp,
    /// From when on it signs or seals; nothing set: it waits for its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) used_from: Option<Timestamp>,
    /// From when on nothing needs it; nothing set: none has been called after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) leaves_at: Option<Timestamp>,
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub(super) material: KeyMaterial,
}

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Known everywhere, and not used yet.
    Standby,
    /// Will be used from a time that is set.
    Next,
    /// Signs, or seals.
    Current,
    /// Signs and seals no more; what it has signed or sealed is still good.
    Retiring,
    /// Nothing needs it any more.
    Gone,
}

/// How quickly the keys of one kind may follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// For how long a key is known before it is used.
    pub(super) lead: SignedDuration,
    /// For how long after its successor's first use it is needed.
    pub(super) overlap: SignedDuration,
    pub(super) reserve: Reserve,
}

/// Whether a key always waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reserve {
    /// So that one that is compromised has a successor whom everybody knows.
    Kept,
    /// Nobody outside needs to know it first.
    None,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// A key that nothing needs is to be forgotten.
    Tidying,
    /// None waits.
    Standby,
    /// The current one is old enough.
    Rotation,
}

/// How long it may take until every replica has read a change; they look every ten seconds.
pub(super) const SPREAD: SignedDuration = SignedDuration::from_mins(1);

impl KeyState {
    /// As operators read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standby => "standby",
            Self::Next => "next",
            Self::Current => "current",
            Self::Retiring => "retiring",
            Self::Gone => "gone",
        }
    }
}

impl Key {
    /// A key that waits.
    pub(super) fn standby(id: String, material: KeyMaterial, now: Timestamp) -> Self {
        Self {
            id,
            made_at: now,
            used_from: None,
            leaves_at: None,
            material,
        }
    }

    pub(crate) fn material(&self) -> &KeyMaterial {
        &self.material
    }

    fn is_gone(&self, now: Timestamp) -> bool {
        self.leaves_at.is_some_and(|end| end <= now)
    }
}

impl Ring {
    /// The ring of an installation's first key, which is used at once: nothing was before it.
    pub(super) fn of(first: Key) -> Self {
        let used_from = Some(first.made_at);
        Self {
            keys: vec![Key { used_from, ..first }],
        }
    }

    /// The key that signs or seals.
    pub(crate) fn current(&self, now: Timestamp) -> Option<&Key> {
        let used = self
            .live(now)
            .filter(|key| key.used_from.is_some_and(|from| from <= now));
        used.max_by_key(|key| key.used_from)
    }

    /// All that are needed, those to come among them.
    pub(crate) fn live(&self, now: Timestamp) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| !key.is_gone(now))
    }

    pub(super) fn state(&self, key: &Key, now: Timestamp) -> KeyState {
        match key.used_from {
            _ if key.is_gone(now) => KeyState::Gone,
            None => KeyState::Standby,
            Some(from) if from > now => KeyState::Next,
            Some(_) if self.current(now).is_some_and(|one| one.id == key.id) => KeyState::Current,
            Some(_) => KeyState::Retiring,
        }
    }

    /// What is due, the most urgent first.
    pub(super) fn due(
        &self,
        pace: &Pace,
        rotate_every: Option<SignedDuration>,
        now: Timestamp,
    ) -> Option<Due> {
        if self.keys.iter().any(|key| key.is_gone(now)) {
            return Some(Due::Tidying);
        }
        let is_next = |key: &&Key| self.state(key, now) == KeyState::Next;
        let follows = self.keys.iter().find(is_next);
        let waits = self.keys.iter().any(|key| key.used_from.is_none());
        if pace.reserve == Reserve::Kept && !waits && follows.is_none() {
            return Some(Due::Standby);
        }
        let since = self.current(now)?.used_from?;
        let is_old = rotate_every.is_some_and(|every| now.duration_since(since) >= every);
        (is_old && follows.is_none()).then_some(Due::Rotation)
    }

    /// The key that has been called already, and is not used yet.
    pub(super) fn called(&self, now: Timestamp) -> Option<&Key> {
        let is_next = |key: &&Key| self.state(key, now) == KeyState::Next;
        self.keys.iter().find(is_next)
    }

    /// The key that waits for its turn.
    pub(super) fn standby(&self) -> Option<&Key> {
        self.keys.iter().find(|key| key.used_from.is_none())
    }

    /// With another key that waits.
    pub(super) fn with(&self, standby: Key) -> Self {
        let mut next = self.clone();
        next.keys.push(standby);
        next
    }

    /// Calls the key that waits, and says when each before it leaves. The same ring where none waits.
    pub(super) fn rotated(&self, pace: &Pace, now: Timestamp) -> Self {
        let mut next = self.tidied(now);
        let Some(called) = next.keys.iter_mut().find(|key| key.used_from.is_none()) else {
            return next;
        };
        let used_from = (now + SPREAD).max(called.made_at + pace.lead);
        called.used_from = Some(used_from);
        let earlier = next
            .keys
            .iter_mut()
            .filter(|key| key.used_from.is_some_and(|from| from < used_from));
        for key in earlier {
            key.leaves_at.get_or_insert(used_from + pace.overlap);
        }
        next
    }

    /// Without the key of this id, at once. Where it was the current one, the one that comes next is used
    /// from now on: there must be one. Where it was only called, the one that was to leave for it stays.
    pub(super) fn without(&self, id: &str, now: Timestamp) -> Self {
        let was_current = self.current(now).is_some_and(|key| key.id == id);
        let mut next = self.tidied(now);
        next.keys.retain(|key| key.id != id);
        let called = next.called(now).map(|key| key.id.clone());
        let waits = next.standby().map(|key| key.id.clone());
        match (was_current, called) {
            (true, called) => {
                next.change(called.or(waits).as_deref(), |key| key.used_from = Some(now));
            }
            (false, Some(_)) => {}
            (false, None) => {
                let current = next.current(now).map(|key| key.id.clone());
                next.change(current.as_deref(), |key| key.leaves_at = None);
            }
        }
        next
    }

    fn change(&mut self, id: Option<&str>, change: impl Fn(&mut Key)) {
        let is_it = |key: &&mut Key| Some(key.id.as_str()) == id;
        self.keys.iter_mut().filter(is_it).for_each(change);
    }

    /// Without the keys that nothing needs.
    pub(super) fn tidied(&self, now: Timestamp) -> Self {
        let keys = self.live(now).cloned().collect();
        Self { keys }
    }
}

fn to_base64<S: Serializer>(material: &KeyMaterial, to: S) -> Result<S::Ok, S::Error> {
    STANDARD.encode(&material.0).serialize(to)
}

fn from_base64<'de, D: Deserializer<'de>>(from: D) -> Result<KeyMaterial, D::Error> {
    let text = String::deserialize(from)?;
    let bytes = STANDARD.decode(text).map_err(|_| {
        // Not the error of base64, which quotes what it stumbled over.
        serde::de::Error::custom("the key is not base64")
    })?;
    Ok(KeyMaterial(bytes))
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
