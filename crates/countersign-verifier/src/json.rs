//! Reading JSON more strictly than serde does by itself.

use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer};

/// Reads a JSON object into a struct; derived structs refuse a member that is there twice.
///
/// A derived struct would also be filled from an array, member by member, so that is refused here.
pub(crate) fn object<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    match json.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => serde_json::from_slice(json),
        _ => Err(de::Error::custom("not a JSON object")),
    }
}

/// Reads an optional member that, where it stands, must have a value: `null` is not "absent".
pub(crate) fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}
