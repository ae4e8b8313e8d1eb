//! When, and of which account: before, at and after the days of either calendar.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan};

use super::account;
use crate::calendar::{Calendar, Grace, day_of, midnight};
use crate::diff::Pair;
use crate::{AccountFacts, AccountId, Exception, Level, Policy};

/// An account at a time.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    pub(super) account: AccountFacts,
    pub(super) now: Timestamp,
}

impl Moment {
    /// Whether the account must by both calendars, all that their tiers need.
    pub(super) fn is_held(&self, pair: &Pair) -> bool {
        let in_grace = |policy| self.grace(policy, Level::Mfa).is_some();
        !pair.both().into_iter().any(in_grace)
    }

    /// The same for this account.
    pub(super) fn of(mut self, id: &AccountId) -> Self {
        self.account.id = id.clone();
        self
    }

    /// Whether the account may go without by this policy's calendar, at a login of this level.
    fn grace(&self, policy: &Policy, shown: Level) -> Option<Grace> {
        policy.calendar()?.due(&self.account, shown).grace(self.now)
    }

    /// What the calendars make of it, without a second factor and with one.
    fn key(&self, pair: &Pair) -> [Key; 2] {
        [Level::None, Level::Mfa].map(|shown| self.key_at(pair, shown))
    }

    fn key_at(&self, pair: &Pair, shown: Level) -> Key {
        let [old, new] = pair.both().map(|one| self.grace(one, shown));
        let days = match (old, new) {
            (Some(old), Some(new)) => Some(old.until.cmp(&new.until)),
            (_, _) => None,
        };
        // Where both say the same, one account stands for all.
        let kind = (old.is_some() != new.is_some())
            .then_some((self.account.made_at, self.account.first_mfa_at));
        (old.is_some(), new.is_some(), days, kind)
    }
}

type Key = (
    bool,
    bool,
    Option<std::cmp::Ordering>,
    Option<(Timestamp, Option<Timestamp>)>,
);

/// One moment of each kind that the calendars tell apart, and where they disagree the first and the
/// last day of it.
pub(super) fn of_each_kind(pair: &Pair, all: Vec<Moment>) -> Vec<Moment> {
    let mut kinds: BTreeMap<[Key; 2], Vec<Moment>> = BTreeMap::new();
    for moment in all {
        let known = kinds.entry(moment.key(pair)).or_default();
        // In the order of time: what is known is the first, and maybe the last so far.
        known.truncate(1);
        known.push(moment);
    }
    kinds
        .into_iter()
        .flat_map(|(key, mut moments)| {
            let [without, with_mfa] = key;
            if without == with_mfa && without.0 == without.1 {
                moments.truncate(1);
            }
            moments
        })
        .collect()
}

/// An account made long ago, on this day.
pub(super) fn ordinary(today: Date) -> Moment {
    Moment {
        account: long_ago(today),
        now: noon(today),
    }
}

/// The first and the last day of these, and today.
pub(super) fn span(all: &[Moment], today: Date) -> (Date, Date) {
    let days = || all.iter().map(|moment| day_of(moment.now)).chain([today]);
    (days().min().unwrap_or(today), days().max().unwrap_or(today))
}

/// On the last day of an exception, on the day after, today and yesterday.
pub(super) fn around(exception: &Exception, like: &Moment, today: Date) -> Vec<Moment> {
    let (yesterday, after) = (
        today.saturating_sub(1.day()),
        exception.until.saturating_add(1.day()),
    );
    let days = BTreeSet::from([yesterday, today, exception.until, after]);
    let at = |day: Date| Moment {
        account: like.account.clone(),
        now: noon(day),
    };
    days.into_iter().map(at).collect()
}

/// Every account at every time, in the order of time.
pub(super) fn all(pair: &Pair, today: Date) -> Vec<Moment> {
    let calendars: Vec<&Calendar> = pair
        .both()
        .into_iter()
        .filter_map(Policy::calendar)
        .collect();
    let mut all = Vec::new();
    let accounts = accounts(pair, &calendars, today);
    for day in days(&calendars, &accounts, today) {
        let now = noon(day);
        let made = accounts.iter().filter(|account| account.made_at <= now);
        all.extend(made.map(|account| Moment {
            account: account.clone(),
            now,
        }));
    }
    all
}

/// Accounts made before and on the days from which accounts are new, each whose day comes first, in
/// the middle and last; with a second factor in the past too, where a ratchet may hold them by one file only:
/// only one has it, or the two may see different things in one login.
fn accounts(pair: &Pair, calendars: &[&Calendar], today: Date) -> Vec<AccountFacts> {
    let only_one_ratchets = matches!(calendars, [old, new] if old.ratchet != new.ratchet);
    let [old, new] = pair.both();
    let seen_otherwise = (&old.proofs, &old.methods) != (&new.proofs, &new.methods);
    let with_past = only_one_ratchets || seen_otherwise && calendars.iter().any(|one| one.ratchet);
    let made = calendars.iter().map(|one| midnight(one.new_accounts_from));
    let made: BTreeSet<Timestamp> = made.chain([long_ago(today).made_at]).collect();
    let mut all = Vec::new();
    for (made_at, spread) in made
        .into_iter()
        .flat_map(|made_at| [0, 1 << 63, u64::MAX].map(|spread| (made_at, spread)))
    {
        let account = account(made_at, spread);
        if with_past {
            let first_mfa_at = Some(made_at);
            all.push(AccountFacts {
                first_mfa_at,
                ..account.clone()
            });
        }
        all.push(account);
    }
    all
}

/// The days on which something begins, and the days before, in order.
fn days(calendars: &[&Calendar], accounts: &[AccountFacts], today: Date) -> BTreeSet<Date> {
    let mut days = BTreeSet::from([today]);
    for calendar in calendars {
        days.insert(calendar.new_accounts_from);
        if let Some(period) = calendar.existing_accounts {
            days.extend(accounts.iter().map(|account| period.day_of(account.spread)));
        }
    }
    let before: Vec<Date> = days.iter().map(|day| day.saturating_sub(1.day())).collect();
    days.extend(before);
    days
}

/// Older than any calendar: twenty years before today, or the beginning of 2000.
fn long_ago(today: Date) -> AccountFacts {
    let made_at = midnight(today)
        .checked_sub(SignedDuration::from_hours(20 * 365 * 24))
        .unwrap_or(Timestamp::MIN);
    let beginning = Timestamp::from_second(946_684_800).unwrap_or(Timestamp::MIN);
    let made_at = made_at.min(beginning);
    account(made_at, u64::MAX)
}

fn noon(day: Date) -> Timestamp {
    midnight(day)
        .saturating_add(SignedDuration::from_hours(12))
        .unwrap_or(Timestamp::MAX)
}
