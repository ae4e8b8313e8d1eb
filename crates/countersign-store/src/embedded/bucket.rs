//! What is counted, so that not too much of it happens: one number for each bucket.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::row::{Outlived, Place, execute, micros};
use crate::{Bucket, Rate, Spent, StoreError};

pub(super) const TABLES: &str = "
    CREATE TABLE bucket (
        key     BLOB PRIMARY KEY,
        paid_at INTEGER NOT NULL   -- when nothing is left of what was counted; times as in `sign_in`
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX bucket_paid_at ON bucket (paid_at);
";

/// Buckets of which nothing is left.
pub(super) const OUTLIVED: Outlived = Outlived {
    table: "bucket",
    key: "key",
    time: "paid_at",
};

/// Counts one more, if there is room for it.
pub(super) fn spend(
    connection: &Connection,
    bucket: &Bucket,
    rate: Rate,
    now: Timestamp,
) -> Result<Spent, StoreError> {
    const FIND: &str = "SELECT paid_at FROM bucket WHERE key = ?1";
    const KEEP: &str = "INSERT INTO bucket (key, paid_at) VALUES (?1, ?2) \
        ON CONFLICT (key) DO UPDATE SET paid_at = ?2";
    let mut statement = connection.prepare_cached(FIND)?;
    let paid_at: Option<i64> = statement
        .query_row([bucket.0], |row| row.get(0))
        .optional()?;
    match rate.spend(paid_at.unwrap_or_default(), micros(now)) {
        Ok(paid_at) => {
            execute(connection, KEEP, params![bucket.0, paid_at])?;
            Ok(Spent::Within)
        }
        Err(then) => {
            let until = Timestamp::from_microsecond(then);
            let until = until.map_err(|_| place().corrupt("its time is none"))?;
            Ok(Spent::Over { until })
        }
    }
}

fn place() -> Place<'static> {
    Place {
        table: "bucket",
        key: "one",
    }
}
