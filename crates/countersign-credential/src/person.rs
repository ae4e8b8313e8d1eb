//! The person at the tool: signed in with their browser, where something needs it.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::{sleep, timeout};

use crate::address::Address;
use crate::store::{Lock, Login, Store};
use crate::wire::{Broker, Deed, Done, Given, Waiting};
use crate::{Error, Tool, plain};

/// Whether a browser is opened for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Browser {
    /// At a terminal, with what `BROWSER` says, or where there is a screen.
    Open,
    /// Never.
    Leave,
}

/// How often another's sign-in is looked after.
const GLANCE: Duration = Duration::from_millis(200);
/// How often in a row Countersign may not answer while somebody signs in.
const MOST_FAILURES: u32 = 3;
/// How long two questions are apart, in seconds, whatever is answered.
const INTERVALS: std::ops::RangeInclusive<u64> = 1..=60;
/// How long anybody is waited for, in seconds.
const LONGEST: u64 = 1800;

/// Somebody at one registry.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) store: Store,
    broker: Broker,
    tool: Tool,
    browser: Browser,
}

impl Person {
    pub(crate) fn new(address: Address, tool: Tool, browser: Browser) -> Result<Self, Error> {
        Ok(Self {
            store: Store::of_person()?,
            broker: Broker::new(address, tool)?,
            tool,
            browser,
        })
    }

    fn address(&self) -> &Address {
        &self.broker.address
    }

    /// What is kept for them.
    pub(crate) fn login(&self) -> Result<Option<Login>, Error> {
        Ok(self.store.read()?.login(self.address()).cloned())
    }

    /// What is kept, or what comes of a sign-in now.
    pub(crate) async fn login_or_sign_in(&self) -> Result<Login, Error> {
        match self.login()? {
            Some(login) => Ok(login),
            None => self.sign_in_instead_of(None).await,
        }
    }

    /// Signs them in, in the place of a login that is good no more: by the sign-in of another helper that ran beside, where
    /// one did.
    pub(crate) async fn sign_in_instead_of(&self, over: Option<&Login>) -> Result<Login, Error> {
        let _lock = self.turn().await?;
        let key = |login: &Login| login.key.expose_secret().to_owned();
        if let Some(kept) = self.login()?
            && over.map(key) != Some(key(&kept))
        {
            return Ok(kept);
        }
        self.signed_in("Sign in").await
    }

    /// Signs them in, whatever is kept.
    pub(crate) async fn sign_in(&self) -> Result<Login, Error> {
        let _lock = self.turn().await?;
        self.signed_in("Sign in").await
    }

    /// One sign-in at a time: who has two tools wait for them signs in once.
    async fn turn(&self) -> Result<Lock, Error> {
        if let Some(lock) = self.store.lock_sign_in()? {
            return Ok(lock);
        }
        self.tool
            .tell("Another command waits for you to sign in: this one goes on after it.");
        let freed = async {
            loop {
                sleep(GLANCE).await;
                if let Some(lock) = self.store.lock_sign_in()? {
                    return Ok(lock);
                }
            }
        };
        unless_stopped(freed).await
    }

    async fn signed_in(&self, what: &str) -> Result<Login, Error> {
        let waiting = self.broker.sign_in().await?;
        let done = self.wait(what, &waiting).await?;
        let Done::Key {
            key,
            name,
            expires_at,
        } = done
        else {
            return Err(Error::Answer(self.address().to_string()));
        };
        let login = Login {
            registry: waiting.registry,
            key,
            name: plain(&name),
            expires_at: plain(&expires_at),
        };
        let kept = login.clone();
        self.store.change(|all| all.keep(self.address(), kept))?;
        Ok(login)
    }

    /// A token for one thing: on the way there they sign in where that is needed.
    pub(crate) async fn token(&self, deed: &Deed<'_>) -> Result<SecretString, Error> {
        let login = self.login_or_sign_in().await?;
        match self.broker.token(&login.key, deed).await? {
            Given::KeyOver(_) => {
                let login = self.sign_in_instead_of(Some(&login)).await?;
                let given = self.broker.token(&login.key, deed).await?;
                self.token_of(given, deed).await
            }
            given => self.token_of(given, deed).await,
        }
    }

    async fn token_of(&self, given: Given, deed: &Deed<'_>) -> Result<SecretString, Error> {
        match given {
            Given::Token(token) => Ok(token),
            Given::KeyOver(words) => Err(Error::Refused(words)),
            Given::SignIn(waiting) => match self.wait(&in_words(deed), &waiting).await? {
                Done::Token { token } => Ok(token),
                Done::Key { .. } => Err(Error::Answer(self.address().to_string())),
            },
        }
    }

