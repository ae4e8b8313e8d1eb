//! Debian's gem.

use std::process::Command;

use tempfile::TempDir;

use super::{Ended, Terminal};

/// How many things a key can be for: gem asks about each.
const SCOPES: usize = 7;

/// Somebody's gem, with a home of its own.
#[derive(Debug)]
pub struct Gem {
    registry: String,
    home: TempDir,
}

impl Gem {
    /// A gem that pushes to this registry.
    pub fn new(registry: &str) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        Self {
            registry: registry.to_owned(),
            home,
        }
    }

    /// `gem signin` with this as the password, to its end.
    pub async fn sign_in(&self, password: &str) -> Ended {
        let mut gem = self.run(&["signin"]);
        answer(&mut gem, "Email:", "ann@example.org").await;
        answer(&mut gem, "Password:", password).await;
        answer(&mut gem, "API Key name", "").await;
        for asked in 1..=SCOPES {
            gem.wait_for(|shown| (shown.matches("[yN]").count() >= asked).then_some(()))
                .await;
            gem.type_line("");
        }
        gem.end().await
    }

    /// A package in its home: the name of its file.
    pub async fn package(&self, name: &str, version: &str) -> String {
        let specification = format!(
            "Gem::Specification.new do |s|\n  s.name = '{name}'\n  s.version = '{version}'\n  \
             s.summary = 'A test.'\n  s.authors = ['Ann']\n  s.files = []\nend\n"
        );
        let file = format!("{name}.gemspec");
        std::fs::write(self.home.path().join(&file), specification).expect("a file");
        let ended = self.run(&["build", &file]).end().await;
        assert!(ended.success, "{}", ended.shown);
        format!("{name}-{version}.gem")
    }

    /// The key that it has.
    pub fn key(&self) -> Option<String> {
        let file = self.home.path().join(".local/share/gem/credentials");
        let text = std::fs::read_to_string(file).ok()?;
        let start = text.find("csk_")?;
        Some(text[start..].lines().next()?.trim_matches('"').to_owned())
    }

    /// Runs it.
    pub fn run(&self, arguments: &[&str]) -> Terminal {
        let home = self.home.path();
        let mut command = Command::new("gem");
        command
            .args(arguments)
            .env("HOME", home)
            .env("GEM_HOME", home.join("gems"))
            .env("XDG_DATA_HOME", home.join(".local/share"))
            .env("RUBYGEMS_HOST", &self.registry)
            .current_dir(home);
        Terminal::run(&command)
    }
}

async fn answer(gem: &mut Terminal, question: &str, line: &str) {
    gem.wait_for(|shown| shown.contains(question).then_some(()))
        .await;
    gem.type_line(line);
}
