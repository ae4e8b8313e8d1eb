//! A decision, as it waits to be written.

use jiff::Timestamp;
use serde::Serialize;

use super::Dropped;
use crate::log_file::{self, Missing};

/// What most lines take, in bytes: to grow by steps costs more than to write.
const MOST_ARE_SHORTER: usize = 2048;

/// A decision as it will stand in the file, with its line end.
#[derive(Debug)]
pub(super) struct Line {
    time: Timestamp,
    pub(super) text: Box<[u8]>,
}

impl Line {
    pub(super) fn new(time: Timestamp, content: &impl Serialize) -> serde_json::Result<Self> {
        // A line end within a text is escaped, so that the only one is ours (RFC 8259 7).
        let mut text = Vec::with_capacity(MOST_ARE_SHORTER);
        serde_json::to_writer(&mut text, content)?;
        text.push(b'\n');
        Ok(Self {
            time,
            text: text.into_boxed_slice(),
        })
    }
}

impl log_file::Line for Line {
    fn time(&self) -> Timestamp {
        self.time
    }

    fn bytes(&self) -> usize {
        self.text.len() + size_of::<Self>()
    }

    fn of_missing(missing: Missing) -> Self {
        let Missing { lines, from, to } = missing;
        let dropped = Dropped {
            v: 1,
            dropped: lines,
            from,
            to,
        };
        // Numbers and times can't fail to be written as JSON.
        Self::new(to, &dropped).unwrap_or(Self {
            time: to,
            text: Box::default(),
        })
    }
}
