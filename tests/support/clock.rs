//! A clock that is told the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use countersign_server::Clock;
use jiff::{SignedDuration, Timestamp};

/// The machine's time plus what the test says. Stand-ins and real peers keep the machine's time.
#[derive(Debug, Clone, Default)]
pub struct TestClock {
    offset_ms: Arc<AtomicI64>,
    /// When it was stopped, in milliseconds since 1970; 0: it runs.
    stopped_at_ms: Arc<AtomicI64>,
}

impl TestClock {
    /// Moves the broker's time forward, or back.
    pub fn advance(&self, seconds: i64) {
        self.advance_by(SignedDuration::from_secs(seconds));
    }

    /// From now on the broker's time passes only where a test says so.
    pub fn stop(&self) {
        let now = machine_ms();
        self.stopped_at_ms.store(now, Ordering::SeqCst);
    }

    /// Moves the broker's time by this, to the millisecond.
    pub fn advance_by(&self, time: SignedDuration) {
        let ms = i64::try_from(time.as_millis()).expect("a test's time");
        self.offset_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let offset = self.offset_ms.load(Ordering::SeqCst);
        let now = match self.stopped_at_ms.load(Ordering::SeqCst) {
            0 => machine_ms(),
            stopped_at => stopped_at,
        };
        Timestamp::from_millisecond(now + offset).expect("a test's time")
    }
}

#[expect(clippy::disallowed_methods, reason = "the tests' one clock")]
fn machine_ms() -> i64 {
    Timestamp::now().as_millisecond()
}
