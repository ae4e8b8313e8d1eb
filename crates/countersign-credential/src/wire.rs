//! What is asked of Countersign, and how it answers.

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::address::Address;
use crate::{Error, Tool, plain};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest answer that is read, in bytes.
const LONGEST: usize = 64 * 1024;

/// Countersign, as the helper of one registry asks it.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) address: Address,
    client: Client,
}

/// A sign-in that waits for a person, in RFC 8628's words (3.2), and where it is asked about.
#[derive(Debug, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) verification_uri_complete: String,
    pub(crate) user_code: String,
    pub(crate) expires_in: u64,
    pub(crate) interval: u64,
    done: String,
    /// Where the registry's tools reach it.
    pub(crate) registry: Url,
}

/// What came of it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Done {
    Key {
        key: SecretString,
        name: String,
        expires_at: String,
    },
    Token {
        token: SecretString,
    },
}

/// The one thing that a tool is about to do.
#[derive(Debug, Serialize)]
pub(crate) struct Deed<'a> {
    /// What a person reads of it, before the package's name.
    #[serde(skip)]
    pub(crate) words: &'static str,
    pub(crate) operation: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) package: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) checksum: Option<&'a str>,
}

/// What a key gets.
#[derive(Debug)]
pub(crate) enum Given {
    Token(SecretString),
    /// Somebody must sign in for it.
    SignIn(Waiting),
    /// The key is good no more, in these words.
    KeyOver(String),
}

#[derive(Deserialize)]
struct Told {
    message: String,
}

#[derive(Deserialize)]
struct Token {
    token: SecretString,
}

impl Broker {
    pub(crate) fn new(address: Address, tool: Tool) -> Result<Self, Error> {
        let client = builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .user_agent(tool.agent());
        // What is on this machine no proxy has to do with.
        let client = if address.is_here() {
            client.no_proxy()
        } else {
            client
        };
        let client = client
            .build()
            .map_err(|error| unreachable(&address, &error))?;
        Ok(Self { address, client })
    }

    /// Lets a sign-in wait, for a key.
    pub(crate) async fn sign_in(&self) -> Result<Waiting, Error> {
        let asked = self.client.post(self.address.endpoint("sign-in"));
        match self.send(asked).await? {
            (StatusCode::OK, body) => self.waiting(&body),
            (_, body) => Err(self.refused(&body)),
        }
    }

    /// What came of a sign-in; nothing as long as nobody has answered.
    pub(crate) async fn done(&self, waiting: &Waiting) -> Result<Option<Done>, Error> {
        match self.send(self.client.get(&waiting.done)).await? {
            (StatusCode::OK, body) => self.read(&body).map(Some),
            (StatusCode::ACCEPTED | StatusCode::TOO_MANY_REQUESTS, _) => Ok(None),
            (_, body) => Err(self.refused(&body)),
        }
    }

    /// A token for one thing.
    pub(crate) async fn token(&self, key: &SecretString, deed: &Deed<'_>) -> Result<Given, Error> {
        let body = serde_json::to_vec(deed).map_err(|error| Error::Input(error.to_string()))?;
        let asked = self.client.post(self.address.endpoint("token"));
        let asked = asked.header(CONTENT_TYPE, "application/json").body(body);
        match self.send(asked.header(AUTHORIZATION, bearer(key)?)).await? {
            (StatusCode::OK, body) => Ok(Given::Token(self.read::<Token>(&body)?.token)),
            (StatusCode::UNAUTHORIZED, body) => match self.waiting(&body) {
                Ok(waiting) => Ok(Given::SignIn(waiting)),
                Err(_) => Ok(Given::KeyOver(self.refused(&body).to_string())),
            },
            (_, body) => Err(self.refused(&body)),
        }
    }

    /// Ends a key. One that is over already is as good.
    pub(crate) async fn sign_out(&self, key: &SecretString) -> Result<(), Error> {
        let asked = self.client.post(self.address.endpoint("sign-out"));
        match self.send(asked.header(AUTHORIZATION, bearer(key)?)).await? {
            (StatusCode::NO_CONTENT | StatusCode::UNAUTHORIZED, _) => Ok(()),
            (_, body) => Err(self.refused(&body)),
        }
    }

    /// A sign-in whose pages are all of the site that was asked.
    fn waiting(&self, body: &[u8]) -> Result<Waiting, Error> {
        let waiting: Waiting = self.read(body)?;
        let is_sound = self.address.is_asked_at(&waiting.done)
            && self.address.has_page(&waiting.verification_uri_complete);
        is_sound.then_some(waiting).ok_or_else(|| self.other())
    }

    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(body).map_err(|_| self.other())
    }

    fn refused(&self, body: &[u8]) -> Error {
        match self.read::<Told>(body) {
            Ok(told) => Error::Refused(plain(&told.message)),
            Err(error) => error,
        }
    }

    fn other(&self) -> Error {
        Error::Answer(self.address.to_string())
    }

    async fn send(&self, asked: RequestBuilder) -> Result<(StatusCode, Vec<u8>), Error> {
        let failed = |error: reqwest::Error| unreachable(&self.address, &error);
        let asked = asked.header(ACCEPT, "application/json");
        let mut answer = asked.send().await.map_err(failed)?;
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(failed)? {
            if body.len() + piece.len() > LONGEST {
                return Err(self.other());
            }
            body.extend_from_slice(&piece);
        }
        Ok((answer.status(), body))
    }
}

fn bearer(key: &SecretString) -> Result<HeaderValue, Error> {
    let value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()));
    let mut value = value.map_err(|_| Error::Input("the key".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The innermost cause, which tells most; never the address, which may hold what nobody else is to see.
fn unreachable(address: &Address, error: &reqwest::Error) -> Error {
    let mut cause: Option<&dyn std::error::Error> = error.source();
    let mut why = if error.is_timeout() {
        "it takes too long".to_owned()
    } else {
        "no answer".to_owned()
    };
    while let Some(next) = cause {
        why = next.to_string();
        cause = next.source();
    }
    Error::Unreachable {
        host: address.site(),
        why: plain(&why),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one client of a program of its own"
)]
fn builder() -> reqwest::ClientBuilder {
    Client::builder()
}
