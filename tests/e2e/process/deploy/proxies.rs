//! Proxies in front of the program, as `deploy/` configures them: nginx, Caddy, Envoy and Traefik.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use countersign_tests::{Browser, Page};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use url::Url;

use super::text;
use crate::process::Site;

/// What no log of a proxy may have: it stands for a code.
const CODE: &str = "code-that-nobody-may-log";

/// A running proxy; it ends when it is dropped.
struct Proxy {
    /// Where it is asked.
    base: String,
    child: Child,
    /// Its configuration, and all that it writes.
    files: TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Proxy {
    /// The one of this name.
    async fn of(name: &str, broker: SocketAddr) -> Self {
        match name {
            "nginx" => Self::nginx(broker).await,
            "caddy" => Self::caddy(broker).await,
            "envoy" => Self::envoy(broker).await,
            "traefik" => Self::traefik(broker).await,
            other => panic!("no proxy `{other}`"),
        }
    }

    /// nginx, with `deploy/nginx.conf` at other addresses and with a certificate of its own.
    async fn nginx(broker: SocketAddr) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let (plain, tls) = (free(), free());
        let directory = certified(&files);
        let server = substituted(
            &text("nginx.conf"),
            &[
                (
                    "/etc/ssl/private/login.registry.example.key",
                    &format!("{directory}/key.pem"),
                ),
                (
                    "/etc/ssl/login.registry.example.pem",
                    &format!("{directory}/certificate.pem"),
                ),
                ("/var/log/nginx/", &format!("{directory}/")),
                ("listen 80;", &format!("listen {plain};")),
                ("listen 443 ssl;", &format!("listen {tls} ssl;")),
                ("https://login.registry.example", &format!("https://{tls}")),
                ("127.0.0.1:8080", &broker.to_string()),
            ],
        );
        std::fs::write(files.path().join("server.conf"), server).expect("its server");
        let main = format!(
            "daemon off;\nmaster_process off;\npid {directory}/pid;\nerror_log {directory}/main.log;\n\
             events {{}}\nhttp {{\n{}include {directory}/server.conf;\n}}\n",
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|one| format!("{one}_temp_path {directory}/{one};\n"))
                .concat(),
        );
        let configuration = files.path().join("nginx.conf");
        std::fs::write(&configuration, main).expect("its configuration");
        let mut command = Command::new("nginx");
        command
            .arg("-p")
            .arg(files.path())
            .arg("-c")
            .arg(configuration);
        Self::start(command, files, format!("https://{tls}")).await
    }

    /// Caddy, with `deploy/Caddyfile` at other addresses; in plain http, since its TLS takes a certificate authority.
    async fn caddy(broker: SocketAddr) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let plain = free();
        let file = substituted(
            &text("Caddyfile"),
            &[
                (
                    "\nlogin.registry.example {",
                    &format!("\nhttp://{plain} {{"),
                ),
                ("127.0.0.1:8080", &broker.to_string()),
                ("\n{\n", "\n{\n\tadmin off\n"),
            ],
        );
        let configuration = files.path().join("Caddyfile");
        std::fs::write(&configuration, file).expect("its configuration");
        let mut command = Command::new("caddy");
        command
            .args(["run", "--adapter", "caddyfile", "--config"])
            .arg(configuration)
            .env("XDG_DATA_HOME", files.path())
            .env("XDG_CONFIG_HOME", files.path());
        Self::start(command, files, format!("http://{plain}")).await
    }

    /// Envoy, with `deploy/envoy.yaml` at other addresses and with a certificate of its own.
    async fn envoy(broker: SocketAddr) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let tls = free();
        let directory = certified(&files);
        let text = substituted(
            &text("envoy.yaml"),
            &[
                (
                    "/etc/ssl/private/login.registry.example.key",
                    &format!("{directory}/key.pem"),
                ),
                (
                    "/etc/ssl/login.registry.example.pem",
                    &format!("{directory}/certificate.pem"),
                ),
                (
                    "address: 0.0.0.0, port_value: 443 ",
                    &format!("address: 127.0.0.1, port_value: {} ", tls.port()),
                ),
                ("domains: [login.registry.example]", "domains: [\"*\"]"),
                (
                    "port_value: 8080",
                    &format!("port_value: {}", broker.port()),
                ),
            ],
        );
        let configuration = files.path().join("envoy.yaml");
        std::fs::write(&configuration, text).expect("its configuration");
        let mut command = Command::new(python("envoy"));
        command
            .args(["--disable-hot-restart", "--concurrency", "1", "-c"])
            .arg(configuration);
        Self::start(command, files, format!("https://{tls}")).await
    }

    /// Traefik, with `deploy/traefik.yaml` at other addresses and with a certificate of its own.
    async fn traefik(broker: SocketAddr) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let (plain, tls) = (free(), free());
        let directory = certified(&files);
        let dynamic = substituted(
            &text("traefik-dynamic.yaml"),
            &[
                (
                    "/etc/ssl/private/login.registry.example.key",
                    &format!("{directory}/key.pem"),
                ),
                (
                    "/etc/ssl/login.registry.example.pem",
                    &format!("{directory}/certificate.pem"),
                ),
                ("Host(`login.registry.example`)", "Host(`127.0.0.1`)"),
                ("127.0.0.1:8080", &broker.to_string()),
            ],
        );
        let named = files.path().join("traefik-dynamic.yaml");
        std::fs::write(&named, dynamic).expect("its configuration");
        let text = substituted(
            &text("traefik.yaml"),
            &[
                ("\":80\"", &format!("\"{plain}\"")),
                ("\":443\"", &format!("\"{tls}\"")),
                (
                    "/etc/traefik/traefik-dynamic.yaml",
                    &named.display().to_string(),
                ),
            ],
        );
        let configuration = files.path().join("traefik.yaml");
        std::fs::write(&configuration, text).expect("its configuration");
        let mut command = Command::new(python("traefik"));
        command.arg(format!("--configFile={}", configuration.display()));
        let proxy = Self::start(command, files, format!("https://{tls}")).await;
        // It listens before it knows what for; what is too large goes no further than to it.
        let large = [("token".to_owned(), "x".repeat(65 * 1024))];
        let (address, mut browser) = (proxy.url("/"), Browser::new());
        let knows = |page: reqwest::Result<Page>| page.is_ok_and(|page| page.status == 413);
        while !knows(browser.attempt(&address, Some(&large)).await) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        proxy
    }

    async fn start(mut command: Command, files: TempDir, base: String) -> Self {
        let log = File::create(files.path().join("stderr.log")).expect("a log");
        let child = command
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{command:?}: {error}; `tests/run packages python` installs it")
            });
        let mut proxy = Self { base, child, files };
        let address = proxy
            .base
            .rsplit('/')
            .next()
            .expect("an address")
            .to_owned();
        while tokio::net::TcpStream::connect(&address).await.is_err() {
            let ended = proxy.child.try_wait().expect("its state");
            assert!(ended.is_none(), "it ended: {}", proxy.written());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        proxy
    }

    /// All that it has written to its files.
    fn written(&self) -> String {
        let logs = std::fs::read_dir(self.files.path()).expect("its files");
        logs.map(|one| one.expect("a file").path())
            .filter(|path| path.extension().is_some_and(|end| end == "log"))
            .map(|path| String::from_utf8_lossy(&std::fs::read(path).expect("a log")).into_owned())
            .collect()
    }

    fn url(&self, target: &str) -> Url {
        Url::parse(&format!("{}{target}", self.base)).expect("an address")
    }
}

