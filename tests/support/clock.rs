//! A clock that is told the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use countersign_server::Clock;
use jiff::Timestamp;

/// The machine's time plus what the test says. Stand-ins and real peers keep the machine's time.
#[derive(Debug, Clone, Default)]
pub struct TestClock {
    offset_seconds: Arc<AtomicI64>,
}

impl TestClock {
    /// Moves the broker's time forward, or back.
    pub fn advance(&self, seconds: i64) {
        self.offset_seconds.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    #[expect(clippy::disallowed_methods, reason = "the tests' one clock")]
    fn now(&self) -> Timestamp {
        let offset = self.offset_seconds.load(Ordering::SeqCst);
        Timestamp::now() + jiff::SignedDuration::from_secs(offset)
    }
}
