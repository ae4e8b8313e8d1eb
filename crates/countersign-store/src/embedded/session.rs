//! What becomes of a session besides refreshing: it is handed to further clients, and found by whose it is.

use std::collections::BTreeSet;

use countersign_core::{AccountId, ClientId, SessionId};
use jiff::Timestamp;
use rusqlite::{Connection, Params, Row, params};

use super::row::{Outlived, Place, execute, micros, to_json};
use super::sign_in;
use crate::{FurtherCode, LiveSession, ProviderSession, SESSIONS_AT_ONCE, Session, StoreError};

/// A session of before these columns is found by its name only.
pub(super) const TABLES: &str = "
    ALTER TABLE sign_in ADD COLUMN account_id TEXT;
    ALTER TABLE sign_in ADD COLUMN provider_session TEXT;  -- the provider's name and its `sid`
    ALTER TABLE sign_in ADD COLUMN client_id TEXT;         -- of the first code
    CREATE INDEX sign_in_account_id ON sign_in (account_id) WHERE account_id IS NOT NULL;
    CREATE INDEX sign_in_provider_session ON sign_in (provider_session) WHERE provider_session IS NOT NULL;
    CREATE TABLE further_code (
        session_id      TEXT NOT NULL,
        code_digest     BLOB NOT NULL,     -- this and the rest as in `sign_in`
        code            TEXT,
        code_expires_at INTEGER NOT NULL,
        client_id       TEXT NOT NULL,
        forget_at       INTEGER NOT NULL,  -- the end of its session: until then a replay is known for one
        PRIMARY KEY (session_id, code_digest)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX further_code_forget_at ON further_code (forget_at);
";

/// Further codes whose session is over.
pub(super) const OUTLIVED: Outlived = Outlived {
    table: "further_code",
    key: "(session_id, code_digest)",
    time: "forget_at",
};

/// Behind a session that was listed, in the order of their rows, the latest first; from the beginning where that has been
/// forgotten meanwhile.
const BEHIND: &str = "n < COALESCE((SELECT n FROM sign_in WHERE session_id = ?3), 9223372036854775807) \
    ORDER BY n DESC LIMIT ?4";

/// Keeps one more code of a live session.
pub(super) fn hand_over(
    connection: &Connection,
    further: &FurtherCode,
    now: Timestamp,
) -> Result<bool, StoreError> {
    const INSERT: &str = "INSERT INTO further_code \
        (session_id, code_digest, code, code_expires_at, client_id, forget_at) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let FurtherCode {
        digest,
        code,
        idle_until,
    } = further;
    let Some(session) = sign_in::session(connection, &digest.session, now)? else {
        return Ok(false);
    };
    let parameters = params![
        session.id.as_str(),
        digest.digest,
        to_json(code)?,
        micros(code.expires_at),
        code.client.as_str(),
        micros(session.expires_at.max(code.expires_at)),
    ];
    execute(connection, INSERT, parameters)?;
    sign_in::keep(
        connection,
        &session.id,
        (*idle_until).min(session.expires_at),
    )?;
    Ok(true)
}

/// Keeps a live session in use.
pub(super) fn keep_in_use(
    connection: &Connection,
    id: &SessionId,
    idle_until: Timestamp,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(session) = sign_in::session(connection, id, now)? else {
        return Ok(false);
    };
    sign_in::keep(connection, id, idle_until.min(session.expires_at))?;
    Ok(true)
}

/// The live sessions of an account.
pub(super) fn of_account(
    connection: &Connection,
    account: &AccountId,
    after: Option<&SessionId>,
    now: Timestamp,
) -> Result<Vec<LiveSession>, StoreError> {
    let find = format!(
        "SELECT session_id, session, session_expires_at FROM sign_in \
        WHERE account_id = ?1 AND session IS NOT NULL AND session_expires_at > ?2 AND {BEHIND}"
    );
    let mut statement = connection.prepare_cached(&find)?;
    let mut rows = statement.query(page(account.as_str(), after, now))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let session = read(row)?;
        found.push(LiveSession {
            clients: clients(connection, &session.id)?,
            ends_at: Timestamp::from_microsecond(row.get(2)?).unwrap_or(session.expires_at),
            session,
        });
    }
    Ok(found)
}

/// The live sessions that rest on a provider's.
pub(super) fn resting_on(
    connection: &Connection,
    provider_session: &ProviderSession,
    after: Option<&SessionId>,
    now: Timestamp,
) -> Result<Vec<Session>, StoreError> {
    let find = format!(
        "SELECT session_id, session FROM sign_in \
        WHERE provider_session = ?1 AND session IS NOT NULL AND session_expires_at > ?2 AND {BEHIND}"
    );
    let mut statement = connection.prepare_cached(&find)?;
    let mut rows = statement.query(page(&provider_session.to_string(), after, now))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// The parameters of a page.
fn page(of: &str, after: Option<&SessionId>, now: Timestamp) -> impl Params {
    let limit = i64::try_from(SESSIONS_AT_ONCE).unwrap_or(i64::MAX);
    let after = after.map(|after| after.as_str().to_owned());
    (of.to_owned(), micros(now), after, limit)
}

/// The clients that a session was handed to.
pub(super) fn clients(
    connection: &Connection,
    session: &SessionId,
) -> Result<BTreeSet<ClientId>, StoreError> {
    const FIND: &str = "SELECT client_id FROM sign_in WHERE session_id = ?1 AND client_id IS NOT NULL \
        UNION SELECT client_id FROM further_code WHERE session_id = ?1";
    let mut statement = connection.prepare_cached(FIND)?;
    let mut rows = statement.query([session.as_str()])?;
    let mut clients = BTreeSet::new();
    while let Some(row) = rows.next()? {
        let client = ClientId::new(row.get::<_, String>(0)?);
        clients.insert(client.map_err(|error| place(session).corrupt(&error.to_string()))?);
    }
    Ok(clients)
}

fn read(row: &Row<'_>) -> Result<Session, StoreError> {
    let id: String = row.get(0)?;
    let id = SessionId::new(id).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    sign_in::read_session(&id, row.get_ref(1)?)
}

fn place(session: &SessionId) -> Place<'_> {
    Place {
        table: "further_code",
        key: session.as_str(),
    }
}
