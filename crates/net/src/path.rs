//! How a peer is reached, for people who look at the status of their node.

use std::net::IpAddr;

use iroh::TransportAddr;
use samizdat_core::PeerId;

/// The path that carries a connection now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathInfo {
    /// Who.
    pub peer: PeerId,
    /// Through what.
    pub kind: PathKind,
    /// Round-trip time as QUIC estimates it, milliseconds.
    pub rtt_ms: u32,
    /// Whether this node opened the connection.
    pub dialed: bool,
}

/// What lies between two peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathKind {
    /// Both are on this machine.
    Loopback,
    /// A private or link-local address (RFC 1918, RFC 3927, RFC 4193, RFC 4291).
    Lan,
    /// A public address.
    Direct,
    /// Through a relay.
    Relayed,
}

impl PathKind {
    pub(crate) fn of(remote: &TransportAddr) -> Self {
        match remote {
            TransportAddr::Ip(socket) => Self::of_ip(socket.ip().to_canonical()),
            _ => Self::Relayed,
        }
    }

    pub(crate) fn of_ip(ip: IpAddr) -> Self {
        let lan = match ip {
            IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
        };
        if ip.is_loopback() {
            Self::Loopback
        } else if lan {
            Self::Lan
        } else {
            Self::Direct
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        for (ip, kind) in [
            ("127.0.0.1", PathKind::Loopback),
            ("::1", PathKind::Loopback),
            ("192.168.3.4", PathKind::Lan),
            ("169.254.3.4", PathKind::Lan),
            ("fd00::1", PathKind::Lan),
            ("fe80::1", PathKind::Lan),
            ("192.0.2.1", PathKind::Direct),
            ("2001:db8::1", PathKind::Direct),
        ] {
            assert_eq!(PathKind::of_ip(ip.parse().unwrap()), kind, "{ip}");
        }
    }
}
