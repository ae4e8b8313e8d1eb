//! What a form of ours is to do, sealed for whoever sees it (a session; a browser, by a cookie): no other site can
//! send it, and nobody can send another's.

use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Failure, Problem};
use crate::seal::{Place, Purpose};
use crate::web::{Context, Parameters};

/// The field that carries it.
pub(crate) const FIELD: &str = "form";
/// How long a page may stand open before its buttons are pressed.
const LIFETIME: SignedDuration = SignedDuration::from_mins(60);

#[derive(Serialize, Deserialize)]
struct Sealed<T> {
    what: T,
    until: Timestamp,
}

/// Which form it is: one never does what another does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// A button of the page of sessions.
    EndSession,
    /// The yes to signing out.
    SignOut,
    /// The yes to a device.
    AllowDevice,
    /// The no to it.
    DenyDevice,
    /// The button that begins to connect an organisation.
    Connect,
    /// The way to the provider that follows.
    ConnectAt,
    /// What somebody has shown that they speak for.
    Connection,
    /// A button at a connection.
    Connections,
    /// A button of the account's page.
    Account,
    /// A button of the page of API keys.
    ApiKeys,
    /// The yes to what a ticket vouches for.
    Claim,
    /// A button of a page of operators'.
    Operator,
    /// The button that shows a code for a registry's own tool.
    ToolCode,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::EndSession => "end-session",
            Self::SignOut => "sign-out",
            Self::AllowDevice => "allow-device",
            Self::DenyDevice => "deny-device",
            Self::Connect => "connect",
            Self::ConnectAt => "connect-at",
            Self::Connection => "connection",
            Self::Connections => "connections",
            Self::Account => "account",
            Self::ApiKeys => "api-keys",
            Self::Claim => "claim",
            Self::Operator => "operator",
            Self::ToolCode => "tool-code",
        }
    }
}

/// The value of the field, for whoever sees the page.
pub(crate) fn seal(
    which: Form,
    what: &impl Serialize,
    holder: &str,
    context: &Context<'_>,
) -> Result<String, Failure> {
    let broker = context.broker;
    let until = context.now + LIFETIME;
    let sealed = Sealed { what, until };
    let sealed = broker
        .sealer
        .seal(&sealed, place(which, holder), broker.entropy.as_ref());
    sealed.ok_or(Failure::Page(Problem::Unavailable))
}

/// What a form that came in is to do, if it was made for this holder.
pub(crate) fn open<T: DeserializeOwned>(
    which: Form,
    parameters: &Parameters,
    holder: &str,
    context: &Context<'_>,
) -> Result<T, Failure> {
    let opened: Option<Sealed<T>> = parameters
        .one(FIELD)
        .and_then(|sealed| context.broker.sealer.open(sealed, place(which, holder)));
    match opened.filter(|opened| context.now < opened.until) {
        Some(opened) => Ok(opened.what),
        None => Err(Failure::Page(Problem::FormExpired)),
    }
}

fn place(which: Form, holder: &str) -> Place<'_> {
    Place {
        name: which.name(),
        party: holder,
        purpose: Purpose::Form,
    }
}
