//! The built program: an installation in a directory of its own, and the process that serves it.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use countersign_dev_idp::{Client, DevIdp};
use serde_json::Value;
use tempfile::TempDir;

use crate::{BrokerSetup, kept, wire};

/// How long the program may take to say that it is ready: a debug build makes its keys in seconds.
const START: Duration = Duration::from_mins(1);

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_mins(1);

const POLICY: &str = r#"version = 1
[proof.oidc]
acr = ["urn:dev-idp:mfa"]
[proof.microsoft]
acr = ["urn:microsoft:policies:mfa"]
[proof.github]
two_factor_authentication = true
[tier.browse]
scopes = ["packages:read", "profile", "email"]
needs = "none"
[tier.manage]
scopes = ["packages:manage"]
needs = "mfa"
accepts = ["session", "enrolment", "tenant"]
[client.gallery]
tier = "manage"
"#;

/// The path of the program.
fn program() -> PathBuf {
    built("countersign", "COUNTERSIGN_BIN")
}

/// The path of a program of ours: what `tests/run` built, as this variable has it, or what cargo left beside the tests.
///
/// # Panics
/// If there is none: a test that needs the program must not pass without it.
pub(crate) fn built(name: &str, variable: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    let own = std::env::current_exe().expect("the path of the tests");
    let target = own.ancestors().find(|path| path.join("deps").is_dir());
    let beside = target.map(|target| target.join(name));
    let beside = beside.filter(|path| path.is_file());
    beside.unwrap_or_else(|| {
        panic!("no `{name}`: `cargo build -p {name}`, or its path in {variable}")
    })
}

/// The files of an installation on a free port of 127.0.0.1.
#[derive(Debug)]
pub struct Installation {
    /// Its issuer, which is its base URL.
    pub issuer: String,
    /// The base URL of its private listener.
    pub private: String,
    directory: TempDir,
}

impl Drop for Installation {
    fn drop(&mut self) {
        kept::note_files(&self.path("data"));
    }
}

impl Installation {
    /// The environment variable that holds our secret at every provider.
    pub const UPSTREAM_VARIABLE: &'static str = "COUNTERSIGN_TEST_UPSTREAM_SECRET";

    /// The client `gallery`, and these stand-ins as `oidc`, `microsoft` and `github`.
    pub fn new([oidc, microsoft, github]: [&str; 3]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let private = other.local_addr().expect("an address");
        let directory = tempfile::tempdir().expect("a directory");
        let installation = Self {
            issuer: format!("http://{address}"),
            private: format!("http://{private}"),
            directory,
        };
        let registration = format!(
            "client_id = \"{}\"\nclient_secret = {{ env = \"{}\" }}\n",
            Client::DEVELOPMENT_ID,
            Self::UPSTREAM_VARIABLE
        );
        let configuration = format!(
            r#"version = 1
[server]
issuer = "http://{address}"
listen = "{address}"
data_dir = "data"
policy = "policy.toml"
private_listen = "{private}"
[log]
format = "json"
level = "trace"
[client.gallery]
name = "Example Gallery"
redirect_uris = ["{}"]
secret = {{ file = "gallery.secret" }}
resource = "{}"
[provider.oidc.oidc]
issuer = "{oidc}"
{registration}
[provider.microsoft-account.microsoft]
authority = "{microsoft}"
{registration}
[provider.github.github]
url = "{github}"
{registration}"#,
            BrokerSetup::REDIRECT_URI,
            BrokerSetup::AUDIENCE,
        );
        installation.write("countersign.toml", &configuration);
        installation.write("policy.toml", POLICY);
        installation.write("gallery.secret", &format!("{}\n", BrokerSetup::SECRET));
        installation
    }

    /// An installation whose providers are never asked.
    pub fn alone() -> Self {
        Self::new(["http://127.0.0.2:9"; 3])
    }

    /// An installation with these stand-ins.
    pub fn with(oidc: &DevIdp, microsoft: &DevIdp, github: &DevIdp) -> Self {
        Self::new([oidc.base_url(), microsoft.base_url(), github.base_url()])
    }

