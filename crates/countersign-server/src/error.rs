//! Everything that goes wrong, and how it looks from outside. HTTP happens here and nowhere else.
//!
//! The person or the client gets a stable code, a sentence and a request id; the log gets the
//! cause, once. No text of a provider's and no secret is in either.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use countersign_core::calendar::Due;
use countersign_core::sign_in::Request;
use countersign_core::{Cause, ProviderId, Reason, Refusal};
use countersign_providers::ProviderError;
use countersign_store::StoreError;
use serde_json::{Map, Value, json};

use crate::limits::TooMany;
use crate::organization::NotProven;
use crate::pages::{self, ErrorPage, RefusalPage};
use crate::ticket::NotClaimed;
use crate::web::{self, Context};

/// Why a request ended without what it was for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A page for the person: nothing is known that a client could be told.
    Page(Problem),
    /// A page for the person, with a way back to the client and one to try again.
    SignIn(Box<SignInFailure>),
    /// An OAuth error for the client, by redirect (RFC 6749 4.1.2.1).
    Client(Box<ClientError>),
    /// An OAuth error for the client, as JSON (RFC 6749 5.2).
    Json(OAuthError),
    /// An error of the API, as JSON.
    Api(ApiError),
    /// An error of a registry's token endpoint, as its clients read it.
    Docker(DockerError),
    /// What a credential helper is told, as JSON.
    Helper(HelperError),
    /// Nothing is wrong: the person signs in first, at this address of ours.
    Elsewhere(String),
}

/// A problem that a page tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    UnknownClient,
    RedirectUri,
    RequestUri,
    BadRequest(&'static str),
    /// What an operator wanted was not done: says why, or what is missing.
    NotDone(&'static str),
    NotFound,
    UnknownProvider,
    AttemptMissing,
    AttemptExpired,
    TooLarge,
    PostLogoutRedirectUri,
    FormExpired,
    SignedOut,
    DeviceCodeEnded,
    PagesOff,
    LastAdmin,
    NotProven(NotProven),
    IdentityTaken,
    IdentityNotShown,
    LastIdentity,
    NotClaimed(NotClaimed),
    TooMany(TooMany),
    Unavailable,
}

/// A sign-in that failed for a known client.
#[derive(Debug)]
pub(crate) struct SignInFailure {
    pub(crate) request: Request,
    pub(crate) provider: ProviderId,
    pub(crate) why: Why,
}

/// Why a sign-in failed.
#[derive(Debug)]
pub(crate) enum Why {
    /// The login is not good enough.
    Refused(Refusal),
    /// The provider did not give an answer that counts.
    Provider(ProviderError),
    /// The attempt had been finished before.
    AttemptSpent,
    /// The answer is of the first leg, and the attempt is on its second.
    LegPassed,
    /// The person was sent back for what was missing, and cancelled there.
    StepUpDeclined,
    /// Somebody else signed in than the client meant (`id_token_hint`).
    OtherAccount,
    /// The store does not answer.
    Store(StoreError),
}

/// An OAuth error that goes back to the client.
#[derive(Debug)]
pub(crate) struct ClientError {
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
    pub(crate) error: &'static str,
    pub(crate) description: &'static str,
}

/// An OAuth error at the token endpoint or at UserInfo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OAuthError {
    pub(crate) status: StatusCode,
    pub(crate) error: &'static str,
    pub(crate) description: &'static str,
    /// In how many seconds to try again, if that is known.
    pub(crate) retry_after: Option<u32>,
}

/// An error of a registry's token endpoint (distribution's `docs/content/spec/api.md`, Errors): clients show the message.
#[derive(Debug)]
pub(crate) struct DockerError {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// In how many seconds to try again, if that is known.
    retry_after: Option<u32>,
}

/// What a credential helper is told: an error in the shape of the API's, and what it can do about it.
#[derive(Debug)]
pub(crate) struct HelperError {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// In how many seconds to try again, if that is known.
    retry_after: Option<u32>,
    /// Further members.
    more: Map<String, Value>,
}

