//! The one function that verifies an upstream ID token, for every kind of provider.
//!
//! OpenID Connect Core 3.1.3.7 in full, each check linked to its number there.
//! <https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation>
//! A token is parsed into [`Unverified`]; only [`Unverified::verify`] makes an [`IdToken`].

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::Claim;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::key_set::{Key, KeySet, NoKey};
use crate::oidc::SigningAlgorithm;
use crate::strict_json::StrictObject;

/// How far the provider's clock may be from ours. Microsoft's own libraries allow five minutes;
/// providers that keep time need seconds. One minute serves both without keeping dead tokens alive.
pub(crate) const LEEWAY: SignedDuration = SignedDuration::from_secs(60);
/// How long ago a token may have been issued: it answers a request that lives for an hour.
const OLDEST: SignedDuration = SignedDuration::from_hours(24);
/// The same of a token that was asked for just now. Entra dates its tokens five minutes back.
const OLDEST_AT_REFRESH: SignedDuration = SignedDuration::from_mins(10);
/// The longest token that is read, in bytes; Entra's are under 4 KiB.
const LONGEST: usize = 32 * 1024;
/// The longest `kid`; it is only ever compared.
const LONGEST_KID: usize = 256;

/// Why an ID token is refused. Names the check, never the token's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenFault {
    /// Not three base64url segments, not JSON, a member twice, or longer than any token.
    #[error("it is not a well-formed JWS")]
    Malformed,
    /// The header asks for something that we do not do (`crit`) or is of another kind of token.
    #[error("its header is not that of an ID token")]
    Header,
    /// `none`, a symmetric algorithm, or one that the provider is not configured for.
    #[error("its algorithm is not allowed")]
    Algorithm,
    /// No key of the provider's may have signed this.
    #[error("no key of the provider's fits it")]
    UnknownKey,
    /// Several keys fit, and the token does not say which.
    #[error("more than one key fits it")]
    AmbiguousKey,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// A claim is missing, of another type, or says something else than it must.
    #[error("its `{0}` is missing or not what it must be")]
    Claim(&'static str),
}

/// What a token must say to be accepted.
pub(crate) struct Expected<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) nonce: Nonce<'a>,
    /// The one algorithm that the provider is registered with.
    pub(crate) algorithm: SigningAlgorithm,
    pub(crate) may_sign: &'a dyn Fn(&Key) -> bool,
    pub(crate) binding: Binding<'a>,
    pub(crate) now: Timestamp,
}

