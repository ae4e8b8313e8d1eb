//! A file, cut into pieces of whole lines.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::{End, LinePlace, ReadError};

/// How long a piece is, in bytes, but for the rest of its last line: some hundred lines for a core.
const PIECE: usize = 512 << 10;
/// A line longer than this is none of ours, which are of some thousand bytes.
pub(super) const LONGEST_LINE: usize = 16 << 20;

/// Whole lines of one file.
#[derive(Debug)]
pub(super) struct Chunk {
    file: Arc<Path>,
    first_line: u64,
    text: Vec<u8>,
}

impl Chunk {
    /// The lines that are not blank. The last one of a file may have no end.
    pub(super) fn lines(&self) -> impl Iterator<Item = (LinePlace, &[u8], End)> {
        let lines = (self.first_line..).zip(self.text.split_inclusive(|&byte| byte == b'\n'));
        lines.filter_map(|(line, text)| {
            let file = Arc::clone(&self.file);
            let end = match text.last() {
                Some(b'\n') => End::Line,
                Some(_) | None => End::File,
            };
            let text = text.trim_ascii();
            (!text.is_empty()).then_some((LinePlace { file, line }, text, end))
        })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.text.len() as u64
    }
}

/// Cuts a file. After an error nothing comes.
pub(super) struct Cutter {
    file: Arc<Path>,
    input: Box<dyn Read + Send>,
    next_line: u64,
    /// The beginning of a line whose end has not been read yet.
    rest: Vec<u8>,
    is_done: bool,
}

impl Cutter {
    pub(super) fn new(file: Arc<Path>, input: Box<dyn Read + Send>) -> Self {
        Self {
            file,
            input,
            next_line: 1,
            rest: Vec::new(),
            is_done: false,
        }
    }

    fn chunk(&mut self) -> Result<Option<Chunk>, ReadError> {
        let mut text = std::mem::take(&mut self.rest);
        loop {
            let searched = text.len();
            self.is_done = self.fill(&mut text)?;
            if self.is_done {
                break;
            }
            let new = text.get(searched..).unwrap_or_default();
            if let Some(end) = new.iter().rposition(|&byte| byte == b'\n') {
                self.rest = text.split_off(searched + end + 1);
                break;
            }
            if text.len() > LONGEST_LINE {
                return Err(self.long_line());
            }
        }
        let first_line = self.next_line;
        let line_ends = text.iter().map(|&byte| u64::from(byte == b'\n'));
        self.next_line += line_ends.sum::<u64>();
        Ok((!text.is_empty()).then(|| Chunk {
            file: Arc::clone(&self.file),
            first_line,
            text,
        }))
    }

    /// Reads a piece more; answers whether that was the end.
    fn fill(&mut self, text: &mut Vec<u8>) -> Result<bool, ReadError> {
        let before = text.len();
        text.reserve(PIECE);
        let mut piece = self.input.by_ref().take(PIECE as u64);
        match piece.read_to_end(text) {
            Ok(_) => Ok(text.len() - before < PIECE),
            Err(source) => Err(ReadError::Unreadable {
                path: self.file.to_path_buf(),
                source,
            }),
        }
    }

    fn long_line(&self) -> ReadError {
        ReadError::LongLine {
            place: LinePlace {
                file: Arc::clone(&self.file),
                line: self.next_line,
            },
        }
    }
}

impl Iterator for Cutter {
    type Item = Result<Chunk, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let chunk = self.chunk();
        self.is_done |= chunk.is_err();
        chunk.transpose()
    }
}
