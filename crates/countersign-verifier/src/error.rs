//! Why a token is refused, and what the caller is told about it.

use crate::challenge::Challenge;

/// Why a token was refused, or could not be checked.
///
/// The message is for the service's log: it never holds the token or anything else that an
/// unverified caller sent. The caller gets [`Error::challenge`] and [`Error::status`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request has no `Authorization: Bearer` header.
    #[error("the request has no bearer token")]
    NoCredentials,
    /// The `Authorization` header is not one bearer token.
    #[error("the `Authorization` header is not `Bearer` and one token")]
    MalformedRequest,
    /// Longer than any token the broker issues.
    #[error("the token is longer than {} bytes", crate::verify::MAX_TOKEN_BYTES)]
    TooLong,
    /// Not three base64url segments with a JSON object in the first and second.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// `typ` is not `at+jwt`: an ID token or something else that is not meant for us.
    #[error("the token's `typ` is not `at+jwt`: it is no access token")]
    WrongType,
    /// `alg` is not on the list, or not the one that the key is for.
    #[error("the token's `alg` is not allowed, or not the one its key is for")]
    WrongAlgorithm,
    /// A header member that would make us trust a key or a rule that the token brings along.
    #[error("the token's header has `{0}`, which is never accepted")]
    ForbiddenHeader(&'static str),
    /// No key with this `kid` in the issuer's set.
    #[error("the issuer has no key with the token's `kid`")]
    UnknownKey,
    /// The signature does not verify.
    #[error("the token's signature is not the issuer's")]
    BadSignature,
    /// A claim is missing, of the wrong type, or there twice.
    #[error("the token's claims are not as agreed: {0}")]
    BadClaims(String),
    /// `iss` is not the expected issuer.
    #[error("the token's `iss` is not the expected issuer")]
    WrongIssuer,
    /// `aud` is not this service.
    #[error("the token's `aud` is not this service")]
    WrongAudience,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `iat` or `nbf` lies in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The token is bound to a key (`cnf`) and was presented as a mere bearer token.
    #[error("the token is bound to a key (`cnf`), which a bearer token cannot show")]
    SenderConstrained,
    /// The proof of the key that the token is bound to is missing or not good (RFC 9449).
    #[error("the proof of the token's key is not good: {0}")]
    BadProof(&'static str),
    /// The proof lacks a nonce of the server's (RFC 9449, section 9).
    #[error("the proof has no `nonce` that is good now")]
    NonceNeeded,
    /// The token was good, but it, its grant or its session has been ended.
    #[error("the token has been revoked, or its session has ended")]
    Revoked,
    /// The token is good, but the feed of what has ended has not been heard for too long.
    #[error("the feed of what has ended has not been heard for too long")]
    FeedSilent,
    /// The token is good, but lacks this scope.
    #[error("the token lacks the scope `{scope}`")]
    InsufficientScope {
        /// The scope that is needed.
        scope: String,
    },
    /// The token is good, but the login behind it was too weak or too long ago.
    #[error("the login behind the token does not meet what this service asks for")]
    InsufficientAuthentication {
        /// Every `acr` value that would do; empty where `acr` is not the reason.
        acr_values: Vec<String>,
        /// The greatest age of the login that would do, in seconds.
        max_age: Option<u64>,
    },
    /// The issuer or the audience given to the verifier cannot be used.
    #[error("the verifier is configured wrongly: {0}")]
    Configuration(&'static str),
    /// The issuer's key set cannot be read.
    #[error("the issuer's key set is not usable: {0}")]
    BadKeySet(&'static str),
    /// The issuer's keys cannot be had at the moment, and none are left from before.
    #[error("the issuer's keys cannot be fetched: {0}")]
    Unavailable(String),
}

impl Error {
    /// The HTTP status to answer with: 400, 401, 403, or 503 where the token could not be checked.
    pub fn status(&self) -> u16 {
        match self.challenge() {
            Some(challenge) => challenge.status(),
            None => 503,
        }
    }

    /// The `WWW-Authenticate` challenge to answer with.
    ///
    /// `None` where the fault is not the caller's: answer 503 and do not ask for another token.
    pub fn challenge(&self) -> Option<Challenge> {
        match self {
            Self::NoCredentials => Some(Challenge::bare()),
            Self::MalformedRequest => Some(Challenge::invalid_request()),
            Self::InsufficientScope { scope } => Some(Challenge::insufficient_scope(scope)),
            Self::InsufficientAuthentication {
                acr_values,
                max_age,
            } => Some(Challenge::insufficient_user_authentication(
                acr_values, *max_age,
            )),
            Self::Configuration(_)
            | Self::BadKeySet(_)
            | Self::Unavailable(_)
            | Self::FeedSilent => None,
            Self::TooLong
            | Self::Malformed(_)
            | Self::WrongType
            | Self::WrongAlgorithm
            | Self::ForbiddenHeader(_)
            | Self::UnknownKey
            | Self::BadSignature
            | Self::BadClaims(_)
            | Self::WrongIssuer
            | Self::WrongAudience
            | Self::NotYetValid => Some(Challenge::invalid_token(
                "The access token is not valid for this service",
            )),
            Self::Revoked => Some(Challenge::invalid_token(
                "The access token has been revoked",
            )),
            Self::Expired => Some(Challenge::invalid_token("The access token has expired")),
            Self::SenderConstrained => {
                Some(Challenge::invalid_token("The access token is bound to a key").of_dpop())
            }
            Self::BadProof(_) => Some(Challenge::bad_proof()),
            Self::NonceNeeded => Some(Challenge::nonce_needed()),
        }
    }
}
