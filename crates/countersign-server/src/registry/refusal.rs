//! A refusal in the words of the tool that it is told to: the status that it takes, and the place that it shows.
//!
//! Tools show one line, each from another place: the status line, a field of a JSON body, the body itself. So what is said is
//! one line of ASCII that says what to do.

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::http::{ConnectionType, StatusCode};
use countersign_core::Reason;
use countersign_core::registry::{RefusalBody, RefusalStyle};
use serde_json::json;

use super::gate::{Asked, Refused};
use super::{Registry, phrase, step_up};
use crate::web::Context;

/// Sends a tool that can be sent for more, and refuses it else.
pub(super) async fn refuse(
    registry: &Registry,
    refused: &Refused,
    asked: Asked<'_>,
    context: &Context<'_>,
) -> HttpResponse {
    match step_up::offer(registry, refused, asked, context).await {
        Some(answer) => answer,
        None => answer(registry, refused, context),
    }
}

/// Answers a tool whose request goes no further.
pub(super) fn answer(
    registry: &Registry,
    refused: &Refused,
    context: &Context<'_>,
) -> HttpResponse {
    let status = status(&registry.profile.refusal, refused);
    let mut answer = told(registry, status, &words(refused, context), context);
    match refused {
        Refused::Unavailable => answer = try_again(answer, 5),
        Refused::TooMany { too_many, .. } => answer = try_again(answer, too_many.retry_after),
        Refused::Ambiguous(_)
        | Refused::ByRule(_)
        | Refused::NoCredential { .. }
        | Refused::BadCredential(_)
        | Refused::BadToken(_)
        | Refused::Unreadable(_)
        | Refused::NotEnough { .. } => {}
    }
    if status == StatusCode::FORBIDDEN && may_be_mended(refused) {
        let challenge = HeaderValue::from_static(STEP_UP);
        answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    answer
}

/// Tells a tool in how many seconds to try again.
pub(super) fn try_again(mut answer: HttpResponse, seconds: u32) -> HttpResponse {
    answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    answer
}

/// RFC 9470 3, for programs that can have their user sign in anew. A 401 says it in the tool's own way.
const STEP_UP: &str = r#"Bearer error="insufficient_user_authentication""#;

fn may_be_mended(refused: &Refused) -> bool {
    matches!(refused, Refused::NotEnough { reasons, .. } if step_up::may_all_help(reasons))
}

/// Tells a tool this, with this status.
pub(super) fn told(
    registry: &Registry,
    status: StatusCode,
    words: &str,
    context: &Context<'_>,
) -> HttpResponse {
    let style = &registry.profile.refusal;
    let words = plain(&with_places(words, context));
    let mut answer = HttpResponse::build(status);
    if status == StatusCode::UNAUTHORIZED {
        // RFC 9110 15.5.2: a 401 says by what to authenticate.
        let challenge = with_places(&style.challenge, context);
        answer.insert_header((WWW_AUTHENTICATE, header(&challenge)));
    }
    let (kind, body) = body(style.body, status, &words);
    let mut answer = answer.insert_header((CONTENT_TYPE, kind)).body(body);
    if style.reason_phrase {
        answer.head_mut().reason = Some(phrase::ours(&words));
    }
    // What the tool was about to send may still come: it would be read as the next request.
    answer.head_mut().set_connection_type(ConnectionType::Close);
    answer
}

fn status(style: &RefusalStyle, refused: &Refused) -> StatusCode {
    let number = match refused {
        Refused::NoCredential { .. } => style.without_credential,
        Refused::Ambiguous(_)
        | Refused::ByRule(_)
        | Refused::BadToken(_)
        | Refused::Unreadable(_)
        | Refused::Unavailable => 403,
        Refused::TooMany { .. } => 429,
        Refused::BadCredential(_) if style.without_credential == 401 => 401,
        Refused::BadCredential(_) | Refused::NotEnough { .. } => style.status,
    };
    StatusCode::from_u16(number).unwrap_or(StatusCode::FORBIDDEN)
}

/// What the person is told, in one line.
pub(super) fn words(refused: &Refused, context: &Context<'_>) -> String {
    let text = match refused {
        Refused::Ambiguous(why) => format!("This request is refused: {why}"),
        Refused::ByRule(words) => words.clone(),
        Refused::NoCredential { action } => {
            format!("Sign in to {action}: make an API key at {{keys}}")
        }
        Refused::BadCredential(why) => {
            // Where, is said here.
            let why = why.strip_suffix(" Make a new one.").unwrap_or(why);
            format!("{why} Make an API key at {{keys}}")
        }
        Refused::BadToken(why) => format!("{why} Run the command again"),
        Refused::TooMany { why, .. } => {
            format!("{why} Too many like it came from your address: try again in a minute")
        }
        Refused::Unreadable(why) => format!("This request is refused: {why}"),
        Refused::NotEnough { reasons, .. } => {
            return of_key(reasons, context);
        }
        Refused::Unavailable => {
            "Nobody can be let through at the moment. Try again in a few seconds".to_owned()
        }
    };
    plain(&with_places(&text, context))
}

/// Why a key that is good is not good enough, and what can be done about it.
pub(super) fn of_key(reasons: &[Reason], context: &Context<'_>) -> String {
    let reason = reasons.first().copied().unwrap_or(Reason::MfaUnknown);
    let text = format!("{} {}", reason.sentence(), remedy(reason));
    plain(&with_places(&text, context))
}

/// What can be done about it with a tool in hand.
fn remedy(reason: Reason) -> &'static str {
    match reason {
        Reason::MfaAbsent
        | Reason::MfaUnknown
        | Reason::EvidenceMalformed
        | Reason::EvidenceContradictory
        | Reason::TenantContextUnnamed
        | Reason::MethodNeverCounts
        | Reason::PhishingResistantAbsent
        | Reason::BasisNotAccepted
        | Reason::AcrNotMet => {
            "Sign in with multi-factor authentication and make a new API key at {keys}"
        }
        Reason::AuthTimeAbsent
        | Reason::AuthTooOld
        | Reason::EvidenceTooOld
        | Reason::ReauthenticationNotShown
        | Reason::MembershipStale
        | Reason::IdentityChanged
        | Reason::WeighedOtherwise
        | Reason::ProviderWithdrew
        | Reason::NotInPolicy => "Sign in again and make a new API key at {keys}",
        Reason::EmailNotVerified => {
            "Verify it there, sign in again and make a new API key at {keys}"
        }
        Reason::OrganizationNotShown => "Sign in through it and make a new API key at {keys}",
        Reason::ProviderNotAdmitted => "Sign in with another one at {keys}",
        Reason::AccountLocked | Reason::NotAnOperator => "",
    }
}

