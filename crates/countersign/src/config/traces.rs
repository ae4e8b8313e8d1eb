//! `[traces]`: where requests are told of, as OpenTelemetry's traces.

use countersign_core::document::{Table, Value};
use countersign_providers::http::is_loopback;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use url::Url;

use super::file::Reader;

/// Where OTLP/HTTP takes traces, unless the address says.
const PATH: &str = "/v1/traces";

/// Where traces are sent.
#[derive(Debug, Clone)]
pub struct TraceSettings {
    /// The address that takes them, by OTLP/HTTP.
    pub endpoint: Url,
    /// The share of traces that is sent: 0 to 1.
    pub sample: f64,
    /// What is sent along, marked as secret.
    pub headers: HeaderMap,
}

impl Reader<'_> {
    pub(super) fn traces(&mut self, table: &mut Table<'_>) -> Option<TraceSettings> {
        let endpoint = table.required("endpoint", |value| {
            Some((value.parsed(endpoint)?, value.clone()))
        });
        let sample = table.optional_or("sample", 1.0, Value::share);
        let headers = table.optional_or("headers", HeaderMap::new(), |value| self.headers(value));
        let ((endpoint, place), headers) = (endpoint?, headers?);
        if endpoint.scheme() == "http" && !is_loopback(&endpoint) && !headers.is_empty() {
            self.warn(
                &place,
                "`traces.headers` go there in plain text; use `https://`",
            );
        }
        Some(TraceSettings {
            endpoint,
            sample: sample?,
            headers,
        })
    }

    fn headers(&mut self, value: &Value<'_>) -> Option<HeaderMap> {
        let headers = value.entries(|key, value| {
            let name = key.parsed(header_name);
            let secret = self.secret(value)?;
            let Ok(mut header) = HeaderValue::from_str(secret.expose_secret()) else {
                value.report("holds a character that no header may have");
                return None;
            };
            header.set_sensitive(true);
            Some((name?.as_str().to_owned(), header))
        })?;
        let named = |(name, value): (String, HeaderValue)| Some((name.parse().ok()?, value));
        headers.into_iter().map(named).collect()
    }
}

/// In the operator's own network plain http is usual; spans hold no secret.
fn endpoint(text: &str) -> Result<Url, &'static str> {
    const EXPECTED: &str =
        "expected the address of an OTLP/HTTP collector, such as `http://127.0.0.1:4318`";
    let mut url = Url::parse(text).map_err(|_| EXPECTED)?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(EXPECTED);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "expected an address without user and password; `traces.headers` is for secrets",
        );
    }
    if url.path() == "/" {
        url.set_path(PATH);
    }
    Ok(url)
}

fn header_name(text: &str) -> Result<HeaderName, &'static str> {
    text.parse()
        .map_err(|_| "expected the name of a header, such as `authorization`")
}
