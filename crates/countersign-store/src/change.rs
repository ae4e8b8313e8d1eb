//! Changes an account's record, however often others write to it meanwhile.

use crate::{Account, Store, StoreError, Version};

/// How often a record that others keep writing to is tried: each time somebody else's write went through.
const TRIES: usize = 100;

/// Writes what `change` makes of an account's record; where another was faster (a login, an import, a registry),
/// what it makes of theirs, so that nothing of theirs or ours is lost. Answers with the record in force.
///
/// [`StoreError::Conflict`] where the record is gone, or others never leave a gap.
pub async fn change_account(
    store: &dyn Store,
    (mut account, mut version): (Account, Version),
    change: impl Fn(&Account) -> Account,
) -> Result<Account, StoreError> {
    for _ in 0..TRIES {
        let changed = change(&account);
        if changed == account {
            return Ok(account);
        }
        match store.replace_account(changed.clone(), version).await {
            Ok(_) => return Ok(changed),
            Err(StoreError::Conflict) => {
                let found = store.account(&account.id).await?;
                (account, version) = found.ok_or(StoreError::Conflict)?;
            }
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Conflict)
}