    /// Ends their key, there and here. Here it is forgotten even where nobody answers there.
    pub(crate) async fn sign_out(&self) -> Result<(), Error> {
        let Some(login) = self.login()? else {
            return Err(Error::NotSignedIn(self.address().to_string()));
        };
        self.store.change(|kept| kept.forget(self.address()))?;
        self.broker.sign_out(&login.key).await
    }

    /// Shows them where to sign in, and waits.
    async fn wait(&self, what: &str, waiting: &Waiting) -> Result<Done, Error> {
        let (page, code) = (
            plain(&waiting.verification_uri_complete),
            plain(&waiting.user_code),
        );
        let words =
            format!("{what} at {page}\nGo on there only if the page shows this code: {code}");
        if self.tool.tell(&words) {
            self.browser.open(&page);
        }
        let patience = Duration::from_secs(waiting.expires_in.min(LONGEST));
        let done = timeout(patience, self.asked_until_done(waiting));
        unless_stopped(async { done.await.map_err(|_| Error::Late)? }).await
    }

    async fn asked_until_done(&self, waiting: &Waiting) -> Result<Done, Error> {
        let interval = waiting.interval.clamp(*INTERVALS.start(), *INTERVALS.end());
        let mut failures = 0;
        loop {
            sleep(Duration::from_secs(interval)).await;
            match self.broker.done(waiting).await {
                Ok(Some(done)) => return Ok(done),
                Ok(None) => failures = 0,
                Err(Error::Unreachable { .. }) if failures < MOST_FAILURES => failures += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

/// What comes of it, unless somebody presses Ctrl-C before.
async fn unless_stopped<T>(done: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::select! {
        done = done => done,
        _ = tokio::signal::ctrl_c() => Err(Error::Stopped),
    }
}

/// `Sign in to publish hello 1.0.0`.
fn in_words(deed: &Deed<'_>) -> String {
    let named = deed.package.into_iter().chain(deed.version);
    let words: Vec<&str> = std::iter::once(deed.words).chain(named).collect();
    format!("Sign in to {}", plain(&words.join(" ")))
}

impl Browser {
    /// Opens a page, where there is something to open it with. What comes of that is nobody's concern: the address is on the terminal
    /// besides.
    fn open(self, page: &str) {
        if self == Self::Leave {
            return;
        }
        let set = std::env::var("BROWSER").unwrap_or_default();
        let screen = has_screen().then(|| vec![OPENER.to_owned(), page.to_owned()]);
        for words in commands(&set, page).chain(screen) {
            if start(&words) {
                return;
            }
        }
    }
}

/// What opens pages where nothing is said of it.
const OPENER: &str = if cfg!(target_os = "macos") {
    "open"
} else {
    "xdg-open"
};

/// What `BROWSER` says: commands by colons, the first that there is; the page in the place of `%s`, or behind. No shell reads them.
fn commands(set: &str, page: &str) -> impl Iterator<Item = Vec<String>> {
    set.split(':').filter_map(move |command| {
        let words = command.split_whitespace();
        let mut named: Vec<String> = words.map(|word| word.replace("%s", page)).collect();
        if !command.contains("%s") {
            named.push(page.to_owned());
        }
        (!command.trim().is_empty()).then_some(named)
    })
}

/// Starts a program, and does not wait for it: a browser may stay. In a group of its own, so that Ctrl-C here does not end it.
fn start(words: &[String]) -> bool {
    let Some((program, arguments)) = words.split_first() else {
        return false;
    };
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .is_ok()
}

/// Without one, what opens pages would open them in the terminal.
fn has_screen() -> bool {
    let names = ["DISPLAY", "WAYLAND_DISPLAY"];
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(target_os = "macos") || names.into_iter().any(is_set)
}

#[cfg(test)]
mod tests {
    use super::commands;

    #[test]
    fn a_browser_is_found_in_what_people_set_and_no_shell_reads_it() {
        let page = "https://login.example.org/device?user_code=BCDF-GHJK";
        let check = |set: &str, expected: &[&[&str]]| {
            let found: Vec<Vec<String>> = commands(set, page).collect();
            assert_eq!(found, expected, "{set}");
        };
        check("", &[]);
        check(" : ", &[]);
        check("firefox", &[&["firefox", page]]);
        check("firefox:w3m", &[&["firefox", page], &["w3m", page]]);
        check(
            "open --url=%s -g",
            &[&["open", &format!("--url={page}"), "-g"]],
        );
        check("true; rm $HOME", &[&["true;", "rm", "$HOME", page]]);
    }
}
