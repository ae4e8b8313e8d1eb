//! Tells the registry whose API keys are to end, once an hour and by one replica, and forgets keys that ended long ago.
//!
//! What the registry has taken counts as the notice of the keys that it names: it may mail their owners.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use countersign_core::Policy;
use countersign_core::api_keys::Told;
use countersign_providers::Http;
use countersign_store::{Admin, ApiKey, Changed, KEYS_AT_ONCE, Seen, Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use thiserror::Error;

use super::change::{told, told_at};
use super::text::hex;
use super::{notice, notice_in_words, owner_of};
use crate::PolicyHandle;
use crate::audit::AuditLog;
use crate::once::{Kind, key as once};
use crate::recent::Reads;
use crate::webhook::{NotDelivered, Webhook};

/// How many keys one message names.
const AT_ONCE: usize = 100;
/// The kind of the message.
const SUNSET: &str = "api-keys.sunset";
/// For how long a key is kept that has ended, so that its owner still sees that it has.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What tells of them while the server runs, if it is called now and then.
#[derive(Debug, Clone)]
pub struct KeyNotices {
    pub(crate) policy: PolicyHandle,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) audit_log: Arc<AuditLog>,
    pub(crate) http: Http,
    pub(crate) webhook: Option<Webhook>,
    /// Where people see their keys.
    pub(crate) page: String,
}

/// Why not all was told.
#[derive(Debug, Error)]
pub enum NotAllTold {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The registry did not take it.
    #[error(transparent)]
    Webhook(#[from] NotDelivered),
}

impl KeyNotices {
    /// Tells of the keys whose owners are to be told, if nobody has begun it in this hour; answers of how many. `pause` is
    /// awaited between two pages.
    ///
    /// # Errors
    ///
    /// What was not told is told in another hour.
    pub async fn tick(&self, now: Timestamp, pause: impl AsyncFn()) -> Result<usize, NotAllTold> {
        if self.audit_log.check(now).is_err() || !self.is_first_this_hour(now).await? {
            return Ok(0);
        }
        let policy = &self.policy.current().policy;
        let (mut after, mut done) = (None, 0);
        let mut due = Vec::new();
        loop {
            let page = self
                .store
                .list_api_keys(after.as_ref(), KEYS_AT_ONCE)
                .await?;
            let Some(last) = page.last() else {
                break;
            };
            after = Some(last.id.clone());
            for key in page {
                if is_long_over(&key, now) {
                    self.forget(&key).await?;
                } else if self.webhook.is_some() && is_news(&key, policy, now) {
                    due.push(key);
                }
            }
            while due.len() >= AT_ONCE {
                let some = due.split_off(due.len() - AT_ONCE);
                done += self.tell(&some, policy, now).await?;
            }
            pause().await;
        }
        Ok(done + self.tell(&due, policy, now).await?)
    }

    async fn is_first_this_hour(&self, now: Timestamp) -> Result<bool, StoreError> {
        let hour = (now.as_second() / 3600).to_string();
        let until = now + SignedDuration::from_hours(1);
        let this = once(Kind::KeyNotices, &[&hour]);
        Ok(self.store.remember(&this, until, now).await? == Seen::First)
    }

    async fn forget(&self, key: &ApiKey) -> Result<(), StoreError> {
        let Some((_, version)) = self.store.api_key(&key.id).await? else {
            return Ok(());
        };
        match self.store.remove_api_key(key, version).await {
            // Somebody was faster: it is looked at again in another hour.
            Ok(()) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// One message, and once it is taken that these owners were told.
    async fn tell(
        &self,
        keys: &[ApiKey],
        policy: &Policy,
        now: Timestamp,
    ) -> Result<usize, NotAllTold> {
        let Some(webhook) = self.webhook.as_ref().filter(|_| !keys.is_empty()) else {
            return Ok(0);
        };
        let mut rows = Vec::new();
        for key in keys {
            rows.extend(self.row(key, policy, now).await?);
        }
        let id = message_id(keys, now);
        let data = json!({"api_keys": rows});
        webhook
            .tell((&id, SUNSET), &data, (&self.http, now))
            .await?;
        let mut done = 0;
        for key in keys {
            if told_at(self.store.as_ref(), &key.id, policy, now).await? == Changed::Yes {
                self.audit_log.write(told(&key.id, "webhook"), now);
                done += 1;
            }
        }
        Ok(done)
    }

    /// What the registry is told of a key.
    async fn row(
        &self,
        key: &ApiKey,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Option<Value>, StoreError> {
        let Some(notice) = notice(key, policy, now) else {
            return Ok(None);
        };
        let owner = owner_of(key, Reads::of(self.store.as_ref(), now)).await?;
        let named = owner.as_ref().and_then(|one| one.registry_account.clone());
        let named = match &key.owner {
            Admin::RegistryAccount(name) => Some(name.clone()),
            Admin::Account(_) => named,
        };
        Ok(Some(json!({
            "id": key.id,
            "name": key.name,
            "client": key.client,
            "sub": owner.map(|account| account.id),
            "registry_account": named,
            "ends_at": notice.end,
            "text": notice_in_words(key, &notice, &self.page),
            "page": self.page,
        })))
    }
}

/// Whether its owner is to be told what they were not told before.
fn is_news(key: &ApiKey, policy: &Policy, now: Timestamp) -> bool {
    notice(key, policy, now).is_some_and(|notice| notice.told == Told::NotYet)
}

/// Whether a key ended so long ago that nobody asks any more. One without an end of its own stays, so that no import
/// brings back what was revoked.
fn is_long_over(key: &ApiKey, now: Timestamp) -> bool {
    let over = key.expires_at.and_then(|end| end.checked_add(KEPT).ok());
    over.is_some_and(|over| over < now)
}

/// The same for the same keys on the same day, so that who has taken a message, and whose answer was lost, knows it again.
fn message_id(keys: &[ApiKey], now: Timestamp) -> String {
    let day = countersign_core::calendar::day_of(now).to_string();
    let ids = keys.iter().map(|key| key.id.as_str());
    let named: Vec<&str> = std::iter::once(day.as_str()).chain(ids).collect();
    let digest = digest(&SHA256, named.join(" ").as_bytes());
    format!("msg_{}", hex(&digest.as_ref()[..16]))
}
