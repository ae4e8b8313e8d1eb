//! Sign-in for devices and command-line tools that have no browser (RFC 8628).
//!
//! The device asks at `/device_authorization` ([`mod@authorization`]) and shows a user code. A person types it at `/device`
//! ([`page`]), on whatever they read mail on, sees what they say yes to, and signs in as everybody does: `sign_in` does not
//! know the difference until the end, where the code that others would be sent away with is left for the device
//! ([`waiting`]). The device asks at `/token` until it is there ([`poll`]).
//!
//! Whoever talks somebody into typing a code that is not theirs (RFC 8628 5.4) gets what that person has. So a session that is there
//! already never answers: each device costs a visit to the provider, after a page that says what it is for.

mod authorization;
mod code;
mod page;
mod poll;
mod waiting;

use countersign_core::UserCode;
use jiff::SignedDuration;

pub(crate) use authorization::{Device, INTERVAL, authorize, begin, program};
pub(crate) use code::letters;
pub(crate) use page::{deny, go_on, show};
pub(crate) use poll::poll;
pub(crate) use waiting::{signed_in, waiting};

/// How long a device's request is kept.
pub(crate) const LIFETIME: SignedDuration = SignedDuration::from_mins(10);
/// How long before that end nobody can answer it any more: so long the device has to ask once more.
const LAST_POLL: SignedDuration = SignedDuration::from_secs(30);

/// Where a person says yes or no to the device that shows this code.
pub(crate) fn address(user_code: &UserCode) -> String {
    format!("/device?user_code={user_code}")
}
