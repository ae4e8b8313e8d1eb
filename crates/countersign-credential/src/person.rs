//! The person at the tool: signed in with their browser, where something needs it.

use std::process::{Command, Stdio};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::{sleep, timeout};

use crate::address::Address;
use crate::store::{Login, Store};
use crate::wire::{Broker, Deed, Done, Given, Waiting};
use crate::{Error, Tool, plain};

/// Whether a browser is opened for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Browser {
    /// At a terminal, where there is a screen.
    Open,
    /// Never.
    Leave,
}

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
        let _lock = self.store.lock_sign_in()?;
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
        let _lock = self.store.lock_sign_in()?;
        self.signed_in("Sign in").await
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
        tokio::select! {
            done = timeout(patience, self.asked_until_done(waiting)) => done.map_err(|_| Error::Late)?,
            _ = tokio::signal::ctrl_c() => Err(Error::Stopped),
        }
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

/// `Sign in to publish hello 1.0.0`.
fn in_words(deed: &Deed<'_>) -> String {
    let named = deed.package.into_iter().chain(deed.version);
    let words: Vec<&str> = std::iter::once(deed.operation).chain(named).collect();
    format!("Sign in to {}", plain(&words.join(" ")))
}

impl Browser {
    fn open(self, page: &str) {
        if self == Self::Leave || !has_screen() {
            return;
        }
        let program = if cfg!(target_os = "macos") {
            "open"
        } else {
            "xdg-open"
        };
        let opened = Command::new(program)
            .arg(page)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        // The address is on the terminal besides.
        drop(opened);
    }
}

/// Without one, what opens pages would open them in the terminal.
fn has_screen() -> bool {
    let names = ["DISPLAY", "WAYLAND_DISPLAY"];
    cfg!(target_os = "macos") || names.iter().any(|name| std::env::var_os(name).is_some())
}
