//! Maven, with the deploy plugin of Debian's own repository of jars.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Ended, Terminal, zip};

/// Debian's jars, laid out as a repository.
const DEBIAN: &str = "file:///usr/share/maven-repo";
const DEPLOY: &str = "org.apache.maven.plugins:maven-deploy-plugin:3.0.0:deploy-file";

/// Somebody's Maven, with a home of its own.
#[derive(Debug)]
pub struct Maven(TempDir);

/// What is published.
#[derive(Debug, Clone, Copy)]
pub struct Artifact<'a> {
    /// Its group: `org.example`.
    pub group: &'a str,
    /// Its name in the group.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
}

impl Default for Maven {
    fn default() -> Self {
        Self::new()
    }
}

impl Maven {
    /// Without jars of its own.
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    /// A jar with one file.
    pub fn jar(&self) -> PathBuf {
        zip(self.0.path(), "hello.jar", &[("hello.txt", "hello\n")])
    }

    /// `mvn deploy:deploy-file` to this repository with this key.
    pub async fn deploy(&self, to: &str, key: &str, artifact: Artifact<'_>, jar: &Path) -> Ended {
        let settings = self.0.path().join("settings.xml");
        std::fs::write(&settings, self.settings(key)).expect("a file");
        let Artifact {
            group,
            name,
            version,
        } = artifact;
        let mut command = Command::new("mvn");
        command
            .args(["--batch-mode", "--settings"])
            .arg(&settings)
            .arg(DEPLOY)
            .args([format!("-Durl={to}"), "-DrepositoryId=registry".to_owned()])
            .args([format!("-DgroupId={group}"), format!("-DartifactId={name}")])
            .args([format!("-Dversion={version}"), "-Dpackaging=jar".to_owned()])
            .arg(format!("-Dfile={}", jar.display()))
            // It starts once and is gone: no time is well spent on making it fast.
            .env(
                "MAVEN_OPTS",
                "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto",
            )
            .env("HOME", self.0.path())
            .current_dir(self.0.path());
        Terminal::run(&command).end().await
    }

    /// What `~/.m2/settings.xml` says.
    fn settings(&self, key: &str) -> String {
        format!(
            "<settings>\n  <localRepository>{}</localRepository>\n  <mirrors>\n    \
             <mirror><id>debian</id><mirrorOf>central</mirrorOf><url>{DEBIAN}</url></mirror>\n  </mirrors>\n  <servers>\n    \
             <server><id>registry</id><username>ann</username><password>{key}</password></server>\n  </servers>\n</settings>\n",
            self.0.path().join("repository").display()
        )
    }
}
