//! NuGet's own client, under Mono.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Ended, Terminal, peer, zip};

/// Somebody's NuGet, with a home of its own.
#[derive(Debug)]
pub struct NuGet(TempDir);

impl Default for NuGet {
    fn default() -> Self {
        Self::new()
    }
}

impl NuGet {
    /// Without settings.
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    /// A package with one file.
    pub fn package(&self, name: &str, version: &str) -> PathBuf {
        let manifest = format!(
            "<?xml version=\"1.0\"?>\n<package><metadata><id>{name}</id><version>{version}</version>\
             <authors>ann</authors><description>A test.</description></metadata></package>\n"
        );
        let files = [
            (format!("{name}.nuspec"), manifest.as_str()),
            ("content/hello.txt".to_owned(), "hello\n"),
        ];
        let files: Vec<_> = files.iter().map(|(n, text)| (n.as_str(), *text)).collect();
        zip(self.0.path(), &format!("{name}.{version}.nupkg"), &files)
    }

    /// `nuget push` with this key.
    pub async fn push(&self, to: &str, key: &str, package: &Path) -> Ended {
        let package = package.display().to_string();
        self.run(&["push", &package, "-Source", to, "-ApiKey", key])
            .await
    }

    /// `nuget delete`, which takes a version off the lists.
    pub async fn delete(&self, at: &str, key: &str, [name, version]: [&str; 2]) -> Ended {
        self.run(&["delete", name, version, "-Source", at, "-ApiKey", key])
            .await
    }

    /// `nuget install` without any credential; where the package is then.
    pub async fn install(&self, from: &str, [name, version]: [&str; 2]) -> (Ended, PathBuf) {
        let to = self.0.path().join("packages");
        let ended = self
            .run(&[
                "install",
                name,
                "-Version",
                version,
                "-Source",
                from,
                "-OutputDirectory",
                "packages",
            ])
            .await;
        (
            ended,
            to.join(format!("{name}.{version}/{name}.{version}.nupkg")),
        )
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new("mono");
        command
            .arg(peer("tools/node_modules/nuget-exe/nuget-5.8.0.exe"))
            .args(arguments)
            .arg("-NonInteractive")
            .env("HOME", self.0.path())
            .current_dir(self.0.path());
        Terminal::run(&command).end().await
    }
}
