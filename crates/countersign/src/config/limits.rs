//! `[limits]`, and whom to believe about addresses: how much anybody may ask for.

use std::ops::RangeInclusive;

use countersign_core::document::{Table, Value};
use countersign_server::{ForwardedHeader, LimitSettings, Network, Proxies};
use countersign_store::Rate;
use jiff::SignedDuration;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// A sign-in with a step-up takes eight, and several people may share an address.
const BROWSER_REQUESTS: RangeInclusive<u32> = 30..=10_000_000;
/// One for each person who signs in; a service that introspects makes many more.
const CLIENT_REQUESTS: RangeInclusive<u32> = 60..=1_000_000_000;
/// A program that has the wrong secret for a moment tries again; more is guessing.
const BAD_SECRETS: RangeInclusive<u32> = 1..=600;
/// A person who has no second factor yet tries more than once.
const REFUSED_LOGINS: RangeInclusive<u32> = 3..=10_000;

/// A person who logs in a tool asks once.
const DEVICE_REQUESTS: RangeInclusive<u32> = 1..=1_000_000;
/// A person mistypes a code now and then; more is guessing.
const WRONG_DEVICE_CODES: RangeInclusive<u32> = 3..=600;

/// A tool that reads by a key which has ended comes with it many times at once.
const BAD_CREDENTIALS: RangeInclusive<u32> = 1..=10_000;

const HEADERS: [(&str, ForwardedHeader); 2] = [
    ("x-forwarded-for", ForwardedHeader::XForwardedFor),
    ("forwarded", ForwardedHeader::Forwarded),
];

/// The rates; whom to believe stands elsewhere.
pub(super) fn limits(table: &mut Table<'_>) -> Option<LimitSettings> {
    let default = LimitSettings::default();
    let mut rate = |name, default, range: RangeInclusive<u32>, per| {
        table.optional_or(name, default, |value| {
            Some(Rate::new(value.integer(range)?, per))
        })
    };
    let browser_requests = rate(
        "browser_requests_per_minute",
        default.browser_requests,
        BROWSER_REQUESTS,
        MINUTE,
    );
    let client_requests = rate(
        "client_requests_per_minute",
        default.client_requests,
        CLIENT_REQUESTS,
        MINUTE,
    );
    let bad_secrets = rate(
        "bad_secrets_per_minute",
        default.bad_secrets,
        BAD_SECRETS,
        MINUTE,
    );
    let refused_logins = rate(
        "refused_logins_per_hour",
        default.refused_logins,
        REFUSED_LOGINS,
        HOUR,
    );
    let device_requests = rate(
        "device_requests_per_minute",
        default.device_requests,
        DEVICE_REQUESTS,
        MINUTE,
    );
    let wrong_device_codes = rate(
        "wrong_device_codes_per_minute",
        default.wrong_device_codes,
        WRONG_DEVICE_CODES,
        MINUTE,
    );
    let bad_credentials = rate(
        "bad_credentials_per_minute",
        default.bad_credentials,
        BAD_CREDENTIALS,
        MINUTE,
    );
    Some(LimitSettings {
        proxies: default.proxies,
        browser_requests: browser_requests?,
        client_requests: client_requests?,
        bad_secrets: bad_secrets?,
        refused_logins: refused_logins?,
        device_requests: device_requests?,
        wrong_device_codes: wrong_device_codes?,
        bad_credentials: bad_credentials?,
    })
}

/// `trusted_proxies` and `forwarded_header` of `[server]`.
pub(super) fn proxies(table: &mut Table<'_>) -> Option<Proxies> {
    let trusted = table.optional("trusted_proxies", |value| {
        value.list(|item| item.parsed(str::parse::<Network>))
    });
    let header = table.optional("forwarded_header", |value| {
        Some((value.one_of(&HEADERS)?, value.clone()))
    });
    let (trusted, header) = (trusted?, header?);
    if let Some((_, place)) = &header
        && trusted.as_ref().is_none_or(Vec::is_empty)
    {
        no_proxy_writes_it(place);
        return None;
    }
    Some(Proxies {
        trusted,
        header: header.map(|(header, _)| header).unwrap_or_default(),
    })
}

fn no_proxy_writes_it(place: &Value<'_>) {
    place.report("is believed from trusted proxies only; name them in `trusted_proxies`");
}
