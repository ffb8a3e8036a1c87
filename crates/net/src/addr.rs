//! Where a peer can be dialled, as bytes for the wire and as text for people.
//!
//! Bytes: entries of `kind: u8, length: u8, value`. Kind 4 is an IPv4 address and port (4 + 2 bytes), kind 6 an IPv6
//! address and port (16 + 2 bytes), both big-endian. Kinds 20 and 22 are relays through which the peer is reached: the
//! address and port of its HTTPS as before, then the SHA-256 of its certificate; kind 26 is one that has both, IPv4 first. Other
//! kinds are skipped.
//!
//! Text: `<52 characters of base32>@ip:port[,ip:port]`, IPv6 in brackets. A relay through which the peer is reached is
//! `ip:port/<52 characters>`, or `ip:port+[ip]:port/<52 characters>`, the hash of its certificate.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use data_encoding::BASE32_NOPAD;
use samizdat_core::PeerId;
use samizdat_core::record::{CERTIFICATE_HASH_LEN, Dual, Via};

use crate::limits::{ADDR_BYTES_MAX, ADDRS_MAX, VIA_MAX};

const IPV4: u8 = 4;
const IPV6: u8 = 6;
const RELAY_V4: u8 = 20;
const RELAY_V6: u8 = 22;
const RELAY_BOTH: u8 = 26;
/// Characters of a peer id in base32.
const PEER_CHARS: usize = 52;

/// Addresses of one peer, at most [`ADDR_BYTES_MAX`] bytes, of them [`ADDRS_MAX`] usable socket addresses and [`VIA_MAX`] relays.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddr(Vec<u8>);

impl PeerAddr {
    /// Takes the first [`ADDRS_MAX`] distinct addresses that can be dialled at all, in their order.
    pub fn new(sockets: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self::with_relays(sockets, &[])
    }

    /// The same with the first [`VIA_MAX`] relays, and as many of the addresses as find room beside them.
    pub fn with_relays(sockets: impl IntoIterator<Item = SocketAddr>, relays: &[Via]) -> Self {
        let mut bytes = Vec::new();
        for via in relays.iter().filter(|via| via.at.iter().all(|addr| is_dialable(&addr))).take(VIA_MAX) {
            encode_relay(&mut bytes, via);
        }
        let mut kept: Vec<SocketAddr> = Vec::new();
        for socket in sockets {
            let socket = canonical(socket);
            if kept.len() < ADDRS_MAX && is_dialable(&socket) && !kept.contains(&socket) {
                let before = bytes.len();
                encode(&mut bytes, socket);
                if bytes.len() > ADDR_BYTES_MAX {
                    bytes.truncate(before);
                    break;
                }
                kept.push(socket);
            }
        }
        Self(bytes)
    }

    /// Reads what a peer or an invitation gave.
    ///
    /// # Errors
    /// When it is too long or an entry is cut short or has a wrong length.
    pub fn decode(bytes: &[u8]) -> Result<Self, AddrError> {
        if bytes.len() > ADDR_BYTES_MAX {
            return Err(AddrError::TooLong);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            (_, rest) = entry(rest).ok_or(AddrError::Malformed)?;
        }
        Ok(Self(bytes.to_vec()))
    }

    /// The encoded form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The socket addresses that can be dialled, in order, at most [`ADDRS_MAX`].
    pub fn sockets(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.places().filter_map(|place| if let Place::Socket(socket) = place { Some(socket) } else { None }).take(ADDRS_MAX)
    }

