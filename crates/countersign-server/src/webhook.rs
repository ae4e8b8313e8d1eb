//! Telling the registry what its people must hear, signed as Standard Webhooks have it.
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_providers::{Http, ProviderError};
use jiff::Timestamp;
use serde_json::{Value, json};
use thiserror::Error;
use url::Url;

/// Where the registry is told.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The address.
    pub url: Url,
    /// What it is signed with.
    pub secret: WebhookSecret,
}

/// What webhooks are signed with: `whsec_` and 24 to 64 bytes in base64. It is not shown.
#[derive(Clone)]
pub struct WebhookSecret(hmac::Key);

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A text that is no secret of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "expected `whsec_` and 24 to 64 random bytes in base64: `echo whsec_$(openssl rand -base64 32)`"
)]
pub struct NotASecret;

impl WebhookSecret {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, NotASecret> {
        let encoded = text.strip_prefix("whsec_").ok_or(NotASecret)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| NotASecret)?;
        let is_one = (24..=64).contains(&bytes.len());
        is_one
            .then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
            .ok_or(NotASecret)
    }

    fn sign(&self, id: &str, seconds: i64, body: &str) -> String {
        let tag = hmac::sign(&self.0, format!("{id}.{seconds}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    }
}

/// Why a webhook was not delivered.
#[derive(Debug, Error)]
pub enum NotDelivered {
    /// The address did not answer.
    #[error("{0}")]
    Unreachable(#[from] ProviderError),
    /// It did not take it.
    #[error("the webhook's address answered {0}")]
    Refused(u16),
}

impl Webhook {
    /// Tells of something. Whatever is told again after it was not delivered has the same id.
    pub(crate) async fn tell(
        &self,
        (id, kind): (&str, &str),
        data: &Value,
        (http, now): (&Http, Timestamp),
    ) -> Result<(), NotDelivered> {
        let seconds = now.as_second();
        let body = json!({"type": kind, "timestamp": now, "data": data}).to_string();
        let signature = self.secret.sign(id, seconds, &body);
        let seconds = seconds.to_string();
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", &seconds),
            ("webhook-signature", &signature),
        ];
        match http
            .post_json(&self.url, &headers, body.into_bytes())
            .await?
        {
            200..=299 => Ok(()),
            status => Err(NotDelivered::Refused(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_signed_as_the_specification_has_it() {
        // The example of the specification.
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signature = secret.sign(id, 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(format!("{secret:?}"), "[redacted]");
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for text in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_c2hvcnQ=",
            "whsec_!",
        ] {
            assert_eq!(WebhookSecret::parse(text).err(), Some(NotASecret), "{text}");
        }
    }
}
