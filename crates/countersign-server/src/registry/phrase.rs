//! Reason phrases, which some tools show and nothing else: ours, and those of the registry behind.
//!
//! actix keeps them for the life of the program. So only so many are, and none is long; ours are counted apart and each
//! registry's are, so that whatever one says, what we and the others say is still said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use countersign_core::RegistryName;

use super::refusal::plain;

/// How many different ones are kept of ours, and of each registry's.
const MOST: usize = 1024;
/// How much of a registry's is shown, in bytes. Ours are no longer than they are.
const LONGEST: usize = 256;

/// Those that were said.
#[derive(Default)]
struct Said(BTreeSet<&'static str>);

static OURS: Mutex<Said> = Mutex::new(Said(BTreeSet::new()));
static THEIRS: Mutex<BTreeMap<RegistryName, Said>> = Mutex::new(BTreeMap::new());

/// One of ours. There is one for each thing that is said, with its reason, and those are few: nothing of a request's own is in
/// them.
pub(super) fn ours(words: &str) -> &'static str {
    let mut ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
    ours.keep(words).unwrap_or("Forbidden")
}

/// A registry's; nothing, where there is nothing to show, or where it has said too many already.
pub(super) fn of_registry(registry: &RegistryName, phrase: &[u8]) -> Option<&'static str> {
    let words = plain(&String::from_utf8_lossy(phrase));
    let shown = words.get(..LONGEST).unwrap_or(&words);
    if shown.is_empty() {
        return None;
    }
    let mut theirs = THEIRS.lock().unwrap_or_else(PoisonError::into_inner);
    theirs.entry(registry.clone()).or_default().keep(shown)
}

impl Said {
    fn keep(&mut self, words: &str) -> Option<&'static str> {
        if let Some(known) = self.0.get(words) {
            return Some(known);
        }
        if self.0.len() >= MOST {
            return None;
        }
        let kept: &'static str = Box::leak(words.to_owned().into_boxed_str());
        self.0.insert(kept);
        Some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_are_kept_and_those_again_and_again() {
        let mut said = Said::default();
        for n in 0..MOST {
            assert_eq!(said.keep(&n.to_string()), Some(&*n.to_string()));
        }
        assert_eq!(said.keep("one more"), None);
        assert_eq!(said.keep("7"), Some("7"));
    }

    #[test]
    fn one_registry_s_are_not_another_s() {
        let named = |name| RegistryName::new(name).unwrap();
        let (loud, other) = (named("loud"), named("other"));
        for n in 0..=MOST {
            let said = of_registry(&loud, n.to_string().as_bytes());
            assert_eq!(said.is_some(), n < MOST);
        }
        assert_eq!(of_registry(&other, b"Exists"), Some("Exists"));
    }

    #[test]
    fn a_registry_s_is_one_short_line_of_ascii() {
        let npm = RegistryName::new("npm").unwrap();
        let of_registry = |phrase: &[u8]| of_registry(&npm, phrase);
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
