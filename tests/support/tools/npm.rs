//! npm, and Verdaccio, a registry that npm publishes to.

use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::{Ended, Running, Terminal, free_address, peer};

/// A registry that lets everybody do everything: what stands in front of it decides.
#[derive(Debug)]
pub struct Verdaccio {
    /// Where it listens.
    pub url: String,
    _running: Running,
    _directory: TempDir,
}

impl Verdaccio {
    /// Starts one without packages.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let storage = directory.path().join("storage");
        let config = directory.path().join("config.yaml");
        let text = format!(
            "storage: {}\nauth: {{}}\nuplinks: {{}}\nmax_body_size: 200mb\nweb: {{ enable: false }}\n\
             packages:\n  '@*/*': {{ access: $all, publish: $all, unpublish: $all }}\n  '**': {{ access: $all, publish: $all, unpublish: $all }}\n\
             log: {{ type: stdout, format: json, level: error }}\n",
            storage.display()
        );
        std::fs::write(&config, text).expect("a file");
        let address = free_address();
        let mut command = Command::new(node());
        command
            .arg(peer("tools/node_modules/verdaccio/bin/verdaccio"))
            .arg("--config")
            .arg(&config)
            .args(["--listen", &address.to_string()])
            .env("HOME", directory.path())
            .env("NO_UPDATE_NOTIFIER", "1")
            .current_dir(directory.path());
        Self {
            url: format!("http://{address}"),
            _running: Running::start(&mut command, address),
            _directory: directory,
        }
    }
}

/// Somebody's npm, with a home of its own.
#[derive(Debug)]
pub struct Npm {
    registry: String,
    home: TempDir,
}

impl Npm {
    /// An npm that publishes to this registry.
    pub fn new(registry: &str) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        Self {
            registry: registry.to_owned(),
            home,
        }
    }

    /// A package in a directory of its own.
    pub fn package(&self, name: &str, version: &str) -> PathBuf {
        let directory = self.home.path().join(name.replace('/', "-"));
        std::fs::create_dir_all(&directory).expect("a directory");
        let manifest = json!({"name": name, "version": version, "description": "A test."});
        std::fs::write(directory.join("package.json"), manifest.to_string()).expect("a file");
        directory
    }

    /// Puts a key where `npm login` would.
    pub fn use_key(&self, key: &str) {
        let host = self.registry.trim_start_matches("http:");
        let line = format!("{host}/:_authToken={key}\n");
        std::fs::write(self.home.path().join(".npmrc"), line).expect("a file");
    }

    /// The key that it has.
    pub fn key(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.home.path().join(".npmrc")).ok()?;
        let (_, key) = text.split_once("_authToken=")?;
        Some(key.lines().next()?.to_owned())
    }

    /// Runs it in this directory of its home.
    pub fn run(&self, directory: Option<&PathBuf>, arguments: &[&str]) -> Terminal {
        let mut command = Command::new(node());
        command
            .arg(peer("tools/node_modules/npm/bin/npm-cli.js"))
            .args(arguments)
            .arg(format!("--registry={}", self.registry))
            .args([
                "--no-update-notifier",
                "--no-fund",
                "--browser=false",
                "--fetch-retries=0",
            ])
            .env("HOME", self.home.path())
            .current_dir(directory.map_or(self.home.path(), PathBuf::as_path));
        Terminal::run(&command)
    }

    /// Runs it to its end.
    pub async fn finish(&self, directory: Option<&PathBuf>, arguments: &[&str]) -> Ended {
        self.run(directory, arguments).end().await
    }
}

/// The Node.js of the peers' lock file.
fn node() -> PathBuf {
    peer("npm/node_modules/.bin/node")
}
