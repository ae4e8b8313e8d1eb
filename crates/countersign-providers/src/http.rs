//! The one HTTP client: no redirects, time-outs, size caps, connection reuse.
//!
//! It reaches public addresses over TLS. A provider that is configured on a loopback address
//! may use plain http, to loopback only; any other private address needs a line in the configuration.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use oauth2::{HttpRequest, HttpResponse};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::de::DeserializeOwned;
use tracing::field::Empty;
use tracing::{Instrument, Span};
use url::{Host, Url};

use crate::ProviderError;

/// The longest answer that is read, in bytes: a key set with certificates is some 20 KiB.
pub const MAX_ANSWER: usize = 256 * 1024;
/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a request may take in all; a person is waiting.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(8);
/// How long a connection that nobody uses is kept: not as long as any usual server keeps it (5 s). What is sent on one that the
/// server is just ending is lost, and a code can't be sent again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// The one HTTP client. Cheap to clone: connections are shared.
#[derive(Debug, Clone)]
pub struct Http {
    client: reqwest::Client,
    private: PrivateHosts,
}

/// Hosts on private addresses that the operator allows.
#[derive(Debug, Clone, Default)]
pub struct PrivateHosts(Arc<BTreeSet<String>>);

impl PrivateHosts {
    /// Allows these host names, compared in lower case.
    pub fn new(hosts: impl IntoIterator<Item = String>) -> Self {
        Self(Arc::new(
            hosts
                .into_iter()
                .map(|host| host.to_ascii_lowercase())
                .collect(),
        ))
    }

    fn allow(&self, host: &str) -> bool {
        self.0.contains(&host.to_ascii_lowercase())
    }
}

/// What a provider's configuration lets its requests reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The provider is configured on a loopback address: loopback and nothing else, plain http allowed.
    Loopback,
    /// Anything else: TLS, and no loopback.
    Network,
}

impl Reach {
    /// What a provider configured at `url` may reach.
    pub(crate) fn of(url: &Url) -> Self {
        if is_loopback(url) {
            Self::Loopback
        } else {
            Self::Network
        }
    }

    /// Whether a provider may name this address: to us, or to send a person to.
    pub(crate) fn check(self, url: &Url) -> Result<(), ProviderError> {
        match (self, is_loopback(url), url.scheme()) {
            (Self::Loopback, true, "http" | "https") | (Self::Network, false, "https") => Ok(()),
            (Self::Loopback, false, _) => Err(ProviderError::Forbidden(
                "a provider on loopback names an address elsewhere",
            )),
            (Self::Network, true, _) => Err(ProviderError::Forbidden(
                "a provider names a loopback address",
            )),
            (_, _, _) => Err(ProviderError::Forbidden(
                "plain http is for loopback addresses only",
            )),
        }
    }
}

/// Whether the host of `url` is a loopback address, by name or by number.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

impl Http {
    /// Builds the client; it loads the machine's trust store, so build it once.
    pub fn new(private: PrivateHosts) -> Result<Self, ProviderError> {
        let guard = Guard {
            private: private.clone(),
        };
        let client = builder()
            .redirect(reqwest::redirect::Policy::none())
            // A proxy would resolve names itself, past the guard.
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TOTAL_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .dns_resolver(guard)
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ProviderError::Unreachable(error.to_string()))?;
        Ok(Self { client, private })
    }

    /// Gets a JSON document.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        url: &Url,
        reach: Reach,
    ) -> Result<T, ProviderError> {
        let request = http::Request::get(url.as_str())
            .header("accept", "application/json")
            .body(Vec::new())
            .map_err(|_| ProviderError::Answer("an address that can't be asked"))?;
        let response = self.send(request, reach).await?;
        if !response.status().is_success() {
            return Err(by_status(response.status().as_u16()));
        }
        serde_json::from_slice(response.body())
            .map_err(|_| ProviderError::Answer("not the JSON document that was expected"))
    }

    /// Posts a form to an address of the configuration and tells the status; the body is not of interest.
    pub async fn post_form(&self, url: &Url, form: &[(&str, &str)]) -> Result<u16, ProviderError> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let request = http::Request::post(url.as_str())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.into_bytes())
            .map_err(|_| ProviderError::Answer("an address that can't be asked"))?;
        let answer = self.send(request, Reach::of(url)).await?;
        Ok(answer.status().as_u16())
    }

    /// Posts JSON to an address of the configuration and tells the status; the body is not of interest.
    pub async fn post_json(
        &self,
        url: &Url,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<u16, ProviderError> {
        let mut request =
            http::Request::post(url.as_str()).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(body)
            .map_err(|_| ProviderError::Answer("an address that can't be asked"))?;
        let answer = self.send(request, Reach::of(url)).await?;
        Ok(answer.status().as_u16())
    }

    /// Sends a request and reads the whole answer, within the caps.
    pub(crate) async fn send(
        &self,
        request: HttpRequest,
        reach: Reach,
    ) -> Result<HttpResponse, ProviderError> {
        let url = Url::parse(&request.uri().to_string())
            .map_err(|_| ProviderError::Answer("an address that can't be read"))?;
        reach.check(&url)?;
        self.check_literal(&url)?;
        let span = traced(&request, &url);
        let sent = self.exchange(url, request).instrument(span.clone()).await;
        note(&sent, &span);
        sent
    }

    async fn exchange(
        &self,
        url: Url,
        request: HttpRequest,
    ) -> Result<HttpResponse, ProviderError> {
        let mut response = self
            .client
            .execute(asking(url, request))
            .await
            .map_err(|error| cause(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| cause(&error))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(ProviderError::Answer("longer than any answer may be"));
            }
            body.extend_from_slice(&chunk);
        }
        let mut answer = http::Response::new(body);
        *answer.status_mut() = response.status();
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        Ok(answer)
    }

    /// An address given as a number never reaches the resolver, so it is judged here.
    fn check_literal(&self, url: &Url) -> Result<(), ProviderError> {
        let address: IpAddr = match url.host() {
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        let allowed = is_loopback(url)
            || is_public(address)
            || url.host_str().is_some_and(|host| self.private.allow(host));
        allowed
            .then_some(())
            .ok_or(ProviderError::Forbidden(PRIVATE))
    }
}

