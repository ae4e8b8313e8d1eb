//! How many machines remember together: in Redis or Valkey, at one address, behind Sentinel, or as a cluster.
//!
//! Every operation is a script ([`script`]) or a read on keys of one slot ([`names`]), sent to the primary that has
//! the slot ([`map`]). Reads share a connection; writes go over others, many at once ([`node`]).
//!
//! # What acknowledged means
//!
//! Redis answers a write before any replica has it, and after a partition forgets what the losing side was told. So
//! each write is followed, on the same connection, by `WAIT`, and is acknowledged once `replicas` of them have it.
//! Whatever a script found written by another it writes again, so that the same `WAIT` covers it. A primary
//! that was frozen or cut off, and replaced meanwhile, has no replica any more that would answer: what it is told is refused.
//! That holds where all replicas are waited for. With fewer, two sides of a partition can each have one.
//!
//! # What a refusal means
//!
//! [`StoreError::Unavailable`] says that a write was not acknowledged, not that it wasn't made. For the caller who tries again:
//!
//! - `open_session`: the attempt may be spent, and its session open. Nobody has got its code, so the session is of no use, and
//!   the person signs in again.
//! - `take_code`: the code may be spent. Taken again it is a replay, which ends the session: nothing is spent twice,
//!   and the person signs in again.
//! - `rotate`: the token may be spent. It is forgiven as a lost answer is ([`Grace`]): too soon at first, and then good once more.
//! - `remember`: the second finds that it came before, so the one who presents it makes a new one.
//! - `hand_over`: the code was given to nobody.
//! - `open_device_request`: the user code was told to nobody. `answer_device_request`: the device may have its answer; the second
//!   finds the request answered.
//! - `take_notices`: they are due again after their lease.
//! - `open_grant`, `replace_…`: the second finds a conflict, and the caller reads what is there.
//! - What ends something: it may have ended, and be told in the feed of ends; it may also be told and not have ended ([`ended`]).
//! - All others answer as the first would have, and are tried again here.
//!
//! A read may see what was written and not acknowledged. What ended is ended for every reader at once, as long as it asks the
//! primary that was told; one that is cut off with its readers, and does not know yet, may show for a while what was.
//!
//! # What Redis' clock is for
//!
//! Memory only. Expiry is judged by the caller's `now`; keys go ten minutes after nothing of them is needed.

mod account;
mod api_key;
mod audit;
mod bucket;
mod connect;
mod device;
mod ended;
mod grant;
mod kept_token;
mod key;
mod link;
mod map;
mod names;
mod node;
mod once;
mod organization;
mod record;
mod reply;
mod rights;
mod script;
mod session;
mod settings;
mod sign_in;
mod slot;
mod survey;

use async_trait::async_trait;
use countersign_core::{AccountId, ApiKeyId, GrantId, Identity, OrganizationId, SessionId};
use jiff::Timestamp;

use self::ended::Found;
use self::link::Link;
use self::names::Names;
pub use self::settings::{
    KeyPrefix, NotAHostAndPort, NotAPrefix, RedisAddress, RedisLogin, RedisServers, RedisSettings,
    RedisTls,
};
pub use self::survey::{RedisNode, RedisWarning};
use crate::{
    Account, ApiKey, AuditHead, Bucket, CodeDigest, DeviceAnswer, DeviceRequest, DeviceRequestId,
    EndKind, Ended, Ends, FeedPlace, FurtherCode, Grace, Grant, IssuedToken, KeptToken,
    KeyMaterial, KeyOwner, LiveGrant, LiveSession, LogoutNotice, Once, Opening, Organization,
    ProviderSession, Rate, RegistryAccount, RegistryAccountName, Rotated, Seen, Session, Signpost,
    Spent, Store, StoreError, StoredKey, TakenCode, Version,
};

/// The store in a Redis or Valkey.
///
/// Dropping it closes its connections. It has a thread of its own for them, so any runtime can use it.
#[derive(Debug)]
pub struct Redis {
    link: Link,
    names: Names,
}

