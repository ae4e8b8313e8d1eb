//! A ring as the bytes that are kept: sealed under the master secret, or plain where there is none.
//!
//! The record of a Countersign that knew no rotation is the key alone: it is a ring of one.

use countersign_store::{KeyMaterial, StoredKey};

use super::master::{MasterId, MasterSecret, MasterSecrets};
use super::ring::{Key, Ring};
use super::{KeyError, Kind, material};
use crate::Entropy;

/// How a record begins. A key alone begins otherwise: DER with 0x30, and 32 random bytes are too short.
const PLAIN: &[u8] = b"countersign-keys-1\n";
const SEALED: &[u8] = b"countersign-sealed-keys-1\n";
const ID_LEN: usize = 8;

/// How a record was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Whoever reads the store has the key.
    Plain,
    /// Under the master secret of this name.
    Sealed(MasterId),
}

/// Reads what is kept under a name.
pub(super) fn read(stored: &StoredKey, secrets: &MasterSecrets) -> Result<(Ring, Form), KeyError> {
    let bytes = stored.material.0.as_slice();
    if let Some(json) = bytes.strip_prefix(PLAIN) {
        return Ok((parse(&stored.name, json)?, Form::Plain));
    }
    let Some(sealed) = bytes.strip_prefix(SEALED) else {
        return Ok((alone(stored)?, Form::Plain));
    };
    let unusable = || KeyError::Unusable(stored.name.clone());
    let (id, sealed) = sealed.split_first_chunk::<ID_LEN>().ok_or_else(unusable)?;
    let id = MasterId(*id);
    let secret = secrets
        .find(id)
        .ok_or_else(|| missing(stored, id, secrets))?;
    let json = secret
        .open(sealed, &associated_data(&stored.name))
        .ok_or_else(unusable)?;
    Ok((parse(&stored.name, &json)?, Form::Sealed(id)))
}

/// What is to be kept under a name.
pub(super) fn write(
    name: &str,
    ring: &Ring,
    secret: Option<&MasterSecret>,
    entropy: &dyn Entropy,
) -> Result<KeyMaterial, KeyError> {
    let unusable = || KeyError::Unusable(name.to_owned());
    let json = serde_json::to_vec(ring).map_err(|_| unusable())?;
    let Some(secret) = secret else {
        return Ok(KeyMaterial([PLAIN, &json].concat()));
    };
    let sealed = secret
        .seal(json, &associated_data(name), entropy)
        .ok_or_else(unusable)?;
    let id = secret.id().0;
    Ok(KeyMaterial([SEALED, &id, &sealed].concat()))
}

/// A record opens under its own name only: none can be put in another's place.
fn associated_data(name: &str) -> Vec<u8> {
    [SEALED, name.as_bytes()].concat()
}

fn parse(name: &str, json: &[u8]) -> Result<Ring, KeyError> {
    // The message of serde_json could quote the record.
    serde_json::from_slice(json).map_err(|_| KeyError::Unusable(name.to_owned()))
}

fn alone(stored: &StoredKey) -> Result<Ring, KeyError> {
    let kind = Kind::of(&stored.name);
    let id = material::id(kind, &stored.material)
        .ok_or_else(|| KeyError::Unusable(stored.name.clone()))?;
    let key = Key::standby(id, stored.material.clone(), stored.created_at);
    Ok(Ring::of(key))
}

fn missing(stored: &StoredKey, sealed_under: MasterId, secrets: &MasterSecrets) -> KeyError {
    let name = stored.name.clone();
    match secrets.current.as_ref().or(secrets.previous.as_ref()) {
        None => KeyError::NoMasterSecret { name },
        Some(configured) => KeyError::OtherMasterSecret {
            name,
            sealed_under,
            configured: configured.id(),
        },
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::SystemEntropy;

    const ONE: &str = "the first master secret of the tests";
    const TWO: &str = "the second master secret of the tests";

    fn secrets(current: Option<&str>, previous: Option<&str>) -> MasterSecrets {
        let secret = |text: &str| MasterSecret::new(text).unwrap();
        MasterSecrets {
            current: current.map(secret),
            previous: previous.map(secret),
        }
    }

    fn stored(name: &str, material: KeyMaterial) -> StoredKey {
        StoredKey {
            name: name.into(),
            created_at: Timestamp::UNIX_EPOCH,
            material,
        }
    }

    fn ring() -> Ring {
        alone(&stored("calendar", KeyMaterial(vec![7; 32]))).unwrap()
    }

    fn written(name: &str, secret: Option<&str>) -> StoredKey {
        let secret = secrets(secret, None).current;
        stored(
            name,
            write(name, &ring(), secret.as_ref(), &SystemEntropy).unwrap(),
        )
    }

    #[test]
    fn what_was_written_is_read_again_sealed_or_plain() {
        let plain = read(&written("calendar", None), &secrets(Some(TWO), None)).unwrap();
        assert_eq!(plain, (ring(), Form::Plain));
        let id = MasterSecret::new(ONE).unwrap().id();
        let sealed = written("calendar", Some(ONE));
        for secrets in [secrets(Some(ONE), None), secrets(Some(TWO), Some(ONE))] {
            assert_eq!(read(&sealed, &secrets).unwrap(), (ring(), Form::Sealed(id)));
        }
    }

    #[test]
    fn a_record_of_a_single_key_is_a_ring_whose_one_key_is_current() {
        let (ring, form) = read(
            &stored("calendar", KeyMaterial(vec![7; 32])),
            &MasterSecrets::default(),
        )
        .unwrap();
        assert_eq!(form, Form::Plain);
        let current = ring.current(Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(current.material, KeyMaterial(vec![7; 32]));
        for length in [0, 16, 31, 33] {
            let short = stored("calendar", KeyMaterial(vec![7; length]));
            let refused = read(&short, &MasterSecrets::default()).unwrap_err();
            assert!(matches!(refused, KeyError::Unusable(_)), "{length}");
        }
    }

    #[test]
    fn without_its_master_secret_a_record_says_what_is_missing() {
        let sealed = written("calendar", Some(ONE));
        let refused = read(&sealed, &MasterSecrets::default()).unwrap_err();
        assert!(matches!(refused, KeyError::NoMasterSecret { .. }));
        let refused = read(&sealed, &secrets(Some(TWO), None)).unwrap_err();
        assert!(matches!(refused, KeyError::OtherMasterSecret { .. }));
    }

    #[test]
    fn a_sealed_record_opens_under_its_own_name_and_untouched_only() {
        let secrets = secrets(Some(ONE), None);
        let sealed = written("calendar", Some(ONE));
        let elsewhere = stored("seal-aes256gcm", sealed.material.clone());
        assert!(read(&elsewhere, &secrets).is_err());
        for at in SEALED.len() + ID_LEN..sealed.material.0.len() {
            let mut touched = sealed.clone();
            touched.material.0[at] ^= 1;
            let refused = read(&touched, &secrets).unwrap_err();
            assert!(matches!(refused, KeyError::Unusable(_)), "byte {at}");
        }
        for cut in SEALED.len()..sealed.material.0.len() {
            let cut = stored("calendar", KeyMaterial(sealed.material.0[..cut].to_vec()));
            assert!(read(&cut, &secrets).is_err());
        }
    }

    #[test]
    fn a_sealed_record_holds_nothing_of_the_key() {
        let sealed = written("calendar", Some(ONE)).material.0;
        let text = String::from_utf8_lossy(&sealed);
        assert!(
            !text.contains("material") && !text.contains("BwcHBw"),
            "{text}"
        );
        assert!(!sealed.windows(8).any(|bytes| bytes == [7; 8]));
    }
}
