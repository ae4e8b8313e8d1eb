//! What clients may go on refreshing, and the access tokens that were revoked before their end.

use countersign_core::{GrantId, SessionId};
use jiff::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};

use super::row::{Outlived, Place, execute, from_json, micros, to_json};
use super::{ended, sign_in};
use crate::{EndKind, Ended, Grace, Grant, IssuedToken, LiveGrant, Rotated, Session, StoreError};

pub(super) const TABLES: &str = "
    CREATE TABLE client_grant (
        grant_id     TEXT PRIMARY KEY,
        session_id   TEXT NOT NULL,
        client_grant TEXT,              -- JSON; null once ended
        generation   INTEGER NOT NULL,  -- which refresh token is good: 0 is the first
        spent        INTEGER,           -- the one that was presented for it; null before any was
        spent_at     INTEGER,           -- when that was presented first; times as in `sign_in`
        rotated_at   INTEGER,           -- and when last
        forget_at    INTEGER NOT NULL   -- the end of its session
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX client_grant_forget_at ON client_grant (forget_at);
    CREATE TABLE revoked_token (
        jti        TEXT PRIMARY KEY,
        session_id TEXT NOT NULL,
        forget_at  INTEGER NOT NULL     -- the end of the token
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX revoked_token_forget_at ON revoked_token (forget_at);
";

/// Grants and revocations of which nothing is needed any more.
pub(super) const OUTLIVED: [Outlived; 2] = [
    Outlived {
        table: "client_grant",
        key: "grant_id",
        time: "forget_at",
    },
    Outlived {
        table: "revoked_token",
        key: "jti",
        time: "forget_at",
    },
];

/// Keeps a grant with its first refresh token.
pub(super) fn open(connection: &Connection, grant: &Grant) -> Result<(), StoreError> {
    const INSERT: &str = "INSERT INTO client_grant (grant_id, session_id, client_grant, generation, forget_at) \
        VALUES (?1, ?2, ?3, 0, ?4) ON CONFLICT (grant_id) DO NOTHING";
    let forget_at = micros(grant.expires_at);
    let written = execute(
        connection,
        INSERT,
        params![
            grant.id.as_str(),
            grant.session.as_str(),
            to_json(grant)?,
            forget_at
        ],
    )?;
    match written {
        0 => Err(StoreError::Conflict),
        _ => Ok(()),
    }
}

/// A live grant of a live session.
pub(super) fn find(
    connection: &Connection,
    session: &SessionId,
    grant: &GrantId,
    now: Timestamp,
) -> Result<Option<LiveGrant>, StoreError> {
    Ok(find_row(connection, session, grant, now)?.map(|row| row.live))
}

/// A live grant, with what is known of its refresh tokens.
struct Row {
    live: LiveGrant,
    /// Which was presented last, when first and when last.
    spent: Option<(u32, i64, i64)>,
}

fn find_row(
    connection: &Connection,
    session: &SessionId,
    grant: &GrantId,
    now: Timestamp,
) -> Result<Option<Row>, StoreError> {
    const FIND: &str = "SELECT client_grant, generation, spent, spent_at, rotated_at FROM client_grant \
        WHERE grant_id = ?1 AND session_id = ?2 AND client_grant IS NOT NULL AND forget_at > ?3";
    let Some(session) = sign_in::session(connection, session, now)? else {
        return Ok(None);
    };
    let mut statement = connection.prepare_cached(FIND)?;
    let parameters = params![grant.as_str(), session.id.as_str(), micros(now)];
    let mut rows = statement.query(parameters)?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let spent: Option<u32> = row.get(2)?;
    let times: (Option<i64>, Option<i64>) = (row.get(3)?, row.get(4)?);
    Ok(Some(Row {
        live: LiveGrant {
            grant: read(grant, row.get_ref(0)?)?,
            session,
            good: row.get(1)?,
            presented: spent,
        },
        spent: match (spent, times) {
            (Some(spent), (Some(first), Some(last))) => Some((spent, first, last)),
            _ => None,
        },
    }))
}

/// Makes the next refresh token of a grant the good one, if this one may be presented.
pub(super) fn rotate(
    connection: &Connection,
    (session, grant): (&SessionId, &GrantId),
    presented: u32,
    grace: Grace,
    now: Timestamp,
) -> Result<Rotated, StoreError> {
    const ROTATE: &str = "UPDATE client_grant \
        SET generation = ?2, spent = ?3, spent_at = ?4, rotated_at = ?5 WHERE grant_id = ?1";
    let Some(row) = find_row(connection, session, grant, now)? else {
        return Ok(Rotated::Unknown);
    };
    let first_presented_at = match row.standing(presented, grace, now) {
        Standing::Good => micros(now),
        Standing::MaybeLost(first) => first,
        Standing::JustSpent => return Ok(Rotated::TooSoon),
        // Only where a power cut took what was written last.
        Standing::NeverIssued => {
            end(connection, session, grant, now)?;
            return Ok(Rotated::NeverIssued);
        }
        Standing::Spent => {
            end(connection, session, grant, now)?;
            return Ok(Rotated::Reused);
        }
    };
    let next = row.live.good + 1;
    let times = (first_presented_at, micros(now));
    let parameters = params![grant.as_str(), next, presented, times.0, times.1];
    execute(connection, ROTATE, parameters)?;
    let idle_until = now.saturating_add(grace.idle).unwrap_or(Timestamp::MAX);
    sign_in::keep(
        connection,
        session,
        idle_until.min(row.live.grant.expires_at),
    )?;
    Ok(Rotated::Next(next))
}

/// What a refresh token that is presented has been through.
enum Standing {
    Good,
    /// Its answer may have been lost; when it was presented first.
    MaybeLost(i64),
    JustSpent,
    Spent,
    NeverIssued,
}

impl Row {
    fn standing(&self, presented: u32, grace: Grace, now: Timestamp) -> Standing {
        let before = |length| micros(now.saturating_sub(length).unwrap_or(Timestamp::MIN));
        match self.spent {
            _ if presented == self.live.good => Standing::Good,
            _ if presented > self.live.good => Standing::NeverIssued,
            Some((spent, _, last)) if spent == presented && last > before(grace.busy) => {
                Standing::JustSpent
            }
            Some((spent, first, _)) if spent == presented && first > before(grace.lost) => {
                Standing::MaybeLost(first)
            }
            Some(_) | None => Standing::Spent,
        }
    }
}

/// Ends a grant, if it is there.
pub(super) fn end(
    connection: &Connection,
    session: &SessionId,
    grant: &GrantId,
    now: Timestamp,
) -> Result<Ended, StoreError> {
    const END: &str = "UPDATE client_grant SET client_grant = NULL \
        WHERE grant_id = ?1 AND session_id = ?2 AND client_grant IS NOT NULL";
    let ended = Ended::unless_over(&find(connection, session, grant, now));
    if execute(connection, END, [grant.as_str(), session.as_str()])? > 0 {
        ended::tell(connection, EndKind::Grant, grant.as_str(), now)?;
    }
    Ok(ended)
}

/// Ends an access token before its time.
pub(super) fn revoke(
    connection: &Connection,
    token: &IssuedToken,
    now: Timestamp,
) -> Result<Ended, StoreError> {
    const INSERT: &str = "INSERT INTO revoked_token (jti, session_id, forget_at) VALUES (?1, ?2, ?3) \
        ON CONFLICT (jti) DO NOTHING";
    let ended = Ended::unless_over(&session_of(connection, token, now));
    let forget_at = micros(token.expires_at);
    let parameters = params![token.jti, token.session.as_str(), forget_at];
    if execute(connection, INSERT, parameters)? > 0 {
        ended::tell(connection, EndKind::Token, &token.jti, now)?;
    }
    Ok(ended)
}

/// The session behind an access token that nobody has ended.
pub(super) fn session_of(
    connection: &Connection,
    token: &IssuedToken,
    now: Timestamp,
) -> Result<Option<Session>, StoreError> {
    const REVOKED: &str = "SELECT 1 FROM revoked_token WHERE jti = ?1 AND session_id = ?2";
    let parameters = [token.jti.as_str(), token.session.as_str()];
    let mut statement = connection.prepare_cached(REVOKED)?;
    let is_revoked = statement
        .query_row(parameters, |_| Ok(()))
        .optional()?
        .is_some();
    if is_revoked || now >= token.expires_at {
        return Ok(None);
    }
    match &token.grant {
        None => sign_in::session(connection, &token.session, now),
        Some(grant) => {
            let found = find(connection, &token.session, grant, now)?;
            Ok(found.map(|found| found.session))
        }
    }
}

fn read(id: &GrantId, column: ValueRef<'_>) -> Result<Grant, StoreError> {
    let place = Place {
        table: "client_grant",
        key: id.as_str(),
    };
    let grant: Grant = from_json(place, column)?;
    if grant.id == *id {
        Ok(grant)
    } else {
        Err(place.corrupt("it is the record of another grant"))
    }
}
