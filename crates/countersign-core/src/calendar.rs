//! From which day an account must show a second factor.
//!
//! Days are days of UTC: an account must from 00:00 UTC of its day on. An account that was made
//! before the requirement began has a day of its own within a period, the same on every replica
//! and for as long as the period stands.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use crate::{AccountFacts, Level};

/// Who must, and from which day: `[calendar]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// Accounts made on this day or later must from the beginning.
    pub new_accounts_from: Date,
    /// Accounts made before: each on its own day. Without a period they have no day yet.
    pub existing_accounts: Option<Period>,
    /// What holds for an account before its day.
    pub before_due: BeforeDue,
    /// Whether an account that has once shown MFA is held to it from then on.
    pub ratchet: bool,
}

impl Calendar {
    /// When this account must, at a login that shows this level.
    ///
    /// The ratchet holds an account to MFA and to no more: what a tier needs beyond it, a stronger
    /// method or another's word, waits for the account's day.
    pub fn due(&self, account: &AccountFacts, shown: Level) -> Due {
        if self.ratchet && account.first_mfa_at.is_some() && shown < Level::Mfa {
            return Due::Always;
        }
        if account.made_at >= midnight(self.new_accounts_from) {
            return Due::On(self.new_accounts_from);
        }
        let computed = self
            .existing_accounts
            .map(|period| period.day_of(account.spread));
        // A day that was told is a promise of when, kept even where the period is put off.
        match computed.into_iter().chain(account.told_due).min() {
            Some(day) => Due::On(day),
            None => Due::NotSet,
        }
    }
}

/// When an account must show a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// At every login.
    Always,
    /// From 00:00 UTC of this day.
    On(Date),
    /// The calendar has no day for it yet.
    NotSet,
}

impl Due {
    /// Until when the account may go without; `None` if it may not at this time.
    pub fn grace(self, now: Timestamp) -> Option<Grace> {
        match self {
            Self::Always => None,
            Self::On(day) if midnight(day) <= now => None,
            Self::On(day) => Some(Grace { until: Some(day) }),
            Self::NotSet => Some(Grace { until: None }),
        }
    }
}

/// An account may still go without a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace {
    /// The day from which it must, if that is known.
    pub until: Option<Date>,
}

/// The days over which existing accounts are brought in, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The first day.
    pub from: Date,
    /// The last day: from its 00:00 UTC on everybody must.
    pub until: Date,
}

impl Period {
    /// The day of an account: its keyed hash, scaled to the days of the period.
    pub fn day_of(&self, spread: u64) -> Date {
        let last = self.from.duration_until(self.until).as_hours() / 24;
        let days = u128::try_from(last.max(0)).unwrap_or(0) + 1;
        let offset = i64::try_from((u128::from(spread) * days) >> 64).unwrap_or(0);
        self.from.saturating_add(offset.days())
    }
}

/// What holds for an account before its day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BeforeDue {
    /// Let in as if it had a second factor, and told the day.
    Remind,
    /// Signed in, without what needs a second factor.
    Limit,
}

/// The day of UTC that this time is in.
pub fn day_of(time: Timestamp) -> Date {
    time.to_zoned(TimeZone::UTC).date()
}

/// 00:00 UTC of a day.
pub fn midnight(day: Date) -> Timestamp {
    TimeZone::UTC
        .to_timestamp(day.at(0, 0, 0, 0))
        .unwrap_or(Timestamp::MAX)
}

