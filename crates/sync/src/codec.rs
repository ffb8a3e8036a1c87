//! All frames between two peers, in deterministic CBOR: one array, its first element the type. The specification is
//! docs/protocol/sync.md.
//!
//! Decoding is bounded before it allocates and strict: what does not encode back to the same bytes is refused.

use core::convert::Infallible;

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};
use samizdat_core::limits::{ENVELOPE_MAX, FRAME_MAX};
use samizdat_core::{EnvelopeId, Hour, PeerId};
use thiserror::Error;

use crate::limits::{ADDR_MAX, FILL_COUNT_MAX, IDS_PER_FRAME, LISTED_PER_FRAME, RANGES_PER_FRAME, SAMPLE_MAX, SYMBOLS_PER_FRAME};
use crate::riblt::{Sketch, Symbol};
use crate::tree::{Bound, Entry};

/// How to reach a peer: made and read by the network shell alone, at most [`ADDR_MAX`] bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct PeerAddr(pub Vec<u8>);

/// A peer and how to reach it.
pub type PeerAt = (PeerId, PeerAddr);

/// What two peers say to each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// I know nobody else: take me in and introduce me.
    Join {
        /// Address of the sender.
        addr: PeerAddr,
    },
    /// Somebody new is there; the last on the walk connects to it.
    Walk {
        /// The newcomer.
        peer: PeerId,
        /// Its address.
        addr: PeerAddr,
    },
    /// I would like to be your neighbour.
    Neighbor {
        /// The sender has few neighbours.
        urgent: bool,
        /// Address of the sender.
        addr: PeerAddr,
    },
    /// Yes, we are neighbours now.
    Welcome,
    /// No, or no longer; try these instead.
    Disconnect {
        /// Other peers.
        others: Vec<PeerAt>,
    },
    /// Some peers I know; tell me some of yours.
    Shuffle {
        /// Some peers.
        peers: Vec<PeerAt>,
    },
    /// Answer to a shuffle.
    ShuffleReply {
        /// Some peers.
        peers: Vec<PeerAt>,
    },
    /// A new envelope, unasked.
    Push {
        /// Its bytes, not yet verified.
        envelope: Vec<u8>,
    },
    /// I hold these.
    IHave {
        /// They are not spreading just now: I caught up on them.
        late: bool,
        /// What is held.
        entries: Vec<Entry>,
    },
    /// Send me these.
    Ask {
        /// What is missing.
        entries: Vec<Entry>,
    },
    /// I do not keep these, which you sent me.
    Decline {
        /// Their ids.
        ids: Vec<EnvelopeId>,
    },
    /// I have stored these, which you sent me.
    Ack {
        /// Their ids.
        ids: Vec<EnvelopeId>,
    },
    /// Envelopes that you lack.
    Fill {
        /// Their bytes, not yet verified.
        envelopes: Vec<Vec<u8>>,
    },
    /// My set changed by much; compare again if yours has another fingerprint.
    Nudge {
        /// Fingerprint of the whole set.
        root: [u8; 16],
    },
    /// Starts a reconciliation.
    Open {
        /// Chosen by the sender; named in every frame of this reconciliation.
        session: u32,
        /// Estimator of the difference.
        sketch: Sketch,
        /// The whole set in ranges.
        ranges: Vec<Range>,
    },
    /// The next step of a reconciliation by ranges.
    Ranges {
        /// Number of the reconciliation.
        session: u32,
        /// Estimated number of differences, 0 once coded symbols are out of the question.
        estimate: u64,
        /// The whole set in ranges.
        ranges: Vec<Range>,
    },
    /// Coded symbols of the sender's set, from `start` on.
    Symbols {
        /// Number of the reconciliation.
        session: u32,
        /// Index of the first.
        start: u32,
        /// The symbols.
        symbols: Vec<Symbol>,
    },
    /// Send so many more symbols.
    More {
        /// Number of the reconciliation.
        session: u32,
        /// How many.
        count: u32,
    },
    /// Send me these, which you hold and I lack.
    Want {
        /// Number of the reconciliation.
        session: u32,
        /// Hour and first 8 bytes of the id of each.
        wanted: Vec<WantedId>,
    },
    /// The reconciliation is over for me.
    Close {
        /// Number of the reconciliation.
        session: u32,
        /// How it ended.
        end: End,
        /// Envelopes the sender is going to send.
        sending: u64,
    },
}

/// Hour and first 8 bytes of the id of an envelope that the receiver of this is known to hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct WantedId {
    /// Hour of the envelope.
    pub hour: Hour,
    /// Start of its id.
    pub start: [u8; 8],
}

/// How a reconciliation ended for one side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Every difference is known to the side that must send it.
    Complete,
    /// Given up half way; another one will find the rest.
    Partial,
    /// Not now: another one is under way.
    Busy,
}

