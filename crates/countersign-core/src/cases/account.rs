//! What a case says of the account: `made 2019-05-01, due 2027-04-03`, `new`, `shown mfa before`.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::words::{self, shorten};
use crate::calendar::{Calendar, Period, midnight};
use crate::{AccountFacts, AccountId};

/// A year, in which an account that nothing is said of was made before it mattered.
const LONG: SignedDuration = SignedDuration::from_hours(366 * 24);

/// The account of a case that plays at `now`. Where nothing is said it is an existing one, whose day is
/// the last of the period.
pub(super) fn read(
    text: Option<&str>,
    calendar: Option<&Calendar>,
    now: Timestamp,
) -> Result<AccountFacts, String> {
    let mut said = Said::default();
    for part in text.into_iter().flat_map(|text| text.split(',')) {
        said.add(part.trim(), now)?;
    }
    let made_at = said.made_at.unwrap_or_else(|| long_ago(calendar, now));
    if made_at > now {
        return Err(format!(
            "the account is made at {made_at}, after the case plays"
        ));
    }
    if said.told.is_some() && calendar.is_none() {
        return Err("the policy has no `calendar`, so no account was told a day".to_owned());
    }
    let spread = match said.due {
        Some(day) => spread_of(day, calendar, made_at)?,
        None => u64::MAX,
    };
    Ok(AccountFacts {
        id: said
            .id
            .map_or_else(|| AccountId::new("acct_case"), Ok)
            .map_err(|it| it.to_string())?,
        made_at,
        spread,
        told_due: said.told,
        first_mfa_at: said.first_mfa_at,
        email_vouched: false,
        locked: said.locked,
    })
}

/// What was said, word by word.
#[derive(Default)]
struct Said {
    id: Option<AccountId>,
    made_at: Option<Timestamp>,
    due: Option<Date>,
    told: Option<Date>,
    first_mfa_at: Option<Timestamp>,
    locked: bool,
}

impl Said {
    fn add(&mut self, part: &str, now: Timestamp) -> Result<(), String> {
        if part.starts_with("acct_") {
            let id = AccountId::new(part).map_err(|error| error.to_string())?;
            return once(&mut self.id, id, part);
        }
        if part == "locked" {
            self.locked = true;
            return Ok(());
        }
        if let Some(rest) = part.strip_prefix("shown mfa ") {
            let at = match rest.trim() {
                "before" => now
                    .saturating_sub(SignedDuration::from_hours(24))
                    .unwrap_or(now),
                other => words::time(other)?,
            };
            if at > now {
                return Err(format!("`{part}` is after the case plays"));
            }
            return once(&mut self.first_mfa_at, at, part);
        }
        match part.split_once(' ').map(|(word, rest)| (word, rest.trim())) {
            Some(("made", rest)) => once(&mut self.made_at, words::time(rest)?, part),
            Some(("due", rest)) => once(&mut self.due, words::day(rest)?, part),
            Some(("told", rest)) => once(&mut self.told, words::day(rest)?, part),
            None if part == "new" => once(&mut self.made_at, now, part),
            None if part == "existing" => Ok(()),
            Some(_) | None => Err(format!(
                "expected `new`, `existing`, `made 2019-05-01`, `due 2027-04-03`, `told 2027-04-03`, \
                 `shown mfa before`, an account id, or several with commas between them, found `{}`",
                shorten(part)
            )),
        }
    }
}

fn once<T>(place: &mut Option<T>, value: T, part: &str) -> Result<(), String> {
    if place.is_some() {
        return Err(format!("`{part}` says again what has been said"));
    }
    *place = Some(value);
    Ok(())
}

/// Well before the calendar, and before the case.
fn long_ago(calendar: Option<&Calendar>, now: Timestamp) -> Timestamp {
    let begins = calendar.map_or(now, |calendar| midnight(calendar.new_accounts_from));
    let before = begins.min(now);
    before.saturating_sub(LONG).unwrap_or(before)
}

/// A spread by which an existing account's day is this one.
fn spread_of(day: Date, calendar: Option<&Calendar>, made_at: Timestamp) -> Result<u64, String> {
    let Some(calendar) = calendar else {
        return Err("the policy has no `calendar`, so no account has a day".to_owned());
    };
    let Some(period) = calendar.existing_accounts else {
        return Err(
            "the policy has no `calendar.existing_accounts`, so no account has a day yet"
                .to_owned(),
        );
    };
    if made_at >= midnight(calendar.new_accounts_from) {
        return Err(format!(
            "an account made on {} or later is new and has no day of its own",
            calendar.new_accounts_from
        ));
    }
    spread_in(period, day).ok_or_else(|| {
        format!(
            "expected a day of `calendar.existing_accounts`, {} to {}, found {day}",
            period.from, period.until
        )
    })
}

/// The least spread of this day: [`Period::day_of`] turned around.
fn spread_in(period: Period, day: Date) -> Option<u64> {
    let days_after = |day: Date| u128::try_from(period.from.duration_until(day).as_hours() / 24);
    let days = days_after(period.until).ok()? + 1;
    let offset = days_after(day).ok()?;
    let spread = u64::try_from((offset << 64).div_ceil(days)).ok()?;
    (day >= period.from && period.day_of(spread) == day).then_some(spread)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::calendar::BeforeDue;

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

    fn account(text: &str) -> Result<AccountFacts, String> {
        let text = (!text.is_empty()).then_some(text);
        read(text, Some(&calendar()), midnight(date(2027, 4, 1)))
    }

    #[test]
    fn every_day_of_the_period_is_the_day_of_some_account() {
        let period = calendar().existing_accounts.unwrap();
        let mut day = period.from;
        while day <= period.until {
            let spread = spread_in(period, day).unwrap();
            assert_eq!(period.day_of(spread), day);
            day = day.tomorrow().unwrap();
        }
        assert_eq!(spread_in(period, date(2027, 3, 7)), None);
        assert_eq!(spread_in(period, date(2027, 5, 9)), None);
    }

    #[test]
    fn where_nothing_is_said_it_is_an_existing_account_of_the_last_day() {
        for text in ["", "existing"] {
            let account = account(text).unwrap();
            let due = calendar().due(&account, crate::Level::None);
            assert_eq!(due, crate::calendar::Due::On(date(2027, 5, 8)), "{text}");
        }
    }

    #[test]
    fn what_is_said_is_held_together() {
        let account =
            account("made 2019-05-01, due 2027-04-03, told 2027-04-02, shown mfa before, acct_1");
        let account = account.unwrap();
        assert_eq!(account.id.as_str(), "acct_1");
        assert_eq!(account.told_due, Some(date(2027, 4, 2)));
        assert!(account.first_mfa_at.is_some());
        assert_eq!(account.made_at.to_string(), "2019-05-01T12:00:00Z");
    }

    #[test]
    fn what_can_not_be_is_refused() {
        for (text, expected) in [
            ("new, due 2027-04-03", "is new and has no day"),
            (
                "due 2027-06-01",
                "2027-03-08 to 2027-05-08, found 2027-06-01",
            ),
            ("made 2027-05-01", "after the case plays"),
            ("new, made 2019-01-01", "says again"),
            ("old", "expected `new`"),
            ("acct_", "is not an account id"),
        ] {
            let message = account(text).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
        let without = read(Some("due 2027-04-03"), None, midnight(date(2027, 4, 1)));
        assert!(without.unwrap_err().contains("no `calendar`"));
    }
}
