//! Tokens as a client gets them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// The answer of the token endpoint.
#[derive(Debug)]
pub struct Tokens {
    /// The HTTP status.
    pub status: u16,
    /// The JSON.
    pub body: Value,
}

impl Tokens {
    /// The claims of the access token, unverified.
    pub fn access(&self) -> Value {
        payload(self.text("access_token"))
    }

    /// The claims of the ID token, unverified.
    pub fn id(&self) -> Value {
        payload(self.text("id_token"))
    }

    /// A member that must be a text.
    pub fn text(&self, name: &str) -> &str {
        self.body[name]
            .as_str()
            .unwrap_or_else(|| panic!("no `{name}` in {}", self.body))
    }
}

/// The payload of a JWS, unverified.
pub fn payload(token: &str) -> Value {
    let middle = token.split('.').nth(1).expect("a payload");
    let bytes = URL_SAFE_NO_PAD.decode(middle).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}
