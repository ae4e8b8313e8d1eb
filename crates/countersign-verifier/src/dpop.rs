//! Whether whoever sends a request holds the key that its token is bound to (RFC 9449).
//!
//! Pure, like [`verify`](crate::verify()): the request and the time are arguments. What it can't know is
//! whether a proof came before: remember [`DpopProof::id`] until [`DpopProof::good_until`] and refuse the second.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, ParsedPublicKey, RSA_PSS_2048_8192_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::Error;
use crate::json::{object, present};
use crate::keys::{p256, rsa};

/// The algorithms of proofs, by their names in `dpop_signing_alg_values_supported`.
pub const DPOP_ALGORITHMS: [&str; 3] = ["ES256", "EdDSA", "PS256"];

/// The longest proof that is read, in bytes; one with an RSA key of 4096 bits is 2 KiB.
const MAX_PROOF_BYTES: usize = 8 * 1024;
/// The longest `jti`, in bytes.
const MAX_ID_BYTES: usize = 256;
/// How long ago a proof may have been made, in seconds: it is made for one request.
const OLDEST: i64 = 60;
/// How far ahead of ours the client's clock may be, in seconds.
const AHEAD: i64 = 30;

/// The request that a proof must be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// Its method, in capitals.
    pub method: &'a str,
    /// Its address as the client knows it, from the service's own configuration and never from a header.
    pub url: &'a str,
}

/// A proof that has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DpopProof {
    thumbprint: String,
    id: String,
    nonce: Option<String>,
    made_at: i64,
}

impl DpopProof {
    /// Verifies a proof (RFC 9449, section 4.3). Of a request with a token it must name the token too.
    ///
    /// <https://www.rfc-editor.org/rfc/rfc9449#section-4.3>
    pub fn verify(
        proof: &str,
        target: Target<'_>,
        access_token: Option<&str>,
        now_unix: i64,
    ) -> Result<Self, Error> {
        let (signed, signature) = split(proof)?;
        let (header, payload) = signed.split_once('.').ok_or(MALFORMED)?;
        let key = Header::read(header)?.key()?;
        key.public
            .verify_sig(signed.as_bytes(), &decode(signature)?)
            .map_err(|_| Error::BadProof("its signature is not that of its key"))?;
        let claims: Claims = object(&decode(payload)?)
            .map_err(|_| Error::BadProof("its claims are not as agreed"))?;
        claims.check(target, access_token, now_unix)?;
        Ok(Self {
            thumbprint: key.thumbprint,
            id: claims.jti,
            nonce: claims.nonce,
            made_at: claims.iat,
        })
    }

    /// The thumbprint of its key (RFC 7638), which a token that is bound to it has as `cnf.jkt`.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The name that the client gave it, of its own choice: two keys may use the same.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The server's `nonce` that it repeats, if any.
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// From then on it is refused for its age, in Unix seconds.
    pub fn good_until(&self) -> i64 {
        self.made_at.saturating_add(OLDEST).saturating_add(1)
    }
}

const MALFORMED: Error = Error::BadProof("it is no JWT");

fn split(proof: &str) -> Result<(&str, &str), Error> {
    if proof.len() > MAX_PROOF_BYTES {
        return Err(Error::BadProof("it is longer than any"));
    }
    let (signed, signature) = proof.rsplit_once('.').ok_or(MALFORMED)?;
    match signed.matches('.').count() {
        1 => Ok((signed, signature)),
        _ => Err(MALFORMED),
    }
}

fn decode(segment: &str) -> Result<Vec<u8>, Error> {
    URL_SAFE_NO_PAD.decode(segment).map_err(|_| MALFORMED)
}

#[derive(Deserialize)]
struct Header {
    typ: String,
    alg: String,
    jwk: Jwk,
    #[serde(default, deserialize_with = "present")]
    crit: Option<IgnoredAny>,
}

/// A public key. A private or symmetric one is refused: who sends it has given it away.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    #[serde(default, deserialize_with = "present")]
    d: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    k: Option<IgnoredAny>,
}

struct Key {
    public: ParsedPublicKey,
    thumbprint: String,
}

impl Header {
    fn read(segment: &str) -> Result<Self, Error> {
        let header: Self = object(&decode(segment)?)
            .map_err(|_| Error::BadProof("its header is not that of a proof"))?;
        // RFC 9449, section 4.2; RFC 8725, section 3.11: no other JWT of the client's passes for one.
        if !header.typ.eq_ignore_ascii_case("dpop+jwt") {
            return Err(Error::BadProof("its `typ` is not `dpop+jwt`"));
        }
        if header.crit.is_some() {
            return Err(Error::BadProof("its header has `crit`"));
        }
        if header.jwk.d.is_some() || header.jwk.k.is_some() {
            return Err(Error::BadProof("its `jwk` is a private or symmetric key"));
        }
        Ok(header)
    }