/// An error of the API.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The caller is not a client of ours, or has no secret.
    Client,
    /// The client may not do this; says what it lacks.
    Forbidden(&'static str),
    /// The access token is missing, not good, or lacks what is needed.
    Token(countersign_verifier::Error),
    /// No such organisation, or none that the caller may know of.
    UnknownOrganization,
    /// The organisation is not connected to that source.
    NotConnected,
    /// None of the organisation's admins would act for it any more.
    LastAdmin,
    /// The sign-in does not show what managing the organisation needs.
    SignInNotEnough,
    /// The organisation has asked for no such exception, or this can't be done to it.
    UnknownException,
    /// No such account.
    UnknownAccount,
    /// No such API key, or none that the caller may know of.
    UnknownApiKey,
    /// The account is locked, and what is locked is not forgotten.
    AccountLocked,
    /// The body is not what it must be; says what was expected.
    Body(&'static str),
    /// The body is too long.
    TooLarge,
    /// The client could not show who it is too often.
    TooMany(TooMany),
    /// Nothing at this address.
    NotFound,
    /// Something is there, for these methods.
    Method(&'static str),
    /// The store does not answer.
    Store(StoreError),
    /// What is asked for can't be written down, and so is not done, or not known to have been.
    NotAudited,
    /// Nothing is written down.
    AuditLogOff,
    /// What was written down can't be read.
    AuditLogUnreadable,
}

impl OAuthError {
    pub(crate) fn invalid_request(description: &'static str) -> Failure {
        Self::bad("invalid_request", description)
    }

    pub(crate) fn invalid_grant(description: &'static str) -> Failure {
        Self::bad("invalid_grant", description)
    }

    pub(crate) fn unsupported_grant_type() -> Failure {
        Self::bad(
            "unsupported_grant_type",
            "this `grant_type` is not served; the metadata lists those that are",
        )
    }

    pub(crate) fn invalid_scope(description: &'static str) -> Failure {
        Self::bad("invalid_scope", description)
    }

    /// RFC 8707 2.
    pub(crate) fn invalid_target(description: &'static str) -> Failure {
        Self::bad("invalid_target", description)
    }

    pub(crate) fn unauthorized_client() -> Failure {
        Self::bad(
            "unauthorized_client",
            "this client has not this `grant_type` among its `grant_types`",
        )
    }

    /// RFC 8628 3.5: nobody has answered yet.
    pub(crate) fn authorization_pending() -> Failure {
        Self::bad(
            "authorization_pending",
            "nobody has answered yet: ask again in a few seconds",
        )
    }

    /// RFC 8628 3.5: from now on five seconds more between two requests.
    pub(crate) fn slow_down() -> Failure {
        Self::bad(
            "slow_down",
            "this is asked too often: wait five seconds longer each time",
        )
    }

    /// The same refresh token was presented a moment ago. Not `invalid_grant`, for which a client would
    /// throw away the session that its other request has just kept; and without `Retry-After`, since what
    /// the other request got must not be overtaken.
    pub(crate) fn too_soon() -> Failure {
        Failure::Json(Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            error: "temporarily_unavailable",
            description: "another request has just used this refresh token: use the one that it got",
            retry_after: None,
        })
    }

    pub(crate) fn invalid_client() -> Failure {
        let status = StatusCode::UNAUTHORIZED;
        Failure::Json(Self {
            status,
            error: "invalid_client",
            description: "client authentication failed",
            retry_after: None,
        })
    }

    pub(crate) fn unavailable() -> Failure {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let description = "try again in a moment";
        Failure::Json(Self {
            status,
            error: "temporarily_unavailable",
            description,
            retry_after: Some(5),
        })
    }

    /// The provider must be asked again before anything is refreshed, and does not answer. The refresh token is not spent.
    pub(crate) fn provider_silent(retry_after: u32) -> Failure {
        Failure::Json(Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            error: "temporarily_unavailable",
            description: "the provider that this session rests on does not answer: try again with the same refresh token",
            retry_after: Some(retry_after),
        })
    }

    /// What is wrong with a code or a token that was presented, if that is what is wrong.
    pub(crate) fn of_grant(failure: &Failure) -> Option<&'static str> {
        match failure {
            Failure::Json(error) if error.error == "invalid_grant" => Some(error.description),
            _ => None,
        }
    }

    /// Whether a client could not show who it is.
    pub(crate) fn is_of_client(failure: &Failure) -> bool {
        matches!(failure, Failure::Json(error) if error.status == StatusCode::UNAUTHORIZED)
    }

    /// Nothing was looked at but who asks.
    pub(crate) fn too_many(TooMany { retry_after }: TooMany) -> Failure {
        Failure::Json(Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            error: "temporarily_unavailable",
            description: "too many requests: try again when `Retry-After` says",
            retry_after: Some(retry_after),
        })
    }

    pub(crate) fn bad(error: &'static str, description: &'static str) -> Failure {
        Failure::Json(Self {
            status: StatusCode::BAD_REQUEST,
            error,
            description,
            retry_after: None,
        })
    }
}

