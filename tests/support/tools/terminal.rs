//! A program at a terminal: some tools ask, print addresses and wait only where they believe that a person is there.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use super::{GLANCE, INSTALL, PATIENCE};

/// A program that runs at a terminal.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    shown: Arc<Mutex<String>>,
}

/// What a program left behind.
#[derive(Debug)]
pub struct Ended {
    /// Whether it succeeded.
    pub success: bool,
    /// All that it showed, without colours and with plain line ends.
    pub shown: String,
}

impl Ended {
    /// Whether it showed these words; a terminal breaks lines where they are full.
    pub fn says(&self, words: &str) -> bool {
        let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        plain(&self.shown).contains(&plain(words))
    }
}

impl Terminal {
    /// Runs a command at a terminal (`script`, of every Debian).
    pub fn run(command: &Command) -> Self {
        let quoted = std::iter::once(command.get_program()).chain(command.get_args());
        let quoted: Vec<String> = quoted
            .map(|word| format!("'{}'", word.to_string_lossy().replace('\'', "'\\''")))
            .collect();
        let mut script = Command::new("script");
        script
            .args(["--quiet", "--return", "--flush", "--command"])
            .arg(quoted.join(" "))
            .arg("/dev/null")
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env("TERM", "dumb")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0);
        if let Some(directory) = command.get_current_dir() {
            script.current_dir(directory);
        }
        let child = script.spawn();
        let mut child = child.unwrap_or_else(|error| panic!("script: {error}; {INSTALL}"));
        let shown = Arc::new(Mutex::new(String::new()));
        let mut output = child.stdout.take().expect("its output");
        let seen = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut piece) {
                let text = String::from_utf8_lossy(&piece[..read]);
                seen.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&text);
            }
        });
        Self { child, shown }
    }

    /// What it has shown so far.
    pub fn shown(&self) -> String {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        plain(&shown)
    }

    /// Waits until it has shown something.
    pub async fn wait_for<T>(&self, find: impl Fn(&str) -> Option<T>) -> T {
        for _ in 0..PATIENCE.as_millis() / GLANCE.as_millis() {
            if let Some(found) = find(&self.shown()) {
                return found;
            }
            tokio::time::sleep(GLANCE).await;
        }
        panic!("it does not show what is awaited: {}", self.shown());
    }

    /// Waits until it shows an address that begins like this, and answers with it whole.
    pub async fn address(&self, beginning: &str) -> String {
        self.wait_for(|shown| {
            let start = shown.find(beginning)?;
            let rest = &shown[start..];
            let end = rest.find(|letter: char| letter.is_whitespace())?;
            Some(rest[..end].to_owned())
        })
        .await
    }

    /// Types a line.
    pub fn type_line(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("its input");
        writeln!(input, "{line}").expect("it reads");
        input.flush().expect("it reads");
    }

    /// Waits for its end.
    pub async fn end(mut self) -> Ended {
        for _ in 0..PATIENCE.as_millis() / GLANCE.as_millis() {
            if let Some(status) = self.child.try_wait().expect("its status") {
                // What it wrote last may still be on its way.
                tokio::time::sleep(GLANCE).await;
                return Ended {
                    success: status.success(),
                    shown: self.shown(),
                };
            }
            tokio::time::sleep(GLANCE).await;
        }
        panic!("it does not end: {}", self.shown());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Without what moves cursors and changes colours.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => {
                for letter in letters.by_ref() {
                    if letter.is_ascii_alphabetic() {
                        break;
                    }
                }
            }
            '\r' => {}
            _ => plain.push(letter),
        }
    }
    plain
}