/// What the token must say of a nonce.
#[derive(Clone, Copy)]
pub(crate) enum Nonce<'a> {
    /// The token of a login: the nonce of this browser's request.
    OfRequest(&'a str),
    /// One that came for a refresh token: none, or that of the login (Core 12.2).
    OfLogin(&'a str),
}

/// What the token must be bound to besides the nonce.
#[derive(Clone, Copy)]
pub(crate) enum Binding<'a> {
    /// From the front channel: `c_hash` must be there and be that of the code (Core 3.3.2.11).
    Code(&'a str),
    /// From the token endpoint: `at_hash`, if there, must be that of the access token (Core 3.1.3.8).
    AccessToken(&'a str),
}

/// A token that was read and not verified. Nothing in it may be believed.
pub(crate) struct Unverified<'a> {
    header: Header,
    claims: Map<String, Value>,
    /// Whether the header brings a key along, or says where to fetch one.
    names_a_key: bool,
    signed: &'a str,
    signature: &'a str,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    cty: Option<String>,
}

/// A verified ID token.
#[derive(Debug, Clone)]
pub(crate) struct IdToken {
    claims: Map<String, Value>,
    subject: String,
}

impl<'a> Unverified<'a> {
    /// Reads a compact JWS (RFC 7515 7.1).
    pub(crate) fn parse(token: &'a str) -> Result<Self, TokenFault> {
        if token.len() > LONGEST {
            return Err(TokenFault::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenFault::Malformed)?;
        // (1) An encrypted token has five segments, and is not asked for.
        let (header, payload) = signed.split_once('.').ok_or(TokenFault::Malformed)?;
        let header = segment::<StrictObject>(header)?.0;
        // RFC 7515 4.1.11: an extension that must be understood and is not.
        if header.contains_key("crit") {
            return Err(TokenFault::Header);
        }
        let names_a_key = ["jwk", "jku", "x5u", "x5c"]
            .iter()
            .any(|member| header.contains_key(*member));
        let header = Header::deserialize(Value::Object(header));
        Ok(Self {
            names_a_key,
            header: header.map_err(|_| TokenFault::Header)?,
            claims: segment::<StrictObject>(payload)?.0,
            signed,
            signature,
        })
    }

    /// An unverified claim, to find out by which rules to verify the token. Compare it again after.
    pub(crate) fn peek(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    /// The unverified names of all claims.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.claims.keys().map(String::as_str)
    }

    /// Verifies the token: signature, issuer, audience, times, nonce, and what binds it.
    pub(crate) fn verify(
        self,
        expected: &Expected<'_>,
        keys: &KeySet,
    ) -> Result<IdToken, TokenFault> {
        self.check_signature(expected, keys)?;
        let token = IdToken::new(self.claims)?;
        token.check_parties(expected)?;
        token.check_times(expected)?;
        token.check_nonce(expected.nonce)?;
        token.check_binding(expected)?;
        Ok(token)
    }

    /// (6), (7), (8): the signature, by an allowed asymmetric algorithm and a key of the provider's.
    fn check_signature(&self, expected: &Expected<'_>, keys: &KeySet) -> Result<(), TokenFault> {
        // RFC 8725 3.11: a token of another kind (`at+jwt`, `logout+jwt`, `dpop+jwt`) is no ID token.
        self.check_header(&["JWT", "JOSE"])?;
        self.check_signed(&[expected.algorithm], keys, expected.may_sign)
    }

    /// The claims of a JWT that its own party signed, by one of these algorithms and with one of these keys.
    pub(crate) fn signed_by(
        self,
        algorithms: &[SigningAlgorithm],
        keys: &KeySet,
        types: &[&str],
    ) -> Result<Map<String, Value>, TokenFault> {
        self.check_header(types)?;
        // RFC 8725 3.10: what the token itself says of keys is nobody's word.
        if self.names_a_key {
            return Err(TokenFault::Header);
        }
        self.check_signed(algorithms, keys, &|_| true)?;
        Ok(self.claims)
    }

    fn check_signed(
        &self,
        algorithms: &[SigningAlgorithm],
        keys: &KeySet,
        may_sign: &dyn Fn(&Key) -> bool,
    ) -> Result<(), TokenFault> {
        let named = |one: &&SigningAlgorithm| one.as_str() == self.header.alg;
        let algorithm = *algorithms.iter().find(named).ok_or(TokenFault::Algorithm)?;
        let key = keys
            .find(self.header.kid.as_deref(), algorithm, may_sign)
            .map_err(|none| match none {
                NoKey::Unknown => TokenFault::UnknownKey,
                NoKey::Ambiguous => TokenFault::AmbiguousKey,
            })?;
        let signature = URL_SAFE_NO_PAD.decode(self.signature);
        let signature = signature.map_err(|_| TokenFault::Signature)?;
        if key.verifies(algorithm, self.signed.as_bytes(), &signature) {
            Ok(())
        } else {
            Err(TokenFault::Signature)
        }
    }

    fn check_header(&self, types: &[&str]) -> Result<(), TokenFault> {
        let typ = self.header.typ.as_deref().unwrap_or("JWT");
        let is_of_type = types.iter().any(|one| typ.eq_ignore_ascii_case(one));
        // RFC 7519 5.2: with a content type of JWT the payload would be another token.
        let is_nested = self
            .header
            .cty
            .as_deref()
            .is_some_and(|cty| cty.eq_ignore_ascii_case("JWT"));
        let kid_fits = self
            .header
            .kid
            .as_ref()
            .is_none_or(|kid| kid.len() <= LONGEST_KID);
        if is_of_type && !is_nested && kid_fits {
            Ok(())
        } else {
            Err(TokenFault::Header)
        }
    }
}

#[cfg(feature = "danger-unsigned")]
impl Unverified<'static> {
    /// Claims as they would stand in a token.
    pub(crate) fn unsigned(claims: &[u8]) -> Result<Self, TokenFault> {
        let StrictObject(claims) =
            serde_json::from_slice(claims).map_err(|_| TokenFault::Malformed)?;
        let header = Header {
            alg: String::new(),
            kid: None,
            typ: None,
            cty: None,
        };
        Ok(Self {
            header,
            claims,
            names_a_key: false,
            signed: "",
            signature: "",
        })
    }

    /// What [`Unverified::verify`] would make of it, without any of the checks.
    pub(crate) fn believed(self) -> Result<IdToken, TokenFault> {
        IdToken::new(self.claims)
    }
}

impl IdToken {
    fn new(claims: Map<String, Value>) -> Result<Self, TokenFault> {
        // Core 2: `sub` is at most 255 ASCII characters.
        let subject = claims
            .get("sub")
            .and_then(Value::as_str)
            .filter(|sub| (1..=255).contains(&sub.len()) && sub.is_ascii())
            .ok_or(TokenFault::Claim("sub"))?
            .to_owned();
        Ok(Self { claims, subject })
    }

    /// (2) to (5): who issued it, and for whom.
    fn check_parties(&self, expected: &Expected<'_>) -> Result<(), TokenFault> {
        if self.claims.get("iss").and_then(Value::as_str) != Some(expected.issuer) {
            return Err(TokenFault::Claim("iss"));
        }
        // (3) Our client id, and no audience besides it that we would have to trust.
        let only_ours = match self.claims.get("aud") {
            Some(Value::String(one)) => one == expected.client_id,
            Some(Value::Array(many)) => {
                !many.is_empty()
                    && many
                        .iter()
                        .all(|one| one.as_str() == Some(expected.client_id))
            }
            _ => false,
        };
        if !only_ours {
            return Err(TokenFault::Claim("aud"));
        }
        // (5) If there is an `azp`, it is our client id.
        match self.claims.get("azp") {
            None => Ok(()),
            Some(azp) if azp.as_str() == Some(expected.client_id) => Ok(()),
            Some(_) => Err(TokenFault::Claim("azp")),
        }
    }

    /// (9), (10), and RFC 7519 4.1.5 for `nbf`.
    fn check_times(&self, expected: &Expected<'_>) -> Result<(), TokenFault> {
        let now = expected.now;
        let required = |name: &'static str| {
            self.claims
                .get(name)
                .and_then(instant)
                .ok_or(TokenFault::Claim(name))
        };
        if now.duration_since(required("exp")?) >= LEEWAY {
            return Err(TokenFault::Claim("exp"));
        }
        let age = now.duration_since(required("iat")?);
        // Core 12.2: at a refresh `iat` is the time of that, or the token says nothing new.
        let oldest = match expected.nonce {
            Nonce::OfRequest(_) => OLDEST,
            Nonce::OfLogin(_) => OLDEST_AT_REFRESH,
        };
        if age < -LEEWAY || age > oldest {
            return Err(TokenFault::Claim("iat"));
        }
        match self.claims.get("nbf") {
            None => Ok(()),
            Some(nbf) if instant(nbf).is_some_and(|nbf| now.duration_since(nbf) >= -LEEWAY) => {
                Ok(())
            }
            Some(_) => Err(TokenFault::Claim("nbf")),
        }
    }

    /// (11) The nonce of this browser's request; or Core 12.2.
    fn check_nonce(&self, expected: Nonce<'_>) -> Result<(), TokenFault> {
        let expected = match expected {
            Nonce::OfLogin(_) if !self.claims.contains_key("nonce") => return Ok(()),
            Nonce::OfRequest(nonce) | Nonce::OfLogin(nonce) => nonce,
        };
        let nonce = self
            .claims
            .get("nonce")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let same = bool::from(nonce.as_bytes().ct_eq(expected.as_bytes()));
        if same && !expected.is_empty() {
            Ok(())
        } else {
            Err(TokenFault::Claim("nonce"))
        }
    }

    fn check_binding(&self, expected: &Expected<'_>) -> Result<(), TokenFault> {
        let (name, bound, required) = match expected.binding {
            Binding::Code(code) => ("c_hash", code, true),
            Binding::AccessToken(token) => ("at_hash", token, false),
        };
        match self.claims.get(name) {
            None if !required => Ok(()),
            Some(Value::String(hash)) if *hash == left_half_hash(bound, expected.algorithm) => {
                Ok(())
            }
            Some(_) | None => Err(TokenFault::Claim(name)),
        }
    }

    /// The verified `sub`.
    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    /// A verified claim that must be a string.
    pub(crate) fn text(&self, name: &str) -> Claim<String> {
        match self.claims.get(name) {
            None => Claim::Absent,
            Some(Value::String(text)) if text.len() <= LONGEST_TEXT => Claim::Value(text.clone()),
            Some(_) => Claim::Malformed,
        }
    }

    /// A verified claim that must be an array of strings, or one string, which some providers send.
    pub(crate) fn texts(&self, name: &str) -> Claim<Vec<String>> {
        self.texts_at_most(name, MOST_TEXTS)
    }

    /// The same, where more of them are usual.
    pub(crate) fn texts_at_most(&self, name: &str, most: usize) -> Claim<Vec<String>> {
        match self.claims.get(name) {
            None => Claim::Absent,
            Some(Value::String(one)) if one.len() <= LONGEST_TEXT => {
                Claim::Value(vec![one.clone()])
            }
            Some(Value::Array(many)) if many.len() <= most => many
                .iter()
                .map(|one| one.as_str().filter(|text| text.len() <= LONGEST_TEXT))
                .map(|one| one.map(str::to_owned))
                .collect::<Option<Vec<String>>>()
                .map_or(Claim::Malformed, Claim::Value),
            Some(_) => Claim::Malformed,
        }
    }

    /// A verified claim that must be a NumericDate (RFC 7519 2), whole or with a fraction.
    pub(crate) fn instant(&self, name: &str) -> Claim<Timestamp> {
        match self.claims.get(name) {
            None => Claim::Absent,
            Some(value) => instant(value).map_or(Claim::Malformed, Claim::Value),
        }
    }

    /// A verified claim as it stands.
    pub(crate) fn raw(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }
}

