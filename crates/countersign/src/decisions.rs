//! The decision log, read back: quickly, in order, and with a place for all that is wrong.
//!
//! One thread reads and cuts at line ends, the cores parse (and do what the caller wants done with
//! each line), and the caller gets the results in the order of the files. Memory stays at a few
//! MiB however long the log is.

mod cut;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use countersign_server::Dropped;
use serde::de::DeserializeOwned;
use thiserror::Error;

use cut::{Chunk, Cutter};

/// A log that is about to be read: the files and directories that were named, in their order.
///
/// Of a directory every file `*.jsonl` but the audit log is read, by name, which for a rotated log is by time. `-` is stdin.
#[derive(Debug)]
pub struct Decisions {
    sources: Vec<Source>,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<T> {
    /// Where it stands.
    pub place: LinePlace,
    /// What it says.
    pub content: Content<T>,
}

/// Where a line stands. Prints as `decisions.jsonl:17`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinePlace {
    /// The file; `-` for stdin.
    pub file: Arc<Path>,
    /// The number of the line, from 1.
    pub line: u64,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content<T> {
    /// A decision.
    Decision(T),
    /// Decisions are missing here, which nobody could write down.
    Gap(Dropped),
    /// The end of a file that is being written to, or was when the program died: the beginning of a line.
    Torn,
    /// Something else.
    Wrong(Mistake),
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where in the line, in bytes from 1.
    pub column: usize,
    /// What was expected.
    pub message: String,
}

/// Why a log can't be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The system refuses.
    #[error("can't read `{}`: {source}", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is no log in this directory.
    #[error("no file `*.jsonl` is in the directory `{}`", .0.display())]
    EmptyDirectory(PathBuf),
    /// What was to be done with the lines has failed.
    #[error("not all lines could be worked on")]
    Unfinished,
    /// Not a log at all.
    #[error("`{place}` is longer than {} MiB: this is no decision log", cut::LONGEST_LINE >> 20)]
    LongLine {
        /// The line.
        place: LinePlace,
    },
}

#[derive(Debug)]
struct Source {
    path: PathBuf,
    /// None for stdin.
    file: Option<File>,
    bytes: Option<u64>,
}

impl Decisions {
    /// Opens everything, so that what is missing is known before anything is read.
    pub fn open<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, ReadError> {
        let mut sources = Vec::new();
        for path in paths {
            let path = path.as_ref();
            if path.is_dir() {
                for file in files_of(path)? {
                    sources.push(Source::open(file)?);
                }
            } else {
                sources.push(Source::open(path.to_owned())?);
            }
        }
        Ok(Self { sources })
    }

    /// How much there is to read, in bytes, where that can be known.
    pub fn bytes(&self) -> Option<u64> {
        self.sources.iter().map(|source| source.bytes).sum()
    }

    /// Reads every line.
    pub fn read<T: DeserializeOwned + Send + 'static>(self) -> Results<Line<T>> {
        self.map(|line| line)
    }

    /// Reads every line, and does `work` with each on all cores. The results come in order.
    pub fn map<T: DeserializeOwned, U: Send + 'static>(
        self,
        work: impl Fn(Line<T>) -> U + Send + Sync + 'static,
    ) -> Results<U> {
        self.on_all_cores(move |chunk| lines(chunk).map(&work).collect())
    }

    /// Reads every line, and adds up each piece of the log on one of the cores. The sums come in the
    /// order of the pieces, some hundred lines to each.
    pub fn fold<T: DeserializeOwned, A: Default + Send + 'static>(
        self,
        add: impl Fn(&mut A, Line<T>) + Send + Sync + 'static,
    ) -> Results<A> {
        self.on_all_cores(move |chunk| {
            let mut sum = A::default();
            lines(chunk).for_each(|line| add(&mut sum, line));
            vec![sum]
        })
    }

    fn on_all_cores<U: Send + 'static>(
        self,
        work: impl Fn(&Chunk) -> Vec<U> + Send + Sync + 'static,
    ) -> Results<U> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        // Twice as many as are worked on: nobody waits for work, and little waits in memory.
        let (tasks, todo) = sync_channel(2 * cores);
        let (promises, results) = sync_channel(2 * cores);
        let (todo, work) = (Arc::new(Mutex::new(todo)), Arc::new(work));
        for _ in 0..cores {
            let (todo, work) = (Arc::clone(&todo), Arc::clone(&work));
            thread::spawn(move || work_on_all(&todo, &*work));
        }
        thread::spawn(move || cut_all(self.sources, &tasks, &promises));
        Results {
            promises: results,
            ready: Vec::new().into_iter(),
            bytes: 0,
        }
    }
}

/// What comes of each line, or of each piece, in order. After an error nothing comes.
#[derive(Debug)]
pub struct Results<U> {
    promises: Receiver<Promise<U>>,
    ready: std::vec::IntoIter<U>,
    bytes: u64,
}

type Promise<U> = Result<Receiver<Parsed<U>>, ReadError>;

