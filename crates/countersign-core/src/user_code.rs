//! What a person types to say which device they mean (RFC 8628 6.1).

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The code that a device shows, as it shows it: `WDJB-MJHT` (RFC 8628 6.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserCode(String);

/// No user code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no user code: it has eight of the letters BCDFGHJKLMNPQRSTVWXZ")]
pub struct NotAUserCode;

impl UserCode {
    /// Its letters: no vowels, so that no word comes of them, and no digits, so that none is taken for another.
    pub const LETTERS: [u8; 20] = *b"BCDFGHJKLMNPQRSTVWXZ";
    /// How many it has: 20^8 are 34 bits.
    pub const LENGTH: usize = 8;

    /// Reads what a person typed: small letters are as good, and whatever stands between them is passed over.
    pub fn read(typed: &str) -> Result<Self, NotAUserCode> {
        let letters = typed.bytes().filter(u8::is_ascii_alphanumeric);
        let letters: Vec<u8> = letters.map(|byte| byte.to_ascii_uppercase()).collect();
        let are_all_known = letters.iter().all(|letter| Self::LETTERS.contains(letter));
        if letters.len() != Self::LENGTH || !are_all_known {
            return Err(NotAUserCode);
        }
        let mut text = String::with_capacity(Self::LENGTH + 1);
        for (place, letter) in letters.into_iter().enumerate() {
            if place == Self::LENGTH / 2 {
                text.push('-');
            }
            text.push(char::from(letter));
        }
        Ok(Self(text))
    }

    /// With the hyphen in its middle.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for UserCode {
    type Error = NotAUserCode;

    fn try_from(text: String) -> Result<Self, NotAUserCode> {
        Self::read(&text)
    }
}

impl From<UserCode> for String {
    fn from(code: UserCode) -> Self {
        code.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_however_a_person_types_it() {
        for typed in [
            "WDJB-MJHT",
            "wdjbmjht",
            " wdjb mjht\n",
            "W-D-J-B_MJHT",
            "wdjb\u{2013}mjht",
        ] {
            assert_eq!(UserCode::read(typed).unwrap().as_str(), "WDJB-MJHT");
        }
    }

    #[test]
    fn what_is_none_is_not_taken_for_one() {
        for typed in [
            "",
            "WDJB-MJH",
            "WDJB-MJHTX",
            "WDJB-MJHA",
            "WDJB-MJH0",
            "WDJB-MJHT\u{130}0",
            &"W".repeat(100_000),
        ] {
            assert_eq!(UserCode::read(typed), Err(NotAUserCode), "{typed}");
        }
    }
}
