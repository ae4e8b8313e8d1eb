//! What has a date or a length of time: the calendar, exceptions, API keys, lifetimes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use jiff::civil::Date;

use super::{BASES, Exception, ExceptionName, Reader, not_empty, with};
use crate::api_keys::{ApiKeyRule, NOTICE, Sunset};
use crate::calendar::{BeforeDue, Calendar, Period, end_of, midnight};
use crate::document::{Key, Table, Value};
use crate::policy::exception::WARNED_BEFORE;
use crate::policy::{Lifetimes, Subject};
use crate::{AccountId, OrganizationId};

const BEFORE_DUE: [(&str, BeforeDue); 2] =
    [("remind", BeforeDue::Remind), ("limit", BeforeDue::Limit)];

/// `[calendar]`.
pub(super) fn calendar(table: &mut Table<'_>) -> Option<Calendar> {
    let new_accounts_from = table.required("new_accounts_from", Value::date);
    let existing = table.optional("existing_accounts", |value| {
        with(value, value.table(|table| period(table, value)))
    });
    let before_due = table.required("before_due", |value| value.one_of(&BEFORE_DUE));
    let ratchet = table.optional_or("ratchet", false, Value::boolean);
    let (new_accounts_from, existing) = (new_accounts_from?, existing?);
    if let Some((period, value)) = &existing
        && period.from < new_accounts_from
    {
        value.report(format_args!(
            "existing accounts would have to before new ones: `from` is {}, and \
             `new_accounts_from` is {new_accounts_from}",
            period.from
        ));
        return None;
    }
    Some(Calendar {
        new_accounts_from,
        existing_accounts: existing.map(|(period, _)| period),
        before_due: before_due?,
        ratchet: ratchet?,
    })
}

fn period(table: &mut Table<'_>, place: &Value<'_>) -> Option<Period> {
    let from = table.required("from", Value::date);
    let until = table.required("until", Value::date);
    let period = Period {
        from: from?,
        until: until?,
    };
    in_order(place, ("from", period.from), ("until", period.until))?;
    Some(period)
}

impl<'t> Reader<'_, 't> {
    pub(super) fn exceptions(
        &mut self,
        value: &Value<'t>,
    ) -> Option<BTreeMap<ExceptionName, Exception>> {
        if !value.is_table() {
            value.report(
                "expected a table with a name, `[exception.NAME]`: tokens and the decision log carry it",
            );
            return None;
        }
        value.entries(|key, value| self.exception(key, value))
    }

    fn exception(
        &mut self,
        key: &Key<'t>,
        value: &Value<'t>,
    ) -> Option<(ExceptionName, Exception)> {
        let name = key.parsed(ExceptionName::new);
        let exception = value.table(|table| {
            let subject = subject(table);
            let reason = table.required("reason", |value| some_words(value));
            let approved_by = table.required("approved_by", |value| some_words(value));
            let until = table.required("until", |value| with(value, value.date()));
            let waives = table.required("waives", |value| self.waived_tiers(value));
            let (until, place) = until?;
            self.warn_of_end(&place, until);
            Some(Exception {
                subject: subject?,
                reason: reason?,
                approved_by: approved_by?,
                until,
                waives: waives?,
            })
        });
        Some((name?, exception?))
    }

    fn waived_tiers(&self, value: &Value<'t>) -> Option<BTreeSet<String>> {
        let waives = value.set(|item| {
            let name = self.known_tier(item)?;
            let needs_nothing = |tier: &crate::Tier| tier.requirement.level == crate::Level::None;
            if self.tiers.get(&name).is_some_and(needs_nothing) {
                item.warn("needs no second factor, so that there is nothing to waive");
            }
            Some(name)
        });
        not_empty(value, waives?)
    }

    fn warn_of_end(&self, place: &Value<'t>, until: Date) {
        let Some(today) = self.installation.today else {
            return;
        };
        if until < today {
            place.warn("is past: this exception no longer holds; remove it");
        } else if end_of(until).duration_since(midnight(today)) <= WARNED_BEFORE {
            place.warn(format_args!(
                "this exception ends within 14 days: whom it is for will then be held to the tiers again \
                 (today is {today})"
            ));
        }
    }
}

/// Whom an exception is for: one of the two.
fn subject(table: &mut Table<'_>) -> Option<Subject> {
    let organization = table.optional("organization", |value| value.parsed(OrganizationId::new));
    let account = table.optional("account", |value| value.parsed(AccountId::new));
    match (organization?, account?) {
        (Some(organization), None) => Some(Subject::Organization(organization)),
        (None, Some(account)) => Some(Subject::Account(account)),
        (None, None) => {
            table.report_missing("organization", " (or `account`): whom is it for?");
            None
        }
        (Some(_), Some(_)) => {
            table.report("has both `organization` and `account`; write one exception for each");
            None
        }
    }
}

