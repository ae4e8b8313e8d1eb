//! `countersign audit export`: lines to stdout as they stand there, and the heads that belong to them to a file.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use countersign_server::{AuditFile, AuditLine, hash_of};
use countersign_store::{AuditHead, ReplicaId};

use super::super::{load, store};
use super::lines::{self, Going};
use super::search::{When, is_broken_pipe};
use super::{With, must_be_on};

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    #[command(flatten)]
    when: When,
    /// Write the heads of these lines to this file, for `verify --heads`
    #[arg(long, value_name = "FILE")]
    heads: Option<PathBuf>,
    #[command(flatten)]
    with: With,
}

/// Which lines of each chain go out, by their places among all that are read: from the first that fits to the last, with all
/// between. Lines have the times at which their requests began, so they do not stand in the order of time.
type Ranges = BTreeMap<ReplicaId, RangeInclusive<u64>>;

/// What went out, by chain.
type Parts = BTreeMap<ReplicaId, Part>;

/// Which lines of a chain went out.
#[derive(Debug, Default)]
struct Part {
    /// The line before the first, and the last.
    ends: Option<(AuditHead, AuditHead)>,
}

pub(super) fn run(export: &ExportArguments) -> Result<()> {
    let Some(installation) = load(&export.with.config) else {
        bail!("nothing was exported");
    };
    must_be_on(&installation.audit_log)?;
    let known = super::heads(&*store::to_look(&installation)?)?;
    let files = lines::of(&installation.audit_log)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let written = write_lines(&files, &export.when, &mut out);
    let parts = match written.and_then(|parts| Ok(out.flush().map(|()| parts)?)) {
        Err(error) if is_broken_pipe(&error) => return Ok(()),
        written => written?,
    };
    match &export.heads {
        Some(path) => write_heads(path, parts, &known),
        None => Ok(()),
    }
}

fn write_lines(files: &[AuditFile], when: &When, out: &mut impl Write) -> Result<Parts> {
    let ranges = ranges(files, when)?;
    let mut parts = Parts::new();
    let mut place = 0;
    lines::walk(files, |_, bytes| {
        place += 1;
        if !ranges.values().any(|range| range.contains(&place)) {
            return Ok(Going::On);
        }
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        match AuditLine::read(text) {
            Some(line) => {
                let range = ranges.get(&line.replica);
                if range.is_some_and(|range| range.contains(&place)) {
                    out.write_all(bytes)?;
                    note(&mut parts, line, text);
                }
            }
            // What was cut off goes along: the next line tells of it.
            None => out.write_all(bytes)?,
        }
        Ok(Going::On)
    })?;
    Ok(parts)
}

fn ranges(files: &[AuditFile], when: &When) -> Result<Ranges> {
    let mut ranges = Ranges::new();
    let query = when.query();
    let mut place = 0;
    lines::walk(files, |_, bytes| {
        place += 1;
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        if let Some(line) = AuditLine::read(text).filter(|line| query.has(line.time)) {
            let range = ranges.entry(line.replica).or_insert(place..=place);
            *range = *range.start()..=place;
        }
        Ok(Going::On)
    })?;
    Ok(ranges)
}

fn note(parts: &mut Parts, line: AuditLine, text: &[u8]) {
    let part = parts.entry(line.replica.clone()).or_default();
    let last = AuditHead {
        replica: line.replica,
        n: line.n,
        hash: hash_of(text),
        time: line.time,
    };
    let before = part.ends.take().map_or_else(
        || AuditHead {
            n: last.n.saturating_sub(1),
            hash: line.prev,
            ..last.clone()
        },
        |(before, _)| before,
    );
    part.ends = Some((before, last));
}

fn write_heads(path: &PathBuf, parts: Parts, known: &[AuditHead]) -> Result<()> {
    let text = serde_json::to_string_pretty(&heads_of(parts, known))?;
    fs::write(path, text).with_context(|| format!("can't write `{}`", path.display()))
}

/// The ends of each part, and what the store knows of the lines between.
fn heads_of(parts: Parts, known: &[AuditHead]) -> Vec<AuditHead> {
    let mut heads = Vec::new();
    for (before, last) in parts.into_values().filter_map(|part| part.ends) {
        let between = known
            .iter()
            .filter(|head| head.replica == last.replica && head.n > before.n && head.n < last.n);
        heads.extend(between.cloned());
        heads.push(before);
        heads.push(last);
    }
    heads.sort_unstable();
    heads
}

#[cfg(test)]
mod tests {
    use countersign_server::{
        AuditLog, AuditLogSettings, Begin, By, Event, Happening, LogFileSettings, Place, Rotate,
        SystemEntropy, Verifier, Writer,
    };
    use jiff::Timestamp;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn what_is_exported_of_a_time_is_a_whole_part_of_a_chain_and_verifies() {
        let directory = tempfile::tempdir().unwrap();
        let settings = AuditLogSettings::File(LogFileSettings {
            path: directory.path().join("audit.jsonl"),
            rotate: Rotate::Never,
            max_bytes: None,
            keep_days: None,
            keep_files: None,
        });
        let made = (&SystemEntropy as _, at(0));
        let log = AuditLog::open(&settings, Writer::Server, directory.path(), &[], made).unwrap();
        // The third took longest, and began later than those around it.
        for second in [0, 10, 50, 20, 60] {
            let happening = Happening::new(Event::SignedIn, By::Nobody);
            log.write(happening, at(second));
        }
        log.close().unwrap();

        let when = When::between(at(10), at(40));
        let mut out = Vec::new();
        let files = lines::of(&settings).unwrap();
        let parts = write_lines(&files, &when, &mut out).unwrap();
        let heads = heads_of(parts, &[]);
        let own = [heads[0].replica.clone()];
        let mut verifier = Verifier::new(Begin::AfterAHead, &heads, &own);
        for (line, text) in (1..).zip(out.split_inclusive(|byte| *byte == b'\n')) {
            let file = String::new();
            verifier.line(Place { file, line }, text);
        }
        let verified = verifier.end();
        assert_eq!((verified.lines, verified.findings), (3, Vec::new()));
    }
}
