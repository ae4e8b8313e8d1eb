//! Reason phrases, which some tools show and nothing else: ours, and those of the registry behind.
//!
//! actix keeps them for the life of the program. So only so many are, and none is long; ours are counted apart, so that
//! whatever a registry says, what we say is still said.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::refusal::plain;

/// How many different ones are kept of each kind.
const MOST: usize = 1024;
/// How much of a registry's is shown, in bytes. Ours are no longer than they are.
const LONGEST: usize = 256;

/// Those of one kind that were said.
struct Said(Mutex<BTreeSet<&'static str>>);

static OURS: Said = Said(Mutex::new(BTreeSet::new()));
static THEIRS: Said = Said(Mutex::new(BTreeSet::new()));

/// One of ours. There is one for each thing that is said, with its reason, and those are few: nothing of a request's own is in
/// them.
pub(super) fn ours(words: &str) -> &'static str {
    OURS.keep(words).unwrap_or("Forbidden")
}

/// The registry's; nothing, where there is nothing to show, or where it has said too many already.
pub(super) fn of_registry(phrase: &[u8]) -> Option<&'static str> {
    let words = plain(&String::from_utf8_lossy(phrase));
    let shown = words.get(..LONGEST).unwrap_or(&words);
    if shown.is_empty() {
        return None;
    }
    THEIRS.keep(shown)
}

impl Said {
    fn keep(&self, words: &str) -> Option<&'static str> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = said.get(words) {
            return Some(known);
        }
        if said.len() >= MOST {
            return None;
        }
        let kept: &'static str = Box::leak(words.to_owned().into_boxed_str());
        said.insert(kept);
        Some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_are_kept_and_those_again_and_again() {
        let said = Said(Mutex::new(BTreeSet::new()));
        for n in 0..MOST {
            assert_eq!(said.keep(&n.to_string()), Some(&*n.to_string()));
        }
        assert_eq!(said.keep("one more"), None);
        assert_eq!(said.keep("7"), Some("7"));
    }

    #[test]
    fn a_registry_s_is_one_short_line_of_ascii() {
        assert_eq!(of_registry(b""), None);
        assert_eq!(of_registry(b" Exists "), Some("Exists"));
        assert_eq!(
            of_registry("a\r\nX: b\u{e9}\x1b".as_bytes()),
            Some("a??X: b??")
        );
        let long = of_registry(&[b'a'; 2 * LONGEST]);
        assert_eq!(long.map(str::len), Some(LONGEST));
    }
}
