//! Values that are kept for a moment, in a place of fixed size.
//!
//! It is a map of our own: what is wanted of it is that all is forgotten at once, with whatever is being asked for just then,
//! and that time is the caller's.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_store::StoreError;
use jiff::{SignedDuration, Timestamp};

/// For how long a value counts, where nobody has told of a change.
pub(super) const LONGEST: SignedDuration = SignedDuration::from_secs(1);
/// How many are kept: some 10 MB of sessions. Where there are more within a second, all are forgotten.
pub(super) const MOST: usize = 4096;

/// What is kept of one kind.
#[derive(Debug)]
pub(super) struct Shelf<K, V>(Mutex<Kept<K, V>>);

#[derive(Debug)]
struct Kept<K, V> {
    /// How often it was forgotten: what was read before counts no more.
    forgotten: u64,
    /// The latest time that anybody asked at.
    latest: Timestamp,
    /// With the time from which on it was read.
    values: HashMap<K, (Timestamp, Arc<V>)>,
}

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self(Mutex::new(Kept {
            forgotten: 0,
            latest: Timestamp::MIN,
            values: HashMap::new(),
        }))
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Shelf<K, V> {
    /// What is kept, and else what this asks for.
    pub(super) async fn get(
        &self,
        key: &K,
        now: Timestamp,
        asked: impl Future<Output = Result<Option<V>, StoreError>>,
    ) -> Result<Option<V>, StoreError> {
        let (known, forgotten) = self.look(key, now);
        if let Some(known) = known {
            return Ok(Some(V::clone(&known)));
        }
        let found = asked.await?;
        if let Some(found) = &found {
            self.keep(forgotten, key, found, now);
        }
        Ok(found)
    }

    fn look(&self, key: &K, now: Timestamp) -> (Option<Arc<V>>, u64) {
        let mut kept = self.lock();
        if now.duration_until(kept.latest) > LONGEST {
            // The clock was set back: what was read before would count once more when that time comes again.
            kept.forget();
            kept.latest = now;
        }
        kept.latest = kept.latest.max(now);
        let known = kept.values.get(key).filter(|(at, _)| counts(*at, now));
        let known = known.map(|(_, value)| Arc::clone(value));
        if known.is_none() {
            // Set back by less, the clock would have it count once more.
            kept.values.remove(key);
        }
        (known, kept.forgotten)
    }

    /// Keeps what was read since it was forgotten so often.
    fn keep(&self, forgotten: u64, key: &K, value: &V, now: Timestamp) {
        let mut kept = self.lock();
        if kept.forgotten != forgotten {
            return;
        }
        if kept.values.len() >= MOST {
            kept.values.retain(|_, (at, _)| counts(*at, now));
        }
        if kept.values.len() >= MOST {
            kept.values.clear();
        }
        let value = Arc::new(value.clone());
        kept.values.insert(key.clone(), (now, value));
    }
}

impl<K, V> Shelf<K, V> {
    pub(super) fn forget(&self) {
        self.lock().forget();
    }

    fn lock(&self) -> MutexGuard<'_, Kept<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> Kept<K, V> {
    fn forget(&mut self) {
        self.forgotten += 1;
        self.values.clear();
    }
}

/// Whether what was read then counts now. A clock that was set back makes nothing of before count.
fn counts(at: Timestamp, now: Timestamp) -> bool {
    at <= now && now.duration_since(at) < LONGEST
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn at(millisecond: i64) -> Timestamp {
        Timestamp::from_millisecond(millisecond).unwrap()
    }

    fn get(
        shelf: &Shelf<u32, u32>,
        key: u32,
        now: i64,
        answer: impl FnOnce() -> Option<u32>,
    ) -> Option<u32> {
        let asked = async { Ok(answer()) };
        let got = shelf.get(&key, at(now), asked).now_or_never();
        got.unwrap().unwrap()
    }

    fn ask(shelf: &Shelf<u32, u32>, key: u32, now: i64, answer: u32) -> u32 {
        get(shelf, key, now, || Some(answer)).unwrap()
    }

    #[test]
    fn a_value_counts_for_less_than_a_second() {
        let shelf = Shelf::default();
        assert_eq!(ask(&shelf, 1, 5_000, 1), 1);
        assert_eq!(ask(&shelf, 1, 5_999, 2), 1);
        assert_eq!(ask(&shelf, 2, 5_999, 3), 3);
        assert_eq!(ask(&shelf, 1, 6_000, 4), 4);
        assert_eq!(ask(&shelf, 1, 5_999, 5), 5, "the clock was set back");
        assert_eq!(get(&shelf, 1, 5_000, || None), None);
        assert_eq!(ask(&shelf, 1, 5_999, 6), 6, "it is that time once more");
        assert_eq!(ask(&shelf, 2, 1_000, 7), 7);
        assert_eq!(ask(&shelf, 1, 5_999, 8), 8, "though nobody asked meanwhile");
    }

    #[test]
    fn what_was_asked_for_before_it_was_forgotten_is_not_kept() {
        let shelf = Shelf::<u32, u32>::default();
        let make = || {
            shelf.forget();
            Some(1)
        };
        assert_eq!(get(&shelf, 1, 0, make), Some(1));
        assert_eq!(ask(&shelf, 1, 0, 2), 2);
        shelf.forget();
        assert_eq!(ask(&shelf, 1, 0, 3), 3);
    }

    #[test]
    fn that_there_is_nothing_is_not_kept() {
        let shelf = Shelf::<u32, u32>::default();
        assert_eq!(get(&shelf, 1, 0, || None), None);
        assert_eq!(ask(&shelf, 1, 0, 2), 2);
    }

    #[test]
    fn so_many_are_kept_and_no_more() {
        let shelf = Shelf::default();
        let all = u32::try_from(MOST).unwrap();
        for key in 0..3 * all {
            ask(&shelf, key, 0, key);
            assert!(shelf.lock().values.len() <= MOST);
        }
        // Those of before make room first.
        let later = Shelf::default();
        for key in 0..all {
            ask(&later, key, i64::from(key >= 10) * 1_000, key);
        }
        ask(&later, all, 1_000, 0);
        assert_eq!(later.lock().values.len(), MOST - 10 + 1);
    }
}
