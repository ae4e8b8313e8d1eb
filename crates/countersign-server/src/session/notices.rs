//! Telling clients that a session has ended (OpenID Connect Back-Channel Logout 1.0).
//!
//! The store has left a notice for each client with the end of the session itself, so that none is lost with a
//! process. Every replica looks for notices that are due; one that nobody could be told is tried again, for a day.

use std::sync::{Arc, Weak};
use std::time::Duration;

use countersign_core::ClientId;
use countersign_providers::ProviderError;
use countersign_store::{LogoutNotice, StoreError};
use futures_util::StreamExt;
use jiff::SignedDuration;
use serde_json::json;
use tokio::sync::Notify;
use url::Url;

use crate::Broker;
use crate::edge::RandomText;
use crate::keys::NotSigned;

/// How often notices are looked for, besides at the end of each session here.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How many are taken at once, and how many clients are asked at the same time.
const TAKEN: usize = 32;
const AT_ONCE: usize = 8;
/// Whoever took notices and died has them no longer: more than all rounds of requests take.
const LEASE: SignedDuration = SignedDuration::from_secs(90);
/// How long until the next try, after so many; then as long as the last.
const PAUSES: [SignedDuration; 6] = [
    SignedDuration::from_secs(5),
    SignedDuration::from_secs(30),
    SignedDuration::from_mins(2),
    SignedDuration::from_mins(10),
    SignedDuration::from_mins(30),
    SignedDuration::from_hours(1),
];
/// How long a logout token is good (Back-Channel Logout 4: at most two minutes).
const LIFETIME: SignedDuration = SignedDuration::from_mins(2);
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// How it ended with one client.
enum Told {
    /// It has heard it, or has no address to be told at.
    Done,
    /// It says that it will never do.
    Refused(u16),
    /// It did not answer, or not well.
    Later(String),
}

/// Tells clients until the broker is gone.
pub(crate) async fn run(broker: Weak<Broker>, ended: Arc<Notify>) {
    loop {
        let Some(broker) = broker.upgrade() else {
            return;
        };
        if let Err(error) = tell_all(&broker).await {
            tracing::warn!(code = "store-unavailable", cause = %error, "clients can't be told of ended sessions");
        }
        drop(broker);
        // Which of the two it was makes no difference.
        let _ = tokio::time::timeout(LOOK_EVERY, ended.notified()).await;
    }
}

async fn tell_all(broker: &Broker) -> Result<(), StoreError> {
    loop {
        let now = broker.clock.now();
        let due = broker.store.take_notices(TAKEN, now + LEASE, now).await?;
        let taken = due.len();
        let told = futures_util::stream::iter(due).map(|notice| settle(notice, broker));
        let results: Vec<_> = told.buffer_unordered(AT_ONCE).collect().await;
        results.into_iter().collect::<Result<(), StoreError>>()?;
        if taken < TAKEN {
            return Ok(());
        }
    }
}

async fn settle(notice: LogoutNotice, broker: &Broker) -> Result<(), StoreError> {
    let (client, session) = (&notice.client, &notice.session);
    match tell(&notice, broker).await {
        Told::Done => broker.store.settle_notice(&notice).await,
        Told::Refused(status) => {
            broker.metrics.logout_notice("refused");
            tracing::warn!(code = "logout-refused", %client, %session, status, "a client does not take the end of a session");
            broker.store.settle_notice(&notice).await
        }
        Told::Later(cause) => {
            broker.metrics.logout_notice("failed");
            let pause = pause(notice.tries);
            tracing::warn!(code = "logout-not-told", %client, %session, cause, tries = notice.tries, next = %pause, "a client could not be told of the end of a session");
            let again = broker.clock.now() + pause;
            broker.store.postpone_notice(&notice, again).await
        }
    }
}

fn pause(tries: u32) -> SignedDuration {
    let place = usize::try_from(tries)
        .unwrap_or(usize::MAX)
        .saturating_sub(1);
    PAUSES[place.min(PAUSES.len() - 1)]
}

async fn tell(notice: &LogoutNotice, broker: &Broker) -> Told {
    let Some(to) = address(&notice.client, broker) else {
        return Told::Done;
    };
    let Ok(token) = logout_token(notice, broker) else {
        return Told::Later("the logout token could not be signed".to_owned());
    };
    let answer = broker.http.post_form(to, &[("logout_token", &token)]).await;
    match answer {
        // Back-Channel Logout 2.8: 200, or 204 of frameworks that send that.
        Ok(200 | 204) => {
            broker.metrics.logout_notice("delivered");
            tracing::info!(code = "logout-told", client = %notice.client, session = %notice.session, "a client was told of the end of a session");
            Told::Done
        }
        Ok(status @ (408 | 425 | 429 | 500..)) => Told::Later(format!("it answered {status}")),
        Ok(status) => Told::Refused(status),
        Err(error) => Told::Later(in_words(&error)),
    }
}

fn in_words(error: &ProviderError) -> String {
    format!("{}: {error}", error.code())
}

fn address<'a>(client: &ClientId, broker: &'a Broker) -> Option<&'a Url> {
    let client = broker.settings.clients.get(client)?;
    client.backchannel_logout_uri.as_ref()
}

/// Back-Channel Logout 2.4. No `nonce`, so that it can't pass for an ID token.
fn logout_token(notice: &LogoutNotice, broker: &Broker) -> Result<String, NotSigned> {
    let client = broker.settings.clients.get(&notice.client);
    let client = client.ok_or(NotSigned)?;
    let now = broker.clock.now();
    let claims = json!({
        "iss": broker.settings.issuer(),
        "aud": notice.client,
        "sub": notice.account,
        "sid": notice.session,
        "iat": now.as_second(),
        "exp": (now + LIFETIME).as_second(),
        "jti": broker.entropy.hex::<16>(),
        "events": { EVENT: {} },
    });
    broker
        .keys
        .sign(client.id_token_algorithm, "logout+jwt", &claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_grow_to_an_hour() {
        let seconds: Vec<i64> = (1..=8).map(|tries| pause(tries).as_secs()).collect();
        assert_eq!(seconds, [5, 30, 120, 600, 1800, 3600, 3600, 3600]);
        assert_eq!(pause(0).as_secs(), 5);
    }
}
