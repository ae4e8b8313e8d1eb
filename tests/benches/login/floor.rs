//! The cryptography that a login can't do without, measured alone.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
};

use countersign_tests::measure::this_thread_us;

use super::driver::Kind;

/// The message that is signed: the size of an access token's claims.
const MESSAGE: [u8; 600] = [b'x'; 600];
/// Of how many rounds the best counts: what disturbs a round only ever makes it longer.
const ROUNDS: usize = 7;

/// What each operation takes, in microseconds of CPU.
pub(crate) struct Floor {
    rs256_verify: f64,
    rs256_sign: f64,
    es256_sign: f64,
    es256_verify: f64,
}

impl Floor {
    /// Measures on this thread.
    #[expect(
        clippy::disallowed_methods,
        reason = "a benchmark signs with the machine's own randomness"
    )]
    pub(crate) fn measure() -> Self {
        let random = SystemRandom::new();
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let public = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, rsa.public_key().as_ref())
            .expect("a key");
        let p256_public =
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, p256.public_key().as_ref())
                .expect("a key");
        let p256_signature = p256.sign(&random, &MESSAGE).expect("signed");
        let mut signature = vec![0; rsa.public_modulus_len()];
        let mut sign = || {
            rsa.sign(&RSA_PKCS1_SHA256, &random, &MESSAGE, &mut signature)
                .expect("signed");
        };
        let rs256_sign = best_us(300, &mut sign);
        Self {
            rs256_sign,
            rs256_verify: best_us(3_000, || {
                public.verify_sig(&MESSAGE, &signature).expect("verified");
            }),
            es256_sign: best_us(3_000, || {
                let _ = p256.sign(&random, &MESSAGE).expect("signed");
            }),
            es256_verify: best_us(3_000, || {
                p256_public
                    .verify_sig(&MESSAGE, p256_signature.as_ref())
                    .expect("verified");
            }),
        }
    }

    /// What a login of this kind must cost.
    pub(crate) fn of(&self, kind: Kind) -> f64 {
        match kind {
            Kind::Default => self.rs256_verify + self.rs256_sign + self.es256_sign,
            Kind::Es256 => self.rs256_verify + 2.0 * self.es256_sign,
            Kind::Refused => self.rs256_verify,
            Kind::Refresh => 2.0 * self.es256_sign,
            Kind::Introspection => self.es256_verify,
        }
    }

    pub(crate) fn print(&self) {
        println!("the cryptography alone, best of {ROUNDS}");
        println!(
            "  RS256 verify                            {:>8.1} µs",
            self.rs256_verify
        );
        println!(
            "  RS256 sign                              {:>8.1} µs",
            self.rs256_sign
        );
        println!(
            "  ES256 sign                              {:>8.1} µs",
            self.es256_sign
        );
        println!(
            "  ES256 verify                            {:>8.1} µs",
            self.es256_verify
        );
    }
}

fn best_us(times: u32, mut operation: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let before = this_thread_us();
        for _ in 0..times {
            operation();
        }
        best = best.min((this_thread_us() - before) / f64::from(times));
    }
    best
}
