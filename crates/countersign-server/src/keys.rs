//! The keys of the installation: what they are for, how they follow each other, and how they are kept.
//!
//! Each name has a [`ring::Ring`] of keys in the store, sealed under the master secret where there is one.
//! The server reads the rings every few seconds ([`KeyUpkeep`]) and sees to it that the next key is known
//! everywhere before it is used, and that the last stays until nothing needs it.

mod certificate;
mod commands;
mod master;
mod material;
mod record;
mod ring;
mod signing;
mod upkeep;
mod vault;

use countersign_store::StoreError;
use jiff::SignedDuration;
use thiserror::Error;

pub use commands::{KeyTold, Retired, Rotated};
pub use master::{MasterId, MasterSecret, MasterSecrets, TooShort};
pub use record::Form;
pub use ring::KeyState;
pub use upkeep::KeyUpkeep;
pub use vault::Vault;

pub(crate) use certificate::KEY_NAME as ROOT;
pub(crate) use material::secret;
pub(crate) use ring::Key;
pub use signing::KeyHeader;
pub(crate) use signing::{Keys, NotSigned};
pub(crate) use vault::Kept;

use ring::{Pace, Reserve, SPREAD};

use crate::SigningAlgorithm;
use crate::{calendar, seal};

/// How keys are kept, and how often they are replaced.
#[derive(Debug)]
pub struct KeySettings {
    /// What they are sealed under.
    pub secrets: MasterSecrets,
    /// For how long a key signs or seals before the next one does; nothing set: until somebody says so.
    pub rotate_every: Option<SignedDuration>,
}

impl Default for KeySettings {
    /// Not sealed; replaced every 90 days.
    fn default() -> Self {
        Self {
            secrets: MasterSecrets::default(),
            rotate_every: Some(SignedDuration::from_hours(90 * 24)),
        }
    }
}

/// What can be wrong with the keys.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The store does not answer, or somebody else has changed a key at the same moment.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored key can't be used.
    #[error("the key `{0}` in the store can't be used")]
    Unusable(String),
    /// The keys are sealed, and nothing opens them.
    #[error(
        "the key `{name}` in the store is sealed, and no master secret is configured: \
         `keys.master_secret` must name the one that it was sealed under"
    )]
    NoMasterSecret {
        /// Whose.
        name: String,
    },
    /// The keys are sealed under another secret.
    #[error(
        "the key `{name}` in the store is sealed under the master secret {sealed_under}, and \
         `keys.master_secret` is {configured}: name the right one; where the secret is being changed, \
         name the old one in `keys.previous_master_secret`"
    )]
    OtherMasterSecret {
        /// Whose.
        name: String,
        /// The secret that opens it.
        sealed_under: MasterId,
        /// The secret that is there.
        configured: MasterId,
    },
    /// There is no such name.
    #[error("there is no key `{0}` in the store; `countersign keys list` names them")]
    UnknownName(String),
    /// There is no such key.
    #[error("there is no key with the id `{0}` in the store; `countersign keys list` names them")]
    UnknownKey(String),
    /// The key must stay as it is.
    #[error("{0}")]
    Fixed(&'static str),
    /// The generator failed.
    #[error("a key could not be made")]
    NotMade,
}

/// What a key is for, by its name in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Others verify what it signs.
    Signing(SigningAlgorithm),
    /// It seals what comes back to us.
    Sealing,
    /// It signs certificates over those that sign.
    Root,
    /// It is what it is for ever.
    Fixed,
}

/// The verifier crate and the Java example go on with the last good key set for a day; others fetch it
/// anew within an hour.
const SIGNING: Pace = Pace {
    lead: SignedDuration::from_hours(25),
    // A policy can let a token live for an hour (`lifetimes.token`); as long again for clocks that differ,
    // and for a replica that could not read the store meanwhile.
    overlap: SignedDuration::from_hours(2),
    reserve: Reserve::Kept,
};

const SEALING: Pace = Pace {
    lead: SPREAD,
    // A policy can let a session, and so its refresh tokens, live for 30 days.
    overlap: SignedDuration::from_hours(31 * 24),
    reserve: Reserve::None,
};

/// No cache and no token in the world would get by with less.
pub const SHORTEST_ROTATION_DAYS: u16 = 2;

impl Kind {
    pub(crate) fn of(name: &str) -> Self {
        let signs = signing::ALL
            .into_iter()
            .find(|it| signing::name(*it) == name);
        match signs {
            Some(algorithm) => Self::Signing(algorithm),
            None if seal::NAMES.contains(&name) => Self::Sealing,
            None if name == certificate::KEY_NAME => Self::Root,
            None => Self::Fixed,
        }
    }

    /// How its keys follow each other; nothing where there is one for ever.
    fn pace(self) -> Option<&'static Pace> {
        match self {
            Self::Signing(_) => Some(&SIGNING),
            Self::Sealing => Some(&SEALING),
            Self::Root | Self::Fixed => None,
        }
    }

    fn algorithm(self) -> &'static str {
        match self {
            Self::Signing(algorithm) => algorithm.as_str(),
            Self::Sealing => "A256GCM",
            Self::Root => SigningAlgorithm::Es256.as_str(),
            Self::Fixed => "HS256",
        }
    }
}

/// Why a key is never replaced.
fn is_fixed(name: &str) -> KeyError {
    KeyError::Fixed(match name {
        calendar::KEY_NAME => {
            "`calendar` is never replaced: another key would give every account another day"
        }
        certificate::KEY_NAME => {
            "`root-es256` is never replaced: registries have its certificate; give them the key set instead"
        }
        _ => "this key is never replaced: what was made with it could not be found again",
    })
}

#[cfg(test)]
mod tests;