impl DockerError {
    /// What was shown is not good, or not good enough.
    pub(crate) fn unauthorized(message: String) -> Failure {
        Self::bad(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
    }

    /// The request is not as the specification has it.
    pub(crate) fn unsupported(message: impl Into<String>) -> Failure {
        Self::bad(StatusCode::BAD_REQUEST, "UNSUPPORTED", message)
    }

    pub(crate) fn unavailable() -> Failure {
        Self::bad(
            StatusCode::SERVICE_UNAVAILABLE,
            "UNAVAILABLE",
            "try again in a moment",
        )
    }

    /// The provider must be asked again first, and does not answer.
    pub(crate) fn provider_silent(retry_after: u32) -> Failure {
        Failure::Docker(Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "UNAVAILABLE",
            message:
                "the provider that your sign-in rests on does not answer: try again in a moment"
                    .to_owned(),
            retry_after: Some(retry_after),
        })
    }

    pub(crate) fn too_many(TooMany { retry_after }: TooMany) -> Failure {
        Failure::Docker(Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            code: "TOOMANYREQUESTS",
            message: format!("too many requests: try again in {retry_after} seconds"),
            retry_after: Some(retry_after),
        })
    }

    /// What was shown is not good, and too many like it came from its address.
    pub(crate) fn too_many_like(failure: Failure, TooMany { retry_after }: TooMany) -> Failure {
        match failure {
            Failure::Docker(error) => Failure::Docker(Self {
                status: StatusCode::TOO_MANY_REQUESTS,
                code: "TOOMANYREQUESTS",
                message: format!(
                    "too many requests: try again in {retry_after} seconds. {}",
                    error.message
                ),
                retry_after: Some(retry_after),
            }),
            other => other,
        }
    }

    pub(crate) fn of_store(error: &StoreError, context: &Context<'_>) -> Failure {
        of_store(error, Self::unavailable(), context)
    }

    /// What the token endpoint says, for a registry's client.
    pub(crate) fn of(failure: Failure) -> Failure {
        match failure {
            Failure::Json(error) => Failure::Docker(Self {
                status: error.status,
                code: match error.status {
                    StatusCode::TOO_MANY_REQUESTS => "TOOMANYREQUESTS",
                    StatusCode::SERVICE_UNAVAILABLE => "UNAVAILABLE",
                    _ => "UNAUTHORIZED",
                },
                message: error.description.to_owned(),
                retry_after: error.retry_after,
            }),
            other => other,
        }
    }

    /// Whether what was shown was not good.
    pub(crate) fn is_of_credential(failure: &Failure) -> bool {
        matches!(failure, Failure::Docker(error) if error.status == StatusCode::UNAUTHORIZED)
    }

    fn bad(status: StatusCode, code: &'static str, message: impl Into<String>) -> Failure {
        Failure::Docker(Self {
            status,
            code,
            message: message.into(),
            retry_after: None,
        })
    }
}

impl HelperError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after: None,
            more: Map::new(),
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid-request", message)
    }

    pub(crate) fn refused(code: &'static str, message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    /// There is no such registry.
    pub(crate) fn unknown() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "there is no such registry",
        )
    }

    /// With these members besides.
    pub(crate) fn with(self, more: Map<String, Value>) -> Self {
        Self { more, ..self }
    }

    /// What the endpoints of devices say, for a helper.
    pub(crate) fn of(failure: Failure) -> Failure {
        match failure {
            Failure::Json(error) => Failure::Helper(Self {
                retry_after: error.retry_after,
                ..Self::new(
                    error.status,
                    match error.status {
                        StatusCode::TOO_MANY_REQUESTS => "too-many-requests",
                        StatusCode::SERVICE_UNAVAILABLE => "store-unavailable",
                        _ => "invalid-request",
                    },
                    error.description,
                )
            }),
            other => other,
        }
    }
}

impl From<HelperError> for Failure {
    fn from(error: HelperError) -> Self {
        Self::Helper(error)
    }
}

