//! Proxies in front of the program, as `deploy/` configures them: nginx and Caddy themselves; and Traefik and
//! Envoy, which can't be run here, by the requests that their documentation says they make.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use countersign_tests::{BrokerSetup, Browser, wire};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use url::Url;

use super::text;
use crate::process::{Site, VERIFIER};

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
    /// nginx, with `deploy/nginx.conf` at other addresses and with a certificate of its own.
    async fn nginx(broker: SocketAddr) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let (plain, tls) = (free(), free());
        certificate(files.path());
        let directory = files.path().display().to_string();
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

    async fn start(mut command: Command, files: TempDir, base: String) -> Self {
        let log = File::create(files.path().join("stderr.log")).expect("a log");
        let child = command
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{command:?}: {error}; `tests/run packages` installs it")
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
    // The largest that Countersign takes passes, and what is larger ends here.
    let form = |length: usize| [("token".to_owned(), "x".repeat(length))];
    let page = Browser::new()
        .post(&proxy.url("/introspect"), &form(63 * 1024))
        .await;
    assert_eq!(page.status, 401, "{}", page.body);
    let page = Browser::new()
        .post(&proxy.url("/introspect"), &form(65 * 1024))
        .await;
    assert_eq!(page.status, 413, "{}", page.body);
    let page = Browser::new()
        .get(&proxy.url(&format!("/nowhere?{}", "x".repeat(8000))))
        .await;
    assert_eq!(page.status, 404, "{}", page.body);
    let mut browser = Browser::new();
    let jar = browser.cookies.entry("127.0.0.1".to_owned()).or_default();
    jar.extend((0..8).map(|n| (format!("__Host-countersign-attempt-{n}"), "x".repeat(2048))));
    assert_eq!(browser.get(&proxy.url("/jwks.json")).await.status, 200);
    assert_eq!(proxy.written(), "");
}

#[actix_web::test]
async fn people_sign_in_through_caddy() {
    let (site, _proxy) = behind(Proxy::caddy).await;
    let _program = site.installation.start();
    for (provider, account) in [("oidc", "ann-mfa"), ("microsoft", "mia-mfa")] {
        let page = site.sign_in(provider, account, |_, _| {}).await;
        let code = page
            .sent_with("code")
            .unwrap_or_else(|| panic!("{provider}: {}", page.body));
        assert_eq!(site.redeem(&code).await.status, 200, "{provider}");
    }
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
    for name in ["nginx", "caddy"] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let proxy = match name {
            "nginx" => Proxy::nginx(address).await,
            _ => Proxy::caddy(address).await,
        };
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
    for name in ["nginx", "caddy"] {
        let nobody = free();
        let proxy = match name {
            "nginx" => Proxy::nginx(nobody).await,
            _ => Proxy::caddy(nobody).await,
        };
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

/// The header lines that a proxy puts into a request of a client at 192.0.2.5 who forged some.
struct Replay {
    name: &'static str,
    headers: &'static [(&'static str, &'static str)],
}

/// Traefik, by its documentation of entry points and forwarded headers: without `forwardedHeaders` those of a client are
/// removed. <https://doc.traefik.io/traefik/routing/entrypoints/#forwarded-headers>. Envoy, by its documentation of
/// headers, example 1 (an edge proxy), with `x-forwarded-for` overwritten as deploy/envoy.yaml does:
/// <https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers>
const REPLAYS: [Replay; 3] = [
    Replay {
        name: "traefik",
        headers: &[
            ("Host", "login.registry.example"),
            ("Accept-Encoding", "gzip"),
            ("X-Forwarded-For", "192.0.2.5"),
            ("X-Forwarded-Host", "login.registry.example"),
            ("X-Forwarded-Port", "443"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Server", "traefik-6d5f8"),
            ("X-Real-Ip", "192.0.2.5"),
        ],
    },
    Replay {
        name: "envoy",
        headers: &[
            ("host", "login.registry.example"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-for", "192.0.2.5"),
            ("x-envoy-external-address", "192.0.2.5"),
            ("x-envoy-expected-rq-timeout-ms", "60000"),
        ],
    },
    // As Envoy does without the line that overwrites, and with an id of its own.
    Replay {
        name: "envoy, as it is by default",
        headers: &[
            ("host", "login.registry.example"),
            ("x-request-id", "a6b2d3c4-0000-4000-8000-000000000000"),
            ("x-forwarded-proto", "https"),
            (
                "x-forwarded-for",
                "203.0.113.128, 203.0.113.10, 203.0.113.1, 192.0.2.5",
            ),
            ("x-envoy-external-address", "192.0.2.5"),
            ("x-envoy-expected-rq-timeout-ms", "15000"),
        ],
    },
];

#[actix_web::test]
async fn requests_as_traefik_and_envoy_make_them_are_answered_as_any_other() {
    let site = Site::new().await;
    let program = site.installation.start();
    let base = &site.installation.issuer;
    for Replay { name, headers } in REPLAYS {
        let lower: Vec<(String, &str)> = headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), *value))
            .collect();
        // What the client forged besides, and the proxy passed on.
        let with: Vec<(&str, &str)> = lower
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .chain([("x-original-url", "/metrics")])
            .collect();
        let page = wire::get(base, "/.well-known/openid-configuration", &with).await;
        let metadata: serde_json::Value = serde_json::from_str(&page.body).expect("JSON");
        assert_eq!(metadata["issuer"], json!(base), "{name}");
        let id = page.header("x-request-id").expect("an id");
        assert_eq!(id.len(), 16, "{name}: {id}");
        let authorize = site.authorize_url("oidc");
        let target = &authorize[url::Position::BeforePath..];
        let page = wire::get(base, target, &with).await;
        assert_eq!(page.status, 303, "{name}: {}", page.body);
        let callback = page.sent_with("redirect_uri").expect("a redirect URI");
        assert_eq!(callback, format!("{base}/callback/oidc"), "{name}");
        let code = site.code().await;
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("grant_type", "authorization_code"),
                ("code", &code),
                ("redirect_uri", BrokerSetup::REDIRECT_URI),
                ("code_verifier", VERIFIER),
                ("client_id", "gallery"),
                ("client_secret", BrokerSetup::SECRET),
            ])
            .finish();
        let page = wire::send("POST", base, "/token", &with, &form).await;
        assert_eq!(page.status, 200, "{name}: {}", page.body);
    }
    // Nothing that a proxy says of a request is taken for its name.
    assert!(!program.log().contains("a6b2d3c4"));
}
