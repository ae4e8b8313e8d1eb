//! Exceptions that are about to end: operators are warned every day, before whom they are for is
//! turned away. The start and each reload warn of them with their lines in the file.

use std::time::Duration;

use countersign_core::calendar::day_of;
use countersign_core::{Exception, ExceptionName, Policy, Subject};
use countersign_server::{Clock, PolicyHandle, SystemClock};
use jiff::Timestamp;
use jiff::civil::Date;

/// How often to look whether another day has begun: a clock may be set meanwhile, so that one long
/// sleep would not do.
const LOOK_EVERY: Duration = Duration::from_mins(10);

/// Warns until the program stops.
pub(super) async fn warn_daily(policy: PolicyHandle) {
    let mut days = Days::from(SystemClock.now());
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = SystemClock.now();
        if days.has_changed(now) {
            for warning in warnings(&policy.current().policy, now) {
                warning.tell();
            }
        }
    }
}

/// Which day was last seen.
struct Days(Date);

impl From<Timestamp> for Days {
    fn from(now: Timestamp) -> Self {
        Self(day_of(now))
    }
}

impl Days {
    fn has_changed(&mut self, now: Timestamp) -> bool {
        let before = std::mem::replace(&mut self.0, day_of(now));
        before != self.0
    }
}

/// An exception that is about to end.
#[derive(Debug, PartialEq, Eq)]
struct Warning {
    exception: String,
    whom: String,
    until: Date,
    days_left: u64,
}

impl Warning {
    fn tell(&self) {
        tracing::warn!(
            code = "exception-ending",
            exception = self.exception,
            whom = self.whom,
            until = %self.until,
            days_left = self.days_left,
            "an exception is about to end: whom it is for will then be held to the tiers again"
        );
    }
}

fn warnings(policy: &Policy, now: Timestamp) -> Vec<Warning> {
    let ending = policy.exceptions().ending(now);
    let warning = |(name, one): (&ExceptionName, &Exception)| Warning {
        exception: name.to_string(),
        whom: match &one.subject {
            Subject::Organization(id) => format!("organization {id}"),
            Subject::Account(id) => format!("account {id}"),
        },
        until: one.until,
        days_left: one.days_left(now),
    };
    ending.map(warning).collect()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

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
        assert_eq!(warnings(&policy, at("2027-09-16T23:59:59Z")), []);
        let expected = Warning {
            exception: "bank".to_owned(),
            whom: "organization contoso-bank".to_owned(),
            until: date(2027, 9, 30),
            days_left: 14,
        };
        assert_eq!(warnings(&policy, at("2027-09-17T00:00:00Z")), [expected]);
        let last = warnings(&policy, at("2027-09-30T23:59:59Z"));
        assert_eq!(last.first().map(|one| one.days_left), Some(1));
        assert_eq!(warnings(&policy, at("2027-10-01T00:00:00Z")), []);
    }

    #[test]
    fn a_day_is_told_once_however_often_one_looks() {
        let mut days = Days::from(at("2027-09-20T10:00:00Z"));
        assert!(!days.has_changed(at("2027-09-20T23:59:59Z")));
        assert!(days.has_changed(at("2027-09-21T00:00:00Z")));
        assert!(!days.has_changed(at("2027-09-21T00:10:00Z")));
    }
}