impl ApiError {
    /// What is wrong with a body that did not arrive whole.
    pub(crate) fn of_body(error: &actix_web::Error) -> Self {
        match error.as_response_error().status_code() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            _ => Self::Body("the body ended before its end"),
        }
    }

    /// What is told to a client that did not authenticate.
    pub(crate) fn of_authentication(failure: &Failure) -> Self {
        match failure {
            Failure::Json(OAuthError {
                status: StatusCode::TOO_MANY_REQUESTS,
                retry_after: Some(retry_after),
                ..
            }) => Self::TooMany(TooMany {
                retry_after: *retry_after,
            }),
            Failure::Json(_)
            | Failure::Page(_)
            | Failure::SignIn(_)
            | Failure::Client(_)
            | Failure::Api(_)
            | Failure::Docker(_)
            | Failure::Helper(_)
            | Failure::Elsewhere(_) => Self::Client,
        }
    }

    /// The same for a person, who sees a page.
    pub(crate) fn for_person(self, context: &Context<'_>) -> Failure {
        Failure::Page(match self {
            Self::Store(cause) => return page_of_store(&cause, context),
            Self::Body(what) => Problem::BadRequest(what),
            Self::NotAudited | Self::AuditLogUnreadable => Problem::Unavailable,
            Self::TooMany(too_many) => Problem::TooMany(too_many),
            Self::TooLarge => Problem::TooLarge,
            Self::LastAdmin => Problem::LastAdmin,
            Self::SignInNotEnough => Problem::NotProven(NotProven::NotLet),
            Self::Client
            | Self::Forbidden(_)
            | Self::Token(_)
            | Self::UnknownOrganization
            | Self::NotConnected
            | Self::UnknownException
            | Self::UnknownAccount
            | Self::UnknownApiKey
            | Self::NotFound
            | Self::AuditLogOff
            | Self::Method(_) => Problem::NotFound,
            Self::AccountLocked => Problem::SignedOut,
        })
    }

    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Client => "client-not-authenticated",
            Self::Forbidden(_) => "client-not-allowed",
            Self::Token(countersign_verifier::Error::InsufficientScope { .. }) => "scope-missing",
            Self::Token(_) => "token-not-good",
            Self::UnknownOrganization => "unknown-organization",
            Self::NotConnected => "not-connected",
            Self::LastAdmin => "last-admin",
            Self::SignInNotEnough => "sign-in-not-enough",
            Self::UnknownException => "unknown-exception",
            Self::UnknownAccount => "unknown-account",
            Self::UnknownApiKey => "unknown-api-key",
            Self::AccountLocked => "account-locked",
            Self::Body(_) => "invalid-request",
            Self::TooLarge => "request-too-large",
            Self::TooMany(_) => "too-many-requests",
            Self::NotFound => "not-found",
            Self::Method(_) => "method-not-allowed",
            Self::Store(_) => "store-unavailable",
            Self::NotAudited => "audit-log-unavailable",
            Self::AuditLogOff => "audit-log-off",
            Self::AuditLogUnreadable => "audit-log-unreadable",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Client => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) | Self::SignInNotEnough => StatusCode::FORBIDDEN,
            Self::Token(error) => {
                StatusCode::from_u16(error.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
            }
            Self::UnknownAccount
            | Self::UnknownApiKey
            | Self::UnknownOrganization
            | Self::NotConnected
            | Self::UnknownException
            | Self::AuditLogOff
            | Self::NotFound => StatusCode::NOT_FOUND,
            Self::Body(_) => StatusCode::BAD_REQUEST,
            Self::LastAdmin | Self::AccountLocked => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Store(_) | Self::NotAudited | Self::AuditLogUnreadable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// For the client: our own words.
    pub(crate) fn message(&self) -> &'static str {
        match self {
            Self::Client => {
                "authenticate as a client with a secret, in the `Authorization` header (Basic)"
            }
            Self::Forbidden(message) | Self::Body(message) => message,
            Self::Token(countersign_verifier::Error::InsufficientScope { .. }) => {
                "the access token lacks the scope for this"
            }
            Self::Token(_) => {
                "an access token is needed that is good, and for this API (`resource`)"
            }
            Self::UnknownOrganization => "there is no such organization",
            Self::NotConnected => "the organization is not connected to that",
            Self::LastAdmin => "after that none of its admins who are known would act for it",
            Self::SignInNotEnough => {
                "this needs more than the sign-in shows: sign in again, with MFA"
            }
            Self::UnknownException => {
                "the organization has asked for no such exception, or it is answered already"
            }
            Self::UnknownAccount => "there is no such account",
            Self::UnknownApiKey => "there is no such API key",
            Self::AccountLocked => {
                "the account is locked: unlock it first, or its owner would begin anew"
            }
            Self::TooLarge => "the body is too long",
            Self::TooMany(_) => "too many requests: try again when `Retry-After` says",
            Self::NotFound => "nothing is served at this address",
            Self::Method(_) => "this method is not served at this address",
            Self::Store(_) => "try again in a moment",
            Self::NotAudited => {
                "the audit log can't be written: see whether it was done, and try again in a moment"
            }
            Self::AuditLogOff => "nothing is written down here: `audit_log.to` is `off`",
            Self::AuditLogUnreadable => {
                "the audit log can't be read: the server's own log says why"
            }
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl Why {
    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.reason().code(),
            Self::Provider(error) => error.code(),
            Self::AttemptSpent => "attempt-spent",
            Self::LegPassed => "leg-passed",
            Self::StepUpDeclined => "step-up-declined",
            Self::OtherAccount => "other-account",
            Self::Store(_) => "store-unavailable",
        }
    }

    /// The OAuth error that the client gets when the person goes back to it.
    pub(crate) fn oauth_error(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => match refusal.cause {
                Cause::Policy => "access_denied",
                Cause::Request => "unmet_authentication_requirements",
            },
            Self::Provider(error) => match error {
                ProviderError::Cancelled
                | ProviderError::Refused(_)
                | ProviderError::WrongTenant => "access_denied",
                ProviderError::Unmet => "unmet_authentication_requirements",
                ProviderError::Unavailable
                | ProviderError::RateLimited { .. }
                | ProviderError::Timeout
                | ProviderError::Unreachable(_) => "temporarily_unavailable",
                ProviderError::Misconfigured(_)
                | ProviderError::Forbidden(_)
                | ProviderError::Answer(_)
                | ProviderError::IdToken(_) => "server_error",
            },
            Self::AttemptSpent | Self::LegPassed | Self::StepUpDeclined => "access_denied",
            // Core 3.1.2.1: an error such as this, where another is logged in by the request.
            Self::OtherAccount => "login_required",
            Self::Store(_) => "temporarily_unavailable",
        }
    }

    fn status(&self) -> StatusCode {
        match (self, self.oauth_error()) {
            (_, "temporarily_unavailable") => StatusCode::SERVICE_UNAVAILABLE,
            (Self::Provider(_), "server_error") => StatusCode::BAD_GATEWAY,
            _ => StatusCode::FORBIDDEN,
        }
    }

    /// The cause for the log: our own words.
    fn cause(&self) -> String {
        match self {
            Self::Refused(refusal) => {
                let codes: Vec<&str> = refusal.reasons.iter().map(|reason| reason.code()).collect();
                codes.join(" ")
            }
            Self::Provider(error) => error.to_string(),
            Self::AttemptSpent => "the attempt was spent before".to_owned(),
            Self::LegPassed => "the answer is of an earlier leg".to_owned(),
            Self::StepUpDeclined => "the person cancelled the step-up".to_owned(),
            Self::OtherAccount => "the client meant another account".to_owned(),
            Self::Store(error) => error.to_string(),
        }
    }

    /// What the calendar says of the account, where a second factor is missing.
    pub(crate) fn due(&self) -> Option<Due> {
        match self {
            Self::Refused(refusal) => refusal.due,
            Self::Provider(_)
            | Self::AttemptSpent
            | Self::LegPassed
            | Self::StepUpDeclined
            | Self::OtherAccount
            | Self::Store(_) => None,
        }
    }

    /// The reason of a refusal.
    pub(crate) fn reason(&self) -> Option<Reason> {
        match self {
            Self::Refused(refusal) => Some(refusal.reason()),
            Self::Provider(_)
            | Self::AttemptSpent
            | Self::LegPassed
            | Self::StepUpDeclined
            | Self::OtherAccount
            | Self::Store(_) => None,
        }
    }
}

