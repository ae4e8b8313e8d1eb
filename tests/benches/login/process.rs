//! The programs as processes of their own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

/// The client that gets an RS256 ID token.
pub(crate) const DEFAULT_CLIENT: &str = "gallery";
/// The client that gets an ES256 ID token.
pub(crate) const ES256_CLIENT: &str = "gallery-es256";
/// The client that refreshes, on ES256.
pub(crate) const REFRESHING_CLIENT: &str = "gallery-refresh";
/// The client whose access tokens are introspected.
pub(crate) const INTROSPECTED_CLIENT: &str = "gallery-introspected";
/// What the access tokens of all are for.
pub(crate) const RESOURCE: &str = "https://registry.example";
/// The secret of all.
pub(crate) const SECRET: &str = "secret-of-the-benchmark";
/// Where all take people back. Nothing listens there.
pub(crate) const REDIRECT_URI: &str = "http://127.0.0.3:9/callback";

const POLICY: &str = r#"
version = 1
[proof.upstream]
acr = ["urn:dev-idp:mfa"]
[tier.manage]
scopes = ["packages:manage"]
needs = "mfa"
accepts = ["session"]
max_evidence_age = "12h"
[client.gallery]
tier = "manage"
[client.gallery-es256]
tier = "manage"
[client.gallery-refresh]
tier = "manage"
[client.gallery-introspected]
tier = "manage"
"#;

/// A configuration in a directory.
pub(crate) struct Installation {
    config: PathBuf,
    issuer: String,
}

impl Installation {
    /// Writes configuration and policy, with this `[store.…]`.
    pub(crate) fn write(home: &Path, upstream: &str, store: &str) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let issuer = format!("http://127.0.0.1:{port}");
        let config = home.join("countersign.toml");
        fs::write(home.join("policy.toml"), POLICY)?;
        fs::write(&config, configuration(port, upstream) + store)?;
        Ok(Self { config, issuer })
    }

    /// Adds sections to the policy.
    pub(crate) fn add_to_policy(&self, text: &str) -> anyhow::Result<()> {
        let policy = self.config.with_file_name("policy.toml");
        Ok(fs::write(policy, POLICY.to_owned() + text)?)
    }

    /// Where it keeps what it knows, if not in Redis.
    pub(crate) fn data_directory(&self) -> PathBuf {
        self.config.with_file_name("data")
    }

    /// Starts the broker and waits for its first answer.
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    pub(crate) async fn start(&self, program: &Path) -> anyhow::Result<Broker> {
        let began = Instant::now();
        let child = Command::new(program)
            .args(["serve", "--config"])
            .arg(&self.config)
            .env("BENCHMARK_SECRET", SECRET)
            .env("UPSTREAM_SECRET", "countersign-dev-secret")
            .stderr(Stdio::null())
            .spawn()
            .context("the broker does not start")?;
        let mut broker = Broker {
            child,
            issuer: self.issuer.clone(),
            started_in: Duration::ZERO,
        };
        let address = self.issuer.trim_start_matches("http://").to_owned();
        loop {
            if first_answer(&address).await.is_ok() {
                broker.started_in = began.elapsed();
                return Ok(broker);
            }
            anyhow::ensure!(
                broker.child.try_wait()?.is_none(),
                "the broker ended; try `countersign check`"
            );
            anyhow::ensure!(
                began.elapsed() < Duration::from_secs(30),
                "the broker does not answer"
            );
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
    }
}

/// One request over a bare connection: nothing of an HTTP client's start-up is in the figure.
async fn first_answer(address: &str) -> std::io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let request = format!(
        "GET /.well-known/openid-configuration HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await?;
    if status == *b"HTTP/1.1 200" {
        Ok(())
    } else {
        Err(std::io::ErrorKind::InvalidData.into())
    }
}

fn configuration(port: u16, upstream: &str) -> String {
    let client = |id: &str, algorithm: &str| {
        format!(
            "[client.{id}]\nname = \"Gallery\"\nredirect_uris = [\"{REDIRECT_URI}\"]\nsecret = {{ env = \"BENCHMARK_SECRET\" }}\n\
             resource = \"{RESOURCE}\"\nid_token_signed_response_alg = \"{algorithm}\"\n"
        )
    };
    format!(
        "version = 1\n[server]\nissuer = \"http://127.0.0.1:{port}\"\nlisten = \"127.0.0.1:{port}\"\n\
         data_dir = \"data\"\npolicy = \"policy.toml\"\n{}{}{}{}grant_types = [\"authorization_code\", \"refresh_token\"]\n\
         [provider.oidc.upstream]\nissuer = \"{upstream}\"\nclient_id = \"countersign-dev\"\n\
         client_secret = {{ env = \"UPSTREAM_SECRET\" }}\n",
        client(DEFAULT_CLIENT, "RS256"),
        client(ES256_CLIENT, "ES256"),
        client(INTROSPECTED_CLIENT, "ES256"),
        client(REFRESHING_CLIENT, "ES256"),
    )
}

/// A running broker; killed when it is dropped.
pub(crate) struct Broker {
    child: Child,
    pub(crate) issuer: String,
    started_in: Duration,
}

impl Broker {
    pub(crate) fn started_in_ms(&self) -> f64 {
        self.started_in.as_secs_f64() * 1e3
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The stand-in provider; killed when it is dropped.
pub(crate) struct Upstream {
    child: Child,
    pub(crate) base_url: String,
}

impl Upstream {
    pub(crate) fn start(program: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args(["oidc", "--listen", "127.0.0.2:0"])
            .stdout(Stdio::piped())
            .spawn()
            .context("the stand-in does not start")?;
        let stdout = child.stdout.take().context("no output")?;
        let mut base_url = String::new();
        BufReader::new(stdout).read_line(&mut base_url)?;
        Ok(Self {
            child,
            base_url: base_url.trim().to_owned(),
        })
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
