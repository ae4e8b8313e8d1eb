//! Days of the calendar, as people read them.

use std::fmt;

use countersign_core::calendar::{Due, day_of};
use jiff::Timestamp;
use jiff::civil::Date;

/// A day: `8 May 2027`, and `2027-05-08` for machines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Day(pub(super) Date);

impl Day {
    pub(super) fn for_machines(self) -> String {
        self.0.to_string()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%-d %B %Y"))
    }
}

/// Since when the registry asks this account for a second factor; nothing while it does not yet.
pub(super) fn since(due: Due, client: &str, now: Timestamp) -> Option<String> {
    match due {
        Due::On(day) if day <= day_of(now) => Some(format!(
            "Since {}, {client} asks your account for multi-factor authentication: a stolen password alone is then no use to anyone.",
            Day(day)
        )),
        Due::Always => Some(format!(
            "You have signed in with multi-factor authentication before. From then on {client} asks for it every time, so that nobody gets in with your password alone."
        )),
        Due::On(_) | Due::NotSet => None,
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn told(due: Due, now: &str) -> Option<String> {
        since(due, "Example Gallery", now.parse().unwrap())
    }

    #[test]
    fn a_day_is_told_once_it_has_come() {
        let due = Due::On(date(2027, 5, 8));
        assert_eq!(told(due, "2027-05-07T23:59:59Z"), None);
        let on_the_day = told(due, "2027-05-08T00:00:00Z").unwrap();
        assert!(
            on_the_day.starts_with("Since 8 May 2027, Example Gallery asks"),
            "{on_the_day}"
        );
        assert_eq!(told(Due::NotSet, "2027-05-08T00:00:00Z"), None);
    }

    #[test]
    fn who_is_held_to_it_by_having_shown_it_is_told_so() {
        let told = told(Due::Always, "2027-05-08T00:00:00Z").unwrap();
        assert!(told.contains("before"), "{told}");
    }
}
