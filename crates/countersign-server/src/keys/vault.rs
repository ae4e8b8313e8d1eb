//! The rings in the store: opened when they are read, sealed when they are written.
//!
//! Whoever changes a ring says which one they have read; if another was quicker, nothing is changed.

use std::sync::Arc;

use countersign_store::{Store, StoreError, StoredKey};
use jiff::Timestamp;

use super::master::MasterSecrets;
use super::record::{self, Form};
use super::ring::Ring;
use super::{KeyError, Kind, material};
use crate::Entropy;

/// The way to the keys in a store.
#[derive(Debug, Clone)]
pub struct Vault {
    store: Arc<dyn Store>,
    secrets: Arc<MasterSecrets>,
}

/// A ring as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) name: String,
    pub(crate) ring: Ring,
    pub(super) form: Form,
    stored: StoredKey,
}

impl Vault {
    /// The keys in this store, under these secrets.
    pub fn new(store: Arc<dyn Store>, secrets: impl Into<Arc<MasterSecrets>>) -> Self {
        Self {
            store,
            secrets: secrets.into(),
        }
    }

    /// All rings; an error if any can't be opened.
    pub(crate) async fn rings(&self) -> Result<Vec<Kept>, KeyError> {
        let stored = self.store.list_keys().await?;
        stored.into_iter().map(|one| self.open(one)).collect()
    }

    /// The ring of this name, if there is one.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<Kept>, KeyError> {
        let stored = self.store.list_keys().await?;
        let found = stored.into_iter().find(|key| key.name == name);
        found.map(|one| self.open(one)).transpose()
    }

    /// The ring of this name. Made, with one key, if there is none yet.
    pub(crate) async fn find_or_make(
        &self,
        name: &str,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<Kept, KeyError> {
        if let Some(kept) = self.find(name).await? {
            return Ok(kept);
        }
        let ring = Ring::of(material::make(Kind::of(name), entropy, now)?);
        let offered = StoredKey {
            name: name.to_owned(),
            created_at: now,
            material: record::write(name, &ring, self.secrets.current.as_ref(), entropy)?,
        };
        self.open(self.store.put_key_if_absent(offered).await?)
    }

    /// Replaces a ring; [`StoreError::Conflict`] if it is not what was read any more.
    pub(super) async fn replace(
        &self,
        kept: &Kept,
        ring: &Ring,
        entropy: &dyn Entropy,
    ) -> Result<(), KeyError> {
        let secret = self.secrets.current.as_ref();
        let material = record::write(&kept.name, ring, secret, entropy)?;
        Ok(self.store.replace_key(&kept.stored, material).await?)
    }

    /// Whether it lies in the store in another form than the settings say.
    pub(super) fn is_otherwise(&self, kept: &Kept) -> bool {
        let wanted = match &self.secrets.current {
            Some(secret) => Form::Sealed(secret.id()),
            None => Form::Plain,
        };
        kept.form != wanted
    }

    /// Seals what still lies there in plain, if there is a secret to seal it under. What is sealed under the
    /// previous secret is left to `keys reseal`: another replica may not know the new one yet.
    pub(crate) async fn seal_plain(&self, entropy: &dyn Entropy) -> Result<(), KeyError> {
        if self.secrets.current.is_none() {
            return Ok(());
        }
        for kept in self.rings().await? {
            if kept.form == Form::Plain {
                self.write_anew(&kept, entropy).await?;
            }
        }
        Ok(())
    }

    /// Writes a ring as it is. Where another has just changed it, that one has written it as it is to be.
    pub(super) async fn write_anew(
        &self,
        kept: &Kept,
        entropy: &dyn Entropy,
    ) -> Result<(), KeyError> {
        match self.replace(kept, &kept.ring, entropy).await {
            Ok(()) | Err(KeyError::Store(StoreError::Conflict)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn open(&self, stored: StoredKey) -> Result<Kept, KeyError> {
        let (ring, form) = record::read(&stored, &self.secrets)?;
        Ok(Kept {
            name: stored.name.clone(),
            ring,
            form,
            stored,
        })
    }
}