impl SignInFailure {
    pub(crate) fn failure(request: Request, provider: ProviderId, why: Why) -> Failure {
        Failure::SignIn(Box::new(Self {
            request,
            provider,
            why,
        }))
    }
}

impl Problem {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::UnknownClient => "unknown-client",
            Self::RedirectUri => "redirect-uri-not-registered",
            Self::RequestUri => "request-uri-not-good",
            Self::BadRequest(_) | Self::NotDone(_) => "invalid-request",
            Self::NotFound => "not-found",
            Self::UnknownProvider => "unknown-provider",
            Self::AttemptMissing => "attempt-missing",
            Self::AttemptExpired => "attempt-expired",
            Self::TooLarge => "request-too-large",
            Self::PostLogoutRedirectUri => "post-logout-redirect-uri-not-registered",
            Self::FormExpired => "form-expired",
            Self::SignedOut => "signed-out",
            Self::DeviceCodeEnded => "device-code-ended",
            Self::PagesOff => "pages-off",
            Self::LastAdmin => "last-admin",
            Self::NotProven(why) => why.code(),
            Self::IdentityTaken => "identity-taken",
            Self::IdentityNotShown => "identity-needs-more",
            Self::LastIdentity => "last-identity",
            Self::NotClaimed(why) => why.code(),
            Self::TooMany(_) => "too-many-requests",
            Self::Unavailable => "store-unavailable",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::UnknownClient
            | Self::RedirectUri
            | Self::RequestUri
            | Self::BadRequest(_)
            | Self::NotDone(_)
            | Self::AttemptMissing
            | Self::AttemptExpired
            | Self::PostLogoutRedirectUri
            | Self::FormExpired
            | Self::SignedOut
            | Self::DeviceCodeEnded => StatusCode::BAD_REQUEST,
            Self::LastAdmin | Self::IdentityTaken | Self::LastIdentity => StatusCode::CONFLICT,
            Self::NotProven(_) | Self::IdentityNotShown => StatusCode::FORBIDDEN,
            Self::NotClaimed(why) => match why {
                NotClaimed::TicketRefused => StatusCode::FORBIDDEN,
                NotClaimed::TicketMissing => StatusCode::BAD_REQUEST,
                NotClaimed::TicketUsed
                | NotClaimed::Taken
                | NotClaimed::HasAnother
                | NotClaimed::Retired
                | NotClaimed::OrganizationTaken => StatusCode::CONFLICT,
            },
            Self::PagesOff | Self::NotFound | Self::UnknownProvider => StatusCode::NOT_FOUND,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// The store does not answer: the log is told why, and whoever asks is told this.
pub(crate) fn of_store(error: &StoreError, told: Failure, context: &Context<'_>) -> Failure {
    tracing::error!(code = "store-unavailable", request = %context.request_id, cause = %error, "the store does not answer");
    told
}

/// The same, for a person.
pub(crate) fn page_of_store(error: &StoreError, context: &Context<'_>) -> Failure {
    of_store(error, Failure::Page(Problem::Unavailable), context)
}

/// Answers with a failure, and logs its cause.
pub(crate) fn answer(failure: Failure, context: &Context<'_>) -> HttpResponse {
    match failure {
        Failure::Page(problem) => problem_page(problem, context),
        Failure::SignIn(failure) => sign_in_answer(&failure, context),
        Failure::Client(error) => client_answer(&error, context),
        Failure::Json(error) => json_answer(error, context),
        Failure::Api(error) => api_answer(&error, context),
        Failure::Docker(error) => docker_answer(&error, context),
        Failure::Helper(error) => helper_answer(error, context),
        Failure::Elsewhere(path) => web::see_other(&context.broker.settings.endpoint(&path)),
    }
}

fn problem_page(problem: Problem, context: &Context<'_>) -> HttpResponse {
    context.broker.metrics.request_refused(problem.code());
    tracing::info!(code = problem.code(), request = %context.request_id, cause = ?problem, "request refused");
    let mut page = pages::respond(problem.status(), &ErrorPage::new(problem, context));
    if let Problem::TooMany(TooMany { retry_after }) = problem {
        page.headers_mut()
            .insert(header::RETRY_AFTER, retry_after.into());
    }
    page
}

/// A request that asked for more than the login can show is answered to the client, which asked;
/// everything else is told to the person, who can do something about it.
fn sign_in_answer(failure: &SignInFailure, context: &Context<'_>) -> HttpResponse {
    let why = &failure.why;
    let metrics = &context.broker.metrics;
    match why.reason() {
        Some(reason) => metrics.sign_in_refused(&failure.provider, reason),
        None => metrics.sign_in_failed(&failure.provider, why.code()),
    }
    tracing::info!(
        code = why.code(),
        request = %context.request_id,
        client = %failure.request.client,
        provider = %failure.provider,
        cause = why.cause(),
        "sign-in refused",
    );
    let back = ClientError::of(&failure.request, why).map(|error| error.location(context));
    match why {
        Why::Refused(Refusal {
            cause: Cause::Request,
            ..
        })
        | Why::Provider(ProviderError::Unmet)
        | Why::OtherAccount
            if let Some(back) = &back =>
        {
            web::see_other(back)
        }
        Why::Refused(_)
        | Why::Provider(_)
        | Why::AttemptSpent
        | Why::LegPassed
        | Why::StepUpDeclined
        | Why::OtherAccount
        | Why::Store(_) => {
            let page = RefusalPage::new(failure, back, context);
            pages::respond(why.status(), &page)
        }
    }
}

/// The way back to the client for a person who does not take the step-up.
pub(crate) fn declined(request: &Request, context: &Context<'_>) -> Option<String> {
    let error = ClientError::of(request, &Why::StepUpDeclined)?;
    Some(error.location(context))
}

impl ClientError {
    /// None where there is no way back by the browser: a device is told when somebody says no, or by the end of
    /// its code.
    fn of(request: &Request, why: &Why) -> Option<Self> {
        Some(Self {
            redirect_uri: request.redirect_uri()?.to_owned(),
            state: request.state.clone(),
            error: why.oauth_error(),
            description: why.code(),
        })
    }

