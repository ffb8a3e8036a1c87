//! The one packet of discovery in the local network.

use std::net::{Ipv4Addr, Ipv6Addr};

use samizdat_core::PeerId;

/// Where IPv4 packets go; of local scope (RFC 2365).
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 255, 83, 77);
/// Where IPv6 packets go; of link-local scope, numbered by RFC 3307.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0x8053, 0x4d5a);
/// The UDP port of both groups.
pub const PORT: u16 = 29_874;
/// Bytes of a packet.
pub const HELLO_LEN: usize = 43;

const TAG: [u8; 8] = *b"samizdat";
const VERSION: u8 = 1;

/// "Here is a node", as it was received: nobody has proven anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HelloIn {
    /// Who it is said to be.
    pub peer: PeerId,
    /// The UDP port at which it is said to listen.
    pub port: u16,
}

/// What is no packet of this version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this is no hello")]
pub struct NoHello;

impl HelloIn {
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        [&TAG[..], &[VERSION], &self.peer.0, &self.port.to_be_bytes()].concat()
    }

    /// Reads a packet.
    ///
    /// # Errors
    /// If it is none, is of another version, or names no port.
    pub fn decode(bytes: &[u8]) -> Result<Self, NoHello> {
        let rest = bytes.strip_prefix(&TAG).and_then(|rest| rest.strip_prefix(&[VERSION])).ok_or(NoHello)?;
        let (peer, port) = rest.split_first_chunk::<32>().ok_or(NoHello)?;
        let port = u16::from_be_bytes(port.try_into().map_err(|_| NoHello)?);
        if port == 0 { Err(NoHello) } else { Ok(Self { peer: PeerId(*peer), port }) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_packet_has_its_length_and_nothing_more() {
        let hello = HelloIn { peer: PeerId([7; 32]), port: 4001 };
        let bytes = hello.encode();
        assert_eq!((bytes.len(), HelloIn::decode(&bytes)), (HELLO_LEN, Ok(hello)));
        let with = |at: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            bytes
        };
        let nowhere = HelloIn { port: 0, ..hello }.encode();
        for bad in [&bytes[..42], &[bytes.clone(), vec![0]].concat(), &with(0, b'S'), &with(8, 2), &nowhere, b""] {
            assert_eq!(HelloIn::decode(bad), Err(NoHello));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60), good in any::<bool>()) {
            let bytes = if good { [&TAG[..], &[VERSION], &bytes].concat() } else { bytes };
            if let Ok(hello) = HelloIn::decode(&bytes) {
                prop_assert_eq!(hello.encode(), bytes);
            }
        }
    }
}
