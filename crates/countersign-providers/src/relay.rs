//! Passing requests on to a registry that stands behind us: as they came, in pieces, however long.
//!
//! Unlike [`Http`](crate::Http), which asks strangers, this reaches what the operator has named, wherever it is.

use std::error::Error;
use std::time::Duration;

use futures_util::stream::unfold;
use http::{HeaderMap, Method, StatusCode};
use thiserror::Error;
use tokio::sync::mpsc;
use url::Url;

use crate::ProviderError;
use crate::http::builder;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long nothing may come of an answer that has begun.
const SILENCE: Duration = Duration::from_mins(5);
/// Less than any usual server keeps an idle connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// How many pieces of a body wait to be sent on: the sender is as slow as the registry.
const WAITING: usize = 4;

/// What passes requests on. Cheap to clone: connections are shared.
#[derive(Debug, Clone)]
pub struct Relay {
    client: reqwest::Client,
}

/// A request to be passed on.
#[derive(Debug)]
pub struct Relayed {
    /// Its method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Its headers, `Host` and any `Content-Length` among them.
    pub headers: HeaderMap,
    /// Its body, if it has one.
    pub body: Option<PiecesOut>,
}

/// The pieces of a body, as they come in.
#[derive(Debug)]
pub struct PiecesIn(mpsc::Sender<Piece>);

/// The same, as they go out.
#[derive(Debug)]
pub struct PiecesOut(mpsc::Receiver<Piece>);

/// A piece, or that there are no more: what ends without that was cut off.
#[derive(Debug)]
enum Piece {
    Some(Vec<u8>),
    End,
}

/// The sender went away in the middle.
#[derive(Debug, Clone, Copy, Error)]
#[error("the body was cut off")]
pub struct CutOff;

/// A body that is passed on while it comes.
pub fn pieces() -> (PiecesIn, PiecesOut) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (PiecesIn(sender), PiecesOut(receiver))
}

impl PiecesIn {
    /// Hands a piece over; false where nobody takes any more.
    pub async fn send(&self, piece: Vec<u8>) -> bool {
        self.0.send(Piece::Some(piece)).await.is_ok()
    }

    /// Says that this was all. What is dropped before is cut off, and the registry is never told that it has all.
    pub async fn finish(self) {
        self.0.send(Piece::End).await.ok();
    }
}

impl PiecesOut {
    async fn next(mut self) -> Option<(Result<Vec<u8>, CutOff>, Option<Self>)> {
        match self.0.recv().await {
            Some(Piece::Some(piece)) => Some((Ok(piece), Some(self))),
            Some(Piece::End) => None,
            None => Some((Err(CutOff), None)),
        }
    }
}

/// The answer of a registry, whose body comes in pieces.
#[derive(Debug)]
pub struct Answered(reqwest::Response);

/// The registry does not answer, or not to the end.
#[derive(Debug, Error)]
#[error("the registry does not answer: {0}")]
pub struct NoAnswer(String);

impl Relay {
    /// Builds the client; it loads the machine's trust store, so build it once.
    pub fn new() -> Result<Self, ProviderError> {
        let client = builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // What is passed on is passed on once: an upload can't be sent again.
            .retry(reqwest::retry::never())
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build()
            .map_err(|error| ProviderError::Unreachable(error.to_string()))?;
        Ok(Self { client })
    }

    /// Passes a request on; answers when the registry begins to answer.
    pub async fn pass(&self, relayed: Relayed) -> Result<Answered, NoAnswer> {
        let mut request = self
            .client
            .request(relayed.method, relayed.url)
            .headers(relayed.headers);
        if let Some(pieces) = relayed.body {
            let stream = unfold(Some(pieces), async |pieces| pieces?.next().await);
            request = request.body(reqwest::Body::wrap_stream(stream));
        }
        request.send().await.map(Answered).map_err(NoAnswer::of)
    }
}

impl NoAnswer {
    /// It takes too long.
    pub fn in_time() -> Self {
        Self("it takes too long".to_owned())
    }

    /// With its causes, and without the address, which may hold a credential.
    fn of(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut told = error.to_string();
        let mut cause = error.source();
        while let Some(next) = cause {
            told.push_str(": ");
            told.push_str(&next.to_string());
            cause = next.source();
        }
        Self(told)
    }
}

impl Answered {
    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// The reason phrase, where it is another than usual of this status.
    pub fn reason_phrase(&self) -> Option<&[u8]> {
        let phrase = self.0.extensions().get::<hyper::ext::ReasonPhrase>();
        phrase.map(AsRef::as_ref)
    }

    /// Its headers.
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// The next piece of its body; `None` at the end.
    pub async fn piece(&mut self) -> Result<Option<Vec<u8>>, NoAnswer> {
        let piece = tokio::time::timeout(SILENCE, self.0.chunk()).await;
        let piece = piece.map_err(|_| NoAnswer::in_time())?;
        Ok(piece.map_err(NoAnswer::of)?.map(Into::into))
    }
}
