//! What becomes of each account: by its last login in the log.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use super::{Change, Fate, Replayed};
use crate::{
    AccountId, ClientId, Occasion, OrganizationId, Outcome, ProviderId, Reason, Record, Rule,
};

/// How many accounts there are, and what becomes of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct People {
    /// All whose login is in the log.
    pub all: u64,
    /// Those who would be let in.
    pub let_in: u64,
    /// Those who would be asked for more than the log shows: whether they have it, nobody knows.
    pub asked_for_more: u64,
    /// Of these, those who were let in.
    pub newly_asked_for_more: u64,
    /// Those who would be turned away.
    pub turned_away: u64,
    /// Of these, those who were let in.
    pub newly_turned_away: u64,
}

/// An account that would not be let in, and its last decision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NotIn {
    /// The account.
    pub account: AccountId,
    /// [`Fate::SteppedUp`], asked for more; or [`Fate::TurnedAway`].
    pub fate: Fate,
    /// Whether this last decision had let it in.
    pub was_let_in: bool,
    /// The request, for `policy explain`.
    pub request_id: String,
    /// The UTC day on which it is to have been.
    pub day: Date,
    /// The provider.
    pub provider: ProviderId,
    /// The organisation that was asked for.
    pub organization: Option<OrganizationId>,
    /// The client.
    pub client: ClientId,
    /// The part of the candidate that decided.
    pub rule: Rule,
    /// What is missing first.
    pub reason: Option<Reason>,
}

/// Whether a decision was on a session that was there already, and not on a login.
fn is_from_a_session(occasion: Occasion) -> bool {
    match occasion {
        Occasion::SingleSignOn
        | Occasion::Refresh
        | Occasion::Exchange
        | Occasion::Gate
        | Occasion::ApiKey => true,
        Occasion::SignIn | Occasion::Token => false,
    }
}

/// The last decision of each account. Accounts are known by 64 bits of a hash of their id: that two
/// among a million share one has a chance of one in thirty million.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Accounts {
    last: BTreeMap<u64, Last>,
}

impl Accounts {
    pub(super) fn add(&mut self, record: &Record, replayed: &Replayed) {
        // Its login has told already what becomes of the account; and whose session does not do any more
        // signs in again, which is not to be turned away.
        let is_told = replayed.change == Change::NotReached;
        if is_told || is_from_a_session(record.occasion) {
            return;
        }
        let key = hash(&record.facts.account.id);
        let order = Order {
            verified_at: record.facts.login.verified_at,
            time: record.time,
        };
        if self.last.get(&key).is_none_or(|known| known.order <= order) {
            self.keep(key, Last::of(order, record, replayed));
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (key, last) in other.last {
            self.keep(key, last);
        }
    }

    /// Keeps the later one; of two at the same time the worse, so that their order does not matter.
    fn keep(&mut self, key: u64, last: Last) {
        if self.last.get(&key).is_none_or(|known| *known < last) {
            self.last.insert(key, last);
        }
    }

    pub(super) fn count(&self) -> People {
        let mut people = People::default();
        for last in self.last.values() {
            let newly = u64::from(last.before == Outcome::Permit);
            people.all += 1;
            match last.after {
                Outcome::Permit => people.let_in += 1,
                Outcome::StepUp => {
                    people.asked_for_more += 1;
                    people.newly_asked_for_more += newly;
                }
                Outcome::Refuse => {
                    people.turned_away += 1;
                    people.newly_turned_away += newly;
                }
            }
        }
        people
    }

    pub(super) fn not_in(&self) -> impl Iterator<Item = &NotIn> {
        self.last.values().filter_map(|last| last.not_in.as_deref())
    }
}

/// Which of two decisions on an account is the later: the later login, and of one login the token
/// after the sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    verified_at: Timestamp,
    time: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Last {
    order: Order,
    after: Outcome,
    before: Outcome,
    /// Only where it is not let in: most are, and need less memory.
    not_in: Option<Box<NotIn>>,
}

impl Last {
    fn of(order: Order, record: &Record, replayed: &Replayed) -> Self {
        let (before, after) = (record.verdict.outcome, replayed.verdict.outcome);
        let is_in = after == Outcome::Permit;
        Self {
            order,
            before,
            after,
            not_in: (!is_in).then(|| Box::new(NotIn::of(record, replayed))),
        }
    }
}

impl NotIn {
    fn of(record: &Record, replayed: &Replayed) -> Self {
        let facts = &record.facts;
        Self {
            account: facts.account.id.clone(),
            fate: Fate::of(&replayed.verdict),
            was_let_in: record.verdict.outcome == Outcome::Permit,
            request_id: record.request_id.clone(),
            day: replayed.day(),
            provider: facts.login.provider.clone(),
            organization: facts.organization.clone(),
            client: facts.client.clone(),
            rule: replayed.verdict.rule.clone(),
            reason: replayed.verdict.reasons.first().copied(),
        }
    }
}

fn hash(account: &AccountId) -> u64 {
    // Keyed with nothing: the same in every part of a log, and nobody gains by a collision here.
    let mut hasher = DefaultHasher::new();
    account.hash(&mut hasher);
    hasher.finish()
}