#[derive(Debug)]
struct Parsed<U> {
    results: Vec<U>,
    bytes: u64,
}

impl<U> Results<U> {
    /// How much has been read, in bytes; of the size of [`Decisions::bytes`] at the end.
    pub fn bytes_read(&self) -> u64 {
        self.bytes
    }
}

impl<U> Iterator for Results<U> {
    type Item = Result<U, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(ready) = self.ready.next() {
                return Some(Ok(ready));
            }
            match self.promises.recv().ok()? {
                Err(error) => return Some(Err(error)),
                Ok(promise) => match promise.recv() {
                    Ok(parsed) => {
                        self.bytes += parsed.bytes;
                        self.ready = parsed.results.into_iter();
                    }
                    // Its thread has panicked: a log that is passed over in part is not a shorter log.
                    Err(_) => return Some(Err(ReadError::Unfinished)),
                },
            }
        }
    }
}

/// A piece of a file, and whom to hand what comes of it.
type Task<U> = (Chunk, SyncSender<Parsed<U>>);

/// Cuts the files into chunks of whole lines. Ends early when nobody wants the results any more.
fn cut_all<U>(
    sources: Vec<Source>,
    tasks: &SyncSender<Task<U>>,
    promises: &SyncSender<Promise<U>>,
) {
    for source in sources {
        for chunk in source.chunks() {
            let promise = chunk.map(|chunk| {
                let (keep, promise) = sync_channel(1);
                (promise, (chunk, keep))
            });
            let is_wanted = match promise {
                Ok((promise, task)) => {
                    promises.send(Ok(promise)).is_ok() && tasks.send(task).is_ok()
                }
                Err(error) => promises.send(Err(error)).is_err(),
            };
            if !is_wanted {
                return;
            }
        }
    }
}

fn work_on_all<U>(todo: &Mutex<Receiver<Task<U>>>, work: &impl Fn(&Chunk) -> Vec<U>) {
    loop {
        let task = todo.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((chunk, keep)) = task else { return };
        let parsed = Parsed {
            results: work(&chunk),
            bytes: chunk.bytes(),
        };
        // Nobody wants it if the reader of the results has stopped.
        let _ = keep.send(parsed);
    }
}

fn lines<T: DeserializeOwned>(chunk: &Chunk) -> impl Iterator<Item = Line<T>> {
    chunk.lines().map(|(place, text, end)| Line {
        place,
        content: content(text, end),
    })
}

/// How a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Line,
    File,
}

fn content<T: DeserializeOwned>(text: &[u8], end: End) -> Content<T> {
    let error = match serde_json::from_slice(text) {
        Ok(decision) => return Content::Decision(decision),
        Err(error) => error,
    };
    match (serde_json::from_slice(text), end) {
        (Ok(gap), _) => Content::Gap(gap),
        (Err(_), End::File) if error.is_eof() => Content::Torn,
        (Err(_), End::File | End::Line) => Content::Wrong(Mistake::of(&error)),
    }
}

impl Mistake {
    fn of(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        // It counts the lines of what it was given, which is always one.
        let message = text
            .rsplit_once(" at line 1 column ")
            .map_or(&*text, |it| it.0);
        Self {
            column: error.column().max(1),
            // What a line says may come from anywhere, and must not steer a terminal.
            message: message.replace(char::is_control, "\u{fffd}"),
        }
    }
}

impl Source {
    fn open(path: PathBuf) -> Result<Self, ReadError> {
        if path == Path::new("-") {
            let (file, bytes) = (None, None);
            return Ok(Self { path, file, bytes });
        }
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?, file)));
        match opened {
            Ok((metadata, file)) => Ok(Self {
                bytes: metadata.is_file().then_some(metadata.len()),
                file: Some(file),
                path,
            }),
            Err(source) => Err(ReadError::Unreadable { path, source }),
        }
    }

    fn chunks(self) -> Cutter {
        let input: Box<dyn Read + Send> = match self.file {
            Some(file) => Box::new(file),
            None => Box::new(io::stdin()),
        };
        Cutter::new(self.path.into(), input)
    }
}

/// The logs of a directory, sorted by name.
fn files_of(directory: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let found: io::Result<Vec<PathBuf>> = fs::read_dir(directory).and_then(|entries| {
        entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect()
    });
    let mut files = found.map_err(|source| ReadError::Unreadable {
        path: directory.to_owned(),
        source,
    })?;
    // The audit log lies in the same directory, and holds no decisions.
    let is_audit = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("audit"))
    };
    files.retain(|path| {
        path.extension().is_some_and(|one| one == "jsonl") && path.is_file() && !is_audit(path)
    });
    files.sort_unstable();
    if files.is_empty() {
        return Err(ReadError::EmptyDirectory(directory.to_owned()));
    }
    Ok(files)
}

impl fmt::Display for LinePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.column, self.message)
    }
}

#[cfg(test)]
mod tests;
