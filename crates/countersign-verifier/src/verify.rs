//! Whether a token is the issuer's, for us, and in time.
//!
//! Pure: no network and no clock. The keys, what is expected and the time are arguments. Nothing
//! that the token says is used before the signature has been verified, except to find the key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::access_token::AccessToken;
use crate::claims::Claims;
use crate::dpop::DpopProof;
use crate::error::Error;
use crate::json::{object, present};
use crate::keys::{Algorithm, KeySet};

/// Bytes of a whole token. The broker's are about 1 KiB; headers of 8 KiB are what common servers
/// take at most.
pub(crate) const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Characters of a `kid`. The broker's have 43 (a thumbprint).
const MAX_KID_CHARS: usize = 256;

/// Seconds by which the clocks of the broker and of the service may differ. Machines with NTP are
/// within one; half a minute forgives a virtual machine that has just been resumed, and is a
/// twentieth of the life of a token.
pub(crate) const DEFAULT_LEEWAY: u8 = 30;

/// Verifies an access token (RFC 9068, section 4) at the time `now_unix`, in Unix seconds.
///
/// A token that is bound to a key is refused: see [`verify_with_proof`].
///
/// <https://www.rfc-editor.org/rfc/rfc9068#section-4>
pub fn verify(
    token: &str,
    keys: &KeySet,
    expected: &Expectations,
    now_unix: i64,
) -> Result<AccessToken, Error> {
    let token = danger_whoever_presents(token, keys, expected, now_unix)?;
    token.require_unbound()?;
    Ok(token)
}

/// Verifies an access token that is presented with a proof, and that it is bound to the proof's key.
///
/// The proof must name the token: give it to [`DpopProof::verify`]. That the proof has not come before is
/// the caller's to know.
///
/// <https://www.rfc-editor.org/rfc/rfc9449#section-7.1>
pub fn verify_with_proof(
    token: &str,
    proof: &DpopProof,
    keys: &KeySet,
    expected: &Expectations,
    now_unix: i64,
) -> Result<AccessToken, Error> {
    let token = danger_whoever_presents(token, keys, expected, now_unix)?;
    token.require_bound_to(proof)?;
    Ok(token)
}

/// Verifies an access token and **not** that who presents it holds the key that it may be bound to.
///
/// For the issuer itself, where a token is told of and not used (RFC 7662).
pub fn danger_whoever_presents(
    token: &str,
    keys: &KeySet,
    expected: &Expectations,
    now_unix: i64,
) -> Result<AccessToken, Error> {
    let payload = signed_payload(token, &ACCESS_TOKEN, keys)?;
    let conditions: Conditions = object(&payload).map_err(bad_claims)?;
    let claims: Claims = object(&payload).map_err(bad_claims)?;
    check_identifiers(&claims)?;
    expected.check_parties(&claims)?;
    expected.check_times(&claims, &conditions, now_unix)?;
    Ok(AccessToken::new(claims, now_unix))
}

/// RFC 9068, section 4: `typ` must be one of these, so that an ID token, or any other JWT of the same
/// issuer, is not taken for an access token.
const ACCESS_TOKEN: [&str; 2] = ["at+jwt", "application/at+jwt"];
/// What our ID tokens are of.
const ID_TOKEN: [&str; 2] = ["JWT", "application/jwt"];

/// The payload of an ID token that one of these keys signed. **Nothing else is checked**: not the issuer,
/// the audience, or the time.
///
/// For the issuer itself: an `id_token_hint` may have expired, and says only whom a client means
/// (OpenID Connect Core 3.1.2.1, RP-Initiated Logout 2).
pub fn danger_id_token_of_any_time(token: &str, keys: &KeySet) -> Result<Vec<u8>, Error> {
    signed_payload(token, &ID_TOKEN, keys)
}

/// The payload of a token of one of these types that one of these keys signed.
fn signed_payload(token: &str, types: &[&str], keys: &KeySet) -> Result<Vec<u8>, Error> {
    let segments = Segments::split(token)?;
    let header = Header::read(segments.header, types)?;
    let key = keys.find(&header.kid).ok_or(Error::UnknownKey)?;
    key.verify(
        header.algorithm,
        segments.signed.as_bytes(),
        &decode(segments.signature)?,
    )?;
    decode(segments.payload)
}

/// What a token must say to be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectations {
    issuer: String,
    audience: Audience,
    leeway: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Audience {
    Exactly(String),
    Any,
}

