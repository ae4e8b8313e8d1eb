//! Which keys a command is about.

use anyhow::{Result, anyhow};
use clap::Args;
use countersign_core::{ApiKeyId, Level};
use countersign_store::{ApiKey, KEYS_AT_ONCE, Store, all_keys_of, find_account};
use jiff::civil::Date;

/// Which keys are meant: all that are as each of these says.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Only these, by their ids (`key_…`)
    #[arg(value_name = "KEY")]
    keys: Vec<String>,
    /// Only this account's: our id of it (`acct_…`), or the registry's own name of it
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Only those that were made before this day (UTC)
    #[arg(long, value_name = "DAY")]
    made_before: Option<Date>,
    /// Only those that were made without a second factor, or of whose making nothing is known
    #[arg(long)]
    without_mfa: bool,
}

impl Which {
    /// Whether it says anything: what ends keys is not for all of them by a slip.
    pub(super) fn must_say_something(&self) -> Result<()> {
        let says = !self.keys.is_empty()
            || self.account.is_some()
            || self.made_before.is_some()
            || self.without_mfa;
        says.then_some(()).ok_or_else(|| {
            anyhow!("say which keys: KEY, `--account`, `--made-before` or `--without-mfa`")
        })
    }

    /// The keys, in the order of their ids.
    pub(super) async fn find(&self, store: &dyn Store) -> Result<Vec<ApiKey>> {
        let mut keys = self.candidates(store).await?;
        keys.retain(|key| self.is_meant(key));
        keys.sort_by(|one, next| one.id.cmp(&next.id));
        Ok(keys)
    }

    async fn candidates(&self, store: &dyn Store) -> Result<Vec<ApiKey>> {
        if let Some(name) = &self.account {
            return of_account(name, store).await;
        }
        let mut found = Vec::new();
        if self.keys.is_empty() {
            let mut after: Option<ApiKeyId> = None;
            loop {
                let page = store.list_api_keys(after.as_ref(), KEYS_AT_ONCE).await?;
                let is_last = page.len() < KEYS_AT_ONCE;
                after = page.last().map(|key| key.id.clone());
                found.extend(page);
                if is_last {
                    return Ok(found);
                }
            }
        }
        for id in &self.keys {
            let key = store.api_key(&ApiKeyId::new(id)?).await?;
            let (key, _) = key.ok_or_else(|| anyhow!("there is no API key `{id}`"))?;
            found.push(key);
        }
        Ok(found)
    }

    fn is_meant(&self, key: &ApiKey) -> bool {
        let is_named = self.keys.is_empty() || self.keys.iter().any(|id| id == key.id.as_str());
        let day = countersign_core::calendar::day_of(key.made_at);
        let shows = key
            .under
            .as_ref()
            .is_some_and(|under| under.level >= Level::Mfa);
        is_named
            && self.made_before.is_none_or(|before| day < before)
            && !(self.without_mfa && shows)
    }
}

async fn of_account(name: &str, store: &dyn Store) -> Result<Vec<ApiKey>> {
    let unknown = || anyhow!("there is no account `{name}`");
    match find_account(store, name).await?.ok_or_else(unknown)? {
        (Some(account), _) => Ok(all_keys_of(store, &account).await?),
        (None, Some(registry)) => {
            let owner = countersign_store::Admin::RegistryAccount(registry.name);
            Ok(store.api_keys_of(&owner, None, usize::MAX).await?)
        }
        (None, None) => Err(unknown()),
    }
}