impl Redis {
    /// The store at these servers. Nothing is asked of them yet; see [`Redis::survey`].
    pub fn new(settings: RedisSettings) -> Result<Self, StoreError> {
        let names = Names::new(&settings.key_prefix);
        Ok(Self {
            link: Link::new(settings)?,
            names,
        })
    }

    /// Asks every primary what it is and how it keeps what it is told.
    ///
    /// [`StoreError::Unavailable`] if not all answer, or if slots of a cluster have no primary.
    pub async fn survey(&self) -> Result<Vec<RedisNode>, StoreError> {
        survey::all(&self.link).await
    }

    /// Which commands the user may not run on our keys, by their names. It changes nothing.
    ///
    /// [`StoreError::Unavailable`] where it can't be found out: without the right to run scripts at all, say.
    pub async fn missing_rights(&self) -> Result<Vec<String>, StoreError> {
        rights::missing(&self.link, &self.names).await
    }
}

#[async_trait]
impl Store for Redis {
    async fn open_session(&self, opening: Opening, now: Timestamp) -> Result<(), StoreError> {
        sign_in::open(&self.link, &self.names, &opening, now).await
    }

    async fn keep_token(
        &self,
        token: KeptToken,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        kept_token::keep(&self.link, &self.names, &token, (until, now)).await
    }

