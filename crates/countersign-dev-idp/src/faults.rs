//! What can be broken, as data: members of any JSON, signatures, and the wire itself.
//!
//! A table of faults is a table of values of these types; applying them is the last thing
//! that happens before a document leaves, so that everything not named stays as it should be.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

/// One change to a JSON object (or to the parameters of a redirect).
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// Puts a member, new or old. A name that starts with `/` is a JSON pointer, as in `/keys/0/issuer`.
    Set(String, Value),
    /// Takes a member away. A name that starts with `/` is a JSON pointer.
    Remove(String),
    /// Writes a further member at the end of the object's text, also where the name exists already.
    Append(String, Value),
    /// The same at the start of the object's text.
    Prepend(String, Value),
}

impl Edit {
    pub fn set(name: &str, value: impl Into<Value>) -> Self {
        Edit::Set(name.to_owned(), value.into())
    }

    pub fn remove(name: &str) -> Self {
        Edit::Remove(name.to_owned())
    }

    pub fn append(name: &str, value: impl Into<Value>) -> Self {
        Edit::Append(name.to_owned(), value.into())
    }

    pub fn prepend(name: &str, value: impl Into<Value>) -> Self {
        Edit::Prepend(name.to_owned(), value.into())
    }
}

/// What happens to one ID token.
#[derive(Clone, Debug, Default)]
pub struct TokenFaults {
    /// Changes to the claims, after all hashes are computed.
    pub claims: Vec<Edit>,
    /// Changes to the JOSE header, before signing.
    pub header: Vec<Edit>,
    pub signing: Signing,
}

/// How a token is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signing {
    /// With the provider's key and its usual algorithm.
    #[default]
    Proper,
    /// `alg: none`, no signature.
    AlgNone,
    /// The proper header with an empty signature.
    Empty,
    /// The proper signature with one bit turned.
    Corrupted,
    /// HS256 with the public key's PEM as the secret.
    Hs256PublicPem,
    /// HS256 with the public key's raw modulus (or point) as the secret.
    Hs256PublicBytes,
    /// HS256 with the client secret.
    Hs256ClientSecret,
    /// A key of nobody's key set, under the proper `kid`.
    ForeignKey,
    /// The same, its public half in the header as `jwk`.
    ForeignKeyWithJwk,
    /// The same, its certificate in the header as `x5c`.
    ForeignKeyWithX5c,
    /// The same, the header's `jku` pointing to `{base}/foreign/keys`, which serves it.
    ForeignKeyWithJku,
    /// The proper RSA key with PS256.
    Ps256,
    /// Entra: the key that only signs for personal accounts.
    MsaKey,
    /// A properly signed token with a claim changed afterwards: the signature covers other bytes.
    ChangedAfterSigning,
}

/// What happens to the requests to one endpoint.
#[derive(Clone, Debug, Default)]
pub struct WireFault {
    /// How long the answer is held back.
    pub delay: Duration,
    pub answer: WireAnswer,
}

impl WireFault {
    pub fn slow(delay: Duration) -> Self {
        Self {
            delay,
            answer: WireAnswer::Usual,
        }
    }

    pub fn status(status: u16) -> Self {
        Self::answering(WireAnswer::Status(status))
    }

    pub fn answering(answer: WireAnswer) -> Self {
        Self {
            delay: Duration::ZERO,
            answer,
        }
    }
}

/// What is answered instead, or how.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum WireAnswer {
    #[default]
    Usual,
    /// An HTML error page with this status; the endpoint's work is not done.
    Status(u16),
    /// This answer; the endpoint's work is not done.
    Body {
        status: u16,
        content_type: String,
        headers: Vec<(String, String)>,
        body: String,
    },
    /// A redirect (307) to this address; the endpoint's work is not done.
    Redirect(String),
    /// The usual answer behind this many bytes of white space: still valid JSON for those who read it all.
    Padded(usize),
    /// The usual answer, in pieces of so many bytes with a pause before each.
    Trickle { piece: usize, pause: Duration },
    /// The usual body under another content type.
    ContentType(String),
}

/// Endpoints that [`WireFault`]s and [`Document`] edits name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    Discovery,
    Jwks,
    Authorize,
    Token,
    UserInfo,
    /// GitHub's `/user`.
    User,
    /// GitHub's `/user/emails`.
    Emails,
    /// GitHub's `/user/memberships/orgs`.
    Memberships,
}

/// JSON documents (and the callback's parameters) that edits apply to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Document {
    Discovery,
    Jwks,
    TokenResponse,
    UserInfo,
    User,
    Emails,
    Memberships,
    /// The parameters sent to the redirect URI, by whichever response mode. No JSON pointers here.
    Callback,
}

/// Edits by document.
pub type Edits = BTreeMap<Document, Vec<Edit>>;

/// The object as text, edited.
pub(crate) fn edited_object(object: Map<String, Value>, edits: &[Edit]) -> String {
    edited(Value::Object(object), edits)
}

