//! The words that several columns share: times, ages, lists.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::document;

/// A time, in UTC: `2027-05-07` (its noon), `2027-05-07 23:59`, `2027-05-07T23:59:59Z`.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    let noon = |day: Date| day.at(12, 0, 0, 0);
    let civil = day(text).ok().map(noon).or_else(|| minute(text));
    let time = match civil {
        Some(civil) => TimeZone::UTC.to_timestamp(civil).ok(),
        None => text.parse().ok().filter(|_| text.ends_with('Z')),
    };
    time.filter(is_near).ok_or_else(|| {
        format!(
            "expected a day such as `2027-05-07` (its noon, in UTC), `2027-05-07 23:59` or `2027-05-07T23:59:59Z`, \
             from 2000 to 2199, found `{}`",
            shorten(text)
        )
    })
}

/// A day: `2027-05-07`.
pub(super) fn day(text: &str) -> Result<Date, String> {
    let is_form = text.len() == 10 && text.bytes().all(|one| one.is_ascii_digit() || one == b'-');
    let date: Option<Date> = text.parse().ok().filter(|_| is_form);
    date.filter(|date| (2000..2200).contains(&date.year()))
        .ok_or_else(|| {
            format!(
                "expected a day from 2000 to 2199 such as `2027-05-07`, found `{}`",
                shorten(text)
            )
        })
}

fn minute(text: &str) -> Option<DateTime> {
    let (date, time) = text.split_once(' ')?;
    let (date, time) = (day(date).ok()?, time.trim());
    let (hour, minute) = time.split_once(':')?;
    let number = |text: &str| -> Option<i8> {
        let is_form = text.len() == 2 && text.bytes().all(|one| one.is_ascii_digit());
        text.parse().ok().filter(|_| is_form)
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    ((0..24).contains(&hour) && (0..60).contains(&minute)).then(|| date.at(hour, minute, 0, 0))
}

/// Of this century or the next, so that no sum of times overflows.
fn is_near(time: &Timestamp) -> bool {
    (2000..2200).contains(&time.to_zoned(TimeZone::UTC).year())
}

/// An age: `13h ago`, `now`.
pub(super) fn age(text: &str) -> Result<SignedDuration, String> {
    let length = text.strip_suffix("ago").map(str::trim);
    match (text, length.and_then(document::duration)) {
        ("now", _) => Ok(SignedDuration::ZERO),
        (_, Some(age)) => Ok(age),
        (_, None) => Err(format!(
            "expected an age such as `13h ago` (a whole number and one of ms, s, m, h, d) or `now`, found `{}`",
            shorten(text)
        )),
    }
}

/// Words with white space, commas or backticks between them.
pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split(|one: char| one.is_whitespace() || one == ',' || one == '`');
    parts.filter(|part| !part.is_empty())
}

/// What is cited of a text that may be long.
pub(super) fn shorten(text: &str) -> String {
    const LONGEST: usize = 64;
    let short: String = text.chars().take(LONGEST).collect();
    let short = short.replace(char::is_control, "\u{fffd}");
    if text.chars().nth(LONGEST).is_some() {
        format!("{short}…")
    } else {
        short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_its_noon_and_a_time_is_of_utc() {
        let check = |text, expected| assert_eq!(time(text).unwrap().to_string(), expected);
        check("2027-05-07", "2027-05-07T12:00:00Z");
        check("2027-05-07 23:59", "2027-05-07T23:59:00Z");
        check("2027-05-07T23:59:59.5Z", "2027-05-07T23:59:59.5Z");
    }

    #[test]
    fn what_is_no_time_or_too_far_is_refused() {
        for text in [
            "",
            "tomorrow",
            "2027-5-7",
            "2027-02-30",
            "1999-12-31",
            "2200-01-01",
            "2027-05-07 24:00",
            "2027-05-07 7:00",
            "2027-05-07T12:00:00+02:00",
            "9999-12-31T23:59:59Z",
        ] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_age_has_a_number_and_a_unit() {
        assert_eq!(age("13h ago"), Ok(SignedDuration::from_hours(13)));
        assert_eq!(age("now"), Ok(SignedDuration::ZERO));
        for text in ["13h", "ago", "h ago", "-1h ago", "1.5h ago", "1h 5m ago"] {
            assert!(age(text).is_err(), "{text}");
        }
    }
}
