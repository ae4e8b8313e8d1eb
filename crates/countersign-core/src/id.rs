//! The names of things, each a type of its own, checked once at the border.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A text that is not the identifier it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{found}` is not {expected}")]
pub struct IdError {
    /// What was found, shortened to 64 characters.
    pub found: String,
    /// What was expected, in words.
    pub expected: &'static str,
}

impl IdError {
    fn new(found: &str, expected: &'static str) -> Self {
        Self {
            found: found.chars().take(64).collect(),
            expected,
        }
    }
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `text` and names it.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                let check: fn(&str) -> bool = $check;
                if check(&text) {
                    Ok(Self(text))
                } else {
                    Err(IdError::new(&text, $expected))
                }
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

identifier! {
    /// The name of a configured provider, as in `[provider.entra.NAME]`; also a path segment.
    ProviderId, "a name of 1 to 64 lower-case letters, digits and `-`", is_slug
}
identifier! {
    /// The name of a registry that Countersign stands in front of, as in `[registry.NAME]`; also a path segment.
    RegistryName, "a name of 1 to 64 lower-case letters, digits and `-`", is_slug
}
identifier! {
    /// An OAuth `client_id`.
    ClientId, "a client id of 1 to 64 letters, digits, `-`, `_` and `.`", is_client_id
}
identifier! {
    /// The registry's name of one of its organisations.
    OrganizationId, "an organization's name of 1 to 64 letters, digits, `-`, `_` and `.`", is_organization
}
identifier! {
    /// The name of an exception, as in `[exception.NAME]`; tokens and the decision log carry it.
    ExceptionName, "a name of 1 to 64 lower-case letters, digits and `-`", is_slug
}
identifier! {
    /// Countersign's stable name of an account, the `sub` of its tokens: `acct_…`.
    AccountId, "an account id (`acct_` and 1 to 64 letters and digits)",
    |text| is_prefixed(text, "acct_")
}
identifier! {
    /// Countersign's name of a session, the `sid` of its tokens: `sess_…`.
    SessionId, "a session id (`sess_` and 1 to 64 letters and digits)",
    |text| is_prefixed(text, "sess_")
}
identifier! {
    /// Countersign's name of what a client may refresh: `grant_…`.
    GrantId, "a grant id (`grant_` and 1 to 64 letters and digits)",
    |text| is_prefixed(text, "grant_")
}
identifier! {
    /// Countersign's name of an API key: `key_…`. It is made of a digest of the key, and leads nobody back to it.
    ApiKeyId, "an API key's id (`key_` and 32 hexadecimal digits)",
    |text| text.len() == 36 && text.strip_prefix("key_").is_some_and(is_lower_hex)
}
identifier! {
    /// One sign-in from `/authorize` to its end; spent once. Hexadecimal, 32 digits (128 bits).
    AttemptId, "an attempt id of 32 hexadecimal digits", |text| text.len() == 32 && is_lower_hex(text)
}
identifier! {
    /// A Microsoft Entra tenant id: a GUID in lower case, and nothing else.
    ///
    /// `tid` becomes part of the issuer and of a path, so `common`, `x/../y` and upper case are refused.
    TenantId, "a tenant id (a GUID in lower case)", is_guid
}
identifier! {
    /// One OAuth scope token (RFC 6749 3.3), at most 128 characters.
    Scope, "a scope (RFC 6749 3.3: printable ASCII without space, `\"` and `\\`)", is_scope
}

identifier! {
    /// A place in a trace, as the W3C's header `traceparent` writes it: `00-TRACE-SPAN-01`.
    ///
    /// Ours are made here and travel sealed or stored; what a header says is never one.
    TracePlace, "a place in a trace (W3C Trace Context: `00-`, 32 digits, `-`, 16 digits, `-01`)", is_trace_place
}

impl TracePlace {
    /// The trace, 32 hexadecimal digits.
    pub fn trace(&self) -> &str {
        &self.0[3..35]
    }

    /// The span, 16 hexadecimal digits.
    pub fn span(&self) -> &str {
        &self.0[36..52]
    }
}

impl Scope {
    /// Which tenants an organisation's people come from.
    pub const TENANTS_WRITE: &'static str = "tenants:write";
    /// Which identities lead to an account.
    pub const IDENTITIES_WRITE: &'static str = "identities:write";
    /// Which exceptions an organisation asks operators for.
    pub const EXCEPTIONS_REQUEST: &'static str = "exceptions:request";
    /// Which API keys there are: making and revoking one's own.
    pub const API_KEYS_WRITE: &'static str = "api-keys:write";
    /// What an operator sees: all accounts, all organisations, the audit log.
    pub const OPERATOR_READ: &'static str = "operator:read";
    /// What an operator does to them.
    pub const OPERATOR_WRITE: &'static str = "operator:write";

