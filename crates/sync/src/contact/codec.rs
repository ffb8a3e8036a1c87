//! What contacts tell each other beyond the handshake: where they are, and frames on an open session; docs/protocol/contact.md.

use core::convert::Infallible;

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};
use samizdat_core::{PeerId, limits::ENVELOPE_MAX};

use crate::codec::{FrameError, PeerAddr};
use crate::limits::{ADDR_MAX, PRESENCE_LENGTH_MAX};

const VERSION: u8 = 1;
const ENVELOPE: u8 = 0;
const TOOK: u8 = 1;

/// An endpoint and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its key.
    pub peer: PeerId,
    /// Made and read by the network shell alone.
    pub addr: PeerAddr,
}

/// Where a contact is, by its own word: it came through the conversation with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// Until when there is a point in dialling, seconds since 1970.
    pub until_s: u64,
    /// The endpoint that is reached through relays only.
    pub relayed: Place,
    /// The endpoint that shows addresses, if they allow us to have them.
    pub direct: Straight,
}

/// Whether a contact allows a direct connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Straight {
    /// It does not.
    #[default]
    No,
    /// It does, and tells no address before we allow it too.
    Allowed,
    /// To this endpoint.
    To(Place),
}

impl Straight {
    /// The endpoint, if it was told.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::To(place) => Some(place),
            Self::No | Self::Allowed => None,
        }
    }
}

type Written = Result<(), minicbor::encode::Error<Infallible>>;

impl Presence {
    /// Nowhere: its author wants no sessions, or none any more. Whoever reads only the time takes it for out of date and dials
    /// nobody, too.
    pub fn nowhere() -> Self {
        let relayed = Place { peer: PeerId([0; 32]), addr: PeerAddr(Vec::new()) };
        Self { until_s: 0, relayed, direct: Straight::No }
    }

    /// Whether its author wants no sessions.
    pub fn is_nowhere(&self) -> bool {
        *self == Self::nowhere()
    }

    /// The one encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        // Writing to a vector cannot fail.
        let _ = self.write(&mut e);
        e.into_writer()
    }

    /// Reads what a contact told.
    ///
    /// # Errors
    /// If it is not that, or of a later version.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        if bytes.len() > PRESENCE_LENGTH_MAX {
            return Err(FrameError::TooLong);
        }
        let presence = Self::read(&mut Decoder::new(bytes))?;
        if presence.encode() == bytes { Ok(presence) } else { Err(FrameError::NotCanonical) }
    }

    fn write(&self, e: &mut Encoder<Vec<u8>>) -> Written {
        e.array(4)?.u8(VERSION)?.u64(self.until_s)?;
        write_place(e, &self.relayed)?;
        match &self.direct {
            Straight::No => e.null()?.ok(),
            Straight::Allowed => e.array(0)?.ok(),
            Straight::To(place) => write_place(e, place),
        }
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, FrameError> {
        if d.array()? != Some(4) || d.u8()? != VERSION {
            return Err(FrameError::Malformed);
        }
        let (until_s, relayed) = (d.u64()?, read_place(d)?);
        let direct = if d.datatype()? == Type::Null {
            d.null()?;
            Straight::No
        } else {
            match d.array()? {
                Some(0) => Straight::Allowed,
                Some(2) => Straight::To(read_elements(d)?),
                _ => return Err(FrameError::Malformed),
            }
        };
        Ok(Self { until_s, relayed, direct })
    }
}

fn write_place(e: &mut Encoder<Vec<u8>>, place: &Place) -> Written {
    e.array(2)?.bytes(&place.peer.0)?.bytes(&place.addr.0)?.ok()
}

fn read_place(d: &mut Decoder<'_>) -> Result<Place, FrameError> {
    if d.array()? != Some(2) {
        return Err(FrameError::Malformed);
    }
    read_elements(d)
}

fn read_elements(d: &mut Decoder<'_>) -> Result<Place, FrameError> {
    let peer = PeerId(d.bytes()?.try_into().map_err(|_| FrameError::Malformed)?);
    let addr = d.bytes()?;
    if addr.len() > ADDR_MAX {
        return Err(FrameError::OverBound);
    }
    Ok(Place { peer, addr: PeerAddr(addr.to_vec()) })
}

/// What passes on an open session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A sealed envelope of the conversation, without its stamp.
    Envelope(Vec<u8>),
    /// One envelope was taken; another may come.
    Took,
    /// Of a type that this version does not know.
    Unknown,
}

impl Frame {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Envelope(bytes) => [&[ENVELOPE], bytes.as_slice()].concat(),
            Self::Took => vec![TOOK],
            Self::Unknown => Vec::new(),
        }
    }

    /// Reads what a contact sent. Nothing is wrong but to say nothing.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (number, rest) = bytes.split_first()?;
        Some(match (*number, rest) {
            (ENVELOPE, envelope) if envelope.len() <= ENVELOPE_MAX => Self::Envelope(envelope.to_vec()),
            (TOOK, []) => Self::Took,
            _ => Self::Unknown,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::contact::handshake::{HELLO_LEN, HelloIn};

    fn place() -> impl Strategy<Value = Place> {
        (any::<[u8; 32]>(), prop::collection::vec(any::<u8>(), 0..=ADDR_MAX))
            .prop_map(|(peer, addr)| Place { peer: PeerId(peer), addr: PeerAddr(addr) })
    }

    fn straight() -> impl Strategy<Value = Straight> {
        prop_oneof![Just(Straight::No), Just(Straight::Allowed), place().prop_map(Straight::To)]
    }

    proptest! {
        #[test]
        fn what_was_told_is_read(until_s: u64, relayed in place(), direct in straight()) {
            let presence = Presence { until_s, relayed, direct };
            prop_assert_eq!(Presence::decode(&presence.encode()), Ok(presence));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
            if let Ok(presence) = Presence::decode(&bytes) {
                prop_assert_eq!(presence.encode(), bytes.clone());
            }
            let hello = HelloIn::decode(&bytes);
            prop_assert_eq!(hello.is_some(), bytes.len() == HELLO_LEN && bytes.first() == Some(&1));
            match Frame::decode(&bytes) {
                None => prop_assert!(bytes.is_empty()),
                Some(Frame::Unknown) => {}
                Some(frame) => prop_assert_eq!(frame.encode(), bytes),
            }
        }

        #[test]
        fn any_hello_is_read_by_its_version(mut bytes in prop::collection::vec(any::<u8>(), HELLO_LEN)) {
            bytes[0] = 1;
            let hello = HelloIn::decode(&bytes);
            prop_assert_eq!(hello.map(|hello| hello.tags().as_flattened().to_vec()), Some(bytes[33..].to_vec()));
            bytes[0] = 2;
            prop_assert_eq!(HelloIn::decode(&bytes), None);
        }
    }

    #[test]
    fn a_frame_of_tomorrow_is_unknown() {
        assert_eq!(Frame::decode(&[9, 1, 2]), Some(Frame::Unknown));
        assert_eq!(Frame::decode(&[TOOK, 1]), Some(Frame::Unknown));
        assert_eq!(Frame::decode(&[]), None);
        assert_eq!(Frame::decode(&vec![ENVELOPE; ENVELOPE_MAX + 2]), Some(Frame::Unknown));
    }
}
