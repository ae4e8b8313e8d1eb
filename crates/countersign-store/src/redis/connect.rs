//! How a connection to one server is made: TCP, TLS, who we are, and that it is the primary.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, IntoConnectionInfo, Pipeline, RedisConnectionInfo, Value};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::reply::Failure;
use super::settings::{RedisAddress, RedisLogin, RedisServers, RedisSettings, RedisTls};
use crate::StoreError;

/// Makes connections, all alike.
pub(super) struct Connector {
    tls: Option<TlsConnector>,
    login: RedisConnectionInfo,
    sentinel_login: RedisConnectionInfo,
    time_limit: Duration,
    is_role_asked: bool,
}

impl Connector {
    pub(super) fn new(settings: &RedisSettings) -> Result<Self, StoreError> {
        Ok(Self {
            tls: settings.tls.as_ref().map(tls).transpose()?,
            login: login(&settings.login)?,
            sentinel_login: login(&settings.sentinel_login)?,
            time_limit: settings.connect_timeout,
            is_role_asked: match settings.servers {
                // A replica would answer what is asked, and be behind.
                RedisServers::One(_) | RedisServers::Sentinel { .. } => true,
                // A replica sends on to its primary.
                RedisServers::Cluster(_) => false,
            },
        })
    }

    /// A connection to a server that keeps records.
    pub(super) async fn data(&self, address: &RedisAddress) -> Result<Connection, Failure> {
        self.within_time(address, async {
            let connection = self.open(address, &self.login).await?;
            if self.is_role_asked {
                must_be_primary(address, &connection).await?;
            }
            Ok(connection)
        })
        .await
    }

    /// A connection to a node that is only asked where the others are.
    pub(super) async fn scout(&self, address: &RedisAddress) -> Result<Connection, Failure> {
        self.within_time(address, self.open(address, &self.login))
            .await
    }

    /// A connection to a Sentinel.
    pub(super) async fn sentinel(&self, address: &RedisAddress) -> Result<Connection, Failure> {
        self.within_time(address, self.open(address, &self.sentinel_login))
            .await
    }

    async fn within_time(
        &self,
        address: &RedisAddress,
        connecting: impl Future<Output = Result<Connection, Failure>>,
    ) -> Result<Connection, Failure> {
        let limit = self.time_limit;
        let late = || {
            Failure::NotDone(format!(
                "`{address}`: no connection within {} ms",
                limit.as_millis()
            ))
        };
        let connected = timeout(limit, connecting).await;
        connected.unwrap_or_else(|_| Err(late()))
    }

    async fn open(
        &self,
        address: &RedisAddress,
        login: &RedisConnectionInfo,
    ) -> Result<Connection, Failure> {
        let failed = |error: io::Error| Failure::NotDone(format!("`{address}`: {error}"));
        let refusal = Refusal::default();
        let stream = self.stream(address, &refusal).await.map_err(failed)?;
        // What is waited for has time limits of its own.
        let settings = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(None);
        let opened = MultiplexedConnection::new_with_config(login, stream, settings).await;
        let (multiplexed, driver) = opened.map_err(|error| {
            let error = refusal.or(error);
            Failure::NotDone(format!("`{address}`: {error}"))
        })?;
        Ok(Connection {
            multiplexed,
            driver: tokio::spawn(driver).abort_handle(),
            refusal,
        })
    }

    async fn stream(&self, address: &RedisAddress, refusal: &Refusal) -> io::Result<Stream> {
        let tcp = TcpStream::connect((address.host.as_str(), address.port)).await?;
        tcp.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(Stream::Plain(tcp));
        };
        let name = ServerName::try_from(address.host.clone())
            .map_err(|_| io::Error::other("is no name that a certificate could have"))?;
        let connected = tls.connect(name, tcp).await;
        let connected = connected.inspect_err(|error| refusal.note(error));
        let refusal = refusal.clone();
        match connected {
            Ok(connected) => Ok(Stream::Tls(Box::new(connected), refusal)),
            Err(error) => Err(refusal.words().map_or(error, io::Error::other)),
        }
    }
}

/// A connection, which ends when this is dropped, whatever is still under way on it.
pub(super) struct Connection {
    multiplexed: MultiplexedConnection,
    driver: AbortHandle,
    refusal: Refusal,
}

impl Connection {
    /// Whether the other side has ended it. One that was only cut off is not known to be.
    pub(super) fn is_closed(&self) -> bool {
        self.driver.is_finished()
    }

