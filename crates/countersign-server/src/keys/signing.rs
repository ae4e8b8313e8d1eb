//! The signing keys: parsed once, used by what the time says, published as a key set.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign_store::KeyMaterial;
use countersign_verifier::KeySet;
use jiff::Timestamp;
use rcgen::PublicKeyData;
use serde::Serialize;
use serde_json::{Value, json};

use super::certificate::{self, Root};
use super::vault::Kept;
use super::{KeyError, Kind};
use crate::{Settings, SigningAlgorithm};

/// Every algorithm that there can be a key for.
pub(super) const ALL: [SigningAlgorithm; 3] = [
    SigningAlgorithm::Rs256,
    SigningAlgorithm::Es256,
    SigningAlgorithm::EdDsa,
];

/// The signing keys of this installation, as of the last time that they were read.
#[derive(Debug)]
pub(crate) struct Keys {
    needed: Vec<SigningAlgorithm>,
    read: ArcSwap<Read>,
    random: SystemRandom,
}

/// The keys as they were read.
#[derive(Debug)]
struct Read {
    /// All that sign, have signed or will sign.
    signers: Vec<Arc<Signer>>,
    /// Those that sign.
    current: BTreeMap<SigningAlgorithm, Arc<Signer>>,
    /// The certificates of those, DER in base64, where there is a root that signs them.
    certificates: BTreeMap<SigningAlgorithm, String>,
    /// The key set as it is served, serialised once.
    published: Vec<u8>,
    /// The key set as our own endpoints verify with it.
    verifying: Arc<KeySet>,
}

/// One private key, parsed.
#[derive(Debug)]
pub(super) struct Signer {
    algorithm: SigningAlgorithm,
    kid: String,
    pair: Pair,
}

#[derive(Debug)]
enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// By what of a token's header whoever verifies it finds the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyHeader {
    /// The key's thumbprint (RFC 7638), which is its name in our key set.
    Kid,
    /// A certificate that our root has signed (RFC 7515 4.1.6).
    X5c,
    /// Its name as libtrust has it.
    Libtrust,
}

/// Why a token was not signed. Cannot happen with keys that were loaded; still never a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotSigned;

