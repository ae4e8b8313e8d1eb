//! nginx: a registry that is nothing but files, written by WebDAV; and what speaks TLS in front of us.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{INSTALL, Running, free_address};

/// A registry that is a directory: everybody reads it and puts files into it. What stands in front of it decides.
#[derive(Debug)]
pub struct FileStore {
    /// Where it listens.
    pub url: String,
    directory: TempDir,
    _running: Running,
}

impl FileStore {
    /// Starts one without files.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let address = free_address();
        let root = directory.path().join("files");
        std::fs::create_dir(&root).expect("a directory");
        // A push of NuGet's goes to a collection, which WebDAV can't put a file in the place of.
        let server = format!(
            "listen {address};\nroot {};\nclient_max_body_size 0;\n\
             dav_methods PUT;\ncreate_full_put_path on;\n\
             location = /api/v2/package/ {{ dav_methods PUT; rewrite ^ /pushed break; }}\n",
            root.display()
        );
        Self {
            url: format!("http://{address}"),
            _running: nginx(directory.path(), &server, address),
            directory,
        }
    }

    /// The names of all its files, in order: `/maven2/org/example/…`.
    pub fn files(&self) -> Vec<String> {
        let root = self.directory.path().join("files");
        let mut found = Vec::new();
        collect(&root, &mut found);
        let names = found
            .iter()
            .filter_map(|path| path.strip_prefix(&root).ok());
        let mut names: Vec<String> = names.map(|name| format!("/{}", name.display())).collect();
        names.sort();
        names
    }

    /// What it has under this name.
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Puts a file where a registry has it.
    pub fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        std::fs::write(path, content).expect("a file");
    }

    /// A file under this name.
    pub fn path(&self, name: &str) -> PathBuf {
        let root = self.directory.path().join("files");
        root.join(name.trim_start_matches('/'))
    }
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// What takes TLS off in front of us: some tools show their credential nowhere else.
#[derive(Debug)]
pub struct Tls {
    /// Where it listens.
    pub url: String,
    /// The file of the authority that its certificate is of.
    pub authority: PathBuf,
    _directory: TempDir,
    _running: Running,
}

impl Tls {
    /// A free address for one, known before it runs.
    pub fn address() -> std::net::SocketAddr {
        free_address()
    }

    /// Starts one at this address, in front of that one.
    pub fn start(address: std::net::SocketAddr, behind: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        certificate(directory.path());
        let server = format!(
            "listen {address} ssl;\nssl_certificate {};\nssl_certificate_key {};\n\
             location / {{ proxy_pass {behind}; proxy_http_version 1.1; proxy_set_header Host $http_host; }}\n",
            path("certificate.pem").display(),
            path("key.pem").display(),
        );
        Self {
            url: format!("https://{address}"),
            authority: path("certificate.pem"),
            _running: nginx(directory.path(), &server, address),
            _directory: directory,
        }
    }
}

/// A certificate for 127.0.0.1 that is its own authority.
fn certificate(directory: &Path) {
    let mut command = Command::new("openssl");
    command
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args([
            "-days",
            "1",
            "-subj",
            "/CN=a test",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(directory);
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("openssl: {error}; {INSTALL}"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// nginx with this one server, in one process.
fn nginx(directory: &Path, server: &str, address: std::net::SocketAddr) -> Running {
    let place = directory.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|one| format!("{one}_temp_path {place}/{one};\n"));
    let text = format!(
        "daemon off;\nmaster_process off;\npid {place}/pid;\nerror_log {place}/error.log;\nevents {{}}\n\
         http {{\naccess_log off;\n{}server {{\n{server}}}\n}}\n",
        temporary.concat()
    );
    let file = directory.join("nginx.conf");
    std::fs::write(&file, text).expect("a file");
    let mut command = Command::new("nginx");
    command.arg("-p").arg(directory).arg("-c").arg(&file);
    Running::start(&mut command, address)
}
