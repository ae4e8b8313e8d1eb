//! When an API key ends, what its owner is told of that, and which packages it is for.
//!
//! A key is as good as the login it was made under. Keys made without a second factor can be
//! brought to an end, never without notice.

mod pattern;

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

pub use pattern::{NotAPattern, PackagePattern};

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
    /// When it was made, or for one that was imported when that was: its age counts from then.
    pub made_at: Timestamp,
    /// The basis on which the login that made it showed a second factor; none, or not known, is `None`.
    pub basis: Option<Basis>,
    /// When its owner was first told of its end.
    pub first_notice_at: Option<Timestamp>,
    /// The end that its owner was told of last: it ends no earlier, until they are told anew.
    pub told_end: Option<Timestamp>,
    /// The end that an operator has set for it, whatever the login that made it showed.
    pub set_end: Option<Timestamp>,
}

/// What the owner of a key is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// When the key ends, if they are told now.
    pub end: Timestamp,
    /// Whether they were told of that end, or of an earlier one, before.
    pub told: Told,
}

/// Whether somebody was told already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// What is told counts as a notice once it is delivered.
    NotYet,
    /// It is only said again.
    Already,
}

impl ApiKeyRule {
    /// When this key ends.
    pub fn ends_at(&self, key: &KeyFacts) -> Timestamp {
        let by_age = self.end_by_age(key);
        self.sunset_of(key).map_or(by_age, |end| end.min(by_age))
    }

    /// What its owner is to be told of the key's end at this time: nothing where it ends by its age alone, and nothing
    /// before the announcement.
    pub fn notice(&self, key: &KeyFacts, now: Timestamp) -> Option<Notice> {
        let wanted = self.wanted_end(key)?;
        let is_announced = |sunset: Sunset| midnight(sunset.announced) <= now;
        if key.set_end.is_none() && !self.sunset.is_some_and(is_announced) {
            return None;
        }
        let if_told_now = wanted.max(now.saturating_add(NOTICE).unwrap_or(Timestamp::MAX));
        let (end, told) = match self.sunset_of(key) {
            // It is brought forward: what they were told stands until they are told anew.
            Some(end) if if_told_now < end => (if_told_now, Told::NotYet),
            Some(end) => (end, Told::Already),
            None => (if_told_now, Told::NotYet),
        };
        (end < self.end_by_age(key)).then_some(Notice { end, told })
    }

    fn end_by_age(&self, key: &KeyFacts) -> Timestamp {
        let end = key.made_at.saturating_add(self.max_lifetime);
        end.unwrap_or(Timestamp::MAX)
    }

    /// When the sunset reaches this key: never before its own owner had notice, and of that very end.
    fn sunset_of(&self, key: &KeyFacts) -> Option<Timestamp> {
        let wanted = self.wanted_end(key)?;
        let noticed = key.first_notice_at?.saturating_add(NOTICE).ok()?;
        let told = key.told_end.unwrap_or(Timestamp::MIN);
        Some(wanted.max(noticed).max(told))
    }

