//! Addresses as records have them: what is public, what lies together, how they are written.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use core::str::FromStr;

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

/// Versions of IP.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

impl Families {
    /// Both.
    pub const BOTH: Self = Self { v4: true, v6: true };

    /// Those of these addresses.
    pub fn of(ips: impl IntoIterator<Item = IpAddr>) -> Self {
        ips.into_iter().fold(Self::default(), |families, ip| match ip.to_canonical() {
            IpAddr::V4(_) => Self { v4: true, ..families },
            IpAddr::V6(_) => Self { v6: true, ..families },
        })
    }

    /// Whether that of `ip` is one of them.
    pub fn has(self, ip: IpAddr) -> bool {
        if ip.to_canonical().is_ipv4() { self.v4 } else { self.v6 }
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// 1 for IPv4, 2 for IPv6.
    pub(super) fn bits(self) -> u8 {
        u8::from(self.v4) | u8::from(self.v6) << 1
    }

    /// Other bits mean nothing.
    pub(super) fn from_bits(bits: u8) -> Option<Self> {
        (bits < 4).then_some(Self { v4: bits & 1 != 0, v6: bits & 2 != 0 })
    }
}

/// Where one service is: an IPv4 address, an IPv6 address, or one of each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Dual {
    /// IPv4 alone.
    V4(SocketAddrV4),
    /// IPv6 alone.
    V6(SocketAddrV6),
    /// Both.
    Both(SocketAddrV4, SocketAddrV6),
}

impl Dual {
    /// The first address of each kind; `None` if there is none at all.
    pub fn of(addrs: impl IntoIterator<Item = SocketAddr>) -> Option<Self> {
        let (mut v4, mut v6) = (None, None);
        for addr in addrs {
            // Flow and scope mean nothing on another machine.
            match addr.ip().to_canonical() {
                IpAddr::V4(ip) => _ = v4.get_or_insert(SocketAddrV4::new(ip, addr.port())),
                IpAddr::V6(ip) => _ = v6.get_or_insert(SocketAddrV6::new(ip, addr.port(), 0, 0)),
            }
        }
        match (v4, v6) {
            (Some(v4), Some(v6)) => Some(Self::Both(v4, v6)),
            (Some(v4), None) => Some(Self::V4(v4)),
            (None, v6) => v6.map(Self::V6),
        }
    }

    /// IPv4 before IPv6.
    pub fn iter(self) -> impl Iterator<Item = SocketAddr> {
        let (v4, v6) = match self {
            Self::V4(v4) => (Some(v4), None),
            Self::V6(v6) => (None, Some(v6)),
            Self::Both(v4, v6) => (Some(v4), Some(v6)),
        };
        v4.map(SocketAddr::V4).into_iter().chain(v6.map(SocketAddr::V6))
    }

    /// That of IPv4, if it has one.
    pub fn first(self) -> SocketAddr {
        match self {
            Self::V4(v4) | Self::Both(v4, _) => v4.into(),
            Self::V6(v6) => v6.into(),
        }
    }

    /// Whether it is there.
    pub fn has(self, addr: SocketAddr) -> bool {
        self.iter().any(|own| own == addr)
    }

    /// The kinds of its addresses.
    pub fn families(self) -> Families {
        Families::of(self.iter().map(|addr| addr.ip()))
    }

    /// The networks that it is in.
    pub fn prefixes(self) -> impl Iterator<Item = Prefix> {
        self.iter().map(|addr| Prefix::of(addr.ip()))
    }
}

impl From<SocketAddr> for Dual {
    fn from(addr: SocketAddr) -> Self {
        match addr.ip().to_canonical() {
            IpAddr::V4(ip) => Self::V4(SocketAddrV4::new(ip, addr.port())),
            IpAddr::V6(ip) => Self::V6(SocketAddrV6::new(ip, addr.port(), 0, 0)),
        }
    }
}

impl fmt::Display for Dual {
    /// `ip:port` or `ip:port+[ip]:port`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(v4) => v4.fmt(f),
            Self::V6(v6) => v6.fmt(f),
            Self::Both(v4, v6) => write!(f, "{v4}+{v6}"),
        }
    }
}

/// A text that is not `ip:port` or `ip:port+[ip]:port`.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("an address looks like 192.0.2.1:443, [2001:db8::1]:443 or 192.0.2.1:443+[2001:db8::1]:443")]
pub struct BadDual;

impl FromStr for Dual {
    type Err = BadDual;

    fn from_str(text: &str) -> Result<Self, BadDual> {
        let one = |text: &str| text.parse::<SocketAddr>().map(Self::from).map_err(|_| BadDual);
        match text.split_once('+') {
            None => one(text),
            Some((first, second)) => match (one(first)?, one(second)?) {
                (Self::V4(v4), Self::V6(v6)) => Ok(Self::Both(v4, v6)),
                _ => Err(BadDual),
            },
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
