//! At which of its addresses a relay is used: one that is in IPv4 and in IPv6 brings those together who speak only one of them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use iroh::{Endpoint, Watcher};
use samizdat_core::record::Dual;

use super::addr_of_url;

/// The first to which this machine has a route; behind a proxy, which has its own, the first.
pub(crate) fn place(at: Dual, proxied: bool) -> SocketAddr {
    place_beside(at, proxied, None)
}

/// The same for a relay of others, while our own works at `ours`: there, if it is the same one, else at the address of that version
/// of IP. A route does not say that anything comes back.
pub(crate) fn place_beside(at: Dual, proxied: bool, ours: Option<SocketAddr>) -> SocketAddr {
    let mut addrs: Vec<SocketAddr> = at.iter().collect();
    if let Some(ours) = ours {
        addrs.sort_by_key(|addr| (*addr != ours, addr.is_ipv6() != ours.is_ipv6()));
    }
    // Most relays have one address, and then there is nothing to choose.
    let choose = addrs.len() > 1 && !proxied;
    let first = addrs.first().copied().unwrap_or(at.first());
    addrs.into_iter().find(|addr| !choose || has_route(*addr)).unwrap_or(first)
}

/// Where the relay that an endpoint uses works.
pub(crate) fn in_use(endpoint: &Endpoint) -> Option<SocketAddr> {
    let mut homes = endpoint.home_relay_status();
    homes.get().iter().find(|home| home.is_connected()).and_then(|home| addr_of_url(home.url()))
}

/// Whether packets to `addr` would leave this machine. None is sent: connecting a UDP socket only asks the table of routes.
pub(crate) fn has_route(addr: SocketAddr) -> bool {
    let from: SocketAddr = if addr.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    UdpSocket::bind(from).and_then(|socket| socket.connect(addr)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_with_a_route_is_taken_and_none_is_better_than_another_without() {
        let at = |text: &str| text.parse::<Dual>().unwrap();
        let loopback = at("127.0.0.1:443+[2001:db8::7]:443");
        assert_eq!(place(loopback, false), loopback.first());
        assert_eq!(place(at("[2001:db8::7]:443"), false).to_string(), "[2001:db8::7]:443", "it is the only one");
        assert_eq!(place(at("203.0.113.7:443+[2001:db8::7]:443"), true).to_string(), "203.0.113.7:443", "the proxy has routes");
    }

    /// Alice's own relay does not answer in IPv4, though there is a route, and she went over to IPv6; contacts were dialled in IPv4.
    #[test]
    fn others_are_reached_where_our_own_relay_works() {
        let at = |text: &str| text.parse::<Dual>().unwrap();
        let both = at("127.0.0.1:443+[::1]:443");
        let beside = |at: Dual, proxied, ours: &str| place_beside(at, proxied, Some(ours.parse().unwrap()));
        for proxied in [false, true] {
            assert_eq!(beside(both, proxied, "127.0.0.1:443").to_string(), "127.0.0.1:443");
            assert_eq!(beside(at("127.0.0.1:443"), proxied, "[::1]:443").to_string(), "127.0.0.1:443", "it is the only one");
        }
        // The same relay, or one of others that has both.
        for ours in ["[::1]:443", "[::1]:444"] {
            assert_eq!(beside(both, true, ours).to_string(), "[::1]:443");
            let expected = if has_route("[::1]:443".parse().unwrap()) { "[::1]:443" } else { "127.0.0.1:443" };
            assert_eq!(beside(both, false, ours).to_string(), expected);
        }
        // Without a route there, what our own relay does is of no use.
        assert_eq!(
            beside(at("127.0.0.1:443+[2001:db8::7]:443"), false, "[::1]:1").is_ipv6(),
            has_route("[2001:db8::7]:443".parse().unwrap())
        );
    }
}