    /// The key, for the one algorithm that the header names and that the key is for.
    fn key(&self) -> Result<Key, Error> {
        let jwk = &self.jwk;
        let key = match (self.alg.as_str(), jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("ES256", "EC", Some("P-256")) => jwk.p256(),
            ("EdDSA", "OKP", Some("Ed25519")) => jwk.ed25519(),
            ("PS256", "RSA", _) => jwk.rsa(),
            (_, _, _) => None,
        };
        key.ok_or(Error::BadProof(
            "its `alg` is not allowed, or its `jwk` is no key for it",
        ))
    }
}

impl Jwk {
    fn p256(&self) -> Option<Key> {
        let (x, y) = (octets(self.x.as_ref())?, octets(self.y.as_ref())?);
        let members = format!(
            r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
            text(&x),
            text(&y)
        );
        Some(Key {
            public: p256(&x, &y)?,
            thumbprint: thumbprint(&members),
        })
    }

    fn ed25519(&self) -> Option<Key> {
        let x = octets(self.x.as_ref())?;
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, text(&x));
        Some(Key {
            public: ParsedPublicKey::new(&ED25519, &x).ok()?,
            thumbprint: thumbprint(&members),
        })
    }

    fn rsa(&self) -> Option<Key> {
        let (n, e) = (octets(self.n.as_ref())?, octets(self.e.as_ref())?);
        // RFC 7518, section 6.3.1.1: without leading zeros, or one key would have many thumbprints.
        if n.first() == Some(&0) || e.first() == Some(&0) {
            return None;
        }
        let members = format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, text(&e), text(&n));
        Some(Key {
            public: rsa(&n, &e, &RSA_PSS_2048_8192_SHA256)?,
            thumbprint: thumbprint(&members),
        })
    }
}

