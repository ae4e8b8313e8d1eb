//! JWTs that clients sign with the keys that they are registered with: to say who they are ([`crate::token`]), and to vouch
//! for who somebody was before people signed in here ([`crate::ticket`]). Their `typ` tells them apart (RFC 8725 3.11).
//!
//! A client's keys are in the configuration, or where that says; nothing that a JWT itself says of keys counts.

use countersign_core::ClientId;
use countersign_providers::oidc::SigningAlgorithm;
use countersign_providers::{PublishedKeys, SignedJwt};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::settings::Profile;
use crate::web::Context;

/// What a client may sign with. No HMAC: what both sides know is a `secret`.
pub(crate) const ALGORITHMS: [SigningAlgorithm; 4] = [
    SigningAlgorithm::Es256,
    SigningAlgorithm::EdDsa,
    SigningAlgorithm::Ps256,
    SigningAlgorithm::Rs256,
];
/// What a client of the FAPI 2.0 profile may sign with (5.4.1).
const FAPI2_ALGORITHMS: &[SigningAlgorithm] = ALGORITHMS.split_at(3).0;

/// How far a client's clock may be ahead of ours. FAPI 2.0 5.3.2.1 (13): 10 seconds are taken, 60 are not.
pub(crate) const AHEAD: SignedDuration = SignedDuration::from_secs(30);
/// The longest `jti`, in bytes.
pub(crate) const LONGEST_ID: usize = 256;

/// Why a JWT is not known to be a client's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotVerified {
    /// The client's keys can't be had; the log is told why.
    NoKeys,
    /// It is not good, in words for the log.
    Refused(String),
}

/// The claims of a JWT of one of these types, if this client has signed it.
pub(crate) async fn verified(
    text: &str,
    types: &[&str],
    (client, keys): (&ClientId, &PublishedKeys),
    context: &Context<'_>,
) -> Result<Map<String, Value>, NotVerified> {
    let jwt = SignedJwt::parse(text);
    let jwt = jwt.map_err(|_| NotVerified::Refused("it is no JWT".to_owned()))?;
    let http = &context.broker.http;
    let algorithms = match profile(client, context) {
        Profile::Plain => &ALGORITHMS[..],
        Profile::Fapi2 => FAPI2_ALGORITHMS,
    };
    let verified = keys
        .verify(&jwt, types, algorithms, http, context.now)
        .await;
    verified.map_err(|error| {
        if error.is_of_the_network() {
            tracing::warn!(code = "client-keys-unavailable", request = %context.request_id, %client, cause = %error, "a client's keys can't be had");
            NotVerified::NoKeys
        } else {
            NotVerified::Refused(error.to_string())
        }
    })
}

/// How strictly a client is held to; one that is unknown, most strictly.
pub(crate) fn profile(client: &ClientId, context: &Context<'_>) -> Profile {
    let clients = &context.broker.settings.clients;
    clients
        .get(client)
        .map_or(Profile::Fapi2, |client| client.profile)
}

/// A `NumericDate` (RFC 7519 2), in whole seconds or with a fraction.
pub(crate) fn instant(claims: &Map<String, Value>, name: &str) -> Option<Timestamp> {
    let value = claims.get(name)?;
    if let Some(seconds) = value.as_i64() {
        return Timestamp::from_second(seconds).ok();
    }
    let seconds = SignedDuration::try_from_secs_f64(value.as_f64()?).ok()?;
    Timestamp::from_duration(seconds).ok()
}
