//! What leaves a station, as the forwarder sees it on the wire.

use std::{fmt, net::IpAddr};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

/// Where a packet was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    /// What it carried.
    pub protocol: Protocol,
    /// Whom it was for.
    pub address: IpAddr,
    /// At which port; 0 where there are none.
    pub port: u16,
    /// Whether somebody was dialled: the first packet of a connection, by TCP (SYN) or QUIC (Initial, RFC 9000 section 17.2.2). An answer
    /// is none, nor what goes over one that stands, as when a direct path is looked for.
    pub dials: bool,
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// Anything else, by its number.
    Other(u8),
}

/// The first byte of a long header, of which the last four bits are protected.
const QUIC_INITIAL: u8 = 0xc0;
const HOP_BY_HOP: u8 = 0;
const IGMP: u8 = 2;
const ICMPV6: u8 = 58;

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            Protocol::Udp => write!(f, "udp {} {}", self.address, self.port),
            Protocol::Tcp => write!(f, "tcp {} {}", self.address, self.port),
            Protocol::Other(number) => write!(f, "protocol {number} {}", self.address),
        }
    }
}

/// Packets that may leave a station although they are not for somebody in the lab.
pub struct Exception {
    /// What it is.
    pub name: &'static str,
    /// Why it may be.
    pub reason: &'static str,
    covers: fn(&Destination) -> bool,
}

/// Every kind of packet that tells nobody outside the link anything. Multicast over UDP (mDNS, SSDP) is none of them.
pub const EXCEPTIONS: [Exception; 2] = [
    Exception {
        name: "neighbour discovery and router solicitations (ICMPv6, link-local)",
        reason: "the kernel's own: without it IPv6 has no neighbours; routers do not pass it on",
        covers: |d| d.protocol == Protocol::Other(ICMPV6) && is_link_local(&d.address),
    },
    Exception {
        name: "membership of multicast groups (IGMP, MLD)",
        reason: "the kernel's own: it tells switches on the link which groups it listens to; routers do not pass it on",
        covers: |d| match d.protocol {
            Protocol::Other(IGMP) => d.address.is_multicast(),
            Protocol::Other(ICMPV6 | HOP_BY_HOP) => d.address.is_multicast() && is_link_local(&d.address),
            _ => false,
        },
    },
];

/// The exception that covers `destination`.
pub fn excepted(destination: &Destination) -> Option<&'static Exception> {
    EXCEPTIONS.iter().find(|exception| (exception.covers)(destination))
}

/// fe80::/10, or multicast of link-local scope.
fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local() || address.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(address) => {
            let [first, ..] = address.segments();
            address.is_unicast_link_local() || first & 0xff0f == 0xff02
        }
    }
}

/// Where the packet in an Ethernet frame goes; `None` for ARP and what else is not IP.
pub(crate) fn parse(frame: &[u8]) -> Option<Destination> {
    let packet = match SlicedPacket::from_ethernet(frame) {
        Ok(packet) => packet,
        // A broken transport header must not hide where it goes.
        Err(_) => return etherparse::LaxSlicedPacket::from_ethernet(frame).ok().and_then(|packet| lax(&packet)),
    };
    let (address, number) = match packet.net.as_ref()? {
        NetSlice::Ipv4(ip) => (ip.header().destination_addr().into(), ip.payload().ip_number.0),
        NetSlice::Ipv6(ip) => (ip.header().destination_addr().into(), ip.payload().ip_number.0),
        NetSlice::Arp(_) => return None,
    };
    Some(match packet.transport {
        Some(TransportSlice::Udp(udp)) => {
            let dials = udp.payload().first().is_some_and(|first| first & 0xf0 == QUIC_INITIAL);
            Destination { protocol: Protocol::Udp, address, port: udp.destination_port(), dials }
        }
        Some(TransportSlice::Tcp(tcp)) => {
            Destination { protocol: Protocol::Tcp, address, port: tcp.destination_port(), dials: tcp.syn() && !tcp.ack() }
        }
        _ => Destination { protocol: Protocol::Other(number), address, port: 0, dials: false },
    })
}

