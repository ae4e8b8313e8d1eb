//! The store on Redis: the suite of all stores, and what only a store that others share must do.

pub(crate) mod access;
mod failover;
mod listing;
mod replicas;
mod suite;

use std::time::Duration;

use countersign_core::{AttemptId, SessionId};
use countersign_store::conformance::{at, opening};
use countersign_store::{CodeDigest, Opening, Redis, Store, StoreError, TakenCode};

/// All that ends the `n`th attempt, in a slot of its own.
fn numbered(n: u32) -> Opening {
    // As random ids would, these scatter over the slots.
    let scattered = u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let mut opening = opening(1);
    opening.attempt = AttemptId::new(format!("{scattered:032x}")).expect("an attempt");
    opening.session.id = SessionId::of(&opening.attempt);
    opening
}

async fn open(store: &Redis, n: u32) -> Result<(), StoreError> {
    store.open_session(numbered(n), at(0)).await
}

async fn take(store: &Redis, n: u32) -> Result<TakenCode, StoreError> {
    let opening = numbered(n);
    let code = CodeDigest {
        session: opening.session.id,
        digest: opening.code_digest,
    };
    store.take_code(&code, at(1)).await
}

async fn lives(store: &Redis, n: u32) -> bool {
    let session = store.session(&numbered(n).session.id, at(1)).await;
    session.expect("an answer").is_some()
}

fn is_fresh(taken: &Result<TakenCode, StoreError>) -> bool {
    matches!(taken, Ok(TakenCode::Fresh { .. }))
}

/// Opens sessions from the `n`th on until one is acknowledged, and says which.
async fn opened_from(store: &Redis, mut n: u32) -> u32 {
    for _ in 0..200 {
        if open(store, n).await.is_ok() {
            return n;
        }
        n += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no session could be opened");
}

fn unavailable<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(StoreError::Unavailable(cause)) => cause,
        other => panic!("{other:?}"),
    }
}
