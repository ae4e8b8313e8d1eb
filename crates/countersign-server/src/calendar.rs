//! Where in the calendar's period an account stands: the same on every replica, and for ever.
//!
//! The key is made once, kept in the store and never rotated: another key would give every account
//! another day. It is secret so that nobody can choose an account by its day.

use aws_lc_rs::hmac;
use countersign_core::{AccountFacts, AccountId};
use countersign_store::Account;
use jiff::Timestamp;

use crate::keys::{KeyError, Vault};
use crate::secret::{self, SecretKey};
use crate::{BuildError, Entropy};

/// The name of the key in the store.
pub(crate) const KEY_NAME: &str = "calendar";

/// The key that spreads accounts over a period.
#[derive(Debug)]
pub struct CalendarKey {
    key: hmac::Key,
}

impl CalendarKey {
    /// The key of this installation. Made if there is none yet.
    pub(crate) async fn load_or_make(
        vault: &Vault,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<Self, BuildError> {
        let key = secret::load_or_make(KEY_NAME, vault, entropy, now).await?;
        Ok(Self::from(key))
    }

    /// The key of this installation, if a server has run on this store.
    pub async fn find(vault: &Vault, now: Timestamp) -> Result<Option<Self>, KeyError> {
        Ok(secret::find(KEY_NAME, vault, now).await?.map(Self::from))
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
            locked: account.locked.is_some(),
        }
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

impl From<SecretKey> for CalendarKey {
    fn from(key: SecretKey) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(text: &str) -> AccountId {
        AccountId::new(text).unwrap()
    }

    /// Computed with Python's `hmac`.
    #[test]
    fn the_spread_of_an_account_is_the_same_wherever_it_is_computed() {
        let sevens = CalendarKey::from([7; 32]);
        let one = account("acct_01J0000000000000000000000");
        assert_eq!(sevens.spread(&one), 0x0bb3_287b_6320_24fd);
        let counting = std::array::from_fn(|n| u8::try_from(n).unwrap());
        assert_eq!(
            CalendarKey::from(counting).spread(&account("acct_1")),
            0xac28_44ae_87df_a08d
        );
    }

    #[test]
    fn accounts_are_spread_evenly_over_the_days_of_a_period() {
        const ACCOUNTS: u32 = 100_000;
        const DAYS: usize = 62;
        // Chi-square with 61 degrees of freedom is above this once in a million even spreads.
        const BOUND: f64 = 125.0;
        let key = CalendarKey::from([7; 32]);
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
}
