//! How a Redis or Valkey is reached: values, checked where they are written.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use thiserror::Error;

/// All that is to be known of a Redis or Valkey.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// Where it is.
    pub servers: RedisServers,
    /// Who we are to it.
    pub login: RedisLogin,
    /// Who we are to Sentinel, which has users of its own.
    pub sentinel_login: RedisLogin,
    /// TLS, if it speaks that. It does then to the servers and to Sentinel alike.
    pub tls: Option<RedisTls>,
    /// What every key begins with, so that others can use the same Redis.
    pub key_prefix: KeyPrefix,
    /// How many replicas must have a write before it is acknowledged.
    pub replicas: u8,
    /// How long they may take.
    pub replica_timeout: Duration,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long one answer may take.
    pub response_timeout: Duration,
    /// How long an operation may take, whatever is tried on the way.
    pub timeout: Duration,
}

impl RedisSettings {
    /// These servers with nothing else said.
    pub fn new(servers: RedisServers) -> Self {
        Self {
            // A single Redis has none; Sentinel and Cluster are there for the sake of theirs.
            replicas: match servers {
                RedisServers::One(_) => 0,
                RedisServers::Sentinel { .. } | RedisServers::Cluster(_) => 1,
            },
            servers,
            login: RedisLogin::default(),
            sentinel_login: RedisLogin::default(),
            tls: None,
            key_prefix: KeyPrefix::default(),
            replica_timeout: Duration::from_millis(500),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(1),
            timeout: Duration::from_secs(3),
        }
    }
}

/// Where a Redis is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisServers {
    /// At one address.
    One(RedisAddress),
    /// Where Sentinel says.
    Sentinel {
        /// The Sentinels.
        sentinels: Vec<RedisAddress>,
        /// What they call the primary (`sentinel monitor NAME`).
        name: String,
    },
    /// A cluster, of which these nodes are asked first.
    Cluster(Vec<RedisAddress>),
}

impl fmt::Display for RedisServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |all: &[RedisAddress]| {
            let all: Vec<String> = all.iter().map(|one| format!("`{one}`")).collect();
            all.join(", ")
        };
        match self {
            Self::One(address) => write!(f, "Redis at `{address}`"),
            Self::Sentinel { sentinels, name } => {
                write!(
                    f,
                    "the Redis that Sentinel calls `{name}` (at {})",
                    list(sentinels)
                )
            }
            Self::Cluster(nodes) => write!(f, "the Redis Cluster at {}", list(nodes)),
        }
    }
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RedisAddress {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// A text that is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected a host and a port, such as `redis.internal:6379` or `[::1]:6379`")]
pub struct NotAHostAndPort;

impl FromStr for RedisAddress {
    type Err = NotAHostAndPort;

    fn from_str(text: &str) -> Result<Self, NotAHostAndPort> {
        let (host, port) = text.rsplit_once(':').ok_or(NotAHostAndPort)?;
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let is_name = |host: &str| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            !host.is_empty() && host.len() <= 253 && host.chars().all(is_part)
        };
        let host = match bare {
            Some(v6) if v6.parse::<std::net::Ipv6Addr>().is_ok() => v6,
            None if is_name(host) => host,
            Some(_) | None => return Err(NotAHostAndPort),
        };
        let port: u16 = port.parse().map_err(|_| NotAHostAndPort)?;
        if port == 0 {
            return Err(NotAHostAndPort);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// An ACL user and its password. Without a user it is Redis' `default`.
#[derive(Debug, Clone, Default)]
pub struct RedisLogin {
    /// The user.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<SecretString>,
}

/// How TLS is spoken.
#[derive(Clone, Default)]
pub struct RedisTls {
    /// The certificates, as PEM, of those who may vouch for a server. Without: the machine's.
    pub ca: Option<String>,
    /// Our own certificate chain and its key, both as PEM, where the servers ask for one.
    pub identity: Option<(String, SecretString)>,
}

impl fmt::Debug for RedisTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTls")
            .field("has_ca", &self.ca.is_some())
            .field("has_identity", &self.identity.is_some())
            .finish()
    }
}

/// What every key begins with. It holds no braces, which say in a cluster what stands together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPrefix(String);

/// A text that is no prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected 1 to 64 letters, digits and `:`, `.`, `-`, `_`")]
pub struct NotAPrefix;

impl KeyPrefix {
    /// Checks a prefix.
    pub fn new(text: &str) -> Result<Self, NotAPrefix> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '.' | '-' | '_');
        let is_prefix = (1..=64).contains(&text.len()) && text.chars().all(is_part);
        is_prefix.then(|| Self(text.to_owned())).ok_or(NotAPrefix)
    }

    /// The prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for KeyPrefix {
    fn default() -> Self {
        Self("countersign:".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in [
            "redis.internal:6379",
            "127.0.0.1:7000",
            "[::1]:6379",
            "a_b:1",
        ] {
            let address: RedisAddress = good.parse().unwrap();
            assert_eq!(address.to_string(), good);
        }
        for bad in [
            "",
            "redis",
            ":6379",
            "redis:",
            "redis:0",
            "redis:65536",
            "::1:6379",
            "[redis]:6379",
            "redis://redis:6379",
            "user@redis:6379",
            "a b:1",
        ] {
            assert_eq!(bad.parse::<RedisAddress>(), Err(NotAHostAndPort), "{bad:?}");
        }
    }

    #[test]
    fn a_prefix_can_not_say_what_stands_together() {
        assert!(KeyPrefix::new("countersign:").is_ok());
        for bad in ["", "a{b", "a}b", "a b", "a*"] {
            assert_eq!(KeyPrefix::new(bad), Err(NotAPrefix), "{bad:?}");
        }
    }
}
