//! What Countersign remembers, and how it is kept.
//!
//! [`Store`] is the one trait; [`Embedded`] keeps everything in a data directory on one
//! machine, [`Redis`] in a Redis or Valkey that many machines share. `conformance` (a feature) is the suite that every backend passes. The operations are named
//! for what they do, and each touches one owner's records only (an attempt with the session
//! and the code it led to; a device's request; an identity; an account; a registry account; an organisation; what may come once; the heads of audit chains), so that a cluster keeps
//! them in one slot. What concerns several owners ([`import()`]) is made of these operations.

mod api_key;
mod around;
mod audit;
mod change;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod embedded;
mod ended;
mod erase;
mod export;
mod find;
mod identity;
mod import;
pub mod kept;
mod lock;
pub mod organization;
mod record;
mod redis;
mod registry;
mod traced;

use async_trait::async_trait;
use countersign_core::{
    AccountId, ApiKeyId, AttemptId, GrantId, Identity, OrganizationId, SessionId,
};
use jiff::Timestamp;
use thiserror::Error;

pub use api_key::{
    ApiKey, Changed, KEYS_AT_ONCE, KeyDigest, KeyOwner, MadeBy, MadeUnder, NotADigest,
    WithoutDigest, all_keys_of, change_api_key,
};
pub use around::Around;
pub use audit::{AuditHead, ChainHash, HEADS_KEPT, NotAHash, NotAReplica, ReplicaId};
pub use change::change_account;
pub use embedded::Embedded;
pub use ended::{End, EndKind, Ends, FeedPlace, NotAPlace};
pub use erase::{EraseError, admins, end_sessions, erase_account, erase_account_if};
pub use export::{Export, export};
pub use find::{Found, find_account};
pub use identity::{claim_identity, link_identity, unlink_identity};
pub use import::{
    Claimed, Contradiction, Imported, RegistryRow, Vouched, claim_registry_account, import,
    may_retire_registry_account, retire_registry_account, weigh,
};
pub use lock::{Locked, lock_account, unlock_account};
pub use organization::{
    Actor, Admin, Connection, Organization, Proof, Signpost, Standing, change_organization,
    mappings_of, organizations_by, organizations_page,
};
pub use record::{
    Account, Bucket, Code, CodeDigest, DeviceAnswer, DeviceRequest, DeviceRequestId, Ended,
    FurtherCode, Grace, Grant, IssuedToken, KeptToken, KeyMaterial, LinkedIdentity, LiveGrant,
    LiveSession, Lock, LogoutNotice, Once, Opening, ProviderSession, Rate, Rotated, SealedText,
    Seen, Session, Spent, StoredKey, TakenCode, ToolRequest, Version, VouchedEmail,
};
pub use redis::{
    KeyPrefix, NotAHostAndPort, NotAPrefix, Redis, RedisAddress, RedisLogin, RedisNode,
    RedisServers, RedisSettings, RedisTls, RedisWarning,
};
pub use registry::{
    EmailAddress, NotAName, NotAnAddress, RegistryAccount, RegistryAccountName, registration,
};
pub use traced::Traced;

