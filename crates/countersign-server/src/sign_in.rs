//! Sign-in: from `/authorize` to the code, by way of a provider.
//!
//! [`request`] reads what the client asks for, [`single_sign_on`] answers it where the browser has a session, [`depart`] sends the person to the provider,
//! [`callback`](mod@callback) receives the answer, [`finish`] does what the decision says; on the way
//! there [`reminder`] tells who is let in by the calendar.

pub(crate) mod account;
mod attempt_cookie;
mod authorize;
mod callback;
pub(crate) mod code;
pub(crate) mod depart;
mod finish;
mod push;
pub(crate) mod reminder;
mod request;
mod single_sign_on;

pub(crate) use authorize::{authorize, authorize_by_form, begin};
pub(crate) use callback::{callback, callback_by_form, resume};
pub(crate) use push::push;
pub(crate) use request::{Checked, Hint, Interaction, again, check_of_device};