/// The page on which people make keys stands for `{keys}`.
pub(super) fn with_places(text: &str, context: &Context<'_>) -> String {
    let keys = context.broker.settings.endpoint(super::KEYS_PAGE);
    text.replace("{keys}", &keys)
}

/// Printable ASCII, as a header and a status line take it.
pub(super) fn plain(text: &str) -> String {
    text.trim()
        .replace(['\u{2018}', '\u{2019}'], "'")
        .chars()
        .map(|letter| {
            if matches!(letter, ' '..='~') {
                letter
            } else {
                '?'
            }
        })
        .collect()
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(&plain(text)).unwrap_or(HeaderValue::from_static("Bearer"))
}

fn body(style: RefusalBody, status: StatusCode, words: &str) -> (&'static str, String) {
    const JSON: &str = "application/json";
    match style {
        RefusalBody::Text => ("text/plain; charset=utf-8", format!("{words}\n")),
        RefusalBody::JsonError => (JSON, json!({"error": words}).to_string()),
        RefusalBody::JsonErrors => (JSON, json!({"errors": [{"detail": words}]}).to_string()),
        RefusalBody::Problem => (
            "application/problem+json",
            json!({"status": status.as_u16(), "title": "Refused", "detail": words}).to_string(),
        ),
        RefusalBody::Docker => {
            let code = match status {
                StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
                StatusCode::TOO_MANY_REQUESTS => "TOOMANYREQUESTS",
                _ => "DENIED",
            };
            (
                JSON,
                json!({"errors": [{"code": code, "message": words, "detail": null}]}).to_string(),
            )
        }
    }
}
