//! The decision log of a server: opened before anybody is answered, closed after the last answer.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use countersign::config::Installation;
use countersign_server::DecisionLog;
use tokio::signal::unix::Signal;

/// Opens the log. The store comes first: it makes the directory in which the log is by default.
pub(super) fn open(installation: &Installation, path: &Path) -> Result<Arc<DecisionLog>> {
    let log = DecisionLog::open(installation.decision_log.clone()).map_err(|error| {
        anyhow!(
            "the decision log: {error} (`decision_log` in `{}` says where it is)",
            path.display()
        )
    })?;
    Ok(Arc::new(log))
}

/// Opens the file by its name again at each SIGHUP: it may have been moved away.
pub(super) async fn reopen(log: Arc<DecisionLog>, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        log.reopen();
    }
}
