//! What clients of the tests sign with: assertions that say who they are, proofs that they hold a key.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A key pair of a client's.
#[derive(Debug)]
pub struct Signer {
    algorithm: &'static str,
    pair: Pair,
}

#[derive(Debug)]
enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl Signer {
    /// A fresh key for one of `ES256`, `EdDSA`, `RS256` and `PS256`.
    pub fn new(algorithm: &'static str) -> Self {
        let rsa = || {
            Pair::Rsa(Box::new(
                RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"),
            ))
        };
        let pair = match algorithm {
            "ES256" => {
                Pair::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))
            }
            "EdDSA" => Pair::Ed25519(Ed25519KeyPair::generate().expect("a key")),
            "RS256" | "PS256" => rsa(),
            other => panic!("no key for {other}"),
        };
        Self { algorithm, pair }
    }

    /// The same key, used by another algorithm.
    #[must_use]
    pub fn by(self, algorithm: &'static str) -> Self {
        Self { algorithm, ..self }
    }

    /// A JWS with this header, its `alg` the signer's unless the header says another.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let mut header = header.clone();
        if header.get("alg").is_none() {
            header["alg"] = self.algorithm.into();
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(claims));
        let signature = self.signature(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    #[expect(clippy::disallowed_methods, reason = "a client's own dice")]
    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::P256(pair) => pair
                .sign(&random, message)
                .expect("signed")
                .as_ref()
                .to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding: &dyn aws_lc_rs::signature::RsaEncoding = match self.algorithm {
                    "PS256" => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                pair.sign(padding, &random, message, &mut signature)
                    .expect("signed");
                signature
            }
        }
    }

    /// The public key: the members that make it what it is (RFC 7638 3.2), and no others.
    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.pair {
            Pair::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({"crv": "P-256", "kty": "EC", "x": text(&point[1..33]), "y": text(&point[33..])})
            }
            Pair::Ed25519(pair) => {
                json!({"crv": "Ed25519", "kty": "OKP", "x": text(pair.public_key().as_ref())})
            }
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                json!({
                    "e": text(public.exponent().big_endian_without_leading_zero()),
                    "kty": "RSA",
                    "n": text(public.modulus().big_endian_without_leading_zero()),
                })
            }
        }
    }

    /// Its thumbprint (RFC 7638).
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.jwk().to_string().as_bytes()))
    }

    /// A key set with this key, named by its thumbprint.
    pub fn key_set(&self) -> Value {
        let mut jwk = self.jwk();
        jwk["kid"] = self.thumbprint().into();
        json!({ "keys": [jwk] })
    }
}
