//! Which address and port each party gets.
//!
//! Ports separate neither cookies nor sites, so each party has a loopback address of its own, as
//! it would have a host name of its own in the world.

use std::io::{self, ErrorKind};
use std::net::TcpListener;

use anyhow::{Context, anyhow};

/// The broker's address.
pub(crate) const BROKER: Party = Party::new("127.0.0.1", 0);
/// The stand-ins' address: all providers are one party to the broker.
pub(crate) const ENTRA: Party = Party::new("127.0.0.2", 1);
pub(crate) const GITHUB: Party = Party::new("127.0.0.2", 2);
pub(crate) const OIDC: Party = Party::new("127.0.0.2", 3);
/// The registry's address.
pub(crate) const REGISTRY: Party = Party::new("127.0.0.3", 4);
/// Where npm reaches its registry: a listener of the broker's.
pub(crate) const NPM: Party = Party::new("127.0.0.1", 5);

/// Which ports to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// Whatever is free.
    Any,
    /// Six from this one on; whatever is free in place of one that is taken.
    Preferring(u16),
    /// Six from this one on, or none.
    Exactly(u16),
}

impl Default for Ports {
    fn default() -> Self {
        Self::Preferring(8470)
    }
}

/// Who listens where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Party {
    host: &'static str,
    offset: u16,
}

impl Party {
    const fn new(host: &'static str, offset: u16) -> Self {
        Self { host, offset }
    }

    /// Listens at this party's address.
    pub(crate) fn listen(self, ports: Ports) -> anyhow::Result<TcpListener> {
        let address = self.address(ports)?;
        let listener = match TcpListener::bind(&address) {
            Err(error) if may_move(ports, &error) => TcpListener::bind(self.any()),
            listener => listener,
        };
        listener.map_err(|error| self.cannot_listen(&address, &error))
    }

    /// Starts a server that does its own listening at this party's address.
    pub(crate) async fn start<T>(
        self,
        ports: Ports,
        start: impl AsyncFn(&str) -> io::Result<T>,
    ) -> anyhow::Result<T> {
        let address = self.address(ports)?;
        let started = match start(&address).await {
            Err(error) if may_move(ports, &error) => start(&self.any()).await,
            started => started,
        };
        started.map_err(|error| self.cannot_listen(&address, &error))
    }

    fn address(self, ports: Ports) -> anyhow::Result<String> {
        match ports {
            Ports::Any => Ok(self.any()),
            Ports::Preferring(base) | Ports::Exactly(base) => {
                let port = base.checked_add(self.offset);
                let port =
                    port.with_context(|| format!("there are no six ports from {base} on"))?;
                Ok(format!("{}:{port}", self.host))
            }
        }
    }

    fn any(self) -> String {
        format!("{}:0", self.host)
    }

    /// What to do where the machine has no such address: only Linux and Windows have all of 127/8.
    fn cannot_listen(self, address: &str, error: &io::Error) -> anyhow::Error {
        let host = self.host;
        if error.kind() == ErrorKind::AddrNotAvailable {
            anyhow!(
                "can't listen on {address}: {error}\nEach party needs a loopback address of its own, and this machine has no {host} (macOS has 127.0.0.1 only). Add it, until the next restart:\n    sudo ifconfig lo0 alias {host} up"
            )
        } else {
            anyhow!("can't listen on {address}: {error}")
        }
    }
}

fn may_move(ports: Ports, error: &io::Error) -> bool {
    matches!(ports, Ports::Preferring(_)) && error.kind() == ErrorKind::AddrInUse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_replaced_unless_it_was_asked_for() {
        let taken = BROKER.listen(Ports::Any).unwrap();
        let base = taken.local_addr().unwrap().port();
        let other = BROKER.listen(Ports::Preferring(base)).unwrap();
        assert_ne!(other.local_addr().unwrap().port(), base);
        let error = BROKER.listen(Ports::Exactly(base)).unwrap_err();
        assert!(!error.to_string().contains("ifconfig"), "{error:#}");
    }

    #[test]
    fn an_address_that_the_machine_lacks_is_told_with_what_to_do() {
        let elsewhere = Party::new("192.0.2.1", 0); // RFC 5737: nobody's
        let error = elsewhere.listen(Ports::Any).unwrap_err();
        assert!(
            format!("{error:#}").contains("sudo ifconfig lo0 alias 192.0.2.1 up"),
            "{error:#}"
        );
    }

    #[test]
    fn ports_beyond_the_last_are_an_error() {
        assert!(REGISTRY.listen(Ports::Exactly(65_535)).is_err());
    }
}
