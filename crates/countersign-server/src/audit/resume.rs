//! Where a chain goes on at a start: after the last line that is whole, or, where the store knows of later ones,
//! after those. Whatever is left of a line that was cut off, and whatever is missing, the next line says.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use countersign_store::{AuditHead, ReplicaId};

use super::line::{AuditLine, Chain, hash_of};
use super::{By, Event, Happening, Subject};

/// How much of the end of a file is read, in bytes: hundreds of lines.
const TAIL: u64 = 256 << 10;

/// Where the chain goes on, and what is to be said of it first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resumed {
    pub(super) chain: Chain,
    pub(super) first: Option<Happening>,
}

/// What stands at the end of the files.
struct End {
    chain: Option<Chain>,
    /// What no line is, after the last that is one.
    torn: Vec<u8>,
}

/// Looks for the end of this replica's chain in these files, the newest first.
pub(super) fn resume<'p>(
    newest_first: impl IntoIterator<Item = &'p Path>,
    replica: &ReplicaId,
    heads: &[AuditHead],
) -> io::Result<Resumed> {
    let mut torn = Vec::new();
    let mut found = None;
    for path in newest_first {
        let tail = tail(path)?;
        let end = end_of(&tail, replica);
        torn = [end.torn, torn].concat();
        found = end.chain;
        // A file in which nothing is whole says nothing of the one before.
        if found.is_some() || (!tail.is_empty() && torn.is_empty()) {
            break;
        }
    }
    let chain = found.unwrap_or_else(|| Chain::new(replica.clone()));
    Ok(reconcile(chain, &torn, last_head(replica, heads)))
}

fn reconcile(chain: Chain, torn: &[u8], head: Option<&AuditHead>) -> Resumed {
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
        Some(head) if head.n == chain.n && head.hash != chain.last => {
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

/// The last line that is one of this chain, and all that follows it.
fn end_of(tail: &[u8], replica: &ReplicaId) -> End {
    let mut torn: Vec<u8> = Vec::new();
    let lines = tail.split_inclusive(|byte| *byte == b'\n');
    let lines: Vec<&[u8]> = lines.collect();
    for line in lines.into_iter().rev() {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        match AuditLine::read(text) {
            Some(read) if read.replica == *replica => {
                let chain = Chain {
                    replica: read.replica,
                    n: read.n,
                    last: hash_of(text),
                    time: read.time,
                };
                return End {
                    chain: Some(chain),
                    torn,
                };
            }
            // Another replica's file was put here: this chain begins after it.
            Some(_) => break,
            None => torn = [line, &torn].concat(),
        }
    }
    End { chain: None, torn }
}

fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    if from > 0 {
        // The first of them is likely no whole line.
        let whole = tail.iter().position(|byte| *byte == b'\n');
        tail.drain(..whole.map_or(tail.len(), |end| end + 1));
    }
    Ok(tail)
}