    /// When it is to end, if its owner had notice: by the file, or by an operator.
    fn wanted_end(&self, key: &KeyFacts) -> Option<Timestamp> {
        let shows_a_factor = key.basis.is_some_and(|basis| self.accepts.contains(&basis));
        let by_file = self.sunset.filter(|_| !shows_a_factor);
        let by_file = by_file.map(|sunset| midnight(sunset.expire));
        by_file.into_iter().chain(key.set_end).min()
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

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

    fn key(basis: Option<Basis>, noticed: Option<Date>) -> KeyFacts {
        KeyFacts {
            made_at: midnight(date(2027, 1, 1)),
            basis,
            first_notice_at: noticed.map(midnight),
            told_end: None,
            set_end: None,
        }
    }

    /// When a key made on 2027-01-01 ends.
    fn check(basis: Option<Basis>, noticed: Option<Date>, expected: Date) {
        let key = key(basis, noticed);
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

    /// What is told of a key on a day: the end, and whether it was told before.
    fn told(rule: &ApiKeyRule, key: &KeyFacts, on: Date) -> Option<(Date, Told)> {
        let notice = rule.notice(key, midnight(on))?;
        Some((crate::calendar::day_of(notice.end), notice.told))
    }

    #[test]
    fn nobody_is_told_before_the_announcement_and_nobody_whose_key_showed_a_second_factor() {
        let weak = key(None, None);
        assert_eq!(told(&rule(), &weak, date(2027, 5, 31)), None);
        let first = Some((date(2027, 7, 15), Told::NotYet));
        assert_eq!(told(&rule(), &weak, date(2027, 6, 1)), first);
        let late = Some((date(2027, 8, 19), Told::NotYet));
        assert_eq!(told(&rule(), &weak, date(2027, 7, 20)), late);
        let strong = key(Some(Basis::Session), None);
        assert_eq!(told(&rule(), &strong, date(2027, 7, 1)), None);
    }

    #[test]
    fn who_was_told_is_told_the_same_again() {
        let mut known = key(None, Some(date(2027, 6, 1)));
        known.told_end = Some(midnight(date(2027, 7, 15)));
        let again = Some((date(2027, 7, 15), Told::Already));
        assert_eq!(told(&rule(), &known, date(2027, 7, 1)), again);
    }

    #[test]
    fn an_end_that_is_brought_forward_waits_for_a_notice_of_its_own() {
        let mut known = key(None, Some(date(2027, 6, 1)));
        known.told_end = Some(midnight(date(2027, 10, 1)));
        let forward = rule();
        assert_eq!(forward.ends_at(&known), midnight(date(2027, 10, 1)));
        let anew = Some((date(2027, 8, 14), Told::NotYet));
        assert_eq!(told(&forward, &known, date(2027, 7, 15)), anew);
        // With less than thirty days left nothing can be brought forward.
        let same = Some((date(2027, 10, 1), Told::Already));
        assert_eq!(told(&forward, &known, date(2027, 9, 10)), same);
        known.told_end = Some(midnight(date(2027, 8, 14)));
        assert_eq!(forward.ends_at(&known), midnight(date(2027, 8, 14)));
    }

    #[test]
    fn an_operator_can_end_a_key_that_showed_a_second_factor_with_notice_too() {
        let mut strong = key(Some(Basis::Session), None);
        strong.set_end = Some(midnight(date(2027, 4, 1)));
        let rule = rule();
        assert_eq!(rule.ends_at(&strong), midnight(date(2028, 1, 1)));
        let notice = Some((date(2027, 4, 1), Told::NotYet));
        assert_eq!(told(&rule, &strong, date(2027, 2, 1)), notice);
        strong.first_notice_at = Some(midnight(date(2027, 2, 1)));
        assert_eq!(rule.ends_at(&strong), midnight(date(2027, 4, 1)));
    }

    prop_compose! {
        fn any_time()(hours in 0_i64..20_000) -> Timestamp {
            midnight(date(2027, 1, 1)) + SignedDuration::from_hours(hours)
        }
    }

    proptest! {
        #[test]
        fn whoever_is_told_of_an_end_has_thirty_days_and_it_ends_then(
            now in any_time(),
            basis in prop::option::of(prop_oneof![Just(Basis::Session), Just(Basis::Enrolment)]),
            first in prop::option::of(any_time()),
            told_end in prop::option::of(any_time()),
            set_end in prop::option::of(any_time()),
        ) {
            let rule = rule();
            let known = KeyFacts {
                made_at: midnight(date(2027, 1, 1)),
                basis,
                first_notice_at: first.map(|first| first.min(now)),
                told_end: told_end.filter(|_| first.is_some()),
                set_end,
            };
            if let Some(Notice { end, told: Told::NotYet }) = rule.notice(&known, now) {
                prop_assert!(end >= now + NOTICE);
                prop_assert!(rule.ends_at(&known) >= end);
                let after = KeyFacts {
                    first_notice_at: known.first_notice_at.or(Some(now)),
                    told_end: Some(end),
                    ..known
                };
                prop_assert_eq!(rule.ends_at(&after), end);
                prop_assert_eq!(rule.notice(&after, now), Some(Notice { end, told: Told::Already }));
            }
        }
    }
}
