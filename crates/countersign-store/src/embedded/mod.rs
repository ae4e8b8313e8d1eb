//! How one machine keeps everything: two SQLite databases in a data directory.
//!
//! `state.db` holds what a login leaves behind and may be lost with the power (the person signs
//! in again); `durable.db` holds accounts and keys and may not. Both survive `kill -9`. Writes go
//! through one thread per database, which commits all that wait at once ([`writer`]); reads are
//! made where they are asked for ([`reader`]).

mod account;
mod api_key;
mod audit;
mod bucket;
mod database;
mod device;
mod directory;
mod ended;
mod grant;
mod kept_token;
mod key;
mod logout_notice;
mod once;
mod organization;
mod reader;
mod record;
mod registry_account;
mod row;
mod session;
mod sign_in;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use countersign_core::{AccountId, ApiKeyId, GrantId, Identity, OrganizationId, SessionId};
use jiff::Timestamp;
use rusqlite::Connection;

use self::database::{DURABLE, Database, STATE};
use self::directory::{Hold, Role};
use self::reader::Reader;
use self::writer::Writer;
use crate::organization::ORGANIZATIONS_AT_ONCE;
use crate::{
    Account, ApiKey, AuditHead, Bucket, CodeDigest, DeviceAnswer, DeviceRequest, DeviceRequestId,
    End, EndKind, Ended, Ends, FeedPlace, FurtherCode, Grace, Grant, IssuedToken, KeptToken,
    KeyMaterial, KeyOwner, LiveGrant, LiveSession, LogoutNotice, Once, Opening, Organization,
    ProviderSession, Rate, RegistryAccount, RegistryAccountName, Rotated, Seen, Session, Signpost,
    Spent, Store, StoreError, StoredKey, TakenCode, Version,
};

/// How many rows one write of a sweep forgets: few enough that a login hardly waits for it.
const SWEPT_AT_ONCE: usize = 100;

/// The store in a data directory of one machine.
///
/// Dropping it writes what still waits and closes the files. It runs on tokio.
#[derive(Debug)]
pub struct Embedded {
    // Dropped in this order: the last connection to close, a writer's, tidies up the database.
    state_reader: Reader,
    durable_reader: Reader,
    state: Writer,
    durable: Writer,
    directory: PathBuf,
    _hold: Hold,
}

impl Embedded {
    /// Opens the store in `directory` to serve from it, making it (mode 0700, its files 0600) if it is not there.
    ///
    /// Refused with [`StoreError::Unavailable`], saying what to do: a directory or file that others
    /// may read or write, one that another server has open, and one that a newer Countersign wrote.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_as(directory, Role::Server)
    }

    /// Opens the store to import accounts into it, beside a server or without one.
    ///
    /// Two processes may write: each write is a transaction of its own, none rests on what was
    /// read before but by compare-and-set, and no account is kept in memory. Whoever writes much beside
    /// a server has to leave gaps; see [`Embedded::is_served`].
    pub fn open_for_import(directory: &Path) -> Result<Self, StoreError> {
        Self::open_as(directory, Role::Import)
    }

    /// Opens the store to change something in it (a key, an account), beside a server or without one. It must be there.
    ///
    /// Any number may: each change is one compare-and-set. Servers read accounts each time, and keys again now and then.
    pub fn open_to_change(directory: &Path) -> Result<Self, StoreError> {
        Self::open_as(directory, Role::Operator)
    }

    /// Opens the store to look something up, whoever else has it open. It must be there.
    pub fn open_to_look(directory: &Path) -> Result<Self, StoreError> {
        Self::open_as(directory, Role::Visitor)
    }

    /// Whether there is a store in this directory: whether one was ever opened there.
    pub fn is_there(directory: &Path) -> Result<bool, StoreError> {
        directory::holds_a_store(directory)
    }

    /// Whether a server has this directory open at this moment.
    pub fn is_served(&self) -> Result<bool, StoreError> {
        directory::is_served(&self.directory)
    }

    fn open_as(directory: &Path, role: Role) -> Result<Self, StoreError> {
        let (directory, hold) = directory::prepare(directory, role)?;
        let state = Database::at(&directory, &STATE);
        let durable = Database::at(&directory, &DURABLE);
        // Writers first: they make the tables that the readers read.
        let state_writer = Writer::start("store-state", state.open_for_writing(hold.upkeep)?)?;
        let durable_writer =
            Writer::start("store-durable", durable.open_for_writing(hold.upkeep)?)?;
        Ok(Self {
            state_reader: Reader::open(state)?,
            durable_reader: Reader::open(durable)?,
            state: state_writer,
            durable: durable_writer,
            directory,
            _hold: hold.share()?,
        })
    }
}

