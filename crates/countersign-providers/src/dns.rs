//! What the owner of a host says of it in the domain name system: TXT records.
//!
//! Asked anew each time, and kept nowhere: whoever presses a button wants to know how it is now. An answer is as good as the
//! resolver that gives it: signatures (DNSSEC) are its affair, and not verified here.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use thiserror::Error;

/// How long one question waits for an answer, and how long all of it takes at most: somebody looks at a page.
const PATIENCE: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(5);

/// No answer: which says nothing of whether there is a record.
#[derive(Debug, Error)]
pub enum DnsError {
    /// The resolvers do not answer in time.
    #[error("the name servers do not answer in time")]
    Silent,
    /// They answer with an error, or can't be asked.
    #[error("the name servers can't be asked: {0}")]
    Failed(#[from] NetError),
}

/// Who is asked for records: the machine's own resolvers, or these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameServers {
    servers: Vec<SocketAddr>,
}

impl NameServers {
    /// These, in the place of those of `/etc/resolv.conf`.
    pub fn at(servers: Vec<SocketAddr>) -> Self {
        Self { servers }
    }

    /// The texts of a host's own TXT records, each in one piece; none where it has none.
    ///
    /// An alias (CNAME) is not followed: whoever has the host that it leads to has not said this of this one.
    pub async fn texts(&self, host: &str) -> Result<Vec<String>, DnsError> {
        let name = Name::from_ascii(format!("{host}.")).map_err(NetError::from)?;
        let resolver = self.resolver()?;
        let answer = tokio::time::timeout(LONGEST, resolver.lookup(name.clone(), RecordType::TXT));
        let found = match answer.await.map_err(|_| DnsError::Silent)? {
            Ok(found) => found,
            Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let own = found.answers().iter().filter(|one| one.name == name);
        let texts = own.filter_map(|one| match &one.data {
            RData::TXT(text) => String::from_utf8(text.txt_data.concat()).ok(),
            _ => None,
        });
        Ok(texts.collect())
    }

    fn resolver(&self) -> Result<TokioResolver, NetError> {
        let mut builder = if self.servers.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let servers = self.servers.iter().map(|server| of_address(*server));
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            Resolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = PATIENCE;
        options.attempts = 2;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        builder.build()
    }
}

/// UDP, and TCP for answers that are too long for it.
fn of_address(server: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let connections = connections.map(|mut one| {
        one.port = server.port();
        one
    });
    NameServerConfig::new(server.ip(), true, connections.into())
}