/// 00:00 UTC of the day after: until then that day lasts.
pub fn end_of(day: Date) -> Timestamp {
    midnight(day.saturating_add(1.day()))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::AccountId;

    fn calendar() -> Calendar {
        Calendar {
            new_accounts_from: date(2027, 3, 8),
            existing_accounts: Some(Period {
                from: date(2027, 3, 8),
                until: date(2027, 5, 8),
            }),
            before_due: BeforeDue::Remind,
            ratchet: true,
        }
    }

    fn account(made: Date, spread: u64) -> AccountFacts {
        AccountFacts {
            id: AccountId::new("acct_1").unwrap(),
            made_at: midnight(made),
            spread,
            told_due: None,
            first_mfa_at: None,
            email_vouched: false,
            locked: false,
        }
    }

    fn on(year: i16, month: i8, day: i8) -> Due {
        Due::On(date(year, month, day))
    }

    #[test]
    fn an_account_made_on_the_day_is_new_and_one_made_the_day_before_is_not() {
        let must = calendar();
        let new = account(date(2027, 3, 8), u64::MAX);
        assert_eq!(must.due(&new, Level::None), on(2027, 3, 8));
        let mut a_second_earlier = new;
        a_second_earlier.made_at -= 1.second();
        assert_eq!(must.due(&a_second_earlier, Level::None), on(2027, 5, 8));
    }

    #[test]
    fn the_first_and_the_last_day_of_the_period_are_days_of_somebody() {
        let must = calendar();
        assert_eq!(
            must.due(&account(date(2020, 1, 1), 0), Level::None),
            on(2027, 3, 8)
        );
        assert_eq!(
            must.due(&account(date(2020, 1, 1), u64::MAX), Level::None),
            on(2027, 5, 8)
        );
    }

    #[test]
    fn a_period_of_one_day_is_the_day_of_all() {
        let day = date(2027, 3, 8);
        let period = Period {
            from: day,
            until: day,
        };
        for spread in [0, 1, u64::MAX / 2, u64::MAX] {
            assert_eq!(period.day_of(spread), day);
        }
    }

    #[test]
    fn the_days_are_spread_evenly() {
        let period = calendar().existing_accounts.unwrap();
        let mut counts = std::collections::BTreeMap::new();
        let steps = 62_000_u64;
        for step in 0..steps {
            let day = period.day_of(u64::MAX / steps * step);
            *counts.entry(day).or_insert(0_u64) += 1;
        }
        assert_eq!(counts.len(), 62);
        assert!(counts.values().all(|count| (999..=1001).contains(count)));
    }

    #[test]
    fn a_day_that_was_told_does_not_move_later_and_may_come_earlier() {
        let mut told = account(date(2020, 1, 1), u64::MAX);
        told.told_due = Some(date(2027, 4, 1));
        assert_eq!(calendar().due(&told, Level::None), on(2027, 4, 1));
        told.spread = 0;
        assert_eq!(calendar().due(&told, Level::None), on(2027, 3, 8));
        told.told_due = Some(date(2027, 4, 1));
        let put_off = Calendar {
            existing_accounts: None,
            ..calendar()
        };
        assert_eq!(put_off.due(&told, Level::None), on(2027, 4, 1));
    }

    #[test]
    fn without_a_period_existing_accounts_have_no_day_yet() {
        let later = Calendar {
            existing_accounts: None,
            ..calendar()
        };
        let due = later.due(&account(date(2020, 1, 1), 0), Level::None);
        assert_eq!(due, Due::NotSet);
        assert_eq!(due.grace(Timestamp::MAX), Some(Grace { until: None }));
    }

    #[test]
    fn who_has_shown_mfa_is_held_to_it_where_the_policy_says_so() {
        let mut shown = account(date(2020, 1, 1), u64::MAX);
        shown.first_mfa_at = Some(midnight(date(2026, 1, 1)));
        assert_eq!(calendar().due(&shown, Level::None), Due::Always);
        assert_eq!(calendar().due(&shown, Level::Unknown), Due::Always);
        let lenient = Calendar {
            ratchet: false,
            ..calendar()
        };
        assert_eq!(lenient.due(&shown, Level::None), on(2027, 5, 8));
    }

    #[test]
    fn the_ratchet_holds_to_mfa_and_to_no_more() {
        let mut shown = account(date(2020, 1, 1), u64::MAX);
        shown.first_mfa_at = Some(midnight(date(2026, 1, 1)));
        for level in [Level::Mfa, Level::PhishingResistant] {
            assert_eq!(calendar().due(&shown, level), on(2027, 5, 8));
        }
    }

    #[test]
    fn a_day_begins_at_midnight_utc() {
        let due = on(2027, 5, 8);
        let midnight: Timestamp = "2027-05-08T00:00:00Z".parse().unwrap();
        let before = "2027-05-07T23:59:59.999999999Z".parse().unwrap();
        assert_eq!(
            due.grace(before),
            Some(Grace {
                until: Some(date(2027, 5, 8))
            })
        );
        assert_eq!(due.grace(midnight), None);
        assert_eq!(
            (day_of(before), day_of(midnight)),
            (date(2027, 5, 7), date(2027, 5, 8))
        );
        assert_eq!(end_of(date(2027, 5, 7)), midnight);
    }
}
