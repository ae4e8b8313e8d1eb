//! Signing and sealing keys, under their names, in one hash.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::link::{Link, reply_at};
use super::names::Names;
use super::reply::{corrupt, from_json, to_json, unexpected};
use super::script::{Call, Script};
use crate::{KeyMaterial, StoreError, StoredKey};

/// A key as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    created_at: Timestamp,
    /// base64.
    material: String,
}

impl Kept {
    fn of(key: &StoredKey, material: &KeyMaterial) -> Self {
        Self {
            created_at: key.created_at,
            material: STANDARD.encode(&material.0),
        }
    }
}

/// Keeps a key, unless there is one of its name, and answers with the one in force.
pub(super) async fn put_if_absent(
    link: &Link,
    names: &Names,
    key: &StoredKey,
) -> Result<StoredKey, StoreError> {
    let kept = Kept::of(key, &key.material);
    let call = Call {
        script: Script::PutKey,
        keys: vec![names.keys()],
        arguments: vec![key.name.clone().into_bytes(), to_json(&kept)?],
    };
    let reply = link.write(call).await?;
    read(names, &key.name, reply.piece(0).ok_or_else(unexpected)?)
}

/// Replaces a key's material, if it is still the known one.
pub(super) async fn replace(
    link: &Link,
    names: &Names,
    known: &StoredKey,
    material: &KeyMaterial,
) -> Result<(), StoreError> {
    let call = Call {
        script: Script::ReplaceKey,
        keys: vec![names.keys()],
        arguments: vec![
            known.name.clone().into_bytes(),
            Kept::of(known, &known.material).material.into_bytes(),
            to_json(&Kept::of(known, material))?,
        ],
    };
    match link.write(call).await?.word() {
        "replaced" => Ok(()),
        "conflict" => Err(StoreError::Conflict),
        _ => Err(unexpected()),
    }
}

/// All keys, in the order of their names.
pub(super) async fn list(link: &Link, names: &Names) -> Result<Vec<StoredKey>, StoreError> {
    let mut question = redis::pipe();
    question.cmd("HGETALL").arg(names.keys());
    let mut answers = link.read(&names.keys(), question).await?;
    let reply = reply_at(&mut answers, 0)?;
    let mut keys = Vec::new();
    for pair in reply.0.chunks(2) {
        let [Some(name), Some(json)] = pair else {
            return Err(unexpected());
        };
        let not_text = |_| corrupt(&names.keys(), "a name is not text");
        let name = std::str::from_utf8(name).map_err(not_text)?;
        keys.push(read(names, name, json)?);
    }
    keys.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(keys)
}

fn read(names: &Names, name: &str, json: &[u8]) -> Result<StoredKey, StoreError> {
    let kept: Kept = from_json(&names.keys(), json)?;
    let material = STANDARD
        .decode(kept.material)
        .map_err(|_| corrupt(&names.keys(), &format!("`{name}` is not base64")))?;
    Ok(StoredKey {
        name: name.to_owned(),
        created_at: kept.created_at,
        material: KeyMaterial(material),
    })
}
