//! The keys that sign tokens, and how they look in a key set.
//!
//! Keys are made once per process, each at its first use, and never written anywhere:
//! two stand-ins of one kind in one process share them, as two hosts of one provider would.

use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::der;
use crate::entropy;

/// The key in a slot; made when first asked for.
pub(crate) fn key(slot: Slot) -> &'static SigningKey {
    static KEYS: [OnceLock<SigningKey>; Slot::COUNT] = [const { OnceLock::new() }; Slot::COUNT];
    KEYS[slot as usize].get_or_init(|| match slot {
        Slot::OidcEc => SigningKey::new_p256(),
        Slot::EntraCurrent
        | Slot::EntraNext
        | Slot::Msa
        | Slot::OidcRsa
        | Slot::OidcRsaNext
        | Slot::Foreign => SigningKey::new_rsa(),
    })
}

/// Which key. `Foreign` is in no key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    EntraCurrent,
    EntraNext,
    Msa,
    OidcRsa,
    OidcRsaNext,
    OidcEc,
    Foreign,
}

impl Slot {
    const COUNT: usize = Slot::Foreign as usize + 1;
}

/// A signature algorithm by its JOSE name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Ps256,
    Es256,
}

impl Algorithm {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Ps256 => "PS256",
            Algorithm::Es256 => "ES256",
        }
    }
}

/// A key pair with its public half written out.
pub(crate) struct SigningKey {
    pair: Pair,
    /// RFC 7517 members: `kty use kid x5t n e x5c` as Microsoft orders its own, or `kty use kid crv x y alg`.
    pub(crate) jwk: Value,
    pub(crate) kid: String,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    P256(Box<EcdsaKeyPair>),
}

impl SigningKey {
    fn new_rsa() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("aws-lc makes an RSA key");
        let certificate = der::certificate(pair.public_key().as_ref(), |body| {
            rsa_signature(&pair, &RSA_PKCS1_SHA256, body)
        });
        let jwk = certified_jwk(pair.public_key().as_ref(), &certificate);
        Self {
            kid: jwk["kid"].as_str().unwrap_or_default().to_owned(),
            pair: Pair::Rsa(Box::new(pair)),
            jwk,
        }
    }

    fn new_p256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .expect("aws-lc makes a P-256 key");
        let point = pair.public_key().as_ref();
        let kid = thumb(point);
        let jwk = json!({
            "kty": "EC", "use": "sig", "alg": "ES256", "kid": kid, "crv": "P-256",
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]),
        });
        Self {
            pair: Pair::P256(Box::new(pair)),
            jwk,
            kid,
        }
    }

    /// What this kind of key signs with unless told otherwise.
    pub(crate) fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Rsa(_) => Algorithm::Rs256,
            Pair::P256(_) => Algorithm::Es256,
        }
    }

    /// A signature; a P-256 key makes ES256 whatever is asked.
    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        match (&self.pair, algorithm) {
            (Pair::Rsa(pair), Algorithm::Ps256) => rsa_signature(pair, &RSA_PSS_SHA256, message),
            (Pair::Rsa(pair), Algorithm::Rs256 | Algorithm::Es256) => {
                rsa_signature(pair, &RSA_PKCS1_SHA256, message)
            }
            (Pair::P256(pair), Algorithm::Rs256 | Algorithm::Ps256 | Algorithm::Es256) => pair
                .sign(&entropy::dice(), message)
                .expect("aws-lc signs with ES256")
                .as_ref()
                .to_vec(),
        }
    }

    /// The public half as PEM, byte for byte what `openssl pkey -pubout` prints.
    pub(crate) fn public_pem(&self) -> String {
        let der: Result<PublicKeyX509Der, Unspecified> = match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_der(),
            Pair::P256(pair) => pair.public_key().as_der(),
        };
        let der = der.expect("aws-lc writes a key it made");
        pem("PUBLIC KEY", der.as_ref())
    }

    /// The public half as a relying party has it in memory: the modulus, or the point.
    pub(crate) fn public_bytes(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => der::rsa_numbers(pair.public_key().as_ref())
                .map(|(modulus, _)| modulus)
                .unwrap_or_default(),
            Pair::P256(pair) => pair.public_key().as_ref().to_vec(),
        }
    }
}

/// A key in the set that nobody has signed with yet: a random modulus, certified by `certifier`.
pub(crate) fn idle_jwk(certifier: &SigningKey) -> Value {
    let mut modulus = entropy::bytes::<256>();
    modulus[0] |= 0x80;
    modulus[255] |= 1;
    let public_key = der::rsa_public_key(&modulus, &[1, 0, 1]);
    let certificate = der::certificate(&public_key, |body| certifier.sign(Algorithm::Rs256, body));
    certified_jwk(&public_key, &certificate)
}

/// `kid` is the certificate's thumbprint and there is no `alg`, as in Microsoft's own set.
fn certified_jwk(public_key: &[u8], certificate: &[u8]) -> Value {
    let (modulus, exponent) = der::rsa_numbers(public_key).expect("aws-lc writes RSAPublicKey");
    let kid = thumb(certificate);
    json!({
        "kty": "RSA", "use": "sig", "kid": kid, "x5t": kid,
        "n": URL_SAFE_NO_PAD.encode(modulus), "e": URL_SAFE_NO_PAD.encode(exponent),
        "x5c": [STANDARD.encode(certificate)],
    })
}

/// SHA-1 as base64url, as RFC 7515 4.1.7 has it for `x5t`.
fn thumb(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes))
}

fn rsa_signature(pair: &RsaKeyPair, padding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(padding, &entropy::dice(), message, &mut signature)
        .expect("aws-lc signs with a key it made");
    signature
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .map(|start| &text[start..text.len().min(start + 64)])
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
