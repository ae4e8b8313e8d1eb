//! When recorded logins are to have been.

use std::borrow::Cow;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use crate::calendar::day_of;
use crate::{Claim, Record};

/// When recorded logins are to have been.
///
/// All that belongs to the login moves along: when it was decided, when the evidence was verified,
/// `auth_time`, and the session's end. What belongs to the account stays: when it was made, the day
/// it was told, and when it was first seen with a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// When they were.
    Recorded,
    /// All on this day (UTC), each at its time of day.
    Day(Date),
    /// That many days later.
    Later(u16),
}

impl AsOf {
    /// The record as it would stand then. A time that no calendar has leaves it where it was.
    pub fn moved(self, record: &Record) -> Cow<'_, Record> {
        let by = self.days(record.time);
        if by.is_zero() {
            return Cow::Borrowed(record);
        }
        match moved(record, by) {
            Some(record) => Cow::Owned(record),
            None => Cow::Borrowed(record),
        }
    }

    fn days(self, time: Timestamp) -> SignedDuration {
        match self {
            Self::Recorded => SignedDuration::ZERO,
            Self::Day(day) => day_of(time).duration_until(day),
            Self::Later(days) => SignedDuration::from_hours(24 * i64::from(days)),
        }
    }
}

fn moved(record: &Record, by: SignedDuration) -> Option<Record> {
    let later = |time: Timestamp| time.checked_add(by).ok();
    let optional = |time: Option<Timestamp>| match time {
        Some(time) => later(time).map(Some),
        None => Some(None),
    };
    let mut record = record.clone();
    let facts = &mut record.facts;
    record.time = later(record.time)?;
    facts.login.verified_at = later(facts.login.verified_at)?;
    facts.session_expires_at = optional(facts.session_expires_at)?;
    facts.demands.authenticated_since = optional(facts.demands.authenticated_since)?;
    if let Claim::Value(auth_time) = &mut facts.login.claims.auth_time {
        *auth_time = later(*auth_time)?;
    }
    Some(record)
}
