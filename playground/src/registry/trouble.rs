//! What goes wrong on the way through the broker.

use actix_web::http::StatusCode;
use thiserror::Error;

/// What goes wrong on the way through the broker. The messages are for the log.
#[derive(Debug, Error)]
pub(super) enum Trouble {
    /// No sign-in of this browser has this `state`: forged, finished before, or too old.
    #[error("no sign-in of this browser has this `state`")]
    NotOurs,
    /// RFC 9207 2.4: the answer is not from the broker that the person was sent to.
    #[error("`iss` is missing or names another issuer")]
    WrongIssuer,
    /// The broker said no.
    #[error("the broker answered with an error")]
    Refused {
        /// An OAuth error code.
        error: String,
        /// The broker's reason code.
        reason: String,
    },
    /// The broker did not answer as it should.
    #[error("the broker did not answer as it should: {0}")]
    Broker(&'static str),
    /// A token of the broker's does not verify.
    #[error("a token does not verify: {0}")]
    Token(&'static str),
    /// The person came back as somebody else than they were.
    #[error("another person came back than was sent")]
    AnotherPerson,
    /// The login was let in, but not for what was asked.
    #[error("the scope that was asked for was not granted")]
    NotGranted {
        /// What the broker says is missing.
        missing: Option<String>,
    },
}

impl Trouble {
    /// A stable name, for tests and for people who report it.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NotOurs => "sign-in-unknown",
            Self::WrongIssuer => "wrong-issuer",
            Self::Refused { .. } => "refused",
            Self::Broker(_) => "broker-trouble",
            Self::Token(_) => "token-not-valid",
            Self::AnotherPerson => "another-person",
            Self::NotGranted { .. } => "not-granted",
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NotOurs | Self::WrongIssuer => StatusCode::BAD_REQUEST,
            Self::Refused { .. } | Self::AnotherPerson | Self::NotGranted { .. } => {
                StatusCode::FORBIDDEN
            }
            Self::Broker(_) | Self::Token(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// A headline and what to do.
    pub(super) fn tell(&self) -> (&'static str, &'static str) {
        match self {
            Self::NotOurs => (
                "No sign-in under way",
                "This sign-in has ended already, or was started in another browser. Cookies must be allowed for it. Sign in again.",
            ),
            Self::WrongIssuer => (
                "Answer from elsewhere",
                "The answer did not come from the sign-in service that this registry uses, so it was not accepted. Sign in again.",
            ),
            Self::Refused { error, .. } if error == "unmet_authentication_requirements" => (
                "A stronger login is needed",
                "Your login can't show what this action needs. Sign in with another provider, or set up multi-factor authentication where you sign in.",
            ),
            Self::Refused { .. } => (
                "You are not signed in",
                "The sign-in service did not let this sign-in go on. You can try again, or use another provider.",
            ),
            Self::Broker(_) => (
                "Sign-in not available",
                "The sign-in service did not answer as it should. Try again in a minute.",
            ),
            Self::Token(_) => (
                "Sign-in not accepted",
                "The sign-in service's answer did not pass this registry's checks, so you are not signed in.",
            ),
            Self::AnotherPerson => (
                "Another account came back",
                "You were signed in as somebody else before. Nothing was changed. Sign out first if you want to use the other account.",
            ),
            Self::NotGranted { .. } => (
                "Not granted",
                "This login is not good enough for what you wanted to do. Sign in with another provider, or set up multi-factor authentication where you sign in.",
            ),
        }
    }

    /// What the broker said, cut to what such texts are made of: it came through the browser's
    /// address bar.
    pub(super) fn detail(&self) -> Option<String> {
        match self {
            Self::Refused { error, reason } => Some(format!("{error}: {reason}")),
            Self::NotGranted { missing } => missing.clone(),
            Self::NotOurs
            | Self::WrongIssuer
            | Self::Broker(_)
            | Self::Token(_)
            | Self::AnotherPerson => None,
        }
    }
}
