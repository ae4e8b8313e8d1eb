//! Counts in a memory that never grows, however many ask, and that nobody has to sweep.
//!
//! Whoever is counted has a place in each of two rows, by a hash that nobody can foresee, and may go on while
//! there is room in either. Two share both places once in four billion pairs; even where ten thousand flood at
//! once, fewer than one in thirty of all others find both their places taken.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use countersign_store::Rate;
use jiff::Timestamp;

/// Pages in a row: a megabyte for the two of a sieve, once everybody has come.
const PAGES: usize = 128;
/// Places on a page. One is made when the first comes who has a place on it, so that what nobody asks for costs nothing.
const PLACES: usize = 512;

/// One limit, for everybody whom it counts.
#[derive(Debug)]
pub(super) struct Sieve {
    rate: Rate,
    rows: [Row; 2],
}

#[derive(Debug)]
struct Row {
    hash: RandomState,
    /// Of each place: when all that was spent is paid back, in microseconds since 1970.
    pages: Box<[OnceLock<Box<[AtomicI64; PLACES]>>]>,
}

impl Sieve {
    /// For everybody, each by themselves.
    pub(super) fn new(rate: Rate) -> Self {
        Self::with_pages(PAGES, rate)
    }

    /// For what is counted together, whoever asks.
    pub(super) fn of_all(rate: Rate) -> Self {
        Self::with_pages(1, rate)
    }

    fn with_pages(pages: usize, rate: Rate) -> Self {
        let row = |_| Row {
            hash: RandomState::new(),
            pages: (0..pages).map(|_| OnceLock::new()).collect(),
        };
        Self {
            rate,
            rows: std::array::from_fn(row),
        }
    }

    /// Counts one more; an error, with the time when there is room again, where there is none.
    pub(super) fn take(&self, who: &impl Hash, now: Timestamp) -> Result<(), Timestamp> {
        let now = now.as_microsecond();
        let taken = self.rows.each_ref().map(|row| {
            let place = row.place(who);
            let mut until = now;
            let spent = place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |paid_at| {
                self.rate
                    .spend(paid_at, now)
                    .inspect_err(|then| until = *then)
                    .ok()
            });
            spent.map(drop).map_err(|_| until)
        });
        either(taken)
    }

    /// Whether there is room for one more, which is not counted.
    pub(super) fn peek(&self, who: &impl Hash, now: Timestamp) -> Result<(), Timestamp> {
        let now = now.as_microsecond();
        either(self.rows.each_ref().map(|row| {
            let paid_at = row.place(who).load(Ordering::Relaxed);
            self.rate.spend(paid_at, now).map(drop)
        }))
    }

    /// There is no room until then: somebody else has counted too.
    pub(super) fn fill(&self, who: &impl Hash, until: Timestamp) {
        let paid_at = self.rate.full_until(until.as_microsecond());
        for row in &self.rows {
            row.place(who).fetch_max(paid_at, Ordering::Relaxed);
        }
    }
}

impl Row {
    fn place(&self, who: &impl Hash) -> &AtomicI64 {
        let hash = self.hash.hash_one(who);
        // The remainders are below the lengths, whatever a `usize` holds.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the remainders are what counts"
        )]
        let place = hash as usize;
        let page = &self.pages[place / PLACES % self.pages.len()];
        let page = page.get_or_init(|| Box::new(std::array::from_fn(|_| AtomicI64::new(0))));
        &page[place % PLACES]
    }
}

fn either(rows: [Result<(), i64>; 2]) -> Result<(), Timestamp> {
    match rows {
        [Ok(()), _] | [_, Ok(())] => Ok(()),
        [Err(one), Err(other)] => {
            Err(Timestamp::from_microsecond(one.min(other)).unwrap_or(Timestamp::MAX))
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    const RATE: Rate = Rate::new(10, SignedDuration::from_mins(1));

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn taken(sieve: &Sieve, who: &str, second: i64) -> usize {
        (0..1000)
            .take_while(|_| sieve.take(&who, at(second)).is_ok())
            .count()
    }

    #[test]
    fn so_many_at_once_and_then_as_many_again_evenly() {
        let sieve = Sieve::new(RATE);
        assert_eq!(taken(&sieve, "ann", 0), 10);
        assert_eq!(sieve.take(&"ann", at(0)), Err(at(6)));
        assert_eq!(taken(&sieve, "ann", 5), 0);
        assert_eq!(taken(&sieve, "ann", 6), 1);
        assert_eq!(taken(&sieve, "ann", 36), 5);
        assert_eq!(taken(&sieve, "ann", 1000), 10);
    }

    #[test]
    fn nobody_pays_for_another() {
        let sieve = Sieve::new(RATE);
        assert_eq!(taken(&sieve, "ann", 0), 10);
        let free = (0..1000).filter(|n| sieve.take(n, at(0)).is_ok()).count();
        assert_eq!(free, 1000);
    }

    #[test]
    fn ten_thousand_who_flood_shut_out_hardly_anybody_else() {
        let sieve = Sieve::new(RATE);
        for flooder in 0..10_000_u32 {
            while sieve.take(&("flood", flooder), at(0)).is_ok() {}
        }
        let honest = 10_000;
        let out = (0..honest).filter(|n| sieve.peek(&("honest", *n), at(0)).is_err());
        let out = out.count();
        assert!(out * 30 < honest, "{out} of {honest}");
    }

    #[test]
    fn looking_counts_nothing_and_what_others_have_counted_counts() {
        let sieve = Sieve::new(RATE);
        assert!((0..1000).all(|_| sieve.peek(&"ann", at(0)).is_ok()));
        sieve.fill(&"ann", at(30));
        assert_eq!(sieve.peek(&"ann", at(0)), Err(at(30)));
        assert_eq!(sieve.take(&"ann", at(29)), Err(at(30)));
        assert_eq!(taken(&sieve, "ann", 30), 1);
        assert!(sieve.peek(&"bob", at(0)).is_ok());
    }

    #[test]
    fn a_clock_that_is_set_back_shuts_nobody_out() {
        let sieve = Sieve::new(RATE);
        assert_eq!(taken(&sieve, "ann", 100_000), 10);
        assert_eq!(taken(&sieve, "ann", 0), 10);
        assert_eq!(taken(&sieve, "ann", 60), 10);
    }
}
