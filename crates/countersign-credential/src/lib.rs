//! What a maintainer's tools ask for credentials: cargo's credential provider, Go's `GOAUTH` command and Docker's credential
//! helper, for registries behind Countersign.
//!
//! A person signs in with their browser, at their own provider. What is kept for that is an API key of theirs, in a file that
//! nobody else reads; what cargo is given is a token for the one thing that it is about to do. Nothing secret is ever on a
//! command line or in a message.

mod address;
mod cargo;
mod command;
mod docker;
mod go;
mod person;
mod store;
mod wire;

use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use thiserror::Error;

pub use command::{Arguments, docker, login, logout, run};

/// What goes wrong, in words for the person at the tool.
#[derive(Debug, Error)]
pub enum Error {
    /// It is not the address of a registry at Countersign.
    #[error(
        "expected the address of a registry at Countersign, such as `https://login.example.org/registry/crates`, found `{0}`"
    )]
    Address(String),
    /// The file in which keys are kept can't be used.
    #[error("`{}` {why}", path.display())]
    File {
        /// The file or its directory.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// There is no home directory.
    #[error("neither `XDG_CONFIG_HOME` nor `HOME` says where keys are to be kept")]
    Homeless,
    /// Countersign does not answer.
    #[error("can't reach {host}: {why}")]
    Unreachable {
        /// Its address.
        host: String,
        /// The cause.
        why: String,
    },
    /// Countersign says no, in these words.
    #[error("{0}")]
    Refused(String),
    /// Something else answers there, or another version of it.
    #[error("{0} does not answer as Countersign does: is the address right?")]
    Answer(String),
    /// Nobody has signed in.
    #[error("nobody has signed in in time: run the command again")]
    Late,
    /// The person has stopped it.
    #[error("stopped: nobody has signed in")]
    Stopped,
    /// The tool asks for something that can't be read.
    #[error("can't read what the tool asks: {0}")]
    Input(String),
    /// The tool does not take the answer.
    #[error("can't write the answer: {0}")]
    Output(#[from] std::io::Error),
    /// Nothing is kept for it.
    #[error("nobody is signed in there: run `countersign-credential login {0}`")]
    NotSignedIn(String),
}

/// Who runs the helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tool {
    /// A person, by its name.
    Nobody,
    Cargo,
    Go,
    Docker,
}

impl Tool {
    /// As people see it on the page.
    fn agent(self) -> &'static str {
        match self {
            Self::Nobody => concat!("countersign-credential/", env!("CARGO_PKG_VERSION")),
            Self::Cargo => concat!("cargo countersign-credential/", env!("CARGO_PKG_VERSION")),
            Self::Go => concat!("go countersign-credential/", env!("CARGO_PKG_VERSION")),
            Self::Docker => concat!("docker countersign-credential/", env!("CARGO_PKG_VERSION")),
        }
    }

    /// Tells the person something; whether there is a terminal that they see it at. Go keeps to itself what its commands write
    /// to standard error.
    fn tell(self, words: &str) -> bool {
        if self == Self::Go
            && let Ok(mut terminal) = OpenOptions::new().write(true).open("/dev/tty")
        {
            return writeln!(terminal, "{words}").is_ok();
        }
        tell(words);
        std::io::stderr().is_terminal()
    }
}

/// Tells the person something. Where nobody listens, nothing is lost.
fn tell(words: &str) {
    writeln!(std::io::stderr(), "{words}").ok();
}

/// What others have written, for a terminal: on one line, and nothing that moves a cursor.
fn plain(text: &str) -> String {
    let is_shown = |letter: &char| !letter.is_control();
    text.chars().filter(is_shown).take(400).collect()
}

fn failed(error: &Error) -> ExitCode {
    tell(&format!("countersign-credential: {error}"));
    match error {
        // As a shell has it for what SIGINT has ended.
        Error::Stopped => ExitCode::from(130),
        Error::Address(_) => ExitCode::from(2),
        Error::File { .. }
        | Error::Homeless
        | Error::Unreachable { .. }
        | Error::Refused(_)
        | Error::Answer(_)
        | Error::Late
        | Error::Input(_)
        | Error::Output(_)
        | Error::NotSignedIn(_) => ExitCode::FAILURE,
    }
}
