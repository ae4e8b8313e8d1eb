//! The registries' own tools, as people run them: unpatched, in a directory of their own, at a terminal. And the registries
//! that they publish to, which know nothing of us.
//!
//! A program that is missing fails the test; `tests/run packages python npm tools` installs them all.

mod cargo;
mod crate_store;
mod gate;
mod gem;
mod go;
mod helper;
mod maven;
mod nginx;
mod npm;
mod nuget;
mod pypi;
mod terminal;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

pub use cargo::{Cargo, CargoHttpRegistry};
pub use crate_store::CrateStore;
pub use gate::{AskingProxy, Between, GateNginx, Recorder, Seen};
pub use gem::Gem;
pub use go::Go;
pub use helper::Helper;
pub use maven::{Artifact, Maven};
pub use nginx::{FileStore, Tls};
pub use npm::{Npm, Verdaccio};
pub use nuget::NuGet;
pub use pypi::{PypiServer, Python};
pub use terminal::{Ended, Terminal};

/// How long a program may take to start, to say what is awaited, or to end: Java is slow.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often it is looked whether it has.
const GLANCE: Duration = Duration::from_millis(20);

/// A server that a test started. It ends when this is dropped.
#[derive(Debug)]
struct Running(Child);

impl Running {
    /// Starts it, and waits until it takes connections.
    fn start(command: &mut Command, address: SocketAddr) -> Self {
        let child = with_sbin(command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}; {INSTALL}"));
        let mut running = Self(child);
        for _ in 0..PATIENCE.as_millis() / GLANCE.as_millis() {
            if TcpStream::connect(address).is_ok() {
                return running;
            }
            if let Ok(Some(status)) = running.0.try_wait() {
                panic!("{command:?} ended: {status}");
            }
            std::thread::sleep(GLANCE);
        }
        panic!("{command:?} does not listen at {address}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

const INSTALL: &str = "run `tests/run packages python npm tools`";

/// A port of 127.0.0.1 that nobody has now, nor gets by chance before a slow program listens there: below those that the
/// system hands out.
pub(crate) fn free_address() -> SocketAddr {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Tests of another process begin elsewhere.
    let process = u16::try_from(std::process::id() % 100).expect("below 100");
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (process * 120 + next) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// A file of `tests/peers`.
fn peer(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(path)
}

/// A file of the Python peers' virtual environment.
fn python(path: &str) -> PathBuf {
    peer("../../target/python").join(path)
}

/// Debian keeps some servers where only root looks.
fn with_sbin(command: &mut Command) -> &mut Command {
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin"))
}

/// Packs files, as many kinds of package are: in a zip, which has their names to the letter and no directories.
fn zip(directory: &Path, archive: &str, files: &[(&str, &str)]) -> PathBuf {
    const PACK: &str = "import sys, zipfile\n\
        archive = zipfile.ZipFile(sys.argv[1], 'w')\n\
        for name in sys.argv[2:]: archive.write(name)\n\
        archive.close()";
    for (name, text) in files {
        let path = directory.join(name);
        let parent = path.parent().expect("a directory");
        std::fs::create_dir_all(parent).expect("a directory");
        std::fs::write(&path, text).expect("a file");
    }
    let packed = Command::new(python("bin/python"))
        .args(["-c", PACK, archive])
        .args(files.iter().map(|(name, _)| name))
        .current_dir(directory)
        .status();
    let packed = packed.unwrap_or_else(|error| panic!("python: {error}; {INSTALL}"));
    assert!(packed.success(), "{archive} is not packed");
    directory.join(archive)
}
