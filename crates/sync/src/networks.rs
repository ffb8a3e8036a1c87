//! In whose network a peer is. A key costs nothing, an address in one more network does: so of one network few count.
//!
//! What counts is the other end of a connection that stands; nobody gets packets back who writes another address on his. Before
//! there is one, an address that somebody names is worth what it costs to dial it in vain.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use samizdat_core::record::{Prefix, is_public};

use crate::codec::{Frame, PeerAddr, PeerAt};
use crate::limits::{VIEW_HIDDEN, VIEW_PER_PREFIX};

/// A neighbourhood that one party is likely to own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Network {
    /// This machine or a local network, IPv4 /16 (the last byte is 0) or IPv6 /48: whose packets come from there is no stranger from
    /// far away.
    Near(Prefix),
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
            Some(ip) if is_near(ip) => Self::Near(match Prefix::of(ip) {
                Prefix::V4([a, b, _]) => Prefix::V4([a, b, 0]),
                v6 => v6,
            }),
            Some(ip) => Self::Far(Prefix::of(ip)),
        }
    }

    /// Whether an address is told to whoever is here, and believed when it comes from here: it is of the public internet, or of this
    /// very network. So nobody far away learns what is in our local network, or makes us knock there.
    pub fn passes(self, ip: IpAddr) -> bool {
        is_public(ip) || self == Self::of_link(Some(ip))
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
            Self::Near(_) => usize::MAX,
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
pub struct Networks {
    read: fn(&[u8]) -> Vec<Network>,
    pass: fn(&[u8], Network) -> Vec<u8>,
}

impl Networks {
    /// By this function; every address passes everywhere.
    pub fn by(read: fn(&[u8]) -> Vec<Network>) -> Self {
        Self { read, ..Self::default() }
    }

    /// What [`Network::passes`] of an address is for this function to find.
    #[must_use]
    pub fn passing(self, pass: fn(&[u8], Network) -> Vec<u8>) -> Self {
        Self { pass, ..self }
    }

    pub(crate) fn of(self, addr: &PeerAddr) -> Vec<Network> {
        (self.read)(&addr.0)
    }

    /// What of an address passes between us and whoever is there.
    pub(crate) fn pass(self, addr: &PeerAddr, network: Network) -> PeerAddr {
        PeerAddr((self.pass)(&addr.0, network))
    }

    /// What of a frame does. Of whom nothing is left is not named.
    pub(crate) fn pass_frame(self, frame: Frame, network: Network) -> Frame {
        let pass = |addr: PeerAddr| self.pass(&addr, network);
        let pass_all = |peers: Vec<PeerAt>| {
            let passed = peers.into_iter().map(|(peer, addr)| (peer, addr.0.is_empty(), pass(addr)));
            passed.filter(|(_, empty, addr)| *empty || !addr.0.is_empty()).map(|(peer, _, addr)| (peer, addr)).collect()
        };
        match frame {
            Frame::Join { addr } => Frame::Join { addr: pass(addr) },
            Frame::Neighbor { urgent, addr } => Frame::Neighbor { urgent, addr: pass(addr) },
            Frame::Walk { peer, addr } => Frame::Walk { peer, addr: pass(addr) },
            Frame::Disconnect { others } => Frame::Disconnect { others: pass_all(others) },
            Frame::Shuffle { peers } => Frame::Shuffle { peers: pass_all(peers) },
            Frame::ShuffleReply { peers } => Frame::ShuffleReply { peers: pass_all(peers) },
            other => other,
        }
    }
}

impl Default for Networks {
    /// Where addresses say nothing of networks.
    fn default() -> Self {
        Self { read: |_| Vec::new(), pass: |addr, _| addr.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use samizdat_core::PeerId;

    use super::*;

    fn link(ip: &str) -> Network {
        Network::of_link(Some(ip.parse().unwrap()))
    }

    #[test]
    fn a_connection_shows_where_its_end_is() {
        for near in ["127.0.0.1", "::1", "10.1.2.3", "192.168.3.4", "::ffff:192.168.3.4", "169.254.3.4", "fd00::1", "fe80::1"] {
            assert!(matches!(link(near), Network::Near(_)), "{near}");
        }
        assert_eq!(link("10.1.2.3"), link("10.1.255.3"));
        assert_ne!(link("10.1.2.3"), link("10.2.2.3"));
        assert_ne!(link("127.0.0.1"), link("192.168.3.4"));
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

    const NEAR: [&str; 8] =
        ["127.0.0.1", "::1", "10.1.2.3", "192.168.3.4", "::ffff:192.168.3.4", "169.254.3.4", "100.64.0.1", "fd00::1"];

    /// Every peer was told the addresses that a node has in its local network, and every stranger could make it knock there.
    #[test]
    fn addresses_of_a_local_network_stay_in_it() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for far in [Network::Hidden, link("198.51.100.1"), link("2001:db8::1")] {
            assert!(NEAR.iter().all(|near| !far.passes(ip(near))) && far.passes(ip("203.0.113.1")), "{far:?}");
        }
        assert!(NEAR.iter().all(|near| link(near).passes(ip(near)) && link(near).passes(ip("203.0.113.1"))));
        assert!(link("192.168.3.4").passes(ip("192.168.7.1")) && !link("192.168.3.4").passes(ip("10.0.0.1")));
        assert!(!link("192.168.3.4").passes(ip("127.0.0.1")) && !link("127.0.0.1").passes(ip("192.168.3.4")));
        assert!(!link("192.168.3.4").passes(ip("0.0.0.0")) && !link("10.1.2.3").passes(ip("169.254.3.4")));
    }

    proptest! {
        /// Whoever is told an address, or names one that is believed, is in its network, if that is none of the public internet.
        #[test]
        fn what_is_not_public_passes_in_one_network_alone(end: Option<IpAddr>, ip: IpAddr) {
            let network = Network::of_link(end);
            prop_assert!(!network.passes(ip) || is_public(ip) || network == Network::of_link(Some(ip)));
            prop_assert!(end.is_none_or(|end| network.passes(end)), "where it is seen itself");
            prop_assert!(!is_public(ip) || network.passes(ip));
        }

        /// No frame brings anything else past it.
        #[test]
        fn no_frame_tells_an_address_that_does_not_pass(ips in proptest::collection::vec(any::<Ipv4Addr>(), 1..8), end: Option<IpAddr>) {
            let networks = Networks::default().passing(|addr, network| {
                let ips = addr.chunks(4).filter_map(|ip| ip.try_into().ok()).map(|ip: [u8; 4]| Ipv4Addr::from(ip));
                ips.filter(|ip| network.passes((*ip).into())).flat_map(|ip| ip.octets()).collect()
            });
            let (peer, network) = (PeerId([7; 32]), Network::of_link(end));
            let addr = PeerAddr(ips.iter().flat_map(Ipv4Addr::octets).collect());
            let peers = vec![(peer, addr.clone())];
            let kept: Vec<u8> = ips.iter().filter(|ip| network.passes((**ip).into())).flat_map(Ipv4Addr::octets).collect();
            let left: Vec<PeerAt> = Some((peer, PeerAddr(kept.clone()))).filter(|_| !kept.is_empty()).into_iter().collect();
            let pass = |frame| networks.pass_frame(frame, network);
            prop_assert_eq!(pass(Frame::Join { addr: addr.clone() }), Frame::Join { addr: PeerAddr(kept.clone()) });
            prop_assert_eq!(
                pass(Frame::Neighbor { urgent: true, addr: addr.clone() }),
                Frame::Neighbor { urgent: true, addr: PeerAddr(kept.clone()) }
            );
            prop_assert_eq!(pass(Frame::Walk { peer, addr }), Frame::Walk { peer, addr: PeerAddr(kept) });
            prop_assert_eq!(pass(Frame::Disconnect { others: peers.clone() }), Frame::Disconnect { others: left.clone() });
            prop_assert_eq!(pass(Frame::Shuffle { peers: peers.clone() }), Frame::Shuffle { peers: left.clone() });
            prop_assert_eq!(pass(Frame::ShuffleReply { peers }), Frame::ShuffleReply { peers: left });
        }
    }
}
