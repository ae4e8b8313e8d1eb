//! Where this crate's randomness comes from: codes, access tokens, key pairs.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The system's source, as signing wants it.
#[expect(
    clippy::disallowed_methods,
    reason = "the one source of randomness of the stand-ins"
)]
pub(crate) fn dice() -> SystemRandom {
    SystemRandom::new()
}

/// `N` random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    dice()
        .fill(&mut bytes)
        .expect("the system gives random bytes");
    bytes
}

/// 256 random bits as base64url, for codes and access tokens.
pub(crate) fn token() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<32>())
}

/// A random GUID, lower case, for trace and correlation ids.
pub(crate) fn guid() -> String {
    let raw = bytes::<16>();
    let hex = format!("{:032x}", u128::from_be_bytes(raw));
    format!(
        "{}-{}-4{}-8{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..]
    )
}