/// A part of the ordered set, from the upper bound of the part before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Range {
    /// First place behind the range.
    pub upper: Bound,
    /// What the sender says about it.
    pub claim: Claim,
}

/// What the sender says about a range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Claim {
    /// Nothing left to do here.
    Same,
    /// This many entries with this fingerprint.
    Print {
        /// Number of entries.
        count: u64,
        /// See [`crate::tree::Summary::print`].
        print: [u8; 16],
    },
    /// All entries of the sender.
    All(Vec<Entry>),
}

/// Why bytes are not a frame.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum FrameError {
    /// Longer than [`FRAME_MAX`].
    #[error("frame too long")]
    TooLong,
    /// Not CBOR, or of another shape than the type demands.
    #[error("malformed frame")]
    Malformed,
    /// A list or string above its bound.
    #[error("list or string above its bound")]
    OverBound,
    /// No frame has this type.
    #[error("unknown frame type {0}")]
    UnknownType(u8),
    /// Not the one encoding of its content, or something follows.
    #[error("not in canonical form")]
    NotCanonical,
}

impl From<minicbor::decode::Error> for FrameError {
    fn from(_: minicbor::decode::Error) -> Self {
        Self::Malformed
    }
}

impl Frame {
    /// The one encoding of the frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        // Writing to a vector cannot fail.
        let _ = self.write(&mut e);
        e.into_writer()
    }

    /// Reads a frame; never allocates more than a small multiple of the input.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        if bytes.len() > FRAME_MAX {
            return Err(FrameError::TooLong);
        }
        let frame = Self::read(&mut Decoder::new(bytes))?;
        if frame.encode() == bytes { Ok(frame) } else { Err(FrameError::NotCanonical) }
    }

    fn write(&self, e: &mut Encoder<Vec<u8>>) -> Written {
        match self {
            Self::Join { addr } => e.array(2)?.u8(1)?.bytes(&addr.0)?.ok(),
            Self::Walk { peer, addr } => e.array(3)?.u8(2)?.bytes(&peer.0)?.bytes(&addr.0)?.ok(),
            Self::Neighbor { urgent, addr } => e.array(3)?.u8(3)?.bool(*urgent)?.bytes(&addr.0)?.ok(),
            Self::Welcome => e.array(1)?.u8(4)?.ok(),
            Self::Disconnect { others } => write_peers(e.array(2)?.u8(5)?, others),
            Self::Shuffle { peers } => write_peers(e.array(2)?.u8(6)?, peers),
            Self::ShuffleReply { peers } => write_peers(e.array(2)?.u8(7)?, peers),
            Self::Push { envelope } => e.array(2)?.u8(16)?.bytes(envelope)?.ok(),
            Self::IHave { late, entries } => e.array(3)?.u8(17)?.bool(*late)?.bytes(&joined(entries.iter().map(entry_bytes)))?.ok(),
            Self::Ask { entries } => e.array(2)?.u8(18)?.bytes(&joined(entries.iter().map(entry_bytes)))?.ok(),
            Self::Decline { ids } => e.array(2)?.u8(19)?.bytes(&joined(ids.iter().map(|id| id.0)))?.ok(),
            Self::Ack { ids } => e.array(2)?.u8(20)?.bytes(&joined(ids.iter().map(|id| id.0)))?.ok(),
            Self::Fill { envelopes } => {
                e.array(2)?.u8(21)?.array(envelopes.len() as u64)?;
                envelopes.iter().try_for_each(|envelope| e.bytes(envelope)?.ok())
            }
            Self::Nudge { root } => e.array(2)?.u8(22)?.bytes(root)?.ok(),
            Self::Open { session, sketch, ranges } => {
                write_ranges(e.array(4)?.u8(32)?.u32(*session)?.bytes(&sketch.to_bytes())?, ranges)
            }
            Self::Ranges { session, estimate, ranges } => write_ranges(e.array(4)?.u8(33)?.u32(*session)?.u64(*estimate)?, ranges),
            Self::Symbols { session, start, symbols } => {
                let bytes = joined(symbols.iter().map(Symbol::to_bytes));
                e.array(4)?.u8(34)?.u32(*session)?.u32(*start)?.bytes(&bytes)?.ok()
            }
            Self::More { session, count } => e.array(3)?.u8(35)?.u32(*session)?.u32(*count)?.ok(),
            Self::Want { session, wanted } => {
                e.array(3)?.u8(36)?.u32(*session)?.bytes(&joined(wanted.iter().map(wanted_bytes)))?.ok()
            }
            Self::Close { session, end, sending } => e.array(4)?.u8(37)?.u32(*session)?.u8(*end as u8)?.u64(*sending)?.ok(),
        }
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, FrameError> {
        let fields = d.array()?.ok_or(FrameError::NotCanonical)?;
        let kind = d.u8()?;
        let frame = match (kind, fields) {
            (1, 2) => Self::Join { addr: read_addr(d)? },
            (2, 3) => Self::Walk { peer: PeerId(read_fixed(d)?), addr: read_addr(d)? },
            (3, 3) => Self::Neighbor { urgent: d.bool()?, addr: read_addr(d)? },
            (4, 1) => Self::Welcome,
            (5, 2) => Self::Disconnect { others: read_peers(d)? },
            (6, 2) => Self::Shuffle { peers: read_peers(d)? },
            (7, 2) => Self::ShuffleReply { peers: read_peers(d)? },
            (16, 2) => Self::Push { envelope: read_envelope(d)? },
            (17, 3) => Self::IHave { late: d.bool()?, entries: read_items(d, IDS_PER_FRAME, read_entry)? },
            (18, 2) => Self::Ask { entries: read_items(d, IDS_PER_FRAME, read_entry)? },
            (19, 2) => Self::Decline { ids: read_items(d, IDS_PER_FRAME, |id: &[u8; 32]| EnvelopeId(*id))? },
            (20, 2) => Self::Ack { ids: read_items(d, IDS_PER_FRAME, |id: &[u8; 32]| EnvelopeId(*id))? },
            (21, 2) => {
                let count = read_count(d, FILL_COUNT_MAX)?;
                Self::Fill { envelopes: (0..count).map(|_| read_envelope(d)).collect::<Result<_, _>>()? }
            }
            (22, 2) => Self::Nudge { root: read_fixed(d)? },
            (32, 4) => Self::Open { session: d.u32()?, sketch: Sketch::from_bytes(&read_fixed(d)?), ranges: read_ranges(d)? },
            (33, 4) => Self::Ranges { session: d.u32()?, estimate: d.u64()?, ranges: read_ranges(d)? },
            (34, 4) => {
                Self::Symbols { session: d.u32()?, start: d.u32()?, symbols: read_items(d, SYMBOLS_PER_FRAME, Symbol::from_bytes)? }
            }
            (35, 3) => Self::More { session: d.u32()?, count: d.u32()? },
            (36, 3) => Self::Want { session: d.u32()?, wanted: read_items(d, IDS_PER_FRAME, read_wanted)? },
            (37, 4) => Self::Close { session: d.u32()?, end: read_end(d)?, sending: d.u64()? },
            (1..=7 | 16..=22 | 32..=37, _) => return Err(FrameError::Malformed),
            (other, _) => return Err(FrameError::UnknownType(other)),
        };
        Ok(frame)
    }
}