impl Keys {
    /// What these rings say at this time, of the keys that the settings need.
    pub(crate) fn new(
        settings: &Settings,
        rings: &[Kept],
        now: Timestamp,
    ) -> Result<Self, KeyError> {
        Self::of(needed(settings), rings, now)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "aws-lc draws the nonces of ECDSA and RSA blinding from its own generator, handed over as a value"
    )]
    pub(super) fn of(
        needed: Vec<SigningAlgorithm>,
        rings: &[Kept],
        now: Timestamp,
    ) -> Result<Self, KeyError> {
        let read = Read::of(rings, &needed, &[], now)?;
        Ok(Self {
            needed,
            read: ArcSwap::from_pointee(read),
            random: SystemRandom::new(),
        })
    }

    /// The names of the keys that the settings need: RS256 and ES256 always, EdDSA where it is used.
    pub(crate) fn names(settings: &Settings) -> impl Iterator<Item = &'static str> {
        needed(settings).into_iter().map(name)
    }

    /// Goes on with what these rings say at this time.
    pub(crate) fn replace(&self, rings: &[Kept], now: Timestamp) -> Result<(), KeyError> {
        let known = self.read.load_full();
        let read = Read::of(rings, &self.needed, &known.signers, now)?;
        self.read.store(Arc::new(read));
        Ok(())
    }

    /// The published key set (RFC 7517), as JSON.
    pub(crate) fn published(&self) -> Vec<u8> {
        self.read.load().published.clone()
    }

    /// The published key set, to verify our own tokens with.
    pub(crate) fn verifying(&self) -> Arc<KeySet> {
        Arc::clone(&self.read.load().verifying)
    }

    /// The algorithms that the settings need keys for.
    pub(crate) fn algorithms(&self) -> impl Iterator<Item = SigningAlgorithm> {
        self.needed.iter().copied()
    }

    /// Signs claims as a compact JWS (RFC 7515 7.1) of this `typ`.
    pub(crate) fn sign(
        &self,
        algorithm: SigningAlgorithm,
        typ: &str,
        claims: &impl Serialize,
    ) -> Result<String, NotSigned> {
        self.sign_as(KeyHeader::Kid, algorithm, typ, claims)
    }

    /// The same for whoever finds the key by this member of the header.
    pub(crate) fn sign_as(
        &self,
        key_header: KeyHeader,
        algorithm: SigningAlgorithm,
        typ: &str,
        claims: &impl Serialize,
    ) -> Result<String, NotSigned> {
        let read = self.read.load();
        let signer = read.current.get(&algorithm).ok_or(NotSigned)?;
        let mut header = json!({ "alg": algorithm.as_str(), "typ": typ });
        match key_header {
            KeyHeader::Kid => header["kid"] = signer.kid.as_str().into(),
            KeyHeader::Libtrust => header["kid"] = certificate::libtrust_id(&**signer).into(),
            KeyHeader::X5c => {
                let certificate = read.certificates.get(&algorithm).ok_or(NotSigned)?;
                header["x5c"] = json!([certificate]);
            }
        }
        let payload = serde_json::to_vec(claims).map_err(|_| NotSigned)?;
        let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature = signer.sign(token.as_bytes(), &self.random)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

impl Read {
    /// Keys that are `known` from before are not parsed again.
    fn of(
        rings: &[Kept],
        needed: &[SigningAlgorithm],
        known: &[Arc<Signer>],
        now: Timestamp,
    ) -> Result<Self, KeyError> {
        let mut signers = Vec::new();
        let mut current = BTreeMap::new();
        for (kept, algorithm) in rings.iter().filter_map(signing) {
            for key in kept.ring.live(now) {
                let signer = match known.iter().find(|signer| signer.kid == key.id) {
                    Some(signer) => Arc::clone(signer),
                    None => Arc::new(Signer::parse(algorithm, &key.material)?),
                };
                signers.push(signer);
            }
            let signs = kept.ring.current(now);
            let signer = signs.and_then(|key| signers.iter().find(|signer| signer.kid == key.id));
            current.extend(signer.map(|signer| (algorithm, Arc::clone(signer))));
        }
        if let Some(missing) = needed.iter().find(|one| !current.contains_key(one)) {
            return Err(KeyError::Unusable(name(*missing).to_owned()));
        }
        let published = key_set(signers.iter().map(AsRef::as_ref));
        let mut certificates = BTreeMap::new();
        if let Some(root) = Root::among(rings, now)? {
            for (algorithm, signer) in &current {
                let certificate = STANDARD.encode(root.certify(signer, now)?);
                certificates.insert(*algorithm, certificate);
            }
        }
        let verifying = KeySet::from_jwks(&published)
            .map_err(|_| KeyError::Unusable("the published key set".to_owned()))?;
        Ok(Self {
            signers,
            current,
            certificates,
            published,
            verifying: Arc::new(verifying),
        })
    }
}

/// The keys of a ring that are needed, those to come among them.
pub(super) fn live(
    kept: &Kept,
    algorithm: SigningAlgorithm,
    now: Timestamp,
) -> Result<Vec<Signer>, KeyError> {
    let keys = kept.ring.live(now);
    keys.map(|key| Signer::parse(algorithm, &key.material))
        .collect()
}

/// A key set (RFC 7517 5), as JSON.
pub(super) fn key_set<'a>(signers: impl Iterator<Item = &'a Signer>) -> Vec<u8> {
    let jwks: Vec<Value> = signers.map(Signer::jwk).collect();
    json!({ "keys": jwks }).to_string().into_bytes()
}

/// A ring of signing keys, and what they compute with.
fn signing(kept: &Kept) -> Option<(&Kept, SigningAlgorithm)> {
    match Kind::of(&kept.name) {
        Kind::Signing(algorithm) => Some((kept, algorithm)),
        Kind::Sealing | Kind::Root | Kind::Fixed => None,
    }
}

impl Signer {
    pub(super) fn parse(
        algorithm: SigningAlgorithm,
        material: &KeyMaterial,
    ) -> Result<Self, KeyError> {
        let der = material.0.as_slice();
        let pair = match algorithm {
            SigningAlgorithm::Rs256 => RsaKeyPair::from_pkcs8(der).map(Pair::Rsa),
            SigningAlgorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map(Pair::P256)
            }
            SigningAlgorithm::EdDsa => Ed25519KeyPair::from_pkcs8(der).map(Pair::Ed25519),
        };
        let pair = pair.map_err(|_| KeyError::Unusable(name(algorithm).to_owned()))?;
        let kid = thumbprint(&public_members(&pair));
        Ok(Self {
            algorithm,
            kid,
            pair,
        })
    }

    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    fn sign(&self, message: &[u8], random: &SystemRandom) -> Result<Vec<u8>, NotSigned> {
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, random, message, &mut signature)
                    .map_err(|_| NotSigned)?;
                Ok(signature)
            }
            Pair::P256(pair) => pair
                .sign(random, message)
                .map(|one| one.as_ref().to_vec())
                .map_err(|_| NotSigned),
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }

    fn jwk(&self) -> Value {
        let mut jwk = public_members(&self.pair);
        for (name, value) in [
            ("kid", self.kid.as_str()),
            ("use", "sig"),
            ("alg", self.algorithm.as_str()),
        ] {
            jwk[name] = Value::from(value);
        }
        jwk
    }
}

