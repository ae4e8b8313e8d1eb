//! Where a registry is at Countersign: `https://login.example.org/registry/crates`.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

use crate::Error;

/// The address of a registry at Countersign. A key goes there and nowhere else: over TLS, or to this very machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address(Url);

impl Address {
    /// One of its own addresses for helpers.
    pub(crate) fn endpoint(&self, name: &str) -> String {
        format!("{self}/credential/{name}")
    }

    /// Whether this is the address at which a helper of it asks whether somebody has signed in.
    pub(crate) fn is_asked_at(&self, url: &str) -> bool {
        url.strip_prefix(&self.endpoint("done"))
            .is_some_and(|rest| rest.starts_with('?'))
    }

    /// Whether a page is of the same site.
    pub(crate) fn has_page(&self, url: &str) -> bool {
        Url::parse(url).is_ok_and(|url| url.origin() == self.0.origin())
    }

    /// Its site, as people know it.
    pub(crate) fn site(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    pub(crate) fn is_here(&self) -> bool {
        is_here(&self.0)
    }
}

/// Whether a URL is this machine's own.
fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::Address(crate::plain(text));
        let mut url = Url::parse(text.trim_end_matches('/')).map_err(|_| bad())?;
        let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_here(&url));
        let is_bare = url.username().is_empty() && url.password().is_none();
        let names = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_one = url
            .path()
            .strip_prefix("/registry/")
            .is_some_and(|name| !name.is_empty() && name.bytes().all(names));
        if !is_safe || !is_bare || !is_one || url.query().is_some() {
            return Err(bad());
        }
        url.set_fragment(None);
        Ok(Self(url))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// Whether a tool that speaks of this URL means the registry that is at this site.
pub(crate) fn is_at(registry: &Url, url: &str) -> bool {
    // cargo: `sparse+https://…`, `registry+https://…`.
    let url = url.split_once('+').map_or(url, |(kind, rest)| match kind {
        "sparse" | "registry" => rest,
        _ => url,
    });
    Url::parse(url).is_ok_and(|url| url.has_host() && url.origin() == registry.origin())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_named_by_its_address_at_countersign_and_a_key_goes_over_tls() {
        for good in [
            "https://login.example.org/registry/crates",
            "https://login.example.org/registry/crates/",
            "http://127.0.0.1:8080/registry/npm-2",
            "http://localhost/registry/a",
        ] {
            let address: Address = good.parse().unwrap();
            assert_eq!(address.to_string(), good.trim_end_matches('/'));
        }
        for bad in [
            "",
            "login.example.org/registry/crates",
            "http://login.example.org/registry/crates",
            "http://localhost.evil.example/registry/crates",
            "https://login.example.org/",
            "https://login.example.org/registry/",
            "https://login.example.org/registry/a/b",
            "https://login.example.org/registry/a%2fb",
            "https://login.example.org/registry/a?x",
            "https://ann@login.example.org/registry/a",
            "file:///registry/a",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tools_address_is_a_registrys_where_the_site_is_the_same() {
        let registry = Url::parse("https://crates.example.org").unwrap();
        for same in [
            "https://crates.example.org/",
            "sparse+https://crates.example.org/index/",
            "registry+https://CRATES.example.org:443/git",
        ] {
            assert!(is_at(&registry, same), "{same}");
        }
        for other in [
            "",
            "crates.example.org",
            "http://crates.example.org/",
            "https://crates.example.org:8443/",
            "https://crates.example.org.evil.example/",
            "https://evil.example/https://crates.example.org/",
            "git+https://crates.example.org/",
            "sparse+sparse+https://crates.example.org/",
        ] {
            assert!(!is_at(&registry, other), "{other}");
        }
    }

    #[test]
    fn what_is_asked_and_shown_is_of_the_same_site() {
        let address: Address = "https://login.example.org/registry/a".parse().unwrap();
        assert!(address.is_asked_at("https://login.example.org/registry/a/credential/done?s=x"));
        assert!(!address.is_asked_at("https://login.example.org/registry/b/credential/done?s=x"));
        assert!(!address.is_asked_at("https://login.example.org/registry/a/credential/done@evil"));
        assert!(address.has_page("https://login.example.org/device?user_code=X"));
        assert!(!address.has_page("https://login.example.org.evil.example/device"));
        assert!(!address.has_page("javascript:alert(1)"));
    }
}
