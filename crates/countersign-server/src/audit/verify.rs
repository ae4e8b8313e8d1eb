//! Whether the lines of audit logs are all there and are what they were. Pure: lines go in, findings come out.
//!
//! Each line names the hash of the one before, so a line that was changed is found at the next; one that was dropped,
//! put in or moved, by its number. Who rewrites all that follows, or cuts off the end, is found by the heads; who writes
//! another chain, by its name, which nobody knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use countersign_store::{AuditHead, ChainHash, ReplicaId};
use serde::Serialize;

use super::Event;
use super::line::{AuditLine, hash_of};

/// The most findings that are kept: the first says where to look.
const MOST_FINDINGS: usize = 100;

/// Where a line stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The line in it; the first is 1.
    pub line: u64,
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where; nowhere, if it is about a chain that is not there at all.
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    pub at: Option<Place>,
    /// What kind: `changed`, `missing`, `out-of-order`, `unreadable`, `other-than-head`, `cut-off`, `unknown-chain`.
    pub kind: &'static str,
    /// What was expected, and what was found.
    pub message: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// How many lines there are.
    pub lines: u64,
    /// The chains that were found, with how far they go.
    pub chains: Vec<AuditHead>,
    /// How many heads a line was held against.
    pub heads: u64,
    /// The chains of others of which only heads are known here: their lines are to be verified where they lie.
    pub elsewhere: Vec<AuditHead>,
    /// What is wrong, in the order of the lines.
    pub findings: Vec<Finding>,
}

/// Where chains may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// With their first line, unless a line says that what was before is deleted.
    WithTheFirst,
    /// After a line of which the head is known: a part, with the heads that belong to it.
    AfterAHead,
    /// Anywhere, and some chains may not be there: some files of many.
    Anywhere,
}

/// Reads lines, and finds what is wrong with them.
#[derive(Debug)]
pub struct Verifier {
    begin: Begin,
    heads: BTreeMap<ReplicaId, BTreeMap<u64, AuditHead>>,
    own: BTreeSet<ReplicaId>,
    chains: BTreeMap<ReplicaId, Walked>,
    /// What is no line, until one says that it was cut off.
    torn: Option<(Place, Vec<u8>)>,
    lines: u64,
    compared: u64,
    findings: Vec<Finding>,
}

/// One chain, as far as it was walked.
#[derive(Debug)]
struct Walked {
    last: AuditHead,
    at: Place,
    /// Where it begins, if that is not with the first line, and nothing says yet that it may.
    begins: Option<(Place, u64)>,
}

impl Verifier {
    /// Holds lines against these heads. `own` are the chains that must be there as far as their heads go; they may
    /// have none yet.
    pub fn new(begin: Begin, heads: &[AuditHead], own: &[ReplicaId]) -> Self {
        let mut by_replica: BTreeMap<ReplicaId, BTreeMap<u64, AuditHead>> = BTreeMap::new();
        for head in heads {
            let of_chain = by_replica.entry(head.replica.clone()).or_default();
            of_chain.insert(head.n, head.clone());
        }
        Self {
            begin,
            heads: by_replica,
            own: own.iter().cloned().collect(),
            chains: BTreeMap::new(),
            torn: None,
            lines: 0,
            compared: 0,
            findings: Vec::new(),
        }
    }

    /// Takes the next line, with its end if it has one.
    pub fn line(&mut self, at: Place, bytes: &[u8]) {
        self.lines += 1;
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let Some(line) = AuditLine::read(text) else {
            let (_, torn) = self.torn.get_or_insert((at, Vec::new()));
            torn.extend(bytes);
            return;
        };
        self.settle_torn(&line);
        let hash = hash_of(text);
        self.compare(&at, &line, hash);
        self.follow(&at, &line);
        if line.event == Event::LinesDeleted.code() {
            self.excuse(&line);
        }
        let begins = match self.chains.get_mut(&line.replica) {
            Some(known) => known.begins.take(),
            None => self.beginning(&at, &line),
        };
        let last = AuditHead {
            replica: line.replica.clone(),
            n: line.n,
            hash,
            time: line.time,
        };
        self.chains
            .insert(line.replica, Walked { last, at, begins });
    }

    /// What came of it, after the last line.
    pub fn end(mut self) -> Verified {
        if let Some((at, _)) = self.torn.take() {
            self.find(
                Some(at),
                "unreadable",
                "is no audit line, and no line after it says that it was cut off".into(),
            );
        }
        let begins: Vec<_> = self
            .chains
            .values()
            .filter_map(|one| one.begins.clone())
            .collect();
        for (at, n) in begins {
            let before = n - 1;
            self.find(Some(at), "missing", format!("expected line 1 of its chain, found line {n}, and no line says that 1-{before} were deleted"));
        }
        self.find_cut_off();
        Verified {
            lines: self.lines,
            elsewhere: self.elsewhere(),
            chains: self.chains.into_values().map(|one| one.last).collect(),
            heads: self.compared,
            findings: self.findings,
        }
    }

