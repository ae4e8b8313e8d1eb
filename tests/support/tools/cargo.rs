//! cargo, and cargo-http-registry, a registry that it publishes to.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Ended, Helper, Running, Terminal, free_address};

/// A registry that takes whatever is published, with its index in git.
#[derive(Debug)]
pub struct CargoHttpRegistry {
    /// Where it listens.
    pub url: String,
    _running: Running,
    directory: TempDir,
}

impl CargoHttpRegistry {
    /// Starts one without crates.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let address = free_address();
        let program =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin/cargo-http-registry");
        let mut command = Command::new(program);
        command
            .args(["--addr", &address.to_string()])
            .arg(directory.path().join("crates"));
        Self {
            url: format!("http://{address}"),
            _running: Running::start(&mut command, address),
            directory,
        }
    }

    /// Lets its index name the address at which tools reach it, until it takes the next crate.
    pub fn be_known_as(&self, url: &str) {
        let root = self.directory.path().join("crates");
        let config = format!(
            r#"{{"dl":"{url}/api/v1/crates/{{crate}}/{{version}}/download","api":"{url}"}}"#
        );
        std::fs::write(root.join("config.json"), config).expect("a file");
        let git = |arguments: &[&str]| {
            let done = Command::new("git")
                .args(["-c", "user.name=test", "-c", "user.email=test@example.org"])
                .args(arguments)
                .current_dir(&root)
                .output()
                .expect("git");
            assert!(done.status.success(), "{done:?}");
        };
        git(&["commit", "--all", "--allow-empty", "--message", "config"]);
        git(&["update-server-info"]);
    }

    /// The crates that it has, as files.
    pub fn crates(&self) -> Vec<String> {
        let mut found = Vec::new();
        collect(&self.directory.path().join("crates"), &mut found);
        found
    }
}

fn collect(directory: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_symlink() {
            // The registry leads to each of its crates by many ways.
        } else if path.is_dir() {
            collect(&path, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "crate")
        {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
}

/// Somebody's cargo, with a home of its own.
#[derive(Debug)]
pub struct Cargo {
    home: TempDir,
    key: Option<String>,
    settings: Vec<(&'static str, String)>,
}

impl Cargo {
    /// A cargo that knows this registry as `mine`.
    pub fn new(registry: &str) -> Self {
        Self::of_index(&format!("{registry}/git"))
    }

    /// The same, where the index is no git repository.
    pub fn of_sparse_index(registry: &str) -> Self {
        Self::of_index(&format!("sparse+{registry}/index/"))
    }

    fn of_index(index: &str) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let config = format!(
            "[registries.mine]\nindex = \"{index}\"\n[net]\ngit-fetch-with-cli = true\nretry = 0\n"
        );
        std::fs::write(home.path().join("config.toml"), config).expect("a file");
        Self {
            home,
            key: None,
            settings: Vec::new(),
        }
    }

    /// It asks our helper for what it shows, and has this behind it in its configuration.
    pub fn ask(&mut self, helper: &Helper, arguments: &[&str]) {
        let file = self.home.path().join("config.toml");
        let config = std::fs::read_to_string(&file).expect("its configuration");
        let program = helper.program().display().to_string();
        let line = [&[program.as_str()], arguments].concat();
        let asks = format!("[registries.mine]\ncredential-provider = {line:?}\n");
        std::fs::write(&file, config.replace("[registries.mine]\n", &asks)).expect("a file");
        self.settings = helper.surroundings();
    }

    /// Shows this key from now on.
    pub fn use_key(&mut self, key: &str) {
        self.key = Some(key.to_owned());
    }

    /// Its home, where no crate is.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A crate without dependencies, in a directory of its own.
    pub fn package(&self, name: &str, version: &str) -> PathBuf {
        let directory = self.home.path().join(format!("{name}-{version}"));
        std::fs::create_dir_all(directory.join("src")).expect("a directory");
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2021\"\ndescription = \"A test.\"\nlicense = \"MIT\"\n[workspace]\n"
        );
        std::fs::write(directory.join("Cargo.toml"), manifest).expect("a file");
        std::fs::write(directory.join("src/lib.rs"), "").expect("a file");
        directory
    }

    /// Runs it to its end.
    pub async fn finish(&self, directory: &Path, arguments: &[&str]) -> Ended {
        self.run(directory, arguments).end().await
    }

    /// Runs it at a terminal.
    pub fn run(&self, directory: &Path, arguments: &[&str]) -> Terminal {
        let mut command = Command::new(env!("CARGO"));
        command
            .args(arguments)
            .args(["--registry", "mine"])
            .env("CARGO_HOME", self.home.path())
            .env("CARGO_TARGET_DIR", self.home.path().join("target"))
            .env("GIT_TERMINAL_PROMPT", "0")
            .envs(self.settings.clone())
            .current_dir(directory);
        if let Some(key) = &self.key {
            command.env("CARGO_REGISTRIES_MINE_TOKEN", key);
        }
        Terminal::run(&command)
    }
}