type Written = Result<(), minicbor::encode::Error<Infallible>>;

fn joined<const N: usize>(items: impl Iterator<Item = [u8; N]>) -> Vec<u8> {
    items.flatten().collect()
}

fn entry_bytes(entry: &Entry) -> [u8; 36] {
    concat(entry.hour.0.to_be_bytes(), &entry.id.0)
}

fn wanted_bytes(wanted: &WantedId) -> [u8; 12] {
    concat(wanted.hour.0.to_be_bytes(), &wanted.start)
}

fn concat<const N: usize>(hour: [u8; 4], rest: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.iter_mut().zip(hour.iter().chain(rest)).for_each(|(to, from)| *to = *from);
    bytes
}

fn read_entry(bytes: &[u8; 36]) -> Entry {
    let (hour, id) = bytes.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
    Entry::new(Hour(u32::from_be_bytes(*hour)), EnvelopeId(*id.first_chunk().unwrap_or(&[0; 32])))
}

fn read_wanted(bytes: &[u8; 12]) -> WantedId {
    let (hour, start) = bytes.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
    WantedId { hour: Hour(u32::from_be_bytes(*hour)), start: *start.first_chunk().unwrap_or(&[0; 8]) }
}

fn read_items<T, const N: usize>(d: &mut Decoder<'_>, max: usize, item: impl Fn(&[u8; N]) -> T) -> Result<Vec<T>, FrameError> {
    let (items, rest) = d.bytes()?.as_chunks::<N>();
    if items.len() > max {
        return Err(FrameError::OverBound);
    }
    if rest.is_empty() { Ok(items.iter().map(item).collect()) } else { Err(FrameError::Malformed) }
}

fn read_fixed<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], FrameError> {
    d.bytes()?.try_into().map_err(|_| FrameError::Malformed)
}

fn read_count(d: &mut Decoder<'_>, max: usize) -> Result<usize, FrameError> {
    let count = d.array()?.ok_or(FrameError::NotCanonical)?;
    usize::try_from(count).ok().filter(|count| *count <= max).ok_or(FrameError::OverBound)
}

