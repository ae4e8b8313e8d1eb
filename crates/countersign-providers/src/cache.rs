//! A document of a provider's that is kept, fetched anew when it is old, and never hammered.
//!
//! The rules are Microsoft's for signing keys (access-tokens, "Signing key rollover"), and good
//! for all: refresh hourly; after an unknown key at most every five minutes; keep the last known
//! good for a day.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use crate::ProviderError;

/// A document this old is fetched anew when it is next needed.
const FRESH_FOR: SignedDuration = SignedDuration::from_hours(1);
/// A document this old is not used any more, whatever the provider's state.
const USABLE_FOR: SignedDuration = SignedDuration::from_hours(24);
/// The least time between two fetches that an unknown key, or a failure, asks for.
const RETRY_AFTER: SignedDuration = SignedDuration::from_mins(5);
/// The least time between two attempts while there is nothing usable at all.
const RETRY_WITHOUT: SignedDuration = SignedDuration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Cached<T> {
    kept: RwLock<Option<Kept<T>>>,
    /// When a fetch was last tried. Held while fetching, so that callers share one.
    tried_at: Mutex<Option<Timestamp>>,
}

#[derive(Debug)]
struct Kept<T> {
    value: Arc<T>,
    fetched_at: Timestamp,
}

impl<T> Cached<T> {
    pub(crate) fn empty() -> Self {
        Self {
            kept: RwLock::new(None),
            tried_at: Mutex::new(None),
        }
    }

    /// The document, fetched if there is none or it is old.
    pub(crate) async fn current(
        &self,
        now: Timestamp,
        fetch: impl AsyncFn() -> Result<T, ProviderError>,
    ) -> Result<Arc<T>, ProviderError> {
        match self.kept() {
            Some((value, age)) if age(now) < FRESH_FOR => Ok(value),
            Some((value, age)) if age(now) < USABLE_FOR => {
                let fetched = self.refetch(now, RETRY_AFTER, fetch).await;
                Ok(fetched.ok().flatten().unwrap_or(value))
            }
            Some(_) | None => match self.refetch(now, RETRY_WITHOUT, fetch).await? {
                Some(value) => Ok(value),
                None => Err(ProviderError::Unavailable),
            },
        }
    }

    /// The document as it is now at the provider, because the kept one lacks something; `None`
    /// if it was asked for too recently.
    pub(crate) async fn renewed(
        &self,
        now: Timestamp,
        fetch: impl AsyncFn() -> Result<T, ProviderError>,
    ) -> Result<Option<Arc<T>>, ProviderError> {
        self.refetch(now, RETRY_AFTER, fetch).await
    }

    async fn refetch(
        &self,
        now: Timestamp,
        pause: SignedDuration,
        fetch: impl AsyncFn() -> Result<T, ProviderError>,
    ) -> Result<Option<Arc<T>>, ProviderError> {
        let before = self.kept().map(|(value, _)| value);
        let mut tried_at = self.tried_at.lock().await;
        if let Some((value, _)) = self.kept()
            && before.is_none_or(|before| !Arc::ptr_eq(&before, &value))
        {
            return Ok(Some(value)); // another caller has just fetched it
        }
        // Without the sign: a clock that was set back must not make the pause longer.
        if tried_at.is_some_and(|at| now.duration_since(at).abs() < pause) {
            return Ok(None);
        }
        *tried_at = Some(now);
        let value = Arc::new(fetch().await?);
        let kept = Kept {
            value: Arc::clone(&value),
            fetched_at: now,
        };
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(Some(value))
    }

    fn kept(&self) -> Option<(Arc<T>, impl Fn(Timestamp) -> SignedDuration + use<T>)> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.as_ref()?;
        let fetched_at = kept.fetched_at;
        Some((Arc::clone(&kept.value), move |now: Timestamp| {
            now.duration_since(fetched_at)
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Origin {
        asked: AtomicUsize,
        down: bool,
    }

    impl Origin {
        fn up() -> Self {
            Self {
                asked: AtomicUsize::new(0),
                down: false,
            }
        }
        fn answer(&self) -> Result<usize, ProviderError> {
            let count = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
            if self.down {
                Err(ProviderError::Timeout)
            } else {
                Ok(count)
            }
        }
    }

    fn minute(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
    }

    #[tokio::test]
    async fn a_document_is_fetched_once_an_hour() {
        let (cached, origin) = (Cached::empty(), Origin::up());
        for (at, expected) in [(0, 1), (59, 1), (60, 2), (61, 2)] {
            let value = cached
                .current(minute(at), async || origin.answer())
                .await
                .unwrap();
            assert_eq!(*value, expected, "at minute {at}");
        }
    }

    #[tokio::test]
    async fn an_unknown_key_asks_the_provider_at_most_every_five_minutes() {
        let (cached, origin) = (Cached::empty(), Origin::up());
        cached
            .current(minute(0), async || origin.answer())
            .await
            .unwrap();
        for at in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] {
            cached
                .renewed(minute(at), async || origin.answer())
                .await
                .unwrap();
        }
        assert_eq!(origin.asked.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn a_clock_that_was_set_back_does_not_keep_a_provider_away() {
        let (cached, origin) = (Cached::empty(), Origin::up());
        let down = Origin {
            down: true,
            ..Origin::up()
        };
        let failed = cached.current(minute(600), async || down.answer());
        assert!(failed.await.is_err());
        let found = cached.current(minute(0), async || origin.answer());
        assert!(found.await.is_ok());
    }

    #[tokio::test]
    async fn the_last_known_good_serves_for_a_day_and_no_longer() {
        let (cached, good) = (Cached::empty(), Origin::up());
        let down = Origin {
            down: true,
            ..Origin::up()
        };
        cached
            .current(minute(0), async || good.answer())
            .await
            .unwrap();
        let later = |at| cached.current(minute(at), async || down.answer());
        assert!(later(120).await.is_ok());
        assert!(later(24 * 60 - 1).await.is_ok());
        assert!(later(24 * 60).await.is_err());
    }
}
