//! Whose API keys are to end is told while the server runs.

use std::time::Duration;

use countersign_server::{Clock, KeyNotices, SystemClock};

/// How often to look whether another hour has begun.
const LOOK_EVERY: Duration = Duration::from_mins(5);
/// Between two pages of keys: those who use them come first.
const PAUSE: Duration = Duration::from_millis(50);

/// Tells until the program stops. What could not be told is tried again in the next hour.
pub(super) async fn keep(notices: KeyNotices) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let pause = async || tokio::time::sleep(PAUSE).await;
        match notices.tick(SystemClock.now(), pause).await {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!(
                    code = "api-key-owners-told",
                    count,
                    "the registry was told of API keys that are to end"
                );
            }
            Err(error) => {
                tracing::warn!(
                    code = "api-key-owners-not-told",
                    "the registry could not be told of API keys that are to end: {error}"
                );
            }
        }
    }
}
