//! What a tool's user is told beside what they asked for: that their key ends, in the place that the tool shows.
//!
//! It counts as told once the answer that holds it is on its way, and that was a success: tools show nothing of it else.

use actix_web::HttpResponseBuilder;
use actix_web::http::header::{HeaderName, HeaderValue};
use countersign_core::ApiKeyId;
use countersign_core::registry::NoticePlace;
use serde_json::{Value, json};

use super::refusal::plain;
use super::weigh::Leave;
use super::{KEYS_PAGE, Registry};
use crate::api_key;
use crate::web::Context;

/// What the owner of a key is to be told.
#[derive(Debug)]
pub(super) struct Notice {
    key: ApiKeyId,
    words: String,
}

impl Notice {
    /// What whoever has this leave is to be told now, if anything.
    pub(super) fn of(leave: &Leave, context: &Context<'_>) -> Option<Self> {
        let key = leave.key.as_ref()?;
        let notice = api_key::notice(key, context.policy(), context.now)?;
        let page = context.broker.settings.endpoint(KEYS_PAGE);
        Some(Self {
            key: key.id.clone(),
            words: plain(&api_key::notice_in_words(key, &notice, &page)),
        })
    }

    /// In one line of ASCII.
    pub(super) fn words(&self) -> &str {
        &self.words
    }

    /// Adds it to the headers of an answer, where the tool takes it from there; whether it does.
    pub(super) fn add_to(&self, registry: &Registry, answer: &mut HttpResponseBuilder) -> bool {
        let Some(NoticePlace::Header(name)) = &registry.profile.notice else {
            return false;
        };
        let value = HeaderValue::from_str(&self.words);
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), value) else {
            return false;
        };
        answer.append_header((name, value));
        true
    }

    /// Adds it to a JSON answer as cargo reads it (`warnings.other`); what is no such answer stays as it is. cargo takes an
    /// empty one for one without warnings.
    pub(super) fn added_to(&self, body: &[u8]) -> Option<Vec<u8>> {
        let body = if body.is_empty() { b"{}" } else { body };
        let mut answer: Value = serde_json::from_slice(body).ok()?;
        let warnings = answer
            .as_object_mut()?
            .entry("warnings")
            .or_insert_with(|| json!({"invalid_categories": [], "invalid_badges": []}));
        let other = warnings.as_object_mut()?.entry("other");
        let other = other.or_insert_with(|| json!([])).as_array_mut()?;
        other.push(self.words.clone().into());
        serde_json::to_vec(&answer).ok()
    }

    /// Keeps that they were told.
    pub(super) async fn delivered(&self, context: &Context<'_>) {
        if let Err(error) = api_key::deliver(&self.key, "tool", context).await {
            // They are told again, and again it counts as the first time.
            tracing::warn!(code = "notice-not-kept", request = %context.request_id, cause = %error, "that a key's owner was told is not kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(body: &str) -> Option<String> {
        let notice = Notice {
            key: ApiKeyId::new(format!("key_{}", "0".repeat(32))).unwrap(),
            words: "It ends.".to_owned(),
        };
        let added = notice.added_to(body.as_bytes())?;
        Some(String::from_utf8(added).unwrap())
    }

    #[test]
    fn cargo_is_told_beside_what_the_registry_says() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            added("{}"),
            some(
                r#"{"warnings":{"invalid_badges":[],"invalid_categories":[],"other":["It ends."]}}"#
            )
        );
        assert_eq!(
            added(r#"{"ok":true,"warnings":{"other":["one"]}}"#),
            some(r#"{"ok":true,"warnings":{"other":["one","It ends."]}}"#)
        );
        assert_eq!(added(""), added("{}"));
        for other in [
            "[]",
            "no",
            r#"{"warnings":[]}"#,
            r#"{"warnings":{"other":1}}"#,
        ] {
            assert_eq!(added(other), None, "{other}");
        }
    }
}
