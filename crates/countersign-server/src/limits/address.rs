//! The address that a request comes from: that of the connection, unless a proxy that is trusted says otherwise.
//!
//! What a proxy says is read from the right, since each proxy adds what it sees at the end: the first address
//! that is not a trusted proxy's is the client's, and whatever stands before it anybody may have written.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use actix_web::http::header::HeaderMap;

use super::network::Network;

/// Whose word on addresses counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// The proxies in front; nothing set: it is not known whether there is any, and so an address that is not
    /// a public one tells nothing of who asks.
    pub trusted: Option<Vec<Network>>,
    /// Where they say it.
    pub header: ForwardedHeader,
}

/// The one header that the proxies in front write. Another that a client has sent may pass them unchanged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// What nearly all of them write.
    #[default]
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

/// What is counted as one address: an IPv4 address, or the /64 that a line of IPv6 has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    V4(Ipv4Addr),
    V6(u64),
}

impl Proxies {
    /// Where the request comes from, if that can be known.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Option<Address> {
        let Some(trusted) = &self.trusted else {
            return is_public(peer).then(|| Address::of(peer));
        };
        let is_proxy = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
        let mut nearest = peer;
        if is_proxy(peer) {
            for address in self.forwarded(headers).rev() {
                // What can't be read was not written by a proxy that can be trusted.
                let Some(address) = address else { break };
                nearest = address;
                if !is_proxy(address) {
                    break;
                }
            }
        }
        Some(Address::of(nearest))
    }

    /// The addresses in the order of the header. One that stands twice is not believed: who wrote which?
    fn forwarded<'h>(
        &self,
        headers: &'h HeaderMap,
    ) -> impl DoubleEndedIterator<Item = Option<IpAddr>> + use<'h> {
        let mut lines = headers.get_all(self.header.name());
        let line = match (lines.next(), lines.next()) {
            (Some(line), None) => line.to_str().ok(),
            (None, _) | (Some(_), Some(_)) => None,
        };
        let read: fn(&str) -> Option<IpAddr> = match self.header {
            ForwardedHeader::XForwardedFor => node,
            ForwardedHeader::Forwarded => forwarded_for,
        };
        line.into_iter()
            .flat_map(|line| line.split(','))
            .map(move |part| read(part.trim_matches([' ', '\t'])))
    }
}

impl ForwardedHeader {
    fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }
}

impl Address {
    /// The network that it is in, as far as that may be written down: /24, or /48.
    pub(crate) fn network(self) -> String {
        match self {
            Self::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                format!("{a}.{b}.{c}.0/24")
            }
            Self::V6(line) => {
                let network = Ipv6Addr::from_bits(u128::from(line >> 16) << 80);
                format!("{network}/48")
            }
        }
    }

    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments().map(u64::from);
                Self::V6((a << 48) | (b << 32) | (c << 16) | d)
            }
        }
    }
}

/// Whether an address is one of the internet's: then whoever connects is who asks.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            // RFC 6598: the addresses of carriers and of clouds, between their own machines.
            let is_shared = a == 100 && (64..128).contains(&b);
            !(v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || is_shared)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.is_unspecified())
        }
    }
}

/// An address, with a port or without: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn node(text: &str) -> Option<IpAddr> {
    if let Some(bare) = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
    {
        return bare.parse().ok().filter(IpAddr::is_ipv6);
    }
    let with_port = || text.parse::<SocketAddr>().ok().map(|it| it.ip());
    text.parse().ok().or_else(with_port)
}