/// What Countersign remembers. Every method is atomic; acknowledged means that it survives `kill -9`.
///
/// `now` is an argument: expiry is judged by the caller's clock, never by the store's.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Spends the attempt and, in the same operation, opens the session it led to and keeps the
    /// code that hands the session to the client.
    ///
    /// [`StoreError::AttemptSpent`] if the attempt was spent before: nothing is written then.
    async fn open_session(&self, opening: Opening, now: Timestamp) -> Result<(), StoreError>;

    /// Keeps what the provider of the session that this attempt leads to is asked again with, in the place of what was
    /// kept before. It lasts until then; [`Store::open_session`] makes it last as long as the session, and
    /// [`Store::end_session`] forgets it, whether the session was ever opened or not.
    ///
    /// [`StoreError::AttemptSpent`] if the session was opened before: nothing is written then.
    async fn keep_token(
        &self,
        token: KeptToken,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// What the provider of a live session is asked again with, if anything was kept.
    async fn kept_token(
        &self,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<Option<(KeptToken, Version)>, StoreError>;

    /// Replaces it if it still has `version`; [`StoreError::Conflict`] if not, or if it is gone.
    async fn replace_kept_token(
        &self,
        token: KeptToken,
        version: Version,
    ) -> Result<Version, StoreError>;

    /// Takes a code: exactly one caller ever gets [`TakenCode::Fresh`]. A later one gets
    /// [`TakenCode::Replayed`] as long as the session would last, and the session that the code
    /// had opened is ended (RFC 6749 4.1.2: revoke what a reused code bought).
    async fn take_code(&self, code: &CodeDigest, now: Timestamp) -> Result<TakenCode, StoreError>;

    /// A live session, or `None` if it never was, has expired or was ended.
    async fn session(&self, id: &SessionId, now: Timestamp) -> Result<Option<Session>, StoreError>;

    /// Keeps one more code of a live session, and the session in use. `false`, and nothing is written,
    /// if the session has ended.
    async fn hand_over(&self, further: FurtherCode, now: Timestamp) -> Result<bool, StoreError>;

    /// Keeps a live session in use: it lives on until then, and never beyond its own end. `false`, and nothing is written,
    /// if it has ended.
    async fn keep_in_use(
        &self,
        id: &SessionId,
        idle_until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// The live sessions of an account, the latest first: the first [`SESSIONS_AT_ONCE`], or those that follow `after`. Fewer
    /// than that are the last ones. Whoever ends some as they come misses none that was there when they began.
    async fn sessions_of(
        &self,
        account: &AccountId,
        after: Option<&Session>,
        now: Timestamp,
    ) -> Result<Vec<LiveSession>, StoreError>;

    /// The live sessions that rest on a provider's session, in the same way.
    async fn sessions_resting_on(
        &self,
        provider_session: &ProviderSession,
        after: Option<&Session>,
        now: Timestamp,
    ) -> Result<Vec<Session>, StoreError>;

    /// Ends a session, and leaves a [`LogoutNotice`] for each client that it was handed to, due at once.
    /// Ending one that is not there is no error. Notices are forgotten a day after the end.
    ///
    /// Whatever ends a session, a grant or a token is told in the feed ([`Store::ends_after`]) before this or any
    /// other operation answers that it has ended, and no death of the process in between leaves it out.
    async fn end_session(&self, id: &SessionId, now: Timestamp) -> Result<Ended, StoreError>;

    /// Takes notices that are due, the longest due first, and counts a try of each. They are due again at
    /// `again`, unless [`Store::settle_notice`] comes before: of many callers at once, one gets each.
    async fn take_notices(
        &self,
        limit: usize,
        again: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<LogoutNotice>, StoreError>;

    /// Makes a notice due at this time.
    async fn postpone_notice(
        &self,
        notice: &LogoutNotice,
        until: Timestamp,
    ) -> Result<(), StoreError>;

    /// Forgets a notice: it was delivered, or given up.
    async fn settle_notice(&self, notice: &LogoutNotice) -> Result<(), StoreError>;

    /// Keeps a grant, whose first refresh token is number 0. [`StoreError::Conflict`] if it is there.
    async fn open_grant(&self, grant: Grant) -> Result<(), StoreError>;

    /// A live grant of a live session.
    async fn grant(
        &self,
        session: &SessionId,
        grant: &GrantId,
        now: Timestamp,
    ) -> Result<Option<LiveGrant>, StoreError>;

    /// Spends the refresh token with the number `presented` and makes the next one good; keeps the session
    /// in use. Of many callers at once exactly one gets [`Rotated::Next`].
    ///
    /// One that was spent before ends the grant, but for `grace`: whoever presents it now, the
    /// client or a thief, the other has what it led to.
    async fn rotate(
        &self,
        session: &SessionId,
        grant: &GrantId,
        presented: u32,
        grace: Grace,
        now: Timestamp,
    ) -> Result<Rotated, StoreError>;

    /// Ends a grant, and with it every token of it. Ending one that is not there is no error.
    async fn end_grant(
        &self,
        session: &SessionId,
        grant: &GrantId,
        now: Timestamp,
    ) -> Result<Ended, StoreError>;

    /// Ends an access token before its time, and nothing else.
    async fn revoke_token(&self, token: IssuedToken, now: Timestamp) -> Result<Ended, StoreError>;

    /// Tells in the feed of an end that is kept otherwise: that of a token without a session, or of a connection. Call it first.
    async fn tell_end(&self, kind: EndKind, id: &str, now: Timestamp) -> Result<(), StoreError>;

    /// The ends that followed a place in the feed, at most `limit` (at least one): from the beginning where there is
    /// no place, or where this store does not know it. An end is told for as long as a token that it concerns can be good.
    async fn ends_after(
        &self,
        place: Option<FeedPlace>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Ends, StoreError>;

    /// The live session behind an access token; `None` if that has expired, or it, its grant or
    /// its session was ended.
    async fn session_of_token(
        &self,
        token: &IssuedToken,
        now: Timestamp,
    ) -> Result<Option<Session>, StoreError>;

    /// Keeps what a device asks for. [`StoreError::Conflict`] if a request of this id is there, and nothing is
    /// written then: make another user code.
    async fn open_device_request(
        &self,
        id: &DeviceRequestId,
        request: DeviceRequest,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// What a device asks for, and what was said to it; `None` if it never was or has expired.
    async fn device_request(
        &self,
        id: &DeviceRequestId,
        now: Timestamp,
    ) -> Result<Option<(DeviceRequest, Option<DeviceAnswer>)>, StoreError>;

    /// Answers a device's request. `false`, and nothing is written, if it was answered before, never was, or has
    /// expired: of many callers one gets `true`.
    async fn answer_device_request(
        &self,
        id: &DeviceRequestId,
        answer: DeviceAnswer,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Remembers a key until a time: of many callers exactly one gets [`Seen::First`], on whichever replica.
    ///
    /// What names the same thing twice within its life (the `jti` of an assertion or a proof) has the same key.
    async fn remember(
        &self,
        key: &Once,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Seen, StoreError>;

    /// Whether a key is remembered.
    async fn is_remembered(&self, key: &Once, now: Timestamp) -> Result<bool, StoreError>;

    /// Counts one more in a bucket, if the rate has room for it. A bucket is forgotten once all is paid back.
    async fn spend(&self, bucket: &Bucket, rate: Rate, now: Timestamp)
    -> Result<Spent, StoreError>;

    /// The account that an identity was claimed for: `fresh`, if it was for none. Whether that account lists it
    /// [`claim_identity()`] sees to.
    ///
    /// Of many callers with different `fresh` exactly one wins, and all get the winner's id.
    async fn claim_identity(
        &self,
        identity: &Identity,
        fresh: AccountId,
    ) -> Result<AccountId, StoreError>;

    /// Gives up the claim on an identity, if it is this account's. Releasing one that is not is no error.
    async fn release_identity(
        &self,
        identity: &Identity,
        account: &AccountId,
    ) -> Result<(), StoreError>;

    /// The account that an identity leads to, with its record: the one that it was claimed for, if that lists it.
    async fn account_of(
        &self,
        identity: &Identity,
    ) -> Result<Option<(Account, Version)>, StoreError>;

    /// The record of an account.
    async fn account(&self, id: &AccountId) -> Result<Option<(Account, Version)>, StoreError>;

    /// Writes an account's first record and answers with the one in force: this one, or the one
    /// that was already there.
    async fn put_account_if_absent(
        &self,
        account: Account,
    ) -> Result<(Account, Version), StoreError>;

    /// Replaces an account's record if it still has `version`; [`StoreError::Conflict`] if not.
    async fn replace_account(
        &self,
        account: Account,
        version: Version,
    ) -> Result<Version, StoreError>;

    /// Removes an account's record if it still has `version`; [`StoreError::Conflict`] if not. Nothing of it stays;
    /// [`erase_account`] sees to what leads to it.
    async fn remove_account(&self, id: &AccountId, version: Version) -> Result<(), StoreError>;

    /// Accounts in the order of their ids, after `after`, at most `limit`.
    async fn list_accounts(
        &self,
        after: Option<&AccountId>,
        limit: usize,
    ) -> Result<Vec<Account>, StoreError>;

    /// What a registry said of the account that it calls `name`.
    async fn registry_account(
        &self,
        name: &RegistryAccountName,
    ) -> Result<Option<(RegistryAccount, Version)>, StoreError>;

    /// Writes a registry account's first record and answers with the one in force: this one, or
    /// the one that was already there.
    async fn put_registry_account_if_absent(
        &self,
        record: RegistryAccount,
    ) -> Result<(RegistryAccount, Version), StoreError>;

    /// Replaces a registry account's record if it still has `version`; [`StoreError::Conflict`] if not.
    async fn replace_registry_account(
        &self,
        record: RegistryAccount,
        version: Version,
    ) -> Result<Version, StoreError>;

    /// Removes a registry account's record if it still has `version`; [`StoreError::Conflict`] if not.
    async fn remove_registry_account(
        &self,
        name: &RegistryAccountName,
        version: Version,
    ) -> Result<(), StoreError>;

    /// An organisation of the registry.
    async fn organization(
        &self,
        id: &OrganizationId,
    ) -> Result<Option<(Organization, Version)>, StoreError>;

    /// Writes an organisation's first record and answers with the one in force: this one, or the one that was
    /// already there. [`change_organization`] writes it so that it is found.
    async fn put_organization_if_absent(
        &self,
        organization: Organization,
    ) -> Result<(Organization, Version), StoreError>;

    /// Replaces an organisation's record if it still has `version`; [`StoreError::Conflict`] if not.
    async fn replace_organization(
        &self,
        organization: Organization,
        version: Version,
    ) -> Result<Version, StoreError>;

    /// Removes an organisation's record if it still has `version`; [`StoreError::Conflict`] if not.
    async fn remove_organization(
        &self,
        id: &OrganizationId,
        version: Version,
    ) -> Result<(), StoreError>;

    /// Organisations in the order of their ids (by bytes), after `after`, at most `limit`.
    async fn list_organizations(
        &self,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<Organization>, StoreError>;

    /// Lets a signpost lead to an organisation.
    async fn set_signpost(&self, post: &Signpost, id: &OrganizationId) -> Result<(), StoreError>;

    /// Lets it lead there no more. Removing one that is not there is no error.
    async fn remove_signpost(&self, post: &Signpost, id: &OrganizationId)
    -> Result<(), StoreError>;

    /// The organisations that a signpost leads to, in the order of their ids (by bytes), after `after`, at most `limit`: fewer
    /// are the last ones. Whether they say so too is for the caller to see.
    async fn organizations_at(
        &self,
        post: &Signpost,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<Organization>, StoreError>;

    /// An API key.
    async fn api_key(&self, id: &ApiKeyId) -> Result<Option<(ApiKey, Version)>, StoreError>;

    /// Writes an API key's first record and answers with the one in force: this one, or the one that was already there.
    async fn put_api_key_if_absent(&self, key: ApiKey) -> Result<(ApiKey, Version), StoreError>;

    /// Replaces an API key's record if it still has `version`; [`StoreError::Conflict`] if not. Its owner stays.
    async fn replace_api_key(&self, key: ApiKey, version: Version) -> Result<Version, StoreError>;

    /// Removes an API key's record if it still has `version`; [`StoreError::Conflict`] if not.
    async fn remove_api_key(&self, key: &ApiKey, version: Version) -> Result<(), StoreError>;

    /// API keys in the order of their ids, after `after`, at most `limit`.
    async fn list_api_keys(
        &self,
        after: Option<&ApiKeyId>,
        limit: usize,
    ) -> Result<Vec<ApiKey>, StoreError>;

    /// The API keys of an owner in the order of their ids, after `after`, at most `limit`.
    async fn api_keys_of(
        &self,
        owner: &KeyOwner,
        after: Option<&ApiKeyId>,
        limit: usize,
    ) -> Result<Vec<ApiKey>, StoreError>;

    /// Keeps a key under its name and answers with the one in force: this one, or the one that
    /// was already there.
    async fn put_key_if_absent(&self, key: StoredKey) -> Result<StoredKey, StoreError>;

    /// Replaces the material of a key, if it is still what the caller has read; [`StoreError::Conflict`] if
    /// not, and nothing is written then.
    async fn replace_key(&self, known: &StoredKey, material: KeyMaterial)
    -> Result<(), StoreError>;

    /// All keys, in the order of their names.
    async fn list_keys(&self) -> Result<Vec<StoredKey>, StoreError>;

    /// Keeps how far a chain of audit lines was written. A head that is there already stays, and one with another
    /// hash in its place is a [`StoreError::Conflict`]. Of each chain the last [`HEADS_KEPT`] are kept.
    async fn put_audit_head(&self, head: &AuditHead) -> Result<(), StoreError>;

    /// All heads that are kept, by replica and number.
    async fn audit_heads(&self) -> Result<Vec<AuditHead>, StoreError>;

    /// Forgets what has expired. Called now and then; nothing depends on it but disk space.
    async fn sweep(&self, now: Timestamp) -> Result<(), StoreError>;
}

/// How many sessions are listed at once.
pub const SESSIONS_AT_ONCE: usize = 100;

/// The id of the attempt that owns a session or a code; see [`SessionId::of`].
pub type Owner = AttemptId;

/// What can go wrong in a store.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The attempt was spent before.
    #[error("the sign-in attempt was already spent")]
    AttemptSpent,
    /// The record was changed by another since it was read.
    #[error("the record was changed by another since it was read")]
    Conflict,
    /// A record is there and can't be read.
    #[error("a stored record can't be read: {0}")]
    Corrupt(String),
    /// The store does not answer, or refuses the write.
    #[error("the store is not available: {0}")]
    Unavailable(String),
}