/// An address where nothing listens.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

/// A program of the Python peers.
fn python(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/python/bin")
        .join(name)
}

/// The directory, which has a certificate now.
fn certified(files: &TempDir) -> String {
    certificate(files.path());
    files.path().display().to_string()
}

fn certificate(directory: &Path) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=127.0.0.1",
        ])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(directory)
        .output()
        .expect("openssl: `tests/run packages` installs it");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

fn substituted(text: &str, all: &[(&str, &str)]) -> String {
    all.iter().fold(text.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "no `{old}` in: {text}");
        text.replace(old, new)
    })
}

/// Stand-ins, and a program that is known by the address of a proxy in front of it.
async fn behind(start: impl AsyncFnOnce(SocketAddr) -> Proxy) -> (Site, Proxy) {
    let mut site = Site::new().await;
    let own = site.installation.issuer.clone();
    let listen = own
        .trim_start_matches("http://")
        .parse()
        .expect("an address");
    let proxy = start(listen).await;
    let issuer = |base: &str| format!("issuer = \"{base}\"\nlisten");
    let here = &mut site.installation;
    here.replace("countersign.toml", &issuer(&own), &issuer(&proxy.base));
    here.issuer.clone_from(&proxy.base);
    (site, proxy)
}

#[actix_web::test]
async fn people_sign_in_through_nginx() {
    let (site, proxy) = behind(Proxy::nginx).await;
    let _program = site.installation.start();
    for (provider, account) in [
        ("oidc", "ann-mfa"),
        ("microsoft", "mia-mfa"),
        ("github", "ann-mfa"),
    ] {
        let page = site.sign_in(provider, account, |_, _| {}).await;
        let code = page
            .sent_with("code")
            .unwrap_or_else(|| panic!("{provider}: {}", page.body));
        let tokens = site.redeem(&code).await;
        assert_eq!(tokens.status, 200, "{provider}: {}", tokens.body);
        assert_eq!(tokens.id()["iss"], json!(proxy.base));
    }
    let page = Browser::new().get(&proxy.url("/")).await;
    assert_eq!(
        page.header("strict-transport-security"),
        Some("max-age=31536000")
    );
    assert_eq!(page.header("x-frame-options"), Some("DENY"));
    takes_what_countersign_takes(&proxy).await;
    // What is larger ends here.
    let form = [("token".to_owned(), "x".repeat(65 * 1024))];
    let page = Browser::new().post(&proxy.url("/introspect"), &form).await;
    assert_eq!(page.status, 413, "{}", page.body);
    assert_eq!(proxy.written(), "");
}