/// RFC 7239 4: `for=192.0.2.1;proto=https`. A comma or a semicolon within quotes is in no address, so what
/// has one is none.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in element.split(';') {
        let (name, value) = pair.split_once('=')?;
        if !name.trim_matches([' ', '\t']).eq_ignore_ascii_case("for") {
            continue;
        }
        if found.is_some() {
            return None;
        }
        found = Some(value.trim_matches([' ', '\t']));
    }
    let value = found?;
    let quoted = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    node(quoted.unwrap_or(value))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(v4) => write!(f, "{v4}"),
            Self::V6(prefix) => write!(f, "{}/64", Ipv6Addr::from(u128::from(*prefix) << 64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn proxies(trusted: &[&str], header: ForwardedHeader) -> Proxies {
        let trusted = trusted.iter().map(|text| text.parse().unwrap()).collect();
        Proxies {
            trusted: Some(trusted),
            header,
        }
    }

    #[test]
    fn of_an_address_only_the_network_is_written_down() {
        let network = |text| address(text).network();
        assert_eq!(network("192.0.2.77"), "192.0.2.0/24");
        assert_eq!(network("::ffff:192.0.2.77"), "192.0.2.0/24");
        assert_eq!(network("2001:db8:1:2:3::4"), "2001:db8:1::/48");
    }

    fn address(text: &str) -> Address {
        Address::of(text.parse().unwrap())
    }

    /// Checks whom a request from the trusted proxy 10.0.0.1 is put down to.
    fn check(header: ForwardedHeader, lines: &[&str], expected: &str) {
        let proxies = proxies(&["10.0.0.0/24", "2001:db8:ffff::/48"], header);
        let lines: Vec<_> = lines.iter().map(|line| (header.name(), *line)).collect();
        let found = proxies.client("10.0.0.1".parse().unwrap(), &headers(&lines));
        assert_eq!(found, Some(address(expected)), "{lines:?}");
    }

    #[test]
    fn x_forwarded_for_is_read_from_the_right_over_trusted_proxies() {
        for (line, expected) in [
            ("198.51.100.7", "198.51.100.7"),
            ("203.0.113.9, 198.51.100.7", "198.51.100.7"),
            ("203.0.113.9,198.51.100.7, 10.0.0.2", "198.51.100.7"),
            ("203.0.113.9, 10.0.0.3 ,\t10.0.0.2", "203.0.113.9"),
            ("198.51.100.7, 2001:db8:ffff::1", "198.51.100.7"),
            ("198.51.100.7:4711", "198.51.100.7"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            // Only proxies all the way: the one farthest away asks.
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ] {
            check(ForwardedHeader::XForwardedFor, &[line], expected);
        }
    }

    #[test]
    fn what_is_malformed_or_doubled_is_not_believed() {
        for line in [
            "",
            " ",
            ",",
            "unknown",
            "localhost",
            "198.51.100.7,",
            "198.51.100.7 10.0.0.2",
            "198.51.100.07",
            "198.51.100.7:x",
            "198.51.100.7:99999",
            "[198.51.100.7]",
            "[2001:db8::1",
            "2001:db8::1]",
            "198.51.100.256",
            "0xc6336407",
            "3325256711",
            "198.51.100.7/32",
            "\"198.51.100.7\"",
            "for=198.51.100.7",
            "fe80::1%eth0",
        ] {
            check(ForwardedHeader::XForwardedFor, &[line], "10.0.0.1");
        }
        // What stands before what can't be read is not reached, and the last proxy that is known counts.
        check(
            ForwardedHeader::XForwardedFor,
            &["198.51.100.7, x, 10.0.0.2"],
            "10.0.0.2",
        );
        check(
            ForwardedHeader::XForwardedFor,
            &["198.51.100.7", "203.0.113.9"],
            "10.0.0.1",
        );
        check(ForwardedHeader::XForwardedFor, &[], "10.0.0.1");
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_writes_it() {
        let check = |lines: &[&str], expected| check(ForwardedHeader::Forwarded, lines, expected);
        check(&["for=198.51.100.7"], "198.51.100.7");
        check(
            &["For=\"198.51.100.7:4711\";proto=https;by=10.0.0.2"],
            "198.51.100.7",
        );
        check(&["for=\"[2001:db8::1]:4711\""], "2001:db8::1");
        check(
            &["for=203.0.113.9, for=198.51.100.7;proto=http, for=10.0.0.2"],
            "198.51.100.7",
        );
        check(&["proto=https; for=198.51.100.7"], "198.51.100.7");
        for bad in [
            "for=unknown",
            "for=_hidden",
            "198.51.100.7",
            "proto=https",
            "for=198.51.100.7;for=203.0.113.9",
            "for=\"198.51.100.7",
            "for=198.51.100.7;",
            "for =198.51.100.7;x",
            "for=\"a, for=198.51.100.7\"",
        ] {
            check(&[bad], "10.0.0.1");
        }
        check(&["for=198.51.100.7", "for=203.0.113.9"], "10.0.0.1");
    }

    #[test]
    fn a_stranger_is_never_believed() {
        let peer = "198.51.100.66".parse().unwrap();
        for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
            let said = headers(&[
                ("x-forwarded-for", "203.0.113.9"),
                ("forwarded", "for=203.0.113.9"),
                ("x-real-ip", "203.0.113.9"),
            ]);
            for trusted in [&["10.0.0.0/24"][..], &[]] {
                let found = proxies(trusted, header).client(peer, &said);
                assert_eq!(found, Some(address("198.51.100.66")));
            }
            let unknown = Proxies {
                trusted: None,
                header,
            };
            assert_eq!(unknown.client(peer, &said), Some(address("198.51.100.66")));
        }
    }

    #[test]
    fn only_the_header_that_the_proxies_write_counts() {
        let said = headers(&[
            ("x-forwarded-for", "198.51.100.7"),
            ("forwarded", "for=203.0.113.9"),
        ]);
        let peer = "10.0.0.1".parse().unwrap();
        let by = |header| proxies(&["10.0.0.1"], header).client(peer, &said);
        assert_eq!(
            by(ForwardedHeader::XForwardedFor),
            Some(address("198.51.100.7"))
        );
        assert_eq!(by(ForwardedHeader::Forwarded), Some(address("203.0.113.9")));
    }

    #[test]
    fn while_nothing_is_said_of_proxies_an_address_of_a_private_network_tells_nothing() {
        let table = [
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("172.16.0.1", false),
            ("192.168.1.1", false),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("169.254.1.1", false),
            ("::1", false),
            ("fd00::1", false),
            ("fe80::1", false),
            ("::ffff:10.0.0.1", false),
            ("198.51.100.7", true),
            ("2001:db8::1", true),
        ];
        for (peer, is_known) in table {
            let peer = peer.parse().unwrap();
            let found = Proxies::default().client(peer, &HeaderMap::new());
            assert_eq!(found.is_some(), is_known, "{peer}");
            let none = proxies(&[], ForwardedHeader::XForwardedFor);
            assert!(none.client(peer, &HeaderMap::new()).is_some(), "{peer}");
        }
    }

    #[test]
    fn a_line_of_ipv6_is_one_address_and_ipv4_is_whole() {
        assert_eq!(address("2001:db8:1:2:3::4"), address("2001:db8:1:2:ffff::"));
        assert_ne!(address("2001:db8:1:2::"), address("2001:db8:1:3::"));
        assert_ne!(address("198.51.100.7"), address("198.51.100.8"));
        assert_eq!(address("::ffff:198.51.100.7"), address("198.51.100.7"));
    }
}
