//! Writes signed tokens, and writes them wrongly on request.
//!
//! Compact serialization, RFC 7515 7.1. There is no reader here.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::faults::{Edit, Signing, TokenFaults, edited_object};
use crate::keys::{Algorithm, SigningKey, Slot, key};

/// A token of these claims, with the faults applied.
pub(crate) fn write(
    claims: Map<String, Value>,
    signer: &Signer<'_>,
    faults: &TokenFaults,
) -> String {
    let header = edited_object(header(signer, faults.signing), &faults.header);
    let payload = edited_object(claims.clone(), &faults.claims);
    let signing_input = format!("{}.{}", encode(&header), encode(&payload));
    let signature = signature(signer, faults.signing, signing_input.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(signature);
    if faults.signing == Signing::ChangedAfterSigning {
        let changed = [faults.claims.as_slice(), &[Edit::append("changed", true)]].concat();
        let payload = encode(&edited_object(claims, &changed));
        return format!("{}.{payload}.{signature}", encode(&header));
    }
    format!("{signing_input}.{signature}")
}

/// With what a token is signed when nothing is wrong, and what a wrong signature needs to know.
pub(crate) struct Signer<'a> {
    pub(crate) key: &'a SigningKey,
    pub(crate) client_secret: &'a str,
    pub(crate) base_url: &'a str,
}

/// The left half of a SHA-256, as `at_hash` and `c_hash` have it.
/// <https://openid.net/specs/openid-connect-core-1_0.html#HybridIDToken>
pub(crate) fn half_hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(&digest(&SHA256, text.as_bytes()).as_ref()[..16])
}

/// SHA-256 as base64url: what an S256 challenge is.
pub(crate) fn sha256(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

fn encode(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

fn header(signer: &Signer<'_>, signing: Signing) -> Map<String, Value> {
    let foreign = || &key(Slot::Foreign).jwk;
    let usual = signer.key.algorithm().name();
    let (algorithm, kid) = match signing {
        Signing::AlgNone => ("none", &signer.key.kid),
        Signing::Hs256PublicPem | Signing::Hs256PublicBytes | Signing::Hs256ClientSecret => {
            ("HS256", &signer.key.kid)
        }
        Signing::Ps256 => (Algorithm::Ps256.name(), &signer.key.kid),
        Signing::MsaKey => (usual, &key(Slot::Msa).kid),
        Signing::ForeignKey
        | Signing::ForeignKeyWithJwk
        | Signing::ForeignKeyWithX5c
        | Signing::ForeignKeyWithJku => (Algorithm::Rs256.name(), &signer.key.kid),
        Signing::Proper | Signing::Empty | Signing::Corrupted | Signing::ChangedAfterSigning => {
            (usual, &signer.key.kid)
        }
    };
    let mut header = Map::new();
    header.insert("typ".to_owned(), json!("JWT"));
    header.insert("alg".to_owned(), json!(algorithm));
    header.insert("kid".to_owned(), json!(kid));
    match signing {
        Signing::ForeignKeyWithJwk => header.insert("jwk".to_owned(), foreign().clone()),
        Signing::ForeignKeyWithX5c => header.insert("x5c".to_owned(), foreign()["x5c"].clone()),
        Signing::ForeignKeyWithJku => header.insert(
            "jku".to_owned(),
            json!(format!("{}/foreign/keys", signer.base_url)),
        ),
        Signing::Proper
        | Signing::AlgNone
        | Signing::Empty
        | Signing::Corrupted
        | Signing::Hs256PublicPem
        | Signing::Hs256PublicBytes
        | Signing::Hs256ClientSecret
        | Signing::ForeignKey
        | Signing::Ps256
        | Signing::MsaKey
        | Signing::ChangedAfterSigning => None,
    };
    header
}

fn signature(signer: &Signer<'_>, signing: Signing, message: &[u8]) -> Vec<u8> {
    let proper = || signer.key.sign(signer.key.algorithm(), message);
    match signing {
        Signing::Proper | Signing::ChangedAfterSigning => proper(),
        Signing::AlgNone | Signing::Empty => Vec::new(),
        Signing::Corrupted => {
            let mut bytes = proper();
            bytes[40] ^= 1;
            bytes
        }
        Signing::Hs256PublicPem => hs256(signer.key.public_pem().as_bytes(), message),
        Signing::Hs256PublicBytes => hs256(&signer.key.public_bytes(), message),
        Signing::Hs256ClientSecret => hs256(signer.client_secret.as_bytes(), message),
        Signing::ForeignKey
        | Signing::ForeignKeyWithJwk
        | Signing::ForeignKeyWithX5c
        | Signing::ForeignKeyWithJku => key(Slot::Foreign).sign(Algorithm::Rs256, message),
        Signing::Ps256 => signer.key.sign(Algorithm::Ps256, message),
        Signing::MsaKey => key(Slot::Msa).sign(Algorithm::Rs256, message),
    }
}

fn hs256(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::sign(&key, message).as_ref().to_vec()
}
