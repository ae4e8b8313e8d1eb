//! Accounts, and the identities that lead to them.

use countersign_core::{AccountId, Identity};
use rusqlite::{Connection, Row, params};

use super::row::{Place, account_id, execute, from_json, to_json};
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
    find(connection, FIND, &identity.to_string())
}

/// The account of that id.
pub(super) fn by_id(
    connection: &Connection,
    id: &AccountId,
) -> Result<Option<(Account, Version)>, StoreError> {
    const FIND: &str = "SELECT id, version, record FROM account WHERE id = ?1";
    find(connection, FIND, id.as_str())
}

/// Writes a first record, unless there is one, and answers with the one in force.
pub(super) fn put_if_absent(
    connection: &Connection,
    account: &Account,
) -> Result<(Account, Version), StoreError> {
    const PUT: &str = "INSERT INTO account (id, version, record) VALUES (?1, 1, ?2) \
        ON CONFLICT (id) DO NOTHING";
    let record = to_json(account)?;
    if execute(connection, PUT, params![account.id.as_str(), record])? == 1 {
        return Ok((account.clone(), Version(1)));
    }
    let place = Place {
        table: "account",
        key: account.id.as_str(),
    };
    by_id(connection, &account.id)?.ok_or_else(|| place.corrupt("it is there and can't be found"))
}

/// Replaces a record that still has `version`.
pub(super) fn replace(
    connection: &Connection,
    account: &Account,
    version: Version,
) -> Result<Version, StoreError> {
    const REPLACE: &str =
        "UPDATE account SET record = ?1, version = ?2 WHERE id = ?3 AND version = ?4";
    // A version that SQLite can't hold was never given out, so no record has it.
    let old = i64::try_from(version.0).map_err(|_| StoreError::Conflict)?;
    let new = old.checked_add(1).ok_or(StoreError::Conflict)?;
    let record = to_json(account)?;
    match execute(
        connection,
        REPLACE,
        params![record, new, account.id.as_str(), old],
    )? {
        0 => Err(StoreError::Conflict),
        _ => Ok(Version(version.0 + 1)),
    }
}

/// Accounts in the order of their ids, after `after`.
pub(super) fn list(
    connection: &Connection,
    after: Option<&AccountId>,
    limit: usize,
) -> Result<Vec<Account>, StoreError> {
    // No id is empty, so all come after the empty text.
    const LIST: &str = "SELECT id, version, record FROM account WHERE id > ?1 ORDER BY id LIMIT ?2";
    let after = after.map_or("", AccountId::as_str);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(LIST)?;
    let mut rows = statement.query(params![after, limit])?;
    let mut accounts = Vec::new();
    while let Some(row) = rows.next()? {
        accounts.push(read(row)?.0);
    }
    Ok(accounts)
}

fn find(
    connection: &Connection,
    sql: &str,
    key: &str,
) -> Result<Option<(Account, Version)>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([key])?;
    rows.next()?.map(read).transpose()
}

/// Reads a row of `id, version, record`.
fn read(row: &Row<'_>) -> Result<(Account, Version), StoreError> {
    let id: String = row.get(0)?;
    let place = Place {
        table: "account",
        key: &id,
    };
    let version = u64::try_from(row.get::<_, i64>(1)?)
        .map_err(|_| place.corrupt("its version is negative"))?;
    let account: Account = from_json(place, row.get_ref(2)?)?;
    if account.id.as_str() == id {
        Ok((account, Version(version)))
    } else {
        Err(place.corrupt("it is the record of another account"))
    }
}
