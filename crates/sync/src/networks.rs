//! In whose network a peer is. A key costs nothing, an address in one more network does: so of one network few count.
//!
//! What counts is the other end of a connection that stands; nobody gets packets back who writes another address on his. Before
//! there is one, an address that somebody names is worth what it costs to dial it in vain.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use samizdat_core::record::{Prefix, is_public};

use crate::codec::PeerAddr;
use crate::limits::{VIEW_HIDDEN, VIEW_PER_PREFIX};

/// A neighbourhood that one party is likely to own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Network {
    /// This machine or the local network: whose packets come from there is no stranger from far away.
    Near,
    /// IPv4 /24 or IPv6 /48.
    Far(Prefix),
    /// Somewhere behind a relay.
    Hidden,
}

impl Network {
    /// Where the other end of a connection is; `None` if a relay hides it.
    pub fn of_link(ip: Option<IpAddr>) -> Self {
        match ip.map(|ip| ip.to_canonical()) {
            None => Self::Hidden,
            Some(ip) if is_near(ip) => Self::Near,
            Some(ip) => Self::Far(Prefix::of(ip)),
        }
    }

    /// Where somebody is said to be whom nobody saw: in all of the public networks named, or else behind his relay. That he is
    /// in somebody's local network says nothing.
    pub fn of_claim(ips: impl IntoIterator<Item = IpAddr>, relayed: bool) -> Vec<Self> {
        let mut networks: Vec<Self> = Vec::new();
        for network in ips.into_iter().filter(|ip| is_public(*ip)).map(|ip| Self::Far(Prefix::of(ip))) {
            if !networks.contains(&network) {
                networks.push(network);
            }
        }
        if networks.is_empty() && relayed {
            networks.push(Self::Hidden);
        }
        networks
    }

    /// So many neighbours in it count as neighbours; more than those are there only as long as nobody else wants the place.
    pub(crate) fn share(self) -> usize {
        match self {
            Self::Near => usize::MAX,
            Self::Far(_) => VIEW_PER_PREFIX,
            Self::Hidden => VIEW_HIDDEN,
        }
    }
}

fn is_near(ip: IpAddr) -> bool {
    let near_v4 = |ip: Ipv4Addr| ip.is_private() || ip.is_link_local();
    let near_v6 = |ip: Ipv6Addr| ip.is_unique_local() || ip.is_unicast_link_local();
    ip.is_loopback()
        || match ip {
            IpAddr::V4(ip) => near_v4(ip),
            IpAddr::V6(ip) => near_v6(ip),
        }
}

/// Reads the networks out of addresses, whose encoding is the shell's.
#[derive(Clone, Copy, Debug)]
pub struct Networks(fn(&[u8]) -> Vec<Network>);

impl Networks {
    /// By this function.
    pub fn by(read: fn(&[u8]) -> Vec<Network>) -> Self {
        Self(read)
    }

    pub(crate) fn of(self, addr: &PeerAddr) -> Vec<Network> {
        (self.0)(&addr.0)
    }
}

impl Default for Networks {
    /// Where addresses say nothing of networks.
    fn default() -> Self {
        Self(|_| Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(ip: &str) -> Network {
        Network::of_link(Some(ip.parse().unwrap()))
    }

    #[test]
    fn a_connection_shows_where_its_end_is() {
        for near in ["127.0.0.1", "::1", "10.1.2.3", "192.168.3.4", "::ffff:192.168.3.4", "169.254.3.4", "fd00::1", "fe80::1"] {
            assert_eq!(link(near), Network::Near, "{near}");
        }
        assert_eq!(link("198.51.100.1"), link("::ffff:198.51.100.255"));
        assert_ne!(link("198.51.100.1"), link("198.51.101.1"));
        assert_eq!(link("2001:db8:1:1::1"), link("2001:db8:1:ffff::1"));
        assert_ne!(link("2001:db8:1::1"), link("2001:db8:2::1"));
        assert_eq!(link("100.64.0.1"), Network::Far(Prefix::V4([100, 64, 0])), "the neighbours behind one provider's router");
        assert_eq!(Network::of_link(None), Network::Hidden);
    }

    #[test]
    fn what_somebody_says_of_his_local_network_says_nothing() {
        let claim = |ips: &[&str], relayed| Network::of_claim(ips.iter().map(|ip| ip.parse().unwrap()), relayed);
        assert_eq!(claim(&["127.0.0.1", "192.168.3.4", "198.51.100.1"], true), [link("198.51.100.1")]);
        assert_eq!(claim(&["198.51.100.1", "198.51.100.2", "203.0.113.1"], false), [link("198.51.100.1"), link("203.0.113.1")]);
        assert_eq!(claim(&["192.168.3.4", "fe80::1"], true), [Network::Hidden]);
        assert_eq!(claim(&["192.168.3.4"], false), []);
    }
}
