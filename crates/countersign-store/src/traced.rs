//! A store each of whose operations is a span, for operators who collect traces.
//!
//! The span has the name of the operation and how it failed, if it did: no key, no record, no id.

use std::sync::Arc;

use async_trait::async_trait;
use countersign_core::{AccountId, GrantId, Identity, SessionId};
use jiff::Timestamp;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

use crate::{
    Account, Bucket, CodeDigest, DeviceAnswer, DeviceRequest, DeviceRequestId, FurtherCode, Grace,
    Grant, IssuedToken, KeyMaterial, LiveGrant, LiveSession, LogoutNotice, Once, Opening,
    ProviderSession, Rate, RegistryAccount, RegistryAccountName, Rotated, Seen, Session, Spent,
    Store, StoreError, StoredKey, TakenCode, Version,
};

/// A store each of whose operations is a span.
#[derive(Debug)]
pub struct Traced(pub Arc<dyn Store>);

/// Each operation is that of the store within, inside a span: written once, not thirty times.
macro_rules! operations {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl Store for Traced {
            $(
                async fn $name(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                    let span = info_span!(
                        target: "traces",
                        "store",
                        otel.kind = "client",
                        otel.name = stringify!($name),
                        otel.status_code = Empty,
                        db.operation.name = stringify!($name),
                        error.type = Empty,
                    );
                    let done = self.0.$name($($argument),*).instrument(span.clone()).await;
                    note(done.as_ref().err(), &span);
                    done
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
    sessions_of(account: &AccountId, now: Timestamp) -> Vec<LiveSession>;
    sessions_resting_on(provider_session: &ProviderSession, now: Timestamp) -> Vec<Session>;
    end_session(id: &SessionId, now: Timestamp) -> ();
    take_notices(limit: usize, again: Timestamp, now: Timestamp) -> Vec<LogoutNotice>;
    postpone_notice(notice: &LogoutNotice, until: Timestamp) -> ();
    settle_notice(notice: &LogoutNotice) -> ();
    open_grant(grant: Grant) -> ();
    grant(session: &SessionId, grant: &GrantId, now: Timestamp) -> Option<LiveGrant>;
    rotate(session: &SessionId, grant: &GrantId, presented: u32, grace: Grace, now: Timestamp) -> Rotated;
    end_grant(session: &SessionId, grant: &GrantId) -> ();
    revoke_token(token: IssuedToken) -> ();
    session_of_token(token: &IssuedToken, now: Timestamp) -> Option<Session>;
    open_device_request(id: &DeviceRequestId, request: DeviceRequest, now: Timestamp) -> ();
    device_request(id: &DeviceRequestId, now: Timestamp) -> Option<(DeviceRequest, Option<DeviceAnswer>)>;
    answer_device_request(id: &DeviceRequestId, answer: DeviceAnswer, now: Timestamp) -> bool;
    remember(key: &Once, until: Timestamp, now: Timestamp) -> Seen;
    is_remembered(key: &Once, now: Timestamp) -> bool;
    spend(bucket: &Bucket, rate: Rate, now: Timestamp) -> Spent;
    claim_identity(identity: &Identity, fresh: AccountId) -> AccountId;
    account_of(identity: &Identity) -> Option<(Account, Version)>;
    account(id: &AccountId) -> Option<(Account, Version)>;
    put_account_if_absent(account: Account) -> (Account, Version);
    replace_account(account: Account, version: Version) -> Version;
    list_accounts(after: Option<&AccountId>, limit: usize) -> Vec<Account>;
    registry_account(name: &RegistryAccountName) -> Option<(RegistryAccount, Version)>;
    put_registry_account_if_absent(record: RegistryAccount) -> (RegistryAccount, Version);
    replace_registry_account(record: RegistryAccount, version: Version) -> Version;
    put_key_if_absent(key: StoredKey) -> StoredKey;
    replace_key(known: &StoredKey, material: KeyMaterial) -> ();
    list_keys() -> Vec<StoredKey>;
    sweep(now: Timestamp) -> ();
}

/// That somebody else was first is an answer, and no failure.
fn note(error: Option<&StoreError>, span: &Span) {
    let (kind, is_failure) = match error {
        None => return,
        Some(StoreError::AttemptSpent) => ("attempt-spent", false),
        Some(StoreError::Conflict) => ("conflict", false),
        Some(StoreError::Corrupt(_)) => ("corrupt", true),
        Some(StoreError::Unavailable(_)) => ("unavailable", true),
    };
    span.record("error.type", kind);
    if is_failure {
        span.record("otel.status_code", "ERROR");
    }
}
