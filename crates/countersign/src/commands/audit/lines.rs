//! The lines of audit logs, file after file, one at a time however long they are.

use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;

use anyhow::{Context, Result};
use countersign_server::{AuditFile, AuditLine, AuditLogSettings, Place};

/// The longest line, in bytes: many times what we write. What is longer is read in pieces, none of which is a line.
const LONGEST: u64 = 1 << 20;
/// All files of an installation.
pub(super) fn of(settings: &AuditLogSettings) -> Result<Vec<AuditFile>> {
    let opened = settings.open_files();
    opened.context("the audit log can't be looked at")
}

/// These files.
pub(super) fn open(path: &Path) -> Result<AuditFile> {
    AuditFile::open(path).with_context(|| format!("can't read `{}`", path.display()))
}

/// Goes through all lines, each with its end if it has one, until `each` says that it is enough. Half a line at the end
/// of a file is passed over. May be done again: the same files come in the same order.
pub(super) fn walk(
    files: &[AuditFile],
    mut each: impl FnMut(Place, &[u8]) -> Result<Going>,
) -> Result<()> {
    for AuditFile { path, file } in files {
        let name = path.display().to_string();
        let mut file = file;
        file.rewind()?;
        let mut reader = BufReader::with_capacity(256 << 10, file);
        let (mut line, mut number) = (Vec::new(), 0);
        while read(&mut reader, &mut line).with_context(|| format!("can't read `{name}`"))? {
            // Whoever writes it is about to end it; or never will, as the line after a crash says then.
            if is_unfinished(&line) {
                break;
            }
            number += 1;
            let place = Place {
                file: name.clone(),
                line: number,
            };
            match each(place, &line)? {
                Going::On => {}
                Going::Enough => return Ok(()),
            }
        }
    }
    Ok(())
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Going {
    On,
    Enough,
}

fn is_unfinished(line: &[u8]) -> bool {
    let is_piece = line.len() as u64 >= LONGEST;
    !line.ends_with(b"\n") && !is_piece && AuditLine::read(line).is_none()
}

fn read(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    Ok(reader.take(LONGEST).read_until(b'\n', line)? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        std::fs::write(&path, text).unwrap();
        let mut found = Vec::new();
        let all = walk(&[open(&path).unwrap()], |_, line| {
            found.push(String::from_utf8(line.to_vec()).unwrap());
            Ok(Going::On)
        });
        all.unwrap();
        found
    }

    #[test]
    fn a_line_that_is_being_written_is_none_yet() {
        let whole = format!(
            r#"{{"v":1,"n":1,"time":"2027-03-08T12:00:00Z","replica":"a","event":"signed-in","actor":"nobody","prev":"{}"}}"#,
            "0".repeat(64)
        );
        assert_eq!(
            lines(&format!("{whole}\n{{\"v\":1,\"n\"")),
            [format!("{whole}\n")]
        );
        // One that only lacks its end is one, and one that has an end is to be told of.
        assert_eq!(lines(&whole), [whole.as_str()]);
        assert_eq!(lines("{\"v\":1,\"n\"\n"), ["{\"v\":1,\"n\"\n"]);
        assert_eq!(lines(&"a".repeat(1 << 20)).len(), 1);
    }
}
