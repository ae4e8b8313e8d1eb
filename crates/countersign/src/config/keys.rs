//! `[keys]`: what the keys are sealed under, and how often they are replaced.

use countersign_core::document::{Table, Value};
use countersign_server::{KeySettings, MasterSecret, MasterSecrets, SHORTEST_ROTATION_DAYS};
use jiff::SignedDuration;
use secrecy::ExposeSecret;

use super::file::Reader;

/// Longer than any key should be in use.
const MOST_DAYS: u16 = 3650;

const ROTATIONS: [(&str, ()); 1] = [("never", ())];

impl Reader<'_> {
    pub(super) fn key_settings(&mut self, table: &mut Table<'_>) -> Option<KeySettings> {
        let secrets = self.master_secrets(table);
        let never = table.optional("rotate", |value| value.one_of(&ROTATIONS));
        let days = table.optional("rotate_every_days", |value| {
            value.integer(SHORTEST_ROTATION_DAYS..=MOST_DAYS)
        });
        let rotate_every = match (never?, days?) {
            (Some(()), Some(_)) => {
                table.report("has `rotate` and `rotate_every_days`; expected one of them");
                return None;
            }
            (Some(()), None) => None,
            (None, Some(days)) => Some(SignedDuration::from_hours(24 * i64::from(days))),
            (None, None) => KeySettings::default().rotate_every,
        };
        Some(KeySettings {
            secrets: secrets?,
            rotate_every,
        })
    }

    fn master_secrets(&mut self, table: &mut Table<'_>) -> Option<MasterSecrets> {
        let current = table.optional("master_secret", |value| self.master_secret(value));
        let previous = table.optional("previous_master_secret", |value| self.master_secret(value));
        Some(MasterSecrets {
            current: current?,
            previous: previous?,
        })
    }

    fn master_secret(&mut self, value: &Value<'_>) -> Option<MasterSecret> {
        let text = self.secret(value)?;
        match MasterSecret::new(text.expose_secret()) {
            Ok(secret) => Some(secret),
            Err(fault) => {
                value.report(format_args!("the secret {fault}"));
                None
            }
        }
    }
}
