//! Proxies in front of a registry, each with the very file of `deploy/`; and a registry that writes down what reaches it.

mod asking;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;

pub use asking::AskingProxy;

use super::{Running, free_address};

/// nginx that asks Countersign about every request.
#[derive(Debug)]
pub struct GateNginx {
    running: Running,
    _directory: TempDir,
}

/// Where things are that a proxy stands between.
#[derive(Debug)]
pub struct Between<'a> {
    /// The address at which tools reach it: `http://127.0.0.1:1`.
    pub url: &'a str,
    /// The registry behind.
    pub registry: &'a str,
    /// Countersign's `forward_auth_listen`.
    pub forward_auth: &'a str,
    /// Countersign's `listen`.
    pub broker: &'a str,
    /// The registry's name in the configuration.
    pub name: &'a str,
}

impl GateNginx {
    /// An address for one that is started later.
    pub fn address() -> String {
        format!("http://{}", free_address())
    }

    /// Starts it.
    pub fn start(between: &Between<'_>) -> Self {
        let rules = rules("registry-nginx.conf", between);
        Self::with(between.url, &rules)
    }

    /// nginx that passes everything on, for benchmarks to measure the other beside.
    pub fn asking_nobody(url: &str, registry: &str) -> Self {
        let rules = format!(
            "client_max_body_size 0; proxy_request_buffering off; proxy_http_version 1.1;\n\
             location / {{ proxy_set_header Host $host; proxy_pass {registry}; }}"
        );
        Self::with(url, &rules)
    }

    /// The process that it is, whose child does the work.
    pub fn process(&self) -> u32 {
        self.running.0.id()
    }

    fn with(url: &str, rules: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let here = directory.path().display();
        let host = url.trim_start_matches("http://");
        let text = format!(
            "daemon off; worker_processes 1; pid {here}/pid; error_log {here}/error.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{ access_log off; client_body_temp_path {here}/body; proxy_temp_path {here}/proxy;\n\
             fastcgi_temp_path {here}/f; uwsgi_temp_path {here}/u; scgi_temp_path {here}/s;\n\
             server {{ listen {host}; {rules} }} }}\n"
        );
        let config = directory.path().join("nginx.conf");
        std::fs::write(&config, text).expect("a file");
        let mut command = Command::new("nginx");
        command
            .arg("-c")
            .arg(&config)
            .arg("-p")
            .arg(directory.path());
        let address = host.parse().expect("an address");
        Self {
            running: Running::start(&mut command, address),
            _directory: directory,
        }
    }
}

/// A file of `deploy/`.
fn sample(file: &str) -> String {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    std::fs::read_to_string(deploy.join(file)).expect("the file of deploy/")
}

/// What stands at an address.
fn host(url: &str) -> &str {
    url.trim_start_matches("http://")
}

/// A file of `deploy/`, between these.
fn rules(file: &str, between: &Between<'_>) -> String {
    rules_at(file, between, |url| host(url).to_owned())
}

/// The same, in a language that writes an address otherwise.
fn rules_at(file: &str, between: &Between<'_>, host: impl Fn(&str) -> String) -> String {
    let text = sample(file);
    let (_, rules) = text
        .split_once("must reach the registry.\n")
        .expect("what to replace");
    rules
        .replace("REGISTRY", &host(between.registry))
        .replace("COUNTERSIGN", &host(between.forward_auth))
        .replace("DOOR", &host(between.broker))
        .replace("NAME", between.name)
}

/// A registry that takes everything, and writes down what reaches it.
#[derive(Debug)]
pub struct Recorder {
    /// Where it listens.
    pub url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request that reached a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its first line, without the version.
    pub line: String,
    /// Its headers, names in small letters.
    pub headers: Vec<(String, String)>,
    /// How many bytes its body had.
    pub body: u64,
}

impl Seen {
    /// The values of a header.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(found, _)| found == name);
        named.map(|(_, value)| value.as_str()).collect()
    }
}

impl Recorder {
    /// Starts one.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let all = Arc::clone(&all);
                std::thread::spawn(move || answer_all(stream, &all));
            }
        });
        Self { url, seen }
    }

    /// What has reached it since this was asked last.
    pub fn take(&self) -> Vec<Seen> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut seen)
    }
}

fn answer_all(stream: TcpStream, all: &Mutex<Vec<Seen>>) {
    let mut reader = BufReader::new(stream);
    while let Some(seen) = read(&mut reader) {
        let is_head = seen.line.starts_with("HEAD ");
        all.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(seen);
        let body = if is_head { "" } else { "taken" };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{body}");
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let line = line.rsplit_once(' ')?.0.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader
            .read_line(&mut header)
            .ok()
            .filter(|read| *read > 0)?;
        let Some((name, value)) = header.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let seen = Seen {
        line,
        headers,
        body: 0,
    };
    let body = match seen.values("content-length").first() {
        Some(length) => skip(reader, length.parse().ok()?)?,
        None if seen.values("transfer-encoding").contains(&"chunked") => skip_chunks(reader)?,
        None => 0,
    };
    Some(Seen { body, ..seen })
}

fn skip(reader: &mut BufReader<TcpStream>, length: u64) -> Option<u64> {
    let copied = std::io::copy(&mut reader.take(length), &mut std::io::sink());
    copied.ok().filter(|copied| *copied == length)
}

fn skip_chunks(reader: &mut BufReader<TcpStream>) -> Option<u64> {
    let mut all = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let length = u64::from_str_radix(line.trim(), 16).ok()?;
        all += skip(reader, length)?;
        reader.read_line(&mut line).ok()?;
        if length == 0 {
            return Some(all);
        }
    }
}
