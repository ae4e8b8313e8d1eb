//! Secret keys of the installation: made once, kept in the store, the same on every replica.

use jiff::Timestamp;

use crate::keys::{self, KeyError, Vault};
use crate::{BuildError, Entropy};

/// 256 bits: as many as AES-256-GCM takes and SHA-256 gives (RFC 2104 3).
pub(crate) type SecretKey = [u8; 32];

/// The key of this name, which stays what it is for ever. Made if there is none yet.
pub(crate) async fn load_or_make(
    name: &'static str,
    vault: &Vault,
    entropy: &dyn Entropy,
    now: Timestamp,
) -> Result<SecretKey, BuildError> {
    let kept = vault.find_or_make(name, entropy, now).await?;
    Ok(parse(&kept, now)?)
}

/// The key of this name, if there is one.
pub(crate) async fn find(
    name: &'static str,
    vault: &Vault,
    now: Timestamp,
) -> Result<Option<SecretKey>, KeyError> {
    let kept = vault.find(name).await?;
    kept.map(|kept| parse(&kept, now)).transpose()
}

fn parse(kept: &keys::Kept, now: Timestamp) -> Result<SecretKey, KeyError> {
    let current = kept.ring.current(now);
    let secret = current.and_then(|key| keys::secret(key.material()));
    secret.ok_or_else(|| KeyError::Unusable(kept.name.clone()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use countersign_store::Embedded;

    use super::*;
    use crate::{MasterSecrets, SystemEntropy};

    #[actix_web::test]
    async fn a_key_is_made_once_and_every_later_start_has_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(&directory.path().join("data")).unwrap();
        let vault = Vault::new(Arc::new(store), MasterSecrets::default());
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(find("one", &vault, at(0)).await.unwrap(), None);
        let made = async |name, second| {
            let made = load_or_make(name, &vault, &SystemEntropy, at(second)).await;
            made.unwrap()
        };
        let first = made("one", 0).await;
        assert_ne!(first, SecretKey::default());
        assert_eq!(made("one", 1_000_000).await, first);
        assert_eq!(find("one", &vault, at(0)).await.unwrap(), Some(first));
        assert_ne!(made("two", 0).await, first);
        assert_eq!(vault.rings().await.unwrap().len(), 2);
    }
}
