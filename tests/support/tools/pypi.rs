//! What people publish and install Python packages with, and pypiserver, an index that takes them.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Ended, Running, Terminal, free_address, python, zip};

/// An index that lets everybody do everything: what stands in front of it decides.
#[derive(Debug)]
pub struct PypiServer {
    /// Where it listens.
    pub url: String,
    packages: TempDir,
    _running: Running,
}

impl PypiServer {
    /// Starts one without packages.
    pub fn start() -> Self {
        let packages = tempfile::tempdir().expect("a directory");
        let address = free_address();
        let port = address.port().to_string();
        let mut command = Command::new(python("bin/pypi-server"));
        command
            .args(["run", "--interface", "127.0.0.1", "--port", &port])
            // No passwords of its own, for nothing.
            .args([
                "--passwords",
                ".",
                "--authenticate",
                ".",
                "--disable-fallback",
            ])
            .arg(packages.path());
        Self {
            url: format!("http://{address}"),
            _running: Running::start(&mut command, address),
            packages,
        }
    }

    /// The names of the files that it has, in order.
    pub fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.packages.path()).expect("its directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
        names.sort();
        names
    }

    /// A file that it has.
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.packages.path().join(name)).expect("a file")
    }
}

/// Somebody's Python tools, with a home of their own.
#[derive(Debug)]
pub struct Python(TempDir);

impl Default for Python {
    fn default() -> Self {
        Self::new()
    }
}

impl Python {
    /// Without settings.
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    /// A wheel with one module.
    pub fn wheel(&self, name: &str, version: &str) -> PathBuf {
        let directory = self.0.path().join(format!("{name}-{version}"));
        std::fs::create_dir(&directory).expect("a directory");
        let info = |file: &str| format!("{name}-{version}.dist-info/{file}");
        let module = format!("{name}/__init__.py");
        let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
        let wheel =
            "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
        let record = [&module, &info("METADATA"), &info("WHEEL"), &info("RECORD")];
        let record = record.map(|file| format!("{file},,\n")).concat();
        let files = [
            (module.as_str(), "GREETING = 'hello'\n"),
            (&info("METADATA"), &metadata),
            (&info("WHEEL"), wheel),
            (&info("RECORD"), &record),
        ];
        zip(
            &directory,
            &format!("{name}-{version}-py3-none-any.whl"),
            &files,
        )
    }

    /// `twine upload` with this key.
    pub async fn twine(&self, index: &str, key: &str, file: &Path) -> Ended {
        let mut command = self.command("twine");
        command
            .args(["upload", "--non-interactive", "--disable-progress-bar"])
            .args(["--repository-url", index, "--username", "__token__"])
            .arg(file)
            .env("TWINE_PASSWORD", key);
        Terminal::run(&command).end().await
    }

    /// `uv publish` with this key.
    pub async fn uv(&self, index: &str, key: &str, file: &Path) -> Ended {
        let mut command = self.command("uv");
        command
            .args(["publish", "--no-config", "--trusted-publishing=never"])
            .args(["--publish-url", index])
            .arg(file)
            .env("UV_PUBLISH_TOKEN", key);
        Terminal::run(&command).end().await
    }

    /// `pip download` without any credential; where the file is then.
    pub async fn pip(&self, index: &str, requirement: &str) -> (Ended, PathBuf) {
        let to = self.0.path().join("downloads");
        let mut command = self.command("pip");
        command
            .args([
                "download",
                "--isolated",
                "--no-deps",
                "--disable-pip-version-check",
            ])
            .args(["--index-url", &format!("{index}/simple/"), "--dest"])
            .arg(&to)
            .arg(requirement);
        (Terminal::run(&command).end().await, to)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(python("bin").join(program));
        command
            .env("HOME", self.0.path())
            .current_dir(self.0.path());
        command
    }
}