/// What certificates over it are made from.
impl PublicKeyData for Signer {
    fn der_bytes(&self) -> &[u8] {
        match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_ref(),
            Pair::P256(pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        }
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        match self.algorithm {
            SigningAlgorithm::Rs256 => &rcgen::PKCS_RSA_SHA256,
            SigningAlgorithm::Es256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            SigningAlgorithm::EdDsa => &rcgen::PKCS_ED25519,
        }
    }
}

/// The members that make a public key what it is (RFC 7638 3.2), in lexical order, and no others.
fn public_members(pair: &Pair) -> Value {
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    match pair {
        Pair::Rsa(pair) => {
            let public = pair.public_key();
            json!({
                "e": text(public.exponent().big_endian_without_leading_zero()),
                "kty": "RSA",
                "n": text(public.modulus().big_endian_without_leading_zero()),
            })
        }
        Pair::P256(pair) => {
            // SEC 1 2.3.3: 0x04, then the two coordinates of 32 bytes each.
            let point = pair.public_key().as_ref();
            let (x, y) = point
                .get(1..)
                .unwrap_or_default()
                .split_at(32.min(point.len() - 1));
            json!({ "crv": "P-256", "kty": "EC", "x": text(x), "y": text(y) })
        }
        Pair::Ed25519(pair) => {
            json!({ "crv": "Ed25519", "kty": "OKP", "x": text(pair.public_key().as_ref()) })
        }
    }
}

/// RFC 7638 3: SHA-256 of the required members in lexical order, without white space.
fn thumbprint(members: &Value) -> String {
    let digest =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, members.to_string().as_bytes());
    URL_SAFE_NO_PAD.encode(digest)
}

fn needed(settings: &Settings) -> Vec<SigningAlgorithm> {
    let of_clients = settings
        .clients
        .values()
        .map(|client| client.id_token_algorithm);
    let of_resources = settings
        .resources
        .values()
        .map(|resource| resource.algorithm);
    let registries = settings.registries.values();
    let of_registries = registries.filter_map(|one| Some(one.docker.as_ref()?.algorithm));
    let always = [SigningAlgorithm::Rs256, SigningAlgorithm::Es256];
    let all = of_clients.chain(of_resources).chain(of_registries);
    let mut all: Vec<_> = all.chain(always).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The name in the store.
pub(super) fn name(algorithm: SigningAlgorithm) -> &'static str {
    match algorithm {
        SigningAlgorithm::Rs256 => "sign-rs256",
        SigningAlgorithm::Es256 => "sign-es256",
        SigningAlgorithm::EdDsa => "sign-eddsa",
    }
}

#[cfg(test)]
mod tests {
    use super::super::material;
    use super::*;
    use crate::SystemEntropy;

    fn signer(algorithm: SigningAlgorithm) -> Signer {
        let kind = Kind::Signing(algorithm);
        let key = material::make(kind, &SystemEntropy, Timestamp::UNIX_EPOCH).unwrap();
        Signer::parse(algorithm, &key.material).unwrap()
    }

    #[test]
    fn a_published_key_has_no_private_member() {
        for algorithm in ALL {
            let jwk = signer(algorithm).jwk();
            for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
                assert!(
                    jwk.get(private).is_none(),
                    "`{private}` of {algorithm:?} is published"
                );
            }
            assert_eq!(jwk["alg"], algorithm.as_str());
            assert_eq!(jwk["use"], "sig");
        }
    }

    #[test]
    fn a_key_is_named_by_its_thumbprint() {
        // RFC 7638 3.1.
        let example = json!({
            "e": "AQAB",
            "kty": "RSA",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        });
        assert_eq!(
            thumbprint(&example),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }
}
