//! Where a chain goes on at a start: after the last line that is whole, or, where the store knows of later ones,
//! after those. Whatever is left of a line that was cut off, and whatever is missing or another, the next line says.
//!
//! What the store knows is held against the files here, and not by `verify` alone: the store keeps the last heads only.
//! The line of the last head is as good as all before it, since each names the hash of the one before.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use countersign_store::{AuditHead, ChainHash, ReplicaId};

use super::line::{AuditLine, Chain, hash_of};
use super::{By, Event, Happening, Subject};

/// How much of the end of a file is read first, in bytes: hundreds of lines. Four times as much each time that the
/// line of the head is not among them.
const TAIL: u64 = 256 << 10;

/// Where the chain goes on, and what is to be said of it first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resumed {
    pub(super) chain: Chain,
    pub(super) first: Option<Happening>,
}

/// What stands at the end of a file.
#[derive(Default)]
struct End {
    /// The number of the first line of this chain that was read.
    first: Option<u64>,
    chain: Option<Chain>,
    /// What no line is, after the last that is one.
    torn: Vec<u8>,
    /// The last line is another chain's: this one begins after it.
    is_anothers: bool,
    /// The hash of the line that the head is of.
    at_head: Option<ChainHash>,
}

/// Looks for the end of this replica's chain in these files, the newest first.
pub(super) fn resume<'p>(
    newest_first: impl IntoIterator<Item = &'p Path>,
    replica: &ReplicaId,
    heads: &[AuditHead],
) -> io::Result<Resumed> {
    let head = last_head(replica, heads);
    let (mut torn, mut chain, mut at_head) = (Vec::new(), None, None);
    for path in newest_first {
        let end = end_of(path, replica, head)?;
        // A file in which nothing is whole says nothing of the one before.
        if chain.is_none() {
            torn = [end.torn, torn].concat();
            chain = end.chain;
        }
        at_head = at_head.or(end.at_head);
        let is_found = chain.is_some() && is_reached(head, end.first);
        if is_found || end.is_anothers {
            break;
        }
    }
    let chain = chain.unwrap_or_else(|| Chain::new(replica.clone()));
    Ok(reconcile(chain, &torn, head, at_head))
}

fn reconcile(
    chain: Chain,
    torn: &[u8],
    head: Option<&AuditHead>,
    at_head: Option<ChainHash>,
) -> Resumed {
    let say = |reason| Happening::new(Event::ChainResumed, By::Nobody).because(reason);
    let torn_hash = (!torn.is_empty()).then(|| hash_of(torn));
    let (chain, first) = match head {
        // The store knows more than there is. To go on with its number leaves the gap where it is.
        Some(head) if head.n > chain.n => {
            let gap = format!("{}-{}", chain.n + 1, head.n);
            let first = say("lines-missing").about(Subject::Lines, gap);
            let chain = Chain {
                n: head.n,
                last: head.hash,
                time: head.time,
                ..chain
            };
            (chain, Some(first))
        }
        // Somebody has written it anew. To go on with the hash of the line that was there leaves the break where it is,
        // whatever becomes of the head.
        Some(head) if at_head.is_some_and(|found| found != head.hash) => {
            let chain = Chain {
                last: head.hash,
                ..chain
            };
            (chain, Some(say("other-than-head")))
        }
        Some(_) | None if torn_hash.is_some() => (chain, Some(say("torn-line"))),
        Some(_) | None => (chain, None),
    };
    let first = first.map(|first| first.about_any(Subject::Torn, torn_hash));
    Resumed { chain, first }
}

fn last_head<'h>(replica: &ReplicaId, heads: &'h [AuditHead]) -> Option<&'h AuditHead> {
    let own = heads.iter().filter(|head| head.replica == *replica);
    own.max_by_key(|head| head.n)
}

/// Whether lines were read from the head's on.
fn is_reached(head: Option<&AuditHead>, first: Option<u64>) -> bool {
    match (head, first) {
        (None, _) => true,
        (Some(head), Some(first)) => first <= head.n,
        (Some(_), None) => false,
    }
}

/// The end of a file, from the line of the head on if it is there.
fn end_of(path: &Path, replica: &ReplicaId, head: Option<&AuditHead>) -> io::Result<End> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut tail = TAIL;
    loop {
        let from = length.saturating_sub(tail);
        file.seek(SeekFrom::Start(from))?;
        let mut lines = BufReader::new(&file);
        if from > 0 {
            // The first of them is likely no whole line.
            lines.skip_until(b'\n')?;
        }
        let end = End::read(lines, replica, head)?;
        if from == 0 || (end.chain.is_some() && is_reached(head, end.first)) {
            return Ok(end);
        }
        tail = tail.saturating_mul(4);
    }
}

impl End {
    fn read(
        mut from: impl BufRead,
        replica: &ReplicaId,
        head: Option<&AuditHead>,
    ) -> io::Result<Self> {
        let mut end = Self::default();
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line)? > 0 {
            end.add(&line, replica, head);
            line.clear();
        }
        Ok(end)
    }

    fn add(&mut self, line: &[u8], replica: &ReplicaId, head: Option<&AuditHead>) {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let Some(read) = AuditLine::read(text) else {
            self.torn.extend(line);
            return;
        };
        self.torn.clear();
        self.is_anothers = read.replica != *replica;
        if self.is_anothers {
            self.chain = None;
            return;
        }
        let last = hash_of(text);
        self.first.get_or_insert(read.n);
        if head.is_some_and(|head| head.n == read.n) {
            self.at_head = Some(last);
        }
        self.chain = Some(Chain {
            replica: read.replica,
            n: read.n,
            last,
            time: read.time,
        });
    }
}
