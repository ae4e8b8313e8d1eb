//! Exceptions that are about to end: operators are warned every day, before whom they are for is
//! turned away. The start and each reload warn of them with their lines in the file.

use std::sync::Arc;
use std::time::Duration;

use countersign_core::calendar::day_of;
use countersign_core::{Standing, Subject};
use countersign_server::{Clock, PolicyHandle, SystemClock};
use countersign_store::Store;
use jiff::Timestamp;
use jiff::civil::Date;

use crate::commands::exceptions::{Known, asked_for, of_file};

/// How often to look whether another day has begun: a clock may be set meanwhile, so that one long
/// sleep would not do.
const LOOK_EVERY: Duration = Duration::from_mins(10);

/// Warns until the program stops.
pub(super) async fn warn_daily(policy: PolicyHandle, store: Arc<dyn Store>) {
    let mut days = Days::default();
    loop {
        let now = SystemClock.now();
        if days.is_new(now) {
            match asked_for(store.as_ref()).await {
                Ok(asked_for) => {
                    let of_file = days
                        .tells_of_file()
                        .then(|| of_file(&policy.current().policy));
                    let known = of_file.into_iter().flatten().chain(asked_for);
                    warnings(known, now).iter().for_each(Warning::tell);
                    days.told(now);
                }
                Err(error) => {
                    tracing::warn!(cause = %error, "exceptions can't be read: they are looked for again soon");
                }
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The day on which it was warned last.
#[derive(Default)]
struct Days(Option<Date>);

impl Days {
    fn is_new(&self, now: Timestamp) -> bool {
        self.0 != Some(day_of(now))
    }

    /// On the first day the start has told of those of the file.
    fn tells_of_file(&self) -> bool {
        self.0.is_some()
    }

    fn told(&mut self, now: Timestamp) {
        self.0 = Some(day_of(now));
    }
}

/// An exception that is about to end.
#[derive(Debug, PartialEq, Eq)]
struct Warning {
    exception: String,
    whom: String,
    origin: &'static str,
    until: Date,
    days_left: u64,
}

impl Warning {
    fn tell(&self) {
        tracing::warn!(
            code = "exception-ending",
            exception = self.exception,
            whom = self.whom,
            origin = self.origin,
            until = %self.until,
            days_left = self.days_left,
            "an exception is about to end: whom it is for will then be held to the tiers again"
        );
    }
}

fn warnings(known: impl Iterator<Item = Known>, now: Timestamp) -> Vec<Warning> {
    let ending = known.filter(|one| one.exception.standing(now) == Standing::Ending);
    let warning = |one: Known| Warning {
        exception: one.name.to_string(),
        whom: match &one.exception.subject {
            Subject::Organization(id) => format!("organization {id}"),
            Subject::Account(id) => format!("account {id}"),
        },
        origin: one.origin.code(),
        until: one.exception.until,
        days_left: one.exception.days_left(now),
    };
    ending.map(warning).collect()
}

#[cfg(test)]
mod tests {
    use countersign_core::Policy;
    use jiff::civil::date;

    use super::*;
    use crate::commands::exceptions::Origin;

    const POLICY: &str = r#"version = 1
[proof.github]
two_factor_authentication = true
[tier.publish]
scopes = ["packages:publish"]
needs = "mfa"
accepts = ["enrolment"]
[client.gallery]
tier = "publish"
[exception.bank]
organization = "contoso-bank"
reason = "card-controlled rooms, no phones"
approved_by = "security@registry.example"
until = 2027-09-30
waives = ["publish"]
"#;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn an_exception_is_warned_of_from_fourteen_days_before_its_end_until_then() {
        let policy = Policy::parse("policy.toml", POLICY).unwrap();
        for (origin, code) in [
            (Origin::PolicyFile, "policy-file"),
            (Origin::AskedFor, "asked-for"),
        ] {
            let of_file = of_file(&policy).into_iter();
            let known: Vec<Known> = of_file.map(|one| Known { origin, ..one }).collect();
            let warnings = |now| warnings(known.iter().cloned(), at(now));
            assert_eq!(warnings("2027-09-16T23:59:59Z"), []);
            let expected = Warning {
                exception: "bank".to_owned(),
                whom: "organization contoso-bank".to_owned(),
                origin: code,
                until: date(2027, 9, 30),
                days_left: 14,
            };
            assert_eq!(warnings("2027-09-17T00:00:00Z"), [expected]);
            let last = warnings("2027-09-30T23:59:59Z");
            assert_eq!(last.first().map(|one| one.days_left), Some(1));
            assert_eq!(warnings("2027-10-01T00:00:00Z"), []);
        }
    }

    #[test]
    fn a_day_is_told_once_however_often_one_looks() {
        let mut days = Days::default();
        let start = at("2027-09-20T10:00:00Z");
        assert!(days.is_new(start) && !days.tells_of_file());
        // Where the store did not answer it is still to be told.
        assert!(days.is_new(at("2027-09-20T10:10:00Z")));
        days.told(start);
        assert!(!days.is_new(at("2027-09-20T23:59:59Z")));
        assert!(days.is_new(at("2027-09-21T00:00:00Z")) && days.tells_of_file());
        days.told(at("2027-09-21T00:00:00Z"));
        assert!(!days.is_new(at("2027-09-21T00:10:00Z")));
    }
}
