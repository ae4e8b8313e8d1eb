//! The master secret, under which keys are sealed where they are kept. It is never kept itself.
//!
//! It is a long random text from outside, so a quick derivation (HKDF) serves; who has the store and not
//! the secret can guess at it for as long as they like, which is why short ones are refused.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use thiserror::Error;

use crate::Entropy;

/// `openssl rand -base64 32` gives 44; this many hexadecimal digits are 128 bits.
const SHORTEST: usize = 32;
/// What the derived keys are for (RFC 5869 3.2).
const FOR_SEALING: &[u8] = b"countersign keys at rest";
const FOR_NAMING: &[u8] = b"countersign name of a master secret";

/// One master secret.
pub struct MasterSecret {
    key: LessSafeKey,
    /// Which secret it is, without telling it.
    id: MasterId,
}

/// Which master secret: derived from it, so that two can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MasterId(pub(super) [u8; 8]);

/// The secret that keys are sealed under, and the one that they were sealed under before.
#[derive(Debug, Default)]
pub struct MasterSecrets {
    /// What is written is sealed under this one; nothing set: it is not sealed.
    pub current: Option<MasterSecret>,
    /// Opens what was sealed before the secret was changed.
    pub previous: Option<MasterSecret>,
}

/// A text that can't be a master secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "is shorter than {SHORTEST} characters, and could be guessed by whoever has a copy of the store; \
     `openssl rand -base64 32` makes one"
)]
pub struct TooShort;

impl MasterSecret {
    /// Takes a secret.
    pub fn new(text: &str) -> Result<Self, TooShort> {
        let is_varied = text.chars().any(|character| !text.starts_with(character));
        if text.chars().count() < SHORTEST || !is_varied {
            return Err(TooShort);
        }
        let derived = Salt::new(HKDF_SHA256, &[]).extract(text.as_bytes());
        let mut name = [0; 32];
        let key = derived.expand(&[FOR_SEALING], &AES_256_GCM);
        let key = key.map(|key| LessSafeKey::new(UnboundKey::from(key)));
        let named = derived
            .expand(&[FOR_NAMING], HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut name));
        let (Ok(key), Ok(())) = (key, named) else {
            return Err(TooShort);
        };
        let mut id = [0; 8];
        id.copy_from_slice(&name[..8]);
        let id = MasterId(id);
        Ok(Self { key, id })
    }

    pub(super) fn id(&self) -> MasterId {
        self.id
    }

    /// Nonce, ciphertext and tag.
    pub(super) fn seal(
        &self,
        plain: Vec<u8>,
        aad: &[u8],
        entropy: &dyn Entropy,
    ) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        entropy.fill(&mut nonce);
        let mut sealed = plain;
        let bound = Nonce::assume_unique_for_key(nonce);
        self.key
            .seal_in_place_append_tag(bound, Aad::from(aad), &mut sealed)
            .ok()?;
        sealed.splice(..0, nonce);
        Some(sealed)
    }

    pub(super) fn open(&self, sealed: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
        let (nonce, ciphertext) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut plain = ciphertext.to_vec();
        let length = self
            .key
            .open_in_place(nonce, Aad::from(aad), &mut plain)
            .ok()?
            .len();
        plain.truncate(length);
        Some(plain)
    }
}

impl MasterSecrets {
    /// The secret of this name, where it is configured.
    pub(super) fn find(&self, id: MasterId) -> Option<&MasterSecret> {
        let both = self.current.iter().chain(&self.previous);
        both.into_iter().find(|secret| secret.id == id)
    }
}

impl fmt::Debug for MasterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[redacted] {}", self.id)
    }
}

impl fmt::Display for MasterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;

    const TEXT: &str = "3q2+7wAAAABBQUFBQkJCQkNDQ0NEREREeHh4eHh4eHg=";

    #[test]
    fn a_secret_that_could_be_guessed_is_refused() {
        for text in ["", "changeme", &TEXT[..31], &"x".repeat(64)] {
            assert!(MasterSecret::new(text).is_err(), "`{text}`");
        }
        assert!(MasterSecret::new(&TEXT[..32]).is_ok());
    }

    #[test]
    fn what_was_sealed_opens_under_the_same_secret_in_the_same_place() {
        let secret = MasterSecret::new(TEXT).unwrap();
        let sealed = secret.seal(b"key".to_vec(), b"place", &SystemEntropy);
        let sealed = sealed.unwrap();
        assert_eq!(secret.open(&sealed, b"place").unwrap(), b"key");
        assert_eq!(secret.open(&sealed, b"other"), None);
        let other = MasterSecret::new(&TEXT[1..]).unwrap();
        assert_eq!(other.open(&sealed, b"place"), None);
        assert_ne!(other.id(), secret.id());
        for cut in 0..sealed.len() {
            assert_eq!(secret.open(&sealed[..cut], b"place"), None, "{cut}");
        }
    }

    #[test]
    fn a_secret_never_prints() {
        let told = format!("{:?}", MasterSecret::new(TEXT).unwrap());
        assert!(
            told.starts_with("[redacted]") && !told.contains("3q2"),
            "{told}"
        );
    }
}
