//! When an API key ends.
//!
//! A key is as good as the login it was made under. Keys made without a second factor can be
//! brought to an end, never without notice.

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use crate::Basis;
use crate::calendar::midnight;

/// The least time between the notice of a key's end and that end.
pub const NOTICE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What holds for API keys: `[api_keys]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRule {
    /// How long a key lives at most.
    pub max_lifetime: SignedDuration,
    /// The bases of a login under which a key counts as made with a second factor.
    pub accepts: BTreeSet<Basis>,
    /// The end of keys that were not.
    pub sunset: Option<Sunset>,
}

/// The end of keys that were made without a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sunset {
    /// The day of the announcement.
    pub announced: Date,
    /// From 00:00 UTC of this day such keys no longer work; at least [`NOTICE`] after `announced`.
    pub expire: Date,
}

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyFacts {
    /// When it was made.
    pub made_at: Timestamp,
    /// The basis on which the login that made it showed a second factor; none, or not known, is `None`.
    pub basis: Option<Basis>,
    /// When its owner was first told of its end.
    pub first_notice_at: Option<Timestamp>,
}

impl ApiKeyRule {
    /// When this key ends.
    pub fn ends_at(&self, key: &KeyFacts) -> Timestamp {
        let by_age = key
            .made_at
            .saturating_add(self.max_lifetime)
            .unwrap_or(Timestamp::MAX);
        self.sunset_of(key).map_or(by_age, |end| end.min(by_age))
    }

    /// When the sunset reaches this key: never before its own owner had notice.
    fn sunset_of(&self, key: &KeyFacts) -> Option<Timestamp> {
        let sunset = self.sunset?;
        if key.basis.is_some_and(|basis| self.accepts.contains(&basis)) {
            return None;
        }
        let noticed = key.first_notice_at?.saturating_add(NOTICE).ok()?;
        Some(noticed.max(midnight(sunset.expire)))
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn rule() -> ApiKeyRule {
        ApiKeyRule {
            max_lifetime: SignedDuration::from_hours(365 * 24),
            accepts: BTreeSet::from([Basis::Session, Basis::Tenant]),
            sunset: Some(Sunset {
                announced: date(2027, 6, 1),
                expire: date(2027, 7, 15),
            }),
        }
    }

    /// When a key made on 2027-01-01 ends.
    fn check(basis: Option<Basis>, noticed: Option<Date>, expected: Date) {
        let key = KeyFacts {
            made_at: midnight(date(2027, 1, 1)),
            basis,
            first_notice_at: noticed.map(midnight),
        };
        assert_eq!(rule().ends_at(&key), midnight(expected), "{key:?}");
    }

    #[test]
    fn a_key_made_under_a_second_factor_ends_by_its_age_alone() {
        check(
            Some(Basis::Session),
            Some(date(2027, 6, 1)),
            date(2028, 1, 1),
        );
    }

    #[test]
    fn a_key_made_without_one_ends_with_the_sunset() {
        check(None, Some(date(2027, 6, 1)), date(2027, 7, 15));
        check(
            Some(Basis::Enrolment),
            Some(date(2027, 6, 1)),
            date(2027, 7, 15),
        );
    }

    #[test]
    fn no_key_ends_before_its_own_notice_and_thirty_days() {
        check(None, Some(date(2027, 7, 10)), date(2027, 8, 9));
        check(None, None, date(2028, 1, 1));
    }
}
