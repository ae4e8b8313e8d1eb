//! Certificates over the signing keys, for registries that know keys by X.509 and by nothing else.
//!
//! One root signs a certificate for each key. A registry is given the root's once, and no rotation asks for another
//! file: each token carries the certificate of the key that has signed it (RFC 7515 4.1.6). Such a certificate ends
//! within days and is made anew long before, since a registry can't learn that a key was withdrawn.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_store::KeyMaterial;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SerialNumber, date_time_ymd,
};

use super::KeyError;
use super::signing::Signer;
use super::vault::Kept;

/// The name of the root's key in the store.
pub(crate) const KEY_NAME: &str = "root-es256";
/// How many days before today a certificate begins: the registry's clock may be behind.
const DAYS_BEFORE: i64 = 1;
/// How many days after today the certificate of a key ends: a withdrawn key is good at such a registry until then.
const DAYS_AFTER: i64 = 2;

/// What signs certificates.
pub(super) struct Root {
    key: KeyPair,
    made_on: Date,
}

impl Root {
    /// The root among these keys, if it was ever made.
    pub(super) fn among(rings: &[Kept], now: Timestamp) -> Result<Option<Self>, KeyError> {
        let kept = rings.iter().find(|kept| kept.name == KEY_NAME);
        kept.map(|kept| Self::of(kept, now)).transpose()
    }

    pub(super) fn of(kept: &Kept, now: Timestamp) -> Result<Self, KeyError> {
        let key = kept.ring.current(now).ok_or_else(unusable)?;
        Ok(Self {
            key: parse(&key.material)?,
            made_on: date(key.made_at),
        })
    }

    /// Its own certificate, DER.
    pub(super) fn certificate(&self) -> Result<Vec<u8>, KeyError> {
        let made = self.params().self_signed(&self.key);
        made.map(|made| made.der().to_vec()).map_err(|_| unusable())
    }

    /// The certificate of the key that signs today, DER.
    pub(super) fn certify(&self, signer: &Signer, now: Timestamp) -> Result<Vec<u8>, KeyError> {
        let today = date(now);
        let until = today.saturating_add(Span::new().days(DAYS_AFTER));
        self.sign(signer, today, until)
    }

    /// The certificate of a key for a registry that has it in a file, and goes by the key alone: it has no end.
    pub(super) fn certify_for_a_file(&self, signer: &Signer) -> Result<Vec<u8>, KeyError> {
        self.sign(signer, self.made_on, NEVER)
    }

    fn sign(&self, signer: &Signer, from: Date, until: Date) -> Result<Vec<u8>, KeyError> {
        let mut params = named(&format!("Countersign signing key {}", signer.kid()));
        limit(&mut params, from, until);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial(signer, until));
        let issuer = Issuer::new(self.params(), &self.key);
        let made = params.signed_by(signer, &issuer);
        made.map(|made| made.der().to_vec()).map_err(|_| unusable())
    }

    fn params(&self) -> CertificateParams {
        // The name tells one installation's root from another's: registries find the issuer by it.
        let id = &name(&self.key)[..16];
        let mut params = named(&format!("Countersign root {id}"));
        limit(&mut params, self.made_on, NEVER);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
    }
}

/// What the root's key is called: a digest of its public part.
pub(super) fn id(material: &KeyMaterial) -> Option<String> {
    parse(material).ok().map(|key| name(&key))
}

fn name(key: &KeyPair) -> String {
    let digest = digest(&SHA256, &key.subject_public_key_info());
    let hex = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    hex.collect()
}

fn parse(material: &KeyMaterial) -> Result<KeyPair, KeyError> {
    KeyPair::try_from(material.0.as_slice()).map_err(|_| unusable())
}

/// How libtrust, which registries before version 3 know keys by, calls a key: the first 240 bits of the SHA-256 of its
/// SubjectPublicKeyInfo, in base32, in groups of four.
pub(super) fn libtrust_id(key: &impl PublicKeyData) -> String {
    let digest = digest(&SHA256, &key.subject_public_key_info());
    let text = base32(&digest.as_ref()[..30]);
    let groups: Vec<&str> = (0..text.len())
        .step_by(4)
        .map(|at| &text[at..at + 4])
        .collect();
    groups.join(":")
}

/// RFC 4648 6, of whole groups of five bytes.
fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = String::with_capacity(bytes.len() / 5 * 8);
    for group in bytes.chunks_exact(5) {
        let bits = group
            .iter()
            .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        let letter = |at: u32| usize::try_from((bits >> (at * 5)) & 31).unwrap_or_default();
        let letters = (0..8).rev().map(|at| ALPHABET[letter(at)]);
        text.extend(letters.map(char::from));
    }
    text
}

/// A certificate as files have it (RFC 7468 5).
pub(super) fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for at in (0..text.len()).step_by(64) {
        pem.push_str(&text[at..text.len().min(at + 64)]);
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// RFC 5280 4.1.2.5: no well-defined end.
const NEVER: Date = Date::constant(9999, 12, 31);

fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params
}

/// RFC 5280 4.1.2.2: another for each certificate of an issuer, positive, and of 20 bytes at most.
fn serial(signer: &Signer, until: Date) -> SerialNumber {
    let digest = digest(&SHA256, format!("{} {until}", signer.kid()).as_bytes());
    let mut bytes = digest.as_ref()[..16].to_vec();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from(bytes)
}

fn date(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// From midnight of one day until that of another, UTC. Two libraries of time meet here.
fn limit(params: &mut CertificateParams, from: Date, until: Date) {
    let midnight = |of: Date| {
        let (month, day) = (of.month().unsigned_abs(), of.day().unsigned_abs());
        date_time_ymd(i32::from(of.year()), month, day)
    };
    let from = from.saturating_sub(Span::new().days(DAYS_BEFORE));
    params.not_before = midnight(from);
    params.not_after = midnight(until);
}

fn unusable() -> KeyError {
    KeyError::Unusable(KEY_NAME.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_is_that_of_the_rfc() {
        // RFC 4648 10, and its alphabet's end.
        assert_eq!(base32(b"fooba"), "MZXW6YTB");
        assert_eq!(base32(&[0xff; 10]), "7777777777777777");
        assert_eq!(base32(b""), "");
    }

    #[test]
    fn a_certificate_is_written_in_lines_of_64_letters() {
        let pem = pem(&[0; 49]);
        let lines: Vec<&str> = pem.lines().collect();
        assert_eq!(lines[0], "-----BEGIN CERTIFICATE-----");
        assert_eq!((lines[1].len(), lines[2]), (64, "AA=="));
        assert_eq!(lines[3], "-----END CERTIFICATE-----");
        assert!(pem.ends_with("-----\n"));
    }
}