    /// The relays through which the peer is reached, the best first, at most [`VIA_MAX`].
    pub fn relays(&self) -> impl Iterator<Item = Via> + '_ {
        self.places().filter_map(|place| if let Place::Relay(via) = place { Some(via) } else { None }).take(VIA_MAX)
    }

    /// What is left when every address that does not pass `passes` goes, and every relay with such an address.
    #[must_use]
    pub fn passing(&self, passes: impl Fn(IpAddr) -> bool) -> Self {
        let sockets: Vec<SocketAddr> = self.sockets().filter(|socket| passes(socket.ip())).collect();
        let relays: Vec<Via> = self.relays().filter(|via| via.at.iter().all(|at| passes(at.ip()))).collect();
        if (sockets.len(), relays.len()) == (self.sockets().count(), self.relays().count()) {
            return self.clone();
        }
        Self::with_relays(sockets, &relays)
    }

    /// Those that can be dialled.
    fn places(&self) -> impl Iterator<Item = Place> + '_ {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let (place, after) = entry(rest)?;
            rest = after;
            Some(place)
        })
        .flatten()
        .filter(|place| match place {
            Place::Socket(socket) => is_dialable(socket),
            Place::Relay(via) => via.at.iter().all(|addr| is_dialable(&addr)),
        })
    }
}

impl fmt::Debug for PeerAddr {
    /// Never the address itself: it would end up in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerAddr({} bytes)", self.0.len())
    }
}

/// Reads `<peer>@ip:port[,ip:port][,ip:port/certificate]`; case and surrounding white space do not matter.
///
/// # Errors
/// One clear sentence for each thing that can be wrong.
pub fn parse_join(text: &str) -> Result<(PeerId, PeerAddr), JoinError> {
    let (peer, list) = text.trim().split_once('@').ok_or(JoinError::NoAt)?;
    if peer.len() != PEER_CHARS {
        return Err(JoinError::PeerLength);
    }
    let key = BASE32_NOPAD.decode(peer.to_ascii_uppercase().as_bytes()).map_err(|_| JoinError::Peer)?;
    let key: [u8; 32] = key.try_into().map_err(|_| JoinError::Peer)?;
    iroh::EndpointId::from_bytes(&key).map_err(|_| JoinError::Peer)?;

    let (mut sockets, mut relays) = (Vec::new(), Vec::new());
    for part in list.split(',') {
        let (place, certificate) = match part.trim().split_once('/') {
            Some((place, certificate)) => (place, Some(certificate)),
            None => (part.trim(), None),
        };
        let at: Dual = place.parse().map_err(|_| JoinError::Address)?;
        if at.iter().any(|addr| !is_dialable(&addr)) {
            return Err(JoinError::NotDialable);
        }
        match certificate {
            Some(certificate) => {
                let certificate = BASE32_NOPAD.decode(certificate.to_ascii_uppercase().as_bytes()).map_err(|_| JoinError::Relay)?;
                relays.push(Via { at, certificate: certificate.try_into().map_err(|_| JoinError::Relay)? });
            }
            None => sockets.extend(at.iter()),
        }
        if sockets.len() > ADDRS_MAX || relays.len() > VIA_MAX {
            return Err(JoinError::TooMany);
        }
    }
    Ok((PeerId(key), PeerAddr::with_relays(sockets, &relays)))
}

/// The text that [`parse_join`] reads.
pub fn format_join(peer: &PeerId, addr: &PeerAddr) -> String {
    let relay = |via: Via| format!("{}/{}", via.at, BASE32_NOPAD.encode(&via.certificate).to_ascii_lowercase());
    let places: Vec<String> = addr.sockets().map(|s| s.to_string()).chain(addr.relays().map(relay)).collect();
    format!("{}@{}", BASE32_NOPAD.encode(&peer.0).to_ascii_lowercase(), places.join(","))
}

/// Why bytes are not a [`PeerAddr`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddrError {
    /// More than [`ADDR_BYTES_MAX`] bytes.
    #[error("the address of a peer is longer than {ADDR_BYTES_MAX} bytes")]
    TooLong,
    /// An entry is cut short or has a wrong length.
    #[error("the address of a peer is malformed")]
    Malformed,
}

