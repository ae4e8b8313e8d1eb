//! `/token`, grant `urn:ietf:params:oauth:grant-type:device_code` (RFC 8628 3.4): whether somebody has signed in.

use countersign_core::ClientId;
use countersign_store::{CodeDigest, DeviceAnswer};

use super::LAST_POLL;
use super::code::{DeviceCode, id_of};
use crate::error::{Failure, OAuthError};
use crate::token;
use crate::web::{Context, Parameters};

/// The code that waits for the device, once somebody has signed in; until then the error that says so.
pub(crate) async fn poll(
    parameters: &Parameters,
    client: &ClientId,
    context: &Context<'_>,
) -> Result<CodeDigest, Failure> {
    let expired = || {
        OAuthError::bad(
            "expired_token",
            "the code's time is over: ask for a new one",
        )
    };
    let sent = parameters.one("device_code");
    let sent = sent.ok_or_else(|| OAuthError::invalid_request("`device_code` is missing"))?;
    let code = DeviceCode::open(sent, client, context).ok_or_else(|| {
        OAuthError::invalid_grant("`device_code` is none of ours, or another client's")
    })?;
    if context.now >= code.until {
        return Err(expired());
    }
    let limits = &context.broker.limits;
    if limits.may_poll(&code.user_code, context.now).is_err() {
        return Err(OAuthError::slow_down());
    }
    let store = &context.broker.store;
    let found = store
        .device_request(&id_of(&code.user_code), context.now)
        .await;
    let found = found.map_err(|error| token::unavailable(&error, context))?;
    match found.map(|(_, answer)| answer) {
        None => Err(expired()),
        Some(None) if context.now >= code.until - LAST_POLL => Err(expired()),
        Some(None) => Err(OAuthError::authorization_pending()),
        Some(Some(DeviceAnswer::Denied)) => {
            Err(OAuthError::bad("access_denied", "somebody has said no"))
        }
        Some(Some(DeviceAnswer::Session(session))) => Ok(CodeDigest {
            session,
            digest: code.digest(),
        }),
    }
}
