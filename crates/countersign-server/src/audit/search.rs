//! Which lines of the audit log fit, for the page, the API and the command.
//!
//! Who looks in a browser looks for what happened last, so files are read from their ends, some of them at a time.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use super::AuditLine;

/// How much of a file is read at once, in bytes.
const CHUNK: u64 = 64 << 10;
/// The longest line, in bytes: many times what we write.
const LONGEST: usize = 1 << 20;
/// How much is read for one answer, in bytes: a moment's work. What fits is looked for further back when somebody asks.
const MOST_READ: u64 = 32 << 20;
/// A line has the time at which its request began, so it may stand behind later ones: by less than this.
const OUT_OF_ORDER: SignedDuration = SignedDuration::from_mins(10);
/// How often a directory is looked at again where files are rotated meanwhile.
const TRIES: usize = 10;

/// What a line must be to fit: all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// What happened: a code of docs/audit.md.
    pub event: Option<String>,
    /// Who did it, as it stands there: `account:ID`, `client:NAME`, `operator`, ….
    pub actor: Option<String>,
    /// What it was done to: an id, whatever it is of.
    pub subject: Option<String>,
    /// Why: a code.
    pub reason: Option<String>,
    /// In which request.
    pub request_id: Option<String>,
    /// From then on.
    pub since: Option<Timestamp>,
    /// Before then.
    pub until: Option<Timestamp>,
}

impl AuditQuery {
    /// Whether a line fits.
    pub fn fits(&self, line: &AuditLine) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| Some(wanted) == found)
        };
        let subject = self.subject.as_ref();
        self.has(line.time)
            && is(&self.event, Some(&line.event))
            && is(&self.actor, Some(&line.actor))
            && is(&self.reason, line.reason.as_deref())
            && is(&self.request_id, line.request_id.as_deref())
            && subject.is_none_or(|wanted| line.subject.values().any(|id| id == wanted))
    }

    /// Whether it is of that time.
    pub fn has(&self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until)
    }

    /// Whether no line that stands before one of this time fits.
    fn is_past(&self, time: Timestamp) -> bool {
        let earliest = self
            .since
            .and_then(|since| since.checked_sub(OUT_OF_ORDER).ok());
        earliest.is_some_and(|earliest| time < earliest)
    }
}

/// A file of an audit log, opened: it stays the same file whatever it is called meanwhile.
#[derive(Debug)]
pub struct AuditFile {
    /// What it was called.
    pub path: PathBuf,
    /// The file.
    pub file: File,
}

impl AuditFile {
    /// Opens it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let path = path.to_owned();
        Ok(Self { path, file })
    }

    /// All of those that are there now.
    pub(super) fn all(there: impl Fn() -> io::Result<Vec<PathBuf>>) -> io::Result<Vec<Self>> {
        let mut paths = there()?;
        for _ in 0..TRIES {
            let opened: io::Result<Vec<Self>> = paths.iter().map(|path| Self::open(path)).collect();
            let again = there()?;
            if again == paths {
                return opened;
            }
            paths = again;
        }
        paths.iter().map(|path| Self::open(path)).collect()
    }
}

/// Lines that fit, the latest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFound {
    /// The lines.
    pub lines: Vec<AuditLine>,
    /// Where the search goes on, unless all was searched.
    pub next: Option<AuditPlace>,
    /// How far back it came, where it stopped before it had found as many as were asked for.
    pub searched_to: Option<Timestamp>,
}

/// Where a search goes on: in the files of the server, and in those of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditPlace {
    server: Position,
    commands: Position,
}

/// Before which byte of which file, by its inode: the name changes when the file is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    In { inode: u64, offset: u64 },
    End,
}

impl fmt::Display for AuditPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.server, self.commands)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::In { inode, offset } => write!(f, "{inode}.{offset}"),
            Self::End => f.write_str("-"),
        }
    }
}

/// It is none that [`AuditPlace`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoPlace;

impl FromStr for AuditPlace {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (server, commands) = text.split_once('_').ok_or(NoPlace)?;
        Ok(Self {
            server: server.parse()?,
            commands: commands.parse()?,
        })
    }
}

impl FromStr for Position {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        if text == "-" {
            return Ok(Self::End);
        }
        let (inode, offset) = text.split_once('.').ok_or(NoPlace)?;
        let number = |text: &str| text.parse().map_err(|_| NoPlace);
        Ok(Self::In {
            inode: number(inode)?,
            offset: number(offset)?,
        })
    }
}

