//! What a registry says of its own accounts: names, dates and e-mail addresses, checked once.

use std::fmt;

use countersign_core::{AccountId, OrganizationId};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An account as its registry knows it, whether or not its owner has been seen here.
///
/// Kept apart from [`crate::Account`] until its owner proves that it is theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryAccount {
    /// The registry's own name of it; the key.
    pub name: RegistryAccountName,
    /// When it was made at the registry. What was said first stays.
    pub registered_at: Timestamp,
    /// The address that the registry verified, as it was last told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_email: Option<EmailAddress>,
    /// Our account of the same person, once it is known which that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// The organisation that it became, of an account that several people shared: it is nobody's from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<OrganizationId>,
}

/// When a registry says that an account was made: a day, or a time with its zone, from 1990 until now.
///
/// # Errors
///
/// What was expected.
pub fn registration(text: &str, now: Timestamp) -> Result<Timestamp, &'static str> {
    const EXPECTED: &str = "a date (`2019-03-04`) or a time with its zone (`2019-03-04T05:06:07Z`)";
    // A library of time reads more than is meant here: `20190304`, or a time whose zone is anybody's guess.
    let is_date = text.len() == "2019-03-04".len();
    let time = if is_date {
        let date: Date = text.parse().map_err(|_| EXPECTED)?;
        TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0))
    } else {
        text.parse()
    };
    let time = time.map_err(|_| EXPECTED)?;
    if time > now {
        return Err("a day that has begun (UTC)");
    }
    // The epoch is what a missing date becomes on the way.
    if time.to_zoned(TimeZone::UTC).year() < 1990 {
        return Err("a year from 1990 on");
    }
    Ok(time)
}

/// A registry's own name of an account: one line of 1 to 128 characters, to the letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RegistryAccountName(String);

impl RegistryAccountName {
    /// Checks a name.
    pub fn new(text: impl Into<String>) -> Result<Self, NotAName> {
        let text = text.into();
        // White space at an end is left over from an export, and would make a second account of one.
        let is_name = (1..=128).contains(&text.chars().count())
            && text.trim() == text
            && !text.contains(is_unprintable);
        is_name.then_some(Self(text)).ok_or(NotAName)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no name of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a name of 1 to 128 printable characters, without white space at its ends")]
pub struct NotAName;

/// Controls, what breaks a line or turns its direction around, and what is not seen: a name stands in logs and on pages.
pub(crate) fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}')
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

impl fmt::Display for RegistryAccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RegistryAccountName {
    type Error = NotAName;
    fn try_from(text: String) -> Result<Self, NotAName> {
        Self::new(text)
    }
}

impl From<RegistryAccountName> for String {
    fn from(name: RegistryAccountName) -> Self {
        name.0
    }
}

/// An e-mail address, which never prints whole.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

impl EmailAddress {
    /// Checks the form: `LOCAL@DOMAIN`, at most 254 bytes (RFC 5321 4.5.3.1, with its erratum 1690).
    ///
    /// Whether mail arrives there is what the one who vouches has found out.
    pub fn new(text: impl Into<String>) -> Result<Self, NotAnAddress> {
        let text = text.into();
        let is_address = text.len() <= 254
            && !text.contains(|c: char| c.is_whitespace() || is_unprintable(c))
            && text.rsplit_once('@').is_some_and(|(local, domain)| {
                (1..=64).contains(&local.len())
                    && !local.contains('@')
                    && !domain.is_empty()
                    && !domain.starts_with('.')
                    && !domain.ends_with('.')
            });
        is_address.then_some(Self(text)).ok_or(NotAnAddress)
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address as operators are shown it: the first character and the domain.
    pub fn masked(&self) -> String {
        let (local, domain) = self.0.rsplit_once('@').unwrap_or_default();
        let first = local.chars().next().unwrap_or('?');
        format!("{first}…@{domain}")
    }
}

/// A text that is no e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an e-mail address (`LOCAL@DOMAIN`)")]
pub struct NotAnAddress;

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = NotAnAddress;
    fn try_from(text: String) -> Result<Self, NotAnAddress> {
        Self::new(text)
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_without_white_space_at_its_ends() {
        for good in [
            "ann",
            "Ann Example",
            "@scope/ann",
            "Zoë",
            "アン",
            &"x".repeat(128),
        ] {
            assert_eq!(RegistryAccountName::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            " ",
            " ann",
            "ann\t",
            "a\nb",
            "a\u{1b}[31mb",
            "a\u{202e}b",
            "a\u{2028}b",
            "\u{feff}ann",
            &"ë".repeat(129),
        ] {
            assert_eq!(RegistryAccountName::new(bad), Err(NotAName), "{bad:?}");
        }
    }

    #[test]
    fn an_address_has_a_local_part_and_a_domain() {
        for good in [
            "a@b",
            "ann@registry.example",
            "o'neil+x@sub.example",
            "zoë@exämple",
        ] {
            assert_eq!(EmailAddress::new(good).unwrap().as_str(), good);
        }
        let long = format!("{}@example", "x".repeat(65));
        let longer = format!("a@{}", "x".repeat(253));
        for bad in [
            "", "ann", "@b", "a@", "a@b@c", "a b@c", "a@b c", "a@.b", "a@b.", "a@b\n", &long,
            &longer,
        ] {
            assert_eq!(EmailAddress::new(bad), Err(NotAnAddress), "{bad:?}");
        }
    }

    #[test]
    fn an_address_never_prints_whole() {
        let address = EmailAddress::new("ann@registry.example").unwrap();
        assert_eq!(format!("{address:?}"), "a…@registry.example");
    }

    #[test]
    fn a_name_or_an_address_read_from_json_is_checked_too() {
        assert!(serde_json::from_str::<RegistryAccountName>("\"ann\"").is_ok());
        assert!(serde_json::from_str::<RegistryAccountName>("\"a\\nb\"").is_err());
        assert!(serde_json::from_str::<EmailAddress>("\"a@b\"").is_ok());
        assert!(serde_json::from_str::<EmailAddress>("\"ann\"").is_err());
    }
}
