//! What an API key looks like, and what is kept of it.
//!
//! `csk_`, 36 random characters of base62, and six more: the CRC-32 of all before. So a secret scanner can tell a key from
//! what only looks like one, without asking anybody, and so can we.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use countersign_core::ApiKeyId;
use countersign_store::KeyDigest;
use secrecy::{ExposeSecret, SecretString};

use crate::edge::Entropy;

pub(crate) const PREFIX: &str = "csk_";
/// 214 bits.
const RANDOM: usize = 36;
const CHECKSUM: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// How long a key may be that was imported, and so made elsewhere.
const LENGTHS: std::ops::RangeInclusive<usize> = 8..=512;

/// A text that can be an API key: one of ours, or one that was imported. It is not shown.
#[derive(Debug, Clone)]
pub struct KeyText(SecretString);

impl KeyText {
    /// A new one.
    pub(crate) fn make(entropy: &dyn Entropy) -> Self {
        let mut text = PREFIX.to_owned();
        while text.len() < PREFIX.len() + RANDOM {
            let mut bytes = [0; RANDOM];
            entropy.fill(&mut bytes);
            let wanted = PREFIX.len() + RANDOM - text.len();
            // 248 is four times 62: each digit is as likely as any.
            let fair = bytes.iter().filter(|byte| **byte < 248).take(wanted);
            text.extend(fair.map(|byte| char::from(DIGITS[usize::from(*byte % 62)])));
        }
        text.push_str(&checksum(text.as_bytes()));
        Self(SecretString::from(text))
    }

    /// Reads what somebody came with. One that begins like ours must be whole: its checksum is of itself.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = LENGTHS.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        let is_one = is_plain && (!text.starts_with(PREFIX) || is_ours(text));
        is_one.then(|| Self(SecretString::from(text)))
    }

    /// What is kept of it.
    pub fn digest(&self) -> KeyDigest {
        let mut bytes = [0; 32];
        let text = self.0.expose_secret();
        bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        KeyDigest(bytes)
    }

    /// The key itself, for the one time that it is shown.
    pub(crate) fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

/// The name of a key, by what is kept of it: a digest of that, so that a name is of no use to who wants to try keys.
pub fn id_of(key: &KeyDigest) -> ApiKeyId {
    let named = digest(
        &SHA256,
        &[b"countersign api key id ".as_slice(), &key.0].concat(),
    );
    let hex = hex(&named.as_ref()[..16]);
    // 32 hexadecimal digits are what an id has.
    ApiKeyId::new(format!("key_{hex}")).unwrap_or_else(|error| unreachable!("{error}"))
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn is_ours(text: &str) -> bool {
    let is_whole = text.len() == PREFIX.len() + RANDOM + CHECKSUM;
    let is_base62 = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let parts = text.split_at_checked(PREFIX.len() + RANDOM);
    parts.is_some_and(|(before, sum)| {
        is_whole && is_base62(&before[PREFIX.len()..]) && checksum(before.as_bytes()) == sum
    })
}

/// The CRC-32 in base62, the greatest digit first, as GitHub writes that of its tokens.
fn checksum(bytes: &[u8]) -> String {
    let mut rest = crc32(bytes);
    let mut digits = ['0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = char::from(DIGITS[(rest % 62) as usize]);
        rest /= 62;
    }
    digits.iter().collect()
}

/// CRC-32 as in gzip (RFC 1952 8).
fn crc32(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xEDB8_8320;
    let step = |crc: u32, _| (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
    let add = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), step);
    !bytes.iter().fold(u32::MAX, add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;

    #[test]
    fn the_checksum_is_the_usual_one() {
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
        assert_eq!(checksum(b""), "000000");
    }

    #[test]
    fn a_new_key_is_whole_and_no_two_are_alike() {
        let one = KeyText::make(&SystemEntropy);
        let text = one.reveal();
        assert_eq!(text.len(), 46);
        assert!(text.starts_with("csk_"));
        let read = KeyText::parse(text).unwrap();
        assert_eq!(read.digest(), one.digest());
        assert_ne!(KeyText::make(&SystemEntropy).digest(), one.digest());
        assert!(!format!("{one:?}").contains(text));
    }

    #[test]
    fn a_key_with_any_character_changed_is_none() {
        let text = KeyText::make(&SystemEntropy).reveal().to_owned();
        for place in 4..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[place] = if changed[place] == b'a' { b'b' } else { b'a' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(KeyText::parse(&changed).is_none(), "{place}");
        }
        for wrong in [
            "csk_",
            &text[..45],
            &format!("{text}0"),
            &text.replace("csk_", "csk_\u{e9}"),
        ] {
            assert!(KeyText::parse(wrong).is_none());
        }
    }

    #[test]
    fn what_was_made_elsewhere_is_read_as_it_is() {
        for text in [
            "npm_0123456789abcdefghij",
            "pypi-AgEIcHlwaS5vcmc",
            "12345678",
        ] {
            assert!(KeyText::parse(text).is_some(), "{text}");
        }
        for none in [
            "",
            "1234567",
            "a key with spaces",
            "k\u{e9}ykeykey",
            &"k".repeat(513),
        ] {
            assert!(KeyText::parse(none).is_none(), "{none}");
        }
    }

    #[test]
    fn a_name_tells_nothing_of_what_is_kept() {
        let digest = KeyText::parse("npm_0123456789abcdefghij").unwrap().digest();
        let kept = String::from(digest);
        let id = id_of(&digest);
        assert!(!kept.contains(&id.as_str()[4..]));
        assert_eq!(id_of(&digest), id);
    }
}
