//! The issuer's public keys, parsed once.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaParameters,
    RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;
use crate::json::object;

/// The issuer's key set (RFC 7517), with the keys that may sign an access token.
///
/// Holds RSA keys from 2048 bits (`RS256`), P-256 keys (`ES256`) and Ed25519 keys (`EdDSA`), each with
/// a `kid`. Other keys are left out, as RFC 7517, section 5 says.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// The algorithms that an access token may be signed with. No HMAC: the secret of one service
/// would mint tokens for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Es256,
    Rs256,
    EdDsa,
}

impl KeySet {
    /// Reads a JWK set, `{"keys": […]}`.
    pub fn from_jwks(json: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Jwks {
            keys: Vec<Value>,
        }
        let jwks: Jwks = object(json).map_err(|_| Error::BadKeySet("it is not a JWK set"))?;
        // RFC 7517, section 5: a key that is not understood is ignored, not fatal.
        // https://www.rfc-editor.org/rfc/rfc7517#section-5
        Ok(Self {
            keys: jwks.keys.into_iter().filter_map(Key::from_jwk).collect(),
        })
    }

    /// Whether no key of the set can verify a token.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(crate) fn find(&self, kid: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.kid == kid)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Key {
    kid: String,
    algorithm: Algorithm,
    public: ParsedPublicKey,
}

impl Key {
    /// Checks a signature. The key says the algorithm; the token's word must only agree.
    ///
    /// RFC 8725, section 3.1: <https://www.rfc-editor.org/rfc/rfc8725#section-3.1>
    pub(crate) fn verify(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        if algorithm != self.algorithm {
            return Err(Error::WrongAlgorithm);
        }
        self.public
            .verify_sig(message, signature)
            .map_err(|_| Error::BadSignature)
    }

    fn from_jwk(jwk: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(jwk).ok()?;
        let algorithm = jwk.algorithm().filter(|_| jwk.may_verify())?;
        if jwk
            .alg
            .as_deref()
            .is_some_and(|alg| alg != algorithm.name())
        {
            return None;
        }
        let public = jwk.public_key(algorithm)?;
        Some(Self {
            kid: jwk.kid?,
            algorithm,
            public,
        })
    }
}

impl Algorithm {
    const ALL: [Self; 3] = [Self::Es256, Self::Rs256, Self::EdDsa];

    /// The algorithm of a token's `alg`, if it is on the list.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// One member of the set as it stands in the JSON.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Jwk {
    fn algorithm(&self) -> Option<Algorithm> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Some(Algorithm::Rs256),
            ("EC", Some("P-256")) => Some(Algorithm::Es256),
            ("OKP", Some("Ed25519")) => Some(Algorithm::EdDsa),
            _ => None,
        }
    }

    /// RFC 7517, sections 4.2 and 4.3: a key for encryption is not one for signatures.
    fn may_verify(&self) -> bool {
        self.r#use.as_deref().is_none_or(|purpose| purpose == "sig")
            && self
                .key_ops
                .as_ref()
                .is_none_or(|ops| ops.iter().any(|op| op == "verify"))
    }

    fn public_key(&self, algorithm: Algorithm) -> Option<ParsedPublicKey> {
        match algorithm {
            Algorithm::Rs256 => rsa(
                &octets(self.n.as_ref())?,
                &octets(self.e.as_ref())?,
                &RSA_PKCS1_2048_8192_SHA256,
            ),
            Algorithm::Es256 => p256(&octets(self.x.as_ref())?, &octets(self.y.as_ref())?),
            Algorithm::EdDsa => ParsedPublicKey::new(&ED25519, octets(self.x.as_ref())?).ok(),
        }
    }
}

fn octets(member: Option<&String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(member?).ok()
}

/// RFC 7518, section 3.3: RS256 keys have 2048 bits or more. The C library checks that only when
/// it verifies; a set should not hold a key that never can.
pub(crate) fn rsa(n: &[u8], e: &[u8], padding: &'static RsaParameters) -> Option<ParsedPublicKey> {
    const MIN_MODULUS_BYTES: usize = 2048 / 8;
    if n.len() < MIN_MODULUS_BYTES {
        return None;
    }
    RsaPublicKeyComponents { n, e }
        .to_parsed_public_key(padding)
        .ok()
}

/// RFC 7518, section 6.2.1: both coordinates in full length. The point is checked to be on the curve.
pub(crate) fn p256(x: &[u8], y: &[u8]) -> Option<ParsedPublicKey> {
    const COORDINATE_BYTES: usize = 32;
    const UNCOMPRESSED: [u8; 1] = [0x04];
    if x.len() != COORDINATE_BYTES || y.len() != COORDINATE_BYTES {
        return None;
    }
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [&UNCOMPRESSED, x, y].concat()).ok()
}