    /// A line in its place holds the hash of the one before.
    fn follow(&mut self, at: &Place, line: &AuditLine) {
        let Some(before) = self.chains.get(&line.replica) else {
            return;
        };
        let (n, last, place) = (before.last.n, before.last.hash, before.at.clone());
        let (found, next) = (line.n, n + 1);
        match found.cmp(&next) {
            std::cmp::Ordering::Equal if line.prev == last => {}
            std::cmp::Ordering::Equal => self.find(
                Some(place),
                "changed",
                format!("line {n} is not what it was: expected the hash {}, as line {found} has it, found {last}", line.prev),
            ),
            std::cmp::Ordering::Greater => self.find(
                Some(at.clone()),
                "missing",
                format!("expected line {next} of its chain, found line {found}: {next}-{} are missing", found - 1),
            ),
            std::cmp::Ordering::Less => self.find(
                Some(at.clone()),
                "out-of-order",
                format!("expected line {next} of its chain, found line {found}: it was put in, or moved"),
            ),
        }
    }

    fn compare(&mut self, at: &Place, line: &AuditLine, hash: ChainHash) {
        let head = self
            .heads
            .get(&line.replica)
            .and_then(|heads| heads.get(&line.n));
        let Some(head) = head.map(|head| head.hash) else {
            return;
        };
        self.compared += 1;
        if head != hash {
            let message = format!(
                "line {} is another than the head of the chain says: expected the hash {head}, found {hash}",
                line.n
            );
            self.find(Some(at.clone()), "other-than-head", message);
        }
    }

    /// A chain that neither is this machine's nor has ever been told to the store may be made up.
    fn must_be_known(&mut self, at: &Place, replica: &ReplicaId) {
        if !self.own.contains(replica) && !self.heads.contains_key(replica) {
            let message = format!(
                "begins the chain `{replica}`, expected one of this machine or of which a head is known"
            );
            self.find(Some(at.clone()), "unknown-chain", message);
        }
    }

    /// Where a chain begins, if not with its first line, nor after a head that is known.
    fn beginning(&mut self, at: &Place, line: &AuditLine) -> Option<(Place, u64)> {
        self.must_be_known(at, &line.replica);
        if line.n == 1 && line.prev == ChainHash::NONE {
            return None;
        }
        let known = self.heads.get(&line.replica);
        let before = line.n.checked_sub(1).and_then(|n| known?.get(&n));
        let may_begin = match self.begin {
            Begin::WithTheFirst => false,
            Begin::AfterAHead => before.is_some_and(|before| before.hash == line.prev),
            Begin::Anywhere => true,
        };
        (!may_begin).then(|| (at.clone(), line.n.max(1)))
    }

    /// A line says that all up to a line were deleted.
    fn excuse(&mut self, line: &AuditLine) {
        let lines = line
            .subject
            .get("lines")
            .and_then(|lines| lines.strip_prefix("1-"));
        let last: Option<u64> = lines.and_then(|last| last.parse().ok());
        if let (Some(chain), Some(last)) = (self.chains.get_mut(&line.replica), last) {
            chain.begins.take_if(|(_, n)| *n <= last.saturating_add(1));
        }
    }

    /// What was cut off is in order where the next line says so.
    fn settle_torn(&mut self, line: &AuditLine) {
        let Some((at, torn)) = self.torn.take() else {
            return;
        };
        let told = line
            .subject
            .get("torn")
            .filter(|_| line.event == Event::ChainResumed.code());
        if told.is_none_or(|told| *told != hash_of(&torn).to_string()) {
            let message = format!(
                "is no audit line, and line {} after it does not say that it was cut off",
                line.n
            );
            self.find(Some(at), "unreadable", message);
        }
    }

    /// Chains that end before a head, and own ones that are not there at all.
    fn find_cut_off(&mut self) {
        let mut findings = Vec::new();
        for (replica, heads) in &self.heads {
            let Some(last) = heads.keys().next_back() else {
                continue;
            };
            match self.chains.get(replica) {
                Some(found) if found.last.n < *last => findings.push((
                    Some(found.at.clone()),
                    format!("ends with line {} of its chain, expected line {last}, of which the head is known", found.last.n),
                )),
                None if self.must_be_there(replica) => findings.push((
                    None,
                    format!("of the chain `{replica}` there is no line, expected {last}, of which the head is known"),
                )),
                Some(_) | None => {}
            }
        }
        for (at, message) in findings {
            self.find(at, "cut-off", message);
        }
    }

    fn must_be_there(&self, replica: &ReplicaId) -> bool {
        match self.begin {
            Begin::WithTheFirst | Begin::AfterAHead => self.own.contains(replica),
            Begin::Anywhere => false,
        }
    }

    /// The last head of each chain that has no line here, and need not.
    fn elsewhere(&self) -> Vec<AuditHead> {
        let absent = self.heads.iter().filter(|(replica, _)| {
            !self.chains.contains_key(replica) && !self.must_be_there(replica)
        });
        let last = absent.filter_map(|(_, heads)| Some(heads.last_key_value()?.1.clone()));
        last.collect()
    }

    fn find(&mut self, at: Option<Place>, kind: &'static str, message: String) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(Finding { at, kind, message });
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { file, line }) = &self.at {
            write!(f, "{file}:{line}: ")?;
        }
        write!(f, "{}: {}", self.kind, self.message)
    }
}
