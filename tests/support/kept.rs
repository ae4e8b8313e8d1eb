//! What a store really holds, field by field: each test notes it when its store goes, and once all have run it is compared with
//! what `countersign privacy report` lists.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use countersign_store::kept::{Holds, REDIS};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::redis::RedisServer;

/// Where the fields are gathered, a line for each.
pub fn gathered_at() -> PathBuf {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    target.join("kept-fields.txt")
}

/// Notes what a data directory holds.
pub fn note_files(data: &Path) {
    write(&of_files(data));
}

/// What a data directory holds: `TABLE.COLUMN`, and behind it where in its JSON.
pub fn of_files(data: &Path) -> BTreeSet<String> {
    let mut fields = BTreeSet::new();
    for database in ["state.db", "durable.db"] {
        // A test may have broken it on purpose.
        let _ = of_database(&data.join(database), &mut fields);
    }
    fields
}

fn of_database(file: &Path, fields: &mut BTreeSet<String>) -> rusqlite::Result<()> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut tables = connection.prepare(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    )?;
    let tables: Vec<String> = tables
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for table in tables {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table} LIMIT 2000"))?;
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            for (place, column) in columns.iter().enumerate() {
                let field = format!("{table}.{column}");
                match row.get_ref(place)? {
                    ValueRef::Null => {}
                    ValueRef::Text(text) => note_text(&field, text, fields),
                    _ => {
                        fields.insert(field);
                    }
                }
            }
        }
    }
    Ok(())
}

/// All keys, each as what it is of, the field in it, and its value.
const EVERYTHING: &str = "
local all = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  if kind == 'hash' then
    local pairs = redis.call('HGETALL', key)
    for n = 1, #pairs, 2 do all[#all + 1] = {key, pairs[n], pairs[n + 1]} end
  else
    all[#all + 1] = {key, '', ''}
  end
  if #all > 20000 then break end
end
return cjson.encode(all)";

/// Notes what a Redis holds: `redis KIND.FIELD`, and behind it where in its JSON.
pub fn note_redis(server: &RedisServer) {
    let said = server.ask(&["EVAL", EVERYTHING, "0"]);
    let Ok(all) = serde_json::from_str::<Vec<[String; 3]>>(said.trim()) else {
        return; // dead, or it lets nobody ask
    };
    let mut fields = BTreeSet::new();
    for [key, field, value] in all {
        // `PREFIX:KIND:…`, where tests have a prefix each, of one part or two; a field may have a name of its own behind a colon.
        let mut parts = key.split([':', '{', '}']).filter(|part| !part.is_empty());
        let kind = parts.clone().find(|part| is_kind(part));
        let Some(kind) = kind.or(parts.nth(1)) else {
            continue; // a test's own
        };
        let field = field.split(':').next().unwrap_or_default();
        let is_value = |at: &str| {
            let mut places = REDIS.iter().filter(|place| place.at == at);
            places.any(|place| matches!(place.holds, Holds::Value(..)))
        };
        let at = format!("{kind}.{field}");
        if field.is_empty() || is_value(kind) {
            fields.insert(format!("redis {kind}"));
        } else if value.is_empty() && is_value(&at) {
            fields.insert(format!("redis {at}")); // its name is all that it says
        } else {
            note_text(&format!("redis {at}"), value.as_bytes(), &mut fields);
        }
    }
    write(&fields);
}

fn is_kind(part: &str) -> bool {
    let mut kinds = REDIS.iter().filter_map(|place| place.at.split('.').next());
    kinds.any(|kind| kind == part)
}

fn note_text(field: &str, text: &[u8], fields: &mut BTreeSet<String>) {
    if text.is_empty() {
        return; // what was there has ended
    }
    match serde_json::from_slice(text) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => note_value(field, &value, fields),
        Ok(_) | Err(_) => {
            fields.insert(field.to_owned());
        }
    }
}

fn note_value(field: &str, value: &Value, fields: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                note_value(&format!("{field}.{name}"), value, fields);
            }
        }
        Value::Array(items) => {
            for item in items {
                note_value(field, item, fields);
            }
        }
        Value::Null => {}
        _ => {
            fields.insert(field.to_owned());
        }
    }
}

fn write(fields: &BTreeSet<String>) {
    let text: String = fields
        .iter()
        .flat_map(|field| [field.as_str(), "\n"])
        .collect();
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(gathered_at());
    // One write, so that tests at the same time do not mix their lines.
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.expect("a file beside the build");
}