    /// Asks everything at once and answers with each answer; one that is an error is a [`Value::ServerError`].
    pub(super) async fn ask(
        &self,
        commands: &Pipeline,
        limit: Duration,
    ) -> Result<Vec<Value>, redis::RedisError> {
        match timeout(limit, self.send(commands)).await {
            Ok(answers) => answers,
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer within {} ms", limit.as_millis()),
            )
            .into()),
        }
    }

    async fn send(&self, commands: &Pipeline) -> Result<Vec<Value>, redis::RedisError> {
        let mut connection = self.multiplexed.clone();
        let answers = connection.send_packed_commands(commands, 0, commands.len());
        answers.await.map_err(|error| self.refusal.or(error))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn must_be_primary(address: &RedisAddress, connection: &Connection) -> Result<(), Failure> {
    let mut role = redis::pipe();
    role.cmd("ROLE");
    let answers = connection.send(&role).await;
    let answers = answers.map_err(|error| Failure::NotDone(format!("`{address}`: {error}")))?;
    match answers.into_iter().next() {
        Some(Value::ServerError(error)) => Err(Failure::of_server(address, &error)),
        Some(Value::Array(parts)) => match parts.first() {
            Some(Value::BulkString(role)) if role == b"master" => Ok(()),
            _ => Err(Failure::NotDone(format!("`{address}` is not the primary"))),
        },
        _ => Err(Failure::NotDone(format!(
            "`{address}` does not say its role"
        ))),
    }
}

fn login(login: &RedisLogin) -> Result<RedisConnectionInfo, StoreError> {
    // The address that it wants to go with is of no consequence: it is never connected to from there.
    let anywhere = redis::ConnectionAddr::Tcp("localhost".into(), 1).into_connection_info();
    let anywhere = anywhere.map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let mut info = anywhere.redis_settings().clone().set_skip_set_lib_name();
    if let Some(user) = &login.user {
        info = info.set_username(user);
    }
    if let Some(password) = &login.password {
        info = info.set_password(password.expose_secret());
    }
    Ok(info)
}

fn tls(settings: &RedisTls) -> Result<TlsConnector, StoreError> {
    let roots = match &settings.ca {
        Some(pem) => roots_of(pem)?,
        None => roots_of_machine()?,
    };
    let config = ClientConfig::builder().with_root_certificates(roots);
    let config = match &settings.identity {
        None => config.with_no_client_auth(),
        Some((chain, key)) => {
            let wrong = |what: &str| {
                let what = what.to_owned();
                move |_| StoreError::Unavailable(format!("{what} for Redis can't be read as PEM"))
            };
            let chain: Result<Vec<_>, _> =
                CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
            let chain = chain.map_err(wrong("our certificate"))?;
            let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes());
            let key = key.map_err(wrong("the key of our certificate"))?;
            config.with_client_auth_cert(chain, key).map_err(|error| {
                StoreError::Unavailable(format!("our certificate for Redis is of no use: {error}"))
            })?
        }
    };
    Ok(Arc::new(config).into())
}

fn roots_of(pem: &str) -> Result<RootCertStore, StoreError> {
    let unusable = |error: &dyn std::fmt::Display| {
        StoreError::Unavailable(format!(
            "the CA certificates of Redis are of no use: {error}"
        ))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    if roots.is_empty() {
        return Err(unusable(&"there are none"));
    }
    Ok(roots)
}

fn roots_of_machine() -> Result<RootCertStore, StoreError> {
    let mut roots = RootCertStore::empty();
    // One certificate that can't be read is no reason to trust none.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(StoreError::Unavailable(
            "this machine has no certificates to know Redis by: install `ca-certificates`, or name \
             the CA of Redis"
                .into(),
        ));
    }
    Ok(roots)
}

/// What the other side has against our certificate, once it has said so: by TLS 1.3 that is after we have begun to send, and all
/// that whoever waits for an answer is told by itself is that the connection broke.
#[derive(Debug, Clone, Default)]
struct Refusal(Arc<OnceLock<String>>);

impl Refusal {
    /// Notes it, if this error is about that.
    fn note(&self, error: &io::Error) {
        if let Some(why) = explained(error) {
            // What it said first counts.
            let _ = self.0.set(why);
        }
    }

    fn words(&self) -> Option<String> {
        self.0.get().cloned()
    }

    /// The refusal as an error, or this one.
    fn or(&self, error: redis::RedisError) -> redis::RedisError {
        self.words()
            .map_or(error, |why| io::Error::other(why).into())
    }
}

/// What a TLS alert about our certificate means, in words.
fn explained(error: &io::Error) -> Option<String> {
    use AlertDescription as Alert;
    let cause = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::AlertReceived(alert) = cause else {
        return None;
    };
    match alert {
        Alert::CertificateRequired => {
            Some("it asks for a certificate of ours, and there is none".to_owned())
        }
        Alert::BadCertificate
        | Alert::CertificateExpired
        | Alert::CertificateRevoked
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::UnsupportedCertificate => {
            Some(format!("it does not accept our certificate: {error}"))
        }
        _ => None,
    }
}

/// A connection's bytes, plain or through TLS.
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>, Refusal),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream, refusal) => {
                let read = Pin::new(stream.as_mut()).poll_read(context, buffer);
                read.map(|read| read.inspect_err(|error| refusal.note(error)))
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream, _) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream, _) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream, _) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }
}
