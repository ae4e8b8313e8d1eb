//! Exceptions: what is waived, for whom, why, by whom, and until when.
//!
//! An exception lets go of the second factor where a tier needs one. It never changes what a
//! login showed: the token keeps its `acr`, and names the exception that it rests on.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::TierName;
use crate::calendar::end_of;
use crate::{AccountId, ExceptionName, OrganizationId};

/// How long before its end operators are warned of an exception.
pub const WARNED_BEFORE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// All exceptions, found by whom they are for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exceptions {
    by_name: BTreeMap<ExceptionName, Exception>,
    by_subject: BTreeMap<Subject, BTreeSet<ExceptionName>>,
}

impl Exceptions {
    /// Puts them in order.
    pub fn new(by_name: BTreeMap<ExceptionName, Exception>) -> Self {
        let mut by_subject: BTreeMap<Subject, BTreeSet<ExceptionName>> = BTreeMap::new();
        for (name, exception) in &by_name {
            let names = by_subject.entry(exception.subject.clone()).or_default();
            names.insert(name.clone());
        }
        Self {
            by_name,
            by_subject,
        }
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&ExceptionName, &Exception)> {
        self.by_name.iter()
    }

    /// The exception that waives this tier for this subject at this time, the longest lasting of them.
    pub fn waiver(
        &self,
        subject: &Subject,
        tier: &TierName,
        now: Timestamp,
    ) -> Option<(&ExceptionName, &Exception)> {
        self.by_subject
            .get(subject)
            .into_iter()
            .flatten()
            .filter_map(|name| self.by_name.get_key_value(name))
            .filter(|(_, one)| one.waives.contains(tier) && now < one.ends_at())
            .max_by_key(|(_, one)| one.until)
    }
}

/// One exception: `[exception.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exception {
    /// Whom it is for.
    #[serde(flatten)]
    pub subject: Subject,
    /// Why it was given.
    pub reason: String,
    /// Who gave it.
    pub approved_by: String,
    /// The last day on which it holds, in UTC.
    pub until: Date,
    /// The tiers that it waives.
    pub waives: BTreeSet<TierName>,
}

impl Exception {
    /// From when on it no longer holds.
    pub fn ends_at(&self) -> Timestamp {
        end_of(self.until)
    }

    /// How many days it still holds, the one that `now` is in among them; 0 once it has ended.
    pub fn days_left(&self, now: Timestamp) -> u64 {
        const DAY: u64 = 24 * 60 * 60; // seconds
        let left = self.ends_at().duration_since(now).as_secs();
        u64::try_from(left).unwrap_or(0).div_ceil(DAY)
    }

    /// How it stands at this time.
    pub fn standing(&self, now: Timestamp) -> Standing {
        let left = self.ends_at().duration_since(now);
        if left <= SignedDuration::ZERO {
            Standing::Ended
        } else if left <= WARNED_BEFORE {
            Standing::Ending
        } else {
            Standing::InForce
        }
    }
}

/// An exception that operators have granted an organisation which asked for it, besides those of the policy file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// What tokens and logs name.
    pub name: ExceptionName,
    /// Who acts for this organisation, and signed in through one of its tenants, may do without the second factor.
    pub organization: OrganizationId,
    /// The tiers that it waives.
    pub waives: BTreeSet<TierName>,
    /// The last day on which it holds, in UTC.
    pub until: Date,
}

impl Waiver {
    /// From when on it no longer holds.
    pub fn ends_at(&self) -> Timestamp {
        end_of(self.until)
    }
}

/// Whom an exception is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// Who acts for this organisation and signed in through one of its tenants.
    Organization(OrganizationId),
    /// One account.
    Account(AccountId),
}

/// How an exception stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It holds.
    InForce,
    /// It holds, and ends within [`WARNED_BEFORE`].
    Ending,
    /// It no longer holds.
    Ended,
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn bank(until: Date) -> Exception {
        Exception {
            subject: Subject::Organization(OrganizationId::new("contoso-bank").unwrap()),
            reason: "card-controlled rooms, no phones".into(),
            approved_by: "security@registry.example".into(),
            until,
            waives: BTreeSet::from(["publish".to_owned()]),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_last_day_is_included() {
        let exception = bank(date(2027, 9, 30));
        assert_eq!(
            exception.standing(at("2027-09-30T23:59:59Z")),
            Standing::Ending
        );
        assert_eq!(
            exception.standing(at("2027-10-01T00:00:00Z")),
            Standing::Ended
        );
    }

    #[test]
    fn it_is_ending_for_fourteen_days() {
        let exception = bank(date(2027, 9, 30));
        assert_eq!(
            exception.standing(at("2027-09-16T23:59:59Z")),
            Standing::InForce
        );
        assert_eq!(
            exception.standing(at("2027-09-17T00:00:00Z")),
            Standing::Ending
        );
    }

    #[test]
    fn the_days_that_are_left_count_today() {
        for (now, left) in [
            ("2027-09-29T00:00:00Z", 2),
            ("2027-09-29T23:59:59Z", 2),
            ("2027-09-30T00:00:00Z", 1),
            ("2027-09-30T23:59:59Z", 1),
            ("2027-10-01T00:00:00Z", 0),
            ("2028-10-01T00:00:00Z", 0),
        ] {
            let exception = bank(date(2027, 9, 30));
            assert_eq!(exception.days_left(at(now)), left, "{now}");
        }
    }

    #[test]
    fn the_longest_lasting_one_of_the_right_subject_and_tier_is_found() {
        let name = |text: &str| ExceptionName::new(text).unwrap();
        let all = Exceptions::new(BTreeMap::from([
            (name("long"), bank(date(2027, 9, 30))),
            (name("short"), bank(date(2027, 3, 1))),
        ]));
        let now = at("2027-02-01T00:00:00Z");
        let subject = bank(date(2027, 1, 1)).subject;
        let found = |subject: &Subject, tier: &str| {
            all.waiver(subject, &tier.to_owned(), now)
                .map(|(name, _)| name.as_str())
        };
        assert_eq!(found(&subject, "publish"), Some("long"));
        assert_eq!(found(&subject, "manage"), None);
        let other = Subject::Organization(OrganizationId::new("contoso").unwrap());
        assert_eq!(found(&other, "publish"), None);
    }
}
