//! A provider's public keys (RFC 7517), kept with the member that Microsoft adds: each key's `issuer`.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::ProviderError;
use crate::cache::Cached;
use crate::id_token::TokenFault;
use crate::oidc::SigningAlgorithm;

/// A provider's signing keys, parsed once.
#[derive(Debug)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
}

/// One signing key.
pub(crate) struct Key {
    kid: Option<String>,
    /// The one algorithm the key may be used with, where it says so.
    algorithm: Option<String>,
    /// Microsoft: the issuer whose tokens this key may sign, maybe with `{tenantid}` in it.
    pub(crate) issuer: Option<String>,
    /// Microsoft: the cloud that this key belongs to.
    pub(crate) cloud_instance_name: Option<String>,
    /// Parsed once for each algorithm that it can serve: a parsed key keeps what verifying needs of
    /// its modulus, which would take a tenth of a verification to find again.
    parsed: Vec<(SigningAlgorithm, ParsedPublicKey)>,
}

impl Key {
    /// Whether this is the key's signature of a message. The algorithm is never the token's choice.
    pub(crate) fn verifies(
        &self,
        algorithm: SigningAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        self.parsed_for(algorithm)
            .is_some_and(|key| key.verify_sig(message, signature).is_ok())
    }

    fn parsed_for(&self, algorithm: SigningAlgorithm) -> Option<&ParsedPublicKey> {
        let found = self.parsed.iter().find(|(one, _)| *one == algorithm);
        found.map(|(_, key)| key)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// The most keys that are kept of one provider (Microsoft: cache 10 to 1,000).
const MOST_KEYS: usize = 1_000;

#[derive(Deserialize)]
struct RawKeySet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct RawKey {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    issuer: Option<String>,
    cloud_instance_name: Option<String>,
}

impl<'de> Deserialize<'de> for KeySet {
    /// Keys that we can't use (another kind, for encryption, malformed) are passed over.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawKeySet::deserialize(deserializer)?;
        let keys = raw
            .keys
            .into_iter()
            .take(MOST_KEYS)
            .filter_map(key)
            .collect();
        Ok(Self { keys })
    }
}

fn key(value: Value) -> Option<Key> {
    let raw: RawKey = serde_json::from_value(value).ok()?;
    if raw.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return None;
    }
    let parsed = match (raw.kty.as_str(), raw.crv.as_deref()) {
        ("RSA", _) => rsa(&octets(raw.n.as_ref())?, &octets(raw.e.as_ref())?),
        ("EC", Some("P-256")) => p256(&octets(raw.x.as_ref())?, &octets(raw.y.as_ref())?),
        ("OKP", Some("Ed25519")) => ed25519(&octets(raw.x.as_ref())?),
        // Symmetric keys are never published, and a token signed by one proves nothing to us.
        _ => return None,
    };
    Some(Key {
        kid: raw.kid,
        algorithm: raw.alg,
        issuer: raw.issuer,
        cloud_instance_name: raw.cloud_instance_name,
        parsed: parsed?,
    })
}

type Parsed = Option<Vec<(SigningAlgorithm, ParsedPublicKey)>>;

fn octets(member: Option<&String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(member?).ok()
}

/// RFC 7518 3.3, 3.5: one key may serve both paddings, where it does not say which.
fn rsa(n: &[u8], e: &[u8]) -> Parsed {
    let parse = |padding| RsaPublicKeyComponents { n, e }.to_parsed_public_key(padding);
    Some(vec![
        (
            SigningAlgorithm::Rs256,
            parse(&RSA_PKCS1_2048_8192_SHA256).ok()?,
        ),
        (
            SigningAlgorithm::Ps256,
            parse(&RSA_PSS_2048_8192_SHA256).ok()?,
        ),
    ])
}

/// RFC 7518 6.2.1. The point is checked to be on the curve.
fn p256(x: &[u8], y: &[u8]) -> Parsed {
    const UNCOMPRESSED: [u8; 1] = [0x04];
    let point = [&UNCOMPRESSED, x, y].concat();
    let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()?;
    Some(vec![(SigningAlgorithm::Es256, key)])
}

fn ed25519(x: &[u8]) -> Parsed {
    let key = ParsedPublicKey::new(&ED25519, x).ok()?;
    Some(vec![(SigningAlgorithm::EdDsa, key)])
}

impl Cached<KeySet> {
    /// Verifies with the provider's keys. A key that we have not seen may be a new one: the keys are
    /// then fetched anew, as often as [`Cached`] allows, and the token is verified once more.
    pub(crate) async fn verify<T>(
        &self,
        now: Timestamp,
        fetch: impl AsyncFn() -> Result<KeySet, ProviderError>,
        check: impl Fn(&KeySet) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        match check(&*self.current(now, &fetch).await?) {
            Err(ProviderError::IdToken(TokenFault::UnknownKey)) => {
                let keys = self.renewed(now, &fetch).await?;
                check(&*keys.ok_or(TokenFault::UnknownKey)?)
            }
            verified => verified,
        }
    }
}

/// No key for a token, or more than one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoKey {
    Unknown,
    Ambiguous,
}

impl KeySet {
    /// Whether no key of it can verify anything.
    /// How many of its keys can have made a signature of this algorithm.
    pub(crate) fn count(&self, algorithm: SigningAlgorithm) -> usize {
        let fits = |key: &&Key| {
            let is_for = key.algorithm.as_deref();
            is_for.is_none_or(|one| one == algorithm.as_str())
                && key.parsed_for(algorithm).is_some()
        };
        self.keys.iter().filter(fits).count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The one key for this `kid` and algorithm among those that `may_sign` admits.
    ///
    /// A token without `kid` is served where only one key comes into question (OpenID Connect Core 10.1).
    pub(crate) fn find(
        &self,
        kid: Option<&str>,
        algorithm: SigningAlgorithm,
        may_sign: &dyn Fn(&Key) -> bool,
    ) -> Result<&Key, NoKey> {
        let mut fitting = self.keys.iter().filter(|key| {
            key.parsed_for(algorithm).is_some()
                && key
                    .algorithm
                    .as_ref()
                    .is_none_or(|only| *only == algorithm.as_str())
                && (kid.is_none() || key.kid.as_deref() == kid)
                && may_sign(key)
        });
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (None, _) => Err(NoKey::Unknown),
            (Some(_), Some(_)) => Err(NoKey::Ambiguous),
        }
    }
}