/// The latest lines that fit before a place, or of all: at most `limit`.
pub(super) fn search(
    [server, commands]: [Vec<AuditFile>; 2],
    query: &AuditQuery,
    before: Option<AuditPlace>,
    limit: usize,
) -> io::Result<AuditFound> {
    let mut server = Lines::before(server, before.map(|place| place.server))?;
    let mut commands = Lines::before(commands, before.map(|place| place.commands))?;
    let mut lines = Vec::new();
    while let Some(line) = later(&mut server, &mut commands)? {
        let searched_to = line.time;
        if query.fits(&line) {
            lines.push(line);
        }
        let is_enough = lines.len() == limit || server.read + commands.read > MOST_READ;
        let is_past = |next: Option<&AuditLine>| next.is_none_or(|one| query.is_past(one.time));
        if is_past(server.next()?) && is_past(commands.next()?) {
            break; // and nothing follows
        }
        if is_enough {
            let next = AuditPlace {
                server: server.position(),
                commands: commands.position(),
            };
            return Ok(AuditFound {
                searched_to: (lines.len() < limit).then_some(searched_to),
                lines,
                next: Some(next),
            });
        }
    }
    Ok(AuditFound {
        lines,
        next: None,
        searched_to: None,
    })
}

/// Takes the later of the next lines of both.
fn later(one: &mut Lines, other: &mut Lines) -> io::Result<Option<AuditLine>> {
    let time = |line: Option<&AuditLine>| line.map(|line| line.time);
    let (first, second) = (time(one.next()?), time(other.next()?));
    Ok(if first >= second {
        one.take()
    } else {
        other.take()
    })
}

/// The lines of one chain, from the last to the first. What is none is passed over: verifying tells of it.
struct Lines {
    /// The files that are still to be read; the next of them is the last.
    older: Vec<AuditFile>,
    open: Option<Reading>,
    /// The next line, and where it ends.
    ahead: Option<(AuditLine, Position)>,
    /// How much was read.
    read: u64,
}

/// A file that is read from its end.
struct Reading {
    file: File,
    inode: u64,
    /// Where in the file the bytes begin.
    start: u64,
    /// What is read and not told.
    bytes: Vec<u8>,
}

impl Lines {
    fn before(mut files: Vec<AuditFile>, position: Option<Position>) -> io::Result<Self> {
        let mut open = None;
        match position {
            None => {}
            Some(Position::End) => files.clear(),
            Some(Position::In { inode, offset }) => {
                while let Some(newest) = files.pop() {
                    let metadata = newest.file.metadata()?;
                    if metadata.ino() == inode {
                        let end = offset.min(metadata.len());
                        open = Some(Reading::of(newest.file, inode, end));
                        break;
                    }
                }
            }
        }
        Ok(Self {
            older: files,
            open,
            ahead: None,
            read: 0,
        })
    }

    fn next(&mut self) -> io::Result<Option<&AuditLine>> {
        while self.ahead.is_none() {
            let Some(reading) = &mut self.open else {
                let Some(file) = self.older.pop() else { break };
                let metadata = file.file.metadata()?;
                self.open = Some(Reading::of(file.file, metadata.ino(), metadata.len()));
                continue;
            };
            let position = Position::In {
                inode: reading.inode,
                offset: reading.end(),
            };
            match reading.line(&mut self.read)? {
                Some(text) => self.ahead = AuditLine::read(&text).map(|line| (line, position)),
                None => self.open = None,
            }
        }
        Ok(self.ahead.as_ref().map(|(line, _)| line))
    }

    fn take(&mut self) -> Option<AuditLine> {
        self.ahead.take().map(|(line, _)| line)
    }

    /// Where to go on, so that the next line is the next again.
    fn position(&self) -> Position {
        self.ahead
            .as_ref()
            .map_or(Position::End, |(_, position)| *position)
    }
}

impl Reading {
    fn of(file: File, inode: u64, end: u64) -> Self {
        Self {
            file,
            inode,
            start: end,
            bytes: Vec::new(),
        }
    }

    /// Where in the file what is not told ends.
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// The last line of those that are not told, without its end.
    fn line(&mut self, read: &mut u64) -> io::Result<Option<Vec<u8>>> {
        loop {
            let text = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
            if let Some(before) = text.iter().rposition(|byte| *byte == b'\n') {
                let mut line = self.bytes.split_off(before + 1);
                line.truncate(line.strip_suffix(b"\n").unwrap_or(&line).len());
                return Ok(Some(line));
            }
            if self.start == 0 {
                let mut line = std::mem::take(&mut self.bytes);
                line.truncate(line.strip_suffix(b"\n").unwrap_or(&line).len());
                return Ok((!line.is_empty()).then_some(line));
            }
            if self.bytes.len() > LONGEST {
                self.bytes.clear(); // the piece of a line that is none
            }
            *read += self.read_more()?;
        }
    }

    fn read_more(&mut self) -> io::Result<u64> {
        let length = self.start.min(CHUNK);
        let start = self.start - length;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        self.file.read_exact_at(&mut bytes, start)?;
        bytes.append(&mut self.bytes);
        (self.start, self.bytes) = (start, bytes);
        Ok(length)
    }
}
