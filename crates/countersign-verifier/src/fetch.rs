//! How the issuer's keys are fetched: its metadata, then the key set that the metadata names.
//!
//! One of the crate's two edges (the other is the clock of [`Verifier`](crate::Verifier)). Never
//! follows a redirect, never reads more than a cap, never waits longer than a time-out.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect};
use serde::Deserialize;

use crate::error::Error;
use crate::json::object;
use crate::keys::KeySet;

/// Bytes of one document. The broker's are below 4 KiB.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// For the connection alone: an address that does not answer is given up soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// For one request from start to end, so that an answer that trickles is cut off as well. A request
/// to the service may have to wait for two of these.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the keys of one issuer come from.
#[derive(Debug)]
pub(crate) struct Source {
    http: Client,
    issuer: String,
    metadata: Url,
    transport: Transport,
}

/// Which URLs are acceptable, decided by the issuer's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    HttpsOnly,
    /// The issuer is on this very machine: development and tests.
    Loopback,
}

impl Source {
    /// Checks the issuer's URL; does not connect.
    pub(crate) fn new(issuer: &str) -> Result<Self, Error> {
        let base = Url::parse(issuer).map_err(|_| Error::Configuration("the issuer is no URL"))?;
        let transport = Transport::of(&base)?;
        let http = client(transport)?;
        let metadata = metadata_url(issuer)?;
        Ok(Self {
            http,
            issuer: issuer.to_owned(),
            metadata,
            transport,
        })
    }

    /// Fetches the keys.
    pub(crate) async fn fetch(&self) -> Result<KeySet, Error> {
        let jwks = self.jwks_url(&self.document(self.metadata.clone()).await?)?;
        let keys = KeySet::from_jwks(&self.document(jwks).await?)?;
        if keys.is_empty() {
            return Err(Error::BadKeySet(
                "it has no key that could verify an access token",
            ));
        }
        Ok(keys)
    }

    /// Where the issuer tells what has ended.
    pub(crate) async fn feed(&self) -> Result<Url, Error> {
        let metadata = self.metadata(&self.document(self.metadata.clone()).await?)?;
        let none = || unavailable("the issuer has no feed of what has ended");
        let feed = metadata.countersign_revocations_endpoint.ok_or_else(none)?;
        let why = "the metadata's `countersign_revocations_endpoint` is not an https URL";
        self.url(&feed, why)
    }

    /// What it answers to these parameters, for which it may take so long.
    pub(crate) async fn ends(
        &self,
        feed: Url,
        parameters: &[(&'static str, String)],
        wait: Duration,
    ) -> Result<Vec<u8>, Error> {
        let request = self.http.post(feed).form(parameters);
        self.body(request.timeout(REQUEST_TIMEOUT + wait)).await
    }

    fn jwks_url(&self, metadata: &[u8]) -> Result<Url, Error> {
        let why = "the metadata's `jwks_uri` is not an https URL";
        self.url(&self.metadata(metadata)?.jwks_uri, why)
    }

    fn metadata(&self, metadata: &[u8]) -> Result<Metadata, Error> {
        let metadata: Metadata =
            object(metadata).map_err(|_| unavailable("the issuer's metadata is not as agreed"))?;
        // RFC 8414, section 3.3: the issuer in the document must be identical to ours.
        // https://www.rfc-editor.org/rfc/rfc8414#section-3.3
        if metadata.issuer != self.issuer {
            return Err(unavailable("the metadata is of another issuer"));
        }
        Ok(metadata)
    }

    fn url(&self, text: &str, why: &str) -> Result<Url, Error> {
        match Url::parse(text) {
            Ok(url) if self.transport.allows(&url) => Ok(url),
            Ok(_) | Err(_) => Err(unavailable(why)),
        }
    }

    async fn document(&self, url: Url) -> Result<Vec<u8>, Error> {
        self.body(self.http.get(url)).await
    }

    async fn body(&self, request: RequestBuilder) -> Result<Vec<u8>, Error> {
        let request = request.header("accept", "application/json");
        let response = request.send().await.map_err(|error| failed(&error))?;
        // Redirects are not followed, and so end here as well.
        if response.status() != StatusCode::OK {
            return Err(unavailable(&format!(
                "the issuer answered {}",
                response.status()
            )));
        }
        capped_body(response).await
    }
}

/// RFC 8414, section 2, and OpenID Connect Discovery, section 3.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
    /// Where what has ended is told; an older broker has none.
    #[serde(default)]
    countersign_revocations_endpoint: Option<String>,
}

impl Transport {
    /// RFC 8414, section 2: an issuer is an https URL without query or fragment.
    fn of(issuer: &Url) -> Result<Self, Error> {
        let bare = issuer.query().is_none()
            && issuer.fragment().is_none()
            && issuer.username().is_empty()
            && issuer.password().is_none();
        match issuer.scheme() {
            _ if !bare => Err(Error::Configuration(
                "the issuer has a query, fragment or user",
            )),
            "http" if is_loopback(issuer) => Ok(Self::Loopback),
            "https" => Ok(Self::HttpsOnly),
            _ => Err(Error::Configuration("the issuer is not an https URL")),
        }
    }

    fn allows(self, url: &Url) -> bool {
        match self {
            Self::HttpsOnly => url.scheme() == "https",
            Self::Loopback => url.scheme() == "https" || is_loopback(url),
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// OpenID Connect Discovery, section 4: the path is appended to the issuer, less a closing slash.
/// <https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfigurationRequest>
fn metadata_url(issuer: &str) -> Result<Url, Error> {
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    Url::parse(&format!("{base}/.well-known/openid-configuration"))
        .map_err(|_| Error::Configuration("the issuer is no URL"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "this crate's one HTTP client; strangers use it alone"
)]
fn client(transport: Transport) -> Result<Client, Error> {
    let builder = Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        // A connection is of no use an hour later, and one kept by a worker's runtime that has
        // ended would fail the next fetch.
        .pool_max_idle_per_host(0)
        .user_agent(concat!("countersign-verifier/", env!("CARGO_PKG_VERSION")));
    let builder = match transport {
        Transport::HttpsOnly => builder.https_only(true),
        // What is on this machine is not reached through a proxy.
        Transport::Loopback => builder.no_proxy(),
    };
    builder
        .build()
        .map_err(|_| Error::Configuration("the HTTP client cannot be set up"))
}

async fn capped_body(mut response: Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(unavailable("the issuer's answer is too long"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The innermost cause says what happened ("connection refused"), the outer ones where.
fn failed(error: &reqwest::Error) -> Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let place = error.url().map_or("", Url::path);
    Error::Unavailable(format!("`{place}`: {cause}"))
}

fn unavailable(why: &str) -> Error {
    Error::Unavailable(why.to_owned())
}
