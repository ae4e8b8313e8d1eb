//! What an upload says of itself in its body, where its path names no package.
//!
//! The registry behind reads the same bytes, by a program that is not ours: what it could read in another way than we do is
//! refused. Pure: whoever has the bytes hands them in as they come.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

/// How the body of an upload is made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    /// `cargo publish`: the length of a JSON object, that object, the length of the archive, the archive; each length is 32
    /// bits, the lowest byte first (<https://doc.rust-lang.org/cargo/reference/registry-web-api.html#publish>).
    Cargo,
}

impl BodyForm {
    pub(super) const NAMES: [(&'static str, Self); 1] = [("cargo", Self::Cargo)];

    /// Its name in a profile.
    pub fn as_str(self) -> &'static str {
        let named = Self::NAMES.iter().find(|(_, one)| *one == self);
        named.map_or("?", |(name, _)| name)
    }
}

/// What comes before the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// How many bytes all this has; the archive follows.
    pub length: usize,
    /// How many bytes the archive has, and nothing follows it.
    pub archive: u64,
}

/// Why a head can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeadError {
    /// It is too long to be looked into.
    #[error("what this upload says of itself is longer than 1 MiB")]
    TooLong,
    /// It is not what the tool sends, or could be read in two ways.
    #[error("what this upload says of itself can't be read")]
    Unreadable,
}

/// The longest JSON object, in bytes: a readme is in it.
pub const LONGEST_OBJECT: usize = 1024 * 1024;
/// The bytes of a length.
const LENGTH: usize = 4;
/// The longest name and the longest version, in bytes: crates.io has 64 and what semver needs.
const LONGEST_NAME: usize = 64;
const LONGEST_VERSION: usize = 128;

impl Head {
    /// Reads the head of an upload from its first bytes; `None` where there are too few of them yet.
    pub fn read(form: BodyForm, bytes: &[u8]) -> Result<Option<Self>, HeadError> {
        match form {
            BodyForm::Cargo => Self::of_cargo(bytes),
        }
    }

    fn of_cargo(bytes: &[u8]) -> Result<Option<Self>, HeadError> {
        let Some((object, rest)) = length(bytes) else {
            return Ok(None);
        };
        let object = usize::try_from(object).unwrap_or(usize::MAX);
        if object > LONGEST_OBJECT {
            return Err(HeadError::TooLong);
        }
        let Some((object, rest)) = rest.split_at_checked(object) else {
            return Ok(None);
        };
        let Some((archive, _)) = length(rest) else {
            return Ok(None);
        };
        // What is passed over in it is no UTF-8 else, and nobody knows how another reads that.
        let object_text = std::str::from_utf8(object).map_err(|_| HeadError::Unreadable)?;
        let named: Named = serde_json::from_str(object_text).map_err(|_| HeadError::Unreadable)?;
        Ok(Some(Self {
            package: named.name,
            version: named.vers,
            length: LENGTH + object.len() + LENGTH,
            archive: archive.into(),
        }))
    }
}

fn length(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
    Some((u32::from_le_bytes(*length), rest))
}

/// The members of cargo's object that are looked at.
struct Named {
    name: String,
    vers: String,
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OneOfEach)
    }
}

/// Takes no member twice. Readers of other languages tell no capital letters from small ones, some of them by Unicode's rules:
/// so the names of members are visible ASCII (some end a text at NUL), and differ by more than that.
struct OneOfEach;

impl<'de> Visitor<'de> for OneOfEach {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `name` and `vers`")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Named, M::Error> {
        let (mut name, mut vers) = (None::<String>, None::<String>);
        let mut seen = BTreeSet::new();
        while let Some(member) = members.next_key::<String>()? {
            let is_plain = member.bytes().all(|byte| byte.is_ascii_graphic());
            if !is_plain || !seen.insert(member.to_ascii_lowercase()) {
                return Err(M::Error::custom("two members of one name"));
            }
            match member.as_str() {
                "name" => name = Some(members.next_value()?),
                "vers" => vers = Some(members.next_value()?),
                _ => drop(members.next_value::<serde::de::IgnoredAny>()?),
            }
        }
        match (name, vers) {
            (Some(name), Some(vers)) if is_name(&name) && is_version(&vers) => {
                Ok(Named { name, vers })
            }
            (_, _) => Err(M::Error::custom("no name and version")),
        }
    }
}

fn is_name(text: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(is_good)
}

fn is_version(text: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-+.".contains(&byte);
    (1..=LONGEST_VERSION).contains(&text.len()) && text.bytes().all(is_good)
}

/// The SHA-256 of an archive; written as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Checksum(pub [u8; 32]);

/// It is no checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected a SHA-256: 64 hexadecimal digits")]
pub struct NotAChecksum;

impl TryFrom<String> for Checksum {
    type Error = NotAChecksum;