    /// RFC 6749 4.1.2.1, with `iss` (RFC 9207 2: in error responses too).
    fn location(&self, context: &Context<'_>) -> String {
        let mut parameters = vec![
            ("error", self.error),
            ("error_description", self.description),
        ];
        parameters.extend(self.state.as_deref().map(|state| ("state", state)));
        web::client_redirect(
            &self.redirect_uri,
            &parameters,
            context.broker.settings.issuer(),
        )
    }
}

fn client_answer(error: &ClientError, context: &Context<'_>) -> HttpResponse {
    context.broker.metrics.request_refused(error.error);
    tracing::info!(
        code = error.error,
        request = %context.request_id,
        cause = error.description,
        "authorization request refused",
    );
    web::see_other(&error.location(context))
}

fn json_answer(error: OAuthError, context: &Context<'_>) -> HttpResponse {
    // A device that waits is refused nothing.
    if error.error != "authorization_pending" {
        context.broker.metrics.token_refused(error.error);
        tracing::info!(
            code = error.error,
            request = %context.request_id,
            cause = error.description,
            "token request refused",
        );
    }
    let mut response = HttpResponse::build(error.status);
    // RFC 6749 5.2: a failed client authentication names the scheme.
    if error.status == StatusCode::UNAUTHORIZED {
        response.insert_header(("www-authenticate", BASIC));
    }
    // In seconds (RFC 9110 10.2.3, RFC 7009 2.2.1).
    if let Some(seconds) = error.retry_after {
        response.insert_header(("retry-after", seconds));
    }
    response.json(serde_json::json!({
        "error": error.error,
        "error_description": error.description,
        "request_id": context.request_id,
    }))
}

fn api_body(code: &str, message: &str, context: &Context<'_>) -> Value {
    json!({"code": code, "message": message, "request_id": context.request_id})
}

fn helper_answer(mut error: HelperError, context: &Context<'_>) -> HttpResponse {
    context.broker.metrics.request_refused(error.code);
    tracing::info!(code = error.code, request = %context.request_id, cause = error.message, "credential helper refused");
    let mut response = HttpResponse::build(error.status);
    if error.status == StatusCode::UNAUTHORIZED {
        // RFC 9110 15.5.2: a 401 says by what to authenticate.
        response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
    }
    if let Some(seconds) = error.retry_after {
        response.insert_header((header::RETRY_AFTER, seconds));
    }
    if let Value::Object(always) = api_body(error.code, &error.message, context) {
        error.more.extend(always);
    }
    response.json(error.more)
}

fn api_answer(error: &ApiError, context: &Context<'_>) -> HttpResponse {
    context.broker.metrics.request_refused(error.code());
    if let ApiError::Store(cause) = error {
        tracing::error!(code = error.code(), request = %context.request_id, %cause, "the store does not answer");
    } else {
        tracing::info!(code = error.code(), request = %context.request_id, cause = ?error, "API request refused");
    }
    let mut response = HttpResponse::build(error.status());
    match error {
        // RFC 9110 11.6.1 and 15.5.6: which scheme, which methods.
        ApiError::Client => response.insert_header(("www-authenticate", BASIC)),
        ApiError::Method(allowed) => response.insert_header(("allow", *allowed)),
        ApiError::TooMany(TooMany { retry_after }) => {
            response.insert_header(("retry-after", *retry_after))
        }
        ApiError::Token(error) => match error.challenge() {
            Some(challenge) => response.insert_header(("www-authenticate", challenge.to_string())),
            None => &mut response,
        },
        ApiError::Forbidden(_)
        | ApiError::UnknownOrganization
        | ApiError::NotConnected
        | ApiError::LastAdmin
        | ApiError::SignInNotEnough
        | ApiError::UnknownException
        | ApiError::UnknownAccount
        | ApiError::UnknownApiKey
        | ApiError::AccountLocked
        | ApiError::Body(_)
        | ApiError::TooLarge
        | ApiError::NotFound
        | ApiError::Store(_)
        | ApiError::NotAudited
        | ApiError::AuditLogOff
        | ApiError::AuditLogUnreadable => &mut response,
    };
    response.json(api_body(error.code(), error.message(), context))
}

fn docker_answer(error: &DockerError, context: &Context<'_>) -> HttpResponse {
    context.broker.metrics.token_refused(error.code);
    tracing::info!(
        code = error.code,
        request = %context.request_id,
        cause = error.message,
        "registry token request refused",
    );
    let mut response = HttpResponse::build(error.status);
    // RFC 9110 15.5.2: a 401 names a scheme.
    if error.status == StatusCode::UNAUTHORIZED {
        response.insert_header(("www-authenticate", BASIC));
    }
    if let Some(seconds) = error.retry_after {
        response.insert_header(("retry-after", seconds));
    }
    response.json(serde_json::json!({
        "errors": [{
            "code": error.code,
            "message": error.message,
            "detail": { "request_id": context.request_id },
        }],
    }))
}

/// How a client with a secret authenticates (RFC 7617).
const BASIC: &str = "Basic realm=\"countersign\"";

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENTED: &str = include_str!("../../../docs/reason-codes.md");

