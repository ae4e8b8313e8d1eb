//! What an operator does with the keys: look, replace, withdraw, seal anew. Beside a running server or
//! without one: each change is one compare-and-set, and servers read the keys again within seconds.

use countersign_store::StoreError;
use jiff::Timestamp;

use super::certificate::{self, Root};
use super::record::Form;
use super::ring::{Key, KeyState};
use super::signing::Signer;
use super::vault::{Kept, Vault};
use super::{KeyError, KeyHeader, Kind, is_fixed, material, signing};
use crate::{Entropy, SigningAlgorithm};

/// How often a change is tried again where a server changes the same keys at the same moment.
const TRIES: usize = 5;

/// What is told of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTold {
    /// What it is for.
    pub name: String,
    /// What it computes with.
    pub algorithm: &'static str,
    /// Which it is: the `kid` of a signing key.
    pub id: String,
    /// Where it is in its life.
    pub state: KeyState,
    /// When it was made.
    pub made_at: Timestamp,
    /// From when on it signs or seals.
    pub used_from: Option<Timestamp>,
    /// From when on nothing needs it.
    pub leaves_at: Option<Timestamp>,
    /// How it is kept.
    pub form: Form,
}

/// What came of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotated {
    /// The key that comes next is used from then on.
    From(Timestamp, String),
    /// That had been said before.
    Already(Timestamp, String),
}

/// A key that was withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// Its name.
    pub name: String,
    /// What it was.
    pub state: KeyState,
    /// The key that signs or seals now.
    pub current: Option<String>,
}

impl Vault {
    /// All keys, of which nothing secret is told.
    pub async fn list(&self, now: Timestamp) -> Result<Vec<KeyTold>, KeyError> {
        let rings = self.rings().await?;
        let told = |kept: &Kept| {
            let told = kept.ring.live(now).map(|key| kept.told(key, now));
            told.collect::<Vec<_>>()
        };
        Ok(rings.iter().flat_map(told).collect())
    }

    /// The names of all keys that can be replaced.
    pub async fn replaceable(&self) -> Result<Vec<String>, KeyError> {
        let rings = self.rings().await?;
        let names = rings.into_iter().map(|kept| kept.name);
        Ok(names
            .filter(|name| Kind::of(name).pace().is_some())
            .collect())
    }

