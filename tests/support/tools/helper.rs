//! Our own credential helper, as somebody has it: with what it keeps in a home of its own.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{Ended, Terminal};
use crate::program::built;

/// `countersign-credential` and `docker-credential-countersign`.
#[derive(Debug)]
pub struct Helper {
    home: TempDir,
    more: Vec<(&'static str, String)>,
}

impl Default for Helper {
    fn default() -> Self {
        Self::new()
    }
}

impl Helper {
    /// Of somebody who has signed in nowhere.
    pub fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let program = built("countersign-credential", "COUNTERSIGN_CREDENTIAL_BIN");
        let docker = program.with_file_name("docker-credential-countersign");
        for program in [program, docker] {
            let name = program.file_name().expect("a name");
            symlink(&program, home.path().join(name)).expect("a link");
        }
        // Of no screen, unless somebody says so.
        let more = ["BROWSER", "DISPLAY", "WAYLAND_DISPLAY"].map(|name| (name, String::new()));
        Self {
            home,
            more: more.into(),
        }
    }

    /// What runs it with a tool.
    pub fn program(&self) -> PathBuf {
        self.home.path().join("countersign-credential")
    }

    /// What a tool that runs it must have in its surroundings.
    pub fn surroundings(&self) -> Vec<(&'static str, String)> {
        let home = self.home.path().display();
        let path = std::env::var("PATH").unwrap_or_default();
        let own = [
            ("XDG_CONFIG_HOME", home.to_string()),
            ("PATH", format!("{home}:{path}")),
        ];
        own.into_iter().chain(self.more.clone()).collect()
    }

    /// Has this in its surroundings from now on.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.more.push((name, value.to_owned()));
    }

    /// A shell script that is found before all other programs.
    pub fn script(&self, name: &str, lines: &str) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))
            .expect("its rights");
        path
    }

    /// What stands in a file of its home; nothing where there is none.
    pub fn read(&self, name: &str) -> String {
        read(&self.home.path().join(name))
    }

    /// Runs it at a terminal.
    pub fn run(&self, arguments: &[&str]) -> Terminal {
        let mut command = Command::new(self.program());
        command.args(arguments).envs(self.surroundings());
        Terminal::run(&command)
    }

    /// Runs it at a terminal to its end.
    pub async fn finish(&self, arguments: &[&str]) -> Ended {
        self.run(arguments).end().await
    }

    /// Runs one of its programs as a tool does, with this on its standard input; whether it went well, and what it wrote to
    /// standard output and to standard error.
    pub fn ask(&self, program: &str, arguments: &[&str], input: &str) -> (bool, String, String) {
        let file = self.home.path().join("input");
        std::fs::write(&file, input).expect("a file");
        let output = Command::new(self.home.path().join(program))
            .args(arguments)
            .envs(self.surroundings())
            .stdin(Stdio::from(std::fs::File::open(&file).expect("the file")))
            .output()
            .expect("the helper");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.success(),
            text(&output.stdout),
            text(&output.stderr),
        )
    }

    /// What it keeps.
    pub fn file(&self) -> PathBuf {
        self.home.path().join("countersign/credentials.json")
    }

    /// The rights of what it keeps.
    pub fn mode(&self) -> u32 {
        let data = std::fs::metadata(self.file()).expect("its file");
        data.permissions().mode() & 0o777
    }

    /// All keys that it keeps.
    pub fn kept(&self) -> String {
        read(&self.file())
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
