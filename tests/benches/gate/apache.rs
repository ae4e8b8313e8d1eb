//! Debian's Apache with `mod_auth_openidc`: what a request of somebody who is signed in costs there, beside the same without it.
//!
//! Sessions are where the module has them unless told otherwise: on the server, in memory that its processes share
//! (`OIDCSessionType server-cache`, `OIDCCacheType shm`); the browser has a random name of one.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use countersign_tests::Browser;
use countersign_tests::measure::with_children;
use countersign_tests::peers::PlainProvider;
use serde_json::json;
use url::Url;

use super::bed::free;
use super::compare::{self, Contestant};
use super::load::Request;

const PROGRAM: &str = "/usr/sbin/apache2";
const MODULES: &str = "/usr/lib/apache2/modules";
const INSTALL: &str =
    "run `apt-get install --no-install-recommends apache2 libapache2-mod-auth-openidc`";
const SECRET: &str = "a-secret-of-thirty-two-characters";
/// How often it is looked whether it listens, and for how long.
const GLANCE: Duration = Duration::from_millis(20);
const GLANCES: u32 = 500;

/// A running Apache; it ends when this is dropped.
struct Apache {
    child: Child,
    _directory: tempfile::TempDir,
}

/// Compares a request with a session to one without the module.
pub(crate) async fn compare() -> anyhow::Result<()> {
    let module = format!("{MODULES}/mod_auth_openidc.so");
    anyhow::ensure!(Path::new(&module).exists(), "no `{module}`: {INSTALL}");
    let (plain, guarded) = (free()?, free()?);
    let client = json!([{
        "client_id": "apache",
        "client_secret": SECRET,
        "redirect_uris": [format!("{guarded}/callback")],
        "response_types": ["code"],
        "grant_types": ["authorization_code"],
        "token_endpoint_auth_method": "client_secret_basic",
    }]);
    let provider = PlainProvider::start(&client, "https://registry.example", "nobody");
    let without = Apache::start(&plain, "")?;
    let with = Apache::start(&guarded, &openidc(&guarded, &provider.issuer))?;
    let cookie = sign_in(&guarded).await?;
    let request = Request::new(&guarded, "GET /empty", &[("Cookie", &cookie)], "");
    let refused = Request::new(&guarded, "GET /empty", &[], "").once().await?;
    anyhow::ensure!(
        refused.status()? != 200,
        "it lets anybody in: {}",
        refused.head
    );
    let contestants = [
        Contestant::new(
            "Apache, an empty file",
            &request.at(&plain),
            with_children(without.child.id())?,
        ),
        Contestant::new(
            "with mod_auth_openidc",
            &request,
            with_children(with.child.id())?,
        ),
    ];
    compare::compare("mod_auth_openidc", &contestants).await
}

/// What a browser has at Apache that has signed in.
async fn sign_in(url: &str) -> anyhow::Result<String> {
    let mut browser = Browser::new();
    let page = browser
        .follow(&Url::parse(&format!("{url}/empty"))?, |_| true)
        .await;
    anyhow::ensure!(page.status == 200, "{}: {}", page.url, page.body);
    let jar = browser.cookies.get("127.0.0.1").context("no cookie")?;
    let pairs = jar.iter().map(|(name, value)| format!("{name}={value}"));
    Ok(pairs.collect::<Vec<_>>().join("; "))
}

fn openidc(url: &str, issuer: &str) -> String {
    format!(
        "LoadModule auth_openidc_module {MODULES}/mod_auth_openidc.so\n\
         OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration\n\
         OIDCClientID apache\nOIDCClientSecret {SECRET}\nOIDCRedirectURI {url}/callback\n\
         OIDCCryptoPassphrase a-passphrase\nOIDCScope openid\n\
         <Location />\nAuthType openid-connect\nRequire valid-user\n</Location>\n"
    )
}

impl Apache {
    /// Starts one with these lines besides.
    fn start(url: &str, lines: &str) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let here = directory.path().display();
        let address = url.trim_start_matches("http://");
        // Its process is another user's, where root starts it.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        fs::create_dir(directory.path().join("files"))?;
        fs::write(directory.path().join("files/empty"), "")?;
        let mut text = String::new();
        for name in ["mpm_event", "authn_core", "authz_core", "authz_user"] {
            writeln!(text, "LoadModule {name}_module {MODULES}/mod_{name}.so")?;
        }
        // One process that stays, so that its CPU time is all there is.
        writeln!(
            text,
            "ServerRoot {here}\nDefaultRuntimeDir {here}\nPidFile {here}/pid\nListen {address}\nServerName {address}\n\
             User www-data\nGroup www-data\nErrorLog {here}/error.log\nDocumentRoot {here}/files\nKeepAlive On\nMaxKeepAliveRequests 0\n\
             ServerLimit 1\nStartServers 1\nThreadsPerChild 64\nMaxRequestWorkers 64\nMinSpareThreads 1\nMaxSpareThreads 64\n\
             <Directory {here}/files>\nRequire all granted\n</Directory>\n{lines}"
        )?;
        let file = directory.path().join("apache.conf");
        fs::write(&file, text)?;
        let child = Command::new(PROGRAM)
            .args(["-D", "FOREGROUND", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("{PROGRAM}: {INSTALL}"))?;
        let apache = Self {
            child,
            _directory: directory,
        };
        for _ in 0..GLANCES {
            if TcpStream::connect(address).is_ok() {
                return Ok(apache);
            }
            std::thread::sleep(GLANCE);
        }
        anyhow::bail!("Apache does not listen at {address}")
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        // Asked to, it ends its children too.
        let line = format!("kill -TERM {}", self.child.id());
        drop(Command::new("sh").args(["-c", &line]).status());
        drop(self.child.wait());
    }
}
