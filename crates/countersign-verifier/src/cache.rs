//! When the issuer's keys are fetched, and how long they are used.
//!
//! Pure: `now` is an argument, in Unix seconds. Times are compared by distance, so that a clock
//! that is set back does not keep keys for longer or fetches away.

use std::sync::Arc;

use crate::error::Error;
use crate::keys::KeySet;

/// Seconds after which keys are fetched anew: how long a key that the issuer has withdrawn goes on
/// being accepted.
const FRESH: u64 = 60 * 60;

/// Seconds for which keys are used while every fetch fails. An issuer that is down must not stop a
/// registry at once, nor may a key be used for ever because somebody blocks the fetch.
const USABLE: u64 = 24 * 60 * 60;

/// Seconds between two fetches, whatever the reason: a flood of tokens with made-up `kid`s must not
/// become a flood at the issuer.
const PAUSE: u64 = 60;

/// Seconds between two fetches while there are no keys at all: a service that starts before its
/// issuer should come up soon after it.
const PAUSE_WITHOUT_KEYS: u64 = 5;

#[derive(Debug, Default)]
pub(crate) struct Cache {
    good: Option<Good>,
    last_try: Option<i64>,
    last_error: Option<Error>,
}

#[derive(Debug)]
struct Good {
    keys: Arc<KeySet>,
    fetched_at: i64,
}

impl Good {
    fn new(keys: KeySet, fetched_at: i64) -> Self {
        Self {
            keys: Arc::new(keys),
            fetched_at,
        }
    }
}

impl Cache {
    /// Whether the keys were fetched so recently that nobody need ask again.
    pub(crate) fn is_fresh(&self, now: i64) -> bool {
        self.good
            .as_ref()
            .is_some_and(|good| good.fetched_at.abs_diff(now) < FRESH)
    }

    /// The last good keys, if they are still usable.
    pub(crate) fn keys(&self, now: i64) -> Result<Arc<KeySet>, Error> {
        match &self.good {
            Some(good) if good.fetched_at.abs_diff(now) < USABLE => Ok(Arc::clone(&good.keys)),
            Some(_) | None => Err(self.why_none()),
        }
    }

    /// Whether the last try is long enough ago for another.
    pub(crate) fn may_fetch(&self, now: i64) -> bool {
        let pause = if self.good.is_some() {
            PAUSE
        } else {
            PAUSE_WITHOUT_KEYS
        };
        self.last_try.is_none_or(|last| last.abs_diff(now) >= pause)
    }

    /// A fetch has been started.
    pub(crate) fn note_try(&mut self, now: i64) {
        self.last_try = Some(now);
    }

    /// A fetch that was started at `then` has ended. A failure leaves the last good keys alone.
    pub(crate) fn note_answer(&mut self, then: i64, answer: Result<KeySet, Error>) {
        match answer {
            Ok(keys) => self.good = Some(Good::new(keys, then)),
            Err(error) => self.last_error = Some(error),
        }
    }

    fn why_none(&self) -> Error {
        let unknown = || Error::Unavailable("a fetch was cut off".to_owned());
        self.last_error.clone().unwrap_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_790_000_000;
    const HOUR: i64 = 3600;

    fn fetched_at(then: i64) -> Cache {
        let mut cache = Cache::default();
        cache.note_try(then);
        cache.note_answer(then, Ok(KeySet::default()));
        cache
    }

    fn failure() -> Error {
        Error::Unavailable("refused".to_owned())
    }

    #[test]
    fn keys_are_fresh_for_an_hour() {
        let cache = fetched_at(T);
        assert!(cache.is_fresh(T) && cache.is_fresh(T + HOUR - 1));
        assert!(!cache.is_fresh(T + HOUR));
        assert!(!Cache::default().is_fresh(T));
    }

    #[test]
    fn two_fetches_are_a_minute_apart_or_five_seconds_while_there_are_no_keys() {
        let cache = fetched_at(T);
        assert!(!cache.may_fetch(T + 59));
        assert!(cache.may_fetch(T + 60));

        let mut empty = Cache::default();
        assert!(empty.may_fetch(T));
        empty.note_try(T);
        assert!(!empty.may_fetch(T + 4));
        assert!(empty.may_fetch(T + 5));
    }

    #[test]
    fn the_last_good_keys_outlive_failures_for_a_day_and_no_longer() {
        let mut cache = fetched_at(T);
        cache.note_answer(T + HOUR, Err(failure()));
        assert!(cache.keys(T + 24 * HOUR - 1).is_ok());
        assert_eq!(cache.keys(T + 24 * HOUR).unwrap_err(), failure());
    }

    #[test]
    fn a_clock_set_back_neither_keeps_keys_nor_holds_fetches_back() {
        let cache = fetched_at(T);
        assert!(!cache.is_fresh(T - 2 * HOUR));
        assert!(cache.may_fetch(T - 60));
        assert!(cache.keys(T - 25 * HOUR).is_err());
    }
}
