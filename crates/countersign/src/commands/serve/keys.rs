//! The keys of the running server: read again every few seconds, so that what an operator or another
//! replica has changed soon holds here.

use std::time::Duration;

use countersign_server::KeyUpkeep;

/// How long a key that was withdrawn may go on signing here.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Keeps them up to date until the program stops. What can't be read is told once, and once when it can again.
pub(super) async fn keep(upkeep: KeyUpkeep) {
    let mut told = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let failure = upkeep.tick().await.err().map(|error| error.to_string());
        if failure != told {
            tell(failure.as_deref());
            told = failure;
        }
    }
}

fn tell(failure: Option<&str>) {
    let Some(cause) = failure else {
        tracing::info!(code = "keys-read", "the keys are read again");
        return;
    };
    tracing::error!(
        code = "keys-unread",
        cause,
        "the keys can't be read or written; those that were read last stay in use"
    );
}