    /// A path in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file that its owner alone can read.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("its permissions");
    }

    /// Changes a file.
    ///
    /// # Panics
    /// If `old` does not stand in it.
    pub fn replace(&self, name: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.path(name)).expect("the file");
        assert!(text.contains(old), "no `{old}` in {name}");
        self.write(name, &text.replace(old, new));
    }

    /// Runs the program to its end with the secrets in the environment.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program runs")
    }

    /// Runs a command of the program on this installation's file.
    pub fn run_on_file(&self, command: &str) -> Output {
        let file = self.path("countersign.toml");
        self.run(&[command, "--config", &file.display().to_string()])
    }

    /// The program with these arguments, in no directory of the installation.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(arguments)
            .current_dir(Path::new("/"))
            .env_remove("COUNTERSIGN_CONFIG")
            .env("RUST_LOG", "trace")
            .env(Self::UPSTREAM_VARIABLE, Client::DEVELOPMENT_SECRET);
        command
    }

    /// Serves; answers once the program has said that it is ready.
    pub fn start(&self) -> Program {
        self.start_with(Stdio::null())
    }

    /// The same, with its stdout in this file.
    pub fn start_with_stdout(&self, file: File) -> Program {
        self.start_with(file.into())
    }

    /// Keeps accounts, sessions and keys as these lines of `[store.redis]` say.
    pub fn keep_in_redis(&self, lines: &str) {
        let section = format!("[store.redis]\n{lines}\n[log]");
        self.replace("countersign.toml", "[log]", &section);
    }

    /// Serves once more beside the others, from the same configuration with addresses and a data directory of its own, as a
    /// process of this group (for which the right to choose is needed) or of ours.
    pub fn start_replica(&self, group: Option<u32>) -> Program {
        let free = || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            listener.local_addr().expect("an address").to_string()
        };
        let (public, private) = (free(), free());
        let text = fs::read_to_string(self.path("countersign.toml")).expect("the file");
        let own = text
            .replace(
                &format!(
                    "private_listen = \"{}\"",
                    self.private.trim_start_matches("http://")
                ),
                &format!("private_listen = \"{private}\""),
            )
            .replace(
                &format!(
                    "\nlisten = \"{}\"",
                    self.issuer.trim_start_matches("http://")
                ),
                &format!("\nlisten = \"{public}\""),
            )
            .replace(
                "data_dir = \"data\"",
                &format!(
                    "data_dir = \"data-{}\"",
                    public.rsplit(':').next().unwrap_or_default()
                ),
            );
        let name = format!("replica-{public}.toml");
        self.write(&name, &own);
        let file = self.path(&name).display().to_string();
        let mut command = self.command(&["serve", "--config", &file]);
        if let Some(group) = group {
            command.gid(group);
        }
        let addresses = (format!("http://{public}"), format!("http://{private}"));
        serve(command, Stdio::null(), addresses)
    }

    fn start_with(&self, stdout: Stdio) -> Program {
        let file = self.path("countersign.toml").display().to_string();
        let command = self.command(&["serve", "--config", &file]);
        serve(command, stdout, (self.issuer.clone(), self.private.clone()))
    }
}

/// Serves; answers once the program has said that it is ready.
fn serve(mut command: Command, stdout: Stdio, (issuer, private): (String, String)) -> Program {
    let mut child = command
        .stderr(Stdio::piped())
        .stdout(stdout)
        .spawn()
        .expect("the program starts");
    let log = Arc::new(Mutex::new(String::new()));
    let (ready, reader) = collect(child.stderr.take().expect("its log"), Arc::clone(&log));
    let program = Program {
        issuer,
        private,
        child,
        log,
        reader,
    };
    assert!(
        ready.recv_timeout(START).is_ok(),
        "it is not ready: {}",
        program.log()
    );
    program
}

/// Keeps all that the program logs, and tells when it is ready.
fn collect(
    from: impl std::io::Read + Send + 'static,
    log: Arc<Mutex<String>>,
) -> (Receiver<()>, JoinHandle<()>) {
    let (sender, receiver) = channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let is_ready = line.contains("\"ready\"");
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push_str(&line);
            log.push('\n');
            drop(log);
            if is_ready {
                let _ = sender.send(()); // nobody waits for a second time
            }
        }
    });
    (receiver, reader)
}

/// The serving program; killed when it is dropped.
#[derive(Debug)]
pub struct Program {
    /// Its base URL: its issuer, unless it is one replica of several.
    pub issuer: String,
    /// The base URL of its private listener.
    pub private: String,
    child: Child,
    log: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Program {
    /// The process that it is.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until it has logged this text.
    ///
    /// # Panics
    /// If it has not after a minute.
    pub async fn logs(&self, text: &str) {
        let logged = until(async || self.log().contains(text).then_some(())).await;
        assert!(logged.is_some(), "no `{text}` in the log: {}", self.log());
    }

    /// What `/readyz` answers once it answers this, with its status.
    ///
    /// # Panics
    /// If it does not after a minute.
    pub async fn readyz(&self, is_expected: impl Fn(&Value) -> bool) -> (u16, Value) {
        let answer = until(async || {
            let page = wire::get(&self.private, "/readyz", &[]).await;
            let body = serde_json::from_str(&page.body).unwrap_or(Value::Null);
            is_expected(&body).then_some((page.status, body))
        });
        let answer = answer.await;
        answer.unwrap_or_else(|| panic!("not as expected; the log: {}", self.log()))
    }

    /// What `/metrics` answers.
    pub async fn metrics(&self) -> String {
        let page = wire::get(&self.private, "/metrics", &[]).await;
        assert_eq!(page.status, 200, "{}", page.body);
        page.body
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) {
        self.signal("HUP");
    }

    fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &line]).status();
        assert!(sent.expect("a shell").success());
    }

    /// Kills it as `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Waits for its end, and until its last words are read, without blocking the test's other tasks.
    pub async fn ended(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.child.try_wait().expect("a status")
                && self.reader.is_finished()
            {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Asks again and again for a minute.
async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.ok()
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