fn read_bytes(d: &mut Decoder<'_>, max: usize) -> Result<Vec<u8>, FrameError> {
    let bytes = d.bytes()?;
    if bytes.len() <= max { Ok(bytes.to_vec()) } else { Err(FrameError::OverBound) }
}

fn read_envelope(d: &mut Decoder<'_>) -> Result<Vec<u8>, FrameError> {
    read_bytes(d, ENVELOPE_MAX)
}

fn read_addr(d: &mut Decoder<'_>) -> Result<PeerAddr, FrameError> {
    read_bytes(d, ADDR_MAX).map(PeerAddr)
}

fn write_peers(e: &mut Encoder<Vec<u8>>, peers: &[PeerAt]) -> Written {
    e.array(peers.len() as u64)?;
    peers.iter().try_for_each(|(peer, addr)| e.array(2)?.bytes(&peer.0)?.bytes(&addr.0)?.ok())
}

fn read_peers(d: &mut Decoder<'_>) -> Result<Vec<PeerAt>, FrameError> {
    let count = read_count(d, SAMPLE_MAX)?;
    let one = |_| {
        if d.array()? != Some(2) {
            return Err(FrameError::Malformed);
        }
        Ok((PeerId(read_fixed(d)?), read_addr(d)?))
    };
    (0..count).map(one).collect()
}

fn read_end(d: &mut Decoder<'_>) -> Result<End, FrameError> {
    match d.u8()? {
        0 => Ok(End::Complete),
        1 => Ok(End::Partial),
        2 => Ok(End::Busy),
        _ => Err(FrameError::Malformed),
    }
}

/// A range is an array: hours since the bound before it (null: up to the end), start of the id without trailing zeros, and
/// nothing for [`Claim::Same`], a string of entries for [`Claim::All`], count and fingerprint for [`Claim::Print`].
fn write_ranges(e: &mut Encoder<Vec<u8>>, ranges: &[Range]) -> Written {
    e.array(ranges.len() as u64)?;
    let mut hour = 0_u32;
    for range in ranges {
        e.array(match range.claim {
            Claim::Same => 2,
            Claim::All(_) => 3,
            Claim::Print { .. } => 4,
        })?;
        match range.upper {
            Bound::End => e.null()?.bytes(&[])?,
            Bound::At(at) => {
                e.u32(at.hour.0.wrapping_sub(hour))?;
                hour = at.hour.0;
                let kept = at.id.0.iter().rposition(|b| *b != 0).map_or(0, |last| last.saturating_add(1));
                e.bytes(at.id.0.get(..kept).unwrap_or_default())?
            }
        };
        match &range.claim {
            Claim::Same => {}
            Claim::All(entries) => e.bytes(&joined(entries.iter().map(entry_bytes)))?.ok()?,
            Claim::Print { count, print } => e.u64(*count)?.bytes(print)?.ok()?,
        }
    }
    Ok(())
}

/// Ranges must rise strictly, reach the end, and list only entries that lie inside, in order.
fn read_ranges(d: &mut Decoder<'_>) -> Result<Vec<Range>, FrameError> {
    let count = read_count(d, RANGES_PER_FRAME)?;
    let mut ranges = Vec::with_capacity(count);
    let (mut lower, mut hour, mut listed) = (Bound::START, 0_u32, 0_usize);
    for _ in 0..count {
        let fields = d.array()?;
        let upper = if d.datatype()? == Type::Null {
            d.null()?;
            d.bytes()?;
            Bound::End
        } else {
            hour = hour.checked_add(d.u32()?).ok_or(FrameError::Malformed)?;
            let start = d.bytes()?;
            let mut id = [0; 32];
            id.get_mut(..start.len()).ok_or(FrameError::OverBound)?.copy_from_slice(start);
            Bound::At(Entry::new(Hour(hour), EnvelopeId(id)))
        };
        let claim = match fields {
            Some(2) => Claim::Same,
            Some(3) => Claim::All(read_items(d, LISTED_PER_FRAME, read_entry)?),
            Some(4) => Claim::Print { count: d.u64()?, print: read_fixed(d)? },
            _ => return Err(FrameError::Malformed),
        };
        if let Claim::All(entries) = &claim {
            listed = listed.saturating_add(entries.len());
            let inside = entries.iter().all(|e| Bound::At(*e) >= lower && Bound::At(*e) < upper);
            if !inside || !entries.is_sorted_by(|a, b| a < b) {
                return Err(FrameError::Malformed);
            }
        }
        if upper <= lower || listed > LISTED_PER_FRAME {
            return Err(if upper <= lower { FrameError::Malformed } else { FrameError::OverBound });
        }
        lower = upper;
        ranges.push(Range { upper, claim });
    }
    if lower == Bound::End { Ok(ranges) } else { Err(FrameError::Malformed) }
}
