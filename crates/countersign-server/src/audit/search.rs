//! Which lines of the audit log fit, for the page, the API and the command.
//!
//! Who looks in a browser looks for what happened last, so files are read from their ends, some of them at a time.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
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
        unless_rotated(&there, |paths| {
            paths.iter().map(|path| Self::open(path)).collect()
        })
    }
}

/// What is made of the files that are there; made again, where they are other ones by then.
fn unless_rotated<T>(
    there: impl Fn() -> io::Result<Vec<PathBuf>>,
    make: impl Fn(&[PathBuf]) -> io::Result<T>,
) -> io::Result<T> {
    let mut paths = there()?;
    for _ in 0..TRIES {
        let made = make(&paths);
        let again = there()?;
        if again == paths {
            return made;
        }
        paths = again;
    }
    make(&paths)
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

/// The latest lines that fit before a place, or of all: at most `limit`. `None` where that place is not in these files.
pub(super) fn search(
    [server, commands]: [&dyn Fn() -> io::Result<Vec<PathBuf>>; 2],
    query: &AuditQuery,
    before: Option<AuditPlace>,
    limit: usize,
) -> io::Result<Option<AuditFound>> {
    let server = Lines::before(server, before.map(|place| place.server))?;
    let commands = Lines::before(commands, before.map(|place| place.commands))?;
    let (Some(mut server), Some(mut commands)) = (server, commands) else {
        return Ok(None);
    };
    let (mut lines, mut searched_to) = (Vec::new(), None);
    let next = loop {
        let is_over = [server.is_over(query)?, commands.is_over(query)?];
        if is_over == [true, true] {
            break None;
        }
        if lines.len() == limit || server.read + commands.read > MOST_READ {
            break Some(AuditPlace {
                server: server.position()?,
                commands: commands.position()?,
            });
        }
        if let Some(line) = later(&mut server, &mut commands) {
            searched_to = Some(line.time);
            lines.extend(query.fits(&line).then_some(line));
        }
    };
    let is_cut_short = next.is_some() && lines.len() < limit;
    Ok(Some(AuditFound {
        searched_to: searched_to.filter(|_| is_cut_short),
        lines,
        next,
    }))
}

/// Takes the later of the next lines of both.
fn later(one: &mut Lines, other: &mut Lines) -> Option<AuditLine> {
    let time = |lines: &Lines| lines.ahead.as_ref().map(|(line, _)| line.time);
    let first = if time(one) >= time(other) { one } else { other };
    first.ahead.take().map(|(line, _)| line)
}

/// The lines of one chain, from the last to the first. What is none is passed over: verifying tells of it.
struct Lines {
    /// The files that are still to be read; the next of them is the last.
    older: Vec<PathBuf>,
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
    /// The lines before a position, or all; `None` where there is no such position.
    fn before(
        there: impl Fn() -> io::Result<Vec<PathBuf>>,
        position: Option<Position>,
    ) -> io::Result<Option<Self>> {
        unless_rotated(there, |paths| {
            let mut lines = Self {
                older: paths.to_vec(),
                open: None,
                ahead: None,
                read: 0,
            };
            let is_there = match position {
                // The file that is written to has this name for now only, so it is opened before anybody looks again.
                None => lines.open_next().map(|()| true),
                Some(Position::End) => {
                    lines.older.clear();
                    Ok(true)
                }
                Some(Position::In { inode, offset }) => lines.open_at(inode, offset),
            };
            Ok(is_there?.then_some(lines))
        })
    }

    /// Opens the file that comes next. One that is gone by now was kept no longer.
    fn open_next(&mut self) -> io::Result<()> {
        while self.open.is_none() {
            let Some(path) = self.older.pop() else { break };
            match File::open(&path) {
                Ok(file) => self.open = Some(Reading::of(file)?),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Opens the file with this inode, where it is there.
    fn open_at(&mut self, inode: u64, offset: u64) -> io::Result<bool> {
        while !self.older.is_empty() {
            self.open = None;
            self.open_next()?;
            if let Some(reading) = self.open.as_mut().filter(|one| one.inode == inode) {
                reading.start = offset.min(reading.start);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads until there is a next line, or enough is read for one answer.
    fn look_ahead(&mut self) -> io::Result<()> {
        while self.ahead.is_none() && self.read <= MOST_READ {
            let Some(reading) = &mut self.open else {
                self.open_next()?;
                if self.open.is_none() {
                    break;
                }
                continue;
            };
            let position = reading.position();
            match reading.line(&mut self.read)? {
                Some(text) => self.ahead = AuditLine::read(&text).map(|line| (line, position)),
                None => self.open = None,
            }
        }
        Ok(())
    }

    /// Whether nothing follows that can fit.
    fn is_over(&mut self, query: &AuditQuery) -> io::Result<bool> {
        self.look_ahead()?;
        Ok(match &self.ahead {
            Some((line, _)) => query.is_past(line.time),
            None => self.open.is_none() && self.older.is_empty(),
        })
    }

    /// Where to go on, so that the next line is the next again.
    fn position(&mut self) -> io::Result<Position> {
        if let Some((_, position)) = &self.ahead {
            return Ok(*position);
        }
        self.open_next()?;
        let reading = self.open.as_ref();
        Ok(reading.map_or(Position::End, Reading::position))
    }
}

impl Reading {
    fn of(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            file,
            inode: metadata.ino(),
            start: metadata.len(),
            bytes: Vec::new(),
        })
    }

    /// Where what is not told ends.
    fn position(&self) -> Position {
        Position::In {
            inode: self.inode,
            offset: self.start + self.bytes.len() as u64,
        }
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
            if *read > MOST_READ {
                return Ok(Some(Vec::new())); // no line, and the rest another time
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
