//! How far audit logs were written.

use rusqlite::{Connection, Row, params};

use super::row::{Place, execute};
use crate::{AuditHead, HEADS_KEPT, ReplicaId, StoreError};

pub(super) const TABLES: &str = "
    CREATE TABLE audit_head (
        replica TEXT NOT NULL,
        n       INTEGER NOT NULL,    -- of the line
        hash    TEXT NOT NULL,       -- of the line, hexadecimal
        time    TEXT NOT NULL,       -- in the line, RFC 3339
        PRIMARY KEY (replica, n)
    ) STRICT, WITHOUT ROWID;
";

/// Keeps a head; one that is there already stays, and another in its place is a conflict.
pub(super) fn put(connection: &Connection, head: &AuditHead) -> Result<(), StoreError> {
    const PUT: &str = "INSERT INTO audit_head (replica, n, hash, time) VALUES (?1, ?2, ?3, ?4) \
        ON CONFLICT (replica, n) DO NOTHING";
    const IS_THERE: &str =
        "SELECT count(*) > 0 FROM audit_head WHERE replica = ?1 AND n = ?2 AND hash = ?3";
    let replica = head.replica.as_str();
    let n = i64::try_from(head.n).map_err(|_| StoreError::Conflict)?;
    let hash = head.hash.to_string();
    let put = params![replica, n, hash, head.time.to_string()];
    if execute(connection, PUT, put)? == 1 {
        return forget_old(connection, &head.replica);
    }
    let mut statement = connection.prepare_cached(IS_THERE)?;
    let is_there: bool = statement.query_row(params![replica, n, hash], |row| row.get(0))?;
    is_there.then_some(()).ok_or(StoreError::Conflict)
}

fn forget_old(connection: &Connection, replica: &ReplicaId) -> Result<(), StoreError> {
    const FORGET: &str = "DELETE FROM audit_head WHERE replica = ?1 AND n <= \
        (SELECT n FROM audit_head WHERE replica = ?1 ORDER BY n DESC LIMIT 1 OFFSET ?2)";
    let kept = i64::try_from(HEADS_KEPT).unwrap_or(i64::MAX);
    execute(connection, FORGET, params![replica.as_str(), kept])?;
    Ok(())
}

/// All heads, by replica and number.
pub(super) fn list(connection: &Connection) -> Result<Vec<AuditHead>, StoreError> {
    const LIST: &str = "SELECT replica, n, hash, time FROM audit_head ORDER BY replica, n";
    let mut statement = connection.prepare_cached(LIST)?;
    let mut rows = statement.query([])?;
    let mut heads = Vec::new();
    while let Some(row) = rows.next()? {
        heads.push(read(row)?);
    }
    Ok(heads)
}

fn read(row: &Row<'_>) -> Result<AuditHead, StoreError> {
    let (replica, n): (String, i64) = (row.get(0)?, row.get(1)?);
    let (hash, time): (String, String) = (row.get(2)?, row.get(3)?);
    let place = Place {
        table: "audit_head",
        key: &replica,
    };
    Ok(AuditHead {
        n: u64::try_from(n).map_err(|_| place.corrupt("its number is none"))?,
        hash: hash
            .parse()
            .map_err(|_| place.corrupt("its hash is none"))?,
        time: time
            .parse()
            .map_err(|_| place.corrupt("its time is none"))?,
        replica: ReplicaId::new(replica.as_str())
            .map_err(|_| place.corrupt("its replica's name is none"))?,
    })
}
