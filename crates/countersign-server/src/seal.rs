//! Sealing of what others carry for us, browsers and clients, and of providers' tokens: AES-256-GCM, bound to where it is used.
//!
//! A sealed value opens only under the name, the party and the purpose that it was sealed for. Nonces
//! are random: 2^32 seals per key keep the odds of a repeat below 2^-32. It is sealed with the newest key
//! that every replica knows, and opened with any that is still needed (`keys/ring.rs`).

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Entropy;
use crate::keys::{self, Kept, KeyError};
use crate::secret::SecretKey;

/// The names of the sealing keys in the store.
const COOKIES: &str = "seal-aes256gcm";
const REFRESH_TOKENS: &str = "seal-refresh-tokens-aes256gcm";
/// All of them.
pub(crate) const NAMES: [&str; 2] = [COOKIES, REFRESH_TOKENS];

/// What a sealed value is for. Part of the associated data, so that one can't serve as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A sign-in on its way.
    Attempt,
    /// A provider's verified answer, between the POST of a `form_post` and the GET that follows.
    Evidence,
    /// The session that a browser has.
    Session,
    /// What a form of ours does, so that no other site can send it.
    Form,
    /// A refresh token, in its client's hands.
    RefreshToken,
    /// A registry's ticket, in the browser that has brought it.
    Ticket,
    /// A pushed authorization request, in the address that stands for it.
    PushedRequest,
    /// What a provider is asked again with, in the store.
    ProviderToken,
    /// What a device shows when it asks whether somebody has signed in for it.
    DeviceCode,
    /// The same of a registry's tool, in the address that it asks at.
    ToolSignIn,
    /// That somebody has signed in anew for one thing that a tool does.
    StepUp,
}

impl Purpose {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Attempt => "attempt",
            Self::Evidence => "evidence",
            Self::Session => "session",
            Self::Form => "form",
            Self::RefreshToken => "refresh-token",
            Self::Ticket => "ticket",
            Self::PushedRequest => "pushed-request",
            Self::ProviderToken => "provider-token",
            Self::DeviceCode => "device-code",
            Self::ToolSignIn => "tool-sign-in",
            Self::StepUp => "step-up",
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

/// Seals and opens, with the keys as of the last time that they were read.
#[derive(Debug)]
pub(crate) struct Sealer {
    read: ArcSwap<Read>,
}

#[derive(Debug)]
struct Read {
    for_cookies: SealingKeys,
    for_refresh_tokens: SealingKeys,
}

/// The keys of one name.
#[derive(Debug)]
struct SealingKeys {
    /// What seals. It opens too, as do the others.
    current: LessSafeKey,
    others: Vec<LessSafeKey>,
}

impl Sealer {
    /// What these rings say at this time.
    pub(crate) fn new(rings: &[Kept], now: Timestamp) -> Result<Self, KeyError> {
        let read = ArcSwap::from_pointee(Read::of(rings, now)?);
        Ok(Self { read })
    }

    /// Goes on with what these rings say at this time.
    pub(crate) fn replace(&self, rings: &[Kept], now: Timestamp) -> Result<(), KeyError> {
        self.read.store(Arc::new(Read::of(rings, now)?));
        Ok(())
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
        self.read
            .load()
            .keys(place.purpose)
            .current
            .seal_in_place_append_tag(bound, aad, &mut sealed)
            .ok()?;
        sealed.splice(..0, nonce);
        Some(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Opens what was sealed for this very place.
    pub(crate) fn open<T: DeserializeOwned>(&self, sealed: &str, place: Place<'_>) -> Option<T> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, ciphertext) = bytes.split_at_checked(NONCE_LEN)?;
        let aad = place.associated_data();
        let read = self.read.load();
        let keys = read.keys(place.purpose);
        // Which key it was is found by trying: there are few, and a try costs less than a microsecond.
        let mut all = std::iter::once(&keys.current).chain(&keys.others);
        let plain = all.find_map(|key| opened(key, nonce, ciphertext, &aad))?;
        serde_json::from_slice(&plain).ok()
    }
}

fn opened(key: &LessSafeKey, nonce: &[u8], ciphertext: &[u8], aad: &str) -> Option<Vec<u8>> {
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut plain = ciphertext.to_vec();
    let length = key
        .open_in_place(nonce, Aad::from(aad), &mut plain)
        .ok()?
        .len();
    plain.truncate(length);
    Some(plain)
}

impl Read {
    fn of(rings: &[Kept], now: Timestamp) -> Result<Self, KeyError> {
        let find = |name: &str| {
            let kept = rings.iter().find(|kept| kept.name == name);
            kept.and_then(|kept| SealingKeys::of(kept, now))
                .ok_or_else(|| KeyError::Unusable(name.to_owned()))
        };
        Ok(Self {
            for_cookies: find(COOKIES)?,
            for_refresh_tokens: find(REFRESH_TOKENS)?,
        })
    }

    fn keys(&self, purpose: Purpose) -> &SealingKeys {
        match purpose {
            Purpose::Attempt
            | Purpose::Evidence
            | Purpose::Session
            | Purpose::Form
            | Purpose::Ticket
            | Purpose::PushedRequest
            | Purpose::DeviceCode
            | Purpose::ToolSignIn
            | Purpose::StepUp => &self.for_cookies,
            // Neither outlives a session, and no value of these is in a browser.
            Purpose::RefreshToken | Purpose::ProviderToken => &self.for_refresh_tokens,
        }
    }
}

impl SealingKeys {
    fn of(kept: &Kept, now: Timestamp) -> Option<Self> {
        let parse = |one: &keys::Key| key(&keys::secret(one.material())?);
        let current = kept.ring.current(now)?;
        // The newest first, since it has sealed most of what comes.
        let mut others: Vec<_> = kept.ring.live(now).filter(|one| *one != current).collect();
        others.reverse();
        Some(Self {
            current: parse(current)?,
            others: others.into_iter().map(parse).collect::<Option<_>>()?,
        })
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
        let keys = |byte| SealingKeys {
            current: key(&[byte; 32]).unwrap(),
            others: Vec::new(),
        };
        let read = ArcSwap::from_pointee(Read {
            for_cookies: keys(7),
            for_refresh_tokens: keys(8),
        });
        Sealer { read }
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