/// A text that says something, for who reads it later.
fn some_words(value: &Value<'_>) -> Option<String> {
    let text = value.string()?.trim();
    if text.is_empty() {
        value.report("expected some words, found none");
        return None;
    }
    Some(text.to_owned())
}

/// `[api_keys]`.
pub(super) fn api_keys(table: &mut Table<'_>) -> Option<ApiKeyRule> {
    let max_days = table.required("max_days", |value| value.integer(1..=3_650_i64));
    let accepts = table.required("accepts", |value| {
        not_empty(value, value.set(|item| item.one_of(&BASES))?)
    });
    let sunset = table.optional("sunset", |value| value.table(|table| sunset(table, value)));
    Some(ApiKeyRule {
        max_lifetime: SignedDuration::from_hours(max_days? * 24),
        accepts: accepts?,
        sunset: sunset?,
    })
}

fn sunset(table: &mut Table<'_>, place: &Value<'_>) -> Option<Sunset> {
    let announced = table.required("announced", Value::date);
    let expire = table.required("without_mfa_context_expire", Value::date);
    let sunset = Sunset {
        announced: announced?,
        expire: expire?,
    };
    let notice = midnight(sunset.expire).duration_since(midnight(sunset.announced));
    if notice < NOTICE {
        place.report(format_args!(
            "expected at least 30 days between `announced` and `without_mfa_context_expire`, found {}",
            notice.as_hours() / 24
        ));
        return None;
    }
    Some(sunset)
}

/// `[lifetimes]`.
pub(super) fn lifetimes(table: &mut Table<'_>) -> Option<Lifetimes> {
    let default = Lifetimes::default();
    let code = table.optional_or("code", default.code, |value| {
        // RFC 6749 4.1.2: a code lives ten minutes at most.
        at_most(value, SignedDuration::from_mins(10), "10m")
    });
    let token = table.optional_or("token", default.token, |value| {
        at_most(value, SignedDuration::from_hours(1), "1h")
    });
    let by_default = (default.session, default.session_idle);
    let longest = code.max(token);
    let session = table.optional_or("session", by_default, |value| {
        value.table(|table| session(table, by_default.1, longest))
    });
    let unused_account = table.optional("unused_account", unused_account);
    let (session, session_idle) = session?;
    Some(Lifetimes {
        code: code?,
        token: token?,
        session,
        session_idle,
        unused_account: unused_account?,
    })
}

/// How long a person is known who does not sign in any more.
fn unused_account(value: &Value<'_>) -> Option<SignedDuration> {
    let age = value.duration()?;
    if age < SignedDuration::from_hours(90 * 24) {
        value.report("expected at least `90d`: who comes back later begins anew, and is nobody's admin any more");
        return None;
    }
    Some(age)
}

/// How long a session lives, and how long if it is not used.
fn session(
    table: &mut Table<'_>,
    default_idle: SignedDuration,
    longest_token: Option<SignedDuration>,
) -> Option<(SignedDuration, SignedDuration)> {
    let absolute = table.required("absolute", |value| {
        at_most(value, SignedDuration::from_hours(30 * 24), "30d")
    });
    let idle = table.optional("idle", |value| with(value, value.duration()));
    let (absolute, idle) = (absolute?, idle?);
    match idle {
        None => Some((absolute, absolute.min(default_idle))),
        Some((idle, place)) if idle > absolute => {
            place.report("is longer than `absolute`, at which a session ends anyway");
            None
        }
        Some((idle, place)) if longest_token.is_some_and(|longest| idle <= longest) => {
            place.report(
                "is not longer than `lifetimes.token` and `lifetimes.code`: a client that refreshes when its \
                 token ends would come too late",
            );
            None
        }
        Some((idle, _)) => Some((absolute, idle)),
    }
}

fn at_most(value: &Value<'_>, limit: SignedDuration, name: &str) -> Option<SignedDuration> {
    let found = value.duration()?;
    if found > limit {
        value.report(format_args!("expected at most {name}"));
        return None;
    }
    Some(found)
}

fn in_order(place: &Value<'_>, first: (&str, Date), last: (&str, Date)) -> Option<()> {
    if first.1 > last.1 {
        place.report(format_args!(
            "`{}` is {} and comes after `{}`, which is {}",
            first.0, first.1, last.0, last.1
        ));
        return None;
    }
    Some(())
}