#[actix_web::test]
async fn people_sign_in_through_caddy() {
    sign_in(behind(Proxy::caddy).await).await;
}

#[actix_web::test]
async fn people_sign_in_through_envoy() {
    sign_in(behind(Proxy::envoy).await).await;
}

#[actix_web::test]
async fn people_sign_in_through_traefik() {
    sign_in(behind(Proxy::traefik).await).await;
}

async fn sign_in((site, proxy): (Site, Proxy)) {
    let _program = site.installation.start();
    for (provider, account) in [("oidc", "ann-mfa"), ("microsoft", "mia-mfa")] {
        let page = site.sign_in(provider, account, |_, _| {}).await;
        let code = page
            .sent_with("code")
            .unwrap_or_else(|| panic!("{provider}: {}", page.body));
        assert_eq!(site.redeem(&code).await.status, 200, "{provider}");
    }
    takes_what_countersign_takes(&proxy).await;
}

/// The largest that Countersign takes passes.
async fn takes_what_countersign_takes(proxy: &Proxy) {
    let form = [("token".to_owned(), "x".repeat(63 * 1024))];
    let page = Browser::new().post(&proxy.url("/introspect"), &form).await;
    assert_eq!(page.status, 401, "{}", page.body);
    let page = Browser::new()
        .get(&proxy.url(&format!("/nowhere?{}", "x".repeat(8000))))
        .await;
    assert_eq!(page.status, 404, "{}", page.body);
    let mut browser = Browser::new();
    let jar = browser.cookies.entry("127.0.0.1".to_owned()).or_default();
    jar.extend((0..8).map(|n| (format!("__Host-countersign-attempt-{n}"), "x".repeat(2048))));
    assert_eq!(browser.get(&proxy.url("/jwks.json")).await.status, 200);
}

/// Takes one request as it is, answers it, and gives it back.
async fn taken(listener: TcpListener) -> String {
    listener.set_nonblocking(true).expect("a listener");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    loop {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = vec![0; 16 * 1024];
        let length = stream.read(&mut request).await.expect("a request");
        let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
        stream.write_all(answer).await.expect("an answer");
        if length > 0 {
            return String::from_utf8_lossy(&request[..length]).into_owned();
        }
    }
}

/// What clients send that only a proxy may say.
const FORGED: [(&str, &str); 3] = [
    ("X-Forwarded-For", "203.0.113.66, 203.0.113.67"),
    ("Forwarded", "for=203.0.113.66;host=evil.example"),
    ("X-Forwarded-Proto", "gopher"),
];

#[actix_web::test]
async fn proxies_overwrite_what_a_client_says_of_its_address() {
    for name in ["nginx", "caddy", "envoy", "traefik"] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let proxy = Proxy::of(name, address).await;
        let seen = tokio::spawn(taken(listener));
        let mut browser = Browser::new();
        browser.forged.extend(FORGED);
        let page = browser.get(&proxy.url("/jwks.json")).await;
        assert_eq!(page.status, 204, "{name}: {}", page.body);
        let seen = seen.await.expect("a request").to_ascii_lowercase();
        assert!(
            !seen.contains("203.0.113") && !seen.contains("evil.example"),
            "{name}: {seen}"
        );
        assert!(!seen.contains("gopher"), "{name}: {seen}");
        assert_eq!(
            seen.matches("x-forwarded-for: 127.0.0.1\r\n").count(),
            1,
            "{name}: {seen}"
        );
    }
}

#[actix_web::test]
async fn no_proxy_writes_an_address_down_even_where_nothing_answers_behind_it() {
    for name in ["nginx", "caddy", "envoy", "traefik"] {
        let nobody = free();
        let proxy = Proxy::of(name, nobody).await;
        let url = proxy.url(&format!("/callback/oidc?code={CODE}&state={CODE}"));
        let page = Browser::new().get(&url).await;
        assert!(
            [502, 503, 504].contains(&page.status),
            "{name}: {}",
            page.status
        );
        let written = proxy.written();
        assert!(!written.contains(CODE), "{name}: {written}");
    }
}
