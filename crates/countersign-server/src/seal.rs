//! Sealing of what others carry for us, browsers and clients: AES-256-GCM, bound to where it is used.
//!
//! A sealed value opens only under the name, the party and the purpose that it was sealed for. Nonces
//! are random: 2^32 seals per key keep the odds of a repeat below 2^-32.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_store::Store;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::secret::{self, SecretKey};
use crate::{BuildError, Entropy};

/// The names of the sealing keys in the store.
const COOKIES: &str = "seal-aes256gcm";
const REFRESH_TOKENS: &str = "seal-refresh-tokens-aes256gcm";

/// What a sealed value is for. Part of the associated data, so that one can't serve as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A sign-in on its way.
    Attempt,
    /// A provider's verified answer, between the POST of a `form_post` and the GET that follows.
    Evidence,
    /// A refresh token, in its client's hands.
    RefreshToken,
}

impl Purpose {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Attempt => "attempt",
            Self::Evidence => "evidence",
            Self::RefreshToken => "refresh-token",
        }
    }
}

/// Where a sealed value belongs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Of the cookie or the parameter that carries it.
    pub(crate) name: &'a str,
    /// The provider or the client that it is about.
    pub(crate) party: &'a str,
    pub(crate) purpose: Purpose,
}

impl Place<'_> {
    /// The parts can't run into each other: none can hold a line feed.
    fn associated_data(&self) -> String {
        format!("{}\n{}\n{}", self.name, self.party, self.purpose.as_str())
    }
}

/// Seals and opens.
#[derive(Debug)]
pub(crate) struct Sealer {
    for_cookies: LessSafeKey,
    for_refresh_tokens: LessSafeKey,
}

impl Sealer {
    /// The keys of this installation. Made where there are none yet.
    pub(crate) async fn load_or_make(
        store: &dyn Store,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<Self, BuildError> {
        let load = async |name| {
            let secret = secret::load_or_make(name, store, entropy, now).await?;
            key(&secret).ok_or(BuildError::Key(name))
        };
        Ok(Self {
            for_cookies: load(COOKIES).await?,
            for_refresh_tokens: load(REFRESH_TOKENS).await?,
        })
    }

    fn key(&self, purpose: Purpose) -> &LessSafeKey {
        match purpose {
            Purpose::Attempt | Purpose::Evidence => &self.for_cookies,
            Purpose::RefreshToken => &self.for_refresh_tokens,
        }
    }

    /// Seals a value for one place: base64url of nonce, ciphertext and tag.
    pub(crate) fn seal(
        &self,
        value: &impl Serialize,
        place: Place<'_>,
        entropy: &dyn Entropy,
    ) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        entropy.fill(&mut nonce);
        let mut sealed = serde_json::to_vec(value).ok()?;
        let aad = Aad::from(place.associated_data());
        let bound = Nonce::assume_unique_for_key(nonce);
        self.key(place.purpose)
            .seal_in_place_append_tag(bound, aad, &mut sealed)
            .ok()?;
        sealed.splice(..0, nonce);
        Some(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Opens what was sealed for this very place.
    pub(crate) fn open<T: DeserializeOwned>(&self, sealed: &str, place: Place<'_>) -> Option<T> {
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, ciphertext) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let aad = Aad::from(place.associated_data());
        let key = self.key(place.purpose);
        let plain = key.open_in_place(nonce, aad, ciphertext).ok()?;
        serde_json::from_slice(plain).ok()
    }
}

fn key(secret: &SecretKey) -> Option<LessSafeKey> {
    let key = UnboundKey::new(&AES_256_GCM, secret).ok()?;
    Some(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;

    fn sealer() -> Sealer {
        Sealer {
            for_cookies: key(&[7; 32]).unwrap(),
            for_refresh_tokens: key(&[8; 32]).unwrap(),
        }
    }

    const PLACE: Place<'_> = Place {
        name: "__Host-a",
        party: "github",
        purpose: Purpose::Attempt,
    };

    #[test]
    fn what_was_sealed_opens_in_its_place_and_in_no_other() {
        let sealer = sealer();
        let sealed = sealer.seal(&"secret", PLACE, &SystemEntropy).unwrap();
        let open = |place| sealer.open::<String>(&sealed, place);
        assert_eq!(open(PLACE).as_deref(), Some("secret"));
        let elsewhere = [
            Place {
                name: "__Host-b",
                ..PLACE
            },
            Place {
                party: "entra",
                ..PLACE
            },
            Place {
                purpose: Purpose::Evidence,
                ..PLACE
            },
            Place {
                purpose: Purpose::RefreshToken,
                ..PLACE
            },
        ];
        for place in elsewhere {
            assert_eq!(open(place), None, "{place:?}");
        }
    }

    #[test]
    fn a_sealed_value_that_was_touched_does_not_open() {
        let sealer = sealer();
        let sealed = sealer.seal(&"secret", PLACE, &SystemEntropy).unwrap();
        for at in 0..sealed.len() {
            let mut touched = sealed.clone().into_bytes();
            touched[at] = if touched[at] == b'A' { b'B' } else { b'A' };
            let touched = String::from_utf8(touched).unwrap();
            assert_eq!(sealer.open::<String>(&touched, PLACE), None, "byte {at}");
        }
        for cut in ["", "AAAA", &sealed[..20], "not base64!"] {
            assert_eq!(sealer.open::<String>(cut, PLACE), None, "`{cut}`");
        }
    }

    #[test]
    fn the_same_value_never_seals_to_the_same_text() {
        let sealer = sealer();
        let seal = || sealer.seal(&"secret", PLACE, &SystemEntropy);
        assert_ne!(seal(), seal());
    }
}
