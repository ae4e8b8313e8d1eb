//! An explanation as text.

use std::fmt::{self, Display};

use countersign_core::Scope;
use countersign_core::explain::{Change, Explanation, Loosening, Standing};

/// Why, and what would have let the login in: indented, below a line that says what was decided.
pub(super) struct Told<'a>(pub(super) &'a Explanation);

impl Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = self.0;
        list(f, "why", one.because.iter().cloned())?;
        let nearest = one.nearest.iter().map(Change::in_words);
        let earlier = one
            .earlier
            .iter()
            .map(countersign_core::explain::Earlier::in_words);
        list(f, "it would have been let in", nearest.chain(earlier))?;
        let loosenings = one.loosenings.iter().map(Loosening::in_words);
        list(f, "or by another policy, with", loosenings)
    }
}

/// How signing in and each scope stand.
pub(super) struct Standings<'a>(pub(super) &'a [Standing]);

impl Display for Standings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, "each on its own", self.0.iter().map(standing))
    }
}

fn standing(one: &Standing) -> String {
    let what = one.scope.as_ref().map_or("signing in", Scope::as_str);
    let rule = one.rule.as_str();
    let codes: Vec<&str> = one.reasons.iter().map(|reason| reason.code()).collect();
    if one.is_met() {
        format!("{what}: granted, by {rule}")
    } else {
        format!("{what}: {}, by {rule}", codes.join(", "))
    }
}

fn list(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    lines: impl Iterator<Item = String>,
) -> fmt::Result {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        writeln!(f, "  {title}:")?;
    }
    lines.try_for_each(|line| writeln!(f, "    - {line}"))
}
