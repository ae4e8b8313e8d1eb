//! Secret keys of the installation: made once, kept in the store, the same on every replica.

use countersign_store::{KeyMaterial, Store, StoredKey};
use jiff::Timestamp;

use crate::{BuildError, Entropy};

/// 256 bits: as many as AES-256-GCM takes and SHA-256 gives (RFC 2104 3).
pub(crate) type SecretKey = [u8; 32];

/// The key of this name. Made if there is none yet.
pub(crate) async fn load_or_make(
    name: &'static str,
    store: &dyn Store,
    entropy: &dyn Entropy,
    now: Timestamp,
) -> Result<SecretKey, BuildError> {
    let mut fresh = SecretKey::default();
    entropy.fill(&mut fresh);
    let offered = StoredKey {
        name: name.to_owned(),
        created_at: now,
        material: KeyMaterial(fresh.to_vec()),
    };
    let kept = store.put_key_if_absent(offered).await?;
    parse(name, &kept.material)
}

/// The key of this name, if there is one.
pub(crate) async fn find(
    name: &'static str,
    store: &dyn Store,
) -> Result<Option<SecretKey>, BuildError> {
    let keys = store.list_keys().await?;
    let kept = keys.iter().find(|key| key.name == name);
    kept.map(|key| parse(name, &key.material)).transpose()
}

/// HMAC would take a key of any length, and a short or empty one could be guessed.
fn parse(name: &'static str, material: &KeyMaterial) -> Result<SecretKey, BuildError> {
    let bytes = material.0.as_slice();
    bytes.try_into().map_err(|_| BuildError::Key(name))
}

#[cfg(test)]
mod tests {
    use countersign_store::Embedded;

    use super::*;
    use crate::SystemEntropy;

    #[actix_web::test]
    async fn a_key_is_made_once_and_every_later_start_has_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(&directory.path().join("data")).unwrap();
        assert_eq!(find("one", &store).await.unwrap(), None);
        let made = async |name, second| {
            let now = Timestamp::from_second(second).unwrap();
            let made = load_or_make(name, &store, &SystemEntropy, now).await;
            made.unwrap()
        };
        let first = made("one", 0).await;
        assert_ne!(first, SecretKey::default());
        assert_eq!(made("one", 1_000_000).await, first);
        assert_eq!(find("one", &store).await.unwrap(), Some(first));
        assert_ne!(made("two", 0).await, first);
        assert_eq!(store.list_keys().await.unwrap().len(), 2);
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        for length in [0, 16, 31, 33] {
            let material = KeyMaterial(vec![7; length]);
            let refused = parse("calendar", &material).unwrap_err();
            assert!(matches!(refused, BuildError::Key("calendar")), "{length}");
        }
    }
}
