//! Which packages an API key is for: names, or what names begin with.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The name of a package, or with a `*` at its end what names begin with: `left-pad`, `@alice/*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackagePattern(String);

/// A text that is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "expected the name of a package, of at most 256 printable ASCII characters, or its beginning and then `*`"
)]
pub struct NotAPattern;

impl PackagePattern {
    /// As long as a name in any registry.
    const LONGEST: usize = 256;

    /// Checks `text`. A `*` alone is none: a key without patterns is for all packages.
    pub fn new(text: impl Into<String>) -> Result<Self, NotAPattern> {
        let text = text.into();
        let name = text.strip_suffix('*').unwrap_or(&text);
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'*';
        let is_pattern =
            !name.is_empty() && text.len() <= Self::LONGEST && name.bytes().all(is_plain);
        is_pattern.then_some(Self(text)).ok_or(NotAPattern)
    }

    /// Whether a package is one of these, by its name to the letter.
    pub fn covers(&self, package: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => package.starts_with(beginning),
            None => package == self.0,
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PackagePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for PackagePattern {
    type Error = NotAPattern;

    fn try_from(text: String) -> Result<Self, NotAPattern> {
        Self::new(text)
    }
}

impl From<PackagePattern> for String {
    fn from(pattern: PackagePattern) -> Self {
        pattern.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_covers_itself_and_a_beginning_all_that_goes_on() {
        let cases = [
            ("left-pad", "left-pad", true),
            ("left-pad", "left-pad-2", false),
            ("left-pad", "Left-Pad", false),
            ("@alice/*", "@alice/tool", true),
            ("@alice/*", "@alice", false),
            ("@alice/*", "@alicex/tool", false),
            ("com.example*", "com.example.app", true),
            ("com.example*", "com.examples", true),
            ("com.example*", "com.example", true),
            ("com.example*", "com.exampl", false),
        ];
        for (pattern, package, covered) in cases {
            let read = PackagePattern::new(pattern).unwrap();
            assert_eq!(read.covers(package), covered, "{pattern} {package}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_not_read() {
        let long = "a".repeat(257);
        for text in ["", "*", "**", "a*b", "a**", "a b", "a\n", "é", " a", &long] {
            assert_eq!(PackagePattern::new(text), Err(NotAPattern), "{text:?}");
        }
        assert!(PackagePattern::new("a".repeat(256)).is_ok());
        let read: Result<PackagePattern, _> = serde_json::from_str("\"a*b\"");
        assert!(read.is_err());
    }
}