    #[test]
    fn every_reason_code_is_documented() {
        let problems = [
            Problem::UnknownClient,
            Problem::RedirectUri,
            Problem::RequestUri,
            Problem::BadRequest(""),
            Problem::NotDone(""),
            Problem::NotFound,
            Problem::UnknownProvider,
            Problem::AttemptMissing,
            Problem::AttemptExpired,
            Problem::TooLarge,
            Problem::PostLogoutRedirectUri,
            Problem::FormExpired,
            Problem::SignedOut,
            Problem::DeviceCodeEnded,
            Problem::PagesOff,
            Problem::LastAdmin,
            Problem::IdentityTaken,
            Problem::IdentityNotShown,
            Problem::LastIdentity,
            Problem::TooMany(TooMany { retry_after: 1 }),
            Problem::Unavailable,
        ];
        let providers = [
            ProviderError::Cancelled,
            ProviderError::Unmet,
            ProviderError::Refused(""),
            ProviderError::Misconfigured(""),
            ProviderError::Unavailable,
            ProviderError::RateLimited { retry_after: None },
            ProviderError::Timeout,
            ProviderError::Unreachable(String::new()),
            ProviderError::Answer(""),
            ProviderError::IdToken(countersign_providers::TokenFault::Malformed),
            ProviderError::WrongTenant,
        ];
        let api = [
            ApiError::Client,
            ApiError::Forbidden(""),
            ApiError::Token(countersign_verifier::Error::Expired),
            ApiError::Token(countersign_verifier::Error::InsufficientScope {
                scope: String::new(),
            }),
            ApiError::UnknownOrganization,
            ApiError::NotConnected,
            ApiError::UnknownAccount,
            ApiError::UnknownApiKey,
            ApiError::AccountLocked,
            ApiError::Body(""),
            ApiError::TooLarge,
            ApiError::TooMany(TooMany { retry_after: 1 }),
            ApiError::NotFound,
            ApiError::Method(""),
            ApiError::LastAdmin,
            ApiError::Store(StoreError::Conflict),
            ApiError::NotAudited,
        ];
        let codes = Reason::ALL
            .iter()
            .map(|reason| reason.code())
            .chain(problems.iter().map(|problem| problem.code()))
            .chain(NotProven::ALL.map(NotProven::code))
            .chain(NotClaimed::ALL.map(NotClaimed::code))
            .chain(providers.iter().map(ProviderError::code))
            .chain(
                [
                    Why::AttemptSpent,
                    Why::LegPassed,
                    Why::StepUpDeclined,
                    Why::OtherAccount,
                ]
                .map(|why| why.code()),
            )
            .chain(api.iter().map(ApiError::code))
            .chain([pages::REMINDED]);
        for code in codes {
            assert!(
                DOCUMENTED.contains(&format!("| `{code}` |")),
                "`{code}` is not documented"
            );
        }
    }
}
