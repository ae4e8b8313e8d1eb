//! How far the thread that writes a log is towards its end.

use std::time::Duration;

/// How long to wait at most before a new attempt, once the log is being closed.
const CLOSING_PAUSE: Duration = Duration::from_millis(100);

/// Where the writing thread is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Stage {
    #[default]
    Open,
    /// What waits is still written; a disk in trouble is given so much time more.
    Closing(Duration),
    /// Nothing is written any more.
    Ended,
}

impl Stage {
    /// Asks the thread to end.
    pub(crate) fn close(&mut self, patience: Duration) {
        if *self == Self::Open {
            *self = Self::Closing(patience);
        }
    }

    /// How long to wait before a write that failed is tried again; `None` where it is not.
    pub(crate) fn pause(&mut self, length: Duration) -> Option<Duration> {
        match self {
            Self::Open => Some(length),
            Self::Closing(left) if !left.is_zero() => {
                let length = length.min(CLOSING_PAUSE).min(*left);
                *left -= length;
                Some(length)
            }
            Self::Closing(_) | Self::Ended => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_being_closed_is_patient_for_so_long_and_no_longer() {
        let long = Duration::from_secs(5);
        let mut stage = Stage::Open;
        assert_eq!(stage.pause(long), Some(long));
        stage.close(CLOSING_PAUSE + Duration::from_millis(1));
        stage.close(long);
        assert_eq!(stage.pause(long), Some(CLOSING_PAUSE));
        assert_eq!(stage.pause(long), Some(Duration::from_millis(1)));
        assert_eq!(stage.pause(long), None);
    }
}
