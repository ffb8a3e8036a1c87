//! What lies inside the encryption, byte by byte in docs/protocol/conversation.md. Deterministic CBOR, bounded, and
//! unknown types are ignored, so that a later version can add some.

use minicbor::{Decoder, Encoder};
use samizdat_core::{
    Hour,
    limits::{CLOCK_SLACK_HOURS, ROOM_NAME_MAX, TEXT_MAX},
    link::SECRET_LEN,
};

use crate::{
    limits::{MISSING_MAX, PARENTS_MAX, PLACE_MAX},
    mls,
};

const VERSION: u8 = 1;
const TEXT: u8 = 0;
const ACK: u8 = 1;
const PRESENCE: u8 = 2;

/// Length of a message id.
pub const ID_LEN: usize = 16;
type Id = [u8; ID_LEN];

/// Bytes that are no content.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("malformed content")]
pub struct BadContent;

/// The nearest to the claimed time `at`, ms since 1970, that goes with the hour of the envelope in which it lay, having
/// waited up to `waited` hours before. An author can claim any number, the hour has been checked.
pub fn plausible_time(at: u64, hour: Hour, waited: u32) -> u64 {
    const HOUR_MS: u64 = 60 * 60 * 1000;
    let begin = |hour: u32| u64::from(hour).saturating_mul(HOUR_MS);
    let earliest = begin(hour.0.saturating_sub(CLOCK_SLACK_HOURS).saturating_sub(waited));
    let latest = begin(hour.0.saturating_add(CLOCK_SLACK_HOURS).saturating_add(1)).saturating_sub(1);
    at.max(earliest).min(latest)
}

/// Inside a message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Something written.
    Text {
        /// Random; the same message never counts twice.
        id: Id,
        /// When it was written by its author's clock, milliseconds.
        at: u64,
        /// The newest messages that its author had seen.
        parents: Vec<Id>,
        /// What these build on and its author lacks.
        missing: Vec<Id>,
        /// What it says.
        text: String,
    },
    /// All up to `heads` has arrived; `read` says that a person has read it, too.
    Ack {
        /// The newest messages that have arrived.
        heads: Vec<Id>,
        /// What these build on and has not arrived.
        missing: Vec<Id>,
        /// Whether they were read.
        read: bool,
    },
    /// Where a contact is, for a session with it.
    Presence {
        /// When it was told, by its author's clock, milliseconds: the latest counts.
        at: u64,
        /// What means nothing here; docs/protocol/contact.md.
        place: Vec<u8>,
    },
    /// Of a type that this version does not know.
    Unknown,
}

impl Content {
    /// The bytes to encrypt.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        // Writing into a Vec cannot fail.
        let _ = match self {
            Self::Text { id, at, parents, missing, text } => head(&mut e, 7, TEXT)
                .and_then(|()| e.bytes(id).map(|_| ()))
                .and_then(|()| e.u64(*at).map(|_| ()))
                .and_then(|()| ids(&mut e, parents))
                .and_then(|()| ids(&mut e, missing))
                .and_then(|()| e.str(text).map(|_| ())),
            Self::Ack { heads, missing, read } => head(&mut e, 5, ACK)
                .and_then(|()| ids(&mut e, heads))
                .and_then(|()| ids(&mut e, missing))
                .and_then(|()| e.bool(*read).map(|_| ())),
            Self::Presence { at, place } => {
                head(&mut e, 4, PRESENCE).and_then(|()| e.u64(*at).map(|_| ())).and_then(|()| e.bytes(place).map(|_| ()))
            }
            Self::Unknown => Ok(()),
        };
        e.into_writer()
    }

    /// Reads what was decrypted.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadContent> {
        let mut d = Decoder::new(bytes);
        let elements = d.array()?;
        if d.u8()? != VERSION {
            return Err(BadContent);
        }
        let content = match (d.u8()?, elements) {
            (TEXT, Some(7)) => Self::Text {
                id: exact(&mut d)?,
                at: d.u64()?,
                parents: read_ids(&mut d, PARENTS_MAX)?,
                missing: read_ids(&mut d, MISSING_MAX)?,
                text: d.str().ok().filter(|text| text.len() <= TEXT_MAX).ok_or(BadContent)?.to_owned(),
            },
            (ACK, Some(5)) => {
                Self::Ack { heads: read_ids(&mut d, PARENTS_MAX)?, missing: read_ids(&mut d, MISSING_MAX)?, read: d.bool()? }
            }
            (PRESENCE, Some(4)) => Self::Presence {
                at: d.u64()?,
                place: d.bytes().ok().filter(|place| place.len() <= PLACE_MAX).ok_or(BadContent)?.to_vec(),
            },
            (TEXT | ACK | PRESENCE, _) => return Err(BadContent),
            _ => return Ok(Self::Unknown),
        };
        if d.position() == bytes.len() { Ok(content) } else { Err(BadContent) }
    }
}

/// Inside a bell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bell {
    /// The invitation to the pair.
    pub welcome: Vec<u8>,
    /// The first message, encrypted in the pair.
    pub first: Vec<u8>,
    /// The secret of the invite link that the sender used.
    pub secret: Option<[u8; SECRET_LEN]>,
}