    async fn kept_token(
        &self,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<Option<(KeptToken, Version)>, StoreError> {
        kept_token::find(&self.link, &self.names, session, now).await
    }

    async fn replace_kept_token(
        &self,
        token: KeptToken,
        version: Version,
    ) -> Result<Version, StoreError> {
        let key = self.names.kept_token(&token.session);
        record::replace(&self.link, key, &token, version).await
    }

    async fn take_code(&self, code: &CodeDigest, now: Timestamp) -> Result<TakenCode, StoreError> {
        sign_in::take_code(&self.link, &self.names, code, now).await
    }

    async fn session(&self, id: &SessionId, now: Timestamp) -> Result<Option<Session>, StoreError> {
        sign_in::session(&self.link, &self.names, id, now).await
    }

    async fn hand_over(&self, further: FurtherCode, now: Timestamp) -> Result<bool, StoreError> {
        session::hand_over(&self.link, &self.names, &further, now).await
    }

    async fn keep_in_use(
        &self,
        id: &SessionId,
        idle_until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        session::keep_in_use(&self.link, &self.names, (id, idle_until), now).await
    }

    async fn sessions_of(
        &self,
        account: &AccountId,
        after: Option<&Session>,
        now: Timestamp,
    ) -> Result<Vec<LiveSession>, StoreError> {
        session::of_account(&self.link, &self.names, account, after, now).await
    }

    async fn sessions_resting_on(
        &self,
        provider_session: &ProviderSession,
        after: Option<&Session>,
        now: Timestamp,
    ) -> Result<Vec<Session>, StoreError> {
        session::resting_on(&self.link, &self.names, provider_session, after, now).await
    }

    async fn end_session(&self, id: &SessionId, now: Timestamp) -> Result<Ended, StoreError> {
        session::end(&self.link, &self.names, id, now).await
    }

    async fn take_notices(
        &self,
        limit: usize,
        again: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<LogoutNotice>, StoreError> {
        session::take_notices(&self.link, &self.names, limit, (again, now)).await
    }

    async fn postpone_notice(
        &self,
        notice: &LogoutNotice,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        session::postpone(&self.link, &self.names, notice, until).await
    }

    async fn settle_notice(&self, notice: &LogoutNotice) -> Result<(), StoreError> {
        session::settle(&self.link, &self.names, notice).await
    }

    async fn open_grant(&self, grant: Grant) -> Result<(), StoreError> {
        grant::open(&self.link, &self.names, &grant).await
    }

    async fn grant(
        &self,
        session: &SessionId,
        grant: &GrantId,
        now: Timestamp,
    ) -> Result<Option<LiveGrant>, StoreError> {
        grant::find(&self.link, &self.names, (session, grant), now).await
    }

    async fn rotate(
        &self,
        session: &SessionId,
        grant: &GrantId,
        presented: u32,
        grace: Grace,
        now: Timestamp,
    ) -> Result<Rotated, StoreError> {
        let of = (session, grant);
        grant::rotate(&self.link, &self.names, of, (presented, grace), now).await
    }

    async fn end_grant(
        &self,
        session: &SessionId,
        grant: &GrantId,
        now: Timestamp,
    ) -> Result<Ended, StoreError> {
        grant::end(&self.link, &self.names, (session, grant), now).await
    }

    async fn revoke_token(&self, token: IssuedToken, now: Timestamp) -> Result<Ended, StoreError> {
        grant::revoke(&self.link, &self.names, &token, now).await
    }

    async fn tell_end(&self, kind: EndKind, id: &str, now: Timestamp) -> Result<(), StoreError> {
        ended::tell(&self.link, &self.names, (kind, id, Found::Alive), now).await
    }

    async fn ends_after(
        &self,
        place: Option<FeedPlace>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Ends, StoreError> {
        ended::after(&self.link, &self.names, place, limit, now).await
    }

    async fn session_of_token(
        &self,
        token: &IssuedToken,
        now: Timestamp,
    ) -> Result<Option<Session>, StoreError> {
        grant::session_of(&self.link, &self.names, token, now).await
    }

    async fn open_device_request(
        &self,
        id: &DeviceRequestId,
        request: DeviceRequest,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        device::open(&self.link, &self.names, id, &request, now).await
    }

    async fn device_request(
        &self,
        id: &DeviceRequestId,
        now: Timestamp,
    ) -> Result<Option<(DeviceRequest, Option<DeviceAnswer>)>, StoreError> {
        device::find(&self.link, &self.names, id, now).await
    }

    async fn answer_device_request(
        &self,
        id: &DeviceRequestId,
        answer: DeviceAnswer,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        device::answer(&self.link, &self.names, id, &answer, now).await
    }

    async fn remember(
        &self,
        key: &Once,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Seen, StoreError> {
        once::remember(&self.link, &self.names, key, until, now).await
    }

    async fn is_remembered(&self, key: &Once, now: Timestamp) -> Result<bool, StoreError> {
        once::is_remembered(&self.link, &self.names, key, now).await
    }

    async fn spend(
        &self,
        bucket: &Bucket,
        rate: Rate,
        now: Timestamp,
    ) -> Result<Spent, StoreError> {
        bucket::spend(&self.link, &self.names, bucket, rate, now).await
    }

    async fn claim_identity(
        &self,
        identity: &Identity,
        fresh: AccountId,
    ) -> Result<AccountId, StoreError> {
        account::claim(&self.link, &self.names, identity, &fresh).await
    }

    async fn release_identity(
        &self,
        identity: &Identity,
        account: &AccountId,
    ) -> Result<(), StoreError> {
        account::release(&self.link, &self.names, identity, account).await
    }

    async fn account_of(
        &self,
        identity: &Identity,
    ) -> Result<Option<(Account, Version)>, StoreError> {
        account::of_identity(&self.link, &self.names, identity).await
    }

    async fn account(&self, id: &AccountId) -> Result<Option<(Account, Version)>, StoreError> {
        account::by_id(&self.link, &self.names, id).await
    }

    async fn put_account_if_absent(
        &self,
        account: Account,
    ) -> Result<(Account, Version), StoreError> {
        account::put_if_absent(&self.link, &self.names, &account).await
    }

    async fn replace_account(
        &self,
        account: Account,
        version: Version,
    ) -> Result<Version, StoreError> {
        account::replace(&self.link, &self.names, &account, version).await
    }

    async fn remove_account(&self, id: &AccountId, version: Version) -> Result<(), StoreError> {
        account::remove(&self.link, &self.names, id, version).await
    }

    async fn list_accounts(
        &self,
        after: Option<&AccountId>,
        limit: usize,
    ) -> Result<Vec<Account>, StoreError> {
        account::list(&self.link, &self.names, after, limit).await
    }

    async fn registry_account(
        &self,
        name: &RegistryAccountName,
    ) -> Result<Option<(RegistryAccount, Version)>, StoreError> {
        account::of_registry(&self.link, &self.names, name).await
    }

    async fn put_registry_account_if_absent(
        &self,
        record: RegistryAccount,
    ) -> Result<(RegistryAccount, Version), StoreError> {
        account::put_registry_if_absent(&self.link, &self.names, &record).await
    }

    async fn replace_registry_account(
        &self,
        record: RegistryAccount,
        version: Version,
    ) -> Result<Version, StoreError> {
        account::replace_registry(&self.link, &self.names, &record, version).await
    }

    async fn remove_registry_account(
        &self,
        name: &RegistryAccountName,
        version: Version,
    ) -> Result<(), StoreError> {
        account::remove_registry(&self.link, &self.names, name, version).await
    }

    async fn organization(
        &self,
        id: &OrganizationId,
    ) -> Result<Option<(Organization, Version)>, StoreError> {
        organization::by_id(&self.link, &self.names, id).await
    }

    async fn put_organization_if_absent(
        &self,
        organization: Organization,
    ) -> Result<(Organization, Version), StoreError> {
        organization::put_if_absent(&self.link, &self.names, &organization).await
    }

    async fn replace_organization(
        &self,
        organization: Organization,
        version: Version,
    ) -> Result<Version, StoreError> {
        organization::replace(&self.link, &self.names, &organization, version).await
    }

    async fn remove_organization(
        &self,
        id: &OrganizationId,
        version: Version,
    ) -> Result<(), StoreError> {
        organization::remove(&self.link, &self.names, id, version).await
    }

    async fn list_organizations(
        &self,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<Organization>, StoreError> {
        organization::list(&self.link, &self.names, after, limit).await
    }

    async fn set_signpost(&self, post: &Signpost, id: &OrganizationId) -> Result<(), StoreError> {
        organization::set_signpost(&self.link, &self.names, post, id).await
    }

    async fn remove_signpost(
        &self,
        post: &Signpost,
        id: &OrganizationId,
    ) -> Result<(), StoreError> {
        organization::remove_signpost(&self.link, &self.names, post, id).await
    }

    async fn organizations_at(
        &self,
        post: &Signpost,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<Organization>, StoreError> {
        organization::at_signpost(&self.link, &self.names, post, after, limit).await
    }

    async fn api_key(&self, id: &ApiKeyId) -> Result<Option<(ApiKey, Version)>, StoreError> {
        api_key::by_id(&self.link, &self.names, id).await
    }

    async fn put_api_key_if_absent(&self, key: ApiKey) -> Result<(ApiKey, Version), StoreError> {
        api_key::put_if_absent(&self.link, &self.names, &key).await
    }

    async fn replace_api_key(&self, key: ApiKey, version: Version) -> Result<Version, StoreError> {
        api_key::replace(&self.link, &self.names, &key, version).await
    }

    async fn remove_api_key(&self, key: &ApiKey, version: Version) -> Result<(), StoreError> {
        api_key::remove(&self.link, &self.names, key, version).await
    }

    async fn list_api_keys(
        &self,
        after: Option<&ApiKeyId>,
        limit: usize,
    ) -> Result<Vec<ApiKey>, StoreError> {
        api_key::list(&self.link, &self.names, after, limit).await
    }

    async fn api_keys_of(
        &self,
        owner: &KeyOwner,
        after: Option<&ApiKeyId>,
        limit: usize,
    ) -> Result<Vec<ApiKey>, StoreError> {
        api_key::of(&self.link, &self.names, owner, after, limit).await
    }

    async fn put_key_if_absent(&self, key: StoredKey) -> Result<StoredKey, StoreError> {
        key::put_if_absent(&self.link, &self.names, &key).await
    }

    async fn replace_key(
        &self,
        known: &StoredKey,
        material: KeyMaterial,
    ) -> Result<(), StoreError> {
        key::replace(&self.link, &self.names, known, &material).await
    }

    async fn list_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        key::list(&self.link, &self.names).await
    }

    async fn put_audit_head(&self, head: &AuditHead) -> Result<(), StoreError> {
        audit::put(&self.link, &self.names, head).await
    }

    async fn audit_heads(&self) -> Result<Vec<AuditHead>, StoreError> {
        audit::list(&self.link, &self.names).await
    }

    /// Redis forgets by itself what has expired.
    async fn sweep(&self, _now: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }
}
