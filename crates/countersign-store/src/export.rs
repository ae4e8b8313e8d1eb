//! What is kept of a person: all of it, for them to take away.

use countersign_core::OrganizationId;
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    Account, LiveSession, RegistryAccount, SESSIONS_AT_ONCE, Signpost, Store, StoreError,
    WithoutDigest, admins, all_keys_of, organizations_by,
};

/// All that is kept of a person, but for secrets: what a provider is asked again with is sealed, and good for nobody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Export {
    /// The account.
    pub account: Account,
    /// What the registry said of it.
    pub registry_account: Option<RegistryAccount>,
    /// The organisations that it administers.
    pub administers: Vec<OrganizationId>,
    /// Its API keys, without what they are known by.
    pub api_keys: Vec<WithoutDigest>,
    /// Its live sessions, with all that each sign-in proved.
    pub sessions: Vec<LiveSession>,
}

/// All that is kept of who has this account.
///
/// # Errors
///
/// Failures of the store.
pub async fn export(
    store: &dyn Store,
    account: Account,
    now: Timestamp,
) -> Result<Export, StoreError> {
    let registry_account = match &account.registry_account {
        Some(name) => store.registry_account(name).await?,
        None => None,
    };
    let mut administers = Vec::new();
    for name in admins(&account) {
        for organization in organizations_by(store, &Signpost::Admin(name)).await? {
            if !administers.contains(&organization.id) {
                administers.push(organization.id);
            }
        }
    }
    let mut sessions: Vec<LiveSession> = Vec::new();
    loop {
        let last = sessions.last().map(|one| &one.session);
        let page = store.sessions_of(&account.id, last, now).await?;
        let is_last = page.len() < SESSIONS_AT_ONCE;
        sessions.extend(page);
        if is_last {
            break;
        }
    }
    let api_keys = all_keys_of(store, &account).await?;
    Ok(Export {
        account,
        api_keys: api_keys.into_iter().map(WithoutDigest).collect(),
        registry_account: registry_account.map(|(record, _)| record),
        administers,
        sessions,
    })
}
