//! `[webhook]`: where the registry is told what its people must hear.

use countersign_core::document::{Table, Value};
use countersign_providers::http::is_loopback;
use countersign_server::{Webhook, WebhookSecret};
use secrecy::ExposeSecret;
use url::Url;

use super::file::Reader;

impl Reader<'_> {
    pub(super) fn webhook(&mut self, table: &mut Table<'_>) -> Option<Webhook> {
        let url = table.required("url", |value| value.parsed(url));
        let secret = table.required("secret", |value| self.webhook_secret(value));
        Some(Webhook {
            url: url?,
            secret: secret?,
        })
    }

    fn webhook_secret(&mut self, value: &Value<'_>) -> Option<WebhookSecret> {
        let text = self.secret(value)?;
        let read = WebhookSecret::parse(text.expose_secret());
        read.map_err(|error| value.report(error)).ok()
    }
}

/// What is told names accounts, so it goes by TLS, or stays on this machine.
fn url(text: &str) -> Result<Url, &'static str> {
    const EXPECTED: &str =
        "expected an `https://` address, or a loopback one, without user and password";
    let url = Url::parse(text).map_err(|_| EXPECTED)?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    (is_plain && is_safe).then_some(url).ok_or(EXPECTED)
}
