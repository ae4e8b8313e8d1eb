//! What an answer of Redis holds, and what an error of it means for whoever asked.

use redis::{RedisError, ServerError, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::settings::RedisAddress;
use crate::StoreError;

/// Why there is no answer.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// It was not done, here and now: by another node, or in a moment, it may be.
    NotDone(String),
    /// It was not done: this node is the one to ask.
    Moved(RedisAddress),
    /// It was not done: this node is the one to ask, this once.
    Ask(RedisAddress),
    /// Nobody knows whether it was done.
    Unknown(String),
    /// It was done, and too few replicas have said that they have it.
    Unconfirmed(String),
    /// It was not done and won't be.
    Refused(String),
}

impl Failure {
    /// What a connection that broke or was silent means for a command that was sent.
    pub(super) fn of_connection(address: &RedisAddress, error: &RedisError) -> Self {
        Self::Unknown(format!("`{address}`: {error}"))
    }

    /// What a server's error means.
    pub(super) fn of_server(address: &RedisAddress, error: &ServerError) -> Self {
        let details = error.details().unwrap_or_default();
        let said = || format!("`{address}`: {} {details}", error.code());
        match error.code() {
            "MOVED" => {
                redirected(address, details).map_or_else(|| Self::Refused(said()), Self::Moved)
            }
            "ASK" => redirected(address, details).map_or_else(|| Self::Refused(said()), Self::Ask),
            // A replica by now; a cluster that chooses a primary; a slot on its way; a start.
            "READONLY" | "CLUSTERDOWN" | "TRYAGAIN" | "LOADING" | "MASTERDOWN" | "NOREPLICAS" => {
                Self::NotDone(said())
            }
            "UNBLOCKED" => Self::Unconfirmed(said()),
            _ => Self::Refused(said()),
        }
    }

    /// In words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::NotDone(what)
            | Self::Unknown(what)
            | Self::Unconfirmed(what)
            | Self::Refused(what) => what.clone(),
            Self::Moved(to) | Self::Ask(to) => format!("sent on to `{to}`, again and again"),
        }
    }
}

/// `3999 127.0.0.1:6381`; without a host it is the one that was asked.
fn redirected(asked: &RedisAddress, details: &str) -> Option<RedisAddress> {
    let (_, to) = details.split_once(' ')?;
    let (host, port) = to.rsplit_once(':')?;
    let host = if host.is_empty() { &asked.host } else { host };
    Some(RedisAddress {
        host: host.to_owned(),
        port: port.parse().ok()?,
    })
}

/// An answer, piece by piece; a piece may be nothing.
#[derive(Debug)]
pub(super) struct Reply(pub(super) Vec<Option<Vec<u8>>>);

impl Reply {
    /// The pieces of an answer that is one or a list of them.
    pub(super) fn of(value: Value) -> Result<Self, StoreError> {
        let pieces = match value {
            Value::Array(values) => values.into_iter().map(piece).collect::<Result<_, _>>(),
            other => piece(other).map(|piece| vec![piece]),
        };
        pieces.map(Self)
    }

    /// The first piece of a script's answer.
    pub(super) fn word(&self) -> &str {
        let word = self.0.first().and_then(Option::as_deref);
        word.and_then(|word| std::str::from_utf8(word).ok())
            .unwrap_or_default()
    }

    /// The piece at this place, if it is there.
    pub(super) fn piece(&self, place: usize) -> Option<&[u8]> {
        self.0.get(place)?.as_deref()
    }

    /// The piece at this place as a number.
    pub(super) fn number<N: std::str::FromStr>(&self, place: usize) -> Option<N> {
        std::str::from_utf8(self.piece(place)?).ok()?.parse().ok()
    }
}

fn piece(value: Value) -> Result<Option<Vec<u8>>, StoreError> {
    match value {
        Value::Nil => Ok(None),
        Value::Int(number) => Ok(Some(number.to_string().into_bytes())),
        Value::BulkString(bytes) => Ok(Some(bytes)),
        Value::SimpleString(text) => Ok(Some(text.into_bytes())),
        Value::Okay => Ok(Some(b"OK".to_vec())),
        _ => Err(unexpected()),
    }
}

/// A script or a command answered with what it never does.
pub(super) fn unexpected() -> StoreError {
    StoreError::Unavailable("Redis answered with what it never should".into())
}

/// A record as the JSON that is kept.
pub(super) fn to_json(record: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(record)
        .map_err(|error| StoreError::Unavailable(format!("a record can't be written: {error}")))
}

/// The record that is kept as JSON under a key.
pub(super) fn from_json<T: DeserializeOwned>(key: &str, json: &[u8]) -> Result<T, StoreError> {
    // The message of serde_json can quote the record, and so a person's name: only the spot is told.
    serde_json::from_slice(json).map_err(|error| {
        corrupt(
            key,
            &format!("its JSON is not the record's, at byte {}", error.column()),
        )
    })
}

pub(super) fn corrupt(key: &str, what: &str) -> StoreError {
    StoreError::Corrupt(format!("key `{key}`: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirection_names_the_node_to_ask() {
        let asked: RedisAddress = "a.example:1".parse().unwrap();
        for (details, expected) in [
            ("3999 127.0.0.1:6381", Some("127.0.0.1:6381")),
            ("3999 :6381", Some("a.example:6381")),
            ("3999 b.example:6381", Some("b.example:6381")),
            ("3999 ::1:6381", Some("[::1]:6381")),
            ("3999", None),
            ("3999 b.example:x", None),
        ] {
            let found = redirected(&asked, details).map(|it| it.to_string());
            assert_eq!(found.as_deref(), expected, "{details}");
        }
    }
}
