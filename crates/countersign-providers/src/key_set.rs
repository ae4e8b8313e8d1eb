//! A provider's public keys (RFC 7517), kept with the member that Microsoft adds: each key's `issuer`.

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use crate::ProviderError;
use crate::cache::Cached;
use crate::id_token::TokenFault;

/// A provider's signing keys, parsed once.
#[derive(Debug)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
}

/// One signing key.
pub(crate) struct Key {
    kid: Option<String>,
    family: Family,
    /// The one algorithm the key may be used with, where it says so.
    algorithm: Option<String>,
    /// Microsoft: the issuer whose tokens this key may sign, maybe with `{tenantid}` in it.
    pub(crate) issuer: Option<String>,
    /// Microsoft: the cloud that this key belongs to.
    pub(crate) cloud_instance_name: Option<String>,
    pub(crate) decoding: DecodingKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Family {
    fn of(algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512 => Some(Self::Rsa),
            Algorithm::ES256 => Some(Self::P256),
            Algorithm::ES384 => Some(Self::P384),
            Algorithm::EdDSA => Some(Self::Ed25519),
            // Symmetric keys are never published, and a token signed by one proves nothing to us.
            _ => None,
        }
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
    let (family, decoding) = match (raw.kty.as_str(), raw.crv.as_deref()) {
        ("RSA", _) => (
            Family::Rsa,
            DecodingKey::from_rsa_components(&raw.n?, &raw.e?),
        ),
        ("EC", Some("P-256")) => (
            Family::P256,
            DecodingKey::from_ec_components(&raw.x?, &raw.y?),
        ),
        ("EC", Some("P-384")) => (
            Family::P384,
            DecodingKey::from_ec_components(&raw.x?, &raw.y?),
        ),
        ("OKP", Some("Ed25519")) => (Family::Ed25519, DecodingKey::from_ed_components(&raw.x?)),
        _ => return None,
    };
    let decoding = decoding.ok()?;
    Some(Key {
        kid: raw.kid,
        family,
        algorithm: raw.alg,
        issuer: raw.issuer,
        cloud_instance_name: raw.cloud_instance_name,
        decoding,
    })
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
    /// The one key for this `kid` and algorithm among those that `may_sign` admits.
    ///
    /// A token without `kid` is served where only one key comes into question (OpenID Connect Core 10.1).
    pub(crate) fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        may_sign: &dyn Fn(&Key) -> bool,
    ) -> Result<&Key, NoKey> {
        let wanted = Family::of(algorithm).ok_or(NoKey::Unknown)?;
        let name = format!("{algorithm:?}");
        let mut fitting = self.keys.iter().filter(|key| {
            key.family == wanted
                && key.algorithm.as_ref().is_none_or(|only| *only == name)
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
