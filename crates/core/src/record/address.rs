//! Addresses as records have them: what is public, what lies together, how they are written.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The part of an address that its owner cannot choose: IPv4 /24, IPv6 /48.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Prefix {
    /// The first three bytes.
    V4([u8; 3]),
    /// The first six bytes.
    V6([u8; 6]),
}

impl Prefix {
    /// That of `ip`.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, ..] = ip.octets();
                Self::V6([a, b, c, d, e, f])
            }
        }
    }
}

/// Whether an address can belong to a node of the public internet. Documentation prefixes can: see docs/adr/0007.
pub fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    // RFC 6598, RFC 2544, RFC 1112 section 4, RFC 791 ("this network").
    let shared = a == 100 && (64..128).contains(&b);
    let benchmark = a == 198 && (b == 18 || b == 19);
    let special = shared || benchmark || a >= 240 || a == 0;
    !(special || ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_multicast())
}

/// Global unicast is 2000::/3 (RFC 4291). What embeds an IPv4 address is as public as that.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let octets = ip.octets();
    let [first, ..] = octets;
    match octets {
        // 6to4, RFC 3056.
        [0x20, 0x02, a, b, c, d, ..] => is_public_v4(Ipv4Addr::new(a, b, c, d)),
        // NAT64, RFC 6052.
        [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => is_public_v4(Ipv4Addr::new(a, b, c, d)),
        _ => first & 0xe0 == 0x20,
    }
}

/// An IPv4 address is written as one, and an IPv6 address has neither flow nor scope.
pub(super) fn is_canonical(addr: &SocketAddr) -> bool {
    *addr == SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// 6 or 18 bytes: the address, then the port, big-endian.
pub(super) fn encode(addr: &SocketAddr) -> Vec<u8> {
    let port = addr.port().to_be_bytes();
    match addr.ip() {
        IpAddr::V4(ip) => [&ip.octets()[..], &port].concat(),
        IpAddr::V6(ip) => [&ip.octets()[..], &port].concat(),
    }
}

pub(super) fn decode(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_last_chunk::<2>()?;
    let ip: IpAddr = match ip.len() {
        4 => <[u8; 4]>::try_from(ip).ok()?.into(),
        16 => <[u8; 16]>::try_from(ip).ok()?.into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}
