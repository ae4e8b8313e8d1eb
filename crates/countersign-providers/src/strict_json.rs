//! JSON objects in which no member stands twice.
//!
//! RFC 7519 4 lets a parser take the last of two members; then two parsers read two tokens
//! out of one. Here a second member is an error.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

/// A JSON object without duplicate members at its top level.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StrictObject(pub(crate) Map<String, Value>);

impl<'de> Deserialize<'de> for StrictObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = StrictObject;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object without duplicate members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<StrictObject, A::Error> {
        let mut members = Map::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(StrictObject(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_stands_twice_is_refused() {
        let read = |text: &str| serde_json::from_str::<StrictObject>(text);
        assert!(read(r#"{"tid":"a","oid":"b"}"#).is_ok());
        assert!(read(r#"{"tid":"a","tid":"a"}"#).is_err());
        assert!(read(r#"{"tid":"a","\u0074id":"b"}"#).is_err());
        assert!(read("[]").is_err());
    }
}