    fn try_from(text: String) -> Result<Self, NotAChecksum> {
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 64 {
            return Err(NotAChecksum);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = [pair[0], pair[1]].map(super::target::hex);
            *byte = high
                .zip(low)
                .map(|(high, low)| high << 4 | low)
                .ok_or(NotAChecksum)?;
        }
        Ok(Self(bytes))
    }
}

impl From<Checksum> for String {
    fn from(checksum: Checksum) -> Self {
        checksum.to_string()
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(object: &str) -> Vec<u8> {
        let length = u32::try_from(object.len()).unwrap().to_le_bytes();
        [&length[..], object.as_bytes(), &[3, 0, 0, 0], b"abc"].concat()
    }

    #[track_caller]
    fn check(object: &str, expected: Result<(&str, &str), HeadError>) {
        let found = Head::read(BodyForm::Cargo, &upload(object));
        let found = found.map(|head| head.expect("all of it"));
        let named = found.map(|head| (head.package, head.version));
        let named = named
            .as_ref()
            .map(|(name, vers)| (name.as_str(), vers.as_str()));
        assert_eq!(named.map_err(|error| *error), expected, "{object}");
    }

    #[test]
    fn the_head_of_cargos_upload_names_package_version_and_the_length_of_the_archive() {
        let object =
            r#"{"name":"hello","vers":"1.0.0-rc.1+x","deps":[{"name":"other"}],"readme":"\u00e9"}"#;
        check(object, Ok(("hello", "1.0.0-rc.1+x")));
        let bytes = upload(object);
        let head = Head::read(BodyForm::Cargo, &bytes).unwrap().unwrap();
        assert_eq!((head.length, head.archive), (bytes.len() - 3, 3));
        for few in 0..head.length {
            assert_eq!(
                Head::read(BodyForm::Cargo, &bytes[..few]),
                Ok(None),
                "{few}"
            );
        }
    }

    #[test]
    fn what_another_reader_could_take_for_another_package_is_refused() {
        let refused = Err(HeadError::Unreadable);
        for object in [
            r#"{"name":"a","name":"b","vers":"1.0.0"}"#,
            r#"{"name":"a","\u006eame":"b","vers":"1.0.0"}"#,
            r#"{"name":"a","Name":"b","vers":"1.0.0"}"#,
            r#"{"Name":"a","vers":"1.0.0"}"#,
            "{\"name\":\"a\",\"vers\":\"1.0.0\",\"ver\u{17f}\":\"2.0.0\"}",
            r#"{"name":"a","vers":"1.0.0"}{"name":"b"}"#,
            r#"{"name":"a"}"#,
            r#"{"vers":"1.0.0"}"#,
            r#"{"name":null,"vers":"1.0.0"}"#,
            r#"{"name":["a"],"vers":"1.0.0"}"#,
            r#"{"name":"","vers":"1.0.0"}"#,
            r#"{"name":"a/b","vers":"1.0.0"}"#,
            r#"{"name":"a","vers":"1.0.0\n"}"#,
            "{\"name\":\"a\u{430}\",\"vers\":\"1.0.0\"}",
            r#"["a","1.0.0"]"#,
            "\u{feff}{\"name\":\"a\",\"vers\":\"1.0.0\"}",
            r#"{"name":"a","vers":"1.0.0","name\u0000":"b"}"#,
            r#"{"name":"a","vers":"1.0.0"," name":"b"}"#,
            "",
            "null",
        ] {
            check(object, refused);
        }
    }

    #[test]
    fn what_is_no_utf_8_is_refused_wherever_it_stands() {
        let mut bytes = upload(r#"{"name":"a","vers":"1.0.0","readme":"??"}"#);
        let place = bytes.windows(2).position(|two| two == b"??").unwrap();
        bytes[place..place + 2].copy_from_slice(b"\xC0\xA2");
        let read = Head::read(BodyForm::Cargo, &bytes);
        assert_eq!(read, Err(HeadError::Unreadable));
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_has_come() {
        let longest = u32::try_from(LONGEST_OBJECT).unwrap();
        let read = |length: u32| Head::read(BodyForm::Cargo, &length.to_le_bytes());
        assert_eq!(read(longest), Ok(None));
        assert_eq!(read(longest + 1), Err(HeadError::TooLong));
        assert_eq!(read(u32::MAX), Err(HeadError::TooLong));
    }

    #[test]
    fn a_checksum_is_64_hexadecimal_digits() {
        let text = "0123456789abcdef".repeat(4);
        let read = |text: &str| Checksum::try_from(text.to_owned());
        assert_eq!(read(&text).unwrap().to_string(), text);
        assert_eq!(read(&text.to_uppercase()), read(&text));
        for wrong in [
            "",
            &text[1..],
            &text.replace('f', "g"),
            &text.replace("0123", "\u{e9}\u{e9}"),
        ] {
            assert_eq!(read(wrong), Err(NotAChecksum), "{wrong}");
        }
    }
}