    /// Whether what it allows decides who gets in from then on, so that it outlasts whatever let it be done, or opens
    /// what is everybody's: the calendar and exceptions let go of nothing there.
    pub(crate) fn decides_who_gets_in(&self) -> bool {
        [Self::TENANTS_WRITE, Self::IDENTITIES_WRITE].contains(&self.as_str())
            || self.is_for_operators()
    }

    /// Whether a person has it only where the policy names their account as an operator's.
    pub fn is_for_operators(&self) -> bool {
        self.as_str().starts_with("operator:")
    }
}

impl ClientId {
    /// The client that our own pages are: nobody else can be it.
    pub const OWN: &'static str = "countersign";

    /// That client.
    pub fn own() -> Self {
        Self(Self::OWN.to_owned())
    }
}

impl AccountId {
    /// The id of no account: for cases that are made up.
    pub(crate) fn of_nobody() -> Self {
        Self("acct_0".to_owned())
    }
}

impl TenantId {
    /// The tenant that all Microsoft personal accounts live in.
    pub const CONSUMERS: &'static str = "9188040d-6c67-4c5b-b112-36a304b66dad";

    /// Whether this is the tenant of Microsoft personal accounts.
    pub fn is_consumers(&self) -> bool {
        self.0 == Self::CONSUMERS
    }
}

impl SessionId {
    /// The session that this attempt opens: one owner, so that a cluster keeps both in one slot.
    pub fn of(attempt: &AttemptId) -> Self {
        Self(format!("sess_{attempt}"))
    }

    /// What this session's codes begin with, so that whoever has one knows where to look for it.
    pub fn code_prefix(&self) -> &str {
        self.0.trim_start_matches("sess_")
    }
}

fn is_slug(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_client_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// It stands in paths of ours, where `.` and `..` would mean something else.
fn is_organization(text: &str) -> bool {
    is_client_id(text) && text.bytes().any(|b| b.is_ascii_alphanumeric())
}

fn is_prefixed(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        (1..=64).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_guid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| is_lower_hex(group))
}

fn is_trace_place(text: &str) -> bool {
    // W3C Trace Context 3.2.2: version, trace, parent, flags; nothing of zeroes only.
    let groups: Vec<&str> = text.split('-').collect();
    let is_id = |id: &str| is_lower_hex(id) && id.bytes().any(|b| b != b'0');
    groups.iter().map(|group| group.len()).eq([2, 32, 16, 2])
        && (groups[0], groups[3]) == ("00", "01")
        && is_id(groups[1])
        && is_id(groups[2])
}

fn is_scope(text: &str) -> bool {
    // RFC 6749 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| (0x21..=0x7e).contains(&b) && b != b'"' && b != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_id_is_a_lower_case_guid_and_nothing_else() {
        assert!(TenantId::new(TenantId::CONSUMERS).unwrap().is_consumers());
        for bad in [
            "",
            "common",
            "organizations",
            "x/../y",
            "9188040D-6C67-4C5B-B112-36A304B66DAD",
            "9188040d-6c67-4c5b-b112-36a304b66dad ",
            "9188040d6c674c5bb11236a304b66dad",
            "9188040d-6c67-4c5b-b112-36a304b66dag",
            "{9188040d-6c67-4c5b-b112-36a304b66dad}",
        ] {
            assert!(TenantId::new(bad).is_err(), "`{bad}` was taken");
        }
    }

    #[test]
    fn a_scope_holds_no_space_quote_or_backslash() {
        assert!(Scope::new("packages:publish").is_ok());
        for bad in ["", "a b", "a\"b", "a\\b", "ä", "a\n"] {
            assert!(Scope::new(bad).is_err(), "`{bad}` was taken");
        }
    }

    #[test]
    fn a_place_in_a_trace_has_a_trace_and_a_span() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let place = TracePlace::new(format!("00-{trace}-{span}-01")).unwrap();
        assert_eq!((place.trace(), place.span()), (trace, span));
        let none = "0".repeat(32);
        for bad in [
            String::new(),
            format!("00-{trace}-{span}"),
            format!("01-{trace}-{span}-01"),
            format!("00-{trace}-{span}-01-more"),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{none}-{span}-01"),
            format!("00-{trace}-{}-01", &none[..16]),
        ] {
            assert!(TracePlace::new(&*bad).is_err(), "`{bad}` was taken");
        }
    }

    #[test]
    fn a_session_is_named_after_the_attempt_that_opened_it() {
        let attempt = AttemptId::new("00112233445566778899aabbccddeeff").unwrap();
        assert_eq!(
            SessionId::of(&attempt).as_str(),
            "sess_00112233445566778899aabbccddeeff"
        );
    }

    #[test]
    fn an_identifier_read_from_json_is_checked_too() {
        assert!(serde_json::from_str::<ProviderId>("\"contoso-entra\"").is_ok());
        assert!(serde_json::from_str::<ProviderId>("\"Contoso Entra\"").is_err());
    }
}
