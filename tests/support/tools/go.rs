//! Go's own tools.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{Ended, FileStore, Helper, Terminal, python, zip};

/// Somebody's Go, with a home and a module of its own.
#[derive(Debug)]
pub struct Go {
    proxy: String,
    home: TempDir,
    settings: Vec<(&'static str, String)>,
}

impl Go {
    /// A Go that takes modules from this proxy.
    pub fn new(proxy: &str) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        std::fs::write(
            home.path().join("go.mod"),
            "module example.test/mine\n\ngo 1.21\n",
        )
        .expect("a file");
        Self {
            proxy: proxy.to_owned(),
            home,
            settings: Vec::new(),
        }
    }

    /// It believes certificates of this authority.
    #[must_use]
    pub fn trusting(mut self, authority: &Path) -> Self {
        self.settings
            .push(("SSL_CERT_FILE", authority.display().to_string()));
        self
    }

    /// It asks a command of its user's for credentials (`go help goauth`): one that shows this key to the proxy.
    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        let command = self.home.path().join("goauth");
        let text = format!(
            "#!/bin/sh\nprintf '%s/\\n\\nAuthorization: Bearer %s\\n\\n' {} {key}\n",
            self.proxy
        );
        std::fs::write(&command, text).expect("a file");
        std::fs::set_permissions(&command, std::fs::Permissions::from_mode(0o700))
            .expect("its rights");
        self.settings
            .push(("GOAUTH", command.display().to_string()));
        self
    }

    /// It asks our helper.
    #[must_use]
    pub fn helped_by(mut self, helper: &Helper) -> Self {
        let command = format!("{} go --no-browser", helper.program().display());
        self.settings.push(("GOAUTH", command));
        self.settings.extend(helper.surroundings());
        self
    }

    /// `go get`.
    pub async fn get(&self, module: &str) -> Ended {
        self.begin_to_get(module).end().await
    }

    /// The same, without waiting for its end.
    pub fn begin_to_get(&self, module: &str) -> Terminal {
        let mut command = Command::new(python("bin/go"));
        command
            .args(["get", module])
            .env("HOME", self.home.path())
            .env("GOPROXY", &self.proxy)
            .env("GOSUMDB", "off")
            .env("GOTOOLCHAIN", "local")
            .env("GOFLAGS", "-modcacherw")
            .envs(self.settings.clone())
            .current_dir(self.home.path());
        Terminal::run(&command)
    }

    /// What stands in its module's `go.mod`.
    pub fn requirements(&self) -> String {
        std::fs::read_to_string(self.home.path().join("go.mod")).expect("go.mod")
    }
}

impl FileStore {
    /// Puts a Go module where a proxy has it (<https://go.dev/ref/mod#goproxy-protocol>).
    pub fn put_go_module(&self, module: &str, version: &str) {
        let of = |file: &str| format!("/{module}/@v/{file}");
        let go_mod = format!("module {module}\n\ngo 1.21\n");
        self.put(&of("list"), format!("{version}\n"));
        self.put(
            &of(&format!("{version}.info")),
            format!("{{\"Version\":\"{version}\",\"Time\":\"2026-01-01T00:00:00Z\"}}"),
        );
        self.put(&of(&format!("{version}.mod")), &go_mod);
        let directory = tempfile::tempdir().expect("a directory");
        let name = |file: &str| format!("{module}@{version}/{file}");
        let files = [
            (name("go.mod"), go_mod.as_str()),
            (name("hello.go"), "package hello\n"),
        ];
        let files: Vec<_> = files.iter().map(|(n, text)| (n.as_str(), *text)).collect();
        let packed = zip(directory.path(), "module.zip", &files);
        let packed = std::fs::read(packed).expect("an archive");
        self.put(&of(&format!("{version}.zip")), packed);
    }
}
