//! Whether the store answers, told within a time whatever the store does.
//!
//! A read of the embedded store is a system call, and where the disk hangs it does not come back: no
//! time-out ends it. So it is made on a thread of its own, and while that thread hangs no other is sent
//! after it.

use std::time::Duration;

use countersign_store::StoreError;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};

/// How long the store may take to answer. Longer, and what asks us has given up: Kubernetes waits one
/// second unless told otherwise.
const STORE_TIMEOUT: Duration = Duration::from_millis(900);

/// Asks one question at a time.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    /// The one who was sent and has not come back.
    missing: Mutex<Option<JoinHandle<Result<(), StoreError>>>>,
}

impl Probe {
    /// What `question` came to; unavailable, if it comes to nothing in time.
    pub(crate) async fn ask<Q>(&self, question: Q) -> Result<(), StoreError>
    where
        Q: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        tokio::time::timeout(STORE_TIMEOUT, self.send(question))
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".to_owned())))
    }

    async fn send<Q>(&self, question: Q) -> Result<(), StoreError>
    where
        Q: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        let mut missing = self.missing.lock().await;
        // What an earlier one found is told by none: it may be long ago.
        if let Some(earlier) = missing.as_mut() {
            drop(earlier.await);
        }
        let here = Handle::current();
        let sent = missing.insert(spawn_blocking(move || here.block_on(question)));
        let answer = sent.await;
        *missing = None;
        answer.unwrap_or_else(|error| Err(StoreError::Unavailable(error.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn a_store_that_hangs_is_told_of_in_time_and_so_is_its_recovery() {
        let probe = Probe::default();
        let (let_go, until) = channel();
        // It hangs its thread, as a disk does, until it is let go.
        let hanging = async move {
            until.recv().ok();
            Ok(())
        };
        let first = probe.ask(hanging).await;
        assert!(matches!(first, Err(StoreError::Unavailable(_))));
        // Nobody is sent after it: this question is never put.
        let second = probe.ask(async { panic!("asked while another hangs") });
        assert!(matches!(second.await, Err(StoreError::Unavailable(_))));
        let_go.send(()).unwrap();
        assert!(probe.ask(async { Ok(()) }).await.is_ok());
    }

    #[tokio::test]
    async fn who_asks_meanwhile_gets_an_answer_of_their_own() {
        let probe = Probe::default();
        let failing = async { Err(StoreError::Conflict) };
        let (one, other) = tokio::join!(probe.ask(async { Ok(()) }), probe.ask(failing));
        assert!(one.is_ok());
        assert!(matches!(other, Err(StoreError::Conflict)));
    }
}
