//! The account that somebody means.

use countersign_core::AccountId;

use crate::{Account, RegistryAccount, RegistryAccountName, Store, StoreError};

/// Our record of an account, and the registry's: one of them at least.
pub type Found = (Option<Account>, Option<RegistryAccount>);

/// By our id, else by the registry's name: a registry may name an account like one of ours.
pub async fn find_account(store: &dyn Store, name: &str) -> Result<Option<Found>, StoreError> {
    let by_id = match AccountId::new(name) {
        Ok(id) => store.account(&id).await?,
        Err(_) => None,
    };
    if let Some((account, _)) = by_id {
        let registry = match &account.registry_account {
            Some(name) => store.registry_account(name).await?,
            None => None,
        };
        return Ok(Some((Some(account), registry.map(|(it, _)| it))));
    }
    let Ok(name) = RegistryAccountName::new(name) else {
        return Ok(None);
    };
    let Some((registry, _)) = store.registry_account(&name).await? else {
        return Ok(None);
    };
    let account = match &registry.account {
        Some(id) => store.account(id).await?,
        None => None,
    };
    Ok(Some((account.map(|(it, _)| it), Some(registry))))
}
