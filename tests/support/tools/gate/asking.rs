//! Caddy, Traefik and Envoy that ask Countersign about every request, in plain http: what is tried of them is not their TLS.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::super::{GLANCE, Running, python};
use super::{Between, host, rules, rules_at, sample};

/// One of them.
#[derive(Debug)]
pub struct AskingProxy {
    _running: Running,
    _directory: TempDir,
}

impl AskingProxy {
    /// Caddy.
    pub fn caddy(between: &Between<'_>) -> Self {
        Self::start(between, |directory| {
            let text = replaced(
                &rules("registry-Caddyfile", between),
                &[
                    ("\tlog default {", "\tadmin off\n\tlog default {"),
                    ("\nnpm.registry.example {", &format!("\n{} {{", between.url)),
                ],
            );
            let mut command = Command::new("caddy");
            command
                .args(["run", "--adapter", "caddyfile", "--config"])
                .arg(file(directory, "Caddyfile", &text))
                .env("XDG_DATA_HOME", directory)
                .env("XDG_CONFIG_HOME", directory);
            command
        })
    }

    /// Traefik.
    pub fn traefik(between: &Between<'_>) -> Self {
        Self::start(between, |directory| {
            let dynamic = replaced(
                &rules("registry-traefik-dynamic.yaml", between),
                &[
                    ("      tls: {}\n", ""),
                    (
                        "Host(`npm.registry.example`)",
                        &format!("Host(`{}`)", name(between)),
                    ),
                    ("          # - X-Remote-User", "          - X-Remote-User"),
                ],
            );
            let (dynamic, _) = dynamic.split_once("\ntls:\n").expect("its TLS");
            let dynamic = file(directory, "dynamic.yaml", dynamic);
            let text = replaced(
                &sample("registry-traefik.yaml"),
                &[
                    ("\":443\"", &format!("\"{}\"", host(between.url))),
                    (
                        "/etc/traefik/registry-traefik-dynamic.yaml",
                        &dynamic.display().to_string(),
                    ),
                ],
            );
            let mut command = Command::new(python("bin/traefik"));
            let text = file(directory, "traefik.yaml", &text);
            command.arg(format!("--configFile={}", text.display()));
            command
        })
    }

    /// Envoy.
    pub fn envoy(between: &Between<'_>) -> Self {
        Self::start(between, |directory| {
            let (address, port) = host(between.url).split_once(':').expect("a port");
            let listener = format!("address: {address}, port_value: {port} ");
            let text = replaced(
                &rules_at("registry-envoy.yaml", between, socket_address),
                &[
                    ("address: 0.0.0.0, port_value: 443 ", &listener),
                    ("[npm.registry.example]", "[\"*\"]"),
                    ("# - { exact: x-remote-user }", "- { exact: x-remote-user }"),
                ],
            );
            let (before, rest) = text
                .split_once("        - transport_socket:")
                .expect("its TLS");
            let (_, after) = rest
                .split_once("          filters:")
                .expect("what is behind TLS");
            let text = format!("{before}        - filters:{after}");
            let mut command = Command::new(python("bin/envoy"));
            command
                .args(["--disable-hot-restart", "--concurrency", "1", "-c"])
                .arg(file(directory, "envoy.yaml", &text));
            command
        })
    }

    fn start(between: &Between<'_>, command: impl FnOnce(&Path) -> Command) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = command(directory.path());
        let address = host(between.url).parse().expect("an address");
        let running = Running::start(&mut command, address);
        // Traefik listens before it knows what for.
        while status_of(address).contains(" 404 ") {
            std::thread::sleep(GLANCE);
        }
        Self {
            _running: running,
            _directory: directory,
        }
    }
}

/// What is answered to somebody who may not ask for what he asks for.
fn status_of(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let request = format!("PUT /nothing HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut line = String::new();
    BufReader::new(stream)
        .read_line(&mut line)
        .expect("it answers");
    line
}

/// The host of an address, without its port.
fn name<'a>(between: &Between<'a>) -> &'a str {
    host(between.url).split_once(':').expect("a port").0
}

fn socket_address(url: &str) -> String {
    let (address, port) = host(url).split_once(':').expect("a port");
    format!("{{ address: {address}, port_value: {port} }}")
}

fn file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let file = directory.join(name);
    std::fs::write(&file, text).expect("a file");
    file
}

/// A text with other words in it, each of which stands there.
fn replaced(text: &str, all: &[(&str, &str)]) -> String {
    all.iter().fold(text.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "no `{old}` in: {text}");
        text.replace(old, new)
    })
}
