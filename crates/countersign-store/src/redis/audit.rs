//! How far audit logs were written: one sorted set of `REPLICA NUMBER HASH TIME`, in the order of these words. What
//! ends a name sorts before all that can stand in one, so that is the order of names and numbers.

use super::link::Link;
use super::names::Names;
use super::record;
use super::reply::{corrupt, unexpected};
use super::script::{Call, Script};
use crate::{AuditHead, HEADS_KEPT, ReplicaId, StoreError};

/// How many are asked for at once: of a machine whose chains are gone they stay, so there may be many, and each
/// answer must come within its time.
const PAGE: usize = 1000;

/// Keeps a head; one that is there already stays, and another in its place is a conflict.
pub(super) async fn put(link: &Link, names: &Names, head: &AuditHead) -> Result<(), StoreError> {
    // Padded, so that the order of the words is that of the numbers.
    let place = format!("{} {:020} ", head.replica, head.n);
    let call = Call {
        script: Script::PutHead,
        keys: vec![names.audit_heads()],
        arguments: vec![
            format!("{place}{} {}", head.hash, head.time).into_bytes(),
            place.into_bytes(),
            format!("{} ", head.replica).into_bytes(),
            HEADS_KEPT.to_string().into_bytes(),
        ],
    };
    match link.write(call).await?.word() {
        "put" => Ok(()),
        "conflict" => Err(StoreError::Conflict),
        _ => Err(unexpected()),
    }
}

/// All heads, by replica and number.
pub(super) async fn list(link: &Link, names: &Names) -> Result<Vec<AuditHead>, StoreError> {
    let key = names.audit_heads();
    let none = || corrupt(&key, "a head is none");
    let mut heads = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = record::names_in(link, &key, after.as_deref(), PAGE).await?;
        let is_last = page.len() < PAGE;
        for words in page {
            let text = String::from_utf8(words).map_err(|_| none())?;
            heads.push(read(&text).ok_or_else(none)?);
            after = Some(text);
        }
        if is_last {
            return Ok(heads);
        }
    }
}

fn read(text: &str) -> Option<AuditHead> {
    let mut words = text.split(' ');
    let head = AuditHead {
        replica: ReplicaId::new(words.next()?).ok()?,
        n: words.next()?.parse().ok()?,
        hash: words.next()?.parse().ok()?,
        time: words.next()?.parse().ok()?,
    };
    words.next().is_none().then_some(head)
}