/// What is collected of it, where traces are: neither path nor query, which may hold a tenant or a code. The request itself
/// says nothing of the trace: who a person's other requests are is not the provider's affair.
fn traced(request: &HttpRequest, url: &Url) -> Span {
    tracing::info_span!(
        target: "traces",
        "provider",
        otel.kind = "client",
        otel.name = request.method().as_str(),
        otel.status_code = Empty,
        http.request.method = request.method().as_str(),
        server.address = url.host_str(),
        server.port = url.port_or_known_default(),
        http.response.status_code = Empty,
        error.type = Empty,
    )
}

fn note(sent: &Result<HttpResponse, ProviderError>, span: &Span) {
    match sent {
        Ok(answer) => {
            span.record("http.response.status_code", answer.status().as_u16());
            if answer.status().as_u16() >= 400 {
                span.record("otel.status_code", "ERROR");
            }
        }
        Err(error) => {
            span.record("error.type", error.code());
            span.record("otel.status_code", "ERROR");
        }
    }
}

/// The request as the client takes it, to the very address that was judged.
fn asking(url: Url, request: HttpRequest) -> reqwest::Request {
    let (parts, body) = request.into_parts();
    let mut asking = reqwest::Request::new(parts.method, url);
    *asking.headers_mut() = parts.headers;
    *asking.body_mut() = Some(body.into());
    asking
}

const PRIVATE: &str = "a private address; list its host under `network.private_hosts` to allow it";

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the one HTTP client is made"
)]
pub(crate) fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
}

/// Resolves names, and leaves out private addresses that the operator has not allowed (SSRF, DNS rebinding).
#[derive(Debug)]
struct Guard {
    private: PrivateHosts,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let allowed = self.private.allow(&host) || host == "localhost";
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let good: Vec<SocketAddr> = found
                .filter(|address| allowed || is_public(address.ip()))
                .collect();
            if good.is_empty() {
                return Err(Box::<dyn std::error::Error + Send + Sync>::from(PRIVATE));
            }
            Ok(Box::new(good.into_iter()) as Addrs)
        })
    }
}

/// Whether an address belongs to the public network. An IPv4 address inside an IPv6 one counts as itself.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let shared = first == 100 && (64..128).contains(&second); // RFC 6598
            let benchmarks = first == 198 && (18..20).contains(&second); // RFC 2544
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_documentation()
                || v4.is_broadcast()
                || shared
                || benchmarks
                || first == 0
                || first >= 224)
        }
        // Global unicast is 2000::/3 (RFC 4291 2.4); 6to4 and Teredo would carry an IPv4 address along.
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            (0x2000..0x4000).contains(&first) && first != 0x2002 && (first, second) != (0x2001, 0)
        }
    }
}

fn cause(error: &reqwest::Error) -> ProviderError {
    if error.is_timeout() {
        return ProviderError::Timeout;
    }
    // The error's own text names the address, which may carry a code; its source does not.
    let source = std::error::Error::source(error).map_or_else(String::new, ToString::to_string);
    ProviderError::Unreachable(source)
}

pub(crate) fn by_status(status: u16) -> ProviderError {
    match status {
        429 => ProviderError::RateLimited { retry_after: None },
        500..=599 => ProviderError::Unavailable,
        _ => ProviderError::Answer("an HTTP status that was not expected"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(from: &str, to: &str) -> bool {
        let url = |text: &str| Url::parse(text).unwrap();
        Reach::of(&url(from)).check(&url(to)).is_ok()
    }

    #[test]
    fn plain_http_goes_to_loopback_only_and_only_for_a_provider_that_lives_there() {
        assert!(reach("http://127.0.0.2:1/", "http://127.0.0.2:1/keys"));
        assert!(reach("http://localhost:1/", "http://[::1]:1/keys"));
        assert!(reach("https://id.example/", "https://keys.example/"));
        assert!(!reach("https://id.example/", "http://id.example/keys"));
        assert!(!reach("https://id.example/", "http://127.0.0.1:6379/"));
        assert!(!reach("https://id.example/", "https://127.0.0.1/"));
        assert!(!reach("http://127.0.0.2:1/", "https://elsewhere.example/"));
        assert!(!reach("https://id.example/", "file:///etc/passwd"));
        assert!(!reach(
            "https://id.example/",
            "http://localhost.evil.example/"
        ));
    }

    #[test]
    fn private_addresses_are_not_public() {
        for private in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "127.0.0.1",
            "0.0.0.0",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001:0:1::",
        ] {
            assert!(
                !is_public(private.parse().unwrap()),
                "{private} passed as public"
            );
        }
        for public in ["20.190.128.1", "2603:1026::1"] {
            assert!(
                is_public(public.parse().unwrap()),
                "{public} passed as private"
            );
        }
    }
}