#[async_trait]
impl Store for Embedded {
    async fn open_session(&self, opening: Opening, now: Timestamp) -> Result<(), StoreError> {
        let row = sign_in::Row::new(&opening)?;
        self.state
            .run(move |connection| sign_in::open(connection, &row, now))
            .await
    }

    async fn keep_token(
        &self,
        token: KeptToken,
        until: Timestamp,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        self.state
            .run(move |connection| kept_token::keep(connection, &token, until))
            .await
    }

    async fn kept_token(
        &self,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<Option<(KeptToken, Version)>, StoreError> {
        self.state_reader
            .read(|connection| kept_token::find(connection, session, now))
    }

    async fn replace_kept_token(
        &self,
        token: KeptToken,
        version: Version,
    ) -> Result<Version, StoreError> {
        self.state
            .run(move |connection| kept_token::replace(connection, &token, version))
            .await
    }

    async fn take_code(&self, code: &CodeDigest, now: Timestamp) -> Result<TakenCode, StoreError> {
        let code = code.clone();
        self.state
            .run(move |connection| sign_in::take_code(connection, &code, now))
            .await
    }

    async fn session(&self, id: &SessionId, now: Timestamp) -> Result<Option<Session>, StoreError> {
        self.state_reader
            .read(|connection| sign_in::session(connection, id, now))
    }

    async fn hand_over(&self, further: FurtherCode, now: Timestamp) -> Result<bool, StoreError> {
        self.state
            .run(move |connection| session::hand_over(connection, &further, now))
            .await
    }

    async fn keep_in_use(
        &self,
        id: &SessionId,
        idle_until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let id = id.clone();
        self.state
            .run(move |connection| session::keep_in_use(connection, &id, idle_until, now))
            .await
    }

    async fn sessions_of(
        &self,
        account: &AccountId,
        after: Option<&Session>,
        now: Timestamp,
    ) -> Result<Vec<LiveSession>, StoreError> {
        let (account, after) = (account.clone(), after.map(|after| after.id.clone()));
        self.state_reader
            .read_much(move |connection| {
                session::of_account(connection, &account, after.as_ref(), now)
            })
            .await
    }

    async fn sessions_resting_on(
        &self,
        provider_session: &ProviderSession,
        after: Option<&Session>,
        now: Timestamp,
    ) -> Result<Vec<Session>, StoreError> {
        let (of, after) = (
            provider_session.clone(),
            after.map(|after| after.id.clone()),
        );
        self.state_reader
            .read_much(move |connection| session::resting_on(connection, &of, after.as_ref(), now))
            .await
    }

    async fn end_session(&self, id: &SessionId, now: Timestamp) -> Result<Ended, StoreError> {
        let id = id.clone();
        self.state
            .run(move |connection| sign_in::end(connection, &id, now))
            .await
    }

    async fn take_notices(
        &self,
        limit: usize,
        again: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<LogoutNotice>, StoreError> {
        self.state
            .run(move |connection| logout_notice::take(connection, limit, again, now))
            .await
    }

    async fn postpone_notice(
        &self,
        notice: &LogoutNotice,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let notice = notice.clone();
        self.state
            .run(move |connection| logout_notice::postpone(connection, &notice, until))
            .await
    }

    async fn settle_notice(&self, notice: &LogoutNotice) -> Result<(), StoreError> {
        let notice = notice.clone();
        self.state
            .run(move |connection| logout_notice::settle(connection, &notice))
            .await
    }

    async fn open_grant(&self, grant: Grant) -> Result<(), StoreError> {
        self.state
            .run(move |connection| grant::open(connection, &grant))
            .await
    }

    async fn grant(
        &self,
        session: &SessionId,
        grant: &GrantId,
        now: Timestamp,
    ) -> Result<Option<LiveGrant>, StoreError> {
        self.state_reader
            .read(|connection| grant::find(connection, session, grant, now))
    }

    async fn rotate(
        &self,
        session: &SessionId,
        grant: &GrantId,
        presented: u32,
        grace: Grace,
        now: Timestamp,
    ) -> Result<Rotated, StoreError> {
        let of = (session.clone(), grant.clone());
        let rotate = move |connection: &Connection| {
            grant::rotate(connection, (&of.0, &of.1), presented, grace, now)
        };
        self.state.run(rotate).await
    }

    async fn end_grant(
        &self,
        session: &SessionId,
        grant: &GrantId,
        now: Timestamp,
    ) -> Result<Ended, StoreError> {
        let of = (session.clone(), grant.clone());
        self.state
            .run(move |connection| grant::end(connection, &of.0, &of.1, now))
            .await
    }

    async fn revoke_token(&self, token: IssuedToken, now: Timestamp) -> Result<Ended, StoreError> {
        self.state
            .run(move |connection| grant::revoke(connection, &token, now))
            .await
    }

    async fn tell_end(&self, kind: EndKind, id: &str, now: Timestamp) -> Result<(), StoreError> {
        let id = id.to_owned();
        self.state
            .run(move |connection| ended::tell(connection, kind, &id, now))
            .await
    }

    async fn ends_after(
        &self,
        place: Option<FeedPlace>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Ends, StoreError> {
        self.state_reader
            .read_much(move |connection| ended::after(connection, place, limit, now))
            .await
    }

    async fn session_of_token(
        &self,
        token: &IssuedToken,
        now: Timestamp,
    ) -> Result<Option<Session>, StoreError> {
        self.state_reader
            .read(|connection| grant::session_of(connection, token, now))
    }

    async fn open_device_request(
        &self,
        id: &DeviceRequestId,
        request: DeviceRequest,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let id = *id;
        self.state
            .run(move |connection| device::open(connection, &id, &request, now))
            .await
    }

    async fn device_request(
        &self,
        id: &DeviceRequestId,
        now: Timestamp,
    ) -> Result<Option<(DeviceRequest, Option<DeviceAnswer>)>, StoreError> {
        self.state_reader
            .read(|connection| device::find(connection, id, now))
    }

    async fn answer_device_request(
        &self,
        id: &DeviceRequestId,
        answer: DeviceAnswer,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let id = *id;
        self.state
            .run(move |connection| device::answer(connection, &id, &answer, now))
            .await
    }

    async fn remember(
        &self,
        key: &Once,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Seen, StoreError> {
        let key = *key;
        self.state
            .run(move |connection| once::remember(connection, &key, until, now))
            .await
    }

    async fn is_remembered(&self, key: &Once, now: Timestamp) -> Result<bool, StoreError> {
        self.state_reader
            .read(|connection| once::is_remembered(connection, key, now))
    }

    async fn spend(
        &self,
        bucket: &Bucket,
        rate: Rate,
        now: Timestamp,
    ) -> Result<Spent, StoreError> {
        let bucket = *bucket;
        self.state
            .run(move |connection| bucket::spend(connection, &bucket, rate, now))
            .await
    }

    async fn claim_identity(
        &self,
        identity: &Identity,
        fresh: AccountId,
    ) -> Result<AccountId, StoreError> {
        let identity = identity.to_string();
        self.durable
            .run(move |connection| account::claim(connection, &identity, &fresh))
            .await
    }

    async fn release_identity(
        &self,
        identity: &Identity,
        account: &AccountId,
    ) -> Result<(), StoreError> {
        let (identity, account) = (identity.to_string(), account.clone());
        self.durable
            .run(move |connection| account::release(connection, &identity, &account))
            .await
    }

    async fn account_of(
        &self,
        identity: &Identity,
    ) -> Result<Option<(Account, Version)>, StoreError> {
        self.durable_reader
            .read(|connection| account::of_identity(connection, identity))
    }

    async fn account(&self, id: &AccountId) -> Result<Option<(Account, Version)>, StoreError> {
        self.durable_reader
            .read(|connection| record::find(connection, id.as_str()))
    }

    async fn put_account_if_absent(
        &self,
        account: Account,
    ) -> Result<(Account, Version), StoreError> {
        self.durable
            .run(move |connection| record::put_if_absent(connection, &account))
            .await
    }

    async fn replace_account(
        &self,
        account: Account,
        version: Version,
    ) -> Result<Version, StoreError> {
        self.durable
            .run(move |connection| record::replace(connection, &account, version))
            .await
    }

    async fn remove_account(&self, id: &AccountId, version: Version) -> Result<(), StoreError> {
        let id = id.clone();
        self.durable
            .run(move |connection| record::remove::<Account>(connection, id.as_str(), version))
            .await
    }

    async fn list_accounts(
        &self,
        after: Option<&AccountId>,
        limit: usize,
    ) -> Result<Vec<Account>, StoreError> {
        let after = after.map(|id| id.as_str().to_owned());
        self.durable_reader
            .read_much(move |connection| record::list(connection, after.as_deref(), limit))
            .await
    }

    async fn registry_account(
        &self,
        name: &RegistryAccountName,
    ) -> Result<Option<(RegistryAccount, Version)>, StoreError> {
        self.durable_reader
            .read(|connection| record::find(connection, name.as_str()))
    }

    async fn put_registry_account_if_absent(
        &self,
        record: RegistryAccount,
    ) -> Result<(RegistryAccount, Version), StoreError> {
        self.durable
            .run(move |connection| record::put_if_absent(connection, &record))
            .await
    }

    async fn replace_registry_account(
        &self,
        record: RegistryAccount,
        version: Version,
    ) -> Result<Version, StoreError> {
        self.durable
            .run(move |connection| record::replace(connection, &record, version))
            .await
    }

    async fn remove_registry_account(
        &self,
        name: &RegistryAccountName,
        version: Version,
    ) -> Result<(), StoreError> {
        let name = name.clone();
        self.durable
            .run(move |connection| {
                record::remove::<RegistryAccount>(connection, name.as_str(), version)
            })
            .await
    }

    async fn organization(
        &self,
        id: &OrganizationId,
    ) -> Result<Option<(Organization, Version)>, StoreError> {
        self.durable_reader
            .read(|connection| record::find(connection, id.as_str()))
    }

    async fn put_organization_if_absent(
        &self,
        organization: Organization,
    ) -> Result<(Organization, Version), StoreError> {
        self.durable
            .run(move |connection| record::put_if_absent(connection, &organization))
            .await
    }

    async fn replace_organization(
        &self,
        organization: Organization,
        version: Version,
    ) -> Result<Version, StoreError> {
        self.durable
            .run(move |connection| record::replace(connection, &organization, version))
            .await
    }

    async fn remove_organization(
        &self,
        id: &OrganizationId,
        version: Version,
    ) -> Result<(), StoreError> {
        let id = id.clone();
        self.durable
            .run(move |connection| record::remove::<Organization>(connection, id.as_str(), version))
            .await
    }

    async fn list_organizations(
        &self,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<Organization>, StoreError> {
        let after = after.map(|id| id.as_str().to_owned());
        self.durable_reader
            .read_much(move |connection| record::list(connection, after.as_deref(), limit))
            .await
    }

    async fn set_signpost(&self, post: &Signpost, id: &OrganizationId) -> Result<(), StoreError> {
        let (post, id) = (post.clone(), id.clone());
        self.durable
            .run(move |connection| organization::set_signpost(connection, &post, &id))
            .await
    }

    async fn remove_signpost(
        &self,
        post: &Signpost,
        id: &OrganizationId,
    ) -> Result<(), StoreError> {
        let (post, id) = (post.clone(), id.clone());
        self.durable
            .run(move |connection| organization::remove_signpost(connection, &post, &id))
            .await
    }

    async fn organizations_at(
        &self,
        post: &Signpost,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<Organization>, StoreError> {
        let (post, after) = (post.to_string(), after.map(|id| id.as_str().to_owned()));
        let read = move |connection: &Connection| {
            organization::at_signpost(connection, &post, after.as_deref(), limit)
        };
        if limit <= ORGANIZATIONS_AT_ONCE {
            self.durable_reader.read(read)
        } else {
            self.durable_reader.read_much(read).await
        }
    }

    async fn api_key(&self, id: &ApiKeyId) -> Result<Option<(ApiKey, Version)>, StoreError> {
        self.durable_reader
            .read(|connection| record::find(connection, id.as_str()))
    }

    async fn put_api_key_if_absent(&self, key: ApiKey) -> Result<(ApiKey, Version), StoreError> {
        self.durable
            .run(move |connection| record::put_if_absent(connection, &key))
            .await
    }

    async fn replace_api_key(&self, key: ApiKey, version: Version) -> Result<Version, StoreError> {
        self.durable
            .run(move |connection| record::replace(connection, &key, version))
            .await
    }

    async fn remove_api_key(&self, key: &ApiKey, version: Version) -> Result<(), StoreError> {
        let id = key.id.clone();
        self.durable
            .run(move |connection| record::remove::<ApiKey>(connection, id.as_str(), version))
            .await
    }

    async fn list_api_keys(
        &self,
        after: Option<&ApiKeyId>,
        limit: usize,
    ) -> Result<Vec<ApiKey>, StoreError> {
        let after = after.map(|id| id.as_str().to_owned());
        self.durable_reader
            .read_much(move |connection| record::list(connection, after.as_deref(), limit))
            .await
    }

    async fn api_keys_of(
        &self,
        owner: &KeyOwner,
        after: Option<&ApiKeyId>,
        limit: usize,
    ) -> Result<Vec<ApiKey>, StoreError> {
        let (owner, after) = (owner.to_string(), after.map(|id| id.as_str().to_owned()));
        self.durable_reader
            .read_much(move |connection| api_key::of(connection, &owner, after.as_deref(), limit))
            .await
    }

    async fn put_key_if_absent(&self, key: StoredKey) -> Result<StoredKey, StoreError> {
        self.durable
            .run(move |connection| key::put_if_absent(connection, &key))
            .await
    }

    async fn replace_key(
        &self,
        known: &StoredKey,
        material: KeyMaterial,
    ) -> Result<(), StoreError> {
        let known = known.clone();
        self.durable
            .run(move |connection| key::replace(connection, &known, &material))
            .await
    }

    async fn list_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        self.durable_reader.read_much(key::list).await
    }

    async fn put_audit_head(&self, head: &AuditHead) -> Result<(), StoreError> {
        let head = head.clone();
        self.durable
            .run(move |connection| audit::put(connection, &head))
            .await
    }

    async fn audit_heads(&self) -> Result<Vec<AuditHead>, StoreError> {
        self.durable_reader.read_much(audit::list).await
    }

    async fn sweep(&self, now: Timestamp) -> Result<(), StoreError> {
        let sweep = move |connection: &Connection| {
            let [grant, revoked] = grant::OUTLIVED;
            let outlived = [
                (sign_in::OUTLIVED, now),
                (session::OUTLIVED, now),
                (grant, now),
                (revoked, now),
                (once::OUTLIVED, now),
                (bucket::OUTLIVED, now),
                (device::OUTLIVED, now),
                (logout_notice::OUTLIVED, now),
                (ended::OUTLIVED, End::forgotten_before(now)),
                (kept_token::OUTLIVED, now),
            ];
            let mut most = 0;
            for (rows, before) in outlived {
                most = most.max(rows.sweep(connection, before, SWEPT_AT_ONCE)?);
            }
            Ok(most)
        };
        while self.state.run(sweep).await? == SWEPT_AT_ONCE {}
        Ok(())
    }
}
