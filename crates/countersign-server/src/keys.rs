//! The signing keys: made at first start, parsed once, published as a key set.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_store::{KeyMaterial, Store, StoredKey};
use countersign_verifier::KeySet;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{BuildError, Settings, SigningAlgorithm};

/// The signing keys of this installation.
#[derive(Debug)]
pub(crate) struct Keys {
    signers: Vec<Signer>,
    /// The key set as it is served, serialised once.
    published: Vec<u8>,
    /// The key set as our own endpoints verify with it.
    verifying: KeySet,
    random: SystemRandom,
}

/// One private key, parsed.
#[derive(Debug)]
struct Signer {
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

/// Why a token was not signed. Cannot happen with keys that were loaded; still never a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotSigned;

impl Keys {
    /// The keys that the settings need: RS256 and ES256 always, EdDSA where it is used.
    #[expect(
        clippy::disallowed_methods,
        reason = "aws-lc draws the nonces of ECDSA and RSA blinding from its own generator, handed over as a value"
    )]
    pub(crate) async fn load_or_make(
        settings: &Settings,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<Self, BuildError> {
        let stored = store.list_keys().await?;
        let mut signers = Vec::new();
        for algorithm in needed(settings) {
            let name = key_name(algorithm);
            let kept = match stored.iter().find(|key| key.name == name) {
                Some(kept) => kept.material.clone(),
                None => {
                    store
                        .put_key_if_absent(make(algorithm, now)?)
                        .await?
                        .material
                }
            };
            signers.push(Signer::parse(algorithm, &kept)?);
        }
        let jwks: Vec<Value> = signers.iter().map(Signer::jwk).collect();
        let published = json!({ "keys": jwks }).to_string().into_bytes();
        let verifying =
            KeySet::from_jwks(&published).map_err(|_| BuildError::Key("the published key set"))?;
        Ok(Self {
            signers,
            published,
            verifying,
            random: SystemRandom::new(),
        })
    }

    /// The published key set (RFC 7517), as JSON.
    pub(crate) fn published(&self) -> &[u8] {
        &self.published
    }

    /// The published key set, to verify our own tokens with.
    pub(crate) fn verifying(&self) -> &KeySet {
        &self.verifying
    }

    /// The algorithms that there are keys for.
    pub(crate) fn algorithms(&self) -> impl Iterator<Item = SigningAlgorithm> {
        self.signers.iter().map(|signer| signer.algorithm)
    }

    /// Signs claims as a compact JWS (RFC 7515 7.1) of this `typ`.
    pub(crate) fn sign(
        &self,
        algorithm: SigningAlgorithm,
        typ: &str,
        claims: &impl Serialize,
    ) -> Result<String, NotSigned> {
        let signer = self
            .signers
            .iter()
            .find(|one| one.algorithm == algorithm)
            .ok_or(NotSigned)?;
        let header = json!({ "alg": algorithm.as_str(), "kid": signer.kid, "typ": typ });
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

impl Signer {
    fn parse(algorithm: SigningAlgorithm, material: &KeyMaterial) -> Result<Self, BuildError> {
        let der = material.0.as_slice();
        let pair = match algorithm {
            SigningAlgorithm::Rs256 => RsaKeyPair::from_pkcs8(der).map(Pair::Rsa),
            SigningAlgorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map(Pair::P256)
            }
            SigningAlgorithm::EdDsa => Ed25519KeyPair::from_pkcs8(der).map(Pair::Ed25519),
        };
        let pair = pair.map_err(|_| BuildError::Key(key_name(algorithm)))?;
        let kid = thumbprint(&public_members(&pair));
        Ok(Self {
            algorithm,
            kid,
            pair,
        })
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
    let always = [SigningAlgorithm::Rs256, SigningAlgorithm::Es256];
    let mut all: Vec<_> = of_clients.chain(of_resources).chain(always).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn key_name(algorithm: SigningAlgorithm) -> &'static str {
    match algorithm {
        SigningAlgorithm::Rs256 => "sign-rs256",
        SigningAlgorithm::Es256 => "sign-es256",
        SigningAlgorithm::EdDsa => "sign-eddsa",
    }
}

fn make(algorithm: SigningAlgorithm, now: Timestamp) -> Result<StoredKey, BuildError> {
    let name = key_name(algorithm);
    let fault = |_| BuildError::Key(name);
    let der = match algorithm {
        SigningAlgorithm::Rs256 => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(fault)?;
            pair.as_der().map_err(fault)?.as_ref().to_vec()
        }
        SigningAlgorithm::Es256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(fault)?;
            pair.to_pkcs8v1().map_err(fault)?.as_ref().to_vec()
        }
        SigningAlgorithm::EdDsa => {
            let pair = Ed25519KeyPair::generate().map_err(fault)?;
            pair.to_pkcs8v1().map_err(fault)?.as_ref().to_vec()
        }
    };
    Ok(StoredKey {
        name: name.to_owned(),
        created_at: now,
        material: KeyMaterial(der),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(algorithm: SigningAlgorithm) -> Signer {
        let stored = make(algorithm, Timestamp::UNIX_EPOCH).unwrap();
        Signer::parse(algorithm, &stored.material).unwrap()
    }

    #[test]
    fn a_published_key_has_no_private_member() {
        for algorithm in [
            SigningAlgorithm::Rs256,
            SigningAlgorithm::Es256,
            SigningAlgorithm::EdDsa,
        ] {
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
