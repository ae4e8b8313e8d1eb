//! The store: whether it opens and can be read, and who has it open.

use countersign::config::StoreSettings;
use countersign_core::{AccountId, AttemptId, SessionId};
use countersign_store::{Embedded, Store, StoreError};

use super::finding::Finding;
use super::{Patient, redis};

const OF: &str = "store";

pub(super) async fn check(patient: &Patient) -> Vec<Finding> {
    match &patient.installation.store {
        StoreSettings::DataDirectory => files(patient).await,
        StoreSettings::Redis(settings) => redis::check(settings).await,
    }
}

async fn files(patient: &Patient) -> Vec<Finding> {
    let directory = patient.installation.data_dir.clone();
    if !directory.join("durable.db").exists() {
        return vec![Finding::warning(
            OF,
            "there is none yet",
            "`countersign serve` makes it at its first start",
        )];
    }
    let opened = tokio::task::spawn_blocking(move || {
        let store = Embedded::open_to_look(&directory)?;
        let is_served = store.is_served()?;
        Ok::<_, StoreError>((store, is_served))
    });
    let looked = match opened.await {
        Ok(Ok((store, is_served))) => read(&store).await.map(|()| is_served),
        Ok(Err(error)) => Err(error),
        Err(error) => Err(StoreError::Unavailable(error.to_string())),
    };
    vec![judge(looked)]
}

/// Reads what is never there, from both kinds of what is remembered: accounts and sessions.
async fn read(store: &Embedded) -> Result<(), StoreError> {
    let unreadable = |error: &dyn std::fmt::Display| StoreError::Corrupt(error.to_string());
    let nobody = "0".repeat(32);
    let attempt = AttemptId::new(nobody.clone()).map_err(|error| unreadable(&error))?;
    let account = AccountId::new(format!("acct_{nobody}")).map_err(|error| unreadable(&error))?;
    let session = SessionId::of(&attempt);
    store.session(&session, Patient::now()).await?;
    store.account(&account).await?;
    Ok(())
}

fn judge(looked: Result<bool, StoreError>) -> Finding {
    match looked {
        Ok(true) => Finding::fine(OF, "it can be read; a server has it open"),
        Ok(false) => Finding::fine(OF, "it can be read; no server has it open"),
        Err(error @ StoreError::Corrupt(_)) => Finding::failure(
            OF,
            error.to_string(),
            "put back the last backup of `durable.db`; without `state.db` people sign in again, and nothing else is lost",
        ),
        Err(error) => Finding::failure(
            OF,
            error.to_string(),
            "see that it is all there and that this user may use it; nobody can sign in without it",
        ),
    }
}
