//! Following the broker's feed of what has ended, so that a service knows within a second.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use reqwest::Url;
use tokio::time::sleep;

use crate::ended::{Page, Silence};
use crate::error::Error;
use crate::fetch::Source;
use crate::verifier::Inner;

/// How long the broker may wait with an answer if it has nothing to tell. It waits for no longer.
const LONGEST_WAIT: Duration = Duration::from_secs(25);
/// The least patience with a feed that is silent: below, one lost packet would shut the service.
const LEAST_PATIENCE: Duration = Duration::from_secs(5);
/// Until it is asked again after an answer that told nothing: a broker with whom too many wait answers at once.
const PAUSE: Duration = Duration::from_millis(250);
/// The same after a failure; twice as long after each further one, up to [`LONGEST_PAUSE`].
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The client that this service is at the broker, by which it may follow the feed.
///
/// Any client that authenticates will do, such as the one that the service introspects by.
pub struct FeedClient {
    id: String,
    shows: Shows,
}

enum Shows {
    Secret(String),
    Assertion(Box<dyn Fn() -> String + Send + Sync>),
}

impl FeedClient {
    /// A client with a secret.
    pub fn with_secret(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            shows: Shows::Secret(secret.into()),
        }
    }

    /// A client with a private key: `assertion` makes a new JWT for each request (RFC 7523, section 3).
    pub fn with_assertions(
        id: impl Into<String>,
        assertion: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        Self {
            id: id.into(),
            shows: Shows::Assertion(Box::new(assertion)),
        }
    }

    /// The parameters by which it says who it is.
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = vec![("client_id", self.id.clone())];
        match &self.shows {
            Shows::Secret(secret) => parameters.push(("client_secret", secret.clone())),
            Shows::Assertion(make) => {
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                parameters.push(("client_assertion_type", kind.to_owned()));
                parameters.push(("client_assertion", make()));
            }
        }
        parameters
    }
}

impl fmt::Debug for FeedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeedClient")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What follows the feed for a [`Verifier`](crate::Verifier): spawn [`Follower::run`].
#[derive(Debug)]
#[must_use = "nothing is followed until `run` is spawned"]
pub struct Follower {
    verifier: Weak<Inner>,
    source: Arc<Source>,
    client: FeedClient,
    /// How long an answer may wait.
    wait: Duration,
}

impl Follower {
    pub(crate) fn new(
        verifier: &Arc<Inner>,
        source: &Arc<Source>,
        client: FeedClient,
        silence: Silence,
    ) -> Result<Self, Error> {
        let wait = match silence {
            Silence::Accept => LONGEST_WAIT,
            Silence::RefuseAfter(patience) if patience >= LEAST_PATIENCE => {
                LONGEST_WAIT.min(patience / 3)
            }
            Silence::RefuseAfter(_) => {
                let why = "a feed that is silent is to be borne for five seconds at least";
                return Err(Error::Configuration(why));
            }
        };
        Ok(Self {
            verifier: Arc::downgrade(verifier),
            source: Arc::clone(source),
            client,
            wait,
        })
    }

    /// Follows the feed until the verifier and all its clones are gone.
    ///
    /// It keeps no state but in memory: a service that starts again hears all that can matter from the beginning.
    pub async fn run(self) {
        let (mut cursor, mut failures) = (String::new(), 0);
        let (mut feed, mut wait) = (None, Duration::ZERO);
        while self.verifier.strong_count() > 0 {
            let answer = self.ask(&mut feed, &cursor, wait).await;
            let Some(verifier) = self.verifier.upgrade() else {
                return;
            };
            let pause = match answer {
                Ok(page) => {
                    verifier.note_ends(&page);
                    (failures, wait) = (0, self.wait);
                    let is_idle = page.complete && page.is_empty();
                    cursor = page.cursor;
                    if is_idle { PAUSE } else { Duration::ZERO }
                }
                Err(error) => {
                    verifier.note_no_ends(error);
                    failures += 1;
                    // It may be served elsewhere by now.
                    feed = None;
                    // The first answer after it comes at once: it ends the silence.
                    wait = Duration::ZERO;
                    pause_after(failures)
                }
            };
            drop(verifier);
            sleep(pause).await;
        }
    }

    async fn ask(
        &self,
        feed: &mut Option<Url>,
        cursor: &str,
        wait: Duration,
    ) -> Result<Page, Error> {
        let to = match feed {
            Some(known) => known.clone(),
            None => feed.insert(self.source.feed().await?).clone(),
        };
        let mut parameters = self.client.parameters();
        parameters.push(("after", cursor.to_owned()));
        parameters.push(("wait", wait.as_secs().to_string()));
        Page::read(&self.source.ends(to, &parameters, wait).await?)
    }
}

fn pause_after(failures: u32) -> Duration {
    let doubled = failures.saturating_sub(1).min(10);
    LONGEST_PAUSE.min(PAUSE_AFTER_FAILURE * 2_u32.pow(doubled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_ten_seconds() {
        let millis = |failures| pause_after(failures).as_millis();
        let all: Vec<u128> = [1, 2, 3, 4, 5, 6, 7, 99, u32::MAX].map(millis).into();
        let expected = [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000];
        assert_eq!(all, expected);
    }

    #[test]
    fn a_secret_does_not_print() {
        let client = FeedClient::with_secret("registry-api", "hunter2");
        assert_eq!(
            format!("{client:?}"),
            "FeedClient { id: \"registry-api\", .. }"
        );
    }
}
