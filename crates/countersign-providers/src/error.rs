//! Why a provider's answer could not be turned into evidence.

use std::time::Duration;

use thiserror::Error;

use crate::id_token::TokenFault;

/// Why a provider's answer could not be turned into evidence. No text of the provider's is in it.
#[derive(Debug, Error)]
pub enum ProviderError {
    /// The person cancelled or declined.
    #[error("the person cancelled at the provider")]
    Cancelled,
    /// The provider could not show the authentication that was asked for.
    #[error("the provider can't meet the authentication requirements")]
    Unmet,
    /// The provider refused, with an OAuth error that we know.
    #[error("the provider refused: `{0}`")]
    Refused(&'static str),
    /// The provider and this installation disagree: something in a registration is to be changed.
    #[error("the provider's registration of this installation is wrong: {0}")]
    Misconfigured(&'static str),
    /// The provider says that it can't answer now.
    #[error("the provider is unavailable")]
    Unavailable,
    /// The provider limits how often it may be asked.
    #[error("the provider limits the rate of requests")]
    RateLimited {
        /// When it may be asked again.
        retry_after: Option<Duration>,
    },
    /// The provider did not answer in time.
    #[error("the provider did not answer in time")]
    Timeout,
    /// No connection to the provider.
    #[error("the provider can't be reached: {0}")]
    Unreachable(String),
    /// The address is one that must not be reached from here.
    #[error("the address is not allowed: {0}")]
    Forbidden(&'static str),
    /// The provider's answer is not what the protocol says.
    #[error("the provider's answer is not valid: {0}")]
    Answer(&'static str),
    /// The ID token is not valid.
    #[error("the ID token is not valid: {0}")]
    IdToken(#[from] TokenFault),
    /// The account is of a tenant that this provider is not configured for.
    #[error("the account's tenant is not the one that was asked for")]
    WrongTenant,
}

impl ProviderError {
    /// The stable reason code, shown to people, logged and counted.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Cancelled => "provider-cancelled",
            Self::Unmet => "provider-unmet",
            Self::Refused(_) => "provider-refused",
            Self::Misconfigured(_) => "provider-misconfigured",
            Self::Unavailable => "provider-unavailable",
            Self::RateLimited { .. } => "provider-rate-limited",
            Self::Timeout => "provider-timeout",
            Self::Unreachable(_) | Self::Forbidden(_) => "provider-unreachable",
            Self::Answer(_) => "provider-answer-invalid",
            Self::IdToken(_) => "id-token-invalid",
            Self::WrongTenant => "tenant-mismatch",
        }
    }

    /// Whether a provider that was asked again about a login says no. Anything else says nothing of the login.
    pub fn is_no(&self) -> bool {
        match self {
            Self::Cancelled | Self::Unmet | Self::WrongTenant => true,
            Self::Refused(error) => SAYS_NO.contains(error),
            Self::Misconfigured(_)
            | Self::Unavailable
            | Self::RateLimited { .. }
            | Self::Timeout
            | Self::Unreachable(_)
            | Self::Forbidden(_)
            | Self::Answer(_)
            | Self::IdToken(_) => false,
        }
    }

    /// Reads an OAuth or OpenID Connect error code; branches on `error`, never on its description.
    pub(crate) fn from_oauth(error: &str, subcode: Option<&str>) -> Self {
        match (error, subcode) {
            ("access_denied", _) | (_, Some("cancel")) => Self::Cancelled,
            ("unmet_authentication_requirements", _) => Self::Unmet,
            ("server_error" | "temporarily_unavailable", _) => Self::Unavailable,
            // Microsoft, AADSTS700054: the registration does not allow ID tokens in the front channel.
            ("unsupported_response_type", _) => Self::Misconfigured(
                "it does not allow this response type; for Microsoft, switch on “ID tokens” under Authentication in the app registration",
            ),
            ("invalid_client" | "incorrect_client_credentials", _) => {
                Self::Misconfigured("client id or secret is wrong")
            }
            ("unauthorized_client", _) => {
                Self::Misconfigured("the client is not allowed to do this")
            }
            ("redirect_uri_mismatch", _) => {
                Self::Misconfigured("the redirect URI is not registered")
            }
            ("application_suspended", _) => Self::Misconfigured("the application is suspended"),
            _ => Self::Refused(known(error)),
        }
    }
}

/// GitHub's answer to a token that is good no more.
pub(crate) const BAD_CREDENTIALS: &str = "bad_credentials";

/// The errors by which a provider takes a refresh token or an access token for good no more, or wants to see the person
/// first (OpenID Connect Core 3.1.2.6; Microsoft sends those from its token endpoint too).
const SAYS_NO: [&str; 7] = [
    "invalid_grant",
    "interaction_required",
    "login_required",
    "consent_required",
    "account_selection_required",
    "bad_refresh_token",
    BAD_CREDENTIALS,
];

/// The error as a constant of ours: what a provider sends is untrusted text.
fn known(error: &str) -> &'static str {
    const KNOWN: [&str; 14] = [
        "invalid_request",
        "invalid_scope",
        "invalid_resource",
        "invalid_grant",
        "interaction_required",
        "login_required",
        "consent_required",
        "account_selection_required",
        "bad_verification_code",
        "bad_refresh_token",
        "unverified_user_email",
        "request_not_supported",
        "unsupported_grant_type",
        "registration_not_supported",
    ];
    KNOWN
        .into_iter()
        .find(|known| *known == error)
        .unwrap_or("an error that this software does not know")
}
