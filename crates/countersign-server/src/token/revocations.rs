//! `/revocations`: what has ended before its time, for services that verify access tokens themselves and want to know
//! sooner than a token expires.
//!
//! Whoever may introspect may follow it. It names sessions, grants and tokens by a digest: who has a token of theirs
//! recognises it, and to anybody else it says nothing but how many there are. Organisations are named so too, but who knows
//! their names can recognise them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use actix_web::{HttpResponse, web};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::ClientId;
use countersign_store::{End, Ends, FeedPlace, StoreError};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{client, read, unavailable};
use crate::Broker;
use crate::error::{Failure, OAuthError};
use crate::web::{Call, Context, Parameters};

/// How many ends one answer holds: some 100 KB.
const MOST: usize = 1000;
/// How long an answer may wait for an end, in seconds: less than a request may take.
const LONGEST_WAIT: u64 = 25;
/// How often the store is asked, while somebody waits: what another replica ends is told after that at the latest.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How many requests may wait at once, of all clients and of one. Those beyond are answered at once.
const WAITING: usize = 256;
const WAITING_OF_ONE: usize = 64;

/// Who waits for an end, and how far the feed was when it was looked at last.
#[derive(Debug)]
pub(crate) struct Feed {
    head: watch::Sender<Option<FeedPlace>>,
    waiting: Mutex<BTreeMap<ClientId, usize>>,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            head: watch::Sender::new(None),
            waiting: Mutex::default(),
        }
    }
}

/// One who waits, until it is dropped.
struct Turn<'a> {
    feed: &'a Feed,
    client: &'a ClientId,
}

impl Feed {
    /// A turn to wait, if not too many do.
    fn turn<'a>(&'a self, client: &'a ClientId) -> Option<Turn<'a>> {
        let mut waiting = self.waiting();
        let all: usize = waiting.values().sum();
        let own = waiting.get(client).copied().unwrap_or_default();
        if all >= WAITING || own >= WAITING_OF_ONE {
            return None;
        }
        waiting.insert(client.clone(), own + 1);
        Some(Turn { feed: self, client })
    }

    /// Nothing that can panic runs under this lock.
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<ClientId, usize>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut waiting = self.feed.waiting();
        match waiting.get_mut(self.client) {
            Some(own) if *own > 1 => *own -= 1,
            Some(_) | None => drop(waiting.remove(self.client)),
        }
    }
}

/// Looks what has ended, as long as somebody waits for it or a gate goes by what the store said a moment ago, until the broker
/// is gone.
pub(crate) async fn watch(broker: Weak<Broker>) {
    let mut place = None;
    loop {
        sleep(LOOK_EVERY).await;
        let Some(broker) = broker.upgrade() else {
            return;
        };
        if broker.feed.head.receiver_count() > 0 || broker.recent.is_in_use(broker.clock.now()) {
            // Where the store does not answer, those who wait are told so when they look themselves.
            let _ = look_on(&mut place, &broker).await;
        }
    }
}

async fn look_on(place: &mut Option<FeedPlace>, broker: &Broker) -> Result<(), StoreError> {
    loop {
        let found = look(*place, broker).await?;
        if !found.ends.is_empty() {
            broker.recent.forget();
        }
        *place = found.place;
        if found.is_all {
            break;
        }
    }
    broker.feed.head.send_if_modified(|head| {
        let is_new = head != place;
        *head = *place;
        is_new
    });
    Ok(())
}

async fn look(place: Option<FeedPlace>, broker: &Broker) -> Result<Ends, StoreError> {
    let now = broker.clock.now();
    broker.store.ends_after(place, MOST, now).await
}

/// POST `/revocations`.
pub(crate) async fn revocations(call: Call, form: web::Bytes) -> HttpResponse {
    call.answer(async |context| answer(&form, context).await)
        .await
}

async fn answer(form: &[u8], context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let parameters = read(form)?;
    let caller = client::authenticate_confidential(&parameters, context).await?;
    let wait = wait(&parameters)?;
    // A place that can't be read is as good as one that is not known: everything is told.
    let after = parameters.one("after").and_then(|text| text.parse().ok());
    let ends = next(after, wait, &caller, context.broker).await;
    let ends = ends.map_err(|error| unavailable(&error, context))?;
    Ok(HttpResponse::Ok().json(told(&ends)))
}

fn wait(parameters: &Parameters) -> Result<Duration, Failure> {
    let Some(text) = parameters.one("wait") else {
        return Ok(Duration::ZERO);
    };
    let seconds: u64 = text
        .parse()
        .map_err(|_| OAuthError::invalid_request("`wait` is not a number of seconds"))?;
    Ok(Duration::from_secs(seconds.min(LONGEST_WAIT)))
}

/// The ends after a place, or the first that come while the caller waits.
async fn next(
    after: Option<FeedPlace>,
    wait: Duration,
    caller: &ClientId,
    broker: &Broker,
) -> Result<Ends, StoreError> {
    // First: what is told between the two wakes us.
    let mut head = broker.feed.head.subscribe();
    let found = look(after, broker).await?;
    if !found.ends.is_empty() || wait.is_zero() {
        return Ok(found);
    }
    let Some(_turn) = broker.feed.turn(caller) else {
        return Ok(found);
    };
    // That the time is up is an answer like any other; but whether the store still answers is not left open.
    let _ = timeout(wait, moved(&mut head, found.place, broker)).await;
    look(found.place, broker).await
}

/// Returns once the feed goes beyond a place, or this process is on its way out.
async fn moved(
    head: &mut watch::Receiver<Option<FeedPlace>>,
    from: Option<FeedPlace>,
    broker: &Broker,
) {
    while !broker.draining.has_begun() {
        let change = timeout(LOOK_EVERY, head.changed()).await;
        if matches!(change, Ok(Ok(()))) && *head.borrow_and_update() != from {
            return;
        }
    }
}

fn told(found: &Ends) -> Value {
    json!({
        "ends": found.ends.iter().map(end).collect::<Vec<_>>(),
        "cursor": found.place.map(|place| place.to_string()).unwrap_or_default(),
        "complete": found.is_all,
    })
}

fn end(end: &End) -> Value {
    let (name, issued_before) = end.concerns();
    let digest = digest(&SHA256, name.as_bytes());
    let mut told = json!({
        "kind": end.kind.as_str(),
        "sha256": URL_SAFE_NO_PAD.encode(digest),
        "until": end.told_until().as_second(),
    });
    if let Some(second) = issued_before {
        told["issued_before"] = second.into();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: &str) -> ClientId {
        ClientId::new(name).unwrap()
    }

    #[test]
    fn so_many_wait_at_once_and_no_more() {
        let (feed, one) = (Feed::default(), client("one"));
        let turns: Vec<_> = (0..WAITING_OF_ONE).map(|_| feed.turn(&one)).collect();
        assert!(turns.iter().all(Option::is_some));
        assert!(feed.turn(&one).is_none());
        let others: Vec<ClientId> = (0..WAITING).map(|n| client(&format!("c{n}"))).collect();
        let more: Vec<_> = others.iter().filter_map(|other| feed.turn(other)).collect();
        assert_eq!(more.len(), WAITING - WAITING_OF_ONE);
        drop(turns);
        assert!(feed.turn(&one).is_some());
        drop(more);
        assert!(feed.waiting().is_empty());
    }
}
