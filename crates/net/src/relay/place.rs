//! At which of its addresses a relay is used: one that is in IPv4 and in IPv6 brings those together who speak only one of them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use samizdat_core::record::Dual;

/// The first to which this machine has a route; behind a proxy, which has its own, the first.
pub(crate) fn place(at: Dual, proxied: bool) -> SocketAddr {
    // Most relays have one address, and then there is nothing to choose.
    let both = matches!(at, Dual::Both(..)) && !proxied;
    at.iter().find(|addr| !both || has_route(*addr)).unwrap_or(at.first())
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
}
