//! Programs of other makers, as child processes on loopback: providers that people sign in at,
//! clients that send them to us. They end when they are dropped, or when this process ends.
//!
//! A program that is missing fails the test; `tests/run packages python npm` installs them all.

mod canaille;
mod clients;
mod docker;
mod measured;
mod name_server;
mod oidc_provider;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

pub use canaille::{AuthenticatorApp, Canaille, Factors, Person};
pub use clients::{Authentication, Library, Registration, RelyingParty};
pub use docker::{CommandLine, DockerAddress, DockerRegistry, Said};
pub use measured::{NodeVerifier, PlainProvider};
pub use name_server::{NameServer, Named};
pub use oidc_provider::{ALGORITHMS, OidcProvider, Unmet};

/// How long a program may take to start or to answer: the slowest takes 4 s on a quiet machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// A running program that is spoken to in lines of JSON.
#[derive(Debug)]
struct Peer {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    complaints: Receiver<String>,
}

impl Peer {
    /// Starts a script of `tests/peers/npm` with the Node.js of its lock file.
    fn node(script: &str, argument: &Value) -> Self {
        let here = peers().join("npm");
        Self::start(
            &here.join("node_modules/.bin/node"),
            &here.join(script),
            argument,
        )
    }

    /// Starts a script of `tests/peers/python` in its virtual environment.
    fn python(script: &str, argument: &Value) -> Self {
        let python = peers().join("../../target/python/bin/python");
        Self::start(&python, &peers().join("python").join(script), argument)
    }

    fn start(program: &Path, script: &Path, argument: &Value) -> Self {
        let mut child = Command::new(program)
            .arg(script)
            .arg(argument.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; {INSTALL}", program.display()));
        let input = child.stdin.take().expect("its standard input");
        let output = BufReader::new(child.stdout.take().expect("its standard output"));
        let mut errors = child.stderr.take().expect("its standard error");
        let (line_read, lines) = channel();
        let (complained, complaints) = channel();
        std::thread::spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| line_read.send(line))
        });
        std::thread::spawn(move || {
            let mut text = String::new();
            errors.read_to_string(&mut text).ok();
            complained.send(text)
        });
        Self {
            child,
            input,
            lines,
            complaints,
        }
    }

    /// Says something, and waits for the answer.
    ///
    /// It blocks: broker and stand-ins have threads of their own.
    fn ask(&mut self, command: &Value) -> Value {
        writeln!(self.input, "{command}").expect("it listens");
        self.hear()
    }

    /// Waits for the next line.
    fn hear(&mut self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|_| panic!("it does not answer: {}", self.complaint()));
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"))
    }

    fn complaint(&mut self) -> String {
        self.child.kill().ok();
        self.complaints.recv_timeout(PATIENCE).unwrap_or_default()
    }
}

const INSTALL: &str = "`tests/run packages python npm` installs it";

impl Drop for Peer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok(); // so that it does not stay behind as a zombie
    }
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}
