//! A registry's service that follows the feed of what has ended.

use std::time::Duration;

use countersign_verifier::{Error, FeedClient, Silence, Verifier};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::BrokerSetup;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A verifier of the tests' audience that follows the feed as the client `gallery`.
#[derive(Debug)]
pub struct Following {
    /// The verifier.
    pub verifier: Verifier,
    task: JoinHandle<()>,
}

impl Following {
    /// Follows the feed of this issuer, and has heard all of it once this returns.
    pub async fn start(issuer: &str, silence: Silence) -> Self {
        let verifier = Verifier::new(issuer, BrokerSetup::AUDIENCE).expect("a verifier");
        let client = FeedClient::with_secret("gallery", BrokerSetup::SECRET);
        let follower = verifier.follow(client, silence).expect("a follower");
        let task = tokio::spawn(follower.run());
        let following = Self { verifier, task };
        following
            .until("it has heard", async |verifier| {
                verifier.feed().is_some_and(|feed| feed.heard_at.is_some())
            })
            .await;
        following
    }

    /// Whether a token passes.
    pub async fn verdict(&self, token: &str) -> Result<(), Error> {
        self.verifier.verify(token).await.map(drop)
    }

    /// How long it takes until a token is refused as revoked.
    pub async fn refuses(&self, token: &str) -> Duration {
        let began = Instant::now();
        self.until("it refuses", async |verifier| {
            verifier.verify(token).await == Err(Error::Revoked)
        })
        .await;
        began.elapsed()
    }

    /// Waits until something is so.
    pub async fn until(&self, what: &str, is_so: impl AsyncFn(&Verifier) -> bool) {
        let asking = async {
            while !is_so(&self.verifier).await {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let status = || self.verifier.feed();
        assert!(
            timeout(PATIENCE, asking).await.is_ok(),
            "{what}: {:?}",
            status()
        );
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}
