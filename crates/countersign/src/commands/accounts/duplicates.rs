//! Whether something stands twice in a table, in 24 bytes for each row.
//!
//! Texts are remembered as 128 bits of a keyed hash, so that neither chance nor a clever name makes two
//! different ones the same. A million rows with an identity each take 48 MB (twice that while a list
//! grows), which is why a table has a limit.

use std::hash::{BuildHasher, Hash, RandomState};

/// What was seen, and on which line.
#[derive(Debug, Default)]
pub(super) struct Seen {
    keys: [RandomState; 2],
    seen: Vec<(u64, u64, u64)>,
}

/// A line, and the one before it that says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Duplicate {
    pub(super) line: u64,
    pub(super) first: u64,
}

impl Seen {
    pub(super) fn add(&mut self, what: impl Hash, line: u64) {
        let [one, other] = self.keys.each_ref().map(|key| key.hash_one(&what));
        self.seen.push((one, other, line));
    }

    /// All that stand more than once, in any order.
    pub(super) fn duplicates(mut self) -> impl Iterator<Item = Duplicate> {
        self.seen.sort_unstable();
        let mut first = None;
        self.seen
            .into_iter()
            .filter_map(move |(one, other, line)| match first {
                Some((hash, first)) if hash == (one, other) => Some(Duplicate { line, first }),
                Some(_) | None => {
                    first = Some(((one, other), line));
                    None
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_twice_is_found_with_the_line_it_stood_on_first() {
        let mut seen = Seen::default();
        for (name, line) in [("ann", 2), ("bob", 3), ("Ann", 4), ("ann", 5), ("ann", 9)] {
            seen.add(name, line);
        }
        let mut found: Vec<Duplicate> = seen.duplicates().collect();
        found.sort_by_key(|one| one.line);
        let expected = [5, 9].map(|line| Duplicate { line, first: 2 });
        assert_eq!(found, expected);
    }

    #[test]
    fn different_texts_are_never_taken_for_the_same() {
        let mut seen = Seen::default();
        for n in 0..200_000_u64 {
            seen.add(format!("account-{n}"), n);
        }
        assert_eq!(seen.duplicates().count(), 0);
    }
}
