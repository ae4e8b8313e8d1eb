//! Keys as bytes: how they are made, and what they are called.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair,
};
use countersign_store::KeyMaterial;
use jiff::Timestamp;

use super::ring::Key;
use super::signing::Signer;
use super::{KeyError, Kind, certificate};
use crate::secret::SecretKey;
use crate::{Entropy, SigningAlgorithm};

/// Makes a key. An RSA key takes its time: 0.1 s, and ten times that without optimisation.
pub(super) fn make(kind: Kind, entropy: &dyn Entropy, now: Timestamp) -> Result<Key, KeyError> {
    let material = match kind {
        Kind::Signing(algorithm) => pair(algorithm).map_err(|Unspecified| KeyError::NotMade)?,
        Kind::Root => pair(SigningAlgorithm::Es256).map_err(|Unspecified| KeyError::NotMade)?,
        Kind::Sealing | Kind::Fixed => {
            let mut fresh = SecretKey::default();
            entropy.fill(&mut fresh);
            fresh.to_vec()
        }
    };
    let material = KeyMaterial(material);
    let id = id(kind, &material).ok_or(KeyError::NotMade)?;
    Ok(Key::standby(id, material, now))
}

/// What a key is called; `None` if it is no key of this kind.
pub(super) fn id(kind: Kind, material: &KeyMaterial) -> Option<String> {
    match kind {
        Kind::Signing(algorithm) => {
            let signer = Signer::parse(algorithm, material).ok()?;
            Some(signer.kid().to_owned())
        }
        Kind::Root => certificate::id(material),
        Kind::Sealing | Kind::Fixed => secret(material).map(|key| name(&key)),
    }
}

/// The bytes of a symmetric key. HMAC would take a key of any length, and a short or empty one could
/// be guessed.
pub(crate) fn secret(material: &KeyMaterial) -> Option<SecretKey> {
    material.0.as_slice().try_into().ok()
}

/// A digest of 256 random bits tells nothing of them.
fn name(key: &SecretKey) -> String {
    let named = [b"countersign name of a key".as_slice(), key].concat();
    let digest = digest(&SHA256, &named);
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_ref()[..8]);
    format!("{:016x}", u64::from_be_bytes(first))
}

fn pair(algorithm: SigningAlgorithm) -> Result<Vec<u8>, Unspecified> {
    let der = match algorithm {
        SigningAlgorithm::Rs256 => RsaKeyPair::generate(KeySize::Rsa2048)?
            .as_der()?
            .as_ref()
            .to_vec(),
        SigningAlgorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?
            .to_pkcs8v1()?
            .as_ref()
            .to_vec(),
        SigningAlgorithm::EdDsa => Ed25519KeyPair::generate()?.to_pkcs8v1()?.as_ref().to_vec(),
    };
    Ok(der)
}
