//! What full files are called: so that their names sort by time, and are never mistaken for others.
//!
//! `decisions.jsonl` becomes `decisions-2027-03-08.jsonl` when its day is over, and
//! `decisions-2027-03-08-0001.jsonl` when it is too long before that. `-` sorts before `.`, so the
//! parts of a day come before its end, and the file that is still written to comes last.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::civil::Date;

/// The names that belong to one log.
#[derive(Debug)]
pub(crate) struct Names {
    directory: PathBuf,
    stem: String,
    /// With its point; empty where there is none.
    extension: String,
}

/// A file that is written to no more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Full {
    pub(crate) day: Date,
    part: Part,
    pub(crate) path: PathBuf,
}

/// Which part of its day; the order is that of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u32),
    End,
}

/// Why a file is written to no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Because {
    DayIsOver,
    IsLong,
}

impl Names {
    pub(crate) fn of(path: &Path) -> Self {
        let text = |part: Option<&OsStr>| {
            part.map(|part| part.to_string_lossy().into_owned())
                .unwrap_or_default()
        };
        let extension = text(path.extension());
        Self {
            directory: directory(path).to_owned(),
            stem: text(path.file_stem()),
            extension: if extension.is_empty() {
                extension
            } else {
                format!(".{extension}")
            },
        }
    }

    /// What to call the file of this day now.
    pub(super) fn next(&self, day: Date, because: Because) -> io::Result<PathBuf> {
        let of_day = self.full()?.into_iter().filter(|full| full.day == day);
        let mut parts: Vec<Part> = of_day.map(|full| full.part).collect();
        parts.sort_unstable();
        // A day ends twice where the clock was set back in between.
        if because == Because::DayIsOver && parts.last() != Some(&Part::End) {
            return Ok(self.path(day, Part::End));
        }
        let numbers = parts.into_iter().filter_map(|part| match part {
            Part::Number(number) => Some(number),
            Part::End => None,
        });
        let number = numbers.max().unwrap_or(0).saturating_add(1);
        Ok(self.path(day, Part::Number(number)))
    }

    /// All that belong to this log, the oldest first.
    pub(crate) fn full(&self) -> io::Result<Vec<Full>> {
        let mut full = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            full.extend(entry.file_name().to_str().and_then(|name| self.parse(name)));
        }
        full.sort_unstable();
        Ok(full)
    }

    fn path(&self, day: Date, part: Part) -> PathBuf {
        let (stem, extension) = (&self.stem, &self.extension);
        let name = match part {
            Part::Number(number) => format!("{stem}-{day}-{number:04}{extension}"),
            Part::End => format!("{stem}-{day}{extension}"),
        };
        self.directory.join(name)
    }

    /// Takes only what [`Names::path`] makes: what it takes may be deleted one day.
    fn parse(&self, name: &str) -> Option<Full> {
        let rest = name.strip_prefix(self.stem.as_str())?.strip_prefix('-')?;
        let rest = rest.strip_suffix(self.extension.as_str())?;
        let (day, part) = rest.split_at_checked("2027-03-08".len())?;
        let day = day.parse().ok()?;
        let part = match part.strip_prefix('-') {
            Some(number) => Part::Number(number.parse().ok()?),
            None => Part::End,
        };
        let path = self.path(day, part);
        (path.file_name() == Some(OsStr::new(name))).then_some(Full { day, part, path })
    }
}

/// The directory of a file.
pub(super) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Names {
        Names::of(&directory.join("decisions.jsonl"))
    }

    fn with(files: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(directory.path().join(file), "").unwrap();
        }
        directory
    }

    #[track_caller]
    fn check_next(files: &[&str], because: Because, expected: &str) {
        let directory = with(files);
        let day = "2027-03-08".parse().unwrap();
        let next = names(directory.path()).next(day, because).unwrap();
        assert_eq!(next, directory.path().join(expected));
    }

    #[test]
    fn a_day_that_is_over_gives_its_name_and_what_is_long_before_that_a_number() {
        use Because::{DayIsOver, IsLong};
        check_next(&[], DayIsOver, "decisions-2027-03-08.jsonl");
        check_next(&[], IsLong, "decisions-2027-03-08-0001.jsonl");
        let parts = [
            "decisions-2027-03-08-0001.jsonl",
            "decisions-2027-03-08-0009.jsonl",
        ];
        check_next(&parts, IsLong, "decisions-2027-03-08-0010.jsonl");
        check_next(&parts, DayIsOver, "decisions-2027-03-08.jsonl");
    }

    #[test]
    fn no_file_is_ever_replaced_even_if_the_clock_is_set_back() {
        check_next(
            &["decisions-2027-03-08.jsonl"],
            Because::DayIsOver,
            "decisions-2027-03-08-0001.jsonl",
        );
    }

    #[test]
    fn names_sort_by_time() {
        let sorted = [
            "decisions-2027-03-08-0001.jsonl",
            "decisions-2027-03-08-0002.jsonl",
            "decisions-2027-03-08.jsonl",
            "decisions-2027-03-09.jsonl",
            "decisions.jsonl",
        ];
        assert!(sorted.is_sorted());
        let directory = with(&sorted);
        let full = names(directory.path()).full().unwrap();
        let found: Vec<_> = full.iter().map(|full| full.path.clone()).collect();
        let expected: Vec<_> = sorted[..4]
            .iter()
            .map(|name| directory.path().join(name))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn files_of_others_are_not_ours() {
        let others = [
            "decisions-2027-03-08.jsonl.gz",
            "decisions-2027-03-08",
            "decisions-2027-03-08-1.jsonl",
            "decisions-2027-03-08-+001.jsonl",
            "decisions-2027-13-08.jsonl",
            "decisions-20270308T1.jsonl",
            "decisions-old.jsonl",
            "other-2027-03-08.jsonl",
            "decisions-2027-03-0€.jsonl",
            "decisions.jsonl",
        ];
        let directory = with(&others);
        assert_eq!(names(directory.path()).full().unwrap(), []);
    }
}