/// The longest evidence value that is kept, in bytes.
const LONGEST_TEXT: usize = 256;
/// The most values of one evidence claim that are kept.
const MOST_TEXTS: usize = 32;

fn segment<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, TokenFault> {
    let bytes = URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| TokenFault::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenFault::Malformed)
}

/// Core 3.3.2.11, 3.1.3.8: base64url of the left half of the hash that the algorithm uses. SHA-256 for
/// all that a provider can be configured with, but for Ed25519, which hashes with SHA-512 (RFC 8032 5.1).
fn left_half_hash(bound: &str, algorithm: SigningAlgorithm) -> String {
    let algorithm = match algorithm {
        SigningAlgorithm::EdDsa => &digest::SHA512,
        SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256 | SigningAlgorithm::Es256 => {
            &digest::SHA256
        }
    };
    let hash = digest::digest(algorithm, bound.as_bytes());
    let (left, _) = hash.as_ref().split_at(hash.as_ref().len() / 2);
    URL_SAFE_NO_PAD.encode(left)
}

/// A NumericDate within the years that a clock can mean.
fn instant(value: &Value) -> Option<Timestamp> {
    const LATEST: f64 = 253_402_300_799.0; // 9999-12-31, the last second that `jiff` and RFC 3339 know
    let seconds = value
        .as_f64()
        .filter(|seconds| (0.0..=LATEST).contains(seconds))?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked to lie within i64, and fractions do not count"
    )]
    Timestamp::from_second(seconds as i64).ok()
}
