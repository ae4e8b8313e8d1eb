//! A store around another: what happens at each operation is written once, not at forty.

use async_trait::async_trait;
use countersign_core::{AccountId, ApiKeyId, GrantId, Identity, OrganizationId, SessionId};
use jiff::Timestamp;

use crate::{
    Account, ApiKey, AuditHead, Bucket, CodeDigest, DeviceAnswer, DeviceRequest, DeviceRequestId,
    EndKind, Ended, Ends, FeedPlace, FurtherCode, Grace, Grant, IssuedToken, KeptToken,
    KeyMaterial, KeyOwner, LiveGrant, LiveSession, LogoutNotice, Once, Opening, Organization,
    ProviderSession, Rate, RegistryAccount, RegistryAccountName, Rotated, Seen, Session, Signpost,
    Spent, Store, StoreError, StoredKey, TakenCode, Version,
};

/// A store around another.
pub trait Around: Send + Sync + std::fmt::Debug {
    /// The store within.
    fn within(&self) -> &dyn Store;

    /// What happens at an operation, of which `done` is the store's own part. It begins when it is awaited.
    fn around<T: Send>(
        &self,
        operation: &'static str,
        done: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> impl Future<Output = Result<T, StoreError>> + Send;
}

/// Each operation is that of the store within.
macro_rules! operations {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl<A: Around> Store for A {
            $(
                async fn $name(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                    self.around(stringify!($name), self.within().$name($($argument),*)).await
                }
            )+
        }
    };
}

operations! {
    open_session(opening: Opening, now: Timestamp) -> ();
    take_code(code: &CodeDigest, now: Timestamp) -> TakenCode;
    session(id: &SessionId, now: Timestamp) -> Option<Session>;
    hand_over(further: FurtherCode, now: Timestamp) -> bool;
    keep_in_use(id: &SessionId, idle_until: Timestamp, now: Timestamp) -> bool;
    sessions_of(account: &AccountId, after: Option<&Session>, now: Timestamp) -> Vec<LiveSession>;
    sessions_resting_on(provider_session: &ProviderSession, after: Option<&Session>, now: Timestamp) -> Vec<Session>;
    end_session(id: &SessionId, now: Timestamp) -> Ended;
    take_notices(limit: usize, again: Timestamp, now: Timestamp) -> Vec<LogoutNotice>;
    postpone_notice(notice: &LogoutNotice, until: Timestamp) -> ();
    settle_notice(notice: &LogoutNotice) -> ();
    keep_token(token: KeptToken, until: Timestamp, now: Timestamp) -> ();
    kept_token(session: &SessionId, now: Timestamp) -> Option<(KeptToken, Version)>;
    replace_kept_token(token: KeptToken, version: Version) -> Version;
    open_grant(grant: Grant) -> ();
    grant(session: &SessionId, grant: &GrantId, now: Timestamp) -> Option<LiveGrant>;
    rotate(session: &SessionId, grant: &GrantId, presented: u32, grace: Grace, now: Timestamp) -> Rotated;
    end_grant(session: &SessionId, grant: &GrantId, now: Timestamp) -> Ended;
    revoke_token(token: IssuedToken, now: Timestamp) -> Ended;
    tell_end(kind: EndKind, id: &str, now: Timestamp) -> ();
    ends_after(place: Option<FeedPlace>, limit: usize, now: Timestamp) -> Ends;
    session_of_token(token: &IssuedToken, now: Timestamp) -> Option<Session>;
    open_device_request(id: &DeviceRequestId, request: DeviceRequest, now: Timestamp) -> ();
    device_request(id: &DeviceRequestId, now: Timestamp) -> Option<(DeviceRequest, Option<DeviceAnswer>)>;
    answer_device_request(id: &DeviceRequestId, answer: DeviceAnswer, now: Timestamp) -> bool;
    remember(key: &Once, until: Timestamp, now: Timestamp) -> Seen;
    is_remembered(key: &Once, now: Timestamp) -> bool;
    spend(bucket: &Bucket, rate: Rate, now: Timestamp) -> Spent;
    claim_identity(identity: &Identity, fresh: AccountId) -> AccountId;
    release_identity(identity: &Identity, account: &AccountId) -> ();
    account_of(identity: &Identity) -> Option<(Account, Version)>;
    account(id: &AccountId) -> Option<(Account, Version)>;
    put_account_if_absent(account: Account) -> (Account, Version);
    replace_account(account: Account, version: Version) -> Version;
    remove_account(id: &AccountId, version: Version) -> ();
    list_accounts(after: Option<&AccountId>, limit: usize) -> Vec<Account>;
    registry_account(name: &RegistryAccountName) -> Option<(RegistryAccount, Version)>;
    put_registry_account_if_absent(record: RegistryAccount) -> (RegistryAccount, Version);
    replace_registry_account(record: RegistryAccount, version: Version) -> Version;
    remove_registry_account(name: &RegistryAccountName, version: Version) -> ();
    organization(id: &OrganizationId) -> Option<(Organization, Version)>;
    put_organization_if_absent(organization: Organization) -> (Organization, Version);
    replace_organization(organization: Organization, version: Version) -> Version;
    remove_organization(id: &OrganizationId, version: Version) -> ();
    list_organizations(after: Option<&OrganizationId>, limit: usize) -> Vec<Organization>;
    set_signpost(post: &Signpost, id: &OrganizationId) -> ();
    remove_signpost(post: &Signpost, id: &OrganizationId) -> ();
    organizations_at(post: &Signpost, after: Option<&OrganizationId>, limit: usize) -> Vec<Organization>;
    api_key(id: &ApiKeyId) -> Option<(ApiKey, Version)>;
    put_api_key_if_absent(key: ApiKey) -> (ApiKey, Version);
    replace_api_key(key: ApiKey, version: Version) -> Version;
    remove_api_key(key: &ApiKey, version: Version) -> ();
    list_api_keys(after: Option<&ApiKeyId>, limit: usize) -> Vec<ApiKey>;
    api_keys_of(owner: &KeyOwner, after: Option<&ApiKeyId>, limit: usize) -> Vec<ApiKey>;
    put_key_if_absent(key: StoredKey) -> StoredKey;
    replace_key(known: &StoredKey, material: KeyMaterial) -> ();
    list_keys() -> Vec<StoredKey>;
    put_audit_head(head: &AuditHead) -> ();
    audit_heads() -> Vec<AuditHead>;
    sweep(now: Timestamp) -> ();
}
