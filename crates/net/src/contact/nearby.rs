//! Which addresses contacts are told: those of the local network only while that is switched on.

use std::net::{IpAddr, SocketAddr};

use iroh::Endpoint;
use netwatch::netmon::State;
use samizdat_core::record::{Via, is_public};

use crate::addr::PeerAddr;
use crate::endpoint;
use crate::lan;
use crate::relay::RelayAt;

/// Whether packets to this address stay on this machine, in the local network or, as those to the addresses that providers share
/// among customers (RFC 6598), near it: it is none of the public internet.
pub(super) fn is_near(ip: IpAddr) -> bool {
    !is_public(ip)
}

/// Whether relays of others are dialled that are near, with these of our own. Nobody makes us knock in our local network but where
/// we show ourselves, or chose a relay.
pub(super) fn may_be_near(ours: &[RelayAt], nearby: bool) -> bool {
    nearby || ours.iter().flat_map(|relay| relay.at.iter()).any(|at| is_near(at.ip()))
}

/// Where an endpoint is in the local networks of this machine. Not what iroh says of itself: it leaves out the addresses that
/// systems give themselves as soon as any interface has another.
pub(super) fn near(state: &State, bound: &[SocketAddr]) -> Vec<SocketAddr> {
    let posts = lan::posts(state, bound).into_iter();
    posts.map(|post| SocketAddr::new(post.reach.ip(), post.port)).filter(|socket| is_near(socket.ip())).collect()
}

/// What a contact is told of the direct endpoint: what strangers far away see of it and, unless that is `None`, what is near.
pub(super) fn shown(endpoint: &Endpoint, near: Option<&[SocketAddr]>, relays: &[Via]) -> PeerAddr {
    let addr = endpoint.addr();
    let far = addr.ip_addrs().copied().filter(|socket| !is_near(socket.ip()));
    match near {
        Some(near) => endpoint::addr_of(endpoint, far.chain(near.iter().copied()), relays),
        None => PeerAddr::with_relays(far, relays),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: [&str; 10] = [
        "127.0.0.1",
        "::1",
        "0.0.0.0",
        "10.1.2.3",
        "192.168.3.4",
        "169.254.3.4",
        "100.64.0.1",
        "100.127.255.254",
        "fd00::1",
        "::ffff:192.168.3.4",
    ];
    const FAR: [&str; 5] = ["192.0.2.1", "100.63.255.254", "100.128.0.1", "2001:db8::1", "::ffff:192.0.2.1"];

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_near_is_told_from_the_internet() {
        assert!(NEAR.iter().all(|near| is_near(ip(near))) && FAR.iter().all(|far| !is_near(ip(far))));
    }

    #[test]
    fn relays_that_are_near_are_dialled_by_whoever_is_seen_there_or_uses_one() {
        let ours = |at: &str| [RelayAt { at: at.parse().unwrap(), discovery_port: 7842, certificate: [7; 32] }];
        assert!(!may_be_near(&[], false) && !may_be_near(&ours("192.0.2.7:443+[2001:db8::7]:443"), false));
        assert!(may_be_near(&[], true) && may_be_near(&ours("192.168.3.9:443"), false));
    }
}
