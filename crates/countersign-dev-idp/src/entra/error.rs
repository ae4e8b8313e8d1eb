//! Microsoft's errors: AADSTS numbers, trace ids, lines that end in CRLF.
//!
//! <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::entropy;
use crate::page;

pub(super) const PROVIDER: &str = "Microsoft";

/// An error of the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenError {
    /// Such as `invalid_grant`.
    pub error: String,
    /// The AADSTS number.
    pub code: u32,
    pub text: String,
    /// Such as `basic_action`.
    pub suberror: Option<String>,
    /// The claims challenge, as JSON text.
    pub claims: Option<String>,
}

impl TokenError {
    pub(super) fn new(error: &str, code: u32, text: &str) -> Self {
        Self {
            error: error.to_owned(),
            code,
            text: text.to_owned(),
            suberror: None,
            claims: None,
        }
    }

    /// 401 for a client that isn't who it says, otherwise 400.
    pub(super) fn response(&self, now: i64) -> HttpResponse {
        let status = match self.error.as_str() {
            "invalid_client" => StatusCode::UNAUTHORIZED,
            _ => StatusCode::BAD_REQUEST,
        };
        HttpResponse::build(status)
            .insert_header(("cache-control", "no-store, no-cache"))
            .json(self.body(now))
    }

    fn body(&self, now: i64) -> Map<String, Value> {
        let trace = Trace::new(now);
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
        put("error", json!(self.error));
        put(
            "error_description",
            json!(trace.description(self.code, &self.text)),
        );
        put("error_codes", json!([self.code]));
        put("timestamp", json!(trace.timestamp));
        put("trace_id", json!(trace.id));
        put("correlation_id", json!(trace.correlation_id));
        put("error_uri", json!(error_uri(self.code)));
        if let Some(suberror) = &self.suberror {
            put("suberror", json!(suberror));
        }
        if let Some(claims) = &self.claims {
            put("claims", json!(claims));
        }
        body
    }
}

/// The `error_description` of a redirect.
pub(super) fn description(code: u32, text: &str, now: i64) -> String {
    Trace::new(now).description(code, text)
}

pub(super) fn error_uri(code: u32) -> String {
    format!("https://login.microsoftonline.com/error?code={code}")
}

/// An error that stays on Microsoft's page: the application never hears of it.
pub(super) fn stays_here(
    status: StatusCode,
    title: &str,
    code: u32,
    text: &str,
    now: i64,
) -> HttpResponse {
    page::message(status, PROVIDER, title, &description(code, text, now))
}

/// The answer of discovery for a tenant that does not exist.
pub(super) fn unknown_tenant(name: &str, now: i64) -> HttpResponse {
    let text = format!(
        "Tenant '{name}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."
    );
    TokenError::new("invalid_tenant", 90002, &text).response(now)
}

struct Trace {
    id: String,
    correlation_id: String,
    timestamp: String,
}

impl Trace {
    fn new(now: i64) -> Self {
        let now = Timestamp::from_second(now).unwrap_or(Timestamp::UNIX_EPOCH);
        Self {
            id: entropy::guid(),
            correlation_id: entropy::guid(),
            timestamp: now.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        }
    }

    fn description(&self, code: u32, text: &str) -> String {
        format!(
            "AADSTS{code}: {text}\r\nTrace ID: {}\r\nCorrelation ID: {}\r\nTimestamp: {}",
            self.id, self.correlation_id, self.timestamp
        )
    }
}
