//! The edge of the world: the one clock and the one source of random bytes.

use jiff::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Now, UTC.
    fn now(&self) -> Timestamp;
}

/// Makes random bytes that nobody can guess.
pub trait Entropy: Send + Sync + std::fmt::Debug {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// The machine's cryptographic random generator.
#[derive(Debug, Clone, Copy)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    /// Ends the process if the generator fails: nothing safe can be done without it.
    #[expect(clippy::disallowed_methods, reason = "the one source of random bytes")]
    fn fill(&self, bytes: &mut [u8]) {
        if aws_lc_rs::rand::fill(bytes).is_err() {
            tracing::error!("the system's random generator failed");
            std::process::abort();
        }
    }
}

/// Random bytes as text.
pub(crate) trait RandomText {
    /// Lower-case hexadecimal of `N` bytes.
    fn hex<const N: usize>(&self) -> String;
    /// A secret of 256 bits, base64url.
    fn secret(&self) -> String;
}

impl RandomText for dyn Entropy + '_ {
    fn hex<const N: usize>(&self) -> String {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
            .iter()
            .fold(String::with_capacity(2 * N), |mut text, byte| {
                text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
                text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
                text
            })
    }

    fn secret(&self) -> String {
        use base64::Engine;
        let mut bytes = [0; 32];
        self.fill(&mut bytes);
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
    }
}