/// Why a text is not a join string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// No `@`.
    #[error("a join string looks like <peer>@<ip>:<port>, and this has no @")]
    NoAt,
    /// Cut short or too long.
    #[error("the part before the @ must have {PEER_CHARS} characters: was it copied completely?")]
    PeerLength,
    /// Not base32, or not a key.
    #[error("the part before the @ is not the key of a peer: a character is wrong")]
    Peer,
    /// Not `ip:port`.
    #[error("after the @ come addresses like 192.0.2.1:4001 or [2001:db8::1]:4001, separated by commas")]
    Address,
    /// Unspecified, multicast or port 0.
    #[error("one of the addresses cannot be dialled: it names no single machine, or its port is 0")]
    NotDialable,
    /// What follows the slash is no hash.
    #[error("after the / of a relay come the 52 characters of its certificate's hash: were they copied completely?")]
    Relay,
    /// More than [`ADDRS_MAX`] or [`VIA_MAX`].
    #[error("a join string has at most {ADDRS_MAX} addresses and {VIA_MAX} relays")]
    TooMany,
}

/// Whether a packet to this address goes to one machine. Broadcast and multicast would make us a nuisance.
fn is_dialable(socket: &SocketAddr) -> bool {
    let ip = socket.ip();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    socket.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

/// IPv4 in IPv6 clothing becomes IPv4; flow and scope mean nothing on another machine.
pub(crate) fn canonical(socket: SocketAddr) -> SocketAddr {
    SocketAddr::new(socket.ip().to_canonical(), socket.port())
}

fn encode(bytes: &mut Vec<u8>, socket: SocketAddr) {
    bytes.extend_from_slice(if socket.is_ipv4() { &[IPV4, 6] } else { &[IPV6, 18] });
    encode_socket(bytes, socket);
}

fn encode_relay(bytes: &mut Vec<u8>, via: &Via) {
    bytes.extend_from_slice(match via.at {
        Dual::V4(_) => &[RELAY_V4, 38],
        Dual::V6(_) => &[RELAY_V6, 50],
        Dual::Both(..) => &[RELAY_BOTH, 56],
    });
    via.at.iter().for_each(|addr| encode_socket(bytes, addr));
    bytes.extend_from_slice(&via.certificate);
}

fn encode_socket(bytes: &mut Vec<u8>, socket: SocketAddr) {
    match socket.ip() {
        IpAddr::V4(ip) => bytes.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes.extend_from_slice(&ip.octets()),
    }
    bytes.extend_from_slice(&socket.port().to_be_bytes());
}

/// What an entry says.
enum Place {
    Socket(SocketAddr),
    Relay(Via),
}

/// One entry and what follows it; the entry is `None` inside when its kind is unknown.
fn entry(bytes: &[u8]) -> Option<(Option<Place>, &[u8])> {
    let ([kind, length], rest) = bytes.split_first_chunk()?;
    let (value, rest) = rest.split_at_checked(usize::from(*length))?;
    let place = match *kind {
        IPV4 => Some(Place::Socket(socket_from::<4, Ipv4Addr>(value)?)),
        IPV6 => Some(Place::Socket(socket_from::<16, Ipv6Addr>(value)?)),
        RELAY_V4 => Some(Place::Relay(relay_from::<4, Ipv4Addr>(value)?)),
        RELAY_V6 => Some(Place::Relay(relay_from::<16, Ipv6Addr>(value)?)),
        RELAY_BOTH => {
            let (v4, rest) = value.split_first_chunk::<6>()?;
            let Via { at, certificate } = relay_from::<16, Ipv6Addr>(rest)?;
            // IPv4 in the clothing of IPv6 is a second one of its kind, and goes.
            let at = Dual::of([socket_from::<4, Ipv4Addr>(v4)?].into_iter().chain(at.iter()))?;
            Some(Place::Relay(Via { at, certificate }))
        }
        _ => None,
    };
    Some((place, rest))
}

fn relay_from<const N: usize, Ip: From<[u8; N]> + Into<IpAddr>>(value: &[u8]) -> Option<Via> {
    let (addr, certificate) = value.split_last_chunk::<CERTIFICATE_HASH_LEN>()?;
    Some(Via { at: socket_from::<N, Ip>(addr)?.into(), certificate: *certificate })
}

fn socket_from<const N: usize, Ip: From<[u8; N]> + Into<IpAddr>>(value: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = value.split_first_chunk::<N>()?;
    let port = u16::from_be_bytes(port.try_into().ok()?);
    Some(canonical(SocketAddr::new(Ip::from(*ip).into(), port)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peer() -> PeerId {
        PeerId(*iroh::SecretKey::from_bytes(&[7; 32]).public().as_bytes())
    }

    fn join(list: &str) -> String {
        format!("{}{list}", format_join(&peer(), &PeerAddr::new([])))
    }

    #[test]
    fn join_string_of_a_lan_peer_reads_back() {
        let text = join("192.168.1.7:4001,[2001:db8::1]:4001,127.0.0.1:4001");
        let (who, addr) = parse_join(&format!("  {}\n", text.to_uppercase())).unwrap();
        assert_eq!(who, peer());
        assert_eq!(format_join(&who, &addr), text);
    }

    #[test]
    fn relays_stand_in_a_join_string_after_the_addresses() {
        let relay = |ip: &str| Via { at: ip.parse().unwrap(), certificate: [5; CERTIFICATE_HASH_LEN] };
        let relays = [relay("203.0.113.7:443+[2001:db8::8]:443"), relay("[2001:db8::7]:443")];
        for sockets in [vec![], vec!["10.0.0.1:4001".parse().unwrap()]] {
            let text = format_join(&peer(), &PeerAddr::with_relays(sockets.clone(), &relays));
            let (_, addr) = parse_join(&text.to_uppercase()).unwrap();
            assert_eq!((addr.sockets().collect::<Vec<_>>(), addr.relays().collect::<Vec<_>>()), (sockets, relays.to_vec()));
        }
    }

    #[test]
    fn every_mistake_has_its_own_sentence() {
        let good = join("10.0.0.1:1");
        assert_eq!(parse_join("hello"), Err(JoinError::NoAt));
        assert_eq!(parse_join(good.trim_start_matches(|c| c != '@')), Err(JoinError::PeerLength));
        assert_eq!(parse_join(&good.replacen(|c: char| c.is_alphabetic(), "1", 1)), Err(JoinError::Peer));
        assert_eq!(parse_join(&join("10.0.0.1")), Err(JoinError::Address));
        assert_eq!(parse_join(&join("")), Err(JoinError::Address));
        assert_eq!(parse_join(&join("example.org:80")), Err(JoinError::Address));
        assert_eq!(parse_join(&join("0.0.0.0:80")), Err(JoinError::NotDialable));
        assert_eq!(parse_join(&join("10.0.0.1:0")), Err(JoinError::NotDialable));
        assert_eq!(parse_join(&join("224.0.0.1:80")), Err(JoinError::NotDialable));
        assert_eq!(parse_join(&join(&["10.0.0.1:1"; 9].join(","))), Err(JoinError::TooMany));
        let relay = format!("10.0.0.1:1/{}", "a".repeat(52));
        assert!(parse_join(&join(&relay)).is_ok());
        assert_eq!(parse_join(&join(relay.trim_end_matches('a'))), Err(JoinError::Relay));
        assert_eq!(parse_join(&join(&[relay.as_str(); 3].join(","))), Err(JoinError::TooMany));
    }

    /// `::ffff:0.0.0.0` passed as an IPv6 address, and the peer was learnt without any address.
    #[test]
    fn nobody_listens_in_ipv6_clothing_either() {
        for list in ["[::ffff:0.0.0.0]:80", "[::ffff:224.0.0.1]:80", "[::ffff:255.255.255.255]:80"] {
            assert_eq!(parse_join(&join(list)), Err(JoinError::NotDialable), "{list}");
        }
        let (_, addr) = parse_join(&join("[::ffff:10.0.0.1]:80")).unwrap();
        assert_eq!(format_join(&peer(), &addr), join("10.0.0.1:80"));
    }

    #[test]
    fn a_kind_of_the_future_is_skipped_and_kept() {
        let mut bytes = vec![200, 3, 1, 2, 3];
        bytes.extend_from_slice(PeerAddr::new(["10.0.0.1:9".parse().unwrap()]).as_bytes());
        let addr = PeerAddr::decode(&bytes).unwrap();
        assert_eq!(addr.as_bytes(), bytes);
        assert_eq!(addr.sockets().collect::<Vec<_>>(), ["10.0.0.1:9".parse().unwrap()]);
    }

    #[test]
    fn what_does_not_pass_is_left_out_and_the_rest_is_as_it_was() {
        let via = |at: &str| Via { at: at.parse().unwrap(), certificate: [5; CERTIFICATE_HASH_LEN] };
        let (near, far) = (via("203.0.113.7:443+[fd00::7]:443"), via("203.0.113.8:443"));
        let sockets = ["192.168.1.7:1", "203.0.113.1:2"].map(|socket| socket.parse().unwrap());
        let addr = PeerAddr::with_relays(sockets, &[near, far]);
        let public = |ip: IpAddr| samizdat_core::record::is_public(ip);
        assert_eq!(addr.passing(public), PeerAddr::with_relays([sockets[1]], &[far]));
        assert!(addr.passing(|_| false).as_bytes().is_empty());
        let future = PeerAddr::decode(&[addr.as_bytes(), &[200, 1, 9]].concat()).unwrap();
        assert_eq!(future.passing(|_| true), future);
    }

    #[test]
    fn debug_output_names_no_address() {
        let addr = PeerAddr::new(["10.0.0.1:9".parse().unwrap()]);
        assert_eq!(format!("{addr:?}"), "PeerAddr(8 bytes)");
    }

    fn socket() -> impl Strategy<Value = SocketAddr> {
        (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| canonical(SocketAddr::new(ip, port)))
    }

    #[test]
    fn relays_come_first_and_leave_room() {
        let via = |n: u8| Via { at: format!("192.0.2.{n}:443+[2001:db8::{n}]:443").parse().unwrap(), certificate: [n; 32] };
        let sockets: Vec<SocketAddr> = (1..=9).map(|n| format!("[2001:db8:1::{n}]:4001").parse().unwrap()).collect();
        let addr = PeerAddr::with_relays(sockets.clone(), &[via(1), via(2), via(3)]);
        assert!(addr.as_bytes().len() <= ADDR_BYTES_MAX);
        let addr = PeerAddr::decode(addr.as_bytes()).unwrap();
        assert_eq!(addr.relays().collect::<Vec<_>>(), [via(1), via(2)]);
        assert_eq!(addr.sockets().collect::<Vec<_>>(), sockets[..7]);
        for short in [[20, 37], [22, 49], [26, 55]] {
            let short = [&short[..], &vec![1; short[1].into()]].concat();
            assert_eq!(PeerAddr::decode(&short), Err(AddrError::Malformed));
        }
    }

    proptest! {
        #[test]
        fn addresses_survive_both_forms(sockets in prop::collection::vec(socket(), 0..12)) {
            let addr = PeerAddr::new(sockets.clone());
            prop_assert!(addr.as_bytes().len() <= ADDR_BYTES_MAX);
            prop_assert_eq!(PeerAddr::decode(addr.as_bytes()), Ok(addr.clone()));
            let mut expected = sockets;
            expected.retain(is_dialable);
            expected.truncate(ADDRS_MAX);
            prop_assert_eq!(addr.sockets().collect::<Vec<_>>(), expected.clone());
            if !expected.is_empty() {
                prop_assert_eq!(parse_join(&format_join(&peer(), &addr)), Ok((peer(), addr)));
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(addr) = PeerAddr::decode(&bytes) {
                prop_assert_eq!(addr.as_bytes(), &bytes[..]);
                prop_assert!(addr.sockets().all(|s| is_dialable(&s)));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,120}", list in "[0-9a-f:.,\\[\\]]{0,60}") {
            let _ = parse_join(&text);
            if let Ok((who, addr)) = parse_join(&join(&list)) {
                prop_assert_eq!(parse_join(&format_join(&who, &addr)), Ok((who, addr)));
            }
        }
    }
}
