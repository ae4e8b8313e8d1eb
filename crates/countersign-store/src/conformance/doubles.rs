//! Stores that do as a test tells them, around the one that is tested.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::RACERS;
use crate::{Around, Store, StoreError};

/// A store at which something happens beside an operation, the first time that it is called.
#[derive(Debug)]
pub(super) struct Meanwhile {
    store: Arc<dyn Store>,
    event: Mutex<Option<Event>>,
}

/// What happens, and when.
struct Event {
    when: When,
    what: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.when.fmt(f)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Before the operation of this name.
    Before(&'static str),
    After(&'static str),
}

impl Meanwhile {
    pub(super) fn new(
        store: &Arc<dyn Store>,
        when: When,
        what: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let what = Box::pin(what);
        Self {
            store: store.clone(),
            event: Mutex::new(Some(Event { when, what })),
        }
    }

    async fn pass(&self, moment: When) {
        let event = {
            let mut event = self.event.lock().expect("nobody panics here");
            event.take_if(|event| event.when == moment)
        };
        if let Some(event) = event {
            event.what.await;
        }
    }
}

impl Around for Meanwhile {
    fn within(&self) -> &dyn Store {
        self.store.as_ref()
    }

    async fn around<T: Send>(
        &self,
        operation: &'static str,
        done: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.pass(When::Before(operation)).await;
        let done = done.await;
        self.pass(When::After(operation)).await;
        done
    }
}

/// A store that fails after so many operations, as one does whose process is killed.
#[derive(Debug)]
pub(crate) struct Dying {
    store: Arc<dyn Store>,
    left: AtomicUsize,
    /// Which operations count, and fail in the end.
    counts: fn(&str) -> bool,
}

impl Dying {
    pub(crate) fn after(store: &Arc<dyn Store>, operations: usize) -> Self {
        Self {
            store: store.clone(),
            left: AtomicUsize::new(operations),
            counts: |_| true,
        }
    }

    /// Only what changes something counts, and fails.
    #[cfg(test)]
    pub(crate) fn after_writes(store: Arc<dyn Store>, writes: usize) -> Self {
        Self {
            store,
            left: AtomicUsize::new(writes),
            counts: |operation| {
                let words = ["claim_", "put_", "release_", "remove_", "replace_", "set_"];
                words.iter().any(|word| operation.starts_with(word))
            },
        }
    }
}

impl Around for Dying {
    fn within(&self) -> &dyn Store {
        self.store.as_ref()
    }

    async fn around<T: Send>(
        &self,
        operation: &'static str,
        done: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        if (self.counts)(operation) {
            let left = self.left.load(Ordering::Relaxed).checked_sub(1);
            let left = left.ok_or_else(|| StoreError::Unavailable("killed".into()))?;
            self.left.store(left, Ordering::Relaxed);
        }
        done.await
    }
}

/// Lets many do the same at once, numbered from 1, and gathers what they got.
pub(super) async fn race<T, F>(
    store: &Arc<dyn Store>,
    run: impl Fn(Arc<dyn Store>, u8) -> F,
) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let racers: Vec<_> = (1..=RACERS)
        .map(|racer| tokio::spawn(run(store.clone(), racer)))
        .collect();
    let mut results = Vec::new();
    for racer in racers {
        results.push(racer.await.unwrap());
    }
    results
}