fn lax(packet: &etherparse::LaxSlicedPacket<'_>) -> Option<Destination> {
    let (address, number) = match packet.net.as_ref()? {
        etherparse::LaxNetSlice::Ipv4(ip) => (ip.header().destination_addr().into(), ip.payload().ip_number.0),
        etherparse::LaxNetSlice::Ipv6(ip) => (ip.header().destination_addr().into(), ip.payload().ip_number.0),
        etherparse::LaxNetSlice::Arp(_) => return None,
    };
    Some(Destination { protocol: Protocol::Other(number), address, port: 0, dials: false })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use etherparse::PacketBuilder;

    use super::*;

    #[test]
    fn a_packet_says_where_it_goes() {
        let header = PacketBuilder::ethernet2([2; 6], [3; 6]).ipv4([10, 0, 1, 2], [203, 0, 113, 10], 64).udp(1, 53);
        let mut frame = Vec::new();
        header.write(&mut frame, b"question").unwrap();
        assert_eq!(parse(&frame).unwrap().to_string(), "udp 203.0.113.10 53");

        let far = "2001:db8:9::1".parse::<Ipv6Addr>().unwrap();
        let header = PacketBuilder::ethernet2([2; 6], [3; 6]).ipv6([1; 16], far.octets(), 64).tcp(1, 443, 0, 0);
        let mut frame = Vec::new();
        header.write(&mut frame, b"").unwrap();
        assert_eq!(parse(&frame).unwrap().to_string(), "tcp 2001:db8:9::1 443");
        assert!(!parse(&frame).unwrap().dials);
        for (syn, dials) in [("syn", true), ("answer", false)] {
            let header = PacketBuilder::ethernet2([2; 6], [3; 6]).ipv4([10, 0, 1, 2], [10, 0, 2, 2], 64).tcp(1, 443, 0, 0).syn();
            let header = if syn == "syn" { header } else { header.ack(1) };
            let mut packet = Vec::new();
            header.write(&mut packet, b"").unwrap();
            assert_eq!(parse(&packet).unwrap().dials, dials, "{syn}");
        }
        for (first, dials) in [(0xcf, true), (0x4f, false), (0xe0, false)] {
            let header = PacketBuilder::ethernet2([2; 6], [3; 6]).ipv4([10, 0, 1, 2], [10, 0, 2, 2], 64).udp(1, 4001);
            let mut packet = Vec::new();
            header.write(&mut packet, &[first, 0, 0, 0, 1]).unwrap();
            assert_eq!(parse(&packet).unwrap().dials, dials, "{first:x}");
        }
        // Cut off in the transport header: where it goes is still told.
        assert_eq!(parse(&frame[..60]).unwrap().to_string(), "protocol 6 2001:db8:9::1");
        assert_eq!(parse(&frame[..20]), None);
    }

    #[test]
    fn neighbours_are_an_exception_and_mdns_is_none() {
        let to = |protocol, address: &str, port| Destination { protocol, address: address.parse().unwrap(), port, dials: false };
        assert!(excepted(&to(Protocol::Other(ICMPV6), "ff02::2", 0)).is_some());
        assert!(excepted(&to(Protocol::Other(ICMPV6), "fe80::1", 0)).is_some());
        assert!(excepted(&to(Protocol::Other(IGMP), "224.0.0.22", 0)).is_some());
        assert!(excepted(&to(Protocol::Udp, "224.0.0.251", 5353)).is_none());
        assert!(excepted(&to(Protocol::Udp, "ff02::fb", 5353)).is_none());
        assert!(excepted(&to(Protocol::Other(ICMPV6), "2001:db8::1", 0)).is_none());
        assert!(excepted(&to(Protocol::Other(1), "192.0.2.1", 0)).is_none());
    }
}
