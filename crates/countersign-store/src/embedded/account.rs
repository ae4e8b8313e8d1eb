//! Accounts, and the identities that lead to them.

use countersign_core::{AccountId, Identity};
use rusqlite::Connection;

use super::record::{self, Record};
use super::row::{Place, account_id, execute};
use crate::{Account, StoreError, Version};

pub(super) const TABLES: &str = "
    CREATE TABLE identity (
        identity TEXT PRIMARY KEY,   -- as `Identity` prints
        account  TEXT NOT NULL       -- an account id, claimed before its record is written
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE account (
        id      TEXT PRIMARY KEY,
        version INTEGER NOT NULL,    -- how often the record was written
        record  TEXT NOT NULL        -- JSON
    ) STRICT;
";

impl Record for Account {
    const TABLE: &'static str = "account";
    const KEY: &'static str = "id";

    fn key(&self) -> &str {
        self.id.as_str()
    }
}

/// The account of an identity: `fresh`, if nobody was earlier.
pub(super) fn claim(
    connection: &Connection,
    identity: &str,
    fresh: &AccountId,
) -> Result<AccountId, StoreError> {
    const CLAIM: &str = "INSERT INTO identity (identity, account) VALUES (?1, ?2) \
        ON CONFLICT (identity) DO NOTHING";
    const FIND: &str = "SELECT account FROM identity WHERE identity = ?1";
    if execute(connection, CLAIM, [identity, fresh.as_str()])? == 1 {
        return Ok(fresh.clone());
    }
    let place = Place {
        table: "identity",
        key: identity,
    };
    let mut statement = connection.prepare_cached(FIND)?;
    let mut rows = statement.query([identity])?;
    match rows.next()? {
        Some(row) => account_id(place, row.get_ref(0)?),
        None => Err(place.corrupt("it is there and can't be found")),
    }
}

/// Lets an identity lead nowhere, if it leads to this account.
pub(super) fn release(
    connection: &Connection,
    identity: &str,
    account: &AccountId,
) -> Result<(), StoreError> {
    const RELEASE: &str = "DELETE FROM identity WHERE identity = ?1 AND account = ?2";
    execute(connection, RELEASE, [identity, account.as_str()])?;
    Ok(())
}

/// The account that an identity leads to.
pub(super) fn of_identity(
    connection: &Connection,
    identity: &Identity,
) -> Result<Option<(Account, Version)>, StoreError> {
    const FIND: &str = "SELECT account.id, version, record \
        FROM identity JOIN account ON account.id = identity.account WHERE identity = ?1";
    let found: Option<(Account, Version)> =
        record::find_by(connection, FIND, &identity.to_string())?;
    Ok(found.filter(|(account, _)| account.lists(identity)))
}