impl Expectations {
    /// Tokens of `issuer` for `audience`, both compared byte for byte.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        let audience = Audience::Exactly(audience.into());
        Self {
            issuer: issuer.into(),
            audience,
            leeway: DEFAULT_LEEWAY,
        }
    }

    /// Tokens of `issuer` for whomever.
    ///
    /// Only the issuer itself may ask for this (at `/userinfo`). A service that does accepts
    /// tokens that were meant for another one.
    pub fn for_any_audience(issuer: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: Audience::Any,
            leeway: DEFAULT_LEEWAY,
        }
    }

    /// Sets by how many seconds the two clocks may differ, in place of 30.
    #[must_use]
    pub fn with_leeway(mut self, seconds: u8) -> Self {
        self.leeway = seconds;
        self
    }

    fn check_parties(&self, claims: &Claims) -> Result<(), Error> {
        // RFC 9068, section 4: `iss` must exactly match the issuer.
        if claims.iss != self.issuer {
            return Err(Error::WrongIssuer);
        }
        // RFC 9068, section 4: `aud` must be the resource itself. That there is no second one was
        // checked when the claims were read.
        match &self.audience {
            Audience::Exactly(audience) if claims.aud != *audience => Err(Error::WrongAudience),
            Audience::Exactly(_) | Audience::Any => Ok(()),
        }
    }

    fn check_times(&self, claims: &Claims, conditions: &Conditions, now: i64) -> Result<(), Error> {
        let leeway = i64::from(self.leeway);
        // RFC 7519, section 4.1.4: not accepted *on* or after `exp`.
        if now >= claims.exp.saturating_add(leeway) {
            return Err(Error::Expired);
        }
        // RFC 7519, section 4.1.5; a token from the future means a clock is wrong or it is made up.
        let starts = conditions.nbf.unwrap_or(claims.iat).max(claims.iat);
        if starts > now.saturating_add(leeway) {
            return Err(Error::NotYetValid);
        }
        if claims.exp <= claims.iat {
            return Err(Error::BadClaims("`exp` is not after `iat`".to_owned()));
        }
        Ok(())
    }
}

/// RFC 9068, section 2.2: these say who and which; an empty one says neither.
fn check_identifiers(claims: &Claims) -> Result<(), Error> {
    for (name, value) in [
        ("sub", &claims.sub),
        ("client_id", &claims.client_id),
        ("jti", &claims.jti),
    ] {
        if value.is_empty() {
            return Err(Error::BadClaims(format!("`{name}` is empty")));
        }
    }
    Ok(())
}

/// Claims that limit the token and that the broker's access tokens do not have today.
#[derive(Deserialize)]
struct Conditions {
    #[serde(default, deserialize_with = "present")]
    nbf: Option<i64>,
}

/// The three segments of a compact JWS (RFC 7515, section 7.1), not decoded yet.
struct Segments<'a> {
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
    /// Header, dot and payload: what the signature is over.
    signed: &'a str,
}

impl<'a> Segments<'a> {
    fn split(token: &'a str) -> Result<Self, Error> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Error::TooLong);
        }
        let three = || {
            let (signed, signature) = token.rsplit_once('.')?;
            let (header, payload) = signed.split_once('.')?;
            (!payload.contains('.')).then_some(Self {
                header,
                payload,
                signature,
                signed,
            })
        };
        three().ok_or(Error::Malformed("it has not three segments"))
    }
}

/// The part of the header that is used, once it has passed.
struct Header {
    algorithm: Algorithm,
    kid: String,
}

impl Header {
    fn read(segment: &str, types: &[&str]) -> Result<Self, Error> {
        let raw: RawHeader = object(&decode(segment)?)
            .map_err(|_| Error::Malformed("its header is not the JSON object of a JWS"))?;
        raw.refuse_own_rules()?;
        raw.refuse_other_types(types)?;
        let algorithm = Algorithm::named(&raw.alg).ok_or(Error::WrongAlgorithm)?;
        let kid = raw.kid.ok_or(Error::Malformed("its header has no `kid`"))?;
        if kid.chars().count() > MAX_KID_CHARS {
            return Err(Error::Malformed("its `kid` is too long"));
        }
        Ok(Self { algorithm, kid })
    }
}

#[derive(Deserialize)]
struct RawHeader {
    typ: Option<String>,
    alg: String,
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    jwk: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    jku: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    x5u: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    x5c: Option<IgnoredAny>,
}

impl RawHeader {
    /// RFC 7515, section 4.1.11: `crit` names extensions that must be understood; we know none.
    /// The others bring a key along, or say where to fetch one: the keys are the issuer's, from
    /// where we know them. <https://www.rfc-editor.org/rfc/rfc8725#section-3.10>
    fn refuse_own_rules(&self) -> Result<(), Error> {
        let members = [
            ("crit", &self.crit),
            ("jwk", &self.jwk),
            ("jku", &self.jku),
            ("x5u", &self.x5u),
            ("x5c", &self.x5c),
        ];
        match members.into_iter().find(|(_, value)| value.is_some()) {
            Some((name, _)) => Err(Error::ForbiddenHeader(name)),
            None => Ok(()),
        }
    }

    /// RFC 8725, section 3.11: one kind of token is never taken for another.
    fn refuse_other_types(&self, types: &[&str]) -> Result<(), Error> {
        let typ = self.typ.as_deref().unwrap_or_default();
        let known = types.iter().any(|t| typ.eq_ignore_ascii_case(t));
        if known { Ok(()) } else { Err(Error::WrongType) }
    }
}

fn decode(segment: &str) -> Result<Vec<u8>, Error> {
    URL_SAFE_NO_PAD
        .decode(segment)
        .map_err(|_| Error::Malformed("a segment is not base64url"))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is the argument of map_err"
)]
fn bad_claims(error: serde_json::Error) -> Error {
    Error::BadClaims(error.to_string())
}

#[cfg(test)]
mod tests;
