//! What the store said a moment ago, for the gates of registries: a tool that installs a hundred packages is let through a
//! hundred times within a second.
//!
//! What is kept is what the store *said* of a session, a key, an account, an organisation; never a decision: `decide` is
//! asked at every request. It counts for a second at most. All of it is forgotten wherever this process writes what could change
//! any of it ([`Forgetting`]), before whoever asked for that is answered; and where the feed of ends tells of what another process
//! has ended. That something is *not* there is never kept.

mod shelf;

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use countersign_core::{AccountId, ApiKeyId, Mapping, OrganizationId, SessionId, Source};
use countersign_store::{
    Account, Admin, ApiKey, Around, IssuedToken, Organization, RegistryAccount,
    RegistryAccountName, Session, Store, StoreError, Version, mappings_of,
};
use jiff::Timestamp;

use crate::Clock;
use crate::registry::{Known, KnownBy};

use shelf::{LONGEST, Shelf};

/// What the store said a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    sessions: Shelf<SessionId, Session>,
    tokens: Shelf<IssuedToken, Session>,
    accounts: Shelf<AccountId, (Account, Version)>,
    registry_accounts: Shelf<RegistryAccountName, (RegistryAccount, Version)>,
    keys: Shelf<ApiKeyId, (ApiKey, Version)>,
    organizations: Shelf<OrganizationId, (Organization, Version)>,
    mappings: Shelf<Vec<Source>, Vec<Mapping>>,
    /// Put together of some of these.
    known: Shelf<KnownBy, Arc<Known>>,
    /// When it was asked last, in seconds.
    asked_at: AtomicI64,
}

impl Recent {
    /// Forgets all of it, and whatever is being read just now.
    pub(crate) fn forget(&self) {
        self.sessions.forget();
        self.tokens.forget();
        self.accounts.forget();
        self.registry_accounts.forget();
        self.keys.forget();
        self.organizations.forget();
        self.mappings.forget();
        self.known.forget();
    }

    /// Whether there may be anything that still counts.
    pub(crate) fn is_in_use(&self, now: Timestamp) -> bool {
        let asked_at = self.asked_at.load(Ordering::Relaxed);
        now.as_second().saturating_sub(asked_at) <= LONGEST.as_secs()
    }
}

/// Who is asked what is there: the store, or first what it said a moment ago.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reads<'a> {
    store: &'a dyn Store,
    /// And the clock by which it counts: a request may have begun long ago.
    recent: Option<(&'a Recent, &'a dyn Clock)>,
    now: Timestamp,
}

impl<'a> Reads<'a> {
    /// The store.
    pub(crate) fn of(store: &'a dyn Store, now: Timestamp) -> Self {
        Self {
            store,
            recent: None,
            now,
        }
    }

    /// What the store said a moment ago, and else the store.
    pub(crate) fn recently(self, recent: &'a Recent, clock: &'a dyn Clock) -> Self {
        let recent = Some((recent, clock));
        Self { recent, ..self }
    }

    /// [`Store::session`].
    pub(crate) async fn session(self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        let asked = async { self.store.session(id, self.now).await };
        let found = self.ask(|recent| &recent.sessions, id, asked).await?;
        Ok(found.filter(|session| self.now < session.expires_at))
    }

    /// [`Store::session_of_token`].
    pub(crate) async fn session_of_token(
        self,
        token: &IssuedToken,
    ) -> Result<Option<Session>, StoreError> {
        let asked = async { self.store.session_of_token(token, self.now).await };
        let found = self.ask(|recent| &recent.tokens, token, asked).await?;
        Ok(found.filter(|session| self.now < session.expires_at.min(token.expires_at)))
    }

    /// [`Store::account`].
    pub(crate) async fn account(
        self,
        id: &AccountId,
    ) -> Result<Option<(Account, Version)>, StoreError> {
        let asked = async { self.store.account(id).await };
        self.ask(|recent| &recent.accounts, id, asked).await
    }

