//! Short one-time codes, which people type by hand where a tool asks for one: sixteen letters, in fours.
//!
//! What is kept of one is what is kept of a device's: a record that is found by a digest of the letters and the registry, for
//! minutes, with the session as its answer. Of 20^16 that there are (69 bits) nobody guesses one, however fast they ask: a
//! million tries a second while a thousand are good are right once in twenty thousand years.

use aws_lc_rs::digest::{SHA256, digest};
use countersign_core::{SessionId, UserCode};
use countersign_store::{Code, DeviceAnswer, DeviceRequest, DeviceRequestId, StoreError};

use super::Registry;
use crate::device;
use crate::web::Context;

/// How many letters one has.
const LENGTH: usize = 16;
/// How many stand together.
const GROUP: usize = 4;
/// The longest text that is looked at, in bytes: with a hyphen or a space after each letter.
const LONGEST: usize = 2 * LENGTH;

/// A new one.
pub(super) fn new(context: &Context<'_>) -> String {
    device::letters(LENGTH, context.broker.entropy.as_ref())
}

/// As it is shown.
pub(super) fn shown(letters: &str) -> String {
    let mut text = String::with_capacity(LENGTH + LENGTH / GROUP);
    for (at, letter) in letters.chars().enumerate() {
        if at > 0 && at % GROUP == 0 {
            text.push('-');
        }
        text.push(letter);
    }
    text
}

/// The letters of one, as it was typed: capital or small, with hyphens and spaces or without.
pub(super) fn read(typed: &str) -> Option<String> {
    if typed.len() > LONGEST {
        return None;
    }
    let letters = typed.bytes().filter(|byte| !matches!(byte, b'-' | b' '));
    let letters: Vec<u8> = letters.map(|byte| byte.to_ascii_uppercase()).collect();
    let is_one =
        letters.len() == LENGTH && letters.iter().all(|one| UserCode::LETTERS.contains(one));
    String::from_utf8(letters).ok().filter(|_| is_one)
}

/// Keeps it for this session, as long as the code that it stands for is good.
pub(super) async fn keep(
    letters: &str,
    (session, code): (&SessionId, &Code),
    registry: &Registry,
    context: &Context<'_>,
) -> Result<(), StoreError> {
    let id = id_of(letters, registry);
    let request = DeviceRequest {
        code_digest: id.0,
        code: code.clone(),
        address: None,
        program: None,
        tool: None,
        asked_at: context.now,
        expires_at: code.expires_at,
        session_ends_at: None,
    };
    let store = &context.broker.store;
    store.open_device_request(&id, request, context.now).await?;
    let answer = DeviceAnswer::Session(session.clone());
    store
        .answer_device_request(&id, answer, context.now)
        .await?;
    Ok(())
}

/// Of which session one is that is not over. To look takes nothing of it.
pub(super) async fn session_of(
    letters: &str,
    registry: &Registry,
    context: &Context<'_>,
) -> Result<Option<SessionId>, StoreError> {
    let (id, store) = (id_of(letters, registry), &context.broker.store);
    Ok(match store.device_request(&id, context.now).await? {
        Some((_, Some(DeviceAnswer::Session(session)))) => Some(session),
        Some((_, Some(DeviceAnswer::Denied) | None)) | None => None,
    })
}

/// No device's has this name, and none of another registry's.
fn id_of(letters: &str, registry: &Registry) -> DeviceRequestId {
    let named = format!("registry\n{}\n{letters}", registry.name);
    let mut id = [0; 32];
    id.copy_from_slice(digest(&SHA256, named.as_bytes()).as_ref());
    DeviceRequestId(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_read_however_it_is_written() {
        let letters = "BCDFGHJKLMNPQRST";
        assert_eq!(shown(letters), "BCDF-GHJK-LMNP-QRST");
        for typed in [
            "BCDF-GHJK-LMNP-QRST",
            "bcdfghjklmnpqrst",
            " bcdf ghjk lmnp qrst ",
        ] {
            assert_eq!(read(typed).as_deref(), Some(letters), "{typed}");
        }
        for none in [
            "",
            "BCDF-GHJK",
            "BCDF-GHJK-LMNP-QRSA",
            "BCDF-GHJK-LMNP-QRS\u{17f}",
            "BCDF-GHJK-LMNP-QRST-V",
            "csoc_BCDFGHJKLMNPQRST",
        ] {
            assert_eq!(read(none), None, "{none}");
        }
        assert_eq!(read(&"-".repeat(LONGEST + 1)), None);
    }
}
