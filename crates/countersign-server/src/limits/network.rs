//! A range of addresses, as it is written: `10.0.0.0/8`, `2001:db8::/32`, or one address.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

/// A text that is no range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotANetwork {
    /// Neither an address nor a range.
    #[error("expected an address or a range such as `10.0.0.0/8` or `2001:db8::/32`")]
    Form,
    /// An address within the range, where its first is expected.
    #[error("has bits beyond its prefix; expected `{0}`, or the one address without a prefix")]
    Bits(Network),
    /// All addresses there are.
    #[error("is everybody: then whoever connects could say that they are anybody else")]
    Everybody,
}

impl Network {
    /// Whether an address is in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
                cut(address.to_canonical(), self.prefix) == self.first
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(|_| NotANetwork::Form)?;
        // An IPv4 address in the dress of IPv6 would match nothing: addresses are undressed first.
        if first != first.to_canonical() {
            return Err(NotANetwork::Form);
        }
        let longest = if first.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(text) => number(text)
                .filter(|it| *it <= longest)
                .ok_or(NotANetwork::Form)?,
        };
        if prefix == 0 {
            return Err(NotANetwork::Everybody);
        }
        let network = Self {
            first: cut(first, prefix),
            prefix,
        };
        if network.first == first {
            Ok(network)
        } else {
            Err(NotANetwork::Bits(network))
        }
    }
}

/// Digits alone: `parse` would take `+8` and `008`.
fn number(text: &str) -> Option<u8> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = text == "0" || !text.starts_with('0');
    text.parse().ok().filter(|_| is_number && is_plain)
}

/// The first address of the range of this length that an address is in.
fn cut(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_range_contains_its_addresses_and_no_others() {
        let table = [
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("128.0.0.0/1", "255.0.0.1", true),
            ("128.0.0.0/1", "127.0.0.1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("::1", "::1", true),
            ("::1", "127.0.0.1", false),
            ("8000::/1", "ffff::", true),
        ];
        for (range, address, expected) in table {
            let address = address.parse().unwrap();
            assert_eq!(
                network(range).contains(address),
                expected,
                "{range} {address}"
            );
        }
    }

    #[test]
    fn nonsense_is_refused_with_what_was_meant() {
        for text in [
            "",
            "10",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "localhost",
            "::/129",
            "::ffff:10.0.0.0/104",
            "10.0.0.0/8/8",
            "10.0.0.0/008",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork::Form), "{text}");
        }
        for text in ["0.0.0.0/0", "::/0", "10.0.0.1/0"] {
            assert_eq!(
                text.parse::<Network>(),
                Err(NotANetwork::Everybody),
                "{text}"
            );
        }
        let bits = "10.0.0.1/8".parse::<Network>().unwrap_err();
        assert!(bits.to_string().contains("`10.0.0.0/8`"), "{bits}");
    }
}