    /// [`Store::api_key`].
    pub(crate) async fn api_key(
        self,
        id: &ApiKeyId,
    ) -> Result<Option<(ApiKey, Version)>, StoreError> {
        let asked = async { self.store.api_key(id).await };
        self.ask(|recent| &recent.keys, id, asked).await
    }

    /// [`Store::organization`].
    pub(crate) async fn organization(
        self,
        id: &OrganizationId,
    ) -> Result<Option<(Organization, Version)>, StoreError> {
        let asked = async { self.store.organization(id).await };
        self.ask(|recent| &recent.organizations, id, asked).await
    }

    /// [`mappings_of`].
    pub(crate) async fn mappings_of(
        self,
        sources: impl IntoIterator<Item = Source>,
    ) -> Result<Vec<Mapping>, StoreError> {
        let sources: Vec<Source> = sources.into_iter().collect();
        if sources.is_empty() {
            return Ok(Vec::new());
        }
        let asked = async { mappings_of(self.store, sources.clone()).await.map(Some) };
        let found = self.ask(|recent| &recent.mappings, &sources, asked).await?;
        Ok(found.unwrap_or_default())
    }

    /// What was put together of all this for somebody who asks for something.
    pub(crate) async fn known(
        self,
        by: &KnownBy,
        asked: impl Future<Output = Result<Option<Arc<Known>>, StoreError>>,
    ) -> Result<Option<Arc<Known>>, StoreError> {
        self.ask(|recent| &recent.known, by, asked).await
    }

    /// The account that acts for an owner: an account itself, or the one that has claimed a registry account.
    pub(crate) async fn account_for(self, owner: &Admin) -> Result<Option<Account>, StoreError> {
        let id = match owner {
            Admin::Account(id) => id.clone(),
            Admin::RegistryAccount(name) => {
                let asked = async { self.store.registry_account(name).await };
                let found = self
                    .ask(|recent| &recent.registry_accounts, name, asked)
                    .await?;
                let Some(id) = found.and_then(|(record, _)| record.account) else {
                    return Ok(None);
                };
                id
            }
        };
        Ok(self.account(&id).await?.map(|(account, _)| account))
    }

    async fn ask<K: Clone + Eq + Hash, V: Clone>(
        self,
        shelf: impl Fn(&Recent) -> &Shelf<K, V>,
        key: &K,
        asked: impl Future<Output = Result<Option<V>, StoreError>>,
    ) -> Result<Option<V>, StoreError> {
        let Some((recent, clock)) = self.recent else {
            return asked.await;
        };
        let now = clock.now();
        recent.asked_at.store(now.as_second(), Ordering::Relaxed);
        shelf(recent).get(key, now, asked).await
    }
}

/// A store whose writes are followed: before one answers, nothing is known any more that it may have changed.
#[derive(Debug)]
pub(crate) struct Forgetting {
    store: Arc<dyn Store>,
    recent: Arc<Recent>,
}

/// What changes nothing that is kept. Whatever is not in this list makes all be forgotten.
const CHANGES_NOTHING: [&str; 38] = [
    // Reads.
    "kept_token",
    "session",
    "sessions_of",
    "sessions_resting_on",
    "grant",
    "ends_after",
    "session_of_token",
    "device_request",
    "is_remembered",
    "account_of",
    "account",
    "list_accounts",
    "registry_account",
    "organization",
    "list_organizations",
    "organizations_at",
    "api_key",
    "list_api_keys",
    "api_keys_of",
    "list_keys",
    "audit_heads",
    // What is new, or lasts longer.
    "open_session",
    "hand_over",
    "keep_in_use",
    "open_grant",
    "keep_token",
    "replace_kept_token",
    // What is no session, key, account or organisation.
    "take_notices",
    "postpone_notice",
    "settle_notice",
    "open_device_request",
    "answer_device_request",
    "remember",
    "spend",
    "put_key_if_absent",
    "replace_key",
    "put_audit_head",
    // What has expired is asked about no more.
    "sweep",
];

impl Forgetting {
    pub(crate) fn new(store: Arc<dyn Store>, recent: Arc<Recent>) -> Self {
        Self { store, recent }
    }
}

