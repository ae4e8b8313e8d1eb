//! The table to import, from its beginning, as often as it is needed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// What stands for standard input.
const STDIN: &str = "-";

/// A table that can be read again.
#[derive(Debug)]
pub(super) struct Input {
    /// As problems name it.
    pub(super) name: String,
    file: File,
    /// How long it was when it was opened.
    pub(super) bytes: u64,
}

impl Input {
    /// What comes only once (standard input, a pipe) is first copied to a file without a name.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if path.as_os_str() == STDIN {
            return Self::copied("stdin".to_owned(), io::stdin().lock());
        }
        let name = path.display().to_string();
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if !metadata.is_file() {
            return Self::copied(name, file);
        }
        let bytes = metadata.len();
        Ok(Self { name, file, bytes })
    }

    fn copied(name: String, mut from: impl Read) -> io::Result<Self> {
        let mut file = tempfile::tempfile()?;
        let bytes = io::copy(&mut from, &mut file)?;
        Ok(Self { name, file, bytes })
    }

    /// From the beginning.
    pub(super) fn read(&mut self) -> io::Result<&mut File> {
        self.file.seek(SeekFrom::Start(0))?;
        Ok(&mut self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(input: &mut Input) -> String {
        let mut text = String::new();
        input.read().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn what_comes_once_can_be_read_twice() {
        let mut input = Input::copied("a pipe".into(), &b"account,created\n"[..]).unwrap();
        assert_eq!(input.bytes, 16);
        for _ in 0..2 {
            assert_eq!(text(&mut input), "account,created\n");
        }
    }

    #[test]
    fn a_directory_or_nothing_is_no_table() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Input::open(directory.path()).is_err());
        assert!(Input::open(&directory.path().join("nothing")).is_err());
    }
}
