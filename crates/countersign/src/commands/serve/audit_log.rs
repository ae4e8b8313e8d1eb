//! The audit log of a server: opened before anybody is answered, closed after the last answer; how far it is, the
//! store is told meanwhile.

use std::path::Path;
use std::sync::{Arc, Weak};

use anyhow::{Result, anyhow};
use countersign::config::Installation;
use countersign_server::{
    AuditLog, By, Clock, Event, Happening, PolicyHash, Subject, SystemClock, SystemEntropy, Writer,
};
use countersign_store::{AuditHead, Store, StoreError};
use tokio::signal::unix::Signal;

/// Opens the log. The store comes first: it makes the directory, and knows how far the log was.
pub(super) fn open(
    installation: &Installation,
    store: &dyn Store,
    path: &Path,
) -> Result<Arc<AuditLog>> {
    let heads = wait(store.audit_heads())?;
    let log = AuditLog::open(
        &installation.audit_log,
        Writer::Server,
        &installation.data_dir,
        &heads,
        (&SystemEntropy, SystemClock.now()),
    );
    let log = log.map_err(|error| {
        let path = path.display();
        anyhow!("the audit log: {error} (`audit_log` in `{path}` says where it is)")
    })?;
    Ok(Arc::new(log))
}

pub(super) fn started(log: &AuditLog, policy: PolicyHash) {
    let happening = Happening::new(Event::ServerStarted, By::Operator);
    log.write(happening.about(Subject::Policy, policy), SystemClock.now());
}

/// Opens the file by its name again at each SIGHUP: it may have been moved away.
pub(super) async fn reopen(log: Arc<AuditLog>, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        log.reopen();
    }
}

/// Tells the store how far the log is, whenever that is on the disk.
pub(super) fn tell_heads(
    log: &AuditLog,
    store: Weak<dyn Store>,
) -> impl Future<Output = ()> + 'static {
    let heads = log.heads();
    async move {
        let Some(mut heads) = heads else { return };
        while heads.changed().await.is_ok() {
            let head = heads.borrow_and_update().clone();
            let (Some(head), Some(store)) = (head, store.upgrade()) else {
                continue;
            };
            // One that is not told is made good by the next, which says of all lines before it what this says.
            if let Err(error) = store.put_audit_head(&head).await {
                tell_untold(&head, &error);
            }
        }
    }
}

/// Writes what waits, and tells the store how far that is.
pub(super) fn close(log: &AuditLog, store: &dyn Store) -> Result<()> {
    log.write(
        Happening::new(Event::ServerStopped, By::Operator),
        SystemClock.now(),
    );
    let closed = log.close();
    if let Some(head) = closed? {
        match wait(store.put_audit_head(&head)) {
            Ok(()) => {
                tracing::info!(code = "audit-head", replica = %head.replica, n = head.n, hash = %head.hash, "so far the audit log is written");
            }
            Err(error) => tell_untold(&head, &error),
        }
    }
    Ok(())
}

fn tell_untold(head: &AuditHead, error: &StoreError) {
    tracing::error!(code = "audit-head-untold", n = head.n, hash = %head.hash, cause = %error, "the store does not know how far the audit log is");
}

fn wait<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .map_err(|error| StoreError::Unavailable(error.to_string()))?
        .block_on(asked)
}
