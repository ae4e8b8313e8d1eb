//! The heads of audit chains: how far a replica's audit log was written, and the hash of its last line.
//!
//! The lines themselves are in files. A head in the store says of a file, wherever it lies, that all up to
//! a line is there and is what it was.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How many heads are kept of each chain: of hours at full load, of weeks where little happens.
///
/// The last one covers every line before it; the ones before only narrow down since when a line is another.
pub const HEADS_KEPT: usize = 1000;

/// What one chain is called: that of a replica, or of the commands at a machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReplicaId(String);

/// SHA-256 of a line, as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChainHash(pub [u8; 32]);

/// The end of a chain as it was at some time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditHead {
    /// Whose chain it is.
    pub replica: ReplicaId,
    /// The number of the last line.
    pub n: u64,
    /// The hash of the last line.
    pub hash: ChainHash,
    /// The time in the last line.
    pub time: Timestamp,
}

/// Text that names no chain.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a replica's name is 1 to 64 of `a-z`, `0-9` and `-`")]
pub struct NotAReplica;

/// Text that is no hash.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a hash is 64 hexadecimal digits in lower case")]
pub struct NotAHash;

impl ReplicaId {
    /// The longest name.
    const LONGEST: usize = 64;

    /// Takes a name.
    pub fn new(text: impl Into<String>) -> Result<Self, NotAReplica> {
        let text = text.into();
        let is_good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(is_good) {
            Ok(Self(text))
        } else {
            Err(NotAReplica)
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ReplicaId {
    type Error = NotAReplica;

    fn try_from(text: String) -> Result<Self, NotAReplica> {
        Self::new(text)
    }
}

impl From<ReplicaId> for String {
    fn from(id: ReplicaId) -> Self {
        id.0
    }
}

impl ChainHash {
    /// What the first line of a chain has before it.
    pub const NONE: Self = Self([0; 32]);
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ChainHash {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        let digit = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(NotAHash),
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let mut hash = [0; 32];
        if pairs.len() != hash.len() || !rest.is_empty() {
            return Err(NotAHash);
        }
        for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(hash))
    }
}

impl TryFrom<String> for ChainHash {
    type Error = NotAHash;

    fn try_from(text: String) -> Result<Self, NotAHash> {
        text.parse()
    }
}

impl From<ChainHash> for String {
    fn from(hash: ChainHash) -> Self {
        hash.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_as_it_is_written_and_nothing_else_is() {
        let hash = ChainHash(std::array::from_fn(|n| u8::try_from(n * 8).unwrap()));
        let text = hash.to_string();
        assert_eq!(text.parse(), Ok(hash));
        for bad in [
            "",
            "00",
            &text.to_uppercase(),
            &text[1..],
            &format!("{text}00"),
            &text.replace('0', "g"),
        ] {
            assert_eq!(bad.parse::<ChainHash>(), Err(NotAHash), "{bad}");
        }
    }

    #[test]
    fn a_replica_has_a_name_that_stands_anywhere() {
        ReplicaId::new("0a1b-commands").unwrap();
        for bad in ["", "A", "a b", "a\n", "a_b", "a*", &"a".repeat(65)] {
            assert_eq!(ReplicaId::new(bad), Err(NotAReplica), "{bad}");
        }
    }
}