    /// Calls the next key of this name.
    pub async fn rotate(
        &self,
        name: &str,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<Rotated, KeyError> {
        for _ in 0..TRIES {
            match self.rotate_once(name, entropy, now).await {
                Err(KeyError::Store(StoreError::Conflict)) => {}
                done => return done,
            }
        }
        Err(StoreError::Conflict.into())
    }

    async fn rotate_once(
        &self,
        name: &str,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<Rotated, KeyError> {
        let kept = self.find(name).await?;
        let kept = kept.ok_or_else(|| KeyError::UnknownName(name.to_owned()))?;
        let pace = Kind::of(name).pace().ok_or_else(|| is_fixed(name))?;
        if let Some((id, from)) = called(&kept, now) {
            return Ok(Rotated::Already(from, id));
        }
        let ring = match kept.ring.standby() {
            Some(_) => kept.ring.clone(),
            None => kept
                .ring
                .with(material::make(Kind::of(name), entropy, now)?),
        };
        let ring = ring.rotated(pace, now);
        self.replace(&kept, &ring, entropy).await?;
        let next = ring
            .called(now)
            .and_then(|key| Some((key.used_from?, key.id.clone())));
        let (from, id) = next.ok_or(KeyError::NotMade)?;
        Ok(Rotated::From(from, id))
    }

    /// What withdrawing the key of this id would withdraw.
    pub async fn to_be_retired(&self, id: &str, now: Timestamp) -> Result<KeyTold, KeyError> {
        let rings = self.rings().await?;
        let (kept, key) = find(&rings, id, now)?;
        Ok(kept.told(key, now))
    }

    /// Withdraws the key of this id at once: it signs and seals no more, and what it has signed or sealed is
    /// not good any more. Where it was the current one, the next takes over at once.
    pub async fn retire(
        &self,
        id: &str,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<Retired, KeyError> {
        for _ in 0..TRIES {
            match self.retire_once(id, entropy, now).await {
                Err(KeyError::Store(StoreError::Conflict)) => {}
                done => return done,
            }
        }
        Err(StoreError::Conflict.into())
    }

    async fn retire_once(
        &self,
        id: &str,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<Retired, KeyError> {
        let rings = self.rings().await?;
        let (kept, key) = find(&rings, id, now)?;
        let state = kept.ring.state(key, now);
        let others = kept.ring.live(now).filter(|other| other.id != id);
        let successor = others
            .map(|other| kept.ring.state(other, now))
            .find(|state| matches!(state, KeyState::Standby | KeyState::Next));
        let ring = match (state, successor) {
            (KeyState::Current, None) => {
                let fresh = material::make(Kind::of(&kept.name), entropy, now)?;
                kept.ring.with(fresh)
            }
            (_, _) => kept.ring.clone(),
        };
        let ring = ring.without(id, now);
        self.replace(kept, &ring, entropy).await?;
        Ok(Retired {
            name: kept.name.clone(),
            state,
            current: ring.current(now).map(|key| key.id.clone()),
        })
    }

    /// The public keys of an algorithm, current and to come, as a key set (RFC 7517): for who can't fetch ours.
    pub async fn key_set(
        &self,
        algorithm: SigningAlgorithm,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<String, KeyError> {
        let signers = self.signers(algorithm, entropy, now).await?;
        Ok(String::from_utf8_lossy(&signing::key_set(signers.iter())).into_owned())
    }

    /// The keys of an algorithm, current and to come. One is made if there is none yet.
    async fn signers(
        &self,
        algorithm: SigningAlgorithm,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<Vec<Signer>, KeyError> {
        let kept = self.find_or_make(signing::name(algorithm), entropy, now);
        signing::live(&kept.await?, algorithm, now)
    }

    /// The certificates, PEM, that whoever finds keys by this header is to have: the root's where tokens carry the
    /// rest, else those of the keys, current and to come. The root is made if there is none yet.
    pub async fn certificates(
        &self,
        (key_header, algorithm): (KeyHeader, SigningAlgorithm),
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<String, KeyError> {
        let root = self.find_or_make(certificate::KEY_NAME, entropy, now);
        let root = Root::of(&root.await?, now)?;
        match key_header {
            KeyHeader::X5c => Ok(certificate::pem(&root.certificate()?)),
            KeyHeader::Kid | KeyHeader::Libtrust => {
                let signers = self.signers(algorithm, entropy, now).await?;
                let certified = signers.iter().map(|signer| root.certify_for_a_file(signer));
                certified.map(|der| Ok(certificate::pem(&der?))).collect()
            }
        }
    }

    /// Writes all keys as the settings say, sealed or not, and tells how many were otherwise and are so now, also where it
    /// could not change all.
    pub async fn reseal(&self, entropy: &dyn Entropy) -> (usize, Result<(), KeyError>) {
        let mut changed = 0;
        let all = self.reseal_all(entropy, &mut changed).await;
        (changed, all)
    }

    async fn reseal_all(&self, entropy: &dyn Entropy, changed: &mut usize) -> Result<(), KeyError> {
        for _ in 0..TRIES {
            let rings = self.rings().await?;
            let otherwise: Vec<&Kept> = rings
                .iter()
                .filter(|kept| self.is_otherwise(kept))
                .collect();
            if otherwise.is_empty() {
                return Ok(());
            }
            for kept in otherwise {
                match self.replace(kept, &kept.ring, entropy).await {
                    Ok(()) => *changed += 1,
                    Err(KeyError::Store(StoreError::Conflict)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Err(StoreError::Conflict.into())
    }
}

impl Kept {
    fn told(&self, key: &Key, now: Timestamp) -> KeyTold {
        KeyTold {
            name: self.name.clone(),
            algorithm: Kind::of(&self.name).algorithm(),
            id: key.id.clone(),
            state: self.ring.state(key, now),
            made_at: key.made_at,
            used_from: key.used_from,
            leaves_at: key.leaves_at,
            form: self.form,
        }
    }
}

fn called(kept: &Kept, now: Timestamp) -> Option<(String, Timestamp)> {
    let key = kept.ring.called(now)?;
    Some((key.id.clone(), key.used_from?))
}

/// A key that can be withdrawn.
fn find<'r>(rings: &'r [Kept], id: &str, now: Timestamp) -> Result<(&'r Kept, &'r Key), KeyError> {
    let all = rings
        .iter()
        .flat_map(|kept| kept.ring.live(now).map(move |key| (kept, key)));
    let (kept, key) = all
        .into_iter()
        .find(|(_, key)| key.id == id)
        .ok_or_else(|| KeyError::UnknownKey(id.to_owned()))?;
    match Kind::of(&kept.name).pace() {
        Some(_) => Ok((kept, key)),
        None => Err(is_fixed(&kept.name)),
    }
}