/// Any JSON as text, edited.
pub(crate) fn edited(mut value: Value, edits: &[Edit]) -> String {
    for edit in edits {
        match edit {
            Edit::Set(name, new) => put(&mut value, name, new.clone()),
            Edit::Remove(name) => take(&mut value, name),
            Edit::Append(..) | Edit::Prepend(..) => {}
        }
    }
    let text = value.to_string();
    edits.iter().fold(text, |text, edit| match edit {
        Edit::Append(name, new) => with_member_last(&text, name, new),
        Edit::Prepend(name, new) => with_member_first(&text, name, new),
        Edit::Set(..) | Edit::Remove(_) => text,
    })
}

/// Redirect parameters, edited. A value that is no string is written as JSON.
pub(crate) fn edited_parameters(
    parameters: Vec<(String, String)>,
    edits: &[Edit],
) -> Vec<(String, String)> {
    edits
        .iter()
        .fold(parameters, |mut parameters, edit| match edit {
            Edit::Set(name, value) => {
                parameters.retain(|(known, _)| known != name);
                parameters.push((name.clone(), plain(value)));
                parameters
            }
            Edit::Remove(name) => {
                parameters.retain(|(known, _)| known != name);
                parameters
            }
            Edit::Append(name, value) => {
                parameters.push((name.clone(), plain(value)));
                parameters
            }
            Edit::Prepend(name, value) => {
                parameters.insert(0, (name.clone(), plain(value)));
                parameters
            }
        })
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn put(value: &mut Value, name: &str, new: Value) {
    if let Some((parent, leaf)) = pointer(value, name) {
        match parent {
            Value::Object(members) => {
                members.insert(leaf, new);
            }
            Value::Array(items) => {
                if let Some(item) = leaf.parse().ok().and_then(|at: usize| items.get_mut(at)) {
                    *item = new;
                } else {
                    items.push(new);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn take(value: &mut Value, name: &str) {
    if let Some((parent, leaf)) = pointer(value, name) {
        match parent {
            Value::Object(members) => {
                members.remove(&leaf);
            }
            Value::Array(items) => {
                if let Some(at) = leaf.parse().ok().filter(|at: &usize| *at < items.len()) {
                    items.remove(at);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// The container that a name lives in, and its key there.
fn pointer<'a>(value: &'a mut Value, name: &str) -> Option<(&'a mut Value, String)> {
    if !name.starts_with('/') {
        return Some((value, name.to_owned()));
    }
    let (parent, leaf) = name.rsplit_once('/')?;
    Some((value.pointer_mut(parent)?, leaf.to_owned()))
}

fn with_member_last(object: &str, name: &str, value: &Value) -> String {
    let inside = object.strip_suffix('}').unwrap_or(object);
    let comma = if inside == "{" { "" } else { "," };
    format!("{inside}{comma}{}:{value}}}", Value::from(name))
}

fn with_member_first(object: &str, name: &str, value: &Value) -> String {
    let rest = object.strip_prefix('{').unwrap_or(object);
    let comma = if rest.trim_start().starts_with('}') {
        ""
    } else {
        ","
    };
    format!("{{{}:{value}{comma}{rest}", Value::from(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(edit: Edit, expected: &str) {
        assert_eq!(
            edited(json!({"a": {"b": 1}, "keys": [{"k": 1}]}), &[edit]),
            expected
        );
    }

    #[test]
    fn a_member_can_be_set_removed_and_written_twice() {
        check(Edit::set("a", 2), r#"{"a":2,"keys":[{"k":1}]}"#);
        check(Edit::remove("a"), r#"{"keys":[{"k":1}]}"#);
        check(
            Edit::append("a", "x"),
            r#"{"a":{"b":1},"keys":[{"k":1}],"a":"x"}"#,
        );
        check(
            Edit::prepend("a", "x"),
            r#"{"a":"x","a":{"b":1},"keys":[{"k":1}]}"#,
        );
    }

    #[test]
    fn a_pointer_reaches_inside() {
        check(
            Edit::set("/keys/0/k", 2),
            r#"{"a":{"b":1},"keys":[{"k":2}]}"#,
        );
        check(Edit::remove("/keys/0"), r#"{"a":{"b":1},"keys":[]}"#);
        check(Edit::remove("/a/b"), r#"{"a":{},"keys":[{"k":1}]}"#);
    }

    #[test]
    fn a_member_is_appended_after_a_nested_object_that_closes_last() {
        let text = edited(json!({"a": {"b": {}}}), &[Edit::append("c", 1)]);
        assert_eq!(text, r#"{"a":{"b":{}},"c":1}"#);
    }

    #[test]
    fn a_member_is_appended_to_an_empty_object() {
        assert_eq!(edited(json!({}), &[Edit::append("c", 1)]), r#"{"c":1}"#);
        assert_eq!(edited(json!({}), &[Edit::prepend("c", 1)]), r#"{"c":1}"#);
    }
}
