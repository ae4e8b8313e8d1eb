//! The two codes of a device: the one that it shows to a person, and the one that it shows to us.

use aws_lc_rs::digest;
use countersign_core::{ClientId, UserCode};
use countersign_store::DeviceRequestId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::edge::{Entropy, RandomText};
use crate::error::{Failure, OAuthError};
use crate::seal::{Place, Purpose};
use crate::sign_in::code::digest_of;
use crate::web::Context;

/// The device code: sealed for its client, so that one which was made up asks nothing of the store.
#[derive(Serialize, Deserialize)]
pub(super) struct DeviceCode {
    pub(super) user_code: UserCode,
    secret: String,
    /// Until when there is something to ask for.
    pub(super) until: Timestamp,
}

impl DeviceCode {
    pub(super) fn new(until: Timestamp, context: &Context<'_>) -> Result<Self, Failure> {
        let entropy = context.broker.entropy.as_ref();
        Ok(Self {
            user_code: new_user_code(entropy)?,
            secret: entropy.secret(),
            until,
        })
    }

    /// Takes another user code, where this one is in use.
    pub(super) fn renumber(&mut self, context: &Context<'_>) -> Result<(), Failure> {
        self.user_code = new_user_code(context.broker.entropy.as_ref())?;
        Ok(())
    }

    /// What is kept of its secret.
    pub(super) fn digest(&self) -> [u8; 32] {
        digest_of(&self.secret)
    }

    pub(super) fn seal(&self, client: &ClientId, context: &Context<'_>) -> Result<String, Failure> {
        let broker = context.broker;
        let sealed = broker
            .sealer
            .seal(self, place(client), broker.entropy.as_ref());
        sealed.ok_or_else(OAuthError::unavailable)
    }

    /// The code as this client sent it; `None` if it is none of ours, or another client's.
    pub(super) fn open(text: &str, client: &ClientId, context: &Context<'_>) -> Option<Self> {
        context.broker.sealer.open(text, place(client))
    }
}

fn place(client: &ClientId) -> Place<'_> {
    Place {
        name: "device_code",
        party: client.as_str(),
        purpose: Purpose::DeviceCode,
    }
}

/// A new user code, each as likely as any other.
fn new_user_code(entropy: &dyn Entropy) -> Result<UserCode, Failure> {
    let text = letters(UserCode::LENGTH, entropy);
    UserCode::read(&text).map_err(|_| OAuthError::unavailable())
}

/// So many letters that people don't take for each other, each as likely as any other.
pub(crate) fn letters(count: usize, entropy: &dyn Entropy) -> String {
    /// The largest multiple of the number of letters that a byte can be below.
    const FAIR: u8 = 240;
    let mut text = String::with_capacity(count);
    while text.len() < count {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        let fair = bytes.into_iter().filter(|byte| *byte < FAIR);
        let letters =
            fair.map(|byte| UserCode::LETTERS[usize::from(byte) % UserCode::LETTERS.len()]);
        text.extend(letters.take(count - text.len()).map(char::from));
    }
    text
}

/// The name of a device's request in the store.
pub(super) fn id_of(user_code: &UserCode) -> DeviceRequestId {
    let mut id = [0; 32];
    let digest = digest::digest(&digest::SHA256, user_code.as_str().as_bytes());
    id.copy_from_slice(digest.as_ref());
    DeviceRequestId(id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::SystemEntropy;

    use super::*;

    #[test]
    fn every_letter_comes_up_as_often_as_any_other() {
        let mut seen: BTreeMap<char, u32> = BTreeMap::new();
        for _ in 0..2_500 {
            let code = new_user_code(&SystemEntropy).ok().unwrap();
            for letter in code.as_str().chars().filter(|letter| *letter != '-') {
                *seen.entry(letter).or_default() += 1;
            }
        }
        assert_eq!(seen.len(), UserCode::LETTERS.len());
        // 1,000 of each on average; seven standard deviations.
        assert!(
            seen.values().all(|times| (784..=1216).contains(times)),
            "{seen:?}"
        );
    }
}
