//! Who has not signed in for long is forgotten while the server runs.

use std::time::Duration;

use countersign_server::{Clock, Retention, SystemClock};

/// How often to look whether another day has begun.
const LOOK_EVERY: Duration = Duration::from_mins(10);
/// Between two pages of accounts: sign-ins come first.
const PAUSE: Duration = Duration::from_millis(50);

/// Forgets whoever is due until the program stops.
pub(super) async fn keep(retention: Retention) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let pause = async || tokio::time::sleep(PAUSE).await;
        match retention.tick(SystemClock.now(), pause).await {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!(
                    code = "accounts-forgotten",
                    count,
                    "people who have not signed in for long are forgotten"
                );
            }
            Err(error) => {
                tracing::warn!("who has not signed in for long could not be forgotten: {error}");
            }
        }
    }
}
