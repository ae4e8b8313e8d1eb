//! Debian's `docker-registry`, and the tools that push to it: `skopeo`, and Docker's own command line without its daemon.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tools::{Helper, free_address};

/// How long a registry may take to start.
const START: Duration = Duration::from_secs(30);
/// How often it is looked whether it has.
const GLANCE: Duration = Duration::from_millis(20);

/// A place for a registry, known before it runs.
#[derive(Debug)]
pub struct DockerAddress(SocketAddr);

impl DockerAddress {
    /// A free port of 127.0.0.1.
    pub fn free() -> Self {
        Self(free_address())
    }

    /// As tools name it: `127.0.0.1:5000`.
    pub fn name(&self) -> String {
        self.0.to_string()
    }
}

/// A running registry; it ends when it is dropped.
#[derive(Debug)]
pub struct DockerRegistry {
    child: Child,
    directory: TempDir,
}

impl DockerRegistry {
    /// Starts one that takes tokens of this issuer and from this realm, for this service, by these certificates.
    pub fn start(
        address: &DockerAddress,
        [issuer, realm, service]: [&str; 3],
        certificates: &str,
    ) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        fs::write(path("root.pem"), certificates).expect("a file");
        let configuration = json!({
            "version": "0.1",
            "log": { "level": "error" },
            "storage": {
                "filesystem": { "rootdirectory": path("data") },
                "delete": { "enabled": true },
            },
            "http": { "addr": address.name() },
            "auth": { "token": {
                "realm": realm,
                "service": service,
                "issuer": issuer,
                "rootcertbundle": path("root.pem"),
            } },
        });
        // Whatever is JSON is YAML.
        fs::write(path("config.yml"), configuration.to_string()).expect("a file");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(path("config.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("docker-registry: {error}; {INSTALL}"));
        let registry = Self { child, directory };
        let looks = START.as_millis() / GLANCE.as_millis();
        let listens = (0..looks).any(|_| {
            let listens = TcpStream::connect(address.0).is_ok();
            if !listens {
                std::thread::sleep(GLANCE);
            }
            listens
        });
        assert!(listens, "docker-registry does not start");
        registry
    }

    /// The repositories that it has.
    pub fn repositories(&self) -> Vec<String> {
        let root = "data/docker/registry/v2/repositories";
        let found = fs::read_dir(self.directory.path().join(root));
        let names = found.into_iter().flatten().flatten();
        names
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Somebody's command line: what their tools keep, and an image to push.
#[derive(Debug)]
pub struct CommandLine(TempDir, Vec<(&'static str, String)>);

impl Default for CommandLine {
    fn default() -> Self {
        Self::new()
    }
}

impl CommandLine {
    /// A fresh one.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        write_image(&directory.path().join("image"));
        Self(directory, Vec::new())
    }

    /// Its tools ask our helper about this registry.
    pub fn ask(&mut self, helper: &Helper, registry: &str) {
        let config = serde_json::json!({"credHelpers": {registry: "countersign"}});
        let file = self.0.path().join("config.json");
        fs::write(file, config.to_string()).expect("a file");
        self.1 = helper.surroundings();
    }

    /// `skopeo`, with what `docker login` has kept here. It says what it printed, and whether it went well.
    pub fn skopeo(&self, arguments: &[&str]) -> Said {
        let authfile = self.0.path().join("config.json");
        let mut command = Command::new("skopeo");
        command
            .arg("--insecure-policy")
            .args(arguments)
            .envs(self.1.clone())
            .env("REGISTRY_AUTH_FILE", authfile);
        Said::by(&mut command, "skopeo")
    }

    /// Pushes the image there.
    pub fn push(&self, to: &str) -> Said {
        let image = format!("oci:{}:latest", self.0.path().join("image").display());
        let to = format!("docker://{to}");
        // Docker's own format, which every version of its client reads.
        let format = ["--format", "v2s2"];
        self.skopeo(&[
            "copy",
            format[0],
            format[1],
            "--dest-tls-verify=false",
            &image,
            &to,
        ])
    }

    /// Looks at what is there.
    pub fn inspect(&self, at: &str) -> Said {
        self.skopeo(&["inspect", "--tls-verify=false", &format!("docker://{at}")])
    }

    /// Deletes it.
    pub fn delete(&self, at: &str) -> Said {
        self.skopeo(&["delete", "--tls-verify=false", &format!("docker://{at}")])
    }

    /// `docker`, with this on its standard input.
    pub fn docker(&self, arguments: &[&str], input: &str) -> Said {
        let file = self.0.path().join("input");
        fs::write(&file, input).expect("a file");
        let mut command = Command::new(docker());
        command
            .args(arguments)
            .envs(self.1.clone())
            .env("DOCKER_CONFIG", self.0.path())
            .stdin(fs::File::open(&file).expect("the file"));
        Said::by(&mut command, "docker")
    }

    /// `docker login` with this user name and this password.
    pub fn docker_login(&self, registry: &str, user: &str, password: &str) -> Said {
        let arguments = ["login", "-u", user, "--password-stdin", registry];
        self.docker(&arguments, password)
    }

    /// What Docker keeps for this registry.
    pub fn kept(&self, registry: &str) -> Value {
        let text = fs::read(self.0.path().join("config.json")).unwrap_or_default();
        let config: Value = serde_json::from_slice(&text).unwrap_or_default();
        config["auths"][registry].clone()
    }
}

/// What a program printed.
#[derive(Debug)]
pub struct Said {
    /// Whether it ended well.
    pub well: bool,
    /// Both of its outputs.
    pub text: String,
}

impl Said {
    fn by(command: &mut Command, name: &str) -> Self {
        let done = command.output();
        let Output {
            status,
            stdout,
            stderr,
        } = done.unwrap_or_else(|error| panic!("{name}: {error}; {INSTALL}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            well: status.success(),
            text: text(&stdout) + &text(&stderr),
        }
    }

    /// Fails unless it went well.
    #[track_caller]
    pub fn must_go_well(self) -> String {
        assert!(self.well, "{}", self.text);
        self.text
    }

    /// Fails unless it went wrong, with these words.
    #[track_caller]
    pub fn must_fail_with(self, words: &str) {
        assert!(!self.well, "it went well: {}", self.text);
        assert!(self.text.contains(words), "no `{words}` in {}", self.text);
    }
}

const INSTALL: &str = "`tests/run packages` installs it";

/// Debian's client, unpacked by `tests/run`: its package has the daemon besides.
fn docker() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/docker/usr/bin/docker")
}

/// The smallest image there can be, as an OCI image layout: one layer with nothing in it.
fn write_image(directory: &Path) {
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("a directory");
    let write = |bytes: &[u8]| {
        let digest = digest(&SHA256, bytes);
        let mut hex = String::new();
        for byte in digest.as_ref() {
            write!(hex, "{byte:02x}").expect("a text");
        }
        fs::write(blobs.join(&hex), bytes).expect("a blob");
        (format!("sha256:{hex}"), bytes.len())
    };
    // Two blocks of zeros are a tar archive that ends.
    let (layer, layer_size) = write(&[0; 1024]);
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [layer] },
    });
    let (config, config_size) = write(config.to_string().as_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config,
            "size": config_size,
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": layer,
            "size": layer_size,
        }],
    });
    let (manifest, manifest_size) = write(manifest.to_string().as_bytes());
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": manifest,
            "size": manifest_size,
            "annotations": { "org.opencontainers.image.ref.name": "latest" },
        }],
    });
    fs::write(directory.join("index.json"), index.to_string()).expect("a file");
    let layout = json!({ "imageLayoutVersion": "1.0.0" });
    fs::write(directory.join("oci-layout"), layout.to_string()).expect("a file");
}