fn octets(member: Option<&String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(member?).ok()
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// RFC 7638, section 3: of the required members in lexical order, without white space.
fn thumbprint(members: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: i64,
    #[serde(default, deserialize_with = "present")]
    ath: Option<String>,
    #[serde(default, deserialize_with = "present")]
    nonce: Option<String>,
}

impl Claims {
    fn check(&self, target: Target<'_>, access_token: Option<&str>, now: i64) -> Result<(), Error> {
        if self.jti.is_empty() || self.jti.len() > MAX_ID_BYTES {
            return Err(Error::BadProof("its `jti` is empty or too long"));
        }
        if self.htm != target.method {
            return Err(Error::BadProof(
                "its `htm` is not the method of the request",
            ));
        }
        if normal(&self.htu).is_none() || normal(&self.htu) != normal(target.url) {
            return Err(Error::BadProof(
                "its `htu` is not the address of the request",
            ));
        }
        let age = now.saturating_sub(self.iat);
        if !(-AHEAD..=OLDEST).contains(&age) {
            return Err(Error::BadProof("its `iat` is not now"));
        }
        let expected = access_token.map(thumbprint);
        match (expected, &self.ath) {
            // RFC 9449, section 4.2: with an access token its SHA-256 is required.
            (Some(expected), ath) if ath.as_ref() != Some(&expected) => {
                Err(Error::BadProof("its `ath` is not the hash of the token"))
            }
            (_, _) => Ok(()),
        }
    }
}

/// An address as RFC 9449, section 4.3 (9) compares it: without query and fragment, and as RFC 3986, sections
/// 6.2.2 and 6.2.3 write it, as far as a server's own addresses need that.
fn normal(url: &str) -> Option<String> {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (scheme, rest) = url.get(..end)?.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = authority.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let host = authority.strip_suffix(default_port).unwrap_or(&authority);
    let path = if path.is_empty() { "/" } else { path };
    (!host.is_empty()).then(|| format!("{scheme}://{host}{path}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{EDDSA, ES256, FOREIGN, NOW, RS256, Signer, base64url};

    const URL: &str = "https://api.registry.example/packages";
    const TOKEN: &str = "eyJ0.eyJp.c2ln";

    fn header(signer: &Signer) -> Value {
        json!({"typ": "dpop+jwt", "alg": signer.alg(), "jwk": key(signer)})
    }

    fn key(signer: &Signer) -> Value {
        let mut jwk = signer.jwk();
        for member in ["kid", "use", "alg"] {
            jwk.as_object_mut().unwrap().remove(member);
        }
        jwk
    }

    fn claims() -> Value {
        json!({"jti": "p1", "htm": "PUT", "htu": URL, "iat": NOW, "ath": base64url(digest(&SHA256, TOKEN.as_bytes()))})
    }

    fn with(value: &Value, name: &str, new: Value) -> Value {
        let mut value = value.clone();
        match new {
            Value::Null => drop(value.as_object_mut().unwrap().remove(name)),
            new => value[name] = new,
        }
        value
    }

    fn verified(proof: &str) -> Result<DpopProof, Error> {
        let target = Target {
            method: "PUT",
            url: URL,
        };
        DpopProof::verify(proof, target, Some(TOKEN), NOW)
    }

    #[track_caller]
    fn assert_refused(header: &Value, claims: &Value) {
        let found = verified(&ES256.token_with(header, claims));
        assert!(
            matches!(found, Err(Error::BadProof(_))),
            "{header} {claims}: {found:?}"
        );
    }

    #[test]
    fn a_proof_of_this_request_made_now_is_taken() {
        for signer in [&*ES256, &*EDDSA] {
            let proof = verified(&signer.token_with(&header(signer), &claims())).unwrap();
            let members = key(signer).to_string();
            assert_eq!(
                proof.thumbprint(),
                base64url(digest(&SHA256, members.as_bytes()))
            );
            assert_eq!(
                (proof.id(), proof.nonce(), proof.good_until()),
                ("p1", None, NOW + 61)
            );
        }
        for (name, value) in [
            (
                "htu",
                json!("HTTPS://API.Registry.example:443/packages?q=1#f"),
            ),
            ("iat", json!(NOW - 60)),
            ("iat", json!(NOW + 10)),
            ("nonce", json!("n")),
            ("more", json!([1])),
        ] {
            let claims = with(&claims(), name, value);
            assert!(
                verified(&ES256.token_with(&header(&ES256), &claims)).is_ok(),
                "{claims}"
            );
        }
        assert_eq!(normal("http://h:80"), Some("http://h/".to_owned()));
    }

    #[test]
    fn a_proof_of_anything_else_is_refused() {
        let good = header(&ES256);
        for (name, value) in [
            ("htm", json!("GET")),
            ("htm", json!("put")),
            ("htm", Value::Null),
            ("htu", json!("https://api.registry.example/")),
            ("htu", json!("https://api.registry.example/packages/")),
            ("htu", json!("https://evil.example/packages")),
            ("htu", json!("http://api.registry.example/packages")),
            ("htu", json!("https://api.registry.example:444/packages")),
            ("htu", json!("/packages")),
            ("htu", json!("")),
            ("htu", Value::Null),
            ("iat", json!(NOW - 61)),
            ("iat", json!(NOW + 31)),
            ("iat", json!(NOW - 3600)),
            ("iat", json!(i64::MIN)),
            ("iat", json!("1790000000")),
            ("iat", Value::Null),
            ("jti", Value::Null),
            ("jti", json!("")),
            ("jti", json!("j".repeat(257))),
            ("ath", Value::Null),
            ("ath", json!("")),
            ("ath", json!(base64url(digest(&SHA256, b"another")))),
            ("nonce", json!(1)),
        ] {
            assert_refused(&good, &with(&claims(), name, value));
        }
    }

    #[test]
    fn a_proof_by_anything_but_its_own_public_key_is_refused() {
        let good = header(&ES256);
        let with_key =
            |name: &str, value: Value| with(&good, "jwk", with(&good["jwk"], name, value));
        for header in [
            with(&good, "typ", json!("JWT")),
            with(&good, "typ", json!("at+jwt")),
            with(&good, "typ", Value::Null),
            with(&good, "alg", json!("none")),
            with(&good, "alg", json!("HS256")),
            with(&good, "alg", json!("RS256")),
            with(&good, "alg", json!("EdDSA")),
            with(&good, "jwk", Value::Null),
            with(&good, "jwk", key(&FOREIGN)),
            with(&good, "jwk", json!("https://evil.example/jwk")),
            with(&good, "crit", json!(["exp"])),
            with_key("d", json!("AAAA")),
            with_key("k", json!("AAAA")),
            with_key("crv", json!("P-384")),
            with_key("x", json!("AAAA")),
            with_key("kty", json!("oct")),
        ] {
            assert_refused(&header, &claims());
        }
        // RSA is taken with PSS alone.
        let by_rsa = RS256.token_with(&header(&RS256), &claims());
        assert!(verified(&by_rsa).is_err());
        for text in ["", "a", "a.b", "a.b.c", "..", "a.b.c.d"] {
            assert!(verified(text).is_err(), "`{text}`");
        }
        let whole = ES256.token_with(&good, &claims());
        assert!(verified(&format!("{whole}x")).is_err());
        assert!(verified(whole.rsplit_once('.').unwrap().0).is_err());
    }
}
