//! Where in the calendar's period an account stands: the same on every replica, and for ever.
//!
//! The key is made once, kept in the store and never rotated: another key would give every account
//! another day. It is secret so that nobody can choose an account by its day.

use aws_lc_rs::hmac;
use countersign_core::{AccountFacts, AccountId};
use countersign_store::{Account, KeyMaterial, Store, StoredKey};
use jiff::Timestamp;

use crate::{BuildError, Entropy};

/// The name of the key in the store.
const KEY_NAME: &str = "calendar";
/// Bytes of the key: as many as SHA-256 gives (RFC 2104 3).
const KEY_BYTES: usize = 32;

/// The key that spreads accounts over a period.
#[derive(Debug)]
pub struct CalendarKey {
    key: hmac::Key,
}

impl CalendarKey {
    /// The key of this installation: all replicas share it. Made if there is none yet.
    pub(crate) async fn load_or_make(
        store: &dyn Store,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<Self, BuildError> {
        let mut fresh = [0; KEY_BYTES];
        entropy.fill(&mut fresh);
        let offered = StoredKey {
            name: KEY_NAME.to_owned(),
            created_at: now,
            material: KeyMaterial(fresh.to_vec()),
        };
        let kept = store.put_key_if_absent(offered).await?;
        Self::parse(&kept.material)
    }

    /// The key of this installation, if a server has run on this store.
    pub async fn find(store: &dyn Store) -> Result<Option<Self>, BuildError> {
        let keys = store.list_keys().await?;
        let kept = keys.iter().find(|key| key.name == KEY_NAME);
        kept.map(|key| Self::parse(&key.material)).transpose()
    }

    /// What the policy decides by, of an account.
    pub fn facts(&self, account: &Account) -> AccountFacts {
        AccountFacts {
            id: account.id.clone(),
            made_at: account.made_at(),
            spread: self.spread(&account.id),
            told_due: account.told_due,
            first_mfa_at: account.first_mfa_at,
            email_vouched: account.vouched_email.is_some(),
        }
    }

    fn parse(material: &KeyMaterial) -> Result<Self, BuildError> {
        // HMAC would take any key, and a short or empty one could be guessed.
        if material.0.len() != KEY_BYTES {
            return Err(BuildError::Key(KEY_NAME));
        }
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &material.0),
        })
    }

    /// Where an account stands: 0 is the beginning of the period, 2^64 its end.
    ///
    /// The first eight bytes, big endian, of HMAC-SHA256 over the account id.
    fn spread(&self, account: &AccountId) -> u64 {
        let tag = hmac::sign(&self.key, account.as_str().as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&tag.as_ref()[..8]);
        u64::from_be_bytes(first)
    }
}

#[cfg(test)]
mod tests {
    use countersign_store::Embedded;

    use super::*;
    use crate::SystemEntropy;

    fn key(bytes: &[u8]) -> CalendarKey {
        CalendarKey::parse(&KeyMaterial(bytes.to_vec())).unwrap()
    }

    fn account(text: &str) -> AccountId {
        AccountId::new(text).unwrap()
    }

    /// Computed with Python's `hmac`.
    #[test]
    fn the_spread_of_an_account_is_the_same_wherever_it_is_computed() {
        let sevens = key(&[7; 32]);
        let one = account("acct_01J0000000000000000000000");
        assert_eq!(sevens.spread(&one), 0x0bb3_287b_6320_24fd);
        let counting: Vec<u8> = (0..32).collect();
        assert_eq!(
            key(&counting).spread(&account("acct_1")),
            0xac28_44ae_87df_a08d
        );
    }

    #[test]
    fn accounts_are_spread_evenly_over_the_days_of_a_period() {
        const ACCOUNTS: u32 = 100_000;
        const DAYS: usize = 62;
        // Chi-square with 61 degrees of freedom is above this once in a million even spreads.
        const BOUND: f64 = 125.0;
        let key = key(&[7; 32]);
        let mut counts = [0_u32; DAYS];
        for n in 0..ACCOUNTS {
            let spread = key.spread(&account(&format!("acct_{n:032x}")));
            let day = (u128::from(spread) * DAYS as u128) >> 64;
            counts[usize::try_from(day).unwrap()] += 1;
        }
        let expected = f64::from(ACCOUNTS) / 62.0;
        let chi_square: f64 = counts
            .iter()
            .map(|count| (f64::from(*count) - expected).powi(2) / expected)
            .sum();
        assert!(chi_square < BOUND, "{chi_square}: {counts:?}");
        // A spread far too even would be no better a hash.
        assert!(chi_square > 20.0, "{chi_square}: {counts:?}");
    }

    #[actix_web::test]
    async fn the_key_is_made_once_and_every_later_start_has_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(&directory.path().join("data")).unwrap();
        let mut spreads = Vec::new();
        for second in [0, 1_000_000] {
            let now = Timestamp::from_second(second).unwrap();
            let made = CalendarKey::load_or_make(&store, &SystemEntropy, now).await;
            spreads.push(made.unwrap().spread(&account("acct_1")));
        }
        assert_eq!(spreads[0], spreads[1]);
        let kept = store.list_keys().await.unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(
            (kept[0].name.as_str(), kept[0].material.0.len()),
            ("calendar", 32)
        );
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        for length in [0, 16, 31, 33] {
            let material = KeyMaterial(vec![7; length]);
            let refused = CalendarKey::parse(&material).unwrap_err();
            assert!(matches!(refused, BuildError::Key("calendar")), "{length}");
        }
    }
}
