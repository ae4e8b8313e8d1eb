//! The last day on which the very same login would have been let in: waiting mends nothing, and it
//! tells what has changed since.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{Goal, in_the_end};
use crate::calendar::{Due, day_of, midnight};
use crate::{Claim, Facts, Level, Policy, decide};

/// The last day on which this very login would have been let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Earlier {
    /// That day, in UTC.
    pub until: Date,
    /// A moment of that day, as late as can be said.
    pub at: Timestamp,
    /// What ended it.
    pub because: String,
}

impl Earlier {
    /// The facts as they would have been at [`Earlier::at`]: everything just as long ago.
    pub fn applied(&self, facts: &Facts, now: Timestamp) -> Facts {
        at(facts, now, self.at)
    }

    /// In words.
    pub fn in_words(&self) -> String {
        format!("until {}: {}", self.until, self.because)
    }
}

pub(super) fn latest(
    policy: &Policy,
    facts: &Facts,
    now: Timestamp,
    goal: Goal,
) -> Option<Earlier> {
    let mut ends = ends(policy, facts);
    ends.retain(|(end, _)| *end <= now);
    ends.sort_by_key(|(end, _)| std::cmp::Reverse(*end));
    ends.into_iter().find_map(|(end, because)| {
        let just_before = end.checked_sub(SignedDuration::from_secs(1)).ok()?;
        let lets_in = just_before >= facts.account.made_at
            && goal.is_reached(&decide(policy, &at(facts, now, just_before), just_before));
        lets_in.then(|| Earlier {
            until: day_of(just_before),
            at: just_before,
            because,
        })
    })
}

/// When something ended that may have let this account in.
fn ends(policy: &Policy, facts: &Facts) -> Vec<(Timestamp, String)> {
    let account = &facts.account;
    let mut ends = Vec::new();
    if let Some(calendar) = policy.calendar() {
        if let (true, Some(shown)) = (calendar.ratchet, account.first_mfa_at) {
            let because = "the account had not shown a second factor yet".to_owned();
            ends.push((shown, because));
        }
        // At a login with a second factor nobody is held by the ratchet, and the day is the account's own.
        if let Due::On(day) = calendar.due(account, Level::Mfa) {
            let because = format!("the calendar reaches this account on {day}");
            ends.push((midnight(day), because));
        }
    }
    // Only those of this account and this organisation are left here.
    for (name, exception) in policy.exceptions().iter() {
        let because = format!("`exception.{name}` ended then");
        ends.push((exception.ends_at(), because));
    }
    ends
}

/// The same login at an earlier time.
fn at(facts: &Facts, now: Timestamp, then: Timestamp) -> Facts {
    let ago = now.duration_since(then);
    let back = |time: Timestamp| time.saturating_sub(ago).unwrap_or(time);
    let mut facts = in_the_end(facts);
    facts.login.verified_at = back(facts.login.verified_at);
    if let Claim::Value(auth_time) = &mut facts.login.claims.auth_time {
        *auth_time = back(*auth_time);
    }
    facts.demands.authenticated_since = facts.demands.authenticated_since.map(back);
    facts.session_expires_at = facts.session_expires_at.map(back);
    facts.key_made_at = facts.key_made_at.map(back);
    facts.account.first_mfa_at = facts.account.first_mfa_at.filter(|shown| *shown <= then);
    facts
}