impl Bell {
    /// The bytes to seal.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        // Writing into a Vec cannot fail.
        let _ = e
            .array(5)
            .and_then(|e| e.u8(VERSION))
            .and_then(|e| e.u16(mls::SUITE))
            .and_then(|e| e.bytes(&self.welcome))
            .and_then(|e| e.bytes(&self.first))
            .and_then(|e| e.bytes(self.secret.as_ref().map_or(&[], |s| &s[..])))
            .map(|_| ());
        e.into_writer()
    }

    /// Reads what was opened.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadContent> {
        let mut d = Decoder::new(bytes);
        if d.array()? != Some(5) || d.u8()? != VERSION || d.u16()? != mls::SUITE {
            return Err(BadContent);
        }
        let bell = Self {
            welcome: d.bytes()?.to_vec(),
            first: d.bytes()?.to_vec(),
            secret: match d.bytes()? {
                [] => None,
                secret => Some(secret.try_into().map_err(|_| BadContent)?),
            },
        };
        if d.position() == bytes.len() { Ok(bell) } else { Err(BadContent) }
    }
}

/// Inside the body of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// Name of the room, so that whoever sees the post can find the room.
    pub room: String,
    /// When it was written by its author's clock, milliseconds.
    pub at: u64,
    /// What it says.
    pub text: String,
}

impl Post {
    /// The bytes to pad.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        // Writing into a Vec cannot fail.
        let _ = e
            .array(5)
            .and_then(|e| e.u8(VERSION))
            .and_then(|e| e.u8(TEXT))
            .and_then(|e| e.str(&self.room))
            .and_then(|e| e.u64(self.at))
            .and_then(|e| e.str(&self.text))
            .map(|_| ());
        e.into_writer()
    }

    /// Reads what was padded.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadContent> {
        let mut d = Decoder::new(bytes);
        if d.array()? != Some(5) || d.u8()? != VERSION || d.u8()? != TEXT {
            return Err(BadContent);
        }
        let post = Self {
            room: d.str().ok().filter(|room| room.len() <= ROOM_NAME_MAX).ok_or(BadContent)?.to_owned(),
            at: d.u64()?,
            text: d.str().ok().filter(|text| text.len() <= TEXT_MAX).ok_or(BadContent)?.to_owned(),
        };
        if d.position() == bytes.len() { Ok(post) } else { Err(BadContent) }
    }
}

impl From<minicbor::decode::Error> for BadContent {
    fn from(_: minicbor::decode::Error) -> Self {
        Self
    }
}

type Written = Result<(), minicbor::encode::Error<core::convert::Infallible>>;

fn head(e: &mut Encoder<Vec<u8>>, elements: u64, number: u8) -> Written {
    e.array(elements)?.u8(VERSION)?.u8(number)?;
    Ok(())
}

fn ids(e: &mut Encoder<Vec<u8>>, ids: &[Id]) -> Written {
    e.array(ids.len() as u64)?;
    ids.iter().try_for_each(|id| e.bytes(id).map(|_| ()))
}

fn read_ids(d: &mut Decoder<'_>, most: usize) -> Result<Vec<Id>, BadContent> {
    let count = d.array()?.filter(|count| *count <= most as u64).ok_or(BadContent)?;
    (0..count).map(|_| exact(d)).collect()
}

fn exact<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], BadContent> {
    d.bytes()?.try_into().map_err(|_| BadContent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn contents_survive(id: Id, at: u64, parents in prop::collection::vec(any::<Id>(), 0..=PARENTS_MAX), missing in prop::collection::vec(any::<Id>(), 0..=MISSING_MAX), text in ".{0,200}", read: bool) {
            let written = Content::Text { id, at, parents: parents.clone(), missing: missing.clone(), text: text.clone() };
            prop_assert_eq!(Content::decode(&written.encode()), Ok(written));
            let ack = Content::Ack { heads: parents, missing, read };
            prop_assert_eq!(Content::decode(&ack.encode()), Ok(ack));
            let presence = Content::Presence { at, place: text.clone().into_bytes() };
            let within = text.len() <= PLACE_MAX;
            prop_assert_eq!(Content::decode(&presence.encode()), if within { Ok(presence) } else { Err(BadContent) });
            let post = Post { room: "lobby".into(), at, text };
            prop_assert_eq!(Post::decode(&post.encode()), Ok(post));
        }

        #[test]
        fn bells_survive(welcome: Vec<u8>, first: Vec<u8>, secret: Option<[u8; SECRET_LEN]>) {
            let bell = Bell { welcome, first, secret };
            prop_assert_eq!(Bell::decode(&bell.encode()), Ok(bell));
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes: Vec<u8>) {
            let _ = Content::decode(&bytes);
            let _ = Bell::decode(&bytes);
            let _ = Post::decode(&bytes);
        }
    }

    #[test]
    fn a_claimed_time_is_held_to_the_hour_of_its_envelope() {
        const HOUR_MS: u64 = 3_600_000;
        let (hour, noon) = (Hour(500_000), 500_000 * HOUR_MS);
        assert_eq!(plausible_time(noon + 5, hour, 0), noon + 5);
        assert_eq!(plausible_time(noon - HOUR_MS, hour, 0), noon - HOUR_MS);
        assert_eq!(plausible_time(u64::MAX, hour, 0), noon + 3 * HOUR_MS - 1);
        assert_eq!(plausible_time(0, hour, 0), noon - 2 * HOUR_MS);
        assert_eq!(plausible_time(0, hour, 10), noon - 12 * HOUR_MS);
        assert_eq!(plausible_time(7, Hour(0), 10), 7);
        plausible_time(7, Hour(u32::MAX), u32::MAX);
    }

    #[test]
    fn a_type_of_tomorrow_is_unknown_and_not_an_error() {
        assert_eq!(Content::decode(&[0x83, 1, 0x18, 99, 0]), Ok(Content::Unknown));
        assert_eq!(Content::decode(&[0x83, 1, 0, 0]), Err(BadContent));
    }
}
