//! The `WWW-Authenticate` header that tells a client what to do next.
//!
//! RFC 6750, section 3 (<https://www.rfc-editor.org/rfc/rfc6750#section-3>) and
//! RFC 9470, section 3 (<https://www.rfc-editor.org/rfc/rfc9470#section-3>).

use std::fmt;

use crate::dpop::DPOP_ALGORITHMS;

const BEARER: &str = "Bearer";
/// The realm of a challenge that has nothing else to say.
const DEFAULT_REALM: &str = "registry";

/// One challenge. [`Display`](fmt::Display) writes the value of the `WWW-Authenticate` header.
///
/// ```
/// # use countersign_verifier::Error;
/// let error = Error::InsufficientScope { scope: "packages:publish".into() };
/// let challenge = error.challenge().unwrap();
/// assert_eq!(challenge.status(), 403);
/// assert!(challenge.to_string().starts_with(r#"Bearer error="insufficient_scope""#));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    status: u16,
    scheme: &'static str,
    parameters: Vec<(&'static str, String)>,
}

impl Challenge {
    /// The HTTP status that goes with it: 400, 401 or 403.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Names the realm, in place of the default of a bare challenge.
    #[must_use]
    pub fn with_realm(mut self, realm: &str) -> Self {
        self.parameters.retain(|(name, _)| *name != "realm");
        self.parameters.insert(0, ("realm", realm.to_owned()));
        self
    }

    /// RFC 6750, section 3.1: a request without credentials gets no error code. Section 3: the
    /// scheme must be followed by at least one parameter, hence the realm.
    pub(crate) fn bare() -> Self {
        Self {
            status: 401,
            scheme: BEARER,
            parameters: vec![("realm", DEFAULT_REALM.to_owned())],
        }
    }

    pub(crate) fn invalid_request() -> Self {
        Self::new(
            400,
            "invalid_request",
            "The Authorization header must be Bearer and one token",
        )
    }

    pub(crate) fn invalid_token(description: &str) -> Self {
        Self::new(401, "invalid_token", description)
    }

    /// RFC 9449, section 7.1: what is wrong with the proof is told by the scheme of proofs.
    pub(crate) fn bad_proof() -> Self {
        Self::new(
            401,
            "invalid_dpop_proof",
            "The proof in the header DPoP is missing or not good",
        )
        .of_dpop()
    }

    /// RFC 9449, section 9. The nonce itself is in the header `DPoP-Nonce`.
    pub(crate) fn nonce_needed() -> Self {
        Self::new(
            401,
            "use_dpop_nonce",
            "The proof must have the nonce of the header DPoP-Nonce",
        )
        .of_dpop()
    }

    /// RFC 9449, section 7.1: the same, and by which algorithms a key is shown.
    pub(crate) fn of_dpop(mut self) -> Self {
        self.scheme = "DPoP";
        self.with("algs", DPOP_ALGORITHMS.join(" "))
    }

    pub(crate) fn insufficient_scope(scope: &str) -> Self {
        Self::new(403, "insufficient_scope", "The access token lacks a scope")
            .with("scope", scope.to_owned())
    }

    pub(crate) fn insufficient_user_authentication(
        acr_values: &[String],
        max_age: Option<u64>,
    ) -> Self {
        let mut challenge = Self::new(
            401,
            "insufficient_user_authentication",
            "A stronger or more recent login is needed",
        );
        if !acr_values.is_empty() {
            challenge = challenge.with("acr_values", acr_values.join(" "));
        }
        match max_age {
            Some(seconds) => challenge.with("max_age", seconds.to_string()),
            None => challenge,
        }
    }

    fn new(status: u16, error: &'static str, description: &str) -> Self {
        Self {
            status,
            scheme: BEARER,
            parameters: vec![("error", error.to_owned())],
        }
        .with("error_description", description.to_owned())
    }

    fn with(mut self, name: &'static str, value: String) -> Self {
        self.parameters.push((name, value));
        self
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheme)?;
        for (place, (name, value)) in self.parameters.iter().enumerate() {
            let gap = if place == 0 { " " } else { ", " };
            write!(f, "{gap}{name}=\"{}\"", quotable(value))?;
        }
        Ok(())
    }
}

/// RFC 6750, section 3: values are of `%x20-21 / %x23-5B / %x5D-7E`, with no quote, no backslash
/// and no control character. Whatever else a value holds is left out, so that it cannot end the
/// quotes or the header.
fn quotable(value: &str) -> String {
    value
        .chars()
        .filter(|c| matches!(c, ' ' | '!' | '#'..='[' | ']'..='~'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_credentials_gets_no_error_code() {
        assert_eq!(Challenge::bare().to_string(), r#"Bearer realm="registry""#);
        assert_eq!(Challenge::bare().status(), 401);
        assert_eq!(
            Challenge::bare().with_realm("nuget").to_string(),
            r#"Bearer realm="nuget""#
        );
    }

    #[test]
    fn a_bad_token_gets_401_and_its_error_code() {
        let challenge = Challenge::invalid_token("The access token has expired");
        assert_eq!(challenge.status(), 401);
        assert_eq!(
            challenge.to_string(),
            r#"Bearer error="invalid_token", error_description="The access token has expired""#
        );
    }

    #[test]
    fn a_missing_scope_is_named_with_403() {
        let challenge = Challenge::insufficient_scope("packages:publish");
        assert_eq!(challenge.status(), 403);
        assert_eq!(
            challenge.to_string(),
            r#"Bearer error="insufficient_scope", error_description="The access token lacks a scope", scope="packages:publish""#
        );
    }

    #[test]
    fn a_weak_login_is_told_every_value_that_would_do_and_the_age() {
        let values = ["urn:countersign:mfa".to_owned(), "phr".to_owned()];
        let challenge = Challenge::insufficient_user_authentication(&values, Some(300));
        assert_eq!(challenge.status(), 401);
        assert_eq!(
            challenge.to_string(),
            r#"Bearer error="insufficient_user_authentication", error_description="A stronger or more recent login is needed", acr_values="urn:countersign:mfa phr", max_age="300""#
        );
    }

    #[test]
    fn no_value_can_end_its_quotes_or_the_header() {
        let challenge = Challenge::insufficient_scope("a\"b\\c\r\nSet-Cookie: x=é\u{7f}");
        assert!(
            challenge
                .to_string()
                .ends_with(r#"scope="abcSet-Cookie: x=""#)
        );
        assert!(!challenge.to_string().contains(['\r', '\n']));
    }
}
