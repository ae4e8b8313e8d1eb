//! What has ended before its time, in the order in which it was written: each with the end itself.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::row::{Outlived, Place, execute, micros};
use crate::ended::piece;
use crate::{End, EndKind, Ends, FeedPlace, StoreError};

/// `n` may come again once all rows of before are forgotten; a place in the feed holds more than the number.
pub(super) const TABLES: &str = "
    CREATE TABLE ended (
        n    INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,     -- `session`, `grant`, `token` or `organization`
        id   TEXT NOT NULL,
        at   INTEGER NOT NULL,  -- times as in `sign_in`
        UNIQUE (kind, id)
    ) STRICT;
    CREATE INDEX ended_at ON ended (at);
";

/// Ends that no token is good for any more.
pub(super) const OUTLIVED: Outlived = Outlived {
    table: "ended",
    key: "n",
    time: "at",
};

/// Tells of an end, in the transaction that makes it.
pub(super) fn tell(
    connection: &Connection,
    kind: EndKind,
    id: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    const INSERT: &str =
        "INSERT INTO ended (kind, id, at) VALUES (?1, ?2, ?3) ON CONFLICT (kind, id) DO NOTHING";
    execute(connection, INSERT, params![kind.as_str(), id, micros(now)])?;
    Ok(())
}

/// What followed a place in the feed.
pub(super) fn after(
    connection: &Connection,
    place: Option<FeedPlace>,
    limit: usize,
    now: Timestamp,
) -> Result<Ends, StoreError> {
    // The end that the place is behind is read too, and one more than is asked for.
    let from = |number| read(connection, number, limit.saturating_add(2), now);
    if let Some(place) = place
        && let Some(ends) = piece(from(place.number)?, Some(place), limit)
    {
        return Ok(ends);
    }
    Ok(piece(from(i64::MIN)?, None, limit).unwrap_or_else(Ends::none))
}

fn read(
    connection: &Connection,
    from: i64,
    limit: usize,
    now: Timestamp,
) -> Result<Vec<(i64, End)>, StoreError> {
    const READ: &str =
        "SELECT n, kind, id, at FROM ended WHERE n >= ?1 AND at > ?2 ORDER BY n LIMIT ?3";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(READ)?;
    let mut rows = statement.query([from, micros(End::forgotten_before(now)), limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (kind, id): (String, String) = (row.get(1)?, row.get(2)?);
        let unreadable = |what| {
            let table = "ended";
            Place { table, key: &id }.corrupt(what)
        };
        let kind = EndKind::named(&kind).ok_or_else(|| unreadable("it is of no known kind"))?;
        let at = Timestamp::from_microsecond(row.get(3)?);
        let at = at.map_err(|_| unreadable("its time is none"))?;
        found.push((row.get(0)?, End { kind, id, at }));
    }
    Ok(found)
}