impl Around for Forgetting {
    fn within(&self) -> &dyn Store {
        self.store.as_ref()
    }

    async fn around<T: Send>(
        &self,
        operation: &'static str,
        done: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        if CHANGES_NOTHING.contains(&operation) {
            return done.await;
        }
        // However it ends: what was refused may have happened.
        let _forgets = Forgets(&self.recent);
        done.await
    }
}

/// Forgets when it is dropped.
struct Forgets<'a>(&'a Recent);

impl Drop for Forgets<'_> {
    fn drop(&mut self) {
        self.0.forget();
    }
}

#[cfg(test)]
mod tests {
    use countersign_core::{AccountId, Identity, Profile};
    use countersign_store::{Embedded, change_account};
    use jiff::SignedDuration;

    use super::*;

    /// Every operation of a store, where each of them is listed.
    const OPERATIONS: &str = include_str!("../../countersign-store/src/around.rs");

    #[test]
    fn what_changes_nothing_is_an_operation_and_what_may_end_something_is_not_among_it() {
        for name in CHANGES_NOTHING {
            let line = format!("\n    {name}(");
            assert!(OPERATIONS.contains(&line), "{name}");
        }
        for name in [
            "take_code", // twice ends its session
            "rotate",    // twice ends its grant
            "end_session",
            "end_grant",
            "revoke_token",
            "tell_end",
            "release_identity",
            "replace_account",
            "remove_account",
            "replace_registry_account",
            "remove_registry_account",
            "replace_organization",
            "remove_organization",
            "set_signpost",
            "remove_signpost",
            "replace_api_key",
            "remove_api_key",
        ] {
            assert!(OPERATIONS.contains(&format!("\n    {name}(")), "{name}");
            assert!(!CHANGES_NOTHING.contains(&name), "{name}");
        }
    }

    /// A clock that stands still.
    #[derive(Debug)]
    struct At(Timestamp);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            self.0
        }
    }

    #[test]
    fn what_this_process_writes_is_known_at_once_and_what_another_does_within_a_second() {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(&directory.path().join("data")).unwrap();
        let elsewhere: Arc<dyn Store> = Arc::new(store);
        let recent = Arc::<Recent>::default();
        let here = Forgetting::new(Arc::clone(&elsewhere), Arc::clone(&recent));
        let second = |second| At(Timestamp::from_second(second).unwrap());
        let (begin, later) = (second(10), second(11));
        let id = AccountId::new("acct_1").unwrap();
        let told_to = async |told: i8, store: &dyn Store| {
            let found = store.account(&id).await.unwrap().unwrap();
            let changed = |account: &Account| Account {
                told_due: Some(jiff::civil::date(2027, 1, told)),
                ..account.clone()
            };
            change_account(store, found, changed).await.unwrap();
        };
        let known = async |clock: &At| {
            let reads = Reads::of(&here, clock.0).recently(&recent, clock);
            let found = reads.account(&id).await.unwrap();
            found.and_then(|(account, _)| account.told_due.map(jiff::civil::Date::day))
        };
        actix_web::rt::System::new().block_on(async {
            let identity = Identity::GitHub {
                host: "github.com".into(),
                id: 1,
            };
            let account = Account::new(id.clone(), identity, Profile::default(), begin.0);
            assert_eq!(
                known(&begin).await,
                None,
                "that it is not there is not kept"
            );
            elsewhere.put_account_if_absent(account).await.unwrap();
            told_to(1, elsewhere.as_ref()).await;
            assert_eq!(known(&begin).await, Some(1));
            told_to(2, elsewhere.as_ref()).await;
            assert_eq!(known(&begin).await, Some(1));
            assert_eq!(known(&later).await, Some(2));
            told_to(3, &here).await;
            assert_eq!(known(&later).await, Some(3));
            told_to(4, elsewhere.as_ref()).await;
            recent.forget();
            assert_eq!(known(&later).await, Some(4));
        });
        assert!(recent.is_in_use(later.0));
        assert!(!recent.is_in_use(later.0 + SignedDuration::from_secs(2)));
    }
}
