//! What one login costs the store, in CPU time of all its threads.
//!
//! `cargo run --release -p countersign-store --example cycle [LOGINS]`

use countersign_core::{AttemptId, SessionId};
use countersign_store::conformance::{account, at, opening};
use countersign_store::{CodeDigest, Embedded, Opening, Store, StoreError, TakenCode};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let logins: u32 = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => 2000,
    };
    let directory = tempfile::tempdir()?;
    let store = Embedded::open(&directory.path().join("data"))?;
    let account = account(1);
    store
        .claim_identity(&account.identity, account.id.clone())
        .await?;
    store.put_account_if_absent(account.clone()).await?;

    let before = cpu_nanoseconds()?;
    for n in 0..logins {
        store.account_of(&account.identity).await?;
        log_in(&store, numbered(n)?).await?;
    }
    let spent = (cpu_nanoseconds()? - before) / 1000 / u64::from(logins);
    println!("{spent} µs of CPU per account_of + open_session + take_code ({logins} in a row)");
    Ok(())
}

async fn log_in(store: &Embedded, opening: Opening) -> Result<(), StoreError> {
    let code = CodeDigest {
        session: opening.session.id.clone(),
        digest: opening.code_digest,
    };
    store.open_session(opening, at(0)).await?;
    match store.take_code(&code, at(1)).await? {
        TakenCode::Fresh { .. } => Ok(()),
        TakenCode::Replayed(_) | TakenCode::Unknown => Err(StoreError::Conflict),
    }
}

fn numbered(n: u32) -> Result<Opening, countersign_core::IdError> {
    // As random ids would, these scatter over the index.
    let scattered = u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let mut opening = opening(1);
    opening.attempt = AttemptId::new(format!("{scattered:032x}"))?;
    opening.session.id = SessionId::of(&opening.attempt);
    Ok(opening)
}

/// User and system time of all threads of this process (Linux: `/proc/PID/task/TID/schedstat`).
fn cpu_nanoseconds() -> std::io::Result<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        let spent = text
            .split(' ')
            .next()
            .and_then(|number| number.parse::<u64>().ok());
        sum += spent.unwrap_or_default();
    }
    Ok(sum)
}
